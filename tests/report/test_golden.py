"""Every folder of tests/golden/report is a case: what becomes of `plan.json` and `journal.jsonl`.

A case's events need not be complete: what an apply left behind can be reported at any time.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft7Validator

from qarunner.engine.io.journal import read
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import fold
from qarunner.plan.model import from_json
from qarunner.report import ctrf, html, junit, markdown
from qarunner.report import json as jsondoc
from qarunner.report.summary import headline, summarise

if TYPE_CHECKING:
    from qarunner.report.summary import Summary

ROOT = Path(__file__).resolve().parent.parent / "golden" / "report"
CASES = sorted(path.parent.name for path in ROOT.glob("*/journal.jsonl"))
FORMATS = {
    "report.json": jsondoc.render,
    "junit.xml": junit.render,
    "ctrf.json": ctrf.render,
    "report.md": markdown.render,
    "report.html": html.render,
}


@pytest.fixture(params=CASES)
def folder(request: pytest.FixtureRequest) -> Path:
    """The folder of a case."""
    return ROOT / str(request.param)


def summary_of(folder: Path) -> Summary:
    plan = from_json((folder / "plan.json").read_bytes(), path=folder)
    return summarise(fold(plan, read(folder).events))


def document(folder: Path) -> Any:  # noqa: ANN401
    return json.loads(jsondoc.render(summary_of(folder)))


def suites(folder: Path) -> ET.Element:
    return ET.fromstring(junit.render(summary_of(folder)).encode())  # noqa: S314  our own text


WHOLE_PAGE = "failures-and-blocked"
"""The case that holds an HTML page whole. The others leave out style and script, the same in all of them."""


@pytest.mark.parametrize("name", FORMATS)
def test_golden(folder: Path, name: str, request: pytest.FixtureRequest) -> None:
    text = FORMATS[name](summary_of(folder))
    if name == "report.html" and folder.name != WHOLE_PAGE:
        text = re.sub(r"<(style|script)>.*?</\1>", r"<\1></\1>", text, flags=re.DOTALL)
        text = re.sub("sha256-[^&]*", "sha256-", text)
    if request.config.getoption("--update-golden", default=False):
        (folder / name).write_bytes(text.encode())
    assert text.encode() == (folder / name).read_bytes()


def test_the_code_in_the_report_is_the_one_that_the_apply_ended_with(folder: Path) -> None:
    last = read(folder).events[-1]
    assert isinstance(last, ev.RunFinished)
    assert document(folder)["exit_code"] == last.exit_code
    assert headline(summary_of(folder)).startswith(f"qarunner: exit {last.exit_code}: ")


def test_the_json_report_has_the_documented_keys(folder: Path) -> None:
    report = document(folder)
    top = (
        "version",
        "run_id",
        "name",
        "verdict",
        "exit_code",
        "started_at",
        "finished_at",
        "git",
        "ci",
        "totals",
        "entries",
    )
    assert set(top) <= set(report)
    totals = "tests passed failed blocked flaky skipped error timed_out cancelled unknown"
    assert set(report["totals"]) == set(totals.split())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", report["finished_at"])
    entry = "id vendor platform verdict gating reason file line runs duration_s tests"
    test = "id name verdict raw_status duration_s url attempt message steps"
    for row in report["entries"]:
        assert set(entry.split()) <= set(row)
        assert all(set(run) >= {"id", "url", "attempt"} for run in row["runs"])
        for case in row["tests"]:
            assert set(test.split()) <= set(case)
            assert all(set(step) >= {"title", "verdict", "message", "screenshot_url"} for step in case["steps"])


def test_the_totals_count_every_test_once(folder: Path) -> None:
    report = document(folder)
    totals = report["totals"]
    assert totals["tests"] == sum(number for name, number in totals.items() if name != "tests") > 0
    assert totals["tests"] == sum(sum(row["counts"].values()) for row in report["entries"])
    for row in report["entries"]:
        if row["tests"]:
            assert Counter(test["verdict"] for test in row["tests"]) == row["counts"]


def test_junit_counts_what_it_holds(folder: Path) -> None:
    root = suites(folder)
    assert len(root) == len(document(folder)["entries"]) + bool(document(folder)["gate"])
    for element in (root, *root.findall("testsuite")):
        assert element.get("tests") == str(len(list(element.iter("testcase"))))
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            if attribute in element.keys():  # noqa: SIM118  an element's length is that of its children
                assert element.get(attribute) == str(len(list(element.iter(tag))))


def test_junit_names_are_unique_and_point_at_the_manifest(folder: Path) -> None:
    cases = [case for case in suites(folder).iter("testcase") if case.get("classname") != "gate"]
    names = Counter((case.get("classname"), case.get("name")) for case in cases)
    assert set(names.values()) == {1}
    assert all((case.get("file"), case.get("line", "").isdecimal()) == ("qa-matrix.yml", True) for case in cases)


def test_a_suite_is_red_exactly_where_something_gating_did_not_pass(folder: Path) -> None:
    for row, suite in zip(document(folder)["entries"], suites(folder), strict=False):
        red = suite.get("failures") != "0" or suite.get("errors") != "0"
        assert red == (row["gating"] and row["verdict"] not in {"passed", "flaky", "skipped"})


def test_reports_that_machines_read_are_red_exactly_where_the_apply_is(folder: Path) -> None:
    root, results = suites(folder), json.loads(ctrf.render(summary_of(folder)))["results"]
    red = document(folder)["exit_code"] != 0
    assert (root.get("failures") != "0" or root.get("errors") != "0") == red
    assert (results["summary"]["failed"] > 0) == red


def test_ctrf_is_valid_by_its_published_schema(folder: Path) -> None:
    schema = json.loads(Path(__file__).with_name("ctrf-schema-0.0.json").read_text(encoding="utf-8"))
    report = json.loads((folder / "ctrf.json").read_text(encoding="utf-8"))
    assert [error.message for error in Draft7Validator(schema).iter_errors(report)] == []


def test_no_report_holds_a_placeholder_or_what_xml_cannot_hold(folder: Path) -> None:
    summary = summary_of(folder)
    xml = junit.render(summary)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", xml)
    for text in (xml, jsondoc.render(summary), headline(summary)):
        assert "⟦" not in text
        assert "secret:" not in text
