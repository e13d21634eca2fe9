"""Which runs are kept, what their folders say, and whether that can be believed.

Folders come from caches and artifacts: somebody else may have made them. The seal in the journal tells.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from msgspec import Struct

from qarunner.app.ci import in_ci, who
from qarunner.app.git import tracked
from qarunner.app.reports import credentials_of
from qarunner.engine.decide.gate import outcome_of
from qarunner.engine.io.journal import (
    JOURNAL,
    PLAN,
    Journal,
    Recorded,
    Tail,
    by_age,
    newest,
    read,
    refuse_links,
    started_in,
)
from qarunner.engine.io.seal import Key, Trust
from qarunner.engine.schedule.timing import OBSERVE_S, DurationHistory
from qarunner.engine.state.run import JobState, Phase, Run, advance
from qarunner.errors import RunFolderError, UserError
from qarunner.known import Known
from qarunner.paths import read_regular, way_to_write
from qarunner.plan.model import Plan, from_json
from qarunner.regex import regex
from qarunner.report.summary import UNVERIFIED
from qarunner.secret import SEAL_KEY, key_may_go_to, seal_keys
from qarunner.vendors import registry
from qarunner.vendors.api import GOOD, Cause, Verdict

if TYPE_CHECKING:
    from qarunner.app.choosing import Earlier, Hide
    from qarunner.app.files import FileVariable
    from qarunner.app.options import ChoiceOptions, DiffOptions
    from qarunner.engine.state.events import Event
    from qarunner.entry import Entry

_RUN_ID = regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NO_FOLDER = regex(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|.*\.", re.IGNORECASE)
"""Windows takes these for devices, and drops a dot at the end."""
_SHOWN = 5


class Outlook(Struct, frozen=True, kw_only=True):
    """What can be said of what comes. `cancellable` are the vendors whose runs can be cancelled.

    `detaches`: a signal leaves the runs to a resume.
    """

    durations: DurationHistory
    cancellable: frozenset[str] = frozenset()
    detaches: bool = False


class Progress:
    """The receiver of every event, after the event was written down. This one shows nothing."""

    every_s = OBSERVE_S
    """Seconds between two ticks."""

    def saw(self, event: Event, run: Run) -> None:
        """Called with the run that has moved on by the event."""

    def uploading(self, path: str, sent: int, size: int) -> None:
        """Called by the sending thread with each piece of a build that left; `sent` and `size` are bytes."""

    def tick(self, run: Run) -> None:
        """Called by the clock, whether anything has happened or not."""

    def close(self) -> None:
        """Called when nothing more comes."""


class StoredRun(Struct, frozen=True, kw_only=True):
    """A run as its folder tells of it: the plan, the journal, and what follows from both."""

    folder: Path
    plan: Plan
    recorded: Recorded
    run: Run

    @property
    def rehearsal(self) -> bool:
        return self.plan.rehearsal or self.run.rehearsal

    @property
    def holds(self) -> bool:
        """True if a holder of one of the keys that are here has written all of it."""
        return self.recorded.trust is Trust.HOLDS

    @property
    def pipeline(self) -> str | None:
        """The run of the CI that began it."""
        return self.recorded.started.who.pipeline if self.recorded.started.who is not None else None

    @property
    def shard(self) -> tuple[int, int] | None:
        """(1, 4) for the first of four; None if it was started without."""
        index, _, total = (self.plan.shard or "").partition("/")
        return (int(index), int(total)) if total else None


# --- which one --------------------------------------------------------------------------------------------------------


def checked_id(run_id: str) -> str:
    """UserError for what is no run id, and so cannot lead out of the folder of runs."""
    if not _RUN_ID.fullmatch(run_id):
        raise UserError(f"{run_id!r} is no run id", hint="letters, digits, dots, dashes and underscores, 100 at most")
    if _NO_FOLDER.fullmatch(run_id):
        raise UserError(
            f"{run_id!r} is no run id", hint="Windows has no folder of this name, and a run's goes anywhere"
        )
    return run_id


def find_run(runs_dir: Path, run_id: str | None) -> Path:
    """The folder of a run; the newest where no run is named. UserError if it is not there."""
    if run_id is None:
        folder = newest(runs_dir)
        if folder is None:
            raise UserError(f"no run in {runs_dir}", hint=_others(runs_dir))
        return folder
    folder = runs_dir / checked_id(run_id)
    if (folder / PLAN).is_file():
        return folder
    if (folder / JOURNAL).exists():
        hint = "restore it: the upload or the copy of the folder has left it out"
        raise UserError(f"run {run_id} in {runs_dir} has lost its {PLAN}", hint=hint)
    raise UserError(f"no run {run_id} in {runs_dir}", hint=_others(runs_dir))


def find_open_run(runs_dir: Path, environ: Mapping[str, str], run_id: str | None) -> Path:
    """The folder of a run to go on with. In a CI, where no run is named, only one of this pipeline can be meant."""
    if run_id is not None or not in_ci(environ):
        return find_run(runs_dir, run_id)
    me = who(environ)
    pipeline = me.pipeline if me else None
    ours = [folder for folder in by_age(runs_dir) if _is_of(folder, pipeline)]
    meant = [folder for folder in ours if not _is_over(folder)] or ours
    if not meant:
        where = f"no run of this pipeline in {runs_dir}" if pipeline else f"no run in {runs_dir}"
        raise UserError(where, hint=f"name one; {_others(runs_dir)}")
    if len(meant) > 1:
        names = ", ".join(folder.name for folder in meant[:_SHOWN]) + (", …" if len(meant) > _SHOWN else "")
        raise UserError(f"which run? {len(meant)} of them in {runs_dir} can be meant: {names}", hint="name one")
    return meant[0]


def _is_of(folder: Path, pipeline: str | None) -> bool:
    """True if a run was started by this pipeline; without one, by anybody."""
    started = started_in(folder)
    if started is None or pipeline is None:
        return started is not None
    return started.who is not None and started.who.pipeline == pipeline


def _is_over(folder: Path) -> bool:
    try:
        return load(folder).run.over
    except UserError:
        return False


def state_of(run: Run, *, driven: bool) -> str:
    """`running` if a process is at work on it; else `detached`, `finished` or `interrupted`."""
    if driven:
        return "running"
    if run.detached:
        return "detached"
    return "finished" if run.over else "interrupted"


def uncertain_in(run: Run) -> Iterator[JobState]:
    """Jobs that a person has to decide: a create without its answer at a vendor that has no key, written so or not."""
    for state in run.jobs.values():
        if state.phase is Phase.UNCERTAIN or (state.phase is Phase.SUBMITTING and state.key is None):
            yield state


def is_run(folder: Path) -> bool:
    """True if a run was made under this name, whole or not."""
    return (folder / PLAN).exists() or (folder / JOURNAL).exists()


def remove_run(folder: Path) -> None:
    """Takes a run's folder away. UserError if a process is at work on it, or it cannot be removed."""
    journal, _ = Journal.reopen(folder)
    journal.close()  # Windows removes no file that is open
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be removed: {error.strerror}", hint=way_to_write(error)) from error


