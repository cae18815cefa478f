"""Changes of the registry, as doors and programs make them: checked, credentials sealed, in force when they return.

    kept = await editor.save(model, expected=0, actor=caller.id, credential=Secret("sk-…"))   # create
    kept = await editor.save(replace(kept.model, notes="x"), expected=kept.model.version, actor=caller.id)
    await editor.arrange("assistant", ["a", "b"], actor=caller.id)
    await editor.delete("a", expected=None, actor=caller.id)

Reading is the port's own: `store.models.get`, `find` and `load`, `store.audit.find`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, TypeVar

from gateway.domain.addresses import origin_of, parse_address
from gateway.domain.credentials import Sealed, stored_id
from gateway.domain.errors import (
    InvalidRequest,
    ModelExists,
    UpstreamAuth,
    VersionConflict,
)
from gateway.domain.registry import Model
from gateway.domain.secret import Secret
from gateway.ids import new_id
from gateway.net.guard import Guard
from gateway.providers.credentials import Credentials
from gateway.registry.checks import Checks, Wrong, refused
from gateway.storage.ports import Models, Registered, Save

T = TypeVar("T")
_TRIES: Final = 5


class Credential(Enum):
    """What is to become of a model's credential, where none is given."""

    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Draft:
    """A model to be kept, on the terms of `Editor.save`."""

    model: Model
    credential: Secret | str | Credential | None = Credential.KEEP
    aliases: Sequence[str] | None = None
    expected: int | None = None


