"""A saved plan: what it was made from is written down with it, and an apply makes it again before it believes it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import msgspec
from msgspec.structs import replace

from qarunner import __version__
from qarunner.app.choosing import Hide, hide_nothing
from qarunner.app.ci import Build, read_build
from qarunner.app.files import base_of, find_manifest, read_var_files
from qarunner.app.options import PlanOptions, options_of
from qarunner.app.planning import PlanResult, base_url_of, make_plan, read_inputs
from qarunner.errors import ManifestError, NothingSelected, StalePlan, UserError
from qarunner.manifest.codes import Code
from qarunner.manifest.load import version_fits
from qarunner.paths import manifest_root, read_regular, repository_root, working_folder
from qarunner.plan.model import Plan, Sources, checked_json, from_json, seal
from qarunner.text import plural
from qarunner.vendors import registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from qarunner.decode import Json


# ---------------------------------------------------------------------------------------------------------------------

# Whether a saved plan still is what a new one would be: every difference by its name, without an exception.


Data: TypeAlias = "dict[str, object]"


FACTS = ("sha", "branch", "tag", "repository")
"""What of a build counts: where results are reported to. Its URL and its event may be another job's."""


_NAMED = 5


def differences(saved: Plan, now: Plan) -> tuple[str, ...]:
    """What a plan that is made again with the same choices, in the build of now, has other."""
    moved = facts_that_differ(saved, now)
    changed = [*_of_sources(saved, now), *_builds(saved, now), *_settings(saved, now), *_gate(saved, now)]
    changed = changed or list(_rows(saved, now))
    if changed:
        return (*moved, *changed)
    rest = tuple(_rest(saved, now))
    # A branch, a tag or a commit counts where something was made of it.
    return tuple(moved) or rest if rest else tuple(change for change in moved if change.startswith(REPOSITORY))


REPOSITORY = "git.repository"


def _of_sources(saved: Plan, now: Plan) -> Iterator[str]:
    old, new = saved.sources or _NOTHING, now.sources or _NOTHING
    paths = [path for path in dict.fromkeys((*old.files, *new.files)) if old.files.get(path) != new.files.get(path)]
    for path in paths:
        rows = _of_rows(list(_rows(saved, now))) if path == paths[-1] else ""
        yield f"{path} {_word(path, old.files, new.files)}{rows}"
    for name in dict.fromkeys((*old.variables, *new.variables)):
        if old.variables.get(name) != new.variables.get(name):
            yield f"{name} differs"
    for name, url in old.endpoints.items():
        if new.endpoints.get(name, url) != url:
            yield f"{name} is at {new.endpoints[name]}, was at {url}"


_NOTHING = Sources(manifest="", files={}, variables={}, endpoints={})


def facts_that_differ(saved: Plan, now: Plan) -> list[str]:
    """`git.sha is 1a2b3c4, the plan is for 9f8e7d6`: results would be reported to another commit."""
    changes = [
        f"git.{name} is {_short(now.git.get(name))}, the plan is for {_short(saved.git.get(name))}"
        for name in FACTS
        if saved.git.get(name) != now.git.get(name)
    ]
    for name, what in _OF_BUILD.items():
        before, after = (getattr(plan.metadata, name) for plan in (saved, now))
        fact = _FACT_OF.get(name)
        if before != after and (fact is None or saved.git.get(fact) == now.git.get(fact)):
            changes.append(f"{what} is {_short(after)}, the plan is for {_short(before)}")
    if saved.metadata.pr_description != now.metadata.pr_description:
        changes.append("the description of the pull request differs")
    return changes


_FACT_OF = {"commit": "sha", "repository": "repository", "branch": "branch"}


_OF_BUILD = {
    "commit": "the commit that vendors get",
    "repository": "the repository that vendors get",
    "branch": "the branch that vendors get",
    "pr_number": "the pull request",
    "base_branch": "the base branch",
    "pr_title": "the title of the pull request",
    "ci": "the CI",
    "host": "the repository's host",
    "run_id": "the run of the CI",
}
"""What vendors get besides the facts. A build's URL and its event may be another job's."""


