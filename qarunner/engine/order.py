"""Which entries have to pass before a job begins; one of which a need did not pass is skipped, and never sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.engine.state import Phase
from qarunner.vendors.api import GOOD, Cause, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.engine.closing import Closer
    from qarunner.engine.state import JobState, Run

_WHICH = {
    Verdict.FAILED: "failed",
    Verdict.BLOCKED: "was blocked",
    Verdict.SKIPPED: "was skipped",
    Verdict.ERROR: "ended in an error",
    Verdict.TIMED_OUT: "timed out",
    Verdict.CANCELLED: "was cancelled",
    Verdict.UNKNOWN: "has no verdict",
}


def needs_of(state: JobState) -> list[str]:
    """The entries that must pass before the job begins, each once."""
    return list(dict.fromkeys(need for entry in state.entries.values() for need in entry.needs))


def awaited(run: Run, state: JobState) -> list[str]:
    """The needed entries that are not closed yet."""
    return [need for need in needs_of(state) if need not in run.closed]


def missed(run: Run, state: JobState) -> Outcome | None:
    """Why the job never begins, if an entry that it needs did not pass."""
    for need in needs_of(state):
        if need not in run.job_of:
            return _skipped(f"needs {need}, which is not a part of this plan")
        outcome = run.closed.get(need)
        if outcome is not None and outcome.verdict not in GOOD:
            return _skipped(f"needs {need}, which {_WHICH[outcome.verdict]}")
    return None


def _skipped(message: str) -> Outcome:
    return Outcome(verdict=Verdict.SKIPPED, message=message, cause=Cause.NEED)


class Order:
    """Lets waiting jobs begin, each once: when all that its entries need has passed, and never if one of it did not."""

    def __init__(self, run: Run, closer: Closer, begin: Callable[[JobState], None]) -> None:
        self._run = run
        self._closer = closer
        self._begin = begin
        self._admitted: set[str] = set()
        self._dependents: dict[str, list[JobState]] = {}
        for state in run.jobs.values():
            for need in needs_of(state):
                self._dependents.setdefault(need, []).append(state)

    def admit(self, state: JobState) -> None:
        """Lets a waiting job begin, or closes its entries, or leaves it waiting."""
        outcome = missed(self._run, state)
        if outcome is not None:
            self._closer.close_entries(state, outcome)
        elif not awaited(self._run, state) and not self.admitted(state):
            self._admitted.add(state.job.id)
            self._begin(state)

    def admitted(self, state: JobState) -> bool:
        return state.job.id in self._admitted

    def proceed(self) -> None:
        """Looks again at the jobs that waited for entries which were closed since."""
        closer = self._closer
        while closer.news:
            for state in self._dependents.get(closer.news.popleft(), ()):
                waits = state.phase is Phase.WAITING and self._run.open_entries(state)
                if waits and not closer.stopping and not closer.final:
                    self.admit(state)
