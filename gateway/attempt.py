"""One attempt: one call of one model, bounded in time, measured, priced, and told as a row of the ledger.

Nothing here retries or chooses: that is the workflow's. A failure is a value in the attempt, not an exception.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import perf_counter

from gateway import telemetry, tokens
from gateway.domain import errors
from gateway.domain.inference import Attempt, Choice, Failure, InferenceRequest, Outcome, Usage
from gateway.domain.operations import Operation
from gateway.domain.prices import Price, cost_of
from gateway.domain.registry import Model, Registry
from gateway.files import seconds_of
from gateway.limiter import OPEN, Entry, Full, Gate
from gateway.live.vitals import Vitals
from gateway.providers.dialects.bridges import BRIDGES, HERE, NATIVE
from gateway.providers.dialects.ports import Carried, Translator
from gateway.providers.ports import EVENT_STREAM, Attachment, Body, Call, CallTimeouts, Event, Provider, Reply

# A provider answers these before it has done any work: they cost nothing.
_FREE = frozenset(
    kind.code
    for kind in (
        errors.UpstreamUnavailable,
        errors.UpstreamRateLimited,
        errors.UpstreamAuth,
        errors.UpstreamNotFound,
        errors.UpstreamForbidden,
        errors.UpstreamRejected,
        errors.ContextTooLong,
        errors.ContentFiltered,
        errors.ModelNotFound,
        errors.InvalidRequest,  # these three are raised before the call
        errors.NotCarried,
        errors.DeadlineExceeded,
    )
)
_NOTHING = Decimal(0)
_BYTES_PER_TOKEN = 4
_USUAL_OUTPUT = 512  # tokens of an answer whose length nobody bounded: corrected when it is there
_LOGGED_TEXT = 4 * 1024 * 1024  # bytes of one stream that are kept for the log and for estimates


@dataclass(frozen=True, slots=True)
class Try:
    """What is to be attempted: the request, its body as JSON values, which model, and as which attempt.

    `files` came with the body, if that was a form.
    """

    request: InferenceRequest
    body: Body
    number: int
    choice: Choice
    entry: Entry = OPEN  # through the model's limits: left when the attempt ends
    beside: bool = False  # asked while another one had not answered, and not after one that failed
    files: tuple[Attachment, ...] = ()


class Attempts:
    """Makes attempts against the models of the registry."""

    def __init__(
        self,
        registry: Callable[[], Registry],
        providers: Mapping[str, Provider],
        defaults: CallTimeouts,
        vitals: Vitals | None = None,
        gate: Gate | None = None,
    ) -> None:
        """`providers` by the name that models carry, `defaults` for models that say no time-outs of their own.

        `vitals` counts the attempts, if given, for decisions to come; `gate` keeps the limits of models.
        """
        self._registry = registry
        self._providers = providers
        self._defaults = defaults
        self._vitals = vitals
        self._gate = gate

    async def admit(self, wanted: Try, others: Iterable[str] = (), *, in_line: bool = False) -> Try | Attempt:
        """Let a try in by its model's limits; where it is at one, the first of `others` that is not, and say why.

        Where all are, it is an attempt that failed as RateLimited; with `in_line` it is told when its turn comes after
        all that met the model so before. A try that is let in must be made, or skipped.
        """
        if self._gate is None:
            return wanted
        models, full = self._registry().models, list[Full]()
        for name in (wanted.choice.model, *others):
            model = models.get(name)
            if model is None or not model.callable:
                if not full:
                    return wanted  # the attempt says what is wrong
                continue
            entry = await self._gate.enter(model, lambda: _estimate(wanted))
            if isinstance(entry, Entry):
                choice = wanted.choice
                if full:
                    reason = "; ".join((choice.reason, *(str(each) for each in full)))
                    choice = replace(choice, model=name, reason=reason)
                return replace(wanted, choice=choice, entry=entry)
            full.append(entry)
        if in_line:
            full = [replace(each, after=await self._gate.turn(each)) for each in full]
        return _refused(wanted, full)

    def on(self, registry: Registry) -> Attempts:
        """The same against another registry, and not counted for decisions: to try a model out."""
        return Attempts(lambda: registry, self._providers, self._defaults)

    async def complete(self, wanted: Try) -> tuple[Attempt, Reply | None]:
        """Call the model and wait for the whole answer; the reply is None when the attempt did not succeed.

        Cancelling the task closes the call and returns the attempt as cancelled.
        """
        running = _Running(wanted, self._vitals)
        try:
            here = self._here(wanted, running)
            if here is not None:
                return running.answered_here(), here
            provider, call, carried = self._prepare(wanted, running)
            reply = await provider.complete(call)
            if carried is not None:
                dropped = (*carried.dropped, *reply.dropped)
                reply = replace(reply, body=carried.reply(reply.body), dropped=dropped)
        except asyncio.CancelledError:
            # Whoever cancels this call wants it settled, so the cancellation ends here, as a row of the ledger.
            return running.cancelled(), None
        except Exception as e:  # noqa: BLE001  a bug in a provider must not leave a request unsettled
            return running.failed(_known(e, wanted), Outcome.FAILED), None
        done = running.succeeded(reply.usage, reply.finish_reason, reply.provider_request_id, reply.text)
        return done, reply

    async def stream(self, wanted: Try) -> Attempt | Stream:
        """Call the model and wait for its first event: a stream to read on, or the attempt that failed before it."""
        running = _Running(wanted, self._vitals)
        try:
            provider, call, carried = self._prepare(wanted, running)
            stream = Stream(running, provider.stream(call), carried)
            await stream.peek()
        except asyncio.CancelledError:
            return running.cancelled()
        except Exception as e:  # noqa: BLE001  as above
            return running.failed(_known(e, wanted), Outcome.FAILED)
        return stream

    def promise(self, model: str) -> None:
        """A request was just decided to go to this model, and its attempt is about to begin."""
        if self._vitals is not None:
            self._vitals.promise(model)

    def skip(self, wanted: Try) -> Attempt:
        """An attempt that was not made, because the caller had left, or another had answered, before it."""
        return _Running(wanted, self._vitals).skipped()

    def _here(self, wanted: Try, running: _Running) -> Reply | None:
        """The answer to what is answered here, where the model's provider does not: it says nothing of its health."""
        answers = HERE.get(Operation(wanted.request.endpoint))
        if answers is None:
            return None
        model = self._model(wanted)
        if self._providers[model.provider].speaks(Operation(wanted.request.endpoint), model):
            return None
        running.begin(model, None, watched=False)
        return answers(wanted.body)

    def _model(self, wanted: Try) -> Model:
        model = self._registry().models.get(wanted.choice.model)
        if model is None or not model.callable:
            raise errors.ModelNotFound(detail=f"{wanted.choice.model} has left the registry")
        return model

    def _prepare(self, wanted: Try, running: _Running) -> tuple[Provider, Call, Carried | None]:
        model = self._model(wanted)
        sent = running.begin(model, self._registry().price(model, datetime.now(UTC)))
        provider, call = self._providers[model.provider], self._call(wanted, model, sent)
        if provider.speaks(call.operation, model):
            native = NATIVE.get(call.operation)
            if native is None:
                return provider, call, None
            carried = native(call.body, wanted.request.id)
            return provider, replace(call, body=carried.body), carried
        bridge = BRIDGES.get(call.operation)
        if bridge is None or not provider.speaks(Operation.CHAT, model):
            raise errors.UpstreamNotFound(
                detail=f"{model.provider} does not serve {call.operation} at this model"
            )
        carried = bridge(call.body, wanted.request.id)
        if call.strict and carried.dropped:
            raise errors.NotCarried(param=carried.dropped[0])
        call = replace(call, operation=Operation.CHAT, body=carried.body, carried=True)
        return provider, call, carried

    def _call(self, wanted: Try, model: Model, headers: Mapping[str, str]) -> Call:
        left = wanted.request.deadline - datetime.now(UTC)
        if left <= timedelta(0):
            raise errors.DeadlineExceeded
        own, usual = model.timeouts, self._defaults
        timeouts = CallTimeouts(
            connect=min(left, own.connect or usual.connect),
            first_byte=min(left, own.first_byte or usual.first_byte),
            total=min(left, own.total or usual.total),
        )
        sent = {"x-request-id": wanted.request.id, **headers}
        request = wanted.request
        return Call(
            request.kind,
            model,
            wanted.body,
            timeouts,
            sent,
            operation=Operation(request.endpoint),
            files=wanted.files,
            strict=request.strict,
            dialect_headers=request.dialect_headers,
        )


