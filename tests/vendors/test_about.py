"""An answer has to be about the run that was asked about, says each thing once, and holds nothing against a pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qarunner.decode import JsonReader, UnexpectedData
from qarunner.diagnostics import Place
from qarunner.entry import Entry, Policy, Selection, SelectionKind
from qarunner.vendors import registry
from qarunner.vendors.api import Call, Cause, Finished, RemoteRun, Reply, Verdict
from qarunner.vendors.replies import check_about, path_id

ID = "aaaaaaaa-0000-4000-8000-00000000000b"
OTHER = "aaaaaaaa-0000-4000-8000-00000000000c"


def test_an_id_that_is_told_is_the_one_that_was_asked_about() -> None:
    for right in (None, ID, ID.upper()):
        check_about(JsonReader(right), ID)
    check_about(JsonReader(17), "17")
    wrong: list[object] = ["ffffffff-0000-4000-8000-00000000000b", "", 17, {}, [], True]
    for told in wrong:
        with pytest.raises(UnexpectedData):
            check_about(JsonReader(told), ID)


def test_only_a_uuid_has_no_case() -> None:
    with pytest.raises(UnexpectedData):
        check_about(JsonReader("k3N2"), "k3n2")


@pytest.mark.parametrize(
    "text",
    ['{"status": "failed", "status": "passed"}', '{"a": [{"x": 1, "y": 2, "x": 1}]}', '{"a": 1, "\\u0061": 1}'],
)
def test_an_object_that_says_two_things_under_one_key_is_unreadable(text: str) -> None:
    with pytest.raises(UnexpectedData, match="stands twice"):
        Reply(status=200, text=text).json()


@pytest.mark.parametrize("result", [".", "..", "../r1", "a/../b", "a\\..\\b", "r1/."])
def test_an_id_that_leads_to_another_resource_is_none(result: str) -> None:
    """A create that is answered so is in doubt: its run could never be asked for."""
    with pytest.raises(UnexpectedData):
        path_id(JsonReader(result, "reply $.run_id"))
    assert path_id(JsonReader("a/..b", "reply $.run_id")) == "a/..b"


SELECTION = Selection(kind=SelectionKind.TEST_IDS, ids=(ID,))
ORIGIN, POLICY = Place(file="qa-matrix.yml", line=1, column=1), Policy(timeout_s=60)


def read(vendor: str, run: RemoteRun, body: object) -> Verdict:
    """What an answer to the newest poll comes to, where no optional details can be read."""
    call = Call(entries=(Entry(id="e", vendor=vendor, policy=POLICY, origin=ORIGIN, selection=SELECTION),))
    status = registry.get(vendor).read(call, run, [Reply(status=200, text=json.dumps(body))], polls=9)
    assert isinstance(status, Finished)
    return status.outcomes["e"].verdict


def passing(vendor: str) -> tuple[RemoteRun, dict[str, Any]]:
    """A run whose answer is a pass, and that answer, by each vendor's page."""
    match vendor:
        case "certyn":
            return RemoteRun(id="1"), {"runId": "1", "state": "completed", "total": 1, "failed": 0, "blocked": 0}
        case "docketqa":
            test_run = {"id": 1, "status": "passed", "results": [{"task": "Pay", "is_successful": True}]}
            return RemoteRun(id="1"), {"test_run": test_run}
        case "doksi":
            results = [{"result_id": 5, "test_id": ID, "status": "passed"}]
            memo = {"results": {"5": {"test_id": ID}}}
            return RemoteRun(id="1", memo=memo), {"run_id": "1", "status": "passed", "results": results}
        case _:
            output = {"result": "PASS", "issues": [], "steps": [{"title": "Pay", "status": "passed"}]}
            return RemoteRun(id="1"), {"id": "1", "status": "completed", "output": output}


VENDORS = ["certyn", "docketqa", "doksi", "testerarmy"]


