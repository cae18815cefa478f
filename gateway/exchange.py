"""Where a waiting caller, its attempts and its workflow meet, in the process that holds the caller's connection.

The first attempt begins at once; the workflow, started beside it, joins it here, decides what is tried next, and has
the outcome recorded. Whoever asks for attempt N first begins it, everybody else joins it: so nothing is called twice.
Attempts that are made beside N, because it does not answer, have the next numbers: whoever waits for N gets them with
it, and asks for the number after all of them next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from time import perf_counter
from typing import TypeVar

import msgspec

from gateway import telemetry
from gateway.attempt import Attempts, Stream, Try
from gateway.domain.errors import Cancelled, GatewayError
from gateway.domain.inference import Attempt, Choice, Failure, InferenceRequest, Kind, Mode, in_order, telling
from gateway.domain.operations import Operation
from gateway.hedge import Plan, Race
from gateway.providers.dialects.bridges import assemble
from gateway.providers.media import without_media
from gateway.providers.ports import EVENT_STREAM, JSON, Attachment, Body, Reply

T = TypeVar("T")
Planner = Callable[[int, str, frozenset[str]], Plan | None]
"""Whom to ask beside a model: for attempt number so and so, at that model, when those were tried before."""


class Exchange:
    """One request whose caller waits in this process."""

    def __init__(
        self,
        request: InferenceRequest,
        body: Body,
        attempts: Attempts,
        *,
        first: Try | None = None,
        plan: Planner | None = None,
        aside: bool = False,
        files: tuple[Attachment, ...] = (),
    ) -> None:
        """`body` is the caller's JSON, its values still raw; `files` came with it, if it was a form.

        `first` is the first attempt, if it was let in by its model's limits before; `plan` says whom to ask beside a
        model that does not answer. Nobody waits for one that is `aside`: it takes no room from those for whom somebody
        does.
        """
        self.request = request
        self.body = body
        self.files = files
        self.opened: asyncio.Future[Reply | Stream] = asyncio.get_running_loop().create_future()
        self.settled = asyncio.Event()
        self.on_answered: Callable[[], None] = _nobody_asks
        self._attempts = attempts
        self.first = first
        self._plan = plan
        self.aside = aside
        self._beside: dict[int, tuple[Attempt, ...]] = {}
        self._tasks: dict[int, asyncio.Task[Attempt]] = {}
        self._called: set[int] = set()
        self._done: dict[int, Attempt] = {}
        self._stream: Stream | None = None
        self._reply: Reply | None = None
        self._gone = asyncio.Event()
        self._began = perf_counter()
        self._upstream_ms = 0.0
        self.rule = ""  # what chose the model of the last attempt, where that was decided after the first
        self._ended_at: float | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The models that have answered or failed so far, in order, and last the one that answered, or streams now."""
        done = self.finished
        answered = telling(done)
        if self._stream is not None and not self._stream.attempt.done():
            return (*(a.model for a in done), self._stream.model)
        if answered is None:
            return ()
        return (*(a.model for a in done if a is not answered), answered.model)

    @property
    def provider(self) -> str:
        """The provider of the model that answered, failed or streams last."""
        if self._stream is not None:
            return self._stream.provider
        answered = telling(self.finished)
        return "" if answered is None else answered.provider

    @property
    def finished(self) -> tuple[Attempt, ...]:
        """The attempts that have ended so far."""
        done = dict(self._done)
        if self._stream is not None and self._stream.attempt.done():
            attempt = self._stream.attempt.result()  # its task may not have come round to note it
            done[attempt.number] = attempt
        return tuple(a for _, a in sorted(done.items()))

    @property
    def overhead_ms(self) -> float:
        """Milliseconds between acceptance and now in which no upstream was at work."""
        return max(0.0, (perf_counter() - self._began) * 1000 - self._upstream_ms)

    def begin(self, number: int, choice: Choice) -> asyncio.Task[Attempt]:
        """Begin attempt `number`, or join it if it has begun."""
        task = self._tasks.get(number)
        if task is None:
            task = asyncio.create_task(
                self._attempt(number, choice), name=f"attempt {number} {self.request.id}"
            )
            self._tasks[number] = task
        return task

    async def attempt(self, number: int, choice: Choice) -> Attempt:
        """The attempt as it ended; cancelling this waiting leaves the attempt alone."""
        return await asyncio.shield(self.begin(number, choice))

    def beside(self, number: int) -> tuple[Attempt, ...]:
        """The attempts that were made beside one that has ended."""
        return self._beside.get(number, ())

    def give_up(self, failure: Failure | None) -> None:
        """Tell the waiting caller that nothing more is tried."""
        if not self.opened.done():
            error = failure.error() if failure is not None else Cancelled()
            self.opened.set_exception(error)
            self.opened.exception()  # the caller may be gone: an exception nobody asks for is no mistake

    async def leave(self) -> None:
        """The caller is gone: cancel what is under way. Whoever reads the stream must have stopped reading it."""
        self._gone.set()
        if self._stream is not None:
            await self._stream.close()
        else:
            for number, task in self._tasks.items():
                # Cancelled before its first step, a task would never tell what became of it: it sees for itself.
                if number in self._called and not task.done():
                    task.cancel()
        self.give_up(None)

    async def finish_unread(self) -> None:
        """The caller is gone, but the answer is to be finished: read it to its end."""
        with suppress(GatewayError):
            opened = await asyncio.shield(self.opened)
            if isinstance(opened, Stream):
                async for _ in opened.events():
                    pass

    def stale(self, after: timedelta) -> bool:
        """Whether everything has ended for so long without being settled that the workflow will not do it soon."""
        ended = self.opened.done() and all(task.done() for task in self._tasks.values())
        if not ended:
            self._ended_at = None
        elif self._ended_at is None:
            self._ended_at = perf_counter()
        return self._ended_at is not None and perf_counter() - self._ended_at >= after.total_seconds()

    def answer(self) -> str | None:
        """The answer as one JSON text for the log; None when there was none."""
        if self._reply is not None:
            return logged(self._reply.body, self._reply.media_type, self.request.kind)
        if self._stream is not None and self._stream.chunks:
            if self._stream.media_type != EVENT_STREAM:
                return _bytes_of(self._stream.media_type, self._stream.size)
            joined = assemble(Operation(self.request.endpoint), self._stream.chunks)
            return joined.decode("utf-8", "replace")
        return None

    async def _attempt(self, number: int, choice: Choice) -> Attempt:
        self.rule = choice.rule
        wanted = await self._let_in(number, choice)
        if isinstance(wanted, Attempt):
            self._done[number] = wanted
            return wanted
        self._called.add(number)
        plan = None if self._plan is None else self._plan(number, wanted.choice.model, self._tried)
        if plan is not None:
            return await self._raced(wanted, plan)
        began = perf_counter()
        if self.request.mode is Mode.STREAM:
            opened = await self._attempts.stream(wanted)
            self._upstream_ms += (perf_counter() - began) * 1000
            if isinstance(opened, Stream):
                attempt = await self._hand_over(opened)
            else:
                attempt = opened
        else:
            attempt, reply = await self._attempts.complete(wanted)
            self._upstream_ms += (perf_counter() - began) * 1000
            if reply is not None:
                self._done[number] = attempt
                self._answer(reply)
        self._done[number] = attempt
        if self.opened.done():
            self.on_answered()
        return attempt

    async def _let_in(self, number: int, choice: Choice) -> Try | Attempt:
        """The try, let in by its model's limits; or the attempt that comes to nothing."""
        first = self.first if number == 1 else None
        wanted = first or Try(self.request, self.body, number, choice, files=self.files)
        if choice.wait:
            # Here and not by a timer of the workflow: the engine's are a second coarse, and somebody waits.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), choice.wait.total_seconds())
        if first is None and not self._gone.is_set():
            tried = self._tried
            others = (n for n in self.request.candidates if n != choice.model and n not in tried)
            admitted = await self._attempts.admit(wanted, others)
            if isinstance(admitted, Attempt):
                return admitted
            wanted = admitted
        return self._attempts.skip(wanted) if self._gone.is_set() else wanted

    async def _raced(self, wanted: Try, plan: Plan) -> Attempt:
        """The same with others beside it, while it does not answer."""
        race, began = Race(self._attempts, wanted, plan), perf_counter()
        answer = await race.run()
        self._upstream_ms += (perf_counter() - began) * 1000
        self._done |= {each.number: each for each in race.ended}
        ending = asyncio.create_task(race.end())
        if isinstance(answer, Stream):
            made = (await self._hand_over(answer), *await _surely(ending))
        elif answer is not None:
            attempt, reply = answer
            self._done[attempt.number] = attempt
            self._answer(reply)
            made = (attempt, *await _surely(ending))
        else:
            made = await _surely(ending)
        self._done |= {each.number: each for each in made}
        attempt = telling(in_order(made)) or made[0]
        self._beside[wanted.number] = tuple(each for each in made if each is not attempt)
        if self.opened.done():
            self.on_answered()
        return attempt

    @property
    def _tried(self) -> frozenset[str]:
        return frozenset(attempt.model for attempt in self._done.values())

    def _answer(self, reply: Reply) -> None:
        self._reply = reply
        if not self.opened.done():
            self.opened.set_result(reply)

    async def _hand_over(self, stream: Stream) -> Attempt:
        self._stream = stream
        if self._gone.is_set() or self.opened.done():
            await stream.close()
        else:
            self.opened.set_result(stream)
        return await stream.attempt


