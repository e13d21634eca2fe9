"""`apply`, `resume` and `cancel`, each from its options to its exit code."""

from __future__ import annotations

import secrets
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from qarunner import __version__
from qarunner.app import files as inputs
from qarunner.app import reports as reporting
from qarunner.app import saved_plan as saved
from qarunner.app.apply.connect import Surroundings, adapters, connect
from qarunner.app.apply.rehearsal import rehearse
from qarunner.app.apply.session import Cancelled, Observer, RunSettings, Session
from qarunner.app.ci import in_ci, read_build, who
from qarunner.app.options import (
    ApplyOptions,
    CancelOptions,
    NextCommand,
    ResumeOptions,
    RunOptions,
    chosen_words,
    stored_words,
)
from qarunner.app.planning import (
    base_url_of,
    check_manifest,
    known_secrets,
    permitted_secrets,
    set_secrets,
    values_of_run,
)
from qarunner.app.runs import (
    checked_id,
    doubt,
    find_open_run,
    is_own_rehearsal,
    is_run,
    load,
    refuse_tracked,
    remove_run,
    reopen,
    uncertain_in,
    verified,
)
from qarunner.engine.decide.attempts import entries_to_retry
from qarunner.engine.flow.driver import Options
from qarunner.engine.flow.shutdown import vendors_to_contact
from qarunner.engine.io.journal import REPORT, Journal
from qarunner.engine.io.seal import Trust
from qarunner.engine.io.workers import SystemClock
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Run, advance, fold
from qarunner.errors import ExitCode, JournalLost, ManifestError, UserError
from qarunner.manifest.codes import Code
from qarunner.paths import read_regular, remove_file, repository_root, working_folder
from qarunner.plan.model import Plan, from_json, seal, to_json
from qarunner.report.plan import left_out, overview
from qarunner.secret import SEAL_KEY, seal_keys
from qarunner.vendors import registry

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping
    from pathlib import Path

    from qarunner.app.runs import StoredRun
    from qarunner.engine.io.transport import Transport


def apply(options: ApplyOptions, environ: Mapping[str, str], observer: Observer) -> ExitCode:
    """Plan, run, wait, report, gate. Everything that can be wrong is looked for before the first request leaves."""
    named = reporting.targets_of(options.report, options.runs_dir, environ, (options.file, *options.env_file))
    with reporting.refused_leaves_none(_of_manifest(options, environ), options.runs_dir, environ):
        # First of all: an apply that is killed while it plans leaves no report of an earlier run either.
        reporting.claim(named, options.runs_dir, environ, observer.warn)
        engine = engine_options(options, detach=options.detach)
        _check(options)
        run_id = checked_id(options.run_id) if options.run_id else new_run_id(SystemClock().wall())
        earlier = _run_to_continue(options, run_id) if options.continues else None
        like = earlier.plan if earlier is not None else None
        with _rehearsed(options):
            result = saved.plan_of(options, environ, hide=observer.hide, like=like)
        observer.planned(result)
        plan, environ = result.plan, result.environ
        of_manifest = reporting.planned(plan)
        reports = reporting.apart((*of_manifest, *named))
        reporting.claim(of_manifest, options.runs_dir, environ, observer.warn)
    _refuse_unsealed_shard(plan, environ)
    settings = RunSettings(
        environ=environ,
        runs_dir=options.runs_dir,
        reports=named,
        options=engine,
        fail_fast=options.fail_fast,
        env_files=options.env_file,
        allow=options.allow_secret,
        chosen=_chosen(options, plan, result.declared_secrets),
        unsealed=options.unsealed,
        unverified=result.unverified,
    )
    if earlier is not None:
        _refuse_other_plan(earlier, plan)
        return go_on(earlier.folder, settings, observer, Decisions(), anew=result.secrets)
    with ExitStack() as stack:
        settings = replace(settings, reports=reports)
        if options.rehearse:
            rehearsal = stack.enter_context(rehearse(plan, result.secrets, scenario=options.scenario))
            settings, plan = replace(settings, rehearsal=rehearsal), seal(plan, rehearsal=True)
        # Before a run is spoken of: without a credential there is no run.
        transport = connect(plan, settings.to_vendors, result.secrets, allowed=settings.allowed)
        _announce(plan, observer)
        if options.continues:
            _note_lost_folder(observer, environ, options.runs_dir / run_id)
        observer.note(f"{plan.name}: {overview(plan)}; run {run_id}")
        return start(plan, transport, settings, observer, run_id)


