from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from qarunner.decode import UnexpectedData
from qarunner.diagnostics import Place
from qarunner.entry import Entry, Policy, Selection, SelectionKind
from qarunner.vendors.api import Call, Finished, RemoteRun, Reply, Running, Verdict
from qarunner.vendors.certyn.adapter import VENDOR
from tests.matrices import objections

if TYPE_CHECKING:
    from qarunner.vendors.api import Outcome

PROJECT = {"project": "my-app"}
COUNTERS = ("passed", "failed", "blocked", "aborted", "skipped", "pending")


def entry(name: str = "smoke", *ids: str) -> Entry:
    return Entry(
        id=name,
        vendor="certyn",
        policy=Policy(timeout_s=60),
        origin=Place(file="qa-matrix.yml", line=1, column=1),
        selection=Selection(kind=SelectionKind.CATEGORY_IDS, ids=ids or ("smoke-suite",)),
    )


def read(body: dict[str, Any], promised: int | None = None) -> Outcome:
    run = RemoteRun(id="r", memo={} if promised is None else {"tests": promised})
    reply = Reply(status=200, text=json.dumps({"state": "completed", **body}))
    status = VENDOR.read(Call(entries=(entry(),)), run, [reply], polls=1)
    assert isinstance(status, Finished)
    return status.outcomes["smoke"]


@pytest.mark.parametrize(
    ("row", "settings", "messages"),
    [
        ({"category_ids": ["a"]}, PROJECT, []),
        ({"tags": ["a"]}, PROJECT, []),
        ({"options": {"instruction": "Look around"}}, PROJECT, []),
        ({}, PROJECT, ["needs exactly one of test_ids, category_ids, tags, tests, categories"]),
        ({"tags": ["a"]}, {}, ["certyn needs to know the project"]),
        ({"tags": ["a"]}, {"project": ""}, ["certyn needs to know the project"]),
    ],
)
def test_a_row_needs_a_project_and_something_to_run(
    row: dict[str, object], settings: dict[str, str], messages: list[str]
) -> None:
    result = objections(VENDOR, row, settings)
    assert [message for _, message, _ in result] == messages
    assert all("vendors.certyn.project" in (hint or "") for _, _, hint in result if not settings.get("project"))


def test_each_entry_is_a_call_of_its_own() -> None:
    entries = [entry("a"), entry("b")]
    assert [tuple(group) for group in VENDOR.group(entries)] == [(entries[0],), (entries[1],)]


def test_a_second_process_is_a_bug_and_never_dropped_in_silence() -> None:
    with pytest.raises(ValueError, match="too many values"):
        VENDOR.submit(Call(entries=(entry("a", "one", "two"),), settings=PROJECT))


@pytest.mark.parametrize(("polls", "seen"), [(0, True), (1, True), (2, True), (3, False), (9, False)])
def test_a_new_run_may_not_be_found_for_three_polls(polls: int, *, seen: bool) -> None:
    reply = Reply(status=404, text="")
    call, run = Call(entries=(entry(),)), RemoteRun(id="r")
    if seen:
        assert isinstance(VENDOR.read(call, run, [reply], polls=polls), Running)
    else:
        with pytest.raises(UnexpectedData, match="HTTP 404 with an empty body"):
            VENDOR.read(call, run, [reply], polls=polls)


@pytest.mark.parametrize("word", ["success", "passed", "PASS", "neutral", None, 7])
def test_the_conclusion_never_gates(word: object) -> None:
    assert read({"total": 1, "passed": 1, "conclusion": word}).verdict is Verdict.PASSED
    assert read({"total": 1, "failed": 1, "conclusion": word}).verdict is Verdict.FAILED
    assert read({"total": 0, "conclusion": word}).verdict is Verdict.UNKNOWN


def test_a_conclusion_that_is_false_takes_a_pass_away() -> None:
    outcome = read({"total": 1, "passed": 1, "conclusion": False})
    assert outcome.verdict is Verdict.UNKNOWN
    assert outcome.message == "Certyn concludes 'not passed', but its counters say that the run passed"


@pytest.mark.parametrize(
    "word",
    ["failure", "Failed", "blocked", "aborted", "cancelled", "action_required", "To Verify", "error", "timed-out"],
)
def test_a_conclusion_that_contradicts_a_pass_takes_it_away(word: str) -> None:
    outcome = read({"total": 1, "passed": 1, "conclusion": word})
    assert (outcome.verdict, outcome.raw_status) == (Verdict.UNKNOWN, word)
    assert word in (outcome.message or "")
    assert read({"total": 1, "failed": 1, "conclusion": word}).verdict is Verdict.FAILED


numbers = st.integers(0, 5)


@given(st.fixed_dictionaries({"total": numbers, **dict.fromkeys(COUNTERS, numbers)}), st.none() | numbers)
def test_a_pass_is_all_that_the_counters_allow(body: dict[str, int], promised: int | None) -> None:
    outcome = read(body, promised)
    may_pass = (
        body["passed"] > 0
        and body["passed"] + body["skipped"] == body["total"] >= (promised or 0)
        and not any(body[name] for name in ("failed", "blocked", "aborted", "pending"))
    )
    assert (outcome.verdict is Verdict.PASSED) is may_pass
    if body["failed"]:
        assert outcome.verdict is Verdict.FAILED
    assert sum(outcome.counts.values()) >= body["total"]
    assert all(outcome.counts.values())


