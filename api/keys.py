"""`python -m api keys …`: makes, lists and revokes callers' keys. A key is shown once, when it is made."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from gateway.domain.delivery import own_subjects, wrong_pattern
from gateway.domain.errors import StorageUnavailable
from gateway.domain.identity import AGENT_RIGHTS, ALL_RIGHTS, Budget, Caller, CallerKind, Key, Period, Right
from gateway.domain.secret import Secret
from gateway.domain.tags import parse_tags
from gateway.domain.units import parse_duration
from gateway.identity import digest_of, new_key
from gateway.ids import new_id
from gateway.settings import SettingsError, load
from gateway.storage.catalogue import open_store
from gateway.storage.ports import Keys

T = TypeVar("T")

ADMIN = "admin"
NONE = "none"
_BUDGET = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*/\s*(day|month)")

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command()
def create(  # noqa: PLR0913, PLR0917  typer makes an option of each
    caller: Annotated[
        str, typer.Option(help="The caller's name; a new one is made if there is none of this name.")
    ],
    kind: Annotated[
        CallerKind | None, typer.Option(help="What a new caller is; an agent, unless said.")
    ] = None,
    right: Annotated[
        list[Right] | None, typer.Option(help="What a new caller may do (repeat it); infer, unless said.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model or alias it may use (repeat it); every one, unless said."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="How long the key is valid, such as 90d; for ever, unless said.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="A tag of a new caller, for rules, such as team=search (repeat it)."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="What a new caller may spend in USD, such as 10/day or 250/month.")
    ] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(
            help="Subjects of NATS that a new caller's jobs may be published to, beside agents.{caller}.>, such as"
            " results.search.> (repeat it)."
        ),
    ] = None,
    note: Annotated[str, typer.Option(help="What the key is for.")] = "",
) -> None:
    """Make a key and print it, alone, on the standard output: it cannot be shown again."""
    now = datetime.now(UTC)
    expires_at = None if expires is None else now + _lifetime(expires)
    wanted = Caller(
        id=new_id(),
        name=caller,
        kind=kind or CallerKind.AGENT,
        rights=frozenset(right) if right else AGENT_RIGHTS,
        models=frozenset(model) if model else None,
        tags=_tags(tag),
        budget=_budget(budget),
        subjects=_subjects(subject),
    )

    async def make(keys: Keys) -> tuple[Secret, Key, Caller]:
        kept = await keys.add_caller(wanted)
        _refuse_changes(kept, wanted, kind=kind, rights=right, models=model)
        secret, key = new_key(kept.id, now, expires_at=expires_at, note=note)
        await keys.add_key(key)
        return secret, key, kept

    secret, key, kept = _run(make)
    sys.stderr.write(
        f"key {key.id} of {kept.kind.value} {kept.name}; rights: {_rights(kept)}; models: {_models(kept)}; "
        f"tags: {_told(kept.tags)}; budget: {_limit(kept.budget)}; subjects: {_also(kept)}; "
        f"expires: {_day(key.expires_at, 'never')}\n"
    )
    sys.stdout.write(f"{secret.reveal()}\n")


@app.command(name="list")
def list_() -> None:
    """Print all keys, oldest first, each by its last four characters."""

    async def look(keys: Keys) -> tuple[tuple[Caller, Key], ...]:
        return await keys.keys()

    now = datetime.now(UTC)
    table = Table(
        "key",
        "caller",
        "kind",
        "rights",
        "models",
        "tags",
        "budget",
        "subjects",
        "ends in",
        "created",
        "state",
        "note",
        box=None,
    )
    for caller, key in _run(look):
        table.add_row(
            key.id,
            caller.name,
            caller.kind.value,
            _rights(caller),
            _models(caller),
            _told(caller.tags),
            _limit(caller.budget),
            ", ".join(caller.subjects),
            key.last_four,
            _day(key.created_at),
            _state(key, now),
            key.note,
        )
    # In a pipe a line is a key, however long it is.
    Console(width=None if sys.stdout.isatty() else 1000, soft_wrap=False).print(table)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The key's id, as `list` shows it.")]) -> None:
    """End a key: every replica refuses it within seconds."""

    async def end(keys: Keys) -> bool:
        return await keys.revoke_key(key_id, datetime.now(UTC))

    if not _run(end):
        _give_up("There is no valid key of this id.")
    sys.stderr.write(f"key {key_id} is revoked\n")


@app.command(name="set")
def set_(
    caller: Annotated[str, typer.Argument(help="The caller's name.")],
    tag: Annotated[
        list[str] | None,
        typer.Option(
            help="A tag, such as team=search (repeat it): these instead of its own; `none` for none."
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="What it may spend in USD, such as 10/day or 250/month; `none` for any."),
    ] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(
            help="Subjects of NATS that its jobs may be published to, beside agents.{caller}.> (repeat it);"
            " `none` for no others."
        ),
    ] = None,
) -> None:
    """Change a caller's tags, its budget or its subjects: every replica knows within seconds."""
    tags = None if tag is None else {} if tag == [NONE] else _tags(tag)
    limit = None if budget in (None, NONE) else _budget(budget)
    subjects = None if subject is None else () if subject == [NONE] else _subjects(subject)

    async def change(keys: Keys) -> bool:
        known = tags is None or await keys.set_tags(caller, tags)
        known = known and (budget is None or await keys.set_budget(caller, limit))
        return known and (subjects is None or await keys.set_subjects(caller, subjects))

    if tag is None and budget is None and subjects is None:
        raise typer.BadParameter("say --tag, --budget, --subject or several of them")
    if not _run(change):
        _give_up(f"There is no caller {caller}.")
    said = [
        *([] if tags is None else [f"tags: {_told(tags)}"]),
        *([] if budget is None else [f"budget: {_limit(limit)}"]),
        *([] if subjects is None else [f"subjects: {', '.join(subjects) or 'its own'}"]),
    ]
    sys.stderr.write(f"caller {caller}; {'; '.join(said)}\n")


