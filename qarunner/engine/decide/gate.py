"""What a run means for the build: one exit code, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qarunner.engine.decide.attempts import combine, earlier
from qarunner.engine.decide.outcomes import tally
from qarunner.errors import PRECEDENCE, ExitCode
from qarunner.vendors.api import FINISHED, GOOD, Cause, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.engine.state.run import Run
    from qarunner.entry import Entry
    from qarunner.plan.model import OnSkipped


_OF_CAUSE = {
    Cause.CREDENTIAL: ExitCode.CREDENTIAL,
    Cause.ALLOWANCE: ExitCode.BUDGET,
    Cause.UNCERTAIN: ExitCode.NO_VERDICT,
    Cause.REFUSED: ExitCode.NO_VERDICT,
    Cause.UNAVAILABLE: ExitCode.UNAVAILABLE,
    Cause.INFRA: ExitCode.NO_VERDICT,
    Cause.BUG: ExitCode.BUG,
}


_OF_VERDICT = {
    Verdict.FAILED: ExitCode.FAILED,
    Verdict.BLOCKED: ExitCode.FAILED,
    Verdict.TIMED_OUT: ExitCode.TIMEOUT,
    Verdict.ERROR: ExitCode.NO_VERDICT,
    Verdict.UNKNOWN: ExitCode.NO_VERDICT,
    Verdict.CANCELLED: ExitCode.NO_VERDICT,
}


_SIGINT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The gate's word. `finished` counts the gating tests that ran to an end.

    `skips_fail`: the build fails for what was skipped, and for nothing else that failed.
    """

    exit_code: ExitCode
    finished: int
    skips_fail: bool = False


def decide(run: Run) -> Decision:
    """The exit code of a run as it stands now."""
    codes: set[ExitCode] = set()
    finished = 0
    skips = False
    for entry in run.plan.entries:
        if not entry.policy.gating:
            continue
        outcome = outcome_of(run, entry)
        counts = tally(outcome, expected_tests(entry))
        finished += sum(number for verdict, number in counts.items() if verdict in FINISHED)
        codes.update(_codes(outcome, counts))
        if _fails_as_skipped(run.plan.gate.on_skipped, outcome, counts) and not _answered_for(run, entry):
            skips = True
    skips_fail = skips and ExitCode.FAILED not in codes
    if skips:
        codes.add(ExitCode.FAILED)
    if run.signal is not None:
        codes.add(ExitCode.INTERRUPTED if run.signal == _SIGINT else ExitCode.TERMINATED)
    # An apply in which nothing gates is not a green one, unless the manifest says so: min_tests: 0.
    if finished < run.plan.min_tests:
        codes.add(ExitCode.NOTHING)
    code = next((code for code in PRECEDENCE if code in codes), ExitCode.OK)
    return Decision(exit_code=code, finished=finished, skips_fail=skips_fail and code is ExitCode.FAILED)


def so_far(run: Run) -> ExitCode:
    """What has gone wrong with the entries that are closed, of a run that others wait for."""
    codes: set[ExitCode] = set()
    for entry in run.plan.entries:
        if entry.policy.gating and entry.id in run.closed:
            outcome = run.closed[entry.id]
            codes.update(_codes(outcome, tally(outcome, expected_tests(entry))))
    return next((code for code in PRECEDENCE if code in codes), ExitCode.OK)


def _fails_as_skipped(on_skipped: OnSkipped | None, outcome: Outcome, counts: Mapping[Verdict, int]) -> bool:
    """Whether something skipped is red. What we skipped ourselves is, unless the manifest says otherwise."""
    if on_skipped is None:
        return outcome.cause is Cause.NEED
    return on_skipped == "fail" and Verdict.SKIPPED in counts


def _answered_for(run: Run, entry: Entry) -> bool:
    """Whether what an entry was skipped for gates, and has a code of its own: a time-out stays one."""
    if run.plan.gate.on_skipped == "fail":
        return False
    for each in run.plan.entries:
        if each.id in entry.needs and each.policy.gating:
            outcome = outcome_of(run, each)
            if set(_codes(outcome, tally(outcome, expected_tests(each)))) or _answered_for(run, each):
                return True
    return False


def _codes(outcome: Outcome, counts: dict[Verdict, int]) -> Iterator[ExitCode]:
    if outcome.cause is Cause.NEED:
        return
    if outcome.cause is not None:
        yield _OF_CAUSE[outcome.cause]
    elif outcome.verdict in _OF_VERDICT:
        yield _OF_VERDICT[outcome.verdict]
    for verdict in counts:
        if verdict is not outcome.verdict and verdict in _OF_VERDICT:
            yield _OF_VERDICT[verdict]


def outcome_of(run: Run, entry: Entry) -> Outcome:
    """An entry's final outcome; of one that is not closed, that it was given up."""
    closed = run.closed.get(entry.id)
    if closed is not None:
        return closed
    state = run.job_of[entry.id]
    if run.detached:
        open_one = Outcome(verdict=Verdict.UNKNOWN, message=f"not over yet ({state.phase}): the apply was detached")
    else:
        message = f"not over when the apply stopped ({state.phase})"
        open_one = Outcome(verdict=Verdict.CANCELLED, message=message)
    return combine([*earlier(run, entry.id), open_one])


def expected_tests(entry: Entry) -> int:
    """How many tests an entry names; a category or tag counts as one, since only the vendor knows better."""
    return len(entry.selection.ids) if entry.selection and entry.selection.kind == "test_ids" else 1


def passes(verdict: Verdict) -> bool:
    return verdict in GOOD
