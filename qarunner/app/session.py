"""An apply or a resume in this process: credentials, signals, the engine, and the reports at the end."""

from __future__ import annotations

import contextlib
import errno
import json
import random
import secrets
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from qarunner import __version__
from qarunner.app import files as inputs
from qarunner.app import reports as reporting
from qarunner.app.ci import read_build, who
from qarunner.app.history import History
from qarunner.app.options import DEFAULT_RUNS, NextCommand
from qarunner.app.planning import credential_names, known_secrets, permitted_secrets, values_of_run
from qarunner.app.runs import Secrets, doubt, is_own_rehearsal, refuse_tracked, reopen, uncertain_in, verified
from qarunner.engine.decide.attempts import entries_to_retry
from qarunner.engine.decide.interpret import Answer
from qarunner.engine.flow.driver import Engine, Options
from qarunner.engine.flow.shutdown import vendors_to_contact
from qarunner.engine.io.connection import Endpoint, Network, checked_url
from qarunner.engine.io.journal import REPORT, Journal
from qarunner.engine.io.seal import RUN_KEY, Trust
from qarunner.engine.io.shared_rates import SharedRateLimit, credential_salt
from qarunner.engine.io.transport import Permissions, Transport
from qarunner.engine.io.workers import Clock, Pool, Sender, SystemClock, Workers
from qarunner.engine.schedule.rate_limits import rates_of
from qarunner.engine.schedule.timing import DurationHistory
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Phase, Run, advance, fold
from qarunner.errors import ExitCode, JournalLost, Unwritten, UserError
from qarunner.history import durations as history
from qarunner.paths import PathRefused, read_regular, remove_file, working_folder
from qarunner.plan.model import to_json
from qarunner.report.plan import overview
from qarunner.report.summary import UNVERIFIED, GateFailure, Summary, summarise
from qarunner.secret import SEAL_KEY, Scrubber, placeholder, reveal, secret_names
from qarunner.signals import PROCESS, Signals
from qarunner.text import plural
from qarunner.vendors import registry
from qarunner.vendors.api import Cause, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from qarunner.app.options import EmulatorOptions
    from qarunner.app.runs import StoredRun
    from qarunner.plan.model import Plan, VendorPlan
    from qarunner.text import Line
    from qarunner.vendors.api import Build, Vendor
    from qarunner.vendors.types import Auth, VendorInfo


class Progress(Protocol):
    """Called with every event after the event was written down."""

    @property
    def every_s(self) -> float:
        """Seconds between two ticks."""
        ...

    def saw(self, event: ev.Event, run: Run) -> None: ...

    def uploading(self, path: str, sent: int, size: int) -> None:
        """Called by the sending thread with each piece of a build that left; `sent` and `size` are bytes."""
        ...

    def tick(self, run: Run) -> None:
        """Called by the clock, whether anything has happened or not."""
        ...

    def close(self) -> None: ...


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

    def note(self, line: Line) -> None: ...

    def warn(self, line: Line) -> None: ...

    def progress(
        self,
        run: Run,
        now: Callable[[], float],
        durations: DurationHistory,
        *,
        cancellable: frozenset[str],
        detaches: bool,
    ) -> Progress:
        """`cancellable` are the vendors whose runs can be cancelled; `detaches`: a signal leaves the runs."""
        ...

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


# ---------------------------------------------------------------------------------------------------------------------

# Which folder the applies that use the same credentials count their requests in.


VARIABLE = "QARUNNER_LIMITS_DIR"


OWN = ".limits"


def shared_budgets(
    plans: Mapping[str, VendorPlan],
    transport: Transport,
    clock: Clock,
    runs: Path,
    environ: Mapping[str, str],
    warn: Callable[[str], None],
) -> dict[str, SharedRateLimit]:
    """One for each vendor that has a rate, in the runs folder or in the one that the environment names."""
    # A resume connects to the vendors alone that it still needs.
    limited = {
        name: vendor_plan
        for name, vendor_plan in plans.items()
        if name in transport.base_urls and rates_of(vendor_plan)
    }
    if not limited:
        return {}
    folder = Path(environ.get(VARIABLE) or runs / OWN)

    def uncounted(text: str) -> None:
        warn(f"qarunner: warning: {text}: requests of other applies are not counted")

    try:
        salt = credential_salt(folder)
    except OSError as error:
        uncounted(f"{folder}: {error.strerror}")
        return {}
    paths = {name: folder / f"{name}-{transport.pseudonym(name, salt)}.json" for name in limited}
    return {name: SharedRateLimit(paths[name], vendor_plan, clock, uncounted) for name, vendor_plan in limited.items()}


