"""The demo's files: what the client and the company attached to the ticket that has been everything."""

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID, uuid5

from application.attachments.attaching import attach
from application.attachments.contents import Contents
from application.event_store.streams import EventStore
from application.handling import Context, state_in
from application.workspaces import operator
from domain.tickets import AttachFile, Ticket, Visibility


class FileOfDemo(NamedTuple):
    """`after`: the ticket was opened."""

    name: str
    text: str
    visibility: Visibility
    after: timedelta


FILES = (
    FileOfDemo(
        "bookings per day.csv",
        "day,bookings\n2025-12-01,58\n2025-12-08,97\n2025-12-15,164\n2025-12-22,203\n",
        Visibility.PUBLIC,
        timedelta(hours=30),
    ),
    FileOfDemo(
        "смета для отдела продаж.txt",
        "Форма записи: 24 ч\nРасчёт цены: 16 ч\nОбмен с учётной системой: 40 ч\nЗапас: 20 %\n",
        Visibility.INTERNAL,
        timedelta(days=2),
    ),
)


def attach_files(store: EventStore, contents: Contents, workspace: UUID, ticket: UUID) -> None:
    """Those that were not attached before. Raises Refused, StoreUnavailable, StorageFull."""
    here = store.workspace(workspace)
    hero = state_in(here.load([ticket]), ticket, Ticket)
    assert hero is not None
    commands = [uuid5(workspace, f"demo file {n}") for n in range(len(FILES))]
    recorded = here.earlier(commands)
    actor = operator(workspace)
    for command, file in zip(commands, FILES, strict=True):
        if command in recorded:
            continue
        receiving = contents.receive(workspace, actor.person)
        receiving.writer.write(file.text.encode())
        receiving.writer.finish()
        context = Context(
            actor=actor,
            command_id=command,
            occurred_at=hero.opened_at + file.after,
            channel="e-mail",
            on_behalf_of=hero.requester if file.visibility is Visibility.PUBLIC else hero.assignee,
        )
        attaching = AttachFile(ticket=ticket, upload=receiving.upload, name=file.name, visibility=file.visibility)
        attach(contents, store, context, attaching)
