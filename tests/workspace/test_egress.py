"""The proxy out of a sandbox: what is let through, what is looked at on the way, and who hears of a refusal."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from honk.model import Command, Reach
from honk.settings import Settings
from honk.workspace import Sandbox
from honk.workspace.addresses import acceptable
from honk.workspace.egress import Egress
from honk.workspace.greeting import Malformed, read_greeting

from .conftest import Upstream


class Told:
    """A repository's allowances and what was refused, as the flow would keep them."""

    def __init__(self) -> None:
        self.allowed: set[tuple[str, int]] = set()
        self.refused: list[tuple[str, int, str]] = []
        self.reach = Reach(
            lambda host, port: (host, port) in self.allowed,
            lambda host, port, why: self.refused.append((host, port, why)),
        )

    def until(self, count: int) -> list[tuple[str, int, str]]:
        """The refusals, as soon as there are so many."""
        deadline = time.monotonic() + 10
        while len(self.refused) < count:
            assert time.monotonic() < deadline, self.refused
            time.sleep(0.005)
        return self.refused


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def sandbox(settings: Settings, tmp_path: Path, told: Told) -> Sandbox:
    for name in ("tree", "own"):
        (tmp_path / name).mkdir()
    return Sandbox(settings, tmp_path / "tree", tmp_path / "own", reach=told.reach)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate in one file; who looks at neither."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def secure(upstream: Upstream, certificate: Path) -> Upstream:
    """The server outside, with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    upstream.server.socket = context.wrap_socket(upstream.server.socket, server_side=True)
    return upstream


TALK = """
import socket, ssl, sys
port = int(sys.argv[1])
context = ssl._create_unverified_context()
for host, name in [line.split(",") for line in sys.argv[2:]]:
    plain = socket.create_connection(("127.0.0.1", 4002))
    plain.sendall(f"CONNECT {host}:{port} HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode())
    said = plain.recv(4096).decode()
    try:
        if " 200 " not in said: raise OSError(said.splitlines()[0])
        with context.wrap_socket(plain, server_hostname=name or None) as secure:
            secure.sendall(b"GET /" + name.encode() + b" HTTP/1.0\\r\\n\\r\\n")
            print(host, name, secure.recv(4096).decode().splitlines()[0])
    except OSError as error:
        print(host, name, "failed:", error)
"""


def test_a_tunnel_is_only_for_the_name_it_was_asked_for(sandbox: Sandbox, secure: Upstream, told: Told) -> None:
    egress = [f"localhost:{secure.port}", f"127.0.0.1:{secure.port}"]
    pairs = ("localhost,localhost", "localhost,evil.example", "localhost,", "127.0.0.1,", "127.0.0.1,evil.example")
    done = sandbox.run(Command(("python3", "-c", TALK, str(secure.port), *pairs), egress=egress))
    lines = done.output.splitlines()
    assert "200" in lines[0]
    assert "unrecognized name" in lines[1].lower().replace("_", " ")
    assert "failed" in lines[2]
    assert "200" in lines[3]
    assert "failed" in lines[4]
    assert secure.paths == ["/localhost", "/"]
    assert told.until(2)[:2] == [
        ("evil.example", secure.port, "other name"),
        ("localhost", secure.port, "other name"),
    ]
    assert set(done.refused_hosts) == {f"evil.example:{secure.port}", f"localhost:{secure.port}"}


def test_an_allowance_counts_for_the_process_that_runs_already(
    sandbox: Sandbox, upstream: Upstream, told: Told
) -> None:
    code = (
        "import sys, time, urllib.request, urllib.error\n"
        "while True:\n"
        "    try: urllib.request.urlopen(sys.argv[1])\n"
        "    except urllib.error.HTTPError as error:\n"
        "        if error.code != 403: print(error.code, error.read().decode()); break\n"
        "    time.sleep(0.02)\n"
    )
    done: list[str] = []

    def run() -> None:
        done.append(sandbox.run(Command(("python3", "-c", code, "http://nowhere.invalid:8080/"))).output)

    running = threading.Thread(target=run)
    running.start()
    assert told.until(1) == [("nowhere.invalid", 8080, "not on the list")]
    told.allowed.add(("nowhere.invalid", 8080))
    running.join(30)
    assert done[0].startswith("502"), done
    assert "cannot be resolved" in done[0]
    assert told.refused == [("nowhere.invalid", 8080, "not on the list")]


def test_what_people_allow_by_a_tap_never_leads_into_a_private_network(
    sandbox: Sandbox, upstream: Upstream, told: Told
) -> None:
    fetch = (
        "import sys, urllib.request, urllib.error\n"
        "for url in sys.argv[1:]:\n"
        "    request = urllib.request.Request(url); request.set_proxy('127.0.0.1:4002', 'http')\n"
        "    try: print(urllib.request.urlopen(request).read())\n"
        "    except urllib.error.HTTPError as error: print(error.code, error.read().decode())\n"
    )
    names = ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1")
    told.allowed |= {(name, upstream.port) for name in names}
    urls = [f"http://{name}:{upstream.port}/" for name in names]
    done = sandbox.run(Command(("python3", "-c", fetch, *urls)))
    assert done.output.count("private network") == len(names), done.output
    assert upstream.paths == []
    assert {why for _, _, why in told.until(len(names))} == {"private address"}


# -- straight at the socket, byte by byte ------------------------------------------------------------------------------


@contextmanager
def proxy(
    settings: Settings, entries: Sequence[str], told: Told, addresses: Callable[[str], list[str]] | None = None
) -> Iterator[Egress]:
    async def resolve(host: str, port: int) -> list[str]:
        assert addresses is not None
        return addresses(host)

    given = {"resolve": resolve} if addresses else {}
    with Egress(entries, told.reach, settings, **given) as egress:
        yield egress


def talk(egress: Egress, *pieces: bytes, end: bool = False) -> bytes:
    """All that comes back for what is said in these pieces."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(egress.socket))
        for piece in pieces:
            client.sendall(piece)
        if end:
            client.shutdown(socket.SHUT_WR)
        heard = b""
        while data := client.recv(65536):
            heard += data
        return heard


def hello(name: str | None) -> bytes:
    """A ClientHello as OpenSSL says it."""
    context, out = ssl.create_default_context(), ssl.MemoryBIO()
    context.check_hostname = False
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    return out.read()


def in_records(greeting: bytes, size: int) -> bytes:
    """The same handshake, cut into records of that size."""
    body = greeting[5:]
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(greeting[:3] + len(part).to_bytes(2, "big") + part for part in parts)


def test_a_greeting_is_read_however_it_is_cut() -> None:
    whole = hello("Good.Example")
    for said in (whole, in_records(whole, 7), in_records(whole, 1)):
        for length in range(len(said)):
            assert read_greeting(said[:length]) is None
        greeting = read_greeting(said)
        assert greeting is not None
        assert (greeting.protocol, greeting.host) == ("tls", "good.example")
    unnamed = read_greeting(hello(None))
    assert unnamed is not None
    assert unnamed.host is None
    for broken in (b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", b"\x16\x02\x00\x00\x05hello"):
        with pytest.raises(Malformed):
            read_greeting(broken)
    place = whole.index(b"Good.Example")
    with pytest.raises(Malformed):
        read_greeting(whole[: place - 2] + b"\xff\xff" + whole[place:])
    endless = b"\x16\x03\x01\x00\x01\x01" + b"\x16\x03\x01\x00\x01\x00" * 30_000
    with pytest.raises(Malformed):
        read_greeting(endless[:100_000])


def test_a_connection_that_is_still_open_ends_without_a_trace(
    settings: Settings, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX) as unfinished, proxy(settings, [], told) as egress:
        unfinished.connect(str(egress.socket))
        unfinished.sendall(b"CONNECT localhost:1")
        # Whoever is answered came after it.
        assert b"400" in talk(egress, b"nothing\r\n\r\n")
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_a_greeting_in_pieces_reaches_the_server_whole(settings: Settings, secure: Upstream, told: Told) -> None:
    with proxy(settings, [f"localhost:{secure.port}"], told) as egress:
        said = hello("localhost")
        start = f"CONNECT localhost:{secure.port} HTTP/1.1\r\n\r\n".encode()
        heard = talk(egress, start, *(said[place : place + 50] for place in range(0, len(said), 50)), end=True)
    assert b" 200 " in heard
    assert heard.partition(b"\r\n\r\n")[2][:1] == b"\x16", heard


def test_on_port_443_only_tls_is_let_through(settings: Settings, told: Told) -> None:
    try:
        listener = socket.create_server(("127.0.0.1", 443))
    except OSError as error:
        pytest.skip(f"port 443 of this machine cannot be listened on: {error.strerror}")
    with listener, proxy(settings, ["localhost"], told) as egress:
        heard = talk(egress, b"CONNECT localhost:443 HTTP/1.1\r\n\r\n", b"SSH-2.0-hidden\r\n")
        assert b" 200 " in heard
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(100) == b""
    assert told.until(1) == [("localhost", 443, "not TLS")]


def test_plain_http_in_a_tunnel_is_for_the_host_of_the_tunnel(
    settings: Settings, upstream: Upstream, told: Told
) -> None:
    with proxy(settings, [f"localhost:{upstream.port}"], told) as egress:
        start = f"CONNECT localhost:{upstream.port} HTTP/1.1\r\n\r\n".encode()
        host = b"Host: localhost:%d\r\n" % upstream.port
        assert b" 200 OK" in talk(egress, start, b"GET /fine HTTP/1.1\r\n" + host, b"\r\n", end=True)
        heard = talk(egress, start, b"GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert heard.count(b"HTTP/1.1 200") == 1
    assert upstream.paths == ["/fine"]
    assert told.until(1) == [("evil.example", upstream.port, "other name")]


def test_plain_http_is_for_the_host_it_names_and_carries_one_request(
    settings: Settings, upstream: Upstream, told: Told
) -> None:
    place = f"127.0.0.1:{upstream.port}"
    get = f"GET http://{place}/{{}} HTTP/1.1\r\nHost: {{}}\r\n{{}}\r\n"
    with proxy(settings, [place], told) as egress:
        assert b"hello from outside" in talk(egress, get.format("a", place, "").encode())
        assert b" 403 " in talk(egress, get.format("b", "evil.example", "").encode())
        assert b" 400 " in talk(egress, get.format("c", place, "Host: evil.example\r\n").encode())
        assert b" 400 " in talk(egress, get.format("d", place, "X: y\nHost: evil.example\r\n").encode())
        assert b" 400 " in talk(egress, get.format("e", place, " folded: evil\r\n").encode())
        hidden = get.format("f", place, "").encode() + b"GET /smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        assert talk(egress, hidden).count(b"hello from outside") == 1
        both = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"
        assert b" 400 " in talk(egress, get.format("g", place, both).encode(), b"0\r\n\r\n")
    assert upstream.paths == ["/a", "/f"]
    assert told.until(1) == [("evil.example", upstream.port, "other name")]


def test_bodies_go_out_by_their_length_and_in_chunks(settings: Settings, upstream: Upstream, told: Told) -> None:
    place = f"127.0.0.1:{upstream.port}"
    upstream.go_on.set()
    post = f"POST http://{place}/p HTTP/1.1\r\n".encode()
    with proxy(settings, [place], told) as egress:
        assert b"data: last" in talk(egress, post + b"Content-Length: 4\r\n\r\n", b"bo", b"dy")
    assert upstream.paths == ["/p"]


def test_a_name_is_connected_to_at_the_very_address_that_was_looked_at(
    settings: Settings, upstream: Upstream, told: Told
) -> None:
    asked: list[str] = []

    def addresses(host: str) -> list[str]:
        # The next answer would be another one.
        asked.append(host)
        return ["10.0.0.1"] if len(asked) == 1 else ["127.0.0.1"]

    with proxy(settings, [f"rebound.example:{upstream.port}"], told, addresses) as egress:
        for _ in range(2):
            heard = talk(egress, f"GET http://rebound.example:{upstream.port}/ HTTP/1.1\r\n\r\n".encode())
            assert b" 403 " in heard
            assert b"private network" in heard
    assert asked == ["rebound.example"] * 2
    assert upstream.paths == []


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "100.64.0.1", "100.100.100.200", "168.63.129.16", "169.254.169.254", "192.0.0.192", "198.18.0.1",
        "255.255.255.255", "::", "::1", "::127.0.0.1", "::10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::1", "2001:0:53aa::1",
        "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "2001:db8::5efe:10.0.0.1", "2001:db8::200:5efe:7f00:1",
    ],
)  # fmt: skip
def test_addresses_of_networks_are_refused_in_every_spelling(address: str) -> None:
    assert not acceptable("example.com", address)
    assert acceptable(address, address)


@pytest.mark.parametrize("address", ["64:ff9b::5db8:d70e", "2002:5db8:d70e::1", "2606:2800:220:1::1", "::ffff:8.8.8.8"])
def test_public_addresses_are_reached_in_every_spelling(address: str) -> None:
    assert acceptable("example.com", address)


def test_names_that_are_none_are_turned_away_without_a_word_to_people(settings: Settings, told: Told) -> None:
    with proxy(settings, [], told) as egress:
        for target in (
            "a<b>.example:443",
            "<!channel>:443",
            "a b:443",
            "[::1",
            ":443",
            "x" * 300 + ":443",
            "é.example:443",
        ):
            assert b" 400 " in talk(egress, f"CONNECT {target} HTTP/1.1\r\n\r\n".encode()), target
        assert b" 403 " in talk(egress, b"CONNECT Shouted.Example.:443 HTTP/1.1\r\n\r\n")
    assert told.until(1) == [("shouted.example", 443, "not on the list")]


def test_a_sandbox_moves_so_many_bytes_and_no_more(settings: Settings, upstream: Upstream, told: Told) -> None:
    place = f"127.0.0.1:{upstream.port}"
    upstream.go_on.set()
    get = f"GET http://{place}/ HTTP/1.1\r\n\r\n".encode()
    post = f"POST http://{place}/ HTTP/1.1\r\nContent-Length: 300000\r\n\r\n".encode()
    few = settings.model_copy(update={"egress_bytes": 200_000})
    with proxy(few, [place], told) as egress:
        assert b"hello" in talk(egress, get)
        with contextlib.suppress(OSError):  # it hangs up on who still talks
            talk(egress, post, bytes(300_000))
        assert b"HONK_EGRESS_BYTES" in talk(egress, get)
    assert told.until(1) == [("127.0.0.1", upstream.port, "limit")]
    with proxy(settings.model_copy(update={"egress_connection_bytes": 10}), [place], told) as egress:
        assert b"hello from outside" not in talk(egress, get)


def test_a_connection_that_rests_or_lasts_too_long_is_ended(settings: Settings, upstream: Upstream, told: Told) -> None:
    place = f"127.0.0.1:{upstream.port}"
    post = f"POST http://{place}/ HTTP/1.1\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    for limit in ("egress_idle_seconds", "egress_connection_seconds"):
        with proxy(settings.model_copy(update={limit: 0.3}), [place], told) as egress:
            heard = talk(egress, post)
        assert b"first" in heard
        assert b"last" not in heard


def test_a_proxy_that_is_closed_leaves_nothing_open(settings: Settings, upstream: Upstream, told: Told) -> None:
    place = f"127.0.0.1:{upstream.port}"
    with socket.socket(socket.AF_UNIX) as client:
        with proxy(settings, [place], told) as egress:
            client.connect(str(egress.socket))
            client.sendall(f"CONNECT {place} HTTP/1.1\r\n\r\n".encode())
            assert b" 200 " in client.recv(4096)
        assert client.recv(4096) == b""
    assert not egress.socket.exists()
