"""The history of many runs: what it says, and that no trouble with its file is more than a warning."""

from __future__ import annotations

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from qarunner.app.history import History, rows_of
from qarunner.app.options import HistoryOptions
from qarunner.cli.commands.history import history as show_history
from qarunner.cli.console import open_console
from qarunner.engine.decide.trend import News, Past, trend
from qarunner.history import index as index_module
from qarunner.history.index import Index
from qarunner.paths import history_file
from qarunner.vendors.api import Verdict
from tests.report.large import large_summary
from tests.report.test_markdown import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qarunner.report.summary import Summary

P, F, K, S = Verdict.PASSED, Verdict.FAILED, Verdict.FLAKY, Verdict.SKIPPED


def pasts(*verdicts: Verdict, took: float = 10.0, commit: str | None = None) -> list[Past]:
    return [
        Past(run=f"r{number}", verdict=verdict, at=-number, duration_s=took, commit=commit)
        for number, verdict in enumerate(verdicts, 1)
    ]


@pytest.mark.parametrize(
    ("now", "earlier", "told"),
    [
        (F, (P, P), ("new failure",)),
        (F, (F, F, P), ("failing for 3 runs",)),
        (P, (F, P), ("fixed",)),
        (P, (P, P), ()),
        (F, (S, P), ("new failure",)),
        (K, (P, K, P), ("flaky 2 of 4",)),
        (Verdict.TIMED_OUT, (), ("new failure",)),
        (S, (F, F), ()),
    ],
)
def test_what_a_result_is_beside_earlier_ones(
    now: Verdict, earlier: tuple[Verdict, ...], told: tuple[str, ...]
) -> None:
    found = trend(pasts(*earlier), Past(run="now", verdict=now, at=0.0, duration_s=10.0))
    assert found is not None
    assert found.words == told


def test_a_failure_at_a_commit_that_passed_too_is_flaky() -> None:
    found = trend(pasts(P, commit="c1"), Past(run="now", verdict=F, at=0.0, commit="c1"))
    assert found is not None
    assert (found.flaky, found.news, found.since) == (1, News.NEW, "now")


def test_slower_than_usual_is_said_of_what_has_a_habit() -> None:
    slow = Past(run="now", verdict=P, at=0.0, duration_s=30.0)
    assert [found and found.slower for found in (trend(pasts(P, P, P), slow), trend(pasts(P), slow))] == [True, False]


# --- runs join it -----------------------------------------------------------------------------------------------------


def at(summary: Summary, hours: int, run_id: str, git: Mapping[str, str | None] | None = None) -> Summary:
    began = f"2026-09-21T{hours:02}:00:00.000Z"
    return replace(summary, run_id=run_id, started_at=began, git=git or {"branch": "main", "sha": run_id})


def with_verdict(summary: Summary, verdict: Verdict) -> Summary:
    return replace(summary, entries=tuple(replace(row, verdict=verdict) for row in summary.entries))


def runs_in(tmp_path: Path) -> Path:
    runs = tmp_path / ".qarunner" / "runs"
    runs.mkdir(parents=True)
    return runs


ONE = large_summary(1)


def news_of(summary: Summary) -> News | None:
    return summary.entries[0].trend.news if summary.entries[0].trend else None


