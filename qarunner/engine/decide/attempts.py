"""Attempts: which tests get a run more, and what all runs of an entry mean together. Pure decisions.

The last attempt in which a test ran to its end decides it. A new attempt is a new payment: only what certainly failed,
or what the vendor itself calls its infrastructure, is worth one.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from qarunner.engine.decide.interpret import ADAPTER_EXCEPTIONS, check_return_type, describe_adapter_error
from qarunner.engine.decide.outcomes import downgrade_unsupported_pass, merge, worst_verdict
from qarunner.engine.state.events import Reattempted, RetryReason
from qarunner.engine.state.run import FAILURES, JobState, Phase, Run, RunState, advance
from qarunner.entry import Entry, SelectionKind
from qarunner.plan.guard import grouped
from qarunner.plan.model import Job
from qarunner.secret import without_encoding
from qarunner.vendors.api import FINISHED, GOOD, Case, Cause, Outcome, Request, Vendor, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


ATTEMPT_SIGN = "~"
"""Between a job's id and the number of the create: a manifest's job lacks it."""


_HARMLESS = GOOD | {Verdict.SKIPPED}


def outcome_so_far(state: JobState, entry: str, *more: Outcome) -> Outcome | None:
    """What one attempt's runs say of an entry so far: a result that was paid for stays in the report.

    `more` says why runs have no outcome.
    """
    parts = _parts(state, entry)
    for end in more:
        silent = [run for run in state.runs.values() if run.outcome_of(entry) is None and run.outcomes is None]
        parts += [_named(state, run, run.cut_short(entry, end)) for run in silent] or [end]
    return merge(parts) if parts else None


def _named(state: JobState, run: RunState, outcome: Outcome) -> Outcome:
    """One of several runs is a test of its own: without a result it has the run's id at least."""
    if len(state.runs) == 1 or outcome.cases or outcome.counts:
        return outcome
    remote = run.remote
    case = Case(
        id=remote.id, verdict=outcome.verdict, url=remote.url, raw_status=outcome.raw_status, message=outcome.message
    )
    return replace(outcome, cases=(case,))


def timed_out(outcome: Outcome, end: Outcome) -> Outcome:
    """An outcome of a run that was cancelled because its time was up: what that cancelled has timed out."""

    def of(verdict: Verdict) -> Verdict:
        return Verdict.TIMED_OUT if verdict is Verdict.CANCELLED else verdict

    counts = Counter[Verdict]()
    for verdict, number in outcome.counts.items():
        counts[of(verdict)] += number
    cases = (
        replace(case, verdict=end.verdict, message=end.message) if case.verdict is Verdict.CANCELLED else case
        for case in outcome.cases
    )
    return replace(
        outcome,
        verdict=of(outcome.verdict),
        cases=tuple(cases),
        counts=dict(counts),
        message=end.message if outcome.verdict is Verdict.CANCELLED else outcome.message,
        raw_status=outcome.raw_status or end.raw_status,
    )


def _parts(state: JobState, entry: str) -> list[Outcome]:
    outcomes = [
        part if run.outcomes is not None else _named(state, run, part)
        for run in state.runs.values()
        if (part := run.outcome_of(entry)) is not None
    ]
    return outcomes if state.outcomes is None or entry not in state.outcomes else [*outcomes, state.outcomes[entry]]


def previous_outcomes(run: Run, entry: str) -> list[Outcome]:
    """What the attempts before the last one came to."""
    return [outcome_so_far(state, entry) or merge(()) for state in run.attempts[entry][:-1]]


# --- a new attempt ----------------------------------------------------------------------------------------------------


def next_attempt(run: Run, state: JobState, entry: str) -> tuple[Entry, tuple[RetryReason, ...]] | None:
    """What a new attempt asks for, and what it is for; None if the entry's result is final."""
    parts = _checked_parts(state, entry)
    why = _reasons(parts)
    used = Counter(reason for attempt in run.attempts[entry] for reason in attempt.why)
    now = state.entries[entry]
    budget = {RetryReason.FAILED: now.policy.retries.failed, RetryReason.INFRASTRUCTURE: now.policy.retries.infra}
    if not why or any(used[reason] >= budget[reason] for reason in why):
        return None
    return _narrowed(now, parts), why


def _checked_parts(state: JobState, entry: str) -> list[Outcome]:
    return [downgrade_unsupported_pass(part) for part in _parts(state, entry)]


def _reasons(parts: Iterable[Outcome]) -> tuple[RetryReason, ...]:
    """What has to be tried again; nothing, if that could not make the entry pass."""
    reasons: dict[RetryReason, None] = {}
    for part in parts:
        if part.verdict in _HARMLESS:
            continue
        bad = _bad(part)
        if part.verdict in FAILURES and part.cause is None and bad <= set(FAILURES):
            reasons[RetryReason.FAILED] = None
        elif part.cause is Cause.INFRASTRUCTURE and bad <= {Verdict.ERROR}:
            reasons[RetryReason.INFRASTRUCTURE] = None
        else:
            return ()
    return tuple(reasons)


