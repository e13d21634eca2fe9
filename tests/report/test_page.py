"""The HTML report in a browser: what a tester sees, reaches by keyboard, and is asked of the network."""

from __future__ import annotations

import shutil
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from qarunner.report import html
from qarunner.report.summary import RunLink
from tests.amount import PATIENCE_S, some
from tests.report.large import large_summary
from tests.report.test_markdown import summary_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qarunner.report.summary import Summary

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
PACKAGES = ("playwright", "axe_playwright_python")

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason=f"no browser: none of {', '.join(NAMES)} is installed"),
    pytest.mark.skipif(not all(map(find_spec, PACKAGES)), reason=f"{' or '.join(PACKAGES)} is not installed"),
]

MODES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "forced": {"forced_colors": "active"},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  not installed everywhere

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:  # noqa: ANN401  a package that may be missing
    """Opens a report, and collects in `page.asked` what it asks of the network, in `page.complaints` what it logs."""
    contexts = []

    def open_(summary: Summary, fragment: str = "", *, width: int = 1280, **options: Any) -> Any:  # noqa: ANN401
        path = tmp_path / "report.html"
        path.write_text(html.render(summary), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(path.as_uri() + fragment)
        return page

    yield open_
    for context in contexts:
        context.close()


@cache
def large(number: int) -> Summary:
    """With many runs that go on, as after an interrupt: they must not hide the first failure."""
    summary = large_summary(number)
    run = RunLink(id="r", url="https://vendor.test/r", vendor="plain", attempt=1, entries=("area-1/flow-00001",))
    return replace(summary, running=(run,) * 40, uncertain={"plain-9": "the answer was lost"})


def is_open(page: Any, entry: str) -> bool:  # noqa: ANN401
    state: bool = page.evaluate("id => document.querySelector(`[data-id='${id}']`).open", entry)
    return state


def shown(page: Any) -> list[str]:  # noqa: ANN401
    ids: list[str] = page.evaluate("[...document.querySelectorAll('.entry:not([hidden])')].map(e => e.dataset.id)")
    return ids


@pytest.mark.parametrize("mode", some([*MODES], 1))
def test_axe_finds_nothing(opened: Callable[..., Any], mode: str) -> None:
    spec = find_spec("axe_playwright_python")
    assert spec is not None
    axe = Path(str(spec.origin)).with_name("axe.min.js").read_text(encoding="utf-8")
    summary = large(15)
    page = opened(replace(summary, running=summary.running[:2]), bypass_csp=True, **MODES[mode])
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    page.evaluate(axe)
    violations = page.evaluate("axe.run()")["violations"]
    assert [(violation["id"], violation["nodes"][0]["html"]) for violation in violations] == []


def test_the_first_failure_is_on_the_first_screen_and_nothing_is_asked_for(opened: Callable[..., Any]) -> None:
    page = opened(large(1000))
    assert page.evaluate("document.querySelector('.entry.red').getBoundingClientRect().bottom") < 800
    assert len(page.asked) == 1
    assert page.complaints == []


def until(page: Any, expression: str) -> None:  # noqa: ANN401  Playwright's page, where it is installed
    """Asks from outside: the page's own policy lets nothing be evaluated within it."""
    limit = time.monotonic() + PATIENCE_S
    while not page.evaluate(expression):
        assert time.monotonic() < limit, f"it never came to that: {expression}"
        page.wait_for_timeout(20)


def test_a_link_to_an_entry_opens_it_with_and_without_the_script(opened: Callable[..., Any]) -> None:
    for javascript in (True, False):
        page = opened(large(60), "#entry-area-8/flow-00020", java_script_enabled=javascript)
        assert is_open(page, "area-8/flow-00020")
    page = opened(large(60), "#?q=s:failed")
    assert len(shown(page)) == 2
    page.evaluate("location.hash = '#entry-area-8/flow-00020'")
    until(page, "document.querySelector(`[data-id='area-8/flow-00020']`).open")
    assert "area-8/flow-00020" in shown(page), "the filter does not hide what a link names"


def test_entries_are_found_and_sorted(opened: Callable[..., Any]) -> None:
    page = opened(large(60))
    page.keyboard.press("/")
    page.keyboard.type("v:keyed p:android l:smoke")
    assert sorted(shown(page)) == sorted(f"area-{n % 12}/flow-{n:05d}" for n in (1, 7, 13, 19, 25, 31, 37, 43, 49, 55))
    assert page.inner_text("#shown") == "10 of 60 entries"
    page.fill("#search", '"case 2 of flow 11" !v:plain')
    assert shown(page) == ["area-11/flow-00011"]
    page.fill("#search", "")
    page.click("button:has-text('failed') >> nth=0")
    page.click("button:has-text('flaky') >> nth=0")
    assert len(shown(page)) == 4
    assert page.get_attribute("button:has-text('flaky')", "aria-pressed") == "true"
    page.fill("#search", "")
    page.select_option("#sort", "slowest")
    took = page.evaluate("[...document.querySelectorAll('.entry')].map(e => +e.dataset.d)")
    assert took == sorted(took, reverse=True)


def test_a_screenshot_is_asked_for_by_a_click_and_one_that_is_gone_says_so(opened: Callable[..., Any]) -> None:
    page = opened(large(60))
    page.route("https://vendor.test/**", lambda route: route.fulfill(status=403))
    page.click("a[data-shot] >> nth=0")
    page.wait_for_selector(".gone")
    assert page.asked[1:] == ["https://vendor.test/shots/3.png"]
    assert "may have expired" in page.inner_text(".gone")
    assert page.get_attribute(".gone a", "href") == "https://vendor.test/runs/3/1"
    pixel = Path(__file__).with_name("pixel.png").read_bytes()
    page.route("https://vendor.test/**", lambda route: route.fulfill(body=pixel, content_type="image/png"))
    page.click("a[data-shot] >> nth=1")
    until(page, "document.querySelector('img.shot')?.naturalWidth === 1")


@pytest.mark.parametrize(
    ("width", "media"), some([(390, {}), (1280, {"media": "print"}), (390, {"forced_colors": "active"})], 1)
)
def test_the_timeline_has_bars(opened: Callable[..., Any], width: int, media: dict[str, Any]) -> None:
    page = opened(summary_of("failures-and-blocked"), width=width)
    page.emulate_media(**media)
    seen = "e => [e.getBoundingClientRect().width, getComputedStyle(e).fill]"
    bars = page.evaluate(f"[...document.querySelectorAll('.lane rect')].map({seen})")
    assert bars
    assert all(wide > 0 and fill not in {"none", "rgb(255, 255, 255)"} for wide, fill in bars)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    page.evaluate(
        "for (const name of document.querySelectorAll('.wide tbody th')) name.textContent = 'team checkout '.repeat(3)"
    )
    tables = "[...document.querySelectorAll('.wide')].map(part => part.scrollWidth - part.clientWidth)"
    assert set(page.evaluate(tables)) == {0}, "a table of counts is whole on a phone, too"


def test_a_printed_page_shows_what_failed(opened: Callable[..., Any]) -> None:
    page = opened(large(60))
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = false")
    page.emulate_media(media="print")
    assert page.evaluate("document.querySelector('.entry.red .body').checkVisibility()")