class Stream:
    """A streamed attempt that has begun: read `events` to the end, or `close` it; then `attempt` is settled.

    The upstream is read only as fast as the caller takes, so that a slow caller fills no queue of ours.
    """

    def __init__(
        self, running: _Running, source: AsyncIterator[Event], carried: Carried | None = None
    ) -> None:
        """Nothing is called before `peek`. What was `carried` over chat comes back in its own dialect."""
        self._running = running
        self._source = source
        self._translator: Translator | None = None if carried is None else carried.stream()
        self._translated: deque[Event] = deque()
        self.media_type = ""
        self.dropped: tuple[str, ...] = () if carried is None else carried.dropped
        self._first: Event | None = None
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._texts: list[str] = []
        self._usage: Usage | None = None
        self._finish: str | None = None
        self._upstream_id: str | None = None
        self.attempt: asyncio.Future[Attempt] = asyncio.get_running_loop().create_future()

    @property
    def model(self) -> str:
        """The name of the model that answers."""
        return self._running.wanted.choice.model

    @property
    def provider(self) -> str:
        """The name of its provider."""
        return self._running.provider

    @property
    def chunks(self) -> list[bytes]:
        """The events so far as they came, for the log; at most 4 MiB of them."""
        return self._kept

    @property
    def size(self) -> int:
        """How many bytes the caller was told."""
        return self._kept_bytes

    async def peek(self) -> None:
        """Wait for the first event, so that a failure before it can still go to another model."""
        try:
            self._first = await self._next()
        except StopAsyncIteration:
            await self._shut()
            raise errors.UpstreamMalformed(detail="the stream ended without an event") from None
        except BaseException:
            await self._shut()
            raise
        self._running.first_token()
        self.media_type = self._first.media_type

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield every event. Raises the error by which the stream broke; settles the attempt in every case."""
        try:
            event = self._first
            while event is not None:
                self._keep(event)
                yield event
                event = await self._next_or_none()
                if self.attempt.done():
                    raise errors.Cancelled  # closed by somebody else while we read: the process is ending
            self._settle(self._running.succeeded(self._usage, self._finish, self._upstream_id, self._said()))
        except errors.GatewayError as e:
            self._settle(self._running.failed(e, Outcome.BROKEN, self._said(), self._usage))
            raise
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the upstream connection; a stream that has not ended is settled as cancelled."""
        if not self.attempt.done():
            self._settle(self._running.cancelled(self._said(), self._usage))
        await self._shut()

    def _said(self) -> str:
        return "".join(self._texts)

    async def _next(self) -> Event:
        # The provider bounds the whole stream in time, by the call's own time-outs.
        if self._translated:
            return self._translated.popleft()
        translator = self._translator
        if translator is None:
            event = await anext(self._source)
            self._count(event)
            return event
        while not self._translated:
            try:
                event = await anext(self._source)
            except StopAsyncIteration:
                self._translator = None
                self._translated.extend(translator.end())
                break
            self._count(event)
            self._translated.extend(translator.feed(event))
        if not self._translated:
            raise StopAsyncIteration
        return self._translated.popleft()

    async def _next_or_none(self) -> Event | None:
        try:
            return await self._next()
        except StopAsyncIteration:
            return None

    async def _shut(self) -> None:
        aclose = getattr(self._source, "aclose", None)
        if aclose is not None:
            with suppress(RuntimeError):  # somebody reads it at this moment: it ends with its reader
                await aclose()

    def _count(self, event: Event) -> None:
        """Count what the upstream said, in whatever dialect."""
        if event.text:
            self._texts.append(event.text)
        self._usage = event.usage or self._usage
        self._finish = event.finish_reason or self._finish
        self._upstream_id = event.provider_request_id or self._upstream_id
        if event.dropped:
            self.dropped = (*self.dropped, *event.dropped)

    def _keep(self, event: Event) -> None:
        """Keep what the caller is told, for the log; of sound, how much it was."""
        self._kept_bytes += len(event.data)
        if self._kept_bytes <= _LOGGED_TEXT and (self.media_type == EVENT_STREAM or not self._kept):
            self._kept.append(event.data)

    def _settle(self, attempt: Attempt) -> None:
        if not self.attempt.done():
            self.attempt.set_result(attempt)


