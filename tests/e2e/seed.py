"""The models of a stack under test: the real local one, and scripted ones behind a real socket."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

UPSTREAM_KEY = "sk-upstream-canary-5d0c1f6ab7e24f0f"
"""The gateway's own credential at the upstream `echoes`: nobody may ever see it."""
PRICE = {"input_usd_per_mtok": "1.00", "output_usd_per_mtok": "2.00"}
COST_OF_OK = "0.000027"
"""11 tokens in and 8 out, at PRICE."""

SCRIPTED: Mapping[str, str] = {
    "ok": "scripted-ok",
    "repriced": "scripted-ok",
    "other": "scripted-ok?text=The+other+one.",
    "down": "scripted-503",
    "limited": "scripted-429?retry_after=7",
    "rejects": "scripted-400",
    "hang": "scripted-hang",
    "reset": "scripted-reset",
    "html": "scripted-html",
    "empty": "scripted-empty",
    "broken-json": "scripted-broken-json",
    "error-reply": "scripted-error-reply",
    "error-event": "scripted-error-event",
    "half-event": "scripted-half-event",
    "cut-utf8": "scripted-cut-utf8",
    "close-mid-stream": "scripted-close-mid-stream",
    "reset-mid-stream": "scripted-reset-mid-stream",
    "hang-mid-stream": "scripted-hang-mid-stream",
    "echoes": "scripted-echo-key",
    "slow": "scripted-ok?latency_ms=600",
    "dripping": "scripted-ok?tokens=80&chunk_interval_ms=50",
    "long": "scripted-ok?tokens=300&chunk_interval_ms=100",
    "weather": "scripted-tool-calls?tool_once=true",
}

CLAUDES: Mapping[str, str] = {
    "claude": "scripted-ok",
    "claude-tools": "scripted-tool-calls?tool_once=true",
    "claude-breaks": "scripted-close-mid-stream?after=4",
}
"""Scripted models that are asked in Anthropic's dialect."""

KINDS: Mapping[str, str] = {
    "ranker": "rerank",
    "judge": "moderation",
    "painter": "image",
    "speaker": "speech",
    "listener": "transcription",
}
"""Scripted models of kinds that the real one cannot serve."""


def write_seed(
    path: Path,
    upstream: str,
    closed: str,
    more: Mapping[str, str] | None = None,
    *,
    local: bool = True,
    more_aliases: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write the seed file. `upstream` plays the scripts, at `closed` nobody listens; `more` names further scripts."""
    models: list[dict[str, Any]] = [
        _model(name, upstream, script) for name, script in {**SCRIPTED, **(more or {})}.items()
    ]
    models.extend(
        {**_model(name, upstream, script), "provider": "anthropic"} for name, script in CLAUDES.items()
    )
    models.append(_model("refused", closed, "scripted-ok"))
    models.extend({**_model(name, upstream, "scripted-ok"), "kind": kind} for name, kind in KINDS.items())
    native = _model("native", upstream, "scripted-ok?text=Said+natively.")
    models.append({**native, "options": {"dialects": ["chat", "responses"]}})
    models.append({**_model("unpriced", upstream, "scripted-ok"), "price": None})
    aliases: dict[str, Sequence[str]] = {
        "fallback": ["down", "other"],
        "fallback-refused": ["refused", "other"],
        "fallback-html": ["html", "other"],
        **(more_aliases or {}),
    }
    words = [*(_hocon(model) for model in models)]
    if local:
        words.append(
            '{ name = "smollm2-135m-instruct", provider = compatible, base_url = ${GATEWAY_LOCAL_MODEL_URL}, '
            f"tags {{ location = on-prem }}, price = {json.dumps(dict.fromkeys(PRICE, '0'))} }}"
        )
        words.append(
            '{ name = "smollm2-135m-embeddings", provider = compatible, base_url = ${GATEWAY_LOCAL_MODEL_URL}, '
            "upstream_model = smollm2-135m-instruct, kind = embedding, "
            f"price = {json.dumps(dict.fromkeys(PRICE, '0'))} }}"
        )
        words.append(
            '{ name = "smollm2-native", provider = compatible, base_url = ${GATEWAY_LOCAL_MODEL_URL}, '
            'upstream_model = smollm2-135m-instruct, options { flavour = "llama.cpp" }, '
            f"price = {json.dumps(dict.fromkeys(PRICE, '0'))} }}"
        )
        aliases["assistant"] = ["smollm2-135m-instruct"]
    path.write_text(f"models = [\n{chr(10).join(words)}\n]\naliases = {json.dumps(aliases)}\n")
    return path


def _model(name: str, base_url: str, script: str) -> dict[str, Any]:
    model: dict[str, Any] = {
        "name": name,
        "provider": "compatible",
        "base_url": base_url,
        "upstream_model": script,
        "price": PRICE,
    }
    return {**model, "credential": "env:UPSTREAM_API_KEY"} if name == "echoes" else model


def _hocon(model: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in model.items() if value is not None})