def _bad(outcome: Outcome) -> set[Verdict]:
    verdicts = {case.verdict for case in outcome.cases} | {
        verdict for verdict, number in outcome.counts.items() if number > 0
    }
    return verdicts - _HARMLESS


def _narrowed(entry: Entry, parts: Iterable[Outcome]) -> Entry:
    """The entry with the tests alone that did not pass, where it names tests and each result tells which it is of."""
    selection = entry.selection
    if selection is None or selection.kind is not SelectionKind.TEST_IDS:
        return entry
    wanted = {without_encoding(case.id) for part in parts for case in part.cases if case.verdict not in _HARMLESS}
    ids = tuple(test for test in selection.ids if without_encoding(test) in wanted)
    if not ids or len({without_encoding(test) for test in ids}) != len(wanted):
        return entry
    return replace(entry, selection=replace(selection, ids=ids))


def attempt_jobs(
    run: Run, vendor: Vendor, state: JobState, entries: Sequence[Entry]
) -> list[tuple[Job, tuple[Entry, ...]]] | str:
    """The creates of a new attempt of some of a job's entries; a sentence if the adapter cannot make them."""
    root = state.job.id.partition(ATTEMPT_SIGN)[0]
    numbers = (name.partition(ATTEMPT_SIGN) for name in run.jobs)
    count = max((int(number or 1) for name, _, number in numbers if name == root), default=0)
    jobs = []
    try:
        for number, group in enumerate(grouped(vendor, entries), count + 1):
            call = replace(run.call(state), entries=group)
            uses = {need.key: state.job.uses[need.key] for need in vendor.resources(call)}
            request = check_return_type(vendor.submit(call), Request)
            ids = tuple(entry.id for entry in group)
            name = f"{root}{ATTEMPT_SIGN}{number}"
            jobs.append((Job(id=name, vendor=state.job.vendor, entries=ids, request=request, uses=uses), group))
    except ADAPTER_EXCEPTIONS as error:  # the failure that there is stays
        return describe_adapter_error(vendor, error)
    return jobs


# --- a run that was over is tried anew --------------------------------------------------------------------------------


def entries_to_retry(
    run: Run, vendors: Mapping[str, Vendor], at: float
) -> tuple[tuple[str, ...], tuple[Reattempted, ...]]:
    """What did not pass: entries whose create certainly made no run, and new attempts of the others.

    `run` is as a resume finds it, and goes on from there. What a resume asks for by itself is left to it, and what is
    uncertain to a person.
    """
    waiting: list[str] = []
    failed: dict[str, list[str]] = {}
    for entry in run.plan.entries:
        state = run.job_of[entry.id]
        if not _is_lost(run, state, entry.id):
            continue
        if state.runs or state.outcomes is not None:
            failed.setdefault(state.job.id, []).append(entry.id)
        else:
            waiting.append(entry.id)
    retried: list[Reattempted] = []
    for job, names in failed.items():
        state = run.jobs[job]
        asked = [_narrowed(state.entries[name], _checked_parts(state, name)) for name in names]
        jobs = attempt_jobs(run, vendors[state.job.vendor], state, asked)
        for made, group in () if isinstance(jobs, str) else jobs:
            attempt, why = state.attempt + 1, (RetryReason.AGAIN,)
            event = Reattempted(at=at, of=job, job=made, entries=group, attempt=attempt, why=why)
            retried.append(event)
            advance(run, event)  # the next job's number depends on it
    return tuple(waiting), tuple(retried)


def _is_lost(run: Run, state: JobState, entry: str) -> bool:
    """True if an entry did not pass, and will not by itself."""
    if state.phase in {Phase.UNCERTAIN, Phase.SUBMITTING}:
        return False
    outcome = run.closed.get(entry)
    if outcome is None:  # an interrupted apply leaves entries open, and cancels their runs
        return bool(state.runs) and not any(remote.polled or remote.outcomes for remote in state.runs.values())
    if outcome.verdict is Verdict.SKIPPED and outcome.cause is None:
        return run.plan.gate.on_skipped == "fail"
    return outcome.verdict not in GOOD and outcome.cause not in {Cause.DEPENDENCY, Cause.UNCERTAIN}


# --- all attempts together --------------------------------------------------------------------------------------------


