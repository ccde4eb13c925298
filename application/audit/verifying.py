"""Checks proofs offline: no network, no database, nothing of the server. Needs Python and its package `cryptography`.

Formats: RFC 6962 hashing; C2SP signed-note, tlog-checkpoint, tlog-cosignature and tlog-proof. The key is given by
whoever verifies, and never taken from what is verified. Runs alone, too: python verifying.py FILE --vkey KEY
"""

import argparse
import base64
import binascii
import hashlib
import json
import re
import sys
import uuid
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PROOF_HEADER = "c2sp.org/tlog-proof@v1"
PROOF_SUFFIX = ".tlog-proof"
ED25519, COSIGNATURE = 1, 4
"""Types of keys: a log's, a witness's."""
BYTES_LIMIT, BUNDLE_LIMIT = 1_000_000, 4_000_000_000
KEY_DOMAIN = b"proteus key commitment v1\n"
HASHES_LIMIT = 63
SIGNATURES_LIMIT = 100


class NotProven(Exception):
    """What was given proves nothing; the message is a sentence that says why."""


# ---- the tree


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_by_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root of the tree of this size in which the leaf hash stands at this index. Raises NotProven."""
    if not 0 <= index < size:
        raise NotProven(f"Leaf {index} is not in a tree of {size}.")
    n, last, root = index, size - 1, leaf
    for hash_ in path:
        if last == 0:
            raise NotProven("The proof has too many hashes.")
        if n % 2 or n == last:
            root = node_hash(hash_, root)
            while n % 2 == 0 and n:
                n, last = n // 2, last // 2
        else:
            root = node_hash(root, hash_)
        n, last = n // 2, last // 2
    if last:
        raise NotProven("The proof has too few hashes.")
    return root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """That the first `old` leaves of the newer tree are the older tree. Raises NotProven."""
    if not 0 <= old <= new:
        raise NotProven(f"A tree of {new} cannot extend one of {old}.")
    if old == new or old == 0:
        if path:
            raise NotProven("The proof has too many hashes.")
        if old == new and old_root != new_root:
            raise NotProven(f"Two different trees of {old} leaves: the log was rewritten.")
        return
    n, last = old - 1, new - 1
    while n % 2:
        n, last = n // 2, last // 2
    rest = list(path)
    if n and not rest:
        raise NotProven("The proof has too few hashes.")
    first = second = rest.pop(0) if n else old_root
    for hash_ in rest:
        if last == 0:
            raise NotProven("The proof has too many hashes.")
        if n % 2 or n == last:
            first, second = node_hash(hash_, first), node_hash(hash_, second)
            while n % 2 == 0 and n:
                n, last = n // 2, last // 2
        else:
            second = node_hash(second, hash_)
        n, last = n // 2, last // 2
    if last:
        raise NotProven("The proof has too few hashes.")
    if first != old_root or second != new_root:
        raise NotProven(f"The tree of {new} leaves does not extend the tree of {old}: the log was rewritten.")


# ---- keys and notes


@dataclass(frozen=True)
class Key:
    """Who signs. `kind`: ED25519 of a log, COSIGNATURE of a witness. `public`: 32 bytes."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        material = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{material}"

    @classmethod
    def parse(cls, vkey: str) -> "Key":
        """Raises NotProven."""
        name, _, rest = vkey.strip().partition("+")
        id_, _, material = rest.partition("+")
        try:
            decoded = base64.b64decode(material, validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if not name or len(decoded) != 33 or decoded[0] not in (ED25519, COSIGNATURE):
            raise NotProven("The key is no verifier key: it looks like NAME+12345678+BASE64.")
        key = cls(name, decoded[0], decoded[1:])
        if key.id.hex() != id_.lower():
            raise NotProven("The key is damaged: its id does not belong to it. Copy all of it.")
        return key

    def verify(self, signature: bytes, text: str) -> int | None:
        """The time of a cosignature, None of a log's own. Raises InvalidSignature."""
        signed, at = text.encode(), None
        if self.kind == COSIGNATURE:
            if len(signature) != 72:
                raise InvalidSignature
            at, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            signed = f"cosignature/v1\ntime {at}\n".encode() + signed
        Ed25519PublicKey.from_public_bytes(self.public).verify(signature, signed)
        return at


@dataclass(frozen=True)
class Signature:
    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True)
