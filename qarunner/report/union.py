"""The summaries of several matrices as one: each keeps its gate, and the worst exit code is the code of all."""

from __future__ import annotations

import posixpath
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING

from msgspec.structs import replace

from qarunner.engine.decide.spending import Spent
from qarunner.errors import ExitCode, decisive_code
from qarunner.plan.cost import total
from qarunner.report.summary import EntrySummary, ManifestResult, Money, RunLink, Summary, from_root, verdict_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def _labelled(label: str, summary: Summary) -> Summary:
    """Ids of entries are unique in one matrix alone: among several, each begins with its manifest."""

    def name(entry: str) -> str:
        return f"{label}:{entry}"

    def link(run: RunLink) -> RunLink:
        return replace(run, entries=tuple(map(name, run.entries)))

    def moved(row: EntrySummary) -> EntrySummary:
        entry = replace(row.entry, id=name(row.entry.id), needs=tuple(map(name, row.entry.needs)))
        return replace(row, entry=entry, runs=tuple(map(link, row.runs)))

    return replace(
        summary,
        entries=tuple(map(moved, summary.entries)),
        not_planned=tuple(replace(row, id=name(row.id)) for row in summary.not_planned),
        running=tuple(map(link, summary.running)),
        gate=tuple(replace(failure, name=name(failure.name)) for failure in summary.gate),
    )


def labels(manifests: Sequence[str]) -> dict[str, str]:
    """A short name for each manifest's path: its folder where no other one lies there, else the path."""
    folders = [posixpath.dirname(path) for path in manifests]
    return {
        path: folder if folder and folders.count(folder) == 1 else path
        for path, folder in zip(manifests, folders, strict=True)
    }


def united(parts: Sequence[tuple[str, Summary]]) -> Summary:
    """One summary of all. `parts`: the label of a manifest and the summary of its runs, at least one."""
    summaries = [_labelled(label, from_root(summary)) for label, summary in parts]
    first = summaries[0]
    entries = chain.from_iterable(summary.entries for summary in summaries)
    code = decisive_code({summary.exit_code for summary in summaries})
    red = [summary for summary in summaries if summary.exit_code is not ExitCode.OK]
    return replace(
        first,
        run_id="+".join(summary.run_id for summary in summaries if summary.run_id),
        name=", ".join(dict.fromkeys(summary.name for summary in summaries)),
        verdict=verdict_of(code),
        exit_code=code,
        started_at=min(summary.started_at for summary in summaries),
        finished_at=max(summary.finished_at for summary in summaries),
        wall_s=max(summary.wall_s for summary in summaries),
        totals={verdict: sum(summary.totals[verdict] for summary in summaries) for verdict in first.totals},
        entries=tuple(replace(row, number=number) for number, row in enumerate(entries)),
        not_planned=tuple(row for summary in summaries for row in summary.not_planned),
        running=tuple(run for summary in summaries for run in summary.running),
        left=tuple(left for summary in summaries for left in summary.left),
        uncertain={job: message for summary in summaries for job, message in summary.uncertain.items()},
        repeatable=frozenset(job for summary in summaries for job in summary.repeatable),
        unfinished=any(summary.unfinished for summary in summaries),
        finished=sum(summary.finished for summary in summaries),
        min_tests=sum(summary.min_tests for summary in summaries),
        gate=tuple(failure for summary in summaries for failure in summary.gate),
        failed_by_skips_only=bool(red) and all(summary.failed_by_skips_only for summary in red),
        unverified=any(summary.unverified for summary in summaries),
        unrecorded=any(summary.unrecorded for summary in summaries),
        cost=_cost([summary.cost for summary in summaries if summary.cost is not None]),
        manifest="",
        manifest_from_root=None,
        manifests=tuple(
            ManifestResult(label=label, name=summary.name, verdict=summary.verdict, exit_code=summary.exit_code)
            for label, summary in parts
        ),
    )


def _cost(costs: Sequence[Money]) -> Money | None:
    plan = total([cost.plan for cost in costs])
    if plan is None:
        return None
    amount, at_least = zip(*(cost.spent for cost in costs), strict=True)
    return Money(plan, Spent(sum(amount, Decimal(0)), any(at_least)))
