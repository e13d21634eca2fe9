"""One process at work on one run: credentials are there, the journal is open, and all of it is reported at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from qarunner.app import files as inputs
from qarunner.app import reports as reporting
from qarunner.app.apply.connect import Surroundings, adapters, shared_budgets
from qarunner.app.apply.rehearsal import Rehearsal
from qarunner.app.ci import who
from qarunner.app.history import History
from qarunner.app.options import DEFAULT_RUNS, NextCommand, stored_words
from qarunner.app.runs import Outlook, Progress, Secrets
from qarunner.engine.decide.interpret import Answer
from qarunner.engine.flow.driver import Engine, Options
from qarunner.engine.io.journal import REPORT, Journal
from qarunner.engine.io.seal import RUN_KEY
from qarunner.engine.schedule.timing import DurationHistory
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Phase, Run, advance
from qarunner.errors import ExitCode, JournalLost, Unwritten, UserError
from qarunner.history import durations as history
from qarunner.report.summary import UNVERIFIED, GateFailure, Summary, last_line, summarise
from qarunner.secret import SEAL_KEY
from qarunner.text import Line, plural
from qarunner.vendors.api import Cause, Outcome, Verdict

if TYPE_CHECKING:
    from qarunner.app.planning import PlanResult
    from qarunner.engine.io.shared_rates import SharedRateLimit
    from qarunner.engine.io.transport import Transport
    from qarunner.plan.model import Plan


class Observer(Protocol):
    """The receiver of all that a run says. Only a line of the result can fail: it raises Unwritten."""

    @property
    def as_data(self) -> bool:
        """True if the result is one document for programs."""
        ...

    @property
    def lost(self) -> bool:
        """True if no more of the result can be written."""
        ...

    def hide(self, values: Iterable[str]) -> None:
        """Called with values that no output may show."""
        ...

    def clean(self, text: str) -> str:
        """A text without the values that are hidden."""
        ...

    def planned(self, result: PlanResult) -> None:
        """Called with the plan of an apply: its warnings and remarks come before the run."""
        ...

    def note(self, line: Line) -> None: ...

    def warn(self, line: Line) -> None: ...

    def progress(self, run: Run, now: Callable[[], float], outlook: Outlook) -> Progress: ...

    def result(self, summary: Summary, folder: Path, follow: NextCommand) -> None: ...

    def reports(self, paths: Sequence[Path]) -> None:
        """Where reports are that were written. Unwritten where stdout takes no line."""
        ...

    def left(self, summary: Summary, follow: NextCommand) -> None:
        """What goes on, and what a person has to decide: beside a result that is data."""
        ...

    def detached(self, run: Run, summary: Summary, follow: NextCommand) -> ExitCode: ...

    def parting_words(self, run: Run, follow: NextCommand) -> list[str]:
        """Called by a signal's handler that ends the process: what runs on."""
        ...

    def conclude(self, line: Line, instead: Line) -> bool:
        """The last line. False if the result's stream does not take it; then another stream has got `instead`."""
        ...


class RunSettings(Struct, frozen=True, kw_only=True):
    """What apply and resume share. `reports` are written besides the run's own."""

    environ: Mapping[str, str]
    runs_dir: Path = DEFAULT_RUNS
    reports: tuple[reporting.ReportTarget, ...] = ()
    options: Options = field(default_factory=Options)
    rehearsal: Rehearsal | None = None
    fail_fast: bool = False
    env_files: tuple[Path, ...] = ()
    allow: tuple[str, ...] = ()
    chosen: tuple[str, ...] | None = None
    """The words that chose the plan of an apply."""
    unsealed: bool = False
    """A person said that the folder is theirs, whatever its seal says."""
    unverified: bool = False
    """True if the plan builds on a run that no key could verify."""
    surroundings: Surroundings = field(default_factory=Surroundings)

    @property
    def allowed(self) -> frozenset[str]:
        return inputs.allowed_secrets(self.environ, self.allow)

    @property
    def to_vendors(self) -> Mapping[str, str]:
        """The environment with what leads to the vendors; in a rehearsal, to the emulated ones."""
        return {**self.environ, **self.rehearsal.environ} if self.rehearsal is not None else self.environ

    @property
    def secrets(self) -> Secrets:
        """What runs are sealed and verified with: the keys of emulated vendors seal nothing."""
        lines = inputs.read_env_files(self.env_files)
        return Secrets.of(self.environ, lines, self.allowed)

    def run_key(self) -> bytes:
        """A key by chance, for one run alone."""
        return bytes.fromhex(self.surroundings.token(RUN_KEY))

    def follow(self, run_id: str, plan: Plan) -> NextCommand:
        """The commands that go on with a run. What an apply was typed with is best, else its plan has the words."""
        chosen = self.chosen if self.chosen is not None else stored_words(plan, self.runs_dir)
        return NextCommand(
            run_id=run_id, runs_dir=self.runs_dir, env_files=self.env_files, allow=self.allow, chosen=chosen
        )


