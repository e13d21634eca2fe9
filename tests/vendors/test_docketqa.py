from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from qarunner.decode import UnexpectedData
from qarunner.diagnostics import Place
from qarunner.entry import Entry, Platform, Policy, Selection, SelectionKind, Target, TargetKind
from qarunner.vendors.api import (
    Build,
    Call,
    Cause,
    Finished,
    More,
    Prepared,
    Refusal,
    RemoteRun,
    Reply,
    Request,
    Resource,
    ResourceKind,
    Running,
    Upload,
    Verdict,
)
from qarunner.vendors.docketqa.adapter import VENDOR
from qarunner.vendors.docketqa.info import INFO
from tests.matrices import objections

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.decode import Json
    from qarunner.vendors.api import (
        Conflict,
        PrepareStep,
    )

BUILD: dict[str, Any] = {"app_id": 7, "set_current": True}
NAMED: dict[str, Any] = {**BUILD, "build_name": "1.4"}
OPEN = "{{ env.X }}"
URL = "https://preview.example.com"


def entry(name: str, target: Target | None = None, options: Mapping[str, Json] | None = None) -> Entry:
    return Entry(
        id=name,
        vendor="docketqa",
        policy=Policy(timeout_s=60),
        origin=Place(file="qa-matrix.yml", line=1, column=1),
        platform=Platform.ANDROID,
        target=target,
        selection=Selection(kind=SelectionKind.TEST_IDS, ids=("101",)),
        options=options or {},
    )


def binary(path: str) -> Target:
    return Target(kind=TargetKind.BINARY, value=path)


def paths(row: dict[str, Any]) -> list[str]:
    """Where the schema, the table and the adapter object, as dotted paths."""
    return [".".join(map(str, path)) for path, _, _ in objections(VENDOR, row, {})]


@pytest.mark.parametrize(
    "row",
    [
        {"test_ids": [101, "102", "007"]},
        {"test_ids": [101], "platform": "web"},
        {"test_ids": [101], "platform": "ios"},
        {"test_ids": [OPEN]},
        {"category_ids": [12]},
        {"category_ids": ["12"], "target": {"web_url": URL}},
        {"category_ids": ["12"], "platform": "web", "target": {"web_url": URL}, "options": {"login_url": URL}},
        {"category_ids": ["12"], "options": {"test_urls": {"101": URL}}},
        {"test_ids": [101], "platform": "android", "target": {"binary": "build/app.apk"}, "options": BUILD},
        {
            "test_ids": [1],
            "platform": "ios",
            "target": {"binary": "App.zip"},
            "options": NAMED,
        },
        {
            "test_ids": [1],
            "platform": OPEN,
            "target": {"binary": OPEN},
            "options": {"app_id": OPEN, "set_current": OPEN},
        },
        {"category_ids": ["12"], "platform": "android", "target": {"target_id": "33"}, "options": BUILD},
        {"category_ids": ["12"], "target": {"target_id": OPEN}, "options": BUILD},
    ],
)
def test_what_docketqa_can_do(row: dict[str, Any]) -> None:
    assert paths(row) == []


