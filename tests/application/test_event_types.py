"""Every event that was ever written still loads: one stored sample of each type and version, in `events/`.

A changed shape is a new version with an upcaster, and one more file; no file here is ever changed or deleted. Where a
sealed text stands in the table, a sample has the text itself.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from eventsourcing.persistence import Mapper

from application.event_store import event_types
from application.event_store.envelope import Cause, StoredEnvelope, Stream, as_row
from application.event_store.event_types import EVENT_TYPES, NAMES, EventType, fold, sealed_fields
from application.event_store.mapper import EnvelopeMapper
from application.event_store.sealing import Opener, Sealer
from domain.tickets import Ticket

SAMPLES = Path(__file__).parent / "events"
STREAM, WORKSPACE, COMMAND = UUID(int=1), UUID(int=2), UUID(int=3)
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
PASSING = [kind for kind in EVENT_TYPES.values() if kind.kept != kind.sealed[kind.version]]


FIRST_EVENTS = {
    "domain.tickets": "TicketOpened",
    "domain.traceability.repositories": "RepositoryDefined",
    "domain.traceability.findings": "CopiesFound",
    "domain.traceability.requests": "MergeRequestOpened",
}
"""Of streams that have texts which no state keeps."""


class OpenTexts(Sealer):
    """Leaves texts as they are, so that samples can be read."""

    def __init__(self) -> None:
        self.keyring = cast(Any, None)

    def seal(self, value: object, workspace: UUID, subject: UUID, at: bytes) -> str:
        return f"1:{subject.hex}:{msgspec.json.encode(value).decode()}"

    def opener(self, sealed: Iterable[tuple[UUID, str]]) -> Opener:
        return lambda text, workspace, at: msgspec.json.decode(text[35:])


MAPPER = EnvelopeMapper(OpenTexts())


def stored(name: str, version: int, state: bytes) -> StoredEnvelope:
    return StoredEnvelope(
        originator_id=STREAM,
        originator_version=1,
        topic=name,
        state=state,
        workspace=WORKSPACE,
        event_version=version,
        occurred_at=AT,
        cause=Cause(actor=WORKSPACE, command_id=COMMAND, correlation_id=COMMAND, channel="test"),
        command_hash=COMMAND.bytes,
    )


def samples() -> list[Path]:
    return sorted(SAMPLES.glob("*.json"))


def read(path: Path) -> StoredEnvelope:
    name, version = path.stem.rsplit(".", 1)
    return stored(name, int(version), path.read_bytes().rstrip(b"\n"))


def test_every_version_of_every_event_has_a_sample() -> None:
    written = {f"{kind.name}.{version}" for kind in EVENT_TYPES.values() for version in range(1, kind.version + 1)}
    assert written == {path.stem for path in samples()}, (
        "Add a sample of a new event or version to tests/application/events/, and never remove one:"
        " what was written once must load for ever."
    )


@pytest.mark.parametrize("path", samples(), ids=lambda path: path.stem)
def test_a_stored_event_still_loads(path: Path) -> None:
    row = read(path)
    envelope = MAPPER.to_domain_event(row)
    kind = EVENT_TYPES[row.topic]
    assert isinstance(envelope.event, kind.cls)
    texts = [getattr(envelope.event, field) for field in kind.sealed[kind.version]]
    assert not [text for text in texts if isinstance(text, str) and text.startswith("1:")], "sealed texts are opened"


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=lambda kind: kind.name)
def test_an_event_is_written_as_its_sample_was(kind: EventType) -> None:
    """Byte for byte: a field that was added, renamed, retyped or given another default without a new version shows
    here."""
    row = read(SAMPLES / f"{kind.name}.{kind.version}.json")
    envelope = MAPPER.to_domain_event(row)
    again = MAPPER.to_stored_event(envelope)
    assert again.state == row.state
    assert (again.topic, again.event_version) == (kind.name, kind.version)
    # A field with a default would be missing from the sample, and still load: every field is there.
    assert set(msgspec.json.decode(row.state)) == set(kind.cls.__struct_fields__)


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=lambda kind: kind.name)
def test_a_sample_says_something_in_every_sealed_field(kind: EventType) -> None:
    state = msgspec.json.decode((SAMPLES / f"{kind.name}.{kind.version}.json").read_bytes())
    assert [field for field in kind.sealed[kind.version] if not str(state[field]).startswith("1:")] == []


@pytest.mark.parametrize(
    "kind",
    [kind for kind in EVENT_TYPES.values() if kind.kept != kind.sealed[kind.version]],
    ids=lambda kind: kind.name,
)
def test_a_text_that_is_not_opened_to_be_folded_changes_no_state(kind: EventType) -> None:
    """Of events that follow the opening of their stream."""
    opening = FIRST_EVENTS[kind.evolve.__module__]
    [first] = [row for row in map(read, samples()) if row.topic == opening and row.event_version == 1]
    before = fold(None, MAPPER.to_domain_event(first))
    row = as_row(replace(read(SAMPLES / f"{kind.name}.{kind.version}.json"), originator_version=2))
    [opened] = MAPPER.to_envelopes([row])
    [closed] = MAPPER.to_envelopes([row], to_fold=True)
    passing = set(kind.sealed[kind.version]) - set(kind.kept)
    assert all(getattr(closed.event, field).startswith("1:") for field in passing)
    assert fold(before, opened) == fold(before, closed)


def test_names_of_events_are_stable_and_no_python_paths() -> None:
    assert [name for name in EVENT_TYPES if not name.isidentifier()] == []
    assert {kind.name for kind in NAMES.values()} == set(EVENT_TYPES)
    assert len(NAMES) == len(EVENT_TYPES)


def test_every_version_says_which_of_its_fields_are_sealed() -> None:
    for kind in EVENT_TYPES.values():
        assert set(kind.sealed) == set(range(1, kind.version + 1))
        assert set(kind.upcasters) == set(range(1, kind.version))
        assert kind.sealed[kind.version] == sealed_fields(kind.cls)


def test_all_free_text_is_marked_for_sealing() -> None:
    """A reminder for whoever adds a field of text: either it is sealed, or it stands here as harmless."""
    harmless = {
        "role",
        "workflow",
        "status",
        "channel",
        "external_key",
        "key",
        "rank",
        "mapping",  # from status to status
        "media_type",
        "sealed_secret",  # of a webhook: sealed by itself
        "content",  # where a file lies: a keyed digest
        "name",  # of teams, services and repositories; a person's is sealed
        *("act", "journal"),  # hashes of documents that have a random number
        *("url", "default_branch", "target", "tag", "environment"),  # of repositories
        *("head", "commit", "base", "change", "number", "digest", "lines"),  # hashes, numbers
        "builder",  # what built, not who
        *("language", "currency", "time_zone"),
    }
    for kind in EVENT_TYPES.values():
        info = msgspec.inspect.type_info(kind.cls)
        assert isinstance(info, msgspec.inspect.StructType)
        plain = {
            field.name
            for field in info.fields
            if _holds_text(field.type) and field.name not in kind.sealed[kind.version]
        }
        assert plain <= harmless, f"{kind.name}: {plain - harmless}"
    assert "name" in EVENT_TYPES["PersonAdded"].sealed[1]
    assert "name" in EVENT_TYPES["PersonRenamed"].sealed[1]


def _holds_text(kind: msgspec.inspect.Type) -> bool:
    if isinstance(kind, msgspec.inspect.UnionType):
        return any(_holds_text(member) for member in kind.types)
    if isinstance(kind, msgspec.inspect.Metadata):
        return _holds_text(kind.type)
    return isinstance(kind, msgspec.inspect.StrType | msgspec.inspect.DictType)


class TicketOpenedOnce(msgspec.Struct, frozen=True, kw_only=True):
    """The shape of a first version that was changed since: `subject` became `title`, `urgent` became `priority`."""

    subject: str
    urgent: bool


def test_an_older_version_is_opened_by_its_own_names_and_then_upcast(monkeypatch: pytest.MonkeyPatch) -> None:
    now = EVENT_TYPES["TicketOpened"]
    newest = msgspec.json.decode((SAMPLES / "TicketOpened.1.json").read_bytes())

    def renamed(state: dict[str, Any], _: Cause) -> dict[str, Any]:
        urgent = state.pop("urgent")
        return {**newest, "fields": {}, "title": state.pop("subject"), "priority": "HIGH" if urgent else "LOW"}

    def described(state: dict[str, Any], _: Cause) -> dict[str, Any]:
        return {**state, "description": f"About: {state['title']}"}

    later = EventType(
        name="TicketOpened",
        version=3,
        cls=now.cls,
        sealed={1: ("subject",), 2: now.sealed[1], 3: now.sealed[1]},
        evolve=now.evolve,
        kept=now.kept,
        upcasters={1: renamed, 2: described},
    )
    monkeypatch.setitem(cast("dict[str, EventType]", event_types.EVENT_TYPES), "TicketOpened", later)
    sealed = OpenTexts().seal("Сайт упал", WORKSPACE, WORKSPACE, b"")
    row = stored("TicketOpened", 1, msgspec.json.encode(TicketOpenedOnce(subject=sealed, urgent=True)))

    envelope = MAPPER.to_domain_event(row)
    ticket = fold(None, envelope)
    assert isinstance(ticket, Stream)
    assert isinstance(ticket.state, Ticket)
    assert (ticket.state.title, ticket.state.description) == ("Сайт упал", "About: Сайт упал")
    assert ticket.state.priority == "HIGH"


def test_a_comment_of_the_first_version_was_written_by_whoever_gave_the_command() -> None:
    row = read(SAMPLES / "CommentAdded.1.json")
    for on_behalf_of, author in ((None, WORKSPACE), (STREAM, STREAM)):
        given = replace(row, cause=msgspec.structs.replace(row.cause, on_behalf_of=on_behalf_of))
        event = MAPPER.to_domain_event(given).event
        assert (event.author, event.mentions, event.body) == (author, (), "Перезагрузили, смотрим")


def test_it_is_the_library_s_mapper() -> None:
    assert isinstance(MAPPER, Mapper)
    row = read(SAMPLES / "CommentAdded.1.json")
    assert MAPPER.to_envelopes([as_row(row)]) == [MAPPER.to_domain_event(row)]
