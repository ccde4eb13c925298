"""`proteus trace FILE[:LINE]` and `proteus trace check`, for developers: inside a clone, asking a server over HTTP."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import click

from application.traceability.git import Git
from domain.errors import Refused

URL_VARIABLE, TOKEN_VARIABLE, REPOSITORY_VARIABLE = "PROTEUS_URL", "PROTEUS_TOKEN", "PROTEUS_REPOSITORY"
DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT_SECONDS = 30.0
COMMITS_SHOWN = 20
"""Of a whole file: those that most of its lines are from."""
MESSAGES_AT_ONCE = 100

UNNAMED, UNCHECKED = 1, 2
"""Exit codes of `check`: a commit names no ticket; it could not be found out."""


class CannotAsk(click.ClickException):
    """The server does not answer, or not this. In one sentence."""

    exit_code = UNCHECKED


def ask(query: str, **variables: Any) -> Any:
    """What the server answers, by the name of its one field. Raises CannotAsk."""
    url, token = os.environ.get(URL_VARIABLE) or DEFAULT_URL, os.environ.get(TOKEN_VARIABLE)
    if not token:
        raise CannotAsk(f"Set {TOKEN_VARIABLE} to a token of yours, and {URL_VARIABLE} to the server's address.")
    if not url.startswith(("http://", "https://")):
        raise CannotAsk(f"{URL_VARIABLE} is an address as https://tickets.example; it is {url!r}.")
    body = json.dumps({"query": query, "variables": variables}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{url.rstrip('/')}/graphql", data=body, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        answer = _refusal(error)
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        raise CannotAsk(f"{url} does not answer: {getattr(error, 'reason', error)}.") from None
    if answer.get("errors"):
        raise CannotAsk(str(answer["errors"][0]["message"]))
    return next(iter(answer["data"].values()))


def _refusal(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.load(error)
    except ValueError:
        answer = {}
    return answer if answer.get("errors") else {"errors": [{"message": f"The server answers {error.code}."}]}


# ---- FILE[:LINE]

TRACE = """query($sha: String!) { trace(of: {commit: {sha: $sha}}) {
  requests { key title url requester { name } }
  tickets { key title }
  nodes { release { tag environments } change { kind name title author at } work { seconds entries people }
    statement { number since until amount currency } rating { score comment } }
  steps { via confidence evidence from { ...Named } to { ...Named } }
} }
fragment Named on TraceNode { change { kind name } ticket { key } }"""


@click.command("line", hidden=True)
@click.argument("place", metavar="FILE[:LINE]")
def line_command(place: str) -> None:
    """Which request stands behind a line of FILE, or behind all of it. Inside a clone."""
    file, line = _place(place)
    try:
        git = Git(Path.cwd())
        lines = Counter({git.blame(file, line): 1}) if line else git.blame_all(file)
    except Refused as refused:
        raise click.ClickException(refused.message) from None
    shown = [sha for sha, _ in lines.most_common(COMMITS_SHOWN)]
    for sha in shown:
        click.echo("\n".join(_told(sha, None if line else lines[sha], ask(TRACE, sha=sha))))
    if len(lines) > len(shown):
        click.echo(f"… and {len(lines) - len(shown)} commits more, with fewer lines.")


def _place(place: str) -> tuple[str, int | None]:
    """A name may have a colon in it: what follows the last one is a line only where it is a number."""
    file, _, line = place.rpartition(":")
    if file and line.isascii() and line.isdigit() and not Path(place).exists():
        return file, int(line)
    return place, None


def _told(sha: str, lines: int | None, trace: dict[str, Any]) -> list[str]:
    head = sha[:12] if lines is None else f"{sha[:12]} ({lines} lines)"
    changes = [node["change"] for node in trace["nodes"] if node["change"]]
    own = next((one for one in changes if one["kind"] == "COMMIT" and sha.startswith(one["name"])), None)
    if own is None:
        return [f"{head}: not known here; it was not scanned, or not pushed yet"]
    told = [f"{head} {own['title']} ({own['author']}, {own['at'][:10]})"]
    told += [
        f"  {_name(step['from'])} -> {_name(step['to'])}: {step['evidence']} ({step['via'].lower()}, "
        f"{step['confidence']} %)"
        for step in trace["steps"]
        if _name(step["to"])
    ]
    for ticket in trace["requests"]:
        asked = f", asked for by {ticket['requester']['name']}" if ticket["requester"] else ""
        told.append(f"  {ticket['key']} {ticket['title']}{asked}: {ticket['url']}")
    if not trace["tickets"]:
        told.append("  no ticket stands behind it")
    for release in (node["release"] for node in trace["nodes"] if node["release"]):
        runs = f", runs in {', '.join(release['environments'])}" if release["environments"] else ""
        told.append(f"  released with {release['tag']}{runs}")
    return [*told, *_costs(trace["nodes"])]


def _costs(nodes: list[dict[str, Any]]) -> list[str]:
    told: list[str] = []
    for work in (node["work"] for node in nodes if node["work"]):
        hours, minutes = divmod(work["seconds"] // 60, 60)
        told.append(f"  hours: {hours}:{minutes:02} in {work['entries']} entries by {work['people']} people")
    for stated in (node["statement"] for node in nodes if node["statement"]):
        name = "not closed yet" if stated["number"] is None else f"statement {stated['number']}"
        told.append(
            f"  charged: {stated['amount']} {stated['currency']}, {name} ({stated['since']} to {stated['until']})"
        )
    for rating in (node["rating"] for node in nodes if node["rating"]):
        comment = f": {rating['comment']}" if rating["comment"] else ""
        told.append(f"  rated {rating['score']} of 5{comment}")
    return told


def _name(node: dict[str, Any]) -> str:
    change = node["change"]
    if change is not None:
        return change["name"][:12] if change["kind"] == "COMMIT" else f"request {change['name']}"
    return node["ticket"]["key"] if node["ticket"] is not None else ""


# ---- attach

_FIND = "query($k: String!) { repository(key: $k) { id } }"
_ATTACH = """mutation($i: AttachProvenanceInput!) { attachProvenance(input: $i) {
  artifacts { name digest commit } userErrors { message } } }"""


@click.command("attach")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--repository", envvar=REPOSITORY_VARIABLE, help=f"Its key here; {REPOSITORY_VARIABLE} names it, too.")
def attach_command(file: Path, repository: str | None) -> None:
    """Tie what was built to its commit: FILE is an in-toto statement with SLSA provenance, plain or in an envelope."""
    if not repository:
        raise CannotAsk(f"Say which repository this is: --repository, or {REPOSITORY_VARIABLE}.")
    try:
        provenance = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotAsk(f"{file}: {getattr(error, 'strerror', None) or 'it is no text'}.") from None
    found = ask(_FIND, k=repository)
    if found is None:
        raise CannotAsk(f"There is no repository {repository!r} here.")
    attached = ask(_ATTACH, i={"repository": found["id"], "provenance": provenance})
    if refusals := attached["userErrors"]:
        raise CannotAsk(refusals[0]["message"])
    for one in attached["artifacts"]:
        click.echo(f"{one['digest']} {one['name']} was built of {one['commit'][:12]}")


# ---- check

_CHECK = "query($r: String!, $m: [String!]!) { checkMessages(repository: $r, messages: $m) { names tickets { key } } }"


@click.command("check")
@click.argument("revisions", metavar="RANGE", required=False)
@click.option("--repository", envvar=REPOSITORY_VARIABLE, help=f"Its key here; {REPOSITORY_VARIABLE} names it, too.")
@click.option(
    "--message",
    type=click.Path(path_type=Path),
    help="Check the message in this file: what a commit-msg hook is given.",
)
def check_command(revisions: str | None, repository: str | None, message: Path | None) -> None:
    """Check that each commit of RANGE (as main..HEAD; without merges) names a ticket that is there.

    Exit code: 0 each does, 1 one does not, 2 it could not be found out.
    """
    if not repository:
        raise CannotAsk(f"Say which repository this is: --repository, or {REPOSITORY_VARIABLE}.")
    if (revisions is None) == (message is None):
        raise CannotAsk("Name a range of revisions, as main..HEAD, or with --message a file.")
    messages = _messages(revisions, message)
    wrong = 0
    for start in range(0, len(messages), MESSAGES_AT_ONCE):
        part = messages[start : start + MESSAGES_AT_ONCE]
        for (name, text), found in zip(part, ask(_CHECK, r=repository, m=[text for _, text in part]), strict=True):
            if not found["tickets"]:
                wrong += 1
                click.echo(_complaint(name, text, found["names"]), err=True)
    if wrong:
        click.echo("Name the ticket in the message, best in a last line of its own: Ticket: T-1042", err=True)
        sys.exit(UNNAMED)
    click.echo(f"{len(messages)} checked: each names a ticket.")


def _messages(revisions: str | None, message: Path | None) -> list[tuple[str, str]]:
    """What to call each, and its text."""
    if message is not None:
        try:
            lines = message.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise CannotAsk(f"{message}: {error.strerror}.") from None
        return [("This commit", "\n".join(line for line in lines if not line.startswith("#")))]  # git's own comments
    try:
        return [(sha[:12], text) for sha, text in Git(Path.cwd()).messages(revisions or "")]
    except Refused as refused:
        raise CannotAsk(refused.message) from None


def _complaint(name: str, text: str, names: list[str]) -> str:
    subject = text.strip().partition("\n")[0][:60]
    if names:
        return f"{name} {subject!r}: there is no ticket {', '.join(names[:5])}."
    return f"{name} {subject!r} names no ticket."