@pytest.mark.parametrize("vendor", VENDORS)
def test_an_answer_that_says_all_that_a_page_promises_passes(vendor: str) -> None:
    assert read(vendor, *passing(vendor)) is Verdict.PASSED


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("error", ["the browser crashed", {"code": "E1"}, ["no session"], 7])
def test_an_error_beside_a_pass_is_none_in_whatever_form_it_comes(vendor: str, error: object) -> None:
    run, body = passing(vendor)
    body.get("test_run", body)["error"] = error
    assert read(vendor, run, body) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("vendor", "where"),
    [
        ("docketqa", ("test_run", "results")),
        ("docketqa", ("test_run", "additional_attempts")),
        ("testerarmy", ("output", "issues")),
        ("testerarmy", ("output", "steps")),
        ("testerarmy", ("stepResults",)),
    ],
)
@pytest.mark.parametrize("invalid", [{"0": {"status": "failed"}}, "login broken", 3])
def test_what_is_no_list_may_hold_a_failure(vendor: str, where: tuple[str, ...], invalid: object) -> None:
    run, body = passing(vendor)
    part = body
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = invalid
    assert read(vendor, run, body) is Verdict.UNKNOWN


def test_each_of_testerarmys_steps_has_a_word() -> None:
    run, body = passing("testerarmy")
    body["output"]["steps"].append({"title": "Log out", "status": None})
    assert read("testerarmy", run, body) is Verdict.UNKNOWN


@pytest.mark.parametrize("vendor", ["docketqa", "testerarmy"])
def test_a_pass_without_the_id_that_the_page_promises_may_be_another_runs(vendor: str) -> None:
    run, body = passing(vendor)
    del body.get("test_run", body)["id"]
    assert read(vendor, run, body) is Verdict.UNKNOWN


def test_a_result_that_doksis_create_named_says_which_run_it_is() -> None:
    run, body = passing("doksi")
    del body["run_id"]
    assert read("doksi", run, body) is Verdict.PASSED
    assert read("doksi", RemoteRun(id="1"), body) is Verdict.UNKNOWN
    status = registry.get("doksi").accepted(Call(entries=()), Reply(status=200, text=json.dumps({"run_id": 1, **body})))
    assert isinstance(status, tuple)
    assert status[0].memo["results"] == {"5": {"test_id": ID, "url": None}}


def test_a_number_of_tests_that_a_create_tells_as_a_text_is_one() -> None:
    body = {"runId": "1", "testCaseCount": "6"}
    certyn = registry.get("certyn").accepted(Call(entries=()), Reply(status=201, text=json.dumps(body)))
    assert isinstance(certyn, tuple)
    assert certyn[0].memo == {"tests": 6}
    assert read("certyn", certyn[0], passing("certyn")[1]) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("conclusion", "passes"),
    [
        ("succeeded", True),
        ({"word": "success"}, True),
        ("unsuccessful", False),
        (["failed"], False),
        ("timeout", False),
    ],
)
def test_certyns_conclusion_contradicts_in_whatever_form_it_comes(conclusion: object, *, passes: bool) -> None:
    run, body = passing("certyn")
    assert (read("certyn", run, {**body, "conclusion": conclusion}) is Verdict.PASSED) is passes


def test_a_run_that_testerarmy_names_in_two_spellings_is_one() -> None:
    body = {"runIds": [ID.upper(), OTHER], "queuedRunIds": [ID], "cancelledRunIds": [ID]}
    call = Call(entries=(Entry(id="e", vendor="testerarmy", policy=POLICY, origin=ORIGIN, selection=SELECTION),))
    runs = registry.get("testerarmy").accepted(call, Reply(status=202, text=json.dumps(body)))
    assert isinstance(runs, tuple)
    assert [(run.id, run.memo.get("cancelled")) for run in runs] == [(ID.upper(), True), (OTHER, None)]


def test_doksis_allowance_may_be_told_in_texts() -> None:
    reply = Reply(status=402, text='{"error": "no", "requested": "3", "remaining": "1"}')
    assert registry.get("doksi").refused(reply).cause is Cause.ALLOWANCE