def _build_here(saved: Plan, words: PlanOptions, environ: Mapping[str, str]) -> Build:
    """The build of a plan that is made again: this build, with the URL and the event of the job that made the plan."""
    now = read_build(environ, working_folder(), branch=words.branch, tag=words.tag)
    then = saved.metadata
    return replace(now, url=then.build_url, event=then.event, actor=then.actor)


def _short(value: object) -> str:
    if value is None:
        return "not known"
    value = str(value)
    return value[:12] if len(value) == 40 else value  # noqa: PLR2004  a commit


def _word(path: str, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    if path not in new:
        return "is gone"
    return "changed" if path in old else "is new"


# --- rows -------------------------------------------------------------------------------------------------------------


def _rows(saved: Plan, now: Plan) -> Iterator[str]:
    """`2 rows changed (checkout/web, search)`, and the same of those that came or went."""
    old, new = ({entry.id: _bare(_data(entry)) for entry in plan.entries} for plan in (saved, now))
    kinds = {
        "changed": [name for name in new if name in old and new[name] != old[name]],
        "came": [name for name in new if name not in old],
        "went": [name for name in old if name not in new],
    }
    for word, names in kinds.items():
        if names:
            yield f"{plural(len(names), 'row')} {word} ({_some(names)})"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown}, …"


def _of_rows(rows: Sequence[str]) -> str:
    return f": {', '.join(rows)}" if rows else ", though no row of the plan did"


def _bare(entry: Data) -> Data:
    """An entry without its place: a comment above it moves that, and so does another folder to start in."""
    return {key: value for key, value in entry.items() if key != "origin"}


# --- what else goes into it -------------------------------------------------------------------------------------------


def _builds(saved: Plan, now: Plan) -> Iterator[str]:
    old = {resource.id: resource.build for resource in saved.resources if resource.build is not None}
    for resource in now.resources:
        build, before = resource.build, old.get(resource.id)
        if build is not None and before is not None and build.sha256 != before.sha256:
            yield f"{build.path} has other content"


def _settings(saved: Plan, now: Plan) -> Iterator[str]:
    for name, settings in saved.vendors.items():
        if name in now.vendors and (keys := _keys(_data(settings), _data(now.vendors[name]))):
            yield f"vendors.{name} differs: {', '.join(keys)}"


def _gate(saved: Plan, now: Plan) -> Iterator[str]:
    yield from (f"gate.{key} differs" for key in _keys(_data(saved.gate), _data(now.gate)))


def _data(value: object) -> Data:
    return cast("Data", msgspec.to_builtins(value))


def _keys(old: Data, new: Data) -> list[str]:
    keys = []
    for key in dict.fromkeys((*old, *new)):
        first, second = old.get(key), new.get(key)
        if isinstance(first, dict) and isinstance(second, dict):
            keys += [f"{key}.{key_below}" for key_below in _keys(first, second)]
        elif first != second:
            keys.append(key)
    return keys


_OF_THE_PLACE = frozenset({"digest", "manifest", "sources", "git", "ci", "metadata", "tool", "allowance"})
"""What no request is made of: what a fact has gone into is compared itself."""


_FOR_PEOPLE = frozenset({"notices", "names"})
"""What another version may say in other words: nothing of it is sent or decides anything."""


def _rest(saved: Plan, now: Plan) -> Iterator[str]:
    """Whatever nothing above names, so that nothing else than the saved plan is ever applied."""
    old, new = _comparable(saved), _comparable(now)
    if saved.tool != now.tool:
        old, new = ({key: data[key] for key in data if key not in _FOR_PEOPLE} for data in (old, new))
    yield from (f"the plan's {key} differ" for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key))


def _comparable(plan: Plan) -> Data:
    data = _data(plan)
    data["entries"] = [_bare(entry) for entry in cast("list[Data]", data["entries"])]
    for resource in cast("list[Data]", data["resources"]):
        if isinstance(resource.get("build"), dict):
            resource["build"] = {**cast("Data", resource["build"]), "path": ""}
    return {key: value for key, value in data.items() if key not in _OF_THE_PLACE}


