"""What a vendor tells besides verdicts reaches the reports, and what a plan leaves at a vendor is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from qarunner.app.planning import base_url_of
from qarunner.decode import UnexpectedData
from qarunner.diagnostics import Place
from qarunner.entry import Entry, Platform, Policy, Selection, SelectionKind, Target, TargetKind
from qarunner.vendors import registry
from qarunner.vendors.api import (
    Build,
    Call,
    Cause,
    Finished,
    Metadata,
    Prepared,
    Refusal,
    RemoteRun,
    Reply,
    Resource,
    ResourceKind,
    Running,
    Verdict,
)
from qarunner.vendors.certyn.info import INFO as CERTYN

if TYPE_CHECKING:
    from qarunner.decode import Json

UUID = "22222222-2222-4222-8222-222222222222"


def call(vendor: str, kind: SelectionKind, *ids: str, binary: str | None = None, **options: object) -> Call:
    entry = Entry(
        id="e",
        vendor=vendor,
        policy=Policy(timeout_s=60),
        origin=Place(file="qa-matrix.yml", line=1, column=1),
        platform=Platform.ANDROID if binary else None,
        target=Target(kind=TargetKind.BINARY, value=binary) if binary else None,
        selection=Selection(kind=kind, ids=ids),
        options=options,  # type: ignore[arg-type]
    )
    metadata = Metadata(ref="refs/heads/main", ref_name="main", branch="main", pr_number=7, host="github")
    return Call(entries=(entry,), settings={"project": UUID, "details": True}, metadata=metadata)


def finished(vendor: str, asked: Call, run: RemoteRun, *bodies: object) -> Finished:
    replies = [Reply(status=200, text=json.dumps(body)) for body in bodies]
    status = registry.get(vendor).read(asked, run, replies, polls=0)
    assert isinstance(status, Finished)
    return status


@pytest.mark.parametrize("ending", ["", "/", "/api", "/api/"])
def test_certyns_own_variable_takes_both_forms_of_its_tools(ending: str) -> None:
    url, source = base_url_of(CERTYN, {"CERTYN_API_URL": f"https://certyn.example{ending}"})
    assert (url.rstrip("/"), source) == ("https://certyn.example", "CERTYN_API_URL")


@pytest.mark.parametrize(
    ("vendor", "kind", "ids", "options", "words"),
    [
        ("testerarmy", SelectionKind.CATEGORY_IDS, UUID, {}, "removes it 24h"),
        ("testerarmy", SelectionKind.CATEGORY_IDS, UUID, {"remove_after": 3600}, "removes it 1h"),
        ("doksi", SelectionKind.TEST_IDS, "t", {}, "documents no way to remove it"),
        ("docketqa", SelectionKind.TEST_IDS, "7", {"app_id": 3, "set_current": True}, "stays so"),
    ],
)
def test_a_plan_says_how_long_an_upload_stays(
    vendor: str, kind: SelectionKind, ids: str, options: dict[str, object], words: str
) -> None:
    (notice,) = registry.get(vendor).notices(call(vendor, kind, ids, binary="b/app.apk", **options))
    assert "b/app.apk" in notice
    assert words in notice


def test_docketqa_tells_a_video_and_what_steps_did() -> None:
    step = {"step_number": 1, "task": "Pay", "is_successful": True, "result": "ok", "duration": 4}
    actions = [{"description": "", "type": "click_element", "screenshot_url": "https://s.example/1"}]
    told = {
        "id": 1,
        "status": "passed",
        "results": [{**step, "actions": actions}],
        "test_video_url": "https://v.example",
    }
    outcome = finished(
        "docketqa", call("docketqa", SelectionKind.TEST_IDS, "7"), RemoteRun(id="1"), {"test_run": told}
    ).outcomes["e"]
    (case,) = outcome.cases
    assert (case.verdict, case.video_url) == (Verdict.PASSED, "https://v.example")
    assert [(item.kind, item.duration_s) for item in case.steps] == [("click_element", 4)]


def test_testerarmy_tells_the_time_of_steps_and_why_a_pull_request_has_no_comment() -> None:
    asked = call("testerarmy", SelectionKind.CATEGORY_IDS, UUID)
    created = {
        "status": "queued",
        "groupId": UUID,
        "batchId": "b",
        "runIds": ["r"],
        "count": 1,
        "metadata": {"github": {"configured": True, "status": "pr_not_found"}},
    }
    runs = registry.get("testerarmy").accepted(asked, Reply(status=202, text=json.dumps(created)))
    assert isinstance(runs, tuple)
    step = {"title": "Pay", "status": "passed", "type": "act", "startedAtMs": 500, "completedAtMs": 2500}
    output = {"result": "pass", "issues": [], "steps": [step]}
    (case,) = (
        finished("testerarmy", asked, runs[0], {"id": "r", "status": "Completed", "output": output}).outcomes["e"].cases
    )
    assert case.verdict is Verdict.PASSED
    assert case.message == ("no comment on the pull request: TesterArmy did not find the pull request (pr_not_found)")
    assert [(item.kind, item.duration_s) for item in case.steps] == [("act", 2.0)]


def test_certyn_tells_the_execution_of_a_test() -> None:
    counters = {"runId": "r", "state": "Completed", "total": 1, "passed": 1, "failed": 0, "blocked": 0}
    overview = {"projects": [{"id": "p1", "slug": UUID, "name": "Shop"}]}
    item = {"id": "i", "testCaseId": "t", "testOutcome": "passed", "executionId": "x7"}
    asked = call("certyn", SelectionKind.TAGS, "Smoke", "smoke", "Pay")
    outcome = finished("certyn", asked, RemoteRun(id="r"), counters, overview, {"id": "r", "items": [item]}).outcomes[
        "e"
    ]
    assert [dict(case.ids) for case in outcome.cases] == [{"execution": "x7"}]
    body = registry.get("certyn").submit(asked).body
    assert isinstance(body, dict)
    assert body["tags"] == ["smoke", "pay"]


def test_docketqa_gets_the_full_name_of_a_branch() -> None:
    asked = call("docketqa", SelectionKind.CATEGORY_IDS, "7", test_urls={"12": "https://a.example"})
    body = registry.get("docketqa").submit(asked).body
    assert isinstance(body, dict)
    assert body["github_context"] == {"ref": "refs/heads/main"}


def test_docketqas_error_beside_a_flaky_pass_is_no_pass() -> None:
    told = {"id": 1, "status": "passed", "results": [], "error_message": "lost", "additional_attempts": [{}]}
    asked = call("docketqa", SelectionKind.TEST_IDS, "7")
    (case,) = finished("docketqa", asked, RemoteRun(id="1"), {"test_run": told}).outcomes["e"].cases
    assert case.verdict is Verdict.UNKNOWN


TA_PASS = {"id": "r", "status": "completed"}
STEP = {"title": "Pay", "status": "passed"}


@pytest.mark.parametrize(
    "parts",
    [
        {"output": {"result": "PASS", "steps": [{**STEP, "error": "exploded"}]}},
        {"output": {"result": "PASS", "steps": [{**STEP, "errorCode": "STEP_NO_CONCLUSION"}]}},
        {"output": {"result": "PASS", "steps": [{**STEP, "status": "skipped"}]}},
        {"output": {"result": "PASS", "steps": [STEP]}, "stepResults": [{"title": "Log in", "status": "failed"}]},
        {"output": {"result": "PASS"}, "stepResults": [{"title": "free"}, {"title": "Log in", "status": "failed"}]},
        {"output": {"result": "PASS"}, "stepResults": [{"title": "free", "error": "exploded"}]},
        {"output": {"result": "PASS"}, "stepResults": [{"title": "free", "result": "FAILED"}]},
        {"output": {"result": "PASS"}, "stepResults": [{"title": "free", "passed": False}]},
        {"output": {"result": "PASS"}, "stepResults": [{"title": "free", "outcome": ["passed"]}]},
        {"output": {"result": "PASS"}, "stepResults": [{"title": "free", "errorCode": "STEP_NO_CONCLUSION"}]},
    ],
)
def test_a_testerarmy_pass_beside_a_step_that_did_not_pass_is_none(parts: dict[str, object]) -> None:
    asked = call("testerarmy", SelectionKind.CATEGORY_IDS, UUID)
    (case,) = finished("testerarmy", asked, RemoteRun(id="r"), {**TA_PASS, **parts}).outcomes["e"].cases
    assert case.verdict is Verdict.UNKNOWN
    assert "a step failed" in (case.message or "")


def test_a_testerarmy_pass_beside_steps_without_a_word_of_theirs_is_one() -> None:
    body = {**TA_PASS, "output": {"result": "PASS", "steps": [STEP]}, "stepResults": [{"title": "free"}]}
    asked = call("testerarmy", SelectionKind.TEST_IDS, UUID)
    assert finished("testerarmy", asked, RemoteRun(id="r"), body).outcomes["e"].verdict is Verdict.PASSED


def test_testerarmys_words_of_steps_and_issues_are_read_in_any_case() -> None:
    output = {
        "result": "PASS",
        "issues": [{"type": "Warning", "name": "Slow"}],
        "steps": [{**STEP, "status": "PASSED"}],
    }
    asked = call("testerarmy", SelectionKind.CATEGORY_IDS, UUID)
    (case,) = finished("testerarmy", asked, RemoteRun(id="r"), {**TA_PASS, "output": output}).outcomes["e"].cases
    assert [case.verdict, *(step.verdict for step in case.steps)] == [Verdict.PASSED] * 3


@pytest.mark.parametrize(("number", "failed"), [("2", "1"), (2.0, 1.0)])
def test_a_number_of_tests_is_read_as_a_text_and_with_a_fraction_of_zero(number: object, failed: object) -> None:
    certyn = {"runId": "r", "state": "completed", "total": number, "passed": 1, "failed": failed, "blocked": 0}
    asked = call("certyn", SelectionKind.TAGS, "smoke")
    overview: dict[str, object] = {"projects": []}
    assert finished("certyn", asked, RemoteRun(id="r"), certyn, overview).outcomes["e"].verdict is Verdict.FAILED
    result = {"result_id": "a", "test_id": UUID, "status": "failed"}
    doksi = {"run_id": "r", "status": "failed", "tests_total": number, "tests_failed": failed, "results": [result]}
    asked = call("doksi", SelectionKind.TEST_IDS, UUID)
    assert finished("doksi", asked, RemoteRun(id="r"), doksi).outcomes["e"].verdict is Verdict.FAILED


FAILURES = [
    ("doksi", {"run_id": "1", "status": "Failed", "results": [{"result_id": "a", "test_id": "7", "status": "FAILED"}]}),
    ("docketqa", {"test_run": {"id": 1, "status": "Failed", "results": []}}),
    ("testerarmy", {"id": "1", "status": "Completed", "output": {"result": "Failed"}}),
    ("certyn", {"runId": "1", "state": "Completed", "total": 1, "failed": 1, "blocked": 0}),
]


@pytest.mark.parametrize(("vendor", "body"), FAILURES)
def test_a_failure_in_capitals_is_one(vendor: str, body: dict[str, Any]) -> None:
    asked, run = call(vendor, SelectionKind.TEST_IDS, "7"), RemoteRun(id="1")
    assert finished(vendor, asked, run, body, {}).outcomes["e"].verdict is Verdict.FAILED
    passed = json.loads(json.dumps(body).replace("FAILED", "PASSED").replace("Failed", "Passed"))
    if vendor in {"doksi", "docketqa"}:  # a good word counts only as the page writes it
        assert finished(vendor, asked, run, passed).outcomes["e"].verdict is Verdict.UNKNOWN


def test_one_result_in_two_spellings_is_one_and_a_failed_run_is_not_believed_to_have_passed() -> None:
    told = [{"result_id": "a", "test_id": "7", "status": word} for word in ("Passed", "passed")]
    asked, run = call("doksi", SelectionKind.TEST_IDS, "7"), RemoteRun(id="1")
    body = {"run_id": "1", "status": "PASSED", "results": told}
    assert finished("doksi", asked, run, body).outcomes["e"].verdict is Verdict.UNKNOWN
    whole = {**body, "results": told[1:]}
    assert finished("doksi", asked, run, whole).outcomes["e"].verdict is Verdict.PASSED
    assert finished("doksi", asked, run, {**whole, "status": "Failed"}).outcomes["e"].verdict is Verdict.FAILED


def test_docketqas_answer_about_another_group_run_is_not_this_ones() -> None:
    body = {"id": 1, "test_group_run_id": 8, "status": "passed", "results": []}
    run = RemoteRun(id="1", memo={"group": "9"})
    with pytest.raises(UnexpectedData, match="test_group_run_id"):
        finished("docketqa", call("docketqa", SelectionKind.TEST_IDS, "7"), run, {"test_run": body})


def test_certyns_failures_before_the_end_have_words() -> None:
    body = {"runId": "r", "state": "in_progress", "total": 3, "passed": 1, "failed": 1, "pending": 1}
    asked = call("certyn", SelectionKind.TAGS, "smoke")
    status = registry.get("certyn").read(asked, RemoteRun(id="r"), [Reply(status=200, text=json.dumps(body))], polls=1)
    assert isinstance(status, Running)
    assert status.so_far["e"].message == "1 test failed"
    assert status.so_far["e"].counts == {Verdict.PASSED: 1, Verdict.FAILED: 1, Verdict.UNKNOWN: 1}


def test_certyn_passes_nothing_before_the_end_that_no_counter_tells_of() -> None:
    body = {"runId": "r", "state": "in_progress", "total": 3, "failed": 1, "blocked": 0}
    asked = call("certyn", SelectionKind.TAGS, "smoke")
    status = registry.get("certyn").read(asked, RemoteRun(id="r"), [Reply(status=200, text=json.dumps(body))], polls=1)
    assert isinstance(status, Running)
    assert status.so_far["e"].counts == {Verdict.FAILED: 1, Verdict.UNKNOWN: 2}


@pytest.mark.parametrize(
    ("vendor", "status", "body", "message", "cause"),
    [
        (
            "testerarmy",
            403,
            {"error": "Forbidden", "message": "plan", "currentCount": 3, "limit": 3},
            "Forbidden: plan",
            Cause.ALLOWANCE,
        ),
        ("testerarmy", 403, {"error": "Forbidden", "message": "no"}, "Forbidden: no", Cause.CREDENTIAL),
        (
            "certyn",
            400,
            {"error": "Bad", "details": {"projectSlug": ["unknown project"]}},
            "Bad: projectSlug: unknown project",
            Cause.REFUSED,
        ),
        ("certyn", 400, {"message": "tags must not be empty"}, "tags must not be empty", Cause.REFUSED),
        (
            "docketqa",
            422,
            {"detail": [{"loc": ["body", "ids"], "msg": "not a list"}]},
            "body.ids: not a list",
            Cause.REFUSED,
        ),
        ("doksi", 400, {"error": {"code": "X1", "message": "hidden test"}}, "hidden test", Cause.REFUSED),
    ],
)
def test_refusals_are_told_in_the_vendors_words(
    vendor: str, status: int, body: dict[str, object], message: str, cause: Cause
) -> None:
    refusal = registry.get(vendor).refused(Reply(status=status, text=json.dumps(body)))
    assert (refusal.message, refusal.cause) == (message, cause)


KEPT = {"expiresAt": None, "removeAfter": None}


@pytest.mark.parametrize(("times", "stays"), [({}, False), (KEPT, True), ({**KEPT, "removeAfter": 60}, False)])
def test_an_app_that_testerarmy_will_not_remove_is_named(times: dict[str, object], *, stays: bool) -> None:
    build = Build(path="a.apk", filename="a.apk", size=3, sha256="ab" * 32)
    resource = Resource(id="r", vendor="testerarmy", kind=ResourceKind.BUILD, build=build, data={"project": UUID})
    replies = [Reply(status=200, text=json.dumps(body)) for body in ({}, {}, {"app": {"id": UUID, **times}})]
    prepared = registry.get("testerarmy").prepare(resource, "t", replies)
    assert isinstance(prepared, Prepared)
    assert (registry.get("testerarmy").kept(resource, prepared) is not None) == stays


@pytest.mark.parametrize(
    ("file", "asked", "confirmed", "taken"),
    [
        ("a.apk", None, "android", True),
        ("a.apk", None, "Android", True),
        ("a.apk", None, None, True),
        ("a.apk", None, "ios", False),
        ("a.app.zip", None, "android", True),
        ("a.zip", None, "ios", True),
        ("a.zip", "android", "ios", False),
        ("a.zip", "ios", "ios", True),
    ],
)
def test_an_app_that_testerarmy_takes_for_another_platform_is_not_tested(
    file: str, asked: str | None, confirmed: str | None, *, taken: bool
) -> None:
    build = Build(path=file, filename=file, size=3, sha256="ab" * 32)
    data: dict[str, Json] = {"project": UUID, **({"platform": asked} if asked else {})}
    resource = Resource(id="r", vendor="testerarmy", kind=ResourceKind.BUILD, build=build, data=data)
    app = {"app": {"id": UUID, **({"platform": confirmed} if confirmed else {})}}
    replies = [Reply(status=200, text=json.dumps(body)) for body in ({}, {}, app)]
    step = registry.get("testerarmy").prepare(resource, "t", replies)
    assert isinstance(step, Prepared if taken else Refusal)
    assert not isinstance(step, Refusal) or f"TesterArmy takes {file} for {confirmed}, not for" in step.message


@pytest.mark.parametrize(("file", "data"), [("a.zip", {"platform": "android"}), ("a.apk", {})])
def test_the_platform_of_an_archive_is_that_of_its_entry(file: str, data: dict[str, str]) -> None:
    asked = call("testerarmy", SelectionKind.TEST_IDS, UUID, binary=file)
    (need,) = registry.get("testerarmy").resources(asked)
    assert need.data == {"project": UUID, "remove_after": 86400, **data}


DOKSI_FAILED = {"result_id": "a", "test_id": "7", "status": "failed"}
HIDDEN = [
    ("doksi", {"run_id": "1", "status": "failed", "tests_total": "one", "results": [DOKSI_FAILED]}),
    ("doksi", {"run_id": "1", "status": "failed", "results": [DOKSI_FAILED, {"result_id": {}, "test_id": []}, 7]}),
    ("certyn", {"runId": "1", "state": "completed", "total": 2, "passed": 1, "failed": 1, "blocked": "x"}),
    ("certyn", {"runId": "1", "state": "completed", "total": "many", "passed": 1, "failed": 1}),
    ("certyn", {"runId": "1", "state": "completed", "total": 2, "passed": -1, "failed": "1", "skipped": [1]}),
]


@pytest.mark.parametrize(("vendor", "body"), HIDDEN)
def test_a_failure_is_not_lost_over_something_else_that_is_odd(vendor: str, body: dict[str, Any]) -> None:
    asked, run = call(vendor, SelectionKind.TEST_IDS, "7"), RemoteRun(id="1")
    assert finished(vendor, asked, run, body, {}).outcomes["e"].verdict is Verdict.FAILED
    going_on = {**body, "status": "running", "state": "in_progress"}
    status = registry.get(vendor).read(asked, run, [Reply(status=200, text=json.dumps(going_on))], polls=1)
    assert isinstance(status, Running)
    known = {**status.so_far, **status.outcomes}["e"]
    assert Verdict.FAILED in {*known.counts, *(case.verdict for case in known.cases)}
    results = [{**DOKSI_FAILED, "status": "passed"}, *body.get("results", ())[1:]]
    passing = {**body, "status": "passed", "failed": 0, "results": results}
    with pytest.raises(UnexpectedData):  # without a failure, it is read again
        registry.get(vendor).read(asked, run, [Reply(status=200, text=json.dumps(passing))], polls=1)


@pytest.mark.parametrize(
    ("number", "verdict"), [("1", Verdict.FAILED), (1.0, Verdict.FAILED), ("some", Verdict.PASSED)]
)
def test_certyns_details_count_failures_as_texts(number: object, verdict: Verdict) -> None:
    counted = {"runId": "1", "state": "completed", "total": 2, "passed": 2, "failed": 0, "blocked": 0, "pending": 0}
    overview = {"projects": [{"id": "p", "slug": UUID}]}
    asked = call("certyn", SelectionKind.TAGS, "smoke")
    details = {"id": "1", "failedItems": number, "items": []}
    assert finished("certyn", asked, RemoteRun(id="1"), counted, overview, details).outcomes["e"].verdict is verdict


PASSES: dict[str, tuple[SelectionKind, str, str, dict[str, Any]]] = {
    "doksi": (
        SelectionKind.TEST_IDS,
        "t",
        "results",
        {"run_id": "1", "status": "passed", "results": [{"result_id": "r", "test_id": "t", "status": "passed"}]},
    ),
    "docketqa": (
        SelectionKind.TEST_IDS,
        "7",
        "test_run",
        {"test_run": {"id": 1, "status": "passed", "results": [{"task": "Pay", "is_successful": True}]}},
    ),
    "testerarmy": (
        SelectionKind.TEST_IDS,
        UUID,
        "output",
        {"id": "1", "status": "completed", "output": {"result": "PASS", "steps": [STEP]}},
    ),
}


def with_error(data: Any, key: str, error: object) -> Any:  # noqa: ANN401  plain data
    """The same with an error in its innermost object."""
    if isinstance(data, list):
        return [with_error(data[0], key, error)]
    inner = next((name for name in ("test_run", "output", "results", "steps") if name in data), None)
    return {**data, inner: with_error(data[inner], key, error)} if inner else {**data, key: error}


@pytest.mark.parametrize("vendor", PASSES)
@pytest.mark.parametrize(
    ("key", "error"), [("error", "boom"), ("error", {"code": 1}), ("errors", ["boom"]), ("error_message", "boom")]
)
def test_an_error_beside_a_part_that_passed_takes_the_pass_away(vendor: str, key: str, error: object) -> None:
    kind, test, where, body = PASSES[vendor]
    asked, run = call(vendor, kind, test), RemoteRun(id="1", memo={})
    assert finished(vendor, asked, run, body).outcomes["e"].verdict is Verdict.PASSED
    for wrong in (with_error(body, key, error), {**body, where: with_error(body[where], key, error)}):
        assert finished(vendor, asked, run, wrong).outcomes["e"].verdict is Verdict.UNKNOWN
    silent = with_error(body, key, None)
    assert finished(vendor, asked, run, silent).outcomes["e"].verdict is Verdict.PASSED


def test_an_error_beside_one_of_certyns_tests_takes_the_pass_away() -> None:
    counters = {"runId": "1", "state": "completed", "total": 1, "passed": 1, "failed": 0, "blocked": 0}
    item = {"id": "i", "testCaseId": "t", "testOutcome": "passed", "errors": ["boom"]}
    projects = {"projects": [{"id": "p", "slug": UUID}]}
    asked = call("certyn", SelectionKind.CATEGORY_IDS, "smoke")
    outcomes = finished("certyn", asked, RemoteRun(id="1"), counters, projects, {"id": "1", "items": [item]}).outcomes
    assert outcomes["e"].verdict is Verdict.UNKNOWN
