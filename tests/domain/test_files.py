"""Names, types: what is taken of a file, and what of it a browser is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import FileTypeRefused, InvalidValue, Refused
from domain.files import NAME_LIMIT, UNKNOWN, file_name, media_type, served_type

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
ZIP = b"PK\x03\x04" + b"\0" * 20
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("report.pdf", "report.pdf"),
        ("Отчёт за март.docx", "Отчёт за март.docx"),
        ("Отче\u0308т.txt", "Отчёт.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\anna\\Рабочий стол\\фото.jpg", "фото.jpg"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\x00b".replace("\x00", "\x01"), "ab"),
        ("  two   spaces .txt. ", "two spaces .txt"),
        ('what?<is>:"this"|*.txt', "what__is___this___.txt"),
        ("x" * 300 + ".tar.gz", "x" * (NAME_LIMIT - 3) + ".gz"),
    ],
)
def test_a_name_is_a_plain_name(given: str, kept: str) -> None:
    assert file_name(given) == kept


@pytest.mark.parametrize("given", ["", " ", "..", "/", "a/", "\u200b", "\u202e", "a\0b", "\ud800"])
def test_what_is_no_name_is_refused(given: str) -> None:
    with pytest.raises(InvalidValue):
        file_name(given)


@given(st.text())
def test_no_name_leads_anywhere_or_is_too_long(given: str) -> None:
    try:
        name = file_name(given)
    except Refused:
        return
    assert 0 < len(name) <= NAME_LIMIT
    assert not set(name) & set('/\\\0\r\n"')
    assert name not in (".", "..")
    assert file_name(name) == name


@pytest.mark.parametrize(
    ("head", "declared", "name", "kind"),
    [
        (PNG, "image/png", "a.png", "image/png"),
        (PNG, None, "a.txt", "image/png"),
        (PNG, "application/octet-stream", "a", "image/png"),
        (PNG, "text/html", "a.html", "image/png"),
        (ZIP, XLSX, "a.xlsx", XLSX),
        (ZIP, None, "a.zip", "application/zip"),
        (b"plain", "Text/Plain; charset=utf-8", "a.log", "text/plain"),
        (b"plain", None, "a.txt", "text/plain"),
        (b"plain", None, "a.png", UNKNOWN),
        (b"MZ is how this text begins", "text/plain", "a.txt", "text/plain"),
        (b"\xff\xfea\0b\0", "text/csv", "a.csv", "text/csv"),
        (b"a\0b", None, "a.txt", UNKNOWN),
        (b"\0\0\0\x20ftypisom", "video/mp4", "a.mp4", "video/mp4"),
        (b"\0\0\0\x20ftypM4A ", "audio/mp4", "a.m4a", "audio/mp4"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", None, "a.webp", "image/webp"),
        (b"<svg>", "image/svg+xml", "a.svg", "image/svg+xml"),
        (b"", None, "", UNKNOWN),
    ],
)
def test_the_content_says_what_it_is_before_what_was_declared(
    head: bytes, declared: str | None, name: str, kind: str
) -> None:
    assert media_type(head, declared, name) == kind


@pytest.mark.parametrize(
    ("head", "declared"),
    [
        (b"MZ\x90\0\x03", "application/pdf"),
        (b"MZ\x90\0\x03", None),
        (b"\x7fELF\x02", "text/plain"),
        (b"plain", "image/png"),
        (PNG, "application/pdf"),
        (b"a\0b", "text/plain"),
    ],
)
def test_programs_and_what_is_not_what_it_is_said_to_be_are_refused(head: bytes, declared: str | None) -> None:
    with pytest.raises(FileTypeRefused):
        media_type(head, declared, "file")


@pytest.mark.parametrize("declared", ["png", "image/", "/png", "image/png\r\nX: y", "a/b/c", "изо/png"])
def test_what_is_no_media_type_is_refused(declared: str) -> None:
    with pytest.raises(InvalidValue):
        media_type(b"", declared, "file")


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xml", "text/javascript", "text/plain;x"])
def test_a_browser_is_told_no_type_that_it_would_run(kind: str) -> None:
    assert served_type(kind) == UNKNOWN


@pytest.mark.parametrize("kind", ["image/png", "application/pdf", "text/plain", XLSX, "video/mp4"])
def test_harmless_types_are_told(kind: str) -> None:
    assert served_type(kind) == kind