@pytest.mark.parametrize(
    ("row", "places"),
    [
        ({}, [""]),
        ({"tags": ["smoke"]}, ["tags"]),
        (
            {"test_ids": [1, "abc", "-1", "", "1" * 19, "٣", "⟦secret:ID⟧"]},
            [f"test_ids.{index}" for index in range(1, 7)],
        ),
        ({"category_ids": ["smoke"]}, ["category_ids.0"]),
        ({"category_ids": ["12", "13"]}, ["category_ids"]),
        ({"test_ids": [1], "target": {"web_url": URL}}, ["target.web_url"]),
        ({"test_ids": [1], "target": {"web_url": OPEN}}, ["target.web_url"]),
        ({"test_ids": [1], "options": {"login_url": URL}}, ["options.login_url"]),
        ({"test_ids": [1], "options": {"test_urls": {"1": URL}}}, ["options.test_urls"]),
        ({"test_ids": [1], "options": NAMED}, [f"options.{n}" for n in NAMED]),
        ({"test_ids": [1], "target": {"binary": "a.apk"}, "options": BUILD}, ["target.binary"]),
        ({"test_ids": [1], "platform": "web", "target": {"binary": "a.apk"}, "options": BUILD}, ["target.binary"]),
        ({"test_ids": [1], "platform": "ios", "target": {"binary": "a.zip"}}, ["target.binary", "target.binary"]),
        (
            {"test_ids": [1], "platform": "ios", "target": {"binary": "a.zip"}, "options": {"app_id": 7}},
            ["target.binary"],
        ),
        (
            {
                "test_ids": [1],
                "platform": "ios",
                "target": {"binary": "a.zip"},
                "options": {**BUILD, "set_current": False},
            },
            ["options.set_current"],
        ),
        (
            {"test_ids": [1], "platform": "ios", "target": {"binary": "a.zip"}, "options": {**BUILD, "app_id": "7"}},
            ["options.app_id"],
        ),
        ({"test_ids": [1], "platform": "ios", "target": {"binary": "a.ipa"}, "options": BUILD}, ["target.binary"]),
        ({"test_ids": [1], "target": {"target_id": "b-33"}, "options": BUILD}, ["target.target_id"]),
        (
            {"test_ids": [1], "target": {"target_id": "33"}, "options": NAMED},
            ["options.build_name"],
        ),
        ({"test_ids": [1], "target": {"environment": "staging"}}, ["target.environment"]),
        ({"test_ids": [1], "artifacts": [{"type": "authentication", "strategy": "none"}]}, ["artifacts"]),
    ],
)
def test_what_docketqa_cannot_do_is_refused_at_its_place(row: dict[str, Any], places: list[str]) -> None:
    assert paths(row) == places


def test_a_local_build_without_consent_is_told_what_it_would_do() -> None:
    row = {"test_ids": [1], "platform": "ios", "target": {"binary": "a.zip"}, "options": {"app_id": 7}}
    ((_, message, hint),) = objections(VENDOR, row, {})
    assert "pinning one changes it for everybody" in message
    assert "options.set_current: true" in (hint or "")


@pytest.mark.parametrize(
    "options",
    [
        {},
        BUILD,
        {"set_current": False, "build_name": "1.4.0"},
        {"login_url": URL, "test_urls": {"101": URL, "7": "http://localhost:3000/"}},
    ],
)
def test_options_as_they_may_be(options: dict[str, Any]) -> None:
    validate(options)


