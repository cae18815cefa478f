"""What a request's words admit, and what a decision says of it: from a name, an alias, `auto` or tags to models."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from gateway import decisions
from gateway.domain.errors import ContextTooLong
from gateway.domain.health import LiveFacts
from gateway.domain.inference import Attempt, Failure, Kind, Limits, Mode, Traits
from gateway.domain.operations import Operation
from gateway.domain.prices import Price, PriceBook
from gateway.domain.registry import Capability, ModelState, Registry
from gateway.domain.retries import Now, Route, next_choice
from gateway.domain.rules import Asked, Decision, GatewayLoad, Rule, RuleSet, Terms, parse
from gateway.domain.rules.actions.terms import Set
from gateway.router import Router, asked_of, caller_of
from tests.builders import a_caller, a_failed_attempt, a_model, a_registry, a_request, a_router

AT = datetime(2026, 1, 1, tzinfo=UTC)
HOME = {"location": "on-prem"}
MODELS = a_registry(
    a_model("small", tags=HOME, size="small"),
    a_model("large", tags={"location": "cloud"}, size="large"),
    a_model("early", tags={**HOME, "preview": ""}, size="small"),
    a_model("resting", state=ModelState.DRAINING, tags=HOME),
    a_model("vectors", kind=Kind.EMBEDDING, tags=HOME),
    assistant=("large", "small"),
    idle=("resting",),
)


def decided(model: str, registry: Registry = MODELS, *, may: Any = None, **asked: Any) -> Decision:
    caller = a_caller(models=None if may is None else frozenset(may))
    return a_router(registry).decide(Asked(model=model, **asked), caller, AT, roll=0.5)


def refused(decision: Decision) -> tuple[str, str]:
    assert decision.refused is not None
    assert not decision.ranked
    return decision.refused.code, decision.refused.message


# ---- names ---------------------------------------------------------------------------------------------------------
def test_a_name_admits_its_model_and_an_alias_its_models_in_their_order():
    assert decided("small").ranked == ("small",)
    assert decided("assistant").ranked == ("large", "small")


def test_an_unknown_and_a_forbidden_model_are_refused_with_the_same_words():
    code, words = refused(decided("large", may=["small"]))
    assert (code, words.replace("large", "nobody")) == refused(decided("nobody", may=["small"]))
    assert code == "model_not_found"


def test_a_model_whose_provider_does_not_serve_what_is_asked_is_taken_out_before_the_rules():
    chat = frozenset({Operation.CHAT})
    both = chat | {Operation.RESPONSES}
    models = a_registry(
        a_model("plain", operations=chat),
        a_model("whole", operations=both),
        a_model("unknown"),
        any=("plain", "whole", "unknown"),
    )
    decision = decided("any", models, endpoint="/v1/responses")
    assert decision.ranked == ("whole", "unknown")
    assert decision.passed_over == {"plain": "cannot be asked for /v1/responses"}
    assert decision.steps[1].rule == "operation"
    assert decided("any", models, endpoint="/v1/chat/completions").ranked == ("plain", "whole", "unknown")
    assert refused(decided("plain", models, endpoint="/v1/responses")) == (
        "no_model_fits",
        "No model of this name serves /v1/responses.",
    )


def test_after_a_request_was_too_long_only_a_larger_window_is_tried():
    models = a_registry(
        a_model("short", context_window=1000),
        a_model("same", context_window=1000),
        a_model("long", context_window=4000),
        a_model("unsaid"),
        any=("short", "same", "long", "unsaid"),
    )
    failure = Failure.of(ContextTooLong())
    request = a_request(model="any", candidates=("short", "same", "long", "unsaid"))
    tried = (a_failed_attempt(1, "short", failure=failure),)
    route = a_router(models).route(request, tried, AT)
    assert route.candidates == ("long", "unsaid")
    tried = (
        *tried,
        *(a_failed_attempt(n, name, failure=failure) for n, name in ((2, "long"), (3, "unsaid"))),
    )
    route = a_router(models).route(request, tried, AT)
    assert "same" not in route.candidates
    now = Now(route.candidates, AT)
    assert next_choice(now, tried, Limits(attempts=9), AT + timedelta(minutes=1)) == "no candidate is left"


def test_an_alias_that_is_granted_admits_its_models_without_their_names():
    assert decided("assistant", may=["assistant"]).ranked == ("large", "small")


def test_a_model_that_takes_no_requests_is_not_there_at_the_moment():
    assert refused(decided("resting"))[0] == refused(decided("idle"))[0] == "no_model_available"


def test_a_model_of_another_kind_says_what_it_is_for():
    code, words = refused(decided("vectors"))
    assert (code, words) == ("no_model_fits", "`vectors` is for embedding and cannot be asked for chat.")


def test_a_chat_model_may_be_asked_for_plain_completions_and_an_embedding_model_may_not():
    assert decided("small", kind=Kind.COMPLETION).ranked == ("small",)
    assert decided("auto", kind=Kind.COMPLETION).ranked == ("early", "large", "small")
    assert decided("tags:size=small", kind=Kind.COMPLETION).ranked
    code, words = refused(decided("vectors", kind=Kind.COMPLETION))
    assert (code, words) == (
        "no_model_fits",
        "`vectors` is for embedding and cannot be asked for completion.",
    )


# ---- auto and tags -------------------------------------------------------------------------------------------------
def test_auto_admits_every_model_of_the_kind_that_the_caller_may_use():
    assert decided("auto").ranked == ("early", "large", "small")
    assert decided("auto", may=["small", "vectors", "assistant"]).ranked == ("small",)
    assert decided("auto", kind=Kind.EMBEDDING).ranked == ("vectors",)


def test_auto_that_is_granted_by_name_admits_every_model():
    assert decided("auto", may=["auto"]).ranked == ("early", "large", "small")


def test_auto_for_a_caller_with_no_model_is_refused():
    assert refused(decided("auto", may=["assistant"])) == ("no_model_fits", "No chat model is yours to use.")


def test_a_model_that_is_called_auto_is_that_model():
    assert decided("auto", a_registry(a_model("auto"), a_model("other"))).ranked == ("auto",)


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("location=on-prem", ("early", "small")),
        ("location=on-prem,!preview", ("small",)),
        ("size=small|large,!preview", ("large", "small")),
        ("", ("early", "large", "small")),
    ],
)
def test_tags_admit_the_models_that_have_them(tags: str, found: tuple[str, ...]):
    assert decided(f"tags:{tags}").ranked == found
    assert decided("auto", select=tags).ranked == found
    names = [name for name in MODELS.models if name != "early"]
    assert decided(f"tags:{tags}", may=names).ranked == tuple(name for name in found if name != "early")


def test_a_selection_narrows_an_alias_in_its_own_order():
    assert decided("assistant", select="size=small|large").ranked == ("large", "small")
    assert decided("assistant", select="location=on-prem").ranked == ("small",)


def test_a_selection_that_nothing_fulfils_says_which_term_left_none_and_names_no_model():
    code, words = refused(decided("tags:location=on-prem,size=large"))
    assert code == "no_model_fits"
    assert words == "No model fits: of the 2 with `location=on-prem`, none fulfils `size=large`."
    _, words = refused(decided("assistant", select="gpu"))
    assert words == "No model fits: of the 2 that this request may go to, none fulfils `gpu`."


def test_what_can_be_asked_for_is_listed_with_auto_where_it_admits_anything():
    router = a_router(MODELS)
    assert router.names_for(a_caller()) == ("assistant", "auto", "early", "idle", "large", "small", "vectors")
    assert router.names_for(a_caller(models=frozenset({"assistant"}))) == ("assistant",)
    assert router.names_for(a_caller(models=frozenset({"small"}))) == ("auto", "small")


# ---- cost ----------------------------------------------------------------------------------------------------------
PRICED = a_registry(
    a_model("dear", price=Price(Decimal(100), Decimal(100))),
    a_model("cheap", price=Price(Decimal(1), Decimal(1))),
    a_model("unknown", price=None),
    any=("dear", "cheap", "unknown"),
)


def test_models_that_would_cost_more_than_the_caller_pays_are_passed_over():
    decision = decided("any", PRICED, input_tokens=1000, max_output=1000, max_cost_usd=Decimal("0.1"))
    assert decision.ranked == ("cheap", "unknown")
    assert "dear" in decision.passed_over


def test_a_request_that_is_too_dear_everywhere_is_refused():
    code, words = refused(decided("dear", PRICED, input_tokens=1000, max_cost_usd=Decimal("0.001")))
    assert code == "no_model_fits"
    assert "cost limit" in words


def test_estimates_are_told_of_the_models_whose_price_is_known():
    router, asked = a_router(PRICED), Asked(model="any", input_tokens=1000, max_output=1000)
    decision = router.decide(asked, a_caller(), AT, roll=0.0)
    assert router.estimates(decision, asked, AT) == {"dear": Decimal("0.2"), "cheap": Decimal("0.002")}


# ---- what is decided about an accepted request -----------------------------------------------------------------------
FAILED = (a_failed_attempt(1, "large"),)


def rerouted(attempts: tuple[Attempt, ...] = FAILED, router: Router | None = None, **request: Any) -> Route:
    return (router or a_router(MODELS)).route(a_request(**request), attempts, AT)


def kept(route: Route) -> Decision:
    decision = decisions.read(route.decision)
    assert decision is not None
    return decision


def test_what_failed_is_left_out_while_something_else_is_there():
    route = rerouted(model="assistant")
    assert route.candidates == ("small",)
    assert kept(route).passed_over == {"large": "just failed with upstream_unavailable"}


def test_what_failed_comes_back_when_nothing_else_is_left():
    route = rerouted(model="large")
    assert (route.candidates, route.refused) == (("large",), None)
    said = "may be called again: nothing is left without large (upstream_unavailable)"
    assert kept(route).steps[-1].effect == said


def test_the_dice_of_a_request_are_thrown_once():
    assert kept(rerouted(model="assistant", traits=Traits(roll=0.25))).roll == 0.25


@pytest.mark.parametrize("asked", ["resting", "idle", "auto", "tags:location=on-prem"])
def test_a_model_that_is_being_drained_finishes_what_was_accepted_for_it(asked: str):
    assert "resting" in rerouted((), model=asked, candidates=("resting",)).candidates
    assert "resting" not in rerouted((), model=asked, candidates=("small",)).candidates


def test_a_request_whose_alias_has_gone_keeps_what_it_stood_for():
    route = rerouted((), model="gone", candidates=("large", "left", "resting"))
    assert route.candidates == ("large", "resting")
    route = rerouted((), model="gone", candidates=("left",))
    assert route.refused is not None
    assert (route.candidates, route.refused.code) == ((), "model_not_found")


def test_a_request_is_decided_again_with_its_callers_grants():
    route = rerouted((), model="assistant", traits=Traits(caller_models=("small",)))
    assert route.refused is not None
    assert route.refused.code == "model_not_found"


def test_estimates_go_with_a_route_where_the_cost_is_bounded():
    router = a_router(PRICED)
    assert rerouted((), router, model="any").estimates == {}
    bounded = rerouted((), router, model="any", limits=Limits(cost_usd=Decimal(1)), traits=Traits(10))
    assert set(bounded.estimates) == {"dear", "cheap"}


def test_a_ranking_goes_with_its_request_as_far_as_it_may_be_tried():
    many = a_registry(*(a_model(f"m{number}") for number in range(100)))
    assert len(rerouted((), a_router(many), model="auto").candidates) == 16


def test_a_request_and_its_caller_are_told_to_the_rules_as_they_were():
    traits = Traits(
        input_tokens=5,
        needs=("tools", "vision"),
        conversation="c",
        caller_name="a",
        caller_kind="service",
        caller_tags={"t": "1"},
        caller_models=("x",),
    )
    request = a_request(
        traits=traits, tags={"team": "a"}, metadata={"team": "b", "run": "7"}, mode=Mode.STREAM
    )
    asked = asked_of(request, request.mode, request.traits)
    assert (asked.mode, asked.input_tokens, asked.conversation) == (Mode.STREAM, 5, "c")
    assert asked.needs == {Capability.TOOLS, Capability.VISION}
    assert asked.tags == {"team": "a", "run": "7"}
    caller = caller_of(request)
    assert (caller.name, caller.kind, caller.tags, caller.models) == ("a", "service", {"t": "1"}, {"x"})


# ---- versions ------------------------------------------------------------------------------------------------------
def test_a_request_keeps_its_version_of_the_rules_while_the_process_remembers_it():
    now = [RuleSet("1")]
    router = Router(lambda: MODELS, lambda: now[0], LiveFacts, GatewayLoad)
    request = a_request(model="small", rules_version="1")
    assert router.route(request, (), AT).rules_version == "1"
    now[0] = RuleSet("2")
    assert router.route(request, (), AT).rules_version == "1"
    assert router.decide(Asked(model="small"), a_caller(), AT, roll=0.0).rules_version == "2"
    for version in range(3, 12):
        now[0] = RuleSet(str(version))
        router.decide(Asked(model="small"), a_caller(), AT, roll=0.0)
    route = router.route(request, (), AT)
    assert route.rules_version == "11"
    assert kept(route).steps[0].effect == "decided by version 11: version 1 is not held here any more"


def test_a_jobs_time_and_tries_are_its_settings_unless_a_rule_says_them():
    told = Terms(attempts=4, deadline=timedelta(seconds=9), cost_limit_usd=Decimal(5))
    longer = Rule("nights", Set(Terms(deadline=timedelta(hours=8))))
    for rules, deadline in [((), None), ((longer,), timedelta(hours=8))]:
        router = a_router(MODELS, RuleSet("1", rules, told))
        job = router.decide(Asked(model="small", mode=Mode.JOB), a_caller(), AT, roll=0.0).terms
        assert (job.attempts, job.deadline, job.cost_limit_usd) == (None, deadline, Decimal(5))
        waiting = router.decide(Asked(model="small"), a_caller(), AT, roll=0.0).terms
        assert (waiting.attempts, waiting.deadline) == (4, deadline or timedelta(seconds=9))


def test_a_decision_names_the_state_of_the_registry_and_follows_its_changes():
    now = [MODELS]
    router = Router(lambda: now[0], RuleSet, LiveFacts, GatewayLoad)
    asked = Asked(model="tags:location=on-prem")
    assert router.decide(asked, a_caller(), AT, roll=0.0).registry_version == "test"
    now[0] = replace(a_registry(a_model("new", tags=HOME)), version="next")
    decision = router.decide(asked, a_caller(), AT, roll=0.0)
    assert (decision.registry_version, decision.ranked) == ("next", ("new",))


def test_the_prices_are_those_in_force_at_the_moment_of_each_decision():
    dated = PriceBook(
        {
            "small": tuple(
                Price(Decimal(usd), Decimal(usd), since=AT + timedelta(hours=hours))
                for usd, hours in [(1, 0), (9, 1), (2, 2)]
            )
        }
    )
    registry = replace(MODELS, prices=dated)
    below = {"name": "cheap", "keep": {"price": {"output_usd_per_mtok_under": 3}}}
    now = [registry]
    router = Router(lambda: now[0], lambda: rules, LiveFacts, GatewayLoad)
    rules = parse({"rules": [below]})

    def served(minutes: int) -> bool:
        at = AT + timedelta(minutes=minutes)
        return bool(router.decide(Asked(model="small"), a_caller(), at, roll=0.0).ranked)

    for minutes, cheap in [
        (0, True),
        (59, True),
        (60, False),
        (119, False),
        (120, True),
        (61, False),
        (1, True),
    ]:
        assert served(minutes) is cheap, minutes
    dear = PriceBook({"small": (Price(Decimal(9), Decimal(9)),)})
    now[0] = replace(registry, prices=dear)
    assert not served(1)


def test_who_may_ask_for_less_is_given_less_however_often_others_asked():
    router = a_router(MODELS)
    for may, ranked in [
        (None, ("early", "large", "small")),
        (["small", "large"], ("large", "small")),
        (["small"], ("small",)),
        (None, ("early", "large", "small")),
        (["small", "large"], ("large", "small")),
    ]:
        caller = a_caller(models=None if may is None else frozenset(may))
        for _ in range(2):
            assert router.decide(Asked(model="auto"), caller, AT, roll=0.0).ranked == ranked
        selected = tuple(name for name in ranked if name != "large")
        asked = Asked(model="auto", select="location=on-prem")
        assert router.decide(asked, caller, AT, roll=0.0).ranked == selected
    allowed = router.decide(Asked(model="assistant"), a_caller(), AT, roll=0.0)
    assert allowed.ranked == ("large", "small")
    forbidden = router.decide(Asked(model="assistant"), a_caller(models=frozenset(["small"])), AT, roll=0.0)
    assert refused(forbidden)[0] == "model_not_found"


def test_the_kept_decision_says_why_a_rule_did_not_apply_only_where_it_changes():
    rules = parse(
        {
            "rules": [
                {"name": "tagged", "when": {"request": {"tags": "team"}}, "refuse": "no"},
                {"name": "spent", "when": {"caller": {"budget_used": {"over": "80%"}}}, "refuse": "no"},
            ]
        }
    )
    router = a_router(MODELS, rules, lambda: LiveFacts(AT))
    whole = router.decide(Asked(model="small"), a_caller(), AT, roll=0.0)
    brief = router.decide(Asked(model="small"), a_caller(), AT, roll=0.0, brief=True)
    spent = "does not apply: the caller's budget is 0% spent, not over 80%"
    assert [step.effect for step in whole.steps[1:]] == [
        "does not apply: the request's tags lack team",
        spent,
    ]
    assert [step.effect for step in brief.steps[1:]] == ["does not apply", spent]
    assert decisions.read(decisions.tell(brief)) == brief
