"""How an apply ended, for people: what needs attention, where it is, and how to go on."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec import structs

from qarunner.app import reports
from qarunner.app.options import NextCommand
from qarunner.app.runs import Outlook
from qarunner.cli.console import open_console
from qarunner.cli.progress import line_of
from qarunner.cli.result import annotate, parting_words, show
from qarunner.engine.io.journal import read
from qarunner.engine.schedule.timing import DurationHistory
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import fold
from qarunner.errors import ExitCode
from qarunner.plan.model import from_json
from qarunner.report import FORMATS
from qarunner.report.summary import RunLink, headline, next_step, summarise
from qarunner.vendors.api import Case, Cause, Outcome, RemoteRun, Step, Verdict
from tests.fictional import entry, plan_of
from tests.worlds import EPOCH, started

if TYPE_CHECKING:
    from qarunner.report.summary import Summary

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "report"


def summary_of(case: str) -> Summary:
    folder = GOLDEN / case
    plan = from_json((folder / "plan.json").read_bytes(), path=folder)
    return summarise(fold(plan, read(folder).events))


def shown(summary: Summary, *, output: str = "text", quiet: bool = False) -> str:
    out = io.StringIO()
    console = open_console({}, output=output, quiet=quiet, out=out, err=io.StringIO())
    show(console, summary, Path(".qarunner/runs/r1"))
    return out.getvalue()


def ended(*outcomes: Outcome, free: bool = False) -> Summary:
    entries = [entry(f"e[n={number},x=1]", "plain", allow_failure=free) for number in range(len(outcomes))]
    plan = plan_of(*entries)
    closed = [
        ev.EntryClosed(at=EPOCH, entry=row.id, outcome=outcome) for row, outcome in zip(entries, outcomes, strict=True)
    ]
    return summarise(fold(plan, [started(EPOCH, plan), *closed]))


def test_a_green_run_is_a_table_and_nothing_more() -> None:
    assert shown(summary_of("everything-passes")) == (
        "   ENTRY             VENDOR  TESTS  TIME  RESULT\n"
        "✓  checkout/web      doksi     1/1   22s  passed\n"
        "↻  checkout/android  doksi     2/2   20s  flaky\n"
        "\nin all: 3 tests of 2 entries, 22s\n"
    )


def test_failures_name_the_test_the_reason_the_place_and_the_link() -> None:
    text = shown(summary_of("failures-and-blocked"))
    assert (
        "search[locale=en,tier=pro]: failed  qa-matrix.yml:34\n"
        "  1 of 3 tests failed\n"
        "  failed: Finds shoes (t1): expected 3 results, got 0\n"
        "    https://app.test/r/t1\n"
        "  blocked: Filters (t2): the account is locked\n"
    ) in text
    assert "Sorts" not in text


def test_what_goes_on_is_named_with_the_command_that_resumes_it() -> None:
    text = shown(summary_of("interrupted"))
    assert "still running at doksi: run r2 of running  https://app.test/runs/r2\n" in text
    assert text.count("still running") == 1
    assert "to go on: qarunner resume r1\n" in text


def test_many_runs_that_go_on_are_a_block_for_each_vendor() -> None:
    summary = summary_of("interrupted")
    link = RunLink(id="r", url="https://app.test/r", vendor="doksi", attempt=1, entries=("a", "b"))
    runs = [
        msgspec.structs.replace(link, id=f"r{number}", vendor=("doksi", "docketqa")[number > 2]) for number in range(60)
    ]
    text = shown(msgspec.structs.replace(summary, running=tuple(runs)))
    assert "still running at doksi: 3 runs; each with its link: qarunner status r1\n" in text
    assert "\n  r0 of a (+1), r1 of a (+1), r2 of a (+1)\n" in text
    assert "still running at docketqa: 57 runs" in text
    assert "and 17 more" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("\n") < 40


def test_what_is_uncertain_is_named_with_the_commands_that_decide_it() -> None:
    text = shown(summary_of("uncertain"))
    assert "uncertain: doksi-1 may or may not have started a run: no answer from doksi.test within 60 s\n" in text
    assert "qarunner resume r1 --resubmit doksi-1 " in text
    assert "qarunner resume r1 --drop doksi-1 " in text


def test_what_does_not_gate_says_so() -> None:
    summary = summary_of("allowed-to-fail")
    assert "failed (does not gate)" in shown(summary)
    assert headline(summary) == "qarunner: exit 0: 1 failed (does not gate), 1 error (does not gate), 2 passed"


def test_a_build_that_fails_for_what_was_skipped_says_so() -> None:
    summary = msgspec.structs.replace(
        ended(Outcome(verdict=Verdict.SKIPPED)), failed_by_skips_only=True, exit_code=ExitCode.FAILED
    )
    assert headline(summary) == "qarunner: exit 1: 1 skipped; a skipped test fails the build"


def test_too_few_tests_are_explained() -> None:
    summary = ended(Outcome(verdict=Verdict.SKIPPED))
    assert headline(summary) == "qarunner: exit 3: 1 skipped; 0 gating tests finished, gate.min_tests is 1"


def test_quiet_shows_what_failed_and_no_table() -> None:
    assert shown(summary_of("everything-passes"), quiet=True) == ""
    text = shown(summary_of("failures-and-blocked"), quiet=True)
    assert "Finds shoes" in text
    assert "ENTRY" not in text


def test_json_is_the_report_and_nothing_else() -> None:
    text = shown(summary_of("two-runs"), output="json")
    assert text == (GOLDEN / "two-runs" / "report.json").read_text(encoding="utf-8")
    assert json.loads(text)["exit_code"] == 1


@pytest.mark.parametrize("output", ["text", "github", "json"])
def test_no_output_holds_a_secret(output: str) -> None:
    text = shown(summary_of("secrets-masked"), output=output)
    assert "***" in text
    assert "⟦" not in text


def test_a_vendors_text_commands_neither_the_terminal_nor_the_ci_system() -> None:
    evil = "\x1b]0;x\x07\r\n::stop-commands::t\n##vso[task.complete]"
    case = Case(id="t1", verdict=Verdict.FAILED, name=evil, message=evil + "!", url="::add-mask::x")
    text = shown(ended(Outcome(verdict=Verdict.FAILED, cases=(case,), message=evil, url=evil)))
    assert text.replace("\n", "").isprintable()
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())
    assert "##vso[" not in text


def test_github_marks_the_manifests_lines_and_nobody_can_add_a_command() -> None:
    failed = Outcome(verdict=Verdict.FAILED, message="100%\n::error::x", url="https://app.test/1")
    assert marks(ended(failed)) == [
        "::error file=qa-matrix.yml,line=1,title=e[n=0%2Cx=1]::failed; 100%25 ::error::x; https://app.test/1"
    ]
    unavailable = Outcome(verdict=Verdict.ERROR, cause=Cause.UNAVAILABLE)
    assert marks(ended(unavailable, free=True)) == [
        "::warning file=qa-matrix.yml,line=1,title=e[n=0%2Cx=1]::error; allowed to fail"
    ]


def marks(summary: Summary) -> list[str]:
    out = io.StringIO()
    annotate(open_console({}, output="github", out=out, err=io.StringIO()), summary)
    return out.getvalue().splitlines()


def test_a_mark_names_the_tests_that_failed_and_is_short() -> None:
    cases = tuple(Case(id=f"t{number}", name=f"Test {number}", verdict=Verdict.FAILED) for number in range(5))
    lines = marks(ended(Outcome(verdict=Verdict.FAILED, cases=cases, message="\x1b[31m" + "x" * 3_000_000)))
    assert "::failed: Test 0, Test 1, Test 2 and 2 more;  [31mxxx" in lines[0]
    assert len(lines[0]) < 500
    assert lines[0].isprintable()


def test_github_gets_at_most_ten_marks_and_none_for_a_pass() -> None:
    many = [Outcome(verdict=Verdict.FAILED)] * 25
    assert len(marks(ended(*many))) == 10
    assert not marks(summary_of("everything-passes"))
    text = shown(ended(*many), output="github")
    assert text.count("::error ") == 10
    assert text.count("failed  qa-matrix.yml:1") == 25


def test_what_many_entries_have_in_common_is_told_once() -> None:
    """An interrupt of 36 entries is no wall of text in which the one failure is lost."""
    stopped = Outcome(verdict=Verdict.CANCELLED, message="cancelled at the vendor, since the apply was interrupted")
    failed = Outcome(verdict=Verdict.FAILED, message="Button 'Pay now' not found")
    lines = shown(ended(*[stopped] * 17, failed, *[stopped] * 18)).splitlines()
    assert len(lines) < 30
    assert "35 entries: cancelled at the vendor, since the apply was interrupted" in lines
    assert sum("Button 'Pay now' not found" in line for line in lines) == 1
    names = " ".join(lines)
    assert all(f"e[n={number},x=1]" in names for number in range(36))


def test_a_large_green_run_is_short() -> None:
    lines = shown(ended(*[Outcome(verdict=Verdict.PASSED)] * 199, Outcome(verdict=Verdict.FLAKY))).splitlines()
    assert lines == [
        "↻  1 entry flaky: e[n=199,x=1]",
        "✓  199 entries passed",
        "",
        "in all: 200 tests of 200 entries, 0s",
    ]


def test_one_failure_is_told_once() -> None:
    text = "Timed out waiting for the element [data-test=confirm]"
    case = Case(id="t1", name="Pay", verdict=Verdict.FAILED, message=text, url="https://app.test/t1")
    out = shown(ended(Outcome(verdict=Verdict.FAILED, cases=(case,), message=text)))
    assert out.count(text) == 1
    assert f"  failed: Pay (t1): {text}\n    https://app.test/t1\n" in out
    both = (case, msgspec.structs.replace(case, id="t2", name="Buy"))
    out = shown(ended(Outcome(verdict=Verdict.FAILED, cases=both)))
    assert out.count(text) == 1
    assert "  failed: Pay (t1)\n    https://app.test/t1\n  failed: Buy (t2)\n" in out


def test_entries_that_failed_alike_keep_their_places_and_links() -> None:
    """Only what nobody has to look at one by one is put together."""
    late = Outcome(verdict=Verdict.TIMED_OUT, message="no verdict within 2m", url="https://app.test/r")
    out = shown(ended(late, late))
    assert out.count("timed out  qa-matrix.yml:1") == 2
    away = Outcome(verdict=Verdict.ERROR, message="HTTP 401: no such key")
    assert "2 entries: error: HTTP 401: no such key\n" in shown(ended(away, away))


def test_a_rehearsal_names_the_same_commands_and_no_link_that_is_dead() -> None:
    plan = plan_of(*(entry(name, "plain") for name in "abc"))
    begun = structs.replace(started(EPOCH, plan), rehearsal=True)
    url = "https://app.vendor.example/t"
    step = Step(title="pay", verdict=Verdict.FAILED, screenshot_url=url)
    case = Case(id="t", verdict=Verdict.FAILED, url=url, video_url=url, steps=(step,))
    accepted = ev.Accepted(at=EPOCH, job="plain-1", runs=(RemoteRun(id="r9", url=url),))
    run = fold(
        plan,
        [
            begun,
            accepted,
            ev.Uncertain(at=EPOCH, job="plain-2", message="no answer"),
            ev.EntryClosed(at=EPOCH, entry="c", outcome=Outcome(verdict=Verdict.FAILED, cases=(case,), url=url)),
            ev.Interrupted(at=EPOCH, signal=2),
        ],
    )
    summary = summarise(run)
    text = shown(summary) + headline(summary) + "".join(reports.render(summary, form, str) for form in FORMATS)
    assert "qarunner resume r1 --resubmit plain-2" in text
    assert "to go on: qarunner resume r1" in text
    over = msgspec.structs.replace(summary, uncertain={}, running=(), unfinished=False, exit_code=ExitCode.FAILED)
    assert next_step(over) == ("rerun", "qarunner apply --rehearse --rerun-failed r1"), "a real one would be paid"
    last = list(parting_words(run, NextCommand(run_id="r1")))
    assert last[0] == "still running at plain: run r9 of a"
    assert "vendor.example" not in text + "".join(last) + (
        line_of(accepted, run, Outlook(durations=DurationHistory(run.plan, {}))) or ""
    )


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_names_of_entries_are_not_broken_by_a_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    console = open_console({"NO_COLOR": "1"}, out=io.StringIO(), err=io.StringIO())
    monkeypatch.setattr(console.out, "isatty", lambda: True)
    show(console, ended(*[Outcome(verdict=Verdict.CANCELLED, message="stopped")] * 12), Path(".qarunner/runs/r1"))
    assert isinstance(console.out, io.StringIO)
    block = [line for line in console.out.getvalue().splitlines() if line.startswith("  e[")]
    assert len(block) > (columns < 100)
    assert all(len(line) <= columns for line in block)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_rows_of_the_table_fit_a_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    console = open_console({"NO_COLOR": "1"}, out=io.StringIO(), err=io.StringIO())
    monkeypatch.setattr(console.out, "isatty", lambda: True)
    name = "billing-and-invoicing-with-vat-and-reverse-charge-of-23-countries"
    plan = plan_of(entry(name, "plain", allow_failure=True), entry("cart", "plain"))
    outcomes = {name: Outcome(verdict=Verdict.FAILED), "cart": Outcome(verdict=Verdict.PASSED)}
    closed = [ev.EntryClosed(at=EPOCH, entry=row, outcome=outcome) for row, outcome in outcomes.items()]
    show(console, summarise(fold(plan, [started(EPOCH, plan), *closed])), Path(".qarunner/runs/r1"))
    assert isinstance(console.out, io.StringIO)
    heading, failed, passed = console.out.getvalue().splitlines()[:3]
    assert max(map(len, (heading, failed, passed))) <= columns
    assert ("…" in failed) == (columns < 100)
    assert failed.endswith("  failed" if columns == 60 else "  failed (does not gate)")
    assert len(failed.split()[1]) >= 23, "an id is not cut to what nobody can read, as long as a remark can go"
    assert heading.index("VENDOR") == failed.index("plain") == passed.index("plain")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_row_without_room_for_a_remark_has_id_and_verdict(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    console = open_console({"NO_COLOR": "1"}, out=out, err=out)
    monkeypatch.setattr(out, "isatty", lambda: True)
    plan = plan_of(entry("billing-and-invoicing-with-vat", "plain", allow_failure=True), entry("cart", "plain"))
    closed = [ev.EntryClosed(at=EPOCH, entry=row.id, outcome=Outcome(verdict=Verdict.FAILED)) for row in plan.entries]
    show(console, summarise(fold(plan, [started(EPOCH, plan), *closed])), Path(".qarunner/runs/r1"))
    buffer = out.buffer
    assert isinstance(buffer, io.BytesIO)
    _, row, *_ = buffer.getvalue().decode(encoding).splitlines()
    assert len(row) <= 50
    assert re.search(r"(…|\.\.\.).*  failed$", row)
