"""How long it takes to carry a request, its answer and each chunk of its stream to another dialect: CPU time.

`python -m bench.translate [--rounds N]`, in one process and without a server. Requests are of 4 KB, with a system
prompt, a tool and a conversation; streams are of a thought, a text and a tool's call. Where an upstream's own wire is
read, decoding it is in the time, and signing where requests are signed. The first time of each is left
out, as it is with a process that has served for a while.
"""

from __future__ import annotations

import argparse
import gc
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import thread_time
from typing import Any, Final
from zlib import crc32

import msgspec

from bench.options import show
from bench.report import Report, Table, machine
from bench.stats import percentile
from gateway.domain.inference import Kind
from gateway.domain.registry import Model
from gateway.domain.secret import Secret
from gateway.providers.bedrock import answered as bedrock_answered
from gateway.providers.bedrock import asked as bedrock_asked
from gateway.providers.bedrock.frames import Decoder
from gateway.providers.bedrock.signing import signed
from gateway.providers.chat import read_event
from gateway.providers.dialects.messages.carried import MessagesOverChat
from gateway.providers.dialects.messages.heard import Hearing
from gateway.providers.dialects.messages.inward import completion
from gateway.providers.dialects.messages.outward import Terms, messages_request
from gateway.providers.dialects.messages.values import Lost, decoded, encoded
from gateway.providers.dialects.responses.bridge import carry_response
from gateway.providers.dialects.responses.native import native_response
from gateway.providers.gemini import answered as gemini_answered
from gateway.providers.gemini import asked as gemini_asked
from gateway.providers.messages import Messages
from gateway.providers.ports import Body, Call, CallTimeouts
from gateway.providers.wire import Reading

ROUNDS: Final = 500
_SIZE: Final = 4_096
_CHUNKS: Final = 200
_ID: Final = "01a2105b-cf6b-74a4-b2aa-3c85e678d99a"
_SENTENCE: Final = "The gateway carries what was asked to whoever can answer it, and the answer back. "
_BOUNDS: Final = CallTimeouts(timedelta(1), timedelta(1), timedelta(1))
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


