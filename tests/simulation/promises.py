"""The three promises, checked against what the simulated vendors know, after each process and at a world's end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from qarunner.engine.decide.gate import decide, expected_tests
from qarunner.engine.decide.outcomes import tally
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Phase, Run
from qarunner.errors import ExitCode
from qarunner.report.summary import summarise
from qarunner.vendors.api import FINISHED, GOOD, Cause, Verdict
from tests.simulation.network import Network, Spell
from tests.simulation.plans import own_tests
from tests.simulation.process import Command, Ended
from tests.simulation.switches import on
from tests.simulation.vendors import Market, by_create
from tests.worlds import EPOCH

if TYPE_CHECKING:
    from qarunner.engine.state.run import JobState
    from qarunner.entry import Entry
    from tests.simulation.vendors import Truth

SIGNAL_S = 7.5
"""GitHub sends SIGTERM so long after SIGINT."""
TIMEOUT_S = 8.0
"""What an apply may take beyond its time."""
TAKEN_S = 30.0
"""What may pass after an entry's time until it is closed: last looks, a cancel, and the read after it."""
REMOVAL_S = 90.0
"""What may pass between the last verdict and the end of a process."""
LATE_S = 45.0
"""So late the end of a run may be found where nothing goes wrong: polls come every 20 or 30 s, rates besides."""
FIRST_LOOK_S = 120.0
"""So late may the first look be where earlier runs were found to be over long after their end."""
LOOK_S = 1.0
QUIET_S = 65.0
"""As long as a last look at a vendor that hangs; else there is a line every half minute."""
CANCELLING = frozenset({"testerarmy", "certyn"})
"""The vendors that have a call to stop a run."""
BESIDES = frozenset({Spell.DETAILS, Spell.REMOVALS})
"""Spells that touch nothing which a verdict depends on."""


class BrokenPromiseError(AssertionError):
    """A promise that does not hold in a world."""


