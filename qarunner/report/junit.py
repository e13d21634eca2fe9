"""JUnit XML as CI systems read it: one suite an entry, names that no other test of the run shares."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from qarunner.regex import regex
from qarunner.report.summary import GATE, CaseKind, EntrySummary, Summary
from qarunner.secret import mask
from qarunner.text import inert_lines
from qarunner.vendors.api import Case

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_NOT_XML = regex("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold; CI systems drop a whole file for one such character."""


class Node(NamedTuple):
    """An element with elements in it, or with text. ElementTree takes ten times as long for a file of thousands."""

    tag: str
    attributes: dict[str, str]
    inner: list[Node] | str = ""


def render(summary: Summary) -> str:
    """The report as XML text. Verdicts that do not gate are marked as skipped, so that no CI fails for them."""
    body: list[str] = []
    totals = dict.fromkeys(_TOTALS, 0)
    # One suite after the other: a report of many thousand tests is never in memory as nodes.
    for suite in _suites(summary):
        for name in totals:
            totals[name] += int(suite.attributes[name])
        _write(suite, "\n  ", body)
    counts = {name: str(number) for name, number in totals.items()}
    head = _head("\n", "testsuites", {"name": summary.name, **counts, "time": f"{summary.wall_s:.3f}"})
    whole = [f"{head}>", *body, "\n</testsuites>"] if body else [f"{head} />"]
    return inert_lines(clean("".join(['<?xml version="1.0" encoding="UTF-8"?>', *whole]))) + "\n"


_TOTALS = ("tests", "failures", "errors")
"""The xUnit plugin of Jenkins has no `skipped` at the top, and refuses the whole file."""


def _suites(summary: Summary) -> Iterator[Node]:
    yield from (_suite(row, summary) for row in summary.entries)
    if summary.gate:
        yield _gate_suite(summary)


def _head(margin: str, tag: str, attributes: Mapping[str, str]) -> str:
    return f"{margin}<{tag}" + "".join([f' {name}="{_quoted(value)}"' for name, value in attributes.items()])


def _write(node: Node, margin: str, parts: list[str]) -> None:
    tag, attributes, inner = node
    head = _head(margin, tag, attributes)
    if not inner:
        parts.append(f"{head} />")
    elif isinstance(inner, str):
        parts.append(f"{head}>{inner.translate(_TEXT)}</{tag}>")
    else:
        parts.append(f"{head}>")
        for child in inner:
            _write(child, f"{margin}  ", parts)
        parts.append(f"{margin}</{tag}>")


def _quoted(value: str) -> str:
    return value.translate(_ATTRIBUTE) if _SPECIAL.search(value) else value


_SPECIAL = regex('[&<>"\\r\\n\\t]')
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_ATTRIBUTE = _TEXT | str.maketrans({'"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#09;"})


def _counts(kinds: list[CaseKind]) -> dict[str, str]:
    return {
        "tests": str(len(kinds)),
        "failures": str(kinds.count(CaseKind.FAILURE)),
        "errors": str(kinds.count(CaseKind.ERROR)),
        "skipped": str(kinds.count(CaseKind.SKIPPED)),
    }


def _gate_suite(summary: Summary) -> Node:
    """What fails the build for itself: tools that judge by the file alone have to see it."""
    name = GATE if all(row.entry.id != GATE for row in summary.entries) else f"{GATE} of the build"
    counts = _counts([CaseKind.FAILURE for _ in summary.gate])
    cases = [
        Node(
            "testcase",
            {"classname": name, "name": failure.name, "time": "0.000"},
            [Node("failure", {"message": failure.message, "type": "gate"}, failure.message)],
        )
        for failure in summary.gate
    ]
    began = summary.started_at.removesuffix("Z")
    return Node("testsuite", {"name": name, **counts, "time": "0.000", "timestamp": began}, cases)


def _cases(row: EntrySummary) -> tuple[Case, ...]:
    """The tests; for a vendor that tells numbers alone, the entry itself as one."""
    if row.cases:
        return row.cases
    counted = ", ".join(f"{number} {verdict.words}" for verdict, number in row.counts.items())
    message = "; ".join(part for part in (row.reason, counted) if part)
    case = Case(
        id=row.entry.id,
        name=row.entry.name,
        verdict=row.verdict,
        duration_s=row.duration_s,
        url=row.url,
        message=message,
        raw_status=row.raw_status,
    )
    return (case,)


def _suite(row: EntrySummary, summary: Summary) -> Node:
    cases = _cases(row)
    kinds = [row.kind(case.verdict) for case in cases]
    attributes = {
        "name": row.entry.id,
        **_counts(kinds),
        "time": f"{row.duration_s or 0.0:.3f}",
        "timestamp": summary.started_at.removesuffix("Z"),
        "file": row.entry.origin.file,
    }
    properties = [Node("property", {"name": name, "value": value}) for name, value in _properties(row)]
    tests = [_testcase(*named, row) for named in zip(cases, _unique_names(cases), kinds, strict=True)]
    return Node("testsuite", attributes, [Node("properties", {}, properties), *tests])


def _properties(row: EntrySummary) -> list[tuple[str, str]]:
    properties = [("vendor", row.entry.vendor), ("verdict", str(row.verdict))]
    properties += [("platform", row.entry.platform)] if row.entry.platform else []
    properties += [("run", run.url or run.id) for run in row.runs]
    return properties


def _unique_names(cases: tuple[Case, ...]) -> list[str]:
    """Stable names; GitLab merges tests of equal name and class, so a repeated one gets its id or a number."""
    all_names = [clean(f"{case.name} ({case.id})" if case.name and case.name != case.id else case.id) for case in cases]
    if len(set(all_names)) == len(all_names):
        return all_names
    names: dict[str, None] = {}
    for name in all_names:
        numbered = (f"{name} #{number}" for number in itertools.count(2))
        names[name if name not in names else next(used for used in numbered if used not in names)] = None
    return list(names)


def _testcase(case: Case, name: str, kind: CaseKind, row: EntrySummary) -> Node:
    attributes = {
        "classname": row.entry.id,
        "name": name,
        "time": f"{case.duration_s or 0.0:.3f}",
        "file": row.entry.origin.file,
        "line": str(row.entry.origin.line),
    }
    inner = []
    if kind is CaseKind.SKIPPED:
        inner.append(Node(str(kind), {"message": row.message(case)}))
    elif kind is not CaseKind.PASSED:
        failure = {"message": row.message(case), "type": str(case.verdict)}
        inner.append(Node(str(kind), failure, _details(case, row)))
    if url := case.url or row.url:
        inner.append(Node("system-out", {}, url))
    return Node("testcase", attributes, inner)


def _details(case: Case, row: EntrySummary) -> str:
    lines = [case.message or row.reason or case.verdict.words]
    lines += [f"vendor's status: {case.raw_status}"] if case.raw_status else []
    lines += [f"{step.verdict.words}: {step.title}: {step.message or ''}" for step in case.steps]
    lines += [url] if (url := case.url or row.url) else []
    lines += [f"video: {case.video_url}"] if case.video_url else []
    lines += [f"{name}: {value}" for name, value in case.ids.items()]
    lines.append(f"{row.entry.origin.file}:{row.entry.origin.line}")
    return "\n".join(lines)


def clean(text: str) -> str:
    """Without what XML cannot hold, and without secrets."""
    return _NOT_XML.sub("", mask(text))
