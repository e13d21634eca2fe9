"""Text → Manifest, or every problem at once."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, reduce
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from qarunner import __version__
from qarunner.decode import Json, amount, as_mapping, children
from qarunner.diagnostics import Diagnostic, Path, Place, choose, closest, in_order, problem
from qarunner.entry import (
    BY_NAME,
    Authentication,
    Entry,
    Gate,
    Platform,
    Report,
    Selection,
    SelectionKind,
    Strategy,
    Target,
    TargetKind,
)
from qarunner.errors import ManifestError, UserError
from qarunner.manifest import codes
from qarunner.manifest.axes import check_axes
from qarunner.manifest.base import BaseText, OverBase, read_base
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import check_nothings, duplicates, overlay, overlay_row, place_of
from qarunner.manifest.model import BASE, Budget, Manifest, Row
from qarunner.manifest.model import entry_of as entry_of_row
from qarunner.manifest.rules import policy_of
from qarunner.manifest.schema import validate as schema
from qarunner.manifest.select import KNOWN_LATER, Vocabulary, parse
from qarunner.manifest.templates.env import check_declarations, check_key_names, read_declarations
from qarunner.manifest.yaml import reader as document
from qarunner.manifest.yaml.reader import ABSENT, Document, read
from qarunner.regex import regex
from qarunner.secret import has_brackets

if TYPE_CHECKING:
    from datetime import date
    from decimal import Decimal

    from qarunner.entry import OnSkipped
    from qarunner.manifest.schema.explain import SchemaError


# ---------------------------------------------------------------------------------------------------------------------

# Profiles: a manifest with what one of them changes, and whether its choice is a choice of anything.


def with_profile(manifest: Manifest, name: str) -> Manifest:
    """The manifest with a profile over it. UserError if it has no profile of that name."""
    known = profile_names(manifest.document)
    if name not in known:
        hint = (
            choose(name, known) if known else "write it: profiles: { " + name + ": { select: [label:" + name + "] } }"
        )
        raise UserError(f"--profile {name}: {manifest.document.name} has no such profile", hint=hint)
    return replace(bind(manifest.document, templated=manifest.templated, profile=name), names=manifest.names)


def check_select(manifest: Manifest, rows: Sequence[Row], *, are_all: bool = True) -> Iterator[Diagnostic]:
    """Expressions of the manifest's profile that cannot be read, or that name what no row has.

    Where these are not all rows, what an expression names may be one of the others.
    """
    if not manifest.select:
        return
    path = next(path for path in manifest.layers("select") if manifest.document.at(path) is not ABSENT)
    sound = are_all
    vocabulary = Vocabulary(rows) if are_all else None
    for index, expression in enumerate(manifest.select):
        for message, hint in _flaws(expression, vocabulary):
            sound = False
            yield problem(manifest.document, (*path, index), message, code=Code.PROFILE, hint=hint)
    if (
        sound
        and vocabulary
        and not any(map(vocabulary.is_open, KNOWN_LATER))
        and not vocabulary.select(manifest.select)
    ):
        message = f"select chooses none of {len(rows)} entries"
        yield problem(manifest.document, path, message, code=Code.PROFILE, hint="choose one at least")


def check_changes(manifest: Manifest, rows: Sequence[Row], elsewhere: Collection[str] = ()) -> Iterator[Diagnostic]:
    """Changes of the manifest's profile that are about no row. `elsewhere` are entries that have no rows here."""
    names = {name: None for row in rows for name in row.names}
    for path in manifest.layers("entries"):
        for row_id in manifest.section(path) if path[0] == "profiles" else ():
            if row_id not in names and entry_of_row(row_id) not in elsewhere:
                message, hint = f"entries: there is no entry {row_id!r}", choose(row_id, list(names)[:_OFFERED])
                where = (*path, row_id)
                yield problem(manifest.document, where, message, code=Code.PROFILE, hint=hint, key=True)