class Checkpoint:
    """A signed tree head. `text`: what is signed; `note`: that with the signatures, as it was read."""

    origin: str
    size: int
    root: bytes
    text: str
    signatures: tuple[Signature, ...]
    note: str

    @classmethod
    def parse(cls, note: str) -> "Checkpoint":
        """Raises NotProven. Nothing of it is to be believed before `verify`."""
        text, blank, signatures = note.rpartition("\n\n")
        lines = f"{text}\n".split("\n")
        if not blank or len(lines) < 4 or any(character < " " and character != "\n" for character in note):
            raise NotProven("This is no checkpoint: it is damaged or not whole.")
        origin, size, root = lines[:3]
        if not origin or not _is_number(size):
            raise NotProven("This is no checkpoint: it is damaged or not whole.")
        return cls(origin, int(size), _hash(root), f"{text}\n", _signatures(signatures), note)

    def verify(self, key: Key) -> None:
        """Raises NotProven unless the key has signed it, as the log of that name."""
        if self.origin != key.name:
            raise NotProven(f"The checkpoint is of the log {self.origin}; the key is of {key.name}.")
        if self.signed_by(key) is None:
            raise NotProven("The checkpoint is not signed by this key.")

    def signed_by(self, key: Key) -> tuple[int | None] | None:
        """None where it is not; else when it was cosigned. Raises NotProven where the key's signature is wrong."""
        for one in self.signatures:
            if (one.name, one.key_id) == (key.name, key.id):
                try:
                    return (key.verify(one.signature, self.text),)
                except (InvalidSignature, ValueError):
                    raise NotProven(f"The signature of {key.name} is wrong: the checkpoint was changed.") from None
        return None


def _signatures(lines: str) -> tuple[Signature, ...]:
    found: list[Signature] = []
    for line in lines.removesuffix("\n").split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        try:
            decoded = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if dash != "—" or not name or len(decoded) < 5 or len(found) >= SIGNATURES_LIMIT:
            raise NotProven("A signature of the checkpoint is damaged.")
        found.append(Signature(name, decoded[:4], decoded[4:]))
    return tuple(found)


def _hash(text: str) -> bytes:
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != 32:
        raise NotProven("A hash is damaged.")
    return decoded


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19 and (text == "0" or text[0] != "0")


# ---- proofs


@dataclass(frozen=True)
class Proof:
    """That a leaf is in a signed tree. `leaf`: what the log says of an event, which the file carries as extra data."""

    index: int
    path: tuple[bytes, ...]
    leaf: bytes
    checkpoint: Checkpoint

    @classmethod
    def parse(cls, text: str) -> "Proof":
        """Raises NotProven."""
        head, blank, note = text.partition("\n\n")
        lines = head.split("\n")
        if lines[0] != PROOF_HEADER or not blank:
            raise NotProven("This is no proof: it is damaged or not whole.")
        rest = lines[1:]
        if not rest or not rest[0].startswith("extra "):
            raise NotProven("The proof does not carry what it proves.")
        try:
            leaf = base64.b64decode(rest.pop(0).removeprefix("extra "), validate=True)
        except (binascii.Error, ValueError):
            raise NotProven("The proof is damaged.") from None
        said, _, index = rest.pop(0).partition(" ") if rest else ("", "", "")
        if said != "index" or not _is_number(index) or len(rest) > HASHES_LIMIT:
            raise NotProven("The proof is damaged.")
        return cls(int(index), tuple(_hash(line) for line in rest), leaf, Checkpoint.parse(note))

    def verify(self, key: Key) -> dict[str, Any]:
        """What the leaf says of its event. Raises NotProven."""
        self.checkpoint.verify(key)
        root = root_by_inclusion(self.index, self.checkpoint.size, leaf_hash(self.leaf), self.path)
        if root != self.checkpoint.root:
            raise NotProven("The proof does not lead to the signed tree: the event or the proof was changed.")
        try:
            said: dict[str, Any] = dict(json.loads(self.leaf))
        except (ValueError, TypeError):
            said = {}
        if said.get("index") != self.index:
            raise NotProven("The leaf does not say that it stands where it is proven to stand.")
        return said