@pytest.mark.parametrize(
    "options",
    [
        {"app_id": "7"},
        {"app_id": 0},
        {"app_id": 1.5},
        {"set_current": "true"},
        {"build_name": ""},
        {"login_url": "login.example.com"},
        {"test_urls": {}},
        {"test_urls": {"checkout": URL}},
        {"test_urls": {"101": "/cart"}},
        {"test_urls": [URL]},
    ],
)
def test_options_as_they_must_not_be(options: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate(options)


def validate(options: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": dict(INFO.options), "additionalProperties": False}
    jsonschema.Draft202012Validator(schema).validate(options)


def test_an_entry_is_a_create_of_its_own() -> None:
    entries = [entry("a"), entry("b"), entry("c", binary("a.apk"), BUILD), entry("d", binary("a.apk"), BUILD)]
    assert list(VENDOR.group(entries)) == [(item,) for item in entries]


def races(*entries: Entry, **content: str) -> list[Conflict]:
    builds = {f"{n}.apk": Build(path=f"{n}.apk", filename=n, size=1, sha256=sha) for n, sha in content.items()}
    return list(VENDOR.check_all([Call(entries=(entry,)) for entry in entries], builds))


@pytest.mark.parametrize("other", [binary("b.apk"), Target(kind=TargetKind.TARGET_ID, value="33")])
def test_two_builds_of_one_app_cannot_both_be_current(other: Target) -> None:
    first = entry("a", binary("a.apk"), BUILD)
    (clash,) = races(first, entry("b", other, BUILD), a="1", b="2")
    assert clash.message.startswith("b and a pin different builds of DocketQA's app 7")
    assert (clash.entries, clash.path) == (("b", "a"), ("target",))
    assert "one after the other" in (clash.hint or "")
    assert not races(first, entry("b", other, {**BUILD, "app_id": 8}), a="1", b="2")


def test_one_content_under_two_paths_is_one_build() -> None:
    assert not races(entry("a", binary("a.apk"), BUILD), entry("b", binary("b.apk"), BUILD), a="1", b="1")
    pinned = [entry(n, Target(kind=TargetKind.TARGET_ID, value=v), BUILD) for n, v in (("a", "33"), ("b", "033"))]
    assert not races(*pinned)


CURRENT = Reply(status=200, text='{"app": {"id": 7, "current_build": {"id": 5}}}')
LOST = Reply(status=0, text="the connection to 127.0.0.1 was lost")


def making(*after: Reply, name: str | None = None) -> PrepareStep:
    """What follows the answers to the create of a build, and to what finds out about it."""
    build = Build(path="app.apk", filename="app.apk", size=3, sha256="ab" * 32)
    data: dict[str, Json] = {"app_id": 7, "platform": "android", **({"build_name": name} if name else {})}
    resource = Resource(id="r", vendor="docketqa", kind=ResourceKind.BUILD, build=build, data=data)
    granted = {"s3_presigned_url": "http://127.0.0.1:9/put?s=1", "s3_key": "k", "content_type": "a/b", "filename": "f"}
    return VENDOR.prepare(
        resource, "t", [Reply(status=200, text=json.dumps(granted)), Reply(status=200, text=""), *after]
    )


def test_a_build_is_not_made_twice() -> None:
    create = making()
    assert isinstance(create, More)
    assert (create.request.path, create.best_effort) == ("/apps/7/builds", True)
    asked = making(LOST)
    assert asked == More(request=Request(method="GET", path="/apps/7"), best_effort=True)
    shown = Reply(status=200, text=json.dumps({"app": {"builds": [{"id": 5, "name": "app.apk abababab t"}]}}))
    pin = making(LOST, shown)
    assert pin == More(request=Request(method="PUT", path="/apps/7/builds/5/set-current"), best_effort=True)
    assert isinstance(making(LOST, shown, CURRENT), Prepared)


@pytest.mark.parametrize(
    "after",
    [
        [Reply(status=200, text="{}")],
        [Reply(status=404, text="")],
        [Reply(status=200, text="<html>")],
        [LOST],
        [Reply(status=200, text='[{"id": 5, "name": "app.apk abababab t"}, {"id": 6, "name": "app.apk abababab t"}]')],
        [Reply(status=200, text='{"id": 5, "name": "app.apk abababab t"}'), Reply(status=500, text="")],
    ],
)
def test_a_build_that_may_have_been_made_ends_in_words(after: list[Reply]) -> None:
    refusal = making(LOST, *after)
    assert isinstance(refusal, Refusal)
    assert refusal.cause is Cause.UNCERTAIN
    assert "'app.apk abababab t' of DocketQA's app 7 had no answer" in refusal.message
    assert "was lost" in refusal.message


def test_a_name_of_the_manifests_own_may_be_an_older_builds() -> None:
    refusal = making(Reply(status=502, text=""), name="nightly")
    assert isinstance(refusal, Refusal)
    assert refusal.cause is Cause.UNCERTAIN
    taken = making(Reply(status=409, text='{"message": "name is taken"}'), name="nightly")
    assert isinstance(taken, Refusal)
    assert (taken.cause, "options.build_name" in taken.message) == (Cause.REFUSED, True)
    forbidden = making(Reply(status=403, text='{"message": "no"}'))
    assert isinstance(forbidden, Refusal)
    assert forbidden.cause is Cause.CREDENTIAL


def test_equal_builds_of_several_entries_are_one_need() -> None:
    needs = [list(VENDOR.resources(Call(entries=(entry(name, binary("a.apk"), BUILD),)))) for name in "ab"]
    assert needs[0] == needs[1]
    assert len(needs[0]) == 1


def test_a_build_is_uploaded_without_the_key_and_named_anew_each_time() -> None:
    build = Build(path="build/app.apk", filename="app.apk", size=3, sha256="ab" * 32)
    (need,) = VENDOR.resources(Call(entries=(entry("a", binary(build.path), BUILD),)))
    resource = Resource(id="r", vendor="docketqa", kind=ResourceKind.BUILD, build=build, data=need.data)
    granted = {"s3_presigned_url": "http://127.0.0.1:9/put?s=1", "s3_key": "k", "content_type": "a/b", "filename": "f"}
    replies = [Reply(status=200, text=json.dumps(granted)), Reply(status=200, text="")]
    put = VENDOR.prepare(resource, "t", replies[:1])
    assert isinstance(put, Upload)
    assert (put.path, put.headers) == ("http://127.0.0.1:9/put?s=1", (("Content-Type", "a/b"),))
    bodies = [VENDOR.prepare(resource, token, replies) for token in ("t1", "t2")]
    creates = [made.request.body for made in bodies if isinstance(made, More)]
    names = [body["name"] for body in creates if isinstance(body, dict)]
    assert names == ["app.apk abababab t1", "app.apk abababab t2"]
    created = Reply(status=200, text='{"build": {"id": 5}, "app": {"current_build": {"id": 5}}}')
    assert VENDOR.prepare(resource, "t1", [*replies, created]) == Prepared(values={"build": "app.apk abababab t1"})
    assert VENDOR.release(resource, Prepared(values={})) is None


def test_a_conflict_names_what_to_change() -> None:
    refusal = VENDOR.refused(Reply(status=409, text='{"message": "name is taken"}'))
    assert refusal.message.startswith("name is taken")
    assert "options.build_name" in refusal.message


def test_the_vendors_own_attempts_are_told_one_by_one() -> None:
    step = {"task": "Pay", "is_successful": False, "result": "No button", "actions": [{}]}
    attempts = [{"status": "failed", "results": [step]}, {}, {"status": "passed", "results": []}]
    body = {"test_run": {"id": 9001, "status": "passed", "additional_attempts": attempts}}
    call = Call(entries=(entry("a"),))
    status = VENDOR.read(call, RemoteRun(id="9001"), [Reply(status=200, text=json.dumps(body))], polls=1)
    assert isinstance(status, Finished)
    (case,) = status.outcomes["a"].cases
    message = "passed with 3 more attempts of DocketQA's own: failed: Pay: No button; passed"
    assert (case.verdict, case.message) == (Verdict.FLAKY, message)


def test_a_run_that_goes_on_names_the_tests_that_have_none() -> None:
    body = {"test_run": {"id": 9001, "test_blueprint_id": 101, "status": "running"}}
    run = RemoteRun(id="9001", memo={"test": "101", "lost": {"102": "DocketQA made no run of it"}})
    status = VENDOR.read(Call(entries=(entry("a"),)), run, [Reply(status=200, text=json.dumps(body))], polls=1)
    assert isinstance(status, Running)
    cases = [(case.id, case.verdict, case.message) for case in status.so_far["a"].cases]
    assert cases == [("101", Verdict.UNKNOWN, None), ("102", Verdict.UNKNOWN, "DocketQA made no run of it")]


@pytest.mark.parametrize("field", ["id", "test_blueprint_id", "test_group_run_id"])
def test_an_answer_about_another_run_test_or_group_is_not_this_ones(field: str) -> None:
    run, call = RemoteRun(id="9001", memo={"test": "101", "group": "88"}), Call(entries=(entry("a"),))
    first = {"id": 9001, "test_blueprint_id": 101, "test_group_run_id": 88, "status": "passed"}

    def read(body: dict[str, object]) -> object:
        return VENDOR.read(call, run, [Reply(status=200, text=json.dumps({"test_run": body}))], polls=1)

    assert isinstance(read(first), Finished)
    with pytest.raises(UnexpectedData):
        read({**first, field: 77})


def test_a_pass_that_names_no_run_says_so() -> None:
    reply = Reply(status=200, text=json.dumps({"test_run": {"status": "passed"}}))
    status = VENDOR.read(Call(entries=(entry("a"),)), RemoteRun(id="9001"), [reply], polls=1)
    assert isinstance(status, Finished)
    (case,) = status.outcomes["a"].cases
    message = "DocketQA reports the test as passed, but its answer does not say which run it is about"
    assert (case.verdict, case.message) == (Verdict.UNKNOWN, message)


def test_a_step_is_of_all_the_kinds_that_its_actions_have() -> None:
    actions = [{"type": "click"}, {"type": "type"}, {"type": "click"}, {}]
    body = {"test_run": {"id": 9001, "status": "passed", "results": [{"is_successful": True, "actions": actions}]}}
    call = Call(entries=(entry("a"),))
    status = VENDOR.read(call, RemoteRun(id="9001"), [Reply(status=200, text=json.dumps(body))], polls=1)
    assert isinstance(status, Finished)
    assert [step.kind for case in status.outcomes["a"].cases for step in case.steps] == ["click, type"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"error_message": "No device"}, "No device"),
        ({"error": "No browser"}, "No browser"),
        ({"error_message": "No device", "error": "No browser"}, "No device"),
    ],
)
def test_a_pass_with_an_error_beside_it_is_none(fields: dict[str, str], reason: str) -> None:
    body = {"test_run": {"id": 9001, "status": "passed", **fields}}
    call = Call(entries=(entry("a"),))
    status = VENDOR.read(call, RemoteRun(id="9001"), [Reply(status=200, text=json.dumps(body))], polls=1)
    assert isinstance(status, Finished)
    (case,) = status.outcomes["a"].cases
    assert case.verdict is Verdict.UNKNOWN
    assert case.message is not None
    assert reason in case.message


