"""Files: uploaded, attached, listed, downloaded by whoever may, in the past too."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

import pytest
from httpx import Response

from api.ids import Kind, decode, encode
from application.attachments.contents import CHUNK, Contents, StorageFull
from application.event_store.database import Role
from application.workspaces import Workspace, create_workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.conftest import Server

PNG = b"\x89PNG\r\n\x1a\n" + bytes(3 * CHUNK)
FILE = "id name mediaType bytes sha256 url visibility attachedAt attachedBy { name }"
FILES = f"ticket {{ id attachments {{ totalCount nodes {{ {FILE} }} }} }}"


def sent(client: Client, data: bytes = PNG, **headers: str) -> Response:
    return client.http.post("/attachments", content=data, headers={**client.headers, **headers})


def uploaded(client: Client, data: bytes = PNG) -> str:
    response = sent(client, data)
    assert response.status_code == 201, response.text
    assert response.json()["bytes"] == len(data)
    return str(response.json()["upload"])


def attach(client: Client, ticket: str, data: bytes = PNG, name: str = "a.png", **input: Any) -> Any:
    """The newest attachment."""
    shown = client.done("attachFile", FILES, ticket=ticket, upload=uploaded(client, data), name=name, **input)
    return shown["attachments"]["nodes"][-1]


def fetched(client: Client, attachment: Any, **headers: str) -> Response:
    return client.http.get(urlsplit(attachment["url"]).path, headers={**client.headers, **headers})


def code(response: Response) -> tuple[int, str]:
    return response.status_code, response.json()["errors"][0]["extensions"]["code"]


@pytest.fixture
def requester(acme: Workspace, token: Callable[..., Client]) -> Client:
    return token(acme, Scope.REQUESTER, name="Requester")


# ---- there and back


def test_a_file_comes_back_as_it_was(agent: Client) -> None:
    ticket = agent.open()["id"]
    attached = attach(agent, ticket, name="снимок экрана.png", mediaType="image/png")
    assert attached["name"] == "снимок экрана.png"
    assert attached["mediaType"] == "image/png"
    assert attached["bytes"] == len(PNG)
    assert attached["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert attached["url"] == f"https://tickets.example/attachments/{attached['id']}"
    assert attached["visibility"] == "PUBLIC"
    assert attached["attachedBy"] == {"name": "Agent"}
    response = fetched(agent, attached)
    assert response.status_code == 200
    assert response.content == PNG
    assert response.headers["Content-Length"] == str(len(PNG))
    assert response.headers["Content-Type"] == "image/png"


def test_a_browser_is_told_to_keep_it_and_to_run_nothing_of_it(agent: Client) -> None:
    attached = attach(agent, agent.open()["id"], b"<script>alert(1)</script>", 'Счёт "3".html', mediaType="text/html")
    headers = fetched(agent, attached).headers
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "private, no-cache"
    plain, encoded = headers["Content-Disposition"].split("; ")[1:]
    assert plain == 'filename="____ _3_.html"'
    assert unquote(encoded.removeprefix("filename*=UTF-8''")) == "Счёт _3_.html"


def test_an_empty_file_is_a_file(agent: Client) -> None:
    attached = attach(agent, agent.open()["id"], b"", "empty.txt")
    assert attached["bytes"] == 0
    response = fetched(agent, attached)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-0", 206, slice(0, 1)),
        ("bytes=10-99", 206, slice(10, 100)),
        (f"bytes={CHUNK - 3}-{CHUNK + 3}", 206, slice(CHUNK - 3, CHUNK + 4)),
        ("bytes=100-", 206, slice(100, None)),
        ("bytes=-50", 206, slice(-50, None)),
        (f"bytes=-{10**9}", 206, slice(0, None)),
        (f"bytes=10-{10**9}", 206, slice(10, None)),
        ("bytes=5-1", 200, slice(0, None)),
        ("bytes=0-1,5-6", 200, slice(0, None)),
        ("lines=0-1", 200, slice(0, None)),
        ("bytes=-", 200, slice(0, None)),
    ],
)
def test_a_range_of_it_can_be_asked_for(agent: Client, asked: str, status: int, part: slice) -> None:
    data = PNG[:8] + bytes(n % 251 for n in range(CHUNK + 1000))
    attached = attach(agent, agent.open()["id"], data)
    response = fetched(agent, attached, Range=asked)
    assert response.status_code == status
    assert response.content == data[part]
    if status == 206:
        start, stop, _ = part.indices(len(data))
        assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(data)}"


@pytest.mark.parametrize("asked", [f"bytes={10**9}-", "bytes=-0"])
def test_a_range_beyond_its_end_is_told_its_size(agent: Client, asked: str) -> None:
    response = fetched(agent, attach(agent, agent.open()["id"]), Range=asked)
    assert code(response) == (416, "BAD_USER_INPUT")
    assert response.headers["Content-Range"] == f"bytes */{len(PNG)}"


def test_what_a_client_has_already_is_not_sent_again(agent: Client) -> None:
    attached = attach(agent, agent.open()["id"])
    tag = fetched(agent, attached).headers["ETag"]
    again = fetched(agent, attached, **{"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert fetched(agent, attached, **{"If-Range": tag, "Range": "bytes=0-3"}).status_code == 206
    assert fetched(agent, attached, **{"If-Range": '"older"', "Range": "bytes=0-3"}).status_code == 200


# ---- who may


def test_without_a_token_nothing_comes_or_goes(agent: Client) -> None:
    attached = attach(agent, agent.open()["id"])
    stranger = Client(agent.http, "proteus_stolen")
    assert code(sent(stranger)) == (401, "UNAUTHENTICATED")
    assert code(fetched(stranger, attached)) == (401, "UNAUTHENTICATED")


def test_an_auditor_reads_files_and_uploads_none(acme: Workspace, agent: Client, token: Callable[..., Client]) -> None:
    auditor = token(acme, Scope.AUDITOR)
    assert fetched(auditor, attach(agent, agent.open()["id"])).content == PNG
    assert code(sent(auditor)) == (403, "FORBIDDEN")


def test_a_requester_has_the_public_files_of_their_own_tickets(agent: Client, requester: Client) -> None:
    theirs, other = agent.open(requester=requester.person)["id"], agent.open()["id"]
    public, internal = attach(agent, theirs), attach(agent, theirs, visibility="INTERNAL")
    foreign = attach(agent, other)
    shown = requester.ask(f"query($id: ID!) {{ ticket(id: $id) {{ {FILES[9:-2]} }} }}", id=theirs)
    assert [one["id"] for one in shown["attachments"]["nodes"]] == [public["id"]]
    assert shown["attachments"]["totalCount"] == 1
    assert fetched(requester, public).content == PNG
    for hidden in (internal, foreign):
        assert code(fetched(requester, hidden)) == (404, "NOT_FOUND")
        assert requester.ask("query($id: ID!) { node(id: $id) { id } }", id=hidden["id"]) is None
    history = requester.ask("query($id: ID!) { ticket(id: $id) { history { nodes { type } } } }", id=theirs)
    assert [event["type"] for event in history["history"]["nodes"]] == ["TicketOpened", "FileAttached"]
    agent.done("detachFile", ticket=theirs, attachment=internal["id"])
    history = requester.ask("query($id: ID!) { ticket(id: $id) { history { nodes { type } } } }", id=theirs)
    assert len(history["history"]["nodes"]) == 2
    assert attach(requester, theirs, b"mine", "mine.txt")["attachedBy"] == {"name": "Requester"}


def test_a_requester_attaches_nothing_to_another_s_ticket_and_nothing_internal(
    agent: Client, requester: Client
) -> None:
    theirs, other = agent.open(requester=requester.person)["id"], agent.open()["id"]
    upload = uploaded(requester)
    refused = requester.refused("attachFile", ticket=other, upload=upload, name="a.png")
    assert refused == ("TICKET_NOT_FOUND", ["ticket"])
    refused = requester.refused("attachFile", ticket=theirs, upload=upload, name="a.png", visibility="INTERNAL")
    assert refused == ("FORBIDDEN", None)
    attached = attach(requester, theirs)
    assert requester.refused("detachFile", ticket=theirs, attachment=attached["id"]) == ("FORBIDDEN", None)


def test_another_workspace_has_nothing_of_it(server: Server, agent: Client, token: Callable[..., Client]) -> None:
    elsewhere = token(create_workspace(server.database, server.store, f"w{uuid4().hex[:8]}", "W"), Scope.ADMIN)
    attached = attach(agent, agent.open()["id"])
    assert code(fetched(elsewhere, attached)) == (404, "NOT_FOUND")
    upload = uploaded(agent)
    refused = elsewhere.refused("attachFile", ticket=elsewhere.open()["id"], upload=upload, name="a.png")
    assert refused == ("UPLOAD_NOT_FOUND", ["upload"])


# ---- refusals


def test_a_file_that_is_not_what_it_is_said_to_be_is_refused(agent: Client) -> None:
    input = {"ticket": agent.open()["id"], "upload": uploaded(agent, b"text"), "name": "a.png"}
    assert agent.refused("attachFile", **input, mediaType="image/png") == ("FILE_TYPE_REFUSED", None)
    assert agent.refused("attachFile", **input | {"name": ".."}) == ("INVALID_VALUE", ["name"])
    assert agent.done("attachFile", **input)


def test_programs_are_refused(agent: Client) -> None:
    input = {"ticket": agent.open()["id"], "upload": uploaded(agent, b"MZ\x90\0"), "name": "setup.exe"}
    assert agent.refused("attachFile", **input) == ("FILE_TYPE_REFUSED", None)


@pytest.mark.parametrize("upload", ["nonsense", encode(Kind.UPLOAD, UUID(int=5)), encode(Kind.TICKET, UUID(int=5))])
def test_what_was_not_uploaded_cannot_be_attached(agent: Client, upload: str) -> None:
    refused = agent.refused("attachFile", ticket=agent.open()["id"], upload=upload, name="a.png")
    assert refused == ("UPLOAD_NOT_FOUND", ["upload"])


def test_an_upload_is_used_once_and_a_repeated_command_is_answered(agent: Client) -> None:
    input = {"ticket": agent.open()["id"], "upload": uploaded(agent), "name": "a.png", "commandId": str(uuid4())}
    agent.done("attachFile", **input)
    assert agent.command("attachFile", **input)["replayed"]
    refused = agent.refused("attachFile", **input | {"commandId": str(uuid4())})
    assert refused == ("UPLOAD_NOT_FOUND", ["upload"])


def test_what_is_not_attached_is_not_detached(agent: Client) -> None:
    ticket = agent.open()["id"]
    attached = attach(agent, ticket)
    agent.done("detachFile", ticket=ticket, attachment=attached["id"])
    for gone in (attached["id"], encode(Kind.ATTACHMENT, uuid4()), "nonsense"):
        assert agent.refused("detachFile", ticket=ticket, attachment=gone) == ("ATTACHMENT_NOT_FOUND", ["attachment"])


@pytest.fixture
def small(server: Server) -> Iterator[None]:
    contents: Contents = server.http.app.state.runtime.contents
    limit, contents.limit = contents.limit, 1000
    yield
    contents.limit = limit


@pytest.mark.usefixtures("small")
def test_a_file_that_is_too_large_is_refused_whether_it_says_so_or_not(agent: Client) -> None:
    assert code(sent(agent, bytes(1001))) == (413, "FILE_TOO_LARGE")

    def in_pieces() -> Iterator[bytes]:
        yield bytes(900)
        yield bytes(900)

    unannounced = agent.http.post("/attachments", content=in_pieces(), headers=agent.headers)
    assert code(unannounced) == (413, "FILE_TOO_LARGE")


def test_a_full_disk_is_told_by_a_code_of_its_own(
    server: Server, agent: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageFull

    ticket, upload = agent.open()["id"], uploaded(agent)
    monkeypatch.setattr(Contents, "make_room", full)
    assert code(sent(agent)) == (507, "STORAGE_FULL")
    mutation = "mutation($i: AttachFileInput!) { attachFile(input: $i) { position } }"
    assert agent.codes(mutation, i={"ticket": ticket, "upload": upload, "name": "a.png"}) == ["STORAGE_FULL"]
    monkeypatch.undo()
    assert agent.done("attachFile", ticket=ticket, upload=upload, name="a.png")


@pytest.mark.parametrize("id_", ["nonsense", "..%2F..%2Fetc%2Fpasswd", "%00", "a" * 500])
def test_what_is_no_attachment_is_not_found(agent: Client, id_: str) -> None:
    assert code(agent.http.get(f"/attachments/{id_}", headers=agent.headers)) == (404, "NOT_FOUND")


# ---- the past


def test_the_past_has_what_was_detached_and_who_reads_all_can_read_it(
    server: Server, agent: Client, requester: Client
) -> None:
    ticket = agent.open(requester=requester.person)["id"]
    attached = attach(agent, ticket)
    before = agent.ask("query($id: ID!) { ticket(id: $id) { position } }", id=ticket)["position"]
    assert agent.done("detachFile", FILES, ticket=ticket, attachment=attached["id"])["attachments"]["nodes"] == []
    then = agent.ask(
        f"query($id: ID!, $at: Position) {{ ticket(id: $id, asOf: {{position: $at}}) {{ {FILES[9:-2]} }} }}",
        id=ticket,
        at=before,
    )
    assert then["attachments"]["nodes"] == [attached]
    assert fetched(agent, attached).content == PNG
    assert code(fetched(requester, attached)) == (404, "NOT_FOUND")
    [path] = server.files.rglob(_content(server, attached))
    path.unlink()
    assert code(fetched(agent, attached)) == (410, "NOT_FOUND")


def _content(server: Server, attached: Any) -> str:
    with server.database.connect(Role.PROJECTOR) as connection:
        statement = "select content from attachment where id = %s"
        row = connection.execute(statement, (decode(attached["id"], Kind.ATTACHMENT),)).fetchone()
    assert row is not None
    return str(row[0])


def test_history_says_which_file_came_and_went(agent: Client) -> None:
    ticket = agent.open()["id"]
    attached = attach(agent, ticket, name="a.png")
    agent.done("detachFile", ticket=ticket, attachment=attached["id"])
    shown = agent.ask(
        'query($id: ID!) { ticket(id: $id) { history(types: ["FileAttached", "FileDetached"]) {'
        " nodes { type changes { from to } } } } }",
        id=ticket,
    )
    assert shown["history"]["nodes"] == [
        {"type": "FileAttached", "changes": [{"from": None, "to": "a.png"}]},
        {"type": "FileDetached", "changes": [{"from": "a.png", "to": None}]},
    ]
