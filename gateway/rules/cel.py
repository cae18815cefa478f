"""Expressions in rules, by CEL (https://cel.dev) in Google's own implementation, over the facts of a decision.

Variables have dotted names of their own (`request.input_tokens`), so that a misspelt one, or a comparison of a number
with a text, is refused when a rule set is loaded. What is not known is left out of the variables: an expression that
needs it is unknown, unless CEL's `&&` and `||` can do without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from cel_expr_python import cel

from gateway.domain.health import Live, Use, Window
from gateway.domain.rules import Basis
from gateway.domain.rules.predicates.load import LOAD
from gateway.domain.rules.predicates.price import REQUEST
from gateway.domain.rules.reading import Unfit, nearest
from gateway.domain.rules.scene import Answer, Scene

LONGEST: Final = 2_000
"""Characters of an expression."""
_LIVE_NAMES: Final = (
    "requests",
    "failed",
    "error_rate",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "first_token_p50_ms",
    "first_token_p95_ms",
    "tokens_per_second",
    "tokens",
    "cost_usd",
)
_USE_NAMES: Final = ("requests", "tokens", "cost_usd")
_WINDOWS: Final = tuple(window.value for window in Window)

_INT, _DOUBLE, _STRING, _TIME = cel.Type.INT, cel.Type.DOUBLE, cel.Type.STRING, cel.Type.TIMESTAMP
_TEXTS, _WORDS = cel.Type.Map(_STRING, _STRING), cel.Type.List(_STRING)
_BY_WINDOW = cel.Type.Map(_STRING, cel.Type.Map(_STRING, _DOUBLE))


@dataclass(frozen=True, slots=True)
class _Variable:
    """A variable: its type, where it is taken from, and whether it changes with what happens."""

    type: cel.Type
    take: Callable[[Scene], Any]
    live: bool = False


@dataclass(frozen=True, slots=True)
class _Column:
    """A variable that has a value for each candidate."""

    type: cel.Type
    take: Callable[[Scene, int], Any]
    live: bool = False
    basis: Basis = Basis.MODELS


_QUIET: Final = Live()


def _budget_used(scene: Scene) -> float | None:
    live = scene.facts.live
    return None if live.as_of is None else live.budget_used.get(scene.facts.caller.id, 0.0)


def _use(scene: Scene) -> dict[str, dict[str, float]] | None:
    if scene.stale is not None:
        return None
    used = scene.facts.live.callers.get(scene.facts.caller.id, {})
    return {window: _told(used.get(Window(window), Use()), _USE_NAMES) for window in _WINDOWS}


def _live(scene: Scene, at: int) -> dict[str, dict[str, float]] | None:
    if scene.stale is not None:
        return None
    health = scene.health[at]
    windows = {} if health is None else health.windows
    return {window.value: _told(windows.get(window, _QUIET), _LIVE_NAMES) for window in Window}


def _text(text: str) -> str:
    """A text that C++ can hold: callers may send halves of characters."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _texts(texts: Mapping[str, str]) -> dict[str, str]:
    return {_text(name): _text(text) for name, text in texts.items()}


def _able(scene: Scene, at: int) -> list[str] | None:
    able = scene.models[at].capabilities
    return None if able is None else sorted(each.value for each in able)


def _told(values: Live | Use, names: tuple[str, ...]) -> dict[str, float]:
    found = {name: getattr(values, name) for name in names}
    return {name: float(value) for name, value in found.items() if value is not None}


def _load(scene: Scene) -> float | None:
    at = scene.facts.gateway
    return at.in_flight / at.max_in_flight if at.max_in_flight else None


def _usd(value: Any) -> float | None:
    return None if value is None else float(value)


