"""Certyn's API as certyn.md describes it: an idempotent create, a run that counts, a cancel, and rate limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from qarunner.emulator.certyn.runs import Run
from qarunner.emulator.http import Rates, require_header
from qarunner.emulator.messages import Answer, Body, Call, Endpoint, Refused, known
from qarunner.emulator.scenario import CertynSection, Courses, Known, Process
from qarunner.emulator.strict import Fields, Wrong, digits, list_of, one_of, text, web_address
from qarunner.emulator.world import Environment, World, readable, uuid_of

# ---------------------------------------------------------------------------------------------------------------------

# Certyn's projects and their environments (certyn.md: Per-test details, A preview environment).


class Project(Struct, kw_only=True):
    """One project; `environments` are those made through the API, by id, as the list shows them."""

    id: str
    slug: str
    environments: dict[str, Mapping[str, object]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)

    def made(self, key: str) -> bool:
        """Whether an environment of this key was made through the API."""
        return any(shown["key"] == key for shown in self.environments.values())

    @property
    def body(self) -> dict[str, object]:
        return {"id": self.id, "slug": self.slug, "name": readable(self.slug)}


DESCRIBED = {"description": None, "color": None, "tenantId": uuid_of("certyn", "tenant")}
"""What projects have besides, everywhere but in the overview."""

ENVIRONMENT = {"version": "1", "executionTarget": "cloud_managed", "runnerPoolId": None, "anthropicModel": None}


class Projects:
    """The tenant's projects; without a list in the scenario, a slug becomes one when a run first names it."""

    def __init__(self, section: CertynSection, world: World) -> None:
        self._world = world
        self._section = section
        self._by_slug: dict[str, Project] = {}
        for slug in section.projects or ("my-app",):
            self._add(slug)

    def _add(self, slug: str) -> Project:
        project = self._by_slug[slug] = Project(id=uuid_of("certyn", "project", slug), slug=slug)
        return project

    def use(self, slug: str, key: str) -> None:
        """Refuses a run in a project, or in an environment, that is not there."""
        if slug not in self._by_slug and self._section.projects is not None:
            raise Refused(404, f"unknown project {slug!r}")
        project = self._by_slug.get(slug) or self._add(slug)
        listed = self._section.environments
        is_known = listed is None or key in listed or key == self._section.default_environment
        if not (project.made(key) or (is_known and key not in project.deleted)):
            raise Refused(404, f"unknown environment {key!r}")

    def of(self, call: Call) -> Project:
        """The project whose id a path names."""
        return known({project.id: project for project in self._by_slug.values()}, call.params["projectId"], "project")

    def overview(self, call: Call) -> object:  # noqa: ARG002 (the route has no arguments)
        projects = [project.body for project in self._by_slug.values()]
        return {"defaultProjectId": projects[0]["id"], "projects": projects}

    def list(self, call: Call) -> object:
        """All pages are as certyn.md, Access and Inventories have them."""
        return paged([project.body | DESCRIBED for project in self._by_slug.values()], call)

    def environments(self, call: Call) -> dict[str, Mapping[str, object]]:
        """Those of the scenario, and those made through the API, by their ids."""
        project, section = self.of(call), self._section
        keys = dict.fromkeys((section.default_environment, *(section.environments or ("staging",))))
        listed = {uuid_of("certyn", project.slug, key): key for key in keys if key not in project.deleted}
        return {name: self._shown(project, name, key) for name, key in listed.items()} | project.environments

    def _shown(self, project: Project, identifier: str, key: str, **fields: str) -> Mapping[str, object]:
        return {
            "id": identifier,
            "projectId": project.id,
            "key": key,
            "label": readable(key),
            "baseUrl": f"https://{key}.example.com",
            "isDefault": key == self._section.default_environment,
            **ENVIRONMENT,
            **fields,
        }

    def create(self, call: Call) -> object:
        """None of its fields is marked optional."""
        project = self.of(call)
        with Fields(call.body) as fields:
            key = fields.need("key", text)
            rules = (("label", text), ("baseUrl", web_address), ("version", text))
            more = {name: fields.need(name, rule) for name, rule in rules}
        if project.made(key) or key in (self._section.environments or ()):
            raise Refused(409, f"environment {key!r} exists")
        identifier = self._world.ids.uuid()
        project.environments[identifier] = self._shown(project, identifier, key, **more)
        ledger = self._world.ledger
        made = Environment(time=ledger.time(), vendor="certyn", project=project.slug, id=identifier, key=key)
        ledger.environments.append(made)
        return {"id": identifier}

    def delete(self, call: Call) -> None:
        project = self.of(call)
        project.deleted.add(str(known(project.environments, call.params["id"], "environment")["key"]))
        del project.environments[call.params["id"]]
        for made in self._world.ledger.environments:
            made.deleted = made.deleted or made.id == call.params["id"]


