"""Tools, the choice among them, and how a chat's calls of them are told apart again.

Chat models know functions alone. A custom tool is carried over as a function with one text, `input`; what providers run
by themselves (web search, files, code, computers, remote servers) cannot be carried over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import msgspec

from gateway.domain.errors import InvalidRequest, NotCarried

INPUT: Final = "input"
_CHOICES: Final = frozenset({"auto", "none", "required"})
_NAMED: Final = frozenset({"function", "custom"})


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a chat request: `sent` for it, `custom` the names of those that are no functions to the caller."""

    sent: tuple[Mapping[str, Any], ...] = ()
    choice: object = None
    custom: frozenset[str] = frozenset()
    dropped: tuple[str, ...] = field(default=())


def carry_tools(tools: object, choice: object) -> Tools:
    """Tools and `tool_choice` for a chat request.

    Raises InvalidRequest naming the field that is wrong, NotCarried for a choice that only a dropped tool could answer.
    """
    sent: list[Mapping[str, Any]] = []
    custom: set[str] = set()
    dropped: list[str] = []
    for place, tool in enumerate(_list(tools, "tools")):
        where = f"tools[{place}]"
        match tool.get("type"):
            case "function":
                sent.append(_function(tool, where))
            case "custom":
                sent.append(_custom(tool, where, dropped))
                custom.add(tool["name"])
            case None:
                raise InvalidRequest(f"`{where}.type` is required.", param=f"{where}.type")
            case _:
                dropped.append(where)
    kept, said = _chosen(sent, choice)
    return Tools(tuple(kept), said, frozenset(custom), tuple(dropped))


def _function(tool: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    function: dict[str, Any] = {"name": _name(tool, where)}
    for name in ("description", "parameters", "strict"):
        if tool.get(name) is not None:
            function[name] = tool[name]
    return {"type": "function", "function": function}


def _custom(tool: Mapping[str, Any], where: str, dropped: list[str]) -> Mapping[str, Any]:
    described = [text for text in (tool.get("description"),) if isinstance(text, str) and text]
    form = tool.get("format")
    form = cast("dict[str, Any]", form) if isinstance(form, dict) else {}
    if form.get("type") == "grammar":
        # Nothing holds a chat model to it, but it can be told.
        dropped.append(f"{where}.format")
        described.append(f"The input must match this {form.get('syntax')} grammar:\n{form.get('definition')}")
    function: dict[str, Any] = {
        "name": _name(tool, where),
        "parameters": {
            "type": "object",
            "properties": {
                INPUT: {"type": "string", "description": "The tool's whole input, as plain text."}
            },
            "required": [INPUT],
            "additionalProperties": False,
        },
    }
    if described:
        function["description"] = "\n\n".join(described)
    return {"type": "function", "function": function}


def _chosen(sent: Sequence[Mapping[str, Any]], choice: object) -> tuple[Sequence[Mapping[str, Any]], object]:
    """The tools that are left, and the choice in chat's words; no choice without tools, which servers refuse."""
    match choice:
        case None:
            return sent, None
        case str():
            if choice not in _CHOICES:
                raise InvalidRequest(
                    "`tool_choice` must be auto, none, required or a tool.", param="tool_choice"
                )
            if choice == "required" and not sent:
                raise NotCarried(param="tool_choice")
            return sent, choice if sent else None
        case dict():
            said = cast("dict[str, Any]", choice)
        case _:
            raise InvalidRequest("`tool_choice` must be a word or an object.", param="tool_choice")
    kind = said.get("type")
    if kind in _NAMED:
        name = said.get("name")
        if not any(tool["function"]["name"] == name for tool in sent):
            raise InvalidRequest(
                "`tool_choice.name` must be the name of one of `tools`.", param="tool_choice.name"
            )
        return sent, {"type": "function", "function": {"name": name}}
    if kind == "allowed_tools":
        return _allowed(sent, said)
    raise NotCarried(param="tool_choice")


def _allowed(
    sent: Sequence[Mapping[str, Any]], choice: Mapping[str, Any]
) -> tuple[Sequence[Mapping[str, Any]], object]:
    where = "tool_choice.tools"
    names = {tool.get("name") for tool in _list(choice.get("tools"), where) if tool.get("type") in _NAMED}
    left = [tool for tool in sent if tool["function"]["name"] in names]
    mode = choice.get("mode", "auto")
    if mode not in ("auto", "required"):
        raise InvalidRequest("`tool_choice.mode` must be auto or required.", param="tool_choice.mode")
    if mode == "required" and not left:
        raise NotCarried(param="tool_choice")
    return left, mode if left else None


def _name(tool: Mapping[str, Any], where: str) -> str:
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidRequest(f"`{where}.name` must be a name.", param=f"{where}.name")
    return name


def _list(value: object, where: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in cast("list[object]", value)):
        raise InvalidRequest(f"`{where}` must be a list of objects.", param=where)
    return cast("list[dict[str, Any]]", value)


def arguments_of(text: str) -> str:
    """A custom tool's input as the arguments of the function that it is carried over as."""
    return msgspec.json.encode({INPUT: text}).decode()


def input_of(arguments: str) -> str:
    """A custom tool's input, of the arguments that a model wrote; those themselves if they are none."""
    try:
        said: object = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return arguments
    if isinstance(said, dict):
        found = cast("dict[str, object]", said).get(INPUT)
        if isinstance(found, str):
            return found
    return arguments
