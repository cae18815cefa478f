import asyncio
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest

from infra.local.component import StackError
from infra.local.process import Identity
from infra.local.supervisor import ComponentFailed, Restarts, State
from tests.unit.infra.tiny import DEAF, QUICK, Run, folder_in, tiny


async def test_components_start_after_what_they_need_and_stop_in_reverse(tmp_path: Path):
    run = Run(
        folder_in(tmp_path),
        tiny("database"),
        tiny("step", "print('done')", ready=None, after=("database",)),
        tiny("api", after=("database", "step")),
    )
    await run.until_ready()
    await run.stop()
    order = [(each.name, each.state) for each in run.events if each.state in {State.READY, State.DONE}]
    assert order == [("database", State.READY), ("step", State.DONE), ("api", State.READY)]
    assert run.names(State.STOPPED) == ["api", "database"]


async def test_what_a_stack_does_not_have_is_not_waited_for(tmp_path: Path):
    run = Run(folder_in(tmp_path), tiny("api", after=("postgres", "temporal")))
    await run.until_ready()
    await run.stop()


async def test_what_needs_nothing_starts_at_the_same_time(tmp_path: Path):
    all_there = asyncio.Barrier(4)

    async def with_the_others() -> bool:
        await all_there.wait()
        return True

    run = Run(folder_in(tmp_path), *(tiny(name, ready=with_the_others, ready_within=30) for name in "abcd"))
    await run.until_ready()
    await run.stop()


async def test_no_process_is_left_after_a_stop(tmp_path: Path):
    folder = folder_in(tmp_path)
    run = Run(folder, tiny("a"), tiny("b"))
    await run.until_ready()
    processes = [Identity.of(run.pid(name)) for name in "ab"]
    assert all(each and each.is_alive() for each in processes)
    await run.stop()
    assert not any(each and each.is_alive() for each in processes)
    assert not list(folder.records())


async def test_a_child_that_dies_is_started_again_and_said_so(tmp_path: Path):
    run = Run(folder_in(tmp_path), tiny("model"))
    await run.until_ready()
    first = run.pid("model")
    os.kill(first, signal.SIGKILL)
    said = await run.until("model", State.RESTARTING)
    await run.until("model", State.READY, times=2)
    assert said.detail == "was ended by SIGKILL, starts again in 0.02 s"
    assert run.pid("model") != first
    await run.stop()


async def test_the_pause_doubles_up_to_its_longest():
    pauses = [Restarts().rest(deaths).total_seconds() for deaths in range(1, 8)]
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10]


async def test_the_fifth_death_stops_the_stack(tmp_path: Path):
    folder = folder_in(tmp_path)
    run = Run(folder, tiny("database"), tiny("api", "print('my last words'); raise SystemExit(7)"))
    with pytest.raises(ComponentFailed, match="api exited with 7: that was 5 times in 2 minutes") as failed:
        await run.task
    assert run.names(State.RESTARTING) == ["api"] * 4
    assert run.names(State.FAILED) == ["api"]
    assert "database" in run.names(State.STOPPED)
    assert failed.value.last_words == folder.last_lines("api") == ["my last words"] * 5


async def test_deaths_long_ago_are_forgiven(tmp_path: Path):
    seldom = Restarts(deaths=2, within=timedelta(milliseconds=50), first=timedelta(milliseconds=100))
    run = Run(folder_in(tmp_path), tiny("api", "raise SystemExit(1)"), restarts=seldom)
    await run.until("api", State.RESTARTING, times=3)
    assert not run.names(State.FAILED)
    await run.stop()


async def test_a_step_that_fails_stops_the_stack_at_once(tmp_path: Path):
    folder = folder_in(tmp_path)
    failing = tiny("migrate", "print('no such table'); raise SystemExit(2)", ready=None, after=("database",))
    run = Run(folder, tiny("database"), failing, tiny("api", after=("migrate",)))
    with pytest.raises(ComponentFailed, match="migrate exited with 2"):
        await run.task
    assert "api" not in run.names(State.STARTING)
    assert folder.last_lines("migrate") == ["no such table"]


async def test_a_server_that_never_answers_stops_the_stack(tmp_path: Path):
    async def never() -> bool:
        raise ConnectionRefusedError

    run = Run(folder_in(tmp_path), tiny("nats", ready=never, ready_within=0.2))
    with pytest.raises(ComponentFailed, match=r"nats was not ready within 0\.2 s"):
        await run.task
    assert run.names(State.STOPPED) == ["nats"]


async def test_a_preparation_that_fails_stops_the_stack_with_its_reason(tmp_path: Path):
    async def refuse() -> None:
        raise StackError("initdb failed: the disk is full")

    run = Run(folder_in(tmp_path), tiny("postgres", prepare=refuse))
    with pytest.raises(ComponentFailed, match="could not be started: initdb failed: the disk is full"):
        await run.task


async def test_a_child_that_will_not_stop_is_killed_in_the_end(tmp_path: Path):
    folder = folder_in(tmp_path)

    async def is_deaf() -> bool:
        return folder.last_lines("api") == ["deaf"]

    run = Run(folder, tiny("api", DEAF, ready=is_deaf, stop_within=0.2))
    await run.until_ready()
    await run.stop()
    assert (await run.until("api", State.STOPPED)).detail == "killed, since it took longer than 0.2 s"


async def test_a_stop_while_everything_still_starts_leaves_nothing(tmp_path: Path):
    async def never() -> bool:
        return False

    run = Run(folder_in(tmp_path), tiny("postgres", ready=never), tiny("api", after=("postgres",)))
    await run.until("postgres", State.STARTING, times=2)
    process = Identity.of(run.pid("postgres"))
    await run.stop()
    assert process
    assert not process.is_alive()
    assert not run.ready.is_set()


async def test_a_stop_during_a_pause_does_not_wait_for_it(tmp_path: Path):
    patient = Restarts(first=timedelta(seconds=30), longest=timedelta(seconds=30))
    run = Run(folder_in(tmp_path), tiny("api", "raise SystemExit(1)"), restarts=patient)
    await run.until("api", State.RESTARTING)
    begun = time.monotonic()
    await run.stop()
    assert time.monotonic() - begun < 15


async def test_two_stacks_side_by_side_do_not_know_of_each_other(tmp_path: Path):
    one = Run(folder_in(tmp_path / "one"), tiny("api"))
    two = Run(folder_in(tmp_path / "two"), tiny("api"))
    await one.until_ready()
    await two.until_ready()
    other = Identity.of(two.pid("api"))
    await one.stop()
    assert other
    assert other.is_alive()
    await two.stop()


def test_quick_restarts_are_those_of_the_stack_but_for_their_pauses():
    assert (QUICK.deaths, QUICK.within) == (Restarts().deaths, Restarts().within)
