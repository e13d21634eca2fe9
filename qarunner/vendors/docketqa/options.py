"""What DocketQA cannot do of an entry beyond the capability table: refused with the way to do it instead.

Sources: docs.docketqa.com/api-reference (introduction, run-test, set-current-build) and /essentials/mobile-apps.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qarunner.decode import as_mapping
from qarunner.entry import SelectionKind, TargetKind
from qarunner.known import holds_template
from qarunner.vendors.api import Complaint
from qarunner.vendors.docketqa.info import (
    CONSENT,
    GIVE_CONSENT,
    NAME_SUITE,
    NO_ADDRESS,
    OF_BUILDS,
    OF_SUITES,
    WHERE_IDS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_DIGITS = re.compile(r"[0-9]{1,18}")


_PLATFORM = "a build needs a platform: DocketQA asks for it at an upload"


def is_number(text: str) -> bool:
    """Documented: all ids are integers; the manifest may have them as text. Limited, so that it is one everywhere."""
    return _DIGITS.fullmatch(text) is not None


def same_number(text: str) -> str:
    """An id as the vendor writes it: manifest and answers may differ in leading zeros."""
    return str(int(text)) if is_number(text) else text


def complaints(row: Mapping[str, object]) -> Iterator[Complaint]:
    target, options = as_mapping(row.get("target")), as_mapping(row.get("options"))
    yield from _selection(row)
    if row.get(SelectionKind.TEST_IDS) is not None:
        yield from _addresses_of_tests(target, options)
    if target.get(TargetKind.BINARY) is not None and row.get("platform") is None:
        yield Complaint(
            path=("target", TargetKind.BINARY.value), message=_PLATFORM, hint="add platform: android or ios"
        )
    yield from _build(target, options)


def _is_open(value: object) -> bool:
    """True for a template. A secret cannot stand for an id: the create has numbers."""
    return isinstance(value, str) and holds_template(value)


def _selection(row: Mapping[str, object]) -> Iterator[Complaint]:
    if all(row.get(kind) is None for kind in WHERE_IDS):
        yield Complaint(path=(), message="docketqa needs tests in test_ids, or a suite in category_ids")


def _addresses_of_tests(target: Mapping[str, object], options: Mapping[str, object]) -> Iterator[Complaint]:
    """Documented for suites alone, on the client's route: a test chosen by its id starts where it is saved to."""
    if target.get(TargetKind.WEB_URL) is not None:
        yield Complaint(path=("target", TargetKind.WEB_URL.value), message=NO_ADDRESS, hint=NAME_SUITE)
    for name in OF_SUITES:
        if options.get(name) is not None:
            message = f"options.{name} goes with a suite in category_ids alone"
            yield Complaint(path=("options", name), message=message, hint=NAME_SUITE)


def _build(target: Mapping[str, object], options: Mapping[str, object]) -> Iterator[Complaint]:
    kind = next((kind for kind in (TargetKind.BINARY, TargetKind.TARGET_ID) if target.get(kind) is not None), None)
    if kind is None:
        for name in OF_BUILDS:
            if options.get(name) is not None:
                message = f"options.{name} goes with target.binary or target.target_id alone"
                yield Complaint(path=("options", name), message=message)
        return
    yield from _consent(kind, options)
    if kind is TargetKind.BINARY:
        return
    if not (_is_open(target[kind]) or is_number(str(target[kind]))):
        message = f"{target[kind]!r} is no id of a build: DocketQA's ids are integers"
        yield Complaint(path=("target", kind.value), message=message)
    if options.get("build_name") is not None:
        yield Complaint(path=("options", "build_name"), message="options.build_name goes with target.binary alone")


def _consent(kind: TargetKind, options: Mapping[str, object]) -> Iterator[Complaint]:
    """The manifest's explicit word for what a build does to everybody else."""
    app = options.get("app_id")
    if app is None:
        message = f"target.{kind} needs options.app_id: the app at DocketQA that the build belongs to"
        yield Complaint(path=("target", kind.value), message=message, hint="GET /apps/list shows the ids of apps")
    elif not (_is_open(app) or (isinstance(app, int) and not isinstance(app, bool) and app > 0)):
        yield Complaint(path=("options", "app_id"), message="options.app_id has to be an integer, such as 7")
    consent = options.get("set_current")
    if consent is not True and not _is_open(consent):
        path = ("target", kind.value) if consent is None else ("options", "set_current")
        yield Complaint(path=path, message=CONSENT.format(kind), hint=GIVE_CONSENT)
