"""What can be named at TesterArmy: projects, environments, groups and tests (testerarmy.md: Inventories)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qarunner.emulator.messages import Body, Call, Endpoint, Refused
from qarunner.emulator.scenario import Courses, Group, Project, TesterarmySection
from qarunner.emulator.strict import Fields, Wrong, digits, text, text_up_to, uuid_text
from qarunner.emulator.world import Course, World, readable, uuid_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


PAGE = digits(least=1, most=100)
CURSOR = digits()
MOST_MEMORIES = 100  # our choice: no page states the number
SAMPLES: Mapping[str, Mapping[str, object]] = {
    "credentials": {
        "kind": "login",
        "authMethod": "password",
        "label": "Customer",
        "username": "customer@example.com",
        "hasAuthInstructions": False,
    },
    "files": {
        "filename": "order.pdf",
        "mediaType": "application/pdf",
        "fileSize": 1024,
        "description": None,
        "summary": None,
    },
    "memories": {
        "category": "site_structure",
        "title": "Cart",
        "content": "At the top right",
        "importance": "low",
    },
}
ONLY_PROJECT = uuid_of("testerarmy", "project")
"""The project where the scenario names no project."""


class Inventory:
    """The team's projects and what is in them; each test and group that no project names is in the first one."""

    def __init__(self, world: World, section: TesterarmySection, courses: Courses[Course]) -> None:
        self._world = world
        self._section = section
        self._courses = courses
        self._only_known = section.tests.only
        self._projects = dict(section.projects) or {ONLY_PROJECT: Project(name="Shop", short="shop")}
        self._first = next(iter(self._projects))
        known = [*section.tests.named, *(test for group in section.groups.values() for test in group.tests)]
        self._made: dict[str, dict[str, dict[str, object]]] = {}
        self._tests: dict[str, str] = {}
        self._groups: dict[str, str] = {}
        for identifier, project in self._projects.items():
            self._tests |= dict.fromkeys(project.tests, identifier)
            self._groups |= dict.fromkeys(project.groups, identifier)
        for group, owner in self._groups.items():
            self._tests |= {test: owner for test in self.group(group).tests if test not in self._tests}
        self._tests |= {test: self._first for test in known if test not in self._tests}
        self._groups |= {group: self._first for group in section.groups if group not in self._groups}

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes, in the order of the page."""
        project, of = "/projects/{projectId}", self._asked
        tests = {"projectId": text, "groupId": uuid_text, "limit": PAGE, "cursor": CURSOR}
        return (
            Endpoint("GET /projects", lambda _: {"projects": list(map(self._project, self._projects))}),
            Endpoint(f"GET {project}", lambda call: self._project(of(call)) | {"description": None} | self._times()),
            Endpoint(f"GET {project}/environments", lambda call: {"environments": self._environments(of(call))}),
            Endpoint(f"POST {project}/environments", self._create_environment, status=201, body=Body.JSON),
            Endpoint(f"DELETE {project}/environments/{{environmentId}}", self._delete_environment),
            *(
                Endpoint(f"GET {project}/{what}", partial(self._sample, what))
                for what in ("credentials", "files", "memories")
            ),
            Endpoint("GET /groups", self._list_groups, query={"projectId": text}),
            Endpoint("GET /groups/{groupId}", self._show_group),
            Endpoint("GET /tests", self._list_tests, query=tests),
            Endpoint("GET /tests/{testId}", self._show_test),
        )

    # --- what the runs ask --------------------------------------------------------------------------------------------

    def project_id(self, named: str) -> str:
        """A project's id, from itself or from its short id (testerarmy.md: Access)."""
        for identifier, project in self._projects.items():
            if named in {identifier, project.short}:
                return identifier
        if self._only_known:
            raise Refused(404, "project not found")
        try:
            identifier = uuid_text(named, "projectId")
        except Wrong:
            identifier = uuid_of("testerarmy", "project", named)
        self._projects.setdefault(identifier, Project())
        return identifier

    def project_of(self, *, test: str | None = None, group: str | None = None) -> str:
        """The project in which a test or a group is."""
        if group is not None:
            return self._groups.get(group, self._first)
        return self._tests.get(test or "", self._first)

    def group(self, identifier: str) -> Group:
        """A group by its id; one that the scenario does not name holds three tests."""
        if identifier in self._section.groups:
            return self._section.groups[identifier]
        if self._only_known and identifier not in map(_default_group, self._projects):
            raise Refused(404, "group not found")
        tests = tuple(uuid_of("testerarmy", identifier, number) for number in (1, 2, 3))
        for project in self._projects:
            if identifier == _default_group(project):
                tests = self._in(project) or tests
                self._tests |= dict.fromkeys(tests, project)
                return Group(name="All tests", tests=tests)
        return Group(tests=tests)

    def enabled(self, tests: Sequence[str]) -> list[str]:
        """Without the disabled ones, which a group leaves out (testerarmy.md: Create)."""
        return [test for test in tests if test not in self._section.disabled]

    def title(self, test: str) -> str:
        return self._courses.first(test).name or readable(test)

    # --- replies ------------------------------------------------------------------------------------------------------

    def _asked(self, call: Call) -> str:
        """The project that a path names."""
        return self.project_id(call.params["projectId"])

    def _project(self, identifier: str) -> dict[str, object]:
        project = self._known(identifier)
        return {
            "id": identifier,
            "shortId": project.short or identifier[:8],
            "name": project.name or readable(identifier),
            "url": project.url,
            "projectType": project.kind,
            "environments": self._environments(identifier),
        }

    def _known(self, identifier: str) -> Project:
        return self._projects.get(identifier, Project())

    def _environments(self, project: str) -> list[dict[str, object]]:
        """Two are built in (testerarmy.md: Inventories), the others static."""
        listed = self._known(project)
        builtin = [("Production", "production", listed.url), ("PR preview", "pr_preview", None)]
        shown: list[dict[str, object]] = [
            {"id": uuid_of("testerarmy", project, kind), "name": name, "slug": kind, "kind": kind, "url": url}
            for name, kind, url in builtin
        ]
        return [*shown, *self._static(project).values()]

    def _static(self, project: str) -> dict[str, dict[str, object]]:
        """Those of the scenario and those that were made since, by their ids."""
        listed = self._known(project).environments
        if project not in self._made:
            self._made[project] = {identifier: _static(identifier, name) for identifier, name in listed.items()}
        return self._made[project]

    def _create_environment(self, call: Call) -> object:
        project = self._asked(call)
        with Fields(call.body) as fields:
            name, url = fields.need("name", text_up_to(100)), fields.need("url", text_up_to(500))
        if not url.startswith("https://"):
            raise Wrong("url", "expected an HTTPS address")  # testerarmy.md, Inventories: "a stable HTTPS address"
        made = _static(self._world.ids.uuid(), name, url)
        if any(each["slug"] == made["slug"] for each in self._environments(project)):
            raise Refused(409, "an environment of this name exists")
        self._static(project)[str(made["id"])] = made
        return {"environment": made}

    def _delete_environment(self, call: Call) -> object:
        """Static ones alone: the built-in ones are not found here (testerarmy.md: Inventories)."""
        identifier = uuid_text(call.params["environmentId"], "environmentId")
        if self._static(self._asked(call)).pop(identifier, None) is None:
            raise Refused(404, "environment not found")
        return {"deleted": True, "id": identifier}

    def _sample(self, what: str, call: Call) -> object:
        """A list of one element, as no scenario names any (testerarmy.md: Inventories)."""
        project, made = self._asked(call), self._world.timeline.stamp(0)
        of_project = {"files": {"projectId": project}, "memories": {"updatedAt": made}}.get(what, {})
        element = {"id": uuid_of("testerarmy", project, what), **SAMPLES[what], **of_project, "createdAt": made}
        return {what: [element], **({"count": 1, "maxMemories": MOST_MEMORIES} if what == "memories" else {})}

    def _list_groups(self, call: Call) -> object:
        project = self._asked_project(call)
        named = [group for group, owner in self._groups.items() if owner == project]
        return {"groups": [self._group(group) for group in (_default_group(project), *named)]}

    def _group(self, identifier: str) -> dict[str, object]:
        group = self.group(identifier)
        return self._short_group(identifier) | {"testCount": len(group.tests), "prepTestId": None}

    def _short_group(self, identifier: str) -> dict[str, object]:
        name = self.group(identifier).name or f"Group {identifier[:8]}"
        return {"id": identifier, "name": name, "isDefault": identifier in map(_default_group, self._projects)}

    def _show_group(self, call: Call) -> object:
        identifier = uuid_text(call.params["groupId"], "groupId")
        group = self.group(identifier)
        mode = "sequential" if self._section.sequential or group.sequential else "concurrent"
        more = {"runMode": mode, "prepTestId": None, "projectId": self.project_of(group=identifier)}
        return self._short_group(identifier) | more | self._times()

    def _list_tests(self, call: Call) -> object:
        project = self._asked_project(call)
        group = call.query.get("groupId")
        tests = self.group(_default_group(project) if group is None else str(group)).tests
        shown, cursor = paged(tests, call, 50)
        return {
            "projectUrl": self._known(project).url,
            "projectName": self._project(project)["name"],
            "tests": [self._test(test) for test in shown],
            "nextCursor": cursor,
        }

    def _show_test(self, call: Call) -> object:
        test = uuid_text(call.params["testId"], "testId")
        if not self._courses.exists(test):
            raise Refused(404, "test not found")
        groups = [_default_group(self.project_of(test=test))]
        groups += [identifier for identifier, group in self._section.groups.items() if test in group.tests]
        return self._test(test) | {"groups": [self._short_group(group) for group in groups]}

    def _test(self, test: str) -> dict[str, object]:
        identifier = self.project_of(test=test)
        project = self._project(identifier)
        return {
            "id": test,
            "title": self.title(test),
            "description": None,
            "enabled": test not in self._section.disabled,
            "platform": project["projectType"],
            "steps": [{"title": "Check the result", "type": "assert"}],
            "projectId": identifier,
            "projectUrl": project["url"],
            "projectName": project["name"],
            **self._times(),
        }

    def _in(self, project: str) -> tuple[str, ...]:
        return tuple(test for test, owner in self._tests.items() if owner == project)

    def _asked_project(self, call: Call) -> str:
        if "projectId" not in call.query:
            raise Refused(400, "query parameter projectId is required")
        return self.project_id(str(call.query["projectId"]))

    def _times(self) -> dict[str, object]:
        return dict.fromkeys(("createdAt", "updatedAt"), self._world.timeline.stamp(0))


def _static(identifier: str, name: str, url: str | None = None) -> dict[str, object]:
    slug = name.lower().replace(" ", "-")
    url = url or f"https://{slug}.example.com"
    return {"id": identifier, "name": name, "slug": slug, "kind": "static", "url": url}


def _default_group(project: str) -> str:
    """The group of all tests, which "is always there" (testerarmy.md: Inventories)."""
    return uuid_of("testerarmy", project, "default group")


def paged(items: Sequence[str], call: Call, size: int) -> tuple[Sequence[str], str | None]:
    """The page that a query asks for, and the cursor of the next one."""
    start = call.number("cursor", 0)
    end = start + call.number("limit", size)
    return items[start:end], str(end) if end < len(items) else None
