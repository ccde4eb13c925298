"""Roles and workflows as data: the defaults are sound, definitions are checked and versioned."""

from typing import Any

import msgspec
import pytest

from domain import workflows
from domain.errors import InUse, InvalidValue, RoleNotFound, StatusNotFound, WorkflowNotFound
from domain.workflow_preview import StatusDifference, preview
from domain.workflows import (
    ANY,
    COLORS,
    DefineRole,
    DefineWorkflow,
    RetireRole,
    RetireWorkflow,
    Role,
    RoleDefined,
    RoleRetired,
    Standing,
    Status,
    StatusCategory,
    StatusesMapped,
    Transition,
    Workflow,
    WorkflowDefined,
    WorkflowRetired,
)
from tests.domain.given import WORKFLOWS, catalogue, counting, some_workflows

ROLES = {
    "INQUIRY",
    "LEAD",
    "DEAL",
    "INCIDENT",
    "PROBLEM",
    "ALERT",
    "SERVICE_REQUEST",
    "CHANGE_REQUEST",
    "PROCESS",
    "PROJECT",
    "EPIC",
    "MILESTONE",
    "TASK",
    "BUG",
    "DOCUMENT",
}

DEFAULTS = {workflow.key: workflow for (workflow, *_) in WORKFLOWS.versions.values()}

SIMPLE = Workflow(
    key="simple",
    name="Simple",
    initial="open",
    statuses=(
        Status(key="open", name="Open", category=StatusCategory.NEW, color="#112233"),
        Status(key="closed", name="Closed", category=StatusCategory.DONE, color="#445566"),
    ),
    transitions=(
        Transition(source="open", target="closed"),
        Transition(source="closed", target="open", requires=("reason",)),
    ),
)
SIMPLE_DEFINED = WorkflowDefined(workflow=SIMPLE)


def changed(**changes: Any) -> Workflow:
    return msgspec.structs.replace(SIMPLE, **changes)


# ---- the defaults


def test_every_role_has_a_workflow() -> None:
    assert set(WORKFLOWS.roles) == ROLES
    for key in ROLES:
        assert WORKFLOWS.for_role(key).version == 1


def test_support_is_new_in_progress_waiting_for_reply_on_approval_done() -> None:
    names = [status.name for status in WORKFLOWS.for_role("INCIDENT").statuses]
    assert names[:5] == ["New", "In progress", "Waiting for reply", "On approval", "Done"]


@pytest.mark.parametrize("workflow", DEFAULTS.values(), ids=DEFAULTS)
def test_a_default_workflow_starts_new_and_every_status_can_be_reached_from_there(workflow: Workflow) -> None:
    assert workflow.status(workflow.initial).category is StatusCategory.NEW
    assert reachable(workflow, workflow.initial) == {status.key for status in workflow.statuses}


@pytest.mark.parametrize("workflow", DEFAULTS.values(), ids=DEFAULTS)
def test_from_every_status_of_a_default_workflow_a_ticket_can_be_done_and_be_cancelled(
    workflow: Workflow,
) -> None:
    done, cancelled = (
        {status.key for status in workflow.statuses if status.category is category}
        for category in (StatusCategory.DONE, StatusCategory.CANCELLED)
    )
    for status in workflow.statuses:
        there = reachable(workflow, status.key)
        assert there & done
        assert there & cancelled


@pytest.mark.parametrize("workflow", DEFAULTS.values(), ids=DEFAULTS)
def test_a_closed_status_of_a_default_workflow_can_be_left_for_an_open_one_at_once(
    workflow: Workflow,
) -> None:
    for status in workflow.statuses:
        if status.category.closed:
            ways = workflow.transitions_from(status.key)
            assert any(not workflow.status(way.target).category.closed for way in ways)


@pytest.mark.parametrize("workflow", DEFAULTS.values(), ids=DEFAULTS)
def test_role_changes_land_in_an_open_status_of_a_default_workflow(workflow: Workflow) -> None:
    for category in StatusCategory:
        assert not workflow.landing_status(category).category.closed


