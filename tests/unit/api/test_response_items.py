"""Items of an input as they are told when they are asked for: each is what the SDK says it is."""

from __future__ import annotations

from typing import Any

import pytest

from api.service.responses.state import named
from tests.unit.providers.responses.sdk import an_item

TEXT = {"type": "input_text", "text": "x"}
IMAGE = {"type": "input_image", "image_url": "https://x/y.png"}


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({"role": "user", "content": "x"}, "message"),
        ({"role": "assistant", "content": "x"}, "message"),
        ({"role": "developer", "content": [TEXT]}, "message"),
        ({"role": "user", "content": [TEXT, IMAGE, {"type": "input_file", "file_data": "x"}]}, "message"),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, "function_call"),
        (
            {
                "type": "function_call",
                "call_id": "c",
                "name": "f",
                "arguments": "{}",
                "status": None,
                "id": None,
            },
            "function_call",
        ),
        ({"type": "function_call_output", "call_id": "c", "output": "x"}, "function_call_output"),
        ({"type": "function_call_output", "call_id": "c", "output": [TEXT, IMAGE]}, "function_call_output"),
        ({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"}, "custom_tool_call"),
        ({"type": "custom_tool_call_output", "call_id": "c", "output": "x"}, "custom_tool_call_output"),
        ({"type": "reasoning", "summary": []}, "reasoning"),
    ],
)
def test_every_item_is_told_with_an_id_and_all_that_it_must_have(item: dict[str, Any], kind: str):
    told = named(item)
    assert an_item(told).type == kind
    assert told["id"]
    assert named(told) == told
