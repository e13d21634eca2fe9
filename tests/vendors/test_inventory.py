"""What vendors list, as their pages show it: page by page, stateless, and one list of runs in place of many reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from qarunner.decode import JsonReader, UnexpectedData
from qarunner.vendors import registry
from qarunner.vendors.api import InventoryKind, Refusal, RemoteRun, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qarunner.decode import Json
    from qarunner.vendors.api import Item

PROJECT = "33333333-3333-4333-8333-333333333333"


def listed(
    vendor: str, kind: InventoryKind, answers: Callable[[Request], object], settings: Mapping[str, str] | None = None
) -> tuple[list[str], tuple[Item, ...]]:
    """The paths that were asked for, and the items."""
    adapter = registry.get(vendor)
    replies: list[Reply] = []
    asked: list[str] = []
    while True:
        step = adapter.inventory(kind, {"project": PROJECT} if settings is None else settings, replies)
        if not isinstance(step, Request):
            assert not isinstance(step, Refusal)
            return asked, step
        asked.append(step.path)
        assert len(asked) < 20
        replies.append(Reply(status=200, text=json.dumps(answers(step))))


@pytest.mark.parametrize("vendor", ["testerarmy", "docketqa", "certyn", "doksi"])
def test_each_kind_that_a_vendor_declares_has_a_first_request(vendor: str) -> None:
    adapter = registry.get(vendor)
    for kind in adapter.info.inventories:
        step = adapter.inventory(kind, {"project": PROJECT}, [])
        assert isinstance(step, Request)
        assert step.method == "GET"
    assert bool(adapter.info.inventories) == (vendor != "doksi")


@pytest.mark.parametrize("vendor", ["testerarmy", "docketqa", "certyn"])
def test_the_work_for_a_list_grows_as_its_pages(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read of replies is counted: no page is gone over again for each later one."""
    count = 0
    get = JsonReader.get

    def counted(reader: JsonReader, key: str) -> JsonReader:
        nonlocal count
        count += 1
        return get(reader, key)

    monkeypatch.setattr(JsonReader, "get", counted)
    read: list[int] = []
    for pages in (30, 120):
        adapter, count = registry.get(vendor), 0
        replies: list[Reply] = []
        kind = InventoryKind.TAG if vendor == "certyn" else InventoryKind.TEST
        while isinstance(step := adapter.inventory(kind, {"project": PROJECT}, replies), Request):
            number = int(dict(step.query).get("page", len(replies) + 1))
            test = {"id": number, "title": f"Test {number}", "name": f"Test {number}", "tags": [f"t{number}"]}
            body = {
                **{key: [test] for key in ("tests", "test_blueprints", "items")},
                "projects": [{"id": PROJECT, "slug": PROJECT}],
                "pagination": {"page": number, "total_pages": pages, "total": pages},
                "page": number,
                "hasNextPage": number < pages,
                "totalCount": pages,
                "nextCursor": str(number) if number < pages else None,
            }
            replies.append(Reply(status=200, text=json.dumps(body)))
        assert isinstance(step, tuple)
        assert len(step) == pages
        read.append(count)
    assert read[1] < 4.2 * read[0], read


def test_testerarmy_lists_tests_by_cursor() -> None:
    def answers(request: Request) -> object:
        page = int(dict(request.query).get("cursor", "0"))
        tests = [{"id": f"t{page}", "title": f"Test {page}", "enabled": page != 1}]
        return {"tests": tests, "nextCursor": str(page + 1) if page < 2 else None}

    asked, items = listed("testerarmy", InventoryKind.TEST, answers)
    assert asked == ["/tests"] * 3
    assert [(item.id, item.name, item.unusable is None) for item in items] == [
        ("t0", "Test 0", True),
        ("t1", "Test 1", False),
        ("t2", "Test 2", True),
    ]


