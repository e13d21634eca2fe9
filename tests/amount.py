"""How much is tried, `make test` or `make test-full` (QARUNNER_TESTS=full), and how long is waited for what hangs."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

T = TypeVar("T")
FULL = os.environ.get("QARUNNER_TESTS") == "full"
PATIENCE_S = 60.0
"""So long is waited for what comes at once: a guard against hanging, never a measure of speed."""


def some(cases: Sequence[T], number: int) -> Sequence[T]:
    """All cases in a full run; otherwise so many of them, spread evenly from the first to the last."""
    if FULL or number >= len(cases):
        return cases
    return [cases[round(step * (len(cases) - 1) / max(1, number - 1))] for step in range(number)]


def examples(times: float) -> settings:
    """So many times the examples of the profile, for a property with much to find."""
    usual = settings.default.max_examples if settings.default else 100
    return settings(max_examples=round(usual * times))


@contextmanager
def no_long_time() -> Iterator[None]:
    """For work that is quick on any machine, and endless where its steps grow faster than its input."""
    began = time.process_time()
    yield
    assert time.process_time() - began < PATIENCE_S
