"""Tables in docs/ that are written from the code: `python -m tests.house.documents` writes them, a test compares.

Each stands between `<!-- generated: NAME -->` and `<!-- /generated: NAME -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from api.errors import TABLE
from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.providers.catalogue import PROVIDERS, open_provider
from gateway.providers.compatible.quirks import QUIRKS, SPOKEN, Quirks
from gateway.providers.dialects.bridges import HERE
from gateway.providers.offered import operations_of
from gateway.settings import Providers
from tests.api.failures import BOTH, ESTIMATED, NOTHING, ROWS, TOLD, Row
from tests.house.features import ASKED, found

DOCS = Path(__file__).parents[2] / "docs"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    named = list(header)
    lines = [named, ["---"] * len(named), *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# ---- what is written ---------------------------------------------------------------------------------------------
def flavours() -> str:
    """The rows of the quirks."""
    return table(
        (
            "`flavour`",
            "address, if a model says none",
            "`dialects`",
            "renamed",
            "refused",
            "thoughts come in",
            "not there",
            "pages",
        ),
        (_flavour(name, row) for name, row in QUIRKS.items()),
    )


def _flavour(name: str, row: Quirks) -> Iterable[str]:
    spoken = [word for word, stands_for in SPOKEN.items() if stands_for <= row.operations]
    wider = [word for word in spoken if not any(SPOKEN[word] < SPOKEN[other] for other in spoken)]
    renamed = [f"`{was}` → `{known}`" for was, known in row.renamed.items()]
    renamed += [f"role `{was}` → `{known}`" for was, known in row.roles.items()]
    refused = [f"`{field}`" for field in sorted(row.refused)]
    refused += [f"`messages[].{field}`" for field in sorted(row.refused_in_messages)]
    refused += [] if row.takes_usage_option else ["`stream_options`"]
    pages = [f"[{number}]({page})" for number, page in enumerate(row.pages, 1)]
    return (
        f"`{name}`",
        f"`{row.base_url}`" if row.base_url else "–",
        ", ".join(wider),
        ", ".join(renamed) or "–",
        ", ".join(refused) or "–",
        "parts of `content`, put into `reasoning_content`" if row.thinks_in_parts else f"`{row.reasoning}`",
        row.does_not,
        " ".join(pages),
    )


def operations() -> str:
    """Which operations each provider is asked for, and how: in their own dialect, or carried over chat."""
    rows = {f"**{name}**": _speakers(name) for name in PROVIDERS}
    rows |= {f"`{name}`": _speakers("compatible", flavour=name) for name in QUIRKS}
    return table(
        ("", *(f"`{each.path}`" for each in Operation)),
        ((name, *(how(each) for each in Operation)) for name, how in rows.items()),
    )


def _speakers(name: str, **options: str) -> Callable[[Operation], str]:
    provider = open_provider(name, Providers())

    def how(operation: Operation) -> str:
        model = Model("m", name, "https://host/v1", "m", kind=operation.kind, options=options)
        if operation not in operations_of(model, provider):
            return "–"
        if provider.speaks(operation, model):
            return "own"
        return "here" if operation in HERE else "chat"

    return how


def failures() -> str:
    """What becomes of a request when its upstream fails, by phase and failure."""
    header = (
        "phase",
        "failure",
        "the same model again",
        "the next model",
        "code",
        "HTTP",
        "`error.type`, OpenAI's",
        "`error.type`, Anthropic's",
        "gRPC",
        "the attempt is",
        "it costs",
        "",
    )
    return table(header, (_failure(row) for row in ROWS))


def _failure(row: Row) -> Iterable[str]:
    costs = {NOTHING: "nothing", ESTIMATED: "an estimate", TOLD: "what the upstream told"}
    told_apart = row.modes != BOTH and row.phase == "first byte"
    phase = ", ".join((row.phase, *row.modes)) if told_apart else row.phase
    shapes = None if row.code is None else TABLE[row.code]
    told = (
        ("–", "200", "–", "–", "`OK`")
        if shapes is None
        else (
            f"`{row.code}`",
            "200, then an error" if row.outcome == "broken" else str(shapes.http),
            f"`{shapes.openai}`",
            f"`{shapes.anthropic}`",
            f"`{shapes.grpc}`",
        )
    )
    return (
        phase,
        row.failure,
        "yes" if row.again else "no",
        "yes" if row.next_ else "no",
        *told,
        row.outcome,
        costs[row.cost],
        row.note,
    )


def features(operation: Operation) -> str:
    """Which features of an endpoint reach which provider."""
    rows = found()[operation]
    return table(
        ("", *(f"`{name}`" for name in ASKED)),
        ((name, *(each[of] for of in ASKED)) for name, each in rows.items()),
    )


TABLES: Mapping[tuple[str, str], Callable[[], str]] = {
    ("providers.md", "flavours"): flavours,
    ("providers.md", "operations"): operations,
    ("providers.md", "features of chat"): partial(features, Operation.CHAT),
    ("providers.md", "features of messages"): partial(features, Operation.MESSAGES),
    ("providers.md", "features of responses"): partial(features, Operation.RESPONSES),
    ("failures.md", "failures"): failures,
}


# ---- where it stands ---------------------------------------------------------------------------------------------
def stands(document: str, name: str) -> str:
    """What stands in a document under a name. Raises ValueError if its markers do not."""
    return _between(name, (DOCS / document).read_text())[1]


def write() -> None:
    """Write all tables."""
    for (document, name), made in TABLES.items():
        path = DOCS / document
        before, _, after = _between(name, path.read_text())
        path.write_text(f"{before}{made()}{after}")


def _between(name: str, text: str) -> tuple[str, str, str]:
    begins, ends = f"<!-- generated: {name} -->\n", f"<!-- /generated: {name} -->"
    found = re.search(f"{re.escape(begins)}(.*?){re.escape(ends)}", text, re.DOTALL)
    if found is None:
        raise ValueError(f"there is no place for the table {name}")
    return text[: found.start(1)], found[1], text[found.end(1) :]


if __name__ == "__main__":
    write()