def _chosen(options: ApplyOptions, plan: Plan, secrets: frozenset[str]) -> tuple[str, ...]:
    """A saved plan has its choices in it; beside it stands what may be read and sent."""
    of_plan = stored_words(plan) if saved.is_saved(options.file) else None
    but = ("rerun_failed",) if of_plan is None else ("rerun_failed", "file")
    words = [*(of_plan or ()), *chosen_words(options, secrets, but=but)]
    words += ["--rehearse"] if options.rehearse else []
    words += ["--scenario", options.scenario.as_posix()] if options.rehearse and options.scenario is not None else []
    return tuple(words)


def start(plan: Plan, transport: Transport, settings: RunSettings, observer: Observer, run_id: str) -> ExitCode:
    """A new run from its plan to its end."""
    begun = ev.RunStarted(
        at=settings.surroundings.clock.wall(),
        version=ev.VERSION,
        run_id=run_id,
        digest=plan.digest,
        tool=__version__,
        endpoints=transport.base_urls,
        rehearsal=settings.rehearsal is not None,
        fail_fast=settings.fail_fast,
        seed=settings.surroundings.token(8),
        who=who(settings.environ),
        allowed=tuple(sorted(settings.allowed)),
        unverified=settings.unverified,
    )
    keys = settings.secrets.sealing(plan)
    folder = settings.runs_dir / run_id
    with Journal.create(folder, to_json(plan), begun, keys, settings.run_key()) as journal:
        if settings.rehearsal is not None:
            with suppress(OSError):  # it can be carried out, and not be resumed
                settings.rehearsal.keep_in(folder)
        return Session(fold(plan, [begun]), journal, transport, settings, observer).finish()


