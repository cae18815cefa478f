"""How long it takes to carry a request, its answer and each chunk of its stream to another dialect: CPU time.

`python -m bench.translate [--rounds N]`, in one process and without a server. Requests are of 4 KB, with a system
prompt, a tool and a conversation; streams are of a thought, a text and a tool's call. The first time of each is left
out, as it is with a process that has served for a while.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import thread_time
from typing import Any, Final

import msgspec

from bench.options import show
from bench.report import Report, Table, machine
from bench.stats import percentile
from gateway.providers.chat import read_event
from gateway.providers.dialects.messages.carried import MessagesOverChat
from gateway.providers.dialects.messages.heard import Hearing
from gateway.providers.dialects.messages.inward import completion
from gateway.providers.dialects.messages.outward import Terms, messages_request
from gateway.providers.dialects.messages.values import Lost, decoded, encoded
from gateway.providers.messages import Messages
from gateway.providers.ports import Body
from gateway.providers.wire import Reading

ROUNDS: Final = 500
_SIZE: Final = 4_096
_CHUNKS: Final = 200
_SENTENCE: Final = "The gateway carries what was asked to whoever can answer it, and the answer back. "
_SCHEMA: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@dataclass(frozen=True, slots=True)
class Translation:
    """One way: what is done to a request, to an answer, and to a stream of so many chunks."""

    name: str
    request: Callable[[], object]
    answer: Callable[[], object]
    stream: Callable[[], object]
    chunks: int = _CHUNKS


# ---- what is carried ---------------------------------------------------------------------------------------------
def sized(make: Callable[[str], dict[str, Any]]) -> Body:
    """A request that is 4 KB long, by the length of its text."""
    spare = _SIZE - len(msgspec.json.encode(make("")))
    text = (_SENTENCE * (_SIZE // len(_SENTENCE) + 1))[:spare]
    return msgspec.json.decode(msgspec.json.encode(make(text)), type=dict[str, msgspec.Raw])


def chat_request(text: str) -> dict[str, Any]:
    """A chat with tools, and a call of one that was answered."""
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Žilina"}'},
    }
    return {
        "model": "m",
        "max_completion_tokens": 512,
        "temperature": 0.2,
        "stop": ["END"],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": _SCHEMA}}],
        "messages": [
            {"role": "system", "content": text[: len(text) // 2]},
            {"role": "user", "content": [{"type": "text", "text": text[len(text) // 2 :]}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Sunny"},
            {"role": "user", "content": "And tomorrow?"},
        ],
    }


def messages_body(text: str) -> dict[str, Any]:
    """The same of messages."""
    call = {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Žilina"}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "Sunny"}
    return {
        "model": "m",
        "max_tokens": 512,
        "temperature": 0.2,
        "stop_sequences": ["END"],
        "tools": [{"name": "weather", "input_schema": _SCHEMA}],
        "system": [{"type": "text", "text": text[: len(text) // 2]}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": text[len(text) // 2 :]}]},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result, {"type": "text", "text": "And tomorrow?"}]},
        ],
    }


def chat_chunks() -> list[bytes]:
    """A stream of chat: thoughts, text, a call, the usage."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": "hmm "}] * (_CHUNKS // 4)
    deltas += [{"content": "word "}] * (_CHUNKS // 2)
    named = {"name": "weather", "arguments": ""}
    deltas.append({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": named}]})
    left = _CHUNKS - len(deltas) - 2
    parts = ['{"city":"', *["x"] * (left - 2), '"}']
    deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in parts]
    base: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m"}
    chunks = [{**base, "choices": [{"index": 0, "delta": each, "finish_reason": None}]} for each in deltas]
    chunks.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    chunks.append({**base, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 9}})
    return [msgspec.json.encode(chunk) for chunk in chunks]


def completion_body() -> bytes:
    """A completion of about 4 KB."""
    message = {"role": "assistant", "content": _SENTENCE * (_SIZE // len(_SENTENCE))}
    usage = {"prompt_tokens": 9, "completion_tokens": 900, "total_tokens": 909}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return msgspec.json.encode(
        {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage}
    )


# ---- the ways ----------------------------------------------------------------------------------------------------
def messages_over_chat() -> Translation:
    """Messages asked of a model of chat."""
    body, whole = sized(messages_body), completion_body()
    chunks = [read_event(data, Reading(_SIZE)) for data in chat_chunks()]
    carried = MessagesOverChat(body, "01")

    def stream() -> None:
        translator = carried.stream()
        for chunk in chunks:
            translator.feed(chunk)
        translator.end()

    return Translation(
        "messages over chat", lambda: MessagesOverChat(body, "01"), lambda: carried.reply(whole), stream
    )


def chat_over_messages() -> Translation:
    """Chat asked of a model of messages."""
    body = sized(chat_request)
    carried = MessagesOverChat(sized(messages_body), "01")
    whole, translator = carried.reply(completion_body()), carried.stream()
    told = [each for data in chat_chunks() for each in translator.feed(read_event(data, Reading(_SIZE)))]
    wire, reading = Messages(), Reading(_SIZE)
    events = [wire.event(each.name.encode(), each.data, reading, "01") for each in told]

    def stream() -> None:
        hearing = Hearing(0)
        for event in events:
            hearing.feed(event)
        hearing.end()

    return Translation(
        "chat over messages",
        lambda: encoded(messages_request(decoded(body), Terms(), Lost())),
        lambda: completion(whole, 0, Lost()),
        stream,
        len(events),
    )


WAYS: Sequence[Callable[[], Translation]] = (messages_over_chat, chat_over_messages)


# ---- the clock ---------------------------------------------------------------------------------------------------
def timed(work: Callable[[], object], rounds: int) -> list[float]:
    """Seconds of CPU of each round, sorted."""
    work()
    taken: list[float] = []
    gc.collect()
    for _ in range(rounds):
        began = thread_time()
        work()
        taken.append(thread_time() - began)
    return sorted(taken)


def measure(rounds: int = ROUNDS) -> Report:
    """Each way."""
    report = Report()
    rows: list[list[str]] = []
    for way in (make() for make in WAYS):
        request, answer, stream = (timed(work, rounds) for work in (way.request, way.answer, way.stream))
        key = way.name.replace(" ", "_")
        chunk = percentile(stream, 0.5) / way.chunks
        report.facts[f"translate.{key}.request_ms"] = percentile(request, 0.5) * 1000
        report.facts[f"translate.{key}.answer_ms"] = percentile(answer, 0.5) * 1000
        report.facts[f"translate.{key}.chunk_us"] = chunk * 1e6
        cells = [percentile(each, share) * 1000 for each in (request, answer) for share in (0.5, 0.99)]
        rows.append([way.name, *(f"{cell:.3f}" for cell in cells), f"{chunk * 1e6:.1f}"])
    columns = (
        *("way", "request of 4 KB: p50 ms", "p99 ms"),
        *("answer of 4 KB: p50 ms", "p99 ms", "a chunk: p50 µs"),
    )
    report.tables.append(Table("Carried to another dialect", columns, rows))
    return report


def run() -> None:
    """Measure and print."""
    made = argparse.ArgumentParser(prog="python -m bench.translate", description=__doc__)
    made.add_argument("--rounds", type=int, default=ROUNDS)
    made.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    asked = made.parse_args()
    before = machine()
    show(measure(asked.rounds).tables, before, as_markdown=asked.markdown)


if __name__ == "__main__":
    run()