_OFFERED = 40


_MOST_TERMS = 100


def _flaws(expression: str, vocabulary: Vocabulary | None) -> Iterator[tuple[str, str | None]]:
    try:
        terms = parse(expression)
    except UserError as error:
        yield error.message.removeprefix("--"), error.hint
        return
    if len(terms) > _MOST_TERMS:
        yield (
            f"select: {len(terms):,} terms in one expression, at most {_MOST_TERMS} are taken",
            "use globs, or a label",
        )
        return
    if vocabulary is None:
        return
    for term in terms:
        # What is left out may have gone already; what is chosen has to be there.
        if not (term.negated or vocabulary.matches(term) or vocabulary.is_open(term.kind)):
            yield f"select: {term.text!r} matches no entry", vocabulary.suggestion(term.text)


# ---------------------------------------------------------------------------------------------------------------------

# Fragments: files that `include` names, whose entries stand behind those of the manifest.


class NamedFile(Struct, frozen=True, kw_only=True):
    """A file that a glob names: its text, or why it cannot be taken. `key` is one for all names of the same file."""

    name: str
    key: str
    text: bytes = b""
    refusal: str | None = None


class BadGlob(ValueError):  # noqa: N818  it says what was found
    """A glob that cannot be followed, and why."""


Finder: TypeAlias = Callable[[str], Sequence[NamedFile]]
"""The files that a glob names, in their order. BadGlob if there is no telling."""


class Joined(Document):
    """A manifest with its fragments, as one document: its `matrix` has the entries of all of them."""

    __slots__ = ("_fragments", "_main")

    def __init__(self, main: Document, fragments: Sequence[Document]) -> None:
        self.name = main.name
        self._main = main
        self._fragments: list[tuple[int, Document]] = []
        matrix = main.data.get("matrix")
        entries: list[object] = list(matrix) if isinstance(matrix, list) else []
        for fragment in fragments:
            more = fragment.data.get("matrix")
            self._fragments.append((len(entries), fragment))
            entries += more if isinstance(more, list) else []
        self.data = {**main.data, "matrix": entries} if entries else main.data

    def locate(self, path: Path, *, key: bool = False) -> Place:
        if len(path) > 1 and path[0] == "matrix" and isinstance(path[1], int):
            for first, fragment in reversed(self._fragments):
                if path[1] >= first:
                    return fragment.locate(("matrix", path[1] - first, *path[2:]), key=key)
        return self._main.locate(path, key=key)

    def source_line(self, place: Place) -> str | None:
        documents = {fragment.name: fragment for _, fragment in self._fragments}
        return documents.get(place.file, self._main).source_line(place)


class Included(NamedTuple):
    """A document with its fragments, the texts of these, and what is wrong with them."""

    document: Document
    texts: tuple[bytes, ...]
    problems: tuple[Diagnostic, ...]


def join(main: Document, find: Finder | None) -> Included:
    """Follows the globs of a document of any shape: what the schema would refuse is left out."""
    globs = main.data.get("include")
    if not isinstance(globs, list) or not isinstance(main.data.get("matrix", []), list):
        return Included(main, (), ())
    fragments: dict[str, tuple[Document, bytes] | None] = {}
    problems: list[Diagnostic] = []
    for index, glob in enumerate(globs[:_MOST_GLOBS]):
        for file in _files_of(main, index, glob, find, problems) if isinstance(glob, str) else ():
            if file.key not in fragments:
                fragments[file.key] = _fragment(main, file, problems)
    taken = [fragment for fragment in fragments.values() if fragment is not None]
    whole = Joined(main, [document for document, _ in taken]) if taken else main
    return Included(whole, tuple(text for _, text in taken), tuple(problems))


_MOST_GLOBS = 100
"""The schema refuses more; their files are not looked for."""