def merge_attempts(attempts: Sequence[Outcome]) -> Outcome:
    """One outcome of an entry's attempts, in their order."""
    *before, last = attempts
    if all(_was_cancelled(outcome) for outcome in before):  # such an attempt has shown nothing
        return last
    counts = _counts(before, last)
    cases = () if last.counts and not last.cases else tuple(case for _, case in deciding_results(attempts))
    parts = [case.verdict for case in cases] + list(counts)
    if last.verdict not in GOOD or not parts:
        parts.append(last.verdict)
    if not cases and not counts:
        parts += [outcome.verdict for outcome in before if outcome.verdict in FAILURES]
    verdict = worst_verdict(parts)
    verdict = Verdict.FLAKY if verdict in GOOD else verdict
    return Outcome(
        verdict=verdict,
        cases=cases,
        counts=counts,
        message=_message(attempts, verdict),
        url=last.url,
        raw_status=last.raw_status,
        duration_s=_total([outcome.duration_s for outcome in attempts]),
        cause=last.cause if verdict is last.verdict else None,
    )


def _was_cancelled(outcome: Outcome) -> bool:
    return outcome.verdict is Verdict.CANCELLED and not outcome.cases


def deciding_results(attempts: Sequence[Outcome]) -> Iterator[tuple[int, Case]]:
    """Each test's last result with the number of its attempt, in the order in which the tests first came."""
    for number, case, before in _tests(attempts):
        if case.verdict is Verdict.PASSED and before:
            first, failed = before[0]
            why = f": {failed.message}" if failed.message else ""
            yield (
                number,
                replace(case, verdict=Verdict.FLAKY, message=f"{failed.verdict.words} in attempt {first}{why}"),
            )
        else:
            yield number, case


def replaced_results(attempts: Sequence[Outcome]) -> Iterator[tuple[int, Case]]:
    """The results that a later attempt, or an earlier one that ran to its end, took the place of."""
    chosen = {(number, case.id) for number, case, _ in _tests(attempts)}
    for number, outcome in enumerate(attempts, 1):
        yield from ((number, case) for case in outcome.cases if (number, case.id) not in chosen)


def _tests(attempts: Sequence[Outcome]) -> Iterator[tuple[int, Case, list[tuple[int, Case]]]]:
    """Each deciding result, its attempt, and the bad results of the same test before it."""
    of_test: dict[str, list[tuple[int, Case]]] = {}
    for number, outcome in enumerate(attempts, 1):
        for case in outcome.cases:
            of_test.setdefault(case.id, []).append((number, case))
    over = len(attempts) if any(case.verdict in FINISHED for case in attempts[-1].cases) else 0
    for results in of_test.values():
        if results[-1][0] < over and all(case.verdict not in FINISHED | _HARMLESS for _, case in results):
            # What never ran was asked for again; a vendor may have no name for it but the run's.
            continue
        # A test that a later attempt did not bring to its end keeps the result that it had.
        ended = [number for number, case in results if case.verdict in FINISHED] or [number for number, _ in results]
        bad = [(number, case) for number, case in results if case.verdict not in _HARMLESS and number < ended[-1]]
        for number, case in results:
            if number == ended[-1]:
                yield number, case, bad


def _counts(before: Sequence[Outcome], last: Outcome) -> Mapping[Verdict, int]:
    """The last attempt's numbers; as many of its passes as there were failures before are flaky."""
    counts = dict(last.counts)
    if last.verdict not in GOOD or not counts:
        return counts if counts or last.cases else dict(before[-1].counts)
    failed = max(_number(outcome) for outcome in before)
    flaky = min(counts.get(Verdict.PASSED, 0), failed)
    counts[Verdict.PASSED] = counts.get(Verdict.PASSED, 0) - flaky
    counts[Verdict.FLAKY] = counts.get(Verdict.FLAKY, 0) + flaky
    return {verdict: number for verdict, number in counts.items() if number}


def _number(outcome: Outcome) -> int:
    numbers = Counter(case.verdict for case in outcome.cases) + Counter(dict(outcome.counts))
    return sum(number for verdict, number in numbers.items() if verdict not in _HARMLESS)


def _message(attempts: Sequence[Outcome], verdict: Verdict) -> str:
    """What each attempt came to; the last one's own words come first where they say why there is no pass."""
    told_of = [f"attempt {number} {outcome.verdict.words}{_why(outcome)}" for number, outcome in enumerate(attempts, 1)]
    last = attempts[-1]
    messages = [last.message] if last.message and verdict not in GOOD and last.verdict is verdict else []
    return "; ".join([*messages, *(told_of[:-1] if messages else told_of)])


def _why(outcome: Outcome) -> str:
    return f": {outcome.reason}" if outcome.reason and outcome.verdict not in GOOD else ""


def _total(seconds: Sequence[float | None]) -> float | None:
    known = [duration for duration in seconds if duration is not None]
    return sum(known) if len(known) == len(seconds) else None
