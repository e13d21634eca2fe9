"""Details name the tests; whatever they say, a run passes only if its counters pass and no test contradicts them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.diagnostics import Place
from qarunner.engine.decide.outcomes import downgrade_unsupported_pass, tally
from qarunner.entry import Entry, Policy, Selection, SelectionKind
from qarunner.vendors.api import FINISHED, Call, Finished, More, RemoteRun, Reply, Verdict
from qarunner.vendors.certyn.adapter import VENDOR
from qarunner.vendors.certyn.info import INFO
from tests.amount import examples

if TYPE_CHECKING:
    from qarunner.vendors.api import Outcome

ENTRY = Entry(
    id="smoke",
    vendor="certyn",
    policy=Policy(timeout_s=60),
    origin=Place(file="qa-matrix.yml", line=1, column=1),
    selection=Selection(kind=SelectionKind.CATEGORY_IDS, ids=("smoke-suite",)),
)
CALL = Call(entries=(ENTRY,), settings={"project": "my-app"})
RUN = RemoteRun(id="run-1")
OVERVIEW = {"defaultProjectId": "p-1", "projects": [{"id": "p-1", "slug": "other"}, {"id": "p-2", "slug": "my-app"}]}
BAD = {"failed": Verdict.FAILED, "blocked": Verdict.BLOCKED, "aborted": Verdict.CANCELLED}


def ok(body: object) -> Reply:
    return Reply(status=200, text=json.dumps(body))


def finished(*replies: Reply, settings: dict[str, Any] | None = None) -> Outcome:
    call = CALL if settings is None else Call(entries=(ENTRY,), settings=settings)
    status = VENDOR.read(call, RUN, replies, polls=1)
    assert isinstance(status, Finished)
    return status.outcomes["smoke"]


def counted(body: dict[str, Any]) -> Outcome:
    """What the counters alone say."""
    return finished(ok(body), settings={"project": "my-app", "details": False})


def named(*items: object, **counters: int) -> list[tuple[str, str | None, str | None]]:
    """The cases of a run whose counters say three passed: id, the vendor's word, and what is said of it."""
    body = {"state": "completed", "total": 3, "passed": 3, "failed": 0, "blocked": 0, **counters}
    outcome = finished(ok(body), ok(OVERVIEW), ok({"items": items}))
    return [(case.id, case.raw_status, case.message) for case in outcome.cases]


def test_an_item_that_is_repeated_counts_once_unless_it_says_something_else() -> None:
    first = {"id": "i-1", "testCaseId": "t", "testOutcome": "passed"}
    assert named(first, first) == [("t", "passed", None)]
    assert named(first, {**first, "id": "i-2"}) == [("t", "passed", None)] * 2
    assert named({**first, "id": None}, {**first, "id": None}) == [("t", "passed", None)] * 2
    assert named(first, {**first, "testOutcome": "failed"}, first) == [("t", "passed", None), ("t", "failed", None)]


@pytest.mark.parametrize(("name", "number"), [("run-1", 1), (None, 1), ("run-2", 0)])
def test_details_of_another_run_say_nothing_of_this_one(name: str | None, number: int) -> None:
    body = {"state": "completed", "total": 1, "passed": 1, "failed": 0, "blocked": 0}
    details = {"id": name, "items": [{"testCaseId": "t", "testOutcome": "passed"}]}
    assert len(finished(ok(body), ok(OVERVIEW), ok(details)).cases) == number


def test_an_item_without_the_id_of_its_test_has_its_own() -> None:
    word = {"testOutcome": "passed"}
    assert [name for name, _, _ in named({**word, "testCaseId": [], "id": 7}, {**word, "id": "i"}, word)] == [
        *("7", "i", "?"),
    ]