@pytest.mark.parametrize("app", [{"id": 7, "current_build": {"id": 30}}, {"id": 8, "current_build": {"id": 77}}])
def test_another_build_that_is_current_is_not_tested(app: dict[str, Json]) -> None:
    created = Reply(status=200, text=json.dumps({"message": "ok", "build": {"id": 77}, "app": app}))
    pinned = Resource(id="r", vendor="docketqa", kind=ResourceKind.BUILD, data={"app_id": 7, "build_id": "77"})
    for step in (making(created), VENDOR.prepare(pinned, "t", [created])):
        assert isinstance(step, Refusal)
        assert "make build 77 of app 7 current" in step.message


SILENT = Reply(status=200, text='{"message": "ok"}')
SHOWN = Reply(
    status=200, text='{"id": 7, "current_build": {"id": 5}, "builds": [{"id": 5, "name": "app.apk abababab t"}]}'
)
SET = Request(method="PUT", path="/apps/7/builds/5/set-current")


def test_no_test_runs_before_an_answer_says_that_its_build_is_current() -> None:
    look = More(request=Request(method="GET", path="/apps/7"), best_effort=True)
    pin = More(request=SET, best_effort=True)
    named = Reply(status=201, text='{"build": {"id": 5}}')
    assert making(SILENT) == look, "the build is looked for by its name"
    assert making(SILENT, SHOWN) == pin
    assert making(named) == pin, "a build that is named needs no search"
    for answers in ([SILENT, SHOWN], [named]):
        assert making(*answers, SILENT) == look
        assert isinstance(making(*answers, SILENT, SHOWN), Prepared)
        assert isinstance(making(*answers, CURRENT), Prepared)
        for invalid in (SILENT, LOST, Reply(status=500, text="")):
            refusal = making(*answers, SILENT, invalid)
            assert isinstance(refusal, Refusal)
            assert refusal.cause is Cause.UNCERTAIN
    named_by_hand = making(SILENT, name="nightly")
    assert isinstance(named_by_hand, Refusal)
    assert "without saying that it is current" in named_by_hand.message


