"""A messages request as a chat request: https://platform.claude.com/docs/en/api/messages/create."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from gateway.domain.errors import InvalidRequest
from gateway.providers.dialects.messages.tables import REASONING, TIERS_IN, TOOL_CHOICES_IN, effort_of
from gateway.providers.dialects.messages.values import (
    Json,
    Lost,
    a_count,
    a_text,
    an_object,
    objects,
    written,
)

_LONGEST_USER: Final = 64  # OpenAI takes no longer one
_SAME: Final = ("temperature", "top_p", "stream")
_PDF: Final = "application/pdf"


def chat_request(asked: Json, lost: Lost) -> Json:
    """The same, asked in chat's dialect. Raises InvalidRequest naming a field that is not as it should be."""
    fields = dict(asked)
    chat: Json = {"model": fields.pop("model", "")}
    messages = [*_system(fields.pop("system", None), lost)]
    for message, at in objects(fields.pop("messages", []), "messages"):
        messages.extend(_message(message, at, lost))
    chat["messages"] = messages
    if (most := fields.pop("max_tokens", None)) is not None:
        chat["max_completion_tokens"] = a_count(most, "max_tokens")
    for name in _SAME:
        if (value := fields.pop(name, None)) is not None:
            chat[name] = value
    if stops := fields.pop("stop_sequences", None):
        chat["stop"] = stops
    _add_tools(chat, fields, lost)
    _add_thinking(chat, fields, lost)
    _add_user(chat, fields, lost)
    tier = fields.pop("service_tier", None)
    if tier is not None:
        if tier in TIERS_IN:
            chat["service_tier"] = TIERS_IN[tier]
        else:
            lost.say("service_tier")
    lost.rest(fields)
    return chat


# ---- messages ----------------------------------------------------------------------------------------------------
def _system(system: object, lost: Lost, at: str = "system") -> list[Json]:
    if system is None:
        return []
    text = system if isinstance(system, str) else "\n\n".join(_texts(system, at, lost))
    return [{"role": "system", "content": text}] if text else []


def _texts(blocks: object, at: str, lost: Lost) -> list[str]:
    """The texts of blocks that may hold nothing else."""
    found: list[str] = []
    for block, where in objects(blocks, at):
        if block.pop("type", "text") != "text":
            lost.say(where)
            continue
        found.append(a_text(block.pop("text", ""), f"{where}.text"))
        lost.rest(block, where)
    return found


def _message(message: Json, at: str, lost: Lost) -> list[Json]:
    role = message.pop("role", None)
    content = message.pop("content", "")
    lost.rest(message, at)
    match role:
        case "user":
            return _User(lost).read(content, f"{at}.content")
        case "assistant":
            return [_Assistant(lost).read(content, f"{at}.content")]
        case "system":
            return _system(content, lost, f"{at}.content")
        case _:
            raise InvalidRequest(
                f"`{at}.role` must be `user` or `assistant`, or `system`.", param=f"{at}.role"
            )


