"""`expr = "request.input_tokens > 20000"`: anything else, as an expression about the request."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.domain.rules.predicates.expr import KIND, compiled, told
from gateway.domain.rules.reading import Reader
from gateway.domain.rules.scene import Answer, Expression, Scene

__all__ = ["KIND", "Expr", "read"]


@dataclass(frozen=True, slots=True)
class Expr:
    """Holds where its expression is true; unknown where it cannot be worked out."""

    text: str
    expression: Expression | None = field(compare=False, repr=False)

    @property
    def live(self) -> bool:
        """Whether it asks for anything live."""
        return self.expression is not None and self.expression.live

    @property
    def words(self) -> None:
        """It may ask for anything."""
        return

    def holds(self, scene: Scene) -> Answer:
        """What the expression says."""
        return None if self.expression is None else self.expression.ask(scene, None)[0]

    def why(self, scene: Scene) -> str:
        """The same in words."""
        return told(self.expression, scene, None)


def read(reader: Reader) -> list[Expr]:
    """An expression that asks for the request, the caller and the gateway alone."""
    return [Expr(*compiled(reader, about_model=False))]
