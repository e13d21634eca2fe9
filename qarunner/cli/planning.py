"""`plan`: what an apply would send, to the last field, with every secret masked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.cli import inputs, saved
from qarunner.cli.compiling import Choice, prepare
from qarunner.cli.console import inert
from qarunner.diagnostics import choose
from qarunner.errors import ExitCode, UserError
from qarunner.plan.model import to_json
from qarunner.secret import mask
from qarunner.vendors.api import ResourceKind
from qarunner.vendors.needs import described

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qarunner.cli.build import Facts
    from qarunner.cli.compiling import Prepared
    from qarunner.cli.console import Console
    from qarunner.entry import Policy
    from qarunner.plan.model import Job, Plan

FORMATS = ("text", "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The words on the command line that choose a plan."""

    file: Path | None = None
    profile: str | None = None
    select: tuple[str, ...] = ()
    var: tuple[str, ...] = ()
    env_file: tuple[Path, ...] = ()
    allow_secret: tuple[str, ...] = ()
    max_tests: int | None = None
    today: date = field(default_factory=lambda: datetime.now(UTC).date())
    """The day of the plan; quarantines end by it."""


def given(
    file: Path | None,
    *,
    profile: str | None,
    select: Sequence[str] | None,
    var: Sequence[str] | None,
    env_file: Sequence[Path] | None,
    allow_secret: Sequence[str] | None,
    max_tests: int | None = None,
) -> Given:
    """Options as typer hands them over, where one that was not given is None."""
    return Given(
        file=file,
        profile=profile,
        select=tuple(select or ()),
        var=tuple(var or ()),
        env_file=tuple(env_file or ()),
        allow_secret=tuple(allow_secret or ()),
        max_tests=max_tests,
    )


def prepared(environ: Mapping[str, str], words: Given) -> tuple[Prepared, Mapping[str, str]]:
    """The plan, and the environment it was made with. StalePlan for a saved one that does not hold any more."""
    environ = inputs.with_env_files(environ, words.env_file)
    if words.file is not None and saved.is_saved(words.file):
        return saved.reopened(words.file, words, environ, _made), environ
    return _made(inputs.find_manifest(words.file), words, environ, None), environ


def _made(path: Path, words: Given, environ: Mapping[str, str], facts: Facts | None) -> Prepared:
    choice = Choice(
        environ=environ,
        today=words.today,
        profile=words.profile,
        select=words.select,
        overrides=inputs.overrides(words.var),
        allow_secrets=inputs.allowed_secrets(environ, words.allow_secret),
        facts=facts,
        max_tests=words.max_tests,
    )
    return saved.with_sources(prepare(path, choice), path, words, environ)


def show_plan(console: Console, environ: Mapping[str, str], given: Given, *, form: str, out: Path | None) -> ExitCode:
    """Prints the plan, and writes it where it is wanted."""
    if form not in FORMATS:
        raise UserError(f"--format: unknown format {form!r}", hint=choose(form, FORMATS))
    found, _ = prepared(environ, given)
    tell(console, found)
    if out is not None:
        _write(out, to_json(found.plan))
    if form == "json":
        console.result(to_json(found.plan).decode().rstrip())
    else:
        for line in _text(console, found.plan):
            console.result(line)
    return ExitCode.OK


def tell(console: Console, found: Prepared) -> None:
    """What a plan's user should know, besides the plan."""
    console.warnings(found.warnings)
    for remark in found.remarks:
        console.warn(f"qarunner: warning: {remark}")


def _write(out: Path, data: bytes) -> None:
    from qarunner.engine.journal import write_whole  # noqa: PLC0415

    try:
        write_whole(out, data)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror}") from error


def _called(plan: Plan, job: Job) -> dict[str, str]:
    """What people call the resources that a job's create refers to, by the adapter's keys."""
    kinds = {each.id: "upload" if each.kind is ResourceKind.BUILD else str(each.kind) for each in plan.resources}
    return {key: f"{kinds[name]} {name}" for key, name in job.uses.items()}


def _text(console: Console, plan: Plan) -> Iterator[str]:
    entries = plan.entry_map()
    for job in plan.jobs:
        request = job.request
        yield console.style(f"{job.id}", "bold") + f"  {request.method} {mask(request.path)}"
        for entry_id in job.entries:
            entry = entries[entry_id]
            needs = f"  needs: {', '.join(entry.needs)}" if entry.needs else ""
            yield f"  {entry_id}  {entry.origin}{_free(entry.policy)}{needs}"
        for line in mask(
            json.dumps(described(request.body, _called(plan, job)), indent=2, ensure_ascii=False)
        ).splitlines():
            yield console.style(f"    {line}", "dim")
        yield ""
    for resource in plan.resources:
        build = resource.build
        what = "an environment, deleted afterwards"
        if build is not None:
            what = f"upload {build.path} ({build.size / 2**20:.1f} MiB, sha256 {build.sha256[:12]})"
        yield console.style(resource.id, "bold") + f"  {what}"
    yield from (console.style(f"note: {notice}", "yellow") for notice in plan.notices)
    yield from (console.style(line, "dim") for line in not_planned(plan))
    yield f"plan: {summary(plan)}; nothing was sent"


def not_planned(plan: Plan) -> Iterator[str]:
    for row in plan.not_planned:
        yield f"not planned: {row.id}  {mask(inert(row.reason))}  {row.origin}"


def _free(policy: Policy) -> str:
    """Why an entry does not gate."""
    if policy.quarantine is not None:
        return f"  ({mask(inert(str(policy.quarantine)))})"
    return "" if policy.gating else "  (does not gate)"


def summary(plan: Plan) -> str:
    """`7 entries in 3 vendor runs: doksi 2, certyn 1`."""
    runs: dict[str, int] = {}
    for job in plan.jobs:
        runs[job.vendor] = runs.get(job.vendor, 0) + 1
    each = ", ".join(f"{vendor} {number}" for vendor, number in runs.items())
    entries = f"{len(plan.entries)} {'entry' if len(plan.entries) == 1 else 'entries'}"
    return f"{entries} in {len(plan.jobs)} vendor {'run' if len(plan.jobs) == 1 else 'runs'}: {each}"
