"""An apply while it runs: a live table in a terminal, one line for each step elsewhere."""

from __future__ import annotations

import signal
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from qarunner.app.runs import Progress
from qarunner.cli.console import Console, Screen
from qarunner.engine.flow.creates import open_needs
from qarunner.engine.schedule.timing import began_at, time_left
from qarunner.engine.state import events as ev
from qarunner.engine.state.mode import END_S
from qarunner.engine.state.run import JobState, Phase, Remainder, ResourceState, ResourceStatus, Run, RunState
from qarunner.report.summary import WORST_FIRST, live_url, named_leftover, sign_of
from qarunner.text import Line, breaks, cells, cut, duration, fitted, padded, plain, plural, styled
from qarunner.vendors.api import GOOD, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from qarunner.app.runs import Outlook

_IN_HEADER = tuple(map(sign_of, (Verdict.PASSED, Verdict.FAILED, Verdict.ERROR, Verdict.FLAKY, Verdict.SKIPPED)))
_ALL_SHOWN = 20
"""Entries of a plan that scroll by when they end, whatever they end with; of a larger one, those that did not pass."""
_MOST_NAMED = 3
"""So many of the builds that are uploaded are named in a line of a log."""
_LONGEST_MESSAGE = 500
"""Characters of an event in a log: a vendor's text may have millions."""
_UPLOAD_STEP, _UPLOAD_QUIET_S = 10, 10.0


def open_progress(console: Console, run: Run, now: Callable[[], float], outlook: Outlook) -> Progress:
    """What fits the console: nothing, lines, or a live table. `now` gives seconds since the epoch."""
    if console.quiet:
        return Progress()
    return Table(console, run, now, outlook) if console.live else Lines(console, run, now, outlook)


# --- a log ------------------------------------------------------------------------------------------------------------


class Lines(Progress):
    """One line a step, for logs; times count from the start of the apply."""

    def __init__(self, console: Console, run: Run, now: Callable[[], float], outlook: Outlook) -> None:
        self._console = console
        self._began = run.started_at
        self._now = now
        self._outlook = outlook
        self._troubles: dict[tuple[str, str], set[tuple[str, str | None]]] = {}
        """What a vendor answers instead of what it was asked, and which jobs and runs have met it."""
        self._said: dict[str, str] = {}
        """The last reason that the log gave for a create that failed or is in doubt, by job."""
        self._of_resources: set[str] = set()
        """The lines about what is made for creates: each try of it says the same."""
        self._uploads: dict[str, tuple[float, int]] = {}
        console.fold(f"{run.plan.name}: {plural(len(run.plan.entries), 'entry', 'entries')}", now())

    def saw(self, event: ev.Event, run: Run) -> None:
        if not self._console.verbose and not self._is_news(event, run):
            return
        if isinstance(event, ev.EntryClosed):
            self._note(event.at, _closed(event, self._said.get(run.job_of[event.entry].job.id)))
        elif (text := line_of(event, run, self._outlook)) is not None:
            self._note(event.at, text)
        if isinstance(event, ev.CreateFailed | ev.Uncertain):
            self._said[event.job] = event.message

    def _note(self, at: float, text: str) -> None:
        self._console.note(f"[{max(0.0, at - self._began):7.1f}s] {cut(text, _LONGEST_MESSAGE)}")

    def _is_news(self, event: ev.Event, run: Run) -> bool:
        """False for a run that goes on, and for a trouble that is known: every half minute tells of both."""
        match event:
            case ev.Polled():
                for jobs in self._troubles.values():
                    jobs.discard((event.job, event.run))
                return False
            case ev.Retrying() | ev.CreateFailed(wait_s=float()):
                known = self._troubles.setdefault((run.jobs[event.job].job.vendor, event.message), set())
                is_news = not known
                known.add((event.job, event.run if isinstance(event, ev.Retrying) else None))
                return is_news
            case ev.Preparing() | ev.ResourceNotMade() | ev.ResourceFailed():
                line = _resource(event, run)
                is_news = line not in self._of_resources
                self._of_resources.add(line)
                return is_news
            case _:
                return True

    def tick(self, run: Run) -> None:
        """One line about all that goes on: a CI system takes a silent job for dead."""
        now = self._now()
        if (text := going_on(run, now)) is not None:
            self._note(now, text)

    def uploading(self, path: str, sent: int, size: int) -> None:
        """A line each 10 % that took a second, or each 10 s: a small build needs no line, a large one is no flood."""
        now, percent = self._now(), 100 * sent // max(1, size)
        at, before = self._uploads.get(path, (now, 0))
        step = 1 if self._console.verbose else _UPLOAD_STEP
        if sent < size and now - at >= (1.0 if percent - before >= step else _UPLOAD_QUIET_S):
            self._note(now, f"{path}: uploaded {amount(sent, size)}")
            at, before = now, percent
        self._uploads[path] = (at, before)

    def close(self) -> None:
        """Lines stay."""
        self._console.unfold(self._now())


