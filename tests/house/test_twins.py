"""Every operation has both doors, by `api.twins`: an rpc its REST route, a route under /v1 or /api/v1 its rpc."""

import importlib
import re
from types import SimpleNamespace

import pytest
from fastapi.routing import iter_route_contexts
from google.protobuf.descriptor import FileDescriptor

from tests.house.sources import ROOT

SERVED = ("/v1/", "/api/v1/")
REST_ALONE = tuple(importlib.import_module("api.twins").REST_ALONE)


def rpcs():
    """All rpcs of gateway.v1 by their full names, as the generated stubs know them."""
    found = {}
    for path in sorted((ROOT / "proto" / "gateway" / "v1").glob("*.proto")):
        file: FileDescriptor = importlib.import_module(f"gateway.v1.{path.stem}_pb2").DESCRIPTOR
        for service in file.services_by_name.values():
            found |= {method.full_name: method for method in service.methods}
    return found


def routes():
    """All REST routes, from the very application that is served, made with nothing behind it."""
    app = importlib.import_module("api.app")
    settings = importlib.import_module("gateway.settings").Settings()
    behind = Nothing(settings=settings)
    door = app.build_app(behind, Nothing(), dict)
    return {
        (method, plain(route.path))
        for route in iter_route_contexts(inner(door).routes)
        for method in route.methods or ()
        if (route.path or "").startswith(SERVED) and method != "HEAD"
    }


class Nothing(SimpleNamespace):
    """Stands for a world and for services: whatever is asked of it while routes are made is nothing again."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()

    def __str__(self):
        return "nothing"


def inner(app):
    """The application that has routes, inside whatever stands round it."""
    for _ in range(10):
        if hasattr(app, "routes"):
            return app
        app = next(each for name, each in vars(app).items() if name.strip("_") in {"app", "inner"})
    raise AssertionError("found no routes")


def plain(path):
    """A path without the names of its parameters: what stands in the braces is each door's own business."""
    return re.sub(r"\{[^}]*\}", "{}", path)


@pytest.fixture(scope="module")
def twins():
    table = importlib.import_module("api.twins").TWINS
    return {
        name.lstrip("/").replace("/", "."): (method.upper(), plain(path))
        for name, (method, path) in table.items()
    }


def test_every_rpc_has_a_rest_twin(twins):
    assert rpcs(), "there are no rpcs: is gateway/v1 generated?"
    assert set(rpcs()) - set(twins) == set(), "api/twins.py knows no route for these"
    assert set(twins) - set(rpcs()) == set(), "there are no such rpcs"


def test_every_route_has_a_grpc_twin(twins):
    assert routes(), "the application serves nothing"
    dialects = {route for route in routes() if route[1].startswith(REST_ALONE)}
    alone = dialects | {(method, plain(path)) for method, path in importlib.import_module("api.twins").ALONE}
    assert routes() - set(twins.values()) - alone == set(), "api/twins.py knows no rpc for these"
    assert (set(twins.values()) | alone) - routes() == set(), "the application serves no such routes"
    assert alone & set(twins.values()) == set(), "these have a twin after all"


def test_two_rpcs_share_a_route_only_when_one_of_them_streams(twins):
    methods = rpcs()
    for route in set(twins.values()):
        sharing = [methods[name] for name, each in twins.items() if each == route and name in methods]
        assert len([method for method in sharing if not method.server_streaming]) <= 1, route
