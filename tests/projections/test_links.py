"""Links at every moment, and a rebuild that equals the live one."""

from uuid import UUID

from domain.tickets import LinkKind, LinkTickets, SetRequester, UnlinkTickets
from projections import links
from projections.filters import PageAsk
from projections.reading import NOW, Moment
from projections.rebuild import rebuild
from tests.projections.conftest import World, hour

PAGE = PageAsk(first=100)


def linked(world: World, ticket: UUID, moment: Moment = NOW) -> list[tuple[LinkKind, UUID]]:
    found = [(row.kind, row.other) for row in world.of(ticket, links.links, PAGE, moment).nodes]
    assert world.of(ticket, links.link_counts, moment) == len(found)
    return found


def head(world: World) -> int:
    position: int = world.rows("select max(position) from event")[0][0]
    return position


def test_links_are_there_from_their_making_to_their_undoing_on_both_sides(world: World) -> None:
    one, two, three = (world.open(name, at=hour(0)) for name in ("One", "Two", "Three"))
    world.do(LinkTickets(ticket=one, kind=LinkKind.CAUSES, other=two), hour(1))
    made = head(world)
    world.do(LinkTickets(ticket=three, kind=LinkKind.BLOCKED_BY, other=one), hour(2))
    world.project()
    world.do(UnlinkTickets(ticket=two, kind=LinkKind.CAUSED_BY, other=one), hour(3))
    undone = head(world)
    world.do(LinkTickets(ticket=two, kind=LinkKind.CAUSED_BY, other=one), hour(4))
    again = head(world)
    world.do(UnlinkTickets(ticket=two, kind=LinkKind.CAUSED_BY, other=one), hour(5))
    world.project()

    causes, blocks = (LinkKind.CAUSES, two), (LinkKind.BLOCKS, three)
    caused = (LinkKind.CAUSED_BY, one)
    assert (linked(world, one), linked(world, two)) == ([blocks], [])
    assert linked(world, three) == [(LinkKind.BLOCKED_BY, one)]
    for at, of_one, of_two in (
        (world.moment(position=made), [causes], [caused]),
        (world.moment(position=undone), [blocks], []),
        (world.moment(position=again), [blocks, causes], [caused]),
        (world.moment(occurred_at=hour(0.5)), [], []),
        (world.moment(occurred_at=hour(2.5)), [causes, blocks], [caused]),
        (world.moment(occurred_at=hour(3)), [blocks], []),
        (world.moment(occurred_at=hour(4)), [blocks, causes], [caused]),
        (world.moment(position=made, occurred_at=hour(9)), [causes], [caused]),
    ):
        assert (linked(world, one, at), linked(world, two, at)) == (of_one, of_two)
    assert rebuild(world.database, links.PROJECTION).same


def test_a_requester_sees_links_between_tickets_of_theirs_alone(world: World) -> None:
    claire, boris = world.person("Claire"), world.person("Boris")
    own, also, other = (world.open(name, requester=who) for name, who in (("1", claire), ("2", claire), ("3", boris)))
    for ticket in (also, other):
        world.do(LinkTickets(ticket=own, kind=LinkKind.RELATES, other=ticket))
    world.project()
    as_claire = world.requester(claire)
    for ticket, shown in ((own, [also]), (also, [own]), (other, [])):
        page = world.of_as(as_claire, ticket, links.links, PAGE, NOW)
        assert [row.other for row in page.nodes] == shown
        assert world.of_as(as_claire, ticket, links.link_counts, NOW) == len(shown)
    world.do(SetRequester(ticket=also, requester=boris))
    world.project()
    assert world.of_as(as_claire, own, links.links, PAGE, NOW).nodes == []


def test_many_links_are_read_page_by_page(world: World) -> None:
    ticket = world.open("Many", at=hour(0))
    others = [world.open(f"{n}", at=hour(0)) for n in range(5)]
    for other in others:
        world.do(LinkTickets(ticket=ticket, kind=LinkKind.DUPLICATES, other=other), hour(10))
    world.project()
    found: list[UUID] = []
    after = None
    while True:
        page = world.of(ticket, links.links, PageAsk(first=2, after=after), NOW)
        found += [row.other for row in page.nodes]
        if not page.has_next:
            break
        after = page.cursors[-1]
    assert found == others
