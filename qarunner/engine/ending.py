"""The end of a whole run before its own: after a failure under --fail-fast, or at a person's word.

Nothing begins any more, what can be cancelled is, and every entry is closed with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.engine import events as ev
from qarunner.engine.pacing import Kind
from qarunner.engine.resource_state import Making
from qarunner.engine.state import Phase, reason_of
from qarunner.vendors.api import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qarunner.engine.lane import Lane
    from qarunner.engine.settle import Settler
    from qarunner.engine.state import JobState, Run
    from qarunner.engine.workers import Clock

NO_CANCEL = "{vendor} has no call to cancel it: it runs on"
_NOT_BEGUN = {ev.Reason.FAIL_FAST: Verdict.SKIPPED, ev.Reason.CANCELLED: Verdict.CANCELLED}


class Ending:
    """Ends a run. It knows no pool: the loop sends what it puts into the lanes."""

    def __init__(
        self, run: Run, lanes: Mapping[str, Lane], settler: Settler, record: Callable[[ev.Event], None], clock: Clock
    ) -> None:
        self._run = run
        self._lanes = lanes
        self._settler = settler
        self._closer = settler.closer
        settler.end_made = self._end_running
        self._record = record
        self._clock = clock

    def heed(self) -> None:
        """Ends the run after its first gating failure, if it was ordered so."""
        culprit = self._closer.failure
        if culprit is None or self._run.ended is not None or self._closer.stopping or self._closer.closing:
            return
        self._record(ev.Ended(at=self._clock.wall(), reason=ev.Reason.FAIL_FAST, entry=culprit))
        now = self._clock.now()
        unsure = [task for lane in self._lanes.values() for task in lane.drop(*_BEGINNINGS) if task.maybe]
        self.end(now)
        for task in unsure:  # only its answer can tell whether there is something to cancel
            self._lanes[task.job.job.vendor].put(task, now)

    def resume(self) -> None:
        """Where a process enters that finds the run ended."""
        now = self._clock.now()
        self.end(now)
        for state in list(self._run.jobs.values()):
            if state.phase is Phase.SUBMITTING:
                self._ask(state)
            elif not self._run.open_entries(state):
                self._settler.preparer.job_over(state)

    def _ask(self, state: JobState) -> None:
        """Finds out about a create whose answer was lost, where a key makes that safe and its run can be cancelled."""
        info = self._lanes[state.job.vendor].vendor.info
        there = all(resource.phase is Making.READY for resource in self._settler.preparer.of(state))
        if state.key is not None and info.capabilities.cancel and there:
            self._settler.creator.put(state)
        else:
            self._settler.creator.unanswered(state)

    def end(self, now: float) -> None:
        """Ends every job; of those under way, the answers to their cancels close the entries."""
        self._closer.ended = reason_of(self._run)
        for lane in self._lanes.values():
            lane.drop(Kind.READ)
        for state in list(self._run.jobs.values()):
            self.end_job(state, now)

    def end_job(self, state: JobState, now: float) -> None:
        match state.phase:
            case Phase.WAITING if self._run.ended is not None:
                verdict = _NOT_BEGUN[self._run.ended.reason]
                self._closer.close_entries(
                    state, Outcome(verdict=verdict, message=f"never begun: {self._closer.ended}")
                )
            case Phase.RUNNING:
                self._end_running(state, now)
            case Phase.DONE | Phase.UNCERTAIN:
                self._closer.close_job(state)
            case _:  # its answer is still to come
                pass

    def _end_running(self, state: JobState, now: float) -> None:
        self._closer.put_cancels(state, now)
        if not self._closer.cancelling(state):
            for run in [run for run in state.runs.values() if run.followed]:
                self._closer.leave(state, run, NO_CANCEL.format(vendor=state.job.vendor))
            self._closer.close_job(state)

    def sweep(self) -> None:
        """Closes what is open still when nothing more will come."""
        if self._closer.ended is None or self._closer.stopping:
            return
        for state in list(self._run.jobs.values()):
            if self._run.open_entries(state) and state.phase is not Phase.SUBMITTING:
                self._closer.close_entries(state, Outcome(verdict=Verdict.CANCELLED, message=self._closer.ended))


_BEGINNINGS = (Kind.CREATE, Kind.SETUP, Kind.UPLOAD)
