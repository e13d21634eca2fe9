"""What DocketQA lists: tests, suites by way of their tests, and apps.

Source: docs.docketqa.com/api-reference (list-tests, list-apps).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.vendors import replies as answers
from qarunner.vendors.api import InventoryKind, Item, Refusal, Reply, Request, Vendor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qarunner.decode import Json, JsonReader


_PER_PAGE = 100


def _test(test: JsonReader) -> Item:
    # What a trigger does with a paused test is not said.
    is_paused = answers.word(test.get("status")) == "paused"
    return answers.item(test, "title", unusable="it is paused at DocketQA" if is_paused else None)


def _suites(tests: Sequence[JsonReader]) -> Iterator[Item]:
    """Documented: suites have no list. One without tests is not seen."""
    suites: dict[str, str] = {}
    for test in tests:
        if test.has("test_blueprint_category_id"):
            suite = answers.body_id(test.get("test_blueprint_category_id"))
            title = test.get("test_blueprint_category_name")
            if suites.setdefault(suite, title.text_or() or suite) != (title.text_or() or suite):
                raise title.fail(f"{suites[suite]!r}, as another test of suite {suite} has it")
    for suite, name in suites.items():
        yield Item(id=suite, name=name)


class Lists(Vendor):
    """What the adapter says of lists."""

    def inventory(
        self, kind: InventoryKind, settings: Mapping[str, Json], replies: Sequence[Reply]
    ) -> Request | Refusal | tuple[Item, ...]:
        if kind is InventoryKind.APP:
            if not replies:
                return Request(method="GET", path="/apps/list")
            return tuple(answers.item(app, "name") for app in replies[0].json().get("apps").items())
        answers.check_goes_on(replies, "test_blueprints")
        paging = answers.page(replies[-1]).get("pagination") if replies else None
        if paging is not None:
            answers.check_about(paging.get("page"), str(len(replies)), "page")
        if paging is None or len(replies) < answers.promised_count(paging.get("total_pages")):
            query = (
                ("type", "integration"),
                ("include_all_folders", "true"),
                ("page", str(len(replies) + 1)),
                ("per_page", str(_PER_PAGE)),
            )
            return Request(method="GET", path="/test_blueprint/list", query=query)
        tests = answers.elements(replies, "test_blueprints", "title")
        answers.check_whole(replies, len(tests), "pagination", "total")
        return tuple(map(_test, tests)) if kind is InventoryKind.TEST else tuple(_suites(tests))
