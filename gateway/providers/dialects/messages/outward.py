"""A chat request as a messages request: https://platform.claude.com/docs/en/api/messages/create."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from gateway.domain.errors import InvalidRequest
from gateway.providers.dialects.messages.tables import (
    BUDGETS,
    EFFORTS,
    LEAST_BUDGET,
    TIERS_OUT,
    TOOL_CHOICES_OUT,
)
from gateway.providers.dialects.messages.values import (
    Json,
    Lost,
    a_count,
    a_text,
    an_object,
    arguments_of,
    objects,
)

USUAL_MOST: Final = 4_096
"""Tokens of an answer that nobody bounded: Anthropic wants a bound, and every model of its takes this one."""
_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_SPOKEN_FOR: Final = (
    "stream_options",
    "metadata",
)  # the first is how usage is asked for, the other the gateway's
_NO_LOSS: Final[Mapping[str, tuple[object, ...]]] = {
    "n": (1,),
    "logprobs": (False,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "modalities": (["text"],),
    "store": (False,),
    "logit_bias": ({},),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a model takes: `most` tokens of answer where nobody says; thinks by budget, not by effort; no sampling."""

    most: int = USUAL_MOST
    budgets: bool = False
    samples: bool = True


def messages_request(asked: Json, terms: Terms, lost: Lost) -> Json:
    """The same, asked in Anthropic's dialect. Raises InvalidRequest naming a field that is not as it should be."""
    fields = dict(asked)
    system, messages = _Turns(lost).read(fields.pop("messages", []))
    sent: Json = {"model": fields.pop("model", ""), "max_tokens": _most(fields, terms), "messages": messages}
    if system:
        sent["system"] = system
    for name in ("stream", "cache_control"):
        if (value := fields.pop(name, None)) is not None:
            sent[name] = value
    if stops := fields.pop("stop", None):
        sent["stop_sequences"] = [stops] if isinstance(stops, str) else stops
    _add_tools(sent, fields, lost)
    _add_thinking(sent, fields, terms, lost)
    _add_sampling(sent, fields, terms, lost)
    _add_format(sent, fields.pop("response_format", None), lost)
    _add_rest(sent, fields, lost)
    return sent


def _most(fields: Json, terms: Terms) -> int:
    newer, older = fields.pop("max_completion_tokens", None), fields.pop("max_tokens", None)
    if newer is not None:
        return a_count(newer, "max_completion_tokens")
    return terms.most if older is None else a_count(older, "max_tokens")