@pytest.mark.parametrize("workflow", DEFAULTS.values(), ids=DEFAULTS)
def test_cancelling_asks_for_a_reason_in_every_default_workflow(workflow: Workflow) -> None:
    cancelled = {status.key for status in workflow.statuses if status.category is StatusCategory.CANCELLED}
    ways = [way for way in workflow.transitions if way.target in cancelled]
    assert ways
    assert all("reason" in way.requires for way in ways)


@pytest.mark.parametrize("workflow", DEFAULTS.values(), ids=DEFAULTS)
def test_a_default_workflow_names_no_transition_twice_and_no_field_that_does_not_exist(
    workflow: Workflow,
) -> None:
    ways = [(way.source, way.target) for way in workflow.transitions]
    assert len(set(ways)) == len(ways)
    required = {name for way in workflow.transitions for name in way.requires}
    assert required <= {"assignee", "reason"}


def test_defining_the_defaults_again_changes_nothing() -> None:
    for command in workflows.defaults().commands():
        assert workflows.decide(WORKFLOWS, command) == []


def reachable(workflow: Workflow, start: str) -> set[str]:
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        status = ahead.pop()
        if status not in seen:
            seen.add(status)
            ahead += [way.target for way in workflow.transitions_from(status)]
    return seen


# ---- defining workflows


def test_a_workflow_is_defined_as_version_1_whatever_its_author_says() -> None:
    catalogue.when(DefineWorkflow(workflow=changed(version=7))).then(SIMPLE_DEFINED)


def test_the_same_definition_again_changes_nothing() -> None:
    catalogue.given(SIMPLE_DEFINED).when(DefineWorkflow(workflow=changed(name=" Simple "))).nothing()


def test_a_changed_definition_becomes_the_next_version_and_the_old_one_stays() -> None:
    outcome = catalogue.given(SIMPLE_DEFINED).when(DefineWorkflow(workflow=changed(name="Simpler")))
    outcome.then(WorkflowDefined(workflow=changed(name="Simpler", version=2)))
    assert outcome.after is not None
    assert outcome.after.version("simple", 1).name == "Simple"
    assert outcome.after.newest("simple").name == "Simpler"


def test_going_back_to_an_older_definition_is_a_new_version_too() -> None:
    second = WorkflowDefined(workflow=changed(name="Simpler", version=2))
    catalogue.given(SIMPLE_DEFINED, second).when(DefineWorkflow(workflow=SIMPLE)).then(
        WorkflowDefined(workflow=changed(version=3))
    )


def test_a_status_without_a_color_takes_its_categorys() -> None:
    statuses = tuple(msgspec.structs.replace(status, color="") for status in SIMPLE.statuses)
    (event,) = catalogue.when(DefineWorkflow(workflow=changed(statuses=statuses))).events
    assert isinstance(event, WorkflowDefined)
    assert [status.color for status in event.workflow.statuses] == [
        COLORS[StatusCategory.NEW],
        COLORS[StatusCategory.DONE],
    ]


def status(key: str = "open", name: str = "Open", color: str = "") -> Status:
    return Status(key=key, name=name, category=StatusCategory.NEW, color=color)


