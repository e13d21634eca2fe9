"""A run's state: the fold of its events over its plan. The living engine and a resume use the same fold."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import TypeAlias, assert_never

from msgspec import Struct, field
from msgspec.structs import replace

from qarunner.engine.state import events as ev
from qarunner.entry import Entry, Retries
from qarunner.plan.model import Job, Plan
from qarunner.vendors.api import Call, Case, Cause, Leftover, Outcome, RemoteRun, Resource, ResourceKind, Verdict

# ---------------------------------------------------------------------------------------------------------------------

# Where a build or an environment stands; nothing that a vendor was asked to make is forgotten.


NOT_REMOVED = "it was not removed yet"


ResourceEvent: TypeAlias = (
    ev.Preparing | ev.ResourceAsked | ev.ResourceNotMade | ev.ResourceReady | ev.ResourceFailed | ev.ResourceReleased
)


class ResourceStatus(StrEnum):
    """Where a resource stands."""

    WANTED = "wanted"
    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"
    RELEASED = "released"


class Remainder(Struct, frozen=True, kw_only=True):
    """What is, or (not `certain`) may be, at the vendor still. `known`: a resume can remove it."""

    leftover: Leftover
    why: str
    certain: bool = False
    known: bool = False


class ResourceState(Struct, kw_only=True):
    """Something that creates refer to. `attempt` counts how often it was begun.

    `requested`: sent, no reply yet. `confirmed`: the vendor said that it exists. `trouble`: why it was not removed.
    `kept`: a build that stays at the vendor for good, which a resume neither removes nor waits for.
    """

    resource: Resource
    phase: ResourceStatus = ResourceStatus.WANTED
    attempt: int = 0
    tokens_used: int = 0
    values: Mapping[str, str | int] = field(default_factory=dict)
    message: str | None = None
    cause: Cause | None = None
    requested: Leftover | None = None
    confirmed: Leftover | None = None
    kept: Leftover | None = None
    exists: bool = False
    trouble: str | None = None
    possible_leftovers: dict[str, Remainder] = field(default_factory=dict)

    @property
    def may_exist(self) -> bool:
        """True if an earlier request may have made what this one asks for."""
        what = self.requested.what if self.requested else None
        return what in self.possible_leftovers or (self.confirmed is not None and self.confirmed.what == what)

    def left(self) -> list[Remainder]:
        """What may be at the vendor, each once."""
        remainders = dict(self.possible_leftovers)
        if self.requested is not None:
            remainders.setdefault(self.requested.what, Remainder(leftover=self.requested, why=ev.ANSWER_LOST))
        if self.exists and self.confirmed is not None:
            why = self.trouble or NOT_REMOVED
            remainders[self.confirmed.what] = Remainder(leftover=self.confirmed, why=why, certain=True, known=True)
        return list(remainders.values())

    def advance(self, event: ResourceEvent) -> None:
        """Applies one event."""
        match event:
            case ev.Preparing():
                self.phase, self.attempt = ResourceStatus.PREPARING, event.attempt
            case ev.ResourceAsked():
                self._doubt(ev.ANSWER_LOST)
                self.requested = event.leftover
            case ev.ResourceNotMade():
                self._not_made(event)
            case ev.ResourceReady():
                if self.requested is None and event.leftover is not None:
                    # No create is open: it is the one that an earlier create has made, found by its name.
                    self.possible_leftovers.pop(event.leftover.what, None)
                self.phase, self.values, self.message = ResourceStatus.READY, event.values, None
                self.requested, self.exists, self.trouble = None, True, None
                if self.resource.kind is ResourceKind.BUILD:
                    self.kept = event.leftover
                else:
                    self.confirmed = event.leftover
            case ev.ResourceFailed():
                self.phase, self.message, self.cause = ResourceStatus.FAILED, event.message, event.cause
            case ev.ResourceReleased():
                self.exists, self.trouble = event.message is not None, event.message
                self.phase = ResourceStatus.READY if self.exists else ResourceStatus.RELEASED
            case _:
                assert_never(event)

    def _doubt(self, why: str, *, certain: bool = False) -> None:
        if self.requested is not None:
            self.possible_leftovers[self.requested.what] = Remainder(leftover=self.requested, why=why, certain=certain)
        self.requested = None

    def _not_made(self, event: ev.ResourceNotMade) -> None:
        if event.remains is ev.Remains.NOTHING:
            self.requested = None
        else:
            self._doubt(event.message, certain=event.remains is ev.Remains.TAKEN)
        self.tokens_used += event.remains is ev.Remains.TAKEN

    def resumed(self) -> None:
        """Half made is not made; one that was given up, or removed, is made again if a job still waits for it."""
        self._doubt(ev.ANSWER_LOST)
        if self.phase in {ResourceStatus.PREPARING, ResourceStatus.FAILED, ResourceStatus.RELEASED}:
            self.phase = ResourceStatus.READY if self.exists else ResourceStatus.WANTED


REOPENED = frozenset({Cause.UNAVAILABLE, Cause.CREDENTIAL, Cause.ALLOWANCE, Cause.CONNECTION, Cause.BUG})
"""Causes that a resume tries again. A create that ended with one of them has made no run."""


FAILURES = (Verdict.FAILED, Verdict.BLOCKED)
"""Verdicts that no end of a run hides, the weightier first."""


INTERRUPTED = "cancelled at the vendor, since the apply was interrupted"


class Phase(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    SUBMITTING = "submitting"
    RUNNING = "running"
    UNCERTAIN = "uncertain"
    DONE = "done"


class RunState(Struct, kw_only=True):
    """One run at a vendor. `raw_status` is the vendor's own word, `trouble` why the last poll failed."""

    remote: RemoteRun
    accepted_at: float
    note: str = "accepted"
    raw_status: str | None = None
    trouble: str | None = None
    done: int | None = None
    total: int | None = None
    entries: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of an entry that shares the run: how many of its tests are over, of how many."""
    settled: dict[str, Outcome] = field(default_factory=dict)
    """Final outcomes of entries that were over before the run."""
    so_far: dict[str, Outcome] = field(default_factory=dict)
    """What was certain of entries when the run was cut short; tests without a result are `unknown`."""
    latest: dict[str, Outcome] = field(default_factory=dict)
    """The same as of the newest poll of this process. It is written down when the run is cut short, and not before."""
    outcomes: Mapping[str, Outcome] | None = None
    finished_at: float | None = None
    abandoned: Outcome | None = None
    cancelled: bool = False
    ended_remotely: bool = False
    why_cancelled: str = INTERRUPTED

    @property
    def active(self) -> bool:
        """True if the vendor still works on it, as far as we know."""
        return self.outcomes is None and not self.cancelled and not self.ended_remotely

    @property
    def polled(self) -> bool:
        """True if polls go on."""
        return self.outcomes is None and not self.cancelled and self.abandoned is None

    @property
    def unread(self) -> bool:
        """True if it was given up without a final answer: a resume asks again, which costs nothing."""
        return self.abandoned is not None and self.abandoned.verdict is not Verdict.CANCELLED

    def outcome_of(self, entry: str) -> Outcome | None:
        """What it says of an entry of its job, if it says anything."""
        if self.outcomes is not None:
            return self.outcomes.get(entry)
        if entry in self.settled:
            return self.settled[entry]
        if self.abandoned is not None:
            return self.cut_short(entry, self.abandoned)
        if not self.cancelled:
            return None
        return self.cut_short(entry, Outcome(verdict=Verdict.CANCELLED, message=self.why_cancelled))

    def cut_short(self, entry: str, end: Outcome) -> Outcome:
        """What it comes to for an entry if no more comes: results that are certain, and `end` for all other tests."""
        known = self.latest.get(entry) or self.so_far.get(entry)
        if known is None:
            if self.remote.test is None:
                return end
            known = Outcome(verdict=Verdict.UNKNOWN, cases=(self._case(self.remote.test),))
        cases = tuple(
            replace(case, verdict=end.verdict, message=end.message) if case.verdict is Verdict.UNKNOWN else case
            for case in known.cases
        )
        counts: dict[Verdict, int] = {
            verdict: number
            for verdict, number in (*known.counts.items(), (end.verdict, known.counts.get(Verdict.UNKNOWN, 0)))
            if number and verdict is not Verdict.UNKNOWN
        }
        failed = next((v for v in FAILURES if v in counts or any(case.verdict is v for case in cases)), None)
        return replace(
            end,
            verdict=failed or end.verdict,
            message=known.message if failed else end.message,
            cause=None if failed else end.cause,
            cases=cases,
            counts=counts,
            url=known.url or end.url,
            raw_status=end.raw_status or known.raw_status or self.raw_status,
        )

    def _case(self, test: str) -> Case:
        return Case(id=test, verdict=Verdict.UNKNOWN, url=self.remote.url, raw_status=self.raw_status)


class JobState(Struct, kw_only=True):
    """One create call. `entries` are as this attempt asks for them: a later one may ask for the failed tests alone."""

    job: Job
    entries: Mapping[str, Entry]
    attempt: int = 1
    began_at: float | None = None
    """When its create left for the first time, as far as the time of its entries is counted from there."""
    why: tuple[ev.RetryReason, ...] = ()
    phase: Phase = Phase.WAITING
    key: str | None = None
    runs: dict[str, RunState] = field(default_factory=dict)
    message: str | None = None
    cause: Cause | None = None
    outcomes: Mapping[str, Outcome] | None = None
    """The result of a create that made no run."""
    resubmitted: int = 0
    """How often a person decided that its create made no run."""
    sent: Mapping[str, Mapping[str, str | int]] = field(default_factory=dict)
    """The values of resources with which its create left, by the resource."""

    @property
    def doubt(self) -> str:
        """What a decision calls it. A second doubt has its number: an old page decides no new one."""
        return f"{self.job.id}@{self.resubmitted + 1}" if self.resubmitted else self.job.id


class Run(Struct, kw_only=True):
    """An apply: what is known of each job and of each entry. `closed` holds final outcomes and when they came.

    `attempts` are the jobs that an entry was, or is, in; `job_of` is the last of them.
    """

    plan: Plan
    jobs: dict[str, JobState]
    job_of: dict[str, JobState]
    attempts: dict[str, list[JobState]]
    resources: dict[str, ResourceState] = field(default_factory=dict)
    run_id: str = ""
    seed: str = ""
    tool: str = ""
    rehearsal: bool = False
    endpoints: Mapping[str, str] = field(default_factory=dict)
    closed: dict[str, Outcome] = field(default_factory=dict)
    closed_at: dict[str, float] = field(default_factory=dict)
    started_at: float = 0.0
    last_at: float = 0.0
    signal: int | None = None
    exit_code: int | None = None
    fail_fast: bool = False
    ended: ev.RunStopped | None = None
    detached: bool = False
    unverified: bool = False
    """True if what it says, or what it builds on, could not be verified: it never passes."""
    who: ev.Who | None = None
    """Who began it; None outside of a CI system that says so."""
    unrecorded: bool = False
    """True if this process could not write down all that happened: a resume would know less."""

    @property
    def identity(self) -> str:
        """What keys and names at a vendor are made from: no other run has it, on whichever machine."""
        return f"{self.run_id}\n{self.seed}" if self.seed else self.run_id

    @classmethod
    def of(cls, plan: Plan) -> Run:
        """A run before its first event."""
        entries = plan.entry_map()
        jobs = {job.id: JobState(job=job, entries={e: entries[e] for e in job.entries}) for job in plan.jobs}
        return cls(
            plan=plan,
            jobs=jobs,
            job_of={e: state for state in jobs.values() for e in state.job.entries},
            attempts={e: [state] for state in jobs.values() for e in state.job.entries},
            resources={resource.id: ResourceState(resource=resource) for resource in plan.resources},
        )

    def active_runs(self) -> Iterator[tuple[JobState, RunState]]:
        for state in self.jobs.values():
            for run in state.runs.values():
                if run.active:
                    yield state, run

    def cancelled_runs(self) -> int:
        return sum(remote.cancelled for state in self.jobs.values() for remote in state.runs.values())

    def open_entries(self, state: JobState) -> list[str]:
        """Entries that wait for this job: neither closed, nor in a later attempt."""
        return [entry for entry in state.job.entries if entry not in self.closed and self.job_of[entry] is state]

    def call(self, state: JobState) -> Call:
        """What the adapter is asked with when it reads a job's replies."""
        return self.plan.call(state.job, state.entries)

    @property
    def complete(self) -> bool:
        return len(self.closed) == len(self.plan.entries)

    @property
    def over(self) -> bool:
        """True if an apply or a resume came to its end, and every entry has its outcome."""
        return self.complete and self.exit_code is not None and not self.detached


