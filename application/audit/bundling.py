"""The bundle: one file with all that a ticket's history is, and all that proves it, for who has nothing else of ours.

What is proven are the stored bytes; the keys that open the sealed texts in them go with them, and are proven too.
"""

import base64
import json
import zipfile
from collections.abc import Sequence
from importlib.resources import files
from uuid import UUID

from application.audit import leaves, proofs
from application.event_store.database import Connection, Place, Role
from application.event_store.envelope import POSITION, VERSION, WORKSPACE, Row
from application.event_store.master_keys import MasterKeys

_STATE = 6


def write(
    connection: Connection,
    bundle: zipfile.ZipFile,
    workspace: UUID,
    stream: UUID,
    *,
    keys: Place | None,
) -> list[Row]:
    """The events of a stream, each with its stored bytes and its proof; and where `keys` says where these lie, those
    that open the texts. Raises NoProof where one has none yet."""
    rows = connection.execute(
        "select * from event where workspace = %s and stream = %s order by version", (workspace, stream), binary=True
    ).fetchall()
    for row in rows:
        name = f"events/{row[VERSION]:05}"
        bundle.writestr(f"{name}.state.json", row[_STATE])
        bundle.writestr(f"{name}.cause.json", leaves.cause(row))
        bundle.writestr(f"{name}.tlog-proof", proofs.prove(connection, workspace, row[POSITION]))
    newest = proofs.newest(connection, workspace)
    assert newest is not None, "an event was proven"
    bundle.writestr("checkpoint", newest.note)
    bundle.writestr("verifying.py", (files("application.audit") / "verifying.py").read_bytes())
    if keys is not None:
        bundle.writestr("keys.json", json.dumps(_keys(keys, rows), indent=1))
    return rows


def _keys(place: Place, rows: Sequence[Row]) -> dict[str, str]:
    """Of the subjects that the rows name, by their ids in hexadecimal; those that were erased are not there, nor are
    the keys of who acted: where they sat is not the ticket's history, and their keys open what is theirs elsewhere."""
    subjects = sorted({subject for row in rows for subject in leaves.subjects(row, of_source=False)})
    master, workspace = MasterKeys.configured(), rows[0][WORKSPACE]
    with place.connect(Role.READER) as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace),))
        found = connection.execute(
            "select subject, key from subject_key where workspace = %s and subject = any(%s) and key is not null",
            (workspace, [subject for _, subject in subjects]),
        ).fetchall()
    return {subject.hex: base64.b64encode(master.unwrap(key, workspace, subject)).decode() for subject, key in found}