def test_a_word_that_no_page_knows_is_told_unless_the_item_says_more() -> None:
    item = {"id": "i-1", "testOutcome": "odd"}
    assert named(item) == [("i-1", "odd", "Certyn's outcome of this test is 'odd'")]
    assert named({**item, "summaryMarkdown": "It was odd."}) == [("i-1", "odd", "It was odd.")]
    assert named(item, passed=2, skipped=1) == [("i-1", "odd", None)]
    assert named({**item, "summaryMarkdown": "## It **was**\n# odd #1"}) == [("i-1", "odd", "It was\nodd #1")]


def test_of_the_bad_words_in_details_the_weightiest_is_the_verdict() -> None:
    body = {"state": "completed", "total": 3, "passed": 3, "failed": 0, "blocked": 0}
    words = ["aborted", "inconclusive", "blocked", "failed"]
    for number, verdict in enumerate((Verdict.CANCELLED, Verdict.CANCELLED, Verdict.BLOCKED, Verdict.FAILED), 1):
        items = [{"testCaseId": word, "testOutcome": word} for word in words[:number]]
        assert finished(ok(body), ok(OVERVIEW), ok({"items": items})).verdict is verdict


def test_where_the_details_name_other_tests_than_were_counted_the_bad_counts_are_kept_first() -> None:
    body = {"state": "completed", "total": 5, "passed": 2, "failed": 1, "blocked": 1, "skipped": 1}
    kept = [Verdict.FAILED, Verdict.BLOCKED, Verdict.SKIPPED]
    for number in range(2, 6):
        items = [{"testCaseId": str(item), "testOutcome": "aborted"} for item in range(number)]
        counts = finished(ok(body), ok(OVERVIEW), ok({"items": items})).counts
        assert counts == dict.fromkeys(kept[: 5 - number], 1)


numbers = st.integers(0, 4)
counters = st.fixed_dictionaries(
    {"state": st.sampled_from(["completed", "completed", "completed", "cancelled"])},
    optional=dict.fromkeys(("total", "passed", "failed", "blocked", "aborted", "skipped", "pending"), numbers),
)
adding_up = st.fixed_dictionaries({"passed": numbers, "failed": st.integers(0, 1), "skipped": st.integers(0, 2)}).map(
    lambda body: {"state": "completed", "blocked": 0, **body, "total": sum(body.values())}
)
words = st.sampled_from(["passed"] * 6 + ["failed", "blocked", "aborted", "skipped", "inconclusive", "", None, 7])
items = st.lists(
    st.builds(lambda word, key: {"testOutcome": word, "testCaseId": key}, words, st.sampled_from(["a", "b", 3, None]))
    | st.none(),
    max_size=6,
)
odd_numbers = numbers | st.none() | st.sampled_from([-1, "2", 1.5])


@given(counters | adding_up, items, odd_numbers, odd_numbers)
@examples(4)
def test_details_never_make_a_pass_and_hide_no_failure(
    body: dict[str, Any], result: list[dict[str, Any] | None], failed: object, blocked: object
) -> None:
    alone = counted(body)
    details = ok({"items": result, "failedItems": failed, "blockedItems": blocked})
    outcome = finished(ok(body), ok(OVERVIEW), details)
    words = [item["testOutcome"] for item in result if item]
    invalid = [word for word in words if isinstance(word, str) and word and word not in BAD and word != "passed"]
    contradicted = any(word in BAD for word in words if isinstance(word, str)) or len(invalid) > body.get("skipped", 0)
    if outcome.verdict is Verdict.PASSED:
        assert alone.verdict is Verdict.PASSED
        assert not contradicted
    if alone.verdict is Verdict.FAILED or "failed" in words:
        assert outcome.verdict is Verdict.FAILED
    if alone.verdict is Verdict.PASSED and outcome.verdict is not Verdict.PASSED:
        assert contradicted or any(isinstance(number, (int, float)) and number >= 1 for number in (failed, blocked))
    assert downgrade_unsupported_pass(outcome).verdict is outcome.verdict or alone != downgrade_unsupported_pass(alone)


