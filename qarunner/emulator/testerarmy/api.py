"""TesterArmy's API as testerarmy.md describes it: a create makes one run or a batch of them, and each is polled."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from qarunner.emulator.http import require_bearer
from qarunner.emulator.ledger import new_uuid, shuffled, uuid_of
from qarunner.emulator.messages import Answer, Body, Endpoint, Refused
from qarunner.emulator.sections import Courses, Known
from qarunner.emulator.strict import Fields, digits, one_of, text, uuid_text
from qarunner.emulator.testerarmy.apps import Mobile
from qarunner.emulator.testerarmy.runs import (
    OVER,
    WORDS,
    Batch,
    Run,
    read_group_run,
    read_pull_request_run,
    read_test_run,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qarunner.emulator.ledger import Course
    from qarunner.emulator.messages import Call
    from qarunner.emulator.sections import TesterarmySection
    from qarunner.emulator.world import World


# testerarmy.md, Access names these four codes; the codes of its other statuses are unknown and made from their names.
CODES = {400: "ValidationError", 401: "Unauthorized", 429: "RateLimited", 500: "InternalError"}


PAGE = digits(least=1, most=100)


NEVER = "never"  # the outcome of a run that is cancelled as soon as it is made


class Testerarmy:
    """The vendor TesterArmy."""

    name = "testerarmy"
    state_at = ("status",)

    def __init__(self, world: World, section: TesterarmySection) -> None:
        self._world = world
        self._section = section
        self._courses = Courses(section.tests)
        pull_requests = Known(default=section.pull_request[-1], named={"": section.pull_request})
        self._pull_requests = Courses(pull_requests)
        self._mobile = Mobile(world, section)
        self._runs: dict[str, Run] = {}
        self._batches: dict[str, Batch] = {}

    def endpoints(self) -> tuple[Endpoint, ...]:
        pull_request = "/projects/{projectId}/pull-request-runs"
        query = {"limit": PAGE, "status": one_of(*WORDS), "projectId": text, "testId": uuid_text, "cursor": digits()}
        tests_query = {"projectId": text, "groupId": uuid_text, "limit": PAGE, "cursor": text}
        return (
            Endpoint(method="POST", path="/groups/{groupId}/runs", handle=self._create_group, body=Body.OPTIONAL),
            Endpoint(method="POST", path="/tests/{testId}/runs", handle=self._create_test, body=Body.OPTIONAL),
            Endpoint(method="POST", path=pull_request, handle=self._create_pull_request, body=Body.JSON),
            Endpoint(method="GET", path="/runs/{id}", handle=self._status),
            Endpoint(method="GET", path="/runs", handle=self._list, query=query),
            Endpoint(method="POST", path="/runs/{id}/cancel", handle=self._cancel, body=Body.OPTIONAL),
            Endpoint(method="POST", path="/batches/{batchId}/cancel", handle=self._cancel_batch, body=Body.OPTIONAL),
            *self._mobile.endpoints(),
            Endpoint(method="GET", path="/projects", handle=self._look_up),
            Endpoint(method="GET", path="/tests", handle=self._look_up, query=tests_query),
            Endpoint(method="GET", path="/groups", handle=self._look_up, query={"projectId": text}),
            Endpoint(method="GET", path="/groups/{id}", handle=self._look_up),
        )

    def admit(self, call: Call, endpoint: Endpoint) -> None:  # noqa: ARG002 (every route asks for the same)
        """Asks for the bearer key (testerarmy.md: Access)."""
        require_bearer(call, r"sk_\S+")

    def error(self, status: int, message: str, extra: Mapping[str, object]) -> object:
        """The error body `{"error": <code>, "message": <text>}` (testerarmy.md: Access)."""
        return {"error": CODES.get(status, HTTPStatus(status).phrase.replace(" ", "")), "message": message, **extra}

    def _create_group(self, call: Call) -> Answer:
        group = uuid_text(call.params["groupId"], "groupId")
        asked = read_group_run(_object(call), self._mobile)
        courses = [(test, self._courses.deal(test)) for test in self._members(group)]
        batch = self._start(courses, asked, kind="ci", project=uuid_of("testerarmy", "project"))
        runs = shuffled(batch.runs, "group")  # testerarmy.md, Unknown: "the order of runIds"
        cancelled = [run.id for run in runs if run.cancelled is not None]
        body: dict[str, object] = {
            "status": "cancelled" if cancelled and len(cancelled) == len(runs) else "queued",
            "groupId": group,
            "batchId": batch.id,
            "runIds": [run.id for run in runs],
            "queuedRunIds": [run.id for run in runs if run.cancelled is None],
            "cancelledRunIds": cancelled,
            "count": len(runs),
            "metadata": {},
        }
        return Answer(status=202, body=body)

    def _members(self, group: str) -> Sequence[str]:
        if group in self._section.groups:
            return self._section.groups[group]
        if self._section.tests.only:
            raise Refused(404, "group not found")
        return [uuid_of("testerarmy", group, number) for number in (1, 2, 3)]

    def _create_test(self, call: Call) -> Answer:
        test = uuid_text(call.params["testId"], "testId")
        asked = read_test_run(_object(call), self._mobile)
        if not self._courses.exists(test):
            raise Refused(404, "test not found")
        batch = self._start(
            [(test, self._courses.deal(test))], asked, kind="test", project=uuid_of("testerarmy", "project")
        )
        return Answer(status=202, body={"status": "queued", "runId": batch.runs[0].id, "testId": test})

    def _create_pull_request(self, call: Call) -> Answer:
        project = self._project(call.params["projectId"])
        asked = read_pull_request_run(call.body, self._mobile)
        batch = self._start([(None, self._pull_requests.deal(""))], asked, kind="ci", project=project)
        run = batch.runs[0]
        status = "queued" if run.cancelled is None else "cancelled"
        body = {"status": status, "runId": run.id, "projectId": project, "platform": run.platform, "metadata": {}}
        return Answer(status=202, body=body)

    def _project(self, named: str) -> str:
        """A project's id, from itself or from its short id (testerarmy.md: Access)."""
        for identifier, short in self._section.projects.items():
            if named in {identifier, short}:
                return identifier
        if self._section.tests.only:
            raise Refused(404, "project not found")
        try:
            return uuid_text(named, "projectId")
        except ValueError:
            return uuid_of("testerarmy", "project", named)

    def _start(
        self, courses: Sequence[tuple[str | None, Course]], asked: Mapping[str, object], *, kind: str, project: str
    ) -> Batch:
        now = self._world.timeline.now()
        runs = [
            Run(
                id=new_uuid(),
                kind=kind,
                test=test,
                project=project,
                created=now,
                course=course,
                asked=asked,
                cancelled=now if course.outcome == NEVER else None,
            )
            for test, course in courses
        ]
        batch = Batch(id=new_uuid(), runs=runs, sequential=self._section.sequential)
        self._batches[batch.id] = batch
        for run in runs:
            run.batch = batch
            self._runs[run.id] = run
            self._world.ledger.ran(self.name, run.id, create=batch.id, tests=[run.test] if run.test else [])
        return batch

    def _status(self, call: Call) -> Answer:
        return Answer(body=told(self._find(call), self._world))

    def _find(self, call: Call) -> Run:
        run = self._runs.get(uuid_text(call.params["id"], "id"))
        if run is None:
            raise Refused(404, "run not found")
        return run

    def _list(self, call: Call) -> Answer:
        now = self._world.timeline.now()
        query = call.query
        project = self._project(str(query["projectId"])) if "projectId" in query else None
        found = [
            run
            for run in reversed(self._runs.values())
            if query.get("status", run.status(now)) == run.status(now)
            and query.get("testId", run.test) == run.test
            and project in {None, run.project}
        ]
        start, size = int(str(query.get("cursor", 0))), int(str(query.get("limit", 20)))
        more = str(start + size) if start + size < len(found) else None
        shown = [told(run, self._world) for run in found[start : start + size]]
        return Answer(body={"runs": shown, "nextCursor": more})

    def _cancel(self, call: Call) -> Answer:
        Fields(_object(call)).done()
        run = self._find(call)
        now = self._world.timeline.now()
        if run.status(now) in OVER:
            raise Refused(409, "the run is already over")
        run.cancelled = now
        return Answer(body={"id": run.id, "status": "cancelled"})

    def _cancel_batch(self, call: Call) -> Answer:
        Fields(_object(call)).done()
        batch = self._batches.get(uuid_text(call.params["batchId"], "batchId"))
        if batch is None:
            raise Refused(404, "batch not found")
        now = self._world.timeline.now()
        open_runs = [run for run in batch.runs if run.status(now) not in OVER]
        for run in open_runs:
            run.cancelled = now
        finished = len(batch.runs) - len(open_runs)
        return Answer(body={"cancelled": len(open_runs), "alreadyFinished": finished})

    def _look_up(self, call: Call) -> Answer:
        """The look-ups exist, but no page shows their replies: an empty object, from which nothing can be read."""
        if "id" in call.params:
            self._members(uuid_text(call.params["id"], "id"))
        elif not call.path.startswith("/projects") and "projectId" not in call.query:
            raise Refused(400, "query parameter projectId is required")
        return Answer(body={})


def _object(call: Call) -> object:
    """The body of a route on which every field is optional: no body is an empty one."""
    return {} if call.body is None else call.body