def _files_of(
    main: Document, index: int, glob: str, find: Finder | None, problems: list[Diagnostic]
) -> Iterator[NamedFile]:
    """The files of one glob that can be taken."""
    path: Path = ("include", index)
    try:
        files = find(glob) if find is not None else ()
    except BadGlob as bad:
        problems.append(problem(main, path, f"include: {glob!r} {bad}", code=Code.INCLUDE, hint=_HINT))
        return
    if not files:
        message = f"include: no file matches {glob!r}"
        problems.append(problem(main, path, message, code=Code.INCLUDE, hint=_HINT))
    for file in files:
        if file.refusal is None:
            yield file
        else:
            message = f"include: {file.name} {file.refusal}"
            problems.append(problem(main, path, message, code=Code.INCLUDE, hint=_HINT))


_HINT = "globs such as qa/**/*.yml begin at the manifest's folder and stay inside of the repository"


def _fragment(main: Document, file: NamedFile, problems: list[Diagnostic]) -> tuple[Document, bytes] | None:
    try:
        fragment = read(file.name, file.text)
    except ManifestError as error:
        # What stands in a file that is no fragment at all is never shown: it may be one with passwords.
        problems += error.diagnostics if has_matrix(file.text) else [_no_fragment(file.name)]
        return None
    if "matrix" not in fragment.data:
        misspelt = closest("matrix", fragment.data)
        problems.append(_no_fragment(file.name, fragment.locate((misspelt,), key=True) if misspelt else None))
        return None
    problems += _misplaced(main, fragment)
    return fragment, file.text


_MATRIX = regex(rb"""^(?:\xef\xbb\xbf)?(?:\{\s*)?["']?matrix["']?\s*:""", re.MULTILINE)


def has_matrix(text: bytes) -> bool:
    """Whether a text is meant as a manifest or a fragment, even where it cannot be read."""
    try:
        return "matrix" in read("", text).data
    except ManifestError:
        return _MATRIX.search(text) is not None


def _no_fragment(name: str, misspelt: Place | None = None) -> Diagnostic:
    """`misspelt` is the place of a key that was most likely meant as matrix."""
    meant = "did you mean 'matrix'? " if misspelt else ""
    return Diagnostic(
        code=Code.FRAGMENT,
        message="this is no fragment: it has no matrix at its top",
        place=misspelt or Place(file=name, line=1, column=1),
        hint=f"{meant}A fragment holds matrix and nothing else: put it right, or narrow the glob",
    )


_TOP = (
    *("version", "name", "requires", "env", "vars", "vendors", "defaults", "gate", "include", "profiles", "budget"),
    "reports",
)


def _misplaced(main: Document, fragment: Document) -> Iterator[Diagnostic]:
    """What a fragment has besides a list of entries."""
    if "version" in fragment.data:
        message = f"this is a whole manifest, and {main.name} includes it as a fragment"
        hint = "a fragment holds matrix and nothing else: narrow the glob, or move what stands at the top"
        yield problem(fragment, ("version",), message, code=Code.FRAGMENT, hint=hint, key=True)
        return
    for key in fragment.data:
        if key == "matrix" or key.startswith("x-"):
            continue
        if key in _TOP:
            message = f"{key!r} cannot stand in a fragment: it belongs into {main.name}, which includes this file"
            hint = "a fragment holds matrix and nothing else"
        else:
            message, hint = f"unknown key {key!r}", "a fragment holds matrix and nothing else"
        yield problem(fragment, (key,), message, code=Code.FRAGMENT, hint=hint, key=True)
    matrix = fragment.data.get("matrix")
    if not isinstance(matrix, list) or not matrix:
        message, hint = "matrix: expected a list of entries", "begin each entry with `- id: …`"
        yield problem(fragment, ("matrix",), message, code=Code.FRAGMENT, hint=hint)