def fold(plan: Plan, events: Iterable[ev.Event]) -> Run:
    """The state that a journal tells of."""
    run = Run.of(plan)
    for event in events:
        advance(run, event)
    return run


def advance(run: Run, event: ev.Event) -> None:  # noqa: C901, PLR0912  one case an event
    """Applies one event. KeyError if it speaks of a job or run that the plan does not have."""
    event = _in_order(run, event)
    match event:
        case ev.RunStarted():
            run.run_id, run.seed, run.tool, run.started_at = event.run_id, event.seed, event.tool, event.at
            run.endpoints, run.rehearsal, run.fail_fast = event.endpoints, event.rehearsal, event.fail_fast
            run.unverified, run.who = event.unverified, event.who
        case ev.Resumed():
            _resumed(run)
            if event.repeated:
                _doubt_what_waits(run)
            if event.again is not None:
                _tried_anew(run, event.again)
        case (
            ev.Preparing()
            | ev.ResourceAsked()
            | ev.ResourceNotMade()
            | ev.ResourceReady()
            | ev.ResourceFailed()
            | ev.ResourceReleased()
        ):
            run.resources[event.resource].advance(event)
        case ev.Submitting() | ev.CreateFailed() | ev.Accepted() | ev.CreateMadeNothing() | ev.Uncertain():
            _created(run, run.jobs[event.job], event)
        case ev.Polled():
            _polled(run.jobs[event.job], event)
        case ev.Retrying():
            state = run.jobs[event.job]
            if event.run is None:
                state.message = event.message
            else:
                state.runs[event.run].trouble = event.message
        case ev.RunFinishedRemotely():
            _finished(run.jobs[event.job], event)
        case ev.RunGivenUp():
            _given_up(run.jobs[event.job].runs[event.run], event)
        case ev.RunCancelled():
            _stopped(run, run.jobs[event.job].runs[event.run], event)
        case ev.EntryClosed():
            _known(run.job_of, (event.entry,))
            run.closed[event.entry] = event.outcome
            run.closed_at[event.entry] = event.at
        case ev.Reattempted():
            _reattempted(run, event)
        case ev.UncertaintyResolved():
            _decided(run, event)
        case ev.RunStopped():
            _ended(run, event)
        case ev.Detached():
            run.detached = True
        case ev.Interrupted():
            run.signal = event.signal
        case ev.RunFinished():
            run.exit_code = event.exit_code
        case _:
            assert_never(event)


