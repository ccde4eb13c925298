"""The act of destruction and the export of the journal, which an operator keeps for three years after the erasure.

What has to stand in them: requirements to the confirmation of the destruction of personal data, order no. 179 of
Roskomnadzor of 28 October 2022, points 3 and 5 (152-FZ, article 21, part 7). GDPR, article 5 (2), asks for no form.
They name the person. So they are written beside the log, and only their hashes go into it.
"""

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec


class Destroyed(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one type whose texts were sealed with the key."""

    type: str
    events: int
    first: datetime
    last: datetime


class Particulars(msgspec.Struct, frozen=True, kw_only=True):
    """`number`: a random one, so that nobody who guesses the rest can tell from the hash that it is right.
    `controller`, `processor`, `by`: as whoever erases named them; what is not named is left to be filled in."""

    number: str
    at: datetime
    workspace: str
    person: UUID
    name: str
    email: str | None
    reason: str
    destroyed: Sequence[Destroyed]
    files: int
    controller: str | None = None
    processor: str | None = None
    by: str | None = None


BLANK = "________________________________"
SYSTEM = "Proteus"
METHOD = (
    "уничтожение ключа шифрования AES-256, которым зашифрованы данные субъекта, удаление вложений, пересоздание"
    " производных таблиц и поискового индекса, очистка освободившегося места"
)
METHOD_IN_ENGLISH = (
    "destruction of the AES-256 key that sealed the subject's data, removal of attached files, derived tables and"
    " the search index made anew, freed space cleaned"
)

_ACT = """\
АКТ ОБ УНИЧТОЖЕНИИ ПЕРСОНАЛЬНЫХ ДАННЫХ № {number}
Record of the destruction of personal data

а) Оператор, адрес (controller, address):
   {controller}
б) Лицо, обрабатывавшее данные по поручению оператора, адрес (processor, address):
   {processor}
в) Субъект персональных данных (data subject):
   {name}{email}; {person}
г) Уничтожил: Ф. И. О., должность, подпись (destroyed by: name, position, signature):
   {by}   {blank}
д) Категории уничтоженных данных (categories destroyed):
{categories}
е) Материальные носители (physical media): нет (none)
ж) Информационная система (information system):
   {system}, {workspace}
з) Способ уничтожения (method):
   {method}
   {method_in_english}
и) Причина уничтожения (reason):
   {reason}
к) Дата уничтожения (date):
   {at:%Y-%m-%d %H:%M:%S} UTC
"""


def act(one: Particulars) -> str:
    return _ACT.format(
        number=one.number,
        controller=one.controller or BLANK,
        processor=one.processor or "—",
        name=one.name,
        email=f", {one.email}" if one.email else "",
        person=one.person,
        by=one.by or BLANK,
        blank=BLANK,
        categories="\n".join(f"   {line}" for line in _categories(one)),
        system=SYSTEM,
        workspace=one.workspace,
        method=METHOD,
        method_in_english=METHOD_IN_ENGLISH,
        reason=one.reason,
        at=one.at,
    )


def journal(one: Particulars) -> str:
    """CSV: a row for each type of event whose texts were destroyed, and one for attached files."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(
        ("act", "subject", "subject_id", "system", "category", "events", "first", "last", "reason", "destroyed_at")
    )
    same = (one.number, one.name, one.person, f"{SYSTEM}, {one.workspace}")
    end = (one.reason, one.at.isoformat())
    for part in one.destroyed:
        rows.writerow((*same, part.type, part.events, part.first.isoformat(), part.last.isoformat(), *end))
    if one.files:
        rows.writerow((*same, "files", one.files, "", "", *end))
    return out.getvalue()


def _categories(one: Particulars) -> list[str]:
    name = "имя" + (", адрес электронной почты" if one.email else "")
    english = "name" + (", e-mail address" if one.email else "")
    lines = [f"{name} ({english})"]
    others = [part for part in one.destroyed if not part.type.startswith("Person")]
    if others:
        texts = sum(part.events for part in others)
        lines.append(f"тексты обращений субъекта (texts of the subject's requests): {texts}")
    if one.files:
        lines.append(f"вложенные файлы (attached files): {one.files}")
    return lines
