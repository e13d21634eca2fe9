"""Which runs are kept: for people in lines that fit, for programs in exact values."""

from __future__ import annotations

import io
import json
from pathlib import Path
from shutil import copytree
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from qarunner.app.options import RunsOptions, StatusOptions
from qarunner.app.runs import find_run
from qarunner.cli.commands import runs as commands
from qarunner.cli.console import open_console
from qarunner.engine.io.journal import Journal, by_age
from qarunner.engine.state import events as ev
from qarunner.engine.state.events import Who
from qarunner.errors import UserError
from qarunner.plan.model import to_json
from qarunner.text import ago, cells, pieces_of
from qarunner.vendors.api import Outcome, RemoteRun, Verdict
from tests.fictional import entry, plan_of
from tests.worlds import EPOCH, started

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qarunner.cli.console import Console
    from qarunner.plan.model import Plan

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "report"
LONG = "checkout-of-a-returning-customer-with-a-voucher/android"
OURS = Who(actor="octocat", pipeline="github: shop/7", job="qa", attempt=2)


def console(output: str = "text") -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return open_console({}, output=output, out=out, err=io.StringIO()), out


def begun(runs: Path, name: str, plan: Plan, *events: ev.Event) -> None:
    """A run of this name that is on disk, begun by a CI job of ours."""
    first = structs.replace(started(EPOCH, plan), run_id=name, who=OURS)
    with Journal.create(runs / name, to_json(plan), first) as journal:
        for event in events:
            journal.append(event)


def text(lines: Sequence[object]) -> list[str]:
    return ["".join(str(getattr(piece, "text", piece)) for piece in pieces_of(line)) for line in lines]  # type: ignore[arg-type]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The runs of the golden cases, and one that goes on."""
    for case in ("everything-passes", "failures-and-blocked", "timed-out"):
        copytree(GOLDEN / case, tmp_path / "runs" / case)
    plan = plan_of(entry(LONG, "plain"), entry("b", "plain"))
    begun(tmp_path / "runs", "open", plan)
    return tmp_path / "runs"


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_a_list_of_runs_fits_its_terminal(kept: Path, columns: int) -> None:
    shown, _ = console()
    standings = [commands._read(shown, folder) for folder in by_age(kept)]
    lines = text(list(commands._table(standings, EPOCH + 240, columns)))
    assert max(map(cells, lines)) <= columns
    assert [line.split()[0] for line in lines[1:]] == [standing.folder.name for standing in standings]
    assert ("4 min ago" in "\n".join(lines)) == (columns >= 80)
    assert "octocat" in "\n".join(text(list(commands._table(standings, EPOCH, None))))


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_heads_of_entries_fit_a_terminal(kept: Path, columns: int) -> None:
    shown, _ = console()
    standing = commands._read(shown, kept / "open")
    (first,) = [line for line in text(list(commands._text(standing, EPOCH, columns))) if line.startswith("· check")]
    assert cells(first) <= columns
    assert first.endswith("waiting")


def test_the_newest_run_is_first_whatever_runs_are_called(tmp_path: Path) -> None:
    plan = plan_of(entry("a", "plain"))
    for name, at in {"b": EPOCH + 20, "a": EPOCH + 10, "c": EPOCH + 30, "z": EPOCH}.items():
        Journal.create(tmp_path / name, to_json(plan), structs.replace(started(at, plan), run_id=name)).close()
    (tmp_path / ".limits").mkdir()
    assert [folder.name for folder in by_age(tmp_path)] == ["c", "b", "a", "z"]
    with pytest.raises(UserError) as caught:
        find_run(tmp_path, "nosuch")
    assert str(caught.value.hint) == "there are: c, b, a, z"


def test_counts_of_tests_are_called_so_and_the_worst_is_first(kept: Path) -> None:
    shown, _ = console()
    (line,) = text(list(commands._table([commands._read(shown, kept / "failures-and-blocked")], EPOCH, None)))[1:]
    assert "exit 1: 1 failed, 2 blocked, 1 skipped, 1 passed" in line
    plan = plan_of(entry("a", "plain"), entry("b", "plain"))
    begun(kept, "half", plan, ev.EntryClosed(at=EPOCH, entry="a", outcome=Outcome(verdict=Verdict.TIMED_OUT)))
    (line,) = text(list(commands._table([commands._read(shown, kept / "half")], EPOCH, None)))[1:]
    assert "interrupted: 1/2 entries closed; tests: 1 timed out" in line


def test_programs_read_exact_values(kept: Path) -> None:
    shown, out = console("json")
    assert commands.runs(shown, {}, RunsOptions(runs_dir=kept)) == 0
    row = next(row for row in json.loads(out.getvalue())["runs"] if row["id"] == "open")
    assert (row["started_at"], row["ci"]) == (row["updated_at"], {**row["ci"], **OURS.facts()})
    shown, out = console("json")
    assert commands.status(shown, {}, StatusOptions(runs_dir=kept, run_id="timed-out")) == 0
    document = json.loads(out.getvalue())
    assert document["totals"].keys() <= {"timed_out", "failed", "passed", "flaky", "skipped"}
    assert isinstance(document["duration_s"], float)


def test_every_vendor_run_is_a_line_with_the_same_keys(kept: Path) -> None:
    plan = plan_of(*(entry(name, "plain") for name in "abc"))
    accepted = ev.Accepted(at=EPOCH + 1, job="plain-1", runs=(RemoteRun(id="r9", url="https://v.example/r9"),))
    lost = ev.Uncertain(at=EPOCH + 2, job="plain-2", message="no answer")
    ended = ev.RunFinishedRemotely(
        at=EPOCH + 5, job="plain-3", run="r8", outcomes={"c": Outcome(verdict=Verdict.PASSED)}
    )
    begins = ev.Accepted(at=EPOCH + 1, job="plain-3", runs=(RemoteRun(id="r8"),))
    begun(kept, "exported", plan, accepted, begins, lost, ended)
    shown, out = console()
    assert commands.runs(shown, {}, RunsOptions(runs_dir=kept, export="jsonl")) == 0
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len({tuple(line) for line in lines}) == 1
    going, doubtful, over = [line for line in lines if line["run"] == "exported"]
    assert (going["vendor_run"], going["vendor_state"], going["actor"]) == ("r9", "running", "octocat")
    assert (doubtful["vendor_run"], doubtful["vendor_state"], doubtful["entries"]) == (None, "uncertain", ["b"])
    assert (over["duration_s"], over["tests"], over["results"]) == (4.0, 1, {"unknown": 1})


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s ago"),
        (0.4, "0 s ago"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7200, "2 h ago"),
        (1e7, "115 days ago"),
    ],
)
def test_ages(seconds: float, words: str) -> None:
    assert ago(seconds) == words