def _in_order(run: Run, event: ev.Event) -> ev.Event:
    """An event at the time when it happened. None is before what it follows: its process's clock was behind then."""
    if event.at < run.last_at:
        event = replace(event, at=run.last_at)
    if not isinstance(event, (ev.Resumed, ev.RunFinished)):
        # These say when a process came and went, not when the run moved: a report stays the same, whoever renders it.
        run.last_at = event.at
    return event


def _known(names: Container[str], used: Iterable[str]) -> None:
    """KeyError if an event speaks of a name that is not there; most of them do by looking it up."""
    for name in used:
        if name not in names:
            raise KeyError(name)


def _created(
    run: Run,
    state: JobState,
    event: ev.Submitting | ev.CreateFailed | ev.Accepted | ev.CreateMadeNothing | ev.Uncertain,
) -> None:
    match event:
        case ev.Submitting():
            state.phase, state.attempt, state.key = Phase.SUBMITTING, event.attempt, event.key
            state.began_at = event.at if state.began_at is None else state.began_at
            state.sent = {name: run.resources[name].values for name in state.job.uses.values()}
        case ev.CreateFailed():
            state.message, state.cause = event.message, event.cause
            state.phase = Phase.WAITING if event.wait_s is not None else Phase.DONE
        case ev.Accepted():
            _accepted(state, event)
        case ev.CreateMadeNothing():
            _known(state.entries, event.outcomes)
            state.phase, state.message, state.cause, state.outcomes = Phase.DONE, None, None, event.outcomes
        case ev.Uncertain():
            state.phase, state.message = Phase.UNCERTAIN, event.message
        case _:
            assert_never(event)


