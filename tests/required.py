"""What a test needs that may not be there: a skip, which says what is missing; a failure where all must run."""

import os
from typing import NoReturn

import pytest

REQUIRED = os.environ.get("CI") == "true" or bool(os.environ.get("PROTEUS_TEST_DATA_REQUIRED"))


def missing(what: str) -> NoReturn:
    if REQUIRED:
        pytest.fail(what)
    pytest.skip(what)