class _User:
    """What a user said: results of tools come first, as messages of their own, then all the rest as one."""

    def __init__(self, lost: Lost) -> None:
        self._lost = lost
        self._results: list[Json] = []
        self._parts: list[Json] = []

    def read(self, content: object, at: str) -> list[Json]:
        if isinstance(content, str):
            return [{"role": "user", "content": content}]
        for block, where in objects(content, at):
            if block.get("type") == "tool_result":
                self._result(block, where)
            else:
                self._parts.extend(self._part(block, where))
        if not self._parts:
            return self._results or [{"role": "user", "content": ""}]
        parts: Any = self._parts
        if len(self._parts) == 1 and self._parts[0]["type"] == "text":
            parts = self._parts[0]["text"]
        return [*self._results, {"role": "user", "content": parts}]

    def _part(self, block: Json, at: str) -> list[Json]:
        kind = block.pop("type", None)
        read: dict[object, Callable[[Json, str], list[Json]]] = {
            "text": self._text,
            "image": self._image,
            "document": self._document,
            "search_result": self._search_result,
        }
        reader = read.get(kind)
        if reader is None:
            self._lost.say(at)
            return []
        parts = reader(block, at)
        self._lost.rest(block, at)
        return parts

    def _text(self, block: Json, at: str) -> list[Json]:
        text = a_text(block.pop("text", ""), f"{at}.text")
        return [{"type": "text", "text": text}] if text else []

    def _image(self, block: Json, at: str) -> list[Json]:
        source = an_object(block.pop("source", None), f"{at}.source")
        match source.get("type"):
            case "base64":
                url = f"data:{source.get('media_type', '')};base64,{a_text(source.get('data'), f'{at}.source.data')}"
            case "url":
                url = a_text(source.get("url"), f"{at}.source.url")
            case _:
                self._lost.say(f"{at}.source")
                return []
        return [{"type": "image_url", "image_url": {"url": url}}]

    def _document(self, block: Json, at: str) -> list[Json]:
        source = an_object(block.pop("source", None), f"{at}.source")
        title = block.get("title")
        match source.get("type"):
            case "base64" if source.get("media_type", _PDF) == _PDF:
                block.pop("title", None)
                name = title if isinstance(title, str) and title else "document.pdf"
                data = a_text(source.get("data"), f"{at}.source.data")
                return [
                    {
                        "type": "file",
                        "file": {"filename": name, "file_data": f"data:{_PDF};base64,{data}"},
                    }
                ]
            case "text":
                return [{"type": "text", "text": a_text(source.get("data"), f"{at}.source.data")}]
            case "content":
                content = source.get("content")
                if isinstance(content, str):
                    return [{"type": "text", "text": content}]
                inside = objects(content, f"{at}.source.content")
                return [part for each, where in inside for part in self._part(each, where)]
            case _:
                self._lost.say(f"{at}.source")
                return []

    def _search_result(self, block: Json, at: str) -> list[Json]:
        head = [block.pop(name, None) for name in ("title", "source")]
        texts = _texts(block.pop("content", []), f"{at}.content", self._lost)
        said = [each for each in (*head, *texts) if isinstance(each, str) and each]
        return [{"type": "text", "text": "\n".join(said)}]

    def _result(self, block: Json, at: str) -> None:
        """A tool's result. Chat's may hold text alone: images follow in the user's own message."""
        block.pop("type")
        called = a_text(block.pop("tool_use_id", None), f"{at}.tool_use_id")
        content = block.pop("content", None)
        failed = block.pop("is_error", None) is True
        self._lost.rest(block, at)
        if content is None or isinstance(content, str):
            text = content or ""
        else:
            inside = objects(content, f"{at}.content")
            parts = [part for each, where in inside for part in self._part(each, where)]
            text = "\n".join(part["text"] for part in parts if part["type"] == "text")
            shown = [part for part in parts if part["type"] != "text"]
            if shown:
                self._parts.append({"type": "text", "text": f"What the tool call {called} has shown:"})
                self._parts.extend(shown)
        if failed and not text.lower().startswith("error"):
            text = f"Error: {text}" if text else "Error"  # chat has no other word for it
        self._results.append({"role": "tool", "tool_call_id": called, "content": text})


class _Assistant:
    """What the model said before."""

    def __init__(self, lost: Lost) -> None:
        self._lost = lost
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._blocks: list[Json] = []
        self._calls: list[Json] = []

    def read(self, content: object, at: str) -> Json:
        if isinstance(content, str):
            return {"role": "assistant", "content": content}
        for block, where in objects(content, at):
            self._read_block(block, where)
        message: Json = {"role": "assistant", "content": "".join(self._texts) or None}
        if message["content"] is None and not self._calls:
            message["content"] = ""
        if self._thoughts:
            message["reasoning_content"] = "".join(self._thoughts)
        if self._blocks:
            message["thinking_blocks"] = self._blocks
        if self._calls:
            message["tool_calls"] = self._calls
        return message

    def _read_block(self, block: Json, at: str) -> None:
        match block.pop("type", None):
            case "text":
                self._texts.append(a_text(block.pop("text", ""), f"{at}.text"))
                self._lost.rest(block, at)
            case "tool_use":
                self._call(block, at)
            case "thinking":
                thought = a_text(block.get("thinking", ""), f"{at}.thinking")
                if thought:
                    self._thoughts.append(thought)
                # Without a signature it is one of ours, from a model that signs nothing.
                if block.get("signature"):
                    self._blocks.append({"type": "thinking", "thinking": thought} | block)
            case "redacted_thinking":
                self._blocks.append({"type": "redacted_thinking", "data": block.get("data", "")})
            case _:
                self._lost.say(at)

    def _call(self, block: Json, at: str) -> None:
        name = a_text(block.pop("name", None), f"{at}.name")
        given = an_object(block.pop("input", {}), f"{at}.input")
        self._calls.append(
            {
                "id": a_text(block.pop("id", None), f"{at}.id"),
                "type": "function",
                "function": {"name": name, "arguments": written(given)},
            }
        )
        block.pop("caller", None)  # says that the model itself called it, which here is always so
        self._lost.rest(block, at)


