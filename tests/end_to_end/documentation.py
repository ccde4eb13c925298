"""Examples in Markdown that are run: a ```graphql block is sent, the ```json block after it is the answer.

What differs from run to run (ids, times, positions, ticket keys, cursors) may differ, but consistently: the same
value in the text stands for the same value in the answers, and is replaced by it in the requests that follow.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Ask = Callable[[str], dict[str, Any]]

_BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_VARIES = re.compile(
    r"""
      T-\d+ | \d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)      # a ticket's key, a time
    | [A-Za-z]{1,8}_[A-Za-z0-9_-]{16,} | [A-Za-z0-9_-]{20,}  # an id, a cursor
    | [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}                 # a UUID
    | \d{1,19}                                              # a position
    | https?://\S+
    | whsec_[A-Za-z0-9+/=]+                                 # a secret of a webhook
    """,
    re.VERBOSE,
)
LINE = 116
_VARYING_NUMBERS = frozenset({"seconds", "lagSeconds", "lagEvents"})


@dataclass
class Example:
    """`start` and `end`: where the answer's text stands in the file."""

    line: int
    request: str
    answer: Any
    start: int
    end: int


@dataclass
class Names:
    """Which value of the text stands for which value of this run."""

    known: dict[str, str] = field(default_factory=dict)

    def apply(self, request: str) -> str:
        for written in sorted(self.known, key=len, reverse=True):
            request = request.replace(f'"{written}"', f'"{self.known[written]}"')
        return request


def examples(path: Path) -> Iterator[Example]:
    text = path.read_text(encoding="utf-8")
    request: re.Match[str] | None = None
    for block in _BLOCK.finditer(text):
        if block["kind"] == "graphql":
            request = block
        elif block["kind"] == "json" and request is not None:
            line = text.count("\n", 0, request.start()) + 1
            answer = json.loads(block["text"] or "null")
            yield Example(line, request["text"], answer, block.start("text"), block.end("text"))
            request = None


def check(path: Path, ask: Ask) -> int:
    """Runs every example of a file; raises AssertionError naming file, line and path. Returns how many there were."""
    names = Names()
    count = 0
    for example in examples(path):
        actual = ask(names.apply(example.request))
        compare(example.answer, actual, f"{path.name}:{example.line}", names)
        count += 1
    return count


def compare(written: Any, actual: Any, where: str, names: Names, key: str = "") -> None:
    assert type(written) is type(actual), f"{where}: {written!r} in the text, {actual!r} in truth"
    if isinstance(written, dict):
        assert list(written) == list(actual), f"{where}: {list(written)} in the text, {list(actual)} in truth"
        for name, value in written.items():
            compare(value, actual[name], f"{where}.{name}", names, name)
    elif isinstance(written, list):
        assert len(written) == len(actual), f"{where}: {len(written)} items in the text, {len(actual)} in truth"
        for n, (one, other) in enumerate(zip(written, actual, strict=True)):
            compare(one, other, f"{where}[{n}]", names, key)
    elif isinstance(written, str) and _VARIES.fullmatch(written) and _VARIES.fullmatch(actual):
        known = names.known.setdefault(written, actual)
        assert known == actual, f"{where}: {written!r} stood for {known!r} before, and for {actual!r} now"
    elif key not in _VARYING_NUMBERS:
        assert written == actual, f"{where}: {written!r} in the text, {actual!r} in truth"


def rewrite(path: Path, ask: Ask) -> None:
    """Puts the answers of this run into the file. In a request, `"<2.data.openTicket.ticket.id>"` becomes what the
    second example was answered."""
    text = path.read_text(encoding="utf-8")
    names = Names()
    answers: list[Any] = []
    written: list[tuple[int, int, str]] = []
    for example in examples(path):
        request = _REFERENCE.sub(lambda match: f'"{_at(answers, match[1])}"', example.request)
        actual = ask(names.apply(request))
        answers.append(example.answer)
        if request != example.request:
            start = text.rindex(example.request, 0, example.start)
            written.append((start, start + len(example.request), request))
        try:
            compare(example.answer, actual, str(example.line), names)
        except AssertionError:
            answers[-1] = actual
            written.append((example.start, example.end, f"{shown(actual)}\n"))
    for start, end, new in reversed(written):
        text = text[:start] + new + text[end:]
    path.write_text(text, encoding="utf-8")


def shown(value: Any, indent: str = "") -> str:
    """JSON as a person would set it: on one line what fits on one."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(flat) <= LINE or not isinstance(value, dict | list):
        return flat
    inner = f"{indent}  "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(name)}: {shown(one, inner)}" for name, one in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return "[\n" + ",\n".join(f"{inner}{shown(one, inner)}" for one in value) + f"\n{indent}]"


_REFERENCE = re.compile(r'"<([^<>"]+)>"')


def _at(answers: list[Any], reference: str) -> Any:
    number, *steps = reference.split(".")
    value = answers[int(number) - 1]
    for step in steps:
        value = value[int(step) if step.isdigit() else step]
    return value