# ---------------------------------------------------------------------------------------------------------------------

# The emulated vendors, for `apply --rehearse` and `qarunner emulator`; the one place that knows that they exist.


EMULATOR = "emulator.jsonl"
"""What the vendors of a rehearsal were asked, in the run's folder: with it a rehearsal can be resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Emulated vendors at work. `environ` leads every vendor of a plan to them, with keys of their own."""

    environ: Mapping[str, str]
    keep_in: Callable[[Path], None]
    """Called with the run's folder as soon as there is one. OSError if nothing can be written there."""


@contextlib.contextmanager
def rehearse(
    plan: Plan, secrets: Mapping[str, str], *, scenario: Path | None = None, folder: Path | None = None
) -> Iterator[Rehearsal]:
    """Starts the emulator: as a scenario says, or as an earlier one stood that kept its memory in a run's folder.

    `secrets` are the texts of the plan's secrets: the memory has placeholders in their places.
    """
    try:
        from qarunner.emulator import ScenarioError, serve
        from qarunner.emulator.memory import Forgotten, Memory, read_memory
        from qarunner.emulator.scenario import read_text, scenario_of
    except ImportError as error:
        raise _missing(error) from error
    clean = Scrubber(secrets)

    def restore(text: str) -> str:
        """A cancel needs no secret: what is not known stays a placeholder."""
        return reveal(text, {name: secrets.get(name, placeholder(name)) for name in secret_names(text)})

    with contextlib.ExitStack() as stack:
        try:
            if folder is not None:
                memory = read_memory(_kept_by_emulator(folder / EMULATOR), clean, restore)
            else:
                source = read_text(scenario) if scenario else scenario_of(_projects(plan))
                memory = Memory(source, name=str(scenario), clean=clean)
            stack.callback(memory.close)
            running = stack.enter_context(serve(memory=memory))
        except (Forgotten, PathRefused, FileNotFoundError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or error
            raise UserError(
                f"the rehearsal cannot go on, its emulated vendors are gone: {EMULATOR}: {why}",
                hint="qarunner apply --rehearse again",
            ) from error
        except (ScenarioError, OSError) as error:
            raise UserError(f"the emulator cannot start: {error}") from error
        environ = _led_to(plan, running.environ)
        yield Rehearsal(environ=environ, keep_in=lambda folder: memory.keep_in(folder / EMULATOR))


def _projects(plan: Plan) -> Mapping[str, str]:
    named = ((name, vendor_plan.settings.get("project")) for name, vendor_plan in plan.vendors.items())
    return {name: project for name, project in named if isinstance(project, str)}


def _kept_by_emulator(path: Path) -> bytes:
    """The emulator's file in a run's folder, which somebody else may have made. OSError if it is not one."""
    if path.is_symlink():
        raise PathRefused("is a link")
    return read_regular(path)


def _led_to(plan: Plan, emulated: Mapping[str, str]) -> Mapping[str, str]:
    environ = dict(emulated)
    for name, vendor_plan in plan.vendors.items():
        info = registry.get(name).info
        if info.url_env[0] not in environ:
            raise UserError(f"vendor {name!r} has no emulation", hint=f"leave it out: --select '!vendor:{name}'")
        # Whatever variable the manifest names for the key: a real one has no business in a rehearsal.
        environ[vendor_plan.key_env] = environ[info.key_env]
    return environ


@contextlib.contextmanager
def _as_it_was(stored: StoredRun, settings: RunSettings) -> Iterator[RunSettings]:
    """The settings for going on with a run: the vendors of a rehearsal stand up again, and no other is asked."""
    if not stored.rehearsal:
        yield settings
        return
    plan, environ = stored.plan, settings.environ
    values = values_of_run(plan, environ, inputs.read_env_files(settings.env_files), settings.allow)
    with rehearse(plan, known_secrets(plan, values), folder=stored.folder) as rehearsal:
        with contextlib.suppress(OSError):  # on a full disk it can be cancelled all the same
            rehearsal.keep_in(stored.folder)
        yield replace(settings, environ={**environ, **rehearsal.environ}, rehearsal=rehearsal, real_environ=environ)


def run_emulator(options: EmulatorOptions) -> int:
    """Serves until a signal comes."""
    try:
        from qarunner.emulator.__main__ import main
    except ImportError as error:
        raise _missing(error) from error
    settings = ((name, getattr(options, name)) for name in ("scenario", "speed", "port", "host"))
    words = [f"--{name}={value}" for name, value in settings if value is not None]
    return main(words, called="qarunner emulator")


def _missing(error: ImportError) -> UserError:
    """The hint installs it from where this qarunner came from: at an index, its name may belong to somebody else."""
    hint = f"install it: {shlex.join([sys.executable, '-m', 'pip', 'install', *_with_emulator()])}"
    return UserError(f"the emulator is not installed ({error.name} is missing)", hint=hint)


def _with_emulator() -> list[str]:
    """What pip has to be given (direct_url.json says where a distribution came from: PEP 610)."""
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.request import url2pathname

    try:
        origin = json.loads(distribution("qarunner").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    url = origin.get("url", "")
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    if "dir_info" in origin:
        folder = url2pathname(urlsplit(url).path)
        return [*(["--editable"] if origin["dir_info"].get("editable") else []), f"{folder}[emulator]"]
    return [f"qarunner[emulator] @ {url}" if url else f"qarunner[emulator]=={__version__}"]


WORKERS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The world of a session besides disk and network. A simulation has another one.

    `jitter` is uniform in 0…1, `token` makes a text of so many random bytes.
    """

    clock: Clock = field(default_factory=SystemClock)
    pool: Callable[[Sender], Pool] = field(default_factory=lambda: lambda sender: Workers(sender, WORKERS))
    jitter: Callable[[], float] = random.random
    token: Callable[[int], str] = secrets.token_hex
    signals: Signals = PROCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What apply and resume share. `reports` are written besides the run's own."""

    environ: Mapping[str, str]
    runs_dir: Path = DEFAULT_RUNS
    reports: tuple[reporting.ReportTarget, ...] = ()
    options: Options = field(default_factory=Options)
    rehearsal: Rehearsal | None = None
    fail_fast: bool = False
    env_files: tuple[Path, ...] = ()
    allow: tuple[str, ...] = ()
    unsealed: bool = False
    """A person said that the folder is theirs, whatever its seal says."""
    unverified: bool = False
    """True if the plan builds on a run that no key could verify."""
    real_environ: Mapping[str, str] | None = None
    """What a rehearsal was started with: the keys of emulated vendors seal nothing."""
    surroundings: Surroundings = field(default_factory=Surroundings)

    @property
    def allowed(self) -> frozenset[str]:
        return inputs.allowed_secrets(self.environ, self.allow)

    @property
    def secrets(self) -> Secrets:
        """What runs are sealed and verified with."""
        lines = inputs.read_env_files(self.env_files)
        return Secrets.of(self.real_environ or self.environ, lines, self.allowed)

    def run_key(self) -> bytes:
        """A key by chance, for one run alone."""
        return bytes.fromhex(self.surroundings.token(RUN_KEY))

    def follow(self, run_id: str) -> NextCommand:
        """The commands that go on with a run."""
        return NextCommand(run_id=run_id, runs_dir=self.runs_dir, env_files=self.env_files, allow=self.allow)


def adapters(plan: Plan) -> dict[str, Vendor]:
    return {name: registry.get(name) for name in plan.vendors}


def connect(
    plan: Plan,
    environ: Mapping[str, str],
    secrets: Mapping[str, str],
    *,
    allowed: frozenset[str] = frozenset(),
    only: Container[str] | None = None,
    cancels: bool = False,
) -> Transport:
    """The way to the plan's vendors, or to some of them. It is not used for creates if it `cancels`.

    UserError names every credential that is missing, before anything is sent.
    """
    builds = [resource.build for resource in plan.resources if resource.build is not None]
    transport = reach(plan.vendors, environ, secrets, builds=builds, allowed=allowed, only=only)
    if not cancels:
        _refuse_requests(plan, transport)
    return transport


_WITHOUT_KEY = ", or try it without one: qarunner apply --rehearse"


def reach(
    plans: Mapping[str, VendorPlan],
    environ: Mapping[str, str],
    secrets: Mapping[str, str],
    *,
    builds: Sequence[Build] = (),
    allowed: frozenset[str] = frozenset(),
    only: Container[str] | None = None,
    instead: str = _WITHOUT_KEY,
) -> Transport:
    """The way to vendors, or to some of them, whether there is a plan or not. The rules for keys are the same.

    UserError names every credential that is missing; `instead` ends its hint.
    """
    infos = {name: registry.get(name).info for name in plans if only is None or name in only}
    missing = []
    endpoints = {}
    for name, info in infos.items():
        variable = plans[name].key_env
        key = environ.get(variable, "").strip()
        if not key:
            missing.append(f"{variable} ({info.title})")
        elif not (key.isascii() and key.isprintable()) or " " in key:
            raise UserError(
                f"{variable}: has a character that no API key can have", hint="was it pasted with its quotes?"
            )
        more = {
            needed: environ.get(needed, "").strip() for needed in info.credential_environ if _names(info.auth, needed)
        }
        missing += [f"{needed} ({info.title})" for needed, value in more.items() if not value]
        url, source = base_url_of(info, environ)
        endpoints[name] = Endpoint(
            base_url=checked_url(url, source),
            auth=info.auth,
            key=key,
            key_variable=variable,
            more_keys=more,
            idempotency_header=info.idempotency_header,
        )
    if missing:
        hint = f"export {missing[0].split()[0]}=…{instead}"
        raise UserError(f"no credential: {', '.join(missing)} not set", hint=hint)
    known = {name: registry.get(name) for name in (*registry.names_builtin(), *plans)}
    credentials = {variable for vendor in known.values() for variable in credential_names(vendor)}
    credentials |= {settings.key_env for settings in plans.values()}
    return Transport(
        endpoints,
        secrets,
        Network.of(environ),
        SystemClock().now,
        builds,
        permissions=Permissions(allowed=allowed, keys={name: vendor.info.key_env for name, vendor in known.items()}),
        masked={variable: environ[variable] for variable in credentials if environ.get(variable)},
    )


def _refuse_requests(plan: Plan, transport: Transport) -> None:
    """UserError if the transport would not send a create of the plan: that is said before anything is begun."""
    reasons: dict[str, str] = {}
    for job in plan.jobs:
        if job.vendor in transport.base_urls and (reason := transport.forbidden(job.vendor, job.request)):
            reasons.setdefault(reason, job.id)
    if reasons:
        (reason, job_id), *others = reasons.items()
        hint = "the plan asks for more than the pipeline allows: nothing was sent"
        raise UserError(f"{job_id}: {reason}", hint=hint, details=[f"{job}: {words}" for words, job in others])


def _names(auth: Auth, variable: str) -> bool:
    return any(f"{{{variable}}}" in text for text in auth.texts)


def base_url_of(info: VendorInfo, environ: Mapping[str, str]) -> tuple[str, str]:
    """Where a vendor lives, and the variable that says so; not checked yet."""
    for variable in info.url_env:
        if url := environ.get(variable):
            return (url.rstrip("/").removesuffix(info.url_suffix) if info.url_suffix else url), variable
    return info.base_url, "the vendor's own URL"


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
            with contextlib.suppress(OSError):  # it can be carried out, and not be resumed
                settings.rehearsal.keep_in(folder)
        return _Session(fold(plan, [begun]), journal, transport, settings, observer).finish()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
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
    uncertain = [state.job.id for state in uncertain_in(run)]
    jobs = []
    for word in words:
        state = run.jobs.get(word) or run.job_of.get(word)
        if state is None or state.job.id not in uncertain:
            hint = f"uncertain are: {', '.join(uncertain)}" if uncertain else "nothing of this run is uncertain"
            raise UserError(f"{option} {word}: not an uncertain job or entry of this run", hint=hint)
        jobs.append(state.job.id)
    return list(dict.fromkeys(jobs))


def resume(
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
    journal, stored = reopen(folder, settings.secrets)
    observer.hide(reporting.credentials_of(stored.plan, settings.environ))
    with journal, _as_it_was(stored, settings) as its_settings:
        plan = stored.plan
        _refuse_copy(stored)
        believed = is_own_rehearsal(stored.run, settings.environ) or verified(stored, unsealed=settings.unsealed)
        inputs.check_paths(plan, reporting.base_folder())
        reports = reporting.apart((*reporting.planned(plan), *settings.reports))
        settings = replace(its_settings, reports=reports)
        for warning in reporting.claim(settings.reports, settings.runs_dir, settings.environ):
            observer.warn(f"qarunner: warning: {warning}")
        if believed:  # a run that nothing vouches for is only read
            remove_file(folder / REPORT)
        steps = _steps(stored, settings, anew=anew is not None)
        ahead = fold(plan, [*stored.recorded.events, *steps])
        decided = decisions.of(ahead)
        transport = _transport_to(_to_resume(ahead, decided), stored, settings, observer, secrets=anew)
        _note_other_commit(stored, settings, observer)
        observer.note(f"{plan.name}: {overview(plan)}; resuming run {folder.name}")
        session = _Session(stored.run, journal, transport, settings, observer)
        if not believed:
            return session.report_unverified(decided)
        try:
            session.go_on(steps)
            for job, resubmit in decided:
                session.decide(job, resubmit=resubmit)
        except JournalLost as error:  # nothing has begun, and what runs at vendors goes on
            error.hint = session.after_loss
            raise
        return session.finish()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What became of a cancel: how many runs it stopped, and the vendors' answers where they refused.

    `summary` is None where nothing was to be cancelled.
    """

    run: Run
    summary: Summary | None = None
    stopped: int = 0
    refused: Mapping[str, Answer] = field(default_factory=dict)


def cancel(folder: Path, settings: RunSettings, observer: Observer) -> Cancelled:
    """Cancels a run from its folder, wherever it was started. What was cancelled before is not asked again."""
    refuse_tracked(folder, settings.environ)
    journal, stored = reopen(folder, settings.secrets, to_cancel=True)
    observer.hide(reporting.credentials_of(stored.plan, settings.environ))
    with journal, _as_it_was(stored, settings) as its_settings:
        if not stored.rehearsal and (why := doubt(stored)) is not None:
            observer.warn(f"qarunner: warning: run {folder.name}: {why}")
        vendors = vendors_to_contact(stored.run, adapters(stored.plan), for_="cancel")
        if stored.run.complete and not vendors:
            return Cancelled(run=stored.run)
        transport = _transport_to(vendors, stored, its_settings, observer, cancels=True)
        return _Session(stored.run, journal, transport, its_settings, observer).cancel()


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
        return connect(plan, settings.environ, secrets, allowed=settings.allowed, only=vendors)
    values = values_of_run(plan, settings.environ, inputs.read_env_files(settings.env_files), settings.allow)
    environ = values.env
    observer.hide([*reporting.credentials_of(plan, environ), *known_secrets(plan, values).values()])
    for name, url in stored.run.endpoints.items():
        if name in vendors and not stored.rehearsal:
            _note_moved(observer, name, url, environ)
    # A cancel repeats nothing: it needs no secret, and hides all that it may know.
    known = known_secrets(plan, values) if cancels else permitted_secrets(plan, values)
    return connect(plan, environ, known, allowed=values.allow_secrets, only=vendors, cancels=cancels)


def _note_moved(observer: Observer, name: str, url: str, environ: Mapping[str, str]) -> None:
    """A run that is asked for at another address is probably not there: said, since it may be a proxy that moved."""
    info = registry.get(name).info
    current, _ = base_url_of(info, environ)
    if current.rstrip("/") != url:
        observer.warn(f"qarunner: warning: {name}'s runs were started at {url}, and are now asked for at {current}")


class _Session:
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
        self._follow = settings.follow(journal.folder.name)
        self._next = f"go on: {self._follow.resume()}"
        self._progress: Progress | None = None
        self._engine: Engine | None = None
        self._signal: int | None = None
        self._history = History(settings.runs_dir, settings.environ)

    @property
    def after_loss(self) -> str:
        """The way out where the journal cannot be written, or is not in its place any more."""
        try:
            self._journal.look_for_it()
        except OSError as error:
            if error.errno == errno.ENOENT:
                return f"put the run's folder back as it was, then {self._next}"
        return f"make room, then {self._next}"

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
        summary = summarise(self._run)
        self._tell(summary)
        problems = reporting.write(summary, self._settings.reports, self._observer.clean)
        for problem in problems:
            self._observer.warn(f"qarunner: error: {problem}")
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
            self._driven()
            left = self._settings.options.detach and self._run.signal is None and self._run.ended is None
            if left and not self._run.complete and self._left():
                return self._detach()
            return self._report()

    def _left(self) -> bool:
        """True if it is written down that a resume has to wait for the runs."""
        if not self._run.unrecorded:
            try:
                self.record(ev.Detached(at=self.clock.wall()))
            except JournalLost as error:
                self._lose(error)
        return not self._run.unrecorded

    def cancel(self) -> Cancelled:
        """Ends the run for good, as far as the vendors let it be ended."""
        self._next = f"do it again: {self._follow.cancel()}"
        with self._signals_heeded():
            before = self._run.cancelled_runs()
            if self._run.ended is None or self._run.ended.reason is not ev.Reason.CANCELLED:
                me = who(self._settings.environ)
                self._stop_for_good(ev.RunStopped(at=self.clock.wall(), reason=ev.Reason.CANCELLED, who=me))
            refused = self._driven()
            summary, _ = self._finished(())
            stopped = self._run.cancelled_runs() - before
            return Cancelled(run=self._run, summary=summary, stopped=stopped, refused=refused)

    def _stop_for_good(self, event: ev.RunStopped) -> None:
        """A full disk does not prevent a cancel of what is paid for: the screen shows what was done."""
        try:
            self.record(event)
        except JournalLost as error:
            self._lose(error)
            advance(self._run, event)

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

    def _driven(self) -> Mapping[str, Answer]:
        """Returns the answers to cancels that were refused. A journal that is lost ends nothing else."""
        return self._drive(self._transport) if self._transport is not None else {}

    def _lose(self, error: JournalLost) -> None:
        """What happened since then stands nowhere but on the screen, and in reports on other disks. Said once."""
        if self._run.unrecorded:
            return
        self._run.unrecorded = True
        for line in (f"qarunner: error: {error.message}", *error.details, f"hint: {self.after_loss}"):
            self._observer.warn(line)

    def _drive(self, transport: Transport) -> Mapping[str, Answer]:
        """Returns the answers to cancels that were refused."""
        pool = self._settings.surroundings.pool(transport)
        runs = self._journal.folder.parent
        durations = DurationHistory(self._run.plan, history.recall(runs, rehearsal=self._run.rehearsal))
        cancellable = frozenset(
            name for name, adapter in adapters(self._run.plan).items() if adapter.info.capabilities.cancel
        )
        progress = self._observer.progress(
            self._run,
            self.clock.wall,
            durations,
            cancellable=cancellable,
            detaches=self._settings.options.detach_on_interrupt,
        )
        engine = Engine(
            run=self._run,
            vendors=adapters(self._run.plan),
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
        self._tell(summary)
        targets = self._targets(reports)
        problems = reporting.write(summary, targets, self._observer.clean)
        for problem in problems:
            self._observer.warn(f"qarunner: error: {problem}")
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
        return self._history.about(replace(summary, resume=self._follow.resume()))

    def _tell(self, summary: Summary) -> None:
        """What people have to know first: a CI system may end this process while it writes reports."""
        if not self._observer.as_data:
            self._show(summary)
            return
        self._observer.left(summary, self._follow)

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
        try:
            if not self._run.unrecorded:
                self.record(ev.RunFinished(at=self.clock.wall(), exit_code=int(summary.exit_code)))
        except JournalLost as error:
            self._lose(error)
            summary = summarise(self._run)
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
    from qarunner.report.summary import headline

    reports = f"; {plural(lost, 'report')} not written" if lost else ""
    without = unwritten(summary, ["stdout"])
    instead = f"{headline(without)}{reports}; stdout cannot be written"
    return summary.exit_code if observer.conclude(headline(summary) + reports, instead) else without.exit_code


def new_run_id(now: float) -> str:
    """Sorts by time, and no two are the same."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
