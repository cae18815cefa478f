import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from infra.local.process import Child, Identity, Record, describe, end
from tests.unit.infra.tiny import FOREVER, folder_in, tiny

ROOT = Path(__file__).parents[3]
PATIENCE = timedelta(seconds=5)


def sleeper(code: str = FOREVER) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)


def test_a_process_is_known_again_by_more_than_its_number(tmp_path: Path):
    process = sleeper()
    identity = Identity.of(process.pid)
    assert identity is not None
    assert identity.is_alive()
    assert not Identity(identity.pid, "another birth", identity.argv).is_alive()
    assert not Identity(identity.pid, identity.born, ("another", "program")).is_alive()
    process.kill()
    process.wait()
    assert not identity.is_alive()


def test_a_zombie_is_not_alive():
    process = sleeper("pass")
    identity = Identity.of(process.pid)
    deadline = time.monotonic() + 30
    while Identity.of(process.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Identity.of(process.pid) is None
    assert identity is None or not identity.is_alive()
    process.wait()


def run_script(script: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-c", script]
    return subprocess.run(argv, check=False, capture_output=True, text=True, cwd=ROOT)


def test_an_orphan_of_a_killed_supervisor_is_ended(tmp_path: Path):
    folder = folder_in(tmp_path)
    # The supervisor starts a child that is deaf to the kernel's call too, and is killed.
    script = f"""
import asyncio, os, signal
from pathlib import Path
from infra.local.folder import Folder
from infra.local.supervisor import Supervisor
from tests.unit.infra.tiny import DEAF, tiny

folder = Folder(Path({str(folder.root)!r}))

async def is_deaf():
    return folder.last_lines("api") == ["deaf"]

async def die():
    os.kill(os.getpid(), signal.SIGKILL)

api = tiny("api", DEAF, ready=is_deaf, stop_within=0.3)
asyncio.run(Supervisor([api], folder, lambda event: None).run(asyncio.Event(), die))
"""
    assert run_script(script).returncode == -signal.SIGKILL
    [record] = folder.records()
    assert record.name == "api"
    assert record.identity.is_alive()
    asyncio.run(end(record))
    assert not record.identity.is_alive()


async def test_a_process_that_only_has_the_number_of_an_orphan_is_left_alone(tmp_path: Path):
    stranger = sleeper()
    here = Identity.of(stranger.pid)
    assert here is not None
    await end(Record("api", Identity(here.pid, "long ago", here.argv), signal.SIGKILL, PATIENCE))
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_record_survives_its_file_and_a_broken_file_is_no_record(tmp_path: Path):
    record = Record("nats", Identity(7, "boot:1", ("nats-server", "-js")), signal.SIGINT, PATIENCE)
    record.write(tmp_path / "nats.process.json")
    assert Record.read(tmp_path / "nats.process.json") == record
    (tmp_path / "broken.json").write_text('{"pid": 7')
    assert Record.read(tmp_path / "broken.json") is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent died")
def test_children_end_when_the_supervisor_is_killed(tmp_path: Path):
    folder = folder_in(tmp_path)
    script = f"""
import os, signal
from pathlib import Path
from infra.local.process import Child
from tests.unit.infra.tiny import tiny
child = Child.start(tiny("api"), Path({str(folder.log("api"))!r}))
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    child = int(done.stdout)
    deadline = time.monotonic() + 30
    while Identity.of(child) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Identity.of(child) is None


async def test_what_a_child_says_goes_to_its_log_also_after_the_log_was_emptied(tmp_path: Path):
    log = tmp_path / "api.log"
    code = (
        "import os, time; print('one', flush=True)\n"
        f"while os.path.getsize({str(log)!r}): time.sleep(0.01)\n"
        "print('two', flush=True)"
    )
    child = Child.start(tiny("api", code), log)
    while not log.read_text():  # noqa: ASYNC110 (a file sets no event)
        await asyncio.sleep(0.01)
    os.truncate(log, 0)
    assert await child.exited() == 0
    assert log.read_text() == "two\n"
    assert await child.exited() == 0
    assert await child.stop(signal.SIGTERM, PATIENCE)


def test_an_end_is_told_in_words():
    assert [describe(code) for code in (0, 3, -9, -99)] == [
        "exited with 0",
        "exited with 3",
        "was ended by SIGKILL",
        "was ended by signal 99",
    ]