@pytest.mark.parametrize(
    ("workflow", "field"),
    [
        pytest.param(changed(key="two words"), "key", id="its key is not plain"),
        pytest.param(changed(name=" "), "name", id="it has no name"),
        pytest.param(changed(statuses=()), "statuses", id="it has no status"),
        pytest.param(changed(statuses=(*SIMPLE.statuses, status())), "statuses", id="a status comes twice"),
        pytest.param(changed(statuses=(status(key=ANY),)), "statuses", id="a status is called *"),
        pytest.param(changed(statuses=(status(name=""),)), "statuses", id="a status has no name"),
        pytest.param(changed(statuses=(status(color="red"),)), "statuses", id="a color is none"),
        pytest.param(changed(initial="start"), "transitions", id="the initial status does not exist"),
        pytest.param(changed(initial="closed"), "initial", id="tickets would start closed"),
        pytest.param(changed(landing={StatusCategory.ACTIVE: "work"}), "transitions", id="a landing does not exist"),
        pytest.param(
            changed(transitions=(*SIMPLE.transitions, Transition(source="open", target="gone"))),
            "transitions",
            id="a target does not exist",
        ),
        pytest.param(
            changed(transitions=(*SIMPLE.transitions, Transition(source="gone", target="open"))),
            "transitions",
            id="a source does not exist",
        ),
        pytest.param(
            changed(transitions=(*SIMPLE.transitions, Transition(source="open", target=ANY))),
            "transitions",
            id="a target is *",
        ),
        pytest.param(changed(transitions=SIMPLE.transitions[1:]), "transitions", id="no way leads to a status"),
        pytest.param(
            changed(transitions=(Transition(source=ANY, target="closed", requires=("",)),)),
            "transitions",
            id="it requires a field without a name",
        ),
    ],
)
def test_a_workflow_is_refused_if(workflow: Workflow, field: str) -> None:
    catalogue.given(SIMPLE_DEFINED).when(DefineWorkflow(workflow=workflow)).refused(InvalidValue, field)


def test_a_status_that_only_role_changes_land_in_counts_as_reached() -> None:
    workflow = changed(transitions=SIMPLE.transitions[1:], landing={StatusCategory.DONE: "closed"})
    catalogue.when(DefineWorkflow(workflow=workflow)).then(WorkflowDefined(workflow=workflow))


# ---- defining roles


def test_a_workspace_adds_a_role_of_its_own() -> None:
    role = Role(key="CLAIM", name="Claim", workflow="simple", requires=("requester",))
    dirty = msgspec.structs.replace(role, name=" Claim\n")
    catalogue.given(SIMPLE_DEFINED).when(DefineRole(role=dirty)).then(RoleDefined(role=role))
    catalogue.given(SIMPLE_DEFINED, RoleDefined(role=role)).when(DefineRole(role=dirty)).nothing()


@pytest.mark.parametrize(
    ("role", "field"),
    [
        pytest.param(Role(key="A B", name="Claim", workflow="simple"), "key", id="its key is not plain"),
        pytest.param(Role(key="CLAIM", name="", workflow="simple"), "name", id="it has no name"),
        pytest.param(Role(key="CLAIM", name="Claim", workflow="?"), "workflow", id="its workflow is unknown"),
        pytest.param(
            Role(key="CLAIM", name="Claim", workflow="simple", requires=("reason",)),
            "requires",
            id="it requires a reason",
        ),
    ],
)
def test_a_role_is_refused_if(role: Role, field: str) -> None:
    catalogue.given(SIMPLE_DEFINED).when(DefineRole(role=role)).refused(InvalidValue, field)


# ---- asking


def test_an_exact_source_wins_over_any_wherever_it_stands() -> None:
    exact = Transition(source="open", target="closed", requires=("assignee",))
    general = Transition(source=ANY, target="closed", requires=("reason",))
    for transitions in ((exact, general), (general, exact)):
        workflow = changed(transitions=transitions)
        assert workflow.transition("open", "closed") is exact
        assert workflow.transition("elsewhere", "closed") is general
        assert workflow.transition("closed", "closed") is None
        assert list(workflow.transitions_from("open")) == [exact]


def test_a_role_change_lands_by_the_category_left_behind_or_at_the_start() -> None:
    support = WORKFLOWS.newest("support")
    assert support.landing_status(StatusCategory.REVIEW).key == "approval"
    assert support.landing_status(StatusCategory.DONE).key == "new"


def test_an_unknown_role_or_status_is_refused_in_words_that_can_be_sent() -> None:
    for name in ("WISH", "\ud800", "x" * 1_000_000):
        with pytest.raises(RoleNotFound, match="Known roles: ALERT, BUG") as no_role:
            WORKFLOWS.for_role(name)
        with pytest.raises(StatusNotFound, match="It has: new, in_progress") as no_status:
            WORKFLOWS.newest("support").status(name)
        for refusal in (no_role.value, no_status.value):
            assert len(refusal.message.encode()) < 1000


def test_a_workflow_knows_its_roles() -> None:
    assert [role.key for role in WORKFLOWS.roles_of("task")] == ["TASK", "BUG"]