def test_a_pin_is_asked_again_until_the_app_says_so() -> None:
    pinned = Resource(id="r", vendor="docketqa", kind=ResourceKind.BUILD, data={"app_id": 7, "build_id": "5"})
    assert VENDOR.prepare(pinned, "t", [SILENT]) == Request(method="GET", path="/apps/7")
    assert VENDOR.prepare(pinned, "t", [SILENT, SHOWN]) == Prepared(values={"build": "5"})
    with pytest.raises(UnexpectedData, match="does not say that build 5 is the current one"):
        VENDOR.prepare(pinned, "t", [SILENT, SILENT])
    other = VENDOR.prepare(pinned, "t", [SILENT, Reply(status=200, text='{"id": 7, "current_build": {"id": 4}}')])
    assert isinstance(other, Refusal)


def test_ids_that_are_none_are_no_proof() -> None:
    invalid = {"id": {"x": 1}}
    created = Reply(status=201, text=json.dumps({"build": invalid, "app": {"id": 7, "current_build": invalid}}))
    assert making(created) == More(request=Request(method="GET", path="/apps/7"), best_effort=True)


def test_an_answer_that_was_there_is_not_called_missing() -> None:
    refusal = making(Reply(status=409, text='{"message": "the name is taken"}'), LOST)
    assert isinstance(refusal, Refusal)
    assert "failed (HTTP 409: the name is taken)" in refusal.message


def test_a_refused_build_is_told_with_its_status() -> None:
    step = making(Reply(status=400, text='{"message": "only 32-bit code"}'))
    assert isinstance(step, Refusal)
    assert step.message == "HTTP 400: only 32-bit code"
