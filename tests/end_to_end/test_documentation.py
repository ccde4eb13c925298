"""What README and guides show is what happens. `PROTEUS_REWRITE_EXAMPLES=1` writes this run's answers into them."""

import os
from pathlib import Path

import pytest

from tests.end_to_end.documentation import Ask, check, examples, rewrite

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"billing.md"}
"""Their examples are run by a test of their own, in a workspace that is empty."""
GUIDES = sorted(path for path in (ROOT / "docs" / "guides").glob("*.md") if path.name not in ELSEWHERE)
FILES = [ROOT / "README.md", *GUIDES]
WITH_EXAMPLES = [path for path in FILES if any(examples(path))]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_answered_as_written(path: Path, demo_server: Ask) -> None:
    if os.environ.get("PROTEUS_REWRITE_EXAMPLES"):
        rewrite(path, demo_server)
        return
    assert check(path, demo_server) > 0
