"""Names in rows → ids, from the lock alone: nothing is asked, and what the lock does not have is a problem."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from qarunner.decode import as_mapping
from qarunner.diagnostics import Diagnostic, Locator, Path, problem
from qarunner.entry import BY_NAME, NameKind, TargetKind
from qarunner.known import is_open
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import RowLocator
from qarunner.manifest.lock import Items, KnownNames, Lock, Scope, VendorNames
from qarunner.manifest.model import Manifest, Row
from qarunner.secret import OPEN, mask
from qarunner.text import LONGEST_NAME, cut

PROJECT = "project"
"""The setting that says whose names are meant, where a vendor has projects."""


def shown(name: str | None) -> str:
    """A name in a message: quoted, without secrets, and not longer than a line."""
    return repr(cut(mask(name or ""), LONGEST_NAME))


class Wanted(Struct, frozen=True, kw_only=True):
    """A name in a row: where it stands, and where it holds. `known` is False while a template decides the name.

    `project_known` is False where only a build says which project it is.
    """

    name: str
    path: Path
    scope: Scope
    known: bool = True
    project_known: bool = True

    @property
    def shown(self) -> str:
        return shown(self.name)


class WithIds(Struct, frozen=True, kw_only=True):
    """A row with ids where all names are known, the names behind these ids, and what is wrong."""

    row: Row
    items: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Diagnostic, ...] = ()


def may_have_names(row: Row) -> bool:
    """True if a row may hold names: called for each of 100,000 rows, and most rows have ids."""
    data = row.data
    return (
        NameKind.TESTS in data
        or NameKind.CATEGORIES in data
        or TargetKind.ENVIRONMENT in as_mapping(data.get("target"))
    )


def wanted(
    facts_of: Callable[[str], VendorNames | None],
    row: Row,
    settings: Mapping[str, object],
    unknown: Container[Path],
    project: str | None = None,
) -> Iterator[Wanted]:
    """The names of an evaluated row, as far as its vendor has such names.

    `unknown` are the paths of its templates that are not known yet. `project`: for settings without one.
    """
    vendor = row.data.get("vendor")
    if not isinstance(vendor, str) or (facts := facts_of(vendor)) is None:
        return
    setting = settings.get(PROJECT)
    is_known = not is_open(setting)
    project = (setting if isinstance(setting, str) else project) if is_known else None
    for kind, path, name in _written(row, facts):
        yield Wanted(
            name=name,
            path=path,
            scope=Scope(vendor, project, kind),
            known=path not in unknown and OPEN not in name,
            project_known=is_known and project is not None,
        )


def _written(row: Row, facts: VendorNames) -> Iterator[tuple[NameKind, Path, str]]:
    for key in BY_NAME:
        listed = row.data.get(key) if key in facts.kinds else None
        if isinstance(listed, str):  # an expression that gives a whole list
            yield NameKind(key), (key,), listed
        for index, name in enumerate(listed if isinstance(listed, list) else ()):
            yield NameKind(key), (key, index), str(name)
    environment = as_mapping(row.data.get("target")).get(TargetKind.ENVIRONMENT)
    if isinstance(environment, str) and facts.is_environment_name(environment):
        yield NameKind.ENVIRONMENTS, ("target", str(TargetKind.ENVIRONMENT)), environment


def with_ids(
    manifest: Manifest,
    names: KnownNames,
    row: Row,
    settings: Mapping[str, object],
    unknown: Container[Path],
    *,
    final: bool,
) -> WithIds:
    """A row with the ids of its names. What is still a template, or not in the lock, stays as it is written.

    `final`: the row is to be sent, so that each name needs its id, and no name is a secret. ManifestError if the lock
    cannot be read.
    """
    by_path: dict[Path, Items] = {}
    problems: list[Diagnostic] = []
    open_: set[str | int] = set()
    for wanted_name in wanted(names.of, row, settings, unknown, names.projects.get(str(row.data.get("vendor")))):
        items = _look_up(names, wanted_name) if wanted_name.known else None
        if items is not None and _fits(names, wanted_name, items):
            by_path[wanted_name.path] = items
            continue
        open_.add(wanted_name.path[0])
        if wanted_name.known or (final and wanted_name.path not in unknown):  # what is not set is its own problem
            problems.append(not_locked(RowLocator(manifest, row), names.file, names.lock, wanted_name))
    return WithIds(
        row=_replaced(row, {path: items for path, items in by_path.items() if path[0] not in open_}),
        items={key: name for items in by_path.values() for key, name in items.items()},
        problems=tuple(problems),
    )


def _look_up(names: KnownNames, wanted_name: Wanted) -> Items | None:
    if names.lock is None:
        return None
    items = names.lock.find(wanted_name.scope, wanted_name.name)
    if items is None and not wanted_name.project_known:
        items = names.lock.find_anywhere(wanted_name.scope.vendor, wanted_name.scope.kind, wanted_name.name)
    return items


def _fits(names: KnownNames, wanted_name: Wanted, items: Items) -> bool:
    """False if a lock gives an environment several ids, or one of another form: then it has no id for it."""
    facts = names.of(wanted_name.scope.vendor)
    if wanted_name.scope.kind is not NameKind.ENVIRONMENTS or facts is None:
        return True
    return len(items) == 1 and not any(map(facts.is_environment_name, items))


def _replaced(row: Row, by_path: Mapping[Path, Items]) -> Row:
    if not by_path:
        return row
    data: dict[str, object] = {}
    named: dict[str, list[str]] = {}
    for key, value in row.data.items():
        parts = [items for path, items in by_path.items() if path[0] == key]
        if key in BY_NAME and parts:
            named[key] = [str(name) for name in value] if isinstance(value, list) else []
            data[BY_NAME[key]] = list(dict.fromkeys(identifier for items in parts for identifier in items))
        elif key == "target" and parts and isinstance(value, dict):
            data[key] = {**value, str(TargetKind.ENVIRONMENT): next(iter(parts[0]))}
        else:
            data[key] = value
    return replace(row, data=data, named=named)


def not_locked(locator: Locator, file: str, lock: Lock | None, wanted_name: Wanted) -> Diagnostic:
    """What to say of a name whose id is not known offline. `file` is the lock's name."""
    what = f"{WORDS[wanted_name.scope.kind]} {wanted_name.shown}"
    if lock is None:
        message = f"{what} is a name, and there is no {file} that has its id"
    else:
        project = f", project {wanted_name.scope.project}" if wanted_name.scope.project is not None else ""
        message = f"{what} is not in {file} ({wanted_name.scope.vendor}{project})"
    hint = f"`qarunner lock` asks {wanted_name.scope.vendor} for the id; then commit {file}"
    return problem(locator, wanted_name.path, message, code=Code.NOT_LOCKED, hint=hint)


WORDS = {NameKind.TESTS: "test", NameKind.CATEGORIES: "category", NameKind.ENVIRONMENTS: "environment"}