# ---- all else ----------------------------------------------------------------------------------------------------
def _add_tools(chat: Json, fields: Json, lost: Lost) -> None:
    tools: list[Json] = []
    for tool, at in objects(fields.pop("tools", None) or [], "tools"):
        if tool.pop("type", None) not in (None, "custom"):
            lost.say(at)  # a tool that Anthropic itself runs, or whose form its models know by heart
            continue
        function: Json = {"name": a_text(tool.pop("name", None), f"{at}.name")}
        if description := tool.pop("description", None):
            function["description"] = a_text(description, f"{at}.description")
        function["parameters"] = an_object(tool.pop("input_schema", {}), f"{at}.input_schema")
        if (strict := tool.pop("strict", None)) is not None:
            function["strict"] = strict
        tools.append({"type": "function", "function": function})
        lost.rest(tool, at)
    choice = fields.pop("tool_choice", None)
    if not tools:
        if choice is not None:
            lost.say("tool_choice")
        return
    chat["tools"] = tools
    if choice is not None:
        _choose_tool(chat, an_object(choice, "tool_choice"))


def _choose_tool(chat: Json, choice: Json) -> None:
    kind = a_text(choice.get("type"), "tool_choice.type")
    if kind == "tool":
        name = a_text(choice.get("name"), "tool_choice.name")
        chat["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif kind in TOOL_CHOICES_IN:
        chat["tool_choice"] = TOOL_CHOICES_IN[kind]
    else:
        raise InvalidRequest(
            "`tool_choice.type` must be one of auto, any, tool, none.", param="tool_choice.type"
        )
    if choice.get("disable_parallel_tool_use") is True:
        chat["parallel_tool_calls"] = False


def _add_thinking(chat: Json, fields: Json, lost: Lost) -> None:
    """How hard to think, and in which form to answer."""
    config = an_object(fields.pop("output_config", None) or {}, "output_config")
    form = config.pop("format", None) or fields.pop("output_format", None)
    effort = config.pop("effort", None)
    lost.rest(config, "output_config")
    thinking = an_object(fields.pop("thinking", None) or {}, "thinking")
    match thinking.get("type"):
        case "enabled":
            effort = effort or effort_of(a_count(thinking.get("budget_tokens", 0), "thinking.budget_tokens"))
        case "disabled" | "between_tools":
            lost.say("thinking")
            effort = None
        case _:
            pass  # adaptive: as hard as the model finds right
    if effort is not None:
        if effort in REASONING:
            chat["reasoning_effort"] = REASONING[effort]
        else:
            lost.say("output_config.effort")
    if form is not None:
        schema = an_object(
            an_object(form, "output_config.format").get("schema"), "output_config.format.schema"
        )
        chat["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": True},
        }


def _add_user(chat: Json, fields: Json, lost: Lost) -> None:
    metadata = an_object(fields.pop("metadata", None) or {}, "metadata")
    user = metadata.pop("user_id", None)
    if isinstance(user, str) and user:
        long = len(user) > _LONGEST_USER
        chat["user"] = sha256(user.encode("utf-8", "surrogatepass")).hexdigest() if long else user
    # Other entries are tags for the gateway's own log, and have been read.
    del metadata, lost
