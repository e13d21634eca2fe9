"""Rows over CI jobs: each in one of them, evenly, and wherever it stands in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.errors import UserError
from qarunner.manifest.select import Shard, fingerprint, parse_shard, split

if TYPE_CHECKING:
    import random

ROWS = [f"e{number}" for number in range(12)]


@st.composite
def matrices(draw: st.DrawFn) -> tuple[dict[str, float], dict[str, list[str]]]:
    rows = draw(st.lists(st.sampled_from(ROWS), unique=True))
    weight = {row: draw(st.floats(0.1, 100)) for row in rows}
    needs = {row: draw(st.lists(st.sampled_from(ROWS), max_size=2)) for row in rows}
    return weight, needs


@given(matrices(), st.integers(1, 8), st.randoms(use_true_random=False))
def test_every_row_is_in_one_shard_with_what_it_needs_in_whatever_order(
    matrix: tuple[dict[str, float], dict[str, list[str]]], count: int, chance: random.Random
) -> None:
    weight, needs = matrix
    shards = split(weight, needs, count)
    assert set(shards) == set(weight)
    assert all(1 <= shard <= count for shard in shards.values())
    assert all(shards[row] == shards[need] for row in weight for need in needs[row] if need in weight)
    shuffled = list(weight)
    chance.shuffle(shuffled)
    again = split({row: weight[row] for row in shuffled}, needs, count)
    assert again == shards
    assert fingerprint(again) == fingerprint(shards)


def test_shards_are_even() -> None:
    weight = {f"e{number}": float(number % 7 + 1) for number in range(200)}
    shards = split(weight, {}, 4)
    loads = [sum(weight[row] for row in weight if shards[row] == shard) for shard in range(1, 5)]
    assert max(loads) - min(loads) <= 7


def test_shards_are_counted_from_one() -> None:
    assert parse_shard("1/4") == Shard(1, 4)
    assert str(parse_shard(" 4/4 ")) == "4/4"
    for text in ("0/4", "5/4", "1/0", "1", "a/b", "-1/4", "1/4/2", ""):
        with pytest.raises(UserError) as caught:
            parse_shard(text)
        assert caught.value.hint
