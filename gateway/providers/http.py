"""HTTP to models, behind one seam: a pool of connections, answers bounded in time and size, the one table of errors.

The pool is httpx2's transport without its client on top: what is not there cannot follow a redirect, retry, keep a
cookie of one caller's answer for another's, or read a password from the environment; it also saves a third of the CPU
time of a call. The `openai` SDK gets the same pool.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Final, Self, cast
from urllib.request import getproxies, proxy_bypass

import anyio
import httpx2
import msgspec
from typing_extensions import override

from gateway.domain import errors
from gateway.domain.errors import GatewayError
from gateway.domain.secret import MASK, Secret
from gateway.net.guard import Guard
from gateway.net.http1 import Http1
from gateway.net.waits import retry_after
from gateway.providers.ports import CallTimeouts
from gateway.providers.watch import Watch
from gateway.settings import Providers

ERROR_BODY: Final = 64 * 1024
ERROR_BODY_TIME: Final = 2.0
DETAIL: Final = 2048
REQUEST_IDS: Final = ("x-request-id", "request-id")
"""Headers by which a provider says its own id of a request."""
_PARAM = re.compile(r"[A-Za-z0-9_.\[\]]{1,80}")


# ---- the pool ----------------------------------------------------------------------------------------------------
@cache
def _tls(*, trust_env: bool) -> ssl.SSLContext:
    """One for all pools: to read the machine's certificates takes 30 ms."""
    context = httpx2.create_ssl_context(trust_env=trust_env)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Pool(httpx2.AsyncBaseTransport):
    """The connections of one provider. Proxies of the environment are used only if the settings trust it."""

    def __init__(self, settings: Providers) -> None:
        """Open nothing yet."""
        self._limits = httpx2.Limits(
            max_connections=settings.max_connections,
            max_keepalive_connections=settings.keepalive_connections,
            keepalive_expiry=settings.keepalive_expiry.total_seconds(),
        )
        self._guard = Guard(allow_private=settings.allow_private_networks)
        self._proxies = getproxies() if settings.trust_env else {}
        self._tls = _tls(trust_env=settings.trust_env)  # now, and not while the first request waits
        self._transports: dict[str | None, httpx2.AsyncBaseTransport] = {None: self._made(None)}

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and return its answer as soon as the head is there."""
        response = await self._transport(request.url).handle_async_request(request)
        if not response.is_success:
            response.stream = _Brief(cast("httpx2.AsyncByteStream", response.stream))
        return response

    @override
    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()

    def _transport(self, url: httpx2.URL) -> httpx2.AsyncBaseTransport:
        proxy = None
        if self._proxies and not proxy_bypass(url.host):
            proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        found = self._transports.get(proxy)
        if found is None:
            found = self._transports[proxy] = self._made(proxy)
        if proxy is not None:
            # The proxy looks the name up, where nobody here sees it; what the name itself says is checked.
            self._guard.check_name(url.host)
        return found

    def _made(self, proxy: str | None) -> httpx2.AsyncBaseTransport:
        if proxy is None:
            return Http1(self._tls, self._limits, self._guard.look_up)
        return httpx2.AsyncHTTPTransport(verify=self._tls, limits=self._limits, proxy=proxy)


def client_over(pool: Pool) -> httpx2.AsyncClient:
    """What an SDK sends through: no redirect is followed, nothing of the environment used, no time-out but ours."""
    # One jar that takes nothing: what one caller's answer sets must not come with another's request.
    jar = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx2.AsyncClient(
        transport=pool, trust_env=False, follow_redirects=False, timeout=None, cookies=jar
    )


class _Brief(httpx2.AsyncByteStream):
    """The body of an error: no longer than it takes to say what is wrong, and its end is no error of its own."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        left, ends = ERROR_BODY, asyncio.get_running_loop().time() + ERROR_BODY_TIME
        iterator = aiter(self._stream)
        while left > 0:
            try:
                async with asyncio.timeout_at(ends):
                    chunk = await anext(iterator)
            except (StopAsyncIteration, *FOREIGN):
                return
            yield chunk[:left]
            left -= len(chunk)

    @override
    async def aclose(self) -> None:
        await self._stream.aclose()


@lru_cache(1024)
def address(base_url: str, path: str) -> httpx2.URL:
    """An upstream's address with a path added; a query of the base (an API version, say) is kept.

    Raises UpstreamNotFound for a base that is no address.
    """
    try:
        base = httpx2.URL(base_url)
        if base.scheme not in ("http", "https") or not base.host:
            raise errors.UpstreamNotFound(detail="the model's base_url is no http or https address")
        own, _, query = base.raw_path.partition(b"?")
        path, _, asked = path.partition("?")
        whole = own.rstrip(b"/") + b"/" + path.encode()
        queries = b"&".join(filter(None, (query, asked.encode())))
        return base.copy_with(raw_path=whole + b"?" + queries if queries else whole)
    except (httpx2.InvalidURL, ValueError) as error:
        raise errors.UpstreamNotFound(detail=f"the model's base_url is no address: {error}") from error


