"""The demo's story: the scenes of `demo_scenes.toml`, played over eight weeks, as commands in order of time.

Pure: the same end gives the same story. What would happen after the end has not happened yet: those tickets are open.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta, timezone
from itertools import groupby
from pathlib import Path
from random import Random
from uuid import UUID

import msgspec

from api import demo_board
from domain.access import Command
from domain.people import AddPerson, PersonKind
from domain.services import AddService
from domain.teams import AddTeam, JoinTeam
from domain.tickets import (
    AddComment,
    AssignTicket,
    ChangeRole,
    LinkKind,
    LinkTickets,
    OpenTicket,
    Priority,
    SetParent,
    SetPriority,
    TransferTicket,
    TransitionTicket,
    Visibility,
)
from domain.workflows import StatusCategory, Workflow, Workflows, defaults, evolve
from domain.workflows import decide as define

LENGTH = timedelta(weeks=8)
SEED = 1042
ZONE = timezone(timedelta(hours=3))
MORNING, EVENING = time(9), time(18)
SYSTEM = "system"

CANCELLED, REOPENED, REPRIORITISED, LEFT_OUT, DATED = 0.05, 0.09, 0.10, 0.4, 0.5
STUCK, STUCK_LATELY = 0.2, 0.6
"""Shares of tickets that stop somewhere in their story: of those opened long ago, of those of the last three weeks."""

HOURS = {
    "take": 2.0,
    "client:": 5.0,
    "staff:": 1.5,
    "note:": 0.8,
    "hand": 0.5,
    "priority": 0.3,
    "role": 2.0,
    "child": 0.3,
    "parent": 0.4,
    "await": 4.0,
    "to": 0.7,
    "pause": 0.0,
}
"""How long each act takes on a support ticket, on average."""

HASTE = {Priority.CRITICAL: 0.12, Priority.HIGH: 0.5, Priority.NORMAL: 1.0, Priority.LOW: 2.5}
WRITTEN = ("e-mail", "site", "telegram", "chat")
"""Channels in which clients write themselves; what comes by the others is typed in by staff or by the monitoring."""


class Scene(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file says what the fields mean. `requester`: a person; "staff" for one of the team; "" for nobody."""

    role: str
    titles: tuple[str, ...]
    service: str
    team: str
    channels: tuple[str, ...]
    story: tuple[str, ...]
    key: str = ""
    text: str | None = None
    times: int = 1
    priority: Priority = Priority.NORMAL
    requester: str | None = None
    first: bool = False
    sure: bool = False
    urgent: bool = False


class TeamOfDemo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    name: str
    people: dict[str, str]


class ServiceOfDemo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    name: str


