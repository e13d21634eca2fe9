"""Certyn's projects and their environments (certyn.md: Per-test details, A preview environment)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qarunner.emulator.identifiers import new_uuid, readable, uuid_of
from qarunner.emulator.ledger import Environment
from qarunner.emulator.messages import Answer, Refused
from qarunner.emulator.strict import Fields, text, web_address

if TYPE_CHECKING:
    from qarunner.emulator.ledger import Ledger
    from qarunner.emulator.messages import Call
    from qarunner.emulator.sections import CertynSection


@dataclass(slots=True, kw_only=True)
class Project:
    """One project; `environments` are those made through the API, by id."""

    id: str
    slug: str
    environments: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)


class Projects:
    """The tenant's projects; without a list in the scenario, a slug becomes one when a run first names it."""

    def __init__(self, section: CertynSection, ledger: Ledger) -> None:
        self._ledger = ledger
        self._section = section
        self._by_slug: dict[str, Project] = {}
        for slug in section.projects or ("my-app",):
            self._add(slug)

    def _add(self, slug: str) -> Project:
        project = self._by_slug[slug] = Project(id=uuid_of("certyn", "project", slug), slug=slug)
        return project

    def use(self, slug: str) -> Project:
        """The project of a run."""
        if slug in self._by_slug:
            return self._by_slug[slug]
        if self._section.projects is not None:
            raise Refused(404, f"unknown project {slug!r}")
        return self._add(slug)

    def use_environment(self, slug: str, key: str) -> None:
        """Refuses an environment that was deleted, or that the scenario does not list."""
        project = self.use(slug)
        listed = self._section.environments
        known = listed is None or key in listed or key == self._section.default_environment
        if key in project.environments.values() or (known and key not in project.deleted):
            return
        raise Refused(404, f"unknown environment {key!r}")

    def slug(self, identifier: str) -> str:
        """The slug of a project by its id."""
        return self._find(identifier).slug

    def _find(self, identifier: str) -> Project:
        for project in self._by_slug.values():
            if project.id == identifier:
                return project
        raise Refused(404, "project not found")

    def overview(self, call: Call) -> Answer:  # noqa: ARG002 (the route has no arguments)
        """`GET /api/projects/overview`."""
        projects = [
            {"id": project.id, "slug": project.slug, "name": readable(project.slug)}
            for project in self._by_slug.values()
        ]
        return Answer(body={"defaultProjectId": projects[0]["id"], "projects": projects})

    def create(self, call: Call) -> Answer:
        """`POST /api/projects/{projectId}/environments`; none of its fields is marked optional."""
        project = self._find(call.params["projectId"])
        with Fields(call.body) as fields:
            key = fields.need("key", text)
            fields.need("label", text)
            fields.need("baseUrl", web_address)
            fields.need("version", text)
        if key in project.environments.values() or key in (self._section.environments or ()):
            raise Refused(409, f"environment {key!r} exists")
        identifier = new_uuid()
        project.environments[identifier] = key
        made = Environment(time=self._ledger.time(), vendor="certyn", project=project.slug, id=identifier, key=key)
        self._ledger.environments.append(made)
        return Answer(status=201, body={"id": identifier})

    def delete(self, call: Call) -> Answer:
        """`DELETE /api/projects/{projectId}/environments/{id}`."""
        project = self._find(call.params["projectId"])
        key = project.environments.pop(call.params["id"], None)
        if key is None:
            raise Refused(404, "environment not found")
        project.deleted.add(key)
        for made in self._ledger.environments:
            made.deleted = made.deleted or made.id == call.params["id"]
        return Answer(status=204)