@given(st.fixed_dictionaries({}, optional={"total": numbers, **dict.fromkeys(COUNTERS, numbers)}), st.none() | numbers)
def test_what_is_left_out_never_makes_a_pass_of_a_contradiction(body: dict[str, int], promised: int | None) -> None:
    outcome = read(body, promised)
    if outcome.verdict is Verdict.PASSED:
        total = body.get("total", promised)
        assert total
        assert outcome.counts[Verdict.PASSED] + outcome.counts.get(Verdict.SKIPPED, 0) == total
        assert "passed" in body or {"failed", "blocked"} <= body.keys()


@given(
    st.integers(1, 5),
    st.sampled_from(["total", *COUNTERS]),
    st.sampled_from([-1, "three", "-3", 1.5, True, [], {}]),
)
def test_an_odd_counter_is_never_read_as_a_number(total: int, name: str, value: object) -> None:
    with pytest.raises(UnexpectedData, match=name):
        read({"total": total, "passed": total, name: value})


@pytest.mark.parametrize("state", ["in_progress", "queued", "running", "finished", "failed", "passed"])
def test_only_two_states_end_a_run(state: str) -> None:
    body = {"state": state, "total": 1, "passed": 1, "retryAfterSeconds": 12}
    reply = Reply(status=200, text=json.dumps(body))
    status = VENDOR.read(Call(entries=(entry(),)), RemoteRun(id="r"), [reply], polls=0)
    assert isinstance(status, Running)
    assert replace(status, so_far={}) == Running(note=state, wait_s=12.0, total=1)


@pytest.mark.parametrize(
    ("counters", "done", "total"),
    [
        ({"total": 9, "pending": 4}, 5, 9),
        ({"total": 9, "pending": 9}, 0, 9),
        ({"total": 9, "pending": 10}, 0, 9),
        ({"total": 9}, None, 9),
        ({"pending": 9}, None, None),
        ({"total": "nine", "pending": -1}, None, None),
    ],
)
def test_a_run_that_goes_on_tells_how_many_tests_are_over(
    counters: dict[str, Any], done: int | None, total: int | None
) -> None:
    reply = Reply(status=200, text=json.dumps({"state": "in_progress", **counters}))
    status = VENDOR.read(Call(entries=(entry(),)), RemoteRun(id="r"), [reply], polls=1)
    assert isinstance(status, Running)
    assert replace(status, so_far={}) == Running(note="in_progress", done=done, total=total)


def test_tests_that_a_create_promised_are_open_while_the_run_goes_on() -> None:
    reply = Reply(status=200, text=json.dumps({"state": "in_progress", "failed": 1}))
    status = VENDOR.read(Call(entries=(entry(),)), RemoteRun(id="r", memo={"tests": 3}), [reply], polls=1)
    assert isinstance(status, Running)
    assert status.so_far["smoke"].counts == {Verdict.FAILED: 1, Verdict.UNKNOWN: 2}


def test_a_failure_beside_a_counter_that_is_none_leaves_the_promised_tests_open() -> None:
    assert read({"failed": 1, "blocked": "odd"}, promised=3).counts == {Verdict.FAILED: 1, Verdict.UNKNOWN: 2}


@pytest.mark.parametrize("counters", [{"failed": 0}, {"blocked": 0}, {"failed": 0, "skipped": 0, "aborted": 0}])
def test_passes_are_derived_only_where_both_documented_counters_are_told(counters: dict[str, Any]) -> None:
    outcome = read({"total": 3, **counters})
    assert outcome.verdict is Verdict.UNKNOWN
    assert outcome.message == "Certyn does not say how many tests passed"


@pytest.mark.parametrize(
    ("counters", "counts"),
    [
        ({"total": 6, "failed": 1, "blocked": 1, "skipped": 1}, {"passed": 3, "failed": 1, "blocked": 1, "skipped": 1}),
        ({"total": 1, "failed": 1, "blocked": 0}, {"failed": 1}),
        ({"total": 1, "failed": 2, "blocked": 0}, {"failed": 2}),
        ({"total": 2, "failed": 0, "blocked": 0}, {"passed": 2}),
    ],
)
def test_what_the_other_counters_leave_over_has_passed(counters: dict[str, Any], counts: dict[str, int]) -> None:
    assert read(counters).counts == {Verdict(word): number for word, number in counts.items()}


@pytest.mark.parametrize(
    ("started", "ended", "seconds"),
    [
        ("2026-07-01T10:00:00Z", "2026-07-01T10:01:30Z", 90.0),
        ("2026-07-01T10:00:00Z", "2026-07-01T10:00:00.500Z", 0.5),
        ("2026-07-01T10:00:00Z", "2026-07-01T10:00:00Z", 0.0),
        ("2026-07-01T10:00:00Z", "2026-07-01T09:59:59Z", None),
        ("2026-07-01T10:00:00Z", "2026-07-01T10:01:00", None),
        ("2026-07-01T10:00:00Z", None, None),
        (None, None, None),
    ],
)
def test_a_duration_is_known_where_both_times_are(
    started: str | None, ended: str | None, seconds: float | None
) -> None:
    assert read({"total": 1, "startedAt": started, "completedAt": ended}).duration_s == seconds