class Editor:
    """Makes changes. `in_force` returns once this process decides by what the store has now."""

    def __init__(
        self,
        models: Models,
        checks: Checks,
        credentials: Credentials,
        guard: Guard,
        in_force: Callable[[], Awaitable[None]],
    ) -> None:
        """`in_force` may raise: the change is committed then, and comes into force later."""
        self._models = models
        self._checks = checks
        self._credentials = credentials
        self._guard = guard
        self._in_force = in_force

    async def save(
        self,
        model: Model,
        *,
        credential: Secret | str | Credential | None = Credential.KEEP,
        aliases: Sequence[str] | None = None,
        expected: int | None = None,
        actor: str,
    ) -> Registered:
        """Keep a model, whole; `expected` and `aliases` are those of `Models.save`.

        `credential` is a Secret to be kept encrypted, a reference (`env:NAME`, `file:/path`), None for no credential,
        or KEEP: what the model has already, which is refused when its address leads to another origin, since a
        credential goes to the one that it was given for. `model.credential` and `credential_for` do not matter.

        Raises InvalidRequest, whose `param` is the field and whose message says what would be right, ModelExists and
        VersionConflict.
        """
        draft = Draft(model, credential, aliases, expected)

        async def keep() -> Registered:
            there = await self._models.get(model.name)
            save = await self._ready(draft, there)
            try:
                return await self._models.save(
                    save.model,
                    aliases=save.aliases,
                    expected=save.expected,
                    actor=actor,
                    sealed=save.sealed,
                )
            except ModelExists as error:
                if there is None and expected is None and await self._models.get(model.name) is not None:
                    raise VersionConflict from error  # made by somebody else meanwhile
                raise

        kept = await _until_alone(keep, _TRIES if expected is None else 1)
        await self._settle()
        return kept

    async def apply(
        self,
        drafts: Sequence[Draft] = (),
        *,
        aliases: Mapping[str, Sequence[str]] | None = None,
        delete: Sequence[str] = (),
        actor: str,
    ) -> None:
        """Make many changes, all or none, which come into force together; an alias with no models goes.

        Raises what the single changes raise; in its message InvalidRequest names the model that it is about.
        """
        for alias, models in (aliases or {}).items():
            if models and (wrong := self._checks.alias(alias)):
                raise refused(wrong)

        async def make() -> None:
            there = await self._there(drafts)
            saves: list[Save] = []
            for draft in drafts:
                try:
                    saves.append(await self._ready(draft, there.get(draft.model.name)))
                except InvalidRequest as error:
                    message = f"{draft.model.name}: {error.message}"
                    raise InvalidRequest(message, param=error.param) from error
            try:
                await self._models.apply(saves, aliases=aliases, delete=delete, actor=actor)
            except ModelExists as error:
                now = await self._there(drafts)
                if any(each.expected is None and _is_new(each, there, now) for each in drafts):
                    raise VersionConflict from error  # made by somebody else meanwhile
                raise

        await _until_alone(make, _TRIES)
        await self._settle()

    async def delete(self, name: str, *, expected: int | None = None, actor: str) -> None:
        """Delete a model, its names and its credential. Raises ModelNotFound and VersionConflict."""
        await self._models.delete(name, expected=expected, actor=actor)
        await self._settle()

    async def arrange(self, alias: str, models: Sequence[str], *, actor: str) -> None:
        """Let an alias stand for these models in this order; for none, and it is gone.

        Raises InvalidRequest, also for a model that does not exist, and ModelExists if a model has that name.
        """
        wrong = self._checks.alias(alias) if models else ()
        if wrong:
            raise refused(wrong)
        await self._models.arrange(alias, models, actor=actor)
        await self._settle()

    async def check(self, model: Model, aliases: Sequence[str] = ()) -> None:
        """Raise InvalidRequest, naming every field that is wrong, if a model would not be kept; keep nothing."""
        wrong = self._checks.of(model, aliases)
        if wrong:
            raise refused(wrong)
        if model.base_url:
            why = await self._guard.why_not(parse_address(model.base_url))
            if why is not None:
                raise refused((Wrong(("base_url",), f"a host that may be called ({why})", model.base_url),))

    async def _ready(self, draft: Draft, there: Registered | None) -> Save:
        """What is to be kept: what is there now decides what is kept of it, should nobody come between."""
        model = self._checks.filled(draft.model)
        made, sealed = self._with_credential(model, there, draft.credential)
        await self.check(made, draft.aliases or ())
        expected = draft.expected if draft.expected is not None else _version(there)
        return Save(made, draft.aliases, expected, sealed)

    async def _there(self, drafts: Sequence[Draft]) -> Mapping[str, Registered]:
        if not drafts:
            return {}
        return {model.name: Registered(model) for model in (await self._models.load()).models}

    def _with_credential(
        self, model: Model, there: Registered | None, given: Secret | str | Credential | None
    ) -> tuple[Model, Sealed | None]:
        goes_to = _origin(model.base_url)
        match given:
            case None:
                return replace(model, credential=None, credential_for=""), None
            case Secret():
                sealed = self._sealed(given, goes_to)
                return replace(model, credential=sealed.reference, credential_for=goes_to), sealed
            case str():
                if stored_id(given) is None:
                    return replace(model, credential=given, credential_for=goes_to), None
                if there is None or there.model.credential != given:
                    raise InvalidRequest("This credential is not kept for this model.", param="credential")
                return _keeping(model, there, goes_to), None
            case Credential.KEEP:
                return _keeping(model, there, goes_to), None

    def _sealed(self, secret: Secret, goes_to: str) -> Sealed:
        if not self._credentials.can_seal:
            raise InvalidRequest(
                "This gateway has no key to encrypt credentials with: name it as env:NAME or file:/path, or let an "
                "administrator set credentials.encryption.",
                param="secret",
            )
        try:
            return self._credentials.seal(secret, new_id(), goes_to)
        except UpstreamAuth as error:
            raise InvalidRequest(
                "A secret is printable ASCII, and not empty or longer than 64 KiB.", param="secret"
            ) from error

    async def _settle(self) -> None:
        """Wait until what was changed is in force here."""
        with suppress(Exception):  # the feed tells and tries again: the change itself is made
            await self._in_force()


def _keeping(model: Model, there: Registered | None, goes_to: str) -> Model:
    """The model with the credential that it has already. Raises InvalidRequest if it would go to another origin."""
    if there is None or there.model.credential is None:
        return replace(model, credential=None, credential_for="")
    given_for = there.model.credential_for or _origin(there.model.base_url)
    if goes_to != given_for:
        raise InvalidRequest(
            f"The credential of this model was given for {given_for}, and base_url leads to {goes_to or 'no host'}: "
            "give a credential again, or none.",
            param="credential",
        )
    return replace(model, credential=there.model.credential, credential_for=given_for)


def _is_new(draft: Draft, before: Mapping[str, Registered], now: Mapping[str, Registered]) -> bool:
    return draft.model.name in now and draft.model.name not in before


async def _until_alone(work: Callable[[], Awaitable[T]], tries: int) -> T:
    """Do it again as long as somebody else changes the same meanwhile, for some tries."""
    while True:
        tries -= 1
        try:
            return await work()
        except VersionConflict:
            if tries <= 0:
                raise


def _origin(base_url: str) -> str:
    try:
        return origin_of(base_url)
    except ValueError:
        return ""  # the check says what is wrong with it, before anything is kept


def _version(there: Registered | None) -> int:
    return 0 if there is None else there.model.version
