"""Checked data → types: the manifest as a whole, and a rendered row as an Entry."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, cast

from qarunner.entry import (
    Authentication,
    Entry,
    Origin,
    Platform,
    Selection,
    SelectionKind,
    Strategy,
    Target,
    TargetKind,
)
from qarunner.manifest.declarations import check_declarations, read_declarations
from qarunner.manifest.expand import duplicates, locate
from qarunner.manifest.merge import overlay, overlay_row
from qarunner.manifest.model import Budget, Gate, Manifest, Report
from qarunner.manifest.policy import policy_of
from qarunner.manifest.variables import check_key_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from qarunner.cursor import Json
    from qarunner.diagnostics import Diagnostic
    from qarunner.manifest.document import Document
    from qarunner.manifest.model import OnSkipped, Row


def bind(document: Document, *, templated: bool = True, profile: str | None = None) -> Manifest:
    """The manifest in types. Of a document that did not pass the schema, what has the wrong shape is left out.

    With a profile, what it says lies over what is said at the top.
    """
    data = document.data
    over = _mapping(_mapping(data.get("profiles")).get(profile or ""))
    select = over.get("select")
    return Manifest(
        document=document,
        name=str(data.get("name") or PurePath(document.name).stem),
        env=read_declarations(document),
        vars=_overlaid("vars", data, over),
        vendors={name: _mapping(settings) for name, settings in _mapping(data.get("vendors")).items()},
        defaults=overlay_row(_mapping(data.get("defaults")), _mapping(over.get("defaults"))),
        gate=_gate(_overlaid("gate", data, over)),
        reports=_reports(data.get("reports")),
        budget=_budget(_mapping(data.get("budget"))),
        templated=templated,
        profile=profile,
        select=tuple(map(str, select)) if isinstance(select, list) else (),
    )


def profile_names(document: Document) -> tuple[str, ...]:
    """The profiles of a document of any shape."""
    return tuple(_mapping(document.data.get("profiles")))


def _overlaid(section: str, data: Mapping[str, object], over: Mapping[str, object]) -> Mapping[str, object]:
    under = _mapping(data.get(section))
    return overlay(under, _mapping(over[section])) if section in over else under


def _reports(data: object) -> tuple[Report, ...]:
    rows = [_mapping(row) for row in data] if isinstance(data, list) else []
    return tuple(Report(format=str(row.get("format")), path=str(row.get("path"))) for row in rows)


def _gate(data: Mapping[str, object]) -> Gate:
    return Gate(
        min_tests=cast("int", data.get("min_tests", 1)),
        on_skipped=cast("OnSkipped | None", data.get("on_skipped")),
        max_quarantined=cast("int | None", data.get("max_quarantined")),
    )


def _budget(data: Mapping[str, object]) -> Budget:
    return Budget(
        max_tests=cast("int | None", data.get("max_tests")),
        per_vendor=cast("Mapping[str, int]", _mapping(data.get("per_vendor"))),
    )


def cross_references(manifest: Manifest) -> tuple[Diagnostic, ...]:
    """What no schema can say, and no variable needs to be set for."""
    document = manifest.document
    return (
        *check_declarations(document, manifest.env),
        *duplicates(document),
        *check_key_names(manifest, vendor_keys={}),
    )


def _mapping(value: object) -> Mapping[str, object]:
    """A section, or an empty one where the file leaves it out."""
    return value if isinstance(value, dict) else {}


# --- a row ------------------------------------------------------------------------------------------------------------


def entry_of(manifest: Manifest, row: Row, *, today: date, needs: tuple[str, ...] = ()) -> Entry:
    """A rendered row that passed its checks, frozen. Its origin is the line of its variant, or of its entry.

    From the day on that ends its quarantine the entry has none.
    """
    data = row.data
    place = locate(manifest, row, ())
    platform = data.get("platform")
    return Entry(
        id=row.id,
        vendor=cast("str", data["vendor"]),
        policy=policy_of(data, today),
        origin=Origin(file=place.file, line=place.line, column=place.column),
        name=cast("str | None", data.get("name")),
        labels=tuple(map(str, _list(data.get("labels")))),
        platform=None if platform is None else Platform(str(platform)),
        target=_target(_mapping(data.get("target"))),
        selection=_selection(data),
        artifacts=tuple(_artifact(_mapping(artifact)) for artifact in _list(data.get("artifacts"))),
        options=cast("Mapping[str, Json]", _mapping(data.get("options"))),
        needs=needs,
        estimate=cast("int | None", data.get("estimate")),
    )


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _target(data: Mapping[str, object]) -> Target | None:
    found = (Target(kind=kind, value=str(data[kind])) for kind in TargetKind if data.get(kind) is not None)
    return next(found, None)


def _selection(data: Mapping[str, object]) -> Selection | None:
    found = (
        Selection(kind=kind, ids=tuple(map(str, _list(data[kind]))))
        for kind in SelectionKind
        if data.get(kind) is not None
    )
    return next(found, None)


def _artifact(data: Mapping[str, object]) -> Authentication:
    account = data.get("account_id")
    return Authentication(
        strategy=Strategy(str(data["strategy"])), account_id=None if account is None else str(account)
    )
