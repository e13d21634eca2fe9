"""Earlier durations are read within bounds, and whatever cannot be read is left out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from qarunner.history import durations as history
from tests.amount import no_long_time

if TYPE_CHECKING:
    from pathlib import Path


def run(runs: Path, name: str, took: dict[str, list[float]], *, rehearsal: bool = False) -> Path:
    (runs / name).mkdir(parents=True, exist_ok=True)
    history.keep(runs / name, took, rehearsal=rehearsal)
    return runs / name / history.DURATIONS


def test_the_newest_runs_come_first(tmp_path: Path) -> None:
    for number in range(15):
        os.utime(run(tmp_path, f"r{number}", {"a": [float(number)]}), (number, number))
    assert history.recall(tmp_path, rehearsal=False) == {"a": [float(number) for number in range(14, 4, -1)]}


def test_a_resume_adds_to_what_its_run_has_learnt(tmp_path: Path) -> None:
    run(tmp_path, "r1", {"a": [1.0]})
    run(tmp_path, "r1", {"a": [2.0], "b": [3.0]})
    run(tmp_path, "r1", {})
    assert history.recall(tmp_path, rehearsal=False) == {"a": [1.0, 2.0], "b": [3.0]}


def test_a_rehearsal_teaches_rehearsals_alone(tmp_path: Path) -> None:
    run(tmp_path, "r1", {"a": [1.0]}, rehearsal=True)
    assert history.recall(tmp_path, rehearsal=False) == {}
    assert history.recall(tmp_path, rehearsal=True) == {"a": [1.0]}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2, "rehearsal": false, "took": {"a": [1.0]}}', "\x00\xff"]
)
def test_what_is_torn_or_foreign_is_left_out(tmp_path: Path, text: str) -> None:
    run(tmp_path, "r1", {"b": [1.0]})
    run(tmp_path, "r2", {"a": [1.0]}).write_text(text, encoding="latin-1")
    run(tmp_path, "r3", {"c": [1e30]})
    assert history.recall(tmp_path, rehearsal=False) == {"b": [1.0]}


def test_what_goes_away_while_it_is_looked_for_is_left_out(tmp_path: Path) -> None:
    """A name that leads nowhere: it was listed, and there is no file behind it."""
    run(tmp_path, "r1", {"b": [1.0]})
    gone = run(tmp_path, "r2", {"a": [1.0]})
    gone.unlink()
    try:
        gone.symlink_to(tmp_path / "nowhere")
    except OSError:
        pytest.skip("Windows makes links for administrators alone")
    assert history.recall(tmp_path, rehearsal=False) == {"b": [1.0]}


def test_no_folder_is_no_history(tmp_path: Path) -> None:
    assert history.recall(tmp_path / "none", rehearsal=False) == {}


def test_fifty_runs_of_two_hundred_entries_are_read_at_once(tmp_path: Path) -> None:
    for number in range(60):
        run(tmp_path, f"r{number}", {f"doksi entry-{entry}": [200.0 + number] for entry in range(200)})
    with no_long_time():
        found = history.recall(tmp_path, rehearsal=False)
    assert len(found) == 200
