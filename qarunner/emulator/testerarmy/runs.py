"""One TesterArmy run in time, and how a reply tells it (testerarmy.md: Status)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from qarunner.emulator.strict import Fields, Wrong, one_of, text, text_up_to, uuid_text, web_address, whole
from qarunner.emulator.world import HANG, Course, Phase, readable

if TYPE_CHECKING:
    from qarunner.emulator.strict import Reader
    from qarunner.emulator.world import World


# ---------------------------------------------------------------------------------------------------------------------

# Reads the bodies of TesterArmy's creates, each with its own fields (testerarmy.md: Create).


ACCEPTED = (".app.zip", ".app.tar.gz", ".zip", ".tgz", ".apk")


PLATFORM = one_of("web", "ios", "android")


class Shelf(Protocol):
    """Knows which uploaded apps can be run."""

    def check(self, app: str, path: str) -> None:
        """Refuses an app that is gone."""


def read_group_run(value: object, shelf: Shelf, *, webhook: bool = False) -> Mapping[str, object]:
    """`POST /groups/{groupId}/runs` and its webhook: every field is optional."""
    with Fields(value) as fields:
        platform = fields.maybe("platform", PLATFORM)
        _check_device(fields, platform)
        fields.maybe("projectEnvironmentId", uuid_text)
        fields.maybe("environment", one_of("production", "staging", "preview", "custom"))
        fields.maybe("commitSha", text)
        if not webhook:
            fields.maybe("prNumber", whole(least=1))
        if platform in {"ios", "android"}:
            fields.forbid("targetUrl", f"goes with platform web, not {platform}")
        fields.maybe("targetUrl", web_address)
        if platform == "web":
            fields.forbid("mobile", "goes with platforms ios and android only")
        fields.maybe("mobile", _mobile(shelf))
    return _plain(value)


def read_test_run(value: object, shelf: Shelf) -> Mapping[str, object]:
    """`POST /tests/{testId}/runs`: neither `targetUrl` nor `commitSha` here."""
    with Fields(value) as fields:
        fields.maybe("mode", one_of("fast", "deep"))
        platform = fields.maybe("platform", PLATFORM)
        _check_device(fields, platform)
        fields.maybe("projectEnvironmentId", uuid_text)
        if platform == "web":
            fields.forbid("appId", "goes with platforms ios and android only")
        app = fields.maybe("appId", uuid_text)
        if app:
            shelf.check(app, "appId")
    return _plain(value)


def read_pull_request_run(value: object, shelf: Shelf) -> Mapping[str, object]:
    """`POST /projects/{projectId}/pull-request-runs`: a web run has a `targetUrl`, a mobile one a `platform`."""
    with Fields(value) as fields:
        if fields.has("targetUrl"):
            fields.need("targetUrl", web_address)
            fields.maybe("platform", one_of("web"))
            for name in ("mobile", "simulatorRegion"):
                fields.forbid(name, "goes with a mobile platform, not with targetUrl")
        else:
            fields.exactly_one("targetUrl", "platform")
            fields.need("platform", one_of("ios", "android"))
            fields.maybe("mobile", _mobile(shelf))
            fields.maybe("simulatorRegion", one_of("eu-north1", "us-west1"))
        fields.need("pullRequest", _pull_request)
    return _plain(value)


def _pull_request(value: object, path: str) -> None:
    with Fields(value, path) as fields:
        fields.maybe("provider", one_of("github"))
        fields.need("number", whole(least=1))
        fields.need("title", text_up_to(500))
        fields.maybe("description", text_up_to(5000, least=0))
        fields.maybe("baseBranch", text_up_to(255))
        fields.maybe("headBranch", text_up_to(255))
        fields.need("commitSha", text_up_to(100))


def _check_device(fields: Fields, platform: str | None) -> None:
    if platform in {"web", "android"}:
        fields.forbid("deviceModel", f"goes with platform ios, not {platform}")
    fields.maybe("deviceModel", one_of("iphone", "ipad"))


def _mobile(shelf: Shelf) -> Reader[None]:
    def read(value: object, path: str) -> None:
        with Fields(value, path) as fields:
            source = fields.at_most_one("appId", "bundleId", "artifactUrl")
            if source == "appId":
                shelf.check(fields.need("appId", uuid_text), fields.at("appId"))
            fields.maybe("bundleId", text)
            if source == "artifactUrl":
                fields.need("artifactUrl", web_address)
                check_filename(fields.need("artifactFilename", text), fields.at("artifactFilename"))
            else:
                fields.forbid("artifactFilename", "goes with artifactUrl only")
            fields.maybe("buildId", text)

    return read


def check_filename(name: str, path: str) -> None:
    """Refuses a build that TesterArmy does not take (testerarmy.md: A build)."""
    if not name.lower().endswith(ACCEPTED):
        raise Wrong(path, f"must end in {', '.join(ACCEPTED)}")


def _plain(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}


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
