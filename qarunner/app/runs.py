"""Which runs are kept, what their folders say, and whether that belongs together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from qarunner.engine.io.journal import JOURNAL, PLAN, Journal, Recorded, folders, newest, read, refuse_links
from qarunner.engine.state.run import Run, advance
from qarunner.errors import RunFolderError, UserError
from qarunner.plan.model import Plan, from_json

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run as its folder tells of it: the plan, the journal, and what follows from both."""

    folder: Path
    plan: Plan
    recorded: Recorded
    run: Run

    @property
    def rehearsal(self) -> bool:
        return self.plan.rehearsal or self.run.rehearsal


# --- which one --------------------------------------------------------------------------------------------------------


def checked_id(run_id: str) -> str:
    """UserError for what is no run id, and so cannot lead out of the folder of runs."""
    if not _RUN_ID.fullmatch(run_id):
        raise UserError(f"{run_id!r} is no run id", hint="letters, digits, dots, dashes and underscores, 100 at most")
    return run_id


def find_run(runs_dir: Path, run_id: str | None) -> Path:
    """The folder of a run; the newest where none is named. UserError if it is not there."""
    if run_id is None:
        folder = newest(runs_dir)
        if folder is None:
            raise UserError(f"no run in {runs_dir}", hint=_others(runs_dir))
        return folder
    folder = runs_dir / checked_id(run_id)
    if (folder / PLAN).is_file():
        return folder
    if (folder / JOURNAL).exists():
        hint = "restore it: the upload or the copy of the folder has left it out"
        raise UserError(f"run {run_id} in {runs_dir} has lost its {PLAN}", hint=hint)
    raise UserError(f"no run {run_id} in {runs_dir}", hint=_others(runs_dir))


def _others(runs_dir: Path) -> str:
    there = sorted((folder.name for folder in folders(runs_dir)), reverse=True)
    if not there:
        return "runs are kept where apply was started; see --runs-dir"
    more = f", and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    return f"there are: {', '.join(there[:_SHOWN])}{more}"


# --- what its folder says ---------------------------------------------------------------------------------------------


def read_plan(folder: Path) -> Plan:
    """The plan of a run. UserError if it cannot be read, or is not what was written."""
    refuse_links(folder)
    try:
        data = (folder / PLAN).read_bytes()
    except OSError as error:
        raise UserError(f"{folder / PLAN}: cannot be read: {error.strerror}") from error
    return from_json(data, path=folder / PLAN)


def load(folder: Path) -> StoredRun:
    """A run, read only. UserError if anything in its folder is damaged, or does not belong together."""
    return _stored(folder, read(folder))


def reopen(folder: Path) -> tuple[Journal, StoredRun]:
    """A run to go on with, held by this process: whatever is decided about it is decided on what this returns."""
    journal, recorded = Journal.reopen(folder)
    try:
        return journal, _stored(folder, recorded)
    except UserError:
        journal.close()
        raise


def _stored(folder: Path, recorded: Recorded) -> StoredRun:
    plan = read_plan(folder)
    if recorded.started.digest != plan.digest:
        raise RunFolderError(
            f"{folder}: {PLAN} is the plan of another run: its digest is {plan.digest}, and the journal's"
            f" {recorded.started.digest}",
            hint="restore the folder as it was written: two of them may have been unpacked into one",
        )
    return StoredRun(folder=folder, plan=plan, recorded=recorded, run=_folded(folder, plan, recorded))


def _folded(folder: Path, plan: Plan, recorded: Recorded) -> Run:
    run = Run.of(plan)
    for number, event in enumerate(recorded.events, 1):
        try:
            advance(run, event)
        except KeyError as error:
            raise RunFolderError(
                f"{folder / JOURNAL}:{number}: the line is damaged: it names {error}, which the plan does not have",
                hint="restore the folder as it was written; nothing was changed",
            ) from error
    return run
