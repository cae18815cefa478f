"""What the stack says: a line a component, and at the end the block a person can use at once."""

import contextlib
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from infra.local.component import ROOT
from infra.local.folder import Folder
from infra.local.stack import Addresses
from infra.local.supervisor import Event, State

_COLOURS = {State.READY: "green", State.DONE: "green", State.RESTARTING: "yellow", State.FAILED: "red"}


class Report:
    """Keeps the state of every component where `status` reads it, and tells people what they want to know."""

    def __init__(
        self, folder: Folder, addresses: Addresses, supervisor: dict[str, Any], console: Console
    ) -> None:
        """Speak about one stack; `supervisor` is how its process is known again."""
        self._folder = folder
        self._console = console
        self._ready = False
        self._state: dict[str, Any] = {
            "supervisor": supervisor,
            "addresses": addresses.public(),
            "worker_metrics": addresses.worker_metrics,
            "components": {},
        }

    def say(self, text: str, style: str = "") -> None:
        """Write a line, also to the stack's own log. A terminal that went away must not stop us from stopping."""
        with contextlib.suppress(OSError):
            self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
        with contextlib.suppress(OSError), self._folder.log("stack").open("a") as log:
            log.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}\n")

    def tell(self, event: Event) -> None:
        """Take a change of a component's state."""
        known = self._state["components"].get(event.name, {}).get("state")
        failed = known == State.FAILED and event.state in {State.STOPPING, State.STOPPED}
        self._state["components"][event.name] = {
            "name": event.name,
            "state": State.FAILED.value if failed else event.state.value,
            "pid": event.pid,
            "log": str(self._folder.log(event.name)),
        }
        self._write()
        words = {
            State.READY: f"ready  {event.seconds:5.1f} s",
            State.DONE: f"done   {event.seconds:5.1f} s",
            State.STOPPED: f"stopped {event.seconds:4.1f} s",
            State.RESTARTING: "died:",
            State.FAILED: "failed:",
        }
        if event.state in words:
            line = f"  {event.name:<9} {words[event.state]}  {event.detail}"
            self.say(line.rstrip(), _COLOURS.get(event.state, ""))

    def ready(self) -> None:
        """Everything is up from here on, as far as it is not starting again."""
        self._ready = True
        self._write()

    def _write(self) -> None:
        states = {each["state"] for each in self._state["components"].values()}
        self._state["ready"] = self._ready and states <= {State.READY.value, State.DONE.value}
        self._folder.write_state(self._state)


def short(path: Path) -> str:
    """Return a path as one would type it here."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def command(name: str, folder: Folder) -> str:
    """Return the command line of one of our commands for this stack."""
    data = "" if folder.root == ROOT / ".local" else f" --data {shlex.quote(short(folder.root))}"
    return f"{short(ROOT / '.venv/bin/python')} -m infra.local {name}{data}"


def addresses_block(state: dict[str, Any], folder: Folder) -> str:
    """Return the addresses, as lines."""
    addresses = state["addresses"]
    lines = [
        ("REST", addresses["rest"]),
        ("gRPC", addresses["grpc"]),
        ("Docs", f"{addresses['rest']}/docs"),
        ("Temporal UI", addresses["temporal_ui"] or "–"),
        ("Metrics", ", ".join(filter(None, (f"{addresses['rest']}/metrics", state["worker_metrics"])))),
        ("Admin key", short(folder.admin_key)),
        ("Logs", f"{short(folder.logs)}/"),
    ]
    return "\n".join(f"  {name:<12} {value}" for name, value in lines)


def welcome(state: dict[str, Any], folder: Folder) -> str:
    """Return the block that ends a start: addresses, then two snippets that give a real answer when pasted."""
    rest, key = state["addresses"]["rest"], short(folder.admin_key)
    return f"""
{addresses_block(state, folder)}

Ask by curl:

curl -s {rest}/v1/chat/completions \\
  -H "Authorization: Bearer $(cat {shlex.quote(key)})" -H "Content-Type: application/json" \\
  -d '{{"model": "assistant", "messages": [{{"role": "user", "content": "Say hello in one sentence."}}]}}'

Or by the openai SDK:

{short(ROOT / ".venv/bin/python")} - <<'PY'
from pathlib import Path
from openai import OpenAI

client = OpenAI(base_url="{rest}/v1", api_key=Path({key!r}).read_text().strip())
answer = client.chat.completions.create(
    model="assistant", messages=[{{"role": "user", "content": "Say hello in one sentence."}}]
)
print(answer.choices[0].message.content)
PY
"""