def test_testerarmy_lists_by_project() -> None:
    assert isinstance(registry.get("testerarmy").inventory(InventoryKind.TEST, {}, []), Refusal)
    asked, items = listed("testerarmy", InventoryKind.APP, lambda _: {"apps": [{"id": "a", "filename": "x.apk"}]})
    assert asked == [f"/projects/{PROJECT}/mobile"]
    assert [(item.id, item.name) for item in items] == [("a", "x.apk")]


def test_docketqa_knows_suites_by_their_tests() -> None:
    def answers(request: Request) -> object:
        page = int(dict(request.query)["page"])
        test = {"id": page, "title": f"T{page}", "status": "paused" if page == 2 else "active"}
        suite = {"test_blueprint_category_id": 7, "test_blueprint_category_name": "Smoke"} if page < 3 else {}
        return {"test_blueprints": [{**test, **suite}], "pagination": {"page": page, "total_pages": 3}}

    asked, tests = listed("docketqa", InventoryKind.TEST, answers)
    assert len(asked) == 3
    assert [(item.id, item.unusable is None) for item in tests] == [("1", True), ("2", False), ("3", True)]
    _, suites = listed("docketqa", InventoryKind.CATEGORY, answers)
    assert [(item.id, item.name) for item in suites] == [("7", "Smoke")]


def certyn(request: Request) -> object:
    if request.path.endswith("overview"):
        return {"projects": [{"id": "p1", "slug": "shop", "name": "Shop"}]}
    if request.path.endswith("processes"):
        usual = {"slug": "smoke", "name": "Smoke", "isActive": True, "isExploratory": False}
        return [usual, {**usual, "slug": "explore", "isExploratory": True}]
    page = int(dict(request.query)["page"])
    if request.path.endswith("environments"):
        return {"items": [{"key": f"e{page}", "label": f"E {page}"}], "hasNextPage": page < 2}
    return {"items": [{"tags": ["Smoke", "pay"]}, {"tags": ["smoke"]}], "hasNextPage": False}


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        (InventoryKind.PROJECT, ["shop"]),
        (InventoryKind.CATEGORY, ["smoke", "explore"]),
        (InventoryKind.ENVIRONMENT, ["e1", "e2"]),
        (InventoryKind.TAG, ["smoke", "pay"]),
    ],
)
def test_certyn_lists_by_the_projects_id(kind: InventoryKind, ids: list[str]) -> None:
    asked, items = listed("certyn", kind, certyn, {"project": "shop"})
    assert [item.id for item in items] == ids
    assert all(path.startswith("/api/projects/p1/") for path in asked[1:])
    assert [item.unusable for item in items if item.id == "explore"] in ([], ["it is exploratory"])


@pytest.mark.parametrize("vendor", ["testerarmy", "docketqa", "certyn"])
def test_a_malformed_list_is_no_empty_one(vendor: str) -> None:
    adapter = registry.get(vendor)
    invalid = Reply(status=200, text='{"odd": 1}')
    for kind in adapter.info.inventories:
        with pytest.raises(UnexpectedData):
            adapter.inventory(kind, {"project": PROJECT}, [invalid, invalid])


# --- one list for many runs -------------------------------------------------------------------------------------------


def test_testerarmys_list_tells_each_run_as_its_own_read_does() -> None:
    adapter = registry.get("testerarmy")
    runs = [RemoteRun(id=name) for name in ("r1", "r2", "r9")]
    first = {"runs": [{"id": "x", "status": "running"}, {"id": "R1", "status": "completed"}], "nextCursor": "c"}
    second = {"runs": [{"id": "r2", "status": "running"}], "nextCursor": None}
    replies = [Reply(status=200, text=json.dumps(body)) for body in (first, second)]
    step = adapter.poll_many({}, runs, replies[:1])
    assert isinstance(step, Request)
    assert dict(step.query)["cursor"] == "c"
    result = adapter.poll_many({}, runs, replies)
    assert not isinstance(result, Request)
    assert result is not None
    assert {name: json.loads(reply.text)["status"] for name, reply in result.items()} == {
        "r1": "completed",
        "r2": "running",
    }


