"""`validate` and `vendors`: what can be said without a network, a variable or a credential."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from qarunner.diagnostics import Diagnostic, in_order
from qarunner.errors import ExitCode, ManifestError, UserError
from qarunner.manifest import codes
from qarunner.text import plural, record, table
from qarunner.vendors import registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from qarunner.app.options import ValidateOptions, VendorsOptions
    from qarunner.cli.console import Console
    from qarunner.entry import TargetKind
    from qarunner.manifest.rules import RuleResults
    from qarunner.vendors.api import Vendor, VendorInfo


def validate(console: Console, environ: Mapping[str, str], options: ValidateOptions) -> ExitCode:
    """Checks each file, and reports the problems of all of them at once. Warnings do not change the exit code."""
    from qarunner.app.files import find_manifest

    problems: list[Diagnostic] = []
    warnings: list[Diagnostic] = []
    unreadable: list[UserError] = []
    fine: list[tuple[Path, int]] = []
    today = datetime.now(UTC).date()
    for file in options.files or [find_manifest(None)]:
        try:
            rows, results = _looked_at(console, file, today, environ)
            if not results.errors:
                fine.append((file, rows))
            problems += results.errors
            warnings += results.warnings
        except ManifestError as error:
            problems += error.diagnostics
        except UserError as error:
            if console.output == "json":
                # One document holds everything: a reader of JSON takes no second one.
                problems.append(_unreadable(file, error))
            else:
                unreadable.append(error)
    for problem in unreadable:
        console.failure(problem)
    if problems or warnings or console.output == "json":
        console.problems(in_order([*problems, *warnings]) if warnings else problems)
    if console.output != "json" and not console.quiet:
        for file, rows in fine:
            console.result(f"{file.as_posix()}: ok, {plural(rows, 'entry', 'entries')}")
    return ExitCode.USAGE if problems or unreadable else ExitCode.OK


def _looked_at(console: Console, file: Path, today: date, environ: Mapping[str, str]) -> tuple[int, RuleResults]:
    """How many rows a manifest has, and what there is to say of it as it stands and with each of its profiles."""
    from qarunner.app.choosing import unmatched_paths
    from qarunner.app.planning import check_with_profiles, reach_warnings
    from qarunner.manifest.rules import RuleResults, check_quarantines
    from qarunner.manifest.schema.named import schema_warnings

    errors: list[Diagnostic] = []
    warnings: list[Diagnostic] = [*schema_warnings(file)]
    whole = check_with_profiles(file, environ, hide=console.hide)
    for checked in whole:
        quarantines = check_quarantines(checked.manifest, checked.evaluated.rows, today)
        errors += [*checked.problems, *quarantines.errors]
        rows = () if checked.problems else checked.evaluated.rows
        warnings += [*quarantines.warnings, *checked.warnings]
        warnings += reach_warnings(checked.manifest, rows, checked.vendors)
        warnings += unmatched_paths(file, checked.manifest, checked.rows, environ)
    # What is wrong, or warned of, with every profile is reported once.
    return len(whole[0].rows), RuleResults(in_order(errors), in_order(warnings))


def _unreadable(file: Path, error: UserError) -> Diagnostic:
    from qarunner.diagnostics import Diagnostic, Place

    return Diagnostic(code=codes.UNREADABLE, message=error.message, place=Place(file.as_posix(), 1, 1), hint=error.hint)


# --- the capability table ---------------------------------------------------------------------------------------------


def vendors(console: Console, environ: Mapping[str, str], options: VendorsOptions) -> ExitCode:
    """The capability table, or one vendor with its reasons, or what it lists."""
    name = options.name
    if options.list:
        from qarunner.cli.commands.tools import show_inventory

        return show_inventory(console, environ, options)
    if options.kind is not None:
        raise UserError(f"vendors {name} {options.kind}: one vendor is shown", hint=f"qarunner vendors {name} --list")
    listed, broken = ([registry.get(name)], []) if name else registry.available()
    if console.output == "json":
        console.data({vendor.info.name: as_data(vendor) for vendor in listed})
        return _warn_of(console, broken)
    rows = [row for vendor in listed for row in capability_rows(vendor.info)]
    console.results(_detail(listed[0]) if name else table([HEADINGS, *rows]))
    return _warn_of(console, broken)


def _warn_of(console: Console, broken: Sequence[UserError]) -> ExitCode:
    """One plugin that cannot be loaded hides no other vendor."""
    for error in broken:  # beside the table, and never a second document of JSON
        console.warn(f"qarunner: error: {error.message}" + (f"; {error.hint}" if error.hint else ""))
    return ExitCode.USAGE if broken else ExitCode.OK


def as_data(vendor: Vendor) -> dict[str, object]:
    info, able = vendor.info, vendor.info.capabilities
    return {
        **record(info, "title", "docs", "base_url"),
        "url_variables": info.url_env,
        "key_variable": info.key_env,
        "targets": {platform or "": sorted(kinds) for platform, kinds in able.targets.items()},
        "target_required": able.target_required,
        "selections": sorted(able.selections),
        **record(able, "several_ids", "artifacts", "cancel", "per_test_results"),
        "idempotent": info.idempotency_header is not None,
        "not_offered": dict(able.instead),
        **record(info, "options", "settings"),
    }


def _detail(vendor: Vendor) -> Iterator[str]:
    info = vendor.info
    yield f"{info.title} ({info.name}): {info.docs}"
    yield f"  credential  {info.key_env}"
    yield f"  base URL    {info.base_url}, or {', '.join(info.url_env)}"
    yield from (f"  {line}" for line in table([HEADINGS, *capability_rows(info)]))
    yield f"  a create can be repeated: {'yes' if info.idempotency_header else 'no'}"
    if info.options:
        yield f"  options: {', '.join(info.options)}"
    if info.settings:
        yield f"  settings: {', '.join(info.settings)}"
    for word, reason in info.capabilities.instead.items():
        yield f"  not offered: {word}: {reason}"


HEADINGS = ("vendor", "platform", "target", "tests by", "sign-in", "cancel", "results")


def capability_rows(info: VendorInfo) -> Iterator[tuple[str, ...]]:
    """A vendor's rows: one for each group of platforms that take the same targets; `-` is an entry without one."""
    able = info.capabilities
    groups: dict[frozenset[TargetKind], list[str]] = {}
    for platform, kinds in able.targets.items():
        groups.setdefault(kinds, []).append(str(platform or "-"))
    selections = ", ".join(f"one of {kind}" if able.takes_one(kind) else kind for kind in sorted(able.selections))
    rest = (
        selections,
        "yes" if able.artifacts else "no",
        "yes" if able.cancel else "no",
        "each test" if able.per_test_results else "numbers",
    )
    for number, (kinds, platforms) in enumerate(groups.items()):
        where = (", ".join(platforms), ", ".join(sorted(kinds)) or "-")
        yield (info.name, *where, *rest) if number == 0 else ("", *where, *[""] * len(rest))
