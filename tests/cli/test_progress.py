"""An apply while it runs: lines for logs, a table for terminals, and neither shows a secret or obeys a vendor."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import msgspec
import pytest

from qarunner.cli.console import open_console
from qarunner.cli.progress import Lines, Silent, Table_, clock, going_on, open_progress, state_words
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import JobState, Phase, Run, advance
from qarunner.vendors.api import Cause, Outcome, RemoteRun, Verdict
from tests.fictional import VENDORS, Backend, entry, plan_of
from tests.worlds import EPOCH, Story, started

if TYPE_CHECKING:
    from qarunner.engine.state.events import Event
    from qarunner.plan.model import Plan

PLAN = plan_of(entry("a", "plain"), entry("search[locale=en]", "keyed"))
STARTED = started(EPOCH, PLAN)
ACCEPTED = ev.Accepted(at=EPOCH + 2, job="plain-1", runs=(RemoteRun(id="r1", url="https://app.test/r1"),))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(*events: Event, verbose: bool = False) -> list[str]:
    """What a log shows of these events, after the run began and its first job was accepted."""
    err = io.StringIO()
    console = open_console({}, out=io.StringIO(), err=err, verbose=verbose)
    run = Run.of(PLAN)
    progress = Lines(console, EPOCH, lambda: EPOCH)
    for event in (STARTED, ACCEPTED, *events):
        advance(run, event)
        progress.saw(event, run)
    progress.close()
    return err.getvalue().splitlines()[1:]


def polled(at: float, note: str = "running", done: int | None = None, total: int | None = None) -> Event:
    return ev.Polled(at=EPOCH + at, job="plain-1", run="r1", note=note, done=done, total=total)


def test_a_large_upload_is_told_of_and_a_small_one_is_not() -> None:
    err, clock_ = io.StringIO(), [EPOCH]
    progress = Lines(open_console({}, out=io.StringIO(), err=err), EPOCH, lambda: clock_[0])
    for at, sent in ((0, 1), (0.1, 50), (0.2, 100)):
        clock_[0] = EPOCH + at
        progress.uploading("small.apk", sent << 20, 100 << 20)
    for second in range(60):
        for part in range(10):
            clock_[0] = EPOCH + second + part / 10
            progress.uploading("app.apk", (second * 10 + part) << 20, 600 << 20)
    told = err.getvalue().splitlines()
    assert len(told) == 9, told
    assert told[0] == "[    6.0s] app.apk: uploaded 10 % (60 of 600 MiB)"
    for second in range(61, 90):
        clock_[0] = EPOCH + second
        progress.uploading("app.apk", 599 << 20, 600 << 20)
    slow = err.getvalue().splitlines()[9:]
    assert len(slow) == 3, slow


def test_a_whole_story_is_told_line_by_line() -> None:
    err = io.StringIO()
    story = Story(plan_of(entry("a", "plain")), VENDORS, Backend()).drive()
    run, progress = Run.of(story.run.plan), Lines(open_console({}, out=io.StringIO(), err=err), EPOCH, lambda: EPOCH)
    for event in story.events:
        advance(run, event)
        progress.saw(event, run)
    told = err.getvalue().splitlines()
    assert told[0] == "[    0.0s] a: started plain run plain-run-1"
    assert told[1].endswith("] a: running")
    assert re.fullmatch(r"\[ +\d+\.\ds\] ✓ a: passed", told[-1])


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (polled(10, done=1, total=3), "[   10.0s] a: running 1/3"),
        (
            ev.NotSubmitted(at=EPOCH + 3, job="keyed-1", message="HTTP 429", wait_s=7.0),
            "[    3.0s] search[locale=en]: not started yet: HTTP 429; again in 7.0 s",
        ),
        (ev.NotSubmitted(at=EPOCH + 3, job="keyed-1", message="HTTP 401"), "[    3.0s] search[locale=en]: HTTP 401"),
        (ev.Uncertain(at=EPOCH + 3, job="keyed-1", message="lost"), "[    3.0s] search[locale=en]: lost"),
        (
            ev.Retrying(at=EPOCH + 3, job="plain-1", run="r1", message="HTTP 502", wait_s=0.5),
            "[    3.0s] a: HTTP 502; again in 0.5 s",
        ),
        (ev.RunCancelled(at=EPOCH + 3, job="plain-1", run="r1"), "[    3.0s] a: plain run r1 cancelled"),
        (
            ev.RunCancelled(at=EPOCH + 3, job="plain-1", run="r1", message="HTTP 404"),
            "[    3.0s] a: plain run r1 could not be cancelled: HTTP 404",
        ),
        (
            ev.EntryClosed(at=EPOCH + 3, entry="a", outcome=Outcome(verdict=Verdict.TIMED_OUT, message="too late")),
            "[    3.0s] ! a: timed out: too late",
        ),
        (
            ev.EntryClosed(at=EPOCH + 3, entry="a", outcome=Outcome(verdict=Verdict.FAILED)),
            "[    3.0s] ✗ a: failed",
        ),
    ],
)
def test_each_step_has_its_line(event: Event, line: str) -> None:
    assert lines(event) == [line]


def test_an_interruption_promises_nothing_that_detaching_would_break() -> None:
    assert "cancel" not in lines(ev.Interrupted(at=EPOCH + 3, signal=2))[0]


def test_a_run_that_says_the_same_has_no_line_of_its_own() -> None:
    events = [polled(10.0 * number) for number in range(1, 13)]
    assert len(lines(*events)) == 1
    assert len(lines(*events, verbose=True)) == 12
    assert len(lines(polled(10), polled(11, "almost"), polled(12))) == 3


def ticked(*events: Event, now: float) -> str | None:
    run = Run.of(PLAN)
    for event in (STARTED, *events):
        advance(run, event)
    return going_on(run, EPOCH + now)


def test_every_half_minute_a_line_says_what_goes_on() -> None:
    refused = ev.NotSubmitted(at=EPOCH + 3, job="keyed-1", message="HTTP 429: slow down", wait_s=60.0)
    submitting = ev.Submitting(at=EPOCH + 2, job="keyed-1", attempt=1, key="k")
    passed = Outcome(verdict=Verdict.PASSED)
    assert ticked(now=30.0) == "2 entries wait"
    assert ticked(ACCEPTED, polled(9, done=0, total=1), submitting, refused, now=752.0) == (
        "1 run goes on: a running 0/1, 12m30s; 1 entry waits: HTTP 429: slow down"
    )
    more = ev.Accepted(at=EPOCH + 5, job="keyed-1", runs=tuple(RemoteRun(id=name) for name in "wxyz"))
    assert ticked(ACCEPTED, more, now=65.0) == (
        "5 runs go on: a accepted, 1m03s; search[locale=en] accepted, 1m; search[locale=en] accepted, 1m; 2 more"
    )
    over = ev.RemoteFinished(at=EPOCH + 9, job="plain-1", run="r1", outcomes={"a": passed})
    closed = [ev.EntryClosed(at=EPOCH + 9, entry=name, outcome=passed) for name in ("a", "search[locale=en]")]
    assert ticked(ACCEPTED, over, *closed, now=30.0) is None


def test_a_log_shows_no_secret_and_obeys_no_vendor() -> None:
    message = "bad ⟦secret:TOKEN⟧\n::error::x\x1b[2J ##vso[task.complete]"
    outcome = Outcome(verdict=Verdict.ERROR, cause=Cause.REFUSED, message=message)
    told = lines(ev.EntryClosed(at=EPOCH + 3, entry="a", outcome=outcome))
    assert told == ["[    3.0s] ! a: error: bad *** ::error::x [2J # #vso[task.complete]"]


def test_what_fits_the_console_is_opened() -> None:
    def kind(*, quiet: bool = False, terminal: bool = False) -> type:
        stream = Terminal() if terminal else io.StringIO()
        progress = open_progress(open_console({}, out=stream, err=stream, quiet=quiet), Run.of(PLAN), lambda: EPOCH)
        progress.close()
        return type(progress)

    assert (kind(quiet=True, terminal=True), kind(), kind(terminal=True)) == (Silent, Lines, Table_)


def drawn(plan: Plan, *events: Event, now: float = 65.0) -> str:
    """What a terminal shows after these events, without its colours."""
    run = Run.of(plan)
    terminal = Terminal()
    table = Table_(open_console({}, out=terminal, err=terminal), run, lambda: EPOCH + now)
    try:
        for event in (started(EPOCH, plan), *events):
            advance(run, event)
            table.saw(event, run)
        table._live.refresh()
    finally:
        table.close()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())


def test_a_table_shows_every_entry_with_its_state_and_time() -> None:
    closed = ev.EntryClosed(at=EPOCH + 30, entry="a", outcome=Outcome(verdict=Verdict.PASSED))
    shown = drawn(PLAN, ACCEPTED, closed)
    assert "story  1/2 entries  1m05s" in shown
    assert re.search(r"✓ +a +plain +passed +28s", shown)
    assert re.search(r"· +search\[locale=en\] +keyed +waiting", shown)


def test_a_table_takes_nobodys_text_for_markup() -> None:
    plan = msgspec.structs.replace(PLAN, name="[/red] shop [bold]")
    shown = drawn(
        plan,
        ACCEPTED,
        polled(5, "[/green] ⟦secret:TOKEN⟧"),
        ev.Retrying(at=EPOCH + 6, job="keyed-1", message="[/] ⟦secret:TOKEN⟧", wait_s=1.0),
    )
    assert "[/red] shop [bold]" in shown
    assert "[/green] ***" in shown
    assert "[/] ***" in shown


def test_a_table_passes_no_command_of_a_vendor_on() -> None:
    run, terminal = Run.of(PLAN), Terminal()
    table = Table_(open_console({}, out=terminal, err=terminal), run, lambda: EPOCH)
    word = "in_progress\x1b]0;PWNED\x07\x1b]52;c;cHduZWQ=\x07\x1b[2J"
    try:
        for event in (started(EPOCH, PLAN), ACCEPTED, polled(5, word)):
            advance(run, event)
            table.saw(event, run)
        table._live.refresh()
    finally:
        table.close()
    shown = terminal.getvalue()
    assert "PWNED" in shown
    assert not re.search(r"\x1b[\]P^_]|\x07|\x1b\[2J", shown)


def test_a_table_of_many_entries_shows_those_that_are_open() -> None:
    plan = plan_of(*(entry(f"e{number:03}", "plain") for number in range(100)))
    closed = [
        ev.EntryClosed(at=EPOCH, entry=f"e{number:03}", outcome=Outcome(verdict=Verdict.PASSED)) for number in range(90)
    ]
    shown = drawn(plan, *closed)
    assert all(f"e{number:03}" in shown for number in range(90, 100))
    assert "… and 70 more" in shown


def test_a_job_between_two_states_can_be_drawn() -> None:
    """The table is drawn by a thread of its own, which may look between two assignments."""
    assert state_words(JobState(job=PLAN.jobs[0], entries={}, phase=Phase.RUNNING)) == "running"


def test_times_are_short() -> None:
    assert [clock(seconds) for seconds in (-1, 0, 7.9, 59.9, 60, 125, 3725)] == [
        "0s",
        "0s",
        "7s",
        "59s",
        "1m",
        "2m05s",
        "1h02m05s",
    ]
