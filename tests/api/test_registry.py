"""The registry at both doors: models and aliases shown, changed, tried and exchanged with files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from gateway.v1 import registry_pb2 as pb
from tests.api import rpc
from tests.api.mistakes import Doors, both
from tests.api.rest import bearer
from tests.api.world import ADMIN, KEY, a_world, registry

CANARY = "sk-canary-0123456789abcdef"
LOCAL = {
    "name": "local",
    "provider": "compatible",
    "base_url": "http://127.0.0.1:9/v1",
    "tags": {"size": "small"},
}


@pytest.fixture
async def doors() -> AsyncGenerator[Doors]:
    async with both(a_world()) as doors:
        await doors.world.store.models.plant(tuple(registry().models.values()), {})
        yield doors


async def ask(
    doors: Doors, method: str, path: str, told: Any = None, key: str = ADMIN, **headers: str
) -> Any:
    return await doors.rest.client.request(
        method, f"/api/v1{path}", json=told, headers=bearer(key, **headers)
    )


async def create(doors: Doors, **changes: Any) -> Any:
    return await ask(doors, "POST", "/models", {**LOCAL, **changes})


# ---- one model ---------------------------------------------------------------------------------------------------
async def test_a_model_is_registered_and_shown_at_both_doors(doors: Doors):
    made = await create(doors, context_window=8192, capabilities=["tools"], aliases=["mine"])
    assert made.status_code == 201
    assert made.headers["location"] == "/api/v1/models/local"
    shown = (await ask(doors, "GET", "/models/local")).json()
    assert shown == made.json()
    assert (shown["context_window"], shown["capabilities"], shown["aliases"]) == (8192, ["tools"], ["mine"])
    told = await doors.registry.Get(pb.RegistryServiceGetRequest(name="local"), metadata=rpc.bearer(ADMIN))
    assert (told.model.base_url, told.model.context_window, list(told.model.aliases)) == (
        shown["base_url"],
        8192,
        ["mine"],
    )
    assert "/v1/chat/completions" in shown["operations"]
    assert list(told.model.operations) == shown["operations"]
    assert told.model.version == shown["version"]
    assert made.headers["etag"] == f'"{shown["version"]}"'


async def test_what_rpc_registers_rest_shows(doors: Doors):
    model = pb.RegisteredModel(
        name="org/local", provider="compatible", base_url="http://127.0.0.1:9/v1", quality=0.5
    )
    model.options.update({"flavour": "vllm", "dialects": ["chat", "messages"]})
    await doors.registry.Create(pb.RegistryServiceCreateRequest(model=model), metadata=rpc.bearer(ADMIN))
    shown = (await ask(doors, "GET", "/models/org/local")).json()
    options = {"flavour": "vllm", "dialects": ["chat", "messages"]}
    assert (shown["quality"], shown["options"]) == (0.5, options)


async def test_a_name_is_registered_once(doors: Doors):
    await create(doors)
    again = await create(doors)
    assert (again.status_code, again.json()["code"]) == (409, "model_exists")
    call = doors.registry.Create(
        pb.RegistryServiceCreateRequest(
            model=pb.RegisteredModel(name="local", provider="compatible", base_url="http://127.0.0.1:9/v1")
        ),
        metadata=rpc.bearer(ADMIN),
    )
    assert await rpc.code_of(call) == ("ALREADY_EXISTS", "model_exists")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"provider": "opena"}, "provider"),
        ({"options": {"flavor": "vllm"}}, "options.flavor"),
        ({"options": {"flavour": "vlm"}}, "options.flavour"),
        ({"options": {"dialects": ["chat", "response"]}}, "options.dialects"),
        ({"options": {"flavour": "azure", "api_version": "latest"}}, "options.api_version"),
        ({"base_url": "ftp://host"}, "base_url"),
        ({"base_url": "http://169.254.169.254/v1"}, "base_url"),
        ({"name": "auto"}, "name"),
        ({"quality": 7}, "quality"),
        ({"limits": {"concurrency": 0}}, "limits.concurrency"),
        ({"limits": {"conc": 1}}, "limits.conc"),
        ({"timeouts": {"total_s": -1}}, "timeouts.total_s"),
        ({"credential": "sk-abc"}, "credential"),
        ({"credential": "env:A_KEY", "secret": CANARY}, "secret"),
        ({"headers": {"authorization": CANARY}}, "headers.authorization"),
        ({"tags": {"a b": "c"}}, "tags.a b"),
        ({"colour": "red"}, "colour"),
        ({"kind": "poem"}, "kind"),
    ],
)
async def test_a_wrong_field_is_named_and_no_secret_repeated(
    doors: Doors, changes: dict[str, Any], param: str
):
    refused = await create(doors, **changes)
    assert refused.status_code in (400, 422), refused.text
    assert refused.json()["param"] == param, refused.text
    assert CANARY not in refused.text
    assert (await ask(doors, "GET", "/models/local")).status_code == 404


async def test_a_secret_shows_its_last_four_characters_and_nothing_else(doors: Doors):
    made = await create(doors, secret=CANARY)
    assert made.json()["credential"]["last_four"] == "cdef"
    everything = [
        made.text,
        (await ask(doors, "GET", "/models")).text,
        (await ask(doors, "GET", "/models/export")).text,
        (await ask(doors, "GET", "/models/changes")).text,
    ]
    assert not [text for text in everything if CANARY in text or CANARY[:-4] in text]


async def test_a_key_does_not_follow_a_model_to_another_host(doors: Doors):
    await create(doors, secret=CANARY)
    moved = await ask(doors, "PATCH", "/models/local", {"base_url": "http://127.0.0.2:9/v1"})
    assert (moved.status_code, moved.json()["param"]) == (400, "credential")
    again = {"base_url": "http://127.0.0.2:9/v1", "secret": CANARY}
    assert (await ask(doors, "PATCH", "/models/local", again)).status_code == 200


# ---- changes -----------------------------------------------------------------------------------------------------
async def test_a_patch_changes_what_it_says_and_null_takes_back(doors: Doors):
    await create(doors, notes="old", quality=0.5, tags={"a": "1", "b": "2"}, secret=CANARY)
    patch = {"notes": "new", "quality": None, "tags": {"a": None, "c": "3"}}
    shown = (await ask(doors, "PATCH", "/models/local", patch)).json()
    assert (shown["notes"], shown["quality"], shown["tags"]) == ("new", None, {"b": "2", "c": "3"})
    assert shown["credential"]["last_four"] == "cdef"
    gone = (await ask(doors, "PATCH", "/models/local", {"credential": None})).json()
    assert gone["credential"] is None


async def test_a_mask_changes_what_it_names(doors: Doors):
    await create(doors, notes="old", quality=0.5, aliases=["mine"], secret=CANARY)
    request = pb.RegistryServiceUpdateRequest(
        model=pb.RegisteredModel(name="local", notes="new", size="large"),
        update_mask=FieldMask(paths=["notes", "quality"]),
    )
    told = await doors.registry.Update(request, metadata=rpc.bearer(ADMIN))
    assert (told.model.notes, told.model.HasField("quality"), told.model.HasField("size")) == (
        "new",
        False,
        False,
    )
    assert (list(told.model.aliases), told.model.credential.last_four) == (["mine"], "cdef")


async def test_a_put_sets_all_and_keeps_the_credential(doors: Doors):
    await create(doors, notes="old", aliases=["mine"], secret=CANARY)
    shown = (await ask(doors, "PUT", "/models/local", LOCAL)).json()
    assert (shown["notes"], shown["aliases"], shown["credential"]["last_four"]) == ("", [], "cdef")


async def test_a_change_from_an_older_state_is_refused(doors: Doors):
    etag = (await create(doors)).headers["etag"]
    first = await ask(doors, "PATCH", "/models/local", {"notes": "a"}, if_match=etag)
    late = await ask(doors, "PATCH", "/models/local", {"notes": "b"}, if_match=etag)
    assert (first.status_code, late.status_code, late.json()["code"]) == (200, 412, "version_conflict")
    gone = await ask(doors, "DELETE", "/models/local", if_match=etag)
    assert gone.status_code == 412
    assert (await ask(doors, "DELETE", "/models/local", if_match=first.headers["etag"])).status_code == 204
    assert (await ask(doors, "GET", "/models/local")).json()["code"] == "model_not_found"


async def test_two_who_patch_at_once_both_count_or_one_is_told(doors: Doors):
    await create(doors)
    both_ = await asyncio.gather(
        ask(doors, "PATCH", "/models/local", {"notes": "a"}),
        ask(doors, "PATCH", "/models/local", {"size": "large"}),
    )
    shown = (await ask(doors, "GET", "/models/local")).json()
    done = [answer.status_code for answer in both_]
    assert set(done) <= {200, 412}
    assert (shown["notes"] == "a", shown["size"] == "large") == (done[0] == 200, done[1] == 200)


@pytest.mark.parametrize(
    ("word", "state"), [("drain", "draining"), ("disable", "disabled"), ("enable", "enabled")]
)
async def test_a_model_is_switched_by_a_word(doors: Doors, word: str, state: str):
    await create(doors)
    assert (await ask(doors, "POST", f"/models/local/{word}")).json()["state"] == state
    method, request = (
        getattr(doors.registry, word.title()),
        getattr(pb, f"RegistryService{word.title()}Request"),
    )
    told = await method(request(name="local"), metadata=rpc.bearer(ADMIN))
    assert pb.ModelState.Name(told.model.state) == f"MODEL_STATE_{state.upper()}"


async def test_who_changed_what_is_told_newest_first(doors: Doors):
    await create(doors)
    await ask(doors, "PATCH", "/models/local", {"notes": "a"})
    await ask(doors, "DELETE", "/models/local")
    lines = (await ask(doors, "GET", "/models/changes?name=local")).json()["data"]
    assert [(line["action"], line["actor"]) for line in lines] == [
        ("delete", "admin"),
        ("update", "admin"),
        ("create", "admin"),
    ]
    assert (lines[1]["before"]["notes"], lines[1]["after"]["notes"]) == ("", "a")
    told = await doors.registry.ListChanges(
        pb.RegistryServiceListChangesRequest(name="local", limit=1), metadata=rpc.bearer(ADMIN)
    )
    assert [change.action for change in told.changes] == ["delete"]
    assert told.next_after


# ---- lists -------------------------------------------------------------------------------------------------------
async def test_models_are_found_by_tags_kind_and_state(doors: Doors):
    await create(doors, name="x1", tags={"team": "a"})
    await create(doors, name="x2", tags={"team": "b"}, state="disabled")
    await create(doors, name="x3", tags={"team": "a"}, kind="embedding")

    async def names(query: str) -> list[str]:
        answer = await ask(doors, "GET", f"/models?{query}")
        return [model["name"] for model in answer.json()["data"]]

    assert await names("tags=team=a|b") == ["x1", "x2", "x3"]
    assert await names("tags=team=a&kind=chat") == ["x1"]
    assert await names("tags=team&state=disabled") == ["x2"]
    assert await names("tags=team&enabled=true") == ["x1", "x3"]
    page = (await ask(doors, "GET", "/models?tags=team&limit=2")).json()
    assert page["next_after"] == "x2"
    assert await names("tags=team&limit=2&after=x2") == ["x3"]
    refused = await ask(doors, "GET", "/models?tags=a,,b")
    assert (refused.status_code, refused.json()["param"]) == (400, "tags")


async def test_an_alias_stands_for_its_models_in_order(doors: Doors):
    for name in ("x1", "x2"):
        await create(doors, name=name)
    put = await ask(doors, "PUT", "/aliases/both", {"models": ["x2", "x1"]})
    assert put.json() == {"name": "both", "models": ["x2", "x1"]}
    told = await doors.registry.ListAliases(
        pb.RegistryServiceListAliasesRequest(), metadata=rpc.bearer(ADMIN)
    )
    assert ["x2", "x1"] in [list(alias.models) for alias in told.aliases]
    wrong = await ask(doors, "PUT", "/aliases/both", {"models": ["nobody"]})
    assert (wrong.status_code, wrong.json()["param"]) == (400, "models")
    assert (await ask(doors, "DELETE", "/aliases/both")).status_code == 204
    assert (await ask(doors, "DELETE", "/aliases/both")).status_code == 404


# ---- tried, found, exchanged -------------------------------------------------------------------------------------
async def test_a_model_is_tried_by_one_real_call_that_is_in_the_ledger(doors: Doors):
    tried = (await ask(doors, "POST", "/models/good/test")).json()
    assert (tried["ok"], tried["code"]) == (True, None)
    assert tried["answer"]
    assert float(tried["cost_usd"]) > 0
    logged = (await doors.rest.get(f"/api/v1/requests/{tried['request_id']}", ADMIN)).json()
    assert (logged["status"], logged["cost_usd"], logged["metadata"]) == (
        "completed",
        tried["cost_usd"],
        {"purpose": "test"},
    )


async def test_a_model_that_cannot_be_reached_says_why(doors: Doors):
    await ask(doors, "POST", "/models/down/disable")
    tried = (await ask(doors, "POST", "/models/down/test")).json()
    assert (tried["ok"], tried["code"]) == (False, "upstream_unavailable")


async def test_a_server_is_asked_for_its_models(doors: Doors, scripted_upstream: str):
    found = (await ask(doors, "POST", "/models/discover", {"base_url": scripted_upstream})).json()
    assert "scripted-ok" in [model["upstream_model"] for model in found["data"]]
    made = await ask(doors, "POST", "/models", found["data"][0])
    assert made.status_code == 201, made.text
    told = await doors.registry.Discover(
        pb.RegistryServiceDiscoverRequest(base_url=scripted_upstream), metadata=rpc.bearer(ADMIN)
    )
    assert [model.upstream_model for model in told.models] == [m["upstream_model"] for m in found["data"]]


@pytest.mark.parametrize(
    "base_url",
    ["http://169.254.169.254/latest", "http://[fd00:ec2::254]/v1", "file:///etc/passwd", "nothing"],
)
async def test_a_server_that_may_not_be_called_is_not_asked(doors: Doors, base_url: str):
    refused = await ask(doors, "POST", "/models/discover", {"base_url": base_url})
    assert (refused.status_code, refused.json()["param"]) == (400, "base_url")


async def test_an_export_is_imported_as_it_was(doors: Doors):
    await create(doors, context_window=8192, aliases=["mine"])
    text = (await ask(doors, "GET", "/models/export")).text
    asked = {"format": "hocon", "content": text, "dry_run": True, "prune": True}
    done = (await ask(doors, "POST", "/models/import", asked)).json()
    assert (done["created"], done["changed"], done["deleted"], done["diff"]) == ([], [], [], "")
    assert "local" in done["unchanged"]


async def test_a_dry_run_tells_what_an_import_would_do(doors: Doors):
    text = """models = [
      { name = one, provider = compatible, base_url = "http://127.0.0.1:9/v1", timeouts { total = 3s } } ]"""
    asked = {"format": "hocon", "content": text, "dry_run": True}
    tried = (await ask(doors, "POST", "/models/import", asked)).json()
    assert (tried["created"], tried["dry_run"]) == (["one"], True)
    assert '+  { name = "one"' in tried["diff"]
    assert (await ask(doors, "GET", "/models/one")).status_code == 404
    await ask(doors, "POST", "/models/import", {**asked, "dry_run": False})
    assert (await ask(doors, "GET", "/models/one")).json()["timeouts"]["total_s"] == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("models = [ { name = one, provider = nobody } ]", "provider"),
        ("models = [ { nam = one } ]", "Did you mean name?"),
        ('include "/etc/passwd"', "include"),
        ("models = [ { name = ${HOME} } ]", "HOME"),
        ("models = [", "import:"),
    ],
)
async def test_a_file_that_is_wrong_changes_nothing(doors: Doors, content: str, said: str):
    refused = await ask(doors, "POST", "/models/import", {"format": "hocon", "content": content})
    assert (refused.status_code, refused.json()["param"]) == (400, "content")
    assert said in refused.json()["detail"]


async def test_litellm_s_file_is_taken_over_and_what_is_not_is_listed(doors: Doors):
    content = f"""
