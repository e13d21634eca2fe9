"""A line of JSON for each vendor run of an apply: who, where, what, for spreadsheets and databases."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qarunner.engine.decide.gate import expected_tests
from qarunner.engine.decide.outcomes import downgrade_unsupported_pass, tally
from qarunner.engine.decide.spending import price_at, tests_run
from qarunner.engine.state.run import JobState, Phase, Run, RunState
from qarunner.report.summary import WORST_FIRST, live_url, timestamp
from qarunner.text import as_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.vendors.api import Verdict


def lines(run: Run, state: str) -> Iterator[dict[str, object]]:
    """The runs in the order of their creates. `state` is that of the whole apply.

    Every line has the same keys. A create that may have made a run is a line without `vendor_run`.
    """
    common = _common(run, state)
    for job in run.jobs.values():
        for index, remote in enumerate(job.runs.values()):
            state_of_run = _remote(run, job, remote)
            yield {**common, **_job(job), **state_of_run, **_cost(run, job, index, state_of_run["tests"])}
        if job.phase is Phase.UNCERTAIN:
            yield {**common, **_job(job), **_NO_RUN, "cost": None, "currency": None}


def _cost(run: Run, job: JobState, index: int, tests: object) -> dict[str, object]:
    """What was paid for a run; of a create that made several, what each create costs stands at the first."""
    price = price_at(run, job.job.vendor)
    if price is None:
        return {"cost": None, "currency": None}
    counted = sum(tests_run(job, entry)[0] for entry in job.entries.values()) if len(job.runs) == 1 else tests
    amount = price.of(int(index == 0), counted if isinstance(counted, int) else 0)
    return {"cost": as_number(amount), "currency": price.currency}


def _common(run: Run, state: str) -> dict[str, object]:
    plan = run.plan
    choices: Mapping[str, object] = plan.sources.choices if plan.sources is not None else {}
    of_git = {"repository": "repository", "branch": "branch", "tag": "tag", "commit": "sha"}
    of_ci = {"actor": "actor", "pipeline": "pipeline", "ci_job": "job", "ci_attempt": "attempt"}
    return {
        "run": run.run_id,
        "name": plan.name,
        "profile": choices.get("profile"),
        "shard": plan.shard,
        "rehearsal": run.rehearsal,
        "started_at": timestamp(run.started_at),
        "state": state,
        "exit_code": run.exit_code,
        **{name: plan.git.get(key) for name, key in of_git.items()},
        **{name: getattr(run.who, key, None) for name, key in of_ci.items()},
    }


def _job(job: JobState) -> dict[str, object]:
    return {
        "vendor": job.job.vendor,
        "job": job.job.id,
        "attempt": job.attempt,
        "entries": job.job.entries,
        "owners": sorted({entry.owner for entry in job.entries.values() if entry.owner}),
    }


_NO_RUN: Mapping[str, object] = {
    **dict.fromkeys(("vendor_run", "url", "vendor_state", "created_at", "ended_at", "duration_s", "tests")),
    "vendor_state": "uncertain",
    "results": {},
}


def _remote(run: Run, job: JobState, remote: RunState) -> dict[str, object]:
    results: Counter[Verdict] = Counter()
    for name, entry in job.entries.items():
        if (outcome := remote.outcome_of(name)) is not None:
            results.update(tally(downgrade_unsupported_pass(outcome), expected_tests(entry)))
    ended = remote.finished_at
    return {
        "vendor_run": remote.remote.id,
        "url": live_url(run, remote.remote.url),
        "vendor_state": remote_state(remote),
        "created_at": timestamp(remote.accepted_at),
        "ended_at": None if ended is None else timestamp(ended),
        "duration_s": None if ended is None else round(ended - remote.accepted_at, 3),
        "tests": sum(results.values()) or None,
        "results": {verdict: results[verdict] for verdict in WORST_FIRST if verdict in results},
    }


def remote_state(remote: RunState) -> str:
    """What became of a run at its vendor, as far as we know."""
    if remote.cancelled:
        return "cancelled"
    return "running" if remote.active else "finished"
