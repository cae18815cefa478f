"""A real server that speaks S3: versitygw, which keeps a bucket as a folder. `infra/s3/versitygw.sh` brings it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gateway.domain.secret import Secret
from gateway.settings import S3Settings
from infra.local.component import ROOT, Component, Launch
from infra.local.probes import http_ok

ACCESS_KEY = "tester"


def program() -> str:
    """Where versitygw is. Raises FileNotFoundError."""
    found = shutil.which("versitygw") or shutil.which(str(ROOT / ".tools" / "versitygw" / "versitygw"))
    if found is None:
        raise FileNotFoundError("versitygw is missing: infra/s3/versitygw.sh builds it")
    return found


@dataclass(frozen=True, slots=True)
class S3Server:
    """A server that keeps its buckets in `folder`."""

    folder: Path
    port: int
    secret_key: str
    more: tuple[str, ...] = ()

    def component(self) -> Component:
        """The server as a component."""
        argv = (program(), "--port", f"127.0.0.1:{self.port}", "--health", "/health", "--quiet", *self.more)
        env = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": self.secret_key, "GOMEMLIMIT": "128MiB"}
        # Its own program may write extended attributes only where the file system has them: beside is everywhere.
        own = ("posix", "--sidecar", str(self.folder / "beside"), str(self.folder / "buckets"))
        ready = partial(_listens, self.port) if self.more else partial(http_ok, self.port, "/health")
        return Component(name="s3", launch=Launch((*argv, *own), env), ready=ready)

    def make_bucket(self, name: str) -> None:
        """Make a bucket, before the server is started or after."""
        (self.folder / "beside").mkdir(parents=True, exist_ok=True)
        (self.folder / "buckets" / name).mkdir(parents=True)

    def names(self, bucket: str = "files", prefix: str = "") -> set[str]:
        """The names of all objects that begin so."""
        root = self.folder / "buckets" / bucket
        names = {str(each.relative_to(root)) for each in root.rglob("*") if each.is_file()}
        return {name for name in names if name.startswith(prefix)}

    def settings(self, **changes: Any) -> S3Settings:
        """Settings that work, less what is changed."""
        given: Mapping[str, Any] = {
            "endpoint": f"http://127.0.0.1:{self.port}",
            "bucket": "files",
            "access_key": Secret(ACCESS_KEY),
            "secret_key": Secret(self.secret_key),
            "allow_http": True,
            **changes,
        }
        return S3Settings(**given)


async def _listens(port: int) -> bool:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    return True
