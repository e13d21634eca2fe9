"""`watch`: a run that another process drives, from its journal, to its end. Nothing is sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from qarunner.app import reports as reporting
from qarunner.app.history import History
from qarunner.app.options import NextCommand, WatchOptions
from qarunner.app.runs import Followed, Outlook, Secrets, find_run, is_own_rehearsal, refuse_tracked, state_of
from qarunner.cli.progress import open_progress
from qarunner.cli.result import show
from qarunner.engine.io.journal import is_driven
from qarunner.engine.schedule.timing import DurationHistory
from qarunner.engine.state.events import EntryClosed
from qarunner.errors import ExitCode
from qarunner.history.durations import recall
from qarunner.report.summary import last_line, summarise

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qarunner.cli.console import Console

_LOOK_S = 0.25
"""Seconds between two looks into the journal."""


def watch(console: Console, environ: Mapping[str, str], options: WatchOptions) -> ExitCode:
    """Ends with the exit code of the run; 8 if it is not over and no process works on it, or if it may be forged."""
    folder = find_run(options.runs_dir, options.run_id)
    refuse_tracked(folder, environ)
    followed = Followed(folder, Secrets(environ=environ))
    run = followed.run
    console.hide(reporting.credentials_of(followed.plan, environ))
    _look_on(console, folder, followed)
    follow = NextCommand.of(folder, followed.plan)
    if run.exit_code is None or run.detached:
        state = state_of(run, driven=False)
        words = f"{folder.name} is {state}, and no process is at work on it; to go on: {follow.resume()}"
        return console.end(ExitCode.NO_VERDICT, words)
    # As with a report: who has no key cannot tell whether a folder that says passed was made by an apply.
    run.unverified = run.unverified or not (followed.holds or is_own_rehearsal(run, environ))
    summary = replace(summarise(run), resume=follow.resume(), rerun=follow.rerun())
    summary = History(options.runs_dir, environ).about(summary)
    show(console, summary, folder, follow)
    from qarunner.app.apply.session import unwritten

    if run.exit_code:  # what it ended with counts more than what its results alone would say
        summary = replace(summary, exit_code=ExitCode(run.exit_code))
    instead = last_line(unwritten(summary, ["stdout"]), "; stdout cannot be written")
    console.conclude(last_line(summary), instead)
    return summary.exit_code


def _look_on(console: Console, folder: Path, followed: Followed) -> None:
    """Shows what has happened and what happens, until no process is at work on the run."""
    past = list(followed.news())
    run = followed.run
    known = recall(folder.parent, rehearsal=run.rehearsal)
    progress = open_progress(console, run, time.time, Outlook(durations=DurationHistory(followed.plan, known)))
    ticked = time.monotonic()
    try:
        for event in past:
            if isinstance(event, EntryClosed) and run.closed.get(event.entry) == event.outcome:
                progress.saw(event, run)
        driven = True
        while driven:
            driven = is_driven(folder)  # asked before the journal is read: the last events are in it then
            for event in followed.news():
                progress.saw(event, run)
            if driven:
                if time.monotonic() - ticked >= progress.every_s:
                    progress.tick(run)
                    ticked = time.monotonic()
                time.sleep(_LOOK_S)
    finally:
        progress.close()
