"""JUnit XML as CI systems read it: one suite an entry, names that no other test of the run shares."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from qarunner.report.summary import GATE, CaseKind, words
from qarunner.secret import mask
from qarunner.text import inert_lines
from qarunner.vendors.api import Case

if TYPE_CHECKING:
    from qarunner.report.summary import EntrySummary, Summary

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold; CI systems drop a whole file for one such character."""


def render(summary: Summary) -> str:
    """The report as XML text. Verdicts that do not gate are marked as skipped, so that no CI fails for them."""
    root = ET.Element("testsuites", _attributes(summary))
    for row in summary.entries:
        _suite(root, row, summary)
    if summary.gate:
        _gate_suite(root, summary)
    ET.indent(root)
    return inert_lines('<?xml version="1.0" encoding="UTF-8"?>\n' + clean(ET.tostring(root, encoding="unicode"))) + "\n"


def _attributes(summary: Summary) -> dict[str, str]:
    kinds = [row.kind(case.verdict) for row in summary.entries for case in _cases(row)]
    kinds += [CaseKind.FAILURE for _ in summary.gate]
    counts = _counts(kinds)
    del counts["skipped"]  # the xUnit plugin of Jenkins has no such attribute at the top, and refuses the whole file
    return {"name": summary.name, **counts, "time": f"{summary.wall_s:.3f}"}


def _counts(kinds: list[CaseKind]) -> dict[str, str]:
    return {
        "tests": str(len(kinds)),
        "failures": str(kinds.count(CaseKind.FAILURE)),
        "errors": str(kinds.count(CaseKind.ERROR)),
        "skipped": str(kinds.count(CaseKind.SKIPPED)),
    }


def _gate_suite(root: ET.Element, summary: Summary) -> None:
    """What fails the build for itself: tools that judge by the file alone have to see it."""
    name = GATE if all(row.entry.id != GATE for row in summary.entries) else f"{GATE} of the build"
    kinds = [CaseKind.FAILURE for _ in summary.gate]
    suite = ET.SubElement(root, "testsuite", {"name": name, **_counts(kinds), "time": "0.000"})
    suite.set("timestamp", summary.started_at.removesuffix("Z"))
    for failure in summary.gate:
        element = ET.SubElement(suite, "testcase", {"classname": name, "name": failure.name, "time": "0.000"})
        found = ET.SubElement(element, "failure", {"message": failure.message, "type": "gate"})
        found.text = failure.message


def _cases(row: EntrySummary) -> tuple[Case, ...]:
    """The tests; for a vendor that tells numbers alone, the entry itself as one."""
    if row.cases:
        return row.cases
    counted = ", ".join(f"{number} {words(verdict)}" for verdict, number in row.counts.items())
    message = "; ".join(part for part in (row.reason, counted) if part)
    own = Case(
        id=row.entry.id,
        name=row.entry.name,
        verdict=row.verdict,
        duration_s=row.duration_s,
        url=row.url,
        message=message,
        raw_status=row.raw_status,
    )
    return (own,)


def _suite(root: ET.Element, row: EntrySummary, summary: Summary) -> None:
    cases = _cases(row)
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": row.entry.id,
            **_counts([row.kind(case.verdict) for case in cases]),
            "time": f"{row.duration_s or 0.0:.3f}",
            "timestamp": summary.started_at.removesuffix("Z"),
            "file": row.entry.origin.file,
        },
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(row):
        ET.SubElement(properties, "property", {"name": name, "value": value})
    names = _unique_names(cases)
    for case, name in zip(cases, names, strict=True):
        _testcase(suite, case, name, row)


def _properties(row: EntrySummary) -> list[tuple[str, str]]:
    found = [("vendor", row.entry.vendor), ("verdict", str(row.verdict))]
    found += [("platform", row.entry.platform)] if row.entry.platform else []
    found += [("run", run.url or run.id) for run in row.runs]
    return found


def _unique_names(cases: tuple[Case, ...]) -> list[str]:
    """Stable names; GitLab merges tests of equal name and class, so a repeated one gets its id or a number."""
    names: dict[str, None] = {}
    for case in cases:
        name = clean(f"{case.name} ({case.id})" if case.name and case.name != case.id else case.id)
        numbered = (f"{name} #{number}" for number in itertools.count(2))
        names[name if name not in names else next(each for each in numbered if each not in names)] = None
    return list(names)


def _testcase(suite: ET.Element, case: Case, name: str, row: EntrySummary) -> None:
    element = ET.SubElement(
        suite,
        "testcase",
        {
            "classname": row.entry.id,
            "name": name,
            "time": f"{case.duration_s or 0.0:.3f}",
            "file": row.entry.origin.file,
            "line": str(row.entry.origin.line),
        },
    )
    kind = row.kind(case.verdict)
    if kind is not CaseKind.PASSED:
        found = ET.SubElement(element, str(kind), {"message": row.message(case)})
        if kind is not CaseKind.SKIPPED:
            found.set("type", str(case.verdict))
            found.text = _details(case, row)
    if url := case.url or row.url:
        ET.SubElement(element, "system-out").text = url


def _details(case: Case, row: EntrySummary) -> str:
    lines = [case.message or row.reason or words(case.verdict)]
    lines += [f"vendor's status: {case.raw_status}"] if case.raw_status else []
    lines += [f"{words(step.verdict)}: {step.title}: {step.message or ''}" for step in case.steps]
    lines += [url] if (url := case.url or row.url) else []
    lines += [f"video: {case.video_url}"] if case.video_url else []
    lines += [f"{name}: {value}" for name, value in case.ids.items()]
    lines.append(f"{row.entry.origin.file}:{row.entry.origin.line}")
    return "\n".join(lines)


def clean(text: str) -> str:
    """Without what XML cannot hold, and without secrets."""
    return _NOT_XML.sub("", mask(text))
