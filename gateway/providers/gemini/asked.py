"""A chat request as `generateContent` takes it: a pure function, and what it could not carry over.

Page: ai.google.dev/api/generate-content. Beside chat's own fields these are taken: `top_k`, `safety_settings`,
`thinking` (Anthropic's shape), and `google` with `thinking_config`, `safety_settings`, `cached_content`,
`generation_config` and `tools`; also in `extra_body`, as Google's own server of chat's dialect has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from gateway.domain.errors import InvalidRequest, NotCarried
from gateway.providers.gemini.schema import narrowed
from gateway.providers.gemini.wire import EFFORTS, SKIP_SIGNATURE, as_fields, takes_levels, thinking, thinks
from gateway.providers.hub.asked import (
    Asked,
    Fields,
    Media,
    all_text,
    listed,
    media_at,
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
_SNAKE: Final = re.compile(r"_([a-z0-9])")
_CHOICES: Final[Mapping[str, str]] = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_AUDIO: Final[Mapping[str, str]] = {"audio/mpeg": "audio/mp3", "audio/x-wav": "audio/wav"}


def carried(call: Call) -> tuple[bytes, tuple[str, ...]]:
    """The request's body and what could not be carried over. Raises InvalidRequest and NotCarried."""
    asked = Asked(call.body)
    google = _google(asked)
    sent: Dict = {}
    sent.update(_contents(asked, call.model.upstream_model))
    sent.update(_tools(asked, google))
    config = _config(asked, call, google)
    if config:
        sent["generationConfig"] = config
    for name in ("safetySettings", "cachedContent", "labels"):
        if name in google:
            sent[name] = google.pop(name)
    own = asked.take("safety_settings")
    safety = own if own is not None else call.model.options.get("safety_settings")
    if safety is not None:
        sent.setdefault("safetySettings", safety)
    for name in google:
        asked.drop(f"google.{name}")
    return msgspec.json.encode(sent), asked.dropped(call)


def _google(asked: Asked) -> Dict:
    """What the caller says in Google's own words, in the spelling of the REST API."""
    extra = asked.object("extra_body")
    for name in extra:
        if name != "google":
            asked.drop(f"extra_body.{name}")
    inner = extra.get("google")
    said = {**({} if inner is None else object_at(inner, "extra_body.google")), **asked.object("google")}
    return {camel(name): value for name, value in said.items()}


def camel(name: str) -> str:
    """`thinking_budget` as the REST API spells it."""
    return _SNAKE.sub(lambda found: found[1].upper(), name)


# ---- messages ----------------------------------------------------------------------------------------------------
def _contents(asked: Asked, model: str) -> Dict:
    messages = asked.objects("messages")
    system: list[Dict] = []
    contents: list[Dict] = []
    names: dict[str, str] = {}
    for n, message in enumerate(messages):
        at = f"messages[{n}]"
        content = message.get("content")
        if message.get("name") is not None and message.get("role") != "tool":
            asked.drop(f"{at}.name")
        match message.get("role"):
            case "system" | "developer":
                text = all_text(content, f"{at}.content")
                if text:
                    system.append({"text": text})
            case "user":
                _say(contents, "user", _parts(asked, content, f"{at}.content"))
            case "assistant":
                _say(contents, "model", _spoken(asked, message, at, names, model))
            case "tool":
                _say(contents, "user", [_result(message, at, names)])
            case role:
                raise unknown_role(role, at)
    if not contents and system:
        # A conversation must begin with somebody who asks.
        contents, system = [{"role": "user", "parts": system}], []
    found: Dict = {"contents": contents}
    if system:
        found["systemInstruction"] = {"parts": system}
    return found


def _say(contents: list[Dict], role: str, parts: Sequence[Dict]) -> None:
    """Add to the conversation; turns of one role that follow each other are one turn."""
    if not parts:
        return
    if contents and contents[-1]["role"] == role:
        contents[-1]["parts"].extend(parts)
    else:
        contents.append({"role": role, "parts": list(parts)})


def _parts(asked: Asked, content: object, at: str) -> list[Dict]:
    found: list[Dict] = []
    for part in parts_of(content, at):
        if part.type in ("text", "input_text", "output_text"):
            found.append({"text": part.text()})
            continue
        media = media_of(part)
        if media is None:
            raise part.not_carried()
        value = part.fields.get(part.type)
        if isinstance(value, dict) and cast("Fields", value).get("detail", "auto") not in (None, "auto"):
            asked.drop(f"{part.path}.{part.type}.detail")
        found.append(_blob(media))
    return found


def _blob(media: Media) -> Dict:
    kind = _AUDIO.get(media.media_type, media.media_type)
    if media.url:
        return {"fileData": {"mimeType": kind, "fileUri": media.url}}
    return {"inlineData": {"mimeType": kind, "data": media.data}}


