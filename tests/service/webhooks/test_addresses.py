"""No way of writing an address leads to this machine or its network: each is tried against a real listener."""

import ipaddress
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import httpcore2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import WebhookRefused
from orchestrator.service.webhooks.addresses import Allowed, is_public, read_url
from orchestrator.service.webhooks.sending import Answer, CheckedBackend, Sender
from tests.service.webhooks.forms import ANSWERS, HOSTS, URLS
from tests.service.webhooks.receiver import http, receiving

pytestmark = pytest.mark.anyio
PUBLIC = "93.184.215.14"


@pytest.fixture
def anyio_backend() -> str:
    """Sockets are at work."""
    return "asyncio"


def test_there_are_more_than_a_hundred_and_fifty_forms() -> None:
    assert len(set(HOSTS)) + len(set(URLS)) >= 150
    assert len(set(HOSTS)) == len(HOSTS)
    assert len(set(URLS)) == len(URLS)


async def to_loopback(_host: str, _port: int) -> list[str]:
    """The worst name server: whatever is asked, it is this machine."""
    return ["127.0.0.1"]


async def test_no_form_of_an_address_reaches_a_listener_on_this_machine() -> None:
    async with receiving() as listener:
        sender = Sender(Allowed(ports=frozenset({443, listener.port})), resolve=to_loopback)
        urls = [f"https://{host}:{listener.port}/" for host in HOSTS]
        urls += [url.format(port=listener.port) if "{port}" in url else url for url in URLS]

        answers = {url: await sender.send(url, {}, b"{}") for url in urls}

        assert {url: one for url, one in answers.items() if not one.problem.startswith("refused: ")} == {}
        assert listener.connections == 0
        assert len(urls) >= 150

        control = Sender(Allowed.of([listener.allowed]))
        assert await control.send(listener.url, {}, b"{}") == Answer(status=204)
        assert listener.connections == 1


def test_addresses_that_are_no_names_are_refused_before_anything_is_resolved() -> None:
    resolvable = {host for host in HOSTS if _is_read(f"https://{host}/")}

    assert resolvable == {
        "localhost.localdomain",
        "sub.localhost",
        "127.0.0.1.nip.io",
        "localtest.me",
        "7f000001.rbndr.us",
        "metadata.google.internal",
        "kubernetes.default.svc",
        "instance-data.ec2.internal",
        "router.local",
        "host.docker.internal",
        "a_b.example.org",
    }


def _is_read(url: str) -> bool:
    try:
        read_url(url, Allowed())
    except WebhookRefused:
        return False
    return True


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.org/a/b?c=d",
        "https://hooks.example.org:8443/",
        "https://93.184.215.14/hook",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/hook",
        "https://xn--bcher-kva.example/",
        "HTTPS://Hooks.Example.ORG",
    ],
)
def test_public_receivers_are_let_through(url: str) -> None:
    assert _is_read(url)


@given(number=st.integers(0, 2**32 - 1))
def test_every_address_the_standard_library_knows_to_be_private_is_refused_in_every_guise(number: int) -> None:
    plain = ipaddress.IPv4Address(number)
    forms = [
        plain,
        ipaddress.IPv6Address(f"64:ff9b::{plain}"),
    ]
    never = [
        ipaddress.IPv6Address(f"::ffff:{plain}"),
        ipaddress.IPv6Address(f"::{plain}"),
        ipaddress.IPv6Address(number << 80 | 0x2002 << 112),
        ipaddress.IPv6Address(0x20010000 << 96 | number),
    ]

    if not plain.is_global or plain.is_multicast:
        assert [one for one in forms if is_public(one)] == []
    assert [one for one in never if is_public(one)] == []


@given(number=st.integers(0, 2**128 - 1) | st.integers(0x20 << 120, (0x40 << 120) - 1))
def test_no_address_of_version_6_is_public_that_the_standard_library_calls_local(number: int) -> None:
    address = ipaddress.IPv6Address(number)

    if is_public(address) and address not in ipaddress.IPv6Network("64:ff9b::/96"):
        assert address.is_global
        never = (address.is_multicast, address.is_link_local, address.is_site_local, address.is_reserved)
        assert never == (False, False, False, False)


class Recording(httpcore2.AsyncNetworkBackend):
    """Notes where it is asked to connect, and connects nowhere; or to one port of this machine."""

    def __init__(self, port: int | None = None) -> None:
        self.asked: list[tuple[str, int]] = []
        self._port = port

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 # the library's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.asked.append((host, port))
        if self._port is None:
            raise httpcore2.ConnectError("nowhere")
        return await httpcore2.AnyIOBackend().connect_tcp("127.0.0.1", self._port, timeout)