class _Running:
    """The measurements of an attempt under way."""

    def __init__(self, wanted: Try, vitals: Vitals | None) -> None:
        self.wanted = wanted
        self._vitals = vitals
        self._probe = False
        self._settled: Attempt | None = None
        self._model: Model | None = None
        self._price: Price | None = None
        self._span: telemetry.CallSpan | None = None
        self._at = datetime.now(UTC)
        self._began = perf_counter()
        self._first: float | None = None

    def begin(self, model: Model, price: Price | None, *, watched: bool = True) -> Mapping[str, str]:
        """Note which model is called at what price; returns the trace headers for its upstream.

        What is not `watched` does not count for the model's health: it is not called.
        """
        self._model = model
        self._price = price
        if not watched:
            self._vitals = None
        if self._vitals is not None:
            self._probe = self._vitals.begin(model.name)
        self._span = telemetry.CallSpan(self.wanted.request, model, self.wanted.number)
        return self._span.start()

    @property
    def provider(self) -> str:
        return self._model.provider if self._model is not None else ""

    def first_token(self) -> None:
        self._first = self._elapsed()
        if self._probe and self._vitals is not None:
            self._vitals.answering(self.wanted.choice.model)

    def succeeded(
        self, usage: Usage | None, finish: str | None, upstream_id: str | None, said: str = ""
    ) -> Attempt:
        if usage is None:
            usage = self._estimate(said)
        elif usage.search_units and not usage.input:  # which are no tokens, and these are limited, too
            usage = replace(self._estimate(said), search_units=usage.search_units)
        return self._attempt(Outcome.SUCCEEDED, None, usage, finish, upstream_id)

    def answered_here(self) -> Attempt:
        return self._attempt(Outcome.SUCCEEDED, None, Usage(), None, None, free=True)

    def failed(
        self, error: errors.GatewayError, outcome: Outcome, said: str = "", usage: Usage | None = None
    ) -> Attempt:
        free = outcome is Outcome.FAILED and (error.code in _FREE or error.unsent)
        if not free and usage is None and self._model is not None:
            usage = self._estimate(said)
        return self._attempt(outcome, Failure.of(error), usage, None, None, free=free)

    def cancelled(self, said: str = "", usage: Usage | None = None) -> Attempt:
        failure = Failure.of(errors.Cancelled())
        return self._attempt(Outcome.CANCELLED, failure, usage or self._estimate(said), None, None)

    def skipped(self) -> Attempt:
        return self._attempt(Outcome.CANCELLED, Failure.of(errors.Cancelled()), None, None, None, free=True)

    def _elapsed(self) -> float:
        return (perf_counter() - self._began) * 1000

    def _estimate(self, said: str) -> Usage:
        return Usage(
            tokens.count_prompt(self.wanted.body),
            tokens.count(said),
            estimated=True,
            seconds=seconds_of(self.wanted.files),
        )

    def _attempt(
        self,
        outcome: Outcome,
        failure: Failure | None,
        usage: Usage | None,
        finish: str | None,
        upstream_id: str | None,
        *,
        free: bool = False,
    ) -> Attempt:
        if self._settled is not None:
            return self._settled  # closed by one while another still read: it is counted once
        model = self._model
        took_ms = round(self._elapsed(), 3)
        if free:
            usage, cost = Usage(), _NOTHING
        else:
            if usage is not None and self.wanted.request.endpoint == Operation.SPEECH:
                usage = replace(usage, characters=tokens.characters(self.wanted.body))
            cost = cost_of(self._price, usage, timedelta(milliseconds=took_ms))
        attempt = Attempt(
            number=self.wanted.number,
            model=self.wanted.choice.model,
            provider=model.provider if model is not None else "",
            upstream_model=model.upstream_model if model is not None else "",
            reason=self.wanted.choice.reason,
            outcome=outcome,
            started_at=self._at,
            total_ms=took_ms,
            first_token_ms=None if self._first is None else round(self._first, 3),
            failure=failure,
            usage=usage,
            cost_usd=cost,
            finish_reason=finish,
            provider_request_id=upstream_id,
        )
        if self._span is not None:
            self._span.settle(attempt)
        if self._vitals is not None and model is not None:
            self._vitals.settle(attempt, self.wanted.request, probe=self._probe)
        self.wanted.entry.leave(usage)
        telemetry.count_attempt(attempt, self.wanted.request.kind, beside=self.wanted.beside)
        self._settled = attempt
        return attempt