# ---- messages ----------------------------------------------------------------------------------------------------
class _Turns:
    """The conversation as Anthropic wants it: what the system says apart, turns of user and assistant in turn."""

    def __init__(self, lost: Lost) -> None:
        self._lost = lost
        self._system: list[Json] = []
        self._turns: list[Json] = []

    def read(self, messages: object) -> tuple[Any, list[Json]]:
        for message, at in objects(messages, "messages"):
            self._read_message(message, at)
        if not self._turns:
            raise InvalidRequest(
                "`messages` must have a message of a user that says something.", param="messages"
            )
        self._trim_last()
        plain = len(self._system) == 1 and self._system[0].keys() == {"type", "text"}
        return self._system[0]["text"] if plain else self._system, self._turns

    def _read_message(self, message: Json, at: str) -> None:
        role, content = message.pop("role", None), message.pop("content", None)
        kept = message.pop("cache_control", None)
        match role:
            case "system" | "developer":
                blocks = [b for b in self._blocks(content, f"{at}.content") if b["type"] == "text"]
                self._system.extend(_kept(blocks, kept))
            case "user":
                self._say("user", _kept(self._blocks(content, f"{at}.content"), kept))
            case "assistant":
                self._say("assistant", _kept(self._assistant(message, content, at), kept))
            case "tool" | "function":
                called = message.pop("tool_call_id", None) or message.pop("name", "")
                result: Json = {"type": "tool_result", "tool_use_id": a_text(called, f"{at}.tool_call_id")}
                blocks = self._blocks(content, f"{at}.content")
                only = len(blocks) == 1 and blocks[0].keys() == {"type", "text"}
                if blocks:
                    result["content"] = blocks[0]["text"] if only else blocks
                self._say("user", _kept([result], kept))
            case _:
                raise InvalidRequest(
                    f"`{at}.role` must be one of system, developer, user, assistant, tool.",
                    param=f"{at}.role",
                )
        self._lost.rest(message, at)

    def _say(self, role: str, blocks: list[Json]) -> None:
        if not blocks:
            return
        if self._turns and self._turns[-1]["role"] == role:
            self._turns[-1]["content"].extend(blocks)
        else:
            self._turns.append({"role": role, "content": blocks})

    def _trim_last(self) -> None:
        """An answer that is to be gone on with must not end in white space: Anthropic refuses that."""
        last = self._turns[-1]
        if last["role"] == "assistant" and last["content"][-1].get("type") == "text":
            text = last["content"][-1]["text"].rstrip()
            if text:
                last["content"][-1]["text"] = text

    def _assistant(self, message: Json, content: object, at: str) -> list[Json]:
        blocks: list[Json] = []
        signed = message.pop("thinking_blocks", None)
        if signed:
            blocks.extend(block for block, _ in objects(signed, f"{at}.thinking_blocks"))
            message.pop("reasoning_content", None)
        blocks.extend(self._blocks(content, f"{at}.content"))
        if refusal := message.pop("refusal", None):
            blocks.append({"type": "text", "text": a_text(refusal, f"{at}.refusal")})
        called = objects(message.pop("tool_calls", None) or [], f"{at}.tool_calls")
        blocks.extend(filter(None, (self._call(call, where) for call, where in called)))
        if legacy := message.pop("function_call", None):
            function = an_object(legacy, f"{at}.function_call")
            blocks.append(_tool_use(function.get("name", ""), function, f"{at}.function_call"))
        return blocks

    def _call(self, call: Json, at: str) -> Json | None:
        if call.get("type", "function") != "function":
            self._lost.say(at)
            return None
        function = an_object(call.get("function"), f"{at}.function")
        return _tool_use(call.get("id", ""), function, f"{at}.function")

    def _blocks(self, content: object, at: str) -> list[Json]:
        """Blocks of a message's content; empty texts are left out, which Anthropic refuses."""
        if content is None or content == "":
            return []
        if isinstance(content, str):
            return [{"type": "text", "text": content}]
        found = (self._block(part, where) for part, where in objects(content, at))
        return [block for block in found if block is not None]

    def _block(self, part: Json, at: str) -> Json | None:
        kind, kept = part.pop("type", None), part.pop("cache_control", None)
        block: Json | None = None
        match kind:
            case "text" | "refusal":
                text = a_text(part.pop(kind, ""), f"{at}.{kind}")
                if not text:
                    return None
                block = {"type": "text", "text": text}
            case "image_url":
                image = part.pop("image_url", None)
                url = image if isinstance(image, str) else an_object(image, f"{at}.image_url").get("url")
                block = _image(a_text(url, f"{at}.image_url.url"))
            case "file":
                block = _document(an_object(part.pop("file", None), f"{at}.file"))
            case _:
                pass
        if block is None:
            self._lost.say(at)
            return None
        self._lost.rest(part, at)
        return block if kept is None else {**block, "cache_control": kept}


def _kept(blocks: list[Json], cache_control: object) -> list[Json]:
    """The same, the last of them marked for the cache."""
    if cache_control is None or not blocks:
        return blocks
    return [*blocks[:-1], {**blocks[-1], "cache_control": cache_control}]


def _tool_use(called: object, function: Json, at: str) -> Json:
    name = a_text(function.get("name"), f"{at}.name")
    return {
        "type": "tool_use",
        "id": called,
        "name": name,
        "input": arguments_of(function.get("arguments")),
    }


def _image(url: str) -> Json | None:
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type, data = _data_of(url)
    if media_type not in _IMAGES:
        return None
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _document(file: Json) -> Json | None:
    data = file.get("file_data")
    if not isinstance(data, str):
        return None  # by its id it is a file at OpenAI
    media_type, encoded = _data_of(data) if data.startswith("data:") else ("application/pdf", data)
    if media_type != "application/pdf":
        return None
    block: Json = {
        "type": "document",
        "source": {"type": "base64", "media_type": media_type, "data": encoded},
    }
    name = file.get("filename")
    return {**block, "title": name} if isinstance(name, str) and name else block


def _data_of(url: str) -> tuple[str, str]:
    head, _, data = url.removeprefix("data:").partition(",")
    return head.partition(";")[0].lower(), data


# ---- all else ----------------------------------------------------------------------------------------------------
def _add_tools(sent: Json, fields: Json, lost: Lost) -> None:
    tools = [
        *_functions(fields.pop("tools", None) or [], "tools", lost),
        *(
            _tool(function, at, lost)
            for function, at in objects(fields.pop("functions", None) or [], "functions")
        ),
    ]
    choice, legacy = fields.pop("tool_choice", None), fields.pop("function_call", None)
    parallel = fields.pop("parallel_tool_calls", None)
    if not tools:
        if choice not in (None, "auto", "none"):
            lost.say("tool_choice")
        return
    sent["tools"] = tools
    chosen = _chosen(choice if choice is not None else legacy, lost)
    if parallel is False:
        chosen = chosen or {"type": "auto"}
        if chosen["type"] != "none":
            chosen["disable_parallel_tool_use"] = True
    if chosen is not None:
        sent["tool_choice"] = chosen