_LENGTH = 16
"""Hexadecimal digits of a variable's digest: enough to see that it differs."""


def with_sources(result: PlanResult, path: Path, words: PlanOptions, overrides: Mapping[str, str]) -> PlanResult:
    """The plan with what it was made from; a manifest that comes through a pipe cannot be read again.

    `overrides` are the values that --var and --var-file gave.
    """
    if not path.is_file():
        return result
    root = manifest_root(path)
    files = {_in(root, Path(name)): Path(name) for name in (path.as_posix(), *result.files)}
    sources = Sources(
        manifest=_in(root, path),
        files={**{name: _content(file) for name, file in sorted(files.items())}, **_of_base(result.environ)},
        variables={name: _digest(name, value) for name, value in sorted(result.variables.items())},
        endpoints={variable: _address(variable, result.environ) for variable in result.plan.vendors},
        choices=_choices(words, overrides, result.declared_secrets),
    )
    return replace(result, plan=seal(result.plan, sources=sources))


def _in(root: Path, path: Path) -> str:
    return path.resolve().relative_to(root).as_posix()


def _of_base(environ: Mapping[str, str]) -> dict[str, str]:
    """The base may lie anywhere: its name is what the pipeline says it with."""
    base = base_of(environ)
    return {} if base is None else {"--base": f"sha256:{hashlib.sha256(base.text).hexdigest()}"}


def _content(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _choices(words: PlanOptions, overrides: Mapping[str, str], secrets: frozenset[str]) -> dict[str, Json]:
    """The words that hold for the apply as well; the value of a secret is not kept.

    What may be read of the environment is not kept either: the pipeline says so wherever the plan is applied.
    """
    choices: dict[str, Json] = {}
    for name in _recorded():
        value = () if name == "var_file" else getattr(words, name)
        if name == "var":
            value = tuple(f"{name}={text}" for name, text in overrides.items() if name not in secrets)
        if value:
            choices[name] = list(value) if isinstance(value, tuple) else value
    return choices


def _recorded() -> dict[str, str]:
    """The options that choose the rows, and hold for the apply as well."""
    return {option.key: option.name for option in options_of(PlanOptions) if option.recorded}


def _digest(name: str, value: object) -> str:
    return hashlib.sha256(json.dumps([name, value]).encode()).hexdigest()[:_LENGTH]


def _address(vendor: str, environ: Mapping[str, str]) -> str:
    url, _ = base_url_of(registry.get(vendor).info, environ)
    # Compared, and refused where something is to be sent: a variable may hold any byte, a plan cannot.
    scheme, _, rest = url.encode("utf-8", "replace").decode().partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].rstrip('/')}"


# --- reading it back --------------------------------------------------------------------------------------------------


def is_saved(path: Path | None) -> bool:
    """Whether a file is a plan, or was meant as one; a manifest may be JSON, too."""
    if path is None or not path.is_file():  # a pipe is read once, as a manifest
        return False
    try:
        data = read_regular(path)
    except OSError:
        return False
    if not data.lstrip().startswith(b"{"):
        return False
    try:
        keys = json.loads(data)
    except ValueError:
        return path.suffix == ".json" and b'"jobs"' in data
    return isinstance(keys, dict) and "jobs" in keys and "matrix" not in keys


def plan_of(
    options: PlanOptions, environ: Mapping[str, str], *, hide: Hide = hide_nothing, like: Plan | None = None
) -> PlanResult:
    """The plan, with the environment it was made with. StalePlan for a saved one that does not hold any more.

    `like`: an earlier plan, whose build's URL and event are taken over.
    """
    if options.file is not None and is_saved(options.file):
        return _reopened(options.file, options, environ, hide)
    build = _build_here(like, options, environ) if like is not None else None
    return _made(find_manifest(options.file), options, environ, build, hide)