# ---- files of definitions


def test_a_status_is_added_to_a_default_workflow_by_defining_it_anew() -> None:
    support = WORKFLOWS.newest("support")
    testing = Status(key="testing", name="Testing", category=StatusCategory.REVIEW)
    more = msgspec.structs.replace(
        support,
        statuses=(*support.statuses, testing),
        transitions=(*support.transitions, Transition(source="in_progress", target="testing")),
    )
    state = some_workflows(DefineWorkflow(workflow=more))
    assert state.newest("support").version == 2
    assert state.newest("support").transition("in_progress", "testing")
    assert not state.version("support", 1).has("testing")


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("[[roles]", "line 1"),
        ('[[roles]]\nkey = "A"\nname = "A"', "workflow"),
        ('[[roles]]\nkey = "A"\nname = "A"\nworkflow = "w"\nrequries = ["team"]', "requries"),
        ('[[workflow]]\nkey = "A"', "workflow"),
        (
            '[[workflows]]\nkey = "w"\nstatuses = [{ key = "a", name = "A", category = "OPEN" }]',
            "OPEN",
        ),
    ],
)
def test_a_file_that_cannot_be_read_or_is_misspelled_is_refused_with_the_place(source: str, place: str) -> None:
    with pytest.raises(InvalidValue, match=place):
        workflows.read_definitions(source)


# ---- taking something away

WIDE = changed(
    statuses=(*SIMPLE.statuses, Status(key="review", name="Review", category=StatusCategory.REVIEW, color="#123456")),
    transitions=(*SIMPLE.transitions, Transition(source="open", target="review")),
)
NARROW_DEFINED = WorkflowDefined(workflow=changed(version=2))


def standing(status: str, tickets: int, *, closed: bool = False) -> Standing:
    return Standing(role="VISIT", workflow="simple", status=status, closed=closed, tickets=tickets)


IN_REVIEW = counting(standing("open", 7), standing("review", 3)).given(WorkflowDefined(workflow=WIDE))


def test_a_definition_that_would_leave_tickets_behind_is_refused_with_their_number() -> None:
    outcome = IN_REVIEW.when(DefineWorkflow(workflow=SIMPLE))
    outcome.refused(InUse, "statuses")
    assert "3 tickets (3 in 'review')" in str(outcome.refusal)
    catalogue.given(WorkflowDefined(workflow=WIDE)).when(DefineWorkflow(workflow=SIMPLE)).then(NARROW_DEFINED)


def test_a_status_goes_when_another_stands_for_it() -> None:
    outcome = IN_REVIEW.when(DefineWorkflow(workflow=SIMPLE, mapping={"review": "open"}))
    outcome.then(NARROW_DEFINED, StatusesMapped(workflow="simple", mapping={"review": "open"}))
    assert outcome.after is not None
    assert outcome.after.judging("simple", 1, "review") == (NARROW_DEFINED.workflow, "open")
    assert outcome.after.judging("simple", 1, "open") == (NARROW_DEFINED.workflow, "open")


def test_what_stood_for_a_status_may_go_in_turn_and_what_comes_back_stands_for_itself() -> None:
    both = IN_REVIEW.given(NARROW_DEFINED, StatusesMapped(workflow="simple", mapping={"review": "open"}))
    renamed = changed(
        initial="todo",
        statuses=(msgspec.structs.replace(SIMPLE.statuses[0], key="todo"), SIMPLE.statuses[1]),
        transitions=(Transition(source="todo", target="closed"),),
    )
    both.when(DefineWorkflow(workflow=renamed)).refused(InUse, "statuses")
    gone = both.when(DefineWorkflow(workflow=renamed, mapping={"open": "todo"}))
    assert gone.events[1] == StatusesMapped(workflow="simple", mapping={"open": "todo", "review": "todo"})
    back = both.when(DefineWorkflow(workflow=WIDE))
    assert back.events[1] == StatusesMapped(workflow="simple", mapping={})


