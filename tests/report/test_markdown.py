from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from qarunner.app.reports import add_step_summary
from qarunner.engine.io.journal import read
from qarunner.engine.state.run import fold
from qarunner.errors import ExitCode
from qarunner.plan.model import from_json
from qarunner.report import markdown
from qarunner.report.summary import RunLink, headline, last_line, resume_of, summarise
from tests.report.large import large_summary

if TYPE_CHECKING:
    from qarunner.report.summary import Summary

ROOT = Path(__file__).resolve().parent.parent / "golden" / "report"


def summary_of(case: str) -> Summary:
    plan = from_json((ROOT / case / "plan.json").read_bytes(), path=ROOT / case)
    return summarise(fold(plan, read(ROOT / case).events))


def test_what_does_not_fit_is_counted_and_failures_stay() -> None:
    text = markdown.render(summary_of("failures-and-blocked"), limit=1000)
    assert len(text.encode()) <= 1000
    assert "`search[locale=en,tier=pro]`: failed" in text
    assert "<details>" not in text
    assert re.search(r"_\d+ smaller parts? do(es)? not fit here", text)


def test_nobodys_words_are_markup() -> None:
    """Outside of code spans stand our own words and links alone."""
    text = markdown.render(summary_of("odd-characters"))
    outside = re.sub(r"`[^`\n]*`", "", text)
    assert "<b>" not in outside
    assert "\x1b" not in text


def test_a_link_is_one_beyond_doubt() -> None:
    assert markdown._link("`x`", "https://a.example/r/1?q=2") == "[`x`](https://a.example/r/1?q=2)"
    for url in ("javascript:alert(1)", "https://a.example/) [click](https://evil.example", "https://a b", None):
        assert markdown._link("`x`", url) == "`x`"


def test_a_step_summary_is_added_to_and_stays_below_what_github_shows(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    path.write_text("earlier\n", encoding="utf-8")
    assert add_step_summary({"GITHUB_STEP_SUMMARY": str(path)}, summary_of("everything-passes")) is None
    assert path.read_text(encoding="utf-8").startswith("earlier\n### ✅ ")
    path.write_text("x" * (markdown.STEP_SUMMARY - 1500), encoding="utf-8")
    add_step_summary({"GITHUB_STEP_SUMMARY": str(path)}, summary_of("failures-and-blocked"))
    assert path.stat().st_size < markdown.STEP_SUMMARY


def test_a_step_summary_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    problem = add_step_summary({"GITHUB_STEP_SUMMARY": str(tmp_path)}, summary_of("everything-passes"))
    assert problem is not None
    assert "cannot be written" in problem


def test_without_github_nothing_is_written() -> None:
    assert add_step_summary({}, summary_of("everything-passes")) is None


@pytest.mark.parametrize("case", sorted(path.parent.name for path in ROOT.glob("*/journal.jsonl")))
def test_a_page_has_every_entry(case: str) -> None:
    summary = summary_of(case)
    text = markdown.render(summary)
    for row in summary.entries:
        assert f"| `{row.entry.id}`" in text


def test_line_ends_are_line_ends_and_stay_in_code() -> None:
    assert markdown._text("first `line`\n\n@all <b>\r\nthird") == "`first \\x60line\\x60`<br>`@all <b>`<br>`third`"
    assert markdown._text("\n".join("abcdefghijklmnop")).endswith("<br>… 4 more lines")


def test_as_much_of_a_large_matrix_as_fits() -> None:
    text = markdown.render(large_summary(3000), limit=200_000)
    assert 150_000 < len(text.encode()) <= 200_000
    assert text.index("flow-00003") < text.index("entries 1 to 200")
    assert text.count("<details>") == text.count("</details>") > 3
    assert "smaller parts do not fit here: `report.json` in the run's folder has everything" in text


def test_many_runs_that_go_on_are_one_note_for_each_vendor() -> None:
    link = RunLink(id="r", url="https://app.test/r", vendor="doksi", attempt=1, entries=("a",))
    runs = [
        msgspec.structs.replace(link, id=f"r{number}", vendor=("doksi", "docketqa")[number > 2]) for number in range(60)
    ]
    page = markdown.render(msgspec.structs.replace(large_summary(1), running=tuple(runs)))
    assert page.count("**still running**") == 2
    assert "> ⚠️ **still running** at `doksi`: 3 runs: [`r0`](https://app.test/r) of `a`, [`r1`]" in page
    assert "57 runs" in page
    assert ", and 37 more: `qarunner status` lists all of them" in page


def test_a_run_that_goes_on_with_a_create_in_doubt_asks_for_the_decision_alone() -> None:
    goes_on = msgspec.structs.replace(
        summary_of("interrupted"), exit_code=ExitCode.NO_VERDICT, unfinished=True, uncertain={}
    )
    assert headline(goes_on).endswith(f"; to go on: {resume_of(goes_on)}")
    assert last_line(goes_on) == headline(goes_on)
    doubted = msgspec.structs.replace(goes_on, uncertain={"doksi-9": "its answer was lost"}, repeatable=frozenset())
    assert "to go on" not in last_line(doubted)
    assert last_line(doubted).endswith(f"; decide: qarunner status {doubted.run_id}")
