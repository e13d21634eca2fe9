"""A plan for people: vendor by vendor, what it costs, and every request with its secrets masked."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from html import escape
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from qarunner.engine.schedule.timing import DurationHistory, Durations, time_left
from qarunner.engine.state.run import Run
from qarunner.plan.cost import cost_of, count_tests, counted, with_retries
from qarunner.plan.model import Cost, Job, Plan
from qarunner.review.markdown import Page, code
from qarunner.review.view import visible
from qarunner.secret import mask
from qarunner.text import LONGEST_NAME, Line, Quoted, cut, duration, listed, money, plural, styled
from qarunner.vendors.api import ResourceKind, refs_as_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qarunner.entry import Entry, Policy


BODIES = 20
"""Requests whose bodies are shown without being asked for; of a longer plan, only with -v."""


class Share(Struct, frozen=True, kw_only=True):
    """What one vendor gets. `expected_s` is of its slowest run, as they go on side by side; None is not known."""

    vendor: str
    jobs: tuple[Job, ...]
    entries: int
    tests: str
    uploads: int
    environments: int
    expected_s: float | None
    cost: Cost | None = None


def shares(plan: Plan, earlier: Durations) -> tuple[Share, ...]:
    """Every vendor with its part of the plan; `earlier` are the durations of runs before this one."""
    entries = plan.entry_map()
    prices = {name: vendor.price for name, vendor in plan.vendors.items() if vendor.price}
    habits, jobs = DurationHistory(plan, earlier), Run.of(plan).jobs
    by_vendor = []
    for vendor in plan.vendors:
        jobs_of_vendor = tuple(job for job in plan.jobs if job.vendor == vendor)
        rows = [entries[entry] for job in jobs_of_vendor for entry in job.entries]
        resources = [resource for resource in plan.resources if resource.vendor == vendor]
        uploads = sum(resource.kind is not ResourceKind.ENVIRONMENT for resource in resources)
        medians = [habits.expected(jobs[job.id]).median_s for job in jobs_of_vendor] if earlier else []
        by_vendor.append(
            Share(
                vendor=vendor,
                jobs=jobs_of_vendor,
                entries=len(rows),
                tests=count_tests(rows),
                uploads=uploads,
                environments=len(resources) - uploads,
                expected_s=max(medians, default=None),
                cost=cost_of(prices, {vendor: len(jobs_of_vendor)}, map(counted, rows)),
            )
        )
    return tuple(by_vendor)


def expected(plan: Plan, earlier: Durations) -> str | None:
    """`expected 6m10s (slowest: release-smoke at certyn)`, by what earlier runs took; None if nothing is known."""
    if not earlier or not plan.jobs:
        return None
    left = time_left(Run.of(plan), DurationHistory(plan, earlier), 0.0)
    if left.slowest is None:
        return None
    least = f"at least {duration(round(left.seconds))}" if left.unknown else duration(round(left.seconds))
    new = f"; {plural(left.unknown, 'entry', 'entries')} never ran here" if left.unknown else ""
    return f"expected {least} (slowest: {left.slowest.id} at {left.slowest.vendor}{new})"


def heading(share: Share) -> str:
    """`doksi: 4 entries, 7 tests in 2 runs; 2 creates, 1 upload; expected duration unknown`."""
    requests = [
        plural(len(share.jobs), "create"),
        *([plural(share.uploads, "upload")] if share.uploads else []),
        *([plural(share.environments, "environment")] if share.environments else []),
    ]
    rows, runs = plural(share.entries, "entry", "entries"), plural(len(share.jobs), "run")
    cost = f"; {with_retries(share.cost)}" if share.cost is not None else ""
    took = "unknown" if share.expected_s is None else f"about {duration(round(share.expected_s))}"
    what = f"{rows}, {share.tests} in {runs}; {', '.join(requests)}"
    return f"{share.vendor}: {what}; expected duration {took}{cost}"


def cost(plan: Plan) -> str | None:
    """What an apply of the plan costs, or of one shard of it; None without a price."""
    if not plan.cost:
        return None
    limit = plan.allowance.max_cost if plan.allowance else None
    held = f"; retries end at {money(limit, plan.cost.currency)}" if limit is not None else ""
    return f"{f'cost of shard {plan.shard}' if plan.shard else 'cost'}: {with_retries(plan.cost)}{held}"


def text(plan: Plan, earlier: Durations, *, every_body: bool) -> Iterator[Line]:
    """Lines, whose bodies can be copied."""
    entries = plan.entry_map()
    bodies = every_body or len(plan.jobs) <= BODIES
    for share in shares(plan, earlier):
        yield styled(heading(share), "bold")
        for job in share.jobs:
            yield styled(f"  {job.id}  {job.request.method} {mask(job.request.path)}", "bold")
            for entry in job.entries:
                yield f"    {row(plan, entries[entry])}"
            if bodies:
                yield from (Quoted(f"      {line}", ("dim",)) for line in body(plan, job).splitlines())
        yield ""
    if not bodies:
        yield styled(f"the bodies of {len(plan.jobs)} requests are shown with -v", "dim")
    yield from _resources(plan)
    yield from (styled(f"note: {notice}", "yellow") for notice in plan.notices)


def row(plan: Plan, entry: Entry) -> str:
    """An entry with its place, and what is special about it; ids of the lock with their names."""
    needs = f"  needs: {', '.join(entry.needs)}" if entry.needs else ""
    return f"{entry.id}  {entry.origin}{_free(entry.policy)}{needs}{_names(plan, entry)}"


_NAMED = 10


def _names(plan: Plan, entry: Entry) -> str:
    known = plan.names.get(entry.vendor, {})
    ids = entry.selection.ids if entry.selection is not None else ()
    named = [
        f"{visible(cut(known[identifier], LONGEST_NAME))} ({identifier})" for identifier in ids if identifier in known
    ]
    return f"  {listed(named, _NAMED, ', … {} more')}" if named else ""


def _free(policy: Policy) -> str:
    """Why an entry does not gate."""
    if policy.quarantine is not None:
        return f"  ({visible(mask(str(policy.quarantine)))})"
    return "" if policy.gating else "  (does not gate)"


def body(plan: Plan, job: Job) -> str:
    """What is sent; a reference to something that is made first is called what the plan calls it."""
    kinds = {
        resource.id: "upload" if resource.kind is ResourceKind.BUILD else str(resource.kind)
        for resource in plan.resources
    }
    called = {key: f"{kinds[name]} {name}" for key, name in job.uses.items()}
    return mask(msgspec.json.format(msgspec.json.encode(refs_as_text(job.request.body, called)), indent=2).decode())


def _resources(plan: Plan) -> Iterator[str]:
    for resource in plan.resources:
        build = resource.build
        what = "an environment, deleted afterwards"
        if build is not None:
            what = f"upload {build.path} ({build.size / 2**20:.1f} MiB, sha256 {build.sha256[:12]})"
        yield f"{resource.id}  {what}"


def markdown(plan: Plan, earlier: Durations, last: str) -> str:
    """A comment with the plan: the costs first, then each vendor's rows, then what of the requests still fits."""
    page = Page()
    page.add(f"### {code(plan.name)}: {last}", 0)
    entries = plan.entry_map()
    parts = shares(plan, earlier)
    if duration := expected(plan, earlier):
        page.add(code(duration))
    if priced := cost(plan):
        page.add(code(priced))
    page.add("\n".join(f"- {code(heading(share))}" for share in parts), 0)
    for notice in plan.notices:
        page.add(f"> {code(notice)}", 0)
    for share in parts:
        rows = [f"- {code(row(plan, entries[entry]))}" for job in share.jobs for entry in job.entries]
        page.add(_folded(f"{share.vendor}: entries", rows), len(rows))
    if plan.not_planned:
        rows = [f"- {code(f'{missing.id}  {mask(missing.reason)}  {missing.origin}')}" for missing in plan.not_planned]
        page.add(_folded("not planned", rows), len(rows))
    for share in parts:
        for job in share.jobs:
            page.add(_folded(f"{job.id}: request", [_fenced(plan, job)]), 0)
    return page.text("`qarunner plan -v` shows all of it")