def going_on(run: Run, now: float) -> str | None:
    """`3/9 entries: 2 passed, 1 failed; 4 runs at doksi; slowest: checkout running 0/1, 12m30s; 2 wait: HTTP 429`.

    None if nothing goes on.
    """
    live = sorted(run.active_runs(), key=lambda active: active[1].accepted_at)
    at_work = Counter(state.job.vendor for state, _ in live)
    parts = [f"{plural(number, 'run')} at {vendor}" for vendor, number in sorted(at_work.items())]
    if live:
        state, remote = live[0]
        parts.append(f"slowest: {_entries(state)} {run_words(remote)}, {clock(now - remote.accepted_at)}")
    making = [state for state in run.resources.values() if state.phase is ResourceStatus.PREPARING]
    parts += [f"{'uploading' if state.resource.build else 'making'} {_what(state)}" for state in making[:_MOST_NAMED]]
    if run.complete:
        ready = [state for state in run.resources.values() if state.phase is ResourceStatus.READY]
        parts += [f"removing {_what(state)}" for state in ready if not state.resource.build][:_MOST_NAMED]
    waiting = [state for state in run.jobs.values() if state.phase in _NOT_STARTED and run.open_entries(state)]
    if waiting:
        number = sum(len(run.open_entries(state)) for state in waiting)
        held = holds(run, now)
        reasons = [
            state.message or (held.get(state.job.vendor) if state.phase is Phase.WAITING else None)
            for state in waiting
            if not open_needs(run, state)
        ]
        why = next((f": {reason}" for reason in reasons if reason), "")
        parts.append(f"{plural(number, 'waits', 'wait')}{why}")
    if not parts:
        return None
    counts = Counter(outcome.verdict.words for outcome in run.closed.values())
    closed = ", ".join(f"{counts[verdict.words]} {verdict.words}" for verdict in WORST_FIRST if counts[verdict.words])
    done = f"{len(run.closed)}/{plural(len(run.plan.entries), 'entry', 'entries')}"
    return f"{done}{f': {closed}' if closed else ''}; {'; '.join(parts)}"


_NOT_STARTED = frozenset({Phase.WAITING, Phase.SUBMITTING})


def amount(sent: int, size: int) -> str:
    """`40 % (410 of 1024 MiB)`."""
    return f"{100 * sent // max(1, size)} % ({sent / 2**20:.0f} of {size / 2**20:.0f} MiB)"


