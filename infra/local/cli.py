"""`python -m infra.local up | status | logs | stop | reset`."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gateway.settings import Settings, SettingsError, load
from infra.local.component import ROOT, StackError
from infra.local.folder import Folder
from infra.local.ports import taken
from infra.local.process import Identity, end
from infra.local.report import Report, addresses_block, command, short, welcome
from infra.local.stack import Stack, addresses_of, plan, ports_of
from infra.local.supervisor import ComponentFailed, State, Supervisor

NOT_READY = 3
_STOP_WITHIN = 300.0

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
Data = Annotated[Path | None, typer.Option(help="The data folder; else local.data of the configuration.")]
Base = Annotated[int | None, typer.Option("--ports", min=1, max=65528, help="First of eight ports.")]


@app.command()
def up(
    *,
    data: Data = None,
    ports: Base = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when all is ready; the stack goes on.")
    ] = False,
    without: Annotated[
        list[str] | None, typer.Option(help="Leave a component out, to run it by hand.")
    ] = None,
    background: Annotated[bool, typer.Option("--background", hidden=True)] = False,
) -> None:
    """Start the stack and keep it running until Ctrl-C."""
    console = Console()
    settings = _settings()
    folder = _folder(data, settings)
    try:
        folder.make()
        held = folder.hold()
        if held is None:
            _tell_running(folder)
            return
        if detach:
            # The supervisor in the background takes the folder itself.
            held.close()
            _up_detached(folder, ports, without or [])
            return
        if not background:
            folder.turn_logs()
        asyncio.run(_clear_away(folder))
        stack = plan(settings, folder, ports_of(settings, ports), without or [], say=print)
        if problems := taken(stack.components):
            raise StackError("\n".join(problems))
        _write_exports(folder, stack)
        asyncio.run(_supervise(folder, stack, console, background=background))
    except ComponentFailed as failed:
        _blame(console, folder, failed)
        raise typer.Exit(1) from None
    except (StackError, OSError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


@app.command()
def status(
    *,
    data: Data = None,
    ports: Base = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what runs; exit code 0 if all is ready, 3 if not."""
    settings = _settings_or_defaults()
    folder = _folder(data, settings)
    state = folder.read_state()
    running = state is not None and _supervisor(folder) is not None
    components: list[dict[str, Any]] = list(state["components"].values()) if state else []
    if not running:
        components = [{**each, "state": _ended(each["state"]), "pid": None} for each in components]
    ready = bool(running and state and state["ready"])
    if as_json:
        planned = addresses_of(settings, ports_of(settings, ports)).public()
        said = {
            "ready": ready,
            "addresses": state["addresses"] if state else planned,
            "admin_key_file": str(folder.admin_key),
            "components": components,
        }
        print(json.dumps(said, indent=2))
    elif not running or state is None:
        print(f"Nothing runs in {short(folder.root)}.")
    else:
        print("Ready." if ready else "Not ready.")
        for each in components:
            log = short(Path(each["log"]))
            print(f"  {each['name']:<9} {each['state']:<10} {each['pid'] or '':<8} {log}")
        print(f"\n{addresses_block(state, folder)}")
    raise typer.Exit(0 if ready else NOT_READY)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="A component, or `stack` for the supervisor's own words.")],
    *,
    data: Data = None,
    ports: Base = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 200,
) -> None:
    """Show the log of a component."""
    del ports  # a data folder says it all
    folder = _folder(data, _settings_or_defaults())
    path = folder.log(name)
    known = sorted(each.stem for each in folder.logs.glob("*.log"))
    if name not in known:
        there = ", ".join(known) or "none at all"
        print(f"There is no log of {name} in {short(folder.logs)}: {there}.", file=sys.stderr)
        raise typer.Exit(1)
    for line in folder.last_lines(name, lines):
        print(line)
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            _follow(path)


@app.command()
def stop(*, data: Data = None, ports: Base = None) -> None:
    """Stop the stack: everything in reverse order, nothing lost."""
    del ports
    folder = _folder(data, _settings_or_defaults())
    supervisor = _supervisor(folder)
    if supervisor is None:
        if folder.is_ours():
            asyncio.run(_clear_away(folder))
        print(f"Nothing runs in {short(folder.root)}.")
        return
    begun = time.monotonic()
    os.kill(supervisor.pid, signal.SIGTERM)
    while supervisor.is_alive():
        if time.monotonic() - begun > _STOP_WITHIN:
            print(
                f"Process {supervisor.pid} still stops; see {command('logs stack', folder)}", file=sys.stderr
            )
            raise typer.Exit(1)
        time.sleep(0.05)
    print(f"Stopped in {time.monotonic() - begun:.1f} s. The data stays in {short(folder.root)}.")


