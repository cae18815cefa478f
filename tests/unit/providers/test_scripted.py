"""A script says what a scripted model does; a misspelt one is refused rather than taken for a good answer."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.domain.registry import Model
from gateway.providers.catalogue import PROVIDERS, UnknownProvider, open_provider
from gateway.providers.ports import Call
from gateway.providers.scripted.client import Scripted
from gateway.providers.scripted.script import FAILURES, Script, UnknownScript, script_named, script_of
from gateway.providers.scripted.server import serve
from gateway.providers.scripted.upstream import Upstream
from gateway.settings import Providers
from tests.contracts.upstreams import TIMEOUTS, call, served
from tests.waits import until


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("scripted", Script()),
        ("scripted-ok", Script()),
        ("scripted-500", Script(failure="status:500")),
        ("scripted-hang", Script(failure="hang")),
        ("scripted-tool-calls", Script(tool_calls=True)),
        ("scripted-ok?tokens=200&chunk_interval_ms=5", Script(tokens=200, chunk_interval_ms=5)),
        (
            "scripted-503?fail_first=2&should_retry=false",
            Script(failure="status:503", fail_first=2, should_retry=False),
        ),
        ("scripted-ok?text=caf%C3%A9", Script(text="café")),
        ("scripted?usage=none", Script(usage="none")),
    ],
)
def test_a_name_spells_a_script(name: str, script: Script):
    assert script_named(name) == script


@pytest.mark.parametrize("failure", sorted(FAILURES))
def test_every_failure_has_a_name(failure: str):
    assert script_named(f"scripted-{failure}").failure == failure


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4.1",
        "scripted-nonsense",
        "scripted-200",
        "scripted-600",
        "scripted-ok?toke=1",
        "scripted-ok?tokens=x",
        "",
    ],
)
def test_a_name_that_spells_none_is_an_unknown_model(name: str):
    with pytest.raises(UnknownScript):
        script_named(name)


@pytest.mark.parametrize(
    "fields", [{"failure": "hung"}, {"tokens": -1}, {"delay": 5}, {"failure": "status:200"}]
)
def test_a_misspelt_script_is_refused(fields: dict[str, object]):
    with pytest.raises(msgspec.ValidationError):
        script_of(fields)


async def test_in_process_a_models_options_are_its_script():
    provider = Scripted(Providers())
    model = Model(
        name="m", provider="scripted", base_url="", upstream_model="any", options={"text": "from options"}
    )
    asked = call()
    reply = await provider.complete(Call(asked.kind, model, asked.body, TIMEOUTS))
    assert msgspec.json.decode(reply.body)["choices"][0]["message"]["content"] == "from options"


def test_an_unknown_provider_is_told_those_that_there_are():
    with pytest.raises(UnknownProvider, match=f"there are {', '.join(sorted(PROVIDERS))}"):
        open_provider("compatable", Providers())


# ---- the server --------------------------------------------------------------------------------------------------
def ask(url: str, body: object = None, key: str = "") -> tuple[int, Any]:
    host, _, path = url.removeprefix("http://").partition("/")
    asking = HTTPConnection(host, timeout=30)
    with closing(asking):
        headers = {"authorization": f"Bearer {key}"}
        asking.request("GET" if body is None else "POST", f"/{path}", json.dumps(body), headers)
        answer = asking.getresponse()
        return answer.status, json.loads(answer.read())


def test_it_serves_models_by_a_file_and_one_key_only(tmp_path: Path):
    file = tmp_path / "models.json"
    file.write_text('{"small": {"text": "tiny"}, "broken": {"failure": "status:500"}}')
    with served("--models", str(file), "--key", "sk-right") as server:
        chat, root = f"{server.base_url}/chat/completions", server.base_url.removesuffix("/v1")
        assert ask(f"{root}/health") == (200, {"status": "ok"})
        _, models = ask(f"{server.base_url}/models")
        assert [model["id"] for model in models["data"]] == ["broken", "small"]
        assert ask(chat, {"model": "small"}, "sk-wrong")[0] == 401
        assert ask(chat, {"model": "small"}, "sk-right")[0] == 200
        assert ask(chat, {"model": "broken"}, "sk-right")[0] == 500
        assert ask(chat, {"model": "other"}, "sk-right")[0] == 404
        assert ask(chat, {"model": "small", "x_script": {"failure": "no such"}}, "sk-right")[0] == 400
        assert ask(chat, ["not an object"], "sk-right")[0] == 400
        assert server.stats()["calls"] == 4
        assert ask(f"{root}/reset", {})[0] == 200
        assert server.stats()["calls"] == 0
        assert ask(f"{root}/elsewhere")[0] == 404


def test_a_models_file_that_is_wrong_is_refused_by_name(tmp_path: Path):
    file = tmp_path / "models.json"
    file.write_text('{"small": {"txt": "tiny"}}')
    command = [sys.executable, "-m", "gateway.providers.scripted", "--models", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert "txt" in ended.stderr


def test_it_stops_when_told(tmp_path: Path):
    command = [sys.executable, "-m", "gateway.providers.scripted", "--uds", str(tmp_path / "socket")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on unix:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


async def test_requests_in_one_packet_are_answered_in_their_order():
    server = await serve(Upstream())
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    for model in ("scripted-ok?latency_ms=30&text=first", "scripted-ok?text=second"):
        body = json.dumps({"model": model}).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    writer.write(b"GET /health HTTP/1.1\r\nconnection: close\r\n\r\n")
    said = (await reader.read(-1)).decode()
    assert said.index("first") < said.index("second") < said.index('"status"')
    writer.close()
    server.close()


async def test_a_client_that_reads_slowly_holds_the_writer_back():
    upstream = Upstream()
    server = await serve(upstream)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2], limit=1024)
    body = json.dumps({"model": "scripted-ok?tokens=200000&chunk_interval_ms=0.001", "stream": True}).encode()
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(0.3)
    assert upstream.in_flight == 1
    writer.close()
    await until(lambda: (upstream.in_flight, upstream.cancelled) == (0, 1))
    server.close()


async def test_a_model_plays_what_it_is_told_to_from_then_on_and_its_own_again():
    upstream = Upstream()
    server = await serve(upstream)
    address = server.sockets[0].getsockname()[:2]

    async def post(path: str, body: object) -> str:
        reader, writer = await asyncio.open_connection(*address)
        sent = json.dumps(body).encode()
        writer.write(
            f"POST {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {len(sent)}\r\n\r\n".encode()
            + sent
        )
        said = (await reader.read(-1)).decode()
        writer.close()
        return said

    async def ask() -> str:
        return await post("/v1/chat/completions", {"model": "scripted-ok?text=mine"})

    assert "mine" in await ask()
    await post("/scripts", {"scripted-ok?text=mine": {"failure": "status:503"}})
    assert (await ask()).startswith("HTTP/1.1 503 ")
    assert (await post("/scripts", {"scripted-ok?text=mine": {"odd": 1}})).startswith("HTTP/1.1 400 ")
    assert (await ask()).startswith("HTTP/1.1 503 ")
    await post("/scripts", {"scripted-ok?text=mine": None})
    assert "mine" in await ask()
    server.close()


async def test_what_is_not_http_is_refused():
    server = await serve(Upstream())
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    assert (await reader.read(-1)).startswith(b"HTTP/1.1 400 ")
    writer.close()
    server.close()
