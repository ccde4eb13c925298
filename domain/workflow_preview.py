"""What a new version of a workflow would change, said before it is defined."""

from enum import StrEnum

import msgspec

from domain.workflow_state import Census, Status, StatusCategory, Transition, Workflow, Workflows
from domain.workflows import DefineWorkflow, left_behind, mapped_statuses, next_version


class StatusDifference(StrEnum):
    """KEPT: only its place or color may differ."""

    ADDED = "ADDED"
    REMOVED = "REMOVED"
    RENAMED = "RENAMED"
    RECATEGORISED = "RECATEGORISED"
    KEPT = "KEPT"


class StatusPreview(msgspec.Struct, frozen=True, kw_only=True):
    """`name` and `category`: as they would be; of a status that goes, as they are. `moves_to`: the status that would
    stand for it. `left_behind`: tickets stand there, and nothing would: the definition is refused."""

    key: str
    name: str
    category: StatusCategory
    former_name: str | None
    former_category: StatusCategory | None
    difference: StatusDifference
    tickets: int
    moves_to: str | None
    left_behind: bool


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """`version`: the number that it would get, or has where nothing changes."""

    version: int
    changes: bool
    statuses: list[StatusPreview]
    added_transitions: list[Transition]
    removed_transitions: list[Transition]


def preview(state: Workflows, command: DefineWorkflow, census: Census) -> Preview:
    """Raises InvalidValue."""
    after = next_version(state, command.workflow)
    versions = state.versions.get(after.key, ())
    before = versions[-1] if versions else None
    mapping = mapped_statuses(state, after, command.mapping)
    changes = before is None or after != msgspec.structs.replace(before, version=after.version)
    remapped = mapping != state.mapped.get(after.key, {})
    known = frozenset(before.transitions if before else ())
    wanted = frozenset(after.transitions)
    return Preview(
        version=after.version if changes or before is None else before.version,
        changes=changes or remapped,
        statuses=_statuses(before, after, mapping, census, versions),
        added_transitions=[way for way in after.transitions if way not in known],
        removed_transitions=[way for way in (before.transitions if before else ()) if way not in wanted],
    )


def _statuses(
    before: Workflow | None,
    after: Workflow,
    mapping: dict[str, str],
    census: Census,
    versions: tuple[Workflow, ...],
) -> list[StatusPreview]:
    """Those of the new version in its order, then those that it lacks and tickets stand in, or that it takes away."""
    standing: dict[str, int] = {}
    for one in census:
        if one.workflow == after.key:
            standing[one.status] = standing.get(one.status, 0) + one.tickets
    behind = left_behind(after, mapping, census)
    former = {status.key: status for version in versions for status in version.statuses}
    gone = [
        status
        for key, status in former.items()
        if not after.has(key) and (key in standing or (before is not None and before.has(key)))
    ]
    return [
        StatusPreview(
            key=status.key,
            name=status.name,
            category=status.category,
            former_name=former[status.key].name if status.key in former else None,
            former_category=former[status.key].category if status.key in former else None,
            difference=_difference(former.get(status.key), status, removed=not after.has(status.key)),
            tickets=standing.get(status.key, 0),
            moves_to=mapping.get(status.key),
            left_behind=status.key in behind,
        )
        for status in (*after.statuses, *gone)
    ]


def _difference(before: Status | None, after: Status, *, removed: bool) -> StatusDifference:
    if removed:
        return StatusDifference.REMOVED
    if before is None:
        return StatusDifference.ADDED
    if before.category is not after.category:
        return StatusDifference.RECATEGORISED
    return StatusDifference.RENAMED if before.name != after.name else StatusDifference.KEPT