CREATE = "/api/ci/runs"
PROJECT = "/api/projects/{projectId}"
PAGE_SIZE = 20  # certyn.md, Access: "20 in the sample"


def paged(items: Sequence[object], call: Call) -> dict[str, object]:
    """The page of a list that a query asks for (certyn.md: Access)."""
    page, size = call.number("page", 1), call.number("pageSize", PAGE_SIZE)
    pages = -(-len(items) // size)
    body = {"items": items[(page - 1) * size : page * size], "totalCount": len(items), "page": page}
    return body | {"pageSize": size, "totalPages": pages, "hasNextPage": page < pages, "hasPreviousPage": page > 1}


PAGES = {"page": digits(least=1), "pageSize": digits(least=1, most=100)}
EXECUTION_QUERY = {**PAGES, "status": text, "agentId": text, "environmentKey": text}
TEST_QUERY = {**PAGES, "tag": text, "isQuarantined": one_of("true", "false")}


SCOPES = {
    f"POST {CREATE}": ("ci:trigger",),
    f"GET {CREATE}/{{runId}}": ("ci:status",),
    f"POST {CREATE}/{{runId}}/cancel": ("ci:cancel",),
    f"GET {PROJECT}/process-runs/{{runId}}": ("execution:read",),
    f"POST {PROJECT}/environments": ("platform:manage",),
    f"DELETE {PROJECT}/environments/{{id}}": ("platform:manage",),
}
ANY_SCOPE = ("execution:read", "platform:manage")
"""certyn.md names no scope for the other reads: of the overview, and of what its own CLI alone is known to call."""

# What an execution's own reply and the list of them have in common, and what its one test has of it.
EXECUTION = ("status", "startedAt", "completedAt", "summaryMarkdown", "agentSessionId")
EXECUTED_TEST = ("id", "testCaseId", "status", "startedAt", "completedAt")

# A listed run has counters without `aborted` and `skipped` (certyn.md: Lists of runs).
LISTED = ("runId", "state", "conclusion", "total", "passed", "failed", "blocked", "pending")
LISTED_ASKED = ("processSlug", "environmentKey", "repository", "ref", "commitSha", "event", "externalUrl")


def chosen(item: Mapping[str, object], names: Sequence[str]) -> dict[str, object]:
    return {name: item.get(name) for name in names}


class Certyn:
    """The vendor Certyn."""

    name = "certyn"
    state_at = ("state",)

    def __init__(self, world: World, section: CertynSection) -> None:
        self._world = world
        self._section = section
        self._processes = Courses(section.processes)
        self._tags = Courses(Known(default=section.processes.default, named=section.tags, only=section.processes.only))
        self._projects = Projects(section, world)
        self._rates = Rates(section.rates, world.timeline.real)
        self._refusals = 0
        self._runs: dict[str, Run] = {}
        self._keys: dict[str, tuple[object, object]] = {}
        """The body and the answer of each idempotency key."""
        self._conversations: set[str] = set()

    def endpoints(self) -> tuple[Endpoint, ...]:
        projects, execution = self._projects, f"{PROJECT}/executions/{{executionId}}"
        return (
            Endpoint(f"POST {CREATE}", self._create, status=201, body=Body.JSON),
            Endpoint(f"GET {CREATE}/{{runId}}", self._status),
            # certyn.md, Cancel: "Any 2xx"
            Endpoint(f"POST {CREATE}/{{runId}}/cancel", self._cancel, status=202, body=Body.OPTIONAL),
            Endpoint("GET /api/projects", projects.list, query=PAGES),
            Endpoint("GET /api/projects/overview", projects.overview),
            Endpoint(f"GET {PROJECT}", lambda call: projects.of(call).body | DESCRIBED),
            Endpoint(f"GET {PROJECT}/process-runs/{{runId}}", self._details),
            Endpoint(f"GET {PROJECT}/ci-runs", self._list_runs, query={"take": digits(least=1), "skip": digits()}),
            Endpoint(f"GET {PROJECT}/executions", self._list_executions, query=EXECUTION_QUERY),
            Endpoint(f"GET {execution}", self._execution),
            Endpoint(f"GET {execution}/testcases", self._executed_tests, query=PAGES),
            Endpoint(f"GET {execution}/artifacts", self._nothing, query=PAGES),
            Endpoint(f"GET {execution}/notes", self._nothing, query=PAGES),
            Endpoint("GET /api/assistant/conversations/{conversationId}", self._conversation),
            Endpoint(f"GET {PROJECT}/processes", self._list_processes),
            Endpoint(f"GET {PROJECT}/testcases", self._list_tests, query=TEST_QUERY),
            Endpoint(f"GET {PROJECT}/testcases/overview", self._list_records, query=TEST_QUERY),
            Endpoint(
                f"GET {PROJECT}/environments",
                lambda call: paged([*projects.environments(call).values()], call),
                query=PAGES,
            ),
            Endpoint(
                f"GET {PROJECT}/environments/{{id}}",
                lambda call: known(projects.environments(call), call.params["id"], "environment"),
            ),
            Endpoint(f"POST {PROJECT}/environments", projects.create, status=201, body=Body.JSON),
            Endpoint(f"DELETE {PROJECT}/environments/{{id}}", projects.delete, status=204),
        )

    def admit(self, call: Call, endpoint: Endpoint) -> Answer | None:
        """Asks for the key, counts the request, then asks for the key's scope (certyn.md: Access)."""
        require_header(call, "X-API-Key", r"cyn_live_\S+")
        if too_early := self._limit(endpoint):
            return too_early
        scopes = SCOPES.get(endpoint.name, ANY_SCOPE)
        if not set(scopes) & set(self._section.scopes):
            raise Refused(403, "Forbidden", extra={"details": f"the key lacks the scope {' or '.join(scopes)}"})
        return None

    def error(self, status: int, message: str, extra: Mapping[str, object]) -> object:  # noqa: ARG002
        """The error body `{"error": str, "details"?: str}` (certyn.md: Access)."""
        return {"error": message, **extra}

    def _limit(self, endpoint: Endpoint) -> Answer | None:
        classes = ["all"]
        if endpoint.method == "GET":
            classes.append("reads")
        if endpoint.name == f"POST {CREATE}":
            classes.append("creates")
        wait = self._rates.admit(classes)
        if wait is None:
            return None
        self._refusals += 1
        answer = Answer(status=429, body={"error": "Too Many Requests"}, headers={"Retry-After": str(wait)})
        # certyn.md, Access: "empty and non-JSON bodies occur", so two in three refusals are of these kinds.
        page = "<html><body><h1>429 Too Many Requests</h1></body></html>"
        others = (answer, replace(answer, body=None, text=page), replace(answer, body=None))
        return others[self._refusals % 3]

    def _create(self, call: Call) -> object:
        key = call.headers.get("idempotency-key")
        if key in self._keys:
            body, answer = self._keys[key]
            if body != call.body:
                # Unknown of the real one (certyn.md: Create); to refuse it shows a client that mixes its keys up.
                raise Refused(409, "Idempotency-Key was used with another body")
            return Answer(status=201, body=answer, headers={"Idempotency-Replayed": "true"})
        answer = self._start(call.body)
        if key:
            self._keys[key] = call.body, answer
        return answer

    def _start(self, body: object) -> object:
        asked, process = self._read(body)
        run = Run(
            id=self._world.ids.uuid(),
            created=self._world.timeline.now(),
            number=len(self._runs) + 1,
            process=process,
            asked=asked,
            invisible=self._section.invisible_polls,
        )
        self._runs[run.id] = run
        self._world.ledger.ran(self.name, run.id, create=run.id, tests=run.selection)
        path = f"{CREATE}/{run.id}"
        answer: dict[str, object] = {
            "runId": run.id,
            "testCaseCount": process.total,
            "statusPath": path,
            "cancelPath": f"{path}/cancel",
            "statusUrl": f"{self._world.root}/{self.name}{path}",
            "appUrl": self._app_url(run),
            "message": f"Started {process.total} test cases",
        }
        if "instruction" in asked:
            answer["conversationId"] = self._world.ids.uuid()
            self._conversations.add(str(answer["conversationId"]))
        return answer

    def _read(self, body: object) -> tuple[Mapping[str, object], Process]:
        with Fields(body) as fields:
            asked: dict[str, object] = {"projectSlug": fields.need("projectSlug", text)}
            for name in ("environmentKey", "repository", "ref", "commitSha", "event", "externalUrl", "instruction"):
                if fields.has(name):
                    asked[name] = fields.need(name, text)
            choice = fields.at_most_one("processSlug", "tags")
            if choice is None and "instruction" not in asked:
                raise Wrong("", "exactly one of processSlug, tags is required where there is no instruction")
            if choice == "processSlug":
                asked[choice] = fields.need(choice, text)
            elif choice == "tags":
                asked[choice] = list(fields.need(choice, list_of(text, least=1)))
        environment = asked.setdefault("environmentKey", self._section.default_environment)
        self._projects.use(str(asked["projectSlug"]), str(environment))
        return asked, self._choose(asked)

    def _choose(self, asked: Mapping[str, object]) -> Process:
        if "processSlug" in asked:
            slug = str(asked["processSlug"])
            if not self._processes.exists(slug):
                raise Refused(404, f"unknown process {slug!r}")
            return self._processes.deal(slug)
        tags = asked.get("tags")
        if not isinstance(tags, list):
            return self._section.processes.default
        tag = next((tag for tag in tags if tag in self._section.tags), tags[0])
        if not self._tags.exists(tag):
            raise Refused(404, f"no process has the tag {tag!r}")
        return self._tags.deal(tag)

    def _find(self, call: Call) -> Run:
        return known(self._runs, call.params["runId"], "run")

    def _app_url(self, run: Run) -> str:
        return self._world.page(self.name, "runs", run.id)

    def _status(self, call: Call) -> object:
        run = self._find(call)
        if run.invisible > 0:
            run.invisible -= 1
            raise Refused(404, "run not found")
        timeline = self._world.timeline
        body = run.status(timeline) | {"appUrl": self._app_url(run)}
        if body["state"] == "in_progress":
            body["retryAfterSeconds"] = max(1, round(self._section.retry_after / timeline.speed))
        return body

    def _cancel(self, call: Call) -> None:
        with Fields(call.body) as fields:
            fields.maybe("reason", text)
        run = self._find(call)
        now = self._world.timeline.now()
        if run.state(now) != "in_progress":
            raise Refused(409, "the run is already over")  # our strict choice: certyn.md does not say
        run.cancelled = now

    def _details(self, call: Call) -> object:
        run, project = self._find(call), self._projects.of(call)
        if project.slug != run.asked["projectSlug"]:
            raise Refused(404, "process run not found")
        slug = run.asked.get("processSlug")
        process = {
            "processId": None if slug is None else uuid_of("certyn", project.id, slug),
            "processName": run.process.name or readable(str(slug or "instruction")),
            "processSlug": slug,
        }
        return run.details(self._world.timeline) | process

    def _runs_of(self, call: Call) -> list[Run]:
        slug = self._projects.of(call).slug
        return [run for run in self._runs.values() if run.asked["projectSlug"] == slug]

    def _list_runs(self, call: Call) -> object:
        runs = self._runs_of(call)
        skip, take = call.number("skip", 0), call.number("take", 50)
        return {"items": [self._listed(run) for run in runs[skip : skip + take]], "totalCount": len(runs)}

    def _listed(self, run: Run) -> dict[str, object]:
        more = {"runNumber": run.number, "processName": run.process.name, "tags": run.asked.get("tags", [])}
        return chosen(run.status(self._world.timeline), LISTED) | chosen(run.asked, LISTED_ASKED) | more

    def _items(self, call: Call) -> Iterator[tuple[Run, Mapping[str, object]]]:
        for run in self._runs_of(call):
            for item in run.item_bodies(self._world.timeline):
                yield run, item

    def _item(self, call: Call) -> Mapping[str, object]:
        """One test's execution, found among the items of the project's runs."""
        items = {item["executionId"]: item for _, item in self._items(call)}
        return known(items, call.params["executionId"], "execution")

    def _execution(self, call: Call) -> object:
        empty = dict.fromkeys(("testCases", "notes", "artifacts"), ())
        return executed(self._item(call)) | empty | dict.fromkeys(("ticketId", "originalExecutionId"))

    def _nothing(self, call: Call) -> object:
        """The artifacts or the notes of an execution: always empty."""
        self._item(call)
        return paged([], call)

    def _executed_tests(self, call: Call) -> object:
        """The one test of an execution (certyn.md: Per-test details)."""
        item = self._item(call)
        more = {"severity": None, "resultMarkdown": item["summaryMarkdown"], "environmentVersion": "1"}
        return paged([chosen(item, EXECUTED_TEST) | more], call)

    def _list_executions(self, call: Call) -> object:
        """Single tests, page by page (certyn.md: Lists of runs). No agent has any: `agentId` finds nothing."""
        states = str(call.query["status"]).split(",") if "status" in call.query else None
        executions = [
            executed(item)
            | {"effectiveTestOutcome": item["testOutcome"], "createdAt": item["startedAt"], "duration": None}
            | {"environmentKey": run.asked["environmentKey"], "displayName": item["testCaseName"]}
            for run, item in self._items(call)
            if call.query.get("environmentKey", run.asked["environmentKey"]) == run.asked["environmentKey"]
            and (states is None or item["status"] in states)
            and "agentId" not in call.query
        ]
        return paged(executions, call)

    def _conversation(self, call: Call) -> object:
        """What the agent answers to a run's instruction (certyn.md: Per-test details)."""
        if call.params["conversationId"] not in self._conversations:
            raise Refused(404, "conversation not found")
        return {"status": "idle", "messages": [{"role": "assistant", "content": "Done as instructed."}]}

    def _list_tests(self, call: Call) -> object:
        return paged(self._tests(call), call)

    def _list_records(self, call: Call) -> object:
        """The same with a record, which is empty: runs here have tests of their own (certyn.md: Inventories)."""
        record = {"totalRuns": 0, **dict.fromkeys(("passRate", "flakinessRate", "lastRunStatus", "lastRunStartedAt"))}
        return paged([test | record for test in self._tests(call)], call)

    def _tests(self, call: Call) -> list[dict[str, object]]:
        """Test cases, one for each that a tag of the scenario holds (certyn.md: Inventories)."""
        project = self._projects.of(call)
        tests = [(tag, index) for tag, courses in self._section.tags.items() for index in range(courses[0].total)]
        return [
            {
                "id": uuid_of("certyn", project.id, tag, index),
                "number": count,
                "name": f"{readable(tag)} {index + 1}",
                "description": None,
                "instructions": "Check the result",
                "tags": [tag],
                "isQuarantined": False,
                "needsReview": False,
            }
            for count, (tag, index) in enumerate(tests, 1)
            if call.query.get("isQuarantined") != "true" and call.query.get("tag", tag) == tag
        ]

    def _list_processes(self, call: Call) -> object:
        """A plain list (certyn.md: Inventories); without names in the scenario, the one that the CLI calls `smoke`."""
        project = self._projects.of(call)
        processes = self._section.processes.named or {"smoke-suite": (self._section.processes.default,)}
        return [
            {
                "id": uuid_of("certyn", project.id, slug),
                "projectId": project.id,
                "name": courses[0].name or readable(slug),
                "slug": slug,
                "isExploratory": False,
                "isActive": True,
                "configuration": {"ticketLabels": [], "testCaseTags": []},
            }
            for slug, courses in processes.items()
        ]


def executed(item: Mapping[str, object]) -> dict[str, object]:
    return {"id": item["executionId"], "triggerType": "ci"} | chosen(item, EXECUTION)