def chat_over_gemini() -> Translation:
    """Chat asked of a model of Google's: its JSON is read in this time too."""
    call = Call(Kind.CHAT, Model("m", "gemini", "", "gemini-2.5-flash"), sized(chat_request), _BOUNDS)
    parts: list[dict[str, Any]] = [{"text": "hmm ", "thought": True}] * (_CHUNKS // 4)
    parts += [{"text": "word "}] * (_CHUNKS - len(parts) - 1)
    parts.append(
        {"functionCall": {"name": "weather", "args": {"city": "Žilina"}}, "thoughtSignature": "eHg="}
    )
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 9, "totalTokenCount": 18}
    base: dict[str, Any] = {"modelVersion": "m", "responseId": "1", "usageMetadata": usage}

    def said(*parts: dict[str, Any], **more: str) -> bytes:
        candidate = {"content": {"parts": parts, "role": "model"}, "index": 0, **more}
        return msgspec.json.encode({"candidates": [candidate], **base})

    events = [*(said(part) for part in parts[:-1]), said(parts[-1], finishReason="STOP")]
    whole = said({"text": _SENTENCE * (_SIZE // len(_SENTENCE))}, finishReason="STOP")

    def stream() -> None:
        speech = gemini_answered.Answered(call, 0)
        for event in events:
            speech.feed(b"", event)
        speech.end()

    return Translation(
        "chat over Gemini",
        lambda: gemini_asked.carried(call),
        lambda: gemini_answered.Answered(call, 0).reply(whole),
        stream,
        len(events),
    )


def responses_body(text: str) -> dict[str, Any]:
    """The same of responses."""
    call = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Žilina"}'}
    return {
        "model": "m",
        "max_output_tokens": 512,
        "temperature": 0.2,
        "tools": [{"type": "function", "name": "weather", "parameters": _SCHEMA}],
        "instructions": text[: len(text) // 2],
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": text[len(text) // 2 :]}]},
            call,
            {"type": "function_call_output", "call_id": "call_1", "output": "Sunny"},
            {"role": "user", "content": "And tomorrow?"},
        ],
    }


def responses_over_chat() -> Translation:
    """Responses asked of a model of chat."""
    body, whole = sized(responses_body), completion_body()
    chunks = [read_event(data, Reading(_SIZE)) for data in chat_chunks()]
    carried = carry_response(body, _ID)

    def stream() -> None:
        translator = carried.stream()
        for chunk in chunks:
            translator.feed(chunk)
        translator.end()

    return Translation(
        "responses over chat", lambda: carry_response(body, _ID), lambda: carried.reply(whole), stream
    )


def responses_renamed() -> Translation:
    """Responses asked of a model that speaks them: ids and numbers are changed."""
    body = sized(responses_body)
    carried, native = carry_response(body, _ID), native_response(body, _ID)
    whole, translator = carried.reply(completion_body()), carried.stream()
    events = [each for data in chat_chunks() for each in translator.feed(read_event(data, Reading(_SIZE)))]

    def stream() -> None:
        renamed = native.stream()
        for event in events:
            renamed.feed(event)
        renamed.end()

    return Translation(
        "responses as they are",
        lambda: native_response(body, _ID),
        lambda: native.reply(whole),
        stream,
        len(events),
    )


def chat_over_converse() -> Translation:
    """Chat asked of a model on Bedrock: its request is signed, and its event stream is decoded, in this time too."""
    model = Model("m", "bedrock", "", "anthropic.claude-sonnet-4-5-20250929-v1:0")
    call = Call(Kind.CHAT, model, sized(chat_request), _BOUNDS)
    keys = Secret("AKIAEXAMPLE:wJalrXUtnFEMI")
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse"

    def request() -> None:
        content, _ = bedrock_asked.carried(call)
        with suppress(StopIteration):
            # It waits for nothing: bodies of this size are signed at once.
            signed(url, content, {"content-type": "application/json"}, keys, "us-east-1").send(None)

    def event(name: str, **fields: Any) -> bytes:
        return framed({":event-type": name, ":message-type": "event"}, msgspec.json.encode(fields))

    deltas: list[dict[str, Any]] = [{"reasoningContent": {"text": "hmm "}}] * (_CHUNKS // 4)
    deltas += [{"text": "word "}] * (_CHUNKS // 2)
    deltas += [{"toolUse": {"input": "x"}}] * (_CHUNKS - len(deltas) - 2)
    body = [event("messageStart", role="assistant")]
    body += [event("contentBlockDelta", contentBlockIndex=0, delta=delta) for delta in deltas]
    body.append(event("messageStop", stopReason="tool_use"))
    usage = {"inputTokens": 9, "outputTokens": 9, "totalTokens": 18}
    content = [{"text": _SENTENCE * (_SIZE // len(_SENTENCE))}]
    message = {"role": "assistant", "content": content}
    whole = msgspec.json.encode({"output": {"message": message}, "stopReason": "end_turn", "usage": usage})

    def stream() -> None:
        decoder, speech = Decoder(_SIZE), bedrock_answered.Answered(call, 0)
        for chunk in body:
            for name, data in decoder.feed(chunk):
                speech.feed(name, data)
        speech.end()

    return Translation(
        "chat over Converse",
        request,
        lambda: bedrock_answered.Answered(call, 0).reply(whole),
        stream,
        len(body),
    )


def framed(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message of AWS's event stream."""
    named = b"".join(
        bytes((len(name),)) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", len(named) + len(payload) + 16, len(named))
    message = prelude + struct.pack(">I", crc32(prelude)) + named + payload
    return message + struct.pack(">I", crc32(message))


WAYS: Sequence[Callable[[], Translation]] = (
    messages_over_chat,
    chat_over_messages,
    chat_over_gemini,
    chat_over_converse,
    responses_over_chat,
    responses_renamed,
)


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
