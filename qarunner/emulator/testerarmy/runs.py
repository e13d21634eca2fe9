"""One TesterArmy run in time, and how a reply tells it (testerarmy.md: Status)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from qarunner.emulator.world import HANG, Course, Phase, World, readable

WORDS = ("queued", "running", "completed", "failed", "cancelled")


OVER = ("completed", "failed", "cancelled")


STATUS = {"infra": "failed", "cancelled": "cancelled"}


STEPS = ("Open the page", "Follow the described path", "Check the result")


KINDS = ("act", "act", "assert")


NEVER_ENDS = float("inf")


class Run(Struct, kw_only=True):
    """One run; times are seconds of the emulation."""

    id: str
    kind: str
    test: str | None
    project: str
    created: float
    course: Course
    asked: Mapping[str, object]
    batch: Batch
    source: str = "api"
    cancelled: float | None = None

    @property
    def platform(self) -> object:
        """The platform that was asked for; a run without one is for the web."""
        return self.asked.get("platform", "web")

    def start(self) -> float:
        """When its turn comes."""
        return self.batch.turn(self)

    def end(self, start: float) -> float:
        """When it is over, if its turn comes at `start`."""
        if self.cancelled is not None:
            return self.cancelled
        return NEVER_ENDS if self.course.outcome == HANG else start + self.course.duration

    def status(self, now: float) -> str:
        """`queued`, `running`, then `completed`, `failed` or `cancelled`, or the scenario's own word."""
        if self.cancelled is not None:
            return "cancelled"
        phase = self.course.phase(now - self.start())
        if phase is not Phase.OVER:
            return str(phase)
        return self.course.word or STATUS.get(self.course.outcome, "completed")


class Batch(Struct, kw_only=True):
    """The runs of one create; "waiting runs stay queued" where they run one after another."""

    id: str
    group: str | None = None
    sequential: bool = False
    runs: list[Run] = field(default_factory=list)

    def turn(self, run: Run) -> float:
        """When a run's turn comes."""
        if not self.sequential:
            return run.created
        start = run.created
        for other in self.runs:
            if other is run:
                break
            start = max(start, other.end(start))
        return start


def run_body(run: Run, world: World) -> dict[str, object]:
    """A run as `GET /runs/{id}` shows it."""
    stamp, now, start = world.timeline.stamp, world.timeline.now(), run.start()
    status = run.status(now)
    over = status not in {"queued", "running"}
    started = status != "queued" and (run.cancelled is None or run.cancelled > start)
    end = run.end(start)
    judged = over and run.cancelled is None
    return {
        "id": run.id,
        "type": run.kind,
        "status": status,
        "input": dict(run.asked),  # required, but no page says what is in it
        "createdAt": stamp(run.created),
        "platform": run.platform,
        "deviceModel": run.asked.get("deviceModel"),
        "source": run.source,
        "projectId": run.project,
        "testId": run.test,
        "output": _output(run, world) if judged else None,
        "error": _error(run) if judged and run.course.outcome == "infra" else None,
        "durationMs": round((end - start) * 1000) if over and started else None,
        "userName": None,
        "externalRef": None,
        **({"executionMode": run.asked["mode"]} if "mode" in run.asked else {}),
        "autoRetryCount": 0,
        "startedAt": stamp(start) if started else None,
        "completedAt": stamp(end) if over else None,
    }


def _error(run: Run) -> dict[str, object]:
    return {"code": "InternalError", "message": run.course.message or "The browser session was lost"}


def _output(run: Run, world: World) -> dict[str, object] | None:
    """The agent's words: nothing for a run that did not complete; a planner that declined says why."""
    if run.course.outcome == "skipped":
        reason = run.course.message or "Nothing in this change can be tested"
        return {"kind": "planner_skipped", "reason": reason}
    if run.course.outcome not in {"passed", "failed"}:
        return None
    passed = run.course.outcome == "passed"
    name = run.course.name or readable(run.test or "pull-request")
    return {
        "featureName": name,
        "result": "PASS" if passed else "FAILED",
        "description": f"{name} works as described" if passed else _reason(run),
        "screenshots": [],
        "issues": [] if passed else [_issue(run, world)],
        "steps": [_step(number, passed=passed or number == 0, run=run) for number in range(len(STEPS))],
    }


def _reason(run: Run) -> str:
    return run.course.message or "The page did not show what was described"


def _issue(run: Run, world: World) -> dict[str, object]:
    return {
        "type": "issue",
        "name": "Unexpected result",
        "description": _reason(run),
        "url": run.asked.get("targetUrl", "https://example.com/"),
        "severity": 4,
        "reproductionSteps": list(STEPS[:2]),
        "expectedBehavior": "The described result is shown",
        "actualBehavior": _reason(run),
        "screenshotUrl": world.page("testerarmy", "screenshots", f"{run.id}.png"),
        "tMs": round(run.course.duration * 500),
    }


def _step(number: int, *, passed: bool, run: Run) -> dict[str, object]:
    length = run.course.duration * 1000 / len(STEPS)
    return {
        "stepIndex": number,
        "title": STEPS[number],
        "status": "passed" if passed else "failed",
        "type": KINDS[number],
        "summary": "Done" if passed else _reason(run),
        "error": None if passed else _reason(run),
        **({} if passed else {"errorCode": "STEP_NO_CONCLUSION"}),
        "startedAtMs": round(number * length),
        "completedAtMs": round((number + 1) * length),
    }