def new_run_id(now: float) -> str:
    """Sorts by time, and no two are the same."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def resume(
    options: ResumeOptions,
    environ: Mapping[str, str],
    observer: Observer,
    surroundings: Surroundings | None = None,
    engine: Options | None = None,
) -> ExitCode:
    """Goes on with a run from its folder: what was started is waited for, what certainly was not is started."""
    named = reporting.targets_of(options.report, options.runs_dir, environ, options.env_file)
    with reporting.refused_leaves_none(named, options.runs_dir, environ):
        settings = RunSettings(
            environ=environ,
            runs_dir=options.runs_dir,
            options=engine or engine_options(options),
            reports=named,
            env_files=options.env_file,
            allow=options.allow_secret,
            unsealed=options.unsealed,
            surroundings=surroundings or Surroundings(),
        )
        folder = find_open_run(options.runs_dir, environ, options.run_id)
        return go_on(folder, settings, observer, Decisions(resubmit=options.resubmit, drop=options.drop))


def go_on(
    folder: Path,
    settings: RunSettings,
    observer: Observer,
    decisions: Decisions,
    *,
    anew: Mapping[str, str] | None = None,
) -> ExitCode:
    """An earlier run from where it stopped. All is decided on what the journal says while this process holds it.

    `anew`: `apply --continue` tries what did not pass once more, with these texts of the plan's secrets.
    """
    refuse_tracked(folder, settings.environ)
    seen = load(folder, settings.secrets).recorded.size if decisions != Decisions() else None
    journal, stored = reopen(folder, settings.secrets)
    observer.hide(reporting.credentials_of(stored.plan, settings.environ))
    with journal, _as_it_was(stored, settings) as its_settings:
        plan = stored.plan
        if seen not in {None, stored.recorded.size}:
            raise UserError(
                f"run {folder.name}: another process went on with it just now, and may have done what was decided",
                hint=f"look at the run again, and decide then: {NextCommand.of(folder).status()}",
            )
        _refuse_copy(stored)
        believed = is_own_rehearsal(stored.run, settings.environ) or verified(stored, unsealed=settings.unsealed)
        inputs.check_paths(plan, repository_root(working_folder()) or working_folder().resolve())
        reports = reporting.apart((*reporting.planned(plan), *settings.reports))
        settings = replace(its_settings, reports=reports)
        reporting.claim(settings.reports, settings.runs_dir, settings.environ, observer.warn)
        if believed:  # a run that nothing vouches for is only read
            remove_file(folder / REPORT)
        steps = _steps(stored, settings, anew=anew is not None)
        ahead = fold(plan, [*stored.recorded.events, *steps])
        decided = decisions.of(ahead)
        transport = _transport_to(_to_resume(ahead, decided), stored, settings, observer, secrets=anew)
        _note_other_commit(stored, settings, observer)
        observer.note(f"{plan.name}: {overview(plan)}; resuming run {folder.name}")
        session = Session(stored.run, journal, transport, settings, observer)
        if not believed:
            return session.report_unverified(decided)
        try:
            session.go_on(steps)
            for job, resubmit in decided:
                session.decide(job, resubmit=resubmit)
        except JournalLost as error:  # nothing has begun, and what runs at vendors goes on
            error.hint = session.after_loss(error)
            raise
        return session.finish()


def cancel(
    options: CancelOptions, environ: Mapping[str, str], observer: Observer, surroundings: Surroundings | None = None
) -> Cancelled:
    """Cancels a run from its folder, wherever it was started. What was cancelled before is not asked again."""
    settings = RunSettings(
        environ=environ,
        runs_dir=options.runs_dir,
        env_files=options.env_file,
        allow=options.allow_secret,
        surroundings=surroundings or Surroundings(),
    )
    folder = find_open_run(options.runs_dir, environ, options.run_id)
    refuse_tracked(folder, environ)
    journal, stored = reopen(folder, settings.secrets, to_cancel=True)
    observer.hide(reporting.credentials_of(stored.plan, settings.environ))
    with journal, _as_it_was(stored, settings) as its_settings:
        if not stored.rehearsal and (why := doubt(stored)) is not None:
            observer.warn(f"qarunner: warning: run {folder.name}: {why}")
        damage = stored.recorded.damage
        if damage is not None:
            stored.run.unrecorded = True
            observer.warn(f"qarunner: warning: {damage.message}; what it has lost may run on")
            observer.warn("hint: restore the file as it was written, and cancel again")
        vendors = vendors_to_contact(stored.run, adapters(stored.plan), for_="cancel")
        if stored.run.complete and not vendors and damage is None:
            return Cancelled(run=stored.run)
        transport = _transport_to(vendors, stored, its_settings, observer, cancels=True)
        return Session(stored.run, journal, transport, its_settings, observer).cancel()


# --- before a run begins ----------------------------------------------------------------------------------------------


def engine_options(words: RunOptions, *, detach: bool = False) -> Options:
    if words.refusal is not None:
        raise words.refusal
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


def _announce(plan: Plan, observer: Observer) -> None:
    """What is not run, and what a vendor's pages say of this plan."""
    for line in left_out(plan):
        observer.note(f"qarunner: {line}")
    for notice in plan.notices:
        observer.warn(f"qarunner: note: {notice}")


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


def _refuse_other_plan(earlier: StoredRun, plan: Plan) -> None:
    """UserError if a run that is to be continued would do something else than this plan says."""
    moved = [change for change in saved.facts_that_differ(earlier.plan, plan) if change.startswith("git.")]
    changed = saved.differences(earlier.plan, plan) or moved
    if changed:
        raise UserError(
            f"run {earlier.folder.name} has another plan, and is not continued: {'; '.join(changed)}",
            hint="name another --run-id for a run of this plan",
        )


