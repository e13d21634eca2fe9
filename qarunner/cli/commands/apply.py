"""`apply`, `resume` and `cancel`: what they print, and in which order they ask the use cases."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from qarunner.app import files as inputs
from qarunner.app import reports as reporting
from qarunner.app import saved_plan as saved
from qarunner.app.ci import in_ci, who
from qarunner.app.runs import (
    checked_id,
    find_open_run,
    is_run,
    load,
    remove_run,
)
from qarunner.cli.commands.plan import tell
from qarunner.cli.result import RunObserver
from qarunner.diagnostics import choose
from qarunner.engine.flow.driver import Options
from qarunner.errors import ExitCode, ManifestError, UserError, code_of_signal, decisive_code
from qarunner.manifest.codes import Code
from qarunner.paths import read_regular
from qarunner.plan.model import as_rehearsal, from_json
from qarunner.report.plan import left_out, overview
from qarunner.secret import SEAL_KEY, seal_keys
from qarunner.text import plural
from qarunner.vendors import registry
from qarunner.vendors.api import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from qarunner.app.options import ApplyOptions, CancelOptions, ResumeOptions, RunOptions
    from qarunner.app.runs import StoredRun
    from qarunner.app.session import Cancelled, Surroundings
    from qarunner.cli.console import Console
    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.state.run import Run
    from qarunner.plan.model import Plan
    from qarunner.report.summary import Summary


# ---------------------------------------------------------------------------------------------------------------------

# `apply`, `resume` and `report`: the options become settings, and a run begins or goes on.


_ON_INTERRUPT = ("cancel", "detach")


def engine_options(words: RunOptions, *, detach: bool = False) -> Options:
    if words.on_interrupt not in _ON_INTERRUPT:
        hint = choose(words.on_interrupt, _ON_INTERRUPT)
        raise UserError(f"--on-interrupt: unknown word {words.on_interrupt!r}", hint=hint)
    return Options(
        poll_interval_s=inputs.duration("--poll-interval", words.poll_interval),
        timeout_s=inputs.duration("--timeout", words.timeout),
        detach_on_interrupt=words.on_interrupt == "detach",
        detach=detach,
    )


def _check(words: ApplyOptions) -> None:
    """UserError for words that make no sense together."""
    if words.scenario is not None and not words.rehearse:
        raise UserError("--scenario goes with --rehearse", hint="a scenario tells emulated vendors what to do")
    if words.continues and words.run_id is None:
        raise UserError("--continue goes with --run-id", hint="an id that is the same when the job is repeated")


def apply(console: Console, environ: Mapping[str, str], words: ApplyOptions) -> ExitCode:
    """Everything that can be wrong is looked for before the first request leaves."""
    from qarunner.app.session import Decisions, RunSettings, connect, new_run_id, start
    from qarunner.app.session import resume as go_on

    named = reporting.targets_of(words.report, words.runs_dir, environ)
    _claim(console, named, words, environ)
    try:
        options = engine_options(words, detach=words.detach)
        _check(words)
        run_id = checked_id(words.run_id) if words.run_id else new_run_id(time.time())
        earlier = _run_to_continue(words, run_id) if words.continues else None
        result = saved.plan_of(words, environ, hide=console.hide, like=earlier.plan if earlier else None)
    except UserError as error:
        _claim_for_nothing(words, environ)
        if words.rehearse and isinstance(error, ManifestError):
            raise _for_a_rehearsal(error) from error
        raise
    tell(console, result)
    plan, environ = result.plan, result.environ
    of_manifest = reporting.planned(plan)
    reports = reporting.apart((*of_manifest, *named))
    _claim(console, of_manifest, words, environ)
    _refuse_unsealed_shard(plan, environ)
    settings = RunSettings(
        environ=environ,
        runs_dir=words.runs_dir,
        reports=named,
        options=options,
        fail_fast=words.fail_fast,
        env_files=words.env_file,
        allow=words.allow_secret,
        unsealed=words.unsealed,
        unverified=result.unverified,
        real_environ=environ,
    )
    if earlier is not None:
        _refuse_other_plan(earlier, plan)
        return go_on(earlier.folder, settings, RunObserver(console), Decisions(), anew=result.secrets)
    with ExitStack() as stack:
        if words.rehearse:
            from qarunner.app.session import rehearse

            rehearsal = stack.enter_context(rehearse(plan, result.secrets, scenario=words.scenario))
            environ, plan = {**environ, **rehearsal.environ}, as_rehearsal(plan)
            settings = replace(settings, rehearsal=rehearsal)
        settings = replace(settings, environ=environ, reports=reports)
        # Before a run is spoken of: without a credential there is none.
        transport = connect(plan, environ, result.secrets, allowed=settings.allowed)
        for line in left_out(plan):
            console.note(f"qarunner: {line}")
        for notice in plan.notices:
            console.warn(f"qarunner: note: {notice}")
        if words.continues:
            _note_lost_folder(console, environ, words.runs_dir / run_id)
        console.note(f"{plan.name}: {overview(plan)}; run {run_id}")
        return start(plan, transport, settings, RunObserver(console), run_id)


def _run_to_continue(words: ApplyOptions, run_id: str) -> StoredRun | None:
    """The run of this id; None if there is none yet. A rehearsal has nothing to go on with: it makes room."""
    folder = words.runs_dir / run_id
    if not is_run(folder):
        return None
    stored = load(folder)
    if stored.rehearsal and words.rehearse:
        remove_run(folder)
        return None
    if stored.rehearsal or words.rehearse:
        what = ("a rehearsal", "is none") if stored.rehearsal else ("no rehearsal", "is one")
        raise UserError(f"run {run_id} was {what[0]}, and this {what[1]}", hint="name another --run-id")
    return stored


def _note_lost_folder(console: Console, environ: Mapping[str, str], folder: Path) -> None:
    """A repeated job without its folder cannot know what an earlier attempt has started."""
    me = who(environ)
    if me is not None and (me.attempt or 1) > 1:
        console.warn(
            f"qarunner: warning: attempt {me.attempt} of this CI job, and no run {folder.name} is in {folder.parent}: "
            "what an earlier attempt has started is started again"
        )


def _refuse_other_plan(earlier: StoredRun, plan: Plan) -> None:
    """UserError if a run that is to be continued would do something else than this plan says."""
    moved = [change for change in saved.facts_that_differ(earlier.plan, plan) if change.startswith("git.")]
    changed = saved.differences(earlier.plan, plan) or moved
    if changed:
        raise UserError(
            f"run {earlier.folder.name} has another plan, and is not continued: {'; '.join(changed)}",
            hint="name another --run-id for a run of this plan",
        )


def _claim(
    console: Console, reports: Sequence[reporting.ReportTarget], words: ApplyOptions, environ: Mapping[str, str]
) -> None:
    for warning in reporting.claim(reports, words.runs_dir, environ):
        console.warn(f"qarunner: warning: {warning}")


def _for_a_rehearsal(error: ManifestError) -> ManifestError:
    """The same problems. A lock can be had without an account as well, from the vendors of a scenario."""
    more = "; without an account, run it where the variables are set that `qarunner emulator` prints"
    return ManifestError(
        [
            replace(problem, hint=f"{problem.hint}{more}") if problem.code == Code.NOT_LOCKED else problem
            for problem in error.diagnostics
        ]
    )


def _claim_for_nothing(words: ApplyOptions, environ: Mapping[str, str]) -> None:
    """An apply that ends before it begins removes the reports of an earlier run where its reports would have been."""
    from qarunner.app.planning import check_manifest

    with suppress(UserError, OSError):
        path = inputs.find_manifest(words.file)
        if saved.is_saved(path):
            reports = reporting.planned(from_json(read_regular(path), path=path))
        else:
            reports = reporting.beside(path.as_posix(), check_manifest(path, environ).manifest.reports)
        reporting.claim(reports, words.runs_dir, environ)


def _refuse_unsealed_shard(plan: Plan, environ: Mapping[str, str]) -> None:
    """Another job joins the shards. It has no vendor's key, so without a seal key it could not verify them."""
    if plan.shard is None or not in_ci(environ) or seal_keys(environ):
        return
    line = {
        "GITHUB_ACTIONS": f"{SEAL_KEY}: ${{{{ secrets.{SEAL_KEY} }}}}",
        "TF_BUILD": f"{SEAL_KEY}: $({SEAL_KEY})",
    }
    example = next((text for marker, text in line.items() if environ.get(marker)), f"{SEAL_KEY}=…, a secret of the CI")
    raise UserError(
        f"--shard {plan.shard}: {SEAL_KEY} is not set: no job could verify this run and join it with the others",
        hint=f"add to the environment of the jobs that apply and join: {example}   (made by: openssl rand -hex 32)",
    )


