from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec.structs import replace

from qarunner.engine.state import events as ev
from qarunner.engine.state.run import fold
from qarunner.report import html
from qarunner.report import json as jsondoc
from qarunner.report.summary import is_web, summarise, unsaid
from qarunner.text import inert_lines
from qarunner.vendors.api import Case, Outcome, Verdict
from tests.fictional import entry, plan_of
from tests.report.test_markdown import ROOT, summary_of
from tests.worlds import EPOCH, started

CASES = sorted(path.parent.name for path in ROOT.glob("*/journal.jsonl"))
ASKING = {"img", "iframe", "object", "embed", "video", "audio", "source", "form", "base"}
VOID = {"meta", "link", "br", "input"}


class Tags(HTMLParser):
    """Every element with its attributes, and whether each was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(text)
    assert parser.open == []
    return parser.found


def test_the_tests_that_failed_lead_in_their_entry_and_in_its_counts() -> None:
    plan = plan_of(entry("a", "plain"))
    verdicts = (Verdict.PASSED, Verdict.FAILED, Verdict.PASSED)
    cases = tuple(Case(id=f"t{number}", verdict=verdict) for number, verdict in enumerate(verdicts))
    outcome = Outcome(verdict=Verdict.FAILED, cases=cases)
    events: list[ev.Event] = [started(EPOCH, plan), ev.EntryClosed(at=EPOCH, entry="a", outcome=outcome)]
    text = html.render(summarise(fold(plan, events)))
    assert "counts 1 failed, 2 passed" in text
    assert text.index("</span> t1") < text.index(" t0<") < text.index(" t2<")


@pytest.mark.parametrize("case", CASES)
def test_the_page_is_whole_and_asks_for_nothing(case: str) -> None:
    text = html.render(summary_of(case))
    elements = tags(text)
    ids = {attributes["id"] for _, attributes in elements if "id" in attributes}
    for tag, attributes in elements:
        assert tag not in ASKING
        assert not any(name.startswith("on") or name in {"src", "style"} for name in attributes)
        href = attributes.get("href") or "data:,"
        assert re.match(r"https?://|data:,$", href) or href.removeprefix("#") in ids
    assert [tag for tag, _ in elements].count("script") == 1
    assert "url(" not in text


def test_only_the_script_and_the_style_of_the_page_are_allowed() -> None:
    text = html.render(summary_of("failures-and-blocked"))
    policy = next(attributes["content"] or "" for tag, attributes in tags(text) if "http-equiv" in attributes)
    for tag in ("script", "style"):
        part = re.search(f"<{tag}>(.*)</{tag}>", text, re.DOTALL)
        assert part is not None
        digest = base64.b64encode(hashlib.sha256(part[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", ["page.css", "page.js"])
def test_what_makes_text_safe_does_not_change_the_page_itself(name: str) -> None:
    assert inert_lines(html._file(name)) == html._file(name)


def test_nobodys_words_are_markup() -> None:
    text = html.render(summary_of("odd-characters"))
    assert "&lt;b&gt;" in text
    assert "<b>&" not in text


def test_a_script_is_not_linked_to() -> None:
    assert not is_web("javascript:alert(1)")
    assert is_web("https://a.example/r")


def test_a_link_to_an_entry_comes_from_its_id() -> None:
    assert html.anchor("checkout/web") == "entry-checkout/web"
    assert html.anchor("a[x=en,t=pro]") == "entry-a[x=en,t=pro]"
    assert html.anchor('a b"<') == "entry-a%20b%22%3C"


def test_a_failure_is_told_once() -> None:
    assert unsaid("Button 'Pay' not found (CODE: say more)", "Button 'Pay' not found (CODE: say more); more") is None
    assert unsaid("no; the page shows an error", "the page shows an error") == "no"
    assert unsaid("timed out; allowed to fail", "timed out") == "allowed to fail"
    assert unsaid("a", "a banana") == "a"
    assert unsaid(None, "x") is None


def test_the_page_can_be_packaged() -> None:
    assert all((Path(html.__file__).parent / name).is_file() for name in ("page.css", "page.js"))


def test_whose_an_entry_is_stands_beside_it() -> None:
    summary = summary_of("everything-passes")
    rows = [replace(row, entry=replace(row.entry, owner="team <a>")) for row in summary.entries]
    owned = replace(summary, entries=tuple(rows))
    assert html.render(owned).count("owner team &lt;a&gt;") == len(rows)
    assert {entry["owner"] for entry in json.loads(jsondoc.render(owned))["entries"]} == {"team <a>"}
    assert "owner" not in json.loads(jsondoc.render(summary))["entries"][0]
