"""`report --open`, and what a terminal gets instead of a page's source."""

from __future__ import annotations

import io
import webbrowser
from pathlib import Path
from shutil import copytree
from typing import TYPE_CHECKING, Any

import pytest

from qarunner.app.options import ReportOptions
from qarunner.cli.commands.report import report
from qarunner.cli.console import open_console
from qarunner.errors import UserError

if TYPE_CHECKING:
    from qarunner.cli.console import Console

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "report"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    copytree(GOLDEN / "everything-passes", tmp_path / "runs" / "r1")
    return tmp_path / "runs"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    urls: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not urls.append(url))  # type: ignore[func-returns-value]
    return urls


def terminal() -> Console:
    return open_console({"NO_COLOR": "1"}, out=Terminal(), err=io.StringIO())


def test_the_page_is_written_and_opened(runs: Path, tmp_path: Path, opened: list[str]) -> None:
    console = terminal()
    assert report(console, {}, ReportOptions(runs_dir=runs, open=True)) == 0
    assert opened == [(runs / "r1" / "report.html").as_uri()]
    assert (runs / "r1" / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "report.html" in console.err.getvalue()  # type: ignore[attr-defined]
    other = tmp_path / "other.html"
    assert report(console, {}, ReportOptions(runs_dir=runs, open=True, out=other, form="html")) == 0
    assert opened[1:] == [other.as_uri()]


def test_without_a_browser_its_path_is_said(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    console = terminal()
    assert report(console, {}, ReportOptions(runs_dir=runs, open=True)) == 0
    assert "no browser could be started" in console.err.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"form": "html"}, "--open"),
        ({"form": "junit", "open": True}, "HTML"),
        ({"form": "json", "open": True}, "HTML"),
        ({"merge": True, "open": True, "runs": ("r1",)}, "--out FILE"),
    ],
)
def test_a_terminal_is_not_flooded(runs: Path, options: dict[str, Any], hint: str, opened: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        report(terminal(), {}, ReportOptions(runs_dir=runs, **options))
    assert hint in str(caught.value.hint)
    assert opened == []


def test_a_pipe_gets_the_page(runs: Path) -> None:
    out = io.StringIO()
    assert report(open_console({}, out=out, err=io.StringIO()), {}, ReportOptions(runs_dir=runs, form="html")) == 0
    assert out.getvalue().startswith("<!doctype html>")
