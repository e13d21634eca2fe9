"""Doksi's API as doksi.md describes it: one create starts a run of many results, and the run is polled."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from qarunner.emulator.http import require_bearer
from qarunner.emulator.messages import Body, Call, Endpoint, Refused, known
from qarunner.emulator.scenario import Courses, DoksiSection
from qarunner.emulator.strict import Fields, Wrong, is_web_address, list_of, one_of, text, web_address
from qarunner.emulator.world import Course, Phase, Slot, World, readable, shuffled

UPLOAD_VALID = 3600.0  # doksi.md, A build: "presigned, valid one hour"


APK_FAMILY = re.compile(r"split_config\..+\.apk")


class Line(Struct, frozen=True, kw_only=True):
    """One entry of a create's matrix, checked."""

    destination: Mapping[str, str]
    tests: tuple[str, ...]
    download_fails: bool


class Result(Struct, frozen=True, kw_only=True):
    """One test on one destination."""

    id: str
    test: str
    name: str
    destination: Mapping[str, str]
    course: Course


class Run(Struct, frozen=True, kw_only=True):
    """One run; `created` is in seconds of the emulation."""

    id: str
    created: float
    results: tuple[Result, ...]


class Doksi:
    """The vendor Doksi."""

    name = "doksi"
    state_at = ("status",)

    def __init__(self, world: World, section: DoksiSection) -> None:
        self._world = world
        self._section = section
        self._courses = Courses(section.tests)
        self._allowance = section.allowance
        self._runs: dict[str, Run] = {}
        self._uploads: dict[str, Slot] = {}
        self._targets = set(section.targets)

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            Endpoint("POST /runs", self._create, status=201, body=Body.JSON),  # doksi.md: "Success code unknown"
            Endpoint("GET /runs/{run_id}", self._status),
            Endpoint("POST /uploads", self._upload, status=201, body=Body.JSON),
            Endpoint("POST /targets", self._target, status=201, body=Body.JSON),
        )

    def admit(self, call: Call, endpoint: Endpoint) -> None:  # noqa: ARG002 (every route asks for the same)
        """Asks for the bearer key (doksi.md: Access)."""
        require_bearer(call, r"dk_live_[0-9a-fA-F]{40}")

    def error(self, status: int, message: str, extra: Mapping[str, object]) -> object:  # noqa: ARG002
        """The error body `{"error": str}`, with the two numbers of an exceeded allowance (doksi.md: Create)."""
        return {"error": message, **extra}

    def _create(self, call: Call) -> object:
        lines = self._read_matrix(call.body)
        self._charge(sum(len(line.tests) for line in lines))
        results = [self._result(line, test) for line in lines for test in line.tests]
        run = Run(id=self._world.ids.short(), created=self._world.timeline.now(), results=tuple(results))
        self._runs[run.id] = run
        self._world.ledger.ran(self.name, run.id, create=run.id, tests=[result.test for result in results])
        # No order is promised (doksi.md: Create shows a plain list), so it cannot be relied on.
        promised = [
            {"result_id": result.id, "test_id": result.test, "url": self._page(result)}
            for result in shuffled(run.results, "create")
        ]
        return {"run_id": run.id, "results": promised}

    def _read_matrix(self, body: object) -> tuple[Line, ...]:
        with Fields(body) as fields:
            for name, need in self._section.extra_fields.items():
                # doksi.md, Access: a company's policy may want a field that is shown nowhere.
                if not fields.has(name) and need == "required":
                    raise Refused(403, f"this company only runs on pull requests: {name} is missing")
            return fields.need("matrix", list_of(self._read_line, least=1))

    def _read_line(self, value: object, path: str) -> Line:
        with Fields(value, path) as fields:
            platform = fields.need("platform", one_of("web", "android"))
            destination = {"platform": platform}
            download_fails = False
            if platform == "web":
                for name in ("binary_url", "target_id"):
                    fields.forbid(name, "goes with platform android only")
                destination["web_url"] = fields.need("web_url", web_address)
            else:
                fields.forbid("web_url", "goes with platform web only")
                download_fails = self._read_android(fields)
            tests = self._read_tests(fields)
            artifacts = fields.maybe("artifacts", list_of(self._check_artifact)) or ()
            if len(artifacts) > 1:
                # Our strict choice: doksi.md does not say what two authentications of one entry would mean.
                raise Wrong(fields.at("artifacts"), "holds more than one authentication")
            return Line(destination=destination, tests=tests, download_fails=download_fails)

    def _read_android(self, fields: Fields) -> bool:
        """Whether the APK turns out to be missing: "a bad URL fails late" (doksi.md: Create)."""
        if fields.exactly_one("binary_url", "target_id") == "binary_url":
            return not is_web_address(fields.need("binary_url", text))
        target = fields.need("target_id", text)
        if target not in self._targets and not target.startswith("bin_"):
            raise Wrong(fields.at("target_id"), f"unknown target {target!r}")
        return False

    def _read_tests(self, fields: Fields) -> tuple[str, ...]:
        kind = fields.exactly_one("test_ids", "category_ids")
        ids = fields.need(kind, list_of(text, least=1))
        if len(set(ids)) < len(ids):
            # Our strict choice: a test may stand in several entries, but nothing is said of twice in one.
            raise Wrong(fields.at(kind), "names an id twice")
        if kind == "category_ids":
            return tuple(test for category in ids for test in self._expand(category, fields.at(kind)))
        for test in ids:
            if not self._courses.exists(test):
                raise Wrong(fields.at(kind), f"unknown test {test!r}")
        return ids

    def _expand(self, category: str, path: str) -> tuple[str, ...]:
        if category in self._section.categories:
            return self._section.categories[category]
        if self._section.tests.only:
            raise Wrong(path, f"unknown category {category!r}")
        return tuple(f"{category}-{number}" for number in (1, 2, 3))

    def _check_artifact(self, value: object, path: str) -> object:
        with Fields(value, path) as fields:
            fields.need("type", one_of("authentication"))
            if fields.need("strategy", one_of("none", "generated", "specific")) != "specific":
                fields.forbid("account_id", "goes with strategy specific only")
                return value
            account = fields.need("account_id", text)
            if self._section.accounts is not None and account not in self._section.accounts:
                raise Wrong(fields.at("account_id"), f"account {account!r} does not belong to this company")
            return value

    def _charge(self, requested: int) -> None:
        """Takes a create's tests from the allowance; the refusal carries two numbers (doksi.md: Create)."""
        if self._allowance is None:
            return
        if requested > self._allowance:
            numbers = {"requested": requested, "remaining": self._allowance}
            raise Refused(402, "not enough test runs left in this subscription", extra=numbers)
        self._allowance -= requested

    def _result(self, line: Line, test: str) -> Result:
        course = self._courses.deal(test)
        if line.download_fails:
            course = course.ending("failed")
        name = course.name or readable(test)
        return Result(id=self._world.ids.short(), test=test, name=name, destination=line.destination, course=course)

    def _status(self, call: Call) -> object:
        run = known(self._runs, call.params["run_id"], "run")
        elapsed = self._world.timeline.now() - run.created
        results = [(result, _word(result.course, elapsed)) for result in run.results]
        lasted = max((result.course.lasted(elapsed) for result in run.results), default=0.0)
        counts = [word for _, word in results]
        return {
            "run_id": run.id,
            "status": _run_word(run, elapsed),
            "tests_total": len(counts),
            "tests_passed": counts.count("passed"),
            "tests_failed": counts.count("failed"),
            "tests_running": counts.count("running"),
            "duration_seconds": round(lasted, 1),
            "created_at": self._world.timeline.stamp(run.created),
            "updated_at": self._world.timeline.stamp(run.created + lasted),
            "results": [self._result_body(result, word, elapsed) for result, word in shuffled(results, "status")],
        }

    def _result_body(self, result: Result, word: str, elapsed: float) -> dict[str, object]:
        """One result, without a reason, a screenshot, a video or a log (doksi.md: Status)."""
        return {
            "result_id": result.id,
            "test_id": result.test,
            "test_name": result.name,
            "status": word,
            "duration_seconds": round(result.course.lasted(elapsed), 1),
            "url": self._page(result),
            "destination": dict(result.destination),
        }

    def _page(self, result: Result) -> str:
        return self._world.page(self.name, "results", result.id)

    def _upload(self, call: Call) -> object:
        with Fields(call.body) as fields:
            name = fields.maybe("name", text)
        upload = self._world.ids.short()
        slot = self._world.storage.open(self.name, content_type="application/zip", valid=UPLOAD_VALID, filename=name)
        self._uploads[upload] = slot
        return {"upload_id": upload, "upload_url": slot.url}

    def _target(self, call: Call) -> object:
        with Fields(call.body) as fields:
            upload = fields.need("upload_id", text)
            fields.maybe("name", text)
            fields.maybe("version", text)
        slot = self._uploads.get(upload)
        if slot is None or slot.stored is None:
            raise Refused(400, f"upload_id: nothing was uploaded as {upload!r}")
        if not _holds_an_app(slot.stored.members):
            raise Refused(400, "upload_id: the zip must hold one .apk, or base.apk with split_config.*.apk")
        target = self._world.ids.lower("bin_")
        self._targets.add(target)
        slot.upload.became = target
        return {"target_id": target}


def _holds_an_app(members: tuple[str, ...] | None) -> bool:
    """One `.apk`, or `base.apk` with `split_config.*.apk` (doksi.md: A build)."""
    if not members:
        return False
    if len(members) == 1:
        return members[0].endswith(".apk")
    splits = [name for name in members if name != "base.apk"]
    return "base.apk" in members and all(APK_FAMILY.fullmatch(name) for name in splits)


def _word(course: Course, elapsed: float) -> str:
    phase = course.phase(elapsed)
    return course.word or course.outcome if phase is Phase.OVER else str(phase)


def _run_word(run: Run, elapsed: float) -> str:
    """The run's status: only `passed` and `failed` end it (doksi.md: Status)."""
    phases = {result.course.phase(elapsed) for result in run.results}
    if phases <= {Phase.OVER}:
        return "failed" if any(result.course.outcome == "failed" for result in run.results) else "passed"
    return "queued" if phases == {Phase.QUEUED} else "running"
