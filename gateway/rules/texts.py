"""Reading rule texts that came from outside: bounded in bytes, in time and in memory, and each text only once."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.domain.errors import Overloaded
from gateway.domain.rules import RuleSet
from gateway.domain.rules.reading import Key
from gateway.rules.load import rules_of
from gateway.rules.problems import RuleProblem
from gateway.settings import ROOT, Place, SettingsError

LONGEST = 256 * 1024
"""Bytes of a rule text."""
LONGEST_VALUES = 1024 * 1024
"""Bytes of any other text."""
_SECONDS = 10.0
_START_SECONDS = 20.0
_KEPT = 16
_MOST_WAITING = 8
_ANSWER_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Read:
    """A text as it was read: its plain values and the line of each key, or what is wrong with it.

    One that was given up may be read another time, when the machine is less busy.
    """

    tree: Mapping[str, Any]
    lines: Mapping[Key, int | None]
    problems: tuple[Mapping[str, Any], ...] = ()
    given_up: bool = False


class RuleTexts:
    """Reads texts in a process of its own, one after the other; `close` ends it.

    A process that does not answer in time is killed, and the next text gets a new one.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        """`seconds` is how long one text may take."""
        self._seconds = seconds
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._kept: OrderedDict[bytes, _Read] = OrderedDict()

    async def read(self, text: str, name: str, version: str | None = None) -> RuleSet:
        """The rules of a text; `name` (`draft`, `version 12`) stands for a file in what is said of its mistakes.

        Without a `version` it is a digest of what the rules say. Raises SettingsError, or Overloaded when too many
        texts wait to be read.
        """
        read = await self._known_or_read(text, name, LONGEST, "rules")
        # A thousand rules take a third of a second: other requests go on meanwhile.
        return await asyncio.to_thread(rules_of, read.tree, _places(read, name), version)

    async def tree(self, text: str, name: str) -> tuple[Mapping[str, Any], Callable[[Key], Place]]:
        """The plain values of any other text in HOCON, durations as texts, and the place of each key.

        Raises as `read` does.
        """
        read = await self._known_or_read(text, name, LONGEST_VALUES, "values")
        return read.tree, _places(read, name)

    async def _known_or_read(self, text: str, name: str, longest: int, what: str) -> _Read:
        try:
            data = text.encode()
        except UnicodeEncodeError:
            raise _refused(name, "expected text in UTF-8, got halves of characters") from None
        if len(data) > longest:
            raise _refused(name, f"expected at most {longest} bytes of {what}, got {len(data)}")
        digest = sha256(what.encode() + data).digest()
        read = self._kept.get(digest)
        if read is None:
            read = await self._read(text, name, what)
            if not read.given_up:
                self._kept[digest] = read
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(digest)
        if read.problems:
            raise SettingsError([_problem(each, name) for each in read.problems])
        return read

    async def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _read(self, text: str, name: str, what: str) -> _Read:
        if self._waiting >= _MOST_WAITING:
            raise Overloaded("Too many rule texts wait to be read. Try again soon.")
        self._waiting += 1
        try:
            async with self._turn:
                line = json.dumps({"text": text, "name": name, "what": what}).encode() + b"\n"
                told = await self._ask(line)
        finally:
            self._waiting -= 1
        if "problems" in told:
            return _Read({}, {}, tuple(told["problems"]), given_up="given_up" in told)
        return _Read(told["tree"], {tuple(key): line for key, line in told["lines"]})

    async def _ask(self, line: bytes) -> Mapping[str, Any]:
        for again in (True, False):
            fresh = self._process is None or self._process.returncode is not None
            try:
                process = await self._started()
                async with asyncio.timeout(self._seconds):
                    told = await _exchange(process, line)
            except TimeoutError:
                await self.close()
                text = (
                    f"expected rules that can be read in {self._seconds:.0f} s, got a text that takes longer"
                )
                return {"problems": [{"text": text}], "given_up": True}
            except BaseException:
                # Cancelled in the middle: an answer nobody waits for must not be taken for that of the next text.
                await self.close()
                raise
            if told:
                found: Mapping[str, Any] = json.loads(told)
                return found
            await self.close()
            if fresh or not again:
                break  # A process that was idle may end as it is asked; a new one dies of the text.
        text = "expected rules that can be read, got a text that takes too much memory"
        return {"problems": [{"text": text}], "given_up": True}

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.rules.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=ROOT,
            # Nothing of ours: no secret is where a hostile text is read.
            env={"PYTHONPATH": str(ROOT)},
            limit=_ANSWER_BYTES,
        )
        # On a busy machine a process takes long to begin: that is not the text's fault.
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                if process.stdout is not None and await process.stdout.readline():
                    return process
        raise Overloaded(
            "Rules cannot be read at the moment. Try again soon.", detail="the reader did not start"
        )


async def _exchange(process: asyncio.subprocess.Process, line: bytes) -> bytes:
    """The answer to one line, empty when the process has ended."""
    if process.stdin is None or process.stdout is None:
        return b""
    try:
        process.stdin.write(line)
        await process.stdin.drain()
        return await process.stdout.readline()
    except (ConnectionError, ValueError):
        return b""


def _places(read: _Read, name: str) -> Callable[[Key], Place]:
    def place(key: Key) -> Place:
        for length in range(len(key), 0, -1):
            if key[:length] in read.lines:
                return Place(Path(name), read.lines[key[:length]])
        return Place(Path(name))

    return place


def _refused(name: str, text: str) -> SettingsError:
    return SettingsError([RuleProblem(Place(Path(name)), "", text)])


def _problem(told: Mapping[str, Any], name: str) -> RuleProblem:
    return RuleProblem(
        Place(Path(name), told.get("line")),
        told.get("key") or "",
        told["text"],
        told.get("nearest"),
        told.get("rule") or "",
    )
