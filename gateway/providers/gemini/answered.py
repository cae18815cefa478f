"""What Gemini answers, as chat's: whole, or event by event through a state machine.

Page: ai.google.dev/api/generate-content, "GenerateContentResponse".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from gateway.domain import errors
from gateway.domain.errors import GatewayError
from gateway.domain.inference import Usage
from gateway.domain.secret import Secret
from gateway.providers.gemini import wire
from gateway.providers.http import Answer, said
from gateway.providers.hub.answered import Frame, Said, call_id, chat_id, told
from gateway.providers.ports import Call, Event, Reply

_NULL: Final = msgspec.Raw(b"null")
_MOST: Final = 10**9
_FENCES: Final = {"PYTHON": "python"}


class _Struct(msgspec.Struct, rename="camel"):
    pass


class _FunctionCall(_Struct):
    name: str = ""
    args: msgspec.Raw = msgspec.Raw(b"{}")
    id: str | None = None


class _Blob(_Struct):
    mime_type: str = ""
    data: str = ""


class _Code(_Struct):
    language: str = ""
    code: str = ""


class _CodeResult(_Struct):
    output: str = ""


class _Part(_Struct):
    text: str | None = None
    thought: bool = False
    thought_signature: str | None = None
    function_call: _FunctionCall | None = None
    inline_data: _Blob | None = None
    executable_code: _Code | None = None
    code_execution_result: _CodeResult | None = None


class _Content(_Struct):
    parts: list[_Part] | None = None


class _Token(_Struct):
    token: str = ""
    log_probability: float = 0.0


class _Tops(_Struct):
    candidates: list[_Token] = []


class _Logprobs(_Struct):
    top_candidates: list[_Tops] = []
    chosen_candidates: list[_Token] = []


class _Candidate(_Struct):
    content: _Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int = 0
    logprobs_result: _Logprobs | None = None
    grounding_metadata: msgspec.Raw = _NULL
    url_context_metadata: msgspec.Raw = _NULL
    citation_metadata: msgspec.Raw = _NULL


class _Modality(_Struct):
    modality: str = ""
    token_count: int = 0


class _Usage(_Struct):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    total_token_count: int | None = None
    cached_content_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    prompt_tokens_details: list[_Modality] = []
    candidates_tokens_details: list[_Modality] = []


class _Feedback(_Struct):
    block_reason: str | None = None
    block_reason_message: str | None = None


class _Answer(_Struct):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: msgspec.Raw = _NULL


_answers = msgspec.json.Decoder(_Answer)


def usage_of(says: _Usage | None) -> Usage | None:
    """What Gemini says of tokens in our meaning: its thoughts stand beside the answer, for us they are a part of it."""
    if says is None or (says.prompt_token_count is None and says.total_token_count is None):
        return None
    asked = (says.prompt_token_count or 0) + (says.tool_use_prompt_token_count or 0)
    thoughts = says.thoughts_token_count or 0
    if says.candidates_token_count is None:
        answered = max((says.total_token_count or 0) - asked, thoughts)
    else:
        answered = says.candidates_token_count + thoughts
    if not (0 <= asked <= _MOST and 0 <= answered <= _MOST):
        return None
    return Usage(
        asked,
        answered,
        cached=min(max(says.cached_content_token_count or 0, 0), asked),
        reasoning=min(max(thoughts, 0), answered),
        audio_input=_of(says.prompt_tokens_details, "AUDIO", asked),
        image_input=_of(says.prompt_tokens_details, "IMAGE", asked),
        audio_output=_of(says.candidates_tokens_details, "AUDIO", answered),
        image_output=_of(says.candidates_tokens_details, "IMAGE", answered),
    )


def _of(details: Sequence[_Modality], modality: str, whole: int) -> int:
    if not details:
        return 0
    return min(max(sum(each.token_count for each in details if each.modality == modality), 0), whole)


@dataclass(slots=True)
class _Choice:
    """How far one candidate has come."""

    spoken: bool = False
    tools: int = 0
    finish: str | None = None


@dataclass(slots=True)
class Answered:
    """One answer on its way back to chat's dialect."""

    call: Call
    created: int
    secret: Secret | None = None
    dropped: tuple[str, ...] = ()
    request_id: str | None = None
    _frame: Frame | None = None
    _usage: Usage | None = None
    _choices: dict[int, _Choice] = field(default_factory=dict[int, _Choice])

    def refused(self, answer: Answer, body: bytes) -> GatewayError:
        """The error for an answer that is no success."""
        return wire.refused(answer.status, answer.headers, body, self.secret)

    # ---- whole answers -------------------------------------------------------------------------------------------
    def reply(self, body: bytes) -> Reply:
        """A whole answer. Raises UpstreamMalformed, or what an error or a refusal in it stands for."""
        whole = self._read(body, errors.UpstreamUnavailable)
        frame = self._framed(whole)
        choices: list[dict[str, Any]] = []
        first: str | None = None
        for candidate in whole.candidates or ():
            state = self._choices.setdefault(candidate.index, _Choice())
            message = self._said(candidate, state, frame)
            finish = self._finished(candidate, state) or "stop"
            first = first or finish
            for tool in message.tools:
                del tool["index"]
            fields = {"role": "assistant", "content": None} | message.fields()
            choices.append(
                {"index": candidate.index, "message": fields, "logprobs": _logprobs(candidate)}
                | _ended(candidate, finish)
            )
        usage = usage_of(whole.usage_metadata)
        return Reply(
            frame.completion(choices, usage),
            usage,
            first,
            self.request_id or whole.response_id,
            dropped=self.dropped,
        )

    # ---- streams -------------------------------------------------------------------------------------------------
    @property
    def done(self) -> bool:
        """Whether every candidate has finished, and their tokens are told. Where several were asked for, who knows."""
        return (
            self._usage is not None
            and "n" not in self.call.body
            and bool(self._choices)
            and all(choice.finish for choice in self._choices.values())
        )

    def feed(self, name: bytes, data: bytes) -> Sequence[Event]:
        """One event for each candidate that says something."""
        del name
        chunk = self._read(data, errors.UpstreamBroken)
        begun = self._frame is not None
        frame = self._framed(chunk)
        usage = usage_of(chunk.usage_metadata)
        self._usage = usage or self._usage
        found: list[Event] = []
        for candidate in chunk.candidates or ():
            state = self._choices.setdefault(candidate.index, _Choice())
            message = self._said(candidate, state, frame)
            finish = self._finished(candidate, state)
            if not state.spoken:
                delta = {"role": "assistant", "content": message.content} | message.fields()
                state.spoken = True
            elif message.empty and finish is None:
                continue
            else:
                delta = message.fields()
                if message.content == "":
                    del delta["content"]
            choice: dict[str, Any] = {
                "index": candidate.index,
                "delta": delta,
                "logprobs": _logprobs(candidate),
            }
            choice |= _ended(candidate, finish)
            found.append(
                Event(
                    frame.chunk((choice,)),
                    message.text,
                    usage if finish is None else None,  # the last word on it comes at the end
                    False,
                    finish,
                    self.request_id or chunk.response_id,
                    dropped=() if begun or found else self.dropped,
                )
            )
        return found

    def end(self) -> Sequence[Event]:
        """The chunk with usage. Raises UpstreamBroken where no candidate has said that it has finished."""
        if self._frame is None or not any(choice.finish for choice in self._choices.values()):
            raise errors.UpstreamBroken(detail="the stream ended without a finish reason", status=200)
        if self._usage is None:
            return ()
        return (
            Event(
                self._frame.chunk((), usage=told(self._usage)), "", self._usage, True, None, self.request_id
            ),
        )

    # ---- both ----------------------------------------------------------------------------------------------------
    def _read(self, data: bytes, otherwise: type[GatewayError]) -> _Answer:
        try:
            str(data, "utf-8")
            answer = _answers.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise errors.UpstreamMalformed(
                detail=f"{error}: {said(data, self.secret)}", status=200
            ) from error
        if answer.candidates:
            return answer
        if bytes(answer.error) != b"null":
            raise wire.complained(data, self.secret, otherwise)
        if answer.prompt_feedback is not None and answer.prompt_feedback.block_reason:
            raise errors.ContentFiltered(detail=said(data, self.secret), status=200)
        told = answer.usage_metadata is not None or answer.response_id is not None
        if (
            otherwise is errors.UpstreamUnavailable or not told
        ):  # a stream may say so much beside its candidates
            raise errors.UpstreamMalformed(
                detail=f"an answer without candidates: {said(data, self.secret)}", status=200
            )
        return answer

    def _framed(self, answer: _Answer) -> Frame:
        if self._frame is None:
            ours = self.call.headers.get("x-request-id", "")
            model = answer.model_version or self.call.model.upstream_model
            self._frame = Frame(chat_id(answer.response_id, ours), model, self.created)
        return self._frame

    def _said(self, candidate: _Candidate, state: _Choice, frame: Frame) -> Said:
        found = Said()
        content = candidate.content
        parts = content.parts if content is not None else None
        if parts is None:
            return found
        for part in parts:
            if part.function_call is not None:
                found.tools.append(_tool(part, part.function_call, state, frame))
                continue
            if part.text is not None:
                if part.thought:
                    found.reasoning += part.text
                else:
                    found.content = part.text if found.content is None else found.content + part.text
            elif part.inline_data is not None:
                _add_blob(found, part.inline_data)
            elif part.executable_code is not None:
                code = part.executable_code
                fence = _FENCES.get(code.language, "")
                found.content = f"{found.content or ''}\n```{fence}\n{code.code}\n```\n"
            elif part.code_execution_result is not None:
                found.content = f"{found.content or ''}\n```\n{part.code_execution_result.output}\n```\n"
            if part.thought_signature:
                found.more["extra_content"] = _signed(part.thought_signature)
        _add_sources(found, candidate)
        return found

    def _finished(self, candidate: _Candidate, state: _Choice) -> str | None:
        reason = candidate.finish_reason
        if not reason:
            return None
        if reason in wire.UNUSABLE:
            raise errors.UpstreamMalformed(detail=f"{reason}: {candidate.finish_message or ''}", status=200)
        if reason == "MISSING_THOUGHT_SIGNATURE":
            raise errors.UpstreamRejected(detail=f"{reason}: {candidate.finish_message or ''}", status=200)
        finish = wire.FINISHES.get(reason, "stop")
        state.finish = "tool_calls" if finish == "stop" and state.tools else finish
        return state.finish


