"""Mutations of saved views: how each is done, and what refuses it."""

from tests.api.refusals.cases import Mutation, of
from tests.api.refusals.scene import Scene


def view(scene: Scene) -> str:
    saved = scene.admin.done("saveView", "view { id }", name="View", definition={}, shared=True)
    return str(saved["id"])


MUTATIONS: dict[str, Mutation] = {
    "saveView": of(
        {"name": "View", "definition": {}, "shared": True}, INVALID_VALUE={"name": " "}, TEAM_NOT_FOUND={"team": "x"}
    ),
    "updateView": of({"view": view, "name": "Other"}, INVALID_VALUE={"name": " "}, VIEW_NOT_FOUND={"view": "x"}),
    "deleteView": of({"view": view}, VIEW_NOT_FOUND={"view": "x"}),
    "favouriteView": of({"view": view}, VIEW_NOT_FOUND={"view": "x"}),
    "unfavouriteView": of({"view": view}, VIEW_NOT_FOUND={"view": "x"}),
}
