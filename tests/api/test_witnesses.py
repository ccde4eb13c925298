"""A witness cosigns what extends the tree that it saw last, and what it refuses is told."""

import base64
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.command_line import main
from api.runtime import HOME_VARIABLE
from application.audit.verifying import COSIGNATURE, Checkpoint, Extension, Key, NotProven, verify_consistency
from application.event_store.database import DATABASE_VARIABLE, Database
from tests.api.test_command_line import sentence
from tests.application.recording import Company

Run = Callable[..., Result]


class Witness(HTTPServer):
    """As C2SP's tlog-witness says. `seen`: the last checkpoint that it cosigned; `trusts`: the log's key."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.private = Ed25519PrivateKey.generate()
        public = self.private.public_key().public_bytes_raw()
        self.key = Key("witness.example/w1", COSIGNATURE, public)
        self.seen: Checkpoint | None = None
        self.trusts: Key | None = None
        self.instead: tuple[int, str] | None = None
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, body: str) -> tuple[int, str, str]:
        self.asked += 1
        if self.instead is not None:
            return self.instead[0], "text/plain", self.instead[1]
        extension = Extension.parse(body)
        checkpoint = extension.checkpoint
        if self.trusts is None or checkpoint.origin != self.trusts.name:
            return 404, "text/plain", "unknown log"
        try:
            checkpoint.verify(self.trusts)
        except NotProven:
            return 403, "text/plain", "untrusted"
        size, root = (self.seen.size, self.seen.root) if self.seen else (0, b"")
        if extension.old != size:
            return 409, "text/x.tlog.size", f"{size}\n"
        try:
            verify_consistency(size, checkpoint.size, root, checkpoint.root, extension.path)
        except NotProven:
            return (409, "text/plain", "another root") if size == checkpoint.size else (422, "text/plain", "rewritten")
        self.seen = checkpoint
        at = int(time.time())
        signed = f"cosignature/v1\ntime {at}\n{checkpoint.text}".encode()
        signature = self.key.id + at.to_bytes(8, "big") + self.private.sign(signed)
        return 200, "text/plain", f"— {self.key.name} {base64.b64encode(signature).decode()}\n"


class _Asked(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Witness)
        assert self.path == "/add-checkpoint"
        status, kind, text = self.server.answer(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Not a word."""


@pytest.fixture
def witness() -> Iterator[Witness]:
    with Witness() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def run(database: Database, company: Company, witness: Witness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """On a log whose key the witness trusts."""
    monkeypatch.setenv(DATABASE_VARIABLE, database.url)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main, ["audit", *(str(one) for one in arguments)])

    run("checkpoint")
    witness.trusts = Key.parse(run("key", "show").output)
    return run


def ask(run: Run, witness: Witness) -> Result:
    return run("witness", witness.url, "--vkey", witness.key.vkey)


def test_what_a_witness_has_cosigned_goes_with_every_proof(run: Run, witness: Witness, company: Company) -> None:
    assert "witness.example/w1 has cosigned the tree of" in ask(run, witness).output
    run("prove", 1, "-o", "proof")
    assert witness.trusts is not None
    told = run("verify", "proof", "--vkey", witness.trusts.vkey, "--witness", witness.key.vkey)
    assert "witness.example/w1 (cosigned, checked)" in told.output
    unchecked = run("verify", "proof", "--vkey", witness.trusts.vkey).output
    assert "witness.example/w1 (signature not checked: no key given)" in unchecked
    assert "are as they were recorded" in run("scrub").output
    asked = witness.asked
    assert ask(run, witness).exit_code == 0
    assert witness.asked == asked, "it has cosigned this one"


def test_a_witness_is_shown_that_the_log_has_only_grown(run: Run, witness: Witness, company: Company) -> None:
    for _ in range(3):
        assert ask(run, witness).exit_code == 0
        company.ticket()
        run("checkpoint")
    assert witness.asked == 3, "each time from the tree that it saw last"


def test_a_witness_that_knows_more_than_is_kept_here_says_where_it_stands(
    run: Run, witness: Witness, company: Company
) -> None:
    first = Checkpoint.parse(run("checkpoint").output)
    witness.seen = first
    company.ticket()
    assert ask(run, witness).exit_code == 0
    assert witness.asked == 2


@pytest.mark.parametrize(
    ("status", "text", "says"),
    [
        (400, "bad", "could not read the request. It says: bad"),
        (403, "", "does not trust the log's key"),
        (404, "who?", "does not know this log"),
        (409, "", "has seen another tree of this size"),
        (422, "no", "does not extend the one that it has seen"),
        (500, "oops\nmore", "refused with 500: it does not say why. It says: oops"),
        (302, "", "refused with 302"),
        (200, "", "The witness returned no signature of its key"),
        (200, "— another.example/w2 AAAAAAAAAAAA\n", "The witness returned no signature of its key"),
        (200, "— witness.example/w1 AAAAAAAAAAAA\n", "The witness returned no signature of its key"),
    ],
)
def test_a_refusal_is_told(run: Run, witness: Witness, status: int, text: str, says: str) -> None:
    before = run("checkpoint").output
    witness.instead = status, text
    assert says in sentence(ask(run, witness))
    assert run("checkpoint").output == before


def test_a_witness_that_has_seen_another_log_of_this_name_is_heard(
    run: Run, witness: Witness, company: Company
) -> None:
    seen = Checkpoint.parse(run("checkpoint").output)
    witness.seen = Checkpoint(seen.origin, seen.size, bytes(32), seen.text, seen.signatures, seen.note)
    company.ticket()
    assert "refused with 422" in sentence(ask(run, witness))
    witness.seen = Checkpoint(seen.origin, 10_000, seen.root, seen.text, seen.signatures, seen.note)
    assert "has cosigned a tree of 10000 events" in sentence(ask(run, witness))


def test_what_is_no_witness_is_told(run: Run, witness: Witness) -> None:
    assert witness.trusts is not None
    assert "is the key of a log" in sentence(run("witness", witness.url, "--vkey", witness.trusts.vkey))
    assert "no verifier key" in sentence(run("witness", witness.url, "--vkey", "x"))
    assert "is no address of a witness" in sentence(run("witness", "file:///etc", "--vkey", witness.key.vkey))
    nowhere = "http://127.0.0.1:1"
    assert f"The witness {nowhere} does not answer" in sentence(run("witness", nowhere, "--vkey", witness.key.vkey))
