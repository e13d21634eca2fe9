from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.decode import UnexpectedData
from qarunner.diagnostics import Place
from qarunner.engine.decide.outcomes import merge
from qarunner.entry import Entry, Policy, Selection, SelectionKind
from qarunner.vendors.api import (
    GOOD,
    Build,
    Call,
    Finished,
    Prepared,
    RemoteRun,
    Reply,
    Request,
    Resource,
    ResourceKind,
    Running,
    Upload,
    Verdict,
)
from qarunner.vendors.testerarmy.adapter import VENDOR

if TYPE_CHECKING:
    from qarunner.vendors.api import Outcome

TEST = "11111111-1111-4111-8111-111111111111"
OTHER = "99999999-9999-4999-8999-999999999999"
GROUP = "22222222-2222-4222-8222-222222222222"
PROJECT = "33333333-3333-4333-8333-333333333333"


def call(kind: SelectionKind = SelectionKind.CATEGORY_IDS, item: str = GROUP) -> Call:
    entry = Entry(
        id="smoke",
        vendor="testerarmy",
        policy=Policy(timeout_s=60),
        origin=Place(file="qa-matrix.yml", line=1, column=1),
        selection=Selection(kind=kind, ids=(item,)),
    )
    return Call(entries=(entry,))


def reply(body: object, status: int = 200) -> Reply:
    return Reply(status=status, text=json.dumps(body))


def read(run: RemoteRun, body: dict[str, Any]) -> Outcome:
    status = VENDOR.read(call(), run, [reply({"id": run.id, **body})], polls=1)
    assert isinstance(status, Finished)
    return status.outcomes["smoke"]


PASS: dict[str, Any] = {"status": "completed", "output": {"result": "PASS"}}


# --- one run ----------------------------------------------------------------------------------------------------------

words = st.sampled_from(["PASS", "FAILED", "pass", "PASSED", "SUCCESS", "", None, True, 1])
bodies = st.fixed_dictionaries(
    {"status": st.sampled_from(["completed", "failed", "cancelled"])},
    optional={
        "output": st.none()
        | st.fixed_dictionaries(
            {}, optional={"result": words, "kind": st.sampled_from(["planner_skipped", "other", None])}
        ),
        "error": st.sampled_from([None, "", "boom", {}, {"code": None, "message": None}, {"code": "X"}]),
        "testId": st.sampled_from([None, TEST, TEST.upper(), OTHER]),
    },
)
memos = st.fixed_dictionaries(
    {}, optional={"cancelled": st.sampled_from([True]), "doubt": st.just("why"), "test": st.just(TEST)}
)


@given(bodies, memos)
def test_a_pass_is_completed_with_pass_and_nothing_against_it(body: dict[str, Any], memo: dict[str, Any]) -> None:
    outcome = read(RemoteRun(id="run-1", memo=memo), body)
    output = body.get("output") or {}
    may_pass = (
        body["status"] == "completed"
        and output.get("result") == "PASS"
        and output.get("kind") != "planner_skipped"
        and not memo.keys() & {"cancelled", "doubt"}
        and body.get("error") not in ("boom", {"code": "X"})
        and not ("test" in memo and body.get("testId") == OTHER)
    )
    assert (outcome.verdict in GOOD) is may_pass
    if body["status"] == "completed" and output.get("result") == "FAILED":
        assert outcome.verdict is Verdict.FAILED
    assert outcome.verdict is Verdict.PASSED or outcome.message or output.get("result") == "FAILED"
    assert outcome.raw_status
    assert outcome.raw_status.startswith(body["status"])


