"""The examples of docs/usage.md work as they stand there, and the answer there is one that the gateway gives."""

import json
import re

import pytest

from gateway.settings import ROOT
from tests.api.rest import a_quick_world, bearer, serving
from tests.api.test_usage import an_entry
from tests.api.world import ADMIN
from tests.builders import an_attempt

GUIDE = (ROOT / "docs" / "usage.md").read_text("utf-8")
QUESTIONS = re.findall(r"^GET (/api/v1/usage\S*)$", GUIDE, re.MULTILINE)


def test_the_guide_has_examples():
    assert len(QUESTIONS) >= 5


@pytest.mark.parametrize("question", QUESTIONS)
async def test_an_example_is_answered(question):
    async with serving(a_quick_world()) as rest:
        response = await rest.client.get(question, headers=bearer(ADMIN))
    assert response.status_code == 200, response.text


def shape(value):
    """What an answer is made of, whatever stands in it; free words as keys count as one."""
    match value:
        case dict() if set(value) & {"upstream_timeout", "upstream_unavailable"}:
            return "by code"
        case dict():
            return {key: shape(each) for key, each in value.items()}
        case list():
            return [shape(each) for each in value[:1]]
        case bool() | str():
            return type(value).__name__
        case int() | float():
            return "number"
        case _:
            return "null"


async def test_the_answer_in_the_guide_has_the_shape_of_an_answer():
    shown = json.loads(re.search(r"```json\n(.*?)```", GUIDE, re.DOTALL)[1])
    world = a_quick_world()
    entry = an_entry("agent-1", an_attempt(first_token_ms=1.0), tags={"team": "search"})
    await world.store.requests.settle(entry)
    await world.store.rollups.roll(("team",), values=10, most=10)
    async with serving(world) as rest:
        response = await rest.client.get(
            "/api/v1/usage?group_by=model,tag:team&bucket=day", headers=bearer(ADMIN)
        )
    given = response.json()
    given["data"][0]["error_codes"] = {"upstream_timeout": 1}
    assert shape(given) == shape(shown)
    assert given["data"][0].keys() == shown["data"][0].keys()
