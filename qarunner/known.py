"""What is known, and what is not known yet or cannot be."""

from __future__ import annotations

from typing import Generic, TypeAlias, TypeGuard, TypeVar

from msgspec import Struct

from qarunner.secret import OPEN

T = TypeVar("T")


class Known(Struct, Generic[T], frozen=True):
    """The answer. `Known(None)`: certainly there is no such thing."""

    value: T


class Unknown(Struct, frozen=True):
    """There is no telling, for the reason that `why` gives; `hint` says what helps."""

    why: str
    hint: str | None = None


class Refused(Struct, frozen=True):
    """Whoever knows does not tell: `why` and `hint` are in its own words."""

    why: str
    hint: str | None = None


def holds_template(text: str) -> bool:
    return "{" in text and ("{{" in text or "{%" in text or "{#" in text)


def is_open(value: object) -> TypeGuard[str]:
    """True for a text that is known only later: a template is rendered, or a secret's placeholder revealed."""
    return isinstance(value, str) and (holds_template(value) or OPEN in value)


Answer: TypeAlias = "Known[T] | Unknown | Refused"
