"""Server-sent events out of bytes, however those are cut (WHATWG HTML, 9.2.6: interpreting an event stream).

Fields other than `data` and `event` are dropped: a model's answer is not resumed by event id.
"""

from __future__ import annotations

BOM = b"\xef\xbb\xbf"
_CR, _LF = 13, 10

Sent = tuple[bytes, bytes]
"""An event's name (empty if it has none) and its data."""


class EventTooLong(Exception):
    """An event is longer than the parser was told to keep."""


class EventStream:
    """Takes chunks as they come and gives the events that are complete with them.

    Lines end with CR, LF or CRLF, also where a chunk ends between the two; a byte order mark at the start is skipped.
    What is kept of an unfinished event never exceeds `limit` bytes by more than a chunk.
    """

    __slots__ = ("_after_cr", "_data", "_held", "_limit", "_name", "_partial", "_started")

    def __init__(self, limit: int) -> None:
        """`limit` bounds one event, in bytes."""
        self._limit = limit
        self._partial: list[bytes] = []  # pieces of the last line, which has not ended yet
        self._held = 0  # bytes kept, in pieces and data together
        self._data: list[bytes] = []
        self._name = b""
        self._after_cr = False
        self._started = False

    def feed(self, chunk: bytes) -> list[Sent]:
        """Take the next bytes; the events that they complete. EventTooLong ends the stream."""
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[0] == _LF:
                chunk = chunk[1:]
        if not chunk:
            return []
        lines = chunk.splitlines()
        last = chunk[-1]
        if self._partial:
            if len(lines) == 1 and last not in (_CR, _LF):
                # Long lines come in many chunks: join them once, at their end, and not with each chunk.
                self._partial.append(chunk)
                self._hold(len(chunk))
                return []
            lines[0] = b"".join((*self._partial, lines[0]))
            self._held -= sum(map(len, self._partial))
            self._partial.clear()
        self._after_cr = last == _CR
        rest = lines.pop() if last not in (_CR, _LF) else None
        found: list[Sent] = []
        for line in lines:
            if not self._started:
                self._started = True
                self._line(line.removeprefix(BOM), found)
            else:
                self._line(line, found)
        if rest is not None:
            self._partial.append(rest)
            self._hold(len(rest))
        return found

    def close(self) -> list[Sent]:
        """Say that no bytes come any more; the event that lacked only its closing empty line, if there is one."""
        found: list[Sent] = []
        if self._partial:
            self._line(b"".join(self._partial), found)
            self._partial.clear()
        self._line(b"", found)
        return found

    def _line(self, line: bytes, found: list[Sent]) -> None:
        if line.startswith(b"data:"):
            data = line[6:] if line[5:6] == b" " else line[5:]
            self._data.append(data)
            self._hold(len(data) + 1)  # the newline that joins it to the next
        elif not line:
            if self._data:
                found.append((self._name, self._data[0] if len(self._data) == 1 else b"\n".join(self._data)))
                self._data.clear()
                self._held = 0
            self._name = b""
        elif line.startswith(b"event:"):
            self._name = line[6:].removeprefix(b" ")
        elif line == b"data":
            self._data.append(b"")
            self._hold(1)

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > self._limit:
            raise EventTooLong
