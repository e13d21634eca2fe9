"""What a plan costs in tests and in money, and whether that is allowed: known before anything is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from qarunner.decode import amount, as_mapping
from qarunner.entry import Entry, SelectionKind
from qarunner.errors import OverBudget, UserError
from qarunner.plan.model import Allowance, Cost, Price
from qarunner.text import as_number, listed, money, plural

if TYPE_CHECKING:
    from qarunner.manifest.model import Budget


_SHOWN = 10

_NAMED = 3

_SMALLEST = Decimal("0.000001")


# --- tests ------------------------------------------------------------------------------------------------------------


def tests_of(entry: Entry) -> int:
    """How many tests an entry runs: those that it names, its estimate, or one for each category."""
    if entry.estimate is not None:
        return entry.estimate
    if entry.selection is None or entry.selection.kind is SelectionKind.TAGS:
        return 1
    return len(entry.selection.ids)


def is_guess(entry: Entry) -> bool:
    """Whether only the vendor knows how many tests it is."""
    named = entry.selection is not None and entry.selection.kind is SelectionKind.TEST_IDS
    return entry.estimate is None and not named


def count_tests(entries: Sequence[Entry]) -> str:
    """`7 tests`, or `at least 7 tests` where a category counts as one of them."""
    tests = plural(sum(map(tests_of, entries)), "test")
    return f"at least {tests}" if any(map(is_guess, entries)) else tests


# --- money ------------------------------------------------------------------------------------------------------------


class Counted(NamedTuple):
    """A row as far as it costs. `guess`: only the vendor knows how many tests it is; `retries` are attempts more."""

    vendor: str
    tests: int
    guess: bool
    retries: int


def counted(entry: Entry) -> Counted:
    retries = entry.policy.retries
    return Counted(entry.vendor, tests_of(entry), is_guess(entry), retries.failed + retries.infra)


def price_of(settings: Mapping[str, object]) -> Price | None:
    """What the settings of a vendor say of its price; None where they say nothing, or a variable decides."""
    data = as_mapping(settings.get("price"))
    if "currency" not in data:
        return None
    try:
        amounts = {key: amount(data[key]) for key in ("per_test", "per_run") if key in data}
    except ValueError:
        return None
    return Price(currency=str(data["currency"]), **amounts)


def prices_of(settings: Mapping[str, Mapping[str, object]]) -> dict[str, Price]:
    """The vendors that have a price."""
    return {
        name: price for name, vendor_settings in settings.items() if (price := price_of(vendor_settings)) is not None
    }


def cost_of(prices: Mapping[str, Price], runs: Mapping[str, int], rows: Iterable[Counted]) -> Cost | None:
    """What rows cost that are sent in so many runs a vendor; None if no vendor of them has a price.

    A retry may repeat a row whole, in a run of its own: so much it costs at most.
    """
    priced = {vendor: price for vendor, price in prices.items() if runs.get(vendor)}
    if not priced:
        return None
    planned = sum((price.of(runs[vendor], 0) for vendor, price in priced.items()), Decimal(0))
    more, at_least = Decimal(0), False
    for row in rows:
        if (price := priced.get(row.vendor)) is not None:
            planned += price.of(0, row.tests)
            more += row.retries * price.of(1, row.tests)
            at_least = at_least or (row.guess and price.per_test > 0)
    currency = next(iter(priced.values())).currency
    return Cost(planned=planned, up_to=planned + more, currency=currency, at_least=at_least)


def cost_notices(cost: Cost | None, prices: Mapping[str, Price], entries: Sequence[Entry]) -> Iterator[str]:
    """What the cost leaves out; nothing where no price is set."""
    if cost is None:
        return
    for vendor in dict.fromkeys(entry.vendor for entry in entries):
        if vendor not in prices:
            yield f"{vendor} has no price: its runs are not in the cost"
    if cost.at_least:
        unknown = [
            entry.id
            for entry in entries
            if is_guess(entry) and entry.vendor in prices and prices[entry.vendor].per_test > 0
        ]
        yield (
            f"only the vendor knows how many tests these have: {listed(unknown, _NAMED)}; "
            "the cost counts one for each category (estimate: N says how many it is)"
        )


def total(costs: Sequence[Cost]) -> Cost | None:
    """The sum; of amounts in several currencies there is no sum."""
    if len({cost.currency for cost in costs}) != 1:
        return None
    return Cost(
        planned=sum((cost.planned for cost in costs), Decimal(0)),
        up_to=sum((cost.up_to for cost in costs), Decimal(0)),
        currency=costs[0].currency,
        at_least=any(cost.at_least for cost in costs),
    )


def amount_of(cost: Cost, value: Decimal) -> str:
    """`4.25 EUR`, or `at least 4.25 EUR` where only the vendors know how many tests there are."""
    return f"{'at least ' if cost.at_least else ''}{money(value, cost.currency)}"


def with_retries(cost: Cost) -> str:
    """`4.25 EUR, up to 8.50 EUR with retries`."""
    most = "" if cost.at_least else "up to "
    return f"{amount_of(cost, cost.planned)}, {most}{amount_of(cost, cost.up_to)} with retries"


def money_data(cost: Cost) -> dict[str, object]:
    """The same for programs."""
    least = {"at_least": True} if cost.at_least else {}
    return {"planned": as_number(cost.planned), "up_to": as_number(cost.up_to), "currency": cost.currency, **least}


# --- the budget -------------------------------------------------------------------------------------------------------


class Limits(Struct, frozen=True, kw_only=True):
    """What the command line allows to be started."""

    max_tests: int | None = None
    max_cost: Decimal | None = None


NO_LIMITS = Limits()


def within(budget: Budget, limits: Limits) -> Budget:
    """The budget with limits that it cannot exceed."""
    tests = [bound for bound in (budget.max_tests, limits.max_tests) if bound is not None]
    worth = [bound for bound in (budget.max_cost, limits.max_cost) if bound is not None]
    return replace(budget, max_tests=min(tests, default=None), max_cost=min(worth, default=None))


class Extent(Struct, frozen=True, kw_only=True):
    """Entries with what they cost together."""

    entries: Sequence[Entry]
    cost: Cost | None = None

    @property
    def tests(self) -> int:
        return sum(map(tests_of, self.entries))

    def by_vendor(self) -> Counter[str]:
        tests: Counter[str] = Counter()
        for entry in self.entries:
            tests[entry.vendor] += tests_of(entry)
        return tests


def check_budget(whole: Extent, budget: Budget, started: Extent, most: Limits, limits: Limits = NO_LIMITS) -> None:
    """OverBudget with every limit that is exceeded, and the entries that cost the most.

    The budget and the `limits` of the base are for the `whole` of all shards, `most` for what this process starts.
    """
    asked = [("--max-", most, started), ("limits.max_", limits, whole)]
    asked.append(("budget.max_", Limits(max_tests=budget.max_tests, max_cost=budget.max_cost), whole))
    problems = [*_exceeded(asked), *_exceeded_by_vendor(whole, budget)]
    if not problems:
        return
    exceeded = "; ".join(message for message, _ in problems)
    guilty = {entry.id: entry for _, group in problems for entry in group}
    costly = sorted(guilty.values(), key=lambda entry: (-tests_of(entry), entry.id))
    lines = [_line(entry) for entry in costly[:_SHOWN]]
    if len(costly) > _SHOWN:
        lines.append(f"… and {len(costly) - _SHOWN} more")
    raise OverBudget(f"{exceeded}; nothing was sent", hint=_hint(costly), details=lines)


def _exceeded(asked: Iterable[tuple[str, Limits, Extent]]) -> Iterator[tuple[str, Sequence[Entry]]]:
    """Each with the beginning of the limits' names."""
    for name, limits, extent in asked:
        cost = extent.cost
        if limits.max_tests is not None and extent.tests > limits.max_tests:
            yield f"the plan runs {count_tests(extent.entries)}, {name}tests allows {limits.max_tests}", extent.entries
        if limits.max_cost is not None and cost is not None and cost.planned > limits.max_cost:
            allowed = money(limits.max_cost, cost.currency)
            yield f"the plan costs {amount_of(cost, cost.planned)}, {name}cost allows {allowed}", extent.entries


