"""What TesterArmy lists: projects, tests, groups, environments, apps, and runs.

Source: the vendor's OpenAPI file. No order is promised of any list.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qarunner.vendors import replies as answers
from qarunner.vendors.api import InventoryKind, Item, Refusal, Request, Vendor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qarunner.decode import Json, JsonReader
    from qarunner.vendors.api import RemoteRun, Reply


_LIMIT = "100"
"""Documented: the most that a page of tests or runs holds."""


_PAGES_BESIDES = 4
"""A list is all of the account's: so many pages may be other runs'. What it does not show by then is read by itself."""


_FIELDS = {
    InventoryKind.PROJECT: "projects",
    InventoryKind.TEST: "tests",
    InventoryKind.CATEGORY: "groups",
    InventoryKind.ENVIRONMENT: "environments",
    InventoryKind.APP: "apps",
}
"""The field that holds a list."""


_NAMES = {InventoryKind.TEST: "title", InventoryKind.APP: "filename"}
"""What its elements are called by, where that is no `name`."""


def _request(kind: InventoryKind, project: str, cursor: str | None) -> Request:
    folder = f"/projects/{answers.segment(project)}"
    match kind:
        case InventoryKind.TEST:
            more = (("cursor", cursor),) if cursor else ()
            return Request(method="GET", path="/tests", query=(("projectId", project), ("limit", _LIMIT), *more))
        case InventoryKind.CATEGORY:
            return Request(method="GET", path="/groups", query=(("projectId", project),))
        case InventoryKind.ENVIRONMENT:
            return Request(method="GET", path=f"{folder}/environments")
        case InventoryKind.APP:
            return Request(method="GET", path=f"{folder}/mobile")
        case _:
            return Request(method="GET", path="/projects")


def _cursor(body: JsonReader) -> str | None:
    """That of the next page. What is neither a cursor nor null is no end of a list."""
    cursor = body.get("nextCursor")
    return cursor.identifier() if cursor.value else None


def _item(element: JsonReader, name: str) -> Item:
    identifier = answers.body_id(element.get("id"))
    is_paused = element.get("enabled").value is False
    return Item(
        id=identifier,
        name=element.get(name).text_or() or identifier,
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
        name = _NAMES.get(kind, "name")
        cursor = None
        if replies:
            answers.check_goes_on(replies, _FIELDS[kind])
            newest = answers.page(replies[-1])
            if kind is InventoryKind.TEST and "nextCursor" not in newest.object():
                raise newest.get("nextCursor").fail("a cursor, or null")
            cursor = _cursor(newest) if kind is InventoryKind.TEST else None
            if cursor is None:
                return tuple(_item(element, name) for element in answers.elements(replies, _FIELDS[kind], name))
        return _request(kind, str(project), cursor)

    def poll_many(
        self, settings: Mapping[str, Json], runs: Sequence[RemoteRun], replies: Sequence[Reply]
    ) -> Request | Mapping[str, Reply]:
        """Documented: `GET /runs` tells each run as `GET /runs/{id}` does. It has no filter for ids.

        A run that it shows twice, and not the same both times, is in doubt.
        """
        del settings
        wanted = {run.id.lower(): run.id for run in runs}
        listed = answers.Listed()
        cursor = None
        for reply in replies:
            body = answers.page(reply)
            cursor = _cursor(body)
            for element in body.get("runs").items():
                if (name := wanted.get((element.get("id").text_or() or "").lower())) is not None:
                    listed.add(name, element)
        most = _PAGES_BESIDES + math.ceil(len(runs) / int(_LIMIT))
        if replies and (cursor is None or listed.count == len(wanted) or len(replies) >= most):
            return listed.replies()
        more = (("cursor", cursor),) if cursor else ()
        return Request(method="GET", path="/runs", query=(("limit", _LIMIT), *more))
