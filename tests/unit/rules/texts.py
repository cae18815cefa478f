"""Rule sets of every shape, as the plain values that a text gives, for properties."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from gateway.domain.inference import Kind
from gateway.domain.registry import Capability

type_ = st.sampled_from
WORDS = type_(["a", "b", "on-prem", "gpt-4.1", "x y", "ü", "8s", "true", "10", "null", "-1", "c#", "a//b"])
TAG_VALUES = type_(["a", "b", "on-prem", "gpt-4.1", "8s", "true", "10", "x y"])
TEXTS = st.text(
    st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"], blacklist_characters="\u2028"),
    min_size=1,
    max_size=20,
).filter(lambda text: text.strip() == text)
WINDOW = type_(["10s", "1m", "5m", "1h"])
DURATION = type_(["200ms", "8s", "90s", "2m", "1h", "1d"])
SHARE = type_(["1%", "25%", "12.5%", "100%"])
USD = type_([0, 1, 1.5, "1.00", "0.000001", 12345.67])
COUNT = type_([0, 1, 500, "32k", "1.5M"])


def some(kind: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One, or a list of some."""
    return kind | st.lists(kind, min_size=1, max_size=3, unique=True)


def bounds(
    kind: st.SearchStrategy[Any], *names: str, **others: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    """`NAME_over` and `NAME_under`, at least one."""
    words = [f"{name}_{side}" if name else side for name in names for side in ("over", "under")]

    @st.composite
    def made(draw: st.DrawFn) -> dict[str, Any]:
        chosen = draw(st.lists(type_(words), min_size=1, max_size=3, unique=True))
        found = {word: draw(kind) for word in chosen}
        return found | {name: draw(each) for name, each in others.items() if draw(st.booleans())}

    return made()


TAGS = st.dictionaries(
    type_(["a", "team", "data", "x.y"]), st.booleans() | some(TAG_VALUES), min_size=1, max_size=3
)
LEAST = type_([1, 20])
_LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "tagged": TAGS | st.just("location=on-prem,size=small|medium,!preview"),
    "name": some(WORDS),
    "provider": some(WORDS),
    "size": some(WORDS),
    "kind": some(type_([each.value for each in Kind])),
    "quality": bounds(type_([0, 0.5, 1, "70%"]), ""),
    "capability": some(type_([each.value for each in Capability])),
    "context_window": bounds(COUNT, ""),
    "price": bounds(USD, "input_usd_per_mtok", "output_usd_per_mtok", "request_usd"),
    "latency": bounds(DURATION, "p50", "p95", "p99", "first_token_p95", window=WINDOW, min_requests=LEAST),
    "error_rate": bounds(SHARE, "", window=WINDOW, min_requests=LEAST, code=some(WORDS)),
    "throughput": bounds(type_(["10/s", "600/m", "100k/h"]), "requests", "tokens", window=WINDOW),
    "load": bounds(SHARE, ""),
    "spend": bounds(USD, "usd", window=WINDOW),
    "availability": st.fixed_dictionaries({"breaker": some(type_(["open", "closed", "half_open"]))}),
    "expr": type_(
        [
            'model.tags["size"] != "small" && model.quality > 0.5',
            'model.live["1m"].requests > 50.0',
            "model.in_flight > 1",
            "model.price.output_usd_per_mtok < 2.0",
            "model.price.request_usd < 0.01",
            "request.input_tokens > 1000 && model.quality > 0.2",
        ]
    ),
}


def one_of(choices: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """An object of one word."""
    return st.one_of(*(st.fixed_dictionaries({word: value}) for word, value in choices.items()))


def _composed(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(parts, min_size=1, max_size=2)
    return one_of({"all": several, "any": several, "not": parts})


PREDICATE = st.recursive(one_of(_LEAVES), _composed, max_leaves=4)
CONDITION = st.recursive(
    one_of(
        {
            "request": one_of(
                {
                    "model": some(WORDS),
                    "kind": some(type_([each.value for each in Kind])),
                    "mode": some(type_(["sync", "stream", "job"])),
                    "tags": TAGS,
                    "input_tokens": bounds(COUNT, ""),
                    "size": bounds(type_(["1B", "64KiB", "1MiB"]), ""),
                }
            ),
            "caller": one_of(
                {
                    "name": some(WORDS),
                    "tags": TAGS,
                    "budget_used": bounds(SHARE, ""),
                    "use": bounds(COUNT, "requests", "tokens", window=WINDOW),
                }
            ),
            "gateway": one_of({"load": bounds(SHARE, "")}),
            "schedule": st.fixed_dictionaries(
                {"days": some(type_(["mon", "tue-thu", "fri-mon"])), "from": type_(["08:00", "22:30"])},
                optional={"zone": type_(["UTC", "Europe/Bratislava"])},
            ),
            "expr": st.just('request.tags["a"] == "b"'),
        }
    ),
    _composed,
    max_leaves=3,
)
MODELS = type_(["a", "b", "c", "gpt-4.1", "org/m:8b"])
ACTION = one_of(
    {
        "keep": PREDICATE,
        "drop": PREDICATE,
        "prefer": PREDICATE,
        "rank": st.dictionaries(
            type_(["cost", "latency", "first_token", "speed", "errors", "quality", "load"]),
            type_([0.5, 1, 3]),
            min_size=1,
        ),
        "split": st.dictionaries(MODELS, type_([1, 5.5, 95]), min_size=1).flatmap(
            lambda shares: st.just(shares) | st.just({**shares, "sticky_by": "caller"})
        ),
        "throttle": st.fixed_dictionaries(
            {"rate": type_(["10/s", "600/m"])}, optional={"per": type_(["model", "gateway"]), "burst": LEAST}
        ),
        "refuse": TEXTS,
        "set": st.fixed_dictionaries({"attempts": type_([1, 3])}, optional={"tags": st.just({"team": "x"})}),
    }
)


@st.composite
def _rule(draw: st.DrawFn, number: int) -> dict[str, Any]:
    rule = {"name": f"{number} {draw(TEXTS)}"[:100].strip(), **draw(ACTION)}
    if "rank" in rule or draw(st.booleans()):
        rule["when"] = draw(CONDITION)
        if draw(st.booleans()):
            rule["when_unknown"] = draw(type_(["skip", "apply"]))
    if ("keep" in rule or "drop" in rule) and draw(st.booleans()):
        rule["on_unknown"] = draw(type_(["keep", "drop"]))
    return rule


@st.composite
def rule_sets(draw: st.DrawFn, most: int = 5, actions: tuple[str, ...] = ()) -> dict[str, Any]:
    """A whole rule set; with `actions`, of these alone."""
    count = draw(st.integers(0, most))
    rules = [draw(_rule(number)) for number in range(count)]
    if actions:
        rules = [rule for rule in rules if any(word in rule for word in actions)]
    found: dict[str, Any] = {"rules": rules}
    if draw(st.booleans()):
        found["fallback"] = {
            "attempts": 4,
            "deadline": draw(DURATION),
            "backoff": {"initial": "200ms", "factor": 2},
        }
    if draw(st.booleans()):
        found["hedge"] = {"after": draw(type_(["p95", "2s"])), "when": draw(CONDITION)}
    if draw(st.booleans()):
        found["shadow"] = {"model": draw(MODELS), "share": draw(type_(["2%", "100%"]))}
    return found
