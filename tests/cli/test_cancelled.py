"""The last line of a cancel: a run whose cancel got no answer is not taken for one that nobody can cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from qarunner.cli.commands.apply import _running_on
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import fold
from qarunner.plan.model import seal
from qarunner.vendors.api import RemoteRun
from tests.fictional import entry, plan_of
from tests.worlds import EPOCH, started

if TYPE_CHECKING:
    from qarunner.engine.state.run import Run


def running(*vendors: str) -> Run:
    plan = plan_of(*(entry(f"e{number}", "plain") for number, _ in enumerate(vendors)))
    jobs = [replace(job, vendor=vendor) for job, vendor in zip(plan.jobs, vendors, strict=True)]
    plan = seal(replace(plan, jobs=tuple(jobs)))
    accepted = [ev.Accepted(at=EPOCH, job=job.id, runs=(RemoteRun(id=f"run-{job.id}"),)) for job in plan.jobs]
    return fold(plan, [started(EPOCH, plan), *accepted])


def test_a_vendor_that_cannot_cancel_is_told_from_one_that_did_not_answer() -> None:
    run = running("doksi", "certyn")
    assert list(_running_on(run)) == [
        "1 run goes on at doksi, which cannot cancel",
        "1 run goes on at certyn, whose answer to the cancel did not come",
    ]
    certyn = next(remote.remote.id for state, remote in run.active_runs() if state.job.vendor == "certyn")
    assert list(_running_on(run, besides=[certyn])) == ["1 run goes on at doksi, which cannot cancel"]
