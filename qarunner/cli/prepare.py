"""From a manifest's text to its problems, or to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qarunner import __version__
from qarunner.cli.inputs import read_manifest
from qarunner.diagnostics import Diagnostic, in_order
from qarunner.errors import ManifestError, NothingSelected, UserError
from qarunner.manifest.expand import check_rows, expand, locate
from qarunner.manifest.load import load
from qarunner.manifest.template import check_templates, render
from qarunner.plan import check
from qarunner.plan.model import Plan
from qarunner.vendors import registry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qarunner.cursor import Json
    from qarunner.manifest.model import Manifest, Row
    from qarunner.vendors.api import Vendor

_UNKNOWN_VENDOR = "E502"
_DEFAULTS_OF_SETTINGS = {"certyn": {"project": "CERTYN_PROJECT", "environment": "CERTYN_ENVIRONMENT"}}
"""Settings that a vendor's own variables give where the manifest gives none (dev.certyn.io/docs: auth and config)."""


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


def checked(path: Path) -> tuple[Manifest, tuple[Row, ...], dict[str, Vendor]]:
    """A manifest without any problem that can be seen without variables. ManifestError has them all."""
    name, text = read_manifest(path)
    manifest = load(name, text)
    rows = expand(manifest)
    vendors, unknown = _vendors(manifest, rows)
    found = [*check_rows(manifest, rows), *check_templates(manifest, rows), *unknown]
    known = [row for row in rows if row.data.get("vendor") in vendors]
    told = {problem.place for problem in found}
    capabilities = check.check_rows(manifest, known, vendors, _settings(manifest.vendors, vendors, {}))
    found += [problem for problem in capabilities if problem.place not in told]
    if found:
        raise ManifestError(in_order(found))
    return manifest, rows, vendors


def _vendors(manifest: Manifest, rows: Iterable[Row]) -> tuple[dict[str, Vendor], list[Diagnostic]]:
    """The adapters that the rows name; a name that nobody knows is a problem where it stands."""
    vendors: dict[str, Vendor] = {}
    unknown: dict[str, UserError] = {}
    problems: list[Diagnostic] = []
    for row in rows:
        name = row.data.get("vendor")
        if not isinstance(name, str) or name in vendors:
            continue
        try:
            if name not in unknown:
                vendors[name] = registry.get(name)
                continue
        except UserError as error:
            unknown[name] = error
        problems.append(_unknown(manifest, row, unknown[name]))
    return vendors, problems + _unknown_settings(manifest, vendors, unknown)


def _unknown(manifest: Manifest, row: Row, error: UserError) -> Diagnostic:
    place = locate(manifest, row, ("vendor",))
    source = manifest.document.source_line(place.line)
    return Diagnostic(code=_UNKNOWN_VENDOR, message=error.message, place=place, hint=error.hint, source=source)


def _unknown_settings(
    manifest: Manifest, vendors: Mapping[str, Vendor], unknown: Mapping[str, UserError]
) -> list[Diagnostic]:
    """Settings of a vendor that does not exist are a misspelling, which would be dropped in silence."""
    problems = []
    for name in manifest.vendors:
        error = unknown.get(name) or (None if name in vendors else _missing_vendor(name))
        if error is not None:
            place = manifest.document.locate(("vendors", name), key=True)
            source = manifest.document.source_line(place.line)
            problems.append(
                Diagnostic(code=_UNKNOWN_VENDOR, message=error.message, place=place, hint=error.hint, source=source)
            )
    return problems


def _missing_vendor(name: str) -> UserError | None:
    if name in registry.names_builtin():
        return None
    try:
        registry.get(name)
    except UserError as error:
        return error
    return None


def _settings(
    given: Mapping[str, Mapping[str, object]], vendors: Mapping[str, Vendor], environ: Mapping[str, str]
) -> dict[str, dict[str, Json]]:
    """Each vendor's settings: the manifest's, completed from the vendor's own variables."""
    found: dict[str, dict[str, Json]] = {}
    for name in vendors:
        settings = cast("dict[str, Json]", dict(given.get(name, {})))
        for key, variable in _DEFAULTS_OF_SETTINGS.get(name, {}).items():
            if environ.get(variable):
                settings.setdefault(key, environ[variable])
        found[name] = settings
    return found


def prepare(path: Path, choice: Choice) -> Prepared:
    """A plan of the chosen entries. ManifestError, or NothingSelected."""
    from qarunner.cli.build import read_build  # noqa: PLC0415  starts git, which validate never needs
    from qarunner.cli.builds import measurer  # noqa: PLC0415
    from qarunner.manifest.variables import Values  # noqa: PLC0415
    from qarunner.plan.compile import compile_plan  # noqa: PLC0415  the plan's codec, likewise

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
        settings=_settings(rendered.vendors, used, choice.environ),
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