class Cancelled(Struct, frozen=True, kw_only=True):
    """What became of a cancel: how many runs it stopped, and the vendors' answers where they refused.

    `summary` is None where nothing was to be cancelled.
    """

    run: Run
    summary: Summary | None = None
    stopped: int = 0
    refused: Mapping[str, Answer] = field(default_factory=dict)


class Session:
    """One process at work on one run."""

    def __init__(
        self, run: Run, journal: Journal, transport: Transport | None, settings: RunSettings, observer: Observer
    ) -> None:
        self.clock = settings.surroundings.clock
        self._run = run
        self._journal = journal
        self._settings = settings
        self._observer = observer
        self._transport = transport
        self._follow = settings.follow(journal.folder.name, run.plan)
        self._next = f"go on: {self._follow.resume()}"
        self._progress: Progress | None = None
        self._engine: Engine | None = None
        self._signal: int | None = None
        self._history = History(settings.runs_dir, settings.environ)

    def after_loss(self, error: JournalLost) -> str:
        """The way out where the journal cannot be written, or is not in its place any more."""
        return f"{error.hint}, then {self._next}"

    def record(self, *events: ev.Event, wait: bool = True) -> None:
        """Disk first, then memory, then the screen. Without `wait`, the journal's `sync` is called before any step."""
        self._journal.append(*events, wait=wait)
        for event in events:
            advance(self._run, event)
            if self._progress is not None:
                self._progress.saw(event, self._run)

    def go_on(self, steps: tuple[ev.Resumed, *tuple[ev.Reattempted, ...]]) -> None:
        """The first lines of a resume. If a person vouches for all that stands before, the first one seals that."""
        resumed, *attempts = steps
        if resumed.unsealed:
            keys = self._settings.secrets.sealing(self._run.plan)
            self._journal.append_sealed(resumed, keys, self._settings.run_key())
            advance(self._run, resumed)
        else:
            self.record(resumed)
        for attempt in attempts:
            self.record(attempt)

    def report_unverified(self, decided: Sequence[object]) -> ExitCode:
        """Tells what the folder says, and writes nothing into it: no key is here, so anybody may have made it."""
        if decided or self._transport is not None:
            raise UserError(f"the run cannot go on: {UNVERIFIED}", hint=f"set {SEAL_KEY} as where the run began")
        self._run.unverified = True
        summary = self._remembered(summarise(self._run))
        problems = self._show_and_write(summary, self._settings.reports)
        if self._observer.as_data:
            self._show(summary)
        return concluded(self._observer, summary, lost=len(problems))

    def decide(self, job: str, *, resubmit: bool) -> None:
        """Writes a person's decision down, after the doubt itself: a lost process may not have written that."""
        at, state = self.clock.wall(), self._run.jobs[job]
        if state.phase is Phase.SUBMITTING:
            self.record(ev.Uncertain(at=at, job=job, message=ev.ANSWER_LOST))
        if not resubmit:
            unknown = Outcome(verdict=Verdict.UNKNOWN, cause=Cause.UNCERTAIN, message=state.message)
            for entry in self._run.open_entries(state):
                self.record(ev.EntryClosed(at=at, entry=entry, outcome=unknown))
        self.record(ev.UncertaintyResolved(at=at, job=job, resubmit=resubmit, who=who(self._settings.environ)))

    def finish(self) -> ExitCode:
        """Drives the run to its end and reports."""
        with self._signals_heeded():
            self._drive()
            left = self._settings.options.detach and self._run.signal is None and self._run.ended is None
            # Only if it is written down that a resume has to wait for the runs.
            if left and not self._run.complete and self._recorded(ev.Detached(at=self.clock.wall())):
                return self._detach()
            return self._report()

    def cancel(self) -> Cancelled:
        """Ends the run for good, as far as the vendors let it be ended."""
        self._next = f"do it again: {self._follow.cancel()}"
        with self._signals_heeded():
            before = self._run.cancelled_runs()
            if self._run.ended is None or self._run.ended.reason is not ev.Reason.CANCELLED:
                me = who(self._settings.environ)
                stopped = ev.RunStopped(at=self.clock.wall(), reason=ev.Reason.CANCELLED, who=me)
                if not self._recorded(stopped):  # a full disk does not prevent a cancel of what is paid for
                    advance(self._run, stopped)
            refused = self._drive()
            summary, _ = self._finished(())
            number = self._run.cancelled_runs() - before
            return Cancelled(run=self._run, summary=summary, stopped=number, refused=refused)

    def _signals_heeded(self) -> contextlib.AbstractContextManager[None]:
        """Until everything is said, what ends the process at once names what runs on."""
        observer, surroundings = self._observer, self._settings.surroundings

        def interrupt(number: int) -> None:
            self._signal = number
            if self._engine is not None:
                self._engine.interrupt(number)

        def farewell() -> list[str]:
            return observer.parting_words(self._run, self._follow)

        to = 2 if observer.as_data else 1
        return surroundings.signals.heeded(interrupt, farewell, now=self.clock.now, to=to)

    def _recorded(self, event: ev.Event) -> bool:
        """True if all could be written down, this event included. A journal that is lost ends nothing else."""
        if not self._run.unrecorded:
            try:
                self.record(event)
            except JournalLost as error:
                self._lose(error)
        return not self._run.unrecorded

    def _lose(self, error: JournalLost) -> None:
        """What happened since then stands nowhere but on the screen, and in reports on other disks. Said once."""
        if self._run.unrecorded:
            return
        self._run.unrecorded = True
        for line in (f"qarunner: error: {error.message}", *error.details, f"hint: {self.after_loss(error)}"):
            self._observer.warn(line)

    def _drive(self) -> Mapping[str, Answer]:
        """Carries the run on, if there is anything to send. Returns the answers to cancels that were refused."""
        transport = self._transport
        if transport is None:
            return {}
        pool = self._settings.surroundings.pool(transport)
        runs = self._journal.folder.parent
        durations = DurationHistory(self._run.plan, history.recall(runs, rehearsal=self._run.rehearsal))
        vendors = adapters(self._run.plan)
        able = frozenset(name for name, adapter in vendors.items() if adapter.info.capabilities.cancel)
        detaches = self._settings.options.detach_on_interrupt
        outlook = Outlook(durations=durations, cancellable=able, detaches=detaches)
        progress = self._observer.progress(self._run, self.clock.wall, outlook)
        engine = Engine(
            run=self._run,
            vendors=vendors,
            record=self.record,
            sync=self._journal.sync,
            pool=pool,
            clock=self.clock,
            options=self._settings.options,
            jitter=self._settings.surroundings.jitter,
            history=durations,
            key_names=transport.key_names,
            shared=self._shared(transport, runs),
            observe=lambda: progress.tick(self._run),
            observe_every_s=progress.every_s,
        )
        self._progress = progress
        transport.watch = progress.uploading
        self._engine = engine
        if self._signal is not None:  # it came before there was anything to end
            engine.interrupt(self._signal)
        try:
            engine.drive()
        except JournalLost as error:
            self._lose(error)
        finally:
            self._engine = None
            self._progress.close()
            self._progress = None
            pool.close()
            # What is lost here makes the next apply's polls less clever, and nothing else.
            with contextlib.suppress(OSError):
                if self._journal.folder.is_dir():
                    history.keep(self._journal.folder, durations.took, rehearsal=self._run.rehearsal)
        return engine.uncancelled

    def _shared(self, transport: Transport, runs: Path) -> Mapping[str, SharedRateLimit]:
        if self._run.rehearsal:  # it has its vendors for itself
            return {}
        plans, environ = self._run.plan.vendors, self._settings.environ
        return shared_budgets(plans, transport, self.clock, runs, environ, self._observer.warn)

    def _detach(self) -> ExitCode:
        """Leaves the runs to a resume; no report is written, since there is no verdict yet."""
        if self._settings.reports:
            self._observer.warn("qarunner: note: there is nothing to report yet; the resume reports")
        return self._observer.detached(self._run, summarise(self._run), self._follow)

    def _report(self) -> ExitCode:
        summary, problems = self._finished(self._settings.reports)
        code = concluded(self._observer, summary, lost=len(problems))
        if code is not summary.exit_code:  # not even the last line could be written
            self._settle(summary, self._settings.reports, ["stdout"])
        return code

    def _finished(self, reports: Sequence[reporting.ReportTarget]) -> tuple[Summary, list[str]]:
        """Shows what goes on before the reports are made, writes them, and then the last line of the journal.

        Returns what the reports say, and what could not be written.
        """
        summary = self._remembered(summarise(self._run))
        targets = self._targets(reports)
        problems = self._show_and_write(summary, targets)
        if self._observer.as_data:
            self._show(unwritten(summary, problems))
        else:
            with contextlib.suppress(Unwritten):  # what was to be read first has said so
                self._observer.reports([target.path for target in targets if target.path.exists()])
        clean = self._observer.clean
        summary = self._settle(summary, reports, [*problems, *(["stdout"] if self._observer.lost else [])])
        if (warning := reporting.add_step_summary(self._settings.environ, summary, clean)) is not None:
            self._observer.warn(f"qarunner: warning: {warning}")
        if self._run.complete and not self._run.unrecorded:
            self._history.keep(summary)
        if self._history.trouble:
            self._observer.warn(f"qarunner: warning: the history {self._history.trouble}")
        return summary, problems

    def _remembered(self, summary: Summary) -> Summary:
        return self._history.about(replace(summary, resume=self._follow.resume(), rerun=self._follow.rerun()))

    def _show_and_write(self, summary: Summary, targets: Sequence[reporting.ReportTarget]) -> list[str]:
        """What people have to know comes first: a CI system may end this process while it writes reports."""
        if self._observer.as_data:
            self._observer.left(summary, self._follow)
        else:
            self._show(summary)
        problems = reporting.write(summary, targets, self._observer.clean)
        for problem in problems:
            self._observer.warn(f"qarunner: error: {problem}")
        return problems

    def _show(self, summary: Summary) -> None:
        try:
            self._observer.result(summary, self._journal.folder, self._follow)
        except Unwritten as error:
            self._observer.warn(f"qarunner: error: {error.message}")
            if not self._observer.as_data:  # else it was said before
                self._observer.left(summary, self._follow)

    def _targets(self, reports: Sequence[reporting.ReportTarget]) -> tuple[reporting.ReportTarget, ...]:
        """Where reports go. A folder that was taken away is not made again: it would be no run."""
        in_folder = reporting.ReportTarget(format="json", path=self._journal.folder / REPORT)
        return (*reports, in_folder) if in_folder.path.parent.is_dir() else tuple(reports)

    def _settle(self, summary: Summary, reports: Sequence[reporting.ReportTarget], lost: Sequence[str]) -> Summary:
        """One end has one code: the journal, each report and the process say the same. `lost` was not written."""
        exit_code, summary = summary.exit_code, unwritten(summary, lost)
        finished = ev.RunFinished(at=self.clock.wall(), exit_code=int(summary.exit_code))
        if not self._run.unrecorded and not self._recorded(finished):
            summary = self._remembered(summarise(self._run))
        if summary.exit_code is not exit_code:  # a device has said what it was given
            again = [target for target in self._targets(reports) if target.path.is_file()]
            reporting.write(summary, again, self._observer.clean)
        return summary


def unwritten(summary: Summary, lost: Sequence[str]) -> Summary:
    """A green run is no green step if something that was asked for could not be written."""
    if not lost or summary.exit_code is not ExitCode.OK:
        return summary
    failure = GateFailure(name="reports", message=f"not written: {'; '.join(lost)}")
    return replace(summary, exit_code=ExitCode.UNWRITTEN, gate=(*summary.gate, failure))


def concluded(observer: Observer, summary: Summary, *, lost: int) -> ExitCode:
    """Says the last line, and returns the code: another one than the summary's only if stdout takes no line.

    `lost` is the number of reports that could not be written.
    """
    reports = f"; {plural(lost, 'report')} not written" if lost else ""
    without = unwritten(summary, ["stdout"])
    instead = last_line(without, f"{reports}; stdout cannot be written")
    return summary.exit_code if observer.conclude(last_line(summary, reports), instead) else without.exit_code
