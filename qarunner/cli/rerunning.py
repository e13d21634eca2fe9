"""`--rerun-failed`: what an earlier run tells of the rows of this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.cli.choosing import Earlier
from qarunner.engine.gate import outcome_of
from qarunner.engine.journal import read
from qarunner.engine.state import fold
from qarunner.errors import UserError
from qarunner.vendors.api import GOOD, Cause, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from qarunner.engine.state import Run
    from qarunner.entry import Entry


def earlier_run(runs_dir: Path, run_id: str, *, sha: str | None, rehearse: bool) -> Earlier:
    """UserError for a run that nobody wrote down, or of which nothing counts here. `sha` is the commit of this one."""
    from qarunner.cli.applying import find_run, read_plan  # noqa: PLC0415  it plans through here

    folder = find_run(runs_dir, run_id)
    plan = read_plan(folder)
    run = fold(plan, read(folder)[0])
    if (plan.rehearsal or run.rehearsal) and not rehearse:
        raise UserError(
            f"--rerun-failed {run_id}: was a rehearsal, nothing in it was really tested",
            hint="name a real run; only apply --rehearse takes up a rehearsal",
        )
    outcomes = {entry.id: _again(run, entry) for entry in plan.entries}
    return Earlier(
        run_id=run_id,
        failed=tuple(row for row, again in outcomes.items() if again),
        passed=frozenset(entry.id for entry in plan.entries if outcome_of(run, entry).verdict in GOOD),
        remarks=tuple(_remarks(run, run_id, plan.git, sha)),
    )


def _again(run: Run, entry: Entry) -> bool:
    """Whether an entry did not pass. What the vendor skipped is over, unless the gate takes that for a failure."""
    outcome = outcome_of(run, entry)
    if outcome.verdict is Verdict.SKIPPED:
        return outcome.cause is Cause.NEED or run.plan.gate.on_skipped == "fail"
    return outcome.verdict not in GOOD


def _remarks(run: Run, run_id: str, git: Mapping[str, str | None], sha: str | None) -> Iterator[str]:
    before = git.get("sha")
    if before and sha and before != sha:
        yield f"run {run_id} tested commit {before[:7]}, this is {sha[:7]}: what passed then is not run again"
    live = [remote.remote.id for _, remote in run.live_runs()]
    if live:
        yield (
            f"run {run_id} left runs at the vendors that may still go on ({', '.join(live[:10])}): "
            f"qarunner resume {run_id} waits for them"
        )