def _made(path: Path, options: PlanOptions, environ: Mapping[str, str], build: Build | None, hide: Hide) -> PlanResult:
    inputs = read_inputs(options, environ)
    made = make_plan(path, options, environ, inputs, build=build, hide=hide)
    return with_sources(made, path, options, inputs.values.overrides)


def _reopened(path: Path, words: PlanOptions, environ: Mapping[str, str], hide: Hide) -> PlanResult:
    """The plan of a file, made again. StalePlan names all that would make another one now."""
    saved = _read(path)
    sources = saved.sources
    if sources is None:
        raise UserError(f"{path}: does not say what it was made from", hint="make it with: qarunner plan --out FILE")
    again = _again(path, saved, words)
    if Path(sources.manifest).is_absolute() or ".." in Path(sources.manifest).parts:
        raise UserError(f"{path}: names a manifest outside of its repository: {sources.manifest}")
    folder = working_folder()
    manifest = Path(os.path.relpath((repository_root(folder) or folder) / sources.manifest))
    if not manifest.is_file():
        raise StalePlan(path.as_posix(), [f"{manifest.as_posix()} is not there"])
    build = _build_here(saved, again, environ)
    try:
        made = _made(manifest, again, environ, build, hide)
    except (ManifestError, NothingSelected) as error:
        now = replace(saved, git=build.git, metadata=build.metadata)
        raise _unmade(path, manifest, sources, facts_that_differ(saved, now), error) from error
    changes = differences(saved, made.plan)
    if changes:
        other = saved.tool != __version__
        raise StalePlan(
            path.as_posix(), [*([f"made by qarunner {saved.tool}, this is {__version__}"] if other else []), *changes]
        )
    return made


def _read(path: Path) -> Plan:
    """A plan of this version or an earlier one. UserError for one that a later version wrote: it may hold more."""
    data = path.read_bytes()
    tool = checked_json(data, path=path).get("tool")
    if isinstance(tool, str) and version_fits(tool, f">{__version__}"):
        raise UserError(
            f"{path}: qarunner {tool} made this plan, and this is {__version__}; nothing was sent",
            hint=f"use qarunner {tool}, or make the plan again: qarunner plan --out {path}",
        )
    return from_json(data, path=path)


def _again(path: Path, saved: Plan, words: PlanOptions) -> PlanOptions:
    """The words that the plan was made with. UserError for words of now that would make another one."""
    assert saved.sources is not None  # noqa: S101  asked before
    choices = saved.sources.choices
    secrets = frozenset(saved.secrets)
    options = {
        "var": {word.partition("=")[0] for word in words.var} - secrets,
        "var_file": {variable.name for variable in read_var_files(words.var_file)} - secrets,
    }
    wrong = [option for name, option in _recorded().items() if options.get(name, getattr(words, name))]
    if wrong:
        raise UserError(
            f"{path}: the plan is made; {', '.join(wrong)} cannot change it",
            hint="give it to: qarunner plan --out FILE",
        )
    again = {name: tuple(value) if isinstance(value, list) else value for name, value in choices.items()}
    return dataclasses.replace(words, **{**again, "var": (*cast("Iterable[str]", again.get("var", ())), *words.var)})  # type: ignore[arg-type]


_PERMISSIONS = frozenset({Code.NOT_ALLOWED, Code.ELSEWHERE, Code.NOT_NAMED})
"""What the pipeline has to say again wherever a plan is applied."""


def _unmade(
    path: Path, manifest: Path, sources: Sources, changes: list[str], error: ManifestError | NothingSelected
) -> UserError:
    """Why no plan could be made. A permission that is missing is the user's matter, and no change of anything."""
    if isinstance(error, ManifestError) and all(problem.code in _PERMISSIONS for problem in error.diagnostics):
        return error
    if _content(manifest) != sources.files.get(sources.manifest):
        changes.append(f"{manifest.as_posix()} changed")
    problems = error.diagnostics if isinstance(error, ManifestError) else ()
    changes += [f"{problem.place}: {problem.message}" for problem in problems if problem.code not in _PERMISSIONS]
    return StalePlan(path.as_posix(), changes or [error.message])
