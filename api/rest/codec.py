"""`/codec/{encode,decode}`: Temporal's remote codec, so that its UI shows payloads to those who may read prompts.

The UI cannot send one of our keys by itself. Whoever opens `/codec/login` and gives a key with the right
`prompts.read` gets a cookie that holds for eight hours; in the UI's codec settings «Include cross-origin credentials»
is then switched on. Scripts send the key as everywhere else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from google.protobuf.json_format import MessageToDict, Parse, ParseError
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from temporalio.api.common.v1 import Payloads
from temporalio.converter import PayloadCodec

from api.auth import authenticate
from api.rest import http
from gateway.domain.errors import GatewayError, InvalidRequest, Unauthenticated
from gateway.domain.identity import Right
from gateway.identity import Identify
from gateway.ring import KeyRing, Unreadable
from gateway.settings import Api
from gateway.temporal.codec import CodecError

_COOKIE = "gateway_codec"
_HOURS = 8
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Read payloads</title>
<style>body{{font:16px system-ui;max-width:34rem;margin:4rem auto;padding:0 1rem}}
input{{width:100%;font:inherit;padding:.5rem}}
button{{font:inherit;padding:.5rem 1rem;margin-top:1rem}}.wrong{{color:#a00}}</style>
<h1>Read payloads in the Temporal UI</h1>
<p>Give a key with the right <code>prompts.read</code>. For eight hours this browser may then have payloads decoded;
switch on «Include cross-origin credentials» in the UI's codec settings.</p>
<form method="post"><label>Key <input name="key" type="password" autocomplete="off" autofocus required></label>
<button>Allow this browser</button></form><p class="wrong">{wrong}</p></html>"""


def router(  # noqa: C901  seven small routes, not one long story
    identity: Identify, codec: PayloadCodec, ring: KeyRing, settings: Api, ui: str
) -> APIRouter:
    """The codec's routes; `ui` is the origin of the Temporal UI, the only page that may call them from a browser."""
    routes = APIRouter(prefix="/codec", tags=["operators"])

    async def allowed(request: Request) -> None:
        headers: dict[str, str] = request.scope["gateway"]["headers"]
        token = request.cookies.get(_COOKIE)
        if token and "authorization" not in headers and "x-api-key" not in headers:
            # A cookie goes wherever the browser likes: only the UI's own page may use it.
            if headers.get("origin") not in (None, ui) or not _open(ring, token):
                raise Unauthenticated
            return
        (await authenticate(identity, headers)).require(Right.PROMPTS_READ)

    def cors(request: Request) -> Mapping[str, str]:
        if not ui or request.headers.get("origin") != ui:
            return {}
        return {
            "access-control-allow-origin": ui,
            "access-control-allow-credentials": "true",
            "access-control-allow-headers": "authorization,content-type,x-namespace,x-api-key",
            "access-control-allow-methods": "POST, OPTIONS",
            "vary": "origin",
        }

    async def translate(request: Request, *, decode: bool) -> Response:
        try:
            await allowed(request)
            headers: dict[str, str] = request.scope["gateway"]["headers"]
            raw = await http.read_body(request.receive, headers, settings.body_limit, settings.body_timeout)
            payloads = Parse(raw, Payloads()).payloads
            done = await (codec.decode(payloads) if decode else codec.encode(payloads))
        except (ParseError, UnicodeDecodeError) as e:
            raise InvalidRequest('The body must be `{"payloads": [...]}` as Temporal sends it.') from e
        except CodecError as e:
            raise InvalidRequest(f"A payload cannot be decoded: {e}") from e
        return JSONResponse(MessageToDict(Payloads(payloads=done)), headers=dict(cors(request)))

    @routes.post("/decode")
    async def decode(request: Request) -> Response:
        """Payloads in clear."""
        return await translate(request, decode=True)

    @routes.post("/encode")
    async def encode(request: Request) -> Response:
        """Payloads encrypted with the active key."""
        return await translate(request, decode=False)

    @routes.options("/encode", include_in_schema=False)
    @routes.options("/decode", include_in_schema=False)
    async def preflight(request: Request) -> Response:
        return Response(status_code=204, headers=dict(cors(request)))

    @routes.get("/login", include_in_schema=False)
    async def login() -> Response:
        return HTMLResponse(_PAGE.format(wrong=""))

    @routes.post("/login", include_in_schema=False)
    async def enter(request: Request) -> Response:
        raw = await http.read_body(
            request.receive, request.scope["gateway"]["headers"], 4096, settings.body_timeout
        )
        key = dict(_pairs(raw)).get("key", "")
        try:
            (await identity.identify(key)).require(Right.PROMPTS_READ)
        except GatewayError as e:
            return HTMLResponse(_PAGE.format(wrong=escape(e.message)), 403)
        answer = RedirectResponse(ui or "/info", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(
            _COOKIE, _seal(ring), max_age=_HOURS * 3600, httponly=True, samesite="lax", secure=secure
        )
        return answer

    return routes


def _pairs(raw: bytes) -> Sequence[tuple[str, str]]:

    return parse_qsl(raw.decode("utf-8", "replace"))


def _seal(ring: KeyRing) -> str:
    until = json.dumps({"until": int(time.time()) + _HOURS * 3600}).encode()
    return f"{ring.active}.{ring.encrypt(until, bound=b'codec cookie').hex()}"


def _open(ring: KeyRing, token: str) -> bool:
    key_id, _, sealed = token.partition(".")
    try:
        held: dict[str, Any] = json.loads(ring.decrypt(key_id, bytes.fromhex(sealed), bound=b"codec cookie"))
    except (Unreadable, ValueError):
        return False
    return held["until"] > time.time()
