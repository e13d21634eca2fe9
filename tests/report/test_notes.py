"""What a person has to know beside the results is one list; the terminal, the Markdown and the page say all of it."""

from __future__ import annotations

import io
from pathlib import Path

from msgspec.structs import replace

from qarunner.cli.console import open_console
from qarunner.cli.result import show
from qarunner.report import html, markdown
from qarunner.report.notes import notes
from qarunner.report.summary import LeftAtVendor, RunLink
from tests.report.test_markdown import summary_of


def test_each_format_says_what_goes_on_what_is_left_and_what_has_to_be_decided() -> None:
    run = RunLink(id="k1", url="https://app.test/k1", vendor="doksi", attempt=1, entries=("a", "b"))
    left = LeftAtVendor(
        vendor="certyn",
        kind="environment",
        what="environment e1",
        why="it was in use",
        todo="delete it at Certyn",
        certain=True,
        removable=True,
        details={"id": "7"},
    )
    summary = replace(
        summary_of("interrupted"),
        running=(run, replace(run, id="k2"), replace(run, id="k3", vendor="docketqa")),
        left=(left, replace(left, what="environment e2", certain=False, removable=False)),
        uncertain={"doksi-9": "its answer was lost"},
        repeatable=frozenset(),
    )
    console = open_console({}, out=io.StringIO(), err=io.StringIO())
    show(console, summary, Path(".qarunner/runs/r1"))
    assert isinstance(console.out, io.StringIO)
    pages = {
        "terminal": console.out.getvalue(),
        "Markdown": markdown.render(summary).replace("`", "").replace("**", ""),
        "page": html.render(summary),
    }
    for form, page in pages.items():
        said = [*("k1", "k2", "k3"), "docketqa", "environment e1 (id 7): it was in use", "environment e2 (id 7)"]
        said += ["tries again to remove it; or delete it at Certyn", "be left at certyn"]
        said += [
            "doksi-9 may or may not have started a run: its answer was lost",
            "--resubmit doksi-9",
            "--drop doksi-9",
        ]
        assert [words for words in said if words not in page] == [], form
        assert "o go on: qarunner resume" in page, form
    assert "<summary>3 still running</summary>" in pages["page"], "runs are counted, not vendors"
    assert [note.head for note in notes(summary)][-2:] == ["uncertain", "to go on"]