@pytest.mark.parametrize(
    ("step", "passes"),
    [
        *(({name: word}, True) for name in ("status", "result", "outcome", "verdict") for word in ("passed", "Pass")),
        *(({name: "odd"}, False) for name in ("status", "result", "outcome", "verdict")),
        *(({name: flag}, flag) for name in ("success", "passed", "ok") for flag in (True, False)),
        *(({name: "No"}, False) for name in ("error", "errorCode")),
        ({"title": "Pay"}, True),
    ],
)
def test_a_free_step_takes_a_pass_away_if_it_says_that_it_did_not_pass(
    step: dict[str, object],
    passes: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    outcome = read(RemoteRun(id="run-1"), {**PASS, "stepResults": [step]})
    assert (outcome.verdict is Verdict.PASSED) is passes


def said(**body: object) -> str | None:
    """What the report says of a run, without its links."""
    return read(RemoteRun(id="run-1"), body).message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"status": "cancelled"}, "the run was cancelled at TesterArmy"),
        (
            {"status": "cancelled", "output": {"reason": "by a person"}},
            "the run was cancelled at TesterArmy: by a person",
        ),
        ({"status": "cancelled", "error": "out of time"}, "the run was cancelled at TesterArmy: out of time"),
        ({"status": "failed"}, "TesterArmy could not run the test"),
        ({"status": "failed", "output": {"description": "No VM"}}, "TesterArmy could not run the test: No VM"),
        (
            {"status": "failed", "error": {"code": "E1", "message": "no VM"}},
            "TesterArmy could not run the test: E1: no VM",
        ),
        (
            {"status": "completed", "output": {"kind": "planner_skipped"}},
            "TesterArmy's planner skipped the run: no reason given",
        ),
        (
            {"status": "completed", "output": {"result": "y" * 70}},
            f"the run is completed, but with the result {'y' * 60!r}",
        ),
        ({"status": "completed", "output": {}}, "the run is completed, but without a result"),
        (
            {"status": "completed", "output": {"result": "PASS", "steps": [{"status": "failed"}]}},
            "the result is PASS, but a step failed: without a title",
        ),
        (
            {"status": "completed", "output": {"result": "PASS", "steps": [{"status": "failed", "error": "No"}]}},
            "the result is PASS, but a step failed: without a title: No",
        ),
        (
            {"status": "z" * 70, "completedAt": "2026-07-01T10:00:00Z"},
            f"the run has ended with the word {'z' * 60!r}, which no page explains",
        ),
    ],
)
def test_the_words_about_a_run_that_is_no_pass(body: dict[str, Any], message: str) -> None:
    assert said(**body) == message


def test_a_pass_that_names_no_run_says_so() -> None:
    body = {"status": "completed", "output": {"result": "PASS"}}
    status = VENDOR.read(call(), RemoteRun(id="run-1"), [reply(body)], polls=1)
    assert isinstance(status, Finished)
    (case,) = status.outcomes["smoke"].cases
    assert (case.verdict, case.message) == (Verdict.UNKNOWN, "the answer does not say which run it is about")


@pytest.mark.parametrize(("ended", "seconds"), [(500, 0.0), (2500, 2.0), (499, None)])
def test_a_step_takes_no_time_or_some_and_never_less(ended: int, seconds: float | None) -> None:
    step = {"status": "passed", "startedAtMs": 500, "completedAtMs": ended}
    (case,) = read(RemoteRun(id="r"), {"status": "completed", "output": {"result": "PASS", "steps": [step]}}).cases
    assert [shown.duration_s for shown in case.steps] == [seconds]


def failed(**output: object) -> str | None:
    return said(status="completed", output={"result": "FAILED", **output})


def test_a_failure_is_explained_by_the_steps_that_did_not_pass_alone() -> None:
    steps = [
        {"status": "passed", "error": "only a note"},
        {"status": "failed", "summary": "No receipt."},
        {"status": "failed", "summary": "Two receipts", "error": "Seen twice;"},
        {"status": "skipped", "summary": "Never done"},
        {"status": "failed", "errorCode": "STEP_NEW"},
    ]
    assert failed(steps=steps) == "No receipt; Seen twice; Never done; STEP_NEW"
    assert failed(description="It ends with X. ") == "It ends with X"
    assert failed() is None


def test_an_issue_is_named_by_what_is_told_of_it() -> None:
    issues = [{"type": "bug", "name": "A", "severity": 2}, {"description": "B"}, {"name": " "}, {"name": "fourth"}]
    assert failed(issues=issues) == "bug (severity 2): A; issue: B; issue: without a name"


@pytest.mark.parametrize(
    ("retries", "message"),
    [
        *((0, None), ("many", None), (1, "after 1 retry of TesterArmy's own")),
        (2, "after 2 retries of TesterArmy's own"),
    ],
)
def test_a_pass_tells_of_the_vendors_own_retries(retries: object, message: str | None) -> None:
    assert said(**PASS, autoRetryCount=retries) == message


