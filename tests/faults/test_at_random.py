"""Two minutes of jobs while processes are killed at random; then all books are compared."""

from __future__ import annotations

import pytest

from tests.e2e.person import Upstream
from tests.e2e.stack import Stack
from tests.faults.account import VICTIMS, run

SECONDS, RATE = 120.0, 15.0


@pytest.mark.timeout(1200)
def test_every_job_that_was_accepted_ends_once_and_is_told_of_whatever_dies(
    stack: Stack, upstream: Upstream, capsys: pytest.CaptureFixture[str]
):
    if not stack.may_kill(*VICTIMS, times=4):
        stack.stop()
        stack.up()  # with all its lives
    account = run(stack, upstream, seconds=SECONDS, rate=RATE)
    with capsys.disabled():
        print(f"\n{account}")  # noqa: T201
    assert account.killed.total() >= 8, account
    assert account.taken > 1000, account
    assert not account.wrong, account
