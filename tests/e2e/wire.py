"""A client that sends what no library would: bytes on a socket, as slowly and as wrongly as it likes."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error object of OpenAI's dialect."""
        found: dict[str, Any] = json.loads(self.body)["error"]
        assert set(found) == {"message", "type", "param", "code"}
        return found


class Wire:
    """One connection."""

    def __init__(self, port: int, timeout: float = 15.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._port = port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def head(self, method: str, path: str, headers: Mapping[str, str | None]) -> None:
        """Send a request's head; a header of None is left out."""
        usual: dict[str, str | None] = {"Host": f"127.0.0.1:{self._port}", "Content-Type": "application/json"}
        lines = [f"{name}: {value}" for name, value in {**usual, **headers}.items() if value is not None]
        self.send("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1"))

    def receive_until(self, mark: bytes) -> bytes:
        """Everything up to and with the mark, and what came along with it. Raises ConnectionError at the end."""
        got = b""
        while mark not in got:
            part = self.socket.recv(65536)
            if not part:
                raise ConnectionError(f"closed before {mark!r}: {got!r}")
            got += part
        return got

    def answer(self) -> Answer:
        """Read one whole answer, whose length is told or which comes in chunks."""
        head, _, body = self.receive_until(b"\r\n\r\n").partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        if "content-length" in headers:
            while len(body) < int(headers["content-length"]):
                body += self.socket.recv(65536)
        elif headers.get("transfer-encoding") == "chunked":
            while not body.endswith(b"0\r\n\r\n"):
                part = self.socket.recv(65536)
                if not part:
                    break
                body += part
        return Answer(int(first.split(" ")[1]), headers, body)

    def is_closed(self, within: float) -> bool:
        """Whether the other side closes the connection in that time."""
        ends = time.monotonic() + within
        try:
            while (left := ends - time.monotonic()) > 0:
                self.socket.settimeout(left)
                if not self.socket.recv(65536):
                    return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return False