@pytest.mark.parametrize("mapping", [{"open": "closed"}, {"never": "open"}, {"review": "never"}])
def test_a_mapping_goes_from_a_status_that_is_gone_to_one_that_is_there(mapping: dict[str, str]) -> None:
    IN_REVIEW.when(DefineWorkflow(workflow=SIMPLE, mapping=mapping)).refused(InvalidValue, "mapping")


def test_a_role_is_retired_when_no_open_ticket_has_it() -> None:
    role = RoleDefined(role=Role(key="VISIT", name="Visit", workflow="simple"))
    defined = counting(standing("open", 2), standing("closed", 9, closed=True)).given(SIMPLE_DEFINED, role)
    defined.when(RetireRole(role="VISIT")).refused(InUse, "role")
    idle = counting(standing("closed", 9, closed=True)).given(SIMPLE_DEFINED, role)
    idle.when(RetireRole(role="VISIT")).then(RoleRetired(role="VISIT"))
    retired = idle.given(RoleRetired(role="VISIT"))
    retired.when(RetireRole(role="VISIT")).nothing()
    retired.when(DefineRole(role=role.role)).then(role)
    idle.when(RetireRole(role="NOBODY")).refused(RoleNotFound, "role")
    assert retired.state is not None
    with pytest.raises(RoleNotFound):
        retired.state.role("VISIT")


def test_a_workflow_is_retired_when_no_role_and_no_open_ticket_is_left_in_it() -> None:
    role = RoleDefined(role=Role(key="VISIT", name="Visit", workflow="simple"))
    catalogue.given(SIMPLE_DEFINED, role).when(RetireWorkflow(workflow="simple")).refused(InUse, "workflow")
    counting(standing("open", 1)).given(SIMPLE_DEFINED).when(RetireWorkflow(workflow="simple")).refused(
        InUse, "workflow"
    )
    idle = catalogue.given(SIMPLE_DEFINED, role, RoleRetired(role="VISIT"))
    idle.when(RetireWorkflow(workflow="simple")).then(WorkflowRetired(workflow="simple"))
    retired = idle.given(WorkflowRetired(workflow="simple"))
    retired.when(RetireWorkflow(workflow="simple")).nothing()
    retired.when(DefineRole(role=role.role)).refused(InvalidValue, "workflow")
    retired.when(DefineWorkflow(workflow=SIMPLE)).then(WorkflowDefined(workflow=changed(version=2)))
    idle.when(RetireWorkflow(workflow="none")).refused(WorkflowNotFound, "workflow")


def test_a_preview_says_what_a_new_version_would_change() -> None:
    recategorised = msgspec.structs.replace(SIMPLE.statuses[1], category=StatusCategory.CANCELLED)
    waiting = Status(key="waiting", name="Waiting", category=StatusCategory.WAITING)
    wanted = changed(
        statuses=(msgspec.structs.replace(SIMPLE.statuses[0], name="To do"), recategorised, waiting),
        transitions=(SIMPLE.transitions[0], Transition(source="open", target="waiting")),
    )
    assert IN_REVIEW.state is not None
    census = [standing("open", 7), standing("review", 3)]
    shown = preview(IN_REVIEW.state, DefineWorkflow(workflow=wanted), census)
    assert (shown.version, shown.changes) == (2, True)
    assert [(one.key, one.difference, one.tickets, one.left_behind) for one in shown.statuses] == [
        ("open", StatusDifference.RENAMED, 7, False),
        ("closed", StatusDifference.RECATEGORISED, 0, False),
        ("waiting", StatusDifference.ADDED, 0, False),
        ("review", StatusDifference.REMOVED, 3, True),
    ]
    assert [way.target for way in shown.added_transitions] == ["waiting"]
    assert [way.target for way in shown.removed_transitions] == ["open", "review"]
    mapped = preview(IN_REVIEW.state, DefineWorkflow(workflow=wanted, mapping={"review": "open"}), census)
    assert (mapped.statuses[3].moves_to, mapped.statuses[3].left_behind) == ("open", False)
    same = preview(IN_REVIEW.state, DefineWorkflow(workflow=WIDE), census)
    assert (same.version, same.changes) == (1, False)
