"""Pseudo-random commands of every kind that the domain has, made from the types of their fields; a command that is
added to `domain.access.Command` is given without a line here."""

import random
import string
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, get_args, get_type_hints
from uuid import UUID, uuid4

import msgspec
from msgspec import inspect

import application
from application.attachments.attaching import attach
from application.attachments.contents import Contents
from application.event_store.database import Database, Role
from application.event_store.event_types import EVENT_TYPES
from application.event_store.streams import EventStore
from application.handling import Context, Outcome
from domain import workflows
from domain.access import Actor, Command
from domain.attachments import AttachFile
from domain.contracts import ReachAlerts, ReportUsedUp
from domain.tickets import OpenTicket
from domain.webhooks import DefineWebhook
from domain.workflows import defaults

FEATURES = {
    "parent": "tickets",
    "other": "tickets",
    "into": "tickets",
    "requester": "people",
    "assignee": "people",
    "person": "people",
    "mentions": "people",
    "ticket": "tickets",
    "team": "teams",
    "service": "services",
    "work_entry": "work",
    "repository": "traceability.repositories",
    "client": "clients",
    "contract": "contracts",
    "webhook": "webhooks",
}
"""Whose ids a field holds; one that is not named here gets an id from within its ticket."""

WEIGHTS = {"people": 0.1, "teams": 0.1, "services": 0.1, "workflows": 0.001, "webhooks": 0.1}
"""How often, where a command of a ticket comes once."""

WORDS = ("Принтер", "горит", "server", "it's", '"quoted"', "naïve", "%s", "\\", "日本", "👩‍🔧", "\u200b", "<b>", "№ 7")
DEFAULTS = defaults()
WORKFLOWS = {workflow.key: [status.key for status in workflow.statuses] for workflow in DEFAULTS.workflows}
STATUSES = sorted({status for statuses in WORKFLOWS.values() for status in statuses})
ROLES = [*(role.key for role in DEFAULTS.roles), "NONE"]
EXAMPLES: dict[type, Sequence[Any]] = {workflows.Workflow: DEFAULTS.workflows, workflows.Role: DEFAULTS.roles}


def _handlers() -> dict[type[Any], Callable[..., Outcome]]:
    """By the type of command that each module of the application says it takes."""
    found: dict[type[Any], Callable[..., Outcome]] = {}
    for module in iter_modules(application.__path__, "application."):
        handle = getattr(import_module(module.name), "handle", None)
        if handle is not None:
            taken = get_type_hints(handle)["command"]
            found |= dict.fromkeys(get_args(taken) or [taken], handle)
    return found


HANDLERS = {kind: handler for kind, handler in _handlers().items() if kind in get_args(Command)}
assert set(get_args(Command)) - set(HANDLERS) == {ReachAlerts, ReportUsedUp}  # which nobody gives but who settles

_FIRST_EVENTS = {kind.name: kind.evolve.__module__.removeprefix("domain.") for kind in EVENT_TYPES.values()}


def feature(command: type[Any]) -> str:
    return HANDLERS[command].__module__.removeprefix("application.")


