"""A worker that delivers to webhooks is killed between the answer and writing it down: whoever delivers next sends the
same message again, and then the others, in order."""

import threading
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

from api.runtime import WEBHOOK_NETWORKS_VARIABLE
from application.event_store.database import Database, Role
from application.handling import Context
from application.webhook_signing import new_secret
from application.webhooks import handle
from application.workspaces import operator
from domain.webhooks import DefineWebhook
from tests.api.receiving import PATIENCE, Received, receiving
from tests.application.recording import Company
from tests.faults.rounds import Rounds, until
from tests.faults.server import worker


def test_a_worker_that_is_killed_before_it_writes_down_is_succeeded(
    database: Database, company: Company, rounds: Rounds, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    sent, held = threading.Event(), threading.Event()
    unanswered: list[str] = []

    def answer(n: int, message: Received) -> int:
        if message.id not in seen and unanswered and unanswered[-1] == "":
            unanswered[-1] = message.id
            sent.set()
            held.wait(PATIENCE)
        seen.add(message.id)
        return 200

    seen: set[str] = set()
    settings = {WEBHOOK_NETWORKS_VARIABLE: "127.0.0.0/8"}
    with receiving() as receiver, ExitStack() as stack:
        receiver.answer = answer
        context = Context(actor=operator(company.workspace.id))
        command = DefineWebhook(url=receiver.url, types=("TicketOpened",))
        webhook = handle(company.store, context, command, new_secret()).stream
        running = stack.enter_context(worker(database, said, **settings))
        for _ in rounds(test=2, soak=20):
            sent.clear()
            held.clear()
            unanswered.append("")
            for n in range(3):
                company.ticket(f"№ {n}")
            assert sent.wait(PATIENCE)
            running.kill()  # it never learns that the message was taken
            held.set()
            running = stack.enter_context(worker(database, said, **settings))
            head = max(one.position for one in receiver.got)
            until(lambda: delivered_to(database, webhook) >= head + 2, "all that waited")  # noqa: B023
    positions = [one.position for one in receiver.got]
    assert sorted(set(positions)) == list(dict.fromkeys(positions)), "in order, but for what came twice"
    twice = {one.id for one in receiver.got if [other.id for other in receiver.got].count(one.id) > 1}
    assert set(unanswered) <= twice
    assert len({one.id for one in receiver.got}) == len(set(positions))


def delivered_to(database: Database, webhook: UUID) -> int:
    with database.connect(Role.PROJECTOR) as connection:
        row = connection.execute("select position from webhook_cursor where webhook = %s", (webhook,)).fetchone()
    return int(row[0]) if row else 0