@dataclass(frozen=True)
class Extension:
    """That a signed tree extends one of `old` leaves."""

    old: int
    path: tuple[bytes, ...]
    checkpoint: Checkpoint

    @classmethod
    def parse(cls, text: str) -> "Extension":
        """Raises NotProven."""
        head, blank, note = text.partition("\n\n")
        first, *rest = head.split("\n")
        old = first.removeprefix("old ")
        if not blank or not _is_number(old) or len(rest) > HASHES_LIMIT:
            raise NotProven("The proof is damaged or not whole.")
        return cls(int(old), tuple(_hash(line) for line in rest), Checkpoint.parse(note))

    def verify(self, key: Key, since: Checkpoint) -> None:
        """Raises NotProven."""
        self.checkpoint.verify(key)
        since.verify(key)
        if since.size != self.old:
            raise NotProven(f"The proof begins at a tree of {self.old}, the older checkpoint is of {since.size}.")
        verify_consistency(since.size, self.checkpoint.size, since.root, self.checkpoint.root, self.path)


# ---- bundles


def verify_bundle(path: Path, key: Key) -> list[str]:
    """That each event in a bundle is in the log, and is what its files say; in lines to read. Raises NotProven."""
    try:
        with zipfile.ZipFile(path) as bundle:
            if sum(one.file_size for one in bundle.infolist()) > BUNDLE_LIMIT:
                raise NotProven("The bundle is too large.")
            held = {one.filename: bundle.read(one) for one in bundle.infolist()}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        # zipfile's words for what it cannot unpack: NotImplementedError an unknown method, RuntimeError encryption
        raise NotProven("The bundle is damaged or not whole.") from None
    try:
        return _proven(held, key)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise NotProven("The bundle is damaged: a file in it is not what it should be.") from None


def _proven(held: dict[str, bytes], key: Key) -> list[str]:
    keys = {subject: base64.b64decode(text) for subject, text in json.loads(held.get("keys.json", b"{}")).items()}
    count = len({name.partition(".")[0] for name in held if name.startswith("events/")})
    lines, streams = list[str](), set[str]()
    for version in range(1, count + 1):
        name = f"events/{version:05}"
        if not {f"{name}.state.json", f"{name}.cause.json", f"{name}{PROOF_SUFFIX}"} <= held.keys():
            raise NotProven(f"The bundle is not whole: event {version} of {count} is missing.")
        state, cause = held[f"{name}.state.json"], held[f"{name}.cause.json"]
        said = Proof.parse(held[f"{name}{PROOF_SUFFIX}"].decode()).verify(key)
        if (said.get("state"), said.get("cause")) != tuple(hashlib.sha256(one).hexdigest() for one in (state, cause)):
            raise NotProven(f"Event {version} is not what was recorded: its files were changed.")
        if said.get("version") != version:
            raise NotProven(f"Event {version} is another one: it is version {said.get('version')} of its stream.")
        streams.add(str(said.get("stream")))
        texts = _Texts(key, said, keys)
        lines += _event_lines(said, json.loads(state), json.loads(cause), texts, held)
    if count == 0 or len(streams) > 1:
        raise NotProven("The bundle holds no history of one ticket.")
    newest = Checkpoint.parse(held.get("checkpoint", b"").decode(errors="replace"))
    newest.verify(key)
    told = "their texts are opened with keys that are proven, too" if keys else "texts are sealed, and no keys are here"
    return [f"Proven: the first {count} events of the stream {streams.pop()}; {told}.", *lines]


class _Texts:
    """Opens the sealed texts of one event with the keys of the bundle, each of which its leaf commits to."""

    def __init__(self, key: Key, said: dict[str, Any], keys: dict[str, bytes]) -> None:
        self._said, self._keys = said, keys
        self._workspace = uuid.UUID(key.name.removeprefix("proteus/"))

    def open(self, field: str, value: Any) -> Any:
        """The text; the value itself where it is not sealed. Raises NotProven."""
        if not isinstance(value, str) or not _SEALED.match(value):
            return value
        subject = uuid.UUID(value[2:34])
        key = self._keys.get(subject.hex)
        if key is None:
            return "[sealed]"
        commitment = hashlib.sha256(KEY_DOMAIN + self._workspace.bytes + subject.bytes + key).hexdigest()
        if commitment not in self._said.get("keys", ()):
            raise NotProven(f"The key of {subject} is not the one that sealed the event.")
        stream, version = uuid.UUID(self._said["stream"]), int(self._said["version"])
        box = base64.b64decode(value[35:])
        try:
            at = stream.bytes + version.to_bytes(8, "big") + field.encode()
            return json.loads(AESGCM(key).decrypt(box[:12], box[12:], at))
        except (InvalidTag, ValueError):
            raise NotProven(f"A text of event {version} does not open: its key is wrong.") from None


_SEALED = re.compile("1:[0-9a-f]{32}:")


