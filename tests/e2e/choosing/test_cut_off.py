"""A replica that is cut off from the database goes on with its last facts, says how old they are, and catches up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from tests.contracts.proxy import Wire
from tests.e2e.choosing.conftest import Publish, published
from tests.e2e.person import Person
from tests.e2e.stack import Stack, until

T = TypeVar("T")
FIRST = 'rules = [{ name = "swift first", prefer { name = swift } }]'
THEN = 'rules = [{ name = "steady first", prefer { name = steady } }]'


class Line:
    """A wire to the database that a test cuts and mends, on a loop of its own."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="line", daemon=True)
        self._thread.start()
        parts = urlsplit(url)
        self._wire = Wire(parts.hostname or "127.0.0.1", parts.port or 5432)
        self.mend()
        host = f"{parts.username}:{parts.password}@127.0.0.1:{self._wire.port}"
        self.url = urlunsplit(parts._replace(netloc=host))

    def mend(self) -> None:
        self._run(self._wire.mend())

    def cut(self) -> None:
        self._run(self._wire.cut())

    def close(self) -> None:
        self._run(self._wire.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)


@contextmanager
def line_to(url: str) -> Generator[Line]:
    line = Line(url)
    try:
        yield line
    finally:
        line.close()


def live(person: Person, model: str = "swift") -> dict[str, Any]:
    answer = person.http.get(f"/api/v1/models/{model}/live")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_a_replica_without_the_database_goes_on_and_catches_up(stack: Stack, admin: Person, publish: Publish):
    before = publish(FIRST)
    with (
        line_to(stack.environment()["GATEWAY__POSTGRES__URL"]) as line,
        stack.replica(
            GATEWAY__POSTGRES__URL=line.url,
            GATEWAY__POSTGRES__CONNECT_TIMEOUT="1s",
            GATEWAY__INFERENCE__STORAGE_DOWN="serve",
        ) as replica,
    ):
        cut_off = Person(replica.rest, stack.admin_key)
        until(lambda: cut_off.ask("pair").headers["x-gateway-rules-version"] == before, 5)
        assert live(cut_off)["age_s"] < 2.0
        line.cut()
        after = published(admin, THEN)
        until(lambda: admin.ask("pair").headers["x-gateway-rules-version"] == after, 5)
        until(lambda: live(cut_off)["age_s"] > 3.0, 10)
        kept: list[str] = []
        for _ in range(10):
            answer = cut_off.ask("pair")
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-gateway-model"] == "swift"
            assert answer.headers["x-gateway-rules-version"] == before
            kept.append(answer.headers["x-request-id"])
        line.mend()
        until(lambda: cut_off.ask("pair").headers["x-gateway-rules-version"] == after, 10)
        until(lambda: live(cut_off)["age_s"] < 2.0, 10)
        assert cut_off.ask("pair").headers["x-gateway-model"] == "steady"
        for request_id in kept:
            assert admin.request(request_id, within=30)["rules_version"] == before, "nothing is lost"
        cut_off.http.close()
