"""HTTP/1.1 as it comes from real servers: whole, in pieces, cut short, too early, too much; and the pool."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.net.http1 import Http1

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-own: 1\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
UNSIZED = b"HTTP/1.1 200 OK\r\n\r\nhello"
EARLY = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + PLAIN

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server of one function for each request; it counts its connections and keeps what was sent."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections = 0
        self.requests: list[bytes] = []


@asynccontextmanager
async def a_server(answer: Serve, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Server]:
    """Serve on a free port."""
    made = Server(0)
    serving: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.connections += 1
        task = asyncio.current_task()
        if task is not None:
            serving.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line[16:])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length: ")
                    ),
                    0,
                )
                made.requests.append(head + await reader.readexactly(length))
                await answer(reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving)


def saying(*pieces: bytes, close: bool = False) -> Serve:
    """Answer with these bytes, one write after the other."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            if len(pieces) > 1:
                await asyncio.sleep(0.001)
        if close:
            await writer.drain()
            writer.close()

    return answer


@asynccontextmanager
async def a_pool(**limits: Any) -> AsyncGenerator[Http1]:
    """A pool that is closed in the end."""
    made = Http1(ssl.create_default_context(), httpx2.Limits(**limits))
    try:
        yield made
    finally:
        await made.aclose()


async def ask(
    pool: Http1, server: Server, content: bytes = b"{}", pool_timeout: float = 5.0
) -> httpx2.Response:
    """Ask, and leave the answer open."""
    timeouts = {"connect": 5.0, "pool": pool_timeout}
    url = f"http://127.0.0.1:{server.port}/v1?a=b"
    return await pool.handle_async_request(
        httpx2.Request("POST", url, content=content, extensions={"timeout": timeouts})
    )


async def read(response: httpx2.Response) -> bytes:
    """Read an answer to its end, and give its connection back."""
    body = await response.aread()
    await response.aclose()
    return body


# ---- answers in every form ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(("said", "kept"), [(PLAIN, 1), (CHUNKED, 1), (EARLY, 1), (UNSIZED, 2)])
async def test_an_answer_is_read_to_its_end_and_its_connection_used_again_if_it_can_be(said, kept):
    async with a_server(saying(said, close=said is UNSIZED)) as server, a_pool() as pool:
        for _ in range(2):
            response = await ask(pool, server)
            assert response.status_code == 200
            assert await read(response) == b"hello"
        assert server.connections == kept


@given(cuts=st.lists(st.integers(min_value=1, max_value=len(CHUNKED) - 1), max_size=6, unique=True))
@settings(max_examples=25)
async def test_wherever_it_is_cut_it_is_the_same_answer(cuts):
    at = [0, *sorted(cuts), len(CHUNKED)]
    pieces = [CHUNKED[a:b] for a, b in pairwise(at)]
    async with a_server(saying(*pieces)) as server, a_pool() as pool:
        assert await read(await ask(pool, server)) == b"hello"


async def test_the_request_arrives_as_it_was_put():
    async with a_server(saying(PLAIN)) as server, a_pool() as pool:
        response = await ask(pool, server, b"x" * 100_000)
        assert response.headers["x-own"] == "1"
        await read(response)
    (sent,) = server.requests
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1?a=b HTTP/1.1\r\n")
    assert f"host: 127.0.0.1:{server.port}".encode() in head.lower()
    assert body == b"x" * 100_000


async def test_a_long_answer_that_is_read_slowly_comes_whole():
    long = b"y" * 3_000_000
    async with (
        a_server(saying(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(long), long)) as server,
        a_pool() as pool,
    ):
        response = await ask(pool, server)
        await asyncio.sleep(0.05)
        assert await read(response) == long


# ---- answers that are none ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200",
        b"no http at all\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_an_error(said):
    async with a_server(saying(said, close=True)) as server, a_pool() as pool:
        with pytest.raises(httpx2.TransportError):
            await read(await ask(pool, server))
        assert not pool._open


@pytest.mark.parametrize("said", [PLAIN[:-1], CHUNKED[:-5], CHUNKED[:-8]])
async def test_an_answer_that_is_cut_short_is_an_error(said):
    async with a_server(saying(said, close=True)) as server, a_pool() as pool:
        response = await ask(pool, server)
        with pytest.raises(httpx2.TransportError):
            await response.aread()
        await response.aclose()
        assert not pool._open


async def test_a_head_that_does_not_end_is_an_error():
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(400):
            writer.write(b"x-%d: %s\r\n" % (number, b"z" * 1000))

    async with a_server(answer) as server, a_pool() as pool:
        with pytest.raises(httpx2.RemoteProtocolError, match="head"):
            await ask(pool, server)


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"garbage"])
async def test_what_comes_after_an_answer_is_not_taken_for_the_next_one(more):
    async with a_server(saying(PLAIN + more)) as server, a_pool() as pool:
        for _ in range(2):
            assert await read(await ask(pool, server)) == b"hello"
        assert server.connections == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("x", "a\r\nx-evil: 1"), ("x", "a\nb"), ("x y", "a"), ("transfer-encoding", "chunked")],
)
async def test_nothing_breaks_out_of_a_header(name, value):
    request = httpx2.Request("POST", "http://127.0.0.1:1/", content=b"{}")
    request.headers[name] = value
    async with a_pool() as pool:
        with pytest.raises(httpx2.LocalProtocolError):
            await pool.handle_async_request(request)


