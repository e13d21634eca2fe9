"""One entry's outcome from what its runs say, with a last net under every adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from qarunner.vendors.api import FINISHED, GOOD, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


_WORST_FIRST = (
    Verdict.FAILED,
    Verdict.BLOCKED,
    Verdict.ERROR,
    Verdict.UNKNOWN,
    Verdict.TIMED_OUT,
    Verdict.CANCELLED,
    Verdict.FLAKY,
    Verdict.PASSED,
    Verdict.SKIPPED,
)


def worst_verdict(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that a whole has from its parts; `unknown` of nothing."""
    return min(verdicts, key=_WORST_FIRST.index, default=Verdict.UNKNOWN)


def merge(outcomes: Sequence[Outcome]) -> Outcome:
    """One entry's outcome from its runs, each checked by itself: a pass without support is no pass."""
    if not outcomes:
        return Outcome(verdict=Verdict.UNKNOWN, message="the vendor's answer says nothing of this entry")
    checked = [downgrade_unsupported_pass(outcome) for outcome in outcomes]
    if len(checked) == 1:
        return checked[0]
    first = min(checked, key=lambda outcome: _WORST_FIRST.index(outcome.verdict))
    counts: dict[Verdict, int] = {}
    for outcome in checked:
        for verdict, number in outcome.counts.items():
            counts[verdict] = counts.get(verdict, 0) + max(0, number)
    return Outcome(
        verdict=first.verdict,
        cases=tuple(case for outcome in checked for case in outcome.cases),
        counts=counts,
        message=first.message,
        url=first.url,
        raw_status=first.raw_status,
        duration_s=max((outcome.duration_s for outcome in checked if outcome.duration_s is not None), default=None),
        cause=first.cause,
    )


def downgrade_unsupported_pass(outcome: Outcome) -> Outcome:
    """The last net under every adapter: a pass needs a test that finished, and no part that is worse."""
    if outcome.verdict not in GOOD:
        return outcome
    parts = [case.verdict for case in outcome.cases] + [v for v, number in outcome.counts.items() if number > 0]
    if not FINISHED.intersection(parts):
        return replace(outcome, verdict=Verdict.UNKNOWN, message="no test finished")
    worst = worst_verdict(parts)
    if worst not in GOOD:
        return replace(
            outcome, verdict=worst, message=f"reported as {outcome.verdict}, but one of its tests is {worst}"
        )
    return outcome


def takes_details(counted: Outcome, detailed: Outcome) -> bool:
    """True if what details say may replace what a verdict was made of.

    They never make a verdict better, nor add a test that finished: then it would depend on them whether a build passes.
    """
    before, after = downgrade_unsupported_pass(counted), downgrade_unsupported_pass(detailed)
    if after.verdict is before.verdict:
        return after.cause is before.cause and _finished(after) <= _finished(before)
    return worst_verdict([before.verdict, after.verdict]) is after.verdict


def _finished(outcome: Outcome) -> int:
    return sum(number for verdict, number in tally(outcome, 1).items() if verdict in FINISHED)


def without_run(outcome: Outcome) -> Outcome:
    """An outcome that came without a run: nothing in it has passed, whatever it says."""
    parts = {outcome.verdict, *(case.verdict for case in outcome.cases)}
    parts |= {verdict for verdict, number in outcome.counts.items() if number > 0}
    if not GOOD.intersection(parts):
        return outcome
    message = f"reported as {outcome.verdict}, but the vendor started no run"
    return Outcome(verdict=Verdict.UNKNOWN, message=message, url=outcome.url, raw_status=outcome.raw_status)


def tally(outcome: Outcome, expected: int) -> dict[Verdict, int]:
    """How many tests of each verdict an entry stands for. `expected`: the number where the outcome has no cases.

    A verdict that no test explains, such as a run that contradicts its results, counts once more: nothing is hidden.
    """
    counts: dict[Verdict, int] = {}
    for case in outcome.cases:
        counts[case.verdict] = counts.get(case.verdict, 0) + 1
    for verdict, number in outcome.counts.items():
        if number > 0:
            counts[verdict] = counts.get(verdict, 0) + number
    if not counts:
        return {outcome.verdict: max(1, expected)}
    if not has_case_with_verdict(outcome, counts):
        counts[outcome.verdict] = counts.get(outcome.verdict, 0) + 1
    return counts


def has_case_with_verdict(outcome: Outcome, counts: Mapping[Verdict, int]) -> bool:
    """Whether a test has the verdict that the entry has."""
    return outcome.verdict in GOOD or counts.get(outcome.verdict, 0) > 0
