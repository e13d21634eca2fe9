"""`doctor`: what stands in the way of an apply, each check as soon as it is done."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from qarunner.app.doctor import Finding, State, examine
from qarunner.errors import ExitCode
from qarunner.text import Line, padded, plural, styled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.app.options import DoctorOptions
    from qarunner.cli.console import Console

_SIGNS = {
    State.OK: ("✓", "green"),
    State.WARNING: ("!", "yellow"),
    State.PROBLEM: ("✗", "red"),
    State.NOT_CHECKED: ("-", "dim"),
}
_WIDTH = 18
"""Columns of the longest name of a check of ours; a plugin's may be longer."""


def doctor(console: Console, environ: Mapping[str, str], options: DoctorOptions) -> ExitCode:
    """Exit 2 if anything stands in the way of an apply; warnings do not."""
    counts: Counter[State] = Counter()
    findings = []
    for finding in examine(options, environ, now=time.time(), hide=console.hide):
        counts[finding.state] += 1
        findings.append(finding)
        if console.output != "json" and (not console.quiet or finding.state is State.PROBLEM):
            console.results(_lines(finding))
    ready = not counts[State.PROBLEM]
    console.answer(lambda: {"ready": ready, "checks": findings}, [_verdict(counts)])
    return ExitCode.OK if ready else ExitCode.USAGE


def _lines(finding: Finding) -> Iterator[Line]:
    sign, colour = _SIGNS[finding.state]
    unchecked = "not checked: " if finding.state is State.NOT_CHECKED else ""
    yield styled(sign, colour), f" {padded(finding.check, _WIDTH)}  {unchecked}{finding.text}"
    if finding.remedy:
        yield styled(f"{'':{_WIDTH + 4}}{finding.remedy}", "dim")


def _verdict(counts: Mapping[State, int]) -> str:
    names = {State.WARNING: "warning", State.PROBLEM: "problem"}
    parts = [plural(counts[state], name) for state, name in reversed(names.items()) if counts[state]]
    parts += [f"{counts[State.NOT_CHECKED]} not checked"] if counts[State.NOT_CHECKED] else []
    what = "this stands in the way of an apply" if counts[State.PROBLEM] else "nothing stands in the way of an apply"
    return f"{what}: {', '.join([*parts, f'{counts[State.OK]} fine'])}"
