"""From a checked manifest and the environment to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner import __version__
from qarunner.cli.build import read_build
from qarunner.cli.builds import measurer
from qarunner.cli.prepare import checked, settings_of
from qarunner.errors import NothingSelected
from qarunner.manifest.template import render
from qarunner.manifest.variables import Values
from qarunner.plan.compile import compile_plan
from qarunner.plan.model import Plan

if TYPE_CHECKING:
    from qarunner.manifest.model import Row
    from qarunner.vendors.api import Vendor


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the command line says about one plan."""

    environ: Mapping[str, str]
    select: Sequence[str] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    allow_secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plan, the text of the secrets in it, and remarks for the user."""

    plan: Plan
    secrets: Mapping[str, str]
    remarks: tuple[str, ...] = ()


def prepare(path: Path, choice: Choice) -> Prepared:
    """A plan of the chosen entries. ManifestError, or NothingSelected."""
    manifest, rows, vendors = checked(path)
    rows, remarks = _chosen(rows, choice.select)
    build = read_build(choice.environ, Path.cwd())
    used = {str(row.data["vendor"]): vendors[str(row.data["vendor"])] for row in rows}
    rendered = render(
        manifest,
        rows,
        Values(
            env=choice.environ,
            overrides=choice.overrides,
            allow_secrets=choice.allow_secrets,
            credentials=frozenset(name for vendor in vendors.values() for name in credential_names(vendor)),
            vendor_keys={name: vendor.info.key_env for name, vendor in vendors.items()},
            git=build.git,
            ci=build.ci,
        ),
    )
    plan = compile_plan(
        manifest=manifest,
        rows=rendered.rows,
        settings=settings_of(rendered.vendors, used, choice.environ),
        vendors=used,
        secrets=rendered.secrets,
        metadata=build.metadata,
        git=build.git,
        ci=build.ci,
        tool=__version__,
        measure=measurer(path),
    )
    return Prepared(plan=plan, secrets=rendered.secrets, remarks=remarks)


def credential_names(vendor: Vendor) -> tuple[str, ...]:
    return (vendor.info.key_env, *vendor.info.credential_environ)


def _chosen(rows: tuple[Row, ...], expressions: Sequence[str]) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """The selected rows, and a remark for each term that names nothing."""
    from qarunner.manifest.select import select, suggestion, unmatched  # noqa: PLC0415  for --select alone

    chosen = select(rows, expressions)
    missing = [(term, suggestion(rows, term)) for term in unmatched(rows, expressions)]
    if not chosen:
        hint = "; ".join(f"{term!r}: {help_}" for term, help_ in missing) or None
        raise NothingSelected(f"--select chose none of {len(rows)} entries", hint=hint)
    return chosen, tuple(f"--select: {term!r} matches no entry; {help_}" for term, help_ in missing)
