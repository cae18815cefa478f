"""A chat request as Converse takes it: a pure function, and what it could not carry over.

Page: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. Beside chat's own fields these are
taken: `top_k`, `thinking` and `thinking_blocks` and `cache_control` (Anthropic's shapes), and `bedrock` (also in
`extra_body`) with Converse's own fields, such as `guardrailConfig` and `additionalModelRequestFields`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.domain.errors import NotCarried
from gateway.providers.bedrock import wire
from gateway.providers.hub.asked import (
    Asked,
    Fields,
    Media,
    Part,
    listed,
    media_of,
    object_at,
    objects_at,
    parts_of,
    text_at,
    tool_calls_of,
    unknown_role,
    wrong,
)
from gateway.providers.ports import Call

Dict = dict[str, Any]
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME: Final = re.compile(r"[^A-Za-z0-9\s\-()\[\]]+")
_TEXTS: Final = ("text", "input_text", "output_text")
_OWN: Final = frozenset(
    {
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "guardrailConfig",
        "outputConfig",
        "performanceConfig",
        "promptVariables",
        "requestMetadata",
        "serviceTier",
    }
)
"""Fields of Converse that chat has no word for; they are taken from `bedrock` as they are."""
_OPTIONS: Final = (
    ("guardrailConfig", "guardrail_config"),
    ("performanceConfig", "performance_config"),
)
_TIERS: Final[Mapping[str, str]] = {"default": "default", "flex": "flex", "priority": "priority"}


def carried(call: Call) -> tuple[bytes, tuple[str, ...]]:
    """The request's body and what could not be carried over. Raises InvalidRequest and NotCarried."""
    asked = Asked(call.body)
    messages = asked.objects("messages")
    sent = _Conversation(asked).read(messages)
    own = _own(asked)
    tools = _tools(asked, sent)
    if tools:
        sent["toolConfig"] = tools
    most = asked.count("max_completion_tokens", "max_tokens")
    config = _config(asked, most)
    if config:
        sent["inferenceConfig"] = config
    fields = _fields(asked, call, most)
    for name, option in _OPTIONS:
        if option in call.model.options:
            sent[name] = call.model.options[option]
    tier = asked.text("service_tier")
    if tier in _TIERS:
        sent["serviceTier"] = {"type": _TIERS[tier]}
    elif tier not in (None, "auto"):
        asked.drop("service_tier")
    output = _format(asked)
    if output:
        sent["outputConfig"] = output
    fields |= own.pop("additionalModelRequestFields", {})
    sent |= own
    if fields:
        sent["additionalModelRequestFields"] = fields
    return msgspec.json.encode(sent), asked.dropped(call)


def _own(asked: Asked) -> Dict:
    extra = asked.object("extra_body")
    inner = extra.get("bedrock")
    for name in extra:
        if name != "bedrock":
            asked.drop(f"extra_body.{name}")
    said = {**({} if inner is None else object_at(inner, "extra_body.bedrock")), **asked.object("bedrock")}
    for name in said.keys() - _OWN:
        asked.drop(f"bedrock.{name}")
    found = {name: value for name, value in said.items() if name in _OWN}
    if "additionalModelRequestFields" in found:
        object_at(found["additionalModelRequestFields"], "bedrock.additionalModelRequestFields")
    return found