def line_of(event: ev.Event, run: Run, outlook: Outlook) -> str | None:  # noqa: C901, PLR0911  one case an event
    match event:
        case ev.Preparing() | ev.ResourceNotMade() | ev.ResourceReady() | ev.ResourceFailed() | ev.ResourceReleased():
            return _resource(event, run)
        case ev.Accepted() | ev.CreateMadeNothing():
            return f"{_entries(run.jobs[event.job])}: {_started(event, run)}"
        case ev.CreateFailed(wait_s=float(wait)):
            return f"{_entries(run.jobs[event.job])}: not started yet: {event.message}; again in {wait:.1f} s"
        case ev.CreateFailed() | ev.Uncertain():
            return f"{_entries(run.jobs[event.job])}: {event.message}"
        case ev.Polled():
            return f"{_entries(run.jobs[event.job])}: {_counted(event.note, event.done, event.total)}"
        case ev.Retrying():
            return f"{_entries(run.jobs[event.job])}: {event.message}; again in {event.wait_s:.1f} s"
        case ev.RunCancelled():
            state = run.jobs[event.job]
            how = "cancelled" if event.message is None else f"could not be cancelled: {event.message}"
            how = "is stopped, or was over: it is read once more" if event.over else how
            return f"{_entries(state)}: {state.job.vendor} run {event.run} {how}"
        case ev.Reattempted():
            why = "its tests failed" if ev.RetryReason.FAILED in event.why else "the vendor's infrastructure failed"
            return f"{_entries(run.jobs[event.job.id])}: attempt {event.attempt}, since {why}"
        case ev.EntryClosed():
            return _closed(event)
        case ev.Interrupted():
            return f"interrupted: {_stopping(run, outlook)}; {_again(event.signal)}"
        case ev.RunStopped():
            return f"{_ENDED_BY[event.reason]}: {_stopping(run, outlook)}"
        case _:
            return None


def _closed(event: ev.EntryClosed, said: str | None = None) -> str:
    """`said` is a reason that the log has already."""
    sign, _ = sign_of(event.outcome.verdict)
    reason = reason_of_outcome(event.outcome)
    verdict = event.outcome.verdict.words
    if reason is None or reason == said:
        return f"{sign} {event.entry}: {verdict}"
    return f"{sign} {event.entry}: {reason if reason.startswith(verdict) else f'{verdict}: {reason}'}"


_ENDED_BY = {ev.Reason.FAIL_FAST: "--fail-fast", ev.Reason.CANCELLED: "qarunner cancel"}


def _stopping(run: Run, outlook: Outlook) -> str:
    """What is cancelled, what goes on, and that nothing begins."""
    live: dict[str, int] = Counter(state.job.vendor for state, _ in run.active_runs())
    detached = outlook.detaches and run.signal is not None
    stopped = [name for name in live if name in outlook.cancellable and not detached]
    rest = [name for name in live if name not in stopped]
    parts = [f"cancelling {_runs_at(live, stopped)} ({END_S:.0f}s at most)"] if stopped else []
    if rest:
        goes = "goes on" if sum(live[name] for name in rest) == 1 else "go on"
        parts.append(f"{_runs_at(live, rest)} {goes if detached else f'cannot be cancelled and {goes}'}")
    return "; ".join([*parts, "nothing new begins"])


def _runs_at(live: Mapping[str, int], vendors: Sequence[str]) -> str:
    *first, last = sorted(vendors)
    names = f"{', '.join(first)} and {last}" if first else last
    return f"{plural(sum(live[name] for name in vendors), 'run')} at {names}"


def _again(number: int) -> str:
    return f"{'Ctrl-C' if number == signal.SIGINT else 'the same signal'} again leaves at once"


