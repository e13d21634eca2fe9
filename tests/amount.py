"""How much is tried: `make test` in minutes, `make test-full` (QARUNNER_TESTS=full) all of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
FULL = os.environ.get("QARUNNER_TESTS") == "full"


def some(cases: Sequence[T], number: int) -> Sequence[T]:
    """All cases in a full run; otherwise so many of them, spread evenly, the first and the last among them."""
    if FULL or number >= len(cases):
        return cases
    return [cases[round(step * (len(cases) - 1) / (number - 1))] for step in range(number)]


def examples(times: float) -> settings:
    """So many times the examples of the profile, for a property with much to find."""
    usual = settings.default.max_examples if settings.default else 100
    return settings(max_examples=round(usual * times))