@contextmanager
def _rehearsed(options: ApplyOptions) -> Iterator[None]:
    """For a rehearsal, a lock can be had without an account as well, from the vendors of a scenario."""
    try:
        yield
    except ManifestError as error:
        if not options.rehearse:
            raise
        more = "; without an account, run it where the variables are set that `qarunner emulator` prints"
        raise ManifestError(
            [
                replace(problem, hint=f"{problem.hint}{more}") if problem.code == Code.NOT_LOCKED else problem
                for problem in error.diagnostics
            ]
        ) from error


def _of_manifest(options: ApplyOptions, environ: Mapping[str, str]) -> Iterator[reporting.ReportTarget]:
    """The reports that the manifest asks for, as far as they are known without a plan."""
    path = inputs.find_manifest(options.file)
    if saved.is_saved(path):
        yield from reporting.planned(from_json(read_regular(path), path=path))
    else:
        yield from reporting.beside(path.as_posix(), check_manifest(path, environ).manifest.reports)


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


def _note_lost_folder(observer: Observer, environ: Mapping[str, str], folder: Path) -> None:
    """A repeated job without its folder cannot know what an earlier attempt has started."""
    me = who(environ)
    if me is not None and (me.attempt or 1) > 1:
        observer.warn(
            f"qarunner: warning: attempt {me.attempt} of this CI job, and no run {folder.name} is in {folder.parent}: "
            "what an earlier attempt has started is started again"
        )


# --- how an earlier run goes on ---------------------------------------------------------------------------------------


class Decisions(Struct, frozen=True, kw_only=True):
    """What a person says of uncertain creates: jobs by their own id, or by an entry's."""

    resubmit: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def of(self, run: Run) -> list[tuple[str, bool]]:
        """The jobs, and whether each is sent again. UserError for one that is not uncertain, or decided both ways."""
        if self.resubmit and run.ended is not None and run.ended.reason is ev.Reason.CANCELLED:
            raise UserError("--resubmit: the run was cancelled", hint="qarunner apply starts another one")
        again, left = _uncertain(run, self.resubmit, "--resubmit"), _uncertain(run, self.drop, "--drop")
        for job in again:
            if job in left:
                raise UserError(f"{job}: both --resubmit and --drop", hint="decide for one of them")
        return [*((job, True) for job in again), *((job, False) for job in left)]


def _uncertain(run: Run, words: tuple[str, ...], option: str) -> list[str]:
    uncertain = {state.doubt: state for state in uncertain_in(run)}
    jobs = []
    for word in words:
        state = uncertain.get(word) or run.jobs.get(word) or run.job_of.get(word)
        if state is None or state.doubt not in uncertain:
            hint = f"uncertain are: {', '.join(uncertain)}" if uncertain else "nothing of this run is uncertain"
            raise UserError(f"{option} {word}: not an uncertain job or entry of this run", hint=hint)
        if word != state.doubt and any(one.resubmitted for one in run.attempts.get(word, [state])):
            message = f"{option} {word}: it was sent again since, and is in doubt anew"
            raise UserError(message, hint=f"look for that run, too, and then say {option} {state.doubt}")
        jobs.append(state.job.id)
    return list(dict.fromkeys(jobs))


def _steps(stored: StoredRun, settings: RunSettings, *, anew: bool) -> tuple[ev.Resumed, *tuple[ev.Reattempted, ...]]:
    """What a resume writes first. With `anew`, what did not pass gets a new attempt, if the run was over."""
    at, me = settings.surroundings.clock.wall(), who(settings.environ)

    def resumed(again: tuple[str, ...] | None) -> ev.Resumed:
        return ev.Resumed(
            at=at,
            who=me,
            allowed=tuple(sorted(settings.allowed)),
            unsealed=stored.recorded.trust is not Trust.HOLDS and not is_own_rehearsal(stored.run, settings.environ),
            repeated=_is_repeated(stored, me),
            again=again,
        )

    if not anew:
        return (resumed(None),)
    ahead = fold(stored.plan, stored.recorded.events)
    was_over = ahead.exit_code is not None and not ahead.detached
    advance(ahead, resumed(()))
    if not was_over:
        return (resumed(()),)
    waiting, attempts = entries_to_retry(ahead, adapters(stored.plan), at)
    return (resumed(waiting), *attempts)