_VARIABLES: Final[Mapping[str, _Variable]] = {
    "now": _Variable(_TIME, lambda s: s.facts.observed_at, live=True),
    "request.model": _Variable(_STRING, lambda s: _text(s.facts.asked.model)),
    "request.kind": _Variable(_STRING, lambda s: s.facts.asked.kind.value),
    "request.mode": _Variable(_STRING, lambda s: s.facts.asked.mode.value),
    "request.door": _Variable(_STRING, lambda s: s.facts.asked.door),
    "request.endpoint": _Variable(_STRING, lambda s: s.facts.asked.endpoint),
    "request.tags": _Variable(_TEXTS, lambda s: _texts(s.facts.asked.tags)),
    "request.metadata": _Variable(_TEXTS, lambda s: _texts(s.facts.asked.metadata)),
    "request.input_tokens": _Variable(_INT, lambda s: s.facts.asked.input_tokens),
    "request.max_output": _Variable(_INT, lambda s: s.facts.asked.max_output),
    "request.body_bytes": _Variable(_INT, lambda s: s.facts.asked.body_bytes),
    "request.images": _Variable(_INT, lambda s: s.facts.asked.images),
    "request.needs": _Variable(_WORDS, lambda s: sorted(each.value for each in s.facts.asked.needs)),
    "request.prefer": _Variable(_STRING, lambda s: s.facts.asked.prefer),
    "request.conversation": _Variable(_STRING, lambda s: _text(s.facts.asked.conversation)),
    "caller.id": _Variable(_STRING, lambda s: s.facts.caller.id),
    "caller.name": _Variable(_STRING, lambda s: _text(s.facts.caller.name)),
    "caller.kind": _Variable(_STRING, lambda s: s.facts.caller.kind),
    "caller.tags": _Variable(_TEXTS, lambda s: _texts(s.facts.caller.tags)),
    "caller.budget_used": _Variable(_DOUBLE, _budget_used, live=True),
    "caller.use": _Variable(_BY_WINDOW, _use, live=True),
    "gateway.in_flight": _Variable(_INT, lambda s: s.facts.gateway.in_flight, live=True),
    "gateway.load": _Variable(_DOUBLE, _load, live=True),
}
_COLUMNS: Final[Mapping[str, _Column]] = {
    "model.name": _Column(_STRING, lambda s, i: s.models[i].name),
    "model.provider": _Column(_STRING, lambda s, i: s.models[i].provider),
    "model.kind": _Column(_STRING, lambda s, i: s.models[i].kind.value),
    "model.size": _Column(_STRING, lambda s, i: s.tags[i].get("size")),
    "model.tags": _Column(_TEXTS, lambda s, i: dict(s.tags[i])),
    "model.quality": _Column(_DOUBLE, lambda s, i: s.models[i].quality),
    "model.capabilities": _Column(_WORDS, _able),
    "model.context_window": _Column(_INT, lambda s, i: s.models[i].context_window),
    "model.max_output": _Column(_INT, lambda s, i: s.models[i].max_output),
    "model.price.input_usd_per_mtok": _Column(
        _DOUBLE,
        lambda s, i: None if (price := s.prices[i]) is None else _usd(price.input_usd),
        basis=Basis.PRICES,
    ),
    "model.price.output_usd_per_mtok": _Column(
        _DOUBLE,
        lambda s, i: None if (price := s.prices[i]) is None else _usd(price.output_usd),
        basis=Basis.PRICES,
    ),
    "model.price.request_usd": _Column(_DOUBLE, lambda s, i: _usd(REQUEST.of(s)[i]), basis=Basis.REQUEST),
    "model.live": _Column(_BY_WINDOW, _live, live=True, basis=Basis.WINDOWS),
    "model.in_flight": _Column(
        _INT,
        lambda s, i: None if (health := s.health[i]) is None else health.in_flight,
        live=True,
        basis=Basis.REQUEST,
    ),
    "model.load": _Column(_DOUBLE, lambda s, i: LOAD.of(s)[i], live=True, basis=Basis.REQUEST),
    "model.breaker": _Column(
        _STRING,
        lambda s, i: (
            "closed" if (known := s.facts.live.models.get(s.models[i].name)) is None else known.breaker.value
        ),
        live=True,
        basis=Basis.REQUEST,
    ),
}
NAMES: Final = (*_VARIABLES, *_COLUMNS)
"""Every variable that an expression may ask for."""

_NAME: Final = re.compile(r"\b(?:request|caller|gateway|model)(?:\.[A-Za-z_]\w*)+|\bnow\b")
_WINDOWED: Final = re.compile(r"(model\.live|caller\.use)\s*\[\s*['\"]([^'\"]*)['\"]\s*\](?:\s*\.\s*(\w+))?")
_TEXT: Final = re.compile(
    r"""//[^\n]*|\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'""",
    re.DOTALL,
)
_RAW: Final = re.compile(r"(?<!\w)[rRbB]{1,2}[\"']")
_MACRO: Final = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD: Final = re.compile(r"found no matching overload for '([^']*)' applied to '([^']*)'")
_MISSING: Final = re.compile(r'No value with name "([^"]*)"')
_NO_KEY: Final = re.compile(r"Key not found in map : (.*)")


@dataclass(frozen=True, slots=True)
class CelExpression:
    """A compiled expression; two of the same text are equal."""

    text: str
    program: cel.Expression = field(compare=False, repr=False)
    base: tuple[tuple[str, _Variable], ...] = field(compare=False, repr=False)
    columns: tuple[tuple[str, _Column], ...] = field(compare=False, repr=False)
    live: bool = field(compare=False, default=False)

    @property
    def basis(self) -> Basis:
        """What it asks for; of the request alone, where it asks for that too."""
        if self.base:
            return Basis.REQUEST
        return max((column.basis for _, column in self.columns), default=Basis.MODELS)

    def ask(self, scene: Scene, at: int | None) -> tuple[Answer, str]:
        """Its answer about a candidate, or (None) about the request alone."""
        data: dict[str, Any] = scene.keep(f"cel {self.text}", self._base)
        if at is not None and self.columns:
            data = dict(data)
            for name, column in self.columns:
                value = column.take(scene, at)
                if value is not None:
                    data[name] = value
        try:
            found = self.program.eval(data=data)
        except (RuntimeError, ValueError, TypeError, OverflowError) as error:
            return None, _plain(str(error))
        answer = found.value()
        if answer is True or answer is False:
            return answer, ""
        problem = _plain(str(answer))
        if self.live and scene.stale is not None:
            problem = f"{problem} ({scene.stale})"
        return None, problem

    def _base(self, scene: Scene) -> dict[str, Any]:
        taken = {name: variable.take(scene) for name, variable in self.base}
        return {name: value for name, value in taken.items() if value is not None}