@app.command()
def bootstrap(
    file: Annotated[Path, typer.Option(help="Where the key is written, for its owner's eyes only.")],
) -> None:
    """See to it that the file holds a valid key of the caller `admin`, who may do everything; safe to do again."""

    async def ensure(keys: Keys) -> bool:
        now = datetime.now(UTC)
        digest = digest_of(file.read_text(encoding="utf-8").strip()) if file.is_file() else None
        holder = None if digest is None else await keys.caller(digest, now)
        if holder is not None and holder.name == ADMIN:
            if holder.rights != ALL_RIGHTS:
                await keys.set_rights(ADMIN, ALL_RIGHTS)  # a newer version knows more of them
            return False
        admin = await keys.add_caller(
            Caller(id=new_id(), name=ADMIN, kind=CallerKind.PERSON, rights=ALL_RIGHTS, models=None)
        )
        if admin.rights != ALL_RIGHTS:
            await keys.set_rights(ADMIN, ALL_RIGHTS)
        secret, key = new_key(admin.id, now, note="bootstrap")
        await keys.add_key(key)
        # Last: a key that was kept and not written opens nothing, since nobody knows it.
        _write(file, secret)
        return True

    made = _run(ensure)
    sys.stderr.write(f"{file} {'holds a new' if made else 'holds a valid'} key of {ADMIN}\n")


def _run(work: Callable[[Keys], Awaitable[T]]) -> T:
    async def with_store() -> T:
        store = await open_store(load())
        try:
            return await work(store.keys)
        finally:
            await store.close()

    try:
        return asyncio.run(with_store())
    except StorageUnavailable as error:
        _give_up(f"{error.message}\n{error.detail or ''}".strip())
    except (SettingsError, ValueError, OSError) as error:
        _give_up(str(error))


