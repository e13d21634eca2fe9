"""A run's folder is believed as a whole: its plan and its journal have to be of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from qarunner.app.runs import Secrets, load, reopen
from qarunner.engine.io.journal import PLAN, Journal
from qarunner.errors import RunFolderError
from qarunner.plan.model import to_json
from tests.fictional import VENDORS, Backend, entry, plan_of
from tests.worlds import Story

if TYPE_CHECKING:
    from pathlib import Path

    from qarunner.engine.state import events as ev


def test_the_plan_of_another_run_is_refused_and_leaves_the_lock_free(tmp_path: Path) -> None:
    """It has the same jobs and entries, and forgives what the run was begun to be stopped by."""
    story = Story(plan_of(entry("a", "keyed")), VENDORS, Backend(ends="failed")).drive()
    started, *others = story.events
    folder = tmp_path / "r1"
    with Journal.create(folder, to_json(story.run.plan), cast("ev.RunStarted", started)) as journal:
        for event in others:
            journal.append(event)
    assert load(folder).run.complete

    (folder / PLAN).write_bytes(to_json(plan_of(entry("a", "keyed", allow_failure=True))))
    with pytest.raises(RunFolderError, match="is the plan of another run"):
        load(folder)
    for _ in range(2):
        with pytest.raises(RunFolderError, match="is the plan of another run"):
            reopen(folder, Secrets(environ={}))
