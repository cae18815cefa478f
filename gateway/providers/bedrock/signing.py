"""Signatures of requests (AWS Signature Version 4), by botocore's signer and nothing else of botocore's.

No profile, no environment and no metadata service is asked: the credential is the model's own,
`ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]`, or without a colon a Bedrock API key, sent as bearer.
Pages: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html,
docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from botocore import auth, awsrequest

from gateway.domain.errors import UpstreamAuth
from gateway.domain.secret import MASK, Secret

SERVICE: Final = "bedrock"
_LARGE: Final = 256 * 1024
"""Bytes from which a body is hashed beside the loop: a megabyte takes most of a millisecond."""

# At its debug level the signer writes down what it signs, session tokens among it.
logging.getLogger("botocore.auth").setLevel(logging.INFO)

_Signer = cast("Callable[[object, str, str], Any]", vars(auth)["SigV4Auth"])
_Request = cast("Callable[..., Any]", vars(awsrequest)["AWSRequest"])


@dataclass(frozen=True, slots=True)
class Keys:
    """A credential in its parts, as the signer wants them."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False)


def keys_of(secret: Secret) -> Keys | None:
    """The parts of a credential; None for an API key, which has none. Raises UpstreamAuth for what is neither."""
    parts = secret.reveal().split(":", 2)
    if len(parts) == 1:
        return None
    if not all(parts):
        raise UpstreamAuth(
            detail="a credential for Bedrock is ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]"
        )
    return Keys(parts[0], parts[1], parts[2] if len(parts) > 2 else None)


def masked(body: bytes, secret: Secret | None) -> bytes:
    """An upstream's words without any part of the credential: a refused signature comes with what was signed."""
    if secret is None:
        return body
    for part in (secret.reveal(), *secret.reveal().split(":", 2)):
        if part:
            body = body.replace(part.encode(), MASK.encode())
    return body


async def signed(
    url: str, content: bytes, sent: Mapping[str, str], secret: Secret | None, region: str
) -> dict[str, str]:
    """The headers of a request with its signature, or its key. Raises UpstreamAuth where no region is known."""
    headers = {name: value for name, value in sent.items() if name != "authorization"}
    if secret is None:
        return headers
    keys = keys_of(secret)
    if keys is None:
        headers["authorization"] = f"Bearer {secret.reveal()}"
        return headers
    if not region:
        raise UpstreamAuth(detail="requests are signed for a region: say it as the model's option `region`")
    made = (
        await asyncio.to_thread(_sign, url, content, headers, keys, region)
        if len(content) > _LARGE
        else _sign(url, content, headers, keys, region)
    )
    return headers | made


def _sign(url: str, content: bytes, headers: Mapping[str, str], keys: Keys, region: str) -> dict[str, str]:
    """What the signature adds. Signed are the host, the type and the time; traces on the way may change the rest."""
    request = _Request("POST", url, headers={"content-type": headers["content-type"]}, data=content)
    _Signer(keys, SERVICE, region).add_auth(request)
    names = ("Authorization", "X-Amz-Date", "X-Amz-Security-Token")
    return {name.lower(): str(request.headers[name]) for name in names if name in request.headers}
