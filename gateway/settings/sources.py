"""Where pydantic-settings takes values from: HOCON files, and variables that name a key."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from gateway.settings.hocon import Document
from gateway.settings.problems import Place, Problem

PREFIX: Final = "GATEWAY__"
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variables:
    """What the environment says about keys, by `GATEWAY__API__PORT`."""

    tree: dict[str, Any] = field(default_factory=dict[str, Any])
    places: dict[Key, Place] = field(default_factory=dict[Key, Place])
    problems: list[Problem] = field(default_factory=list[Problem])


@dataclass(frozen=True, slots=True)
class Given:
    """All that one `load` has read."""

    document: Document
    variables: Variables


_given: ContextVar[Given | None] = ContextVar("given", default=None)


@contextmanager
def reading(given: Given) -> Generator[None]:
    """Let the settings that are built meanwhile take their values from `given`."""
    token = _given.set(given)
    try:
        yield
    finally:
        _given.reset(token)


class _Source(PydanticBaseSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value of one top-level key."""
        del field
        return self().get(field_name), field_name, False


class HoconSource(_Source):
    """The values of the files."""

    def __call__(self) -> dict[str, Any]:
        """Return the files' whole tree, unknown keys included: they are refused with all other mistakes."""
        given = _given.get()
        return given.document.tree if given else {}


class VariablesSource(_Source):
    """The values of the variables."""

    def __call__(self) -> dict[str, Any]:
        """Return the tree that the variables spell."""
        given = _given.get()
        return given.variables.tree if given else {}


def known_keys(model: type[BaseModel], above: Key = ()) -> dict[Key, FieldInfo]:
    """Return every key of a section and of those in it, in the order of their classes."""
    keys: dict[Key, FieldInfo] = {}
    for name, info in model.model_fields.items():
        keys[(*above, name)] = info
        if section := section_of(info):
            keys |= known_keys(section, (*above, name))
    return keys


def section_of(info: FieldInfo) -> type[BaseModel] | None:
    """Return the class of a key that is a section."""
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def read_variables(environ: Mapping[str, str], model: type[BaseModel]) -> Variables:
    """Return what `GATEWAY__SECTION__KEY` variables say, in any case; an id in a map of keys is lower case."""
    keys = known_keys(model)
    found = Variables()
    for name, value in sorted(environ.items()):
        if not name.upper().startswith(PREFIX):
            continue
        place = Place(None, variable=name)
        key = tuple(name[len(PREFIX) :].lower().split("__"))
        info = keys.get(key)
        if info is not None and section_of(info):
            text = (
                f"expected one of its keys, such as {variable_of((*key, *_first_key(info)))}, got the section"
            )
            found.problems.append(Problem(place, "", text))
        elif info is not None or _is_entry(key, keys):
            _put(found.tree, key, value)
            found.places[key] = place
        else:
            nearest = get_close_matches(name.upper(), [variable_of(each) for each in keys], 1, 0.5)
            found.problems.append(Problem(place, "", "names no known key", nearest[0] if nearest else None))
    return found


def variable_of(key: Key) -> str:
    """Return the variable that sets a key."""
    return PREFIX + "__".join(key).upper()


def _first_key(info: FieldInfo) -> Key:
    section = section_of(info)
    return tuple(section.model_fields)[:1] if section else ()


def _is_entry(key: Key, keys: Mapping[Key, FieldInfo]) -> bool:
    """Say whether a key is an entry of a map, such as one key of the ring."""
    info = keys.get(key[:-1])
    return info is not None and bool(key[-1]) and getattr(info.annotation, "__origin__", None) is Mapping


def _put(tree: dict[str, Any], key: Key, value: str) -> None:
    for part in key[:-1]:
        inner = tree.setdefault(part, {})
        if not isinstance(inner, dict):
            # Both the whole map and one entry are given: the entry, being the nearer one, is kept.
            inner = tree[part] = {}
        tree = inner
    tree[key[-1]] = value
