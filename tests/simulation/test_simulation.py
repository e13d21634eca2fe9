"""Worlds by chance, each of which keeps the three promises: 120, and 2,000 in a full run."""

from __future__ import annotations

import pytest

from tests.amount import FULL
from tests.simulation.mends import ROOT, mends
from tests.simulation.worlds import World, live

PARTS, SEEDS = (80, 25) if FULL else (6, 20)
"""Parts of so many worlds each."""


@pytest.mark.parametrize("part", range(PARTS))
def test_the_promises_hold_whatever_happens(part: int) -> None:
    for seed in range(part * SEEDS, (part + 1) * SEEDS):
        live(seed)


def test_a_seed_replays_to_the_letter() -> None:
    for seed in range(7, 2000, 401 if FULL else 992):
        first, second = (World.of(seed).live() for _ in range(2))
        assert [str(each) for each in first.network.sent] == [str(each) for each in second.network.sent]
        assert first.events == second.events


def test_every_mend_that_can_be_taken_out_stands_where_its_table_says() -> None:
    for mend in mends():
        compile(mend.taken_out_of(ROOT / "qarunner"), mend.file, "exec")
        if mend.witness is not None:
            file, _, test = mend.witness.partition("::")
            assert f"def {test.partition('[')[0]}(" in (ROOT / file).read_text(encoding="utf-8"), mend.witness
