"""Files and environment → `Settings`, or a `SettingsError` that names every mistake at once."""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.domain.secret import MASK, Secret
from gateway.domain.units import format_duration
from gateway.settings.hocon import Document, read_document
from gateway.settings.model import Settings
from gateway.settings.problems import Place, Problem, SettingsError
from gateway.settings.sources import Given, Key, known_keys, read_variables, reading
from gateway.settings.values import masked

ROOT: Final = Path(__file__).resolve().parents[2]
CONFIG: Final = ROOT / "config"
_KEYS: Final[Mapping[Key, FieldInfo]] = known_keys(Settings)


def default_path(environ: Mapping[str, str]) -> Path:
    """Return the file that `GATEWAY_CONFIG` names, else `config/local.conf`, else `config/reference.conf`."""
    if named := environ.get("GATEWAY_CONFIG"):
        return Path(named)
    local = CONFIG / "local.conf"
    return local if local.is_file() else CONFIG / "reference.conf"


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of a file, changed by what the environment says. Raises `SettingsError`."""
    environ = os.environ if environ is None else environ
    document = read_document(path or default_path(environ), environ)
    variables = read_variables(environ, Settings)
    problems = list(variables.problems)
    settings: Settings | None = None
    places = _Places(document, variables.places)
    try:
        with reading(Given(document, variables)):
            settings = Settings()
    except ValidationError as error:
        problems += [_problem(each, places) for each in error.errors(include_url=False)]
    if settings is not None:
        problems += _unfit(settings, places)
    if settings is None or problems:
        raise SettingsError(
            sorted(problems, key=lambda each: (str(each.place.file or ""), each.place.line or 0))
        )
    return _anchored(settings, places)


class _Places:
    """Where each key was set last: by a variable, else in a file."""

    def __init__(self, document: Document, variables: Mapping[Key, Place]) -> None:
        self.document, self.variables = document, variables

    def __getitem__(self, key: Key) -> Place:
        return self.variables.get(key) or self.document.place(key)


def _unfit(settings: Settings, places: _Places) -> list[Problem]:
    """Return what each value alone allows and the whole does not."""
    encryption = settings.temporal.encryption
    if encryption.required and not encryption.active:
        key = ("temporal", "encryption", "active")
        text = (
            "expected the id of a key in temporal.encryption.keys, got none: set both (GATEWAY_ENCRYPTION_ACTIVE and "
            "GATEWAY_ENCRYPTION_KEYS do in our own files), or temporal.encryption.required = false where prompts may "
            "lie in histories as they are"
        )
        return [Problem(places[key], ".".join(key), text)]
    return []


def _anchored(settings: Settings, places: _Places) -> Settings:
    """Return the settings with the paths of seeds made absolute: they count from the file that names them."""

    def anchored(section: str, seed: Path) -> dict[str, Path]:
        place = places[section, "seed"]
        return {"seed": (place.file or places.document.path).resolve().parent / seed}

    return settings.model_copy(
        update={
            "registry": settings.registry.model_copy(update=anchored("registry", settings.registry.seed)),
            "rules": settings.rules.model_copy(update=anchored("rules", settings.rules.seed)),
        }
    )


def _problem(error: ErrorDetails, places: _Places) -> Problem:
    """Return one of pydantic's errors in our words."""
    context: dict[str, Any] = error.get("ctx") or {}
    key: Key = tuple(str(part) for part in error["loc"])
    value: Any = error["input"]
    if error["type"] == "extra_forbidden":
        return Problem(places[key], ".".join(key), "unknown key", _nearest_key(key))
    if "key" in context:
        # The check of a whole section speaks about one key of it.
        key = (*key, str(context["key"]))
        value = _look_up(value, str(context["key"]))
    place = places[key]
    got = MASK if _is_secret(key) else _shown(value)
    if place.variable and place.file:
        got += f" (from the variable {place.variable})"
    choices = context.get("expected") if error["type"] == "literal_error" else None
    nearest = _nearest_choice(choices, value) if choices else None
    return Problem(place, ".".join(key), f"{_expected(error, context)}, got {got}", nearest)


def _expected(error: ErrorDetails, context: Mapping[str, Any]) -> str:
    match error["type"]:
        case "expected":
            text = error["msg"]
        case "literal_error":
            text = "expected one of " + str(context["expected"]).replace("'", '"')
        case "model_type" | "dict_type" | "model_attributes_type":
            text = "expected a section { … }"
        case "greater_than_equal":
            text = f"expected at least {context['ge']}"
        case "less_than_equal":
            text = f"expected at most {context['le']}"
        case "path_type":
            text = 'expected a path, such as "seed/models.conf"'
        case _:
            text = "expected another value: " + error["msg"].lower()
    return text


def _nearest_key(key: Key) -> str | None:
    """Return the known key that was probably meant: one beside it before one elsewhere."""
    beside = {each[-1]: each for each in _KEYS if each[:-1] == key[:-1]}
    if close := get_close_matches(key[-1], beside, 1):
        return ".".join(beside[close[0]])
    same = [".".join(each) for each in _KEYS if each[-1] == key[-1]]
    close = same[:1] or get_close_matches(".".join(key), [".".join(each) for each in _KEYS], 1)
    return close[0] if close else None


def _nearest_choice(choices: str, value: Any) -> str | None:
    words = choices.split("'")[1::2]
    close = get_close_matches(value.lower(), words, 1) if isinstance(value, str) else []
    return f'"{close[0]}"' if close else None


def _is_secret(key: Key) -> bool:
    """Say whether a key's value must not be shown: of an unknown key nothing is shown anyway."""
    rings = (("temporal", "encryption", "keys"), ("credentials", "encryption", "keys"))
    info = _KEYS.get(key)
    return key[:3] in rings or info is None or info.annotation is Secret


def _look_up(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _shown(value: Any) -> str:
    """Return a value as a person wrote it, without passwords and not too long."""
    match value:
        case bool() | int() | float() | None:
            return json.dumps(value)
        case timedelta():
            return format_duration(value)
        case str():
            text = masked(value)
            return json.dumps(text if len(text) <= 60 else text[:59] + "…", ensure_ascii=False)
        case Mapping():
            return "a section"
        case Sequence():
            return "a list"
        case _:
            return MASK if isinstance(value, Secret) else f"a {type(value).__name__}"
