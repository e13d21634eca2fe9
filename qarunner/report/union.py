"""The summaries of several matrices as one: each keeps its gate, and the worst exit code is the code of all."""

from __future__ import annotations

import posixpath
from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from qarunner.engine.decide.spending import Spent
from qarunner.errors import ExitCode, decisive_code
from qarunner.plan.cost import total
from qarunner.report.summary import ManifestResult, Money, from_root, verdict_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qarunner.report.summary import EntrySummary, RunLink, Summary


class _Prefix(Struct, frozen=True):
    """Ids of entries are unique in one matrix alone: among several, each begins with its manifest."""

    label: str

    def name(self, entry: str) -> str:
        return f"{self.label}:{entry}"

    def link(self, run: RunLink) -> RunLink:
        return replace(run, entries=tuple(map(self.name, run.entries)))

    def row(self, row: EntrySummary, number: int) -> EntrySummary:
        entry = replace(row.entry, id=self.name(row.entry.id), needs=tuple(map(self.name, row.entry.needs)))
        return replace(row, entry=entry, runs=tuple(map(self.link, row.runs)), number=number)


def labels(manifests: Sequence[str]) -> dict[str, str]:
    """A short name for each manifest's path: its folder where no other one lies there, else the path."""
    folders = [posixpath.dirname(path) for path in manifests]
    return {
        path: folder if folder and folders.count(folder) == 1 else path
        for path, folder in zip(manifests, folders, strict=True)
    }


def united(parts: Sequence[tuple[str, Summary]]) -> Summary:
    """One summary of all. `parts`: the label of a manifest and the summary of its runs, at least one."""
    parts = [(label, from_root(summary)) for label, summary in parts]
    summaries = [summary for _, summary in parts]
    first = summaries[0]
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
        entries=tuple(_rows(parts)),
        not_planned=tuple(
            replace(row, id=_Prefix(label).name(row.id)) for label, summary in parts for row in summary.not_planned
        ),
        running=tuple(_Prefix(label).link(run) for label, summary in parts for run in summary.running),
        left=tuple(left for summary in summaries for left in summary.left),
        uncertain={job: message for summary in summaries for job, message in summary.uncertain.items()},
        repeatable=frozenset(job for summary in summaries for job in summary.repeatable),
        unfinished=any(summary.unfinished for summary in summaries),
        finished=sum(summary.finished for summary in summaries),
        min_tests=sum(summary.min_tests for summary in summaries),
        gate=tuple(
            replace(failure, name=_Prefix(label).name(failure.name))
            for label, summary in parts
            for failure in summary.gate
        ),
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


def _rows(parts: Sequence[tuple[str, Summary]]) -> Iterator[EntrySummary]:
    number = 0
    for label, summary in parts:
        for row in summary.entries:
            yield _Prefix(label).row(row, number)
            number += 1
