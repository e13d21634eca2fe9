"""A saved plan: what it was made from is written down with it, and an apply makes it again before it believes it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qarunner import __version__
from qarunner.cli.build import Facts, read_build
from qarunner.errors import ManifestError, NothingSelected, StalePlan, UserError
from qarunner.manifest.codes import Code
from qarunner.plan.model import Sources, checked_json, from_json, made_from
from qarunner.plan.stale import differences, facts_that_differ
from qarunner.vendors import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from qarunner.cli.compiling import Prepared
    from qarunner.cli.planning import Given
    from qarunner.cursor import Json
    from qarunner.plan.model import Plan

_LENGTH = 16
"""Hexadecimal digits of a variable's digest: enough to see that it differs."""
_RECORDED = ("profile", "select", "var", "changed_since", "shard", "rerun_failed")
"""The words of the command line that choose the rows, and hold for the apply as well."""


def with_sources(found: Prepared, path: Path, words: Given, environ: Mapping[str, str]) -> Prepared:
    """The plan with what it was made from; a manifest that comes through a pipe cannot be read again."""
    if not path.is_file():
        return found
    root = root_of(path.resolve().parent)
    files = {_in(root, Path(name)): Path(name) for name in (path.as_posix(), *found.files)}
    sources = Sources(
        manifest=_in(root, path),
        files={name: _content(file) for name, file in sorted(files.items())},
        variables={name: _digest(name, value) for name, value in sorted(found.variables.items())},
        endpoints={each: _address(each, environ) for each in found.plan.vendors},
        choices=_choices(words, found.declared_secrets),
    )
    return replace(found, plan=made_from(found.plan, sources))


def root_of(folder: Path) -> Path:
    """The repository that a folder is in; the folder itself where it is in none."""
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)


def _in(root: Path, path: Path) -> str:
    return path.resolve().relative_to(root).as_posix()


def _content(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _choices(words: Given, secrets: frozenset[str]) -> dict[str, Json]:
    """The words that hold for the apply as well; the value of a secret is not kept."""
    found: dict[str, Json] = {}
    for name in _RECORDED:
        value = getattr(words, name, None)
        if name == "var":
            value = tuple(word for word in words.var if word.partition("=")[0] not in secrets)
        if value:
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def _digest(name: str, value: object) -> str:
    return hashlib.sha256(json.dumps([name, value]).encode()).hexdigest()[:_LENGTH]


def _address(vendor: str, environ: Mapping[str, str]) -> str:
    info = registry.get(vendor).info
    url = next((environ[name] for name in info.url_env if environ.get(name)), info.base_url)
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].rstrip('/')}"


# --- reading it back --------------------------------------------------------------------------------------------------


def is_saved(path: Path | None) -> bool:
    """Whether a file is a plan, or was meant as one; a manifest may be JSON, too."""
    if path is None or not path.is_file():  # a pipe is read once, as a manifest
        return False
    try:
        data = path.read_bytes()
    except OSError:
        return False
    if not data.lstrip().startswith(b"{"):
        return False
    try:
        keys = json.loads(data)
    except ValueError:
        return path.suffix == ".json" and b'"jobs"' in data
    return isinstance(keys, dict) and "jobs" in keys and "matrix" not in keys


def reopened(
    path: Path,
    words: Given,
    environ: Mapping[str, str],
    make: Callable[[Path, Given, Mapping[str, str], Facts], Prepared],
) -> Prepared:
    """The plan of a file, made again. StalePlan names all that would make another one now."""
    saved = _read(path)
    sources = saved.sources
    if sources is None:
        raise UserError(f"{path}: does not say what it was made from", hint="make it with: qarunner plan --out FILE")
    again = _again(path, saved, words)
    manifest = Path(os.path.relpath(root_of(Path.cwd()) / sources.manifest))
    if not manifest.is_file():
        raise StalePlan(path.as_posix(), [f"{manifest.as_posix()} is not there"])
    found = facts_that_differ(saved.git, read_build(environ, Path.cwd()).git)
    facts = Facts(git=saved.git, ci=saved.ci, metadata=saved.metadata)
    try:
        made = make(manifest, again, environ, facts)
    except (ManifestError, NothingSelected) as error:
        raise _unmade(path, manifest, sources, found, error) from error
    found += differences(saved, made.plan)
    if found:
        raise StalePlan(path.as_posix(), found)
    return made


def _read(path: Path) -> Plan:
    """A plan of this very version; of another, it is stale, if nobody changed it."""
    data = path.read_bytes()
    read = checked_json(data, path=path)
    tool = read.get("tool")
    if tool != __version__:
        raise StalePlan(path.as_posix(), [f"made by qarunner {tool}, this is {__version__}"])
    return from_json(data, path=path)


def _again(path: Path, saved: Plan, words: Given) -> Given:
    """The words that the plan was made with. UserError for words of now that would make another one."""
    assert saved.sources is not None  # noqa: S101  asked before
    choices = saved.sources.choices
    others = [word for word in words.var if word.partition("=")[0] not in saved.secrets]
    wrong = [f"--{name.replace('_', '-')}" for name in _RECORDED if (others if name == "var" else getattr(words, name))]
    if wrong:
        raise UserError(
            f"{path}: the plan is made; {', '.join(wrong)} cannot change it",
            hint="give it to: qarunner plan --out FILE",
        )
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in choices.items()}
    return replace(words, **{**given, "var": (*cast("Iterable[str]", given.get("var", ())), *words.var)})  # type: ignore[arg-type]


def _unmade(
    path: Path, manifest: Path, sources: Sources, found: list[str], error: ManifestError | NothingSelected
) -> UserError:
    """Why no plan could be made. A permission that is missing is the user's matter, and no change of anything."""
    if isinstance(error, ManifestError) and all(each.code == Code.NOT_ALLOWED for each in error.diagnostics):
        return error
    if _content(manifest) != sources.files.get(sources.manifest):
        found.append(f"{manifest.as_posix()} changed")
    problems = error.diagnostics if isinstance(error, ManifestError) else ()
    found += [f"{each.place}: {each.message}" for each in problems if each.code != Code.NOT_ALLOWED]
    return StalePlan(path.as_posix(), found or [error.message])
