"""A run's state: the fold of its events over its plan. The living engine and a resume use the same fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

from qarunner.engine import events as ev
from qarunner.engine.resource_state import ResourceState
from qarunner.plan.model import Job, Plan
from qarunner.vendors.api import Cause, Outcome, RemoteRun, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REOPENED = frozenset({Cause.UNAVAILABLE, Cause.CREDENTIAL, Cause.ALLOWANCE, Cause.BUG})
"""What a resume tries again: the reason may be gone, and none of these can have made a second run."""


INTERRUPTED = "cancelled at the vendor, since the apply was interrupted"


class Phase(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    SUBMITTING = "submitting"
    RUNNING = "running"
    UNCERTAIN = "uncertain"
    DONE = "done"


@dataclass(slots=True, kw_only=True)
class RunState:
    """One run at a vendor. `word` is the vendor's own for its state, `trouble` why it could not be asked."""

    remote: RemoteRun
    accepted_at: float
    note: str = "accepted"
    word: str | None = None
    trouble: str | None = None
    done: int | None = None
    total: int | None = None
    outcomes: Mapping[str, Outcome] | None = None
    finished_at: float | None = None
    given_up: Outcome | None = None
    cancelled: bool = False
    over: bool = False

    @property
    def live(self) -> bool:
        """Whether the vendor still works on it, as far as we know."""
        return self.outcomes is None and not self.cancelled and not self.over

    @property
    def followed(self) -> bool:
        """Whether it is still asked for."""
        return self.outcomes is None and not self.cancelled and self.given_up is None

    def outcome_of(self, entry: str) -> Outcome | None:
        """What it says of an entry of its job, if it says anything."""
        if self.outcomes is not None:
            return self.outcomes.get(entry)
        stopped = Outcome(verdict=Verdict.CANCELLED, message=INTERRUPTED) if self.cancelled else None
        return self.given_up or stopped