def _folded(summary: str, lines: list[str]) -> str:
    return "\n".join([f"<details><summary>{escape(summary)}</summary>", "", *lines, "", "</details>"])


def _fenced(plan: Plan, job: Job) -> str:
    """A body as a code block. It is indented, not fenced: no text in it can end it."""
    first = f"{job.request.method} {mask(job.request.path)}"
    return "\n".join(f"    {visible(line)}" for line in (first, *body(plan, job).splitlines()))


# --- shards -----------------------------------------------------------------------------------------------------------


class PipelinePart(Struct, frozen=True, kw_only=True):
    """The jobs of one manifest. `words` go to each apply; `shards` is None where one job applies all of it."""

    file: str
    name: str
    words: str
    shards: int | None

    @property
    def jobs(self) -> list[str | None]:
        """The `--shard` of each job: `1/4`; None for the whole."""
        return [f"{n}/{self.shards}" for n in range(1, self.shards + 1)] if self.shards is not None else [None]


def github_matrix(parts: Sequence[PipelinePart], *, several: bool = False) -> str:
    """One line for `fromJSON` in a workflow's `strategy.matrix`. `index` is unique among all jobs.

    `several`: more than one manifest was asked for, even if one alone has anything to run.
    """
    jobs = [(part, shard) for part in parts for shard in part.jobs]
    include: list[dict[str, object]] = []
    for index, (part, shard) in enumerate(jobs, 1):
        manifest: dict[str, object] = {"file": part.file, "name": part.name} if several else {}
        include.append(manifest | ({"shard": shard} if shard else {}) | {"index": index, "total": len(jobs)})
    return json.dumps({"include": include})


