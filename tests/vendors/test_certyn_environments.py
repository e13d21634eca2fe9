from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.decode import UnexpectedData
from qarunner.diagnostics import Place
from qarunner.entry import Entry, Platform, Policy, Selection, SelectionKind, Target, TargetKind
from qarunner.vendors.api import Call, Metadata, More, Prepared, Refusal, Reply, Request, Resource, resolve_refs
from qarunner.vendors.certyn import environments
from qarunner.vendors.certyn.adapter import VENDOR
from qarunner.vendors.certyn.info import CAPABILITIES

URL = "https://pr-12.example.com"
OVERVIEW = {"defaultProjectId": "p-1", "projects": [{"id": "p-1", "slug": "other"}, {"id": "p-2", "slug": "my-app"}]}


def call(kind: TargetKind = TargetKind.WEB_URL, value: str = URL, name: str = "smoke") -> Call:
    entry = Entry(
        id=name,
        vendor="certyn",
        policy=Policy(timeout_s=60),
        origin=Place(file="qa-matrix.yml", line=1, column=1),
        target=Target(kind=kind, value=value),
        selection=Selection(kind=SelectionKind.CATEGORY_IDS, ids=("smoke-suite",)),
    )
    settings = {"project": "my-app", "environment": "staging"}
    return Call(entries=(entry,), settings=settings, metadata=Metadata(commit="1a2b3c4d5e6f"))


def resource() -> Resource:
    (need,) = VENDOR.resources(call())
    return Resource(id="resource-1", vendor="certyn", kind=need.kind, data=need.data)


def ok(body: object) -> Reply:
    return Reply(status=200, text=json.dumps(body))


def listed(*environments: dict[str, object], page: int = 1, more: bool = False) -> dict[str, object]:
    return {"items": list(environments), "page": page, "hasNextPage": more}


def shown(number: object, key: str = "qarunner-0a1b", url: str = URL) -> dict[str, object]:
    return {"id": number, "key": key, "baseUrl": url}


def test_an_address_or_an_environment_with_or_without_a_platform() -> None:
    both = frozenset({TargetKind.WEB_URL, TargetKind.ENVIRONMENT})
    assert CAPABILITIES.targets == {None: both, Platform.WEB: both}


def test_an_address_gets_an_environment_that_is_deleted_afterwards() -> None:
    replies: list[Reply] = []
    answers = [OVERVIEW, listed(), {"id": 7}]
    seen = []
    while isinstance(step := VENDOR.prepare(resource(), "0a1b", replies), (Request, More)):
        request = step.request if isinstance(step, More) else step
        seen.append((request.method, request.path, request.body))
        replies.append(ok(answers[len(replies)]))
    environment = {
        "key": "qarunner-0a1b",
        "label": "qarunner preview of 1a2b3c4",
        "baseUrl": URL,
        "version": "1a2b3c4",
    }
    assert seen == [
        ("GET", "/api/projects/overview", None),
        ("GET", "/api/projects/p-2/environments", None),
        ("POST", "/api/projects/p-2/environments", environment),
    ]
    assert step == Prepared(values={"key": "qarunner-0a1b", "id": "7", "project_id": "p-2"})
    body = resolve_refs(VENDOR.submit(call()).body, {need.key: step.values for need in VENDOR.resources(call())})
    assert isinstance(body, dict)
    assert body["environmentKey"] == "qarunner-0a1b"
    assert VENDOR.release(resource(), step) == Request(method="DELETE", path="/api/projects/p-2/environments/7")


@pytest.mark.parametrize(
    "pages",
    [
        [listed(shown(7))],
        [listed(shown(3, "staging"), shown(7, "QARunner-0A1B", URL + "/"), {"id": 9})],
        [listed(shown(3, "staging"), more=True), listed(shown(7), page=2)],
        [listed(shown(7), more=True), listed(shown(7), shown(8, "other"), page=2)],
        [listed(shown(7), more=True), "<html>"],
    ],
)
def test_an_environment_whose_create_lost_its_answer_is_found_by_its_key(pages: list[object]) -> None:
    replies = [ok(OVERVIEW)]
    for number, body in enumerate(pages, 1):
        query = (("page", str(number)), ("pageSize", "100"))
        request = Request(method="GET", path="/api/projects/p-2/environments", query=query)
        assert VENDOR.prepare(resource(), "0a1b", replies) == More(request=request, best_effort=True)
        replies.append(ok(body))
    prepared = Prepared(values={"key": "qarunner-0a1b", "id": "7", "project_id": "p-2"})
    assert VENDOR.prepare(resource(), "0a1b", replies) == prepared


