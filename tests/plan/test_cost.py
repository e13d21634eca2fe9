"""What a plan costs in money: exact, never guessed, and nothing at all without a price."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.decode import amount
from qarunner.manifest.model import Budget
from qarunner.plan.cost import Counted, Extent, Limits, allowance, cost_notices, cost_of, price_of, with_retries
from qarunner.plan.model import Allowance, Cost, Price
from qarunner.text import as_number, money
from tests.fictional import entry

if TYPE_CHECKING:
    from collections.abc import Mapping

CENT = Price(currency="EUR", per_test=Decimal("0.1"), per_run=Decimal("0.05"))
RUN = Price(currency="EUR", per_run=Decimal("1.5"))


def row(vendor: str = "plain", tests: int = 1, *, guess: bool = False, retries: int = 0) -> Counted:
    return Counted(vendor, tests, guess, retries)


def cost(planned: str, up_to: str, *, at_least: bool = False) -> Cost:
    return Cost(planned=Decimal(planned), up_to=Decimal(up_to), currency="EUR", at_least=at_least)


@pytest.mark.parametrize(
    ("prices", "runs", "rows", "wanted"),
    [
        ({}, {"plain": 1}, [row()], None),
        ({"other": CENT}, {"plain": 1}, [row()], None),
        ({"plain": CENT}, {"plain": 1}, [row(tests=3)], cost("0.35", "0.35")),
        # Two rows share a run; each of their retries may be a run of its own.
        ({"plain": CENT}, {"plain": 1}, [row(tests=3, retries=2), row(retries=1)], cost("0.45", "1.30")),
        ({"plain": CENT, "keyed": RUN}, {"plain": 1, "keyed": 2}, [row(), *[row("keyed")] * 2], cost("3.15", "3.15")),
        ({"plain": CENT}, {"plain": 1}, [row(guess=True, retries=1)], cost("0.15", "0.3", at_least=True)),
        # How many tests it is changes nothing where runs alone are paid.
        ({"keyed": RUN}, {"keyed": 1}, [row("keyed", guess=True)], cost("1.5", "1.5")),
        # Only what has a price is counted.
        ({"plain": CENT}, {"plain": 1, "keyed": 1}, [row(), row("keyed", guess=True)], cost("0.15", "0.15")),
    ],
)
def test_what_rows_cost(
    prices: Mapping[str, Price], runs: Mapping[str, int], rows: list[Counted], wanted: Cost | None
) -> None:
    assert cost_of(prices, runs, rows) == wanted


@given(st.decimals("0", "1000", places=4), st.integers(1, 3000))
def test_a_sum_is_exact_whatever_the_order(each: Decimal, count: int) -> None:
    price = Price(currency="EUR", per_test=amount(float(each)))
    found = cost_of({"plain": price}, {"plain": count}, [row() for _ in range(count)])
    assert found is not None
    assert found.planned == each * count
    assert amount(as_number(found.planned)) == found.planned


@pytest.mark.parametrize(
    ("value", "shown"),
    [("4.25", "4.25 EUR"), ("8", "8.00 EUR"), ("4.50", "4.50 EUR"), ("0.1250", "0.125 EUR"), ("1E+3", "1000.00 EUR")],
)
def test_amounts_are_shown_alike(value: str, shown: str) -> None:
    assert money(Decimal(value), "EUR") == shown


@pytest.mark.parametrize("value", ["", "-1", "1,5", "1e3", "EUR 3", "0.1234567", ".5", "٣", True, None, [1]])
def test_what_is_no_amount(value: object) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        amount(value)


def test_a_price_that_a_variable_decides_is_not_known() -> None:
    assert price_of({}) is None
    assert price_of({"price": {"per_test": "{{ env.X }}", "currency": "EUR"}}) is None
    assert price_of({"price": {"per_test": "0.10", "currency": "EUR"}}) == Price(
        currency="EUR", per_test=Decimal("0.10")
    )


def test_what_is_not_in_a_cost_is_said() -> None:
    entries = [entry("a", "plain"), entry("b", "keyed")]
    notices = list(cost_notices(cost("1", "1", at_least=True), {"plain": CENT}, entries))
    assert notices[0] == "keyed has no price: its runs are not in the cost"
    assert list(cost_notices(None, {}, entries)) == []
    assert with_retries(cost("1", "2", at_least=True)) == "at least 1.00 EUR, at least 2.00 EUR with retries"


def test_each_shard_gets_its_part_of_what_is_left_to_retries() -> None:
    entries = [entry(name, "plain") for name in "abcd"]
    whole = Extent(entries=entries, cost=cost("4", "8"))
    own = Extent(entries=entries[:1], cost=cost("1", "2"))
    budget = Budget(max_tests=11, max_cost=Decimal(5), per_vendor={"plain": 6}, count_retries=True)
    assert allowance(budget, whole, own, Limits(), 3) == Allowance(
        max_tests=3, max_cost=Decimal("1.333333"), per_vendor={"plain": 1}
    )
    assert allowance(budget, whole, whole, Limits(max_tests=7, max_cost=Decimal("4.5")), 1) == Allowance(
        max_tests=7, max_cost=Decimal("4.5"), per_vendor={"plain": 6}
    )
    assert allowance(Budget(max_tests=4), whole, whole, Limits(), 1) is None
