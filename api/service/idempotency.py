"""Requests with an Idempotency-Key: the model is called once, and whoever asks again is told the same once more.

A key is claimed in the database before anything is called; the answer is kept there before the caller has its last
byte. Requests without a key pay nothing of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import msgspec

from api.service.ask import Ask
from api.service.opened import OpenStream
from api.service.served import RequestFailed, Served
from gateway import telemetry
from gateway.domain.errors import (
    Abandoned,
    AnswerNotKept,
    ContentFiltered,
    ContextTooLong,
    IdempotencyMismatch,
    NotCarried,
    RequestInProgress,
    StorageUnavailable,
    UpstreamRejected,
)
from gateway.domain.identity import Caller
from gateway.domain.inference import Failure
from gateway.ids import derive_id
from gateway.providers.ports import Event, Reply
from gateway.ring import Unreadable
from gateway.seal import Seal
from gateway.settings import IdempotencySettings
from gateway.storage.ports import Idempotency, KeyClaim, KeyHeld, KeyState, Requests

_LEASE: Final = timedelta(seconds=15)
"""A process that gives no sign of life for so long is dead: its key may be had by the next one."""
_BEATS: Final = 3
"""Signs of life in a lease."""
_LONGEST: Final = 86_400.0
"""Seconds after which no request runs any more: whoever forgot to end one does not keep its key for ever."""
_SOON: Final = timedelta(seconds=1)
_PATIENCE: Final = 2.0
"""Seconds that an answer waits to be kept; then the caller has it, and it is kept beside."""
_AGAIN: Final = 1.0
_FINAL: Final = (UpstreamRejected, ContextTooLong, ContentFiltered, NotCarried)
"""Failures that are the request's own: to send it again would change nothing. All others may be cured by a retry."""

