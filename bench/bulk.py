"""A bulk command over HTTP, beside the same commands given one by one."""

from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

from api.ids import Kind, encode
from application.bulk import TICKETS_LIMIT
from bench.company import furnish
from bench.figures import Figure, in_turns
from bench.lab import Lab, Server
from bench.load import Order, Taken, load
from bench.mutations import CONNECTIONS, PRIORITIES, mutation

MUTATION = """
mutation Bulk($input: BulkTicketsInput!) {
  bulkTickets(input: $input) { position answers { version position userErrors { code message } } }
}
"""


def bulk(lab: Lab) -> Iterator[Figure]:
    """Priorities, which every command changes."""
    with lab.database() as database:
        company = furnish(database, lab.size.of(TICKETS_LIMIT, least=4))
        tickets = company.tickets
        together = [[_bulk(tickets, priority) for priority in PRIORITIES]]
        alone = [mutation(ticket, priority) for priority in PRIORITIES for ticket in tickets]
        crowd = [alone[n::CONNECTIONS] for n in range(CONNECTIONS)]
        with lab.server(database) as server:
            for bodies, how in (([alone], "one after another"), (crowd, f"{CONNECTIONS} at once")):
                ours, theirs = in_turns(
                    lab.size.rounds,
                    lambda: _send(lab, server, company.token, together).p50,
                    lambda: len(tickets) / _send(lab, server, company.token, bodies).rate * 1000,  # noqa: B023
                )
                yield Figure(
                    name=f"bulk command to {len(tickets)} tickets over HTTP, p50",
                    unit="ms",
                    value=ours,
                    peer_name=f"as many single mutations, {how}",
                    peer=theirs,
                )


def _bulk(tickets: Sequence[UUID], priority: str) -> str:
    input = {
        "tickets": [encode(Kind.TICKET, id_) for id_ in tickets],
        "change": {"setPriority": {"priority": priority}},
    }
    return msgspec.json.encode({"query": MUTATION, "variables": {"input": input}}).decode()


def _send(lab: Lab, server: Server, token: str, bodies: list[list[str]]) -> Taken:
    lab.say(f"bulk: {len(bodies)} at once")
    return load(
        Order(
            port=server.port,
            path="/graphql",
            token=token,
            bodies=[body for body in bodies if body],
            warm_seconds=lab.size.seconds / 2,
            seconds=lab.size.seconds,
            expected='"userErrors":[]',
        )
    )
