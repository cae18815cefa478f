"""The changes of several stores as those of one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

from gateway.storage.ports import Changes


class ChangesByNoun:
    """The port `Changes`: some nouns are kept in stores of their own, all others in `rest`."""

    def __init__(self, nouns: Mapping[str, Changes], rest: Changes) -> None:
        """`nouns` says where each of them is kept."""
        self._nouns = nouns
        self._rest = rest

    async def revisions(self) -> Mapping[str, int]:
        """The revision of every noun, as its own store has it."""
        found = {
            noun: version
            for noun, version in (await self._rest.revisions()).items()
            if noun not in self._nouns
        }
        for noun, changes in self._nouns.items():
            revisions = await changes.revisions()
            if noun in revisions:
                found[noun] = revisions[noun]
        return found

    async def listen(self) -> AsyncGenerator[str]:
        """Yield what every store says, until the first of them can no longer be heard."""
        heard: asyncio.Queue[str | Exception] = asyncio.Queue()
        listening = [
            asyncio.create_task(_pass_on(each, heard), name="listen to a store")
            for each in {id(each): each for each in (*self._nouns.values(), self._rest)}.values()
        ]
        try:
            while True:
                said = await heard.get()
                if isinstance(said, Exception):
                    raise said
                yield said
        finally:
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)


async def _pass_on(changes: Changes, heard: asyncio.Queue[str | Exception]) -> None:
    try:
        async for noun in changes.listen():
            heard.put_nowait(noun)
    except Exception as error:  # noqa: BLE001  raised by the one who reads
        heard.put_nowait(error)
