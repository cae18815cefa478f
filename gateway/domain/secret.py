"""A value that must not be printed: passwords, keys and tokens travel as a `Secret`."""

import hmac
from typing import Any, Final, NoReturn

MASK: Final = "****"


class Secret:
    """Text that shows as `****` wherever it is printed, formatted, logged, put into JSON or pickled.

    `reveal()` is the one way to the text, so that a search for it finds every place where one leaves its box.
    An empty secret is false: `if settings.postgres.url:` asks whether one was given.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str = "") -> None:
        object.__setattr__(self, "_Secret__text", text)

    def reveal(self) -> str:
        """Return the text itself: give it to the library that needs it, and keep it nowhere."""
        text: str = object.__getattribute__(self, "_Secret__text")
        return text

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a secret is frozen")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a secret is frozen")

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        # Compared in constant time, since a secret may be compared with what a stranger sent.
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash((Secret, self.reveal()))

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Secret":
        return self

    def __reduce__(self) -> tuple[type["Secret"], tuple[str]]:
        # A pickle is a file that somebody else may read: what comes back is the mask, not the secret.
        return Secret, (MASK,)
