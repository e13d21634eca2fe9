"""What Certyn lists: projects, environments, processes, tags by way of the tests, and runs.

All of it is read from the vendor's published CLI ("client"), and may want scopes that a key for CI does not have.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qarunner.vendors import replies as answers
from qarunner.vendors.api import InventoryKind, Item, Refusal, Reply, Request
from qarunner.vendors.certyn import environments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qarunner.decode import Json, JsonReader
    from qarunner.vendors.api import RemoteRun


_PAGE_SIZE = "100"
"""Client: so many does the CLI ask for."""


_RUNS = "50"
"""Client: so many runs does the CLI ask for."""


_FOLDERS = {InventoryKind.ENVIRONMENT: "environments", InventoryKind.TAG: "testcases"}


def inventory(
    kind: InventoryKind, settings: Mapping[str, Json], replies: Sequence[Reply]
) -> Request | Refusal | tuple[Item, ...]:
    if not replies:
        return environments.overview()
    if kind is InventoryKind.PROJECT:
        projects = replies[0].json().get("projects").items()
        return tuple(_item(project, "slug", "name") for project in projects)
    project = _project(settings, replies[0])
    if isinstance(project, Refusal):
        return project
    return _of_project(kind, f"/api/projects/{answers.segment(project)}", [reply.json() for reply in replies[1:]])


def _of_project(kind: InventoryKind, folder: str, pages: Sequence[JsonReader]) -> Request | tuple[Item, ...]:
    if kind is InventoryKind.CATEGORY:
        if not pages:
            return Request(method="GET", path=f"{folder}/processes")
        return tuple(map(_process, pages[0].items()))
    if not pages or pages[-1].get("hasNextPage").value is True:
        query = (("page", str(len(pages) + 1)), ("pageSize", _PAGE_SIZE))
        return Request(method="GET", path=f"{folder}/{_FOLDERS[kind]}", query=query)
    elements = [element for page in pages for element in page.get("items").items()]
    if kind is InventoryKind.ENVIRONMENT:
        return tuple(_item(element, "key", "label") for element in elements)
    return tuple(_tags(elements))


def _project(settings: Mapping[str, Json], overview: Reply) -> str | Refusal:
    slug = settings.get("project")
    if not isinstance(slug, str):
        return Refusal(message="Certyn lists by project: set vendors.certyn.project, or CERTYN_PROJECT")
    return environments.project_id(overview, slug)


def _item(element: JsonReader, key: str, name: str) -> Item:
    found = answers.body_id(element.get(key))
    return Item(id=found, name=element.get(name).text_or() or found)


def _process(process: JsonReader) -> Item:
    """Client: the CLI refuses other processes before the create."""
    found = _item(process, "slug", "name")
    reasons = (
        (process.get("isActive").value is False, "it is not active"),
        (process.get("isExploratory").value is True, "it is exploratory"),
        (bool(process.get("configuration").get("ticketLabels").value), "it is for tickets"),
    )
    why = ", ".join(reason for holds, reason in reasons if holds)
    return Item(id=found.id, name=found.name, unusable=why or None)


def _tags(tests: Sequence[JsonReader]) -> Iterator[Item]:
    """Tags have no list of their own; a run takes them in lower case."""
    tags = (tag.text().lower() for test in tests for tag in test.get("tags").items_or_none())
    for tag in dict.fromkeys(tags):
        yield Item(id=tag, name=tag)


def poll_many(
    settings: Mapping[str, Json], runs: Sequence[RemoteRun], replies: Sequence[Reply]
) -> Request | Mapping[str, Reply] | None:
    """Which runs go on. The list has no `aborted` and no `skipped`: a run that is over is asked for by its id."""
    if not replies:
        return environments.overview()
    project = _project(settings, replies[0])
    if isinstance(project, Refusal):
        return None
    if len(replies) == 1:
        path = f"/api/projects/{answers.segment(project)}/ci-runs"
        return Request(method="GET", path=path, query=(("take", _RUNS), ("skip", "0")))
    wanted = {run.id for run in runs}
    told = [(each.get("runId").text_or() or "", each) for each in replies[1].json().get("items").items()]
    return {
        name: Reply(status=200, text=json.dumps(each.value))
        for name, each in told
        if name in wanted and (each.get("state").text_or() or "").lower() in {"in_progress", "running"}
    }