def _resumed(run: Run) -> None:
    """Opens again what was closed for a reason that may be gone; a job that certainly has no run waits again."""
    run.signal = run.exit_code = None
    run.detached = False
    again = [entry for entry, outcome in run.closed.items() if outcome.cause in REOPENED]
    for state in run.jobs.values():
        given_up = [remote for remote in state.runs.values() if remote.unread]
        for remote in given_up:
            remote.abandoned = None
        never_begun = state.phase is Phase.DONE and not state.runs and state.cause in REOPENED
        if never_begun:
            state.phase = Phase.WAITING
        if given_up or never_begun:
            again += _undecided(run, state)
        again += _asked_again(state)
        if not state.runs:
            state.began_at = None  # the vendor was not waited for meanwhile
    _reopen(run, again)
    for resource in run.resources.values():
        resource.resumed()


REPEATED = "an earlier attempt of this CI job may have started it, and this folder does not know"


def _doubt_what_waits(run: Run) -> None:
    """What waits to be created may exist already: nothing of it begins by itself."""
    for state in run.jobs.values():
        if state.phase is Phase.WAITING and run.open_entries(state):
            state.phase, state.message = Phase.UNCERTAIN, REPEATED
        state.entries = {name: _without_retries(entry) for name, entry in state.entries.items()}


