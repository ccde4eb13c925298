"""Sending one message: whom it connects to, whom it believes, how long it waits and how much it reads."""

import asyncio
import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from application import webhook_sending
from application.webhook_networks import Networks, networks
from application.webhook_sending import Answer, Sender, Trouble
from tests.api.receiving import Receiver, receiving

LOCAL = Networks(allowed=networks("127.0.0.0/8"))
HEADERS: dict[bytes | str, bytes | str] = {
    "webhook-id": "evt_1",
    "webhook-timestamp": "1",
    "webhook-signature": "v1,x",
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def send(url: str, allowed: Networks = LOCAL, seconds: float = 30, times: int = 1) -> Answer:
    async def sent() -> Answer:
        sender = Sender(allowed, seconds)
        try:
            for _ in range(times - 1):
                await sender.send(url, HEADERS, b"{}")
            return await sender.send(url, HEADERS, b"{}")
        finally:
            await sender.close()

    return asyncio.run(sent())


def test_a_message_is_taken(receiver: Receiver) -> None:
    answer = send(receiver.url + "?a=b%20c")
    assert (answer.status, answer.trouble) == (200, None)
    [got] = receiver.got
    assert (got.raw, got.headers["host"]) == (b"{}", receiver.url.split("/")[2])


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 410, 500, 503])
def test_every_other_answer_is_a_refusal_and_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    receiver.answer = lambda n, message: status
    receiver.headers = {"location": receiver.url}
    assert (send(receiver.url).status, send(receiver.url).trouble) == (status, Trouble.REFUSED)
    assert len(receiver.got) == 2


def test_who_is_busy_says_for_how_long(receiver: Receiver) -> None:
    receiver.answer = lambda n, message: 503
    for said, understood in (("120", 120.0), ("999999999", 24 * 3600.0), ("soon", 0.0), ("-5", 0.0)):
        receiver.headers = {"retry-after": said}
        assert send(receiver.url).retry_after == understood


# ---- where to


INSIDE = (
    *("127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0x7f.1", "2130706433"),
    *("10.0.0.1", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "[fd00:ec2::254]", "[fe80::1]"),
    *("[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
)


@pytest.mark.parametrize("host", INSIDE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nothing_is_sent_inside(host: str, scheme: str) -> None:
    assert send(f"{scheme}://{host}:9/", Networks()).trouble is Trouble.ADDRESS_REFUSED


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """One answer after the other of a server of names; returns the names that were asked for."""
    asked: list[str] = []

    def looked_up(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    monkeypatch.setattr(webhook_sending, "_look_up", looked_up)
    return asked


def test_a_name_that_stands_for_an_address_inside_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for found in (["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["2606:4700::1111", "::ffff:127.0.0.1"], ["fe80::1%eth0"]):
        resolving(monkeypatch, found)
        assert send("https://example.org/", Networks()).trouble is Trouble.ADDRESS_REFUSED


def test_a_name_is_looked_up_once_and_that_address_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = receiver.url.split(":")[2].split("/")[0]
    asked = resolving(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    assert send(f"http://rebinding.example:{port}/").status == 200
    assert asked == ["rebinding.example"]
    assert receiver.got[0].headers["host"] == f"rebinding.example:{port}"


def test_the_next_of_a_name_s_addresses_is_tried(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    port = receiver.url.split(":")[2].split("/")[0]
    resolving(monkeypatch, ["127.0.0.77", "127.0.0.1"])
    assert send(f"http://two.example:{port}/").status == 200


def test_without_tls_only_to_networks_that_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["8.8.8.8"])
    assert send("http://example.org/").trouble is Trouble.ADDRESS_REFUSED


def test_a_name_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", none)
    assert send("https://nobody.example/").trouble is Trouble.NAME


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert send(f"http://127.0.0.1:{port}/").trouble is Trouble.CONNECTION


# ---- TLS


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    """A server's, that it signed itself; `folder/cert.pem` is what a client would have to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving(certificate(tmp_path, "hooks.example")) as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        assert send(receiver.url).trouble is Trouble.TLS, "nobody trusts it"
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert send(receiver.url).status == 200
        resolving(monkeypatch, ["127.0.0.1"])
        assert send(f"https://hooks.example:{port}/").status == 200
        assert send(f"https://other.example:{port}/").trouble is Trouble.TLS, "it is another's"
    assert len(receiver.got) == 2


# ---- bounds


def test_who_does_not_answer_in_time_is_not_waited_for(receiver: Receiver) -> None:
    held = threading.Event()
    receiver.answer = lambda n, message: 200 if held.wait(60) else 500
    assert send(receiver.url, seconds=0.2).trouble is Trouble.TIMEOUT
    held.set()


def test_an_answer_without_end_is_not_read_to_its_end(receiver: Receiver) -> None:
    receiver.body = b"x" * 50_000_000
    assert send(receiver.url, times=2).status == 200


def test_what_is_no_http_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert send(f"http://127.0.0.1:{listening.getsockname()[1]}/").trouble is Trouble.UNREADABLE
        thread.join()