def _estimate(wanted: Try) -> int:
    """About how many tokens a call will use, at most: its prompt, and the answer that it may have."""
    traits = wanted.request.traits
    prompt = traits.input_tokens or len(wanted.request.body) // _BYTES_PER_TOKEN
    return prompt + (traits.max_output or _USUAL_OUTPUT)


def _refused(wanted: Try, full: Sequence[Full]) -> Attempt:
    """The attempt that no model's limits let in: it was no call, and is counted as none."""
    error = errors.RateLimited(
        detail="; ".join(str(each) for each in full), retry_after=min(each.after for each in full)
    )
    return Attempt(
        number=wanted.number,
        model=wanted.choice.model,
        provider="",
        upstream_model="",
        reason=wanted.choice.reason,
        outcome=Outcome.FAILED,
        started_at=datetime.now(UTC),
        total_ms=0.0,
        failure=Failure.of(error),
        usage=Usage(),
        cost_usd=_NOTHING,
    )


def _known(error: Exception, wanted: Try) -> errors.GatewayError:
    if isinstance(error, errors.GatewayError):
        return error
    telemetry.log.error(
        "provider_bug", request_id=wanted.request.id, model=wanted.choice.model, exc_info=error
    )
    return errors.GatewayError(detail=type(error).__name__)
