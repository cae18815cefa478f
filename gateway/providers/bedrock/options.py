"""The options of a Bedrock model, and where its API is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.domain.registry import Model
from gateway.providers.hub.options import Option
from gateway.providers.hub.options import misfits as wrong
from gateway.providers.ports import Misfit

_REGION: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}")
_IN_HOST: Final = re.compile(rf"bedrock-runtime(?:-fips)?\.({_REGION.pattern})\.")
_KNOWN: Final = {
    "region": Option((str,), "a region such as us-east-1"),
    "guardrail_config": Option((Mapping,), "an object with `guardrailIdentifier` and `guardrailVersion`"),
    "performance_config": Option((Mapping,), "an object with `latency`"),
    "additional_model_request_fields": Option((Mapping,), "an object of the model's own fields"),
}


def base_url_of(options: Mapping[str, object]) -> str:
    """The address of a region's API; empty where no region is said."""
    region = options.get("region")
    if not isinstance(region, str) or not _REGION.fullmatch(region):
        return ""
    return f"https://bedrock-runtime.{region}.amazonaws.com"


def misfits(options: Mapping[str, object]) -> Sequence[Misfit]:
    """What is wrong with a model's options."""
    found = list(wrong(options, _KNOWN))
    region = options.get("region")
    if isinstance(region, str) and not _REGION.fullmatch(region):
        found.append(Misfit("region", _KNOWN["region"].expected, region))
    return found


def region_of(model: Model) -> str:
    """The region that requests are signed for: the option's, or that of the address; empty where neither says one."""
    region = model.options.get("region")
    if isinstance(region, str) and region:
        return region
    found = _IN_HOST.search(model.base_url)
    return found[1] if found is not None else ""
