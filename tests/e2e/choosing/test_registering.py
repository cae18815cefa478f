"""What changes in the registry while requests run is in force on three replicas in two seconds, and disturbs none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from gateway.domain.secret import Secret
from gateway.settings import Postgres
from gateway.storage.ports import Models, Registered
from gateway.storage.postgres.store import open_store
from tests.e2e.choosing.conftest import Publish
from tests.e2e.choosing.traffic import flowing
from tests.e2e.person import Person
from tests.e2e.stack import BUSY, Stack, until


def changing(stack: Stack, change: Callable[[Models], Awaitable[Any]]) -> tuple[Any, float]:
    """Change the registry as another process would; returns what came of it, and when it was committed."""

    async def change_it() -> tuple[Any, float]:
        store = await open_store(Postgres(url=Secret(stack.environment()["GATEWAY__POSTGRES__URL"])))
        try:
            made = await change(store.models)
            return made, time.monotonic()
        finally:
            await store.close()

    return asyncio.run(change_it())


def pair(_: int) -> dict[str, Any]:
    return {"model": "pair"}


def test_a_change_is_in_force_on_three_replicas_in_two_seconds_and_fails_no_request(
    stack: Stack, admin: Person, publish: Publish
):
    publish("rules = []")
    with ExitStack() as started:
        replicas = [started.enter_context(stack.replica()) for _ in range(2)]
        people = [admin, *(Person(each.rest, stack.admin_key) for each in replicas)]

        async def turn(models: Models) -> None:
            await models.arrange("pair", ["steady", "swift"], actor="test")

        async def back(models: Models) -> None:
            await models.arrange("pair", ["swift", "steady"], actor="test")

        with flowing(people, 40, pair) as traffic:
            until(lambda: len(traffic.answers) > 100, 20)
            assert set(traffic.last(30)) == {"swift"}
            _, at = changing(stack, turn)
            took = traffic.turned_to("steady", at, within=20, count=40)
            _, at = changing(stack, back)
            took_back = traffic.turned_to("swift", at, within=20, count=40)
        assert traffic.failed == []
        assert max(took, took_back) < 2 + BUSY
        for person in people[1:]:
            person.http.close()


def test_a_model_that_is_registered_is_called_and_one_that_is_deleted_is_readable_in_the_log(
    stack: Stack, admin: Person
):
    async def register(models: Models) -> Registered:
        known = await models.get("swift")
        assert known is not None
        return await models.save(replace(known.model, name="newcomer"), expected=0, actor="test")

    async def delete(models: Models) -> None:
        await models.delete("newcomer", actor="test")

    _, at = changing(stack, register)
    answer = until(lambda: (said := admin.ask("newcomer")).status_code == 200 and said)
    assert time.monotonic() - at < 2 + BUSY
    assert answer.headers["x-gateway-registry-version"] == admin.http.get("/info").json()["registry_version"]
    _, at = changing(stack, delete)
    until(lambda: admin.ask("newcomer").status_code == 404)
    assert time.monotonic() - at < 2 + BUSY
    (attempt,) = admin.request(answer.headers["x-request-id"])["attempts"]
    assert (attempt["model"], attempt["provider"]) == ("newcomer", "compatible")
    assert attempt["upstream_model"] == "scripted-swift"
