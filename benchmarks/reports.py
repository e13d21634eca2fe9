"""What reports of large runs cost: CPU of each format, and how long a browser takes to open the page.

python benchmarks/reports.py [ENTRIES…]        from the repository's root; Chromium is used if it is installed
"""

from __future__ import annotations

import gc
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from qarunner.app.reports import for_report
from qarunner.report import FORMATS
from qarunner.report.html import render as render_html
from qarunner.secret import Scrubber, mask
from tests.report.large import large_summary

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

SCRUBBER = Scrubber({"QA_KEY": "s3cr3t-value-1234", "OTHER": "another-one-that-is-long", "TEST_PASSWORD": "hunter22"})


def clean(text: str) -> str:
    """What an apply makes of each text that it shows."""
    return mask(SCRUBBER(text))


def cpu(number: int) -> None:
    summary = large_summary(number)
    began = time.process_time()
    ready = for_report(summary, "html", clean)
    print(f"{number:6} entries: {'made ready':12} {time.process_time() - began:6.2f} s of CPU")
    for form in FORMATS:
        module = __import__(f"qarunner.report.{form}", fromlist=["render"])
        began = time.process_time()
        text = module.render(ready)
        took = time.process_time() - began
        print(f"{number:6} entries: {form:12} {took:6.2f} s of CPU, {len(text) / 1e6:.1f} MB")


def opened(number: int) -> None:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  not installed everywhere

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "report.html"
        path.write_text(render_html(large_summary(number)), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        for _ in range(3):
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            began = time.perf_counter()
            page.goto(path.as_uri())
            wall = time.perf_counter() - began
            metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
            print(f"{number:6} entries: opened in {wall:.2f} s, {metrics['TaskDuration']:.2f} s of CPU")
            page.close()
        browser.close()


if __name__ == "__main__":
    gc.set_threshold(50_000)  # as the program does
    for word in sys.argv[1:] or ["1000", "10000"]:
        cpu(int(word))
        if BROWSER:
            opened(int(word))
