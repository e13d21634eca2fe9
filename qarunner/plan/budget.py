"""What a plan costs in tests, and whether that is allowed: known before anything is sent."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qarunner.entry import SelectionKind
from qarunner.errors import OverBudget

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qarunner.entry import Entry
    from qarunner.manifest.model import Budget

_SHOWN = 10


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


def check_budget(entries: Sequence[Entry], budget: Budget, most: int | None) -> None:
    """OverBudget with every limit that is exceeded, and the entries that cost the most. `most` is --max-tests."""
    told = list(_exceeded(entries, budget, most))
    if not told:
        return
    exceeded = "; ".join(message for message, _ in told)
    guilty = {entry.id: entry for _, group in told for entry in group}
    costly = sorted(guilty.values(), key=lambda entry: (-tests_of(entry), entry.id))
    lines = [_line(entry) for entry in costly[:_SHOWN]]
    if len(costly) > _SHOWN:
        lines.append(f"… and {len(costly) - _SHOWN} more")
    raise OverBudget(f"{exceeded}; nothing was sent", hint=_hint(costly), details=lines)


def _exceeded(entries: Sequence[Entry], budget: Budget, most: int | None) -> Iterator[tuple[str, Sequence[Entry]]]:
    total = sum(map(tests_of, entries))
    for name, limit in (("--max-tests", most), ("budget.max_tests", budget.max_tests)):
        if limit is not None and total > limit:
            yield f"the plan runs {_tests(total)}, {name} allows {limit}", entries
    costs: Counter[str] = Counter()
    for entry in entries:
        costs[entry.vendor] += tests_of(entry)
    for vendor, limit in budget.per_vendor.items():
        if costs[vendor] > limit:
            own = [entry for entry in entries if entry.vendor == vendor]
            yield f"{vendor} runs {_tests(costs[vendor])}, budget.per_vendor allows {limit}", own


def _line(entry: Entry) -> str:
    guess = " (no estimate: a category counts as 1)" if is_guess(entry) else ""
    return f"{entry.id}  {entry.vendor}  {_tests(tests_of(entry))}{guess}  {entry.origin.file}:{entry.origin.line}"


def _hint(entries: Sequence[Entry]) -> str:
    text = "choose fewer entries, or raise the limit"
    return f"{text}; estimate: N says how many tests a category has" if any(map(is_guess, entries)) else text


def _tests(number: int) -> str:
    return "1 test" if number == 1 else f"{number} tests"
