"""A stream of chat chunks as the events of a response: a state machine, chunk in, events out.

Every event has the next `sequence_number`. An item is told when it begins, in pieces while it comes, and whole when it
is done; the calls of tools, which may come side by side, are done when the chat says why it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from gateway.domain import errors
from gateway.domain.inference import Usage
from gateway.providers.dialects.responses.answer import (
    COMPLETED,
    IN_PROGRESS,
    INCOMPLETE,
    Called,
    Maker,
    citations,
    ended,
    listed,
    logprobs_told,
    objected,
    refusal_part,
    summary_part,
    text_part,
    thought_part,
    usage_told,
)
from gateway.providers.dialects.responses.items import SEALABLE, seal
from gateway.providers.ports import Event

_encode = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_ENDS: Final = {COMPLETED: "response.completed", INCOMPLETE: "response.incomplete"}


@dataclass(slots=True)
class _Part:
    """A part of a message or of thoughts, as far as it has come."""

    kind: str
    texts: list[str] = field(default_factory=list[str])
    logprobs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    annotations: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def whole(self) -> dict[str, Any]:
        text = "".join(self.texts)
        match self.kind:
            case "output_text":
                return text_part(text, self.logprobs, self.annotations)
            case "refusal":
                return refusal_part(text)
            case "summary_text":
                return summary_part(text)
            case _:
                return thought_part(text)


@dataclass(slots=True)
class _Open:
    """An item that has begun and is not done."""

    place: int
    id: str
    kind: str
    parts: list[_Part] = field(default_factory=list[_Part])
    called: Called = field(default_factory=Called)


class Stream:
    """The events of one response."""

    def __init__(
        self,
        response: Mapping[str, Any],
        maker: Maker,
        *,
        told: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`response` has no output yet; `told` events were told before, its creation among them."""
        self._response = dict(response)
        self._maker = maker
        self._clock = clock
        self._told = told
        self._number = told
        self._begun = False
        self._items: list[dict[str, Any]] = []
        self._speech: _Open | None = None
        self._calls: dict[int, _Open] = {}
        self._call_ids: set[str] = set()
        self._sealed: dict[str, list[Any]] = {}
        self._finish: str | None = None
        self._usage: Usage | None = None
        self._out: list[Event] = []

    def feed(self, event: Event) -> Sequence[Event]:
        """The events that a chunk completes. Raises UpstreamMalformed."""
        try:
            chunk = objected(_decode(event.data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise errors.UpstreamMalformed(detail=f"a chunk that is no JSON: {error}") from error
        self._usage = event.usage or self._usage
        if not self._begun:
            self._begin(chunk)
        for choice in listed(chunk.get("choices"))[:1]:
            if choice.get("index") in (0, None):
                self._add(choice)
        return self._taken()

    def end(self) -> Sequence[Event]:
        """The events with which it ends."""
        if not self._begun:
            self._begin({})
        self._close()
        self._response["usage"] = usage_told(self._usage)
        self._response["output"] = self._items
        whole = ended(self._response, self._finish, int(self._clock()))
        self._tell(_ENDS[whole["status"]], response=whole)
        return self._taken()

    def _begin(self, chunk: Mapping[str, Any]) -> None:
        self._begun = True
        if isinstance(chunk.get("model"), str) and chunk["model"]:
            self._response["model"] = chunk["model"]
        if isinstance(chunk.get("service_tier"), str):
            self._response["service_tier"] = chunk["service_tier"]
        if not self._told:
            self._tell("response.created", response=self._response)
        self._tell("response.in_progress", response=self._response)

    def _add(self, choice: Mapping[str, Any]) -> None:
        delta = objected(choice.get("delta"))
        thoughts = delta.get("reasoning_content") or delta.get("reasoning")
        for name in SEALABLE:
            if isinstance(delta.get(name), list):
                self._sealed.setdefault(name, []).extend(delta[name])
        if isinstance(thoughts, str) and thoughts:
            self._think(thoughts)
        elif self._sealed and self._speech is None and not self._items:
            self._speak("reasoning")
        content = delta.get("content")
        if isinstance(content, str) and content:
            logprobs = choice.get("logprobs")
            self._say(content, logprobs_told(objected(logprobs).get("content")) if logprobs else [])
        if delta.get("annotations") and self._speech is not None and self._speech.kind == "message":
            self._cite(self._speech, citations(delta["annotations"]))
        if isinstance(delta.get("refusal"), str) and delta["refusal"]:
            self._refuse(delta["refusal"])
        for place, call in enumerate(listed(delta.get("tool_calls"))):
            self._call(call, place)
        if isinstance(choice.get("finish_reason"), str):
            self._finish = choice["finish_reason"]
            self._close()

    # ---- thoughts and messages -----------------------------------------------------------------------------------
    def _think(self, text: str) -> None:
        speech = self._speak("reasoning")
        kind = "summary_text" if self._maker.summary else "reasoning_text"
        if not speech.parts:
            self._open_part(speech, kind)
        speech.parts[-1].texts.append(text)
        where = "summary_index" if self._maker.summary else "content_index"
        name = (
            "response.reasoning_summary_text.delta"
            if self._maker.summary
            else "response.reasoning_text.delta"
        )
        self._tell(name, item_id=speech.id, output_index=speech.place, **{where: 0}, delta=text)

    def _say(self, text: str, logprobs: list[dict[str, Any]]) -> None:
        speech = self._part_of_message("output_text")
        speech.parts[-1].texts.append(text)
        speech.parts[-1].logprobs += logprobs
        self._tell(
            "response.output_text.delta",
            item_id=speech.id,
            output_index=speech.place,
            content_index=len(speech.parts) - 1,
            delta=text,
            logprobs=logprobs,
        )

    def _refuse(self, text: str) -> None:
        speech = self._part_of_message("refusal")
        speech.parts[-1].texts.append(text)
        self._tell(
            "response.refusal.delta",
            item_id=speech.id,
            output_index=speech.place,
            content_index=len(speech.parts) - 1,
            delta=text,
        )

    def _cite(self, speech: _Open, cited: list[dict[str, Any]]) -> None:
        part = speech.parts[-1]
        for annotation in cited:
            self._tell(
                "response.output_text.annotation.added",
                item_id=speech.id,
                output_index=speech.place,
                content_index=len(speech.parts) - 1,
                annotation_index=len(part.annotations),
                annotation=annotation,
            )
            part.annotations.append(annotation)

    def _part_of_message(self, kind: str) -> _Open:
        speech = self._speak("message")
        if not speech.parts or speech.parts[-1].kind != kind:
            self._close_part(speech)
            self._open_part(speech, kind)
        return speech

    def _speak(self, kind: str) -> _Open:
        """The message or the thoughts that are coming; another kind than before ends what came before."""
        if self._speech is not None and self._speech.kind == kind:
            return self._speech
        self._close()
        place = len(self._items)
        maker = self._maker
        item = (
            maker.message(place, (), IN_PROGRESS)
            if kind == "message"
            else maker.thoughts(place, "", IN_PROGRESS)
        )
        self._speech = _Open(place, item["id"], kind)
        self._items.append(item)
        self._tell("response.output_item.added", output_index=place, item=item)
        return self._speech

    def _open_part(self, speech: _Open, kind: str) -> None:
        part = _Part(kind)
        speech.parts.append(part)
        self._tell_part("added", speech, part)

    def _close_part(self, speech: _Open) -> None:
        if not speech.parts:
            return
        part = speech.parts[-1]
        text = "".join(part.texts)
        at: dict[str, Any] = {"item_id": speech.id, "output_index": speech.place}
        match part.kind:
            case "output_text":
                at["content_index"] = len(speech.parts) - 1
                self._tell("response.output_text.done", **at, text=text, logprobs=part.logprobs)
            case "refusal":
                at["content_index"] = len(speech.parts) - 1
                self._tell("response.refusal.done", **at, refusal=text)
            case "summary_text":
                self._tell("response.reasoning_summary_text.done", **at, summary_index=0, text=text)
            case _:
                self._tell("response.reasoning_text.done", **at, content_index=0, text=text)
        self._tell_part("done", speech, part)

    def _tell_part(self, what: str, speech: _Open, part: _Part) -> None:
        at = {"item_id": speech.id, "output_index": speech.place}
        if part.kind == "summary_text":
            name = f"response.reasoning_summary_part.{what}"
            self._tell(name, **at, summary_index=0, part=part.whole())
        else:
            name = f"response.content_part.{what}"
            self._tell(name, **at, content_index=len(speech.parts) - 1, part=part.whole())

    # ---- calls of tools ------------------------------------------------------------------------------------------
    def _call(self, delta: Mapping[str, Any], place: int) -> None:
        index = delta["index"] if isinstance(delta.get("index"), int) else place
        function = objected(delta.get("function"))
        call_id, name = _text(delta.get("id")), _text(function.get("name"))
        known = self._calls.get(index)
        if known is not None and call_id and known.called.id and call_id != known.called.id:
            # A server that gives all calls one index tells them apart by their ids.
            index = max(self._calls) + 1
            known = None
        if known is None:
            self._close_speech()
            known = self._calls[index] = _Open(-1, "", "call")
        called = known.called
        called.id = called.id or call_id
        if known.place < 0:
            called.name += name
            if not called.name:
                called.arguments += _text(function.get("arguments"))
                return
            self._open_call(known)
        arguments = _text(function.get("arguments"))
        called.arguments += arguments
        if arguments and not self._maker.is_custom(called.name):
            self._tell(
                "response.function_call_arguments.delta",
                item_id=known.id,
                output_index=known.place,
                delta=arguments,
            )

    def _open_call(self, call: _Open) -> None:
        early, call.called.arguments = call.called.arguments, ""
        call.place = len(self._items)
        if call.called.id in self._call_ids:
            call.called.id = ""  # some servers call everything alike: outputs could not be told apart
        item = self._maker.call(call.place, call.called, IN_PROGRESS)
        call.id = item["id"]
        call.called.id = item["call_id"]
        self._call_ids.add(call.called.id)
        self._items.append(item)
        self._tell("response.output_item.added", output_index=call.place, item=item)
        if early:
            call.called.arguments = early
            if not self._maker.is_custom(call.called.name):
                self._tell(
                    "response.function_call_arguments.delta",
                    item_id=call.id,
                    output_index=call.place,
                    delta=early,
                )

    def _close_call(self, call: _Open) -> None:
        if call.place < 0:
            self._open_call(call)  # one without a name: what it is for, its caller has to say
        item = self._maker.call(call.place, call.called, self._status)
        at: dict[str, Any] = {"item_id": call.id, "output_index": call.place}
        if self._maker.is_custom(call.called.name):
            # It came as an argument of a function: only when that is whole, its text is known.
            self._tell("response.custom_tool_call_input.delta", **at, delta=item["input"])
            self._tell("response.custom_tool_call_input.done", **at, input=item["input"])
        else:
            arguments = call.called.arguments
            self._tell(
                "response.function_call_arguments.done", **at, name=call.called.name, arguments=arguments
            )
        self._done(call.place, item)

    # ---- ends ----------------------------------------------------------------------------------------------------
    @property
    def _status(self) -> str:
        return INCOMPLETE if self._finish in ("length", "content_filter") else COMPLETED

    def _close(self) -> None:
        self._close_speech()
        for call in self._calls.values():
            self._close_call(call)
        self._calls.clear()

    def _close_speech(self) -> None:
        speech, self._speech = self._speech, None
        if speech is None:
            return
        self._close_part(speech)
        parts = [part.whole() for part in speech.parts]
        if speech.kind == "message":
            item = self._maker.message(speech.place, parts, self._status)
        else:
            text = "".join(part["text"] for part in parts)
            item = self._maker.thoughts(speech.place, text, COMPLETED, seal(self._sealed))
            self._sealed = {}
        self._done(speech.place, item)

    def _done(self, place: int, item: dict[str, Any]) -> None:
        self._items[place] = item
        self._tell("response.output_item.done", output_index=place, item=item)

    def _tell(self, name: str, /, **fields: object) -> None:
        data = _encode({"type": name, "sequence_number": self._number, **fields})
        self._number += 1
        self._out.append(Event(data, name=name))

    def _taken(self) -> Sequence[Event]:
        taken, self._out = self._out, []
        return taken


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
