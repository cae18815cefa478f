"""`decide(rules, facts)`: which candidates are left, in which order, and why the others are not.

Pure and deterministic: the same rules and facts give the same decision, at the door and in a workflow's history alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from gateway.domain.errors import ContextTooLong, NoModelAvailable, NoModelFits
from gateway.domain.rules import serving
from gateway.domain.rules.actions import rank
from gateway.domain.rules.conditions import Condition
from gateway.domain.rules.course import Course
from gateway.domain.rules.decision import IDLE, Decision, Hedge, Refused, Shadow, Step
from gateway.domain.rules.facts import Facts
from gateway.domain.rules.memory import Memory
from gateway.domain.rules.plan import everything
from gateway.domain.rules.rule import Rule, RuleSet
from gateway.domain.rules.scene import Scene

ORDER = "order of the name"


def decide(
    rules: RuleSet,
    facts: Facts,
    *,
    full: bool = False,
    brief: bool = False,
    memory: Memory | None = None,
) -> Decision:
    """Choose among the candidates; `full` adds what every rule found about every candidate that stayed.

    A `brief` decision leaves out why a rule did not apply, where that hangs on the request alone: whoever knows the
    request and the rules finds it out again. A `memory` of earlier decisions by these rules changes nothing but how
    long it takes.

    What cannot serve goes first, then the rules from top to bottom, then the ranking of what is left; what rules prefer
    stands in front of it, the later rule's before the earlier's.
    """
    scene = Scene(facts, rules.max_age, None if memory is None else memory.of(facts))
    course = Course(scene, rules.terms, full=full)
    course.steps.append(Step(ORDER, f"{facts.asked.model} admits {len(scene.models)}"))
    serving.check(course)
    parts = everything(rules.rules) if memory is None or not brief else memory.plans.brief(scene)
    for number, rule, asks, idle in parts:
        if course.refused is not None or not course.left:
            reason = "refused" if course.refused is not None else "no candidate is left"
            course.steps += [Step(each.name, f"is not reached: {reason}") for each in rules.rules[number:]]
            break
        if rule is None:
            course.steps += idle
        elif not asks or _applies(rule, course, brief=brief):
            _run(rule, course)
    if course.refused is None:
        serving.check_cost(course)
    if not course.left and course.refused is None:
        course.refused = _nobody(course)
    return _decision(rules, course)


def _applies(rule: Rule, course: Course, *, brief: bool) -> bool:
    """Whether the rule's condition holds; where it does not, that is its step."""
    when = rule.when
    if when is None:
        return True
    holds = course.scene.holds(when)
    if holds or (holds is None and rule.unknown_applies):
        return True
    step = rule.idle if brief else None
    course.steps.append(step or Step(rule.name, f"{IDLE}: {course.scene.why(when)}"))
    return False


def _run(rule: Rule, course: Course) -> None:
    count = len(course.left)
    rule.action.act(course, rule.name)
    # A rule may take out by what never changes, at a time of the day that does.
    course.hopeful = course.hopeful or (rule.live and len(course.left) < count)


def _nobody(course: Course) -> Refused:
    """Nothing is left: say which condition took the last candidates, and never which they were."""
    blame = course.blame
    if not blame:
        return Refused(NoModelFits.code, "No model is admitted for this request.")
    if blame == serving.CONTEXT and not course.hopeful:
        text = "The request is longer than the context window of every model that could serve it."
        return Refused(ContextTooLong.code, text, blame)
    if blame == serving.OPERATION and not course.hopeful:
        text = f"No model of this name serves {course.scene.facts.asked.endpoint}."
        return Refused(NoModelFits.code, text, blame)
    checked = blame in serving.CHECKS
    said = f"the check `{blame}`" if checked else f"the rule `{blame}`"
    if course.hopeful:
        text = f"No model can serve this request at the moment: the last candidates were taken out by {said}."
        return Refused(NoModelAvailable.code, text, blame, serving.over_in(course) if checked else None)
    return Refused(
        NoModelFits.code,
        f"No model can serve this request: the last candidates were taken out by {said}.",
        blame,
    )


