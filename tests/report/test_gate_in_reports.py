"""Whatever ends an apply red is a failing case in each report that machines read, and nothing else is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.engine.state import events as ev
from qarunner.engine.state.run import fold
from qarunner.report import ctrf, html, junit, markdown
from qarunner.report import json as jsondoc
from qarunner.report.summary import LONGEST_S, summarise
from qarunner.vendors.api import Case, Cause, Outcome, RemoteRun, Verdict
from tests.fictional import entry, plan_of
from tests.worlds import EPOCH, started

if TYPE_CHECKING:
    from qarunner.entry import OnSkipped
    from qarunner.report.summary import Summary


def ended(
    *outcomes: Outcome,
    free: frozenset[int] = frozenset(),
    least: int = 1,
    on_skipped: OnSkipped | None = None,
    signal: int | None = None,
) -> Summary:
    entries = [entry(f"e{n}", "plain", allow_failure=n in free) for n in range(len(outcomes))]
    plan = plan_of(*entries, min_tests=least, on_skipped=on_skipped)
    events: list[ev.Event] = [started(EPOCH, plan)]
    events += [ev.Accepted(at=EPOCH, job=job.id, runs=(RemoteRun(id=job.id, url=None),)) for job in plan.jobs]
    events += [
        ev.EntryClosed(at=EPOCH + 9, entry=row.id, outcome=outcome)
        for row, outcome in zip(entries, outcomes, strict=True)
    ]
    events += [ev.Interrupted(at=EPOCH + 9, signal=signal)] if signal else []
    return summarise(fold(plan, events))


def one(verdict: Verdict, **more: Any) -> Outcome:  # noqa: ANN401  whatever a case has
    return Outcome(verdict=verdict, cases=(Case(id="t", verdict=verdict, **more),))


def gate_suite(summary: Summary) -> list[tuple[str | None, str | None]]:
    root = ET.fromstring(junit.render(summary).encode())  # noqa: S314  our own text
    suites = [suite for suite in root if suite.get("name") == "gate"]
    return [(case.get("name"), case[0].get("message")) for suite in suites for case in suite]


def reds(summary: Summary) -> tuple[bool, bool]:
    """Whether JUnit and CTRF are red."""
    root = ET.fromstring(junit.render(summary).encode())  # noqa: S314  our own text
    results = json.loads(ctrf.render(summary))["results"]
    return (root.get("failures"), root.get("errors")) != ("0", "0"), results["summary"]["failed"] > 0


def test_too_few_tests_are_a_failing_case() -> None:
    summary = ended(one(Verdict.PASSED), one(Verdict.PASSED), least=5)
    assert summary.exit_code == 3
    assert gate_suite(summary) == [("min_tests", "2 gating tests finished, gate.min_tests is 5")]
    assert reds(summary) == (True, True)
    assert "gate.min_tests is 5" in markdown.render(summary)
    assert "gate.min_tests is 5" in html.render(summary)
    assert json.loads(jsondoc.render(summary))["gate"] == [
        {"name": "min_tests", "message": "2 gating tests finished, gate.min_tests is 5"}
    ]


def test_a_skip_that_fails_the_build_is_a_failing_case() -> None:
    summary = ended(one(Verdict.PASSED), one(Verdict.SKIPPED), on_skipped="fail")
    assert summary.exit_code == 1
    assert gate_suite(summary) == [("on_skipped", "1 entry was skipped, which fails: e1")]
    assert reds(summary) == (True, True)


def test_an_entry_called_gate_keeps_its_suite() -> None:
    plan = plan_of(entry("gate", "plain"), min_tests=2)
    closed = ev.EntryClosed(at=EPOCH, entry="gate", outcome=one(Verdict.PASSED))
    root = ET.fromstring(junit.render(summarise(fold(plan, [started(EPOCH, plan), closed]))).encode())  # noqa: S314
    assert len({suite.get("name") for suite in root}) == 2


@given(
    st.lists(
        st.builds(one, st.sampled_from(Verdict))
        | st.builds(lambda verdict: Outcome(verdict=verdict, counts={verdict: 2}), st.sampled_from(Verdict))
        | st.just(Outcome(verdict=Verdict.SKIPPED, cause=Cause.DEPENDENCY, message="needs x")),
        min_size=1,
        max_size=4,
    ),
    st.frozensets(st.integers(0, 3)),
    st.integers(0, 5),
    st.sampled_from([None, "pass", "fail"]),
    st.sampled_from([None, None, 1, 2, 15]),
)
def test_reports_are_red_exactly_where_the_exit_code_is(
    outcomes: list[Outcome], free: frozenset[int], least: int, on_skipped: OnSkipped | None, signal: int | None
) -> None:
    summary = ended(*outcomes, free=free, least=least, on_skipped=on_skipped, signal=signal)
    red = summary.exit_code != 0
    assert reds(summary) == (red, red)


def test_a_failure_that_does_not_gate_is_skipped_with_its_reason_in_both() -> None:
    summary = ended(one(Verdict.FAILED, message="no button"), one(Verdict.PASSED), free=frozenset({0}))
    assert summary.exit_code == 0
    (first, _) = json.loads(ctrf.render(summary))["results"]["tests"]
    assert (first["status"], first["rawStatus"]) == ("skipped", "failed")
    assert first["message"] == "failed, does not gate: no button"
    assert reds(summary) == (False, False)


@pytest.mark.parametrize("seconds", [1e306, LONGEST_S + 1, float("inf"), float("nan"), -1.0])
def test_a_duration_that_no_test_can_have_is_unknown(seconds: float) -> None:
    summary = ended(one(Verdict.PASSED, duration_s=seconds), Outcome(verdict=Verdict.PASSED, duration_s=seconds))
    for render in (jsondoc.render, junit.render, ctrf.render, markdown.render, html.render):
        assert "e+306" not in render(summary)
    (entry_,) = [row for row in json.loads(jsondoc.render(summary))["entries"] if row["id"] == "e0"]
    assert entry_["tests"][0]["duration_s"] is None


def test_two_million_counted_tests_cost_one_line_more_than_a_thousand() -> None:
    counted = Outcome(verdict=Verdict.PASSED, counts={Verdict.PASSED: 2_000_000})
    tests = json.loads(ctrf.render(ended(counted)))["results"]["tests"]
    assert len(tests) == 1001
    assert tests[-1]["name"] == "e0 passed: 1999000 more"
