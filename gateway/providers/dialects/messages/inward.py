"""An answer of messages as a chat completion."""

from __future__ import annotations

import msgspec

from gateway.providers.dialects.messages.tables import FINISHES, chat_usage
from gateway.providers.dialects.messages.values import Json, Lost, answer_of, each, some, words, written
from gateway.providers.usage import read_told, usage_of


def completion(body: bytes, created: int, lost: Lost) -> bytes:
    """The answer in chat's dialect; `created` in seconds since 1970. Raises UpstreamMalformed."""
    answer = answer_of(body)
    heard = _Heard(lost)
    for index, block in enumerate(each(answer.get("content"))):
        heard.read(block, f"content[{index}]")
    usage = usage_of(read_told(msgspec.Raw(msgspec.json.encode(answer.get("usage")))))
    told: Json = {
        "id": completion_id(words(answer.get("id"))),
        "object": "chat.completion",
        "created": created,
        "model": words(answer.get("model")),
        "choices": [
            {
                "index": 0,
                "message": heard.message(refusal_of(answer)),
                "logprobs": None,
                **finished(answer),
            }
        ],
    }
    if usage is not None:
        told["usage"] = chat_usage(usage)
    return msgspec.json.encode(told)


def completion_id(message_id: str) -> str:
    """A completion's id, by which the message's is still known."""
    return f"chatcmpl-{message_id.removeprefix('msg_')}"


def finished(said: Json) -> Json:
    """Why it ended, in chat's word; the word at which it stopped stands beside it, as vLLM has it."""
    finish: Json = {"finish_reason": FINISHES.get(words(said.get("stop_reason")), "stop")}
    if matched := words(said.get("stop_sequence")):
        finish["stop_reason"] = matched
    return finish


def refusal_of(said: Json) -> str | None:
    """Why it was refused, if that is what ended it and there are words for it."""
    if said.get("stop_reason") != "refusal":
        return None
    return words(some(said.get("stop_details")).get("explanation")) or None


class _Heard:
    """The blocks of an answer, put together as one message."""

    def __init__(self, lost: Lost) -> None:
        self._lost = lost
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._signed: list[Json] = []
        self._calls: list[Json] = []

    def read(self, block: Json, at: str) -> None:
        match block.get("type"):
            case "text":
                self._texts.append(words(block.get("text")))
                if block.get("citations"):
                    self._lost.say(f"{at}.citations")
            case "thinking":
                self._thoughts.append(words(block.get("thinking")))
                self._signed.append(block)
            case "redacted_thinking":
                self._signed.append(block)
            case "tool_use":
                function = {"name": words(block.get("name")), "arguments": written(some(block.get("input")))}
                self._calls.append({"id": words(block.get("id")), "type": "function", "function": function})
            case _:
                self._lost.say(at)

    def message(self, refusal: str | None) -> Json:
        message: Json = {
            "role": "assistant",
            "content": "".join(self._texts) if self._texts else None,
            "refusal": refusal,
        }
        if any(self._thoughts):
            message["reasoning_content"] = "".join(self._thoughts)
        if self._signed:
            message["thinking_blocks"] = self._signed
        if self._calls:
            message["tool_calls"] = self._calls
        return message
