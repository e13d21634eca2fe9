"""Which vendors a run has still business with: only their credentials are needed to go on with it, or to cancel it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.engine.machine import cancel_request
from qarunner.engine.state import Phase
from qarunner.vendors.api import ResourceKind, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.engine.state import JobState, Run, RunState
    from qarunner.vendors.api import Vendor


def to_resume(run: Run, vendors: Mapping[str, Vendor]) -> set[str]:
    """The vendors that a resume talks to; none, if all that is left is to report."""
    found = {run.job_of[entry].job.vendor for entry in run.job_of if entry not in run.closed}
    late = {entry for entry, outcome in run.closed.items() if outcome.verdict is Verdict.TIMED_OUT}
    for state, _ in cancellable(run, vendors):
        if run.ended is not None or late.intersection(state.job.entries):
            found.add(state.job.vendor)
    return found | _with_environments(run)


def to_cancel(run: Run, vendors: Mapping[str, Vendor]) -> set[str]:
    """The vendors that a cancel talks to; none, if nothing runs that could be cancelled."""
    found = {state.job.vendor for state, _ in cancellable(run, vendors)}
    found |= {state.job.vendor for state in run.jobs.values() if _in_doubt(state)}
    return found | _with_environments(run)


def cancellable(run: Run, vendors: Mapping[str, Vendor]) -> Iterator[tuple[JobState, RunState]]:
    """Runs that may go on at a vendor which has a call to stop them."""
    for state, remote in run.live_runs():
        if cancel_request(vendors[state.job.vendor], run.call(state), remote.remote) is not None:
            yield state, remote


def _in_doubt(state: JobState) -> bool:
    return state.key is not None and state.phase in {Phase.SUBMITTING, Phase.UNCERTAIN}


def _with_environments(run: Run) -> set[str]:
    """Vendors of environments that are, or may be, there."""
    return {
        state.resource.vendor
        for state in run.resources.values()
        if state.resource.kind is ResourceKind.ENVIRONMENT and state.there
    }
