"""TesterArmy's API as testerarmy.md describes it: a create makes one run or a batch of them, and each is polled."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from qarunner.emulator.http import require_bearer
from qarunner.emulator.messages import Body, Call, Endpoint, Refused, known
from qarunner.emulator.scenario import Courses, Known, TesterarmySection
from qarunner.emulator.strict import Fields, one_of, uuid_text
from qarunner.emulator.testerarmy.apps import Mobile, read_group_run, read_pull_request_run, read_test_run
from qarunner.emulator.testerarmy.inventory import CURSOR, PAGE, Inventory, paged
from qarunner.emulator.testerarmy.runs import OVER, WORDS, Batch, Run, run_body
from qarunner.emulator.world import World, shuffled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


# testerarmy.md, Access names these four codes; the codes of its other statuses are unknown and made from their names.
CODES = {400: "ValidationError", 401: "Unauthorized", 429: "RateLimited", 500: "InternalError"}
NEVER = "never"  # the outcome of a run that is cancelled as soon as it is made
GROUP_WEBHOOK, WEBHOOK = "POST /groups/webhook/{webhookId}/{secret}", "POST /webhook/{webhookId}/{secret}"


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
        self._inventory = Inventory(world, section, self._courses)
        self._mobile = Mobile(world, section)
        self._runs: dict[str, Run] = {}
        self._batches: dict[str, Batch] = {}

    def endpoints(self) -> tuple[Endpoint, ...]:
        pull_request = "POST /projects/{projectId}/pull-request-runs"
        query = {
            "limit": PAGE,
            "status": one_of(*WORDS),
            "projectId": uuid_text,
            "testId": uuid_text,
            "cursor": CURSOR,
        }
        return (
            Endpoint("POST /groups/{groupId}/runs", self._create_group, status=202, body=Body.OPTIONAL),
            Endpoint("POST /tests/{testId}/runs", self._create_test, status=202, body=Body.OPTIONAL),
            Endpoint(pull_request, self._create_pull_request, status=202, body=Body.JSON),
            Endpoint("GET /runs/{id}", lambda call: run_body(self._find(call), self._world)),
            Endpoint("GET /runs", self._list, query=query),
            Endpoint("POST /runs/{id}/cancel", self._cancel, body=Body.OPTIONAL),
            Endpoint("POST /batches/{batchId}/cancel", self._cancel_batch, body=Body.OPTIONAL),
            Endpoint("POST /batches/{batchId}/rerun", self._rerun, status=202, body=Body.OPTIONAL),
            Endpoint(
                GROUP_WEBHOOK,
                lambda call: self._hooked(call, read_group_run(call.body, self._mobile, webhook=True)),
                status=202,
                body=Body.OPTIONAL,
            ),
            Endpoint(WEBHOOK, lambda call: self._hooked(call, {}), body=Body.OPTIONAL),
            *self._mobile.endpoints(),
            *self._inventory.endpoints(),
        )

    def admit(self, call: Call, endpoint: Endpoint) -> None:
        """Asks for the bearer key; the secret of a webhook is in its path (testerarmy.md: Access, Create)."""
        if endpoint.name not in {GROUP_WEBHOOK, WEBHOOK}:
            require_bearer(call, r"sk_\S+")

    def error(self, status: int, message: str, extra: Mapping[str, object]) -> object:
        """The error body `{"error": <code>, "message": <text>}` (testerarmy.md: Access)."""
        return {"error": CODES.get(status, HTTPStatus(status).phrase.replace(" ", "")), "message": message, **extra}

    # --- creates ------------------------------------------------------------------------------------------------------

    def _create_group(self, call: Call) -> object:
        group = uuid_text(call.params["groupId"], "groupId")
        asked = read_group_run(call.body, self._mobile)
        batch = self._start_group(group, asked)
        return _batch(batch) | {"groupId": group, "metadata": {"github": _github(asked)}}

    def _start_group(self, group: str, asked: Mapping[str, object], *, source: str = "api") -> Batch:
        members = self._inventory.group(group)
        return self._start(
            self._inventory.enabled(members.tests),
            asked,
            project=self._inventory.project_of(group=group),
            group=group,
            source=source,
            sequential=members.sequential or self._section.sequential,
        )

    def _create_test(self, call: Call) -> object:
        test = uuid_text(call.params["testId"], "testId")
        asked = read_test_run(call.body, self._mobile)
        if not self._courses.exists(test):
            raise Refused(404, "test not found")
        batch = self._start([test], asked, kind="test", project=self._inventory.project_of(test=test))
        return {"status": "queued", "runId": batch.runs[0].id, "testId": test}

    def _create_pull_request(self, call: Call) -> object:
        project = self._inventory.project_id(call.params["projectId"])
        asked = read_pull_request_run(call.body, self._mobile)
        (run,) = self._start([None], asked, project=project).runs
        body = {"status": "queued", "runId": run.id, "projectId": project, "platform": run.platform}
        return body | {"metadata": {"github": _github(asked)}}

    def _hooked(self, call: Call, asked: Mapping[str, object]) -> object:
        """Starts the groups that the scenario gives a webhook, or one of its own name (testerarmy.md: Create)."""
        webhook = uuid_text(call.params["webhookId"], "webhookId")
        groups = self._section.webhooks.get(webhook, (webhook,))
        batches = [self._start_group(group, asked, source="webhook").id for group in groups]
        return {"received": True, "batchId": batches[0], "batchIds": batches}

    def _rerun(self, call: Call) -> object:
        Fields(call.body).done()
        source = self._batch(call)
        if source.group is None or any(run.status(self._world.timeline.now()) not in OVER for run in source.runs):
            raise Refused(409, "the batch cannot be run again")  # our strict choice: the file does not say when
        tests = [run.test for run in source.runs if run.test]
        enabled = self._inventory.enabled(tests)
        batch = self._start(enabled, source.runs[0].asked, project=source.runs[0].project, group=source.group)
        skipped = [test for test in tests if test not in enabled]
        more = {"groupId": source.group, "sourceBatchId": source.id, "skippedTestIds": skipped}
        return _batch(batch) | more

    def _start(
        self,
        tests: Sequence[str | None],
        asked: Mapping[str, object],
        *,
        project: str,
        kind: str = "ci",
        group: str | None = None,
        source: str = "api",
        sequential: bool = False,
    ) -> Batch:
        now = self._world.timeline.now()
        batch = Batch(id=self._world.ids.uuid(), group=group, sequential=sequential)
        self._batches[batch.id] = batch
        for test in tests:
            course = self._courses.deal(test) if test else self._pull_requests.deal("")
            run = Run(
                id=self._world.ids.uuid(),
                kind=kind,
                test=test,
                project=project,
                created=now,
                course=course,
                asked=asked,
                source=source,
                cancelled=now if course.outcome == NEVER else None,
                batch=batch,
            )
            batch.runs.append(run)
            self._runs[run.id] = run
            self._world.ledger.ran(self.name, run.id, create=batch.id, tests=[test] if test else [])
        return batch

    # --- runs ---------------------------------------------------------------------------------------------------------

    def _find(self, call: Call) -> Run:
        return known(self._runs, uuid_text(call.params["id"], "id"), "run")

    def _list(self, call: Call) -> object:
        now = self._world.timeline.now()
        query = call.query
        runs = [
            run.id
            for run in reversed(self._runs.values())
            if query.get("status", run.status(now)) == run.status(now)
            and query.get("testId", run.test) == run.test
            and query.get("projectId", run.project) == run.project
        ]
        shown, cursor = paged(runs, call, 20)
        return {"runs": [run_body(self._runs[run], self._world) for run in shown], "nextCursor": cursor}

    def _cancel(self, call: Call) -> object:
        Fields(call.body).done()
        run = self._find(call)
        now = self._world.timeline.now()
        if run.status(now) in OVER:
            raise Refused(409, "the run is already over")
        run.cancelled = now
        return {"id": run.id, "status": "cancelled"}

    def _batch(self, call: Call) -> Batch:
        return known(self._batches, uuid_text(call.params["batchId"], "batchId"), "batch")

    def _cancel_batch(self, call: Call) -> object:
        Fields(call.body).done()
        batch = self._batch(call)
        now = self._world.timeline.now()
        finished = [run.id for run in batch.runs if run.status(now) in OVER]
        cancelled = [run for run in batch.runs if run.id not in finished]
        for run in cancelled:
            run.cancelled = now
        return {
            "batchId": batch.id,
            "cancelled": len(cancelled),
            "alreadyFinished": len(finished),
            "cancelledRunIds": [run.id for run in cancelled],
            "alreadyFinishedRunIds": finished,
        }


def _batch(batch: Batch) -> dict[str, object]:
    """What the replies to a group's create and to its rerun have in common."""
    runs = shuffled(batch.runs, "group")  # testerarmy.md, Unknown: "the order of runIds"
    cancelled = [run.id for run in runs if run.cancelled is not None]
    return {
        "status": "cancelled" if cancelled and len(cancelled) == len(runs) else "queued",
        "batchId": batch.id,
        "runIds": [run.id for run in runs],
        "queuedRunIds": [run.id for run in runs if run.cancelled is None],
        "cancelledRunIds": cancelled,
        "count": len(runs),
    }


def _github(asked: Mapping[str, object]) -> dict[str, object]:
    """The vendor's GitHub app is installed; a scenario's fault can `merge` another `status`."""
    commit = "commitSha" in asked or "pullRequest" in asked
    target = "prNumber" in asked or "pullRequest" in asked
    return {"configured": True, "checkRunCreated": commit, "commentTargetResolved": target}
