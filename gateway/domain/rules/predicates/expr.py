"""`expr = "model.context_window > 32000"`: anything else, as an expression about the candidate."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.domain.rules.known import Basis
from gateway.domain.rules.reading import TEXT, Reader, Unfit
from gateway.domain.rules.scene import Answer, Expression, Scene, Verdicts

KIND = "expr"


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
    def basis(self) -> Basis:
        """What the expression asks for."""
        return Basis.REQUEST if self.expression is None else self.expression.basis

    def judge(self, scene: Scene) -> Verdicts:
        """The answers about all candidates."""
        if self.expression is None:
            return Verdicts(0, scene.every)
        answers: list[Answer] = [False] * len(scene.models)
        for i in scene.left:
            answers[i] = self.expression.ask(scene, i)[0]
        return scene.verdicts(answers)

    def why(self, scene: Scene, at: int) -> str:
        """What the expression said."""
        return told(self.expression, scene, at)


def told(expression: Expression | None, scene: Scene, at: int | None) -> str:
    """What an expression said, in words."""
    answer, problem = (None, "it was not compiled") if expression is None else expression.ask(scene, at)
    if answer is None:
        return f"the expression is unknown: {problem}"
    return f"the expression is {'true' if answer else 'false'}"


def compiled(reader: Reader, *, about_model: bool) -> tuple[str, Expression | None]:
    """The expression of an object; what does not compile is noted."""
    text = reader.required(KIND, TEXT, "")
    if not text:
        return "", None
    try:
        return text, reader.compile(text, about_model)
    except Unfit as error:
        reader.wrong(KIND, f"needs an expression that answers true or false: {error}", error.near)
        return text, None


def read(reader: Reader) -> Expr:
    """An expression that may ask for `model` too."""
    return Expr(*compiled(reader, about_model=True))