def _decision(rules: RuleSet, course: Course) -> Decision:
    scene, facts = course.scene, course.scene.facts
    names = scene.names
    if course.refused is not None:
        by = course.refused.rule or ORDER
        left = {names[i]: f"the request was refused by {by}" for i in course.left}
        return Decision(
            (),
            {**course.passed_over, **left},
            rules.version,
            by,
            tuple(course.steps),
            roll=facts.roll,
            refused=course.refused,
            terms=course.terms,
            registry_version=facts.registry_version,
        )
    order, scores = _ranked(course)
    rule = course.head_rule or ORDER
    if course.moves:
        order, rule = _moved(course, order, rule)
    ranked = tuple(map(names.__getitem__, order))
    return Decision(
        ranked,
        course.passed_over,
        rules.version,
        rule,
        tuple(course.steps),
        scores,
        facts.roll,
        throttles=tuple(make(ranked[0]) for make in course.throttles),
        terms=course.terms,
        hedge=_hedge(rules.hedge, rules.hedge_when, scene),
        shadow=_shadow(rules.shadow, rules.shadow_when, scene),
        registry_version=facts.registry_version,
    )


def _ranked(course: Course) -> tuple[list[int], dict[str, float]]:
    """What is left in the order of its scores; equal ones by what the caller prefers, then in the order of the name."""
    scene, left = course.scene, course.left
    wish = scene.facts.asked.prefer
    wished: list[float] = []
    if wish in rank.WISHES:
        wished, effect, parts = rank.WISHES[wish].scores(course)
        if course.ranking is None:
            course.steps.append(_step(scene, left, f"caller prefers {wish}", effect, parts))
    if course.ranking is None:
        scores = wished
    else:
        name, ranking, at = course.ranking
        scores, effect, parts = ranking.scores(course)
        course.steps[at] = _step(scene, left, name, effect, parts)
    if course.ranking is None and wish not in rank.WISHES:
        return left, {}
    places: Iterable[int] = range(len(left))
    if wished:
        places = sorted(places, key=wished.__getitem__, reverse=True)
    places = sorted(
        places, key=scores.__getitem__, reverse=True
    )  # a stable sort: equal ones stay as they stood
    order = [left[place] for place in places]
    if order[0] != left[0]:
        course.head_rule = f"caller prefers {wish}" if course.ranking is None else course.ranking[0]
    names = scene.names
    return order, dict(zip(map(names.__getitem__, left), scores, strict=True))


def _moved(course: Course, order: list[int], rule: str) -> tuple[list[int], str]:
    """The order with what rules prefer in front, and the last of them that put something there."""
    count = len(course.scene.models)
    moves = [move for move in course.moves if 0 < (move.chosen & course.mask).bit_count() < len(order)]
    if not moves:
        return order, rule
    # The last rule's stand in front of all; of two that choose alike, the earlier one changes nothing in the end.
    for chosen in reversed(dict.fromkeys(move.chosen & course.mask for move in reversed(moves))):
        ones = chosen.to_bytes(count, "little")
        order = [i for i in order if ones[i]] + [i for i in order if not ones[i]]
    return order, moves[-1].rule


def _step(scene: Scene, left: list[int], rule: str, effect: str, parts: list[str]) -> Step:
    names = [scene.models[i].name for i in left[: len(parts)]]
    return Step(rule, effect, {}, dict(zip(names, parts, strict=True)))


def _hedge(hedge: Hedge | None, when: Condition | None, scene: Scene) -> Hedge | None:
    return hedge if when is None or when.holds(scene) else None


def _shadow(shadow: Shadow | None, when: Condition | None, scene: Scene) -> Shadow | None:
    """The shadow, if this request is one of its share: drawn from the roll, but not as a split draws."""
    if shadow is None or not (when is None or when.holds(scene)):
        return None
    digest = blake2b(f"shadow\0{scene.facts.roll!r}".encode(), digest_size=8).digest()
    return shadow if int.from_bytes(digest) / 2**64 < shadow.share else None
