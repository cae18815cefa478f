"""Which of Hugging Face's servers a model is at, and where there what can be asked of it.

Sources, all below https://huggingface.co/docs: inference-providers (router, tasks),
inference-providers/providers/hf-inference (the paths of tasks), text-embeddings-inference (TEI),
text-generation-inference (TGI), inference-endpoints (endpoints of one's own take a task's request at their root).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from gateway.domain.operations import Operation as Op
from gateway.providers.ports import Misfit

ROUTER: Final = "https://router.huggingface.co/v1"
_TASKS: Final = "hf-inference/models/{model}"


@dataclass(frozen=True, slots=True)
class Server:
    """One kind of server. `own` is asked in OpenAI's dialect, `tasks` in Hugging Face's own at these paths.

    A task's path is below the host where `rooted`, else below the model's base URL; `{model}` is the upstream's model.
    """

    own: frozenset[Op]
    tasks: Mapping[Op, str] = field(default_factory=dict)
    rooted: bool = False
    flavour: str = ""  # of compatible servers, whose quirks it has
    scores: bool = False  # its rerank is asked and answered as TEI's

    @property
    def operations(self) -> frozenset[Op]:
        """All that can be asked of it."""
        return self.own | self.tasks.keys()


SERVERS: Final[Mapping[str, Server]] = MappingProxyType(
    {
        "router": Server(
            own=frozenset({Op.CHAT}),
            tasks={
                Op.EMBEDDINGS: f"{_TASKS}/pipeline/feature-extraction",
                Op.RERANK: _TASKS,
                Op.IMAGE_GENERATIONS: _TASKS,
                Op.TRANSCRIPTIONS: _TASKS,
            },
            rooted=True,
        ),
        "tgi": Server(own=frozenset({Op.CHAT, Op.COMPLETIONS}), flavour="tgi"),
        "tei": Server(own=frozenset({Op.EMBEDDINGS}), tasks={Op.RERANK: "rerank"}, rooted=True, scores=True),
        "endpoint": Server(
            own=frozenset(),
            tasks={Op.EMBEDDINGS: "", Op.RERANK: "", Op.IMAGE_GENERATIONS: "", Op.TRANSCRIPTIONS: ""},
        ),
    }
)
SIMILARITY: Final = "sentence-similarity"
RERANKS: Final = ("text-classification", SIMILARITY)
"""By which task a model puts documents in order: a cross-encoder classifies pairs, others compare sentences."""
_SIMILAR: Final = f"{_TASKS}/pipeline/{SIMILARITY}"


@dataclass(frozen=True, slots=True)
class Said:
    """What the options of a model come to."""

    server: Server
    rerank: str

    def path(self, operation: Op, model: str) -> str:
        """Where a task is."""
        path = self.server.tasks[operation]
        if operation is Op.RERANK and path == _TASKS and self.rerank == SIMILARITY:
            path = _SIMILAR
        return path.replace("{model}", model)


def said(options: Mapping[str, object]) -> Said:
    """What options that were checked come to; what is wrong with them counts as not said."""
    server, rerank = options.get("server"), options.get("rerank")
    return Said(
        SERVERS[server] if isinstance(server, str) and server in SERVERS else SERVERS["router"],
        rerank if isinstance(rerank, str) and rerank in RERANKS else RERANKS[0],
    )


def base_url_of(options: Mapping[str, object]) -> str:
    """Where the router is; an endpoint of one's own must be said."""
    return ROUTER if said(options).server is SERVERS["router"] else ""


def misfits(options: Mapping[str, object]) -> Sequence[Misfit]:
    """All that is wrong with the options of a model."""
    known: Mapping[str, Sequence[str]] = {"server": tuple(SERVERS), "rerank": RERANKS}
    found: list[Misfit] = []
    for name, value in options.items():
        if name not in known:
            found.append(Misfit(name, f"one of {', '.join(known)}", name, _near(name, list(known))))
        elif value not in known[name]:
            near = _near(value, known[name])
            found.append(Misfit(name, f"one of {', '.join(known[name])}", value, near))
    return found


def _near(word: object, known: Sequence[str]) -> str | None:
    return next(iter(get_close_matches(str(word), known, 1)), None)
