"""What a plan costs in tests, and what is said where that is too much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from qarunner.diagnostics import Place
from qarunner.entry import Selection, SelectionKind
from qarunner.errors import OverBudget
from qarunner.manifest.model import Budget
from qarunner.plan.cost import Extent, Limits, check_budget, is_guess
from qarunner.plan.cost import tests_of as cost_of  # pytest would take the name for a test
from tests.fictional import entry

if TYPE_CHECKING:
    from qarunner.entry import Entry

TESTS = Selection(kind=SelectionKind.TEST_IDS, ids=("1", "2", "3"))
CATEGORIES = Selection(kind=SelectionKind.CATEGORY_IDS, ids=("smoke", "nightly"))
TAGS = Selection(kind=SelectionKind.TAGS, ids=("smoke", "nightly"))


def of(selection: Selection | None, *, estimate: int | None = None, name: str = "a", vendor: str = "plain") -> Entry:
    return replace(
        entry(name, vendor),
        selection=selection,
        estimate=estimate,
        origin=Place(file="qa-matrix.yml", line=len(name), column=5),
    )


@pytest.mark.parametrize(
    ("subject", "number", "guess"),
    [
        (of(TESTS), 3, False),
        (of(CATEGORIES), 2, True),
        (of(TAGS), 1, True),
        (of(None), 1, True),
        (of(TESTS, estimate=7), 7, False),
        (of(CATEGORIES, estimate=7), 7, False),
        (of(TAGS, estimate=0), 0, False),
    ],
)
def test_an_entry_costs_what_it_names_or_its_estimate(subject: Entry, number: int, guess: bool) -> None:  # noqa: FBT001  parameters of a test
    assert (cost_of(subject), is_guess(subject)) == (number, guess)


def check(entries: list[Entry], budget: Budget, most: int | None = None, started: list[Entry] | None = None) -> None:
    whole, own = (Extent(entries=each) for each in (entries, entries if started is None else started))
    check_budget(whole, budget, own, Limits(max_tests=most))


def over(entries: list[Entry], budget: Budget, most: int | None = None) -> OverBudget:
    with pytest.raises(OverBudget) as caught:
        check(entries, budget, most)
    return caught.value


def test_a_plan_may_cost_as_much_as_is_allowed() -> None:
    entries = [of(TESTS), of(CATEGORIES, name="b", vendor="keyed")]
    check(entries, Budget())
    check(entries, Budget(max_tests=5, per_vendor={"plain": 3, "keyed": 2, "other": 0}), 5)


def test_every_limit_that_is_exceeded_is_told_with_the_entries_that_cost_most() -> None:
    entries = [of(TESTS, name="a"), of(TESTS, estimate=9, name="bb"), of(CATEGORIES, name="ccc", vendor="keyed")]
    error = over(entries, Budget(max_tests=12, per_vendor={"keyed": 1, "plain": 11}), 13)
    assert error.message == (
        "the plan runs at least 14 tests, --max-tests allows 13; "
        "the plan runs at least 14 tests, budget.max_tests allows 12; "
        "keyed runs at least 2 tests, budget.per_vendor allows 1; plain runs 12 tests, budget.per_vendor allows 11; "
        "nothing was sent"
    )
    assert error.hint == ("choose fewer entries, or raise the limit; estimate: N says how many tests a category has")
    assert error.details == (
        "bb  plain  9 tests  qa-matrix.yml:2",
        "a  plain  3 tests  qa-matrix.yml:1",
        "ccc  keyed  2 tests (no estimate: a category counts as 1)  qa-matrix.yml:3",
    )


def test_a_shard_counts_what_it_starts_and_the_budget_is_for_all() -> None:
    entries = [of(TESTS, name="a"), of(TESTS, name="bb")]
    check(entries, Budget(max_tests=6), 3, entries[:1])
    with pytest.raises(OverBudget, match=r"^the plan runs 6 tests, budget\.max_tests allows 5; nothing was sent$"):
        check(entries, Budget(max_tests=5), 3, entries[:1])


def test_only_entries_of_the_vendor_are_to_blame_for_its_limit() -> None:
    entries = [of(TESTS, name="a"), of(Selection(kind=SelectionKind.TEST_IDS, ids=("1",)), name="bb", vendor="keyed")]
    error = over(entries, Budget(per_vendor={"keyed": 0}))
    assert error.message == "keyed runs 1 test, budget.per_vendor allows 0; nothing was sent"
    assert error.details == ("bb  keyed  1 test  qa-matrix.yml:2",)
    assert error.hint == "choose fewer entries, or raise the limit"


def test_ten_entries_are_shown_and_the_rest_is_counted() -> None:
    entries = [of(TESTS, name="x" * number) for number in range(1, 12)]
    assert len(over(entries[:10], Budget(max_tests=0)).details) == 10
    details = over(entries[::-1], Budget(max_tests=0)).details
    assert details[0].startswith("x  plain")
    assert details[9:] == ("xxxxxxxxxx  plain  3 tests  qa-matrix.yml:10", "… and 1 more")