def _exceeded_by_vendor(whole: Extent, budget: Budget) -> Iterator[tuple[str, Sequence[Entry]]]:
    tests = whole.by_vendor()
    for vendor, limit in budget.per_vendor.items():
        if tests[vendor] > limit:
            entries = [entry for entry in whole.entries if entry.vendor == vendor]
            yield f"{vendor} runs {count_tests(entries)}, budget.per_vendor allows {limit}", entries


def _line(entry: Entry) -> str:
    guess = " (no estimate: a category counts as 1)" if is_guess(entry) else ""
    tests = plural(tests_of(entry), "test")
    return f"{entry.id}  {entry.vendor}  {tests}{guess}  {entry.origin.file}:{entry.origin.line}"


def _hint(entries: Sequence[Entry]) -> str:
    text = "choose fewer entries, or raise the limit"
    return f"{text}; estimate: N says how many tests a category has" if any(map(is_guess, entries)) else text


def check_priced(settings: Mapping[str, Mapping[str, object]], most: Limits) -> None:
    """UserError for a limit of money where no vendor has a price: it would limit nothing."""
    if most.max_cost is not None and not any("price" in vendor_settings for vendor_settings in settings.values()):
        hint = "give the vendors one: vendors: { NAME: { price: { per_test: 0.25, currency: EUR } } }"
        raise UserError("--max-cost: no vendor of this manifest has a price", hint=hint)


def allowance(budget: Budget, whole: Extent, started: Extent, most: Limits, parts: int) -> Allowance | None:
    """What the process may use with its retries; None if nothing limits them.

    Of what the budget leaves to retries, each of the `parts` of the whole gets the same.
    """
    if not budget.count_retries:
        return None
    tests = [most.max_tests] if most.max_tests is not None else []
    if budget.max_tests is not None:
        tests.append(started.tests + (budget.max_tests - whole.tests) // parts)
    worth = [most.max_cost] if most.max_cost is not None else []
    if budget.max_cost is not None and whole.cost is not None:
        planned = started.cost.planned if started.cost is not None else Decimal(0)
        rest = ((budget.max_cost - whole.cost.planned) / parts).quantize(_SMALLEST, ROUND_DOWN)
        worth.append(planned + rest)
    everywhere, started_tests = whole.by_vendor(), started.by_vendor()
    return Allowance(
        max_tests=min(tests, default=None),
        max_cost=min(worth, default=None),
        per_vendor={
            vendor: started_tests[vendor] + (limit - everywhere[vendor]) // parts
            for vendor, limit in budget.per_vendor.items()
        },
    )
