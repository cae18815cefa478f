"""Responses: answered while the caller waits, streamed, or made in the background; told again, cancelled, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from api.service.ask import Ask
from api.service.inference import InferenceService
from api.service.jobs import Begins, JobsService
from api.service.opened import OpenStream
from api.service.responses.following import Following
from api.service.responses.state import Prepared, ResponseState
from api.service.responses.telling import Telling
from api.service.served import Served
from gateway import telemetry
from gateway.domain.errors import (
    InvalidRequest,
    JobFinished,
    JobNotFound,
    ResponseNotFound,
    StorageUnavailable,
)
from gateway.domain.identity import Caller, Right
from gateway.domain.inference import Status
from gateway.ids import moment_in, parse_id
from gateway.providers.dialects.responses.answer import blank
from gateway.providers.dialects.responses.own import request_id_of, with_own
from gateway.providers.ports import JSON, Reply
from gateway.responses import ResponseKeeper, ended_badly, hidden
from gateway.scribe import Scribe
from gateway.settings import ResponsesSettings
from gateway.storage.ports import KeptResponse, Line, Paged, Responses, StreamLog

_PATIENCE: Final = 2.0
"""Seconds that an answer waits to be kept; then the caller has it, and it is kept beside."""
_AGAIN: Final = 1.0
_LEISURE: Final = 1.0
"""Seconds that an event waits for others in the log of a stream whose caller hears it at once."""
_FRESH: Final = timedelta(seconds=5)
"""A response that was made so lately may still be on its way to where it is kept."""
_LOOKS: Final = 8
_LOOK: Final = 0.05
_CANCELLING: Final = 2.0
"""Seconds that a cancellation waits for its job's end."""
_QUEUED: Final = {
    "status": "queued",
    "output": [],
    "usage": None,
    "completed_at": None,
    "error": None,
    "incomplete_details": None,
}
_OVERDUE: Final = timedelta(minutes=2)
"""After its deadline, a response that nobody ended is given up."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where responses are kept: themselves, their streams, and who seals them."""

    responses: Responses
    streams: StreamLog
    keeper: ResponseKeeper
    state: ResponseState


