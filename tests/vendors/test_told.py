"""What a vendor tells besides verdicts reaches the reports, and what a plan leaves at a vendor is named."""

from __future__ import annotations

import json

import pytest

from qarunner.app.session import base_url_of
from qarunner.entry import Entry, Origin, Platform, Policy, Selection, SelectionKind, Target, TargetKind
from qarunner.vendors import registry
from qarunner.vendors.api import Call, Finished, Metadata, RemoteRun, Reply, Verdict
from qarunner.vendors.certyn.info import INFO as CERTYN

UUID = "22222222-2222-4222-8222-222222222222"


def call(vendor: str, kind: SelectionKind, *ids: str, binary: str | None = None, **options: object) -> Call:
    entry = Entry(
        id="e",
        vendor=vendor,
        policy=Policy(timeout_s=60),
        origin=Origin(file="qa-matrix.yml", line=1, column=1),
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
    assert [(each.kind, each.duration_s) for each in case.steps] == [("click_element", 4)]


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
    assert [(each.kind, each.duration_s) for each in case.steps] == [("act", 2.0)]


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