SURE: dict[str, Json] = {"state": "completed", "total": 2, "passed": 1, "failed": 1, "blocked": 0, "pending": 0}


@pytest.mark.parametrize(
    ("fields", "found_ids"),
    [
        ({"state": "in_progress"}, {"a", "b"}),
        (SURE, {"a", "b"}),
        (SURE | {"state": "cancelled"}, {"b"}),
        (SURE | {"state": "odd"}, {"b"}),
        (SURE | {"passed": 0}, {"b"}),  # one was skipped or aborted
        (SURE | {"passed": 2}, {"b"}),
        (SURE | {"pending": 1, "passed": 0}, {"b"}),
        (SURE | {"total": 1, "passed": 0}, {"b"}),  # fewer than the create promised
        ({key: value for key, value in SURE.items() if key != "pending"}, {"b"}),
        ({key: value for key, value in SURE.items() if key != "blocked"}, {"b"}),
    ],
)
def test_certyns_list_decides_a_run_whose_counters_leave_no_doubt(fields: dict[str, Json], found_ids: set[str]) -> None:
    adapter = registry.get("certyn")
    runs = [RemoteRun(id="a", memo={"tests": 2}), RemoteRun(id="b", memo={"tests": 2})]
    items = [{"runId": "a", **fields}, {"runId": "b", **SURE}, {"runId": "c", **SURE}]
    bodies = ({"projects": [{"id": "p1", "slug": "shop"}]}, {"items": items, "totalCount": 3})
    result = adapter.poll_many({"project": "shop"}, runs, [Reply(status=200, text=json.dumps(body)) for body in bodies])
    assert isinstance(result, dict)
    assert set(result) == found_ids


def test_certyns_list_is_read_to_its_end_and_what_it_tells_twice_is_in_doubt() -> None:
    adapter = registry.get("certyn")
    runs = [RemoteRun(id=name, memo={"tests": 2}) for name in ("a", "b", "z")]
    bodies: list[Json] = [{"projects": [{"id": "p1", "slug": "shop"}]}]
    skips = []
    for name in ("a", "b", "a"):
        replies = [Reply(status=200, text=json.dumps(body)) for body in bodies]
        step = adapter.poll_many({"project": "shop"}, runs, replies)
        assert isinstance(step, Request)
        skips.append(dict(step.query)["skip"])
        state = "in_progress" if len(bodies) == 3 else "completed"
        bodies.append({"items": [{"runId": name, **SURE, "state": state}], "totalCount": 3})
    result = adapter.poll_many({"project": "shop"}, runs, [Reply(status=200, text=json.dumps(body)) for body in bodies])
    assert isinstance(result, dict)
    assert (skips, set(result)) == (["0", "1", "2"], {"b"})


@pytest.mark.parametrize("vendor", ["doksi", "docketqa"])
def test_vendors_without_a_list_of_runs_have_none(vendor: str) -> None:
    assert registry.get(vendor).poll_many({}, [RemoteRun(id="r")], []) is None


TEST = {"id": 1, "title": "Log in", "name": "Log in", "key": "log-in", "slug": "log-in"}


def endless(request: Request) -> dict[str, object]:
    """The same element on every page, whose cursor is new."""
    number = int(dict(request.query).get("page", "1"))
    paging = {"page": number, "total_pages": 99, "total": 99}
    body = {"tests": [TEST], "test_blueprints": [TEST], "items": [TEST]}
    projects = [{"id": "p", "slug": PROJECT, "name": "Shop"}]
    cursor = str(len(dict(request.query).get("cursor", "")))
    return {
        **body,
        "projects": projects,
        "nextCursor": cursor + "1",
        "pagination": paging,
        "page": number,
        "hasNextPage": True,
    }


@pytest.mark.parametrize(
    ("vendor", "kind"),
    [("testerarmy", InventoryKind.TEST), ("docketqa", InventoryKind.TEST), ("certyn", InventoryKind.ENVIRONMENT)],
)
def test_a_page_that_brings_nothing_new_ends_a_list(vendor: str, kind: InventoryKind) -> None:
    with pytest.raises(UnexpectedData, match="the list does not end"):
        listed(vendor, kind, endless)