def test_a_pull_request_is_compared_with_its_target(tmp_path: Path) -> None:
    runs = runs_in(tmp_path)
    here = History(runs, {})
    here.keep(at(with_verdict(ONE, P), 1, "m1"))
    here.keep(at(with_verdict(ONE, F), 2, "b1", {"branch": "topic"}))
    now = at(with_verdict(ONE, F), 3, "b2", {"branch": "topic"})
    assert news_of(History(runs, {}).about(now)) is News.KNOWN
    pull = {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main"}
    found = History(runs, pull).about(now)
    assert (found.compared, news_of(found)) == ("main", News.NEW)
    assert History(runs, {}).about(at(ONE, 0, "first")).compared is None, "later runs are no past"
    assert here.trouble is None


def test_it_is_made_again_from_the_folders_of_runs_and_keeps_what_was_pruned(tmp_path: Path) -> None:
    runs = runs_in(tmp_path)
    for name in ("everything-passes", "failures-and-blocked"):
        folder = runs / f"run-{name}"
        folder.mkdir()
        for file in ("plan.json", "journal.jsonl"):
            shutil.copy(ROOT / name / file, folder / file)
    assert len({run.id for run, _ in History(runs, {}).results(rehearsal=False)}) == 2
    shutil.rmtree(runs / "run-everything-passes")
    assert len({run.id for run, _ in History(runs, {}).results(rehearsal=False)}) == 2
    history_file(runs).write_bytes(b"SQLite format 3\0" + b"garbage" * 1000)
    damaged = History(runs, {})
    assert {run.id for run, _ in damaged.results(rehearsal=False)} == {"run-failures-and-blocked"}
    assert damaged.trouble is not None
    assert "made again from the stored runs" in damaged.trouble


def test_a_locked_file_costs_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_PATIENCE_S", 0.05)
    runs = runs_in(tmp_path)
    History(runs, {}).keep(at(ONE, 1, "r1"))
    with sqlite3.connect(history_file(runs), isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        locked = History(runs, {})
        summary = at(ONE, 2, "r2")
        assert locked.about(summary) is summary
        monkeypatch.setattr(index_module, "Index", None)  # it is waited for once
        locked.keep(summary)
        assert locked.results(rehearsal=False) == []
        assert locked.trouble == "cannot be used: database is locked"
        other.execute("ROLLBACK")
    other.close()


def test_an_empty_answer_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(index_module, "_PATIENCE_S", 0.05)
    runs = runs_in(tmp_path)

    def said(*, rehearsals: bool) -> str:
        show_history(open_console({}), {}, HistoryOptions(runs_dir=runs, rehearsals=rehearsals))
        return capsys.readouterr().err

    assert "there is no such run in" in said(rehearsals=False)
    History(runs, {}).keep(replace(at(ONE, 1, "r1"), rehearsal=True))
    assert said(rehearsals=False) == "no result: only rehearsals have ended: qarunner history --rehearsals\n"
    assert said(rehearsals=True) == ""
    with sqlite3.connect(history_file(runs), isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert said(rehearsals=True).splitlines()[-1] == "no result: the history could not be read"
        other.execute("ROLLBACK")
    other.close()


def test_a_file_that_is_not_ours_is_neither_believed_nor_followed(tmp_path: Path) -> None:
    runs = runs_in(tmp_path)
    file = history_file(runs)
    foreign = sqlite3.connect(file)
    foreign.execute("CREATE VIEW runs AS WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n FROM x) SELECT n FROM x")
    foreign.commit()
    foreign.close()
    History(runs, {}).keep(at(ONE, 1, "r1"))
    assert len(History(runs, {}).results(rehearsal=False)) == 1
    newer = sqlite3.connect(file)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    found = History(runs, {})
    assert found.results(rehearsal=False) == []
    assert found.trouble == "cannot be used: a newer qarunner has written it"
    elsewhere = tmp_path / "elsewhere.db"
    shutil.copy(file, elsewhere)
    before = elsewhere.read_bytes()
    file.unlink()
    try:
        file.symlink_to(elsewhere)
    except OSError:
        pytest.skip("this system makes no links")
    linked = History(runs, {})
    linked.keep(at(ONE, 1, "r2"))
    assert "is a link" in (linked.trouble or "")
    assert elsewhere.read_bytes() == before


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "MOST_RUNS", 3)
    here = History(runs_in(tmp_path), {})
    for hour in range(6):
        here.keep(at(ONE, hour, f"r{hour}"))
    assert [run.id for run, _ in here.results(rehearsal=False)] == ["r5", "r4", "r3"]


def test_two_applies_at_once_lose_nothing(tmp_path: Path) -> None:
    runs = runs_in(tmp_path)
    file = history_file(runs)

    def keep(number: int) -> None:
        with Index(file) as index:
            index.add(*rows_of(at(ONE, 1, f"r{number}"), number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, range(20)))
    assert len(History(runs, {}).results(rehearsal=False)) == 20


def test_it_lies_beside_the_runs_of_the_project_or_in_a_folder_that_was_named(tmp_path: Path) -> None:
    assert history_file(tmp_path / ".qarunner" / "runs") == tmp_path / ".qarunner" / "history.db"
    assert history_file(tmp_path / "elsewhere") == tmp_path / "elsewhere" / "history.db"
