"""Carrying over what LiteLLM's configuration says, and saying what is not."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from api.service.litellm import Imported, read_litellm
from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Kind
from gateway.domain.prices import Price, Tier
from gateway.domain.registry import Capability, Model

FILE = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: os.environ/OPENAI_API_KEY
      rpm: 60
      tpm: 100000
      timeout: 30
      stream_timeout: 5.5
      temperature: 0.2
    model_info: {id: one, max_input_tokens: 128000, max_output_tokens: 16384, supports_vision: false, base_model: x}
  - model_name: llama
    litellm_params: {model: hosted_vllm/meta/llama-3, api_base: "http://gpu-1:8000/v1",
      input_cost_per_token: 0.00000015, output_cost_per_token: 6.0e-7}
  - model_name: llama
    litellm_params: {model: ollama/llama3, api_base: "http://gpu-2:11434"}
  - model_name: azure-one
    litellm_params: {model: azure/deployment, api_key: sk-secret-in-clear}
  - model_name: embed
    litellm_params: {model: text-embedding-3-small, api_key: sk-secret-in-clear, input_cost_per_token: 2e-8}
    model_info: {mode: embedding}
  - model_name: everything
    litellm_params: {model: "openai/*"}
router_settings:
  fallbacks: [{gpt-4o: [llama, nobody]}]
  model_group_alias: {assistant: gpt-4o, hidden: {model: llama, hidden: true}}
  routing_strategy: usage-based-routing
litellm_settings: {num_retries: 3, drop_params: true}
general_settings: {master_key: sk-1234, database_url: "postgresql://u:p@h/d"}
"""


@pytest.fixture
def imported() -> Imported:
    return read_litellm(FILE)


def models(imported: Imported) -> dict[str, Model]:
    return {entry.model.name: entry.model for entry in imported.entries}


def test_deployments_of_one_name_become_models_under_an_alias(imported: Imported):
    assert set(models(imported)) == {"gpt-4o-1", "llama-1", "llama-2", "embed"}
    assert imported.aliases["llama"] == ("llama-1", "llama-2")


def test_fallbacks_follow_in_the_alias(imported: Imported):
    assert imported.aliases["gpt-4o"] == ("gpt-4o-1", "llama-1", "llama-2")


def test_an_alias_of_a_group_stands_for_all_its_models(imported: Imported):
    assert imported.aliases["assistant"] == imported.aliases["gpt-4o"]
    assert imported.aliases["hidden"] == ("llama-1", "llama-2")


def test_what_a_deployment_says_is_carried_over(imported: Imported):
    model = models(imported)["gpt-4o-1"]
    assert (model.provider, model.base_url, model.upstream_model) == (
        "openai",
        "https://api.openai.com/v1",
        "gpt-4o",
    )
    assert model.credential == "env:OPENAI_API_KEY"
    assert (model.limits.requests_per_minute, model.limits.tokens_per_minute) == (60, 100_000)
    assert (model.timeouts.first_byte, model.timeouts.total) == (
        timedelta(seconds=5.5),
        timedelta(seconds=30),
    )
    assert (model.context_window, model.max_output) == (128_000, 16_384)
    assert model.capabilities is not None
    assert Capability.VISION not in model.capabilities
    assert Capability.TOOLS in model.capabilities


def test_prices_are_exact_and_for_a_million_tokens(imported: Imported):
    price = models(imported)["llama-1"].price
    assert price is not None
    assert (price.input_usd, price.output_usd) == (Decimal("0.15"), Decimal("0.6"))
    embed = models(imported)["embed"]
    assert embed.kind is Kind.EMBEDDING
    assert embed.price is not None
    assert (embed.price.input_usd, embed.price.output_usd) == (Decimal("0.02"), Decimal(0))


def test_a_prefix_becomes_the_flavour_of_the_server():
    text = """
model_list:
  - model_name: a
    litellm_params: {model: azure/mine, api_base: "https://r.openai.azure.com", api_version: 2024-10-21}
  - {model_name: c, litellm_params: {model: anthropic/claude-sonnet-4-5}}
  - {model_name: h, litellm_params: {model: huggingface/together/org/name}}
  - {model_name: g, litellm_params: {model: groq/llama-3.3-70b-versatile}}
  - {model_name: v, litellm_params: {model: hosted_vllm/qwen, api_base: "http://gpu-1:8000/v1"}}
  - {model_name: o, litellm_params: {model: openai_like/some, api_base: "http://host/v1"}}
"""
    found = models(read_litellm(text))
    assert {name: model.options for name, model in found.items()} == {
        "a": {"flavour": "azure", "api_version": "2024-10-21"},
        "c": {},
        "h": {},
        "g": {"flavour": "groq"},
        "v": {"flavour": "vllm"},
        "o": {},
    }
    assert (found["c"].provider, found["c"].base_url) == ("anthropic", "https://api.anthropic.com")
    assert (found["h"].provider, found["h"].upstream_model) == ("huggingface", "org/name:together")
    assert (found["a"].upstream_model, found["g"].base_url) == ("mine", "https://api.groq.com/openai/v1")