def resume(
    console: Console,
    environ: Mapping[str, str],
    words: ResumeOptions,
    surroundings: Surroundings | None = None,
    options: Options | None = None,
) -> ExitCode:
    """Goes on with a run from its folder: what was started is waited for, what certainly was not is started."""
    from qarunner.app.session import Decisions, RunSettings, Surroundings
    from qarunner.app.session import resume as go_on

    named = reporting.targets_of(words.report, words.runs_dir, environ)
    with reporting.refused_leaves_none(named, words.runs_dir, environ):
        settings = RunSettings(
            environ=environ,
            runs_dir=words.runs_dir,
            options=options or engine_options(words),
            reports=named,
            env_files=words.env_file,
            allow=words.allow_secret,
            unsealed=words.unsealed,
            surroundings=surroundings or Surroundings(),
        )
        folder = find_open_run(words.runs_dir, environ, words.run_id)
        return go_on(folder, settings, RunObserver(console), Decisions(resubmit=words.resubmit, drop=words.drop))


_UNAUTHORISED = frozenset({401, 403})


_AGAIN = frozenset({408, 429})


_SERVER_ERROR = 500


def cancel(
    console: Console, environ: Mapping[str, str], words: CancelOptions, surroundings: Surroundings | None = None
) -> ExitCode:
    """Cancels a run from its folder, wherever it was started."""
    from qarunner.app.session import RunSettings, Surroundings
    from qarunner.app.session import cancel as end

    settings = RunSettings(
        environ=environ,
        runs_dir=words.runs_dir,
        env_files=words.env_file,
        allow=words.allow_secret,
        surroundings=surroundings or Surroundings(),
    )
    done = end(find_open_run(words.runs_dir, environ, words.run_id), settings, RunObserver(console))
    return _nothing_to_cancel(console, done.run) if done.summary is None else _cancelled(console, done, done.summary)


