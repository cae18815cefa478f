"""A process that decides for a simulation: `python -m gateway.simulation.worker`.

A hundred thousand decisions would hold up a worker's other jobs for half a minute, in a thread as well. It is told the
setting and then pages of the log by its standard input, answers each page with one byte, and the end with its tally. It
has no environment, gives way to everything else on its machine, and ends with the process that started it.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from pathlib import Path

from gateway.simulation.frames import encode, framed, page_in, read, setting_in
from gateway.simulation.replay import Replay

DONE = b"."
_NICE = 5


def main() -> None:
    """Work until there is nothing more, or nobody who asks."""
    os.nice(_NICE)
    # What a library prints must not stand among the frames.
    with os.fdopen(os.dup(1), "wb") as answers, Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 1)
        gc.set_threshold(50_000, 20, 20)
        with suppress(EOFError, BrokenPipeError):
            take = sys.stdin.buffer.read
            replay = Replay(setting_in(read(take)))
            while page := read(take):
                decide, requests = page_in(page)
                replay.take(requests, decide=decide)
                answers.write(DONE)
                answers.flush()
            answers.write(framed(encode(replay.tally)))


if __name__ == "__main__":
    main()