# ---- messages ----------------------------------------------------------------------------------------------------
class _Conversation:
    """Reads messages into turns, which take turns: Converse refuses two of one role after each other."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._system: list[Dict] = []
        self._turns: list[Dict] = []
        self._documents = 0

    def read(self, messages: Sequence[Fields]) -> Dict:
        for n, message in enumerate(messages):
            self._message(message, f"messages[{n}]")
        if not self._turns and self._system:
            # A conversation must begin with somebody who asks.
            self._turns, self._system = [{"role": "user", "content": self._system}], []
        found: Dict = {"messages": self._turns}
        if self._system:
            found["system"] = self._system
        return found

    def _message(self, message: Fields, at: str) -> None:
        if message.get("name") is not None and message.get("role") != "tool":
            self._asked.drop(f"{at}.name")
        content = message.get("content")
        match message.get("role"):
            case "system" | "developer":
                self._system.extend(self._texts(content, f"{at}.content"))
                self._system.extend(_cache_point(message))
            case "user":
                self._say("user", [*self._blocks(content, f"{at}.content"), *_cache_point(message)])
            case "assistant":
                self._say("assistant", [*self._spoken(message, at), *_cache_point(message)])
            case "tool":
                self._say("user", [self._result(message, at), *_cache_point(message)])
            case role:
                raise unknown_role(role, at)

    def _say(self, role: str, blocks: list[Dict]) -> None:
        if not blocks:
            return
        if self._turns and self._turns[-1]["role"] == role:
            self._turns[-1]["content"].extend(blocks)
        else:
            self._turns.append({"role": role, "content": blocks})

    def _texts(self, content: object, at: str) -> list[Dict]:
        found: list[Dict] = []
        for part in parts_of(content, at):
            if part.type not in (*_TEXTS, "refusal"):
                raise part.not_carried()
            text = part.text("refusal" if part.type == "refusal" else "text")
            if text:
                found.append({"text": text})  # empty ones are refused
            found.extend(_cache_point(part.fields))
        return found

    def _blocks(self, content: object, at: str) -> list[Dict]:
        found: list[Dict] = []
        for part in parts_of(content, at):
            if part.type in _TEXTS:
                text = part.text()
                if text:
                    found.append({"text": text})
            else:
                found.append(self._medium(part))
            found.extend(_cache_point(part.fields))
        return found

    def _medium(self, part: Part) -> Dict:
        media = media_of(part)
        if media is None:
            raise part.not_carried()
        for kind, formats in (("image", wire.IMAGES), ("video", wire.VIDEOS), ("audio", wire.AUDIO)):
            if media.media_type in formats:
                return {kind: {"format": formats[media.media_type], "source": _source(media, part)}}
        if media.media_type not in wire.DOCUMENTS:
            raise NotCarried(
                f"`{media.media_type}` cannot be carried over to this model. It takes "
                f"{listed((*wire.IMAGES, *wire.DOCUMENTS))}, and sound and video of common kinds.",
                param=part.path,
            )
        self._documents += 1
        name = part.inner("file").get("filename") if part.type == "file" else None
        # The model reads the name: Converse takes few characters in it, and no name twice.
        plain = (
            " ".join(_NAME.sub(" ", name.rpartition(".")[0] or name).split()) if isinstance(name, str) else ""
        )
        return {
            "document": {
                "format": wire.DOCUMENTS[media.media_type],
                "name": f"{plain[:180]} {self._documents}".strip()
                if plain
                else f"document {self._documents}",
                "source": _source(media, part),
            }
        }

    def _spoken(self, message: Fields, at: str) -> list[Dict]:
        """An assistant's turn. Thoughts go along as they were signed; unsigned ones no model takes back."""
        found: list[Dict] = []
        for n, block in enumerate(objects_at(message.get("thinking_blocks") or [], f"{at}.thinking_blocks")):
            found.extend(_thought(block, f"{at}.thinking_blocks[{n}]"))
        found.extend(self._texts(message.get("content"), f"{at}.content"))
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal:
            found.append({"text": refusal})
        found.extend(
            {"toolUse": {"toolUseId": _tool_id(call.id), "name": call.name, "input": call.arguments}}
            for call in tool_calls_of(message, at)
        )
        if message.get("audio") is not None:
            self._asked.drop(f"{at}.audio")
        return found

    def _result(self, message: Fields, at: str) -> Dict:
        call_id = text_at(message.get("tool_call_id"), f"{at}.tool_call_id")
        blocks = self._blocks(message.get("content"), f"{at}.content")
        points = [block for block in blocks if "cachePoint" in block]
        said = [block for block in blocks if "cachePoint" not in block]
        if points:
            self._asked.drop(f"{at}.content[].cache_control")
        # A result without content is refused.
        return {"toolResult": {"toolUseId": _tool_id(call_id), "content": said or [{"text": "(empty)"}]}}


def _thought(block: Fields, at: str) -> list[Dict]:
    match block.get("type"):
        case "thinking" if block.get("signature"):
            text = {
                "text": text_at(block.get("thinking"), f"{at}.thinking"),
                "signature": text_at(block["signature"], f"{at}.signature"),
            }
            return [{"reasoningContent": {"reasoningText": text}}]
        case "redacted_thinking":
            return [{"reasoningContent": {"redactedContent": text_at(block.get("data"), f"{at}.data")}}]
        case _:
            return []


def _source(media: Media, part: Part) -> Dict:
    if not media.url:
        return {"bytes": media.data}
    if media.url.startswith("s3://"):
        return {"s3Location": {"uri": media.url}}
    raise NotCarried(
        "This model's provider fetches nothing from the web: send it as a data URL, or as s3://bucket/key.",
        param=part.path,
    )


def _cache_point(fields: Fields) -> list[Dict]:
    """Where a prompt is to be kept up to, said as Anthropic says it."""
    kept = fields.get("cache_control")
    if not isinstance(kept, dict):
        return []
    point: Dict = {"type": "default"}
    ttl: object = kept.get("ttl")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    if isinstance(ttl, str):
        point["ttl"] = ttl
    return [{"cachePoint": point}]