class Commander:
    """Gives commands in one workspace, as one person. What its chance makes is the same for the same seed."""

    def __init__(self, store: EventStore, actor: Actor, files: Path, seed: object) -> None:
        self._store = store
        self._files = Contents(files, store.mapper.sealer.keyring, reserve=0)
        self._actor = actor
        self._chance = random.Random(str(seed))
        self._known: dict[str, list[UUID]] = {}
        self._kinds = sorted(HANDLERS, key=lambda kind: kind.__name__)
        self._weights = [3.0 if kind is OpenTicket else WEIGHTS.get(feature(kind), 1.0) for kind in self._kinds]

    def look_around(self, database: Database) -> None:
        """For what the others have made."""
        with database.connect(Role.PROJECTOR) as connection:
            rows = connection.execute(
                "select stream, name from event where workspace = %s and version = 1 order by position",
                (self._actor.workspace,),
            )
            self._known = {}
            for stream, name in rows:
                self._known.setdefault(_FIRST_EVENTS[name], []).append(stream)

    def draw(self) -> Any:
        [kind] = self._chance.choices(self._kinds, self._weights)
        inside = self._inside(self._ticket()) if "ticket" in kind.__struct_fields__ else {}
        return self._struct(kind, inside)

    def context(self) -> Context:
        chance = self._chance
        return Context(
            actor=self._actor,
            command_id=uuid4(),
            reason=self._text() if chance.random() < 0.5 else None,
            occurred_at=self._time() if chance.random() < 0.1 else None,
        )

    def give(self, command: Any, context: Context) -> Outcome:
        """Raises Refused, StoreUnavailable."""
        if isinstance(command, AttachFile):
            try:
                return attach(self._files, self._store, context, command)
            finally:
                self._files.forget(self._actor.workspace, self._actor.person, command.upload)
        outcome = HANDLERS[type(command)](self._store, context, command)
        if outcome.version == 1 or isinstance(command, DefineWebhook):
            self._known.setdefault(feature(type(command)), []).append(outcome.stream)
        return outcome

    # ---- values, by the type of a field and what its name says

    def _ticket(self) -> UUID | None:
        """One of the newest, mostly: there they all meet."""
        tickets = self._known.get("tickets") or []
        if not tickets:
            return None
        return self._chance.choice(tickets[-20:] if self._chance.random() < 0.7 else tickets)

    def _inside(self, ticket: UUID | None) -> dict[str, Any]:
        """The ticket, statuses of its workflow and the ids in its state: what a command to it can be about."""
        if ticket is None:
            return {}
        loaded = self._store.workspace(self._actor.workspace).load([ticket]).get(ticket)
        state: Any = loaded.state if loaded else None
        within = list(_ids(msgspec.to_builtins(state, builtin_types=(UUID, datetime), enc_hook=list)))
        return {"ticket": ticket, "status": WORKFLOWS.get(getattr(state, "workflow", "")), "": within}

    def _struct(self, kind: Any, inside: dict[str, Any]) -> Any:
        examples = EXAMPLES.get(kind)
        if examples:
            return msgspec.structs.replace(self._chance.choice(examples), name=self._text())
        info = inspect.type_info(kind)
        assert isinstance(info, inspect.StructType)
        values = {}
        for field in info.fields:
            if field.required or self._chance.random() < 0.4:
                values[field.name] = self._value(field.name, field.type, inside)
        return kind(**values)

    def _value(self, name: str, kind: inspect.Type, inside: dict[str, Any]) -> Any:
        chance = self._chance
        match kind:
            case inspect.UnionType(types=types):
                return self._value(name, chance.choice(types), inside)
            case inspect.NoneType():
                return None
            case inspect.BoolType():
                return chance.random() < 0.5
            case inspect.IntType():
                return chance.choice((0, 1, chance.randint(1, 40_000)))
            case inspect.FloatType():
                return chance.choice((0.0, 1.5, chance.uniform(-1000, 1000)))
            case inspect.StrType():
                return self._string(name, inside)
            case inspect.UUIDType():
                return self._id(name, inside)
            case inspect.DecimalType():
                return chance.choice((Decimal(0), Decimal("99.50"), Decimal("NaN"), Decimal(chance.randint(0, 9_999))))
            case inspect.DateTimeType():
                return self._time()
            case inspect.DateType():
                return self._time().date()
            case inspect.EnumType(cls=cls):
                return chance.choice(list(cls))
            case inspect.LiteralType(values=values):
                return chance.choice(values)
            case inspect.StructType(cls=cls):
                return self._struct(cls, inside)
            case inspect.DictType(key_type=key, value_type=value):
                names = [self._value("key", key, inside) for _ in range(chance.randint(0, 2))]
                return {one: self._value("", value, inside) for one in names}
            case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
                return tuple(self._value(name, item, inside) for _ in range(chance.randint(0, 3)))
            case inspect.SetType(item_type=item) | inspect.FrozenSetType(item_type=item):
                return frozenset(self._value(name, item, inside) for _ in range(chance.randint(0, 3)))
            case _:
                raise AssertionError(f"commands.py makes no {kind} yet, for the field {name}")

    def _string(self, name: str, inside: dict[str, Any]) -> str:
        chance = self._chance
        match name:
            case "role":
                return chance.choice(ROLES)
            case "status":
                return str(chance.choice(inside.get("status") or STATUSES))
            case "key" | "tags" | "channel":
                return chance.choice(("alpha", "beta", "гамма", "".join(chance.choices(string.ascii_lowercase, k=6))))
            case "language" | "currency" | "time_zone":
                return {"language": "ru", "currency": "EUR", "time_zone": chance.choice(("UTC", "Asia/Omsk"))}[name]
            case "url":
                return f"https://example.com/{chance.getrandbits(8):x}"
            case "email":
                return f"{chance.getrandbits(32):x}@example.com"
            case _:
                return self._text()

    def _id(self, name: str, inside: dict[str, Any]) -> UUID:
        if name == "upload":
            return self._upload()
        if name in inside:
            ticket: UUID = inside[name]
            return ticket
        known = self._known.get(FEATURES.get(name, ""), []) or inside.get("") or []
        return self._chance.choice(known) if known and self._chance.random() < 0.98 else uuid4()

    def _upload(self) -> UUID:
        receiving = self._files.receive(self._actor.workspace, self._actor.person)
        with receiving.writer as writer:
            writer.write(self._chance.randbytes(self._chance.choice((1, 1_000, 100_000))))
            writer.finish()
        return receiving.upload

    def _text(self) -> str:
        words = self._chance.choices(WORDS, k=self._chance.choice((0, 1, 2, 3, 3, 5, 40)))
        return self._chance.choice((" ", "\n", "  ")).join(words)

    def _time(self) -> datetime:
        return datetime.now(UTC) - timedelta(seconds=self._chance.randint(-3600, 3 * 86400))


def _ids(value: Any) -> Iterable[UUID]:
    """All those in nested tuples, lists and dicts."""
    if isinstance(value, UUID):
        yield value
    elif isinstance(value, dict):
        for one in value.items():
            yield from _ids(one)
    elif isinstance(value, tuple | list | set | frozenset):
        for one in value:
            yield from _ids(one)
