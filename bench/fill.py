"""Fills a gateway with as much as a large company registers: models, rules and callers."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import httpx2
import psycopg

from bench.decide import rules
from bench.stack import BenchError, Gateway
from gateway.rules.write import write_hocon


class Admin:
    """An administrator of a gateway."""

    def __init__(self, url: str, key: str) -> None:
        """`url` is the REST address."""
        self._client = httpx2.Client(
            base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=300, trust_env=False
        )

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer as values. Raises BenchError for any but a good one."""
        answer = self._client.request(method, path, json=body)
        if not answer.is_success:
            raise BenchError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def models(admin: Admin, count: int) -> None:
    """Register models, ten at a time under one name, that nobody asks for."""
    listed = "".join(
        f"  - model_name: group-{number // 10}\n"
        f'    litellm_params: {{model: hosted_vllm/m{number}, api_base: "http://127.0.0.1:9/v1", '
        "input_cost_per_token: 0.0000004, output_cost_per_token: 0.0000016}\n"
        for number in range(count)
    )
    admin.ask("POST", "/api/v1/models/import", {"format": "litellm", "content": f"model_list:\n{listed}"})


def publish(admin: Admin, count: int) -> None:
    """Put so many rules in force, half of which hang on a condition that does not hold."""
    admin.ask(
        "POST", "/api/v1/rules/publish", {"text": write_hocon(rules(count, idle=True)), "note": "bench"}
    )


def callers(made: Gateway, count: int) -> None:
    """Register callers, each with a key of its own; not one by one, which would take its time in processes alone."""
    people = [(f"bench-{number}", f"bench-{number}") for number in range(count)]
    keys = [
        (f"key-{number}", f"bench-{number}", sha256(f"bench-{number}".encode()).digest(), "0000")
        for number in range(count)
    ]
    with psycopg.connect(made.postgres, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO callers (id, name, kind, rights) VALUES (%s, %s, 'agent', '{infer}')", people
        )
        cursor.executemany(
            "INSERT INTO api_keys (id, caller_id, digest, last_four, created_at) VALUES (%s, %s, %s, %s, now())",
            keys,
        )
