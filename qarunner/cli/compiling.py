"""From a checked manifest and the environment to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner import __version__
from qarunner.cli.build import Facts, read_build
from qarunner.cli.builds import measurer
from qarunner.cli.choosing import Wanted, choose_rows
from qarunner.cli.prepare import examined, path_warnings, settings_of
from qarunner.cli.sharding import part_of
from qarunner.diagnostics import Diagnostic, in_order
from qarunner.entry import Origin
from qarunner.errors import ManifestError
from qarunner.manifest.bind import entry_of
from qarunner.manifest.expand import locate
from qarunner.manifest.policy import check_quarantines
from qarunner.manifest.shards import Shard
from qarunner.manifest.template import check_templates, render
from qarunner.manifest.variables import Values
from qarunner.plan.budget import check_budget
from qarunner.plan.compile import compile_plan
from qarunner.plan.model import NotPlanned, Plan

if TYPE_CHECKING:
    from qarunner.cli.choosing import LeftOut
    from qarunner.manifest.model import Manifest, Row
    from qarunner.vendors.api import Vendor


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the command line says about one plan."""

    environ: Mapping[str, str]
    today: date
    profile: str | None = None
    select: Sequence[str] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    allow_secrets: frozenset[str] = frozenset()
    facts: Facts | None = None
    """What an earlier plan was told of its build, where that holds on."""
    max_tests: int | None = None
    changed_since: str | None = None
    shard: Shard | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    """How long entries are known to take, by id. With `shard`, every job has to know the same."""
    rerun_failed: str | None = None
    runs_dir: Path = Path()
    rehearse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plan, the text of the secrets in it, and remarks for the user."""

    plan: Plan
    secrets: Mapping[str, str]
    remarks: tuple[str, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    variables: Mapping[str, object] = field(default_factory=dict)
    """The values of the variables that went in, but for secrets."""
    declared_secrets: frozenset[str] = frozenset()
    files: tuple[str, ...] = ()
    """The manifest and its fragments."""


def prepare(path: Path, choice: Choice) -> Prepared:
    """A plan of the chosen entries. ManifestError, NothingSelected or OverBudget."""
    found = examined(path, choice.profile)
    manifest, rows, vendors = found.manifest, found.rows, found.vendors
    quarantines = check_quarantines(manifest, rows, choice.today)
    build = read_build(choice.environ, Path.cwd())
    facts = choice.facts or build.facts
    values = Values(
        env=choice.environ,
        overrides=choice.overrides,
        allow_secrets=choice.allow_secrets,
        credentials=frozenset(name for vendor in vendors.values() for name in credential_names(vendor)),
        vendor_keys={name: vendor.info.key_env for name, vendor in vendors.items()},
        git=facts.git,
        ci=facts.ci,
    )
    if found.problems or quarantines.errors:
        raise ManifestError(in_order([*found.problems, *quarantines.errors, *_also(manifest, rows, values)]))
    chosen = choose_rows(manifest, rows, wanted(path, choice, build.sha), values)
    used = {str(row.data["vendor"]): vendors[str(row.data["vendor"])] for row in chosen.rows}
    rendered = render(manifest, chosen.rows, values)
    entries = [entry_of(manifest, row, today=choice.today, needs=chosen.needs.get(row.id, ())) for row in rendered.rows]
    part = part_of(choice.shard, entries, manifest.gate.min_tests, choice.seconds) if choice.shard else None
    plan = compile_plan(
        manifest=manifest,
        rows=[row for row in rendered.rows if part is None or row.id in part.rows],
        settings=settings_of(rendered.vendors, used, choice.environ),
        vendors=used,
        secrets=rendered.secrets,
        metadata=facts.metadata,
        git=facts.git,
        ci=facts.ci,
        tool=__version__,
        measure=measurer(path),
        today=choice.today,
        needs=chosen.needs,
        not_planned=[_not_planned(each) for each in chosen.left_out],
        sharding=part.sharding if part else None,
    )
    check_budget(entries, manifest.budget, choice.max_tests)
    doubts = (build.remark,) if build.remark else ()
    secrets = frozenset(name for name, declaration in manifest.env.items() if declaration.secret)
    return Prepared(
        plan=plan,
        secrets=rendered.secrets,
        remarks=(*chosen.remarks, *(part.remarks if part else ()), *doubts),
        warnings=in_order([*quarantines.warnings, *path_warnings(path, manifest, rows)]),
        variables={name: value for name, value in rendered.env.items() if name not in secrets},
        declared_secrets=secrets,
        files=tuple(dict.fromkeys(locate(manifest, row, ()).file for row in found.rows)),
    )


def wanted(path: Path, choice: Choice, sha: str | None) -> Wanted:
    """What of the command line chooses rows; git and earlier runs are asked only where it names them."""
    about_changes = about_runs = None
    if choice.changed_since is not None:
        from qarunner.cli.changes import untouched  # noqa: PLC0415

        about_changes = untouched(choice.changed_since, path)
    if choice.rerun_failed is not None:
        from qarunner.cli.rerunning import earlier_run  # noqa: PLC0415

        about_runs = earlier_run(choice.runs_dir, choice.rerun_failed, sha=sha, rehearse=choice.rehearse)
    return Wanted(select=choice.select, untouched=about_changes, earlier=about_runs)


def _not_planned(row: LeftOut) -> NotPlanned:
    place = row.place
    return NotPlanned(
        id=row.row, reason=row.reason, origin=Origin(file=place.file, line=place.line, column=place.column)
    )


_MOST_LOOKED_AT = 1000


def _also(manifest: Manifest, rows: Sequence[Row], values: Values) -> Sequence[Diagnostic]:
    """What only values tell, such as a variable that is not set, of a manifest that has problems already."""
    whole = [row for row in rows[:_MOST_LOOKED_AT] if not check_templates(manifest, (row,))]
    try:
        render(manifest, whole, values)
    except ManifestError as error:
        return error.diagnostics
    return ()


def credential_names(vendor: Vendor) -> tuple[str, ...]:
    return (vendor.info.key_env, *vendor.info.credential_environ)
