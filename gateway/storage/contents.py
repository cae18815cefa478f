"""Contents in several stores: new ones go to the store that is set, each file is read where it was written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from gateway.storage.ports import Contents, Files, FileStore


class ContentsByStore:
    """The port `Contents` over several of them."""

    def __init__(self, stores: Mapping[FileStore, Contents], current: FileStore, files: Files) -> None:
        """`current` is where parts are written to; `files` knows where those of a file were."""
        self._stores = stores
        self._current = current
        self._files = files

    async def put(self, file_id: str, number: int, data: bytes) -> None:
        """Keep a part where new ones go."""
        await self._stores[self._current].put(file_id, number, data)

    async def get(self, file_id: str, number: int) -> bytes | None:
        """Read a part back from where its file is; one that belongs to none yet is where it was put."""
        store = await self._files.store_of(file_id) or self._current
        return await self._stores[store].get(file_id, number)

    async def delete(self, file_id: str) -> None:
        """Forget all parts of a file, in every store: what is written anew after a change lies in two of them."""
        for contents in self._stores.values():
            await contents.delete(file_id)

    async def strays(self, before: datetime, limit: int) -> Sequence[str]:
        """Some contents that belong to no file: the first store's, and then the next one's."""
        for contents in self._stores.values():
            found = await contents.strays(before, limit)
            if found:
                return found
        return []