@dataclass(slots=True, kw_only=True)
class JobState:
    job: Job
    phase: Phase = Phase.WAITING
    attempt: int = 0
    key: str | None = None
    runs: dict[str, RunState] = field(default_factory=dict)
    message: str | None = None
    cause: Cause | None = None
    sent: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The values of resources with which its create left, by the resource."""


@dataclass(slots=True, kw_only=True)
class Run:
    """An apply: what is known of each job and of each entry. `closed` holds final outcomes and when they came."""

    plan: Plan
    jobs: dict[str, JobState]
    job_of: dict[str, JobState]
    resources: dict[str, ResourceState] = field(default_factory=dict)
    run_id: str = ""
    tool: str = ""
    rehearsal: bool = False
    endpoints: Mapping[str, str] = field(default_factory=dict)
    closed: dict[str, Outcome] = field(default_factory=dict)
    closed_at: dict[str, float] = field(default_factory=dict)
    started_at: float = 0.0
    last_at: float = 0.0
    signal: int | None = None
    exit_code: int | None = None

    @classmethod
    def of(cls, plan: Plan) -> Run:
        """A run of which nothing has happened yet."""
        jobs = {job.id: JobState(job=job) for job in plan.jobs}
        return cls(
            plan=plan,
            jobs=jobs,
            job_of={e: state for state in jobs.values() for e in state.job.entries},
            resources={resource.id: ResourceState(resource=resource) for resource in plan.resources},
        )

    def live_runs(self) -> Iterator[tuple[JobState, RunState]]:
        for state in self.jobs.values():
            for run in state.runs.values():
                if run.live:
                    yield state, run

    def open_entries(self, state: JobState) -> list[str]:
        return [entry for entry in state.job.entries if entry not in self.closed]

    @property
    def complete(self) -> bool:
        return len(self.closed) == len(self.plan.entries)


def fold(plan: Plan, events: Iterable[ev.Event]) -> Run:
    """The state that a journal tells of."""
    run = Run.of(plan)
    for event in events:
        advance(run, event)
    return run


def advance(run: Run, event: ev.Event) -> None:  # noqa: C901, PLR0912  one case an event: the closed union in one place
    """Applies one event. KeyError if it speaks of a job or run that the plan does not have."""
    if not isinstance(event, (ev.Resumed, ev.RunFinished)):
        # These say when a process came and went, not when the run moved: a report stays the same, whoever renders it.
        run.last_at = event.at
    match event:
        case ev.RunStarted():
            run.run_id, run.tool, run.started_at = event.run_id, event.tool, event.at
            run.endpoints, run.rehearsal = event.endpoints, event.rehearsal
        case ev.Resumed():
            _resumed(run)
        case (
            ev.Preparing()
            | ev.ResourceAsked()
            | ev.ResourceNotMade()
            | ev.ResourceReady()
            | ev.ResourceFailed()
            | ev.ResourceReleased()
        ):
            run.resources[event.resource].advance(event)
        case ev.Submitting():
            state = run.jobs[event.job]
            state.phase, state.attempt, state.key = Phase.SUBMITTING, event.attempt, event.key
            state.sent = {each: run.resources[each].values for each in state.job.uses.values()}
        case ev.NotSubmitted():
            state = run.jobs[event.job]
            state.message, state.cause = event.message, event.cause
            state.phase = Phase.WAITING if event.wait_s is not None else Phase.DONE
        case ev.Accepted():
            _accepted(run.jobs[event.job], event)
        case ev.Uncertain():
            state = run.jobs[event.job]
            state.phase, state.message = Phase.UNCERTAIN, event.message
        case ev.Polled():
            _polled(run.jobs[event.job].runs[event.run], event)
        case ev.Retrying():
            state = run.jobs[event.job]
            if event.run is None:
                state.message = event.message
            else:
                state.runs[event.run].trouble = event.message
        case ev.RemoteFinished():
            _finished(run.jobs[event.job], event)
        case ev.RunGivenUp():
            run.jobs[event.job].runs[event.run].given_up = event.outcome
        case ev.RunCancelled():
            _stopped(run.jobs[event.job].runs[event.run], event)
        case ev.EntryClosed():
            run.closed[event.entry] = event.outcome
            run.closed_at[event.entry] = event.at
        case ev.Decided():
            _decided(run, event)
        case ev.Interrupted():
            run.signal = event.signal
        case ev.RunFinished():
            run.exit_code = event.exit_code
        case _:
            assert_never(event)


def _resumed(run: Run) -> None:
    """Opens again what was closed for a reason that may be gone; a job that certainly has no run waits again."""
    run.signal = run.exit_code = None
    for entry in [entry for entry, outcome in run.closed.items() if outcome.cause in REOPENED]:
        del run.closed[entry], run.closed_at[entry]
    for state in run.jobs.values():
        for remote in state.runs.values():
            if remote.given_up is not None and remote.given_up.cause in REOPENED:
                remote.given_up = None
        if state.phase is Phase.DONE and not state.runs and state.cause in REOPENED:
            state.phase = Phase.WAITING
        if state.phase is Phase.UNCERTAIN and state.key is not None:
            # The key tells the vendor that it is the same create: asking again is how to find out.
            state.phase = Phase.SUBMITTING
            for entry in state.job.entries:
                run.closed.pop(entry, None)
                run.closed_at.pop(entry, None)
    for resource in run.resources.values():
        resource.resumed()


def _polled(remote: RunState, event: ev.Polled) -> None:
    remote.note = remote.word = event.note
    remote.done, remote.total, remote.trouble = event.done, event.total, None


def _stopped(remote: RunState, event: ev.RunCancelled) -> None:
    remote.over = remote.over or event.over
    remote.cancelled = remote.cancelled or (event.message is None and not event.over)


def _accepted(state: JobState, event: ev.Accepted) -> None:
    state.phase, state.message = Phase.RUNNING, None
    for remote in event.runs:
        state.runs[remote.id] = RunState(remote=remote, accepted_at=event.at)


def _finished(state: JobState, event: ev.RemoteFinished) -> None:
    remote = state.runs[event.run]
    remote.outcomes, remote.finished_at, remote.note = event.outcomes, event.at, "finished"
    if all(run.outcomes is not None for run in state.runs.values()):
        state.phase = Phase.DONE


def _decided(run: Run, event: ev.Decided) -> None:
    """A resubmitted job waits again and its entries are open; a dropped one keeps its `unknown` for good."""
    state = run.jobs[event.job]
    if event.resubmit:
        state.phase, state.message = Phase.WAITING, None
        for entry in state.job.entries:
            run.closed.pop(entry, None)
            run.closed_at.pop(entry, None)
    else:
        state.phase = Phase.DONE
