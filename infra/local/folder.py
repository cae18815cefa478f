"""The data folder of a stack: what lies where, who holds it, and what was left in it."""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from infra.local.component import StackError
from infra.local.process import RECORD, Record

_MARK = ".llm-gateway"
_MARK_SAYS = "The data of a local stack of the LLM Gateway: `python -m infra.local reset` removes it.\n"
_LOG_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Folder:
    """`root` belongs to one stack: `logs/`, `run/` (who runs), `secrets/`, and a folder for each server's data."""

    root: Path

    @property
    def admin_key(self) -> Path:
        """Where the bootstrap admin key is written."""
        return self.root / "admin.key"

    @property
    def logs(self) -> Path:
        """The folder of the log files."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """The folder of what holds only while the stack runs."""
        return self.root / "run"

    @property
    def state(self) -> Path:
        """Where the supervisor writes what it knows, for `status`."""
        return self.run / "stack.json"

    def log(self, name: str) -> Path:
        """Return the log file of a component."""
        return self.logs / f"{name}.log"

    def make(self) -> None:
        """Make the folder, closed to others. Raises `StackError` on a folder that somebody uses for something else."""
        if not self.is_ours():
            if self.root.exists() and any(self.root.iterdir()):
                raise StackError(
                    f"{self.root} holds something else: give an empty or a new folder with --data"
                )
            self.root.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o700)
            (self.root / _MARK).write_text(_MARK_SAYS)
        for each in (self.logs, self.run, self.root / "secrets"):
            each.mkdir(mode=0o700, exist_ok=True)

    def is_ours(self) -> bool:
        """Say whether a stack made this folder."""
        return (self.root / _MARK).is_file()

    def remove(self) -> None:
        """Delete the folder with all that is in it. Raises `StackError` if no stack made it."""
        if not self.is_ours():
            raise StackError(f"{self.root} is not the data folder of a stack: nothing was removed")
        shutil.rmtree(self.root)

    def hold(self) -> IO[str] | None:
        """Take the folder for this process; None if another has it. The kernel lets go of it when the process ends."""
        held = (self.run / "lock").open("w")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            return None
        return held

    def secret(self, name: str, make: str | None = None) -> str:
        """Return a secret kept here, made at random (or as `make`) when first asked for."""
        path = self.root / "secrets" / name
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write((make or secrets.token_urlsafe(32)) + "\n")
        except FileExistsError:
            pass
        return path.read_text().strip()

    def record(self, name: str) -> Path:
        """Return the file that remembers the process of a component."""
        return self.run / f"{name}{RECORD}"

    def records(self) -> Iterator[Record]:
        """Yield the processes that the last supervisor did not see end."""
        for path in sorted(self.run.glob(f"*{RECORD}")):
            if record := Record.read(path):
                yield record

    def forget(self) -> None:
        """Drop the records of processes that have ended."""
        for path in self.run.glob(f"*{RECORD}"):
            path.unlink()

    def turn_logs(self) -> None:
        """Begin new log files and keep those of the run before as `NAME.log.1`."""
        for path in self.logs.glob("*.log"):
            if path.stat().st_size:
                path.replace(path.with_suffix(".log.1"))

    def cut_logs(self) -> None:
        """Keep every log file within bounds. All writers append, so the file may be emptied under them."""
        for path in self.logs.glob("*.log"):
            if path.stat().st_size > _LOG_LIMIT:
                shutil.copyfile(path, path.with_suffix(".log.1"))
                os.truncate(path, 0)

    def last_lines(self, name: str, count: int = 20) -> list[str]:
        """Return the last lines a component wrote."""
        try:
            with self.log(name).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 200 * 1024))
                return file.read().decode(errors="replace").splitlines()[-count:]
        except FileNotFoundError:
            return []

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace what `status` reads, in one step."""
        new = self.state.with_suffix(".new")
        new.write_text(json.dumps(state))
        new.replace(self.state)

    def read_state(self) -> dict[str, Any] | None:
        """Return what the supervisor wrote last; None before the first time."""
        try:
            state: dict[str, Any] = json.loads(self.state.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return state