def demand(holds: object, what: str, *, name: str = "") -> None:
    """`name` is that of a switch."""
    if not holds and on(name):
        raise BrokenPromiseError(what)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known after a process: its journal, if there is one, its screen, and what the vendors know."""

    ended: Ended
    run: Run | None
    events: Sequence[ev.Event]
    market: Market
    network: Network
    text: str
    """What stood on the screens of all processes so far."""

    @cached_property
    def truths(self) -> list[Truth]:
        return self.market.truths()

    @cached_property
    def creates(self) -> list[list[Truth]]:
        return list(by_create(self.truths).values())

    @cached_property
    def dropped(self) -> set[str]:
        """Jobs of which a person said that they have made a run, which is left alone."""
        decided = [event for event in self.events if isinstance(event, ev.UncertaintyResolved)]
        return {event.job for event in decided if not event.resubmit}

    def healthy(self, vendor: str) -> bool:
        """Whether nothing goes wrong there that a verdict or a cancel depends on."""
        return self.network.healthy(vendor, besides=BESIDES)

    def in_doubt(self, state: JobState) -> bool:
        """Whether a create may have made runs of which the journal knows nothing."""
        return state.phase in {Phase.UNCERTAIN, Phase.SUBMITTING} or state.job.id in self.dropped


def check(seen: Evidence) -> None:
    """All that is promised at any time, and of a process that came to its end."""
    demand(not seen.network.misread, "; ".join(seen.network.misread))
    if seen.run is not None:
        paid_once(seen, seen.run)
        no_pass_by_accident(seen, seen.run)
    elif seen.ended.code is None:
        demand(not seen.truths, "runs were made, and there is no journal")
    if seen.ended.at_once and seen.run is not None:
        farewell_is_said(seen, seen.run)
    if seen.ended.code is None:
        return
    in_time(seen)
    demand(seen.ended.quiet_s <= QUIET_S, f"the log was silent for {seen.ended.quiet_s:.1f} s", name="quiet")
    told_on_the_screen(seen)
    ends_as_it_says(seen)
    if seen.run is not None:
        nothing_orphaned(seen, seen.run)
        what_runs_is_named(seen, seen.run)
        environments_are_named(seen.run, seen.market)
        others_are_not_held_up(seen, seen.run)
        no_entry_outlives_its_time(seen, seen.run)


# --- never paid twice -------------------------------------------------------------------------------------------------


def paid_once(seen: Evidence, run: Run) -> None:
    """Each entry was paid for once for each attempt that the journal knows, and never more often than was allowed."""
    owners = {(entry.vendor, test): entry.id for entry in run.plan.entries for test in own_tests(entry)}
    paid: Counter[str] = Counter()
    for truths in seen.creates:
        paid.update({owners[truth.vendor, test] for truth in truths for test in truth.tests})
    for entry in run.plan.entries:
        attempts, retries = len(run.attempts[entry.id]), entry.policy.retries
        demand(attempts <= 1 + retries.failed + retries.infra, f"{entry.id} had {attempts} attempts")
        demand(paid[entry.id] <= attempts, f"{entry.id} was paid {paid[entry.id]} times, in {attempts} attempts")


# --- never orphaned ---------------------------------------------------------------------------------------------------


def nothing_orphaned(seen: Evidence, run: Run) -> None:
    """Whatever a vendor has of this run is in the journal, or stands on the screen, or is known to be in doubt."""
    known = {(state.job.vendor, name) for state in run.jobs.values() for name in state.runs}
    doubted = Counter(state.job.vendor for state in run.jobs.values() if seen.in_doubt(state))
    strangers: Counter[str] = Counter()
    for truths in seen.creates:
        if not all((truth.vendor, truth.id) in known or truth.id in seen.text for truth in truths):
            strangers[truths[0].vendor] += 1
    for vendor, number in strangers.items():
        doubts = doubted[vendor]
        demand(number <= doubts, f"{number} runs at {vendor} are known to nobody, {doubts} are in doubt")


def what_runs_is_named(seen: Evidence, run: Run) -> None:
    """At the end of a process, every run that goes on is named in its summary or on its screen."""
    going_on = [truth for truth in seen.truths if truth.running and truth.id not in seen.ended.text]
    named = {(link.vendor, link.id) for link in summarise(run).running} if going_on else set()
    uncertain = {state.job.vendor for state in run.jobs.values() if seen.in_doubt(state)}
    for truth in going_on:
        if (truth.vendor, truth.id) not in named:
            demand(truth.vendor in uncertain, f"{truth.vendor} run {truth.id} goes on, and is not named")


def farewell_is_said(seen: Evidence, run: Run) -> None:
    """A second signal ends a process at once, and what runs on is said all the same."""
    known = {(state.job.vendor, name) for state in run.jobs.values() for name in state.runs}
    for truth in seen.truths:
        if truth.running and (truth.vendor, truth.id) in known:
            told = truth.id in seen.ended.text
            demand(told, f"{truth.vendor} run {truth.id} goes on, and the process that was ended has not named it")


def environments_are_named(run: Run, market: Market) -> None:
    there = market.environments()
    named = {left.leftover.details.get("key") for each in run.resources.values() for left in each.left()}
    for key in there:
        demand(key in named, f"the environment {key} is there, and is not named")


# --- never green by accident ------------------------------------------------------------------------------------------


def no_pass_by_accident(seen: Evidence, run: Run) -> None:
    """Whatever passed has passed at its vendor, test by test, and so has what it needs."""
    for entry in run.plan.entries:
        outcome = run.closed.get(entry.id)
        if outcome is None or outcome.verdict not in GOOD:
            continue
        last = _last_words(entry, seen.truths)
        demand(last, f"{entry.id} passed, and no run of it was ever made")
        demand(set(last.values()) == {"passed"}, f"{entry.id} passed, but its vendor says {last}")
        for need in entry.needs:
            demand(need in run.closed and run.closed[need].verdict in GOOD, f"{entry.id} ran without {need}")
        if entry.vendor != "certyn":  # its processes have tests that only counters tell of
            counts = tally(outcome, expected_tests(entry))
            finished = sum(number for verdict, number in counts.items() if verdict in FINISHED)
            demand(finished <= len(last), f"{entry.id} counts {finished} tests, and its vendor has {len(last)}")


def _last_words(entry: Entry, truths: Sequence[Truth]) -> dict[str, str]:
    """What each test of an entry came to, by the last run that brought it to an end."""
    own = own_tests(entry)
    words: dict[str, str] = {}
    for truth in sorted(truths, key=lambda truth: truth.made_at):
        if truth.vendor == entry.vendor:
            words |= {test: word for test, word in truth.tests.items() if test in own and word != "cancelled"}
    return words


# --- how a process ends -----------------------------------------------------------------------------------------------


def ends_as_it_says(seen: Evidence) -> None:
    """The last line, the journal and the process tell one code, and it means what the table says."""
    code, run = seen.ended.code, seen.run
    last = seen.ended.text.rstrip().rpartition("\n")[2]
    demand(f"exit {code}" in last, f"exit {code}, but the last line is {last!r}")
    demand(code != ExitCode.BUG, f"a bug: {last}")
    if seen.ended.orders.command is Command.CANCEL:
        return
    if code == ExitCode.UNAVAILABLE:
        demand(not seen.truths, "exit 75 is safe to repeat, but something was started")
    finished = seen.events[-1] if seen.events and isinstance(seen.events[-1], ev.RunFinished) else None
    if finished is not None and code != ExitCode.USAGE:
        demand(finished.exit_code == code, f"exit {code}, but the journal says {finished.exit_code}")
    if code == ExitCode.OK and run is not None and not run.detached:
        _green(run)


def _green(run: Run) -> None:
    for entry in run.plan.entries:
        if not entry.policy.gating:
            continue
        outcome = run.closed.get(entry.id)
        harmless = outcome is not None and outcome.verdict in GOOD | {Verdict.SKIPPED}
        demand(harmless, f"exit 0, but {entry.id} is {outcome.verdict if outcome else 'open'}")
    demand(decide(run).finished >= run.plan.gate.min_tests, "exit 0 with too few tests")


def in_time(seen: Evidence) -> None:
    """A signal and a time-out end a process within seconds, and nothing takes long when all verdicts are there."""
    ended = seen.ended
    if ended.signalled is not None:
        took = ended.ended - ended.signalled
        demand(took <= SIGNAL_S, f"the process went on for {took:.1f} s after its signal")
        return
    limit = ended.orders.options.timeout_s
    if limit is not None and ended.orders.command is not Command.CANCEL:  # which has no time-out
        took = ended.ended - ended.began
        demand(took <= limit + TIMEOUT_S, f"the process took {took:.1f} s, with a time of {limit:g} s")
        return
    closed = [event.at - EPOCH for event in seen.events if isinstance(event, ev.EntryClosed)]
    if closed and seen.run is not None and seen.run.complete:
        took = ended.ended - max(*closed, ended.began)
        demand(took <= REMOVAL_S, f"the process went on for {took:.1f} s after its last verdict", name="afterwards")


def no_entry_outlives_its_time(seen: Evidence, run: Run) -> None:
    """An entry's time is counted from its first request: to wait for a vendor that takes nothing counts, too."""
    if run.ended is not None:
        return
    left: dict[str, float] = {}
    timed_out: set[str] = set()
    for event in seen.events:
        at = event.at - EPOCH
        if at >= seen.ended.began and isinstance(event, ev.Submitting):
            left.setdefault(event.job, at)
        # What a run says after its cancel may be worse than that its time was up.
        if isinstance(event, ev.EntryClosed) and event.entry not in timed_out:
            if event.outcome.verdict is Verdict.TIMED_OUT:
                timed_out.add(event.entry)
            state = run.attempts[event.entry][-1]
            most = max(entry.policy.timeout_s for entry in state.entries.values()) + TAKEN_S
            took = at - left.get(state.job.id, at)
            demand(took <= most, f"{event.entry} was closed {took:.1f} s after its create had left")