@pytest.mark.parametrize(
    "reply",
    [
        *(Reply(status=status, text="no") for status in (0, 401, 403, 404, 500, 502)),
        *(Reply(status=200, text=text) for text in ("", "<html>", "[]", "null", '{"items": 7}', '{"items": [7]}')),
        ok(listed(page=3)),
        ok({"items": [], "hasNextPage": "yes"}),
        ok(listed(shown(7, url="https://pr-13.example.com"))),
        ok(listed(shown(7, url=URL.upper()))),
        ok(listed({"id": 7, "key": "qarunner-0a1b"})),
        ok(listed(shown(None))),
        ok(listed(shown(".."))),
        ok(listed(shown(7), shown(8))),
        ok(listed(shown(7), shown(8, url="https://pr-13.example.com"))),
        ok(listed(shown(7, "qarunner-0a1"))),
    ],
)
def test_a_list_that_does_not_show_it_leads_to_a_create_and_to_nothing_of_somebody_elses(reply: Reply) -> None:
    before = [ok(OVERVIEW), reply]
    create = VENDOR.prepare(resource(), "0a1b", before)
    assert isinstance(create, Request)
    assert create.method == "POST"
    prepared = VENDOR.prepare(resource(), "0a1b", [*before, ok({"id": 11})])
    assert isinstance(prepared, Prepared)
    assert prepared.values["id"] == "11"


@pytest.mark.parametrize(("is_endless", "expected"), [(True, 2), (False, 10)])
def test_a_list_without_an_end_does_not_keep_the_create(*, is_endless: bool, expected: int) -> None:
    replies = [ok(OVERVIEW)]
    while isinstance(VENDOR.prepare(resource(), "0a1b", replies), More):
        number = len(replies)
        item = shown(1 if is_endless else number, f"environment-{number}")
        replies.append(ok(listed(item, page=number, more=True)))
    assert len(replies) - 1 == expected
    assert isinstance(VENDOR.prepare(resource(), "0a1b", replies), Request)


def test_equal_addresses_are_equal_needs_and_others_are_not() -> None:
    (one,) = VENDOR.resources(call())
    (same,) = VENDOR.resources(call(name="other"))
    (other,) = VENDOR.resources(call(value=URL + "/de"))
    assert one == same != other


def test_the_plan_says_what_an_address_changes() -> None:
    (notice,) = VENDOR.notices(call())
    assert URL in notice
    assert "platform:manage" in notice
    assert not list(VENDOR.notices(call(TargetKind.ENVIRONMENT, "staging")))
    assert not list(VENDOR.resources(call(TargetKind.ENVIRONMENT, "staging")))


@given(st.text(), st.text())
def test_a_key_is_a_slug_and_as_unique_as_its_token(token: str, other: str) -> None:
    keys = []
    for item in (token, other):
        request = VENDOR.prepare(resource(), item, [ok(OVERVIEW), ok(listed())])
        assert isinstance(request, Request)
        assert isinstance(request.body, dict)
        keys.append(str(request.body["key"]))
    assert all(re.fullmatch(r"qarunner-[a-z0-9]+(-[a-z0-9]+)*", key) for key in keys)
    assert (keys[0] == keys[1]) is (token == other)


@pytest.mark.parametrize(
    "body", [{"projects": []}, {"projects": [None, {"id": "p-3"}]}, {"projects": [{"id": "p-1", "slug": "My-App"}]}]
)
def test_a_project_that_the_key_does_not_show_is_refused_in_words(body: object) -> None:
    refusal = VENDOR.prepare(resource(), "0a1b", [ok(body)])
    assert isinstance(refusal, Refusal)
    assert "no project 'my-app'" in refusal.message
    assert "CERTYN_PROJECT" in refusal.message


@pytest.mark.parametrize("body", [{}, [], {"projects": 7}, {"projects": [None, {"slug": "my-app"}]}])
def test_no_other_project_is_taken_for_the_named_one(body: object) -> None:
    with pytest.raises(UnexpectedData):
        VENDOR.prepare(resource(), "0a1b", [ok(body)])


def test_a_slug_stands_for_one_project() -> None:
    def shown(*projects: tuple[str, str]) -> Reply:
        named = [{"id": number, "slug": slug} for number, slug in projects]
        return Reply(status=200, text=json.dumps({"projects": named}))

    assert environments.project_id(shown(("p1", "shop"), ("p2", "blog")), "shop") == "p1"
    assert environments.project_id(shown(("p1", "shop"), ("p1", "shop")), "shop") == "p1"
    refusal = environments.project_id(shown(("p1", "shop"), ("p2", "shop")), "shop")
    assert isinstance(refusal, Refusal)
    assert "2 projects 'shop': p1, p2" in refusal.message
