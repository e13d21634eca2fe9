"""Reports as files: asked for before anything is sent, each written whole, none hindered by another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from qarunner.app.reports import ReportTarget, refused_leaves_none, render, targets_of, write
from qarunner.errors import RunInUse, UserError
from qarunner.report import ctrf
from qarunner.report.summary import summarise
from tests.fictional import VENDORS, Backend, entry, plan_of
from tests.worlds import Story

if TYPE_CHECKING:
    from qarunner.report.summary import Summary

RUNS = Path("runs")
SUMMARY = summarise(Story(plan_of(entry("a", "plain")), VENDORS, Backend()).drive().run)


def test_reports_are_asked_for_by_format_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert targets_of(["json=a=b.json", "junit=out/qa.xml"], RUNS, {}) == (
        ReportTarget(format="json", path=Path("a=b.json"), named=True),
        ReportTarget(format="junit", path=Path("out/qa.xml"), named=True),
    )


@pytest.mark.parametrize("word", ["json", "json=", "=x", "xml=x", "JSON=x", "jnuit=x"])
def test_what_is_no_report_is_said_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fine.json").touch()
    with pytest.raises(UserError, match="--report") as caught:
        targets_of([word, "zzz", "json=fine.json"], RUNS, {})
    assert caught.value.hint
    assert "--report zzz" in caught.value.details[0], "all problems at once"
    assert not (tmp_path / "fine.json").exists()


def test_a_misspelt_format_is_recognised() -> None:
    with pytest.raises(UserError) as caught:
        targets_of(["jnuit=x"], RUNS, {})
    assert "did you mean 'junit'?" in (caught.value.hint or "")


def test_each_format_is_what_it_says() -> None:
    assert json.loads(render(SUMMARY, "json"))["verdict"] == "passed"
    assert ET.fromstring(render(SUMMARY, "junit").encode()).tag == "testsuites"  # noqa: S314  our own text


@pytest.mark.parametrize("path", ["file/b.json", "folder"])
def test_a_report_that_cannot_be_written_is_found_out_before_anything_is_paid(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="--report json="):
        targets_of([f"json={tmp_path / path}"], RUNS, {})


def test_a_report_that_cannot_be_written_does_not_hinder_the_others(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    reports = (
        ReportTarget(format="json", path=tmp_path / "deep" / "er" / "a.json"),
        ReportTarget(format="json", path=tmp_path / "file" / "b.json"),
        ReportTarget(format="junit", path=tmp_path / "folder"),
        ReportTarget(format="junit", path=tmp_path / "c.xml"),
    )
    problems = write(SUMMARY, reports)
    assert [problem.partition(": ")[0] for problem in problems] == [
        f"--report json={tmp_path / 'file' / 'b.json'}",
        f"--report junit={tmp_path / 'folder'}",
    ]
    assert all("cannot be written: " in problem for problem in problems)
    assert (tmp_path / "deep" / "er" / "a.json").read_text(encoding="utf-8") == render(SUMMARY, "json")
    assert (tmp_path / "c.xml").read_text(encoding="utf-8") == render(SUMMARY, "junit")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder", "deep", "c.xml"}


def test_a_format_that_fails_on_a_result_does_not_hinder_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(summary: Summary) -> str:
        raise OverflowError(summary.name)

    monkeypatch.setattr(ctrf, "render", fail)
    reports = tuple(ReportTarget(format=form, path=tmp_path / form) for form in ("ctrf", "junit", "json"))
    (problem,) = write(SUMMARY, reports)
    assert problem == f"--report ctrf={tmp_path / 'ctrf'}: a bug in qarunner: OverflowError"
    assert {path.name for path in tmp_path.iterdir()} == {"junit", "json"}


def test_where_a_run_is_refused_no_earlier_report_stays_but_one_of_a_process_that_drives_it(tmp_path: Path) -> None:
    target = ReportTarget(format="junit", path=tmp_path / "qa.xml")
    for error, stays in ((RunInUse("another process drives it"), True), (UserError("no such entry"), False)):
        target.path.write_text("<testsuites />")
        with pytest.raises(type(error)), refused_leaves_none([target], tmp_path / "runs", {}):
            raise error
        assert target.path.exists() is stays