def _event_lines(
    said: dict[str, Any], state: dict[str, Any], cause: dict[str, Any], texts: _Texts, held: dict[str, bytes]
) -> list[str]:
    head = f"{said['version']:>5}  {cause['occurred_at']}  {said['name']} by {cause['actor']} ({cause['channel']})"
    lines = [head]
    if cause.get("reason"):
        lines.append(f"       reason: {texts.open('cause.reason', cause['reason'])}")
    opened = {field: texts.open(field, value) for field, value in state.items()}
    lines += [f"       {field}: {_plain(value)}" for field, value in opened.items() if value not in (None, [], {})]
    file = held.get(f"attachments/{state.get('attachment')}")
    if file is not None and opened.get("sha256") not in ("[sealed]", hashlib.sha256(file).hexdigest()):
        raise NotProven(f"The attachment {state['attachment']} is not the file that was attached.")
    return lines


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ---- files


def verify_file(path: Path, vkey: str, witnesses: Sequence[str] = (), since: Path | None = None) -> list[str]:
    """What a file proves, in lines to read. `since`: the older checkpoint, for a proof that a newer one extends it.
    Raises NotProven, OSError."""
    key, watching = Key.parse(vkey), [Key.parse(witness) for witness in witnesses]
    if zipfile.is_zipfile(path):
        return verify_bundle(path, key)
    text = read_text(path)
    if text.startswith("old "):
        if since is None:
            raise NotProven("Name the older checkpoint that it begins at: --since FILE.")
        extension = Extension.parse(text)
        extension.verify(key, Checkpoint.parse(read_text(since)))
        size = extension.checkpoint.size
        told = _told(extension.checkpoint, key, watching)
        return [f"Proven: the tree of {size} events extends that of {extension.old}; nothing was rewritten.", *told]
    if not text.startswith(PROOF_HEADER):
        checkpoint = Checkpoint.parse(text)
        checkpoint.verify(key)
        return [f"Signed: a tree of {checkpoint.size} events.", *_told(checkpoint, key, watching)]
    proof = Proof.parse(text)
    said = proof.verify(key)
    return [
        f"Proven: event {said.get('index')} of {proof.checkpoint.size} is in the log as it was recorded.",
        f"  event        {said.get('name')}, version {said.get('version')} of the stream {said.get('stream')}",
        f"  position     {said.get('position')}",
        f"  recorded at  {said.get('recorded_at')}",
        f"  state        SHA-256 {said.get('state')}",
        f"  cause        SHA-256 {said.get('cause')}",
        f"  keys         {', '.join(said.get('keys') or ()) or 'none'}",
        *_told(proof.checkpoint, key, watching),
    ]


def read_text(path: Path) -> str:
    """Raises NotProven, OSError."""
    if path.stat().st_size > BYTES_LIMIT:
        raise NotProven(f"{path.name} is too large for a proof or a checkpoint.")
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        raise NotProven(f"{path.name} is neither a proof nor a checkpoint.") from None


def _told(checkpoint: Checkpoint, key: Key, witnesses: Sequence[Key]) -> list[str]:
    lines = [f"  log          {checkpoint.origin}", f"  root         {base64.b64encode(checkpoint.root).decode()}"]
    known = {(witness.name, witness.id): witness for witness in witnesses}
    for witness in witnesses:
        if checkpoint.signed_by(witness) is None:
            raise NotProven(f"The witness {witness.name} has not cosigned this checkpoint.")
    others = [one for one in checkpoint.signatures if (one.name, one.key_id) != (key.name, key.id)]
    for one in others:
        checked = "cosigned, checked" if (one.name, one.key_id) in known else "signature not checked: no key given"
        lines.append(f"  {'witness' if one.name != key.name else 'other key':11}  {one.name} ({checked})")
    if all(one.name == key.name for one in others):
        lines.append("  witness      none has cosigned it")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Check a .tlog-proof, a checkpoint or a bundle of Proteus, offline.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--vkey", required=True, help="verifier key of the log, got from whoever keeps it")
    parser.add_argument(
        "--witness", action="append", default=[], help="verifier key of a witness that must have cosigned"
    )
    parser.add_argument("--since", type=Path, help="older checkpoint that a newer one is to extend")
    asked = parser.parse_args()
    try:
        print("\n".join(verify_file(asked.file, asked.vkey, asked.witness, asked.since)))
    except (NotProven, OSError) as error:
        sys.exit(f"NOT PROVEN. {error}")


if __name__ == "__main__":
    main()