class Names:
    """A name server that gives one answer after another."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("beside", [[], [PUBLIC]])
async def test_a_name_that_resolves_to_what_is_not_public_is_connected_nowhere(answer: str, beside: list[str]) -> None:
    network = Recording()
    sender = Sender(Allowed(), resolve=Names([*beside, answer]), network=network)

    told = await sender.send("https://hooks.example.org/", {}, b"{}")

    assert told.problem == f"refused: hooks.example.org resolves to {answer}"
    assert network.asked == []


async def test_a_name_server_that_changes_its_mind_is_asked_once_and_what_was_checked_is_connected_to() -> None:
    network, names = Recording(), Names([PUBLIC], ["127.0.0.1"])
    sender = Sender(Allowed(), resolve=names, network=network)

    await sender.send("https://hooks.example.org/", {}, b"{}")
    assert (network.asked, names.asked) == ([(PUBLIC, 443)], 1)

    told = await sender.send("https://hooks.example.org/", {}, b"{}")
    assert told.problem == "refused: hooks.example.org resolves to 127.0.0.1"
    assert (network.asked, names.asked) == ([(PUBLIC, 443)], 2)


@pytest.mark.parametrize("count", [0, 17])
async def test_a_name_with_no_address_or_too_many_is_refused(count: int) -> None:
    sender = Sender(Allowed(), resolve=Names([PUBLIC] * count), network=Recording())

    told = await sender.send("https://hooks.example.org/", {}, b"{}")

    assert told.problem == f"refused: hooks.example.org has {count} addresses"


async def test_a_connection_asked_for_elsewhere_is_refused() -> None:
    backend = CheckedBackend(read_url("https://hooks.example.org/", Allowed()), Names([PUBLIC]), Recording())

    with pytest.raises(WebhookRefused):
        await backend.connect_tcp("other.example.org", 443)
    with pytest.raises(WebhookRefused):
        await backend.connect_unix_socket("/run/docker.sock")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    async with receiving() as secret:
        move = http(status, f"Location: http://127.0.0.1:{secret.port}/")
        async with receiving(lambda _: move) as receiver:
            told = await Sender(Allowed.of([receiver.allowed, secret.allowed])).send(receiver.url, {}, b"{}")

        assert told == Answer(status=status)
        assert secret.connections == 0


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (None, "no answer within 0.2 s"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000, "RemoteProtocolError"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "RemoteProtocolError"),
        (b"", "RemoteProtocolError"),
    ],
)
async def test_an_answer_is_bounded_in_time_and_size(answer: bytes | None, problem: str) -> None:
    async with receiving(lambda _: answer) as receiver:
        told = await Sender(Allowed.of([receiver.allowed]), send_s=0.2).send(receiver.url, {}, b"{}")

    assert told.status == 0
    assert problem in told.problem


async def test_a_body_without_end_is_not_read() -> None:
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"5\r\nxxxxx\r\n" * 100_000
    async with receiving(lambda _: endless) as receiver:
        told = await Sender(Allowed.of([receiver.allowed])).send(receiver.url, {}, b"{}")

    assert told == Answer(status=200)


@pytest.mark.parametrize(("value", "wait_s"), [("7", 7.0), ("9" * 20, 86_400.0), ("-1", None), ("soon", None)])
async def test_a_receiver_may_ask_for_time_up_to_a_day(value: str, wait_s: float | None) -> None:
    async with receiving(lambda _: http(429, f"Retry-After: {value}")) as receiver:
        told = await Sender(Allowed.of([receiver.allowed])).send(receiver.url, {}, b"{}")

    assert told == Answer(status=429, retry_after_s=wait_s)


@pytest.mark.parametrize(
    "name", ["10.0.0.1:80", "hooks.example.org:443", "localhost:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", ""]
)
def test_only_loopback_addresses_with_a_port_are_allowed_by_name(name: str) -> None:
    with pytest.raises(WebhookRefused, match=r"write 127\.0\.0\.1:9000"):
        Allowed.of([name])


async def test_what_the_host_allowed_is_reached_at_that_port_alone() -> None:
    async with receiving() as allowed, receiving() as other:
        sender = Sender(Allowed.of([allowed.allowed]))

        assert await sender.send(allowed.url, {"webhook-id": "m"}, b"{}") == Answer(status=204)
        assert (await sender.send(other.url, {}, b"{}")).problem.startswith("refused: ")

    assert other.connections == 0
    assert allowed.got[0].headers["host"] == allowed.allowed


def certified(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for `name`, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


async def test_the_certificate_must_be_of_the_name_and_not_of_the_address(tmp_path: Path) -> None:
    theirs, mine = certified("hooks.example.org", tmp_path)
    asked: list[str] = []
    theirs.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with receiving(tls=theirs) as receiver:
        network = Recording(receiver.port)
        sender = Sender(Allowed(), resolve=Names([PUBLIC]), tls=mine, network=network)

        assert await sender.send("https://hooks.example.org/", {}, b"{}") == Answer(status=204)
        other = await sender.send("https://other.example.org/", {}, b"{}")

    assert network.asked == [(PUBLIC, 443)] * 2
    assert asked == ["hooks.example.org", "other.example.org"]
    assert "CERTIFICATE_VERIFY_FAILED" in other.problem
    assert len(receiver.got) == 1