def _is_repeated(stored: StoredRun, me: ev.Who | None) -> bool:
    """True if an earlier attempt of this CI job may have gone on with the run, in a copy of this folder.

    What this job's attempt before this one left is whole, unless that left the runs to another job.
    """
    if me is None or me.attempt is None:
        return False
    last = [event.who for event in stored.recorded.events if isinstance(event, ev.RunStarted | ev.Resumed)][-1]
    if last is None or last.pipeline != me.pipeline:
        return me.attempt > 1
    before = last.attempt or 1
    follows = not stored.run.detached and last.job == me.job and before == me.attempt - 1
    return me.attempt > before and not follows


def _to_resume(ahead: Run, decided: Iterable[tuple[str, bool]]) -> set[str]:
    """The vendors that are asked for anything once the run goes on; what a person decides opens entries, too."""
    for job, again in decided:
        advance(ahead, ev.UncertaintyResolved(at=ahead.last_at, job=job, resubmit=again))
    return vendors_to_contact(ahead, adapters(ahead.plan), for_="resume")


def _note_other_commit(stored: StoredRun, settings: RunSettings, observer: Observer) -> None:
    """A resume reports results of the plan's commit, whichever is checked out."""
    planned = stored.plan.git.get("sha")
    now = read_build(settings.environ, working_folder()).sha if planned else None
    if planned and now and planned != now:
        name = stored.folder.name
        observer.warn(f"qarunner: warning: run {name} is of commit {planned[:7]}, and this is {now[:7]}")


def _refuse_copy(stored: StoredRun) -> None:
    """Of a run and its copy beside it, each would begin what waits: it would be paid for twice."""
    name = stored.run.run_id
    if stored.folder.name != name:
        raise UserError(f"{stored.folder}: is a copy of run {name}", hint=f"qarunner resume {name}")


def _transport_to(
    vendors: Container[str],
    stored: StoredRun,
    settings: RunSettings,
    observer: Observer,
    *,
    secrets: Mapping[str, str] | None = None,
    cancels: bool = False,
) -> Transport | None:
    """The way to those of a run's vendors that are needed; None if there is nothing to send."""
    plan = stored.plan
    if not any(name in vendors for name in plan.vendors):
        return None
    if secrets is not None:
        return connect(plan, settings.to_vendors, secrets, allowed=settings.allowed, only=vendors)
    values = values_of_run(plan, settings.to_vendors, inputs.read_env_files(settings.env_files), settings.allow)
    environ = values.env
    observer.hide([*reporting.credentials_of(plan, environ), *known_secrets(plan, values).values()])
    for name, url in stored.run.endpoints.items():
        if name in vendors and not stored.rehearsal:
            _note_moved(observer, name, url, environ)
    # A cancel repeats nothing: it needs no secret, and hides all that is set, meant or not.
    known = set_secrets(plan, values) if cancels else permitted_secrets(plan, values)
    return connect(plan, environ, known, allowed=values.allow_secrets, only=vendors, cancels=cancels)


def _note_moved(observer: Observer, name: str, url: str, environ: Mapping[str, str]) -> None:
    """A run that is asked for at another address is probably not there: said, since it may be a proxy that moved."""
    info = registry.get(name).info
    current, _ = base_url_of(info, environ)
    if current.rstrip("/") != url:
        observer.warn(f"qarunner: warning: {name}'s runs were started at {url}, and are now asked for at {current}")


@contextmanager
def _as_it_was(stored: StoredRun, settings: RunSettings) -> Iterator[RunSettings]:
    """The settings for going on with a run: the vendors of a rehearsal stand up again, and no other is asked."""
    if not stored.rehearsal:
        yield settings
        return
    plan = stored.plan
    values = values_of_run(plan, settings.environ, inputs.read_env_files(settings.env_files), settings.allow)
    with rehearse(plan, known_secrets(plan, values), folder=stored.folder) as rehearsal:
        with suppress(OSError):  # on a full disk it can be cancelled all the same
            rehearsal.keep_in(stored.folder)
        yield replace(settings, rehearsal=rehearsal)