def test_steps_without_a_title_are_numbered_and_only_addresses_are_screenshots() -> None:
    shots = ["http://shots.example/1", "ftp://shots.example/2", "HTTP", None, "https://shots.example/3"]
    output = {"result": "PASS", "steps": [{}, {"status": "passed", "title": "Pay"}, {}], "screenshots": shots}
    (case,) = read(RemoteRun(id="run-1"), {"status": "completed", "output": output}).cases
    assert [(step.title, step.verdict, step.screenshot_url) for step in case.steps] == [
        ("Step 1", Verdict.UNKNOWN, None),
        ("Pay", Verdict.PASSED, None),
        ("Step 3", Verdict.UNKNOWN, None),
        ("Screenshot 1", Verdict.PASSED, "http://shots.example/1"),
        ("Screenshot 2", Verdict.PASSED, "https://shots.example/3"),
    ]


@pytest.mark.parametrize("word", ["queued", "running"])
@pytest.mark.parametrize("more", [{}, {"completedAt": "2026-07-01T10:00:00Z"}])
def test_two_words_are_in_progress_whatever_stands_beside_them(word: str, more: dict[str, Any]) -> None:
    status = VENDOR.read(call(), RemoteRun(id="r"), [reply({"status": word, **more})], polls=0)
    assert isinstance(status, Running)
    assert status.note == word


@pytest.mark.parametrize("word", ["passed", "PASS", "complete", "skipped", "done"])
def test_an_unknown_word_goes_on_and_is_never_believed(word: str) -> None:
    body = {**PASS, "status": word}
    status = VENDOR.read(call(), RemoteRun(id="r"), [reply({**body, "completedAt": None})], polls=0)
    assert isinstance(status, Running)
    assert status.note == word
    outcome = read(RemoteRun(id="r"), {**body, "completedAt": "2026-07-01T10:00:00Z"})
    assert (outcome.verdict, outcome.raw_status) == (Verdict.UNKNOWN, outcome.cases[0].raw_status)
    assert (outcome.raw_status or "").startswith(word)


@pytest.mark.parametrize("word", ["", None, 7])
def test_a_status_that_is_no_word_is_read_again(word: object) -> None:
    with pytest.raises(UnexpectedData, match="status"):
        VENDOR.read(call(), RemoteRun(id="r"), [reply({**PASS, "status": word})], polls=0)


def test_a_run_that_is_not_found_is_no_result() -> None:
    with pytest.raises(UnexpectedData, match="NotFound: no such run"):
        VENDOR.read(call(), RemoteRun(id="r"), [reply({"error": "NotFound", "message": "no such run"}, 404)], polls=0)


def test_ids_are_the_same_in_either_case() -> None:
    run = RemoteRun(id=TEST, memo={"test": "abcdefab-1111-4111-8111-111111111111"})
    outcome = read(run, {**PASS, "id": TEST, "testId": "ABCDEFAB-1111-4111-8111-111111111111"})
    assert outcome.verdict is Verdict.PASSED
    assert outcome.cases[0].id == "abcdefab-1111-4111-8111-111111111111"


