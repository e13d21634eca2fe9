"""`cancel`: ends at the vendors what a run still has there, and says what cannot be ended."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.app import files as inputs
from qarunner.app import files as reporting
from qarunner.cli.commands.plan import not_planned, prepared, summary, tell
from qarunner.cli.options import DEFAULT_RUNS
from qarunner.cli.result import counted
from qarunner.diagnostics import choose
from qarunner.engine.flow.driver import Options
from qarunner.engine.flow.shutdown import to_cancel, to_resume
from qarunner.engine.io.journal import PLAN, newest, read
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Phase, advance, fold
from qarunner.errors import PRECEDENCE, ExitCode, UserError
from qarunner.manifest.templates.secret_access import Permissions, refusal
from qarunner.plan.model import as_rehearsal, from_json
from qarunner.vendors.api import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from qarunner.app.session import Settings, Surroundings
    from qarunner.cli.commands.plan import Given
    from qarunner.cli.console import Console
    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.state.run import Run
    from qarunner.plan.model import Plan
    from qarunner.report.summary import Summary


# ---------------------------------------------------------------------------------------------------------------------

# `apply`, `resume` and `report`: the options become settings, and a run begins or goes on.


_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


_ON_INTERRUPT = ("cancel", "detach")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The words on the command line that say how a run is carried out."""

    reports: tuple[str, ...] = ()
    timeout: str | None = None
    poll_interval: str | None = None
    on_interrupt: str = "cancel"
    run_id: str | None = None
    runs_dir: Path = DEFAULT_RUNS
    rehearse: bool = False
    scenario: Path | None = None
    fail_fast: bool = False
    detach: bool = False

    def options(self) -> Options:
        if self.on_interrupt not in _ON_INTERRUPT:
            hint = choose(self.on_interrupt, _ON_INTERRUPT)
            raise UserError(f"--on-interrupt: unknown word {self.on_interrupt!r}", hint=hint)
        return Options(
            poll_interval_s=inputs.duration("--poll-interval", self.poll_interval),
            timeout_s=inputs.duration("--timeout", self.timeout),
            detach_on_interrupt=self.on_interrupt == "detach",
            detach=self.detach,
        )


def apply(console: Console, environ: Mapping[str, str], given: Given, order: Order) -> ExitCode:
    """Everything that can be wrong is looked for before the first request leaves."""
    from qarunner.app.session import (
        Settings,
        connect,
        new_run_id,
        start,
    )

    options, reports = order.options(), reporting.wanted(order.reports)
    run_id = _checked_id(order.run_id) if order.run_id else new_run_id(time.time())
    if order.scenario is not None and not order.rehearse:
        raise UserError("--scenario goes with --rehearse", hint="a scenario tells emulated vendors what to do")
    if order.detach and order.rehearse:
        raise UserError("--detach does not go with --rehearse", hint="the emulated vendors end with this process")
    found, environ = prepared(environ, given)
    tell(console, found)
    plan = found.plan
    with ExitStack() as stack:
        if order.rehearse:
            from qarunner.app.session import rehearse

            environ = {**environ, **stack.enter_context(rehearse(plan, order.scenario))}
            plan = as_rehearsal(plan)
        settings = Settings(
            environ=environ,
            runs_dir=order.runs_dir,
            reports=(*reporting.planned(plan), *reports),
            options=options,
            rehearsal=order.rehearse,
            fail_fast=order.fail_fast,
            env_files=given.env_file,
            allow=given.allow_secret,
        )
        # Before a run is spoken of: without a credential there is none.
        transport = connect(plan, environ, found.secrets)
        for line in not_planned(plan):
            console.note(f"qarunner: {line}")
        for notice in plan.notices:
            console.warn(f"qarunner: note: {notice}")
        console.note(f"{plan.name}: {summary(plan)}; run {run_id}")
        return start(plan, transport, settings, console, run_id)


def _checked_id(run_id: str) -> str:
    if not _RUN_ID.fullmatch(run_id):
        raise UserError(f"{run_id!r} is no run id", hint="letters, digits, dots, dashes and underscores, 100 at most")
    return run_id