def _spoken(asked: Asked, message: Fields, at: str, names: dict[str, str], model: str) -> list[Dict]:
    """An assistant's turn. What it thought goes along with the signature that it came with."""
    found: list[Dict] = []
    thought = message.get("reasoning_content")
    if isinstance(thought, str) and thought:
        found.append({"text": thought, "thought": True})
    for part in parts_of(message.get("content"), f"{at}.content"):
        if part.type not in ("text", "refusal", "output_text"):
            raise part.not_carried()
        found.append({"text": part.text("refusal" if part.type == "refusal" else "text")})
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        found.append({"text": refusal})
    for n, image in enumerate(objects_at(message.get("images") or [], f"{at}.images")):
        path = f"{at}.images[{n}].image_url"
        found.append(
            _blob(media_at(text_at(object_at(image.get("image_url"), path).get("url"), path), path, ""))
        )
    signature = _signature(message)
    if signature is not None:
        # Signatures of words that came without a thought of their own stand at the last of them.
        if not found:
            found.append({"text": ""})
        found[-1]["thoughtSignature"] = signature
    first = True
    for call in tool_calls_of(message, at):
        names[call.id] = call.name
        called: Dict = {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}
        signature = _signature(call.fields)
        if signature is None and first and takes_levels(model):
            signature = SKIP_SIGNATURE
        if signature is not None:
            called["thoughtSignature"] = signature
        first = False
        found.append(called)
    if message.get("audio") is not None:
        asked.drop(f"{at}.audio")
    return found


def _signature(fields: Fields) -> str | None:
    """A signature where Google's own server of chat's dialect puts it: `extra_content.google.thought_signature`."""
    value: object = fields
    for name in ("extra_content", "google", "thought_signature"):
        value = cast("Fields", value).get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value else None


def _result(message: Fields, at: str, names: Mapping[str, str]) -> Dict:
    call_id = text_at(message.get("tool_call_id"), f"{at}.tool_call_id")
    name = names.get(call_id)
    if name is None:
        raise InvalidRequest(
            f"`{at}.tool_call_id` must be the id of a tool call in a message before it.",
            param=f"{at}.tool_call_id",
        )
    texts: list[str] = []
    blobs: list[Dict] = []
    for part in parts_of(message.get("content"), f"{at}.content"):
        if part.type in ("text", "input_text", "output_text"):
            texts.append(part.text())
            continue
        media = media_of(part)
        if media is None:
            raise part.not_carried()
        blobs.append(_blob(media))
    found: Dict = {"id": call_id, "name": name, "response": _response("".join(texts))}
    if blobs:
        found["parts"] = blobs
    return {"functionResponse": found}


def _response(text: str) -> Dict:
    """A tool's result, which must be an object: what is none stands in one, under the name that Google has for it."""
    if text.lstrip()[:1] == "{":
        try:
            return msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError):
            pass
    return {"output": text}


# ---- tools -------------------------------------------------------------------------------------------------------
def _tools(asked: Asked, google: Dict) -> Dict:
    functions: list[Dict] = []
    tools: list[Any] = []
    strict: list[str] = []
    for n, tool in enumerate(asked.objects("tools")):
        at = f"tools[{n}]"
        if "type" not in tool and "function" not in tool:
            tools.append({camel(name): value for name, value in tool.items()})  # one of Google's own
        elif tool.get("type", "function") == "function":
            functions.append(_declared(asked, object_at(tool.get("function"), f"{at}.function"), at, strict))
        else:
            asked.drop(at)
    if asked.take("web_search_options") is not None:
        tools.append({"googleSearch": {}})
    own = google.pop("tools", None)
    if own is not None:
        tools.extend(objects_at(own, "google.tools"))
    chosen = _chosen(asked, functions)
    if asked.flag("parallel_tool_calls") is False and functions:
        asked.drop("parallel_tool_calls")
    if chosen.get("mode") != "ANY":
        for path in strict:
            asked.drop(path)
    if functions:
        tools.insert(0, {"functionDeclarations": functions})
    found: Dict = {"tools": tools} if tools else {}
    if chosen and functions:
        found["toolConfig"] = {"functionCallingConfig": chosen}
    return found


def _declared(asked: Asked, function: Fields, at: str, strict: list[str]) -> Dict:
    found: Dict = {"name": text_at(function.get("name"), f"{at}.function.name")}
    if function.get("description") is not None:
        found["description"] = text_at(function["description"], f"{at}.function.description")
    if function.get("parameters"):
        schema = object_at(function["parameters"], f"{at}.function.parameters")
        found["parametersJsonSchema"] = narrowed(schema, f"{at}.function.parameters", asked.drop)
    if function.get("strict"):
        strict.append(f"{at}.function.strict")
    return found