def _resource(
    event: ev.Preparing | ev.ResourceNotMade | ev.ResourceReady | ev.ResourceFailed | ev.ResourceReleased, run: Run
) -> str:
    state = run.resources[event.resource]
    build, what = state.resource.build, _what(state)
    match event:
        case ev.Preparing(message=None):
            text = f"{'uploading' if build else 'making'} {what}"
        case ev.Preparing():
            text = f"{event.message}; {'uploading' if build else 'making'} {what} again in {event.wait_s or 0.0:.1f} s"
        case ev.ResourceNotMade(remains=ev.Remains.NOTHING) | ev.ResourceFailed():
            text = event.message
        case ev.ResourceNotMade():
            text = f"{event.message}; {_maybe_left(state, event)}"
        case ev.ResourceReady():
            text = f"ready: {' '.join(dict.fromkeys(map(str, event.values.values())))}"
        case ev.ResourceReleased(message=None):
            text = "removed"
        case _:
            text = "; ".join(f"left at the vendor: {named(left)}: {left.why}" for left in state.left() if left.known)
    return f"{event.resource}: {text}"


def _what(state: ResourceState) -> str:
    build = state.resource.build
    return f"{build.path} ({build.size / 2**20:.1f} MiB)" if build is not None else f"the {state.resource.kind}"


def _maybe_left(state: ResourceState, event: ev.ResourceNotMade) -> str:
    left = [named(leftover) for leftover in state.left() if leftover.why == event.message]
    sure = event.remains is ev.Remains.TAKEN
    return f"{'left' if sure else 'it may be left'} at the vendor: {', '.join(left)}"


def named(left: Remainder) -> str:
    return named_leftover(left.leftover.what, left.leftover.details)


def _entries(state: JobState) -> str:
    first, *rest = state.job.entries
    return f"{first} (+{len(rest)})" if rest else first


def _started(event: ev.Accepted | ev.CreateMadeNothing, run: Run) -> str:
    if isinstance(event, ev.CreateMadeNothing):
        return f"{run.jobs[event.job].job.vendor} has no run of it to wait for"
    vendor = run.jobs[event.job].job.vendor
    runs = (f"{vendor} run {remote.id} {live_url(run, remote.url) or ''}".rstrip() for remote in event.runs)
    return f"started {' and '.join(runs)}"


# --- a terminal -------------------------------------------------------------------------------------------------------


class _Row(Struct, frozen=True, kw_only=True):
    """An entry that is not closed. `late_s`: seconds beyond its usual end; None while it waits."""

    entry: str
    vendor: str
    state: str
    time: str
    note: str
    late_s: float | None
    colour: str