@pytest.mark.parametrize(("vendor", "kind"), [("docketqa", InventoryKind.TEST), ("certyn", InventoryKind.TAG)])
@pytest.mark.parametrize("change", [{"total": 50, "totalCount": 50}, {"page": 2}])
def test_half_a_list_is_no_list(vendor: str, kind: InventoryKind, change: dict[str, int]) -> None:
    paging = {"page": 1, "total_pages": 1, "total": 1, **change}
    body = {"test_blueprints": [TEST], "items": [TEST], "projects": [{"id": "p", "slug": PROJECT, "name": "S"}]}
    with pytest.raises(UnexpectedData):
        listed(vendor, kind, lambda _: {**body, "pagination": paging, **paging, "hasNextPage": False})


@pytest.mark.parametrize(
    ("vendor", "kind", "promised"),
    [
        ("docketqa", InventoryKind.TEST, "total_pages"),
        ("docketqa", InventoryKind.CATEGORY, "total_pages"),
        ("certyn", InventoryKind.TAG, "hasNextPage"),
        ("certyn", InventoryKind.ENVIRONMENT, "hasNextPage"),
        ("testerarmy", InventoryKind.TEST, "nextCursor"),
    ],
)
def test_a_page_that_does_not_say_whether_it_is_the_last_one_is_half_a_list(
    vendor: str, kind: InventoryKind, promised: str
) -> None:
    body = {key: [{**TEST, "name": "Pay", "label": "Pay"}] for key in ("test_blueprints", "items", "tests")}
    with pytest.raises(UnexpectedData, match=promised):
        listed(vendor, kind, lambda _: {**body, "projects": [{"id": "p", "slug": PROJECT}]})


def test_a_cursor_that_is_a_number_leads_on_and_an_odd_sign_of_more_pages_is_no_end() -> None:
    bodies = [{"tests": [{"id": "t1"}], "nextCursor": 17}, {"tests": [{"id": "t2"}], "nextCursor": None}]
    _, items = listed("testerarmy", InventoryKind.TEST, lambda request: bodies["cursor" in dict(request.query)])
    assert [item.id for item in items] == ["t1", "t2"]
    body = {"projects": [{"id": "p", "slug": PROJECT}], "items": [TEST], "hasNextPage": "true"}
    with pytest.raises(UnexpectedData, match="hasNextPage"):
        listed("certyn", InventoryKind.ENVIRONMENT, lambda _: body)


NAMES = {"tests": "title", "test_blueprints": "title", "items": "label"}


@pytest.mark.parametrize(
    ("vendor", "kind"),
    [("testerarmy", InventoryKind.TEST), ("docketqa", InventoryKind.TEST), ("certyn", InventoryKind.ENVIRONMENT)],
)
def test_an_id_with_two_names_is_no_item(vendor: str, kind: InventoryKind) -> None:
    body = {key: [{**TEST, name: text} for text in ("Pay", "Pay later")] for key, name in NAMES.items()}
    paging = {"page": 1, "total_pages": 1, "total": 1}
    more = {"projects": [{"id": "p", "slug": PROJECT}], "pagination": paging, "page": 1, "nextCursor": None}
    more["hasNextPage"] = False
    with pytest.raises(UnexpectedData, match="Pay and Pay later"):
        listed(vendor, kind, lambda _: {**body, **more})


def test_a_suite_with_two_names_is_no_item() -> None:
    suites = ({"test_blueprint_category_id": 7, "test_blueprint_category_name": name} for name in ("Smoke", "Pay"))
    tests = [{"id": number, "title": f"T{number}", **suite} for number, suite in enumerate(suites, 1)]
    paging = {"page": 1, "total_pages": 1}
    with pytest.raises(UnexpectedData, match="Smoke"):
        listed("docketqa", InventoryKind.CATEGORY, lambda _: {"test_blueprints": tests, "pagination": paging})
