"""Merged tickets at every moment: what is shown with which."""

from uuid import UUID

from domain.tickets import AddComment, LinkKind, LinkTickets, MergeTickets, SetRequester, UnmergeTicket, Visibility
from domain.work import LogWork
from projections import comments, links, merging, tickets, work
from projections.filters import PageAsk
from projections.reading import NOW, Moment
from projections.rebuild import rebuild
from projections.registry import PROJECTIONS
from tests.projections.conftest import World, hour

PAGE = PageAsk(first=100)


def said(world: World, ticket: UUID, moment: Moment = NOW) -> list[str]:
    found = [row.body for row in world.of(ticket, comments.comments, PAGE, moment).nodes]
    assert world.of(ticket, comments.comment_counts, moment) == len(found)
    assert world.of(ticket, tickets.details, moment).comment_count == len(found)
    return found


def head(world: World) -> int:
    position: int = world.rows("select max(position) from event")[0][0]
    return position


def into(world: World, ticket: UUID, moment: Moment = NOW) -> UUID | None:
    return world.ask(merging.merged_into, [ticket], moment).get(ticket)


def test_talk_and_work_are_shown_with_the_target_for_as_long_as_the_ticket_is_merged(world: World) -> None:
    one, two, three = (world.open(name, at=hour(0)) for name in ("One", "Two", "Three"))
    for n, ticket in enumerate((one, two, three), start=1):
        world.do(AddComment(ticket=ticket, body=f"{n}"), hour(n))
        world.do(LogWork(ticket=ticket, started_at=hour(n), seconds=60 * n), hour(n + 0.5))
    before = world.do(LinkTickets(ticket=one, kind=LinkKind.BLOCKS, other=three), hour(5)).position
    world.do(MergeTickets(ticket=one, into=two), hour(6))
    world.project()
    first = head(world)
    world.do(MergeTickets(ticket=two, into=three), hour(7))
    world.project()
    second = head(world)

    assert (into(world, one), into(world, two), into(world, three)) == (two, three, None)
    assert (said(world, one), said(world, two), said(world, three)) == (["1"], ["1", "2"], ["1", "2", "3"])
    seconds = world.ask(work.worked_seconds, [one, two, three], NOW)
    assert seconds == {one: 60, two: 180, three: 360}
    assert len(world.of(three, work.of_tickets, PAGE, NOW).nodes) == 3
    for moment, merged, told in (
        (world.moment(position=before), [None, None], ["3"]),
        (world.moment(position=first), [two, None], ["3"]),
        (world.moment(position=second), [two, three], ["1", "2", "3"]),
        (world.moment(occurred_at=hour(5.5)), [None, None], ["3"]),
        (world.moment(occurred_at=hour(6.5)), [two, None], ["3"]),
        (world.moment(occurred_at=hour(7)), [two, three], ["1", "2", "3"]),
    ):
        assert [into(world, one, moment), into(world, two, moment)] == merged
        assert said(world, three, moment) == told

    for ticket, at in ((two, 8), (one, 9)):
        world.do(UnmergeTicket(ticket=ticket), hour(at))
    world.project()
    assert (said(world, one), said(world, two), said(world, three)) == (["1"], ["2"], ["3"])
    assert [row.kind for row in world.of(one, links.links, PAGE, NOW).nodes] == [LinkKind.BLOCKS]
    assert said(world, three, world.moment(occurred_at=hour(8.5))) == ["3"]
    assert said(world, two, world.moment(occurred_at=hour(8.5))) == ["1", "2"]
    for projection in PROJECTIONS:
        assert rebuild(world.database, projection).same, projection.name


def test_a_requester_is_shown_what_was_said_on_tickets_of_theirs_alone(world: World) -> None:
    claire, boris = world.person("Claire"), world.person("Boris")
    target = world.open("Target", requester=claire)
    own, other = world.open("Own", requester=claire), world.open("Other", requester=boris)
    for ticket, body in ((own, "own"), (other, "other")):
        world.do(AddComment(ticket=ticket, body=body))
        world.do(AddComment(ticket=ticket, body="psst", visibility=Visibility.INTERNAL))
        world.do(MergeTickets(ticket=ticket, into=target))
    world.project()
    as_claire, as_boris = world.requester(claire), world.requester(boris)
    seen = world.of_as(as_claire, target, comments.comments, PAGE, NOW).nodes
    assert [row.body for row in seen] == ["own"]
    assert world.of_as(as_claire, target, tickets.details, NOW).comment_count == 1
    assert world.of_as(as_claire, target, tickets.details, world.moment(position=head(world))).comment_count == 1
    assert [row.body for row in world.of_as(as_boris, other, comments.comments, PAGE, NOW).nodes] == ["other"]
    assert world.ask_as(as_boris, links.links, [other], PAGE, NOW)[other].nodes == [], "the target is not his"
    world.do(SetRequester(ticket=target, requester=boris))
    world.project()
    assert [row.body for row in world.of_as(as_boris, target, comments.comments, PAGE, NOW).nodes] == ["other"]
