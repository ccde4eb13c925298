"""Files: under which names, as which types they are taken, and what browsers are told of them."""

import mimetypes
import re
from collections.abc import Mapping
from unicodedata import category, normalize

import msgspec

from domain import text
from domain.errors import FileTypeRefused, InvalidValue

NAME_LIMIT = 200
HEAD_BYTES = 512
"""So many of a content's first bytes tell what it is."""
UNKNOWN = "application/octet-stream"


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """What was uploaded to be attached. `content`: where it will lie."""

    head: bytes
    bytes: int
    sha256: str
    content: str


def file_name(name: str) -> str:
    """The last part of a path, in NFC, without control and formatting characters, which could turn its ending round,
    and without those that some system gives a meaning. Raises InvalidValue."""
    last = re.split(r"[/\\]", normalize("NFC", text.checked(name, "name")))[-1]
    plain = "".join("_" if c in '<>:"|?*' else c for c in last if category(c) not in ("Cc", "Cf", "Zl", "Zp"))
    plain = " ".join(plain.split()).strip(". ")
    if not plain or text.is_blank(plain):
        raise InvalidValue("name must be a file's name, as report.pdf.", ("name",))
    if len(plain) > NAME_LIMIT:
        stem, dot, ending = plain.rpartition(".")
        keeps = bool(dot) and len(ending) <= 20
        plain = f"{stem[: NAME_LIMIT - len(ending) - 1]}.{ending}" if keeps else plain[:NAME_LIMIT]
    return plain


def media_type(head: bytes, declared: str | None, name: str) -> str:
    """What the content is, by its first bytes; by what was declared, or else by the name's ending, where they do not
    tell. Raises FileTypeRefused for programs and for what is not what it is said to be; InvalidValue."""
    found = _signed(head)
    if found in PROGRAMS:
        raise FileTypeRefused("Programs cannot be attached.")
    said = _declared(declared) if declared else _GUESS.guess_type(name)[0] or UNKNOWN
    if said in PROGRAMS:
        said = UNKNOWN
    if found is None:
        if said in _SIGNED_TYPES or (said.startswith("text/") and b"\0" in head and not head.startswith(_WIDE)):
            if declared:
                raise FileTypeRefused(f"This is no {said}, as its content shows.")
            return UNKNOWN
        return said
    if said == found or (found in _CONTAINERS and _CONTAINERS[found].search(said)):
        return said
    if declared and said in _SIGNED_TYPES:
        raise FileTypeRefused(f"This is no {said} but {found}, as its content shows.")
    return found


def served_type(media_type: str) -> str:
    """What a browser may be told: nothing that it would run."""
    return media_type if _HARMLESS.fullmatch(media_type) else UNKNOWN


PROGRAMS = frozenset({"application/x-msdownload", "application/x-elf", "application/x-mach-binary"})

_ZIP, _OLE, _BRAND = "application/zip", "application/x-ole-storage", "video/mp4"

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", _ZIP),
    (b"PK\x05\x06", _ZIP),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OLE),
    (b"MZ", "application/x-msdownload"),
    (b"\x7fELF", "application/x-elf"),
    (b"\xfe\xed\xfa\xce", "application/x-mach-binary"),
    (b"\xfe\xed\xfa\xcf", "application/x-mach-binary"),
    (b"\xce\xfa\xed\xfe", "application/x-mach-binary"),
    (b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (b"\xca\xfe\xba\xbe", "application/x-mach-binary"),
)
_CONTAINERS: Mapping[str, re.Pattern[str]] = {
    _ZIP: re.compile(r"application/(vnd\.openxmlformats-.+|vnd\.oasis\..+|epub\+zip|x-zip-compressed)"),
    _OLE: re.compile(r"application/(msword|vnd\.ms-.+)"),
    _BRAND: re.compile(r"(video|audio|image)/.+"),
}
"""Formats in which others are packed: what was declared says which."""

_SIGNED_TYPES = frozenset(kind for _, kind in _SIGNATURES) | {"image/webp", "audio/wav"}
_WIDE = (b"\xff\xfe", b"\xfe\xff")
"""Text in UTF-16 is full of NULs."""

_HARMLESS = re.compile(
    r"image/(png|jpeg|gif|webp|avif|tiff|bmp)|(audio|video)/[\w.+-]+|text/(plain|csv)|application/(pdf|zip|gzip|json"
    r"|msword|vnd\.ms-(excel|powerpoint|outlook)|vnd\.openxmlformats-[\w.+-]+|vnd\.oasis\.[\w.+-]+)"
)
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,100}")
_GUESS = mimetypes.MimeTypes()  # the standard library's own table, whatever this machine says


def _signed(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        return _BRAND
    if head.startswith(b"RIFF") and head[8:12] in (b"WEBP", b"WAVE"):
        return "image/webp" if head[8:12] == b"WEBP" else "audio/wav"
    if head.startswith(b"MZ") and b"\0" not in head:
        return None  # a text that happens to begin so
    return next((kind for start, kind in _SIGNATURES if head.startswith(start)), None)


def _declared(declared: str) -> str:
    """Without parameters. Raises InvalidValue."""
    plain = declared.partition(";")[0].strip().lower()
    if not _MEDIA_TYPE.fullmatch(plain):
        raise InvalidValue("mediaType is written as in image/png.", ("mediaType",))
    return plain
