"""When each run is asked next: by its age, by how long its like take, and by what the vendor wishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.engine.habits import Habits
    from qarunner.engine.lane import Lane, Task
    from qarunner.engine.workers import Clock


class Rounds:
    """Knows the ages of runs, and remembers how long those took that have ended."""

    def __init__(self, lanes: Mapping[str, Lane], habits: Habits, clock: Clock) -> None:
        self._lanes = lanes
        self._habits = habits
        self._clock = clock

    def due_at(self, task: Task, now: float, *, hint_s: float | None = None) -> float:
        """When a run is asked next; its task is told how urgent that is."""
        rhythm = self._lanes[task.job.job.vendor].rhythm
        turn = rhythm.turn(
            self._habits.expected(task.job),
            born=now - self._age_s(task),
            known_at=task.known_at,
            now=now,
            hint_s=hint_s,
        )
        task.urgency, task.watch = turn.urgency, turn.watch
        return turn.due

    def ended(self, task: Task) -> None:
        """A run was found to be over: somewhere between its last two answers it ended."""
        found = self._age_s(task)
        known = 0.0 if task.known_at is None else found - (self._clock.now() - task.known_at)
        self._habits.ended(task.job, known_s=max(0.0, known), found_s=found)

    def _age_s(self, task: Task) -> float:
        """By the wall clock, since another process may have begun the run."""
        assert task.run is not None  # noqa: S101  a read has a run
        return max(0.0, self._clock.wall() - task.run.accepted_at)
