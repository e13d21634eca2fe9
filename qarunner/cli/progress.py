"""An apply while it runs: a live table in a terminal, one line for each step elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Phase, ResourceStatus
from qarunner.text import cut, duration, plural
from qarunner.vendors.api import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from qarunner.cli.console import Console
    from qarunner.engine.state.run import JobState, Left, ResourceState, Run, RunState

SIGNS = {
    Verdict.PASSED: ("✓", "green"),
    Verdict.FLAKY: ("✓", "yellow"),
    Verdict.FAILED: ("✗", "red"),
    Verdict.BLOCKED: ("✗", "red"),
    Verdict.SKIPPED: ("-", "dim"),
}
OTHER_SIGN = ("!", "yellow")
_MOST_ROWS = 30
_MOST_NAMED = 3
"""So many of the runs that go on are named in a line of a log."""
_LONGEST_MESSAGE = 500
"""Characters of an event in a log: a vendor's text may have millions."""
_UPLOAD_STEP, _UPLOAD_QUIET_S = 10, 10.0


class Progress(Protocol):
    """Is told of every event after it was written down."""

    def saw(self, event: ev.Event, run: Run) -> None: ...

    def uploading(self, path: str, sent: int, size: int) -> None:
        """Is told of each piece of a build that left, in bytes, by the thread that sends it."""
        ...

    def tick(self, run: Run) -> None:
        """Is called every half minute, whether anything has happened or not."""
        ...

    def close(self) -> None: ...


def open_progress(console: Console, run: Run, now: Callable[[], float]) -> Progress:
    """What fits the console: nothing, lines, or a live table. `now` gives seconds since the epoch."""
    if console.quiet:
        return Silent()
    return Table_(console, run, now) if console.live else Lines(console, run.started_at, now)


class Silent:
    def saw(self, event: ev.Event, run: Run) -> None:
        """Nothing is shown."""

    def uploading(self, path: str, sent: int, size: int) -> None:
        """Nothing is shown."""

    def tick(self, run: Run) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """Nothing was opened."""


class Lines:
    """One line a step, for logs; times count from the start of the apply."""

    def __init__(self, console: Console, began: float, now: Callable[[], float]) -> None:
        self._console = console
        self._began = began
        self._now = now
        self._notes: dict[str, str] = {}
        self._uploads: dict[str, tuple[float, int]] = {}

    def saw(self, event: ev.Event, run: Run) -> None:
        if isinstance(event, ev.Polled) and not self._console.verbose and not self._is_news(event):
            return
        text = _line(event, run)
        if text is not None:
            self._console.note(f"[{max(0.0, event.at - run.started_at):7.1f}s] {cut(text, _LONGEST_MESSAGE)}")

    def _is_news(self, event: ev.Polled) -> bool:
        """Another word for a run's state; how far it is stands in the line of every half minute."""
        before, self._notes[event.run] = self._notes.get(event.run), event.note
        return before != event.note

    def tick(self, run: Run) -> None:
        """One line about all that goes on: a CI system takes a silent job for dead."""
        now = self._now()
        if (text := going_on(run, now)) is not None:
            self._console.note(f"[{max(0.0, now - self._began):7.1f}s] {cut(text, _LONGEST_MESSAGE)}")

    def uploading(self, path: str, sent: int, size: int) -> None:
        """A line each 10 % that took a second, or each 10 s: a small build needs none, a large one is no flood."""
        now, percent = self._now(), 100 * sent // max(1, size)
        at, before = self._uploads.get(path, (now, 0))
        step = 1 if self._console.verbose else _UPLOAD_STEP
        if sent < size and now - at >= (1.0 if percent - before >= step else _UPLOAD_QUIET_S):
            told = f"{path}: uploaded {amount(sent, size)}"
            self._console.note(f"[{max(0.0, now - self._began):7.1f}s] {told}")
            at, before = now, percent
        self._uploads[path] = (at, before)

    def close(self) -> None:
        """Lines stay."""


def going_on(run: Run, now: float) -> str | None:
    """`2 runs go on: checkout running 0/1, 12m30s; search queued, 40s; 1 entry waits: HTTP 429`, if anything does."""
    parts = []
    live = sorted(run.live_runs(), key=lambda each: each[1].accepted_at)
    if live:
        named = [
            f"{_entries(state)} {run_words(remote)}, {clock(now - remote.accepted_at)}"
            for state, remote in live[:_MOST_NAMED]
        ]
        named += [f"{len(live) - _MOST_NAMED} more"] if len(live) > _MOST_NAMED else []
        parts.append(f"{plural(len(live), 'run')} {'goes' if len(live) == 1 else 'go'} on: {'; '.join(named)}")
    making = [state for state in run.resources.values() if state.phase is ResourceStatus.PREPARING]
    parts += [f"{'uploading' if state.resource.build else 'making'} {_what(state)}" for state in making[:_MOST_NAMED]]
    waiting = [state for state in run.jobs.values() if state.phase in _NOT_STARTED and run.open_entries(state)]
    if waiting:
        number = sum(len(run.open_entries(state)) for state in waiting)
        why = next((f": {state.message}" for state in waiting if state.message), "")
        parts.append(f"{plural(number, 'entry', 'entries')} {'waits' if number == 1 else 'wait'}{why}")
    return "; ".join(parts) or None


