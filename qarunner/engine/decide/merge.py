"""Several runs of one matrix as one: the gate and every report look at all of it together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from qarunner.diagnostics import Place
from qarunner.engine.decide.gate import outcome_of
from qarunner.engine.state.run import Run
from qarunner.entry import Entry, Policy
from qarunner.plan.cost import total
from qarunner.plan.model import Cost, Job, Plan, Sources, seal
from qarunner.vendors.api import Outcome, Request, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence


NOBODY = "unknown"
"""The vendor of a missing shard."""


def merged(parts: Sequence[Run], missing: Sequence[tuple[int, int]]) -> Run:
    """One run of all parts, which share no entry. A missing shard is an entry without a verdict: never green."""
    whole = [*parts, *(_missing(parts[0].plan, index, total) for index, total in missing)]
    for part in whole:
        _named(part)
        # Whether it was detached or interrupted is a part's own matter: what that makes of an entry is settled here.
        part.closed |= {entry.id: outcome_of(part, entry) for entry in part.plan.entries}
    plan = _plan([part.plan for part in whole])
    run = Run.of(plan)
    for field in Run.__struct_fields__:
        if isinstance(getattr(run, field), dict):
            setattr(run, field, _union(whole, field))
    run.run_id = "+".join(part.run_id for part in parts)
    run.tool, run.rehearsal = parts[0].tool, any(part.rehearsal for part in parts)
    run.started_at = min(part.started_at for part in parts)
    run.last_at = max(part.last_at for part in parts)
    run.signal = next((part.signal for part in parts if part.signal is not None), None)
    return run


def _union(parts: Sequence[Run], name: str) -> dict[str, object]:
    """Everything that is known by name. Jobs and resources have the same ids in every run: the run's is put before."""
    union: dict[str, object] = {}
    for number, part in enumerate(parts):
        for key, value in getattr(part, name).items():
            union[f"{number}:{key}" if name in {"jobs", "resources"} else key] = value
    return union


def _named(part: Run) -> None:
    """Jobs of several runs have the same ids; a message says whose."""
    for state in part.jobs.values():
        state.job = msgspec.structs.replace(state.job, id=f"{part.run_id}:{state.job.id}")


def _plan(plans: Sequence[Plan]) -> Plan:
    entries = sorted((entry for plan in plans for entry in plan.entries), key=_place)
    return seal(
        plans[0],
        sources=_whole(plans[0].sources),
        shard=None,
        partition=None,
        shard_min_tests=None,
        entries=tuple(entries),
        jobs=tuple(job for plan in plans for job in plan.jobs),
        resources=(),
        vendors={name: settings for plan in plans for name, settings in plan.vendors.items()},
        secrets=tuple(sorted({name for plan in plans for name in plan.secrets})),
        cost=_cost(plans),
        notices=tuple(dict.fromkeys(notice for plan in plans for notice in plan.notices)),
    )


def _cost(plans: Sequence[Plan]) -> Cost | UnsetType:
    """That of all shards; they are of one manifest, and so of one currency. What a missing one costs is not known."""
    cost = total([plan.cost for plan in plans if plan.cost])
    if cost is None:
        return UNSET
    return replace(cost, at_least=cost.at_least or any(plan.entries and not plan.vendors for plan in plans))


def _whole(sources: Sources | None) -> Sources | None:
    """The sources of all shards: those of one, but for its number."""
    if sources is None:
        return None
    choices = {name: value for name, value in sources.choices.items() if name != "shard"}
    return msgspec.structs.replace(sources, choices=choices)


def _place(entry: Entry) -> tuple[str, int, int]:
    return entry.origin.file, entry.origin.line, entry.origin.column


def _missing(like: Plan, index: int, total: int) -> Run:
    return _unseen(like, f"shard-{index}-of-{total}", f"shard {index}/{total}")


def missing_manifest(like: Run, path: str) -> Run:
    """A matrix that no run was given for: one entry without a verdict. `like`: a run of the same build."""
    plan = msgspec.structs.replace(
        like.plan, name=path, manifest=path, sources=None, shard=None, not_planned=(), gate=type(like.plan.gate)()
    )
    run = _unseen(plan, "no-run", f"the matrix of {path}")
    run.run_id, run.rehearsal = "", like.rehearsal
    run.started_at = run.last_at = like.last_at
    return run


def _unseen(like: Plan, name: str, what: str) -> Run:
    """A run of one entry, for a missing shard."""
    place = Place(file=like.manifest, line=1, column=1)
    entry = Entry(id=name, vendor=NOBODY, policy=Policy(timeout_s=0.0), origin=place)
    job = Job(id=name, vendor=NOBODY, entries=(name,), request=Request(method="POST", path="/"))
    run = Run.of(msgspec.structs.replace(like, entries=(entry,), jobs=(job,), resources=(), vendors={}, cost=UNSET))
    run.closed[name] = Outcome(verdict=Verdict.UNKNOWN, message=f"{what} is missing: no run of it was given")
    return run
