"""Somebody who uses the gateway over plain HTTP, and waits for what comes later."""

from __future__ import annotations

import json
import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

from tests.e2e.stack import until

CHAT = "/v1/chat/completions"
TERMINAL = frozenset({"completed", "failed", "cancelled", "expired"})


def chat(model: str = "ok", words: str = "Say hello.", **fields: Any) -> dict[str, Any]:
    """The body of a request that works."""
    return {"model": model, "messages": [{"role": "user", "content": words}], **fields}


class Person:
    """A holder of a key at one address."""

    def __init__(self, base_url: str, key: str, timeout: float = 30.0) -> None:
        self.key = key
        self.http = httpx2.Client(
            base_url=base_url, headers={"authorization": f"Bearer {key}"}, timeout=timeout, trust_env=False
        )

    def ask(
        self,
        model: str = "ok",
        words: str = "Say hello.",
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> httpx2.Response:
        """Chat, and wait for the whole answer."""
        return self.http.post(CHAT, json=chat(model, words, **fields), headers=dict(headers or {}))

    @contextmanager
    def streaming(self, model: str = "ok", **fields: Any) -> Generator[httpx2.Response]:
        """Chat, with the answer still coming."""
        with self.http.stream("POST", CHAT, json=chat(model, stream=True, **fields)) as response:
            yield response

    def request(self, request_id: str, within: float = 30.0) -> dict[str, Any]:
        """The request as the ledger has it, as soon as it has."""

        def found() -> dict[str, Any] | None:
            answer = self.http.get(f"/api/v1/requests/{request_id}")
            assert answer.status_code in (200, 404), answer.text
            return answer.json() if answer.status_code == 200 else None

        return until(found, within)

    def hand_over(
        self, model: str = "ok", words: str = "Say hello.", key: str | None = None, **fields: Any
    ) -> httpx2.Response:
        """Make a job of a chat."""
        body = {"endpoint": CHAT, "body": chat(model, words), **fields}
        return self.http.post(
            "/api/v1/jobs", json=body, headers={} if key is None else {"idempotency-key": key}
        )

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as it stands."""
        answer = self.http.get(f"/api/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ended(self, job_id: str, within: float = 60.0) -> dict[str, Any]:
        """The job once it has ended; a gateway that is away meanwhile is waited for."""

        def over() -> dict[str, Any] | None:
            try:
                answer = self.http.get(f"/api/v1/jobs/{job_id}")
            except httpx2.TransportError:
                return None
            if answer.status_code == 503:
                return None
            assert answer.status_code == 200, answer.text
            job: dict[str, Any] = answer.json()
            return job if job["status"] in TERMINAL else None

        return until(over, within, every=0.2)


class Upstream:
    """The scripted upstream's own view."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx2.Client(base_url=base_url.removesuffix("/v1"), timeout=5, trust_env=False)

    def stats(self) -> dict[str, Any]:
        """What it counts."""
        told: dict[str, Any] = self._http.get("/stats").json()
        return told

    def calls(self, request_id: str) -> int:
        """How often it was called for a request."""
        return int(self._http.get(f"/calls/{request_id}").json()["calls"])

    def play(self, **scripts: Mapping[str, Any] | None) -> None:
        """Let models do something else from now on; None: what they did at first."""
        answer = self._http.post(
            "/scripts", json={f"scripted-{name}": each for name, each in scripts.items()}
        )
        assert answer.status_code == 200, answer.text

    def last(self) -> dict[str, Any]:
        """The headers and the body of its last call."""
        told: dict[str, Any] = self._http.get("/last").json()
        return told


def events_of(text: str) -> tuple[list[dict[str, Any]], bool, list[str]]:
    """A chat stream's events, whether it ended in [DONE], and its comments."""
    lines = [line for line in text.split("\n") if line]
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    done = bool(data) and data[-1] == "[DONE]"
    comments = [line for line in lines if line.startswith(":")]
    assert len(data) + len(comments) == len(lines), f"neither data nor comment: {text}"
    return [json.loads(each) for each in (data[:-1] if done else data)], done, comments


def canary() -> str:
    """Words that stand nowhere else."""
    return f"canary-{secrets.token_hex(12)}"
