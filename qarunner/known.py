"""Answers of somebody who may not know: the value, that there is no telling, or that it was refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """The answer. `Known(None)`: certainly there is no such thing."""

    value: T


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is no telling, for the reason that `why` gives; `hint` says what helps."""

    why: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Whoever knows does not tell: `why` and `hint` are in its own words."""

    why: str
    hint: str | None = None


Answer: TypeAlias = "Known[T] | Unknown | Refused"
