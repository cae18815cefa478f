"""The registry: models and aliases, shown, changed, tried and exchanged with files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import msgspec

from api.service.litellm import LeftOut, read_litellm
from gateway.attempt import Attempts, Try
from gateway.domain.addresses import parse_address
from gateway.domain.errors import InvalidRequest, ModelNotFound
from gateway.domain.identity import Caller, Right
from gateway.domain.inference import (
    Attempt,
    Choice,
    Durability,
    InferenceRequest,
    Kind,
    Mode,
    Outcome,
    settle,
)
from gateway.domain.registry import Model, ModelState, Registry
from gateway.domain.secret import Secret
from gateway.domain.tags import parse_tags
from gateway.ids import moment_of, new_id
from gateway.providers.discovery import Found
from gateway.providers.ports import Reply
from gateway.recorder import Recorder
from gateway.registry.apply import Plan, carry_out, plan_of
from gateway.registry.desk import Desk
from gateway.registry.editor import Credential
from gateway.registry.entries import Entries, Key, read_entries
from gateway.registry.write import write_registry
from gateway.settings import Place, SettingsError
from gateway.settings.values import parse_duration
from gateway.storage.ports import Audit, Change, ModelFilter, Models, Page, Registered

_TEST_WITHIN: Final = timedelta(seconds=30)
_TEST_BODY: Final = {
    "messages": [{"role": "user", "content": "Say OK."}],
    "max_completion_tokens": 16,
}
_FORMATS: Final = ("hocon", "litellm")


class ReadsTrees(Protocol):
    """Reads HOCON that nobody is to trust."""

    async def tree(self, text: str, name: str) -> tuple[Mapping[str, Any], Callable[[Key], Place]]:
        """Its plain values, durations as texts, and where each key stands. Raises SettingsError."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which models are looked for."""

    tags: str = ""
    kind: Kind | None = None
    state: ModelState | None = None
    limit: int = 50
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A model as somebody wants it. `aliases` None leaves them; `credential` as `Editor.save` takes it."""

    model: Model
    aliases: tuple[str, ...] | None = None
    credential: Secret | str | Credential | None = Credential.KEEP


@dataclass(frozen=True, slots=True)
class Tried:
    """What one tiny real call of a model came to; it stands in the ledger under `request_id`."""

    request_id: str
    attempt: Attempt
    answer: str = ""

    @property
    def ok(self) -> bool:
        """Whether the model answered."""
        return self.attempt.outcome is Outcome.SUCCEEDED


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did, or (a dry run) would do."""

    plan: Plan
    left_out: tuple[LeftOut, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Discovered:
    """Entries for the models of a server, and the names of those that are registered already."""

    found: Found
    known: tuple[str, ...] = field(default=())


class RegistryService:
    """Shows the registry with `models.read`, changes it with `models.write`."""

    def __init__(
        self,
        *,
        models: Models,
        audit: Audit,
        desk: Desk,
        registry: Callable[[], Registry],
        attempts: Attempts,
        recorder: Recorder,
        texts: ReadsTrees,
    ) -> None:
        """`attempts` are for tests of models, which call what takes no requests yet."""
        self._models = models
        self._audit = audit
        self._desk = desk
        self._registry = registry
        self._attempts = attempts
        self._recorder = recorder
        self._texts = texts

    # ---- shown ---------------------------------------------------------------------------------------------------
    async def find(self, caller: Caller, wanted: Wanted) -> Page[Registered]:
        """Models by name. Raises InvalidRequest for tags that are no expression."""
        caller.require(Right.MODELS_READ)
        try:
            tags = parse_tags(wanted.tags)
        except ValueError as e:
            raise InvalidRequest(f"`tags`: {e}.", param="tags") from e
        filtered = ModelFilter(tags, wanted.kind, wanted.state)
        page = await self._models.find(filtered, limit=wanted.limit, after=wanted.after)
        return replace(page, rows=tuple(self._shown(each) for each in page.rows))

    async def get(self, caller: Caller, name: str) -> Registered:
        """One model. Raises ModelNotFound."""
        caller.require(Right.MODELS_READ)
        return self._shown(await self._get(name))

    async def changes(
        self, caller: Caller, *, name: str | None, limit: int, after: str | None = None
    ) -> Page[Change]:
        """Who changed what, newest first."""
        caller.require(Right.MODELS_READ)
        noun = None if name is None else "registry"
        return await self._audit.find(noun=noun, name=name, limit=limit, after=after)

    async def aliases(self, caller: Caller) -> Mapping[str, tuple[str, ...]]:
        """All aliases with their models in order."""
        caller.require(Right.MODELS_READ)
        return (await self._models.load()).aliases

    async def export(self, caller: Caller) -> str:
        """The registry as HOCON, without secrets."""
        caller.require(Right.MODELS_READ)
        inventory = await self._models.load()
        return write_registry(inventory.models, inventory.aliases)

    # ---- changed -------------------------------------------------------------------------------------------------
    async def create(self, caller: Caller, draft: Draft) -> Registered:
        """Register a model. Raises InvalidRequest and ModelExists."""
        caller.require(Right.MODELS_WRITE)
        return await self._save(caller, draft, 0)

    async def replace(self, caller: Caller, name: str, draft: Draft, expected: int | None) -> Registered:
        """Set all of a model. Raises ModelNotFound, InvalidRequest, VersionConflict."""

        async def whole(_: Registered) -> Draft:
            return draft

        return await self.update(caller, name, whole, expected)

    async def update(
        self,
        caller: Caller,
        name: str,
        change: Callable[[Registered], Awaitable[Draft]],
        expected: int | None,
    ) -> Registered:
        """Set a model to what `change` makes of it as it is now. Raises as `replace` does."""
        caller.require(Right.MODELS_WRITE)
        there = await self._get(name)
        draft = await change(there)
        if draft.model.name != name:
            raise InvalidRequest(
                "`name` cannot be changed: register the model under its new name, and delete this one.",
                param="name",
            )
        # Made from what is there now: unless the caller says so itself, nobody may come between.
        return await self._save(caller, draft, there.model.version if expected is None else expected)

    async def set_state(self, caller: Caller, name: str, state: ModelState) -> Registered:
        """Enable, drain or disable a model. Raises ModelNotFound."""

        async def stated(there: Registered) -> Draft:
            return Draft(replace(there.model, state=state))

        return await self.update(caller, name, stated, None)

    async def delete(self, caller: Caller, name: str, expected: int | None) -> None:
        """Delete a model; the log keeps what it did. Raises ModelNotFound and VersionConflict."""
        caller.require(Right.MODELS_WRITE)
        await self._desk.editor.delete(name, expected=expected, actor=caller.id)

    async def arrange(self, caller: Caller, alias: str, models: Sequence[str]) -> tuple[str, ...]:
        """Let an alias stand for these models, in this order. Raises InvalidRequest and ModelExists."""
        caller.require(Right.MODELS_WRITE)
        if not models:
            raise InvalidRequest("`models` must name at least one model.", param="models")
        await self._desk.editor.arrange(alias, models, actor=caller.id)
        return tuple(dict.fromkeys(models))

    async def disband(self, caller: Caller, alias: str) -> None:
        """Let an alias stand for nothing any more. Raises ModelNotFound if there is none."""
        caller.require(Right.MODELS_WRITE)
        if alias not in (await self._models.load()).aliases:
            raise ModelNotFound(f"There is no alias `{alias}`.", param="alias")
        await self._desk.editor.arrange(alias, (), actor=caller.id)

    # ---- tried ---------------------------------------------------------------------------------------------------
    async def test(self, caller: Caller, name: str) -> Tried:
        """Make one tiny real call of a model, enabled or not, and enter it into the ledger. Raises ModelNotFound."""
        caller.require(Right.MODELS_WRITE)
        kept = (await self._get(name)).model
        if kept.kind is not Kind.CHAT:
            raise InvalidRequest(f"Only chat models can be tried, and `{name}` is for {kept.kind.value}.")
        now = self._registry()
        model = replace(now.models.get(name, kept), state=ModelState.ENABLED)
        alone = replace(now, models={name: model}, aliases={})
        request = _tiny_request(caller, model)
        body = msgspec.json.decode(request.body, type=dict[str, msgspec.Raw])
        wanted = Try(request, body, 1, Choice(name, "a test by an administrator"))
        attempt, reply = await self._attempts.on(alone).complete(wanted)
        settlement = settle(request, (attempt,), datetime.now(UTC), decision=("a test by an administrator",))
        await self._recorder.record(request, settlement)
        return Tried(request.id, attempt, "" if reply is None else _said(reply))

    async def discover(
        self, caller: Caller, base_url: str, *, reference: str | None = None, secret: Secret | None = None
    ) -> Discovered:
        """Ask a server which models it has. Raises InvalidRequest, and what the server fails with."""
        caller.require(Right.MODELS_WRITE)
        base = base_url.rstrip("/")
        try:
            why = await self._desk.guard.why_not(parse_address(base))
        except ValueError as e:
            raise InvalidRequest(f"`base_url` must be an http(s) address: {e}.", param="base_url") from e
        if why is not None:
            raise InvalidRequest(
                f"`base_url` leads to a host that may not be called ({why}).", param="base_url"
            )
        if reference is not None:
            if secret is not None:
                raise InvalidRequest("Give `credential` or `secret`, not both.", param="secret")
            refused = self._desk.credentials.why_not(reference)
            if refused is not None:
                raise InvalidRequest(
                    f"`credential` must be env:NAME or file:/path ({refused}).", param="credential"
                )
            secret = self._desk.credentials.resolve(reference)
        found = await self._desk.discovery.find(base, secret, reference)
        registered = self._registry().models
        known = tuple(
            model.name
            for model in found.models
            if model.name in registered
            or any(
                other.base_url == model.base_url and other.upstream_model == model.upstream_model
                for other in registered.values()
            )
        )
        return Discovered(found, known)

    # ---- exchanged -----------------------------------------------------------------------------------------------
    async def import_(
        self, caller: Caller, *, format_: str, content: str, dry_run: bool = False, prune: bool = False
    ) -> Imported:
        """Register what a file says. Raises InvalidRequest naming all that is wrong with it; then nothing changes."""
        caller.require(Right.MODELS_WRITE)
        entries, secrets, left_out = await self._entries(format_, content)
        plan = plan_of(await self._models.load(), entries, prune=prune, secrets=secrets)
        for model in (*plan.create, *plan.change):
            await self._desk.editor.check(model)
        if not dry_run:
            await carry_out(plan, self._desk.editor, actor=caller.id)
        return Imported(plan, left_out, dry_run)

    async def _entries(
        self, format_: str, content: str
    ) -> tuple[Entries, Mapping[str, Secret], tuple[LeftOut, ...]]:
        if format_ == "litellm":
            read = read_litellm(content)
            entries = Entries({each.model.name: each.model for each in read.entries}, read.aliases)
            secrets = {each.model.name: each.secret for each in read.entries if each.secret is not None}
            return entries, secrets, read.left_out
        if format_ != "hocon":
            raise InvalidRequest(f"`format` must be one of {', '.join(_FORMATS)}.", param="format")
        try:
            tree, place = await self._texts.tree(content, "import")
            return read_entries(_timed(tree), self._desk.checks, place), {}, ()
        except SettingsError as e:
            raise InvalidRequest(str(e), param="content") from e

    async def _save(self, caller: Caller, draft: Draft, expected: int | None) -> Registered:
        kept = await self._desk.editor.save(
            draft.model,
            credential=draft.credential,
            aliases=draft.aliases,
            expected=expected,
            actor=caller.id,
        )
        return self._shown(kept)

    def _shown(self, kept: Registered) -> Registered:
        """With what can be asked of it, as it is now."""
        return replace(kept, model=replace(kept.model, operations=self._desk.operations(kept.model)))

    async def _get(self, name: str) -> Registered:
        kept = await self._models.get(name)
        if kept is None:
            raise ModelNotFound(f"There is no model `{name}`.", param="name")
        return kept


def _timed(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same values with the time-outs of models as durations again; what is none stays for the reader to refuse."""
    models = tree.get("models")
    if not isinstance(models, list):
        return tree
    return {**tree, "models": [_timed_model(entry) for entry in models]}


def _timed_model(entry: Any) -> Any:
    if not isinstance(entry, dict) or not isinstance(entry.get("timeouts"), dict):
        return entry
    return {**entry, "timeouts": {name: _span(value) for name, value in entry["timeouts"].items()}}


def _span(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_duration(value)
    except ValueError:
        return value


def _tiny_request(caller: Caller, model: Model) -> InferenceRequest:
    request_id = new_id()
    at = moment_of(request_id)
    return InferenceRequest(
        id=request_id,
        kind=model.kind,
        mode=Mode.SYNC,
        endpoint="/v1/chat/completions",
        door="test",
        caller=caller.id,
        model=model.name,
        body=msgspec.json.encode({"model": model.name, **_TEST_BODY}).decode(),
        accepted_at=at,
        deadline=at + _TEST_WITHIN,
        durability=Durability.DEGRADED,  # nothing is owed to anybody: it has no workflow
        candidates=(model.name,),
        metadata={"purpose": "test"},
    )


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


def _said(reply: Reply) -> str:
    try:
        completion = msgspec.json.decode(reply.body, type=_Completion)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return (completion.choices[0].message.content or "")[:500] if completion.choices else ""
