"""What independent readers make of what Proteus wrote, as JSON. Run by the Python of an environment of their own, which
nothing of Proteus is in: `read.py exports FOLDER ANSWER` or `read.py log FOLDER VKEY ANSWER`.
"""

import base64
import json
import sys
from collections.abc import Iterable
from pathlib import Path


def exports(folder: Path) -> dict[str, object]:
    import pm4py
    import r4pm
    from pm4py.objects.ocel.importer.jsonocel.variants import ocel20_standard
    from pm4py.objects.ocel.validation import ocel20_rel_validation

    told: dict[str, object] = {}
    logs = {
        "json": ocel20_standard.apply(str(folder / "log.json")),
        "sqlite": pm4py.read_ocel2_sqlite(str(folder / "log.sqlite")),
    }
    for name, log in logs.items():
        told[f"pm4py {name}"] = {
            "events": sorted(log.events["ocel:eid"]),
            "objects": sorted(log.objects["ocel:oid"]),
            "activities": log.events["ocel:activity"].value_counts().to_dict(),
            "types": log.objects["ocel:type"].value_counts().to_dict(),
        }
    told["violations"] = ocel20_rel_validation.apply(str(folder / "log.sqlite"))[1]
    for name in ("json", "sqlite"):
        log = r4pm.df.import_ocel(str(folder / f"log.{name}"))
        told[f"r4pm {name}"] = {
            "events": sorted(log["events"]["ocel:eid"]),
            "objects": sorted(log["objects"]["ocel:oid"]),
            "activities": _counted(log["events"]["ocel:activity"]),
            "types": _counted(log["objects"]["ocel:type"]),
            "relations": len(log["relations"]),
            "changes": len(log["object_changes"]),
        }
    traces = pm4py.read_xes(str(folder / "log.xes"), variant="iterparse", return_legacy_log_object=True)
    told["pm4py xes"] = {trace.attributes["concept:name"]: [event["event"] for event in trace] for trace in traces}
    frame, _ = r4pm.df.import_xes(str(folder / "log.xes"))
    found: dict[str, list[str]] = {}
    for case, event in zip(frame["case:concept:name"], frame["event"], strict=True):
        found.setdefault(case, []).append(event)
    told["r4pm xes"] = found
    told["costs"] = sorted(float(cost) for cost in frame["cost:total"] if cost is not None)
    told["xsd"] = _violations(folder / "log.xes")
    return told


def _counted(values: Iterable[object]) -> dict[str, int]:
    found: dict[str, int] = {}
    for value in values:
        found[str(value)] = found.get(str(value), 0) + 1
    return found


def _violations(xes: Path) -> list[str]:
    """Of the schema of IEEE 1849."""
    from lxml import etree

    schema = etree.XMLSchema(etree.parse(Path(__file__).with_name("xes.xsd")))
    return [] if schema.validate(etree.parse(xes)) else [str(schema.error_log)]


def log(folder: Path, vkey: str) -> dict[str, object]:
    """The root of all tiles, and whether proofs as files lead to it."""
    from tlog_scales.backend import LocalBackend
    from tlog_scales.reader import TilesReader
    from tlog_scales.signing import Vkey
    from tlog_scales.tlog import Checkpoint, InclusionProof

    reader = TilesReader(LocalBackend(folder))
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(Vkey.from_string(vkey))
    proven: list[int] = []
    for file in sorted(folder.glob("*.tlog-proof")):
        head, _, note = file.read_text().partition("\n\n")
        lines = head.splitlines()
        index = next(int(line.removeprefix("index ")) for line in lines if line.startswith("index "))
        path = [base64.b64decode(line) for line in lines[lines.index(f"index {index}") + 1 :]]
        signed = Checkpoint.from_text(note)
        signed.verify(Vkey.from_string(vkey))
        leaf = reader._get_from_tile(0, *divmod(index, 256))
        InclusionProof(index, signed.size, path).check(leaf, signed.root_hash)
        assert path == reader.get_inclusion_proof(index, signed.size).node_hashes
        proven.append(index)
    return {
        "size": checkpoint.size,
        "signed": checkpoint.root_hash.hex(),
        "root": reader.calculate_root_hash().hex(),
        "proven": proven,
    }


if __name__ == "__main__":
    what, folder, *rest = sys.argv[1:]
    answer = exports(Path(folder)) if what == "exports" else log(Path(folder), rest[0])
    Path(rest[-1]).write_text(json.dumps(answer))