Answer = Callable[[Caller, Ask], Awaitable[tuple[Reply, Served]]]
Open = Callable[[Caller, Ask], Awaitable[OpenStream]]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a caller was told: a whole answer, the events of a stream, or the failure."""

    served: Served
    ended: Served
    media_type: str = ""
    body: bytes = b""
    events: tuple[tuple[str, bytes], ...] | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class _Run:
    """A request that holds its key."""

    key_id: str
    token: str
    request_id: str
    beat: asyncio.Task[None]


class Once:
    """Runs what carries a key once."""

    def __init__(
        self, keys: Idempotency, requests: Requests, seal: Seal, settings: IdempotencySettings
    ) -> None:
        """`requests` tells of processes that died with a key in their hands."""
        self._keys = keys
        self._requests = requests
        self._seal = seal
        self._settings = settings
        self._beside: set[asyncio.Task[Any]] = set()

    async def answer(self, caller: Caller, ask: Ask, run: Answer, *, finishes: bool) -> tuple[Reply, Served]:
        """The whole answer; `finishes` says that `run` goes on when its caller has left.

        Raises IdempotencyMismatch, RequestInProgress, AnswerNotKept, StorageUnavailable, and what `run` raises.
        """
        held = await self._claim(caller, ask)
        if isinstance(held, _Kept):
            return _reply(held), held.ended
        work = self._run_beside(self._whole(caller, ask, held, run))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if not finishes and not work.done():
                work.cancel()
            raise

    async def stream(self, caller: Caller, ask: Ask, run: Open) -> OpenStream:
        """The answer as it comes, or as it came. Raises as `answer` does."""
        held = await self._claim(caller, ask)
        if isinstance(held, _Kept):
            return _Replayed(held)
        try:
            opened = await run(caller, _known_as(ask, held.request_id))
        except BaseException as e:
            await self._failed(held, e)
            raise
        opened.served.keyed = True
        return _Keeping(opened, self, held)

    async def bind(self, caller: Caller, key: str, fingerprint: str, retention: timedelta) -> str:
        """The id of the job that a key stands for, new or known.

        Raises IdempotencyMismatch where the key is something else's, StorageUnavailable.
        """
        wanted = KeyClaim(
            derive_id(caller.id, key),
            caller.id,
            f"job:{fingerprint}",
            _LEASE,
            retention,
            KeyState.JOB,
        )
        held = await self._keys.claim(wanted)
        if not held.mine and held.fingerprint != wanted.fingerprint:
            telemetry.KEYED.labels("reused").inc()
            raise IdempotencyMismatch
        return _request_id(wanted.id, held)

    async def close(self, grace: timedelta) -> None:
        """Wait for answers that are still to be kept."""
        if self._beside:
            await asyncio.wait(self._beside, timeout=grace.total_seconds())
        for task in self._beside:
            task.cancel()

    # ---- one key -------------------------------------------------------------------------------------------------
    async def _claim(self, caller: Caller, ask: Ask) -> _Run | _Kept:
        key = ask.hints.idempotency_key or ""
        fingerprint = _fingerprint(ask)
        wanted = KeyClaim(derive_id(caller.id, key), caller.id, fingerprint, _LEASE, self._settings.retention)
        held = await self._keys.claim(wanted)
        if not held.mine and held.fingerprint == fingerprint and held.state is KeyState.RUNNING:
            before = await self._requests.settlement(_request_id(wanted.id, held))
            if before is not None and before.failure is not None and before.failure.code == Abandoned.code:
                # The process that held it is dead, and the ledger says so.
                await self._keys.free(wanted.id, held.token)
                held = await self._keys.claim(wanted)
        if held.mine:
            telemetry.KEYED.labels("run").inc()
            beat = asyncio.create_task(self._beat(wanted.id, held.token))
            return _Run(wanted.id, held.token, _request_id(wanted.id, held), beat)
        return self._found(held, fingerprint)

    def _found(self, held: KeyHeld, fingerprint: str) -> _Kept:
        """What was kept under a key that somebody else has, or had."""
        if held.fingerprint != fingerprint:
            telemetry.KEYED.labels("reused").inc()
            raise IdempotencyMismatch
        if held.state is KeyState.ANSWERED and held.answer is not None:
            try:
                kept = msgspec.msgpack.decode(self._seal.open(held.answer), type=_Kept)
            except (Unreadable, msgspec.DecodeError) as e:
                telemetry.KEYED.labels("not_kept").inc()
                raise AnswerNotKept("The answer that was kept can no longer be read. Use another key.") from e
            telemetry.KEYED.labels("replayed").inc()
            for served in (kept.served, kept.ended):
                served.replayed = True
            if kept.failure is not None:
                raise RequestFailed(kept.failure.error(), kept.ended)
            return kept
        if held.state is KeyState.UNKEPT:
            telemetry.KEYED.labels("not_kept").inc()
            raise AnswerNotKept
        telemetry.KEYED.labels("running").inc()
        raise RequestInProgress(retry_after=_SOON)

    async def _whole(self, caller: Caller, ask: Ask, held: _Run, run: Answer) -> tuple[Reply, Served]:
        try:
            reply, served = await run(caller, _known_as(ask, held.request_id))
        except BaseException as e:
            await self._failed(held, e)
            raise
        served.keyed = True
        kept = _Kept(served, served, reply.media_type, reply.body)
        await self.keep(held, kept if len(reply.body) <= self._settings.max_answer else None, served)
        return reply, served

    async def _failed(self, held: _Run, error: BaseException) -> None:
        if isinstance(error, RequestFailed):
            error.served.keyed = True
            if isinstance(error.error, _FINAL) and error.served.attempts:
                kept = _Kept(error.served, error.served, failure=Failure.of(error.error))
                await self.keep(held, kept, error.served)
                return
        await self.let_go(held)

    async def keep(self, held: _Run, kept: _Kept | None, served: Served) -> None:
        """Keep what the caller is told; None is too large for it. A database that is away keeps it later."""
        # Sealed now: what is told of the request goes on changing.
        sealed = None if kept is None else self._seal.seal(msgspec.msgpack.encode(kept))
        keeping = self._run_beside(self._keep_at_last(held, sealed, private=served.private))
        await asyncio.wait([keeping], timeout=_PATIENCE)

    async def let_go(self, held: _Run) -> None:
        """Free the key: the request came to nothing that would be told again."""
        freeing = self._run_beside(self._free(held))
        await asyncio.wait([freeing], timeout=_PATIENCE)

    def let_go_beside(self, held: _Run) -> None:
        """The same for whoever cannot wait."""
        self._run_beside(self._free(held))

    @property
    def max_answer(self) -> int:
        """Bytes of an answer that are kept at most."""
        return self._settings.max_answer

    async def _keep_at_last(self, held: _Run, sealed: bytes | None, *, private: bool) -> None:
        retention = self._settings.retention_unlogged if private else self._settings.retention
        try:
            while True:
                # Until it is kept the key stays ours: freed, it would let the same be paid for twice.
                with suppress(StorageUnavailable):
                    kept = await self._keys.keep(held.key_id, held.token, sealed, retention)
                    if not kept:
                        telemetry.log.warning("key_lost", request_id=held.request_id)
                    return
                await asyncio.sleep(_AGAIN)
        finally:
            held.beat.cancel()

    async def _free(self, held: _Run) -> None:
        held.beat.cancel()
        with suppress(StorageUnavailable):  # then the lease ends by itself
            await self._keys.free(held.key_id, held.token)

    async def _beat(self, key_id: str, token: str) -> None:
        ends = asyncio.get_running_loop().time() + _LONGEST
        while asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(_LEASE.total_seconds() / _BEATS)
            with suppress(StorageUnavailable):
                await self._keys.renew(key_id, token, _LEASE)

    def _run_beside(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._beside.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited may have gone: an exception nobody asks for is no mistake


class _Keeping:
    """A stream under way, whose events are kept as they pass."""

    def __init__(self, opened: OpenStream, once: Once, held: _Run) -> None:
        self._opened = opened
        self._once = once
        self._held = held
        self._begun = replace(opened.served)
        self._over = False
        self.served = opened.served
        self.deadline = opened.deadline
        self.media_type = opened.media_type

    async def events(self) -> AsyncGenerator[Event, None]:
        """The events; before the end is told, they are kept."""
        events = self._opened.events()
        kept: list[tuple[str, bytes]] | None = []
        size = 0
        try:
            async for event in events:
                size += len(event.data) + len(event.name)
                if kept is not None:
                    kept.append((event.name, event.data))
                if size > self._once.max_answer:
                    kept = None
                yield event
        except RequestFailed as e:
            e.served.keyed = True
            self._over = True
            await self._once.let_go(self._held)
            raise
        except (GeneratorExit, asyncio.CancelledError):
            self._let_go()
            raise
        finally:
            await events.aclose()
        self._over = True
        whole = None if kept is None else _Kept(self._begun, self.served, self.media_type, events=tuple(kept))
        await self._once.keep(self._held, whole, self.served)

    async def close(self) -> None:
        """Close the upstream; a stream that was not read to its end frees its key."""
        await self._opened.close()
        self._let_go()

    def _let_go(self) -> None:
        if not self._over:
            self._over = True
            self._once.let_go_beside(self._held)


class _Replayed:
    """A stream that was told before."""

    def __init__(self, kept: _Kept) -> None:
        self._kept = kept
        self.served = kept.served
        self.media_type = kept.media_type
        self.deadline = datetime.now(UTC) + timedelta(minutes=1)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Its events, as they were."""
        for name, data in self._kept.events or ():
            yield Event(data, name=name, media_type=self.media_type)
        for each in fields(Served):  # in place: whoever holds it sees it become complete, as it did
            setattr(self.served, each.name, getattr(self._kept.ended, each.name))

    async def close(self) -> None:
        """There is nothing to close."""


def _reply(kept: _Kept) -> Reply:
    return Reply(kept.body, media_type=kept.media_type, dropped=kept.ended.dropped)


def _request_id(key_id: str, held: KeyHeld) -> str:
    """The id of a key's request: whoever sees the run knows it, and each run has another.

    A workflow's id and a row of the ledger are used once, also long after the key was forgotten.
    """
    return derive_id(key_id, held.token)


def _known_as(ask: Ask, request_id: str) -> Ask:
    return replace(ask, hints=replace(ask.hints, request_id=request_id))


def _fingerprint(ask: Ask) -> str:
    """What is asked, in a digest: the operation, the body, our own field, and the files that came with it.

    Not how long it may take: a client that tries again has less time left.
    """
    traits = ask.traits
    wishes = (
        traits.select,
        traits.prefer,
        traits.exclude,
        str(traits.max_cost_usd),
        sorted(ask.tags.items()),
    )
    digest = sha256(f"{ask.endpoint}\n{ask.said or ask.text}\n{wishes}\n{ask.strict}".encode())
    for file in ask.files:
        digest.update(f"\n{file.field}\n{file.filename}\n{file.media_type}\n{len(file.data)}\n".encode())
        digest.update(file.data)
    return digest.hexdigest()
