"""The live table on a model of a terminal: what stands where, in windows of every size."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import msgspec
import pyte
import pytest

from qarunner.app.runs import Outlook
from qarunner.cli.console import Screen, open_console
from qarunner.cli.progress import Table
from qarunner.engine.schedule.timing import DurationHistory, names_of
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Run, advance
from qarunner.vendors.api import Case, Outcome, RemoteRun, Verdict
from tests.fictional import entry, plan_of
from tests.worlds import EPOCH, started

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.engine.state.events import Event
    from qarunner.plan.model import Plan

SIZES = [(60, 20), (80, 24), (120, 40), (200, 50)]
LONG = "billing-and-invoicing-with-vat-and-reverse-charge"
PASSED = Outcome(verdict=Verdict.PASSED)


class Screenful(pyte.HistoryScreen):
    """Without what stands around each look at an attribute for a reader who pages: that took two thirds of the time."""

    __getattribute__ = object.__getattribute__


class Window(io.StringIO):
    """A terminal with a scrollback, which breaks lines as terminals do."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        super().__init__()
        self.screen = Screenful(columns, rows, history=5000)
        self._stream = pyte.Stream(self.screen)

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._stream.feed(text.replace("\n", "\r\n"))
        return len(text)

    @property
    def size(self) -> tuple[int, int]:
        return self.screen.columns, self.screen.lines

    @property
    def shown(self) -> list[str]:
        """What stands in the window, without empty lines."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    @property
    def scrolled(self) -> list[str]:
        """All that was ever written, from the first line to the last."""
        above = [
            "".join(line[column].data for column in range(self.screen.columns)) for line in self.screen.history.top
        ]
        return [line.rstrip() for line in above] + self.shown


class AsciiWindow(Window):
    """The same of a terminal whose encoding is ASCII."""

    encoding = "ascii"

    def write(self, text: str) -> int:
        return super().write(text.encode("ascii", "qarunner-marks").decode("ascii"))


class Show:
    """A live table over a plan, driven by events."""

    def __init__(
        self,
        plan: Plan,
        size: tuple[int, int] = (80, 24),
        outlook: Outlook | None = None,
        window: type[Window] = Window,
    ) -> None:
        self.window = window(*size)
        self.run = Run.of(plan)
        self.now = EPOCH
        advance(self.run, started(EPOCH, plan))
        self.console = open_console({}, out=self.window, err=self.window)
        self.screen = Screen(self.window, lambda: self.window.size)
        self.table = Table(
            self.console,
            self.run,
            lambda: self.now,
            outlook or Outlook(durations=DurationHistory(plan, {})),
            self.screen,
        )

    def saw(self, *events: Event) -> Show:
        for event in events:
            self.now = max(self.now, event.at)
            advance(self.run, event)
            self.table.saw(event, self.run)
        return self

    def at(self, seconds: float) -> list[str]:
        self.now = EPOCH + seconds
        self.table.tick(self.run)
        return self.window.shown


def many(number: int, vendor: Callable[[int], str] = lambda n: ("plain", "keyed")[n % 2]) -> Plan:
    return plan_of(*(entry(f"{LONG}-{n:03}" if n % 7 == 6 else f"cart-{n:03}", vendor(n)) for n in range(number)))


def accepted(run: Run, entry_id: str, at: float = 1.0, url: str | None = None) -> Event:
    return ev.Accepted(at=EPOCH + at, job=run.job_of[entry_id].job.id, runs=(RemoteRun(id=f"r-{entry_id}", url=url),))


def polled(run: Run, entry_id: str, at: float = 2.0, note: str = "in_progress") -> Event:
    return ev.Polled(at=EPOCH + at, job=run.job_of[entry_id].job.id, run=f"r-{entry_id}", note=note, done=1, total=3)


def closed(entry_id: str, at: float = 30.0, outcome: Outcome = PASSED) -> Event:
    return ev.EntryClosed(at=EPOCH + at, entry=entry_id, outcome=outcome)


def ids(plan: Plan) -> list[str]:
    return [row.id for row in plan.entries]


@pytest.mark.parametrize("size", SIZES)
def test_a_terminal_with_wider_marks_breaks_no_line(size: tuple[int, int]) -> None:
    plan = plan_of(*(entry(f"{LONG}-{n:03}", "plain") for n in range(40)))
    show = Show(plan, size, window=AsciiWindow)
    show.saw(*(accepted(show.run, name) for name in ids(plan)), *(polled(show.run, name) for name in ids(plan)))
    for second in range(45, 59):
        show.at(second)
    shown, (columns, _) = show.at(59), size
    assert all(re.search(r"^\. \S+ +plain  in_progress 1/3  +58s$", line) for line in shown[1:-1]), shown
    assert ("..." in shown[1]) == (columns < 100)
    assert re.fullmatch(r" +\.\.\. \d+ more running", shown[-1])
    assert not show.window.screen.history.top, "nothing was pushed out of the window"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("number", [5, 36, 200])
def test_the_table_fits_the_window_in_both_directions(size: tuple[int, int], number: int) -> None:
    plan = many(number)
    show = Show(plan, size)
    show.saw(*(accepted(show.run, name) for name in ids(plan)), *(polled(show.run, name) for name in ids(plan)))
    shown = show.at(45)
    columns, rows = size
    assert len(shown) <= rows * 2 // 3, "the rest of the window is for what scrolls by"
    assert shown[0] == f"story  0/{number}   45s"
    table = [line for line in shown[1:] if "…" not in line[:4]]
    for line in table:
        assert re.search(r"^· \S+ +(plain|keyed)  in_progress 1/3  +44s$", line), line
        assert len(line) < columns
    hidden = number - len(table)
    assert shown[-1].strip() == f"… {hidden} more running" if hidden else len(table) == number
    assert not show.window.screen.history.top, "nothing was pushed out of the window"
    if number > 6 and columns >= 120:
        assert any(f"{LONG}-006" in line for line in shown)
    elif number > 6:
        assert re.search(r"· bill\S*…\S*-006 ", "\n".join(shown)), "an id loses its middle"


def test_what_ends_scrolls_by_above_the_table_with_reason_and_link() -> None:
    plan = many(5)
    show = Show(plan)
    bad = Outcome(
        verdict=Verdict.FAILED,
        cases=(Case(id="t1", verdict=Verdict.FAILED, message="Button 'Pay now' not found", url="https://app.test/t1"),),
    )
    show.saw(*(accepted(show.run, name, url="https://app.test/run") for name in ids(plan)))
    show.saw(closed("cart-000", 13), closed("cart-001", 14, bad))
    shown = show.at(20)
    assert shown[:4] == [
        "✓ cart-000  plain  passed  12s",
        "✗ cart-001  keyed  failed  13s: Button 'Pay now' not found",
        "  https://app.test/t1",
        "story  2/5  ✓ 1  ✗ 1   20s",
    ]
    assert len(shown) == 7
    show.table.close()
    assert show.window.shown == shown[:3], "the table goes, and what has ended stays"


def test_of_many_entries_only_those_that_did_not_pass_scroll_by() -> None:
    plan = many(36)
    show = Show(plan)
    flaky, failed = Outcome(verdict=Verdict.FLAKY), Outcome(verdict=Verdict.ERROR, message="HTTP 500")
    show.saw(closed("cart-000"), closed("cart-001", outcome=flaky), closed("cart-002", outcome=failed))
    assert show.at(31)[:2] == ["! cart-002  plain  error: HTTP 500", "story  3/36  ✓ 1  ! 1  ↻ 1   31s"]


@pytest.mark.parametrize("size", [(40, 20), *SIZES])
@pytest.mark.parametrize("window", [Window, AsciiWindow])
def test_a_reason_has_two_rows_and_no_word_is_broken_in_two(size: tuple[int, int], window: type[Window]) -> None:
    plan, reason = many(36), " ".join(f"word{n:03}" for n in range(50))
    show = Show(plan, size, window=window)
    show.saw(closed("cart-000", outcome=Outcome(verdict=Verdict.FAILED, message=reason)))
    first, second = show.at(31)[:2]
    assert second.startswith("  word")
    assert max(len(first), len(second)) <= size[0]
    shown = f"{first} {second.strip()}".partition(": ")[2].removesuffix("…").removesuffix("...").strip()
    assert f"{reason} ".startswith(f"{shown} ")


@pytest.mark.parametrize("size", SIZES)
def test_no_failure_is_pushed_out_of_the_window_by_the_table(size: tuple[int, int]) -> None:
    plan = many(60)
    show = Show(plan, size)
    show.saw(*(accepted(show.run, name) for name in ids(plan)))
    failed = Outcome(verdict=Verdict.FAILED, message="x" * 500)
    for name in ids(plan)[:20]:
        show.saw(closed(name, outcome=failed))
        assert f"✗ {name}"[:30] in "\n".join(show.window.shown)
    scrolled = "\n".join(show.window.scrolled)
    assert all(re.search(rf"✗ {name}\s", scrolled) for name in ids(plan)[:20])
    assert scrolled.count("story  ") == 1, "no frame was left behind"


@pytest.mark.parametrize("size", [(40, 10), (50, 30), (100, 12), (200, 50), (20, 5)])
def test_a_window_may_change_its_size_while_it_is_drawn(size: tuple[int, int]) -> None:
    plan = many(36)
    show = Show(plan, (120, 40))
    show.saw(*(accepted(show.run, name) for name in ids(plan)), *(polled(show.run, name) for name in ids(plan)))
    show.window.screen.resize(lines=size[1], columns=size[0])
    show.screen.clear()
    show.window.screen.reset()
    shown = show.at(50)
    assert shown[0].startswith("story  0/36")
    assert len(shown) <= max(2, size[1] * 2 // 3)
    assert all(len(line) < size[0] for line in shown)


def test_a_narrowed_window_has_broken_the_lines_of_the_last_frame() -> None:
    """The cursor goes up by the rows that the terminal has made of them, not by the lines that were drawn."""
    window, size = io.StringIO(), [(100, 24)]
    screen = Screen(window, lambda: size[0])
    screen.draw([("x" * 90, 90), ("y" * 10, 10), ("", 0)])
    size[0] = (40, 24)
    window.truncate(0)
    screen.draw([])
    assert "\x1b[5A" in window.getvalue(), "three rows, one, and one"


def test_a_block_that_fills_the_window_is_taken_away_row_by_row() -> None:
    """tmux keeps a screen that is cleared from its first row on in the scrollback: each frame would stay there."""
    written = io.StringIO()
    screen = Screen(written, lambda: (80, 5))
    screen.draw([(f"line {number}", 6) for number in range(9)])
    written.seek(0)
    written.truncate()
    screen.clear()
    assert "\x1b[J" not in written.getvalue()
    assert written.getvalue().count("\n") == 4, "no row of what stands above is pushed out"


def test_the_overdue_come_first_and_the_header_says_how_long_it_usually_takes() -> None:
    plan = many(4, lambda _: "plain")
    took = {"cart-000": 300.0, "cart-001": 60.0, "cart-002": 20.0, "cart-003": 100.0}
    earlier = {names_of(row)[0]: [took[row.id]] * 5 for row in plan.entries}
    show = Show(plan, outlook=Outlook(durations=DurationHistory(plan, earlier)))
    show.saw(*(accepted(show.run, name, 0) for name in ids(plan)))
    shown = show.at(47)
    assert shown[0] == "story  0/4   47s of about 5m"
    assert [line.split()[1] for line in shown[1:]] == ["cart-002", "cart-001", "cart-003", "cart-000"]
    assert shown[1].endswith("47s of 20s")
    assert show.saw(closed("cart-000")).at(70)[1].split() == ["story", "1/4", "✓", "1", "1m10s", "of", "about", "1m40s"]


def test_the_first_of_a_jobs_runs_to_end_says_nothing_of_what_is_usual() -> None:
    plan = many(1)
    durations = DurationHistory(plan, {})
    show = Show(plan, outlook=Outlook(durations=durations)).saw(accepted(Run.of(plan), "cart-000", 0))
    durations.ended(show.run.job_of["cart-000"], known_s=6.0, found_s=7.0)
    assert show.at(30) == ["story  0/1   30s", "· cart-000  plain  accepted  30s"]


def test_nothing_is_promised_where_one_duration_is_unknown() -> None:
    plan = many(2)
    known = {names_of(plan.entries[0])[0]: [20.0]}
    show = Show(plan, outlook=Outlook(durations=DurationHistory(plan, known)))
    assert show.at(5)[0] == "story  0/2   5s"


def test_a_trouble_says_when_the_next_try_is_and_goes_with_the_next_answer() -> None:
    plan = many(1)
    show = Show(plan).saw(accepted(Run.of(plan), "cart-000"), polled(Run.of(plan), "cart-000"))
    job = show.run.job_of["cart-000"].job.id
    show.saw(ev.Retrying(at=EPOCH + 5, job=job, run="r-cart-000", message="HTTP 502: bad gateway", wait_s=8))
    assert show.at(6)[1].endswith("in_progress 1/3  5s  HTTP 502: bad gateway; again in 7s")
    assert "HTTP 502" not in "\n".join(show.saw(polled(show.run, "cart-000", 14)).at(15))


def test_a_create_that_is_refused_for_a_while_says_so_in_its_row() -> None:
    plan = many(1)
    show = Show(plan)
    job = show.run.job_of["cart-000"].job.id
    show.saw(ev.CreateFailed(at=EPOCH + 5, job=job, message="HTTP 429: slow down", wait_s=30.0))
    assert show.at(6)[1] == "· cart-000  plain  waiting  HTTP 429: slow down; again in 29s"
    show.saw(ev.Submitting(at=EPOCH + 35, job=job, attempt=2), accepted(show.run, "cart-000", 36))
    assert show.at(37)[1] == "· cart-000  plain  accepted  1s"


def test_the_last_line_says_which_limit_holds_entries_back() -> None:
    show = Show(plan_of(entry("a", "plain"), entry("b", "plain"), entry("c", "plain", needs=("b",)), max_in_flight=1))
    show.saw(accepted(show.run, "a"))
    shown = show.at(45)
    assert re.fullmatch(r"· c +plain +waiting +waits for b", shown[3]), shown
    assert shown[4] == "   … at most 1 at a time at plain"
    show = Show(plan_of(*(entry(f"e{n}", "plain") for n in range(40)), max_in_flight=1))
    shown = show.saw(accepted(show.run, "e0")).at(45)
    assert re.fullmatch(r"   … \d+ waiting; at most 1 at a time at plain", shown[-1]), shown
    assert len(shown) <= 16


def test_an_entry_of_a_shared_run_shows_its_own_tests() -> None:
    one, two = entry("a", "plain"), entry("b", "plain")
    plan = plan_of(one, two)
    job = msgspec.structs.replace(plan.jobs[0], entries=("a", "b"))
    plan = msgspec.structs.replace(plan, jobs=(job,))
    show = Show(plan).saw(ev.Accepted(at=EPOCH, job=job.id, runs=(RemoteRun(id="r"),)))
    show.saw(ev.Polled(at=EPOCH + 1, job=job.id, run="r", note="running", done=8, total=24, entries={"a": (1, 3)}))
    assert [line.split()[3:5] for line in show.at(3)[1:]] == [["running", "1/3"], ["running", "3s"]]


def test_an_interruption_is_answered_at_once_and_counts_down() -> None:
    plan = many(36)
    able = Outlook(durations=DurationHistory(plan, {}), cancellable=frozenset({"keyed"}))
    show = Show(plan, (120, 40), able)
    show.saw(*(accepted(show.run, name) for name in ids(plan)), ev.Interrupted(at=EPOCH + 9, signal=2))
    shown = " ".join(show.window.shown)
    assert (
        "interrupted: cancelling 18 runs at keyed (6s at most); 18 runs at plain cannot be cancelled and go on" in shown
    )
    assert show.at(11)[-1].strip() == "stopping: 4s at most; Ctrl-C again leaves at once"


def test_other_lines_are_written_above_the_table() -> None:
    show = Show(many(3))
    show.console.warn("qarunner: warning: a")
    show.console.result("b")
    assert show.at(1)[:3] == ["qarunner: warning: a", "b", "story  0/3   1s"]


def test_nobodys_text_is_markup_or_a_command_here() -> None:
    plan = msgspec.structs.replace(many(2), name="[/red] shop \x1b[2J")
    show = Show(plan)
    show.saw(accepted(show.run, "cart-000"), polled(show.run, "cart-000", note="a\x1b]0;X\x07 ⟦secret:TOKEN⟧"))
    shown = "\n".join(show.at(3))
    assert "[/red] shop  [2J  0/2" in shown
    assert "a ]0;X  *** 1/3" in shown


def test_wide_characters_take_two_columns() -> None:
    plan = msgspec.structs.replace(many(2), name="買い物" * 30)
    show = Show(plan, (60, 20))
    assert show.at(3)[0].endswith("0/2   3s")
    assert len(show.window.shown) == 3
