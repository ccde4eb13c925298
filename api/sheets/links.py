"""Where the files of a sheet are, told by the GraphQL types of what it is a sheet of."""

from datetime import date
from typing import NamedTuple
from uuid import UUID

import strawberry

from api.fields import Info
from api.ids import Kind, encode
from api.sheets.formats import FORMATS, SheetFormat, formats_of
from domain.sheets import SheetKind

strawberry.enum(SheetFormat)


class SheetFileRow(NamedTuple):
    format: SheetFormat
    media_type: str
    url: str


@strawberry.type(description="Fetch it with your token: `Authorization: Bearer …`.")
class SheetFile:
    format: SheetFormat
    media_type: str
    url: str


def statement_files(
    info: Info, contract: UUID, since: date, until: date, known: int | None = None
) -> list[SheetFileRow]:
    place = f"statements/{encode(Kind.CONTRACT, contract)}/{since}..{until}"
    return files(info, place, SheetKind.STATEMENT, known)


def files(info: Info, place: str, kind: SheetKind, known: int | None = None) -> list[SheetFileRow]:
    """`place`: below `/documents/`, without the ending. `known`: at which position it is to be drawn."""
    base = f"{info.context.runtime.public_url}/documents/{place}"
    then = "" if known is None else f"?position={known}"
    return [
        SheetFileRow(one, FORMATS[one].media_type, f"{base}.{FORMATS[one].ending}{then}") for one in formats_of(kind)
    ]
