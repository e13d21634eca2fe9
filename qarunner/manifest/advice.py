"""Warnings: what is paid for without need, and what a build cannot reach or does not have."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from qarunner.decode import as_mapping, texts
from qarunner.diagnostics import Diagnostic, Path, closest, in_order, problem
from qarunner.entry import BY_NAME, SelectionKind
from qarunner.known import holds_template
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import SELECTIONS, RowLocator, SectionLocator, one_of_each
from qarunner.manifest.model import BASE, Manifest, Row
from qarunner.manifest.rules import KEY, absent_facts
from qarunner.manifest.schema.urls import out_of_reach
from qarunner.manifest.templates.parse import parse
from qarunner.manifest.templates.scope import templates_in, templates_of
from qarunner.text import plural

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from qarunner.manifest.templates.evaluate import Evaluated
    from qarunner.manifest.yaml.reader import Document


_SENT = ("vendor", "platform", "target", *SelectionKind, *BY_NAME, "artifacts", "options")
_APART = ("needs", "if", "paths")
"""Rows that run at another time, or in another build, may well send the same."""


_SENT_APART = (*_SENT, *_APART)


_as_text = json.JSONEncoder(sort_keys=True, default=str).encode


def check_spending(manifest: Manifest, rows: Sequence[Row], evaluated: Evaluated) -> tuple[Diagnostic, ...]:
    """Warnings: axes and values that nothing reads, rows that send the same, and a gate that cannot be passed."""
    idle = list(_unread_axes(manifest, rows))
    equal = _equal_rows(manifest, evaluated, {path for path, _ in idle})
    unread = [*_unread_values(manifest.document), *_unasked_secrets(manifest)]
    return in_order([*(warning for _, warning in idle), *equal, *_too_few(manifest, evaluated.rows), *unread])


def _unasked_secrets(manifest: Manifest) -> Iterator[Diagnostic]:
    """What a declaration asks of a secret: an answer would tell a bit of it to whoever edits the manifest."""
    for name, declaration in manifest.env.items():
        for key in ("format", "enum", "pattern") if declaration.secret else ():
            if getattr(declaration, key):
                message = f"{key}: the text of a secret is compared with nothing, so this changes nothing"
                hint = f"remove it: whether {name} fits would tell a part of it to whoever edits the manifest"
                yield problem(
                    manifest.document, (*declaration.path, key), message, code=Code.UNREAD_VALUE, hint=hint, key=True
                )


def _unread_values(document: Document) -> Iterator[Diagnostic]:
    """Variables, and values of `vars` at the top and in profiles, that no template of any layer reads."""
    profiles = as_mapping(document.data.get("profiles"))
    sections: list[Path] = [("env",), ("vars",), *(("profiles", name, "vars") for name in profiles)]
    declared = {path: as_mapping(document.at(path)) for path in sections}
    unread = {(str(path[-1]), name) for path, values in declared.items() for name in values}
    names: set[tuple[str, str | None]] = set()
    # In a large matrix, the first entries read almost everything.
    for part in _parts(document) if unread else ():
        for _, text in templates_in(part):
            for reference in parse(text).references:
                names.add((reference.root, reference.path[0] if reference.path else None))
        # A part that a computed name chooses can be any.
        unread = {(root, name) for root, name in unread if names.isdisjoint({(root, name), (root, None)})}
        if not unread:
            return
    for path, values in declared.items():
        root = str(path[-1])
        for name in values:
            if (root, name) in unread:
                yield _unread(document, (*path, name), [known for kind, known in names if kind == root and known])


def _parts(document: Document) -> Iterator[object]:
    """All that can read a variable or a value, entry by entry."""
    yield document.at((BASE,))
    for key, value in document.data.items():
        if key != "env":
            yield from value if isinstance(value, list) else [value]


def _unread(document: Document, path: Path, read: Sequence[str]) -> Diagnostic:
    root, name = str(path[-2]), str(path[-1])
    near = closest(name, sorted(read))
    meant = f"did you mean {near!r}? Otherwise" if near else "read it,"
    message = f"no template reads {root}.{name}: it changes nothing"
    return problem(
        document,
        path,
        message,
        code=Code.UNREAD_VALUE,
        hint=f"{meant} remove it" if near else f"{meant} as {{{{ {root}.{name} }}}}, or remove it",
        key=True,
    )


def check_reach(manifest: Manifest, rows: Sequence[Row], at_home: Container[str]) -> tuple[Diagnostic, ...]:
    """Warnings for targets that no vendor can reach. The rows are evaluated; vendors `at_home` run beside them."""
    hint = "give the address under which others reach it, such as that of a preview or a tunnel"
    warnings: dict[tuple[object, ...], Diagnostic] = {}
    for row in rows:
        vendor = row.data.get("vendor")
        places = [key for key in ("target", "options") if key in row.data] if vendor not in at_home else ()
        for path, text in (pair for key in places for pair in texts(row.data[key], (key,))):
            host = out_of_reach(text)
            if host and (same := (row.path, row.variant, path)) not in warnings:
                message = f"{vendor} runs elsewhere, and cannot reach {host}"
                place, code = RowLocator(manifest, row), Code.OUT_OF_REACH
                warnings[same] = problem(place, path, message, code=code, hint=hint)
    return in_order(warnings.values())


def check_facts(manifest: Manifest, rows: Sequence[Row], git: Mapping[str, object]) -> tuple[Diagnostic, ...]:
    """Warnings for conditions, and for policies by expression, that ask for what this build does not have."""
    warnings = []
    for row in one_of_each(rows):
        for key in (KEY, "allow_failure", "quarantine"):
            for name in absent_facts(row.data.get(key), git):
                message = f"{key}: this build has no {name}, so git.{name} equals nothing here"
                hint = f"if it has one, name it: {_NAMED[name]}; if that is meant, write git.{name} | default('')"
                place = RowLocator(manifest, row)
                warnings.append(problem(place, (key,), message, code=Code.NO_FACT, hint=hint))
    return in_order(warnings)


_NAMED = {"branch": "--branch NAME, or QARUNNER_BRANCH", "repository": "a remote called origin"}


def _unread_axes(manifest: Manifest, rows: Sequence[Row]) -> Iterator[tuple[Path, Diagnostic]]:
    values: dict[tuple[Path, str], set[str]] = {}
    read: dict[Path, set[str]] = {}
    first: dict[Path, Row] = {}
    for row in rows:
        if not row.axes:
            continue
        first.setdefault(row.path, row)
        read.setdefault(row.path, set()).update(_axes_read(row))
        for name, value in row.point.items():
            values.setdefault((row.path, name), set()).add(str(value))
    for (path, name), several in values.items():
        if len(several) > 1 and not {name, "id"} & read[path]:
            message = f"axes: no template reads {name!r}, so its {len(several)} values are paid for and send the same"
            hint = f"read it where it matters: {{{{ matrix.{name} }}}}; or remove it"
            place = RowLocator(manifest, first[path])
            warned = problem(place, ("axes", name), message, code=Code.UNREAD_AXIS, hint=hint)
            yield path, warned


def _axes_read(row: Row) -> Iterator[str]:
    for _, text in templates_of(row):
        for reference in parse(text).references:
            if reference.root == "matrix":
                yield reference.path[0] if reference.path else "id"


def _equal_rows(manifest: Manifest, evaluated: Evaluated, reported: set[Path]) -> Iterator[Diagnostic]:
    """At the first row of an entry that repeats another one. What is known in a build alone may still differ.

    `reported` are the entries that have their warning already.
    """
    first: dict[str, Row] = {}
    # Most rows differ in these two already, which takes a third of the time to see.
    looks = [hash(repr([_alike(key, row.data.get(key)) for key in ("target", "test_ids")])) for row in evaluated.rows]
    alike = {look for look, count in Counter(looks).items() if count > 1}
    for row in (row for row, look in zip(evaluated.rows, looks, strict=True) if look in alike):
        unknown = evaluated.unknown.get(row.id, {})
        if row.path in reported or any(path[0] in _SENT and row.axes for path in unknown):
            continue
        apart = row.point if any(_reads_axes(row.data.get(key)) for key in _APART) else None
        sent = _as_text([apart, *(_alike(key, row.data.get(key)) for key in _SENT_APART)])
        other = first.setdefault(sent, row)
        if other is not row:
            reported.add(row.path)
            message = f"{row.id} sends the same request as {other.id}, and each is paid for"
            hint = "remove one of them, or let them differ in what is sent"
            yield problem(RowLocator(manifest, row), ("id",), message, code=Code.EQUAL_ROWS, hint=hint)


def _alike(key: str, value: object) -> object:
    """The same tests cost the same in any order."""
    return sorted(map(str, value)) if key in SELECTIONS and isinstance(value, list) else value


def _reads_axes(value: object) -> bool:
    """True for a text that is known later, and then differs from row to row."""
    references = parse(value).references if isinstance(value, str) and holds_template(value) else ()
    return any(reference.root == "matrix" for reference in references)


def _too_few(manifest: Manifest, rows: Sequence[Row]) -> Iterator[Diagnostic]:
    """Only where every row that gates says how many tests it stands for."""
    wanted, whole = manifest.gate.min_tests, 0
    for row in rows:
        if row.data.get("allow_failure") is True:
            continue
        named, estimate = row.data.get("test_ids"), row.data.get("estimate")
        if isinstance(estimate, int):
            whole += estimate
        elif isinstance(named, list):
            whole += len(named)
        else:
            return
    if wanted > whole:
        message = f"gate: min_tests is {wanted}, and {plural(whole, 'test')} can gate: no apply can pass"
        written = any("min_tests" in manifest.section(layer) for layer in manifest.layers("gate"))
        yield problem(
            SectionLocator(manifest, "gate") if written else manifest.document,
            ("min_tests",) if written else ("matrix",),
            message,
            code=Code.TOO_FEW_TESTS,
            hint="lower it, or add what is missing",
        )