def compile_cel(text: str, about_model: bool) -> CelExpression:  # noqa: FBT001  the shape of `Compile`
    """Compile and check an expression. Raises Unfit (a ValueError) that says what is wrong with it.

    A comprehension inside another is refused: it could cost a request more time than its model does.
    """
    if len(text) > LONGEST:
        raise Unfit(f"it may have at most {LONGEST} characters, this has {len(text)}")
    code = _TEXT.sub('""', text)
    if _RAW.search(code):
        raise Unfit('texts are written "so", without r or b before them')
    _check_windows(text)
    if _nested(code):
        raise Unfit("all, exists, exists_one, map and filter may not stand inside each other")
    try:
        program = _env(about_model).compile(text)
    except RuntimeError as error:
        raise _unfit(str(error), about_model=about_model) from None
    if program.return_type() != cel.Type.BOOL:
        raise Unfit(f"this answers {_type(program.return_type().name())}")
    names = {
        known
        for used in _NAME.findall(text)
        for known in NAMES
        if used == known or used.startswith(f"{known}.")
    }
    base = tuple((name, variable) for name, variable in _VARIABLES.items() if name in names)
    columns = tuple((name, column) for name, column in _COLUMNS.items() if name in names)
    live = any(variable.live for _, variable in base) or any(column.live for _, column in columns)
    return CelExpression(text, program, base, columns, live)


@cache
def _env(about_model: bool) -> cel.Env:  # noqa: FBT001  one of two
    variables = {name: variable.type for name, variable in _VARIABLES.items()}
    if about_model:
        variables |= {name: column.type for name, column in _COLUMNS.items()}
    return cel.NewEnv(variables=variables)


def _check_windows(text: str) -> None:
    """What is asked of a window by name is a map to CEL, which would find a misspelt name out at run time only."""
    for variable, window, name in _WINDOWED.findall(text):
        if window not in _WINDOWS:
            raise Unfit(
                f'{variable} has the windows {", ".join(_WINDOWS)}, not "{window}"', nearest(window, _WINDOWS)
            )
        names = _LIVE_NAMES if variable == "model.live" else _USE_NAMES
        if name and name not in names:
            raise Unfit(f"{variable} has {', '.join(names)}, not {name}", nearest(name, names))


def _nested(code: str) -> bool:
    opened: list[bool] = []
    macros = {match.end() - 1 for match in _MACRO.finditer(code)}
    for at, char in enumerate(code):
        if char == "(":
            if at in macros and any(opened):
                return True
            opened.append(at in macros)
        elif char == ")" and opened:
            opened.pop()
    return False


def _unfit(said: str, *, about_model: bool) -> Unfit:
    """CEL's complaint in our words: the first of them, since the others often follow from it."""
    if match := _UNDECLARED.search(said):
        name = match[1]
        if name.startswith("model") and not about_model:
            return Unfit(f"there is no {name} in a condition, which is about the request")
        known = NAMES if about_model else tuple(_VARIABLES)
        return Unfit(f"there is no {name}", nearest(name, known))
    if match := _OVERLOAD.search(said):
        hint = ""
        if {"double", "int"} <= {part.strip() for part in match[2].strip("()").split(",")}:
            hint = ": write the number with a point, such as 5000.0, or without one where a whole number is asked"
        return Unfit(f"{match[1].strip('_')} does not go with {match[2]}{hint}")
    if "recursion limit" in said:
        return Unfit("it is nested too deep")
    return Unfit(_plain(said))


def _plain(said: str) -> str:
    """What CEL says, without its own codes and its drawing of the place."""
    if match := _MISSING.search(said):
        return f"{match[1]} is not known"
    first = said.partition("\n")[0]
    if match := _NO_KEY.search(first):
        return f"there is no {match[1]}"
    first = re.sub(r"^(?:[A-Z_]+: )*(?:ERROR: )?(?:<input>:\d+:\d+: )?", "", first)
    return re.sub(r" expecting .*| \[[A-Z_]+\]$", "", first)[:200]


def _type(name: str) -> str:
    return {"STRING": "a text", "INT": "a whole number", "DOUBLE": "a number"}.get(name, f"{name.lower()}")
