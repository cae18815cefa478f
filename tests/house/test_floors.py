"""The floors of .importlinter know every part there is; `lint-imports`, in `make check`, holds the code to them."""

from configparser import ConfigParser

import pytest

from tests.house.sources import PACKAGES, ROOT

FLOORS = ConfigParser()
FLOORS.read(ROOT / ".importlinter")


def words(contract, option):
    return set(FLOORS[f"importlinter:contract:{contract}"][option].split())


def adapters(kind):
    """The adapters of a port: packages beside it, but for what they share."""
    packages = {each.parent.name for each in (ROOT / "gateway" / kind).glob("*/__init__.py")} - {
        "ports",
        "dialects",
        "hub",
    }
    return {f"gateway.{kind}.{name}" for name in packages}


def test_every_package_that_runs_in_production_has_its_floor():
    here = {name for name in PACKAGES - {"bench", "tests"} if (ROOT / name).is_dir()}
    assert here - set(FLOORS["importlinter"]["root_packages"].split()) == set()


@pytest.mark.parametrize(("kind", "contract"), [("providers", "providers"), ("storage", "stores")])
def test_every_adapter_is_known_to_its_catalogue_alone(kind, contract):
    assert adapters(kind), "there are none"
    assert words(contract, "protected_modules") == adapters(kind)
    assert words(contract, "allowed_importers") == {f"gateway.{kind}.catalogue"}


def test_every_part_of_the_core_stands_on_a_floor():
    layers = FLOORS["importlinter:contract:core"]["layers"]
    standing = set(layers.replace("|", " ").replace(":", " ").replace("(", " ").replace(")", " ").split())
    parts = {
        f"gateway.{each.stem}"
        for each in (ROOT / "gateway").iterdir()
        if (each.suffix == ".py" or (each / "__init__.py").is_file()) and not each.stem.startswith("__")
    }
    assert parts - standing == {"gateway.v1"} & parts, "give these a floor"
