"""Rule texts with mistakes: each is told with its line, rule and key, and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.rules.load import load_rules, rules_of
from gateway.settings import SettingsError, read_text

WHERE = 'draft:2: rule "x": '


def told(text):
    with pytest.raises(SettingsError) as refused:
        loaded(text)
    return str(refused.value)


def loaded(text):
    document = read_text(text, "draft")
    return rules_of(document.tree, document.place)


# What a person wrote as the second line of a rule `x`, and what they are told.
MISTAKES = {
    # ---- units
    "drop { latency { p95_over = 8 } }": "latency.p95_over needs a duration such as 8s; got 8",
    "drop { latency { p95_over = 8 parsecs } }": "latency.p95_over needs a duration such as 8s; got 8 parsecs",
    "drop { latency { p95_over = 0s } }": "latency.p95_over needs a duration such as 8s; got 0s",
    "drop { error_rate { over = 0.25 } }": "error_rate.over needs a share such as 25%; got 0.25",
    "drop { error_rate { over = 25 } }": "error_rate.over needs a share such as 25%; got 25",
    "throttle { rate = 10 }": "throttle.rate needs a rate such as 10/s or 600/m; got 10",
    "throttle { rate = 10/fortnight }": "throttle.rate needs a rate such as 10/s or 600/m; got 10/fortnight",
    "throttle { rate = 0/s }": "throttle.rate needs a rate such as 10/s or 600/m; got 0/s",
    "keep { price { output_usd_per_mtok_under = cheap } }": (
        "price.output_usd_per_mtok_under needs US dollars such as 1.00; got cheap"
    ),
    "keep { price { output_usd_per_mtok_under = -1 } }": (
        "price.output_usd_per_mtok_under needs US dollars such as 1.00; got -1"
    ),
    "keep { context_window { over = 32kB } }": (
        "context_window.over needs a number of tokens such as 32k or 500; got 32kB"
    ),
    "when { request.size { over = 1000 } }, refuse = no": (
        "when.request.size.over needs a size such as 512B, 64KiB or 1MiB; got 1000"
    ),
    "drop { error_rate { over = 25%, window = 2m } }": (
        "error_rate.window needs one of the windows 10s, 1m, 5m or 1h; got 2m"
    ),
    "keep { quality { over = 7 } }": "quality.over needs a score from 0 to 1 such as 0.7; got 7",
    'set { cost_limit_usd = "a lot" }': "set.cost_limit_usd needs US dollars such as 1.00; got a lot",
    # ---- words
    "dorp { name = a }": (
        "dorp is not known here; known are drop, keep, name, on_unknown, prefer, rank, refuse, set, split, throttle, "
        "when, when_unknown. Did you mean drop?"
    ),
    "drop { latncy { p95_over = 8s } }": "Did you mean latency?",
    "drop { latency { p95_ovr = 8s } }": "Did you mean p95_over?",
    "drop { latency { p96_over = 8s } }": "latency.p96_over is not known here",
    "when { request.tgas { a = b } }, refuse = no": "Did you mean tags?",
    "when { requst.tags { a = b } }, refuse = no": "Did you mean request?",
    "keep { capability = toolz }": (
        "capability needs tools, parallel_tools, vision, audio, structured_output, reasoning, streaming or logprobs, "
        "or a list of such; got toolz. Did you mean tools?"
    ),
    "keep { kind = chatt }": "Did you mean chat?",
    "keep { availability { breaker = half-open } }": "Did you mean half_open?",
    "throttle { rate = 1/s, per = user }": "throttle.per needs caller, model or gateway; got user",
    "throttle { rate = 1/s, then = queued }": "throttle.then needs queue or reject; got queued. Did you mean queue?",
    "set { durability = start_first }": "Did you mean start-first?",
    "split { a = 1, sticky_by = user }": "split.sticky_by needs request, caller or conversation; got user",
    "when { request.mode = streaming }, refuse = no": "Did you mean stream?",
    "when { caller.kind = agents }, refuse = no": "Did you mean agent?",
    "rank { price = 1 }": "rank.price is not known here",
    "keep { name = a }, on_unknown = ignore": "on_unknown needs keep or drop; got ignore",
    # ---- shape
    "keep = on-prem": "keep needs an object { … }; got on-prem",
    "keep {}": "keep needs something such as tagged { location = on-prem }; got an empty object",
    "keep { tagged {} }": "tagged needs tags such as",
    "keep { tagged = [a, b] }": "tagged needs tags such as { location = on-prem, preview = false }",
    "keep { tagged { version = 1.10 } }": "tagged needs quotes round the value of version; got 1.1",
    "keep { any = size }": "any needs a list of predicates; got size",
    "keep { any = [] }": "any needs a list of predicates; got an empty one",
    "keep { any = [size] }": "any.0 needs an object { … }; got size",
    "drop { latency { window = 5m } }": "latency needs a bound such as p50_over; got none",
    "drop { name = a }, keep { name = b }": (
        "needs one action of keep, drop, prefer, rank, refuse, set, split, throttle; got keep and drop"
    ),
    "when { request.model = a }": "needs one action of",
    "refuse {}": "refuse.message is missing: it needs a text in quotes",
    "refuse = 5": "refuse needs an object { … }; got 5",
    "rank {}": "rank needs a weight above zero such as cost = 0.4; got none",
    "rank { cost = 0 }": "rank needs a weight above zero; got zeros alone",
    "rank { cost = -1 }": "rank.cost needs a number such as 0.4; got -1",
    "split { sticky_by = caller }": "split needs shares of models",
    "split { a = half }": "split.a needs a number such as 0.4; got half",
    "throttle { burst = 5 }": "throttle needs a rate such as rate = 10/s; got none",
    "throttle { rate = 1/s, tokens = 1k/m }": "throttle needs rate or tokens, one of the two; got both",
    "prefer { size = small }, on_unknown = drop": "on_unknown goes with keep and drop alone; prefer takes nobody out",
    "refuse = no, when_unknown = apply": "when_unknown goes with when; there is none",
    "when {}, refuse = no": "when needs something such as request.tags { data = confidential }",
    "when { request.input_tokens {} }, refuse = no": (
        "when.request.input_tokens needs over or under with a number of tokens such as 32k or 500; got neither"
    ),
    "when { caller.use { window = 1m } }, refuse = no": "when.caller.use needs a bound such as requests_over; got none",
    # ---- clock
    "when { schedule { days = [monday] } }, refuse = no": (
        "when.schedule.days needs a day such as mon or a range such as mon-fri, or a list of such; got monday. "
        "Did you mean mon?"
    ),
    'when { schedule { from = "8 am" } }, refuse = no': 'when.schedule.from needs a time in quotes such as "08:00"',
    'when { schedule { from = "08:00", to = "24:01" } }, refuse = no': "when.schedule.to needs a time in quotes",
    'when { schedule { from = "08:00", to = "08:00" } }, refuse = no': "needs another time than from; got 08:00",
    "when { schedule { days = mon, zone = Bratislava } }, refuse = no": (
        'when.schedule.zone needs a time zone such as "Europe/Bratislava" or "UTC"; got Bratislava'
    ),
    # ---- expressions
    'drop { expr = "model.nam == 1" }': (
        "expr needs an expression that answers true or false: there is no model.nam. Did you mean model.name?"
    ),
    'drop { expr = "model.name" }': "this answers a text",
    "when { expr = \"model.name == 'a'\" }, refuse = no": "in a condition, which is about the request",
    'drop { expr = """model.live["1m"].p95_ms < 5000""" }': "write the number with a point, such as 5000.0",
    'drop { expr = """model.live["2m"].p95_ms < 5.0""" }': "has the windows 10s, 1m, 5m, 1h",
    'drop { expr = """model.live["1m"].p95 < 5.0""" }': "Did you mean p95_ms?",
    'drop { expr = "1 +" }': "Syntax error",
    "drop { expr = 5 }": "expr needs a text in quotes; got 5",
}


@pytest.mark.parametrize(("text", "said"), MISTAKES.items(), ids=list(MISTAKES))
def test_a_mistake_is_told_with_its_place_and_what_would_be_right(text, said):
    found = told(f'rules = [{{ name = "x"\n{text} }}]')
    assert said in found
    assert found.startswith((WHERE, 'draft:1: rule "x": '))


ELSEWHERE = {
    "ruls = []": "ruls is not known here; known are facts, fallback, hedge, rules, shadow. Did you mean rules?",
    "rules = 5": "draft:1: rules needs a list of rules [ { name = … } ]; got 5",
    "rules = [{ refuse = no }]": 'draft:1: rule "number 1": name is missing',
    "rules = [\n{ name = a, refuse = no }\n{ name = a, refuse = no }]": (
        'draft:3: rule "a": name needs to be a name of its own; a stands twice'
    ),
    "rules = [\n{ name = a, rank { cost = 1 } }\n{ name = b, rank { quality = 1 } }]": (
        'draft:3: rule "b": rank would always take the place of a, since the last rank counts'
    ),
    "fallback { attempts = 0 }": "draft:1: fallback.attempts needs a number of attempts from 1 to 20; got 0",
    "fallback { deadline = 60 }": "draft:1: fallback.deadline needs a duration such as 8s; got 60",
    "fallback { backoff { factor = 0.5 } }": "fallback.backoff.factor needs a factor from 1 to 10 such as 2; got 0.5",
    "fallback { durability = overlapped }": "fallback.durability is not known here",
    "fallback {}": "fallback needs something such as attempts = 3; got an empty object",
    "hedge { max_extra = 1 }": "hedge.after is missing: it needs p95 or a duration such as 2s",
    "hedge { after = p99 }": "hedge.after needs p95 or a duration such as 2s; got p99",
    "hedge { after = p95, max_extra = 9 }": "hedge.max_extra needs a number of extra attempts from 1 to 3; got 9",
    "shadow { model = m }": "shadow.share is missing",
    "shadow { model = m, share = 200% }": "shadow.share needs a share above 0% and at most 100% such as 2%; got 200%",
    'shadow { model = "gpt-*", share = 1% }': "shadow.model needs the name of one model; got gpt-*",
    "facts { max_age = 10 }": "facts.max_age needs a duration such as 8s; got 10",
}


@pytest.mark.parametrize(("text", "said"), ELSEWHERE.items(), ids=list(ELSEWHERE))
def test_a_mistake_outside_of_a_rule_is_told_too(text, said):
    assert said in told(text)


def test_all_mistakes_are_told_at_once_each_on_its_line():
    rules = ('{ name = "a"\n drop { latency { p95_over = 8 } } }', '{ name = "b"\n kep { size = small } }')
    text = "rules = [\n" + "\n".join(rules) + "\n]"
    first, second = told(text).splitlines()
    assert first == 'draft:3: rule "a": latency.p95_over needs a duration such as 8s; got 8'
    assert second.startswith('draft:5: rule "b": kep is not known here')
    assert second.endswith("Did you mean keep?")


def test_a_mistake_in_a_file_is_told_with_the_file_that_has_it(tmp_path: Path):
    main = tmp_path / "rules.conf"
    (tmp_path / "more.conf").write_text('rules = [{ name = "sick"\n drop { error_rate { over = 5 } } }]')
    main.write_text('include "more.conf"\n')
    with pytest.raises(SettingsError) as refused:
        load_rules(main)
    assert str(refused.value) == (
        f'{tmp_path / "more.conf"}:2: rule "sick": error_rate.over needs a share such as 25%; got 5'
    )


def test_what_is_right_is_read_without_a_word():
    assert [rule.name for rule in loaded('rules = [{ name = "x", keep { size = small } }]').rules] == ["x"]
    assert loaded("").rules == ()
    assert loaded("rules = []").rules == ()