def _tool(part: _Part, call: _FunctionCall, state: _Choice, frame: Frame) -> dict[str, Any]:
    arguments = bytes(call.args)
    found: dict[str, Any] = {
        "index": state.tools,
        "id": call.id or call_id(frame.id, state.tools),
        "type": "function",
        "function": {
            "name": call.name,
            "arguments": "{}" if arguments == b"null" else msgspec.json.format(arguments, indent=-1).decode(),
        },
    }
    if part.thought_signature:
        found["extra_content"] = _signed(part.thought_signature)
    state.tools += 1
    return found


def _signed(signature: str) -> dict[str, Any]:
    return {"google": {"thought_signature": signature}}


def _add_blob(found: Said, blob: _Blob) -> None:
    """Pictures as OpenRouter and others give them, sound as OpenAI does."""
    if blob.mime_type.startswith("audio/"):
        found.more["audio"] = {"data": blob.data, "media_type": blob.mime_type}
        return
    images: list[Any] = found.more.setdefault("images", [])
    images.append(
        {
            "type": "image_url",
            "index": len(images),
            "image_url": {"url": f"data:{blob.mime_type};base64,{blob.data}"},
        }
    )


def _add_sources(found: Said, candidate: _Candidate) -> None:
    """Where it got its knowledge from, in Google's own words."""
    sources = {
        name: value
        for name, value in (
            ("grounding_metadata", candidate.grounding_metadata),
            ("url_context_metadata", candidate.url_context_metadata),
            ("citation_metadata", candidate.citation_metadata),
        )
        if value is not _NULL and bytes(value) != b"null"
    }
    if sources:
        found.more.setdefault("extra_content", {}).setdefault("google", {}).update(sources)


def _ended(candidate: _Candidate, finish: str | None) -> dict[str, Any]:
    """The finish reason; beside it the model's own, where chat has no word for it."""
    if finish is None or candidate.finish_reason in ("STOP", "MAX_TOKENS", None):
        return {"finish_reason": finish}
    return {"finish_reason": finish, "native_finish_reason": candidate.finish_reason}


def _logprobs(candidate: _Candidate) -> dict[str, Any] | None:
    told = candidate.logprobs_result
    if told is None:
        return None
    content: list[dict[str, Any]] = []
    for n, chosen in enumerate(told.chosen_candidates):
        tops = told.top_candidates[n].candidates if n < len(told.top_candidates) else []
        content.append(_token(chosen) | {"top_logprobs": [_token(each) for each in tops]})
    return {"content": content, "refusal": None}


def _token(token: _Token) -> dict[str, Any]:
    return {
        "token": token.token,
        "logprob": token.log_probability,
        "bytes": list(token.token.encode("utf-8", "surrogatepass")),
    }