def _without_retries(entry: Entry) -> Entry:
    return replace(entry, policy=replace(entry.policy, retries=Retries(failed=0, infra=0)))


def _tried_anew(run: Run, entries: Iterable[str]) -> None:
    """Whatever ended the run before does not hold any more; a job without a run waits again."""
    run.ended = None
    for entry in entries:
        state = run.job_of[entry]
        state.phase, state.message, state.cause = Phase.WAITING, None, None
        _reopen(run, (entry,))


def _asked_again(state: JobState) -> tuple[str, ...]:
    """The entries of an uncertain create with a key, which tells the vendor that it is the same one."""
    if state.phase is not Phase.UNCERTAIN or state.key is None:
        return ()
    state.phase = Phase.SUBMITTING
    return state.job.entries


def _ended(run: Run, event: ev.RunStopped) -> None:
    """At a person's word, whatever ended an earlier process is no news any more."""
    run.ended, run.detached = event, False
    if event.reason is ev.Reason.CANCELLED:
        run.signal = run.exit_code = None
        _reopen(run, [entry for state in run.jobs.values() for entry in _asked_again(state)])
        for resource in run.resources.values():
            resource.resumed()


def reason_of(run: Run) -> str:
    """Why a run ended before its own end, in words."""
    if run.ended is None or run.ended.entry is None:
        return "cancelled with qarunner cancel"
    outcome = run.closed.get(run.ended.entry)
    which = "was blocked" if outcome is not None and outcome.verdict is Verdict.BLOCKED else "failed"
    return f"cancelled by --fail-fast, since {run.ended.entry} {which}"


