"""Commands beside runs: what vendors list, the lock, and the script with which a shell completes command lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.cli.completion import script
from qarunner.errors import ExitCode, decisive_code
from qarunner.manifest.names import WORDS, shown
from qarunner.text import LONGEST_NAME, cut, plural, record, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.app.inventory import Listing, Locked
    from qarunner.app.options import CompletionOptions, LockOptions, VendorsOptions
    from qarunner.cli.console import Console
    from qarunner.manifest.lock import Scope
    from qarunner.vendors.api import InventoryKind, Item


def show_inventory(console: Console, environ: Mapping[str, str], options: VendorsOptions) -> ExitCode:
    """What can be named at a vendor. A kind that cannot be read hides no other one, but the exit code tells."""
    from qarunner.app.inventory import list_vendor

    listing = list_vendor(options, environ, hide=console.hide, note=console.note)
    console.answer(lambda: {"vendor": options.name, **_as_data(listing)}, _lines(console, listing))
    for error in listing.errors if console.output != "json" else ():
        console.failure(error)
    codes = {error.code for error in listing.errors}
    return decisive_code(codes, ExitCode.USAGE if codes else ExitCode.OK)


def _lines(console: Console, listing: Listing) -> Iterator[str]:
    rows = [
        (str(kind), item.id, cut(item.name, LONGEST_NAME), item.unusable or (f"slug: {item.slug}" if item.slug else ""))
        for kind, item in _by_name(listing)
    ]
    # A vendor's words are made harmless before the width of a column is measured.
    yield from table([("kind", "id", "name", ""), *(tuple(map(console.safe, row)) for row in rows)])
    for kind, items in listing.items.items():
        if not items:
            yield f"no {kind} is listed"


def _as_data(listing: Listing) -> dict[str, object]:
    return {
        "items": [{"kind": kind, **record(item, "id", "name", "slug", "unusable")} for kind, item in _by_name(listing)],
        "errors": [record(error, "message", "hint") for error in listing.errors],
    }


def _by_name(listing: Listing) -> Iterator[tuple[InventoryKind, Item]]:
    for kind, items in listing.items.items():
        yield from ((kind, item) for item in sorted(items, key=lambda item: (item.name, item.id)))


def lock(console: Console, environ: Mapping[str, str], options: LockOptions) -> ExitCode:
    """Writes the ids behind names; with `check`, 10 where an inventory has moved since."""
    from qarunner.app.inventory import lock_manifests

    locks = lock_manifests(options, environ, hide=console.hide, note=console.note)
    for locked in locks:
        for warning in locked.warnings:
            console.warn(f"qarunner: warning: {locked.manifest.as_posix()}: {warning}")
    lines = (line for locked in locks for line in _lock_lines(locked, check=options.check))
    console.answer(lambda: {"locks": [_lock_data(locked) for locked in locks]}, lines)
    return ExitCode.CHANGES if options.check and any(locked.moved for locked in locks) else ExitCode.OK


def _lock_lines(locked: Locked, *, check: bool) -> Iterator[str]:
    path = locked.path.as_posix()
    for moved in locked.moved:
        yield f"{path}: {moved}"
    for scope, name in locked.unused:
        left_out = "`qarunner lock` leaves it out" if check else "left out"
        yield f"{path}: {WORDS[scope.kind]} {shown(name)} of {scope.vendor}: no entry has this name: {left_out}"
    if not (locked.names or locked.is_written or locked.path.exists()):
        yield f"{path}: not needed, {locked.manifest.as_posix()} has ids alone"
        return
    names = plural(locked.names, "name")
    if check:
        state = f"{len(locked.moved)} moved" if locked.moved else "nothing moved"
    else:
        state = "written" if locked.is_written else "unchanged"
    yield f"{path}: {state}, {names}"


def _lock_data(locked: Locked) -> dict[str, object]:
    return {
        "manifest": locked.manifest.as_posix(),
        "lock": locked.path.as_posix(),
        "names": locked.names,
        "written": locked.is_written,
        "moved": [
            {"move": moved.move, **_scope(moved.scope), **record(moved, "name", "id", "before", "after")}
            for moved in locked.moved
        ],
        "unused": [{**_scope(scope), "name": name} for scope, name in locked.unused],
        "warnings": locked.warnings,
    }


def _scope(scope: Scope) -> dict[str, object]:
    return record(scope, "vendor", "project", "kind")


def completion(console: Console, _: Mapping[str, str], options: CompletionOptions) -> ExitCode:
    """Prints the script of a shell."""
    console.document(script(options.shell))
    return ExitCode.OK
