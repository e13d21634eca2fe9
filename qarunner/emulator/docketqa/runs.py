"""One DocketQA test run in time, and how a reply tells it (docketqa.md: Create, Status)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qarunner.emulator.ledger import Course, Phase

if TYPE_CHECKING:
    from qarunner.emulator.world import World


STEPS = ("Open the start page", "Follow the described path", "Check the result")


START = "https://example.com/"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRun:
    """One test in a remote session of its own; `created` is in seconds of the emulation."""

    id: int
    group: int
    test: int
    created: float
    course: Course
    url: str | None
    login: bool

    def status(self, now: float) -> str:
        """`running` from the start, since no queued state is known; then the outcome."""
        over = self.course.phase(now - self.created) is Phase.OVER
        return self.course.word or self.course.outcome if over else "running"


def blueprint(title: str, url: str | None) -> dict[str, object]:
    """What is known of a saved test; no page lists the words of `type` and `device_type`."""
    return {"title": title, "type": "web", "device_type": "desktop", "starting_url": url or START}


def told(run: TestRun, world: World) -> dict[str, object]:
    """A test run as replies show it."""
    now = world.timeline.now()
    over = run.course.phase(now - run.created) is Phase.OVER
    title = run.course.name or ("Log in" if run.login else f"Test {run.test}")
    return {
        "id": run.id,
        "status": run.status(now),
        "test_blueprint_id": run.test,
        "test_group_run_id": run.group,
        "blueprint_metadata": blueprint(title, run.url) | {"steps": list(STEPS)},
        "results": _results(run, world) if over else None,
        "is_login_test_run": run.login,
        "test_video_url": world.page("docketqa", "videos", run.id) if over else None,
        "created_at": world.timeline.stamp(run.created),
        "updated_at": world.timeline.stamp(run.created + run.course.lasted(now - run.created)),
    }


def _results(run: TestRun, world: World) -> list[dict[str, object]]:
    """The steps: a run that did not pass breaks at the second one."""
    broken = len(STEPS) if run.course.outcome == "passed" else 1
    return [_step(run, number, task, broken, world) for number, task in enumerate(STEPS)]


def _step(run: TestRun, number: int, task: str, broken: int, world: World) -> dict[str, object]:
    if number > broken:  # docketqa.md, Status: "a step never reached"
        missing: dict[str, object] = {"is_successful": False, "result": "Step not completed", "duration": 0}
        return {"step_number": number + 1, "task": task, **missing, "actions": []}
    picture = world.page("docketqa", "screenshots", f"{run.id}-{number + 1}.png")
    return {
        "step_number": number + 1,
        "task": task,
        "is_successful": number != broken,
        "result": "Done" if number != broken else run.course.message or "The page did not show what was described",
        "duration": round(run.course.duration / len(STEPS), 1),
        "actions": [{"description": task, "type": "click", "screenshot_url": picture}],
    }
