"""One Certyn run in time: its state, its counters and its items (certyn.md: Status, Per-test details)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from qarunner.emulator.scenario import Process
from qarunner.emulator.world import HANG, Timeline, readable, uuid_of

# certyn.md, Status: "`conclusion` uses several vocabularies": runs take turns with these (good, bad, cancelled).
CONCLUSIONS = (("success", "failure", "cancelled"), ("passed", "failed", "canceled"), ("Passed", "Failed", "Cancelled"))


ECHOED = ("environmentKey", "processSlug", "tags", "commitSha", "externalUrl")


class Run(Struct, kw_only=True):
    """One run; times are seconds of the emulation, `invisible` the polls that still answer 404."""

    id: str
    created: float
    number: int
    process: Process
    asked: Mapping[str, object]
    invisible: int = 0
    cancelled: float | None = None

    @property
    def selection(self) -> list[str]:
        """The process or the tags that the run was asked for."""
        tags = self.asked.get("tags")
        if isinstance(tags, list):
            return [str(tag) for tag in tags]
        return [str(self.asked["processSlug"])] if "processSlug" in self.asked else []

    @property
    def _end(self) -> float:
        return self.created + self.process.duration

    def state(self, now: float) -> str:
        """`in_progress`, `completed` or `cancelled`."""
        if self.cancelled is not None:
            return "cancelled"
        if now < self._end or self.process.outcome == HANG:
            return "in_progress"
        return self.process.outcome

    def outcomes(self) -> list[str]:
        """What becomes of each item, the good ones first."""
        bad = {name: getattr(self.process, name) for name in ("failed", "blocked", "aborted", "skipped")}
        passed = self.process.total - sum(bad.values())
        return ["passed"] * passed + [name for name, count in bad.items() for _ in range(count)]

    def item_ends(self) -> list[float]:
        """When each item ends: one after another; a run that its vendor cancels gets half of them done."""
        start = self.created + min(self.process.queued, self.process.duration)
        span = (self._end - start) * (2 if self.process.outcome == "cancelled" else 1)
        return [start + span * number / self.process.total for number in range(1, self.process.total + 1)]

    def items(self, now: float) -> list[tuple[str | None, float]]:
        """Each item's outcome so far (None: not over) and its end; a hanging run never ends its last item."""
        until = now if self.cancelled is None else min(now, self.cancelled)
        until = min(until, self._end)
        ends = self.item_ends()
        if self.process.outcome == HANG and ends:
            ends[-1] = float("inf")
        return [(outcome if end <= until else None, end) for outcome, end in zip(self.outcomes(), ends, strict=True)]

    def status(self, timeline: Timeline) -> dict[str, object]:
        """The body of a status reply, but for the URL and the hint."""
        now = timeline.now()
        state = self.state(now)
        done = [outcome for outcome, _ in self.items(now)]
        over = state != "in_progress"
        return {
            "runId": self.id,
            "state": state,
            "total": self.process.total,
            **{name: done.count(name) for name in ("passed", "failed", "blocked", "aborted", "skipped")},
            "pending": done.count(None),
            "conclusion": self._conclusion(state) if over else None,
            "startedAt": timeline.stamp(self.created),
            "completedAt": timeline.stamp(self._over_at()) if over else None,
            **{name: self.asked.get(name) for name in ECHOED},
        }

    def _over_at(self) -> float:
        return self._end if self.cancelled is None else self.cancelled

    def _conclusion(self, state: str) -> str:
        good, bad, cancelled = CONCLUSIONS[self.number % len(CONCLUSIONS)]
        if state == "cancelled":
            return cancelled
        failing = self.process.failed or self.process.blocked
        return self.process.conclusion or (bad if failing else good)

    def details(self, timeline: Timeline) -> dict[str, object]:
        """The body of a process-run reply."""
        now = timeline.now()
        items = self.items(now)
        outcomes = [outcome for outcome, _ in items]
        waiting = outcomes.count(None)
        running = 1 if waiting and self.state(now) == "in_progress" else 0
        status = self.status(timeline)
        return {
            "id": self.id,
            "number": self.number,
            "status": "running" if status["state"] == "in_progress" else status["state"],
            "triggerType": "ci",
            "startedAt": status["startedAt"],
            "completedAt": status["completedAt"],
            "summaryMarkdown": None,
            "totalItems": len(items),
            "passedItems": outcomes.count("passed"),
            "failedItems": outcomes.count("failed"),
            "blockedItems": outcomes.count("blocked"),
            "runningItems": running,
            "pendingItems": waiting - running,
            "items": self.item_bodies(timeline),
        }

    def item_bodies(self, timeline: Timeline) -> list[dict[str, object]]:
        """The items of a process-run reply."""
        items = enumerate(self.items(timeline.now()), 1)
        return [self._item(number, *item, timeline) for number, item in items]

    def _item(self, number: int, outcome: str | None, end: float, timeline: Timeline) -> dict[str, object]:
        subject = self.process.name or readable(self.selection[0] if self.selection else "instruction")
        judged = outcome if outcome != "skipped" else None
        return {
            "id": uuid_of("certyn", self.id, number),
            "testCaseId": uuid_of("certyn", subject, number),
            "testCaseName": f"{subject} {number}",
            "testCaseNumber": number,
            "executionId": uuid_of("certyn", self.id, number, "execution"),
            "agentSessionId": uuid_of("certyn", self.id, number, "session"),
            # No page lists the words of `status`; a client reads testOutcome (certyn.md: Per-test details).
            "status": "pending" if outcome is None else "skipped" if outcome == "skipped" else "completed",
            "testOutcome": judged,
            "summaryMarkdown": f"The test case **{outcome}**." if judged else None,
            "startedAt": timeline.stamp(self.created),
            "completedAt": timeline.stamp(end) if outcome else None,
        }