# ---- answers -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Deadlines:
    """The bounds of one call as moments of the loop's clock; `silence` (seconds) bounds the wait for each chunk."""

    connect: float
    first_byte: float
    total: float
    silence: float

    @staticmethod
    def of(timeouts: CallTimeouts) -> Deadlines:
        """The bounds of a call that starts now. A model that thinks may be silent as long as before its first byte."""
        now = asyncio.get_running_loop().time()
        total = now + timeouts.total.total_seconds()
        silence = timeouts.first_byte.total_seconds()
        return Deadlines(timeouts.connect.total_seconds(), min(now + silence, total), total, silence)

    def first(self) -> asyncio.Timeout:
        """The bound of what must be done before the first byte."""
        return asyncio.timeout_at(self.first_byte)

    @property
    def extensions(self) -> dict[str, object]:
        """What the transport has to watch itself; all other waits are bounded here, where they are cheaper."""
        return {"timeout": {"connect": self.connect, "pool": self.connect, "read": None, "write": None}}


class Answer:
    """An upstream's answer whose head is there; leaving its `async with` closes it, and the connection if unread."""

    def __init__(self, response: httpx2.Response, deadlines: Deadlines) -> None:
        """`response` must not have been read."""
        self._response = response
        self._deadlines = deadlines
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.named_by: Sequence[str] = REQUEST_IDS

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self._response.aclose()

    @property
    def request_id(self) -> str | None:
        """The provider's own id of the request, if it says one."""
        return next((said for name in self.named_by if (said := self.headers.get(name))), None)

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body as it comes. Raises UpstreamTimeout and UpstreamBroken."""
        clock = asyncio.get_running_loop().time
        encoded = self.headers.get("content-encoding", "identity") != "identity"
        body = (
            self._response.aiter_bytes() if encoded else cast("httpx2.AsyncByteStream", self._response.stream)
        )
        iterator, ends, watch = aiter(body), self._deadlines.first_byte, Watch()
        try:
            while True:
                try:
                    chunk = await watch.wait(anext(iterator), ends)
                except StopAsyncIteration:
                    return
                except FOREIGN as error:
                    raise trouble(error, begun=True) from error
                if chunk:
                    yield chunk
                ends = min(clock() + self._deadlines.silence, self._deadlines.total)
        finally:
            watch.stop()

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamMalformed beyond `limit` bytes, and what `chunks` raises."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise errors.UpstreamMalformed(
                    detail=f"the answer is longer than {limit} bytes", status=self.status
                )
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Pieces(httpx2.AsyncByteStream):
    """A body in pieces, which nobody joins."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        """They are not copied."""
        self._pieces = pieces

    @property
    def size(self) -> int:
        """Of all together."""
        return sum(map(len, self._pieces))

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


async def post(
    transport: httpx2.AsyncBaseTransport,
    url: httpx2.URL,
    headers: Mapping[str, str],
    content: bytes | Sequence[bytes],
    deadlines: Deadlines,
    extensions: Mapping[str, object] | None = None,
) -> Answer:
    """Send a request; its answer once the head is there, whatever its status.

    Raises UpstreamUnavailable, UpstreamTimeout, and UpstreamNotFound for an address that is none.
    """
    told = deadlines.extensions if extensions is None else {**deadlines.extensions, **extensions}
    return await _send(transport, "POST", url, headers, content, deadlines, told)


async def get(
    transport: httpx2.AsyncBaseTransport, url: httpx2.URL, headers: Mapping[str, str], deadlines: Deadlines
) -> Answer:
    """Ask for something; raises as `post` does."""
    return await _send(transport, "GET", url, headers, None, deadlines, deadlines.extensions)


async def _send(
    transport: httpx2.AsyncBaseTransport,
    method: str,
    url: httpx2.URL,
    headers: Mapping[str, str],
    content: bytes | Sequence[bytes] | None,
    deadlines: Deadlines,
    told: Mapping[str, object],
) -> Answer:
    try:
        sent, more = dict(headers), dict(told)
        if content is None or isinstance(content, bytes):
            request = httpx2.Request(method, url, headers=sent, content=content, extensions=more)
        else:
            stream = Pieces(content)
            sent["content-length"] = str(stream.size)
            request = httpx2.Request(method, url, headers=sent, stream=stream, extensions=more)
        async with deadlines.first():
            return Answer(await transport.handle_async_request(request), deadlines)
    except FOREIGN as error:
        raise trouble(error, begun=False) from error


# ---- the table of errors -----------------------------------------------------------------------------------------
# anyio's and the TLS layer's own errors are not always translated by httpx2. OSError holds TimeoutError too.
FOREIGN: Final = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, anyio.EndOfStream, OSError)


def trouble(error: Exception, *, begun: bool) -> GatewayError:
    """What went wrong below HTTP, as an error of ours; `begun` says that the answer's head had come."""
    detail = f"{type(error).__name__}: {error}"[:DETAIL]
    match error:
        case GatewayError():
            return error
        case httpx2.PoolTimeout():
            return errors.UpstreamUnavailable(
                detail="every connection to the upstream was in use for too long"
            )
        case TimeoutError():
            return errors.UpstreamTimeout(
                detail="it did not go on in time" if begun else "no answer began in time"
            )
        case httpx2.TimeoutException():
            late = errors.UpstreamTimeout(detail=detail)
            late.__dict__["unsent"] = isinstance(error, httpx2.ConnectTimeout)
            return late
        case httpx2.InvalidURL() | httpx2.UnsupportedProtocol():
            return errors.UpstreamNotFound(detail=detail)
        case httpx2.LocalProtocolError():
            return errors.UpstreamRejected(detail=detail)
        case httpx2.DecodingError():
            return errors.UpstreamMalformed(detail=detail)
        case _:
            return (
                errors.UpstreamBroken(detail=detail) if begun else errors.UpstreamUnavailable(detail=detail)
            )


