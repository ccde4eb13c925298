"""Attachments at every moment, and a rebuild that equals the live one."""

from pathlib import Path
from uuid import UUID

import pytest

from application.attachments.attaching import attach
from application.attachments.contents import Contents
from application.handling import Context
from domain.tickets import AttachFile, DetachFile
from projections import attachments
from projections.filters import PageAsk
from projections.reading import NOW, Moment
from projections.rebuild import rebuild
from tests.projections.conftest import World, hour

PAGE = PageAsk(first=100)


@pytest.fixture
def contents(world: World, tmp_path: Path) -> Contents:
    return Contents(tmp_path, world.store.mapper.sealer.keyring, reserve=0)


def give(world: World, contents: Contents, ticket: UUID, name: str, at: float) -> int:
    receiving = contents.receive(world.workspace.id, world.admin.person)
    receiving.writer.write(name.encode())
    receiving.writer.finish()
    context = Context(actor=world.admin, occurred_at=hour(at))
    return attach(
        contents, world.store, context, AttachFile(ticket=ticket, upload=receiving.upload, name=name)
    ).position


def names(world: World, ticket: UUID, moment: Moment = NOW) -> list[str]:
    counted = world.of(ticket, attachments.attachment_counts, moment)
    found = [row.name for row in world.of(ticket, attachments.attachments, PAGE, moment).nodes]
    assert counted == len(found)
    return found


def test_files_are_there_from_their_coming_to_their_going(world: World, contents: Contents) -> None:
    ticket = world.open(at=hour(0))
    first = give(world, contents, ticket, "one.txt", 1)
    second = give(world, contents, ticket, "two.txt", 2)
    world.project()
    [one, _] = world.of(ticket, attachments.attachments, PAGE, NOW).nodes
    gone = world.do(DetachFile(ticket=ticket, attachment=one.id), hour(3)).position
    world.project()

    assert names(world, ticket) == ["two.txt"]
    assert names(world, ticket, world.moment(position=first)) == ["one.txt"]
    assert names(world, ticket, world.moment(position=second)) == ["one.txt", "two.txt"]
    assert names(world, ticket, world.moment(position=gone)) == ["two.txt"]
    assert names(world, ticket, world.moment(occurred_at=hour(0.5))) == []
    assert names(world, ticket, world.moment(occurred_at=hour(2.5))) == ["one.txt", "two.txt"]
    assert names(world, ticket, world.moment(occurred_at=hour(3))) == ["two.txt"]
    # What we knew before the going about a time after it.
    assert names(world, ticket, world.moment(position=second, occurred_at=hour(9))) == ["one.txt", "two.txt"]
    assert rebuild(world.database, attachments.PROJECTION).same