@app.command()
def reset(
    *,
    data: Data = None,
    ports: Base = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete the data folder: every request, workflow, key and log of this stack."""
    del ports
    folder = _folder(data, _settings_or_defaults())
    if not folder.root.exists():
        print(f"There is no {short(folder.root)}.")
        return
    if _supervisor(folder) is not None:
        print(f"The stack in {short(folder.root)} runs: {command('stop', folder)}", file=sys.stderr)
        raise typer.Exit(1)
    try:
        if not folder.is_ours():
            folder.remove()
        held = folder.hold()
        if held is None:
            raise StackError(f"The stack in {short(folder.root)} is just starting.")
        with held:
            if not yes:
                typer.confirm(f"Delete {short(folder.root)} with everything in it?", abort=True)
            asyncio.run(_clear_away(folder))
            folder.remove()
    except StackError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    print(f"{short(folder.root)} is gone.")


async def _supervise(folder: Folder, stack: Stack, console: Console, *, background: bool) -> None:
    us = Identity.of(os.getpid())
    report = Report(folder, stack.addresses, us.to_json() if us else {}, console)
    asked = asyncio.Event()

    def stop_asked() -> None:
        if asked.is_set():
            report.say("  already stopping: everything is given the time to lose nothing")
        else:
            report.say("Stopping.")
            asked.set()

    async def greet() -> None:
        report.say(f"Ready in {time.monotonic() - begun:.1f} s.", "bold green")
        state = folder.read_state()
        if state is not None:
            console.print(welcome(state, folder), markup=False, highlight=False, soft_wrap=True)
        ending = f"Stop it with {command('stop', folder)}" if background else "Ctrl-C stops it."
        console.print(ending, markup=False, highlight=False, soft_wrap=True)
        report.ready()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Under nohup the end of the terminal is ignored; SIGINT never, though shells want that of background jobs.
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop_asked)
    begun = time.monotonic()
    report.say(f"Starting the gateway in {short(folder.root)}")
    await Supervisor(stack.components, folder, report.tell).run(asked, greet)
    report.say("Stopped; the data stays.")


def _up_detached(folder: Folder, base: int | None, without: list[str]) -> None:
    """Start the supervisor in a session of its own, show what it says until it is ready, and leave it."""
    folder.turn_logs()
    said = folder.logs / "up.log"
    argv = [sys.executable, "-m", "infra.local", "up", "--background", "--data", str(folder.root)]
    argv += [] if base is None else ["--ports", str(base)]
    argv += [word for name in without for word in ("--without", name)]
    with said.open("wb") as output:
        supervisor = subprocess.Popen(
            argv,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with said.open() as words:
            while True:
                ended, state = supervisor.poll() is not None, folder.read_state() or {}
                ours = state.get("supervisor", {}).get("pid") == supervisor.pid
                ready = ours and state["ready"]
                print(words.read(), end="", flush=True)
                if ended:
                    raise typer.Exit(supervisor.returncode if supervisor.returncode >= 0 else 1)
                if ready:
                    return
                time.sleep(0.05)
    except KeyboardInterrupt:
        supervisor.terminate()
        supervisor.wait()
        raise


async def _clear_away(folder: Folder) -> None:
    """End what a killed supervisor left running: dependents first, as they were started last."""
    order = {"api": 0, "worker": 0, "keys": 1, "migrate": 1}
    for record in sorted(folder.records(), key=lambda each: order.get(each.name, 2)):
        if record.identity.is_alive():
            print(f"Ending {record.name} (process {record.identity.pid}), left by a stack that was killed.")
            await end(record)
    folder.forget()


def _write_exports(folder: Folder, stack: Stack) -> None:
    """Keep the environment of the processes for people who run one by hand: `. .local/stack.env`."""
    path = folder.root / "stack.env"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(stack.exports())


def _blame(console: Console, folder: Folder, failed: ComponentFailed) -> None:
    """Show why the stack stopped: the last words of the component it could not keep."""
    log = folder.log(failed.name)
    end = f". The last lines of {short(log)}:" if failed.last_words else "."
    console.print(f"\n{failed}{end}", style="red", markup=False, highlight=False, soft_wrap=True)
    for line in failed.last_words:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _ended(state: str) -> str:
    """Return the state of a component whose supervisor is gone."""
    return state if state == State.FAILED else State.STOPPED.value


def _tell_running(folder: Folder) -> None:
    state = folder.read_state()
    if state is None or _supervisor(folder) is None:
        print(f"Another command is just using {short(folder.root)}.")
        return
    print(f"The gateway in {short(folder.root)} is {'running' if state['ready'] else 'starting'} already.")
    print(f"\n{addresses_block(state, folder)}\n\nStop it with {command('stop', folder)}")


def _follow(path: Path) -> None:
    with path.open(errors="replace") as file:
        file.seek(0, os.SEEK_END)
        while True:
            if text := file.read():
                print(text, end="", flush=True)
            else:
                if path.stat().st_size < file.tell():
                    file.seek(0)
                time.sleep(0.2)


def _supervisor(folder: Folder) -> Identity | None:
    """Return the process that keeps this stack running, if it is alive."""
    state: dict[str, Any] = folder.read_state() or {}
    try:
        identity = Identity.from_json(state["supervisor"])
    except (KeyError, TypeError):
        return None
    return identity if identity.is_alive() else None


def _folder(data: Path | None, settings: Settings) -> Folder:
    # A folder given by hand counts from here, a configured one from the project.
    return Folder(data.expanduser().resolve() if data else (ROOT / settings.local.data).resolve())


def _settings() -> Settings:
    try:
        return load()
    except SettingsError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


def _settings_or_defaults() -> Settings:
    """Return the settings; a mistake in them must not keep anybody from stopping what runs."""
    try:
        return load()
    except SettingsError:
        return Settings()
