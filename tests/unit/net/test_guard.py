"""A host is called by the addresses that were checked, whatever its name leads to a moment later."""

import asyncio
import socket
from contextlib import asynccontextmanager

import httpx2
import pytest

from gateway.domain.addresses import parse_address
from gateway.domain.errors import UpstreamForbidden
from gateway.net.guard import Guard
from gateway.net.http1 import Http1
from gateway.providers.catalogue import open_provider
from gateway.settings import Providers
from tests.contracts.upstreams import call, within

TCP = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")


def found(*addresses, port=80):
    return [
        (socket.AF_INET6, *TCP, (each, port, 0, 0)) if ":" in each else (socket.AF_INET, *TCP, (each, port))
        for each in addresses
    ]


class Names:
    """A name server whose answers change from one question to the next; the last one stays."""

    def __init__(self, *answers, slow=0.0):
        self.answers = list(answers)
        self.asked = 0
        self.slow = slow

    async def look_up(self, host, port):
        self.asked += 1
        await asyncio.sleep(self.slow)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise socket.gaierror(socket.EAI_NONAME, "no such host")
        return found(*answer, port=port)


def a_guard(*answers, allow_private=True, **more):
    names = Names(*answers, **more)
    return Guard(allow_private=allow_private, look_up=names.look_up), names


def addresses(answer):
    return [each[4][0] for each in answer]


@asynccontextmanager
async def listening():
    """A server that counts its connections and answers nothing."""
    seen = []

    async def take(reader, writer):
        seen.append(await reader.read(4096))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


async def ask(pool, url):
    extensions = {"timeout": {"connect": 2.0, "pool": 2.0}}
    response = await pool.handle_async_request(
        httpx2.Request("POST", url, content=b"{}", extensions=extensions)
    )
    await response.aread()
    return response


# ---- what is let through -----------------------------------------------------------------------------------------
async def test_addresses_that_are_never_called_are_left_out():
    guard, _ = a_guard(("169.254.169.254", "10.0.0.1", "fe80::1%eth0", "::ffff:1.1.1.1", "fd12::1"))
    assert addresses(await guard.look_up("host", 80)) == ["10.0.0.1", "fd12::1"]


@pytest.mark.parametrize("answer", [("169.254.169.254",), ("0.0.0.0",), ("fd00:ec2::254", "fe80::1")])  # noqa: S104
async def test_a_host_that_leads_to_no_other_is_refused_with_the_reason_for_operators(answer):
    guard, _ = a_guard(answer)
    with pytest.raises(UpstreamForbidden) as raised:
        await guard.look_up("nice.example", 80)
    assert f"nice.example leads to {answer[-1]}" in raised.value.detail
    assert "nice.example" not in raised.value.message


async def test_private_addresses_are_a_matter_of_the_settings():
    guard, _ = a_guard(("10.0.0.1", "8.8.8.8"), allow_private=False)
    assert addresses(await guard.look_up("host", 80)) == ["8.8.8.8"]


async def test_a_name_that_says_enough_is_not_even_looked_up():
    guard, names = a_guard(("8.8.8.8",))
    with pytest.raises(UpstreamForbidden):
        await guard.look_up("metadata.google.internal", 80)
    assert names.asked == 0


async def test_a_host_that_there_is_not_is_no_affair_of_the_guard():
    guard, _ = a_guard(())
    with pytest.raises(socket.gaierror):
        await guard.look_up("host", 80)
    assert await guard.why_not(parse_address("http://host/v1")) is None


async def test_what_would_be_refused_can_be_told_before():
    guard, _ = a_guard(("169.254.169.254",))
    assert "metadata" in await guard.why_not(parse_address("http://host/v1"))


async def test_a_name_server_that_is_slow_holds_up_one_question_and_not_each():
    slow, _ = a_guard(("169.254.169.254",), slow=30)
    async with asyncio.timeout(15):
        for number in range(100):
            assert await slow.why_not(parse_address(f"http://host/{number}")) is None


# ---- what it costs -----------------------------------------------------------------------------------------------
async def test_many_who_ask_at_once_ask_once_and_soon_after_nobody_has_to():
    guard, names = a_guard(("8.8.8.8",), slow=0.01)
    await asyncio.gather(*(guard.look_up("host", 80) for _ in range(50)))
    await guard.look_up("host", 80)
    assert names.asked == 1
    await guard.look_up("host", 81)
    assert names.asked == 2


async def test_one_who_leaves_does_not_spoil_it_for_the_others():
    guard, names = a_guard(("8.8.8.8",), slow=0.05)
    first = asyncio.create_task(guard.look_up("host", 80))
    second = asyncio.create_task(guard.look_up("host", 80))
    await asyncio.sleep(0.01)
    first.cancel()
    assert addresses(await second) == ["8.8.8.8"]
    assert names.asked == 1


async def test_a_refusal_is_not_remembered_and_many_hosts_fill_no_memory():
    guard, _ = a_guard(("169.254.169.254",), ("8.8.8.8",))
    with pytest.raises(UpstreamForbidden):
        await guard.look_up("host", 80)
    assert addresses(await guard.look_up("host", 80)) == ["8.8.8.8"]
    for number in range(3000):
        await guard.look_up(f"host-{number}", 80)
    assert len(guard._known) <= 1024


# ---- where connections go ----------------------------------------------------------------------------------------
async def test_a_name_that_leads_elsewhere_the_second_time_is_called_as_it_was_checked():
    async with listening() as (port, seen):
        guard, names = a_guard(("127.0.0.1",), ("169.254.169.254",))
        pool = Http1(httpx2.create_ssl_context(), httpx2.Limits(), guard.look_up)
        await ask(pool, f"http://rebinds.example:{port}/v1")
        assert names.asked == 1
        assert b"rebinds.example" in seen[0]
        await pool.aclose()


async def test_a_name_that_leads_to_a_metadata_service_is_not_called():
    guard, _ = a_guard(("169.254.169.254",))
    pool = Http1(httpx2.create_ssl_context(), httpx2.Limits(), guard.look_up)
    with pytest.raises(UpstreamForbidden):
        await ask(pool, "http://rebinds.example/latest/meta-data")
    await pool.aclose()


@pytest.mark.parametrize("name", ["anthropic", "bedrock", "compatible", "gemini", "openai"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "0x7f.1"])  # noqa: S104
async def test_providers_call_nobody_on_this_machine_where_that_is_forbidden(name, host):
    async with listening() as (port, seen):
        provider = open_provider(name, Providers(allow_private_networks=False))
        with pytest.raises(UpstreamForbidden):
            await provider.complete(call(base_url=f"http://{host}:{port}/v1", timeouts=within()))
        assert not seen
        await provider.close()


@pytest.mark.parametrize("name", ["anthropic", "bedrock", "compatible", "gemini", "openai"])
async def test_providers_call_no_metadata_service_whatever_the_settings_say(name):
    provider = open_provider(name, Providers())
    with pytest.raises(UpstreamForbidden):
        await provider.complete(call(base_url="http://169.254.169.254/v1", timeouts=within(connect=0.5)))
    await provider.close()


async def test_a_proxy_is_not_asked_for_a_metadata_service(monkeypatch):
    async with listening() as (port, seen):
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        provider = open_provider("compatible", Providers(trust_env=True))
        with pytest.raises(UpstreamForbidden):
            await provider.complete(call(base_url="http://metadata.google.internal/v1", timeouts=within()))
        assert not seen
        await provider.close()