@given(counters | adding_up, items)
@examples(4)
def test_cases_and_counts_together_count_each_test_once(
    body: dict[str, Any], result: list[dict[str, Any] | None]
) -> None:
    alone, outcome = counted(body), finished(ok(body), ok(OVERVIEW), ok({"items": result}))
    together = len(outcome.cases) + sum(outcome.counts.values())
    assert together == max(sum(alone.counts.values()), len(outcome.cases))
    passed = tally(outcome, 1).get(Verdict.PASSED, 0)
    assert passed <= tally(alone, 1).get(Verdict.PASSED, 0)  # else details could satisfy gate.min_tests
    good = FINISHED - {Verdict.FAILED, Verdict.BLOCKED}
    assert not good.intersection(outcome.counts) or outcome.counts[Verdict.PASSED] <= alone.counts[Verdict.PASSED]


@given(adding_up, st.data())
def test_details_that_agree_change_nothing_but_name_the_tests(body: dict[str, Any], data: st.DataObject) -> None:
    words = ["passed"] * body["passed"] + ["failed"] * body["failed"] + ["skipped"] * body["skipped"]
    part = data.draw(st.permutations(words).flatmap(lambda rows: st.integers(0, len(rows)).map(lambda n: rows[:n])))
    alone = counted(body)
    rows = [{"testOutcome": word, "testCaseId": str(number)} for number, word in enumerate(part)]
    outcome = finished(ok(body), ok(OVERVIEW), ok({"items": rows}))
    assert (outcome.verdict, outcome.message) == (alone.verdict, alone.message)
    assert tally(outcome, 1) == tally(alone, 1)
    assert [case.id for case in outcome.cases] == [str(number) for number in range(len(part))]


REFUSALS = [Reply(status=status, text=text) for status in (0, 401, 403, 404, 429, 500) for text in ("", "{}")]


@pytest.mark.parametrize("reply", [*REFUSALS, Reply(status=200, text="<html>"), ok([]), ok(None)])
def test_details_that_are_refused_leave_the_counters(reply: Reply) -> None:
    body = ok({"state": "completed", "total": 2, "passed": 1, "failed": 1})
    alone = finished(body, settings={"project": "my-app", "details": False})
    assert finished(body, reply) == alone
    assert finished(body, ok(OVERVIEW), reply) == alone


def test_a_refusal_with_tests_in_its_body_tells_nothing() -> None:
    body = ok({"state": "completed", "total": 1, "passed": 1})
    refused = Reply(status=403, text=json.dumps({"items": [{"testOutcome": "failed"}]}))
    assert finished(body, ok(OVERVIEW), refused).cases == ()
    assert finished(body, Reply(status=403, text=json.dumps(OVERVIEW))).cases == ()


def test_details_cost_two_reads_and_only_at_the_end() -> None:
    going_on = VENDOR.read(CALL, RUN, [ok({"state": "in_progress", "total": 1})], polls=1)
    assert not isinstance(going_on, (More, Finished))
    replies = [ok({"state": "completed", "total": 1, "passed": 1})]
    paths = []
    while isinstance(status := VENDOR.read(CALL, RUN, replies, polls=1), More):
        assert status.best_effort
        paths.append(status.request.path)
        replies.append(ok(OVERVIEW))
    assert paths == ["/api/projects/overview", "/api/projects/p-2/process-runs/run-1"]


@pytest.mark.parametrize(("settings", "valid"), [({"details": False}, True), ({"details": "false"}, False)])
def test_details_are_switched_off_by_a_boolean(settings: dict[str, Any], *, valid: bool) -> None:
    schema = {"type": "object", "properties": dict(INFO.settings), "additionalProperties": False}
    assert jsonschema.Draft202012Validator(schema).is_valid(settings) is valid
    status = VENDOR.read(
        Call(entries=(ENTRY,), settings={"project": "p", **settings}),
        RUN,
        [ok({"state": "completed", "total": 1, "passed": 1})],
        polls=1,
    )
    assert isinstance(status, Finished if valid else More)