async def test_nobody_there_is_an_error_of_connecting():
    async with a_server(saying(PLAIN)) as server:
        pass
    async with a_pool() as pool:
        with pytest.raises(httpx2.ConnectError):
            await ask(pool, server)
        assert not pool._opening


# ---- the pool ----------------------------------------------------------------------------------------------------
async def test_a_connection_that_the_server_has_closed_is_not_used_again():
    async with a_server(saying(PLAIN, close=True)) as server, a_pool() as pool:
        for _ in range(3):
            assert await read(await ask(pool, server)) == b"hello"
        assert server.connections == 3


async def test_a_connection_that_waited_too_long_is_not_used_again():
    async with a_server(saying(PLAIN)) as server, a_pool(keepalive_expiry=0.01) as pool:
        await read(await ask(pool, server))
        await asyncio.sleep(0.05)
        await read(await ask(pool, server))
        assert server.connections == 2


async def test_at_the_limit_a_request_waits_for_a_connection_and_no_longer_than_it_may():
    async with a_server(saying(PLAIN)) as server, a_pool(max_connections=1) as pool:
        first = await ask(pool, server)
        with pytest.raises(httpx2.PoolTimeout):
            await ask(pool, server, pool_timeout=0.02)
        second = asyncio.create_task(ask(pool, server))
        await asyncio.sleep(0.02)
        assert not second.done()
        await read(first)
        assert await read(await second) == b"hello"
        assert server.connections == 1


async def test_at_the_limit_an_idle_connection_of_another_server_makes_room():
    async with (
        a_server(saying(PLAIN)) as one,
        a_server(saying(PLAIN)) as other,
        a_pool(max_connections=1) as pool,
    ):
        await read(await ask(pool, one))
        await read(await ask(pool, other, pool_timeout=30))
        await read(await ask(pool, one, pool_timeout=30))
        assert (one.connections, other.connections) == (2, 1)


async def test_many_at_once_on_few_connections_are_all_answered():
    async with a_server(saying(PLAIN)) as server, a_pool(max_connections=4) as pool:

        async def one() -> bytes:
            return await read(await ask(pool, server))

        assert await asyncio.gather(*(one() for _ in range(200))) == [b"hello"] * 200
        assert server.connections == 4


async def test_no_more_than_so_many_are_kept():
    async with a_server(saying(PLAIN)) as server, a_pool(max_keepalive_connections=1) as pool:
        for response in await asyncio.gather(*(ask(pool, server) for _ in range(5))):
            await read(response)
        assert len(pool._open) == 1


async def test_who_gives_up_waiting_closes_the_connection():
    asked = asyncio.Event()

    async def silence(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.sleep(60)

    async with a_server(silence) as server, a_pool() as pool:
        asking = asyncio.create_task(ask(pool, server))
        await asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not pool._open


async def test_an_answer_that_is_left_half_read_takes_its_connection_along():
    async with a_server(saying(PLAIN[:-2])) as server, a_pool() as pool:
        response = await ask(pool, server)
        await response.aclose()
        assert not pool._open


async def test_what_comes_while_nobody_asks_ends_the_connection():
    spoken = asyncio.Event()

    async def twice(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(PLAIN)
        await asyncio.sleep(0.02)
        writer.write(PLAIN.replace(b"hello", b"other"))
        spoken.set()

    async with a_server(twice) as server, a_pool() as pool:
        assert await read(await ask(pool, server)) == b"hello"
        await spoken.wait()
        await asyncio.sleep(0.1)
        assert await read(await ask(pool, server)) == b"hello"
        assert server.connections == 2


async def test_an_answer_that_nobody_read_is_not_the_next_ones():
    first = PLAIN.replace(b"hello", b"never")
    said = iter((first, PLAIN))

    async def in_turn(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(next(said))

    async with a_server(in_turn) as server, a_pool() as pool:
        await (await ask(pool, server)).aclose()
        assert await read(await ask(pool, server)) == b"hello"
        assert server.connections == 1


# ---- TLS ---------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A certificate for `localhost` that signs itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


@pytest.mark.parametrize(
    ("host", "trusted"), [("localhost", True), ("localhost", False), ("127.0.0.1", True)]
)
async def test_a_server_is_spoken_to_only_if_its_certificate_is_trusted_and_its_own(
    certificate, host, trusted
):
    here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    here.load_cert_chain(certificate)
    pool = Http1(ssl.create_default_context(cafile=certificate if trusted else None), httpx2.Limits())
    async with a_server(saying(PLAIN), here) as server:

        async def one() -> bytes:
            url = f"https://{host}:{server.port}/"
            return await read(await pool.handle_async_request(httpx2.Request("POST", url, content=b"{}")))

        if trusted and host == "localhost":
            assert [await one(), await one()] == [b"hello", b"hello"]
            assert server.connections == 1
        else:
            with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await one()
            assert not server.requests
    await pool.aclose()
