"""Reading LiteLLM's `config.yaml`: what of it the registry can hold, and a list of all that it can not.

Source: LiteLLM's documentation of its proxy configuration ("All settings", "Reliability: retries, fallbacks"). Nothing
is dropped in silence: what is not carried over stands in `left_out` with its path and the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import yaml

from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Kind
from gateway.domain.prices import MILLION, Price, Tier
from gateway.domain.registry import Capability, Model, ModelLimits, Timeouts
from gateway.domain.secret import Secret

_LARGEST: Final = 1024 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_ENVIRONMENT: Final = "os.environ/"
_MOST_DEPLOYMENTS: Final = 2000

# LiteLLM's prefix of `litellm_params.model` → our provider, where its API is when the entry does not say, and the
# flavour of a compatible one. The addresses are those of each provider's page about its OpenAI-compatible API; a
# flavour's own is the provider's affair.
_PROVIDERS: Final[Mapping[str, tuple[str, str, str]]] = {
    "openai": ("openai", "https://api.openai.com/v1", ""),
    "text-completion-openai": ("openai", "https://api.openai.com/v1", ""),
    "azure": ("compatible", "", "azure"),
    "hosted_vllm": ("compatible", "", "vllm"),
    "vllm": ("compatible", "", "vllm"),
    "openai_like": ("compatible", "", ""),
    "custom_openai": ("compatible", "", ""),
    "litellm_proxy": ("compatible", "", "litellm"),
    "llamafile": ("compatible", "", "llama.cpp"),
    "lm_studio": ("compatible", "http://localhost:1234/v1", "lm-studio"),
    "ollama": ("compatible", "http://localhost:11434/v1", "ollama"),
    "ollama_chat": ("compatible", "http://localhost:11434/v1", "ollama"),
    "anthropic": ("anthropic", "https://api.anthropic.com", ""),
    "huggingface": ("huggingface", "https://router.huggingface.co/v1", ""),
    "groq": ("compatible", "https://api.groq.com/openai/v1", "groq"),
    "together_ai": ("compatible", "https://api.together.xyz/v1", "together"),
    "mistral": ("compatible", "https://api.mistral.ai/v1", "mistral"),
    "deepseek": ("compatible", "https://api.deepseek.com/v1", "deepseek"),
    "openrouter": ("compatible", "https://openrouter.ai/api/v1", "openrouter"),
    "fireworks_ai": ("compatible", "https://api.fireworks.ai/inference/v1", ""),
    "xai": ("compatible", "https://api.x.ai/v1", ""),
    "perplexity": ("compatible", "https://api.perplexity.ai", ""),
    "bedrock": ("bedrock", "", ""),
    "gemini": ("gemini", "https://generativelanguage.googleapis.com/v1beta", ""),
    "nvidia_nim": ("compatible", "https://integrate.api.nvidia.com/v1", ""),
    "cerebras": ("compatible", "https://api.cerebras.ai/v1", ""),
    "sambanova": ("compatible", "https://api.sambanova.ai/v1", ""),
}
_DATED: Final = "azure"
_SIGNED: Final = "bedrock"
_ROUTES: Final = re.compile(
    r"^(converse|converse_like|invoke)/"
)  # by which API LiteLLM calls a model of Bedrock's
_AWS_KEYS: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_ADD_V1: Final = frozenset({"ollama", "ollama_chat"})  # LiteLLM is given these without the path
_MODES: Final[Mapping[str, Kind]] = {
    "chat": Kind.CHAT,
    "responses": Kind.CHAT,
    "completion": Kind.COMPLETION,
    "embedding": Kind.EMBEDDING,
    "rerank": Kind.RERANK,
    "image_generation": Kind.IMAGE,
    "audio_speech": Kind.SPEECH,
    "audio_transcription": Kind.TRANSCRIPTION,
    "moderation": Kind.MODERATION,
}
_CAPABILITIES: Final[Mapping[str, Capability]] = {
    "supports_function_calling": Capability.TOOLS,
    "supports_parallel_function_calling": Capability.PARALLEL_TOOLS,
    "supports_vision": Capability.VISION,
    "supports_audio_input": Capability.AUDIO,
    "supports_response_schema": Capability.STRUCTURED_OUTPUT,
    "supports_reasoning": Capability.REASONING,
    "supports_native_streaming": Capability.STREAMING,
}
_PER_TOKEN: Final[Mapping[str, str]] = {
    "input_cost_per_token": "input_usd",
    "output_cost_per_token": "output_usd",
    "cache_read_input_token_cost": "cached_input_usd",
    "cache_creation_input_token_cost": "cache_write_usd",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h_usd",
    "output_cost_per_reasoning_token": "reasoning_usd",
    "input_cost_per_audio_token": "audio_input_usd",
    "output_cost_per_audio_token": "audio_output_usd",
}
_ABOVE: Final = re.compile(r"(\w+)_above_(\d+)k_tokens")
"""A price that holds for a whole request with more input than so many thousand tokens."""


def _base_of_region(region: object) -> str:
    """The address of Bedrock in a region; empty where none is said, or not plainly."""
    if not isinstance(region, str) or not re.fullmatch(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}", region):
        return ""
    return f"https://bedrock-runtime.{region}.amazonaws.com"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What was not carried over: where it stands in the file, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A model to be registered; `secret` is a key that stood in the file in clear and is to be stored encrypted."""

    model: Model
    secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file came to."""

    entries: tuple[Entry, ...]
    aliases: Mapping[str, tuple[str, ...]]
    left_out: tuple[LeftOut, ...]


def read_litellm(text: str) -> Imported:
    """Read a `config.yaml`. Raises InvalidRequest for what is no such file, naming the place."""
    if len(text.encode()) > _LARGEST:
        raise InvalidRequest(f"The file is larger than {_LARGEST} bytes.", param="content")
    try:
        tree = yaml.safe_load(text)
    except yaml.MarkedYAMLError as e:
        line = f" at line {e.problem_mark.line + 1}" if e.problem_mark is not None else ""
        raise InvalidRequest(f"The file is not valid YAML{line}: {e.problem}.", param="content") from e
    except (yaml.YAMLError, RecursionError, ValueError) as e:
        raise InvalidRequest("The file is not valid YAML.", param="content") from e
    return _Reader().read(_map(tree, "config"))


class _Reader:
    """Reads one file; what it cannot carry over collects in `left_out`."""

    def __init__(self) -> None:
        self.left_out: list[LeftOut] = []
        self.groups: dict[str, list[Entry]] = {}

    def read(self, tree: Mapping[str, Any]) -> Imported:
        deployments = _list(tree.get("model_list") or [], "model_list")
        if len(deployments) > _MOST_DEPLOYMENTS:
            raise InvalidRequest(
                f"`model_list` has more than {_MOST_DEPLOYMENTS} entries.", param="model_list"
            )
        for number, entry in enumerate(deployments):
            self._deployment(_map(entry, f"model_list.{number}"), f"model_list.{number}")
        followers, aliases = self._groups_after_groups(tree)
        for name, value in tree.items():
            if name not in ("model_list", "router_settings", "litellm_settings"):
                self._leave(name, value, "the gateway has settings of its own for it")
        return self._named(followers, aliases)

    # ---- one deployment ------------------------------------------------------------------------------------------
    def _deployment(self, entry: Mapping[str, Any], path: str) -> None:
        group = entry.get("model_name")
        given = dict(_map(entry.get("litellm_params"), f"{path}.litellm_params"))
        info = dict(_map(entry.get("model_info") or {}, f"{path}.model_info"))
        if not isinstance(group, str) or not _NAME.fullmatch(group):
            self._leave(
                path, entry, f"`{group}` is no name here: letters, digits and . _ : / @ + -, up to 128"
            )
            return
        found = self._upstream(given, f"{path}.litellm_params")
        if found is None:
            return
        provider, base_url, upstream, options = found
        secret, reference = self._credential(given, f"{path}.litellm_params")
        mode = str(info.pop("mode", "chat"))
        if mode not in _MODES:
            self._leave(f"{path}.model_info.mode", mode, f"there is no kind of model for `{mode}`")
            return
        model = Model(
            name=group,
            provider=provider,
            base_url=base_url,
            upstream_model=upstream,
            kind=_MODES[mode],
            credential=reference,
            price=self._price(given, info, _MODES[mode], path),
            limits=ModelLimits(
                concurrency=self._count(given, info, "max_parallel_requests", path),
                requests_per_minute=self._count(given, info, "rpm", path),
                tokens_per_minute=self._count(given, info, "tpm", path),
            ),
            context_window=self._count({}, info, "max_input_tokens", path),
            max_output=self._count({}, info, "max_output_tokens", path),
            capabilities=self._capabilities(info),
            timeouts=Timeouts(
                first_byte=self._seconds(given, "stream_timeout", path),
                total=self._seconds(given, "timeout", path),
            ),
            headers=self._headers(given, path),
            options=options,
        )
        for name, value in given.items():
            self._leave(f"{path}.litellm_params.{name}", value, "a model has no such setting")
        for name, value in info.items():
            if name != "id":
                self._leave(f"{path}.model_info.{name}", value, "a model has no such field")
        for name, value in entry.items():
            if name not in ("model_name", "litellm_params", "model_info"):
                self._leave(f"{path}.{name}", value, "a model has no such field")
        self.groups.setdefault(group, []).append(Entry(model, secret))

    def _upstream(
        self, given: dict[str, Any], path: str
    ) -> tuple[str, str, str, Mapping[str, object]] | None:
        """Our provider, its base URL, the model's name there, and its options; None for what cannot be called."""
        asked = given.pop("model", None)
        base = given.pop("api_base", None) or given.pop("base_url", None)
        named = given.pop("custom_llm_provider", None)
        if not isinstance(asked, str) or not asked:
            self._leave(f"{path}.model", asked, "the name of the upstream's model is missing")
            return None
        if "*" in asked:
            self._leave(
                f"{path}.model", asked, "wildcards: ask `discover` for the models of an upstream instead"
            )
            return None
        prefix, slash, rest = asked.partition("/")
        if named is not None:
            prefix, rest = str(named), asked.removeprefix(f"{named}/")
        elif not slash:
            prefix, rest = "openai", asked
        if prefix not in _PROVIDERS:
            self._leave(f"{path}.model", asked, f"no provider here speaks to `{prefix}`")
            return None
        provider, usual, flavour = _PROVIDERS[prefix]
        if provider == "huggingface" and rest.count("/") > 1:
            # `huggingface/PROVIDER/ORG/MODEL`, which the router takes as `ORG/MODEL:PROVIDER`.
            behind, _, rest = rest.partition("/")
            rest = f"{rest}:{behind}"
        base = self._resolved(base, f"{path}.api_base")
        if base is not None and provider == "openai":
            provider = "compatible"
        if provider == _SIGNED:
            rest = _ROUTES.sub("", rest)
            usual = _base_of_region(given.pop("aws_region_name", None))
        base = (base or usual).rstrip("/")
        if not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", base):
            self._leave(f"{path}.api_base", base or None, "an http(s) URL is needed here")
            return None
        if prefix in _ADD_V1 and not base.endswith("/v1"):
            base += "/v1"
        return provider, base, rest, self._options(given, flavour)

    def _options(self, given: dict[str, Any], flavour: str) -> Mapping[str, object]:
        options: dict[str, object] = {"flavour": flavour} if flavour else {}
        if flavour == _DATED and given.get("api_version") is not None:
            # YAML reads a version that is not in quotes as a date, which is written in the same way.
            options["api_version"] = str(given.pop("api_version"))
        return options

    def _resolved(self, value: Any, path: str) -> str | None:
        if value is None:
            return None
        if isinstance(value, str) and value.startswith(_ENVIRONMENT):
            self._leave(path, value, "an address is written out here, or set by the file it is imported from")
            return "environment"  # refused as a URL just after, in words that name the place
        return str(value)

    def _credential(self, given: dict[str, Any], path: str) -> tuple[Secret | None, str | None]:
        key = given.pop("api_key", None)
        if key is None:
            return self._aws(given, path), None
        if not isinstance(key, str) or not key.strip():
            self._leave(f"{path}.api_key", None, "a key is text")
            return None, None
        if not key.startswith(_ENVIRONMENT):
            return Secret(key.strip()), None
        name = key.removeprefix(_ENVIRONMENT)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            self._leave(f"{path}.api_key", None, "the variable's name is none")
            return None, None
        return None, f"env:{name}"

    def _aws(self, given: dict[str, Any], path: str) -> Secret | None:
        """The parts of an AWS credential as the one that it is here."""
        parts = [str(given[name]) for name in _AWS_KEYS if given.get(name)]
        if len(parts) < 2 or any(part.startswith(_ENVIRONMENT) for part in parts):
            return None  # what is left of it is told with all that a model has no setting for
        for name in _AWS_KEYS:
            given.pop(name, None)
        return Secret(":".join(parts))

    def _price(self, given: dict[str, Any], info: dict[str, Any], kind: Kind, path: str) -> Price | None:
        found: dict[str, Any] = {}
        tiers: dict[int, dict[str, Decimal]] = {}
        for where, source in (("litellm_params", given), ("model_info", info)):
            for name in list(source):
                above = _ABOVE.fullmatch(name)
                part = _PER_TOKEN.get(above[1] if above else name)
                if part is None or (value := source.pop(name)) is None:
                    continue
                amount = _decimal(value)
                if amount is None:
                    self._leave(f"{path}.{where}.{name}", value, "US dollars for one token, 0 or more")
                    continue
                said = tiers.setdefault(int(above[2]) * 1000, {}) if above else found
                said.setdefault(part, amount * MILLION)
        if kind is Kind.EMBEDDING:
            found.setdefault("output_usd", Decimal(0))  # there is no output to pay for
        if not {"input_usd", "output_usd"} <= set(found):
            if found:
                self._leave(f"{path}.litellm_params", sorted(found), "a price needs both input and output")
            return None
        return Price(**found, tiers=tuple(Tier(over, **said) for over, said in sorted(tiers.items())))

    def _count(self, given: dict[str, Any], info: dict[str, Any], name: str, path: str) -> int | None:
        values = [source.pop(name, None) for source in (given, info)]
        value = next((v for v in values if v is not None), None)
        if value is None:
            return None
        try:
            count = int(str(value))
        except ValueError:
            count = 0
        if count < 1:
            self._leave(f"{path}.{name}", value, "a whole number above 0 is needed here")
            return None
        return count

    def _seconds(self, given: dict[str, Any], name: str, path: str) -> timedelta | None:
        value = given.pop(name, None)
        if value is None:
            return None
        amount = _decimal(value)
        if amount is None or not 0 < amount <= 86_400:
            self._leave(f"{path}.litellm_params.{name}", value, "seconds, more than 0 and at most a day")
            return None
        return timedelta(seconds=float(amount))

    def _capabilities(self, info: dict[str, Any]) -> frozenset[Capability] | None:
        said = {name: info.pop(name) for name in _CAPABILITIES if isinstance(info.get(name), bool)}
        if not said:
            return None
        # What the file does not speak of may be there: only what it denies is taken away.
        return frozenset(able for name, able in _CAPABILITIES.items() if said.get(name, True)) | {
            Capability.STREAMING,
            Capability.LOGPROBS,
        }

    def _headers(self, given: dict[str, Any], path: str) -> Mapping[str, str]:
        headers = given.pop("extra_headers", None)
        if headers is None:
            return {}
        kept: dict[str, str] = {}
        for name, value in _map(headers, f"{path}.litellm_params.extra_headers").items():
            if isinstance(value, str) and value.startswith(_ENVIRONMENT):
                self._leave(
                    f"{path}.litellm_params.extra_headers.{name}", value, "headers are not secrets here"
                )
            else:
                kept[str(name)] = str(value)
        return kept

    # ---- groups and aliases --------------------------------------------------------------------------------------
    def _groups_after_groups(self, tree: Mapping[str, Any]) -> tuple[dict[str, list[str]], dict[str, str]]:
        """Which groups follow a group on failure, and which names stand for a group."""
        followers: dict[str, list[str]] = {}
        aliases: dict[str, str] = {}
        for section in ("router_settings", "litellm_settings"):
            settings = _map(tree.get(section) or {}, section)
            for name, value in settings.items():
                path = f"{section}.{name}"
                if name == "fallbacks":
                    for item in _list(value, path):
                        for group, after in _map(item, path).items():
                            followers.setdefault(str(group), []).extend(map(str, _list(after, path)))
                elif name == "default_fallbacks":
                    for group in self.groups:
                        followers.setdefault(group, []).extend(map(str, _list(value, path)))
                elif name == "model_group_alias":
                    for alias, group in _map(value, path).items():
                        target = group.get("model") if isinstance(group, Mapping) else group
                        aliases[str(alias)] = str(target)
                else:
                    self._leave(path, value, _WHY.get(name, "rules and settings of the gateway decide this"))
        return followers, aliases

    def _named(self, followers: Mapping[str, list[str]], aliases: Mapping[str, str]) -> Imported:
        entries: list[Entry] = []
        members: dict[str, tuple[str, ...]] = {}
        listed: dict[str, tuple[str, ...]] = {}
        taken = set(self.groups) | set(aliases)
        for group, deployed in self.groups.items():
            if len(deployed) == 1 and group not in followers:
                entries.append(deployed[0])
                members[group] = (group,)
                continue
            # The name belongs to the group: its deployments get names of their own, and an alias in their order.
            names: list[str] = []
            for entry in deployed:
                name = _free(f"{group}-{len(names) + 1}", taken)
                entries.append(replace(entry, model=replace(entry.model, name=name)))
                names.append(name)
            members[group] = listed[group] = tuple(names)
        for group, after in followers.items():
            if group not in members:
                self._leave(
                    f"fallbacks.{group}", after, f"`{group}` is not among the models that could be read"
                )
                continue
            for other in after:
                if other not in members:
                    self._leave(
                        f"fallbacks.{group}", other, f"`{other}` is not among the models that could be read"
                    )
                    continue
                listed[group] += tuple(n for n in members[other] if n not in listed[group])
        for alias, group in aliases.items():
            if group not in members or alias in self.groups or not _NAME.fullmatch(alias):
                self._leave(f"model_group_alias.{alias}", group, "it stands for nothing that could be read")
                continue
            listed[alias] = listed.get(group, members[group])
        return Imported(tuple(entries), listed, tuple(self.left_out))

    def _leave(self, path: str, value: Any, reason: str) -> None:
        del value  # It may be a secret: the path is enough to find it.
        self.left_out.append(LeftOut(path, reason))


_WHY: Final[Mapping[str, str]] = {
    "context_window_fallbacks": "a model with a larger window is found by the gateway itself: list both under an alias",
    "content_policy_fallbacks": "a refused prompt is not sent to another model unless a rule says so",
    "routing_strategy": "the order of candidates is written as a rule (`rank`, `prefer`, `split`)",
    "num_retries": "inference.fallback.attempts sets it for all, a rule's `fallback` for some",
    "timeout": "inference.deadline sets it for all",
    "request_timeout": "inference.deadline sets it for all",
    "allowed_fails": "the circuit breaker of each model does this",
    "cooldown_time": "the circuit breaker of each model does this",
    "drop_params": "fields that the gateway does not know pass through untouched",
}


def _free(name: str, taken: set[str]) -> str:
    number = 2
    found = name
    while found in taken:
        found = f"{name}-{number}"
        number += 1
    taken.add(found)
    return found


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def _map(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"`{path}` must be a mapping.", param=path)
    return value


def _list(value: Any, path: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise InvalidRequest(f"`{path}` must be a list.", param=path)
    return value