def resume(  # noqa: PLR0913  a command and its options, by name
    console: Console,
    environ: Mapping[str, str],
    order: Order,
    *,
    env_files: tuple[Path, ...],
    allow: tuple[str, ...],
    resubmit: tuple[str, ...],
    drop: tuple[str, ...],
    surroundings: Surroundings | None = None,
) -> ExitCode:
    """Goes on with a run from its folder: what was started is waited for, what certainly was not is started."""
    from qarunner.app.session import (
        Settings,
        Surroundings,
        adapters,
        connect,
        go_on,
    )

    options, reports = order.options(), reporting.wanted(order.reports)
    environ = inputs.with_env_files(environ, env_files)
    folder, plan, events = find_real(order.runs_dir, order.run_id)
    run = fold(plan, events)
    decisions = _decisions(run, resubmit, drop)
    advance(run, ev.Resumed(at=run.last_at))
    for job, again in decisions:  # what a person decides opens entries of other vendors, too
        advance(run, ev.Decided(at=run.last_at, job=job, resubmit=again))
    vendors = to_resume(run, adapters(plan))
    settings = Settings(
        environ=environ,
        runs_dir=order.runs_dir,
        reports=(*reporting.planned(plan), *reports),
        options=options,
        env_files=env_files,
        allow=allow,
        surroundings=surroundings or Surroundings(),
    )
    transport = None
    if vendors:
        note_moved(console, {name: url for name, url in run.endpoints.items() if name in vendors}, environ)
        secrets = _secrets(plan, environ, inputs.allowed_secrets(environ, allow))
        transport = connect(plan, environ, secrets, only=vendors)
    console.note(f"{plan.name}: {summary(plan)}; resuming run {folder.name}")
    return go_on(folder, plan, transport, settings, console, lambda _: decisions)


def find_real(runs_dir: Path, run_id: str | None) -> tuple[Path, Plan, list[ev.Event]]:
    """A run of real vendors. UserError for a rehearsal, of which nothing is left to talk to."""
    folder = find_run(runs_dir, run_id)
    plan = read_plan(folder)
    events = read(folder).events
    if plan.rehearsal or (events and isinstance(events[0], ev.RunStarted) and events[0].rehearsal):
        raise UserError(
            f"run {folder.name} was a rehearsal: its emulated vendors are gone", hint="qarunner apply --rehearse again"
        )
    return folder, plan, events


def note_moved(console: Console, urls: Mapping[str, str], environ: Mapping[str, str]) -> None:
    for name, url in urls.items():
        _note_moved(console, name, url, environ)


def _note_moved(console: Console, name: str, url: str, environ: Mapping[str, str]) -> None:
    """A run that is asked for at another address is probably not there: said, since it may be a proxy that moved."""
    from qarunner.vendors import registry

    info = registry.get(name).info
    current = next((environ[variable] for variable in info.url_env if environ.get(variable)), info.base_url)
    if current.rstrip("/") != url:
        console.warn(f"qarunner: warning: {name}'s runs were started at {url}, and are now asked for at {current}")


def _secrets(plan: Plan, environ: Mapping[str, str], allowed: frozenset[str]) -> dict[str, str]:
    """The text of the plan's secrets; each needs its word of permission again, as it is sent again."""
    missing = [name for name in plan.secrets if not environ.get(name)]
    if missing:
        raise UserError(f"not set: {', '.join(missing)}", hint="the run's requests need the secrets it began with")
    permissions = Permissions(allowed)
    refused = [name for name in plan.secrets if not permissions.allows(name)]
    if refused:
        words = " ".join(f"--allow-secret {name}" for name in refused)
        raise UserError(f"nobody allowed the secrets {', '.join(refused)}", hint=f"add {words}")
    for _, name, where in permissions.misdirected(plan.material()):
        message, hint = refusal(permissions, name, where)
        raise UserError(message, hint=hint)
    return {name: environ[name] for name in plan.secrets}


def _decisions(run: Run, resubmit: tuple[str, ...], drop: tuple[str, ...]) -> list[tuple[str, bool]]:
    """What a person decided of each uncertain job. UserError for one that is decided both ways."""
    if resubmit and run.ended is not None and run.ended.reason is ev.Reason.CANCELLED:
        raise UserError("--resubmit: the run was cancelled", hint="qarunner apply starts another one")
    again, left = (_uncertain(run, words, option) for words, option in ((resubmit, "--resubmit"), (drop, "--drop")))
    for job in again:
        if job in left:
            raise UserError(f"{job}: both --resubmit and --drop", hint="decide for one of them")
    return [*((job, True) for job in again), *((job, False) for job in left)]


def _uncertain(run: Run, words: tuple[str, ...], option: str) -> list[str]:
    """Jobs by their own id or by an entry's, each once. UserError for one that is not uncertain."""
    uncertain = [state.job.id for state in run.jobs.values() if _is_uncertain(run, state.job.id)]
    found = []
    for word in words:
        state = run.jobs.get(word) or run.job_of.get(word)
        if state is None or state.job.id not in uncertain:
            hint = f"uncertain are: {', '.join(uncertain)}" if uncertain else "nothing of this run is uncertain"
            raise UserError(f"{option} {word}: not an uncertain job or entry of this run", hint=hint)
        found.append(state.job.id)
    return list(dict.fromkeys(found))


def _is_uncertain(run: Run, job: str) -> bool:
    """Uncertain as written, or about to be found so: a create without its answer at a vendor that has no key."""
    state = run.jobs[job]
    return state.phase is Phase.UNCERTAIN or (state.phase is Phase.SUBMITTING and state.key is None)