_BY_STATUS: Final[Mapping[int, type[GatewayError]]] = {
    401: errors.UpstreamAuth,
    402: errors.UpstreamAuth,  # nothing left on the account: an administrator's affair, like a key that is refused
    403: errors.UpstreamAuth,
    404: errors.UpstreamNotFound,
    408: errors.UpstreamTimeout,
    429: errors.UpstreamRateLimited,
}

_BY_CODE: Final[Mapping[str, type[GatewayError]]] = {
    "context_length_exceeded": errors.ContextTooLong,
    "exceed_context_size_error": errors.ContextTooLong,  # llama.cpp
    "content_filter": errors.ContentFiltered,
    "content_policy_violation": errors.ContentFiltered,
    "moderation_blocked": errors.ContentFiltered,
    "insufficient_quota": errors.UpstreamAuth,
    "billing_hard_limit_reached": errors.UpstreamAuth,
    "invalid_api_key": errors.UpstreamAuth,
    "model_not_found": errors.UpstreamNotFound,
}


@dataclass(frozen=True, slots=True)
class Complaint:
    """What an upstream says is wrong; fields that it leaves out are empty."""

    message: str = ""
    kind: str = ""
    code: str = ""
    param: str = ""


Judge = Callable[[Complaint], type[GatewayError] | None]
"""A provider's own view of a complaint; None leaves it to the table."""

Waits = Callable[[Mapping[str, str]], timedelta | None]
"""How long an answer's headers ask to wait, in a provider's own words."""


def complaint_of(value: object) -> Complaint:
    """Read a decoded error object in any of the shapes that are about; what is not one is an empty complaint."""
    if isinstance(value, str):
        return Complaint(message=value)
    if not isinstance(value, dict):
        return Complaint()
    fields = cast("dict[str, object]", value)
    inner = fields.get("error")
    if inner is not None:
        return complaint_of(inner)
    words = {
        name: str(fields[name])
        for name in ("message", "type", "code", "param")
        if fields.get(name) is not None
    }
    return Complaint(
        words.get("message", ""), words.get("type", ""), words.get("code", ""), words.get("param", "")
    )


def judged(complaint: Complaint, judge: Judge | None) -> type[GatewayError] | None:
    """The error that a complaint's code stands for, by the provider's view first; None if it says nothing special."""
    own = judge(complaint) if judge is not None else None
    return own or _BY_CODE.get(complaint.code) or _BY_CODE.get(complaint.kind)


def refusal(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    judge: Judge | None = None,
    secret: Secret | None = None,
    statuses: Mapping[int, type[GatewayError]] | None = None,
    waits: Waits | None = None,
) -> GatewayError:
    """The error for an answer that is no success. `secret` is masked where the upstream repeats it.

    `statuses` are those that this provider alone uses; `waits` is asked where it limits the rate and says no
    `retry-after`.
    """
    try:
        complaint = complaint_of(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        complaint = Complaint()
    kind = (statuses or {}).get(status) or _BY_STATUS.get(status)
    if 400 <= status < 500:
        kind = judged(complaint, judge) or kind or errors.UpstreamRejected
    elif status >= 500:
        kind = errors.UpstreamUnavailable
    if status == 409 and headers.get("x-should-retry", "").lower() == "true":
        kind = errors.UpstreamUnavailable
    error = (kind or errors.UpstreamMalformed)(
        param=complaint.param if _PARAM.fullmatch(complaint.param) else None,
        detail=said(body, secret)
        if status >= 400
        else f"an answer with status {status}: {said(body, secret)}",
        retry_after=retry_after(headers),
        status=status,
    )
    if error.retry_after is None and waits is not None and isinstance(error, errors.UpstreamRateLimited):
        error.retry_after = waits(headers)
    if headers.get("x-should-retry", "").lower() == "false":
        forbid_retry(error)
    return error


def forbid_retry(error: GatewayError) -> None:
    """Mark this one error as not to be tried again there, whatever its kind says: the upstream asked for it."""
    error.__dict__["elsewhere"] = error.retryable or error.elsewhere
    error.__dict__["retryable"] = False


def said(body: bytes, secret: Secret | None) -> str:
    """The upstream's words for operators: bounded, and without the credential if it repeats it."""
    text = body[:ERROR_BODY].decode("utf-8", "replace")
    if secret:
        text = text.replace(secret.reveal(), MASK)
    return text[:DETAIL]
