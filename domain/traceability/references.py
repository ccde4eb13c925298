"""What the texts of developers name: tickets by their keys, numbers of trackers, other commits."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

OWN_PREFIX = "T-"
"""Of the keys of our own tickets, whatever a repository's trackers are."""

MENTIONS_LIMIT = 50
"""Of one text: a merge that names hundreds (a release's notes) says of none of them what stands behind it."""


class MentionSource(StrEnum):
    """Where a text names something, the strongest first."""

    TRAILER = "TRAILER"
    CLOSING = "CLOSING"
    BRANCH = "BRANCH"
    TEXT = "TEXT"


class Mention(msgspec.Struct, frozen=True):
    """`prefix`: what stands before the number, `T-` for our own keys; else `#`, `!`, `ABC-`, or `owner/name#`."""

    source: MentionSource
    prefix: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.prefix}{self.number}"


_PREFIX = r"(?:(?:[\w.-]+/[\w./-]*[\w-])?[#!]|\b[A-Z][A-Z0-9]*-)"
_NUMBER = r"[1-9]\d{0,8}(?![\w/])"
_REFERENCE = re.compile(rf"(?<![\w#!/-])(?P<prefix>{_PREFIX})(?P<number>{_NUMBER})")
_CLOSING = re.compile(
    r"\b(?i:close[sd]?|fix(?:e[sd])?|resolve[sd]?|implement(?:s|ed)?):?\s+"
    rf"(?P<list>{_PREFIX}{_NUMBER}(?:\s*(?:,|and|,\s*and)\s*{_PREFIX}{_NUMBER})*)"
)
_TRAILER = re.compile(r"(?P<key>[A-Za-z][A-Za-z0-9-]*)\s*:\s*(?P<value>\S.*)")
_BRANCH_KEY = re.compile(r"(?<![a-z0-9])t-([1-9]\d{0,8})(?![a-z0-9])", re.IGNORECASE)
_BRANCH_NUMBER = re.compile(r"([1-9]\d{0,8})-")
_SHA = r"([0-9a-f]{40}|[0-9a-f]{64})"
_REVERTS = re.compile(rf"\bThis reverts commit {_SHA}\b")
_PICKED = re.compile(rf"\(cherry picked from commit {_SHA}\)")


def mentions(message: str, trailers: Iterable[str]) -> tuple[Mention, ...]:
    """What a commit's message or a request's text names, each once, by the strongest source.
    `trailers`: keys of trailers that name tickets."""
    wanted = {key.casefold() for key in trailers}
    found: dict[tuple[str, int], MentionSource] = {}
    for key, value in _trailers(message):
        if key.casefold() in wanted:
            _note(found, MentionSource.TRAILER, value)
    for closing in _CLOSING.finditer(message):
        _note(found, MentionSource.CLOSING, closing["list"])
    _note(found, MentionSource.TEXT, message)
    return _first(found)


def in_branch(name: str) -> tuple[Mention, ...]:
    """What a branch is named after: `feature/T-1042-login`, or `1042-login` as GitHub and GitLab name it."""
    found = {(OWN_PREFIX, int(number)): MentionSource.BRANCH for number in _BRANCH_KEY.findall(name)}
    if number := _BRANCH_NUMBER.match(name.rpartition("/")[2]):
        found["#", int(number[1])] = MentionSource.BRANCH
    return _first(found)


def reverted(message: str) -> str | None:
    """The commit that a message says it takes back."""
    found = _REVERTS.search(message)
    return found[1] if found else None


def picked(message: str) -> str | None:
    """The commit that a message says it repeats (`git cherry-pick -x`)."""
    found = _PICKED.search(message)
    return found[1] if found else None


def _trailers(message: str) -> Iterable[tuple[str, str]]:
    """Of the last paragraph, if it is not the first and each of its lines is one, or goes on with one."""
    paragraphs = re.split(r"\n\s*\n", message.strip())
    if len(paragraphs) < 2:
        return
    lines = paragraphs[-1].splitlines()
    found = [_TRAILER.fullmatch(line.rstrip()) for line in lines]
    if not found[0] or sum(one is not None for one in found) * 2 < len(lines):
        return
    for one in found:
        if one is not None:
            yield one["key"], one["value"]


def _note(found: dict[tuple[str, int], MentionSource], source: MentionSource, text: str) -> None:
    for one in _REFERENCE.finditer(text):
        prefix = one["prefix"]
        found.setdefault((prefix if prefix.endswith("-") else prefix.casefold(), int(one["number"])), source)


def _first(found: Mapping[tuple[str, int], MentionSource]) -> tuple[Mention, ...]:
    named = [Mention(source, prefix, number) for (prefix, number), source in found.items()]
    return tuple(named[:MENTIONS_LIMIT])
