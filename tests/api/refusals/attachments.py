"""Mutations of files: how each is done, and what refuses it."""

from typing import Any

from tests.api.refusals.cases import Case, Mutation, to_part, to_ticket
from tests.api.refusals.scene import Scene, ticket
from tests.api.test_attachments import attach, uploaded


def upload(scene: Scene) -> str:
    return uploaded(scene.admin, b"A text")


def program(scene: Scene) -> str:
    return uploaded(scene.admin, b"MZ\0\0")


def file(scene: Scene) -> dict[str, Any]:
    has = ticket(scene)
    return {"ticket": has, "attachment": attach(scene.admin, has, b"A text", "a.txt")["id"]}


MUTATIONS: dict[str, Mutation] = {
    "attachFile": to_ticket(
        {"ticket": ticket, "upload": upload, "name": "a.txt"},
        UPLOAD_NOT_FOUND={"upload": "x"},
        INVALID_VALUE={"name": " "},
        FILE_TYPE_REFUSED={"upload": program, "name": "a.exe"},
        LIMIT_REACHED=Case({}, limit=("domain.attachments.FILES_LIMIT", 0)),
    ),
    "detachFile": to_part(file, ATTACHMENT_NOT_FOUND={"attachment": "x"}),
}
