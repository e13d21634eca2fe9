"""`init`, `schema` and `emulator`: what is at hand before the first run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.app.files import find_manifest, lock_of, read_lock
from qarunner.diagnostics import choose
from qarunner.errors import ExitCode, UserError
from qarunner.manifest.schema import validate as published
from qarunner.manifest.schema.named import FILE, LINE, address_of
from qarunner.paths import MANIFEST_NAMES, create, write_whole
from qarunner.vendors import registry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qarunner.app.options import EmulatorOptions, InitOptions, SchemaOptions
    from qarunner.cli.console import Console
    from qarunner.entry import NameKind
    from qarunner.vendors.api import Starter


# `init`: a first manifest for the chosen vendors, over no other one, and the schema that editors check it with.


_FIRST_LINES = f"{LINE}./{FILE}\nversion: 1\n"


_HEAD = f"""{_FIRST_LINES}name: {{name}}

env:                                    # the only environment variables that templates can read
  STAGING_URL: {{{{ format: uri }}}}          # its value: QARUNNER_VAR_STAGING_URL, or --env STAGING_URL

"""


def init(console: Console, environ: Mapping[str, str], options: InitOptions) -> ExitCode:
    """Writes both files into this folder. UserError where a manifest is already there, or for a vendor of plugins."""
    folder = Path()
    there = next((folder / name for name in MANIFEST_NAMES if (folder / name).exists()), None)
    if there is not None:
        raise UserError(f"{there.as_posix()} is already there", hint="remove it first; nothing is overwritten")
    path = folder / MANIFEST_NAMES[0]
    if options.from_vendor is not None:
        return _init_from_vendor(console, environ, options, path)
    starters = {name: text for name in registry.names_builtin() if (text := registry.get(name).info.starter)}
    chosen = tuple(dict.fromkeys(options.vendor))
    for name in chosen:
        if name not in starters:
            raise UserError(f"--vendor: there is no starter for {name!r}", hint=choose(name, tuple(starters)))
    if not chosen:
        raise UserError("init: choose a vendor", hint=f"--vendor NAME, repeatable: {', '.join(starters)}")
    _write_first(console, path, starter(_name(folder), [starters[name] for name in chosen]), options.schema)
    keys = ", ".join(registry.get(name).info.key_env for name in chosen)
    console.note(
        f"next: put your ids in, set QARUNNER_VAR_STAGING_URL and {keys}, then `qarunner validate` and `qarunner plan`"
    )
    return ExitCode.OK


def _write_first(console: Console, path: Path, text: str, where: str) -> None:
    address = address_of(where)
    own_file = address == address_of("file")
    try:
        create(path, text.replace(f"{LINE}./{FILE}", f"{LINE}{address}", 1).encode())
        if own_file:
            write_whole(path.with_name(FILE), published.for_editors().encode())
    except OSError as error:
        raise UserError(f"{path.as_posix()}: cannot be written: {error.strerror}") from error
    console.result(f"{path.as_posix()}: written, with {FILE if own_file else address} for editors")


def _init_from_vendor(console: Console, environ: Mapping[str, str], options: InitOptions, path: Path) -> ExitCode:
    """Entries with names, and the lock with their ids: a manifest that can be planned as it stands."""
    from qarunner.app.inventory import first_manifest
    from qarunner.app.options import LockOptions
    from qarunner.cli.commands.tools import lock

    if options.vendor:
        raise UserError("init: --vendor and --from-vendor exclude each other", hint="give one of them")
    text = first_manifest(_name(path.parent), options, environ, hide=console.hide, note=console.note)
    _write_first(console, path, f"{_FIRST_LINES}{text}", options.schema)
    lock(console, environ, LockOptions(files=(path,), env_file=options.env_file))
    console.note("next: `qarunner plan`; take out what shall not run, then `qarunner lock`")
    return ExitCode.OK


def schema(console: Console, _: Mapping[str, str], options: SchemaOptions) -> ExitCode:
    form = published.plain if options.plain else published.for_editors
    if options.fragment and options.base:
        raise UserError("--fragment does not go with --base", hint="each prints one schema")
    names = _locked_names(options.file) if options.with_lock else {}
    console.json(form(fragment=options.fragment, base=options.base, names=names))
    return ExitCode.OK


def _locked_names(file: Path | None) -> dict[NameKind, dict[str, str]]:
    """What can be completed: all names of a manifest's lock, each with its vendor and id. UserError without a lock."""
    path = find_manifest(file)
    lock = read_lock(path)
    if lock is None:
        raise UserError(f"--with-lock: there is no {lock_of(path).as_posix()}", hint="qarunner lock writes it")
    by_kind: dict[NameKind, dict[str, str]] = {}
    for scope, names in lock.names.items():
        for name, items in names.items():
            known = by_kind.setdefault(scope.kind, {})
            known.setdefault(name, f"{', '.join(items)} at {scope.vendor}")
            for identifier, locked_name in items.items():
                known.setdefault(locked_name, f"{identifier} at {scope.vendor}")
    return {kind: dict(sorted(known.items())) for kind, known in by_kind.items()}


def emulator(_: Console, __: Mapping[str, str], options: EmulatorOptions) -> int:
    from qarunner.app.apply.rehearsal import run_emulator

    return run_emulator(options)


def starter(name: str, starters: Sequence[Starter]) -> str:
    """A manifest that is valid as it stands."""
    settings = "".join(part.settings for part in starters)
    middle = f"vendors:                                # settings, never credentials\n{settings}\n" if settings else ""
    entries = "\n".join(part.entry for part in starters)
    return f"{_HEAD.format(name=name)}{middle}defaults: {{ timeout: 30m }}\n\nmatrix:\n{entries}"


def _name(folder: Path) -> str:
    """The folder's name, where it can stand in YAML without quotes."""
    name = folder.resolve().name
    plain = name.isascii() and name[:1].isalpha() and name.replace("-", "").replace("_", "").isalnum()
    return name if plain and name.lower() not in {"true", "false", "null"} else "my-app"
