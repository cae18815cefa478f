"""OpenAI's and Anthropic's Node SDKs: programs of their own tests, run by `node --test`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.clients.conftest import NODE, run
from tests.e2e.stack import Stack


@pytest.mark.parametrize("program", ["openai.test.mjs", "anthropic.test.mjs"])
def test_the_node_sdk_works_unchanged(stack: Stack, node: Path, program: str):
    shutil.copy(NODE / program, node)
    told = {"GATEWAY_URL": stack.rest, "GATEWAY_KEY": stack.admin_key}
    done = run(["node", "--test", "--test-reporter=spec", program], told, within=120, cwd=node)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "tests 0" not in done.stdout