def _refuse_changes(
    kept: Caller,
    wanted: Caller,
    *,
    kind: CallerKind | None,
    rights: list[Right] | None,
    models: list[str] | None,
) -> None:
    """Give up when a caller that is kept differs from what was asked for: a key is no way to change a caller."""
    differ = [
        said
        for given, same, said in (
            (kind, kept.kind is kind, f"its kind is {kept.kind.value}"),
            (rights, kept.rights == frozenset(rights or ()), f"its rights are {_rights(kept)}"),
            (models, kept.models == frozenset(models or ()), f"its models are {_models(kept)}"),
            (wanted.tags, kept.tags == wanted.tags, f"its tags are {_told(kept.tags)}"),
            (wanted.budget, kept.budget == wanted.budget, f"its budget is {_limit(kept.budget)}"),
            (wanted.subjects, kept.subjects == wanted.subjects, f"its subjects are {_also(kept)}"),
        )
        if given and not same
    ]
    if differ:
        _give_up(
            f"There is a caller {kept.name} already, and {', '.join(differ)}."
            " Its tags, its budget and its subjects are changed by `keys set`."
        )


def _write(file: Path, secret: Secret) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # A temporary file is made readable by its owner alone, and a rename replaces the old one whole or not at all.
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as new:
            new.write(f"{secret.reveal()}\n")
            new.flush()
            os.fsync(new.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _lifetime(text: str) -> timedelta:
    try:
        lifetime = parse_duration(text)
    except ValueError:
        lifetime = timedelta(0)
    if not lifetime:
        raise typer.BadParameter("expected a duration such as 12h or 90d", param_hint="--expires")
    return lifetime


def _tags(given: Iterable[str] | None) -> dict[str, str]:
    try:
        terms = [term for text in given or () for term in parse_tags(text).terms]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--tag") from None
    if any(term.absent or len(term.values) > 1 for term in terms):
        raise typer.BadParameter("expected a tag such as team=search or beta", param_hint="--tag")
    return {term.name: term.values[0] if term.values else "" for term in terms}


def _budget(given: str | None) -> Budget | None:
    if given is None:
        return None
    match = _BUDGET.fullmatch(given.strip())
    if match is None:
        raise typer.BadParameter(
            "expected USD a day or a month, such as 10/day or 250/month", param_hint="--budget"
        )
    return Budget(Decimal(match[1]), Period(match[2]))


def _subjects(given: Iterable[str] | None) -> tuple[str, ...]:
    patterns = tuple(sorted(set(given or ())))
    for pattern in patterns:
        wrong = wrong_pattern(pattern)
        if wrong is not None:
            raise typer.BadParameter(
                f"expected a subject such as results.search.>: {wrong}", param_hint="--subject"
            )
    return patterns


def _also(caller: Caller) -> str:
    return ", ".join((own_subjects(caller.name, caller.id), *caller.subjects))


def _told(tags: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" if value else name for name, value in sorted(tags.items())) or "none"


def _limit(budget: Budget | None) -> str:
    return "none" if budget is None else f"{budget.usd:f}/{budget.period.value}"


def _state(key: Key, now: datetime) -> str:
    if key.revoked_at is not None and key.revoked_at <= now:
        return f"revoked {_day(key.revoked_at)}"
    if key.expires_at is not None and key.expires_at <= now:
        return f"expired {_day(key.expires_at)}"
    return f"valid until {_day(key.expires_at)}" if key.expires_at else "valid"


def _rights(caller: Caller) -> str:
    return "all" if caller.rights == ALL_RIGHTS else ", ".join(sorted(caller.rights)) or "none"


def _models(caller: Caller) -> str:
    return "all" if caller.models is None else ", ".join(sorted(caller.models))


def _day(moment: datetime | None, otherwise: str = "") -> str:
    return otherwise if moment is None else f"{moment:%Y-%m-%d}"


def _give_up(why: str) -> NoReturn:
    sys.stderr.write(f"{why}\n")
    raise typer.Exit(1)