model_list:
  - model_name: theirs
    litellm_params: {{model: hosted_vllm/a, api_base: "http://127.0.0.1:9/v1", api_key: {CANARY}, temperature: 0}}
"""
    done = await ask(doors, "POST", "/models/import", {"format": "litellm", "content": content})
    assert done.json()["created"] == ["theirs"]
    assert [left["path"] for left in done.json()["left_out"]] == ["model_list.0.litellm_params.temperature"]
    assert CANARY not in done.text
    assert (await ask(doors, "GET", "/models/theirs")).json()["credential"]["last_four"] == "cdef"


# ---- rights ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/models", None),
        ("GET", "/models/good", None),
        ("GET", "/models/export", None),
        ("GET", "/models/changes", None),
        ("GET", "/aliases", None),
        ("POST", "/models", LOCAL),
        ("PUT", "/models/good", LOCAL),
        ("PATCH", "/models/good", {}),
        ("DELETE", "/models/good", None),
        ("POST", "/models/good/test", None),
        ("POST", "/models/good/disable", None),
        ("POST", "/models/discover", {"base_url": "http://127.0.0.1:9/v1"}),
        ("POST", "/models/import", {"format": "hocon", "content": ""}),
        ("PUT", "/aliases/x", {"models": ["good"]}),
        ("DELETE", "/aliases/x", None),
    ],
)
async def test_the_registry_is_for_those_who_have_the_right(doors: Doors, method: str, path: str, told: Any):
    answer = await ask(doors, method, path, told, KEY)
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
