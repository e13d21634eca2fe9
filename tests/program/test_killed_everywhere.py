"""One process lost at each kind of point of an apply over all four vendors; `benchmarks/survival.py` tries them all."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.amount import some
from tests.program.killing import POINTS, killed_at, undisturbed

if TYPE_CHECKING:
    from tests.program.conftest import AtOnce, Begin

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes as POSIX does")

EACH = 3
"""How many kills of each kind, where not all of them are wanted."""


@pytest.mark.parametrize("point", POINTS)
def test_nothing_is_paid_twice_and_nothing_is_lost(begin: Begin, at_once: AtOnce, point: str) -> None:
    whole = undisturbed(begin)
    outcomes: list[str] = []
    numbers = some(range(1, whole.points[point] + 1), EACH)
    at_once(numbers, lambda number: outcomes.append(killed_at(begin, whole, point, number)))
    assert len(outcomes) == len(numbers)
    assert outcomes.count("not reached") <= 2 + len(numbers) // 10