def _nothing_to_cancel(console: Console, run: Run) -> ExitCode:
    parts = ["nothing to cancel", *_running_on(run)]
    console.conclude(f"qarunner: exit {int(ExitCode.OK)}: {'; '.join(parts)}")
    return ExitCode.OK


def _cancelled(console: Console, done: Cancelled, summary: Summary) -> ExitCode:
    """Says the last line of a cancel, and returns its code: 0 if nothing runs on that could be cancelled."""
    run, refused = done.run, done.refused
    codes = {_code(answer) for answer in refused.values()}
    if run.signal is not None:
        codes.add(code_of_signal(run.signal))
    if summary.uncertain or any(left.removable for left in summary.left):
        codes.add(ExitCode.NO_VERDICT)
    if run.unrecorded:
        codes.add(ExitCode.NO_VERDICT)
    if any(_can_cancel(vendor) for vendor in _vendors_running_on(run, besides=refused)):
        codes.add(ExitCode.UNAVAILABLE)
    code = decisive_code(codes)
    parts = [f"{plural(done.stopped, 'run')} cancelled"]
    parts += [f"{plural(len(refused), 'run')} not: the vendor would not, or did not answer"] if refused else []
    parts += [f"{plural(len(summary.uncertain), 'create')} in doubt"] if summary.uncertain else []
    parts += _running_on(run, besides=refused)
    parts += ["the journal could not be written"] if run.unrecorded else []
    console.conclude(f"qarunner: exit {int(code)}: {'; '.join(parts)}")
    return code


def _code(answer: Answer) -> ExitCode:
    if not isinstance(answer, Reply) or answer.status in _AGAIN or answer.status >= _SERVER_ERROR:
        return ExitCode.UNAVAILABLE
    return ExitCode.CREDENTIAL if answer.status in _UNAUTHORISED else ExitCode.NO_VERDICT


def _running_on(run: Run, *, besides: Iterable[str] = ()) -> Iterator[str]:
    """Runs that go on, and why."""
    live = _vendors_running_on(run, besides=besides)
    for vendor in dict.fromkeys(live):
        number = live.count(vendor)
        why = "whose answer to the cancel did not come" if _can_cancel(vendor) else "which cannot cancel"
        yield f"{plural(number, 'run')} {'goes' if number == 1 else 'go'} on at {vendor}, {why}"


def _vendors_running_on(run: Run, *, besides: Iterable[str]) -> list[str]:
    """The vendor of each run that goes on."""
    left_out = set(besides)
    return [state.job.vendor for state, remote in run.active_runs() if remote.remote.id not in left_out]


def _can_cancel(vendor: str) -> bool:
    return registry.get(vendor).info.capabilities.cancel