def _undecided(run: Run, state: JobState) -> list[str]:
    """A job's entries that were not ended by us, as by a time that was up."""
    ended = {Verdict.TIMED_OUT, Verdict.CANCELLED}
    return [
        entry
        for entry in state.job.entries
        if run.job_of[entry] is state and entry in run.closed and run.closed[entry].verdict not in ended
    ]


def _reopen(run: Run, entries: Iterable[str]) -> None:
    """Opens entries again, and those that were skipped because they need one of them."""
    needs = {entry.id: entry.needs for entry in run.plan.entries if entry.needs}
    wanted = list(entries)
    while wanted:
        for entry in wanted:
            run.closed.pop(entry, None)
            run.closed_at.pop(entry, None)
        skipped = [entry for entry in needs if entry in run.closed and run.closed[entry].cause is Cause.DEPENDENCY]
        wanted = [entry for entry in skipped if any(need not in run.closed for need in needs[entry])]


def _reattempted(run: Run, event: ev.Reattempted) -> None:
    state = JobState(
        job=event.job, entries={entry.id: entry for entry in event.entries}, attempt=event.attempt, why=event.why
    )
    run.jobs[event.job.id] = state
    _reopen(run, event.job.entries)
    for entry in event.job.entries:
        run.job_of[entry] = state
        run.attempts[entry].append(state)


def _polled(state: JobState, event: ev.Polled) -> None:
    remote = state.runs[event.run]
    _known(state.entries, event.outcomes)
    remote.settled.update(event.outcomes)
    remote.note = remote.raw_status = event.note
    remote.done, remote.total, remote.trouble = event.done, event.total, None
    remote.entries.update(event.entries)
    remote.ended_remotely = False  # whatever the answer to its cancel said: its status is the later word


def _given_up(remote: RunState, event: ev.RunGivenUp) -> None:
    remote.abandoned = event.outcome
    remote.so_far.update(event.so_far)


def _stopped(run: Run, remote: RunState, event: ev.RunCancelled) -> None:
    if run.ended is not None:
        remote.why_cancelled = reason_of(run)
    remote.ended_remotely = remote.ended_remotely or event.over
    remote.so_far.update(event.so_far)
    remote.cancelled = remote.cancelled or (event.message is None and not event.over)


def _accepted(state: JobState, event: ev.Accepted) -> None:
    state.phase, state.message = Phase.RUNNING, None
    for remote in event.runs:
        state.runs[remote.id] = RunState(remote=remote, accepted_at=event.at)


def _finished(state: JobState, event: ev.RunFinishedRemotely) -> None:
    remote = state.runs[event.run]
    _known(state.entries, event.outcomes)
    # Details may come after the verdict; the run was over before.
    remote.finished_at = event.at if remote.finished_at is None else remote.finished_at
    remote.outcomes, remote.note = event.outcomes, "finished"
    if all(run.outcomes is not None for run in state.runs.values()):
        state.phase = Phase.DONE


def _decided(run: Run, event: ev.UncertaintyResolved) -> None:
    """A resubmitted job waits again and its entries are open; a dropped one keeps its `unknown` for good."""
    state = run.jobs[event.job]
    if event.resubmit:
        state.phase, state.message, state.resubmitted = Phase.WAITING, None, state.resubmitted + 1
        _reopen(run, state.job.entries)
    else:
        state.phase = Phase.DONE