def gitlab_pipeline(
    parts: Sequence[PipelinePart], runs_dir: str, pipeline: str | None, *, several: bool = False
) -> str:
    """A child pipeline: a job for each shard of each manifest, and one that joins their runs into one gate.

    `pipeline` is the id of the one that plans, where one does: its trigger that is run again makes another child, whose
    jobs go on with the runs of the first.
    """
    jobs = [(part, shard) for part in parts for shard in part.jobs]
    texts = [
        _gitlab_job([part.file] if several else [], shard, number, part.words, runs_dir)
        for number, (part, shard) in enumerate(jobs, 1)
    ]
    number_of = pipeline if pipeline and pipeline.isdecimal() else "$CI_PIPELINE_ID"
    variables = f"variables: {{ QARUNNER_RUNS_DIR: {_scalar(runs_dir)}, QARUNNER_PIPELINE: {_scalar(number_of)} }}"
    return "\n".join(
        [
            "stages: [test, gate]",
            variables,
            "",
            *texts,
            _gitlab_gate(runs_dir, [part.file for part in parts], several=several),
        ]
    )


def _gitlab_job(manifest: list[str], shard: str | None, number: int, words: str, runs_dir: str) -> str:
    """The run's id is the pipeline's, not the attempt's: a job that is run again goes on with its run."""
    name = " ".join(["qarunner", *manifest, *([shard] if shard else [])])
    apply = f"qarunner apply{words}" + (f" --shard {shard}" if shard else "")
    run = f"--run-id qa-$QARUNNER_PIPELINE-{number} --continue"
    return f"""\
{_scalar(name)}:
  stage: test
  script:
    - {_scalar(f"{apply} {run} --report junit=qarunner-{number}.xml")}
  artifacts:
    when: always
    paths: [{_scalar(runs_dir)}]
    reports:
      junit: qarunner-{number}.xml
"""


def _gitlab_gate(runs_dir: str, files: Sequence[str], *, several: bool) -> str:
    """The gate's code is the job's, whatever becomes of the merge request's note."""
    union = "".join(["--union ", *(f"--manifest {shlex.quote(file)} " for file in files)]) if several else ""
    merge = f"qarunner report --merge {union}{runs_dir} --format"
    note = f"qarunner-gitlab-note {shlex.quote(', '.join(files))} --result qarunner.md || true"
    return f"""\
"qarunner gate":
  stage: gate
  when: always
  script:
    - {_scalar(f"code=0; {merge} json --out qarunner.json || code=$?")}
    - {_scalar(f"{merge} markdown --out qarunner.md || true")}
    - {_scalar(note)}
    - exit $code
  artifacts:
    when: always
    paths: [qarunner.json, qarunner.md]
"""


def _scalar(text: str) -> str:
    """Any text as one YAML scalar: JSON's strings are a part of YAML."""
    return json.dumps(text)


# --- in a line --------------------------------------------------------------------------------------------------------


def left_out(plan: Plan) -> Iterator[str]:
    for row in plan.not_planned:
        yield f"not planned: {row.id}  {row.reason}  {row.origin}"


def overview(plan: Plan) -> str:
    """`7 entries, at least 9 tests in 3 vendor runs: doksi 2, certyn 1`."""
    runs = Counter(job.vendor for job in plan.jobs)
    by_vendor = ", ".join(f"{vendor} {number}" for vendor, number in runs.items())
    entries = plural(len(plan.entries), "entry", "entries")
    if not plan.entries:
        return f"no entries: shard {plan.shard} is empty"
    if plan.shard:
        entries = f"shard {plan.shard}: {entries}"
    return f"{entries}, {count_tests(plan.entries)} in {plural(len(plan.jobs), 'vendor run')}: {by_vendor}"
