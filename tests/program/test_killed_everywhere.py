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


def test_nothing_is_paid_twice_and_nothing_is_lost(begin: Begin, at_once: AtOnce) -> None:
    whole = undisturbed(begin)
    kills = [(point, number) for point in POINTS for number in some(range(1, whole.points[point] + 1), EACH)]
    outcomes: list[str] = []
    at_once(kills, lambda kill: outcomes.append(killed_at(begin, whole, *kill)))
    assert len(outcomes) == len(kills)
    assert outcomes.count("not reached") <= 2 * len(POINTS) + len(kills) // 10
