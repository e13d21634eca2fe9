"""One DocketQA test run in time, and how a reply tells it (docketqa.md: Create, Status)."""

from __future__ import annotations

from msgspec import Struct

from qarunner.emulator.world import Course, Phase, World

STEPS = ("Open the start page", "Follow the described path", "Check the result")


START = "https://example.com/"


class TestRun(Struct, frozen=True, kw_only=True):
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


def stamp(world: World, moment: float) -> str:
    """A moment with offset and microseconds (docketqa.md: Access)."""
    return world.timeline.stamp(moment).replace("Z", "000+00:00")


def steps() -> list[dict[str, object]]:
    """The steps of every saved test (docketqa.md: Status)."""
    return [
        {"action": action, "step_number": number, "type": "act", "use_vision": False}
        for number, action in enumerate(STEPS, 1)
    ]


def blueprint(test: int, title: str, url: str | None, *, login: bool = False) -> dict[str, object]:
    """What the list of tests and the snapshot in a run have in common."""
    return {
        "id": test,
        "title": title,
        "type": "module" if login else "integration",
        "device_type": "browser",
        "starting_url": url or START,
        "browser_zoom": 1.0,
        "viewport_width": 1440,
        "viewport_height": 900,
    }


def run_body(run: TestRun, world: World, *, detailed: bool = False) -> dict[str, object]:
    """A test run as replies show it; its video only by itself."""
    now = world.timeline.now()
    over = run.course.phase(now - run.created) is Phase.OVER
    title = run.course.name or ("Log in" if run.login else f"Test {run.test}")
    snapshot = blueprint(run.test, title, run.url, login=run.login)
    shown = {
        "id": run.id,
        "status": run.status(now),
        "test_blueprint_id": run.test,
        "test_group_run_id": run.group,
        "blueprint_metadata": snapshot | {"variables": None, "steps": steps()},
        "results": _results(run, world) if over else None,
        "is_login_test_run": run.login,
        "created_at": stamp(world, run.created),
        "updated_at": stamp(world, run.created + run.course.lasted(now - run.created)),
    }
    video = world.page("docketqa", "videos", run.id) if over else None
    more: dict[str, object] = {
        "test_video_url": video,
        "test_video_download_url": video and f"{video}.webm",
        "additional_attempts": [],
    }
    return shown | more if detailed else shown


def _results(run: TestRun, world: World) -> list[dict[str, object]]:
    """The steps: a run that did not pass breaks at the second one."""
    broken = len(STEPS) if run.course.outcome == "passed" else 1
    return [_step(run, number, task, broken, world) for number, task in enumerate(STEPS)]


def _step(run: TestRun, number: int, task: str, broken: int, world: World) -> dict[str, object]:
    step: dict[str, object] = {"step_number": number + 1, "task": task, "is_successful": number < broken}
    if number > broken:  # docketqa.md, Status: "a step never reached"
        return step | {"result": "Step not completed", "duration": 0, "actions": []}
    result = "Done" if number != broken else run.course.message or "The page did not show what was described"
    picture = world.page("docketqa", "screenshots", f"{run.id}-{number + 1}.png")
    action = {"description": task, "type": "click_element", "screenshot_url": picture}
    return step | {"result": result, "duration": round(run.course.duration / len(STEPS)), "actions": [action]}
