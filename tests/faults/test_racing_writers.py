"""Writers of one stream, in several processes: each acknowledged command is there once, in one order."""

from collections import Counter
from uuid import UUID

from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.workspaces import Workspace
from tests.application.recording import Company, log, versions
from tests.faults import process
from tests.faults.rounds import WAIT, Rounds


def test_eight_writers_of_one_ticket_lose_nothing(
    database: Database, store: EventStore, workspace: Workspace, rounds: Rounds
) -> None:
    """Four processes of two threads each."""
    company = Company.of(store, workspace)
    for _ in rounds(test=1, soak=30):
        ticket = company.ticket()
        writers = [process.start("comment", database, workspace.id, ticket, 2, 12) for _ in range(4)]
        acknowledged = [UUID(line) for writer in writers for line in writer.communicate(timeout=WAIT)[0].split()]

        assert [writer.returncode for writer in writers] == [0] * 4
        assert len(acknowledged) == 4 * 2 * 12
        recorded = Counter(row["command_id"] for row in log(database, f"stream = '{ticket}' and version > 1"))
        assert recorded == Counter(acknowledged)
        assert versions(database, ticket) == list(range(1, 4 * 2 * 12 + 2))


def test_what_a_killed_writer_was_told_is_done_is_done(
    database: Database, store: EventStore, workspace: Workspace, rounds: Rounds
) -> None:
    company = Company.of(store, workspace)
    for _ in rounds(test=1, soak=30):
        ticket = company.ticket()
        with (
            process.start("comment", database, workspace.id, ticket, 2, 10_000) as doomed,
            process.start("comment", database, workspace.id, ticket, 1, 20) as other,
        ):
            assert doomed.stdout is not None
            acknowledged = [UUID(doomed.stdout.readline().strip()) for _ in range(20)]
            doomed.kill()
            # The last line may have been cut by the kill.
            acknowledged += [UUID(line.strip()) for line in doomed.stdout if len(line) == 37]
            acknowledged += [UUID(line) for line in other.communicate(timeout=WAIT)[0].split()]

        recorded = Counter(row["command_id"] for row in log(database, f"stream = '{ticket}' and version > 1"))
        assert set(recorded.values()) == {1}
        assert set(acknowledged) <= set(recorded)
        assert len(recorded) - len(acknowledged) <= 2, "at most what was under way when it was killed"
        assert versions(database, ticket) == list(range(1, len(recorded) + 2))