KEYS = st.sampled_from(
    re.findall(
        r"\w+",
        """
        id testId status output result kind reason featureName description screenshots issues steps stepResults error
        code message title summary errorCode type name severity reproductionSteps expectedBehavior screenshotUrl
        durationMs autoRetryCount runId runIds queuedRunIds cancelledRunIds count groupId batchId uploadUrl storageKey
        app
        """,
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["PASS", "planner_skipped"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=8),
    max_leaves=25,
)
ANY_END = st.fixed_dictionaries(
    {"status": st.sampled_from(["completed", "failed", "cancelled", "queued"])},
    optional=dict.fromkeys(["output", "error", "testId", "stepResults", "durationMs", "autoRetryCount"], JSON),
)


@given(ANY_END | JSON, memos)
def test_any_status_is_read_or_cannot_be(body: object, memo: dict[str, Any]) -> None:
    with contextlib.suppress(UnexpectedData):
        status = VENDOR.read(call(), RemoteRun(id="run-1", memo=memo), [reply(body)], polls=0)
        assert not isinstance(status, Finished) or set(status.outcomes) == {"smoke"}


# --- the runs of a create ---------------------------------------------------------------------------------------------

names = st.sampled_from(["r1", "r2", "r3", "r4"])
ids = st.lists(names, unique=True) | st.none()
odd = st.lists(names | st.sampled_from([None, "", "..", True, "\ud800"]))


@given(
    st.sampled_from(["queued", "cancelled", "new", None]),
    st.fixed_dictionaries(
        {}, optional={"runIds": ids | odd, "queuedRunIds": ids | odd, "cancelledRunIds": ids | odd, "runId": names}
    ),
    st.none() | st.integers(0, 6),
)
def test_every_run_of_a_create_is_followed_and_only_what_ran_can_pass(
    status: str | None, lists: dict[str, Any], count: int | None
) -> None:
    told = [item for name in ("runIds", "queuedRunIds", "cancelledRunIds") for item in lists.get(name) or ()]
    good = {item for item in [*told, lists.get("runId")] if item in {"r1", "r2", "r3", "r4"}}
    try:
        runs = VENDOR.accepted(call(), reply({"status": status, **lists, "count": count}, 202))
    except UnexpectedData:
        assert not good
        return
    if not good:
        assert isinstance(runs, Finished)
        assert runs.outcomes["smoke"].verdict is Verdict.CANCELLED
        assert not count
        assert len(told) == 0
        return
    assert isinstance(runs, tuple)
    assert {run.id for run in runs} == good
    assert len(runs) == len(good)
    outcome = merge([read(run, PASS) for run in runs])
    whole = len(good) >= (count or 0) and all(item in good for item in told)
    stopped = status == "cancelled" or any(item in good for item in lists.get("cancelledRunIds") or ())
    assert (outcome.verdict is Verdict.PASSED) is (bool(good) and whole and not stopped)


@given(JSON | st.dictionaries(KEYS, JSON))
def test_any_answer_to_a_create_is_read_or_cannot_be(body: object) -> None:
    for kind, item in ((SelectionKind.CATEGORY_IDS, GROUP), (SelectionKind.TEST_IDS, TEST)):
        with contextlib.suppress(UnexpectedData):
            made = VENDOR.accepted(call(kind, item), reply(body, 202))
            for run in made if isinstance(made, tuple) else ():
                assert VENDOR.poll(call(kind, item), run).path.isascii()
                VENDOR.cancel(call(kind, item), run)


def test_one_cancelled_run_of_a_group_is_not_hidden_by_the_others() -> None:
    body = {"status": "queued", "runIds": ["r1", "r2"], "queuedRunIds": ["r1"], "cancelledRunIds": ["r2"], "count": 2}
    made = VENDOR.accepted(call(), reply(body, 202))
    assert isinstance(made, tuple)
    ran, stopped = made
    outcome = merge([read(ran, PASS), read(stopped, {"status": "cancelled"})])
    assert outcome.verdict is Verdict.CANCELLED
    assert [case.verdict for case in outcome.cases] == [Verdict.PASSED, Verdict.CANCELLED]


@pytest.mark.parametrize("status", ["queued", "cancelled"])
def test_a_create_that_started_nothing_is_over_at_once(status: str) -> None:
    made = VENDOR.accepted(call(), reply({"status": status, "runIds": [], "count": 0}, 202))
    assert isinstance(made, Finished)
    assert made.outcomes["smoke"].verdict is Verdict.CANCELLED
    assert status in (made.outcomes["smoke"].message or "")


# --- uploads ----------------------------------------------------------------------------------------------------------

RESOURCE = Resource(
    id="build-1",
    vendor="testerarmy",
    kind=ResourceKind.BUILD,
    build=Build(path="build/app.apk", filename="app.apk", size=10, sha256="00"),
    data={"project": PROJECT},
)


@given(st.lists(JSON | st.dictionaries(KEYS, JSON | st.just("https://up.example/\ud800")), max_size=4))
def test_any_answer_on_the_way_to_an_app_is_read_or_cannot_be(answers: list[object]) -> None:
    with contextlib.suppress(UnexpectedData):
        step = VENDOR.prepare(RESOURCE, "token", [reply(answer) for answer in answers])
        if isinstance(step, Prepared):
            assert all(step.values.values())
        else:
            assert isinstance(step, (Request, Upload))
            assert step.path.encode()
            assert isinstance(step, Upload) is step.path.startswith("http")


def test_an_upload_goes_where_no_credential_goes() -> None:
    granted = reply({"uploadUrl": "https://up.example/x", "storageKey": "k"})
    app = reply({"app": {"id": "a1"}}, 201)
    replies = [granted, reply(None), app]
    steps = [VENDOR.prepare(RESOURCE, "token", replies[:count]) for count in range(4)]
    paths = [getattr(step, "path", None) for step in steps]
    upload = f"/projects/{PROJECT}/mobile/upload"
    assert paths == [upload, "https://up.example/x", f"{upload}/confirm", None]
    assert steps[3] == Prepared(values={"app_id": "a1"})
    assert VENDOR.release(RESOURCE, Prepared(values={"app_id": "a1"})) is None
