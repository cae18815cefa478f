"""A store of limits that counts what it is asked, and can be away or slow."""

import asyncio

from gateway.domain.errors import StorageUnavailable


class Counting:
    """Buckets and slots of a store in one."""

    def __init__(self, store):
        self._buckets, self._slots = store.buckets, store.slots
        self.asked = []
        self.away = False
        self.slowness = 0.0

    async def draw(self, draws):
        await self._answer("draw", *(draw.key for draw in draws))
        return await self._buckets.draw(draws)

    async def put_back(self, unspent):
        await self._answer("put_back", *(each.key for each in unspent))
        await self._buckets.put_back(unspent)

    async def queue(self, key, rate, burst, cost):
        await self._answer("queue", key)
        return await self._buckets.queue(key, rate, burst, cost)

    async def hold(self, holder, wanted, expiry):
        await self._answer("hold", *(each.key for each in wanted))
        return await self._slots.hold(holder, wanted, expiry)

    def count(self, what):
        return sum(1 for each, *_ in self.asked if each == what)

    async def _answer(self, what, *keys):
        self.asked.append((what, *keys))
        await asyncio.sleep(self.slowness)
        if self.away:
            raise StorageUnavailable(detail="away")
