"""The client of a C2SP tlog-witness: sends it a checkpoint with the proof that it extends the last one that it saw, and
keeps the cosignatures that it returns."""

import urllib.error
import urllib.request
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from application.audit import proofs
from application.audit.proofs import NoProof
from application.audit.verifying import Checkpoint, Key, NotProven
from application.event_store.database import Connection, Database, Role

SECONDS = 15.0
"""How long a witness may take."""
LONGEST_ANSWER = 100_000
SIZE_TYPE = "text/x.tlog.size"


class WitnessRefused(Exception):
    """The message says what the witness said."""


class Answer(msgspec.Struct, frozen=True):
    status: int
    kind: str
    text: str


def cosigned(database: Database, connection: Connection, workspace: UUID, url: str, witness: Key) -> Checkpoint:
    """The newest checkpoint, with what the witness has signed of it added to the one that is kept. `connection`: to
    read the workspace's log. Raises NoProof, WitnessRefused, NotProven."""
    newest = proofs.newest(connection, workspace)
    if newest is None:
        raise NoProof("Nothing is signed yet: ask again in a few seconds, while `proteus serve` runs.")
    checkpoint = Checkpoint.parse(newest.note)
    if checkpoint.signed_by(witness) is not None:
        return checkpoint
    answer = _submit(connection, workspace, url, _last_seen(connection, workspace, witness), checkpoint)
    if answer.status == 409 and answer.kind.startswith(SIZE_TYPE):
        answer = _submit(connection, workspace, url, _size(answer, checkpoint), checkpoint)
    if answer.status != 200:
        raise WitnessRefused(_refusal(answer))
    cosigned_ = Checkpoint.parse(checkpoint.note + _line_of(witness, answer))
    if cosigned_.signed_by(witness) is None:
        raise NotProven("The witness returned no signature of its key.")
    with database.connect(Role.PROJECTOR) as writing:
        kept = writing.execute(
            "update audit_checkpoint set note = note || %s where workspace = %s and size = %s and note = %s",
            (cosigned_.note.removeprefix(checkpoint.note), workspace, checkpoint.size, checkpoint.note),
        ).rowcount
    if not kept:
        raise WitnessRefused("Somebody else has added to this checkpoint meanwhile: ask the witness again.")
    return cosigned_


def _last_seen(connection: Connection, workspace: UUID, witness: Key) -> int:
    """The size of the newest tree that it has cosigned, as far as is kept here."""
    row = connection.execute(
        "select max(size) from audit_checkpoint where workspace = %s and position(%s in note) > 0",
        (workspace, f"\n— {witness.name} "),
    ).fetchone()
    return (row[0] if row else None) or 0


def _submit(connection: Connection, workspace: UUID, url: str, old: int, checkpoint: Checkpoint) -> Answer:
    """Raises WitnessRefused."""
    body = proofs.extension(connection, workspace, old, checkpoint)
    address = f"{url.rstrip('/')}/add-checkpoint"
    if urlsplit(address).scheme not in ("http", "https"):
        raise WitnessRefused(f"{url} is no address of a witness: it begins with https://.")
    request = urllib.request.Request(address, data=body.encode(), method="POST")  # noqa: S310 checked above
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:  # noqa: S310
            return _answer(response.status, response)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error)
    except OSError as error:
        raise WitnessRefused(f"The witness {url} does not answer: {getattr(error, 'reason', error)}.") from None


def _answer(status: int, response: "urllib.error.HTTPError") -> Answer:
    text = response.read(LONGEST_ANSWER).decode(errors="replace")
    return Answer(status, response.headers.get("Content-Type", ""), text)


def _size(answer: Answer, checkpoint: Checkpoint) -> int:
    """Raises WitnessRefused."""
    said = answer.text.strip()
    if not (said.isascii() and said.isdigit() and len(said) < 19):
        raise WitnessRefused("The witness said that it knows another tree, and not of which size.")
    if int(said) > checkpoint.size:
        raise WitnessRefused(
            f"The witness has cosigned a tree of {said} events, and the log has signed {checkpoint.size}: the log was"
            " cut, or another has its name."
        )
    return int(said)


def _line_of(witness: Key, answer: Answer) -> str:
    lines = [line for line in answer.text.splitlines() if line.startswith(f"— {witness.name} ")]
    return "".join(f"{line}\n" for line in lines)


def _refusal(answer: Answer) -> str:
    known = {
        400: "it could not read the request",
        403: "it does not trust the log's key",
        404: "it does not know this log",
        409: "it has seen another tree of this size: the log was rewritten, or somebody signs with its key",
        422: "the tree does not extend the one that it has seen: the log was rewritten",
    }
    words = answer.text.strip().partition("\n")[0][:200]
    said = f" It says: {words}" if words else ""
    return f"The witness refused with {answer.status}: {known.get(answer.status, 'it does not say why')}.{said}"
