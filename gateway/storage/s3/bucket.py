"""A bucket of storage that speaks S3: each call bounded in time, its failures in our words."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from gateway.domain.errors import StorageUnavailable
from gateway.ids import new_id
from gateway.settings import S3Settings
from gateway.storage.s3.keys import keys_of

if TYPE_CHECKING:
    from obstore.store import ClientConfig

log = logging.getLogger(__name__)

PAGE: Final = 1000
"""Names that one call lists: no server tells more at once."""
_DELETED: Final = 100
"""Objects that are deleted in one bound of time."""
_TRIES: Final = 3
_RETRY_AFTER: Final = timedelta(seconds=2)
_SETTING: Final = "batches.files.s3"
_CODE: Final = re.compile(r"<Code>\s*(\w+)\s*</Code>")
_ABSENT: Final = "NoSuchKey"
_PASSES: Final = frozenset(
    {"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "OperationAborted", "Busy"}
)
"""What a server says that cannot answer for the moment."""
_BLAMES: Final = {
    "NoSuchBucket": ("bucket", "there is no such bucket"),
    "InvalidBucketName": ("bucket", "no bucket has such a name"),
    "InvalidAccessKeyId": ("access_key", "the storage does not know this key"),
    "XAdminUserNotFound": ("access_key", "the storage does not know this key"),
    "InvalidTokenId": ("access_key", "the storage does not know this key"),
    "SignatureDoesNotMatch": ("secret_key", "it is not the secret of access_key"),
    "AccessDenied": ("access_key", "this key may not do that in the bucket"),
    "AllAccessDisabled": ("access_key", "this key may not do that in the bucket"),
    "PermanentRedirect": ("region", "the bucket is in another region"),
    "AuthorizationHeaderMalformed": ("region", "the bucket is in another region"),
    "RequestTimeTooSkewed": ("endpoint", "its clock and this machine's differ by too much"),
}


class Bucket:
    """Objects by name. What is not there is None; whatever else goes wrong is StorageUnavailable."""

    def __init__(self, settings: S3Settings) -> None:
        """Nothing is asked yet. Raises ValueError, naming the key, for settings that cannot be used."""
        if not settings.bucket:
            raise ValueError(f"{_SETTING}.bucket: expected the name of a bucket, got nothing")
        self._settings = settings
        self._seconds = settings.timeout.total_seconds()
        self._away = False
        self._store = _open(settings)
        self._root = f"{prefix}/" if (prefix := settings.prefix.strip("/")) else ""

    async def put(self, name: str, data: bytes) -> None:
        """Keep an object; what had its name is replaced."""
        async with self._bounded("write"):
            await obstore.put_async(self._store, self._root + name, data, use_multipart=False)

    async def get(self, name: str) -> bytes | None:
        """Read an object."""
        try:
            async with self._bounded("read"):
                found = await obstore.get_async(self._store, self._root + name)
                return (await found.bytes_async()).to_bytes()
        except _Absent:
            return None

    async def written_at(self, name: str) -> datetime | None:
        """When an object was written, by the storage's clock."""
        try:
            async with self._bounded("read"):
                # Not HEAD, whose answer has no body to tell an object that is not there from a bucket that is not.
                return (await obstore.get_async(self._store, self._root + name)).meta["last_modified"]
        except _Absent:
            return None

    async def delete(self, names: Sequence[str]) -> None:
        """Forget objects, as far as they are there."""
        for at in range(0, len(names), _DELETED):
            page = [self._root + name for name in names[at : at + _DELETED]]
            try:
                async with self._bounded("delete"):
                    await obstore.delete_async(self._store, page)
            except _Absent:
                # A server that says so of one of them may have kept those after it.
                if len(page) > 1:
                    for name in names[at : at + _DELETED]:
                        await self.delete([name])

    async def pages(self, folder: str) -> AsyncGenerator[list[tuple[str, datetime]]]:
        """The names in a folder and when each was written, at most PAGE at a time."""
        listing = obstore.list(self._store, f"{self._root}{folder}/", chunk_size=PAGE)
        while True:
            try:
                async with self._bounded("list"):
                    page = await anext(listing)
            except StopAsyncIteration:
                return
            yield [(each["path"].removeprefix(self._root), each["last_modified"]) for each in page]

    async def check(self) -> None:
        """Do once what will be done. Raises ValueError naming the key by which the storage refuses it.

        One that cannot be reached is told of in the log alone: it may be there when it is needed.
        """
        name = f"checked/{new_id()}"
        try:
            await self.put(name, b"can be written")
            await self.get(name)
            async for _ in self.pages("checked"):
                break
            await self.delete([name])
        except _Refused as error:
            raise ValueError(error.blame(self._settings)) from None
        except StorageUnavailable:
            pass  # `_bounded` has said so

    @asynccontextmanager
    async def _bounded(self, doing: str) -> AsyncGenerator[None]:
        """Bound the wait, all tries together. Of what the server said only its code goes on: it may hold a key."""
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            self._lost("no answer in time")
            raise _unavailable(f"no answer within {self._seconds:g} s") from None
        except (BaseError, OSError, ValueError) as error:
            code = _code(error)
            if code == _ABSENT:
                raise _Absent from None
            self._lost(code or type(error).__name__)
            if code and code not in _PASSES:
                raise _Refused(doing, code) from None
            raise _unavailable(code or type(error).__name__) from None
        else:
            if self._away:
                self._away = False
                log.warning("The storage of files is back")

    def _lost(self, why: str) -> None:
        if not self._away:
            self._away = True
            log.error("The storage of files cannot be used: %s", why)