def test_all_parts_of_a_price_are_carried_over_and_its_tiers():
    text = """
model_list:
  - model_name: sonnet
    litellm_params: {model: openai/claude, api_base: "https://host/v1", api_key: os.environ/KEY,
      input_cost_per_token: 3.0e-6, input_cost_per_token_above_200k_tokens: 6.0e-6, output_cost_per_token: 15.0e-6,
      cache_creation_input_token_cost: 3.75e-6, cache_creation_input_token_cost_above_1hr: 6.0e-6,
      output_cost_per_token_above_200k_tokens: 22.5e-6, cache_read_input_token_cost: 3.0e-7}
    model_info: {output_cost_per_reasoning_token: 16.0e-6, input_cost_per_audio_token: 4.0e-5}
"""
    price = models(read_litellm(text))["sonnet"].price
    assert price == Price(
        Decimal(3),
        Decimal(15),
        Decimal("0.3"),
        cache_write_usd=Decimal("3.75"),
        cache_write_1h_usd=Decimal(6),
        reasoning_usd=Decimal(16),
        audio_input_usd=Decimal(40),
        tiers=(Tier(200_000, Decimal(6), Decimal("22.5")),),
    )


def test_servers_that_litellm_names_without_a_path_get_it(imported: Imported):
    assert models(imported)["llama-1"].base_url == "http://gpu-1:8000/v1"
    assert models(imported)["llama-2"].base_url == "http://gpu-2:11434/v1"


def test_a_key_in_clear_is_a_secret_and_shows_nowhere(imported: Imported):
    (embed,) = [entry for entry in imported.entries if entry.model.name == "embed"]
    assert embed.secret is not None
    assert embed.secret.reveal() == "sk-secret-in-clear"
    assert "sk-secret" not in repr(imported)
    assert "sk-1234" not in repr(imported)


@pytest.mark.parametrize(
    "path",
    [
        "model_list.0.litellm_params.temperature",
        "model_list.0.model_info.base_model",
        "model_list.3.litellm_params.api_base",
        "model_list.5.litellm_params.model",
        "router_settings.routing_strategy",
        "litellm_settings.num_retries",
        "litellm_settings.drop_params",
        "general_settings",
        "fallbacks.gpt-4o",
    ],
)
def test_what_is_not_carried_over_is_listed_with_its_reason(imported: Imported, path: str):
    (left,) = [item for item in imported.left_out if item.path == path]
    assert left.reason


def test_nothing_is_left_out_without_being_told():
    imported = read_litellm("model_list: [{model_name: a, litellm_params: {model: openai/a}}]")
    assert imported.left_out == ()
    assert imported.aliases == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a", "`config` must be a mapping"),
        ("model_list: 3", "`model_list` must be a list"),
        ("model_list: [3]", r"`model_list.0` must be a mapping"),
        ("model_list: [{model_name: a}]", r"`model_list.0.litellm_params` must be a mapping"),
        ("a: [", "not valid YAML at line"),
        ("a: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("router_settings: {fallbacks: {a: b}}", r"`router_settings.fallbacks` must be a list"),
        ("[" * 5000, "not valid YAML"),
        ("x: " + "y" * 1_100_000, "larger than"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_place(text: str, said: str):
    with pytest.raises(InvalidRequest, match=said):
        read_litellm(text)


@pytest.mark.parametrize(
    "params",
    [
        {"model": "openai/a", "rpm": -1},
        {"model": "openai/a", "timeout": "soon"},
        {"model": "openai/a", "input_cost_per_token": "NaN"},
        {"model": "openai/a", "api_key": 5},
        {"model": "openai/a", "api_key": "os.environ/BAD NAME"},
        {"model": "openai/a", "extra_headers": {"x": "os.environ/X"}},
        {"model": "hosted_vllm/a"},
        {"model": "hosted_vllm/a", "api_base": "os.environ/BASE"},
        {"model": "hosted_vllm/a", "api_base": "file:///etc/passwd"},
        {"model": None},
    ],
)
def test_a_wrong_value_is_left_out_and_said_so(params: dict[str, Any]):
    text = f"model_list: [{{model_name: a, litellm_params: {params!r}}}]".replace("None", "null")
    assert len(read_litellm(text).left_out) >= 1


OTHER_WIRES = """
model_list:
  - model_name: flash
    litellm_params: {model: gemini/gemini-2.5-flash, api_key: os.environ/GEMINI_API_KEY}
  - model_name: claude
    litellm_params: {model: bedrock/converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0, aws_region_name: eu-west-1,
      aws_access_key_id: AKIACANARY, aws_secret_access_key: in-clear, aws_session_token: token}
  - model_name: nova
    litellm_params: {model: bedrock/us.amazon.nova-pro-v1:0, aws_region_name: us-east-1,
      aws_access_key_id: os.environ/AWS_ACCESS_KEY_ID, aws_secret_access_key: os.environ/AWS_SECRET_ACCESS_KEY}
  - model_name: nowhere
    litellm_params: {model: bedrock/us.amazon.nova-pro-v1:0, aws_region_name: os.environ/AWS_REGION}
"""


def test_gemini_and_bedrock_are_called_over_their_own_wires():
    imported = read_litellm(OTHER_WIRES)
    found = models(imported)
    assert {name: (m.provider, m.base_url, m.upstream_model) for name, m in found.items()} == {
        "flash": ("gemini", "https://generativelanguage.googleapis.com/v1beta", "gemini-2.5-flash"),
        "claude": (
            "bedrock",
            "https://bedrock-runtime.eu-west-1.amazonaws.com",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        "nova": ("bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com", "us.amazon.nova-pro-v1:0"),
    }
    secrets = {entry.model.name: entry.secret for entry in imported.entries if entry.secret is not None}
    assert {name: secret.reveal() for name, secret in secrets.items()} == {
        "claude": "AKIACANARY:in-clear:token"
    }
    assert {each.path for each in imported.left_out} == {
        # Two variables are no one credential: it is put together by whoever has both.
        "model_list.2.litellm_params.aws_access_key_id",
        "model_list.2.litellm_params.aws_secret_access_key",
        "model_list.3.litellm_params.api_base",
    }