def _chosen(asked: Asked, functions: list[Dict]) -> Dict:
    choice = asked.take("tool_choice")
    if choice is None:
        return {}
    if isinstance(choice, str):
        if choice not in _CHOICES:
            raise wrong("tool_choice", f"one of {listed(tuple(_CHOICES))}, or an object that names a tool")
        return {"mode": _CHOICES[choice]}
    fields = object_at(choice, "tool_choice")
    match fields.get("type"):
        case "function":
            function = object_at(fields.get("function"), "tool_choice.function")
            return {
                "mode": "ANY",
                "allowedFunctionNames": [text_at(function.get("name"), "tool_choice.function.name")],
            }
        case "allowed_tools":
            allowed = object_at(fields.get("allowed_tools"), "tool_choice.allowed_tools")
            names = [
                object_at(tool.get("function"), f"tool_choice.allowed_tools.tools[{n}].function").get("name")
                for n, tool in enumerate(objects_at(allowed.get("tools"), "tool_choice.allowed_tools.tools"))
            ]
            if allowed.get("mode") == "required":
                return {"mode": "ANY", "allowedFunctionNames": names}
            # Names can be given only where a call is forced: elsewhere the others are not offered.
            functions[:] = [function for function in functions if function["name"] in names]
            return {"mode": "AUTO"}
        case _:
            raise NotCarried(param="tool_choice")


# ---- generation --------------------------------------------------------------------------------------------------
_PASSED: Final[Sequence[tuple[str, str]]] = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
)


def _config(asked: Asked, call: Call, google: Dict) -> Dict:
    found = dict(as_fields(call.model.options.get("generation_config")))
    for name, theirs in _PASSED:
        value = asked.number(name)
        if value is not None:
            found[theirs] = value
    counted = {
        "seed": asked.count("seed"),
        "maxOutputTokens": asked.count("max_completion_tokens", "max_tokens"),
        "stopSequences": asked.words("stop") or None,
    }
    found.update((name, value) for name, value in counted.items() if value is not None)
    choices = asked.count("n")
    if choices is not None and choices != 1:
        found["candidateCount"] = choices
    if asked.flag("logprobs"):
        found["responseLogprobs"] = True
        top = asked.count("top_logprobs")
        if top:
            found["logprobs"] = top
    found.update(_format(asked))
    found.update(_modalities(asked))
    own = as_fields(google.pop("generationConfig", None))
    found.update({camel(name): value for name, value in own.items()})
    config = _thinking(asked, call, as_fields(google.pop("thinkingConfig", None)))
    if config:
        found["thinkingConfig"] = config
    return found


def _format(asked: Asked) -> Dict:
    wanted = asked.object("response_format")
    match wanted.get("type"):
        case None | "text":
            return {}
        case "json_object":
            return {"responseMimeType": "application/json"}
        case "json_schema":
            at = "response_format.json_schema"
            schema = object_at(object_at(wanted.get("json_schema"), at).get("schema") or {}, f"{at}.schema")
            found: Dict = {"responseMimeType": "application/json"}
            if schema:
                found["responseJsonSchema"] = narrowed(schema, f"{at}.schema", asked.drop)
            return found
        case _:
            raise wrong("response_format.type", "one of `text`, `json_object`, `json_schema`")


def _modalities(asked: Asked) -> Dict:
    wanted = asked.words("modalities")
    found: Dict = {}
    if wanted and wanted != ["text"]:
        found["responseModalities"] = [each.upper() for each in wanted]
    audio = asked.object("audio")
    if audio:
        voice = audio.get("voice")
        if isinstance(voice, str):
            found["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}}
        if audio.get("format") not in (None, "pcm16"):
            asked.drop("audio.format")
    return found


def _thinking(asked: Asked, call: Call, own: Fields) -> Dict:
    """The caller's word in Google's spelling goes before `thinking`, that before `reasoning_effort`."""
    effort = asked.text("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        raise wrong("reasoning_effort", f"one of {listed(EFFORTS)}")
    found: Dict = {}
    if effort is not None and thinks(call.model.upstream_model):
        found = thinking(effort, call.model.upstream_model)
    elif effort not in (None, "none"):
        asked.drop("reasoning_effort")
    given = asked.object("thinking")
    match given.get("type"):
        case "enabled":
            found = {"thinkingBudget": given.get("budget_tokens", -1), "includeThoughts": True}
        case "adaptive":
            found = found or {"includeThoughts": True}
        case "disabled":
            found = thinking("none", call.model.upstream_model)
        case _ if given:
            raise wrong("thinking.type", "one of `enabled`, `adaptive`, `disabled`")
        case _:
            pass
    shown = call.model.options.get("include_thoughts")
    if isinstance(shown, bool) and (found or shown):
        found["includeThoughts"] = found.get("includeThoughts", shown)
    if own:
        if "thinking_level" in own or "thinkingLevel" in own:
            found.pop("thinkingBudget", None)
        if "thinking_budget" in own or "thinkingBudget" in own:
            found.pop("thinkingLevel", None)
        found.update({camel(name): value for name, value in own.items()})
    return found
