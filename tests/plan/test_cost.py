"""What a plan costs in money: exact, never guessed, and nothing at all without a price."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from qarunner.decode import amount
from qarunner.entry import Retries, Selection, SelectionKind
from qarunner.errors import OverBudget, UserError
from qarunner.manifest.model import Budget
from qarunner.plan.cost import (
    Counted,
    Extent,
    Limits,
    allowance,
    check_budget,
    check_priced,
    cost_notices,
    cost_of,
    counted,
    money_data,
    price_of,
    prices_of,
    total,
    with_retries,
    within,
)
from qarunner.plan.model import Allowance, Cost, Price
from qarunner.text import as_number, money
from tests.fictional import entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.entry import Entry

CENT = Price(currency="EUR", per_test=Decimal("0.1"), per_run=Decimal("0.05"))
RUN = Price(currency="EUR", per_run=Decimal("1.5"))


CATEGORIES = Selection(kind=SelectionKind.CATEGORY_IDS, ids=("smoke", "nightly"))


UNKNOWN = "only the vendor knows how many tests these have"


def guess(name: str, vendor: str = "plain") -> Entry:
    """An entry whose number of tests only the vendor knows."""
    return replace(entry(name, vendor), selection=CATEGORIES)


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


def test_a_row_costs_its_tests_at_its_vendor_and_as_many_attempts_more_as_it_may_have() -> None:
    subject = entry("a", "plain")
    subject = replace(subject, policy=replace(subject.policy, retries=Retries(failed=2, infra=3)))
    assert counted(replace(subject, estimate=4)) == row(tests=4, retries=5)
    assert counted(replace(subject, selection=CATEGORIES)) == row(tests=2, guess=True, retries=5)


def test_the_price_of_a_run_and_of_a_test_are_read_where_there_is_one() -> None:
    settings: dict[str, dict[str, object]] = {
        "plain": {"price": {"per_run": "1.5", "currency": "EUR"}},
        "keyed": {"project": "p"},
    }
    assert prices_of(settings) == {"plain": RUN}


def test_what_is_not_in_a_cost_is_said() -> None:
    entries = [entry("a", "plain"), entry("b", "keyed"), *(guess(name) for name in "cdefg")]
    notices = list(cost_notices(cost("1", "1", at_least=True), {"plain": CENT}, [*entries, guess("h", "keyed")]))
    assert notices == [
        "keyed has no price: its runs are not in the cost",
        f"{UNKNOWN}: c, d, e and 2 more; the cost counts one for each category (estimate: N says how many it is)",
    ]
    few = list(
        cost_notices(cost("1", "1", at_least=True), {"plain": CENT, "keyed": RUN}, [*entries[:5], guess("h", "keyed")])
    )
    assert [notice.partition(";")[0] for notice in few] == [f"{UNKNOWN}: c, d, e"]
    assert list(cost_notices(cost("1", "1"), {"plain": CENT}, [guess("c")])) == []
    assert list(cost_notices(None, {}, entries)) == []


def test_a_cost_is_shown_with_its_retries_and_whether_it_is_the_least() -> None:
    assert with_retries(cost("1", "2", at_least=True)) == "at least 1.00 EUR, at least 2.00 EUR with retries"
    assert with_retries(cost("1", "2")) == "1.00 EUR, up to 2.00 EUR with retries"
    assert money_data(cost("1", "2.5")) == {"planned": 1, "up_to": 2.5, "currency": "EUR"}
    assert money_data(cost("1", "2.5", at_least=True))["at_least"] is True


def test_costs_of_several_plans_have_a_sum_in_one_currency_alone() -> None:
    first = Cost(planned=Decimal("1.50"), up_to=Decimal(3), currency="EUR")
    least = Cost(planned=Decimal("0.25"), up_to=Decimal("0.5"), currency="EUR", at_least=True)
    assert total([first, least]) == Cost(planned=Decimal("1.75"), up_to=Decimal("3.5"), currency="EUR", at_least=True)
    assert total([first]) == first
    assert total([first, first]) == Cost(planned=Decimal(3), up_to=Decimal(6), currency="EUR")
    assert total([first, replace(first, currency="USD")]) is None
    assert total([]) is None


def test_limits_make_a_budget_tighter_and_never_wider() -> None:
    budget = Budget(max_tests=5, max_cost=Decimal(7), per_vendor={"plain": 3}, count_retries=True)
    assert within(budget, Limits()) == budget
    assert within(budget, Limits(max_tests=9, max_cost=Decimal(9))) == budget
    tight = within(budget, Limits(max_tests=4, max_cost=Decimal(6)))
    assert tight == replace(budget, max_tests=4, max_cost=Decimal(6))
    assert within(Budget(), Limits(max_tests=4, max_cost=Decimal(6))) == Budget(max_tests=4, max_cost=Decimal(6))
    assert within(Budget(), Limits()) == Budget()


def test_every_limit_of_money_that_is_exceeded_is_named() -> None:
    whole, part = (Extent(entries=[entry(name, "plain")], cost=cost(name, "9")) for name in "53")
    check_budget(whole, Budget(max_cost=Decimal(5)), part, Limits(max_cost=Decimal(3)), Limits(max_cost=Decimal(5)))
    with pytest.raises(OverBudget) as caught:
        check_budget(whole, Budget(max_cost=Decimal(4)), part, Limits(max_cost=Decimal(2)), Limits(max_cost=Decimal(1)))
    assert str(caught.value) == (
        "the plan costs 3.00 EUR, --max-cost allows 2.00 EUR; "
        "the plan costs 5.00 EUR, limits.max_cost allows 1.00 EUR; "
        "the plan costs 5.00 EUR, budget.max_cost allows 4.00 EUR; nothing was sent"
    )


def test_a_limit_of_money_needs_a_price() -> None:
    check_priced({"plain": {}}, Limits())
    check_priced({"plain": {}, "keyed": {"price": {"per_test": "{{ env.X }}"}}}, Limits(max_cost=Decimal(1)))
    with pytest.raises(UserError, match=r"^--max-cost: no vendor of this manifest has a price$") as caught:
        check_priced({"plain": {"poll": {}}}, Limits(max_cost=Decimal(1)))
    example = "vendors: { NAME: { price: { per_test: 0.25, currency: EUR } } }"
    assert caught.value.hint == f"give the vendors one: {example}"


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
    assert allowance(Budget(count_retries=True), whole, own, Limits(), 3) == Allowance(max_tests=None, max_cost=None)
    little = Budget(max_cost=Decimal("4.000002"), count_retries=True)
    part = allowance(little, whole, own, Limits(), 3)
    assert part == Allowance(max_tests=None, max_cost=Decimal(1)), "rounded up, three parts are more than the whole"
    free = Extent(entries=entries[:1])
    unpaid = allowance(Budget(max_cost=Decimal(5), count_retries=True), whole, free, Limits(), 3)
    assert unpaid == Allowance(max_tests=None, max_cost=Decimal("0.333333"))