def find_run(runs_dir: Path, run_id: str | None) -> Path:
    """The folder of a run. UserError if nobody wrote it down."""
    folder = runs_dir / _checked_id(run_id) if run_id else newest(runs_dir)
    if folder is None or not (folder / PLAN).is_file():
        what = f"no run {run_id} in {runs_dir}" if run_id else f"no run in {runs_dir}"
        there = (
            sorted((path.name for path in runs_dir.iterdir() if path.is_dir()), reverse=True)
            if runs_dir.is_dir()
            else []
        )
        hint = (
            f"there are: {', '.join(there[:5])}" if there else "runs are kept where apply was started; see --runs-dir"
        )
        raise UserError(what, hint=hint)
    return folder


def read_plan(folder: Path) -> Plan:
    try:
        data = (folder / PLAN).read_bytes()
    except OSError as error:
        raise UserError(f"{folder / PLAN}: cannot be read: {error.strerror}") from error
    return from_json(data, path=folder / PLAN)


def report(console: Console, runs_dir: Path, run_id: str | None, *, form: str, out: Path | None) -> ExitCode:
    """Renders a report from what is on disk."""
    from qarunner.report.summary import summarise

    reporting.checked_format(form, "--format")
    folder = find_run(runs_dir, run_id)
    found = summarise(fold(read_plan(folder), read(folder).events))
    if out is None:
        console.result(reporting.render(found, form).rstrip("\n"))
        return ExitCode.OK
    problems = reporting.write(found, (reporting.Wanted(format=form, path=out),))
    if problems:
        raise UserError(problems[0])
    return ExitCode.OK


_UNAUTHORISED = frozenset({401, 403})


_AGAIN = frozenset({408, 429})


_SERVER_ERROR = 500


_SIGINT = 2


def cancel(console: Console, settings: Settings, run_id: str | None) -> ExitCode:
    """Cancels a run from its folder, wherever it was started. What was cancelled before is not asked again."""
    from qarunner.app.session import (
        adapters,
        connect,
        end,
    )

    folder, plan, events = find_real(settings.runs_dir, run_id)
    run = fold(plan, events)
    vendors = to_cancel(run, adapters(plan))
    if run.complete and not vendors:
        return _nothing(console, run)
    transport = None
    if vendors:
        note_moved(console, {name: url for name, url in run.endpoints.items() if name in vendors}, settings.environ)
        allowed = inputs.allowed_secrets(settings.environ, settings.allow)
        values = {name: settings.environ[name] for name in plan.secrets if name in allowed and name in settings.environ}
        transport = connect(plan, settings.environ, values, only=vendors)
    return end(folder, plan, transport, settings, console)


def _nothing(console: Console, run: Run) -> ExitCode:
    parts = ["nothing to cancel", *_running_on(run)]
    console.conclude(f"qarunner: exit {int(ExitCode.OK)}: {'; '.join(parts)}")
    return ExitCode.OK


def cancelled(console: Console, run: Run, summary: Summary, *, stopped: int, refused: Mapping[str, Answer]) -> ExitCode:
    """Says the last line of a cancel, and returns its code: 0 if nothing runs on that could be cancelled."""
    codes = {_code(answer) for answer in refused.values()}
    if run.signal is not None:
        codes.add(ExitCode.INTERRUPTED if run.signal == _SIGINT else ExitCode.TERMINATED)
    if summary.uncertain or any(left.removable for left in summary.left):
        codes.add(ExitCode.NO_VERDICT)
    code = next((each for each in PRECEDENCE if each in codes), ExitCode.OK)
    parts = [f"{counted(stopped, 'run')} cancelled"]
    parts += [f"{counted(len(refused), 'run')} not: the vendor would not, or did not answer"] if refused else []
    parts += [f"{counted(len(summary.uncertain), 'create')} in doubt"] if summary.uncertain else []
    parts += _running_on(run, besides=refused)
    console.conclude(f"qarunner: exit {int(code)}: {'; '.join(parts)}")
    return code


def _code(answer: Answer) -> ExitCode:
    if not isinstance(answer, Reply) or answer.status in _AGAIN or answer.status >= _SERVER_ERROR:
        return ExitCode.UNAVAILABLE
    return ExitCode.CREDENTIAL if answer.status in _UNAUTHORISED else ExitCode.NO_VERDICT


def _running_on(run: Run, *, besides: Iterable[str] = ()) -> Iterator[str]:
    """What nobody can cancel."""
    live = [state.job.vendor for state, remote in run.live_runs() if remote.remote.id not in set(besides)]
    for vendor in dict.fromkeys(live):
        number = live.count(vendor)
        yield f"{counted(number, 'run')} {'goes' if number == 1 else 'go'} on at {vendor}, which cannot cancel"