_NOT_STARTED = frozenset({Phase.WAITING, Phase.SUBMITTING})


def amount(sent: int, size: int) -> str:
    """`40 % (410 of 1024 MiB)`."""
    return f"{100 * sent // max(1, size)} % ({sent / 2**20:.0f} of {size / 2**20:.0f} MiB)"


def _line(event: ev.Event, run: Run) -> str | None:  # noqa: C901, PLR0911  one case an event
    match event:
        case ev.Preparing() | ev.ResourceNotMade() | ev.ResourceReady() | ev.ResourceFailed() | ev.ResourceReleased():
            return _resource(event, run)
        case ev.Accepted() | ev.NothingStarted():
            return f"{_entries(run.jobs[event.job])}: {_started(event, run)}"
        case ev.NotSubmitted(wait_s=float(wait)):
            return f"{_entries(run.jobs[event.job])}: not started yet: {event.message}; again in {wait:.1f} s"
        case ev.NotSubmitted() | ev.Uncertain():
            return f"{_entries(run.jobs[event.job])}: {event.message}"
        case ev.Polled():
            done = f" {event.done}/{event.total}" if event.total else ""
            return f"{_entries(run.jobs[event.job])}: {event.note}{done}"
        case ev.Retrying():
            return f"{_entries(run.jobs[event.job])}: {event.message}; again in {event.wait_s:.1f} s"
        case ev.RunCancelled():
            state = run.jobs[event.job]
            how = "cancelled" if event.message is None else f"could not be cancelled: {event.message}"
            how = "is over" if event.over else how
            return f"{_entries(state)}: {state.job.vendor} run {event.run} {how}"
        case ev.Reattempted():
            why = "its tests failed" if ev.Why.FAILED in event.why else "the vendor's infrastructure failed"
            return f"{_entries(run.jobs[event.job.id])}: attempt {event.attempt}, since {why}"
        case ev.EntryClosed():
            sign, _ = SIGNS.get(event.outcome.verdict, OTHER_SIGN)
            why = f": {event.outcome.message}" if event.outcome.message else ""
            return f"{sign} {event.entry}: {str(event.outcome.verdict).replace('_', ' ')}{why}"
        case ev.Interrupted():
            return "interrupted: nothing new begins"
        case _:
            return None


def _resource(
    event: ev.Preparing | ev.ResourceNotMade | ev.ResourceReady | ev.ResourceFailed | ev.ResourceReleased, run: Run
) -> str:
    state = run.resources[event.resource]
    build, what = state.resource.build, _what(state)
    match event:
        case ev.Preparing(message=None):
            told = f"{'uploading' if build else 'making'} {what}"
        case ev.Preparing():
            told = f"{event.message}; {'uploading' if build else 'making'} {what} again in {event.wait_s or 0.0:.1f} s"
        case ev.ResourceNotMade(remains=ev.Remains.NOTHING) | ev.ResourceFailed():
            told = event.message
        case ev.ResourceNotMade():
            told = f"{event.message}; {_maybe_left(state, event)}"
        case ev.ResourceReady():
            told = f"ready: {' '.join(event.values.values())}"
        case ev.ResourceReleased(message=None):
            told = "removed"
        case _:
            told = "; ".join(f"left at the vendor: {named(left)}: {left.why}" for left in state.left() if left.known)
    return f"{event.resource}: {told}"


def _what(state: ResourceState) -> str:
    build = state.resource.build
    return f"{build.path} ({build.size / 2**20:.1f} MiB)" if build is not None else f"the {state.resource.kind}"


def _maybe_left(state: ResourceState, event: ev.ResourceNotMade) -> str:
    left = [named(each) for each in state.left() if each.why == event.message]
    sure = event.remains is ev.Remains.TAKEN
    return f"{'left' if sure else 'it may be left'} at the vendor: {', '.join(left)}"


def named(left: Left) -> str:
    """What stayed at a vendor, by its names there."""
    number = left.leftover.details.get("id")
    return left.leftover.what + (f" (id {number})" if number else "")


