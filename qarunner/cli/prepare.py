"""From a manifest's text to its problems: everything that can be said without a variable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from qarunner.cli.fragments import finder
from qarunner.cli.inputs import read_manifest
from qarunner.diagnostics import Diagnostic, in_order, problem
from qarunner.errors import ManifestError, UserError
from qarunner.manifest.codes import Code
from qarunner.manifest.conditions import check_conditions
from qarunner.manifest.expand import check_rows, expand, expand_sound, locate
from qarunner.manifest.load import examine
from qarunner.manifest.model import Manifest, Row
from qarunner.manifest.needs import check_needs
from qarunner.manifest.template import check_templates
from qarunner.plan import check
from qarunner.vendors import registry
from qarunner.vendors.api import Vendor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from qarunner.cursor import Json
    from qarunner.manifest.load import Examined

_UNKNOWN_VENDOR = "E502"
_DEFAULTS_OF_SETTINGS = {"certyn": {"project": "CERTYN_PROJECT", "environment": "CERTYN_ENVIRONMENT"}}
"""Settings that a vendor's own variables give where the manifest gives none (dev.certyn.io/docs: auth and config)."""
_AS_IF_SET = {name: name for names in _DEFAULTS_OF_SETTINGS.values() for name in names.values()}
"""No variable needs to be set for a manifest to be valid: whether one is, is asked where something is to be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A manifest, the rows that could be looked at, their adapters, and every problem that needs no variable."""

    manifest: Manifest
    rows: tuple[Row, ...]
    vendors: Mapping[str, Vendor]
    problems: tuple[Diagnostic, ...]


def checked(path: Path) -> tuple[Manifest, tuple[Row, ...], Mapping[str, Vendor]]:
    """A manifest without any problem that can be seen without variables. ManifestError has them all."""
    found = examined(path)
    if found.problems:
        raise ManifestError(found.problems)
    return found.manifest, found.rows, found.vendors


def examined(path: Path, profile: str | None = None) -> Checked:
    """All problems at once: what is wrong in one entry hides nothing in another. ManifestError if it is no manifest."""
    read = _read(path)
    manifest = read.manifest if profile is None else _with_profile(read, profile)
    found = _checked(read, manifest)
    return replace(found, problems=in_order([*read.problems, *found.problems]))


def examined_in_all(path: Path) -> tuple[Checked, ...]:
    """The same for the manifest as it stands, and then with each of its profiles; every problem is told once."""
    read = _read(path)
    found = _checked(read, read.manifest)
    whole = [replace(found, problems=in_order([*read.problems, *found.problems]))]
    told = {(problem.place, problem.message) for problem in whole[0].problems}
    for name in read.profiles:
        found = _checked(read, _with_profile(read, name))
        new = [problem for problem in found.problems if (problem.place, problem.message) not in told]
        told |= {(problem.place, problem.message) for problem in new}
        whole.append(replace(found, problems=tuple(_with_its_profile(problem, name) for problem in new)))
    return tuple(whole)


def _with_its_profile(problem: Diagnostic, name: str) -> Diagnostic:
    """A problem that is there with a profile alone says so, unless it stands in it."""
    return (
        problem
        if problem.code == Code.PROFILE
        else replace(problem, message=f"{problem.message}, with --profile {name}")
    )


def _read(path: Path) -> Examined:
    name, text = read_manifest(path)
    return examine(name, text, finder(path))


def _with_profile(read: Examined, name: str) -> Manifest:
    from qarunner.manifest.profiles import with_profile  # noqa: PLC0415  for manifests with profiles alone

    return with_profile(read.manifest, name)


def _checked(read: Examined, manifest: Manifest) -> Checked:
    rows = expand(manifest) if read.sound is None else expand_sound(manifest, read.sound)
    vendors, unknown = _vendors(manifest, rows)
    decided = check_conditions(manifest, rows)
    asked = {problem.place for problem in decided}  # of a secret in a condition, its template says the same again
    found = [*check_rows(manifest, rows), *decided, *unknown]
    found += [problem for problem in check_templates(manifest, rows) if problem.place not in asked]
    found += check_needs(manifest, rows, _without_rows(manifest, rows))
    if read.sound is None and manifest.select:
        from qarunner.manifest.profiles import check_select  # noqa: PLC0415

        found += check_select(manifest, rows)
    known = [row for row in rows if row.data.get("vendor") in vendors]
    told = {problem.place for problem in (*read.problems, *found)}
    named = {**_with_settings(manifest), **vendors}
    capabilities = check.check_rows(manifest, known, named, settings_of(manifest.vendors, named, _AS_IF_SET))
    others = (*capabilities, *_unknown_in_budget(manifest, vendors))
    found += [other for other in others if other.place not in told]
    return Checked(manifest=manifest, rows=rows, vendors=vendors, problems=in_order(found))


def path_warnings(path: Path, manifest: Manifest, rows: Sequence[Row]) -> tuple[Diagnostic, ...]:
    """What git tells of globs in `paths`; it is only asked where there are some."""
    if not any("paths" in row.data for row in rows):
        return ()
    from qarunner.cli.changes import unmatched_paths  # noqa: PLC0415

    return unmatched_paths(path, manifest, rows)


def _without_rows(manifest: Manifest, rows: Iterable[Row]) -> set[str]:
    """The ids of entries that were not expanded, since something is wrong with them."""
    matrix = manifest.document.data.get("matrix")
    written = (
        {str(entry.get("id")) for entry in matrix if isinstance(entry, dict)} if isinstance(matrix, list) else set()
    )
    return written - {row.entry_id for row in rows}


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
    source = manifest.document.source_line(place)
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
            source = manifest.document.source_line(place)
            problems.append(
                Diagnostic(code=_UNKNOWN_VENDOR, message=error.message, place=place, hint=error.hint, source=source)
            )
    return problems


def _unknown_in_budget(manifest: Manifest, vendors: Mapping[str, Vendor]) -> list[Diagnostic]:
    """A limit for a vendor that does not exist would limit nothing, in silence."""
    document = manifest.document
    path = ("budget", "per_vendor")
    errors = {name: _missing_vendor(name) for name in manifest.budget.per_vendor if name not in vendors}
    return [
        problem(document, (*path, name), error.message, code=_UNKNOWN_VENDOR, hint=error.hint, key=True)
        for name, error in errors.items()
        if error is not None
    ]


def _with_settings(manifest: Manifest) -> dict[str, Vendor]:
    """Plugins that have settings, whether a row uses them or not; the schema of the manifest knows the others'."""
    plugins = [name for name in manifest.vendors if name not in registry.names_builtin()]
    return {name: registry.get(name) for name in plugins if _missing_vendor(name) is None}


def _missing_vendor(name: str) -> UserError | None:
    if name in registry.names_builtin():
        return None
    try:
        registry.get(name)
    except UserError as error:
        return error
    return None


def settings_of(
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
