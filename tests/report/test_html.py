from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from qarunner.report import html
from tests.report.test_markdown import ROOT, summary_of

CASES = sorted(path.parent.name for path in ROOT.glob("*/journal.jsonl"))
ASKING = {"script", "img", "link", "iframe", "object", "embed", "video", "audio", "source", "form", "base"}


class Tags(HTMLParser):
    """Every element with its attributes, and whether each was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(text)
    assert parser.open == []
    return parser.found


@pytest.mark.parametrize("case", CASES)
def test_the_page_is_whole_and_asks_for_nothing(case: str) -> None:
    text = html.render(summary_of(case))
    for tag, attributes in tags(text):
        assert tag not in ASKING
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        assert re.match(r"https?://|#entry-\d+$", attributes.get("href") or "#entry-1")
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_nobodys_words_are_markup() -> None:
    text = html.render(summary_of("odd-characters"))
    assert "&lt;b&gt;" in text
    assert "<b>&" not in text


def test_a_script_is_not_linked_to() -> None:
    assert html.web("javascript:alert(1)") is None
    assert html.web("https://a.example/r") == "https://a.example/r"


def test_bars_lie_inside_of_the_timeline() -> None:
    for case in CASES:
        summary = summary_of(case)
        for row in summary.entries:
            bar = html.bar(row, summary)
            assert bar is None or (bar.left >= 0 and bar.width > 0 and bar.left + bar.width <= 100.01)


def test_the_page_can_be_packaged() -> None:
    assert (Path(html.__file__).parent / "report.html.j2").is_file()