def _others(runs_dir: Path) -> str:
    there = [folder.name for folder in by_age(runs_dir) if (folder / PLAN).is_file()]
    if not there:
        return "runs are kept beside their manifest; see --runs-dir"
    more = f", and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    return f"there are: {', '.join(there[:_SHOWN])}{more}"


# --- what its folder says ---------------------------------------------------------------------------------------------


def read_plan(folder: Path) -> Plan:
    """The plan of a run. UserError if it cannot be read, or is not what was written."""
    refuse_links(folder)
    try:
        data = read_regular(folder / PLAN)
    except OSError as error:
        raise UserError(f"{folder / PLAN}: cannot be read: {error.strerror}") from error
    return from_json(data, path=folder / PLAN)


def load(folder: Path, secrets: Secrets | None = None) -> StoredRun:
    """A run, read only. UserError if anything in its folder is damaged, or does not belong together."""
    plan = read_plan(folder)
    return _stored(folder, plan, read(folder, secrets.verifying(plan) if secrets else ()))


def look_at(folder: Path, environ: Mapping[str, str], hide: Hide) -> StoredRun:
    """A run for somebody who only reads it. UserError if git tracks it, or it is damaged."""
    refuse_tracked(folder, environ)
    stored = load(folder, Secrets(environ=environ))
    hide(credentials_of(stored.plan, environ))
    return stored


def reopen(folder: Path, secrets: Secrets, *, to_cancel: bool = False) -> tuple[Journal, StoredRun]:
    """A run to go on with, held by this process: whatever is decided about it is decided on what this returns."""
    plan = read_plan(folder)  # what the journal says under the lock has to be of this one
    journal, recorded = Journal.reopen(folder, secrets.verifying(plan), to_cancel=to_cancel)
    try:
        return journal, _stored(folder, plan, recorded)
    except UserError:
        journal.close()
        raise


