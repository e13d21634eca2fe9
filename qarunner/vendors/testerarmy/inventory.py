"""What TesterArmy lists: projects, tests, groups, environments, apps, and runs.

Source: the vendor's OpenAPI file. No order is promised of any list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.vendors import replies as answers
from qarunner.vendors.api import InventoryKind, Item, Refusal, RemoteRun, Reply, Request, Vendor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qarunner.decode import Json, JsonReader


_LIMIT = "100"
"""Documented: the most that a page of tests or runs holds."""


_LISTS = {
    InventoryKind.PROJECT: ("/projects", "projects", "name"),
    InventoryKind.TEST: ("/tests", "tests", "title"),
    InventoryKind.CATEGORY: ("/groups", "groups", "name"),
    InventoryKind.ENVIRONMENT: ("/projects/{}/environments", "environments", "name"),
    InventoryKind.APP: ("/projects/{}/mobile", "apps", "filename"),
}
"""Each list's path, the field that holds it, and what its elements are called by."""


def _next(body: JsonReader) -> tuple[tuple[str, str], ...]:
    """What leads to the next page, if there is one. What is neither a cursor nor null is no end of a list."""
    cursor = body.get("nextCursor")
    return (("cursor", cursor.identifier()),) if cursor.value else ()


def _item(element: JsonReader, name: str) -> Item:
    is_paused = element.get("enabled").value is False
    return answers.item(
        element,
        name,
        unusable="it is disabled: groups leave it out" if is_paused else None,
        holds_all=element.get("isDefault").value is True,
        slug=element.get("slug").text_or() or None,
    )


class Lists(Vendor):
    """What the adapter says of lists."""

    def inventory(
        self, kind: InventoryKind, settings: Mapping[str, Json], replies: Sequence[Reply]
    ) -> Request | Refusal | tuple[Item, ...]:
        project = settings.get("project")
        if kind is not InventoryKind.PROJECT and not isinstance(project, str):
            return Refusal(message="TesterArmy lists by project: set vendors.testerarmy.project")
        path, field, name = _LISTS[kind]
        more: tuple[tuple[str, str], ...] = ()
        if replies:
            answers.check_goes_on(replies, field)
            newest = answers.page(replies[-1])
            if kind is InventoryKind.TEST and "nextCursor" not in newest.object():
                raise newest.get("nextCursor").fail("a cursor, or null")
            more = _next(newest) if kind is InventoryKind.TEST else ()
            if not more:
                return tuple(_item(element, name) for element in answers.elements(replies, field, name))
        of_project = ("projectId", str(project))
        queries = {InventoryKind.TEST: (of_project, ("limit", _LIMIT), *more), InventoryKind.CATEGORY: (of_project,)}
        return Request(method="GET", path=path.format(answers.segment(str(project))), query=queries.get(kind, ()))

    def poll_many(
        self, settings: Mapping[str, Json], runs: Sequence[RemoteRun], replies: Sequence[Reply]
    ) -> Request | Mapping[str, Reply]:
        """Documented: `GET /runs` tells each run as `GET /runs/{id}` does. It has no filter for ids.

        A run that it shows twice, and not the same both times, is in doubt.
        """
        wanted = {run.id.lower(): run.id for run in runs}
        listed = answers.Listed()
        more: tuple[tuple[str, str], ...] = ()
        for reply in replies:
            body = answers.page(reply)
            more = _next(body)
            for element in body.get("runs").items():
                if (name := wanted.get((element.get("id").text_or() or "").lower())) is not None:
                    listed.add(name, element)
        is_most = len(replies) >= answers.most_pages(runs, int(_LIMIT))
        if replies and (not more or listed.count == len(wanted) or is_most):
            return listed.replies()
        return Request(method="GET", path="/runs", query=(("limit", _LIMIT), *more))
