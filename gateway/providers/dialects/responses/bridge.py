"""The bridge: one Responses request carried over chat, and its answer back."""

from __future__ import annotations

import time
from typing import Any, cast

import msgspec

from gateway.domain import errors
from gateway.providers.dialects.responses.answer import Maker, blank, ended, listed, outputs, usage_told
from gateway.providers.dialects.responses.asked import carry
from gateway.providers.dialects.responses.own import own_of
from gateway.providers.dialects.responses.stream import Stream
from gateway.providers.ports import Body
from gateway.providers.usage import read_told, usage_of


class CarriedResponse:
    """A request carried over; `Carried` of the ports."""

    def __init__(self, body: Body, request_id: str) -> None:
        """Carry it over. Raises InvalidRequest or NotCarried naming the field that is wrong."""
        self._asked = carry(body)
        self._response = blank(body, request_id)
        self._told = own_of(body, request_id).told
        self._maker = Maker(request_id, self._asked.tools.custom, self._asked.summary)

    @property
    def body(self) -> Body:
        """The chat request."""
        return self._asked.body

    @property
    def dropped(self) -> tuple[str, ...]:
        """What chat has no word for."""
        return self._asked.dropped

    def reply(self, body: bytes) -> bytes:
        """A chat completion as a response. Raises UpstreamMalformed."""
        try:
            said: object = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise errors.UpstreamMalformed(detail=f"a completion that is no JSON: {error}") from error
        completion = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
        choices = listed(completion.get("choices"))
        if not choices:
            raise errors.UpstreamMalformed(detail="a completion without a choice")
        response = dict(self._response)
        for name in ("model", "service_tier"):
            if isinstance(completion.get(name), str) and completion[name]:
                response[name] = completion[name]
        usage = completion.get("usage")
        if isinstance(usage, dict):
            raw = msgspec.Raw(msgspec.json.encode(cast("dict[str, Any]", usage)))
            response["usage"] = usage_told(usage_of(read_told(raw)))
        response["output"] = outputs(self._maker, choices[0])
        finish = choices[0].get("finish_reason")
        whole = ended(response, finish if isinstance(finish, str) else None, int(time.time()))
        return msgspec.json.encode(whole)

    def stream(self) -> Stream:
        """A translator for one stream."""
        return Stream(self._response, self._maker, told=self._told)


def carry_response(body: Body, request_id: str) -> CarriedResponse:
    """Carry a request over chat."""
    return CarriedResponse(body, request_id)