def _functions(tools: object, where: str, lost: Lost) -> list[Json]:
    found: list[Json] = []
    for tool, at in objects(tools, where):
        if tool.get("type", "function") != "function":
            lost.say(at)
            continue
        made = _tool(an_object(tool.get("function"), f"{at}.function"), f"{at}.function", lost)
        if (kept := tool.get("cache_control")) is not None:
            made["cache_control"] = kept
        found.append(made)
    return found


def _tool(function: Json, at: str, lost: Lost) -> Json:
    tool: Json = {"name": a_text(function.pop("name", None), f"{at}.name")}
    if description := function.pop("description", None):
        tool["description"] = description
    schema = function.pop("parameters", None) or {}
    tool["input_schema"] = {"type": "object", **an_object(schema, f"{at}.parameters")}
    for name in ("strict", "cache_control"):
        if (value := function.pop(name, None)) is not None:
            tool[name] = value
    lost.rest(function, at)
    return tool


def _chosen(choice: object, lost: Lost) -> Json | None:
    if choice is None:
        return None
    if isinstance(choice, str):
        if choice not in TOOL_CHOICES_OUT:
            raise InvalidRequest(
                "`tool_choice` must be one of none, auto, required, or a function.", param="tool_choice"
            )
        return {"type": TOOL_CHOICES_OUT[choice]}
    wanted = an_object(choice, "tool_choice")
    function = wanted.get("function", wanted)
    if isinstance(function, dict) and isinstance(name := cast("Json", function).get("name"), str):
        return {"type": "tool", "name": name}
    lost.say("tool_choice")
    return None


def _add_thinking(sent: Json, fields: Json, terms: Terms, lost: Lost) -> None:
    """How hard to think. `thinking` itself, which some of OpenAI's dialect take, goes before `reasoning_effort`."""
    thinking, effort = fields.pop("thinking", None), fields.pop("reasoning_effort", None)
    if thinking is not None:
        sent["thinking"] = an_object(thinking, "thinking")
        return
    if effort is None:
        return
    if effort == "none":
        sent["thinking"] = {"type": "disabled"}
        return
    if effort not in EFFORTS:
        raise InvalidRequest(
            f"`reasoning_effort` must be one of none, {', '.join(EFFORTS)}.", param="reasoning_effort"
        )
    if not terms.budgets:
        sent["thinking"] = {"type": "adaptive"}
        sent["output_config"] = {"effort": EFFORTS[effort]}
        return
    budget = min(BUDGETS[EFFORTS[effort]], sent["max_tokens"] - 1)
    forced = sent.get("tool_choice", {}).get("type") in ("any", "tool")
    if budget < LEAST_BUDGET or forced:
        lost.say("reasoning_effort")  # there is no room to think in, or no choice to think about
        return
    sent["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _add_sampling(sent: Json, fields: Json, terms: Terms, lost: Lost) -> None:
    """Temperature up to 1, never with `top_p`, and not while it thinks: whatever else Anthropic would refuse."""
    given = {name: fields.pop(name, None) for name in ("temperature", "top_p", "top_k")}
    thinks = sent.get("thinking", {}).get("type") in ("enabled", "adaptive")
    for name, value in given.items():
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise InvalidRequest(f"`{name}` must be a number.", param=name)
        if not terms.samples or thinks or (name == "top_p" and "temperature" in sent):
            if not (thinks and value == 1 and name != "top_k"):
                lost.say(name)
            continue
        if name == "temperature" and value > 1:
            lost.say(name)
            value = 1  # noqa: PLW2901  chat's goes up to 2
        sent[name] = value


def _add_format(sent: Json, form: object, lost: Lost) -> None:
    if form is None:
        return
    wanted = an_object(form, "response_format")
    match wanted.get("type"):
        case "text":
            pass
        case "json_schema":
            described = an_object(wanted.get("json_schema"), "response_format.json_schema")
            schema = an_object(described.get("schema"), "response_format.json_schema.schema")
            config = sent.setdefault("output_config", {})
            config["format"] = {"type": "json_schema", "schema": schema}
        case _:
            lost.say("response_format")


def _add_rest(sent: Json, fields: Json, lost: Lost) -> None:
    for name in _SPOKEN_FOR:
        fields.pop(name, None)
    user = fields.pop("safety_identifier", None) or fields.get("user")
    fields.pop("user", None)
    if isinstance(user, str) and user:
        sent["metadata"] = {"user_id": user}
    tier = fields.pop("service_tier", None)
    if tier in TIERS_OUT:
        sent["service_tier"] = TIERS_OUT[tier]
    elif tier is not None:
        lost.say("service_tier")
    for name, harmless in _NO_LOSS.items():
        if fields.get(name) in harmless:
            del fields[name]
    lost.rest(fields)
