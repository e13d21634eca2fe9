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
from qarunner.cli.prepare import examined, settings_of
from qarunner.diagnostics import Diagnostic, in_order
from qarunner.errors import ManifestError, NothingSelected
from qarunner.manifest.expand import locate
from qarunner.manifest.policy import check_quarantines
from qarunner.manifest.template import check_templates, render
from qarunner.manifest.variables import Values
from qarunner.plan.compile import compile_plan
from qarunner.plan.model import Plan

if TYPE_CHECKING:
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
    """A plan of the chosen entries. ManifestError, or NothingSelected."""
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
    rows, remarks = _chosen(_in_profile(manifest, rows), choice.select)
    used = {str(row.data["vendor"]): vendors[str(row.data["vendor"])] for row in rows}
    rendered = render(manifest, rows, values)
    plan = compile_plan(
        manifest=manifest,
        rows=rendered.rows,
        settings=settings_of(rendered.vendors, used, choice.environ),
        vendors=used,
        secrets=rendered.secrets,
        metadata=facts.metadata,
        git=facts.git,
        ci=facts.ci,
        tool=__version__,
        measure=measurer(path),
        today=choice.today,
    )
    doubts = (build.remark,) if build.remark else ()
    secrets = frozenset(name for name, declaration in manifest.env.items() if declaration.secret)
    return Prepared(
        plan=plan,
        secrets=rendered.secrets,
        remarks=(*remarks, *doubts),
        warnings=quarantines.warnings,
        variables={name: value for name, value in rendered.env.items() if name not in secrets},
        declared_secrets=secrets,
        files=tuple(dict.fromkeys(locate(manifest, row, ()).file for row in found.rows)),
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


def _in_profile(manifest: Manifest, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """What the profile chooses; --select chooses among that. A profile that chooses nothing was a problem before."""
    if not manifest.select:
        return rows
    from qarunner.manifest.select import select  # noqa: PLC0415

    return select(rows, manifest.select)


def _chosen(rows: tuple[Row, ...], expressions: Sequence[str]) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """The selected rows, and a remark for each term that names nothing."""
    from qarunner.manifest.select import select, suggestion, unmatched  # noqa: PLC0415  for --select alone

    chosen = select(rows, expressions)
    missing = [(term, suggestion(rows, term)) for term in unmatched(rows, expressions)]
    if not chosen:
        hint = "; ".join(f"{term!r}: {help_}" for term, help_ in missing) or None
        raise NothingSelected(f"--select chose none of {len(rows)} entries", hint=hint)
    return chosen, tuple(f"--select: {term!r} matches no entry; {help_}" for term, help_ in missing)
