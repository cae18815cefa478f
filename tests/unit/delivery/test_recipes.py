"""The recipes of docs/delivery.md verify what the gateway signs: people copy them as they stand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from gateway.delivery.seals import is_secret, new_secret
from gateway.delivery.webhook import signed
from gateway.domain.secret import Secret

GUIDE = (Path(__file__).parents[3] / "docs" / "delivery.md").read_text("utf-8")
BODY = json.dumps({"id": "evt_1", "type": "job.completed", "data": {"words": "Ahoj, svet: ä €"}}).encode()
Verify = Callable[[str, bytes, Mapping[str, str]], Any]


def recipe(language: str, name: str) -> str:
    """The first block of a language that defines a name."""
    blocks = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return next(block for block in blocks if name in block)


def by_python(secret: str, body: bytes, headers: Mapping[str, str]) -> Any:
    space: dict[str, Any] = {}
    exec(recipe("python", "def verified"), space)  # noqa: S102  it is ours
    try:
        return space["verified"](secret, body, headers)
    except WebhookVerificationError as error:
        raise ValueError(str(error)) from error


def by_node(secret: str, body: bytes, headers: Mapping[str, str]) -> Any:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node here")
    script = (
        recipe("js", "function verified")
        + f"\nconst body = Buffer.from({body.hex()!r}, 'hex');"
        + f"\ntry {{ console.log(JSON.stringify(verified({secret!r}, body, {json.dumps(headers)}))); }}"
        + "\ncatch (error) { console.error(error.message); process.exit(3); }"
    )
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=False, timeout=30)
    if done.returncode == 3:
        raise ValueError(done.stderr)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def headers(*secrets: str, at: datetime | None = None, body: bytes = BODY) -> dict[str, str]:
    return signed([Secret(each) for each in secrets], "evt_1", at or datetime.now(UTC), body.decode())


@pytest.fixture(params=[by_python, by_node], ids=["python", "node"])
def verify(request: pytest.FixtureRequest) -> Verify:
    return request.param


OURS, OTHER = new_secret().reveal(), new_secret().reveal()


def test_what_the_gateway_signs_is_verified(verify: Verify):
    assert verify(OURS, BODY, headers(OURS)) == json.loads(BODY)


@pytest.mark.parametrize("mine", [OURS, OTHER], ids=["the old", "the new"])
def test_while_a_secret_is_rotated_out_either_verifies(verify: Verify, mine: str):
    assert verify(mine, BODY, headers(OTHER, OURS))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (BODY, lambda: headers(OTHER)),
        (BODY.replace(b"completed", b"failed"), lambda: headers(OURS)),
        (BODY, lambda: headers(OURS, at=datetime.now(UTC) - timedelta(minutes=6))),
        (BODY, lambda: headers(OURS, at=datetime.now(UTC) + timedelta(minutes=6))),
        (BODY, lambda: headers(OURS) | {"webhook-id": "evt_2"}),
        (BODY, lambda: headers(OURS) | {"webhook-signature": "v1,AAAA"}),
        (BODY, lambda: headers(OURS) | {"webhook-timestamp": "soon"}),
    ],
    ids=["another's", "changed", "old", "from the future", "another id", "no signature", "no moment"],
)
def test_what_is_not_ours_is_refused(verify: Verify, body: bytes, said: Callable[[], Mapping[str, str]]):
    with pytest.raises(ValueError, match=r"."):
        verify(OURS, body, said())  # signed now: what was signed long ago is refused for that alone


def test_every_block_of_json_and_of_curl_in_the_guide_is_whole():
    for block in re.findall(r"-d '(\{.*?\})'", GUIDE, re.DOTALL):
        asked = json.loads(block)
        webhook = asked.get("deliver", {}).get("webhook")
        assert webhook is None or is_secret(webhook["secret"])


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (OURS, True),
        ("whsec_" + "A" * 32, True),
        ("whsec_" + "A" * 28, False),
        ("whsec_" + "A" * 88, False),
        ("A" * 32, False),
        ("whsec_" + "%" * 32, False),
        ("whsec_", False),
        ("", False),
    ],
)
def test_a_secret_is_told_from_what_is_none(text: str, is_one: bool):
    assert is_secret(text) is is_one