def lone_fragment(document: Document) -> Diagnostic | None:
    """What to say of a file that holds entries and nothing else: most likely the manifest that includes it is meant."""
    keys = {key for key in document.data if not key.startswith("x-")}
    if keys != {"matrix"}:
        return None
    message = "this is a fragment, which holds matrix alone: it is checked with the manifest that includes it"
    hint = "name that manifest; a file that is a manifest itself begins with `version: 1` and a name"
    return problem(document, (), message, code=Code.FRAGMENT, hint=hint)


# ---------------------------------------------------------------------------------------------------------------------

# CheckedManifest data → types: the manifest as a whole, and a rendered row as an Entry.


def bind(document: Document, *, templated: bool = True, profile: str | None = None) -> Manifest:
    """The manifest in types. Of a document that did not pass the schema, what has the wrong shape is left out.

    With a profile, what it says lies over what is said at the top.
    """
    data = document.data
    lineage = lineage_of(document, profile) if profile is not None else ()
    layers = [as_mapping(as_mapping(data.get("profiles")).get(name)) for name in lineage]
    select = next((layer["select"] for layer in layers if "select" in layer), None)
    base = as_mapping(document.at((BASE,)))
    whole = [*layers, data, base]
    return Manifest(
        document=document,
        name=str(data.get("name") or PurePath(document.name).stem),
        env=read_declarations(document),
        vars=_merged("vars", whole),
        vendors={name: as_mapping(settings) for name, settings in _merged("vendors", [data, base]).items()},
        defaults=reduce(overlay_row, (as_mapping(layer.get("defaults")) for layer in reversed(whole))),
        gate=_gate(_merged("gate", whole)),
        reports=_reports(data.get("reports")),
        budget=_budget(_merged("budget", [data, base])),
        templated=templated,
        profile=profile,
        select=tuple(map(str, select)) if isinstance(select, list) else (),
        lineage=lineage,
    )


def lineage_of(document: Document, profile: str) -> tuple[str, ...]:
    """A profile and those that it extends, its own first. The chain ends at itself and at an unknown one."""
    profiles = as_mapping(document.data.get("profiles"))
    lineage = [profile]
    while isinstance(name := as_mapping(profiles.get(lineage[-1])).get("extends"), str):
        if name in lineage or name not in profiles:
            break
        lineage.append(name)
    return tuple(lineage)


def check_profiles(document: Document) -> Iterator[Diagnostic]:
    """Profiles that extend what does not exist, or themselves."""
    profiles = as_mapping(document.data.get("profiles"))
    for profile, body in profiles.items():
        name = as_mapping(body).get("extends")
        if not isinstance(name, str):
            continue
        lineage = lineage_of(document, profile)
        last = as_mapping(profiles.get(lineage[-1])).get("extends")
        if name not in profiles:
            others = [other for other in profiles if other != profile]
            hint = choose(name, others) if others else "remove it: there is no other profile"
            message = f"extends: there is no profile {name!r}"
        elif last == profile:
            message = f"a profile cannot extend itself: {' → '.join((*lineage, profile))}"
            hint = "remove one of these"
        else:
            continue
        yield problem(document, ("profiles", profile, "extends"), message, code=Code.PROFILE, hint=hint)


def profile_names(document: Document) -> tuple[str, ...]:
    """The profiles of a document of any shape."""
    return tuple(as_mapping(document.data.get("profiles")))