class _Absent(Exception):
    """There is no such object."""


class _Refused(StorageUnavailable):
    """The storage answered, and will not do it: to a caller that is a storage that is away."""

    def __init__(self, doing: str, code: str) -> None:
        super().__init__(detail=f"S3 refuses to {doing}: {code}", retry_after=_RETRY_AFTER)
        self._doing = doing
        self._code = code

    def blame(self, settings: S3Settings) -> str:
        """Which setting is wrong, as far as the code says so."""
        key, why = _BLAMES.get(self._code, ("endpoint", "the storage refuses"))
        at = endpoint_of(settings)
        return f"{_SETTING}.{key}: {why} (to {self._doing} in {settings.bucket} at {at}: {self._code})"


def _unavailable(why: str) -> StorageUnavailable:
    return StorageUnavailable(detail=f"S3: {why}", retry_after=_RETRY_AFTER)


def _code(error: Exception) -> str:
    """S3's own word for an error: what of the answer is kept nowhere but in the exception's text."""
    found = _CODE.search(str(error))
    return found[1] if found else ""


def endpoint_of(settings: S3Settings) -> str:
    """The address that is called, without a path."""
    return settings.endpoint.rstrip("/") or f"https://s3.{settings.region}.amazonaws.com"


def _open(settings: S3Settings) -> S3Store:
    endpoint = endpoint_of(settings)
    address = urlsplit(endpoint)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError(f"{_SETTING}.endpoint: expected https://host or https://host:port")
    if address.scheme == "http" and not settings.allow_http:
        raise ValueError(
            f"{_SETTING}.endpoint: expected https://…; {_SETTING}.allow_http = true allows http://"
        )
    if not settings.path_style:
        endpoint = urlunsplit(address._replace(netloc=f"{settings.bucket}.{address.netloc}"))
    client: ClientConfig = {
        "allow_http": settings.allow_http,
        "connect_timeout": settings.connect_timeout,
        "timeout": settings.timeout,
        "user_agent": "llm-gateway",
    }
    if settings.tls_ca:
        client["root_certificate"] = _certificates(settings.tls_ca)
    return S3Store(
        settings.bucket,
        config={
            # Both names of it, since variables of the environment stand in for what is not said here.
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,
            "region": settings.region,
            "virtual_hosted_style_request": not settings.path_style,
            "skip_signature": False,
            # Not every storage that speaks S3 deletes many at once.
            "disable_bulk_delete": True,
        },
        client_options=client,
        retry_config={
            "max_retries": _TRIES - 1,
            "retry_timeout": settings.timeout,
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=2),
                "base": 2,
            },
        },
        credential_provider=keys_of(settings),
    )


def _certificates(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{_SETTING}.tls_ca: {path} cannot be read ({type(error).__name__})") from None