def _stored(folder: Path, plan: Plan, recorded: Recorded) -> StoredRun:
    if recorded.started.digest != plan.digest:
        raise RunFolderError(
            f"{folder}: {PLAN} is the plan of another run: its digest is {plan.digest}, and the journal's"
            f" {recorded.started.digest}",
            hint="restore the folder as it was written: two of them may have been unpacked into one",
        )
    return StoredRun(folder=folder, plan=plan, recorded=recorded, run=_folded(folder, plan, recorded))


def _folded(folder: Path, plan: Plan, recorded: Recorded) -> Run:
    run = Run.of(plan)
    for number, event in enumerate(recorded.events, 1):
        _advance(run, event, folder, number)
    return run


def _advance(run: Run, event: Event, folder: Path, number: int) -> None:
    try:
        advance(run, event)
    except KeyError as error:
        raise RunFolderError(
            f"{folder / JOURNAL}:{number}: the line is damaged: it names {error}, which the plan does not have",
            hint="restore the folder as it was written; nothing was changed",
        ) from error


class Followed:
    """A run that is looked on at, whoever drives it. UserError if its folder is damaged, or becomes so."""

    def __init__(self, folder: Path, secrets: Secrets) -> None:
        self.plan = load(folder, secrets).plan
        self.run = Run.of(self.plan)
        self._folder = folder
        self._tail = Tail(folder, secrets.verifying(self.plan))
        self._number = 0

    @property
    def holds(self) -> bool:
        """True if all of it was written by a holder of one of the keys that are here."""
        return self._tail.trust is Trust.HOLDS

    def news(self) -> Iterator[Event]:
        """What was written since the last call. The run has moved on by each event when that is given out."""
        for event in self._tail.more():
            self._number += 1
            _advance(self.run, event, self._folder, self._number)
            yield event


# --- whether it can be believed ---------------------------------------------------------------------------------------


class Secrets(Struct, frozen=True, kw_only=True):
    """What an environment holds to seal runs with. `allowed` are the words of --allow-secret."""

    environ: Mapping[str, str]
    allowed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, environ: Mapping[str, str], lines: Iterable[FileVariable], allowed: frozenset[str]) -> Secrets:
        """An environment with what env files give besides: they may hold the vendors' keys."""
        return cls(environ={**{line.name: line.text for line in lines}, **environ}, allowed=allowed)

    def sealing(self, plan: Plan) -> tuple[Key, ...]:
        """The keys of a new run: those that are meant for it, else those of its vendors."""
        return self._general_keys() or self._of_vendors(plan)

    def verifying(self, plan: Plan) -> tuple[Key, ...]:
        """Every key that is here: any one of them may have sealed the run."""
        return (*self._general_keys(), *self._of_vendors(plan))

    def _general_keys(self) -> tuple[Key, ...]:
        return tuple(map(Key.of, seal_keys(self.environ)))

    def _of_vendors(self, plan: Plan) -> tuple[Key, ...]:
        values = [self.environ.get(name, "").strip() for name in self._credentials(plan)]
        return tuple(dict.fromkeys(Key.of(value) for value in values if value))

    def _credentials(self, plan: Plan) -> Iterator[str]:
        """Variables that hold a vendor's credential, whatever a plan says: its author may know the others' values."""
        defaults = _default_keys(plan)
        for vendor, vendor_plan in plan.vendors.items():
            if vendor in defaults:
                yield defaults[vendor]
            if vendor_plan.key_env != defaults.get(vendor) and self._is_credential(
                vendor_plan.key_env, vendor, defaults
            ):
                yield vendor_plan.key_env

    def _is_credential(self, name: str, vendor: str, defaults: Mapping[str, str]) -> bool:
        from qarunner.manifest.templates.env import named_like_secret

        may_go = key_may_go_to(name, vendor, keys=defaults, allowed=self.allowed)
        return may_go and (name in self.allowed or named_like_secret(name))


def _default_keys(plan: Plan) -> dict[str, str]:
    keys = {}
    for vendor in dict.fromkeys((*registry.names_builtin(), *plan.vendors)):
        with contextlib.suppress(UserError):  # a plugin that is not installed here has no key here either
            keys[vendor] = registry.get(vendor).info.key_env
    return keys


def refuse_tracked(folder: Path, environ: Mapping[str, str]) -> None:
    """UserError for a run that git tracks: it came with the checkout, and no apply of this pipeline has made it."""
    if tracked(folder, environ) == Known(value=True):
        hint = f"runs are not to be committed: git rm -r --cached {folder.as_posix()}"
        raise UserError(f"run {folder.name} in {folder.parent}: git tracks its folder", hint=hint)


