"""Contents in a bucket: an object for each part, and one that says that a content was begun.

`parts/<file>/<number>` are the parts. `begun/<file>` is written before the first of them and goes with them, or once
the file has been known for a while: what broke off is found among these few, however many parts there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.ids import parse_id
from gateway.storage.ports.batches import Files
from gateway.storage.s3.bucket import Bucket

_UNDER_WAY: Final = timedelta(hours=1)


class S3Contents:
    """The port `Contents`."""

    def __init__(self, bucket: Bucket, files: Files) -> None:
        """`files` knows which contents belong to a file."""
        self._bucket = bucket
        self._files = files

    async def put(self, file_id: str, number: int, data: bytes) -> None:
        """Keep a part. Raises ValueError for an id that is not a UUID."""
        part = _part(file_id, number)
        if number == 0:
            await self._bucket.put(_begun(file_id), b"")
        await self._bucket.put(part, data)

    async def get(self, file_id: str, number: int) -> bytes | None:
        """Read a part back."""
        return await self._bucket.get(_part(file_id, number))

    async def delete(self, file_id: str) -> None:
        """Forget all parts of a file, and last that it was begun: what is left on the way is found again.

        That it was begun just now is not forgotten yet: a part that was given up may still arrive.
        """
        async for page in self._bucket.pages(_parts(file_id)):
            await self._bucket.delete([name for name, _ in page])
        begun_at = await self._bucket.written_at(_begun(file_id))
        if begun_at is not None and datetime.now(UTC) - begun_at > _UNDER_WAY:
            await self._bucket.delete([_begun(file_id)])

    async def strays(self, before: datetime, limit: int) -> Sequence[str]:
        """Some contents that belong to no file. Of those that do it is forgotten that they were begun."""
        found: list[str] = []
        async for page in self._bucket.pages("begun"):
            old = [name.rpartition("/")[2] for name, at in page if at < before]
            # Nothing is deleted but what has a name that we give.
            ids = [id_ for id_ in old if parse_id(id_) is not None]
            known = await self._files.known(ids)
            await self._bucket.delete([_begun(id_) for id_ in ids if id_ in known])
            found += [id_ for id_ in ids if id_ not in known]
            if len(found) >= limit:
                break
        return found[:limit]


def _parts(file_id: str) -> str:
    uuid = parse_id(file_id)
    if uuid is None:
        raise ValueError(f"an id is a UUID, not {file_id!r}")
    return f"parts/{uuid}"


def _part(file_id: str, number: int) -> str:
    return f"{_parts(file_id)}/{number:08d}"


def _begun(file_id: str) -> str:
    return f"begun/{parse_id(file_id)}"
