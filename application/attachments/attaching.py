"""Attaching an upload: its content is kept before the event that names it is appended, never the other way round."""

from application import tickets
from application.attachments.contents import Contents
from application.event_store.streams import EventStore
from application.handling import Context, Outcome
from domain.attachments import AttachFile


def attach(contents: Contents, store: EventStore, context: Context, command: AttachFile) -> Outcome:
    """Uses the upload up, unless refused. Raises Refused, StoreUnavailable, StorageFull."""
    actor = context.actor
    with contents.attaching(actor.workspace):
        outcome = tickets.handle(store, context, command, contents)
    contents.forget(actor.workspace, actor.person, command.upload)
    return outcome