def is_own_rehearsal(run: Run, environ: Mapping[str, str]) -> bool:
    """True if a rehearsal needs no seal: the emulated vendors' keys are known to all, so no seal of theirs says more.

    In a pipeline somebody else's rehearsal would pass for a run, so there it is verified like one.
    """
    return run.rehearsal and _needs_no_seal(environ)


def _needs_no_seal(environ: Mapping[str, str]) -> bool:
    """Whether a rehearsal may go without a seal here."""
    return not seal_keys(environ) and not in_ci(environ)


def verified(stored: StoredRun, *, unsealed: bool) -> bool:
    """True if a run is what a holder of a key wrote, or a person says so; False where no key is here to tell.

    UserError for a seal that does not hold.
    """
    trust = stored.recorded.trust
    if trust is Trust.HOLDS or (unsealed and trust is not Trust.UNCHECKED):
        return True
    if trust is Trust.UNCHECKED:
        return False
    hint = "if this folder is yours, add --unsealed"
    if trust is Trust.FOREIGN:
        hint = f"set {SEAL_KEY}, or the vendors' keys, as where the run began; {hint}"
    raise UserError(f"run {stored.folder.name}: {doubt(stored)}", hint=hint)


def doubt(stored: StoredRun) -> str | None:
    """Why a run cannot be believed; None if it can."""
    match stored.recorded.trust:
        case Trust.HOLDS:
            return None
        case Trust.BROKEN:
            where = f"line {stored.recorded.broken_at} of {JOURNAL}"
            return f"its seal is broken: {where} was not written with any of the keys that are set here"
        case Trust.MISSING:
            return "its seal is missing: anybody can have written it"
        case Trust.FOREIGN:
            return "it was sealed with other keys than those that are set here"
        case Trust.UNCHECKED:
            return UNVERIFIED
        case other:
            assert_never(other)


# ---------------------------------------------------------------------------------------------------------------------

# `--rerun-failed`: what an earlier run tells of the rows of this one.


def earlier_run(
    options: ChoiceOptions | DiffOptions, environ: Mapping[str, str], secrets: Secrets, run_id: str, *, sha: str | None
) -> Earlier:
    """UserError for a run that is not there or does not count here. `sha` is the commit of the new run."""
    from qarunner.app.choosing import Earlier

    folder = find_run(options.runs_dir, run_id)
    refuse_tracked(folder, environ)
    stored = load(folder, secrets)
    plan, run = stored.plan, stored.run
    if stored.rehearsal and not options.rehearse:
        raise UserError(
            f"--rerun-failed {run_id}: was a rehearsal, nothing in it was really tested",
            hint="name a real run; only apply --rehearse takes up a rehearsal",
        )
    exempt = options.rehearse and _needs_no_seal(environ)
    believed = exempt or verified(stored, unsealed=options.unsealed is not False)
    remarks = list(_remarks(run, run_id, plan.git, sha))
    if not exempt and (why := doubt(stored)) is not None:
        remarks.append(f"run {run_id}: {why}")
    return Earlier(
        run_id=run_id,
        failed=tuple(entry.id for entry in plan.entries if _runs_again(run, entry)),
        passed=frozenset(entry.id for entry in plan.entries if outcome_of(run, entry).verdict in GOOD),
        remarks=tuple(remarks),
        unverified=not believed,
    )


def _runs_again(run: Run, entry: Entry) -> bool:
    """Whether an entry did not pass. What the vendor skipped is over, unless the gate takes that for a failure."""
    outcome = outcome_of(run, entry)
    if outcome.verdict is Verdict.SKIPPED:
        return outcome.cause is Cause.DEPENDENCY or run.plan.gate.on_skipped == "fail"
    return outcome.verdict not in GOOD


def _remarks(run: Run, run_id: str, git: Mapping[str, str | None], sha: str | None) -> Iterator[str]:
    before = git.get("sha")
    if before and sha and before != sha:
        yield f"run {run_id} tested commit {before[:7]}, this is {sha[:7]}: what passed then is not run again"
    live = [remote.remote.id for _, remote in run.active_runs()]
    if live:
        yield (
            f"run {run_id} left runs at the vendors that may still go on ({', '.join(live[:10])}): "
            f"qarunner resume {run_id} waits for them"
        )
    doubtful = [state.doubt for state in uncertain_in(run)]
    if doubtful:
        yield (
            f"run {run_id} may have started {', '.join(doubtful[:10])} at the vendor, and no decision is recorded: "
            f"look there, since it is paid for again; qarunner resume {run_id} --drop {doubtful[0]} says that you did"
        )