def _tool_id(given: str) -> str:
    """The id of a tool call: one that Converse would refuse gets another, the same for the call and its result."""
    return given if _ID.fullmatch(given) else f"call_{hashlib.sha256(given.encode()).hexdigest()[:32]}"


# ---- tools -------------------------------------------------------------------------------------------------------
def _tools(asked: Asked, sent: Dict) -> Dict:
    tools: list[Dict] = []
    for n, tool in enumerate(asked.objects("tools")):
        at = f"tools[{n}]"
        if "systemTool" in tool:
            tools.append({"systemTool": tool["systemTool"]})
            continue
        if tool.get("type", "function") != "function":
            asked.drop(at)
            continue
        tools.append({"toolSpec": _spec(object_at(tool.get("function"), f"{at}.function"), f"{at}.function")})
        tools.extend(_cache_point(tool))
    choice = _chosen(asked)
    if asked.flag("parallel_tool_calls") is False and tools:
        asked.drop("parallel_tool_calls")
    used = _used(sent)
    if choice is _NONE:
        if not used:
            return {}
        if tools:
            asked.drop("tool_choice")
        choice = None
    if not tools and used:
        # A conversation in which tools were called is refused where there are none.
        tools = [{"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}} for name in used]
    if not tools:
        return {}
    return {"tools": tools} if choice is None else {"tools": tools, "toolChoice": choice}


def _spec(function: Fields, at: str) -> Dict:
    schema = object_at(function.get("parameters") or {}, f"{at}.parameters")
    found: Dict = {
        "name": text_at(function.get("name"), f"{at}.name"),
        "inputSchema": {"json": {"type": "object", **schema}},
    }
    if function.get("description"):
        found["description"] = text_at(function["description"], f"{at}.description")
    if function.get("strict") is True:
        found["strict"] = True
    return found


def _used(sent: Dict) -> list[str]:
    names = (
        block["toolUse"]["name"]
        for turn in sent["messages"]
        for block in turn["content"]
        if "toolUse" in block
    )
    return list(dict.fromkeys(names))


_NONE: Final[Dict] = {}


def _chosen(asked: Asked) -> Dict | None:
    choice = asked.take("tool_choice")
    match choice:
        case None | "auto":
            return None
        case "none":
            return _NONE
        case "required":
            return {"any": {}}
        case str():
            raise wrong("tool_choice", "one of `auto`, `none`, `required`, or an object that names a tool")
        case _:
            fields = object_at(choice, "tool_choice")
            if fields.get("type") != "function":
                raise NotCarried(param="tool_choice")
            function = object_at(fields.get("function"), "tool_choice.function")
            return {"tool": {"name": text_at(function.get("name"), "tool_choice.function.name")}}


# ---- generation --------------------------------------------------------------------------------------------------
def _config(asked: Asked, most: int | None) -> Dict:
    found = {
        "maxTokens": most,
        "temperature": asked.number("temperature"),
        "topP": asked.number("top_p"),
        "stopSequences": asked.words("stop") or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _fields(asked: Asked, call: Call, most: int | None) -> Dict:
    """What goes to the model beside Converse's own fields, in the model's words."""
    model = call.model.upstream_model
    usual = call.model.options.get("additional_model_request_fields")
    found: Dict = dict(usual) if isinstance(usual, Mapping) else {}  # pyright: ignore[reportUnknownArgumentType]
    top = asked.count("top_k")
    if top is not None:
        found |= {"inferenceConfig": {"topK": top}} if "amazon.nova" in model else {"top_k": top}
    effort = asked.text("reasoning_effort")
    if effort is not None:
        if effort not in wire.EFFORTS:
            raise wrong("reasoning_effort", f"one of {listed(wire.EFFORTS)}")
        said = wire.thinking(effort, model, most)
        if said is None:
            asked.drop("reasoning_effort")
        found |= said or {}
    given = asked.object("thinking")
    if given:
        if wire.is_anthropic(model):
            found["thinking"] = given
        else:
            asked.drop("thinking")
    return found


def _format(asked: Asked) -> Dict:
    wanted = asked.object("response_format")
    match wanted.get("type"):
        case None | "text":
            return {}
        case "json_object":
            asked.drop("response_format")
            return {}
        case "json_schema":
            at = "response_format.json_schema"
            said = object_at(wanted.get("json_schema"), at)
            schema: Dict = {
                "schema": msgspec.json.encode(object_at(said.get("schema") or {}, f"{at}.schema")).decode()
            }
            schema |= {
                name: said[name] for name in ("name", "description") if isinstance(said.get(name), str)
            }
            return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
        case _:
            raise wrong("response_format.type", "one of `text`, `json_object`, `json_schema`")