class Company(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    site: str
    people: dict[str, str]
    partner: bool = False


class Scenes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file `demo_scenes.toml`. `said_again` and `cancelled` are by language."""

    pace: dict[str, float]
    promised_days: dict[str, int]
    said_again: dict[str, list[tuple[str, str]]]
    cancelled: dict[str, list[str]]
    teams: list[TeamOfDemo]
    services: list[ServiceOfDemo]
    companies: list[Company]
    scenes: list[Scene]


Ids = Mapping[str, UUID]
"""The ids of what is there by now, by the names that the story gives: "person maria", "team sales", "ticket 12"."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One command. `makes`: the name of the stream that it begins."""

    at: datetime
    actor: str
    command: Callable[[Ids], Command]
    makes: str | None = None
    channel: str = "api"
    reason: str | None = None
    on_behalf_of: str | None = None


class Played(msgspec.Struct):
    """A ticket while its scene is played. `clock`: when its last act was.
    `children`: when each closed, None for never."""

    name: str
    scene: Scene
    role: str
    status: str
    team: str
    priority: Priority
    channel: str
    requester: str | None
    company: Company
    russian: bool
    number: int
    opened: datetime
    clock: datetime
    assignee: str | None = None
    children: list[datetime | None] = msgspec.field(default_factory=list[datetime | None])
    ended: datetime | None = None


def read_scenes() -> Scenes:
    source = Path(__file__).with_name("demo_scenes.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(source), Scenes)


def tell(end: datetime) -> list[Step]:
    """All that happened in the eight weeks before `end`, in order of time."""
    return _Play(read_scenes(), end).steps()


class _Play:
    def __init__(self, scenes: Scenes, end: datetime) -> None:
        self._scenes = scenes
        self._start, self._end = end - LENGTH, end
        self._random = Random(SEED)  # noqa: S311 - a story, not a secret
        self._workflows = _default_workflows(self._start)
        self._by_key = {scene.key: scene for scene in scenes.scenes if scene.key}
        self._teams = {team.key: list(team.people) for team in scenes.teams}
        self._staff = {person for team in scenes.teams for person in team.people}
        self._clients = [(key, company) for company in scenes.companies for key in company.people]
        self._names: dict[str, str] = {}
        for people in (*(team.people for team in scenes.teams), *(company.people for company in scenes.companies)):
            self._names.update(people)
        self._tickets = 0
        self._titles = Counter[str]()
        self._known: dict[str, Played] = {}
        self._steps: list[Step] = []

    def steps(self) -> list[Step]:
        self._furnish()
        for at, scene in self._programme():
            self._play(scene, at)
        return sorted((step for step in self._steps if step.at <= self._end), key=lambda step: step.at)

    # ---- who and when

    def _furnish(self) -> None:
        """People, teams and services, before the first ticket."""
        for team in self._scenes.teams:
            for key, name in team.people.items():
                self._add_person(key, name, PersonKind.STAFF, "northlight.example")
        for company in self._scenes.companies:
            for key, name in company.people.items():
                kind = PersonKind.PARTNER if company.partner else PersonKind.CLIENT
                self._add_person(key, name, kind, company.site)
        for team in self._scenes.teams:
            self._add(f"team {team.key}", AddTeam(key=team.key, name=team.name))
            for key in team.people:
                self._join(team.key, key)
        for service in self._scenes.services:
            self._add(f"service {service.key}", AddService(key=service.key, name=service.name))
        for n, command in enumerate(demo_board.settings()):
            self._add(f"setting {n}", command)
        for team in self._scenes.teams:
            self._save_view(team)

    def _add_person(self, key: str, name: str, kind: PersonKind, domain: str) -> None:
        self._add(f"person {key}", AddPerson(name=name, kind=kind, email=f"{key}@{domain}"))

    def _join(self, team: str, person: str) -> None:
        def command(ids: Ids) -> Command:
            return JoinTeam(team=ids[f"team {team}"], person=ids[f"person {person}"])

        self._steps.append(Step(at=self._start, actor=SYSTEM, command=command))

    def _add(self, makes: str, command: Command) -> None:
        self._steps.append(Step(at=self._start, actor=SYSTEM, command=lambda _: command, makes=makes))

    def _save_view(self, team: TeamOfDemo) -> None:
        def command(ids: Ids) -> Command:
            return demo_board.team_s_view(team.name, ids[f"team {team.key}"])

        self._steps.append(Step(at=self._start, actor=SYSTEM, command=command, makes=f"view {team.key}"))

    def _programme(self) -> list[tuple[datetime, Scene]]:
        """When each scene begins; there are more of them towards the end. What comes first, and every project, begins
        in the first days, so that there is time for it."""
        begins: list[tuple[datetime, Scene]] = []
        first, seconds = self._start + timedelta(hours=12), (LENGTH - timedelta(hours=13)).total_seconds()
        for scene in self._scenes.scenes:
            for _ in range(scene.times):
                share = self._random.random() ** 0.8
                if scene.role == "PROJECT":
                    share *= 0.1
                at = first + timedelta(seconds=int(share * seconds))
                begins.append((at if scene.urgent else self._office_hours(at), scene))
        opening = min(at for at, _ in begins)
        begins = [(opening - timedelta(minutes=5) if scene.first else at, scene) for at, scene in begins]
        return sorted(begins, key=lambda begin: begin[0])

    def _office_hours(self, at: datetime) -> datetime:
        """This moment, or some time in the next morning of a working day."""
        local = at.astimezone(ZONE)
        if local.weekday() < 5 and MORNING <= local.time() < EVENING:
            return at
        day = local.date() + timedelta(days=local.time() >= EVENING)
        while day.weekday() >= 5:
            day += timedelta(days=1)
        late = timedelta(seconds=self._random.randrange(60, 9_000))
        return (datetime.combine(day, MORNING, ZONE) + late).astimezone(UTC)

    def _pass(self, ticket: Played, hours: float) -> None:
        """Lets about so much time pass on the ticket."""
        luck = self._random.uniform(0.6, 1.0) if ticket.scene.sure else self._random.gammavariate(3, 1 / 3)
        at = ticket.clock + timedelta(seconds=20 + int(3600 * hours * luck))
        ticket.clock = at if ticket.scene.urgent else self._office_hours(at)

    # ---- a ticket

    def _play(self, scene: Scene, at: datetime, above: Played | None = None, *, below: bool = True) -> Played:
        """Opens a ticket (below the one `above`, or only for its requester) and plays its story."""
        ticket = self._open(scene, at, above, below=below)
        lines, cancelled = self._fate(scene, at)
        for line in self._said(scene.story[:lines]):
            if not self._act(ticket, line):
                return ticket
        if cancelled:
            self._cancel(ticket)
        elif lines == len(scene.story) and self._category(ticket) is StatusCategory.DONE:
            self._reopen(ticket)
        ticket.ended = ticket.clock if self._category(ticket).closed else None
        return ticket

    def _said(self, story: tuple[str, ...]) -> list[str]:
        """The story without the stretches that are left out this time."""
        said: list[str] = []
        for optional, lines in groupby(story, key=lambda line: line.startswith("?")):
            if not optional or self._random.random() >= LEFT_OUT:
                said += (line.removeprefix("?") for line in lines)
        return said

    def _fate(self, scene: Scene, at: datetime) -> tuple[int, bool]:
        """How many lines of the story come true, and whether it is cancelled then."""
        luck, lines = self._random.random(), len(scene.story)
        if scene.sure:
            return lines, False
        if luck < CANCELLED:
            return self._random.randrange(lines), True
        lately = self._end - at < timedelta(weeks=3)
        if luck < CANCELLED + (STUCK_LATELY if lately else STUCK):
            waits = [0, 0, *(n for n, line in enumerate(scene.story[:-1], start=1) if line.startswith("to "))]
            return self._random.choice((self._random.randrange(lines), self._random.choice(waits))), False
        return lines, False

    def _open(self, scene: Scene, at: datetime, above: Played | None, *, below: bool) -> Played:
        template = scene.titles[self._titles[scene.key or scene.titles[0]] % len(scene.titles)]
        self._titles[scene.key or scene.titles[0]] += 1
        russian = _is_russian(template)
        if above and scene.requester is None:
            requester, company = above.requester, above.company
        else:
            requester, company = self._requester(scene, russian)
        self._tickets += 1
        ticket = Played(
            name=f"ticket {self._tickets}",
            scene=scene,
            role=scene.role,
            status=self._workflows.for_role(scene.role).initial,
            team=scene.team,
            priority=scene.priority,
            channel=self._random.choice(scene.channels),
            requester=requester,
            company=company,
            russian=russian,
            number=self._random.randrange(11, 99),
            opened=at,
            clock=at,
        )
        if scene.key:
            self._known[scene.key] = ticket
        self._record_opening(ticket, self._fill(ticket, template), above, below=below)
        return ticket

    def _record_opening(self, ticket: Played, title: str, above: Played | None, *, below: bool) -> None:
        scene, requester, channel = ticket.scene, ticket.requester, ticket.channel
        parent = above.name if above and below else None
        text = self._fill(ticket, scene.text) if scene.text else None
        tags = () if requester in self._staff else (ticket.company.name,)
        due = self._due(ticket)
        actor = self._opener(ticket, above)

        def command(ids: Ids) -> Command:
            return OpenTicket(
                title=title,
                description=text,
                role=scene.role,
                fields=demo_board.fields(scene.role, scene.priority),
                service=ids[f"service {scene.service}"],
                requester=ids[f"person {requester}"] if requester else None,
                channel=channel,
                priority=scene.priority,
                team=ids[f"team {scene.team}"],
                parent=ids[parent] if parent else None,
                tags=tags,
                due_at=due,
            )

        behalf = requester if channel == "phone" and requester != actor else None
        step = Step(
            at=ticket.clock,
            actor=actor,
            command=command,
            makes=ticket.name,
            channel=_way(actor, channel),
            on_behalf_of=behalf,
        )
        self._steps.append(step)

    def _requester(self, scene: Scene, russian: bool) -> tuple[str | None, Company]:
        wanted = scene.requester
        if wanted in self._names:
            return next((person, company) for person, company in self._clients if person == wanted)
        same_language = [client for client in self._clients if _is_russian(self._names[client[0]]) == russian]
        person, company = self._random.choice(same_language)
        if wanted == "staff":
            person = self._random.choice(self._teams[scene.team])
        return (person if wanted != "" else None), company

    def _opener(self, ticket: Played, above: Played | None) -> str:
        """Who types the ticket in."""
        if ticket.channel == "monitoring":
            return SYSTEM
        if ticket.requester and ticket.channel in WRITTEN:
            return ticket.requester
        if above and above.assignee:
            return above.assignee
        return self._random.choice(self._teams["first-line" if ticket.channel == "phone" else ticket.team])

    def _due(self, ticket: Played) -> datetime | None:
        days = self._scenes.promised_days.get(ticket.role)
        if days is None or self._random.random() > DATED:
            return None
        days *= {Priority.LOW: 3, Priority.NORMAL: 2}.get(ticket.priority, 1)
        day = (ticket.clock + timedelta(days=days)).astimezone(ZONE).date()
        while day.weekday() >= 5:
            day += timedelta(days=1)
        return datetime.combine(day, EVENING, ZONE).astimezone(UTC)

    # ---- acts

    def _act(self, ticket: Played, line: str) -> bool:
        """One line of a story. False where the story waits for something that never comes."""
        verb, _, rest = line.partition(" ")
        self._pass(ticket, HOURS[verb] * self._scenes.pace[ticket.role] * HASTE[ticket.priority])
        match verb:
            case "client:" | "staff:" | "note:":
                self._speak(ticket, verb, rest)
            case "take":
                self._take(ticket, rest or None)
            case "hand":
                team, _, note = rest.partition(": ")
                self._hand_over(ticket, team, note or None)
            case "to":
                status, _, reason = rest.partition(": ")
                self._move(ticket, status, reason or None)
            case "priority":
                self._prioritise(ticket, Priority(rest))
            case "role":
                self._change_role(ticket, rest)
            case "child":
                ticket.children.append(self._play(self._by_key[rest], ticket.clock, ticket).ended)
            case "parent":
                self._set_parent(ticket, rest)
            case "await":
                return self._await(ticket)
            case "pause":
                self._pass(ticket, float(rest))
            case _:
                raise ValueError(f"A story has no act {line!r}.")
        return True

    def _speak(self, ticket: Played, speaker: str, text: str) -> None:
        body = self._fill(ticket, self._wording(text, ticket.russian))
        visibility = Visibility.INTERNAL if speaker == "note:" else Visibility.PUBLIC
        if speaker != "client:":
            self._do(
                ticket,
                self._holder(ticket),
                lambda ids: AddComment(ticket=ids[ticket.name], body=body, visibility=visibility),
            )
            return
        assert ticket.requester, f"nobody asked for {ticket.scene.titles[0]!r}, so nobody answers"
        channel = ticket.channel if ticket.channel in WRITTEN else "e-mail"
        self._do(ticket, ticket.requester, lambda ids: AddComment(ticket=ids[ticket.name], body=body), channel=channel)

    def _take(self, ticket: Played, who: str | None) -> None:
        """Whoever has the ticket goes on with it, else somebody of the team, now and then sent by the team's head."""
        person = who or ticket.assignee or self._random.choice(self._teams[ticket.team])
        sent = self._random.random() < 0.25
        if person != ticket.assignee:
            self._assign(ticket, self._teams[ticket.team][0] if sent else person, ticket.team, person)
        ways = self._workflow(ticket).transitions_from(ticket.status)
        statuses = (self._workflow(ticket).status(way.target) for way in ways)
        begun = next((status.key for status in statuses if status.category is StatusCategory.ACTIVE), None)
        if begun and self._category(ticket) is not StatusCategory.ACTIVE:
            self._pass(ticket, 0.05)
            self._move(ticket, begun, None)
        if not ticket.scene.sure and self._random.random() < REPRIORITISED:
            self._pass(ticket, 1)
            self._prioritise(ticket, self._random.choice([Priority.HIGH, Priority.LOW]))

    def _assign(self, ticket: Played, actor: str, team: str, assignee: str) -> None:
        def command(ids: Ids) -> Command:
            return AssignTicket(ticket=ids[ticket.name], team=ids[f"team {team}"], assignee=ids[f"person {assignee}"])

        self._do(ticket, actor, command)
        ticket.team, ticket.assignee = team, assignee

    def _hand_over(self, ticket: Played, team: str, note: str | None) -> None:
        said = None if note is None else self._wording(note, ticket.russian)
        self._do(
            ticket,
            self._holder(ticket),
            lambda ids: TransferTicket(ticket=ids[ticket.name], team=ids[f"team {team}"], assignee=None, note=said),
        )
        ticket.team, ticket.assignee = team, None

    def _move(self, ticket: Played, status: str, reason: str | None) -> None:
        way = self._workflow(ticket).transition(ticket.status, status)
        assert way, f"{ticket.scene.titles[0]!r} cannot move from {ticket.status} to {status}"
        self._do(
            ticket,
            self._holder(ticket),
            lambda ids: TransitionTicket(ticket=ids[ticket.name], status=status),
            reason=reason,
        )
        ticket.status = status

    def _prioritise(self, ticket: Played, priority: Priority) -> None:
        if priority is not ticket.priority:
            head = self._teams[ticket.team][0]
            self._do(ticket, head, lambda ids: SetPriority(ticket=ids[ticket.name], priority=priority))
            ticket.priority = priority

    def _change_role(self, ticket: Played, role: str) -> None:
        before, after = self._workflow(ticket), self._workflows.for_role(role)
        if after.key != before.key or self._category(ticket).closed:
            ticket.status = after.landing_status(self._category(ticket)).key
        self._do(ticket, self._holder(ticket), lambda ids: ChangeRole(ticket=ids[ticket.name], role=role))
        ticket.role = role

    def _set_parent(self, ticket: Played, key: str) -> None:
        """Below the ticket of that scene which is open then, else below a new one; it has caused this one."""
        parent, at = self._known.get(key), ticket.clock
        if parent is None or parent.opened >= at or (parent.ended is not None and parent.ended <= at):
            parent = self._play(self._by_key[key], ticket.clock, ticket, below=False)
        name = parent.name
        self._pass(ticket, 0.1)
        self._do(ticket, self._holder(ticket), lambda ids: SetParent(ticket=ids[ticket.name], parent=ids[name]))
        self._do(
            ticket,
            self._holder(ticket),
            lambda ids: LinkTickets(ticket=ids[ticket.name], kind=LinkKind.CAUSED_BY, other=ids[name]),
        )

    def _await(self, ticket: Played) -> bool:
        ended = [at for at in ticket.children if at is not None]
        if len(ended) < len(ticket.children):
            return False
        ticket.clock = max([ticket.clock, *ended])
        self._pass(ticket, HOURS["await"])
        return True

    def _cancel(self, ticket: Played) -> None:
        statuses = self._workflow(ticket).statuses
        cancelled = next(status.key for status in statuses if status.category is StatusCategory.CANCELLED)
        if not self._category(ticket).closed:
            self._pass(ticket, 8)
            reason = self._random.choice(self._scenes.cancelled["ru" if ticket.russian else "en"])
            self._move(ticket, cancelled, reason)

    def _reopen(self, ticket: Played) -> None:
        """Some come back a day later, and are closed again."""
        support = self._workflow(ticket).key == "support"
        if not support or not ticket.requester or ticket.scene.sure or self._random.random() > REOPENED:
            return
        again, answer = self._random.choice(self._scenes.said_again["ru" if ticket.russian else "en"])
        self._pass(ticket, 24)
        for line in (f"client: {again}", "to in_progress", f"staff: {answer}", "to done"):
            self._act(ticket, line)

    # ---- what all acts need

    def _do(
        self,
        ticket: Played,
        actor: str,
        command: Callable[[Ids], Command],
        *,
        channel: str = "api",
        reason: str | None = None,
    ) -> None:
        self._steps.append(Step(at=ticket.clock, actor=actor, command=command, channel=channel, reason=reason))

    def _holder(self, ticket: Played) -> str:
        return ticket.assignee or self._teams[ticket.team][0]

    def _workflow(self, ticket: Played) -> Workflow:
        return self._workflows.for_role(ticket.role)

    def _category(self, ticket: Played) -> StatusCategory:
        return self._workflow(ticket).status(ticket.status).category

    def _wording(self, text: str, russian: bool) -> str:
        """One of the wordings, in the ticket's language where there is one."""
        wordings = text.split(" | ")
        fitting = [wording for wording in wordings if _is_russian(wording) == russian]
        return self._random.choice(fitting or wordings)

    def _fill(self, ticket: Played, text: str) -> str:
        return text.format(company=ticket.company.name, site=ticket.company.site, n=ticket.number)


def _way(actor: str, channel: str) -> str:
    """By which way the command came: staff type into Proteus what they were told on the phone."""
    return channel if actor == SYSTEM or channel in WRITTEN else "api"


def _is_russian(text: str) -> bool:
    return re.search("[А-Яа-я]", text) is not None


def _default_workflows(at: datetime) -> Workflows:
    state = Workflows()
    for command in defaults().commands():
        for event in define(state, command):
            state = evolve(state, event, at)
    return state
