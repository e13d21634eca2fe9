"""What Certyn lists: projects, environments, processes, tags by way of the tests, and runs.

All of it is read from the vendor's published CLI ("client"), and may want scopes that a key for CI does not have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.decode import Json, JsonReader
from qarunner.vendors import replies as answers
from qarunner.vendors.api import InventoryKind, Item, Refusal, RemoteRun, Reply, Request, Vendor
from qarunner.vendors.certyn import environments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


_RUNS = "50"
"""Client: so many runs does the CLI ask for."""


_GOING_ON = frozenset({"in_progress", "running"})


_FOLDERS = {InventoryKind.ENVIRONMENT: "environments", InventoryKind.TAG: "testcases"}


def _of_project(kind: InventoryKind, folder: str, pages: Sequence[Reply]) -> Request | tuple[Item, ...]:
    if kind is InventoryKind.CATEGORY:
        if not pages:
            return Request(method="GET", path=f"{folder}/processes")
        return tuple(map(_process, pages[0].json().items()))
    if (request := environments.next_page(f"{folder}/{_FOLDERS[kind]}", pages)) is not None:
        return request
    elements = answers.elements(pages, "items", "label" if kind is InventoryKind.ENVIRONMENT else "name")
    answers.check_whole(pages, len(elements), "totalCount")
    if kind is InventoryKind.ENVIRONMENT:
        return tuple(answers.item(element, "label", "key") for element in elements)
    return tuple(_tags(elements))


def _project(settings: Mapping[str, Json], overview: Reply) -> str | Refusal:
    slug = settings.get("project")
    if not isinstance(slug, str):
        return Refusal(message="Certyn lists by project: set vendors.certyn.project, or CERTYN_PROJECT")
    return environments.project_id(overview, slug)


def _process(process: JsonReader) -> Item:
    """Client: the CLI refuses other processes before the create."""
    reasons = (
        (process.get("isActive").value is False, "it is not active"),
        (process.get("isExploratory").value is True, "it is exploratory"),
        (bool(process.get("configuration").get("ticketLabels").value), "it is for tickets"),
    )
    why = ", ".join(reason for holds, reason in reasons if holds)
    return answers.item(process, "name", "slug", unusable=why or None)


def _tags(tests: Sequence[JsonReader]) -> Iterator[Item]:
    """Tags have no list of their own; a run takes them in lower case."""
    tags = (tag.text().lower() for test in tests for tag in test.get("tags").items_or_none())
    for tag in dict.fromkeys(tags):
        yield Item(id=tag, name=tag)


def _is_last(body: JsonReader, shown: int) -> bool:
    total = answers.count(body.get("totalCount"))
    return total is not None and shown >= total


def _is_certain(run: RemoteRun, item: JsonReader) -> bool:
    """True of a run that goes on, and of one whose tests have all passed, failed or been blocked.

    The list has no counter of aborted and skipped tests: it leaves no doubt where nothing is left for them.
    """
    state = answers.word(item.get("state"))
    if state != "completed":
        return state in _GOING_ON
    counts = [answers.count(item.get(name)) for name in ("passed", "failed", "blocked")]
    total, pending = (answers.count(item.get(name)) for name in ("total", "pending"))
    promised = answers.count(JsonReader(run.memo.get("tests"), "memo.tests"))
    if total is None or pending != 0 or promised is None or total != promised:
        return False
    return None not in counts and sum(filter(None, counts)) == total > 0


class Lists(Vendor):
    """What the adapter says of lists."""

    def inventory(
        self, kind: InventoryKind, settings: Mapping[str, Json], replies: Sequence[Reply]
    ) -> Request | Refusal | tuple[Item, ...]:
        if not replies:
            return environments.overview()
        if kind is InventoryKind.PROJECT:
            projects = replies[0].json().get("projects").items()
            return tuple(answers.item(project, "name", "slug") for project in projects)
        project = _project(settings, replies[0])
        if isinstance(project, Refusal):
            return project
        return _of_project(kind, f"/api/projects/{answers.segment(project)}", replies[1:])

    def poll_many(
        self, settings: Mapping[str, Json], runs: Sequence[RemoteRun], replies: Sequence[Reply]
    ) -> Request | Mapping[str, Reply] | None:
        """Client: the CLI reads this list; no page documents it. It decides a run whose counters leave no doubt.

        A run that it shows twice, and not the same both times, is in doubt.
        """
        if not replies:
            return environments.overview()
        project = _project(settings, replies[0])
        if isinstance(project, Refusal):
            return None
        wanted = {run.id: run for run in runs}
        listed, shown, newest = answers.Listed(), 0, 1
        for reply in replies[1:]:
            items = list(answers.page(reply).get("items").items())
            newest = len(items)
            shown += newest
            for item in items:
                if (run := wanted.get(item.get("runId").text_or() or "")) is not None:
                    listed.add(run.id, item, is_certain=_is_certain(run, item))
        pages = len(replies) - 1
        is_whole = pages > 0 and (
            newest == 0 or _is_last(answers.page(replies[-1]), shown) or listed.count == len(wanted)
        )
        if is_whole or pages >= answers.most_pages(runs, int(_RUNS)):
            return listed.replies()
        path = f"/api/projects/{answers.segment(project)}/ci-runs"
        return Request(method="GET", path=path, query=(("take", _RUNS), ("skip", str(shown))))
