"""Refusals: facts that a person can mend. Each names a stable code, the input field it is about, a remedy."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID


class ErrorCode(StrEnum):
    """Stable codes of `userErrors`; clients branch on them, so none is ever renamed."""

    TICKET_NOT_FOUND = "TICKET_NOT_FOUND"
    PERSON_NOT_FOUND = "PERSON_NOT_FOUND"
    PERSON_ERASED = "PERSON_ERASED"
    TEAM_NOT_FOUND = "TEAM_NOT_FOUND"
    SERVICE_NOT_FOUND = "SERVICE_NOT_FOUND"
    ROLE_NOT_FOUND = "ROLE_NOT_FOUND"
    STATUS_NOT_FOUND = "STATUS_NOT_FOUND"
    COMMENT_NOT_FOUND = "COMMENT_NOT_FOUND"
    COMMENT_WITHDRAWN = "COMMENT_WITHDRAWN"
    WORKFLOW_NOT_FOUND = "WORKFLOW_NOT_FOUND"
    FIELD_NOT_FOUND = "FIELD_NOT_FOUND"
    VIEW_NOT_FOUND = "VIEW_NOT_FOUND"
    WEBHOOK_NOT_FOUND = "WEBHOOK_NOT_FOUND"
    UPLOAD_NOT_FOUND = "UPLOAD_NOT_FOUND"
    ATTACHMENT_NOT_FOUND = "ATTACHMENT_NOT_FOUND"
    WORK_NOT_FOUND = "WORK_NOT_FOUND"
    CLIENT_NOT_FOUND = "CLIENT_NOT_FOUND"
    CONTRACT_NOT_FOUND = "CONTRACT_NOT_FOUND"
    TERMS_OVERLAP = "TERMS_OVERLAP"
    PERIOD_CLOSED = "PERIOD_CLOSED"
    CONTRACT_EXHAUSTED = "CONTRACT_EXHAUSTED"
    STATEMENT_NOT_FOUND = "STATEMENT_NOT_FOUND"
    HOUR_PACKAGE_NOT_FOUND = "HOUR_PACKAGE_NOT_FOUND"
    DOCUMENT_NOT_FOUND = "DOCUMENT_NOT_FOUND"
    DOCUMENT_CANCELLED = "DOCUMENT_CANCELLED"
    ALREADY_INVOICED = "ALREADY_INVOICED"
    PAYMENT_NOT_FOUND = "PAYMENT_NOT_FOUND"
    ESTIMATE_NOT_FOUND = "ESTIMATE_NOT_FOUND"
    ESTIMATE_OPEN = "ESTIMATE_OPEN"
    ESTIMATE_SETTLED = "ESTIMATE_SETTLED"
    ESTIMATE_EXPIRED = "ESTIMATE_EXPIRED"
    QUESTION_NOT_FOUND = "QUESTION_NOT_FOUND"
    TIMER_RUNS = "TIMER_RUNS"
    TIMER_NOT_RUNNING = "TIMER_NOT_RUNNING"
    REPOSITORY_NOT_FOUND = "REPOSITORY_NOT_FOUND"
    FORBIDDEN = "FORBIDDEN"
    CONFLICT = "CONFLICT"
    COMMAND_ID_REUSED = "COMMAND_ID_REUSED"
    TRANSITION_NOT_ALLOWED = "TRANSITION_NOT_ALLOWED"
    TICKET_CLOSED = "TICKET_CLOSED"
    TICKET_OPEN = "TICKET_OPEN"
    TICKET_MERGED = "TICKET_MERGED"
    FIELD_REQUIRED = "FIELD_REQUIRED"
    REASON_REQUIRED = "REASON_REQUIRED"
    INVALID_VALUE = "INVALID_VALUE"
    KEY_TAKEN = "KEY_TAKEN"
    IN_USE = "IN_USE"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    FILE_TYPE_REFUSED = "FILE_TYPE_REFUSED"
    LIMIT_REACHED = "LIMIT_REACHED"
    WEBHOOK_DISABLED = "WEBHOOK_DISABLED"
    WIP_LIMIT_REACHED = "WIP_LIMIT_REACHED"
    PARENT_CYCLE = "PARENT_CYCLE"
    LINK_CYCLE = "LINK_CYCLE"
    OCCURRED_BEFORE_LAST = "OCCURRED_BEFORE_LAST"
    OCCURRED_IN_FUTURE = "OCCURRED_IN_FUTURE"


class Refused(Exception):
    """A command was refused; nothing was written. `field`: the path into the input, in the API's names."""

    code: ErrorCode = ErrorCode.INVALID_VALUE

    def __init__(self, message: str, field: tuple[str, ...] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field

    @property
    def each(self) -> "Sequence[Refused]":
        """What is to be mended, one by one."""
        return (self,)


class TicketNotFound(Refused):
    code = ErrorCode.TICKET_NOT_FOUND

    def __init__(self, ticket: UUID, field: str = "ticket") -> None:
        super().__init__(f"There is no ticket {ticket} here.", (field,))


class PersonNotFound(Refused):
    code = ErrorCode.PERSON_NOT_FOUND

    def __init__(self, person: UUID, field: str) -> None:
        super().__init__(f"There is no active person {person} here.", (field,))


class PersonErased(Refused):
    code = ErrorCode.PERSON_ERASED

    def __init__(self, person: UUID) -> None:
        super().__init__(f"The data of person {person} was erased.", ("person",))


class TeamNotFound(Refused):
    code = ErrorCode.TEAM_NOT_FOUND

    def __init__(self, team: UUID, field: str = "team") -> None:
        super().__init__(f"There is no team {team} here.", (field,))


class ServiceNotFound(Refused):
    code = ErrorCode.SERVICE_NOT_FOUND

    def __init__(self, service: UUID, field: str = "service") -> None:
        super().__init__(f"There is no service {service} here.", (field,))


class RoleNotFound(Refused):
    code = ErrorCode.ROLE_NOT_FOUND

    def __init__(self, role: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no role {role[:80]!r}. Known roles: {', '.join(sorted(known))}.", ("role",))


class StatusNotFound(Refused):
    code = ErrorCode.STATUS_NOT_FOUND

    def __init__(self, status: str, workflow: str, known: Iterable[str]) -> None:
        super().__init__(
            f"Workflow {workflow!r} has no status {status[:80]!r}. It has: {', '.join(known)}.", ("status",)
        )


class WorkflowNotFound(Refused):
    code = ErrorCode.WORKFLOW_NOT_FOUND

    def __init__(self, workflow: str, known: Iterable[str]) -> None:
        super().__init__(
            f"There is no workflow {workflow[:80]!r}. Known workflows: {', '.join(sorted(known))}.", ("workflow",)
        )


class ViewNotFound(Refused):
    code = ErrorCode.VIEW_NOT_FOUND

    def __init__(self, view: UUID) -> None:
        super().__init__(f"There is no view {view} that you could see.", ("view",))


class WebhookNotFound(Refused):
    code = ErrorCode.WEBHOOK_NOT_FOUND

    def __init__(self, webhook: UUID) -> None:
        super().__init__(f"There is no webhook {webhook} here.", ("webhook",))


class TooManyWebhooks(Refused):
    code = ErrorCode.LIMIT_REACHED

    def __init__(self, limit: int) -> None:
        super().__init__(f"A workspace has at most {limit} webhooks. Retire one that nobody needs.")


class WebhookIsDisabled(Refused):
    code = ErrorCode.WEBHOOK_DISABLED

    def __init__(self) -> None:
        super().__init__("This webhook is disabled. Enable it first: it goes on where it stopped.", ("webhook",))


class FieldNotFound(Refused):
    code = ErrorCode.FIELD_NOT_FOUND

    def __init__(self, key: str, known: Iterable[str], field: tuple[str, ...] = ("field",)) -> None:
        super().__init__(f"There is no field {key[:80]!r}. Known fields: {', '.join(sorted(known))}."[:1_000], field)


class CommentNotFound(Refused):
    code = ErrorCode.COMMENT_NOT_FOUND

    def __init__(self, comment: UUID, field: str) -> None:
        super().__init__(f"This ticket has no comment {comment} that you could see.", (field,))


class CommentIsWithdrawn(Refused):
    code = ErrorCode.COMMENT_WITHDRAWN

    def __init__(self) -> None:
        super().__init__("This comment was withdrawn. Write another one.", ("comment",))


class UploadNotFound(Refused):
    code = ErrorCode.UPLOAD_NOT_FOUND

    def __init__(self, upload: UUID) -> None:
        super().__init__(f"You have no upload {upload} here; one is kept for a day, and used once.", ("upload",))


class AttachmentNotFound(Refused):
    code = ErrorCode.ATTACHMENT_NOT_FOUND

    def __init__(self, attachment: UUID) -> None:
        super().__init__(f"This ticket has no attachment {attachment}.", ("attachment",))


class WorkNotFound(Refused):
    code = ErrorCode.WORK_NOT_FOUND

    def __init__(self, entry: UUID) -> None:
        super().__init__(f"There is no work entry {entry} here, or it was reversed.", ("workEntry",))


class ClientNotFound(Refused):
    code = ErrorCode.CLIENT_NOT_FOUND

    def __init__(self, client: UUID) -> None:
        super().__init__(f"There is no client {client} here.", ("client",))


class ContractNotFound(Refused):
    code = ErrorCode.CONTRACT_NOT_FOUND

    def __init__(self, contract: UUID) -> None:
        super().__init__(f"There is no contract {contract} here.", ("contract",))


class TermsOverlap(Refused):
    code = ErrorCode.TERMS_OVERLAP

    def __init__(self, number: int, since: date) -> None:
        super().__init__(
            f"Version {number} of the terms applies from {since} on; the next one applies from a later day.",
            ("appliesFrom",),
        )


class PeriodIsClosed(Refused):
    code = ErrorCode.PERIOD_CLOSED

    def __init__(self, until: date, field: str) -> None:
        super().__init__(
            f"All up to {until} is closed; what is corrected there is told in the next statement.", (field,)
        )


class ContractExhausted(Refused):
    code = ErrorCode.CONTRACT_EXHAUSTED

    def __init__(self, name: str, left: int) -> None:
        super().__init__(
            f"{left // 3_600}:{left % 3_600 // 60:02} hours are left of {name!r}, which takes no more work."
            " Grant hours, or let a manager override it with a reason.",
            ("ticket",),
        )


class StatementNotFound(Refused):
    code = ErrorCode.STATEMENT_NOT_FOUND

    def __init__(self, number: int) -> None:
        super().__init__(f"The contract has no closed statement {number}. Close the period first.", ("statement",))


class PackageNotFound(Refused):
    code = ErrorCode.HOUR_PACKAGE_NOT_FOUND

    def __init__(self, package: UUID) -> None:
        super().__init__(f"The contract has no package of hours {package}.", ("hourPackage",))


class DocumentNotFound(Refused):
    code = ErrorCode.DOCUMENT_NOT_FOUND

    def __init__(self, document: UUID) -> None:
        super().__init__(f"There is no document {document} here.", ("document",))


class DocumentIsCancelled(Refused):
    code = ErrorCode.DOCUMENT_CANCELLED

    def __init__(self) -> None:
        super().__init__("This document is cancelled. Issue another one.", ("document",))


class AlreadyInvoiced(Refused):
    code = ErrorCode.ALREADY_INVOICED

    def __init__(self, field: str) -> None:
        super().__init__("There is such a document of it already. Cancel that one first.", (field,))


class PaymentNotFound(Refused):
    code = ErrorCode.PAYMENT_NOT_FOUND

    def __init__(self, payment: UUID) -> None:
        super().__init__(f"The document has no payment {payment}.", ("payment",))


class EstimateNotFound(Refused):
    code = ErrorCode.ESTIMATE_NOT_FOUND

    def __init__(self, field: str = "ticket") -> None:
        super().__init__(
            "There is no such estimate: it must be requested first, and given before it is decided.", (field,)
        )


class EstimateIsOpen(Refused):
    code = ErrorCode.ESTIMATE_OPEN

    def __init__(self, key: str) -> None:
        super().__init__(
            f"An estimate of {key} is open. Give it, or let the client decide, before another.", ("ticket",)
        )


class EstimateIsSettled(Refused):
    code = ErrorCode.ESTIMATE_SETTLED

    def __init__(self, state: str) -> None:
        super().__init__(f"It was {state.lower()} already. Request another estimate.", ("estimate",))


class EstimateExpired(Refused):
    code = ErrorCode.ESTIMATE_EXPIRED

    def __init__(self, last: date) -> None:
        super().__init__(f"It could be accepted until {last}. Ask for a newer one.", ("estimate",))


class QuestionNotFound(Refused):
    code = ErrorCode.QUESTION_NOT_FOUND

    def __init__(self, question: UUID) -> None:
        super().__init__(f"The open estimate has no question {question}.", ("question",))


class LimitReached(Refused):
    code = ErrorCode.LIMIT_REACHED


class TimerRuns(Refused):
    code = ErrorCode.TIMER_RUNS

    def __init__(self, ticket: UUID | None) -> None:
        super().__init__("Your timer runs on another ticket. Stop it first, or switch it: switchTimer.", ("ticket",))
        self.ticket = ticket


class TimerNotRunning(Refused):
    code = ErrorCode.TIMER_NOT_RUNNING

    def __init__(self) -> None:
        super().__init__("No timer of yours runs. Log the work afterwards: logWork.")


class RepositoryNotFound(Refused):
    code = ErrorCode.REPOSITORY_NOT_FOUND

    def __init__(self, repository: UUID | str) -> None:
        super().__init__(f"There is no repository {str(repository)[:80]} here.", ("repository",))


class FileTooLarge(Refused):
    code = ErrorCode.FILE_TOO_LARGE

    def __init__(self, limit: int) -> None:
        super().__init__(f"The file has more than {limit:,} bytes, which is the limit.")


class FileTypeRefused(Refused):
    code = ErrorCode.FILE_TYPE_REFUSED


class TooManyUploads(Refused):
    code = ErrorCode.LIMIT_REACHED

    def __init__(self, limit: int) -> None:
        super().__init__(f"You have {limit} uploads that are not attached; attach them, or wait a day.")


class TooManyAttachments(Refused):
    code = ErrorCode.LIMIT_REACHED


class TooManyLinks(Refused):
    code = ErrorCode.LIMIT_REACHED

    def __init__(self, key: str, limit: int, field: str = "other") -> None:
        super().__init__(f"{key} has {limit} links, which is the limit.", (field,))


class TooManyBlocked(Refused):
    code = ErrorCode.LIMIT_REACHED

    def __init__(self, limit: int) -> None:
        super().__init__(f"More than {limit:,} tickets wait behind it already, which is the limit.", ("other",))


class Forbidden(Refused):
    code = ErrorCode.FORBIDDEN

    def __init__(self, what: str, field: str | None = None) -> None:
        super().__init__(f"Your token does not allow you to {what}.", (field,) if field else None)


class RatesOnlyAsRequester(Refused):
    code = ErrorCode.FORBIDDEN

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is rated by its requester, or by a manager on behalf of them.", ("ticket",))


class Conflict(Refused):
    code = ErrorCode.CONFLICT

    def __init__(self, expected: int | None, actual: int | None) -> None:
        if expected is None:
            message = "Others changed this at the same moment, five times in a row. Send the command again."
        else:
            message = f"You expected version {expected}, it is at {actual}. Read it again, then decide again."
        super().__init__(message, None if expected is None else ("expectedVersion",))
        self.expected = expected
        self.actual = actual


class CommandIdReused(Refused):
    code = ErrorCode.COMMAND_ID_REUSED

    def __init__(self, command_id: UUID) -> None:
        super().__init__(
            f"Command id {command_id} was used before with another input. Make a new id for a new command.",
            ("commandId",),
        )


class TransitionNotAllowed(Refused):
    code = ErrorCode.TRANSITION_NOT_ALLOWED

    def __init__(self, source: str, target: str, allowed: Iterable[str]) -> None:
        ways = ", ".join(allowed) or "none"
        super().__init__(
            f"The workflow has no way from {source!r} to {target!r}. From here it allows: {ways}.",
            ("status",),
        )


class TicketIsClosed(Refused):
    code = ErrorCode.TICKET_CLOSED

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is closed. Reopen it first: move it to an open status.", ("ticket",))


class TicketIsOpen(Refused):
    code = ErrorCode.TICKET_OPEN

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is open. What came of a ticket is rated once it is closed.", ("ticket",))


class TicketIsMerged(Refused):
    code = ErrorCode.TICKET_MERGED

    def __init__(self, key: str, into: str, field: str = "ticket") -> None:
        super().__init__(f"{key} was merged into {into}: go on there, or unmerge it first.", (field,))


class FieldRequired(Refused):
    code = ErrorCode.FIELD_REQUIRED

    def __init__(self, name: str, why: str, *, custom: bool = False) -> None:
        super().__init__(f"{name} is required {why}.", ("fields", name) if custom else (name,))


class FieldsRequired(Refused):
    """Several at once, each as it would be told alone."""

    code = ErrorCode.FIELD_REQUIRED

    def __init__(self, missing: Sequence[FieldRequired]) -> None:
        super().__init__(" ".join(one.message for one in missing), missing[0].field)
        self._missing = missing

    @property
    def each(self) -> Sequence[Refused]:
        return self._missing


class ReasonRequired(Refused):
    code = ErrorCode.REASON_REQUIRED

    def __init__(self, why: str) -> None:
        super().__init__(f"A reason is required {why}.", ("reason",))


class InvalidValue(Refused):
    code = ErrorCode.INVALID_VALUE


class KeyTaken(Refused):
    code = ErrorCode.KEY_TAKEN

    def __init__(self, what: str, key: str) -> None:
        super().__init__(f"There is a {what} with the key {key!r} already.", ("key",))


class WipLimitReached(Refused):
    code = ErrorCode.WIP_LIMIT_REACHED

    def __init__(self, limit: int, where: str) -> None:
        super().__init__(
            f"{limit} {'ticket is' if limit == 1 else 'tickets are'} in progress {where}: the limit. Finish one first.",
            ("ticket",),
        )


class InUse(Refused):
    """A definition would leave tickets behind; the message says how many, and where."""

    code = ErrorCode.IN_USE


class ParentCycle(Refused):
    code = ErrorCode.PARENT_CYCLE

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} would become its own ancestor.", ("parent",))


class LinkCycle(Refused):
    code = ErrorCode.LINK_CYCLE

    def __init__(self, key: str, field: str = "other") -> None:
        super().__init__(f"{key} would block itself, through others.", (field,))


class OccurredBeforeLast(Refused):
    code = ErrorCode.OCCURRED_BEFORE_LAST

    def __init__(self, at: datetime, last: datetime) -> None:
        super().__init__(
            f"{at.isoformat()} is before the last change, at {last.isoformat()}: "
            "a ticket's own time never runs backwards.",
            ("occurredAt",),
        )


class OccurredInFuture(Refused):
    code = ErrorCode.OCCURRED_IN_FUTURE

    def __init__(self, at: datetime) -> None:
        super().__init__(f"{at.isoformat()} is in the future.", ("occurredAt",))
