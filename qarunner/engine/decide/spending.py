"""What a run has cost so far, and what its budget leaves to retries. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from qarunner.engine.decide.attempts import outcome_so_far
from qarunner.engine.state.run import JobState, Phase, Run
from qarunner.entry import Entry, SelectionKind
from qarunner.plan.cost import is_guess, tests_of
from qarunner.text import money, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qarunner.plan.model import Price


class Spent(NamedTuple):
    """`at_least`: some create may or may not have made a run, or a vendor has not said how many tests it ran."""

    amount: Decimal
    at_least: bool


def spent(run: Run) -> Spent:
    """What was started at vendors that have a price, all attempts together. What was cancelled was started, too."""
    amount, at_least = Decimal(0), False
    for state in run.jobs.values():
        price = price_at(run, state.job.vendor)
        if price is None:
            at_least = at_least or state.job.vendor not in run.plan.vendors  # a missing shard
            continue
        if state.phase in {Phase.UNCERTAIN, Phase.SUBMITTING}:
            at_least = True
        elif state.runs:
            counted = [tests_run(state, entry) for entry in state.entries.values()]
            amount += price.of(1, sum(tests for tests, _ in counted))
            at_least = at_least or (price.per_test > 0 and not all(known for _, known in counted))
    return Spent(amount, at_least)


def price_at(run: Run, vendor: str) -> Price | None:
    settings = run.plan.vendors.get(vendor)
    return settings.price or None if settings is not None else None


def tests_run(state: JobState, entry: Entry) -> tuple[int, bool]:
    """How many tests one attempt ran for an entry, and whether that is known: what is named, or what has a result."""
    if entry.selection is not None and entry.selection.kind is SelectionKind.TEST_IDS:
        return len(entry.selection.ids), True
    outcome = outcome_so_far(state, entry.id)
    count = 0 if outcome is None else len(outcome.cases) + sum(outcome.counts.values())
    over = all(run.outcomes is not None for run in state.runs.values())
    return (count, over) if count else (tests_of(entry), not is_guess(entry))


# --- what the budget leaves to retries --------------------------------------------------------------------------------


def over_allowance(run: Run, vendor: str, entries: Sequence[Entry]) -> str | None:
    """Why one more create, of these entries, is more than the budget has left; None if it is not."""
    allowed = run.plan.allowance
    if not allowed:
        return None
    more = sum(map(tests_of, entries))
    used = [state for state in run.jobs.values() if _counts(run, state)]
    for name, limit, states in _limits(run, vendor, used):
        tests = sum(max(tests_of(entry), _tests(state, entry)) for state in states for entry in state.entries.values())
        if limit is not None and tests + more > limit:
            return f"{name} leaves no more: {plural(tests, 'test')} of {limit} used or planned, {more} more needed"
    price = price_at(run, vendor)
    if allowed.max_cost is None or price is None:
        return None
    worth, cost = sum((_worth(run, state) for state in used), Decimal(0)), price.of(1, more)
    if worth + cost <= allowed.max_cost:
        return None
    have, needed, whole = (money(amount, price.currency) for amount in (worth, cost, allowed.max_cost))
    return f"max_cost leaves no more: {have} of {whole} used or planned, {needed} more needed"


def _limits(run: Run, vendor: str, used: Sequence[JobState]) -> Iterator[tuple[str, int | None, Sequence[JobState]]]:
    allowed = run.plan.allowance
    if allowed:
        yield "max_tests", allowed.max_tests, used
        of_vendor = [state for state in used if state.job.vendor == vendor]
        yield f"per_vendor of {vendor}", allowed.per_vendor.get(vendor), of_vendor


def _counts(run: Run, state: JobState) -> bool:
    """Whether a job has used, may have used or will use its part: not if it ended without a run."""
    return bool(state.runs or state.phase in {Phase.UNCERTAIN, Phase.SUBMITTING} or run.open_entries(state))


def _tests(state: JobState, entry: Entry) -> int:
    return tests_run(state, entry)[0] if state.runs else 0


def _worth(run: Run, state: JobState) -> Decimal:
    price = price_at(run, state.job.vendor)
    tests = sum(max(tests_of(entry), _tests(state, entry)) for entry in state.entries.values())
    return price.of(1, tests) if price is not None else Decimal(0)
