"""What a run means for the build: one exit code, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner.engine.decide.attempts import merge_attempts, previous_outcomes
from qarunner.engine.decide.outcomes import tally
from qarunner.engine.state.run import Phase, ResourceStatus, Run
from qarunner.errors import ExitCode, code_of_signal, decisive_code
from qarunner.vendors.api import FINISHED, GOOD, Cause, Outcome, ResourceKind, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qarunner.entry import Entry, OnSkipped


_OF_CAUSE = {
    Cause.CREDENTIAL: ExitCode.CREDENTIAL,
    Cause.ALLOWANCE: ExitCode.BUDGET,
    Cause.UNCERTAIN: ExitCode.NO_VERDICT,
    Cause.REFUSED: ExitCode.NO_VERDICT,
    Cause.UNAVAILABLE: ExitCode.UNAVAILABLE,
    Cause.INFRASTRUCTURE: ExitCode.NO_VERDICT,
    Cause.CONNECTION: ExitCode.NO_VERDICT,
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


class Decision(Struct, frozen=True, kw_only=True):
    """The gate's word. `finished` counts the gating tests that ran to an end.

    `skipped` are the entries that fail the build because they were skipped.
    """

    exit_code: ExitCode
    finished: int
    skipped: tuple[str, ...] = ()
    failed_by_skips_only: bool = False
    """True if skipped tests are the only reason for the failure."""


def decide(run: Run) -> Decision:
    """The exit code of a run as it stands now. Each entry is looked at once, after the entries that it needs."""
    codes: set[ExitCode] = set()
    finished = 0
    skipped: set[str] = set()
    explained: dict[str, bool] = {}
    gating = {entry.id for entry in run.plan.entries if entry.policy.gating}
    for entry in by_needs(run.plan.entries):
        outcome = outcome_of(run, entry)
        counts = tally(outcome, expected_tests(entry))
        own_codes = set(_codes(outcome, counts))
        by_need = any(explained.get(need) for need in entry.needs if need in gating)
        explained[entry.id] = bool(own_codes) or by_need
        if entry.id not in gating:
            continue
        finished += sum(number for verdict, number in counts.items() if verdict in FINISHED)
        codes |= own_codes
        skips_gate = run.plan.gate.on_skipped == "fail" or not by_need
        if skips_gate and _fails_as_skipped(run.plan.gate.on_skipped, outcome, counts):
            skipped.add(entry.id)
    by_skips_only = bool(skipped) and ExitCode.FAILED not in codes
    if skipped:
        codes.add(ExitCode.FAILED)
    if run.unrecorded:
        codes.add(ExitCode.NO_VERDICT)
    if run.signal is not None:
        codes.add(code_of_signal(run.signal))
    # An apply in which nothing gates is not a green one, unless the manifest says so: min_tests: 0.
    if finished < run.plan.min_tests:
        codes.add(ExitCode.NOTHING)
    code = _worst(codes, run)
    return Decision(
        exit_code=code,
        finished=finished,
        skipped=tuple(entry.id for entry in run.plan.entries if entry.id in skipped),
        failed_by_skips_only=by_skips_only and code is ExitCode.FAILED,
    )


def exit_code_so_far(run: Run) -> ExitCode:
    """What has gone wrong with the entries that are closed, of a run that others wait for."""
    codes: set[ExitCode] = set()
    for entry in run.plan.entries:
        if entry.policy.gating and entry.id in run.closed:
            outcome = run.closed[entry.id]
            codes.update(_codes(outcome, tally(outcome, expected_tests(entry))))
    return _worst(codes, run)


def _worst(codes: set[ExitCode], run: Run) -> ExitCode:
    """The code that wins. 75 promises that a repeated apply pays nothing twice: it holds where nothing was begun."""
    if not codes.isdisjoint({ExitCode.UNAVAILABLE, ExitCode.TIMEOUT}):
        if ExitCode.UNAVAILABLE in codes and started_anywhere(run):
            codes = codes - {ExitCode.UNAVAILABLE} | {ExitCode.NO_VERDICT}
        if ExitCode.TIMEOUT in codes and not (started_anywhere(run) or _anything_sent(run)):
            codes = codes - {ExitCode.TIMEOUT} | {ExitCode.UNAVAILABLE}
    passed = ExitCode.NO_VERDICT if run.unverified else ExitCode.OK
    return decisive_code(codes, passed)


def started_anywhere(run: Run) -> bool:
    """True if a vendor has, or may have, a run of this apply, or an environment that was made for one."""
    jobs = (state for states in run.attempts.values() for state in states)
    environments = (state for state in run.resources.values() if state.resource.kind is ResourceKind.ENVIRONMENT)
    return any(state.runs or state.phase in _MAY_HAVE_RUN for state in jobs) or any(
        environment.left()
        for environment in environments  # a build that stays costs nothing
    )


def _anything_sent(run: Run) -> bool:
    """True if an upload or an environment was begun: an apply whose time is up then has timed out."""
    return any(resource.phase is not ResourceStatus.WANTED for resource in run.resources.values())


_MAY_HAVE_RUN = frozenset({Phase.SUBMITTING, Phase.UNCERTAIN})


def by_needs(entries: Sequence[Entry]) -> Iterator[Entry]:
    """The entries, each after those that it needs; without recursion, as a chain may have thousands."""
    known = {entry.id: entry for entry in entries}
    done: set[str] = set()
    for entry in entries:
        stack = [(entry, iter(entry.needs))] if entry.id not in done else []
        done.add(entry.id)
        while stack:
            current, needs = stack[-1]
            need = next((need for need in needs if need in known and need not in done), None)
            if need is None:
                stack.pop()
                yield current
            else:
                done.add(need)
                stack.append((known[need], iter(known[need].needs)))


def _fails_as_skipped(on_skipped: OnSkipped | None, outcome: Outcome, counts: Mapping[Verdict, int]) -> bool:
    """True if something skipped is red. What we skipped ourselves is, unless the manifest says otherwise."""
    if on_skipped is None:
        return outcome.cause is Cause.DEPENDENCY
    return on_skipped == "fail" and Verdict.SKIPPED in counts


def _codes(outcome: Outcome, counts: dict[Verdict, int]) -> Iterator[ExitCode]:
    if outcome.cause is Cause.DEPENDENCY:
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
    state, earlier = run.job_of[entry.id], previous_outcomes(run, entry.id)
    begun = state.phase is not Phase.WAITING or bool(earlier)
    word, phase = ("over", f" ({state.phase})") if begun else ("begun", "")
    if run.detached:
        open_one = Outcome(verdict=Verdict.UNKNOWN, message=f"not {word} yet{phase}: the apply was detached")
    else:
        open_one = Outcome(verdict=Verdict.CANCELLED, message=f"not {word} when the apply stopped{phase}")
    return merge_attempts([*earlier, open_one])


def expected_tests(entry: Entry) -> int:
    """How many tests an entry names; a category or tag counts as one, since only the vendor knows better."""
    return len(entry.selection.ids) if entry.selection and entry.selection.kind == "test_ids" else 1


def passes(verdict: Verdict) -> bool:
    return verdict in GOOD
