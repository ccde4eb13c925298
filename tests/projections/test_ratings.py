"""Ratings at every moment, and a rebuild that equals the live one."""

from uuid import UUID

from domain.tickets import RateTicket, TransitionTicket
from projections import ratings
from projections.filters import PageAsk
from projections.reading import NOW, Moment
from projections.rebuild import rebuild
from tests.projections.conftest import World, hour

PAGE = PageAsk(first=100)


def scores(world: World, ticket: UUID, moment: Moment = NOW) -> list[tuple[int, str | None]]:
    found = world.of(ticket, ratings.ratings, PAGE, moment).nodes
    assert world.of(ticket, ratings.rating_counts, moment) == len(found)
    return [(row.score, row.comment) for row in found]


def test_ratings_are_as_of_any_moment(world: World) -> None:
    claire = world.person("Claire")
    ticket = world.open("Форма", "TASK", hour(0), requester=claire, assignee=claire)

    def rate(at: float, score: int, comment: str | None = None) -> int:
        rated = RateTicket(ticket=ticket, score=score, comment=comment)
        return world.do(rated, hour(at), on_behalf_of=claire, reason=None).position

    world.do(TransitionTicket(ticket=ticket, status="done"), hour(1))
    first = rate(2, 2, "Долго")
    changed = rate(3, 3)
    world.do(TransitionTicket(ticket=ticket, status="in_progress"), hour(4))
    world.do(TransitionTicket(ticket=ticket, status="done"), hour(5))
    rate(6, 5, "Отлично")
    world.project()
    assert scores(world, ticket) == [(3, None), (5, "Отлично")]
    assert scores(world, ticket, world.moment(position=first)) == [(2, "Долго")]
    assert scores(world, ticket, world.moment(position=changed)) == [(3, None)]
    assert scores(world, ticket, world.moment(occurred_at=hour(2.5))) == [(2, "Долго")]
    assert scores(world, ticket, world.moment(occurred_at=hour(5.5))) == [(3, None)]
    assert scores(world, ticket, world.moment(occurred_at=hour(1.5))) == []
    [row, _] = world.of(ticket, ratings.ratings, PAGE, NOW).nodes
    assert (row.rated_by, row.rated_at, row.closed_at) == (claire, hour(3), hour(1))
    assert world.of_as(world.requester(world.person("Boris")), ticket, ratings.ratings, PAGE, NOW).nodes == []
    assert len(world.of_as(world.requester(claire), ticket, ratings.ratings, PAGE, NOW).nodes) == 2
    world.project()
    assert rebuild(world.database, ratings.PROJECTION).same
