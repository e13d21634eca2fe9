"""The three promises, checked against what the simulated vendors know, after each process and at a world's end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qarunner.engine.decide.gate import decide
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Phase
from qarunner.errors import ExitCode
from qarunner.report.summary import summarise
from qarunner.vendors.api import GOOD, Cause, Verdict
from tests.simulation.network import Spell
from tests.simulation.plans import tests_of
from tests.simulation.process import Command
from tests.simulation.switches import on
from tests.simulation.vendors import by_create
from tests.worlds import EPOCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from qarunner.engine.state.run import JobState, Run
    from qarunner.entry import Entry
    from tests.simulation.network import Network
    from tests.simulation.process import Ended
    from tests.simulation.vendors import Market, Truth

SIGNAL_S = 7.5
"""GitHub sends SIGTERM so long after SIGINT."""
TIMEOUT_S = 8.0
"""What an apply may take beyond its time."""
REMOVAL_S = 90.0
"""What may pass between the last verdict and the end of a process."""
LATE_S = 45.0
"""So late the end of a run may be found where nothing goes wrong: polls come every 20 or 30 s, rates besides."""
FIRST_LOOK_S = 120.0
"""So late may the first look be where earlier runs were found to be over long after their end."""
LOOK_S = 1.0
QUIET_S = 45.0
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


# --- never paid twice -------------------------------------------------------------------------------------------------


def paid_once(run: Run, market: Market) -> None:
    """Each entry was paid for once for each attempt that the journal knows, and never more often than was allowed."""
    paid: Counter[str] = Counter()
    owners = _owners(run)
    for truths in by_create(market.truths()).values():
        paid.update(
            {owners[truth.vendor, test] for truth in truths for test in truth.tests if test in _known(owners, truth)}
        )
    for entry in run.plan.entries:
        attempts, retries = run.attempts[entry.id], entry.policy.retries
        demand(len(attempts) <= 1 + retries.failed + retries.infra, f"{entry.id}: {len(attempts)} attempts")
        demand(
            paid[entry.id] <= len(attempts), f"{entry.id} was paid {paid[entry.id]} times, in {len(attempts)} attempts"
        )


def _owners(run: Run) -> dict[tuple[str, str], str]:
    return {
        (entry.vendor, test): entry.id
        for entry in run.plan.entries
        for test in tests_of(entry.vendor, int(entry.id.removeprefix("e")))
    }


def _known(owners: Mapping[tuple[str, str], str], truth: Truth) -> set[str]:
    return {test for vendor, test in owners if vendor == truth.vendor}


# --- never orphaned ---------------------------------------------------------------------------------------------------


def nothing_orphaned(run: Run, market: Market, text: str) -> None:
    """Whatever a vendor has of this run is in the journal, or stands on the screen, or is known to be in doubt."""
    known = {(state.job.vendor, name) for state in run.jobs.values() for name in state.runs}
    strangers = [
        truths
        for truths in by_create(market.truths()).values()
        if not all((truth.vendor, truth.id) in known or truth.id in text for truth in truths)
    ]
    doubted = Counter(state.job.vendor for state in run.jobs.values() if in_doubt(state))
    for vendor, number in Counter(truths[0].vendor for truths in strangers).items():
        demand(
            number <= doubted[vendor], f"{number} runs at {vendor} are known to nobody, {doubted[vendor]} are in doubt"
        )


def in_doubt(state: JobState) -> bool:
    """Whether a create may have made runs of which the journal knows nothing."""
    dropped = state.phase is Phase.DONE and state.message is not None and not state.runs and state.outcomes is None
    return state.phase in {Phase.UNCERTAIN, Phase.SUBMITTING} or dropped


def what_runs_is_named(run: Run, market: Market, text: str) -> None:
    """At the end of a process, every run that goes on is named in its summary or on its screen."""
    named = {(link.vendor, link.id) for link in summarise(run).running}
    uncertain = {state.job.vendor for state in run.jobs.values() if in_doubt(state)}
    for truth in market.truths():
        if truth.running and (truth.vendor, truth.id) not in named and truth.id not in text:
            demand(truth.vendor in uncertain, f"{truth.vendor} run {truth.id} goes on, and is not named")


def environments_are_named(run: Run, market: Market) -> None:
    named = {left.leftover.details.get("key") for each in run.resources.values() for left in each.left()}
    for key in market.environments():
        demand(key in named, f"the environment {key} is there, and is not named")


# --- never green by accident ------------------------------------------------------------------------------------------


def no_pass_by_accident(run: Run, market: Market) -> None:
    """Whatever passed has passed at its vendor, test by test, and so has what it needs."""
    truths = sorted(market.truths(), key=lambda truth: truth.made_at)
    for entry in run.plan.entries:
        outcome = run.closed.get(entry.id)
        if outcome is None or outcome.verdict not in GOOD:
            continue
        last = _last_words(entry, truths)
        demand(last, f"{entry.id} passed, and no run of it was ever made")
        demand(set(last.values()) == {"passed"}, f"{entry.id} passed, but its vendor says {last}")
        for need in entry.needs:
            demand(need in run.closed and run.closed[need].verdict in GOOD, f"{entry.id} ran without {need}")


def _last_words(entry: Entry, truths: Iterable[Truth]) -> dict[str, str]:
    """What each test of an entry came to, by the last run that brought it to an end."""
    own = tests_of(entry.vendor, int(entry.id.removeprefix("e")))
    words: dict[str, str] = {}
    for truth in truths:
        if truth.vendor == entry.vendor:
            words |= {test: word for test, word in truth.tests.items() if test in own and word != "cancelled"}
    return words


# --- how a process ends -----------------------------------------------------------------------------------------------


def ends_as_it_says(ended: Ended, run: Run | None, events: Sequence[ev.Event], market: Market) -> None:
    """The last line, the journal and the process tell one code, and it means what the table says."""
    code = ended.code
    last = ended.text.rstrip().rpartition("\n")[2]
    demand(f"exit {code}" in last, f"exit {code}, but the last line is {last!r}")
    finished = events[-1] if events and isinstance(events[-1], ev.RunFinished) else None
    if finished is not None and ended.orders.command is not Command.CANCEL and code != ExitCode.USAGE:
        demand(finished.exit_code == code, f"exit {code}, but the journal says {finished.exit_code}")
    demand(code != ExitCode.BUG, f"a bug: {last}")
    if code == ExitCode.UNAVAILABLE:
        demand(not market.made(), "exit 75 is safe to repeat, but something was started", name="exit 75")
    if code == ExitCode.OK and ended.orders.command is not Command.CANCEL and run is not None and not run.detached:
        _green(run)


def _green(run: Run) -> None:
    for entry in run.plan.entries:
        if not entry.policy.gating:
            continue
        outcome = run.closed.get(entry.id)
        harmless = outcome is not None and outcome.verdict in GOOD | {Verdict.SKIPPED}
        demand(harmless, f"exit 0, but {entry.id} is {outcome.verdict if outcome else 'open'}")
    demand(decide(run).finished >= run.plan.gate.min_tests, "exit 0 with too few tests")


def in_time(ended: Ended, events: Sequence[ev.Event]) -> None:
    """A signal and a time-out end a process within seconds, and nothing takes long when all verdicts are there."""
    if ended.signalled is not None:
        took = ended.ended - ended.signalled
        demand(took <= SIGNAL_S, f"the process went on for {took:.1f} s after its signal")
    limit = ended.orders.options.timeout_s
    if limit is not None and ended.signalled is None:
        took = ended.ended - ended.began
        demand(took <= limit + TIMEOUT_S, f"the process took {took:.1f} s, with a time of {limit:g} s", name="time")
    closed = [event.at - EPOCH for event in events if isinstance(event, ev.EntryClosed)]
    if closed and ended.signalled is None and len(closed) >= 1:
        took = ended.ended - max(*closed, ended.began)
        demand(
            took <= REMOVAL_S or limit is not None,
            f"the process went on for {took:.1f} s after its last verdict",
            name="time",
        )


def told_on_the_screen(ended: Ended, market: Market, network: Network) -> None:
    """Where the disk is full, the screen alone can name what runs; what can be cancelled is."""
    if ended.full is None or ended.code != ExitCode.NO_VERDICT:
        return
    for truth in market.truths():
        if not truth.running or not network.healthy(truth.vendor, besides=BESIDES):
            continue
        demand(truth.id in ended.text, f"{truth.vendor} run {truth.id} goes on, and the screen does not name it")
        leaves = ended.orders.options.detach or ended.orders.options.detach_on_interrupt
        demand(leaves or truth.vendor not in CANCELLING, f"{truth.vendor} run {truth.id} was not cancelled")


def quiet(ended: Ended) -> None:
    """CI systems end a job that is silent for minutes."""
    demand(ended.quiet_s <= QUIET_S, f"the log was silent for {ended.quiet_s:.1f} s", name="quiet")


def others_are_not_held_up(
    ended: Ended, run: Run, events: Sequence[ev.Event], market: Market, network: Network
) -> None:
    """A vendor at which all is well is read and cancelled as if the others were not there."""
    truths = {(truth.vendor, truth.id): truth for truth in market.truths()}
    for event in events:
        at = event.at - EPOCH
        if at < ended.began or (ended.signalled is not None and at > ended.signalled):
            continue
        if isinstance(event, ev.RemoteFinished):
            truth = truths[run.jobs[event.job].job.vendor, event.run]
            if network.healthy(truth.vendor, besides=BESIDES):
                late = at - max(truth.ended_at, ended.began)
                most = LATE_S + (FIRST_LOOK_S if truth.ended_at - truth.made_at < FIRST_LOOK_S < ended.began else 0.0)
                demand(late <= most, f"{truth.vendor} run {truth.id} was found to be over after {late:.1f} s")
        if isinstance(event, ev.EntryClosed) and event.outcome.verdict is Verdict.TIMED_OUT:
            for state in run.attempts[event.entry][-1:]:
                own = [truths[state.job.vendor, name] for name in state.runs]
                healthy = network.healthy(state.job.vendor, besides=BESIDES)
                over = own and all(truth.ended_at < at - LOOK_S for truth in own)
                demand(not (healthy and over), f"{event.entry} timed out at {at:.1f} s, after its run had ended")
    if ended.signalled is not None and not ended.orders.options.detach_on_interrupt and len(ended.orders.signals) == 1:
        for truth in truths.values():
            cancels = truth.vendor in CANCELLING and network.healthy(truth.vendor, besides=BESIDES)
            known = any(truth.id in state.runs for state in run.jobs.values())
            demand(not (cancels and known and truth.running), f"{truth.vendor} run {truth.id} was not cancelled")


# --- the end of a world -----------------------------------------------------------------------------------------------


def all_is_known(run: Run, market: Market) -> None:
    """After a resume to which nothing happened, every run that is over has its result in the journal."""
    demand(run.complete, f"open are {[entry.id for entry in run.plan.entries if entry.id not in run.closed]}")
    truths = {(truth.vendor, truth.id): truth for truth in market.truths()}
    for state in run.jobs.values():
        for name, remote in state.runs.items():
            truth = truths.get((state.job.vendor, name))
            if truth is not None and remote.given_up is not None and not truth.running:
                ours = remote.given_up.verdict in {Verdict.TIMED_OUT, Verdict.CANCELLED}
                demand(ours, f"{truth.vendor} run {name} has ended, and nobody asked for its result", name="unread")
    for entry in run.plan.entries:
        outcome = run.closed[entry.id]
        demand(outcome.cause is not Cause.BUG, f"{entry.id}: {outcome.message}")