def _merged(section: str, layers: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
    """A section of all layers; the first layer lies over the others."""
    return reduce(overlay, (as_mapping(layer[section]) for layer in reversed(layers) if section in layer), {})


def _reports(data: object) -> tuple[Report, ...]:
    rows = [as_mapping(row) for row in data] if isinstance(data, list) else []
    whole = (row for row in rows if isinstance(row.get("format"), str) and isinstance(row.get("path"), str))
    return tuple(Report(format=str(row["format"]), path=str(row["path"])) for row in whole)


def _gate(data: Mapping[str, object]) -> Gate:
    return Gate(
        min_tests=cast("int", data.get("min_tests", 1)),
        on_skipped=cast("OnSkipped | None", data.get("on_skipped")),
        max_quarantined=cast("int | None", data.get("max_quarantined")),
    )


def _budget(data: Mapping[str, object]) -> Budget:
    return Budget(
        max_tests=cast("int | None", data.get("max_tests")),
        max_cost=_amount(data.get("max_cost")),
        count_retries=data.get("count_retries") is True,
        per_vendor=cast("Mapping[str, int]", as_mapping(data.get("per_vendor"))),
    )


def _amount(value: object) -> Decimal | None:
    try:
        return amount(value)
    except ValueError:  # not there, or no amount: the schema has said so
        return None


def cross_references(manifest: Manifest, vendor_keys: Mapping[str, str]) -> tuple[Diagnostic, ...]:
    """What no schema can say, and no variable needs to be set for."""
    document = manifest.document
    return (
        *check_declarations(document, manifest.env, vendor_keys),
        *duplicates(document),
        *check_profiles(document),
        *check_money(document),
        *check_nothings(document),
        *check_key_names(manifest, vendor_keys),
    )


def check_money(document: Document) -> Iterator[Diagnostic]:
    """Prices in two currencies, which have no sum; a limit of money where nothing has a price."""
    first: tuple[Path, object] | None = None
    written = [
        (above, vendor, settings)
        for above in ((BASE,), ())
        for vendor, settings in as_mapping(document.at((*above, "vendors"))).items()
    ]
    for above, vendor, settings in written:
        path: Path = (*above, "vendors", vendor, "price", "currency")
        currency = as_mapping(as_mapping(settings).get("price")).get("currency")
        if not isinstance(currency, str):
            continue
        first = first or (path, currency)
        if currency != first[1]:
            message = f"a manifest has one currency: this is {currency}, and {first[1]} stands before"
            hint = "give all prices in the same currency"
            related = (document.locate(first[0]), f"{first[1]} stands here")
            yield problem(document, path, message, code=Code.CURRENCIES, hint=hint, related=(related,))
    if any("price" in as_mapping(settings) for _, _, settings in written):
        return
    for limit in (("budget", "max_cost"), (BASE, "budget", "max_cost"), (BASE, "limits", "max_cost")):
        if document.at(limit) is ABSENT:
            continue
        hint = "give the vendors one: vendors: { NAME: { price: { per_test: 0.25, currency: EUR } } }"
        yield problem(document, limit, "max_cost: no vendor has a price", code=Code.NO_PRICE, hint=hint)


_ONE = r"(>=|<=|==|!=|>|<)\s*([0-9.]+)"
_COMPARISON = regex(_ONE)
_RANGE = regex(rf"\s*{_ONE}(?:\s*,\s*{_ONE})*\s*")


_COMPARES: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


def check_required(document: Document) -> Iterator[Diagnostic]:
    """A manifest that is not written for this version of the tool."""
    required = document.data.get("requires")
    if isinstance(required, str) and _RANGE.fullmatch(required) and not version_fits(__version__, required):
        message = f"this manifest requires qarunner {required}, and this is {__version__}"
        hint = "install another version, or change requires"
        yield problem(document, ("requires",), message, code=Code.REQUIRES, hint=hint)


def version_fits(version: str, wanted: str) -> bool:
    """True if a version is in the range `>=0.2,<1`."""
    return all(_COMPARES[sign](_numbers(version), _numbers(other)) for sign, other in _COMPARISON.findall(wanted))


def _numbers(version: str) -> tuple[int, ...]:
    """`0.2.0` as numbers without the zeros at its end, so that 0.2 and 0.2.0 are the same."""
    numbers = [int(match[0]) for part in version.split(".") if (match := re.match(r"[0-9]+", part))]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


_Item = TypeVar("_Item")


# --- a row ------------------------------------------------------------------------------------------------------------


def entry_of(manifest: Manifest, row: Row, *, today: date, needs: tuple[str, ...] = ()) -> Entry:
    """A rendered row that passed its checks, frozen. Its origin is the line of its variant, or of its entry.

    From the day on that ends its quarantine the entry is not in quarantine.
    """
    data = row.data
    platform = data.get("platform")
    return Entry(
        id=row.id,
        vendor=cast("str", data["vendor"]),
        policy=policy_of(data, today),
        origin=place_of(manifest, row, ()),
        name=cast("str | None", data.get("name")),
        labels=_shared(*map(str, _list(data.get("labels")))),
        platform=None if platform is None else Platform(str(platform)),
        target=_target(as_mapping(data.get("target"))),
        selection=_selection(data),
        artifacts=_shared(*(_artifact(as_mapping(artifact)) for artifact in _list(data.get("artifacts")))),
        options=cast("Mapping[str, Json]", as_mapping(data.get("options"))),
        needs=needs,
        estimate=cast("int | None", data.get("estimate")),
        owner=cast("str | None", data.get("owner")),
    )


@lru_cache(maxsize=1024)
def _shared(*items: _Item) -> tuple[_Item, ...]:
    """One tuple for equal items: most rows of a matrix have the same labels and accounts."""
    return items


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


_TARGETS = tuple(TargetKind)


_SELECTIONS = tuple(SelectionKind)


def _target(data: Mapping[str, object]) -> Target | None:
    for kind in _TARGETS:
        if data.get(kind) is not None:
            return Target(kind=kind, value=str(data[kind]))
    return None


def _selection(data: Mapping[str, object]) -> Selection | None:
    if not BY_NAME.keys().isdisjoint(data):
        raise ValueError("names without their ids: an entry of no tests would be sent")
    for kind in _SELECTIONS:
        if data.get(kind) is not None:
            return Selection(kind=kind, ids=tuple(map(str, _list(data[kind]))))
    return None


def _artifact(data: Mapping[str, object]) -> Authentication:
    account = data.get("account_id")
    return Authentication(
        strategy=Strategy(str(data["strategy"])), account_id=None if account is None else str(account)
    )


class LoadedManifest(Struct, frozen=True, kw_only=True):
    """A manifest as far as it can be read, and what is wrong with it.

    A faulty value is unknown in it, so that what else is wrong can be said at the same time. `mended` are the places of
    these values. `sound` are the indexes of entries whose rows are known; None: all of them, and nothing is wrong.
    """

    manifest: Manifest
    problems: tuple[Diagnostic, ...]
    sound: frozenset[int] | None
    mended: frozenset[Place] = frozenset()

    @property
    def profiles(self) -> tuple[str, ...]:
        return profile_names(self.manifest.document)

    @property
    def is_whole(self) -> bool:
        """True if all rows are known."""
        return self.sound is None or len(self.sound) == len(cast("list[object]", self.manifest.document.data["matrix"]))

    def others(self, problems: Iterable[Diagnostic]) -> list[Diagnostic]:
        """Those that were not said already, and are not about a value that is faulty anyway."""
        said = {(known.place, known.message) for known in self.problems}
        return [
            problem
            for problem in problems
            if problem.place not in self.mended and (problem.place, problem.message) not in said
        ]


_NO_KEYS: Mapping[str, str] = {}


def load(
    name: str, text: bytes | str, find: Finder | None = None, *, vendor_keys: Mapping[str, str] = _NO_KEYS
) -> Manifest:
    """A manifest that passed the schema and the cross-reference checks. ManifestError has all problems.

    `name` is the file as the user gave it; it stands in every place. `find` finds the fragments that it includes.
    `vendor_keys` are the variables of vendors' credentials, by vendor.
    """
    loaded = examine(name, text, find, vendor_keys=vendor_keys)
    if loaded.problems:
        raise ManifestError(loaded.problems)
    return loaded.manifest


def examine(
    name: str,
    text: bytes | str,
    find: Finder | None = None,
    *,
    vendor_keys: Mapping[str, str] = _NO_KEYS,
    base: BaseText | None = None,
    of_the_past: bool = False,
) -> LoadedManifest:
    """The same without stopping at problems of single entries. ManifestError where nothing can be read at all.

    Under a base that has problems no row is looked at: its values are not known. Nor is anything where the manifest
    requires another version, which has other rules; one `of_the_past` is read if it is whole by the rules of today.
    """
    main = document.read(name, text)
    required = tuple(check_required(main))
    if required and not of_the_past:
        raise ManifestError(required)
    read, more, problems = join(main, find)
    wrong: tuple[Diagnostic, ...] = ()
    if base is not None:
        below, wrong = read_base(base)
        read = read if wrong else OverBase(read, below)
        more = (*more, base.text)
    lone = lone_fragment(main)
    faults = schema.faults(read.data)
    shown = in_order(schema.placed(read, (fault for fault in faults if not (lone and fault.path == ()))))
    texts = (text, *more)
    whole = Mended(read, faults) if faults else read
    templated = bool(faults) or any(_may_hold(content, "{{", "{%", "{#") for content in texts)
    manifest = bind(whole, templated=templated)
    as_written = bind(read, templated=templated) if faults else manifest
    shown_at = {fault.place for fault in shown}
    of_meaning = (*cross_references(as_written, vendor_keys), *_reserved(read, texts), *problems)
    others = [diagnostic for diagnostic in of_meaning if diagnostic.place not in shown_at]
    sound = _sound(read, faults) if lone is None and not wrong else frozenset()
    axis_problems = check_axes(whole, sound)
    diagnostic = in_order(
        [*shown, *others, *wrong, *(fault.problem for fault in axis_problems), *([lone] if lone else [])]
    )
    if not diagnostic:
        return LoadedManifest(manifest=manifest, problems=(), sound=None)
    if required:
        raise ManifestError(required)
    stuck = {fault.entry for fault in axis_problems}
    sound = frozenset() if None in stuck else sound - stuck
    mended = frozenset(place for fault in faults for place in _mended(read, fault))
    return LoadedManifest(manifest=manifest, problems=diagnostic, sound=sound, mended=mended)


def _mended(read: Document, fault: SchemaError) -> Iterator[Place]:
    """Where a fault is, and where something may be missing because of it: a key was meant for something."""
    if fault.code != codes.MISSING_KEY:
        yield read.locate(fault.path, key=fault.key)
    if fault.code in {codes.UNKNOWN_KEY, codes.REFUSED_KEY}:
        yield from (read.locate(fault.path[:length]) for length in range(1, len(fault.path)))


_LEANED_ON = frozenset({"matrix", "defaults", "env", "vars"})
"""Sections without which no entry can be looked at."""


_MAKE_ROWS = frozenset({"id", "axes", "exclude", "include"})


def _sound(read: Document, faults: Sequence[SchemaError]) -> frozenset[int]:
    """The entries of which is known which rows they make; none where a section that all of them lean on is no such."""
    matrix = read.data.get("matrix")
    if not isinstance(matrix, list) or any(len(fault.path) == 1 and fault.path[0] in _LEANED_ON for fault in faults):
        return frozenset()
    entries = {index for index, entry in enumerate(matrix) if isinstance(as_mapping(entry).get("id"), str)}
    return frozenset(entries - {fault.path[1] for fault in faults if _of_rows(fault.path)})


def _of_rows(path: Path) -> bool:
    """True if a fault leaves open which rows there are."""
    if path[:1] != ("matrix",) or len(path) < 3:  # noqa: PLR2004  the section, the entry and a key
        return path[:1] == ("matrix",)
    own = path[4:] if path[2] == "variants" and len(path) > 4 else path[2:]  # noqa: PLR2004  the variant's name
    return own[0] == "variants" or (own[0] in _MAKE_ROWS and own != ("id",))


class Mended(Document):
    """A document in which each faulty value is unknown. What was written elsewhere stays at its place."""

    __slots__ = ("_read",)

    def __init__(self, read: Document, faults: Sequence[SchemaError]) -> None:
        self.name = read.name
        self.data = cast("dict[str, object]", _apart(read.data))
        self._read = read
        for fault in faults:
            _mend(self.data, fault)

    def at(self, path: Path) -> object:
        return self._read.at(path) if path[:1] == (BASE,) else super().at(path)

    def locate(self, path: Path, *, key: bool = False) -> Place:
        return self._read.locate(path, key=key)

    def source_line(self, place: Place) -> str | None:
        return self._read.source_line(place)


def _apart(value: object) -> object:
    """A copy in which equal parts that were one are several: each is mended for itself."""
    if isinstance(value, dict):
        return {key: _apart(child) for key, child in value.items()}
    return [_apart(child) for child in value] if isinstance(value, list) else value


_UNKNOWN = "{{ git.branch }}"
"""A value that no check can know."""


_MEANT = regex(r"did you mean '([a-z_]+)'\?")


def _mend(data: dict[str, object], fault: SchemaError) -> None:
    """Takes a faulty value out, or makes it unknown where a template can stand; a misspelt key is what was meant."""
    path = fault.path
    if not path or fault.code == codes.MISSING_KEY or document.value_at(data, path) is ABSENT:
        return
    above = cast("dict[str | int, object]", document.value_at(data, path[:-1]))
    last, section = path[-1], path[0]
    if fault.key:
        # The name of a variable or a value is what templates read; a key that contradicts another one is known.
        if section not in {"env", "vars"} and fault.code in {codes.UNKNOWN_KEY, codes.REFUSED_KEY}:
            value, meant = above.pop(last), _MEANT.match(fault.hint or "")
            above.update({meant[1]: above.get(meant[1], value)} if meant else {})
    elif section == "env" and path[1:-1] == ():
        above[last] = {}
    elif section in {"matrix", "defaults", "vars", "vendors", "profiles"} and not {"gate", "select"} & {*path[:3]}:
        if path[2:] != ("id",):
            above[last] = {"web_url": _UNKNOWN} if last == "target" else _UNKNOWN
    else:
        above.pop(last)


def _may_hold(text: bytes | str, *wanted: str) -> bool:
    """Whether a file can hold one of these texts anywhere. Escapes can spell anything, so a backslash is a maybe."""
    if isinstance(text, str):
        return "\\" in text or any(word in text for word in wanted)
    # UTF-16 has a zero byte beside every ASCII character: nothing can be ruled out.
    return b"\\" in text or b"\0" in text or any(word.encode() in text for word in wanted)


def _reserved(read: Document, texts: Sequence[bytes | str]) -> Iterator[Diagnostic]:
    """The two brackets around the placeholders of secrets: an author who can write them could forge a placeholder."""
    if not any(_may_hold(text, "⟦", "⟧") for text in texts):
        return
    for path, is_key in (*_with_brackets(read.data, ()), *_with_brackets(as_mapping(read.at((BASE,))), (BASE,))):
        yield problem(
            read,
            path,
            "the characters ⟦ and ⟧ are reserved for the placeholders of secrets",
            code=Code.RESERVED,
            hint="use other brackets; to insert a secret write {{ env.NAME }}",
            key=is_key,
        )


def _with_brackets(value: object, path: Path) -> Iterator[tuple[Path, bool]]:
    """Paths of strings with such a bracket; True where it is the key that has it."""
    if isinstance(value, str) and has_brackets(value):
        yield path, False
    for step, child in children(value):
        if isinstance(step, str) and has_brackets(step):
            yield (*path, step), True
        yield from _with_brackets(child, (*path, step))
