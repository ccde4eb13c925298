"""Clones beside the server, in which lines are looked up: KEY or KEY.git in the folder of PROTEUS_CLONES."""

import os
from pathlib import Path

from application.traceability.git import Git
from domain.errors import InvalidValue

CLONES_VARIABLE = "PROTEUS_CLONES"


def blamed(key: str, revision: str, path: str, line: int) -> str:
    """The commit that a line is from. Raises InvalidValue, saying why it cannot be told."""
    folder = os.environ.get(CLONES_VARIABLE)
    places = [Path(folder) / name for name in (f"{key}.git", key)] if folder else []
    clone = next((place for place in places if place.is_dir()), None)
    if clone is None:
        raise InvalidValue(f"This server has no clone of {key!r}; run `proteus trace FILE:LINE` inside yours.")
    return Git(clone).blame(path, line, revision)