def told_on_the_screen(seen: Evidence) -> None:
    """Where the disk is full, the screen alone can name what runs; what can be cancelled is."""
    if seen.ended.full is None or seen.ended.code != ExitCode.NO_VERDICT:
        return
    options = seen.ended.orders.options
    for truth in seen.truths:
        if not truth.running or not seen.healthy(truth.vendor):
            continue
        told = truth.id in seen.ended.text
        demand(told, f"{truth.vendor} run {truth.id} goes on, and the screen does not name it")
        leaves = options.detach or options.detach_on_interrupt
        demand(leaves or truth.vendor not in CANCELLING, f"{truth.vendor} run {truth.id} was not cancelled")


def others_are_not_held_up(seen: Evidence, run: Run) -> None:
    """A vendor at which all is well is read and cancelled as if the others were not there."""
    ended = seen.ended
    truths = {(truth.vendor, truth.id): truth for truth in seen.truths}
    for event in seen.events:
        at = event.at - EPOCH
        if at < ended.began or (ended.signalled is not None and at > ended.signalled):
            continue
        if isinstance(event, ev.RunFinishedRemotely):
            _found_soon(seen, truths[run.jobs[event.job].job.vendor, event.run], at)
        if isinstance(event, ev.EntryClosed) and event.outcome.verdict is Verdict.TIMED_OUT:
            state = run.attempts[event.entry][-1]
            own = [truths[state.job.vendor, name] for name in state.runs]
            # A run that was cancelled ended because the time was up, however long its details are waited for then.
            # A person may have chosen how long a run is not asked.
            look_s = LOOK_S + (ended.orders.options.poll_interval_s or 0.0)
            over = own and all(
                truth.ended_at < at - look_s and "cancelled" not in truth.tests.values() for truth in own
            )
            healthy = seen.healthy(state.job.vendor)
            demand(not (healthy and over), f"{event.entry} timed out at {at:.1f} s, after its run had ended")
    if ended.signalled is not None and not ended.orders.options.detach_on_interrupt and len(ended.orders.signals) == 1:
        known = {(state.job.vendor, name) for state in run.jobs.values() for name in state.runs}
        for name, truth in truths.items():
            heard = seen.network.healthy(truth.vendor, besides=BESIDES | {Spell.HUNG_READS})
            cancels = truth.vendor in CANCELLING and name in known and heard
            demand(not (cancels and truth.running), f"{truth.vendor} run {truth.id} was not cancelled")


