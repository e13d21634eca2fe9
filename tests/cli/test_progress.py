"""An apply while it runs: lines for logs, a table for terminals, and neither shows a secret or obeys a vendor."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from qarunner.app.runs import Outlook, Progress
from qarunner.cli.console import open_console
from qarunner.cli.progress import Lines, Table, clock, entry_words, going_on, open_progress
from qarunner.engine.schedule.timing import DurationHistory
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import JobState, Phase, Run, advance
from qarunner.plan.model import Rate
from qarunner.vendors.api import Case, Cause, Outcome, RemoteRun, Verdict
from tests.fictional import VENDORS, Backend, entry, plan_of
from tests.worlds import EPOCH, Story, started

if TYPE_CHECKING:
    from qarunner.engine.state.events import Event
    from qarunner.plan.model import Plan

PLAN = plan_of(entry("a", "plain"), entry("search[locale=en]", "keyed"))
KNOWS_NOTHING = Outlook(durations=DurationHistory(PLAN, {}))
STARTED = started(EPOCH, PLAN)
ACCEPTED = ev.Accepted(at=EPOCH + 2, job="plain-1", runs=(RemoteRun(id="r1", url="https://app.test/r1"),))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def begun(plan: Plan) -> Run:
    run = Run.of(plan)
    advance(run, started(EPOCH, plan))
    return run


def lines(*events: Event, verbose: bool = False, outlook: Outlook | None = None) -> list[str]:
    """What a log shows of these events, after the run began and its first job was accepted."""
    err = io.StringIO()
    console = open_console({}, out=io.StringIO(), err=err, verbose=verbose)
    run = begun(PLAN)
    progress = Lines(console, run, lambda: EPOCH, outlook or KNOWS_NOTHING)
    for event in (ACCEPTED, *events):
        advance(run, event)
        progress.saw(event, run)
    progress.close()
    return err.getvalue().splitlines()[1:]


def polled(at: float, note: str = "running", done: int | None = None, total: int | None = None) -> Event:
    return ev.Polled(at=EPOCH + at, job="plain-1", run="r1", note=note, done=done, total=total)


def test_a_large_upload_is_told_of_and_a_small_one_is_not() -> None:
    err, clock_ = io.StringIO(), [EPOCH]
    progress = Lines(open_console({}, out=io.StringIO(), err=err), begun(PLAN), lambda: clock_[0], KNOWS_NOTHING)
    for at, sent in ((0, 1), (0.1, 50), (0.2, 100)):
        clock_[0] = EPOCH + at
        progress.uploading("small.apk", sent << 20, 100 << 20)
    for second in range(60):
        for part in range(10):
            clock_[0] = EPOCH + second + part / 10
            progress.uploading("app.apk", (second * 10 + part) << 20, 600 << 20)
    shown = err.getvalue().splitlines()
    assert len(shown) == 9, shown
    assert shown[0] == "[    6.0s] app.apk: uploaded 10 % (60 of 600 MiB)"
    for second in range(61, 90):
        clock_[0] = EPOCH + second
        progress.uploading("app.apk", 599 << 20, 600 << 20)
    slow = err.getvalue().splitlines()[9:]
    assert len(slow) == 3, slow


def test_a_whole_story_is_told_line_by_line() -> None:
    err = io.StringIO()
    story = Story(plan_of(entry("a", "plain")), VENDORS, Backend()).drive()
    run = begun(story.run.plan)
    progress = Lines(open_console({}, out=io.StringIO(), err=err), run, lambda: EPOCH, KNOWS_NOTHING)
    for event in story.events:
        advance(run, event)
        progress.saw(event, run)
    shown = err.getvalue().splitlines()
    assert shown[0].endswith("s] a: started plain run plain-run-1")
    assert len(shown) == 2, "a run that goes on is no news"
    assert re.fullmatch(r"\[ +\d+\.\ds\] ✓ a: passed", shown[-1])


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            ev.CreateFailed(at=EPOCH + 3, job="keyed-1", message="HTTP 429", wait_s=7.0),
            "[    3.0s] search[locale=en]: not started yet: HTTP 429; again in 7.0 s",
        ),
        (ev.CreateFailed(at=EPOCH + 3, job="keyed-1", message="HTTP 401"), "[    3.0s] search[locale=en]: HTTP 401"),
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


def test_an_interruption_says_what_is_cancelled_and_what_goes_on() -> None:
    keyed = ev.Accepted(at=EPOCH + 2, job="keyed-1", runs=(RemoteRun(id="k1"), RemoteRun(id="k2")))
    stop, term = ev.Interrupted(at=EPOCH + 3, signal=2), ev.Interrupted(at=EPOCH + 3, signal=15)
    able = replace(KNOWS_NOTHING, cancellable=frozenset({"keyed"}))
    assert lines(keyed, stop, outlook=able)[1] == (
        "[    3.0s] interrupted: cancelling 2 runs at keyed (6s at most); 1 run at plain cannot be cancelled and "
        "goes on; nothing new begins; Ctrl-C again leaves at once"
    )
    assert lines(keyed, term, outlook=replace(able, detaches=True))[1] == (
        "[    3.0s] interrupted: 3 runs at keyed and plain go on; nothing new begins; "
        "the same signal again leaves at once"
    )
    ended = ev.RunStopped(at=EPOCH + 3, reason=ev.Reason.FAIL_FAST, entry="a")
    assert lines(ended)[0].startswith("[    3.0s] --fail-fast: 1 run at plain cannot be cancelled")


def test_a_run_that_goes_on_has_no_line_of_its_own() -> None:
    events = [polled(10.0 * number, f"word {number}", number, 12) for number in range(1, 13)]
    assert not lines(*events)
    assert len(lines(*events, verbose=True)) == 12


def test_a_trouble_is_told_once_until_it_is_over() -> None:
    def retry(at: float, run: str = "r1", message: str = "HTTP 502") -> Event:
        return ev.Retrying(at=EPOCH + at, job="plain-1", run=run, message=message, wait_s=8)

    assert len(lines(*(retry(at) for at in range(3, 60, 8)))) == 1
    two = ev.Accepted(at=EPOCH + 2, job="plain-1", runs=(RemoteRun(id="r2"),))
    assert len(lines(two, retry(3), retry(4, "r2"), retry(5, message="HTTP 429"))) == 3
    assert len(lines(retry(3), polled(5), retry(9))) == 2
    assert len(lines(retry(3), retry(9), verbose=True)) == 2


def test_a_reason_is_given_once_and_that_of_a_test_where_the_entry_has_no_other() -> None:
    lost = "the connection was lost"
    case = Case(id="t1", verdict=Verdict.FAILED, message="Button not found")
    shown = lines(
        ev.Uncertain(at=EPOCH, job="plain-1", message=lost),
        ev.EntryClosed(at=EPOCH, entry="a", outcome=Outcome(verdict=Verdict.UNKNOWN, message=lost)),
        ev.EntryClosed(at=EPOCH, entry="search[locale=en]", outcome=Outcome(verdict=Verdict.FAILED, cases=(case,))),
        ev.EntryClosed(at=EPOCH, entry="a", outcome=Outcome(verdict=Verdict.CANCELLED, message="cancelled by b")),
    )
    assert [line.partition("] ")[2] for line in shown] == [
        f"a: {lost}",
        "! a: unknown",
        "✗ search[locale=en]: failed: Button not found",
        "! a: cancelled by b",
    ]


def ticked(*events: Event, now: float) -> str | None:
    run = Run.of(PLAN)
    for event in (STARTED, *events):
        advance(run, event)
    return going_on(run, EPOCH + now)


def test_every_half_minute_a_line_says_what_goes_on() -> None:
    refused = ev.CreateFailed(at=EPOCH + 3, job="keyed-1", message="HTTP 429: slow down", wait_s=60.0)
    submitting = ev.Submitting(at=EPOCH + 2, job="keyed-1", attempt=1, key="k")
    passed = Outcome(verdict=Verdict.PASSED)
    assert ticked(now=30.0) == "0/2 entries; 2 wait"
    assert ticked(ACCEPTED, polled(9, done=0, total=1), submitting, refused, now=752.0) == (
        "0/2 entries; 1 run at plain; slowest: a running 0/1, 12m30s; 1 waits: HTTP 429: slow down"
    )
    more = ev.Accepted(at=EPOCH + 5, job="keyed-1", runs=tuple(RemoteRun(id=name) for name in "wxyz"))
    closed = [ev.EntryClosed(at=EPOCH + 9, entry=name, outcome=passed) for name in ("a", "search[locale=en]")]
    over = ev.RunFinishedRemotely(at=EPOCH + 9, job="plain-1", run="r1", outcomes={"a": passed})
    assert ticked(ACCEPTED, more, over, closed[0], now=65.0) == (
        "1/2 entries: 1 passed; 4 runs at keyed; slowest: search[locale=en] accepted, 1m"
    )
    assert ticked(ACCEPTED, over, *closed, now=30.0) is None


@pytest.mark.parametrize(
    ("limits", "now", "why"),
    [
        ({"creates": Rate(count=1, per_s=60)}, 30.0, ": plain takes 1 create in 1m"),
        ({"creates": Rate(count=1, per_s=60)}, 90.0, ""),
        ({"creates": Rate(count=2, per_s=60)}, 30.0, ""),
        ({"max_in_flight": 1}, 90.0, ": at most 1 at a time at plain"),
    ],
)
def test_who_waits_for_a_limit_hears_which(limits: dict[str, Any], now: float, why: str) -> None:
    plan = plan_of(entry("a", "plain"), entry("b", "plain"), entry("c", "plain", needs=("a",)), **limits)
    run = begun(plan)
    advance(run, ACCEPTED)
    line = going_on(run, EPOCH + now)
    assert line is not None
    assert line.partition("2 wait")[2] == why


@pytest.mark.parametrize(
    ("environ", "first", "last"),
    [
        ({"GITHUB_ACTIONS": "true"}, "::group::story: 2 entries", "::endgroup::"),
        (
            {"GITLAB_CI": "true"},
            f"\x1b[0Ksection_start:{int(EPOCH)}:qarunner[collapsed=true]\r\x1b[0Kstory: 2 entries",
            f"\x1b[0Ksection_end:{int(EPOCH)}:qarunner\r\x1b[0K",
        ),
        ({"TF_BUILD": "True"}, "##[group]story: 2 entries", "##[endgroup]"),
    ],
)
def test_a_log_is_folded_where_the_host_can(environ: dict[str, str], first: str, last: str) -> None:
    err = io.StringIO(newline="")
    progress = Lines(
        open_console({**environ, "NO_COLOR": "1"}, out=io.StringIO(), err=err),
        begun(PLAN),
        lambda: EPOCH,
        KNOWS_NOTHING,
    )
    progress.close()
    assert err.getvalue() == f"{first}\n{last}\n"


def test_a_log_shows_no_secret_and_obeys_no_vendor() -> None:
    message = "bad ⟦secret:TOKEN⟧\n::error::x\x1b[2J ##vso[task.complete]"
    outcome = Outcome(verdict=Verdict.ERROR, cause=Cause.REFUSED, message=message)
    shown_lines = lines(ev.EntryClosed(at=EPOCH + 3, entry="a", outcome=outcome))
    assert shown_lines == ["[    3.0s] ! a: error: bad *** ::error::x [2J # #vso[task.complete]"]


def test_what_fits_the_console_is_opened() -> None:
    def kind(*, quiet: bool = False, terminal: bool = False, **environ: str) -> type:
        stream = Terminal() if terminal else io.StringIO()
        console = open_console(environ, out=stream, err=stream, quiet=quiet)
        progress = open_progress(console, begun(PLAN), lambda: EPOCH, KNOWS_NOTHING)
        progress.close()
        return type(progress)

    assert (kind(quiet=True, terminal=True), kind(), kind(terminal=True)) == (Progress, Lines, Table)
    assert (kind(terminal=True, NO_COLOR="1"), kind(terminal=True, TERM="dumb")) == (Table, Lines)


def test_a_job_between_two_states_has_words() -> None:
    assert entry_words("a", JobState(job=PLAN.jobs[0], entries={}, phase=Phase.RUNNING)) == "running"


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