def _entries(state: JobState) -> str:
    first, *rest = state.job.entries
    return f"{first} (+{len(rest)})" if rest else first


def _started(event: ev.Accepted | ev.NothingStarted, run: Run) -> str:
    if isinstance(event, ev.NothingStarted):
        return f"{run.jobs[event.job].job.vendor} has no run of it to wait for"
    return f"started {' '.join(_named(event, run))}"


def _named(event: ev.Accepted, run: Run) -> list[str]:
    vendor = run.jobs[event.job].job.vendor
    return [f"{vendor} run {remote.id}" + (f" {remote.url}" if remote.url else "") for remote in event.runs]


class Table_:  # noqa: N801  `Table` is rich's
    """A table that is drawn in place; each entry is a row, and its time goes on between two polls.

    A thread of rich draws it while the engine goes on, so that what it reads may change under its hands.
    """

    def __init__(self, console: Console, run: Run, now: Callable[[], float]) -> None:
        from rich.console import Console as Terminal
        from rich.live import Live

        self._console = console
        self._run = run
        self._now = now
        self._note = ""
        self._uploads: dict[str, tuple[int, int]] = {}
        terminal = Terminal(file=console.err, no_color=not console.colour_err, highlight=False)
        self._live = Live(get_renderable=self._table, console=terminal, refresh_per_second=4, transient=True)
        self._live.start()

    def saw(self, event: ev.Event, run: Run) -> None:
        if isinstance(event, (ev.Retrying, ev.NotSubmitted)):
            self._note = cut(f"{_entries(run.jobs[event.job])}: {event.message}", _LONGEST_MESSAGE)

    def uploading(self, path: str, sent: int, size: int) -> None:
        self._uploads[path] = (sent, size)

    def tick(self, run: Run) -> None:
        """The table tells the time by itself."""

    def close(self) -> None:
        self._live.stop()

    def _table(self) -> Table:
        from rich.markup import escape
        from rich.table import Table

        def safe(text: str) -> str:
            return escape(self._console.safe(text))

        run = self._run
        done = f"{len(run.closed)}/{len(run.plan.entries)} entries"
        title = f"{safe(run.plan.name)}  {done}  {clock(self._now() - run.started_at)}"
        table = Table(box=None, pad_edge=False, title=title, title_justify="left", caption=safe(self._note) or None)
        for heading in ("", "entry", "vendor", "state", "time"):
            table.add_column(heading, justify="right" if heading == "time" else "left", no_wrap=heading == "entry")
        rows = sorted(run.plan.entries, key=lambda entry: entry.id in run.closed)
        for entry in rows[:_MOST_ROWS]:
            sign, colour, state, seconds = self._row(entry.id)
            table.add_row(f"[{colour}]{sign}[/]", safe(entry.id), safe(entry.vendor), safe(state), seconds)
        if len(rows) > _MOST_ROWS:
            table.add_row("", f"… and {len(rows) - _MOST_ROWS} more", "", "", "")
        return table

    def _row(self, entry: str) -> tuple[str, str, str, str]:
        run, state = self._run, self._run.job_of[entry]
        began = min((remote.accepted_at for remote in list(state.runs.values())), default=None)
        outcome = run.closed.get(entry)
        end = run.closed_at.get(entry, self._now())
        seconds = clock(end - began) if began is not None else ""
        if outcome is not None:
            sign, colour = SIGNS.get(outcome.verdict, OTHER_SIGN)
            return sign, colour, str(outcome.verdict).replace("_", " "), seconds
        return "·", "cyan", self._uploading(state) or state_words(state), seconds

    def _uploading(self, state: JobState) -> str | None:
        """How far the build is that a job waits for."""
        for name in state.job.uses.values():
            resource = self._run.resources[name]
            build = resource.resource.build
            if build is not None and resource.phase is ResourceStatus.PREPARING and build.path in self._uploads:
                return f"uploading {amount(*self._uploads[build.path])}"
        return None


def state_words(state: JobState) -> str:
    if state.phase is not Phase.RUNNING:
        return f"{state.phase}: {state.message}" if state.message else str(state.phase)
    remote = next(iter(list(state.runs.values())), None)
    if remote is None:
        return str(state.phase)
    return run_words(remote)


def run_words(remote: RunState) -> str:
    """The state of a run in the vendor's words, or why it cannot be read."""
    if remote.trouble is not None:
        return remote.trouble
    return f"{remote.note} {remote.done}/{remote.total}" if remote.total else remote.note


def clock(seconds: float) -> str:
    """A duration that goes on: whole seconds."""
    return duration(max(0, int(seconds)))