def _found_soon(seen: Evidence, truth: Truth, at: float) -> None:
    if seen.healthy(truth.vendor):
        began = seen.ended.began
        late = at - max(truth.ended_at, began)
        most = LATE_S + (FIRST_LOOK_S if truth.ended_at - truth.made_at < FIRST_LOOK_S < began else 0.0)
        demand(late <= most, f"{truth.vendor} run {truth.id} was found to be over after {late:.1f} s")


# --- the end of a world -----------------------------------------------------------------------------------------------


def all_is_known(run: Run, market: Market) -> None:
    """After a resume to which nothing happened, every run that is over has its result in the journal."""
    demand(run.complete, f"open are {[entry.id for entry in run.plan.entries if entry.id not in run.closed]}")
    truths = {(truth.vendor, truth.id): truth for truth in market.truths()}
    for state in run.jobs.values():
        for name, remote in state.runs.items():
            truth = truths.get((state.job.vendor, name))
            if truth is not None and remote.abandoned is not None and not truth.running:
                ours = remote.abandoned.verdict in {Verdict.TIMED_OUT, Verdict.CANCELLED}
                told = f"{truth.vendor} run {name} has ended, and nobody asked for its result"
                demand(ours, told, name="unread")
    for entry in run.plan.entries:
        outcome = run.closed[entry.id]
        demand(outcome.cause is not Cause.BUG, f"{entry.id}: {outcome.message}")
