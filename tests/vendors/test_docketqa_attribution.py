"""Whatever DocketQA's answers hold: a test's verdict is its own run's, and nothing else makes an entry pass."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import example, given
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
from qarunner.vendors.docketqa.adapter import VENDOR
from tests.amount import examples

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qarunner.decode import Json
    from qarunner.vendors.api import Outcome

WORDS = st.sampled_from(["passed", "passed", "passed", "failed", "stopped", "error"])
TESTS = st.sampled_from([1, 2, 3, 4, "1", None])


class Told(NamedTuple):
    id: int | None
    test: int | str | None
    word: str
    login: bool = False
    retried: bool = False

    @property
    def number(self) -> str:
        return str(self.test)


RUNS = st.lists(
    st.builds(
        Told,
        id=st.none() | st.integers(1, 20),
        test=TESTS,
        login=st.sampled_from([False, False, True]),
        word=WORDS,
        retried=st.booleans(),
    ),
    max_size=6,
)


def entry(kind: SelectionKind, ids: Iterable[str]) -> Entry:
    return Entry(
        id="a",
        vendor="docketqa",
        policy=Policy(timeout_s=60),
        origin=Place(file="qa-matrix.yml", line=1, column=1),
        selection=Selection(kind=kind, ids=tuple(ids)),
    )


def created(runs: Iterable[Told]) -> Reply:
    listed = [{"id": run.id, "test_blueprint_id": run.test, "is_login_test_run": run.login} for run in runs]
    return Reply(status=200, text=json.dumps({"test_group_run": {"id": 88, "test_runs": listed}}))


def ended(run: Told) -> Reply:
    body: dict[str, Any] = {
        "id": run.id,
        "status": run.word,
        "test_blueprint_id": run.test,
        "additional_attempts": [{}] * run.retried,
    }
    return Reply(status=200, text=json.dumps({"test_run": body}))


def outcome(asked: Entry, runs: list[Told]) -> Outcome:
    """As the engine comes to it: every run that the create told of is polled, and what they say is merged."""
    call = Call(entries=(asked,))
    by_id = {str(run.id): run for run in reversed(runs)}
    result = []
    made = VENDOR.accepted(call, created(runs))
    if isinstance(made, Finished):
        return merge([made.outcomes["a"]])
    assert isinstance(made, tuple)
    for remote in made:
        reply = ended(by_id[remote.id]) if remote.id in by_id else Reply(status=200, text="{}")
        status = VENDOR.read(call, remote, [reply], polls=0)
        assert isinstance(status, Finished)
        result += [status.outcomes["a"]] if status.outcomes else []
    return merge(result)


@given(asked=st.lists(st.sampled_from("123"), min_size=1, max_size=3, unique=True), runs=RUNS)
@example(asked=["1"], runs=[Told(1, 1, "passed"), Told(2, 4, "failed", login=True)])
@example(asked=["1"], runs=[Told(1, 1, "passed"), Told(2, 4, "passed")])
@example(asked=["4"], runs=[Told(1, 4, "passed", login=True)])
@example(asked=["1"], runs=[])
@examples(4)
def test_tests_pass_only_by_runs_of_their_own(asked: list[str], runs: list[Told]) -> None:
    result = outcome(entry(SelectionKind.TEST_IDS, asked), runs)
    assert set(asked) <= {case.id for case in result.cases}
    first = list({run.id: run for run in reversed(runs)}.values())
    good = {run.number for run in first if run.id is not None and run.word == "passed"}
    if result.verdict in GOOD:
        assert good >= set(asked)
        assert all(run.id is not None and run.word == "passed" for run in first)
        assert {case.id for case in result.cases} == set(asked)
    elif good >= set(asked):
        assert any(run.id is None or run.word != "passed" for run in first)


@given(runs=RUNS)
@example(runs=[Told(1, 4, "passed", login=True)])
@examples(3)
def test_a_suite_passes_only_if_each_of_its_runs_does_and_there_is_one(runs: list[Told]) -> None:
    result = outcome(entry(SelectionKind.CATEGORY_IDS, ["12"]), runs)
    first = list({run.id: run for run in reversed(runs)}.values())
    clean = all(run.id is not None and run.word == "passed" for run in first)
    assert (result.verdict in GOOD) == (clean and any(not run.login for run in first))


@given(runs=RUNS)
def test_a_failure_is_never_hidden(runs: list[Told]) -> None:
    result = outcome(entry(SelectionKind.CATEGORY_IDS, ["12"]), runs)
    first = list({run.id: run for run in reversed(runs) if run.id is not None}.values())
    bad = {run.number if run.test is not None else str(run.id) for run in first if run.word == "failed"}
    assert bad == {case.id for case in result.cases if case.verdict in {Verdict.FAILED, Verdict.BLOCKED}}
    if any(run.word == "failed" and not run.login for run in first):
        assert result.verdict is Verdict.FAILED


# --- arbitrary answers ------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        *("message", "test_group_run", "id", "test_runs", "status", "test_blueprint_id", "is_login_test_run"),
        *("test_run", "results", "step_number", "task", "is_successful", "result", "duration", "actions"),
        *("screenshot_url", "additional_attempts", "blueprint_metadata", "title", "test_video_url", "s3_key"),
        *("s3_presigned_url", "content_type"),
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["passed", "failed", "running", "101", "..", "https://s3.example.com/", "\ud800", 1e308])
)
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=9))
OBJECTS = st.dictionaries(KEYS, ANYTHING, max_size=9)
CREATED = st.builds(
    lambda group, runs: {"test_group_run": {**group, "test_runs": runs}}, OBJECTS, st.lists(OBJECTS | ANYTHING)
)
ENDED = st.builds(
    lambda run, results, word: {"test_run": {**run, "results": results, "status": word}},
    OBJECTS,
    ANYTHING | st.lists(OBJECTS),
    WORDS,
)
ENTRIES = [entry(SelectionKind.TEST_IDS, ["101"]), entry(SelectionKind.CATEGORY_IDS, ["12"])]


def reply(body: Any) -> Reply:  # noqa: ANN401
    return Reply(status=200, text=json.dumps(body))


@given(body=ANYTHING | CREATED, asked=st.sampled_from(ENTRIES))
def test_any_answer_to_a_create_is_read_or_refused(body: Any, asked: Entry) -> None:  # noqa: ANN401
    call = Call(entries=(asked,))
    try:
        made = VENDOR.accepted(call, reply(body))
    except UnexpectedData:
        return
    if not isinstance(made, tuple):
        assert isinstance(made, Finished)
        assert made.outcomes["a"].verdict is Verdict.UNKNOWN
        return
    assert len({run.id for run in made}) == len(made) > 0
    for run in made:
        json.dumps(dict(run.memo)).encode()
        assert VENDOR.poll(call, run).path.isascii()


@given(
    body=ANYTHING | ENDED,
    asked=st.sampled_from(ENTRIES),
    memo=st.sampled_from([{}, {"group": "88"}, {"extra": "login"}, {"lost": {"102": "gone"}}]),
)
def test_any_answer_to_a_poll_is_read_or_refused(body: Any, asked: Entry, memo: dict[str, Any]) -> None:  # noqa: ANN401
    try:
        status = VENDOR.read(Call(entries=(asked,)), RemoteRun(id="9001", memo=memo), [reply(body)], polls=0)
    except UnexpectedData:
        return
    if isinstance(status, Running):
        return
    assert isinstance(status, Finished)
    assert set(status.outcomes) <= {"a"}
    for value in status.outcomes.values():
        if value.verdict in GOOD:
            assert body["test_run"]["status"] == "passed"
            assert "lost" not in memo


@given(bodies=st.lists(ANYTHING | OBJECTS, max_size=3))
def test_any_answer_to_an_upload_is_read_or_refused(bodies: list[Any]) -> None:
    build = Build(path="a.apk", filename="a.apk", size=1, sha256="0" * 64)
    data: dict[str, Json] = {"app_id": 7, "platform": "android"}
    resource = Resource(id="r", vendor="docketqa", kind=ResourceKind.BUILD, build=build, data=data)
    try:
        step = VENDOR.prepare(resource, "t", [reply(body) for body in bodies])
    except UnexpectedData:
        return
    assert isinstance(step, (Prepared, Request, Upload))
    if isinstance(step, Upload):
        assert step.path.startswith(("https://", "http://"))


@pytest.mark.parametrize("word", ["queued", "pending", "PASS", "success", "completed", ""])
def test_an_unknown_word_is_never_an_end(word: str) -> None:
    body = {"test_run": {"id": 9001, "status": word}}
    asked = Call(entries=(ENTRIES[0],)), RemoteRun(id="9001"), [reply(body)]
    if not word:
        with pytest.raises(UnexpectedData, match=r"status: expected"):
            VENDOR.read(*asked, polls=3)
    else:
        status = VENDOR.read(*asked, polls=3)
        assert isinstance(status, Running)
        assert status.note == word