class ResponsesService:
    """Makes responses and tells of them."""

    def __init__(
        self,
        inference: InferenceService,
        jobs: JobsService,
        kept: Kept,
        settings: ResponsesSettings,
        *,
        origin: str,
        deadline: timedelta,
    ) -> None:
        """`origin` names this process in logs of streams; `deadline` is the longest that a request may take."""
        self._inference = inference
        self._jobs = jobs
        self._responses = kept.responses
        self._streams = kept.streams
        self._keeper = kept.keeper
        self._state = kept.state
        self._settings = settings
        self._origin = origin
        self._deadline = deadline
        self._beside: set[asyncio.Task[Any]] = set()

    def finishing(self, ask: Ask) -> bool:
        """Whether an answer is read to its end when its caller has left: it may come back for it."""
        if ask.stream and bytes(ask.body.get("store", b"true")) != b"false":
            return self._settings.on_disconnect == "finish"
        return self._inference.finishes

    async def close(self, grace: timedelta) -> None:
        """Wait for answers that are still to be kept."""
        if self._beside:
            await asyncio.wait(self._beside, timeout=grace.total_seconds())
        for task in self._beside:
            task.cancel()

    # ---- made ----------------------------------------------------------------------------------------------------
    async def answer(self, caller: Caller, ask: Ask) -> tuple[Reply, Served]:
        """The whole response, or one that is queued. Raises as InferenceService does, and as ResponseState.prepare."""
        caller.require(Right.INFER)
        if _in_background(ask):
            response, served = await self._enqueue(caller, ask)
            return Reply(msgspec.json.encode(hidden(response)), media_type=JSON), served
        prepared = await self._state.prepare(caller, ask)
        reply, served = await self._inference.answer(caller, prepared.ask)
        if prepared.stores and not served.replayed:
            whole = msgspec.json.decode(reply.body)
            await self._keep(caller, served.request_id, whole, prepared)
        if b'"encrypted_content"' in reply.body:
            whole = msgspec.json.decode(reply.body)
            reply = replace(reply, body=msgspec.json.encode(hidden(whole, prepared.include)))
        return reply, served

    async def stream(self, caller: Caller, ask: Ask) -> OpenStream:
        """The events of a response as they come; of one in the background, from its log."""
        caller.require(Right.INFER)
        if _in_background(ask):
            _, served = await self._enqueue(caller, ask)
            return self._following(caller, served.request_id, -1, served)
        prepared = await self._state.prepare(caller, ask)
        opened = await self._inference.stream(caller, prepared.ask)
        if opened.served.replayed:
            return opened
        if not prepared.stores:
            return Telling(opened, keep=None, scribe=None, include=prepared.include)
        request_id = opened.served.request_id
        begun: list[asyncio.Task[None]] = []

        async def keep(response: Mapping[str, Any]) -> None:
            """As it begins, and then how it ended, in this order."""
            work = self._keep_at_last(
                caller, request_id, response, prepared, streamed=True, after=begun[-1] if begun else None
            )
            begun.append(self._run_beside(work))
            await asyncio.wait(begun[-1:], timeout=_PATIENCE)

        scribe = Scribe(self._streams, request_id, self._origin, every=_LEISURE)
        return Telling(opened, keep=keep, scribe=scribe, include=prepared.include)

    async def enqueue(self, caller: Caller, ask: Ask) -> tuple[Ask, Begins]:
        """A job's request with all that it refers to in it, and how its response is kept before it is a job."""
        prepared = await self._state.prepare(caller, ask, background=True)
        ask = prepared.ask
        if ask.stream:
            prepared.own.told = 2
            body = with_own(ask.body, prepared.own)
            ask = replace(ask, body=body, text=msgspec.json.encode(body).decode())

        async def begin(request_id: str) -> None:
            keyed = ask.hints.idempotency_key is not None
            if keyed and await self._responses.get(caller.id, request_id) is not None:
                return  # it is a job already
            response = {**blank(ask.body, request_id), "status": "queued"}
            await self._keeper.keep(caller.id, request_id, response, prepared.inputs, streamed=ask.stream)
            if ask.stream:
                await self._begin_log(request_id, response)

        return ask, begin

    async def _enqueue(self, caller: Caller, ask: Ask) -> tuple[Mapping[str, Any], Served]:
        """Make a job of it; returns the response as it stands: queued, unless its key was used before."""
        job = await self._jobs.create(caller, ask)
        kept = await self._current(caller, job.id)
        response = self._keeper.opened(kept)
        if job.status is Status.QUEUED:
            response = {**response, **_QUEUED}  # as it was accepted, however quick a worker was since
        return response, Served(job.id, job.trace_id, durability="start-first", workflow_id=job.id)

    async def _begin_log(self, request_id: str, response: Mapping[str, Any]) -> None:
        """Tell in the log what is true before anybody works at it."""
        lines = [
            Line(name, msgspec.json.encode({"type": name, "sequence_number": number, "response": response}))
            for number, name in enumerate(("response.created", "response.queued"))
        ]
        await self._streams.open(request_id, self._origin)
        await self._streams.append(request_id, self._origin, 0, lines)

    # ---- told again ----------------------------------------------------------------------------------------------
    async def get(self, caller: Caller, response_id: str, include: Sequence[str] = ()) -> bytes:
        """A response as it stands. Raises ResponseNotFound."""
        return self._body(await self._found(caller, response_id), include)

    async def follow(self, caller: Caller, response_id: str, after: int) -> OpenStream:
        """The events of a response after a sequence number. Raises ResponseNotFound, InvalidRequest."""
        kept = await self._found(caller, response_id)
        if not kept.streamed:
            raise InvalidRequest(
                "This response was not made with `stream`: its events cannot be read again.", param="stream"
            )
        if kept.ended and await self._streams.read(kept.id, batches=1) is None:
            raise InvalidRequest("The events of this response are no longer kept.", param="stream")
        return self._following(caller, kept.id, max(after, -1))

    async def inputs(
        self, caller: Caller, response_id: str, *, limit: int, after: str | None, newest_first: bool
    ) -> tuple[list[dict[str, Any]], bool]:
        """Input items of a response, and whether there are more. Raises ResponseNotFound, InvalidRequest."""
        kept = await self._found(caller, response_id)
        page = await self._responses.inputs(
            caller.id, kept.id, limit=limit, after=after, newest_first=newest_first
        )
        if page is None:
            raise ResponseNotFound
        return told(self._keeper, page)

    async def cancel(self, caller: Caller, response_id: str) -> bytes:
        """End a response that is made in the background; one that has ended stays as it is.

        Raises ResponseNotFound, InvalidRequest for one whose caller waits, EngineUnavailable.
        """
        kept = await self._found(caller, response_id)
        if not kept.background:
            raise InvalidRequest(
                "Only a response made with `background` can be cancelled.", param="response_id"
            )
        if not kept.ended:
            await self._stop(caller, kept.id)
            for _ in range(int(_CANCELLING / _LOOK)):
                kept = await self._found(caller, response_id)
                if kept.ended:
                    break
                await asyncio.sleep(_LOOK)
        return self._body(kept)

    async def delete(self, caller: Caller, response_id: str) -> None:
        """Forget a response; one that is still made is cancelled. Raises ResponseNotFound."""
        kept = await self._found(caller, response_id)
        if not kept.ended and kept.background:
            await self._stop(caller, kept.id)
        await self._streams.delete(kept.id)
        if not await self._responses.delete(caller.id, kept.id):
            raise ResponseNotFound

    async def _stop(self, caller: Caller, job_id: str) -> None:
        try:
            await self._jobs.cancel(caller, job_id)
        except (JobFinished, JobNotFound):
            return

    # ---- what is kept --------------------------------------------------------------------------------------------
    async def _found(self, caller: Caller, response_id: str) -> KeptResponse:
        caller.require(Right.INFER)
        request_id = request_id_of(response_id)
        if request_id is None:
            raise ResponseNotFound
        return await self._current(caller, request_id)

    async def _current(self, caller: Caller, request_id: str) -> KeptResponse:
        """A response as it stands now, also where whoever made it could not say so."""
        kept = await self._responses.get(caller.id, request_id)
        uuid = parse_id(request_id)
        made = None if uuid is None else moment_in(uuid)
        if kept is None and made is not None and datetime.now(UTC) - made < _FRESH:
            for _ in range(_LOOKS):
                await asyncio.sleep(_LOOK)
                kept = await self._responses.get(caller.id, request_id)
                if kept is not None:
                    break
        if kept is None:
            raise ResponseNotFound
        if kept.ended:
            return kept
        if kept.background:
            job = await self._jobs.known(request_id)
            if job is not None and job.status is Status.IN_PROGRESS:
                await self._keeper.begun(kept)
                return await self._responses.get(caller.id, request_id) or kept
            overdue = kept.created_at + _OVERDUE if job is None else job.deadline + _OVERDUE
        else:
            overdue = kept.created_at + self._deadline + _OVERDUE
        if datetime.now(UTC) > overdue:
            response = ended_badly(self._keeper.opened(kept), "failed", None)
            await self._keeper.keep(caller.id, request_id, response)
            return await self._responses.get(caller.id, request_id) or kept
        return kept

    async def _keep(
        self, caller: Caller, request_id: str, response: Mapping[str, Any], prepared: Prepared
    ) -> None:
        """Keep a response before its caller has it; a database that is away keeps it later."""
        work = self._keep_at_last(caller, request_id, response, prepared)
        await asyncio.wait([self._run_beside(work)], timeout=_PATIENCE)

    async def _keep_at_last(
        self,
        caller: Caller,
        request_id: str,
        response: Mapping[str, Any],
        prepared: Prepared,
        *,
        streamed: bool = False,
        after: asyncio.Task[None] | None = None,
    ) -> None:
        """Keep a response as soon as the database is there; `after` kept it as it began: it may be deleted since."""
        if after is not None:
            await asyncio.wait([after])
        while True:
            try:
                if after is not None:
                    await self._keeper.end(caller.id, request_id, response)
                else:
                    inputs = prepared.inputs
                    await self._keeper.keep(caller.id, request_id, response, inputs, streamed=streamed)
            except StorageUnavailable:
                telemetry.log.warning("response_waits", request_id=request_id, again_s=_AGAIN)
                await asyncio.sleep(_AGAIN)
            else:
                return

    def _following(
        self, caller: Caller, request_id: str, after: int, served: Served | None = None
    ) -> Following:
        return Following(
            self._streams,
            request_id,
            after=after,
            deadline=datetime.now(UTC) + self._deadline,
            look=lambda: self._responses.get(caller.id, request_id),
            keeper=self._keeper,
            served=served,
        )

    def _body(self, kept: KeptResponse, include: Sequence[str] = ()) -> bytes:
        return msgspec.json.encode(hidden(self._keeper.opened(kept), include))

    def _run_beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._beside.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            telemetry.log.error("response_not_kept", exc_info=error)


def _in_background(ask: Ask) -> bool:
    return bytes(ask.body.get("background", b"false")) == b"true"


def told(keeper: ResponseKeeper, page: Paged) -> tuple[list[dict[str, Any]], bool]:
    """The items of a page, and whether there are more."""
    return [keeper.item(item) for item in page.items], page.more