class Table(Progress):
    """What goes on, drawn in place at the lower end of the terminal; what has ended scrolls by above it."""

    every_s = 0.25

    def __init__(
        self,
        console: Console,
        run: Run,
        now: Callable[[], float],
        outlook: Outlook,
        screen: Screen | None = None,
    ) -> None:
        self._console = console
        self._now = now
        self._outlook = outlook
        self._retries: dict[tuple[str, str | None], float] = {}
        """When a request of a job, or of one of its runs, is repeated."""
        self._uploads: dict[str, tuple[int, int]] = {}
        self._stopped_at = 0.0
        self._fitted: Fit = partial(fitted, mark=console.ellipsis)
        self._screen = screen or Screen(console.err)
        console.screen = self._screen
        self.tick(run)

    def saw(self, event: ev.Event, run: Run) -> None:
        match event:
            case ev.Retrying() | ev.CreateFailed(wait_s=float()):
                self._retries[event.job, getattr(event, "run", None)] = event.at + (event.wait_s or 0.0)
            case ev.EntryClosed():
                self._ended(event, run)
            case ev.Interrupted() | ev.RunStopped():
                self._stopped_at = event.at
                self._console.warn(styled(str(line_of(event, run, self._outlook)), "yellow"))
            case _ if self._console.verbose and (text := line_of(event, run, self._outlook)) is not None:
                self._console.note(text)
            case _:
                return
        self.tick(run)

    def uploading(self, path: str, sent: int, size: int) -> None:
        self._uploads[path] = (sent, size)

    def tick(self, run: Run) -> None:
        columns, rows = self._screen.size()
        # A third of the window is for what scrolls by: a failure that left it at once is not seen.
        lines = self._frame(run, columns - 1, max(2, rows * 2 // 3))
        self._screen.draw([(self._console.drawn(line), cells(plain(line))) for line in lines])

    def close(self) -> None:
        self._screen.clear()
        self._console.screen = None

    # --- what has ended -----------------------------------------------------------------------------------------------

    def _ended(self, event: ev.EntryClosed, run: Run) -> None:
        """A line, with a link below, that stays in the terminal."""
        outcome, state = event.outcome, run.job_of[event.entry]
        stopped = outcome.verdict is Verdict.CANCELLED and bool(self._stopped_at)
        if stopped or (outcome.verdict in GOOD and len(run.plan.entries) > _ALL_SHOWN):
            return
        sign, colour = sign_of(outcome.verdict)
        took = f"  {clock(event.at - began)}" if (began := began_at(state)) is not None else ""
        reason = reason_of_outcome(outcome)
        text = f"{event.entry}  {state.job.vendor}  {outcome.verdict.words}{took}{f': {reason}' if reason else ''}"
        mark, columns = self._console.ellipsis, self._screen.size()[0]
        # Two rows: the second one holds what a reason has to say.
        text = f" {self._fitted(self._console.safe(text), 2 * columns - 5)}"
        gaps = breaks(f"{sign}{text}", columns - cells(mark))
        text = text if len(gaps) <= 1 else text[: gaps[1][0] - len(sign)] + mark
        self._console.warn((styled(sign, colour), text))
        url = live_url(run, link_of(state, outcome))
        if url is not None and outcome.verdict not in GOOD:
            self._console.warn(styled(f"  {url}", "dim"))

    # --- what goes on -------------------------------------------------------------------------------------------------

    def _frame(self, run: Run, columns: int, most: int) -> list[Line]:
        now = self._now()
        going, waiting = self._rows(run, now)
        room = most - 1 - (run.signal is not None)
        rows = [*going, *waiting]
        held = holds(run, now)
        why = "; ".join(dict.fromkeys(held[row.vendor] for row in waiting if not row.note and row.vendor in held))
        if len(rows) + bool(why) > room:
            rows = rows[: max(0, room - 1)]
        lines = [self._header(run, now, columns), *_table(rows, columns, self._fitted)]
        hidden_going, hidden_waiting = max(0, len(going) - len(rows)), len(waiting) - max(0, len(rows) - len(going))
        if hidden_going or hidden_waiting or why:
            parts = [f"{hidden_going} more running"] if hidden_going else []
            parts += [f"{hidden_waiting} waiting"] if hidden_waiting else []
            text = "; ".join(part for part in (", ".join(parts), why) if part)
            lines.append(styled(self._fitted(self._console.safe(f"   … {text}"), columns), "dim"))
        if run.signal is not None:
            lines.append(styled(self._fitted(f"   {self._stopping(run, now)}", columns), "yellow"))
        return lines

    def _stopping(self, run: Run, now: float) -> str:
        return f"stopping: {clock(self._stopped_at + END_S - now + 0.999)} at most; {_again(run.signal or 0)}"

    def _header(self, run: Run, now: float, columns: int) -> Line:
        """`shop  173/200  ✓ 160  ✗ 9  ↻ 1   47s of about 1m10s`, the name cut where it does not fit."""
        counts = Counter(sign_of(outcome.verdict) for outcome in run.closed.values())
        pieces = [
            styled(f"  {sign} {counts[sign, colour]}", colour) for sign, colour in _IN_HEADER if counts[sign, colour]
        ]
        left = time_left(run, self._outlook.durations, now)
        elapsed = now - run.started_at
        about = "" if left.unknown else f" of about {duration(round(elapsed + left.seconds))}"
        time = f"   {clock(elapsed)}{about}"
        done = f"  {len(run.closed)}/{len(run.plan.entries)}"
        taken = sum(cells(piece.text) for piece in pieces)
        if taken + cells(done + time) > columns - _SHORTEST_NAME:
            time = f"   {clock(elapsed)}"
        room = columns - taken - cells(done + time)
        name = self._fitted(self._console.safe(run.plan.name), room, middle=True) if room >= _LEAST_NAME else ""
        return (styled(name, "bold"), done if name else done.strip(), *pieces, time)

    def _rows(self, run: Run, now: float) -> tuple[list[_Row], list[_Row]]:
        """Entries that are at work, the overdue first, and those that wait, in their order."""
        going: list[tuple[float, _Row]] = []
        waiting: list[_Row] = []
        for entry in run.plan.entries:
            if entry.id in run.closed:
                continue
            state = run.job_of[entry.id]
            row = self._row(run, entry.id, state, now)
            if row.late_s is None:
                waiting.append(row)
            else:
                going.append((row.late_s, row))
        going.sort(key=lambda late: -late[0])
        return [row for _, row in going], waiting

    def _row(self, run: Run, entry: str, state: JobState, now: float) -> _Row:
        safe = self._console.safe
        began = began_at(state)
        upload = self._uploading(run, state)
        usual = self._outlook.durations.known_s(state)
        age = now - began if began is not None else 0.0
        late = age - self._outlook.durations.expected(state).median_s if began is not None else 0.0
        attempt = f"attempt {state.attempt}: " if state.attempt > 1 and state.why else ""
        overdue = began is not None and usual is not None and age > usual
        at_work = began is not None or upload is not None or state.phase is not Phase.WAITING
        note = trouble_of(state)
        if note is not None and (at := self._retry_at(state)) is not None and at > now:
            note = f"{note}; again in {clock(at - now + 0.999)}"
        time = "" if began is None else clock(age)
        return _Row(
            entry=safe(entry),
            vendor=safe(state.job.vendor),
            state=safe(attempt + (upload or entry_words(entry, state))),
            time=f"{time} of {duration(round(usual))}" if time and usual is not None else time,
            note=safe(note or waits_for(run, state) or ""),
            late_s=late if at_work else None,
            colour="yellow" if overdue or note else "cyan" if at_work else "dim",
        )

    def _retry_at(self, state: JobState) -> float | None:
        names: list[tuple[str, str | None]] = [
            (state.job.id, remote.remote.id) for remote in state.runs.values() if remote.trouble is not None
        ]
        times = [self._retries[name] for name in (names or [(state.job.id, None)]) if name in self._retries]
        return min(times, default=None)

    def _uploading(self, run: Run, state: JobState) -> str | None:
        """How far the build is that a job waits for, or what is made for it."""
        for name in state.job.uses.values():
            resource = run.resources[name]
            if resource.phase is not ResourceStatus.PREPARING:
                continue
            build = resource.resource.build
            if build is None:
                return f"making the {resource.resource.kind}"
            return f"uploading {amount(*self._uploads.get(build.path, (0, build.size)))}"
        return None


def _table(rows: Sequence[_Row], columns: int, fitted: Fit) -> Iterator[Line]:
    """Vendors, states and times are whole; ids lose their middle, and notes their end."""
    if not rows:
        return
    vendor, state, time = (max(cells(getattr(row, name)) for row in rows) for name in ("vendor", "state", "time"))
    for shorter in (lambda text: text.partition(" ")[0], lambda _: ""):  # the usual time is a nicety, and then any time
        if time and columns - (_MARK + vendor + state + time + 3 * _GAP) < _SHORTEST_ID:
            rows = [replace(row, time=shorter(row.time)) for row in rows]
            time = max(cells(row.time) for row in rows)
    room = columns - (_MARK + vendor + state + time + (3 if time else 2) * _GAP)
    note = min(max(cells(row.note) for row in rows), max(0, room - _SHORTEST_ID - _GAP))
    entry = max(1, min(max(cells(row.entry) for row in rows), room - (note + _GAP if note else 0)))
    for row in rows:
        parts = [
            padded(fitted(row.entry, entry, middle=True), entry),
            padded(row.vendor, vendor),
            padded(row.state, state),
        ]
        parts += [padded(row.time, time, right=True)] if time else []
        left = columns - _MARK - sum(map(cells, parts)) - _GAP * len(parts)
        end = (styled("  " + fitted(row.note, left), "yellow"),) if row.note and left >= _SHORTEST_NOTE else ()
        line = fitted("  ".join(parts), columns - _MARK)
        yield (styled("·", row.colour), " ", line if row.late_s is not None else styled(line, "dim"), *end)


Fit: TypeAlias = "Callable[..., str]"
"""`fitted`, with the mark that the terminal has for what is cut."""
_MARK, _GAP = 2, 2
_SHORTEST_ID, _SHORTEST_NOTE, _SHORTEST_NAME, _LEAST_NAME = 12, 8, 8, 5
"""Columns."""


# --- the words for where something stands -----------------------------------------------------------------------------


def entry_words(entry: str, state: JobState) -> str:
    """Where an entry stands, with the number of its tests that are over."""
    remote = next((run for run in state.runs.values() if run.active), None) or next(iter(state.runs.values()), None)
    if state.phase is not Phase.RUNNING or remote is None:
        return str(state.phase)
    is_alone = len(state.job.entries) == 1
    return _counted(remote.note, *((remote.done, remote.total) if is_alone else remote.entries.get(entry, (0, 0))))


def _counted(note: str, done: int | None, total: int | None) -> str:
    """A vendor's word with how many tests are over, where that is known."""
    return f"{note} {done}/{total}" if total else note


def trouble_of(state: JobState) -> str | None:
    """Why the vendor cannot be asked just now, or has not taken the create yet."""
    return next((run.trouble for run in state.runs.values() if run.trouble is not None), None) or state.message


def waits_for(run: Run, state: JobState) -> str | None:
    needs = open_needs(run, state) if state.phase is Phase.WAITING else []
    return f"waits for {', '.join(needs)}" if needs else None


def holds(run: Run, now: float) -> dict[str, str]:
    """Why no further create leaves, by the vendor: as many as may be are under way, or have left in its span of time.

    Applies that share a vendor's limits may hold it back as well; nothing of them is known here.
    """
    busy, recent = Counter[str](), Counter[str]()
    for state in run.jobs.values():
        vendor, began = state.job.vendor, began_at(state)
        rate = run.plan.vendors[vendor].creates
        busy[vendor] += state.phase in {Phase.SUBMITTING, Phase.RUNNING}
        recent[vendor] += rate is not None and began is not None and now - began < rate.per_s
    reasons = dict[str, str]()
    for vendor, plan in run.plan.vendors.items():
        if busy[vendor] >= plan.max_in_flight:
            reasons[vendor] = f"at most {plan.max_in_flight} at a time at {vendor}"
        elif (rate := plan.creates) is not None and recent[vendor] >= rate.count:
            reasons[vendor] = f"{vendor} takes {plural(rate.count, 'create')} in {duration(rate.per_s)}"
    return reasons


def run_words(remote: RunState) -> str:
    """The state of a run in the vendor's words, or why it cannot be read."""
    return remote.trouble if remote.trouble is not None else _counted(remote.note, remote.done, remote.total)


def reason_of_outcome(outcome: Outcome) -> str | None:
    """Why an entry did not pass."""
    return None if outcome.verdict in GOOD else outcome.reason


def link_of(state: JobState, outcome: Outcome) -> str | None:
    """Where a person looks first."""
    bad = (case.url for case in outcome.cases if case.verdict not in GOOD and case.url)
    return outcome.url or next(bad, None) or next((run.remote.url for run in state.runs.values()), None)


def clock(seconds: float) -> str:
    """A duration that goes on: whole seconds."""
    return duration(max(0, int(seconds)))