async def _surely(ending: asyncio.Task[T]) -> T:
    """The result of what ends soon, whoever cancels this waiting."""
    while True:
        try:
            return await asyncio.shield(ending)
        except asyncio.CancelledError:
            if ending.done():
                raise


def logged(body: bytes, media_type: str, kind: Kind) -> str:
    """An answer as the log keeps it: text as it is, of sound and pictures only what they were."""
    if media_type == JSON or media_type.startswith("text/"):
        body = without_media(body) if kind is Kind.IMAGE else body
        return body.decode("utf-8", "replace")
    return _bytes_of(media_type, len(body))


def _bytes_of(media_type: str, size: int) -> str:
    return msgspec.json.encode({"media_type": media_type, "bytes": size}).decode()


def _nobody_asks() -> None:
    """Whether it is answered matters to nobody."""


class Exchanges:
    """All requests that this process is answering, or has answered without their ledger row being written yet."""

    def __init__(self, origin: str, *, most_unsettled: int = 24) -> None:
        """`origin` is this process's name, as requests carry it.

        At `most_unsettled` requests that are answered and not settled there is no room for another.
        """
        self.origin = origin
        self._by_id: dict[str, Exchange] = {}
        self._most_unsettled = most_unsettled
        self._answered: set[str] = set()
        self._aside: set[str] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """How many somebody waits for, those included that wait for room."""
        return len(self._by_id) - len(self._aside) + len(self._waiting)

    def __iter__(self) -> Iterator[Exchange]:
        """A snapshot of them."""
        return iter(tuple(self._by_id.values()))

    async def room(self, patience: float) -> None:
        """Wait, in order, while too much is answered and not settled; but no longer than `patience` seconds.

        So callers are slowed to what the books are kept with, instead of leaving work behind that grows without bound.
        """
        if len(self._answered) < self._most_unsettled and not self._waiting:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(patience):
                await turn
        except TimeoutError:
            return
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)
            self._let_in()  # whoever left when its turn had come must not take it along

    def open(self, exchange: Exchange) -> None:
        """Let the workflow find it."""
        request_id = exchange.request.id
        self._by_id[request_id] = exchange
        if exchange.aside:
            self._aside.add(request_id)
        else:
            exchange.on_answered = lambda: self._note_answered(request_id)
        self._idle.clear()
        telemetry.UNSETTLED.set(len(self._by_id))

    def get(self, request_id: str) -> Exchange | None:
        """The exchange of a request, unless it is elsewhere or settled."""
        return self._by_id.get(request_id)

    def close(self, request_id: str) -> None:
        """The request is settled: forget it."""
        exchange = self._by_id.pop(request_id, None)
        if exchange is not None:
            exchange.settled.set()
        self._answered.discard(request_id)
        self._aside.discard(request_id)
        self._let_in()
        telemetry.UNSETTLED.set(len(self._by_id))
        if not self._by_id:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until every request is settled."""
        await self._idle.wait()

    def _note_answered(self, request_id: str) -> None:
        if request_id in self._by_id:
            self._answered.add(request_id)

    def _let_in(self) -> None:
        for _ in range(min(self._most_unsettled - len(self._answered), len(self._waiting))):
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
