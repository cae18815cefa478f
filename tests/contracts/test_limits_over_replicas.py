"""Limits over processes on one database: never more than allowed whoever dies, and nothing is lost for ever."""

import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

RATE, BURST = 60.0, 30.0
REPLICAS = 3
# At the start of any span of time a replica may hold tokens that it drew before (docs/limits.md): a second's worth of
# the rate, or a quarter of its share of the burst. Their clocks are read a moment after a token was taken.
LEASE_ERROR = REPLICAS * max(RATE, BURST / 4) + 2


@pytest.fixture
def replicas(database_url):
    started = [_start(database_url, f"replica-{i}") for i in range(REPLICAS)]
    yield started
    for process in started:
        process.kill()
        process.wait()


def _start(url, name):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.contracts.replica", url, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def tell(process, order):
    process.stdin.write(order + "\n")
    process.stdin.flush()


def ask(process, order):
    tell(process, order)
    return process.stdout.readline().strip()


def moments(process):
    """When it got its tokens; a process that was killed has told all but its last words."""
    got = []
    for line in process.stdout:
        if line.strip() == "end":
            break
        got.append(float(line))
    return got


def assert_within_the_limit(got):
    """From the beginning exactly, and in every span of time but for what was drawn before it."""
    got = sorted(got)
    for i in range(len(got)):
        assert i + 1 <= RATE * (got[i] - got[0] + 0.05) + BURST + 1
    for width in range(1, len(got), 7):
        for i in range(0, len(got) - width, 5):
            assert width + 1 <= RATE * (got[i + width] - got[i]) + BURST + LEASE_ERROR


def test_all_replicas_together_get_the_rate_and_no_more(replicas):
    for process in replicas:
        tell(process, f"rate {RATE} {BURST} 3")
    got = [moment for process in replicas for moment in moments(process)]
    assert_within_the_limit(got)
    assert len(got) >= 0.5 * (RATE * 3 + BURST), "nor much less"


def test_a_replica_that_is_killed_takes_along_no_more_than_its_lease(replicas):
    for process in replicas:
        tell(process, f"rate {RATE} {BURST} 4")
    time.sleep(1.5)
    replicas[0].kill()
    killed_at = time.time()
    got = [moment for process in replicas for moment in moments(process)]
    assert_within_the_limit(got)
    late = [moment for moment in got if moment > killed_at + 1]
    assert len(late) >= 0.5 * RATE * (max(late) - min(late)), "the others get all of the rate"


def test_slots_of_a_replica_that_is_killed_are_free_again_when_they_expire(replicas):
    dying, *others = replicas
    assert ask(dying, "hold 7") == "7"
    assert ask(others[0], "hold 7") == "0"
    dying.kill()
    assert ask(others[0], "hold 7") == "0"
    time.sleep(3.2)
    assert int(ask(others[0], "hold 7")) + int(ask(others[1], "hold 7")) == 7
    assert ask(others[0], "leave") == "left"
    time.sleep(0.5)
    assert int(ask(others[1], "hold 7")) >= 4, "what one leaves the other finds; a few may be kept at hand"
