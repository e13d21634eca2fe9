"""Names in JUnit: whatever vendors call their tests, no two of one suite are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from qarunner.engine.state import events as ev
from qarunner.engine.state.run import fold
from qarunner.report import json as jsondoc
from qarunner.report import junit
from qarunner.report.summary import summarise
from qarunner.vendors.api import Case, Outcome, Verdict
from tests.fictional import entry, plan_of
from tests.worlds import EPOCH, started

if TYPE_CHECKING:
    from qarunner.report.summary import Summary

PLAN = plan_of(entry("e", "plain"))
NAMES = st.sampled_from(["a", "a\x01", "a #2", "a #3", "⟦secret:X⟧", "⟦secret:Y⟧", "", "]]>"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=5
)
CASES = st.lists(
    st.builds(Case, id=NAMES, name=st.none() | NAMES, verdict=st.sampled_from(Verdict), message=st.none() | NAMES),
    max_size=6,
)


def reported(*cases: Case) -> Summary:
    outcome = Outcome(verdict=Verdict.FAILED, cases=cases)
    return summarise(fold(PLAN, [started(EPOCH, PLAN), ev.EntryClosed(at=EPOCH, entry="e", outcome=outcome)]))


def names(*cases: Case) -> list[str | None]:
    root = ET.fromstring(junit.render(reported(*cases)).encode())  # noqa: S314  our own text
    return [case.get("name") for case in root.iter("testcase")]


@given(CASES)
def test_whatever_tests_are_called_the_file_is_well_formed_and_names_are_unique(cases: list[Case]) -> None:
    shown = names(*cases)
    assert len(shown) == len(set(shown))
    assert len(shown) >= len(cases)
    assert "⟦secret" not in jsondoc.render(reported(*cases))


def test_a_test_is_named_as_people_know_it_with_its_id() -> None:
    failed = Verdict.FAILED
    assert names(Case(id="t1", name="Login", verdict=failed), Case(id="t2", verdict=failed)) == ["Login (t1)", "t2"]


def test_a_repeated_name_gets_the_next_number_that_nobody_has() -> None:
    cases = [Case(id=name, verdict=Verdict.FAILED) for name in ("x", "x #2", "x", "x", "x\x02")]
    assert names(*cases) == ["x", "x #2", "x #3", "x #4", "x #5"]
