"""What vendors list: one request at a time, within the rates of each credential."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, assert_never

from msgspec import Struct, field

from qarunner.app.apply.connect import Surroundings, reach, shared_budgets
from qarunner.app.ci import read_build
from qarunner.app.files import allowed_secrets, find_manifest, lock_of, read_lock
from qarunner.app.options import InitOptions, LockOptions, VendorsOptions
from qarunner.app.planning import (
    check_manifest,
    manifest_reader,
    read_inputs,
    settings_of,
    values_of,
    vendor_names,
    with_env_files,
)
from qarunner.diagnostics import Diagnostic, Locator, choose, closest, in_order, problem
from qarunner.engine.decide.interpret import NOT_FOUND, TOO_MANY, Answer, Rejected, Retry, after_listing, with_key_name
from qarunner.engine.schedule.rate_limits import RateLimiter, RequestKind
from qarunner.engine.schedule.timing import LONG_S, RetryState
from qarunner.entry import BY_NAME, NameKind
from qarunner.errors import ExitCode, ManifestError, UserError
from qarunner.known import holds_template, is_open
from qarunner.manifest.codes import CAPABILITY, Code
from qarunner.manifest.expand import RowLocator
from qarunner.manifest.load import profile_names
from qarunner.manifest.lock import Items, Lock, Scope, quoted, same, to_text
from qarunner.manifest.names import PROJECT, WORDS, Wanted, not_locked, shown, wanted
from qarunner.manifest.select import wildcard
from qarunner.manifest.templates.evaluate import Evaluated, evaluate
from qarunner.paths import nearest_manifest, runs_folder, working_folder, write_whole
from qarunner.plan.capabilities import complaints, own_settings
from qarunner.plan.compile import vendor_plan
from qarunner.vendors import registry
from qarunner.vendors.api import INVENTORIES, Cause, Fault, InventoryKind, Item, Reply, Request

if TYPE_CHECKING:
    from qarunner.app.choosing import Hide
    from qarunner.app.planning import CheckedManifest
    from qarunner.decode import Json
    from qarunner.manifest.model import Row
    from qarunner.plan.model import VendorPlan
    from qarunner.vendors.api import Refusal, Vendor, VendorInfo

MOST_PAGES = 1000
"""A list of 100,000 items has as many. A longer one does not end."""


class InventoryError(UserError):
    """A list that cannot be read. `code` is what the vendor's answer means."""

    def __init__(self, message: str, *, hint: str | None = None, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message, hint=hint)
        self.code = code


_CODES = {
    Cause.CREDENTIAL: ExitCode.CREDENTIAL,
    Cause.ALLOWANCE: ExitCode.BUDGET,
    Cause.UNAVAILABLE: ExitCode.UNAVAILABLE,
    Cause.BUG: ExitCode.BUG,
}


class Inventories:
    """The lists of some vendors. Each is read once. `note` is called with a line when a vendor lets us wait."""

    def __init__(
        self,
        plans: Mapping[str, VendorPlan],
        environ: Mapping[str, str],
        *,
        allowed: frozenset[str],
        runs: Path,
        note: Callable[[str], None],
        surroundings: Surroundings | None = None,
    ) -> None:
        self._world = surroundings or Surroundings()
        self._plans = plans
        self._note = note
        self._transport = reach(plans, environ, {}, allowed=allowed, instead="")
        self._pool = self._world.pool(self._transport)
        shared = shared_budgets(plans, self._transport, self._world.clock, runs, environ, note)
        self._limiters = {name: RateLimiter(plan, shared.get(name)) for name, plan in plans.items()}
        self._known: dict[tuple[str, InventoryKind, str], tuple[Item, ...]] = {}
        # Two kinds can be read off the same pages: suites are known by their tests, ids of projects by one list.
        self._replies: dict[tuple[str, str, tuple[tuple[str, str], ...]], Reply] = {}

    def close(self) -> None:
        self._pool.close()

    def items(self, name: str, kind: InventoryKind, settings: Mapping[str, Json]) -> tuple[Item, ...]:
        """All items of a kind, each id once. InventoryError says why they cannot be read."""
        key = (name, kind, str(settings.get(PROJECT)))
        if key not in self._known:
            vendor = registry.get(name)
            if kind not in vendor.info.inventories:
                raise not_listed(vendor.info, kind)
            self._known[key] = _each_once(vendor.info.title, self._read(vendor, kind, settings))
        return self._known[key]

    def _read(self, vendor: Vendor, kind: InventoryKind, settings: Mapping[str, Json]) -> tuple[Item, ...]:
        answers: list[Answer] = []
        asked: list[Request] = []
        retries, asked_at = RetryState(), self._world.clock.now()
        while True:
            meaning = after_listing(vendor, kind, settings, answers, now=self._world.clock.wall())
            match meaning:
                case Retry():
                    answers.pop()
                    self._wait_to_retry(vendor, meaning, retries, asked_at)
                case Request():
                    if meaning in asked or len(asked) >= MOST_PAGES:
                        raise InventoryError(f"{vendor.info.title}: its list of {plural_of(kind)} does not end")
                    asked.append(meaning)
                    retries, asked_at = RetryState(), self._world.clock.now()
                case Rejected():
                    raise self._refused(
                        vendor.info, meaning.refusal, _about_project(vendor.info, kind, settings, answers)
                    )
                case tuple():
                    return meaning
                case _:
                    assert_never(meaning)
            answers.append(self._page(vendor.info.name, asked[-1]))

    def _page(self, name: str, request: Request) -> Answer:
        key = (name, request.path, tuple(request.query))
        if key in self._replies:
            return self._replies[key]
        answer = self.answer(name, request)
        if isinstance(answer, Reply) and answer.ok:
            self._replies[key] = answer
        return answer

    def _wait_to_retry(self, vendor: Vendor, again: Retry, retries: RetryState, asked_at: float) -> None:
        """Waits before a page is asked for again. A list costs nothing, and no entry's time bounds its silences."""
        now, name = self._world.clock.now(), vendor.info.name
        retries.add(again, now)
        is_too_long = again.held and now - asked_at + (again.wait_s or 0.0) > LONG_S
        cause = Cause.UNAVAILABLE if is_too_long else retries.exhausted(again, now, established=False)
        if cause is not None:
            raise InventoryError(f"{vendor.info.title}: {again.message}", code=_CODES.get(cause, ExitCode.USAGE))
        wait = retries.backoff(again, self._world.jitter())
        if again.held:
            wait = self._limiters[name].hold(wait, now, named=again.wait_s is not None)
        self._note(f"{vendor.info.title}: {again.message}: asked again in {wait:.0f} s")
        self._pool.wait(wait)

    @property
    def key_names(self) -> Mapping[str, str]:
        """What messages call the keys of the vendors."""
        return self._transport.key_names

    def answer(self, name: str, request: Request) -> Answer:
        """Sends one request as soon as the rates allow it."""
        clock, limiter = self._world.clock, self._limiters[name]
        while (ready := limiter.ready_at(RequestKind.READ, now := clock.now())) > now or not limiter.try_take(
            RequestKind.READ, now
        ):
            self._pool.wait(max(ready - now, _A_MOMENT_S))
        self._pool.start(0, name, request, key=None, fresh=False)
        while not (answers := self._pool.wait(None)):
            pass
        [(_, answer)] = answers
        limiter.note_reply(refused=not isinstance(answer, Fault) and answer.status == TOO_MANY)
        return answer

    def _refused(self, info: VendorInfo, refusal: Refusal, hint: str | None) -> InventoryError:
        words = with_key_name(refusal, self.key_names[info.name])
        message = words if words.startswith(info.title) else f"{info.title}: {words}"
        return InventoryError(message, hint=hint, code=_CODES.get(refusal.cause, ExitCode.USAGE))


def _about_project(
    info: VendorInfo, kind: InventoryKind, settings: Mapping[str, Json], answers: Sequence[Answer]
) -> str | None:
    """How to put right a project that is missing, or that the vendor does not know."""
    if kind is InventoryKind.PROJECT or InventoryKind.PROJECT not in info.inventories:
        return None
    projects = f"`qarunner vendors {info.name} --list projects` shows them"
    if settings.get(PROJECT) is None:
        return f"{projects}; `vendors --list` and `init` take --project NAME as well"
    if answers and isinstance(answers[-1], Reply) and answers[-1].status == NOT_FOUND:
        return f"is there a project {settings[PROJECT]!r}? {projects}"
    return None


_A_MOMENT_S = 0.01


def not_listed(info: VendorInfo, kind: InventoryKind) -> InventoryError:
    """A vendor has no list of a kind, or no list at all."""
    if not info.inventories:
        hint = "take the ids from its dashboard: test_ids and category_ids"
        return InventoryError(f"{info.title} has no inventory: it lists nothing that could be named", hint=hint)
    lists = ", ".join(plural_of(listed) for listed in InventoryKind if listed in info.inventories)
    return InventoryError(f"{info.title} does not list its {plural_of(kind)}", hint=f"it lists {lists}")


def plural_of(kind: InventoryKind) -> str:
    return "categories" if kind is InventoryKind.CATEGORY else f"{kind}s"


def _each_once(title: str, items: Sequence[Item]) -> tuple[Item, ...]:
    """Pages that shift while they are read repeat an item. What came last is the newest.

    InventoryError if one id has two names: which one is meant would not be certain.
    """
    by_id: dict[str, Item] = {}
    for item in items:
        before = by_id.setdefault(item.id, item)
        if before.name != item.name:
            message = f"{title} lists {item.id} by two names: {shown(before.name)} and {shown(item.name)}"
            raise InventoryError(message, hint="ask for the list again: it may have changed meanwhile")
        by_id[item.id] = item
    return tuple(by_id.values())


# ---------------------------------------------------------------------------------------------------------------------

# `qarunner vendors NAME --list [KIND]`


class Listing(Struct, frozen=True, kw_only=True):
    """What a vendor lists, and why some of it could not be read."""

    items: Mapping[InventoryKind, tuple[Item, ...]]
    errors: tuple[InventoryError, ...] = field(default=())


def list_vendor(
    options: VendorsOptions, environ: Mapping[str, str], *, hide: Hide, note: Callable[[str], None]
) -> Listing:
    """The items of one kind, or of every kind that the vendor lists. UserError if nothing can be asked for."""
    if options.name is None:
        raise UserError("--list: name the vendor", hint="qarunner vendors NAME --list")
    info = registry.get(options.name).info
    kinds = _kinds(info, options.kind)
    path = options.file or nearest_manifest()
    settings, environ = _settings(info.name, path, options, environ, hide)
    plan = vendor_plan(info, settings)
    allowed, runs = allowed_secrets(environ, options.allow_secret), runs_folder(None, path, environ)
    items: dict[InventoryKind, tuple[Item, ...]] = {}
    errors: list[InventoryError] = []
    with closing(Inventories({info.name: plan}, environ, allowed=allowed, runs=runs, note=note)) as inventories:
        for kind in kinds:
            try:
                items[kind] = inventories.items(info.name, kind, plan.settings)
            except InventoryError as error:
                if error.message not in {earlier.message for earlier in errors}:
                    errors.append(error)
    if not items:
        raise errors[0]
    return Listing(items=items, errors=tuple(errors))


def _kinds(info: VendorInfo, word: str | None) -> tuple[InventoryKind, ...]:
    if word is None and info.inventories:
        return tuple(kind for kind in InventoryKind if kind in info.inventories)
    words = {name: kind for kind in InventoryKind for name in (str(kind), plural_of(kind))}
    words |= dict.fromkeys((info.collection + ending for ending in ("", "s", "es")), InventoryKind.CATEGORY)
    kind = words.get(word or str(InventoryKind.TEST))
    if kind is None:
        kinds = [plural_of(listed) for listed in InventoryKind]
        raise UserError(f"--list: there is no kind {word!r}", hint=choose(str(word), kinds))
    if kind not in info.inventories:
        raise not_listed(info, kind)
    return (kind,)


def _settings(
    name: str, path: Path | None, options: VendorsOptions, environ: Mapping[str, str], hide: Hide
) -> tuple[dict[str, Json], Mapping[str, str]]:
    """The vendor's settings in the manifest, as far as they are literal; the environment with the keys of env files.

    The rest of the manifest need not be right: ids are looked for while it is written.
    """
    vendor = registry.get(name)
    settings: dict[str, object] = {}
    checked = check_manifest(path, environ, hide=hide) if path is not None else None
    if checked is not None:
        written = {**checked.manifest.vendors.get(name, {}), **checked.evaluated.vendors.get(name, {})}
        settings = {key: value for key, value in written.items() if key not in _ABOUT_RUNS and not is_open(value)}
    if options.project is not None:
        settings[PROJECT] = options.project
    environ = with_env_files(options.env_file, environ, vendor, checked, hide)
    return settings_of({name: settings}, {name: vendor}, environ)[name], environ


_ABOUT_RUNS = frozenset({"poll", "max_in_flight", "defaults"})


# ---------------------------------------------------------------------------------------------------------------------

# `qarunner lock [FILE]…`


class Move(StrEnum):
    """How an inventory differs from a lock."""

    GONE = "gone"
    RENAMED = "renamed"
    MATCHED = "newly matched"
    UNMATCHED = "no longer matched"
    PAUSED = "paused"


class Moved(Struct, frozen=True, kw_only=True):
    """One difference. `name` is what the manifest has, `before` and `after` are the item's names at the vendor."""

    move: Move
    scope: Scope
    name: str
    id: str
    before: str | None = None
    after: str | None = None
    why: str | None = None

    def __str__(self) -> str:
        item = f"{WORDS[self.scope.kind]} {shown(self.name)} of {self.scope.vendor}"
        match self.move:
            case Move.RENAMED:
                return f"{item}: {self.id} is renamed from {shown(self.before)} to {shown(self.after)}"
            case Move.GONE:
                return f"{item}: {shown(self.before)} ({self.id}) is gone"
            case Move.MATCHED:
                return f"{item}: {shown(self.after)} ({self.id}) is newly matched"
            case _:
                return f"{item}: {shown(self.before)} ({self.id}) is {self.move}{f': {self.why}' if self.why else ''}"


class Locked(Struct, frozen=True, kw_only=True):
    """What became of one manifest's lock. `is_written`: its content is another one now.

    `unused` are names of the lock that no entry has now: a written lock is without them.
    """

    manifest: Path
    path: Path
    names: int
    moved: tuple[Moved, ...]
    unused: tuple[tuple[Scope, str], ...] = ()
    is_written: bool = False
    warnings: tuple[str, ...] = ()


def lock_manifests(
    options: LockOptions, environ: Mapping[str, str], *, hide: Hide, note: Callable[[str], None]
) -> tuple[Locked, ...]:
    """Resolves the names of manifests, and writes their locks; with `check` it only says what moved.

    ManifestError has the names of all manifests that cannot be resolved; then no lock is written.
    """
    locks = [_Locking(path, options, environ, hide, note) for path in options.files or (find_manifest(None),)]
    problems = [problem for lock in locks for problem in lock.problems]
    if problems:
        raise ManifestError(in_order(problems))
    return tuple(lock.checked() if options.check else lock.written() for lock in locks)


def _check_alone(manifest: Path) -> None:
    """UserError where another manifest has the same lock: the names of each would take the place of the other's."""
    twins = (manifest.with_suffix(ending) for ending in (".yml", ".yaml") if ending != manifest.suffix)
    for twin in twins:
        if twin.exists():
            message = f"{manifest.as_posix()} and {twin.as_posix()} would share {lock_of(manifest).as_posix()}"
            raise UserError(message, hint="remove or rename one of them")


class _Wish(NamedTuple):
    """A name of a manifest, where it stands, and the settings with which its vendor is asked."""

    wanted: Wanted
    row: Row
    locator: Locator
    settings: Mapping[str, Json]


class _Locking:
    """One manifest's names while they are resolved. `problems` speak against a lock, or against a check of it."""

    def __init__(
        self,
        path: Path,
        options: LockOptions,
        environ: Mapping[str, str],
        hide: Hide,
        note: Callable[[str], None],
    ) -> None:
        self._path = path
        self._options = options
        self._today = options.today
        self.problems: list[Diagnostic] = []
        self._before = self._read_lock()
        self._entries: set[str] = set()
        self._wishes: dict[tuple[Scope, str], _Wish] = {}
        self._plans: dict[str, VendorPlan] = {}
        environ = self._read_wishes(environ, hide)
        if self._wishes:
            _check_alone(path)
        self._resolved: dict[tuple[Scope, str], Items] = {}
        self._moved: list[Moved] = []
        self._warnings: list[str] = []
        if self._wishes and not self.problems:
            self._ask(environ, note)

    def _read_lock(self) -> Lock | None:
        """A lock that is damaged is written anew, but nothing can be compared with it."""
        try:
            return read_lock(self._path)
        except ManifestError as error:
            if self._options.check or self._options.only:
                self.problems += error.diagnostics
            return None

    # --- what the manifest names --------------------------------------------------------------------------------------

    def _read_wishes(self, environ: Mapping[str, str], hide: Hide) -> Mapping[str, str]:
        """The names of all rows, as the manifest stands and with each of its profiles.

        Returns the environment with the keys of env files.
        """
        inputs = read_inputs(self._options, environ)
        build = read_build(environ, working_folder())
        check = manifest_reader(self._path, environ, hide=hide, named=False)
        whole = check(None)
        with_keys = environ
        for profile in (None, *profile_names(whole.manifest.document)):
            checked = whole if profile is None else check(profile)
            self.problems += checked.problems
            values, wrong = values_of(checked, inputs, environ, build, hide)
            with_keys = values.env
            self.problems += wrong
            # What `validate` knows is locked as well: names with the defaults of variables, whatever is set.
            self._read_rows(checked, checked.evaluated, with_keys, is_set=False)
            self._read_rows(checked, evaluate(checked.manifest, checked.rows, values), with_keys, is_set=True)
        for entry in self._options.only:
            if entry not in self._entries and not self.problems:  # a problem may be what keeps an entry's rows away
                message = f"--only {entry}: {self._path.as_posix()} has no such entry"
                raise UserError(message, hint=choose(entry, sorted(self._entries)))
        return with_keys

    def _read_rows(
        self, checked: CheckedManifest, evaluated: Evaluated, environ: Mapping[str, str], *, is_set: bool
    ) -> None:
        """`is_set`: all is set that will be, so that a name which is not known yet is a problem."""
        settings = settings_of({**checked.manifest.vendors, **evaluated.vendors}, checked.vendors, environ)
        only = set(self._options.only)
        for row in evaluated.rows:
            self._entries |= {row.id, row.entry_id}
            if only and only.isdisjoint({row.id, row.entry_id}):
                continue
            vendor = str(row.data.get("vendor"))
            vendor_settings, locator = settings.get(vendor, {}), RowLocator(checked.manifest, row)
            for wanted_name in wanted(vendor_names, row, vendor_settings, evaluated.unknown.get(row.id, {})):
                if wanted_name.known and not is_open(vendor_settings.get(PROJECT)):
                    self._plans.setdefault(vendor, vendor_plan(registry.get(vendor).info, vendor_settings))
                    self._wishes.setdefault(
                        (wanted_name.scope, same(wanted_name.name)),
                        _Wish(wanted_name, row, locator, own_settings(vendor_settings)),
                    )
                elif is_set:
                    undecided = _undecided(locator, wanted_name)
                    # Where the template itself is wrong, that is the problem.
                    if all(undecided.place != earlier.place for earlier in self.problems):
                        self.problems.append(undecided)

    # --- what the vendors have ----------------------------------------------------------------------------------------

    def _ask(self, environ: Mapping[str, str], note: Callable[[str], None]) -> None:
        allowed = allowed_secrets(environ, self._options.allow_secret)
        runs = runs_folder(None, self._path, environ)
        with closing(Inventories(self._plans, environ, allowed=allowed, runs=runs, note=note)) as inventories:
            for key, wish in self._wishes.items():
                scope = wish.wanted.scope
                items = inventories.items(scope.vendor, INVENTORIES[scope.kind], wish.settings)
                if self._options.check:
                    self._compare(key, wish, items)
                else:
                    self._resolve(key, wish, items)

    def _resolve(self, key: tuple[Scope, str], wish: _Wish, items: Sequence[Item]) -> None:
        before = self._before.find(*key) if self._before else None
        matching = matches(wish.wanted.name, items)
        if isinstance(matching, NoMatch):
            self.problems.append(_not_found(wish, matching, items, before))
            return
        self._resolved[key] = {item.id: item.name for item in matching}
        self.problems += _unfit(wish, list(self._resolved[key]))
        title = registry.get(wish.wanted.scope.vendor).info.title
        self._warnings += [
            f"{shown(item.name)} ({item.id}) at {title}: {item.unusable}" for item in matching if item.unusable
        ]
        if before is not None:
            self._moved += moves(key[0], wish.wanted.name, before, items)

    def _compare(self, key: tuple[Scope, str], wish: _Wish, items: Sequence[Item]) -> None:
        before = self._before.find(*key) if self._before else None
        if before is None:
            self.problems.append(not_locked(wish.locator, lock_of(self._path).as_posix(), self._before, wish.wanted))
        else:
            self._moved += moves(key[0], wish.wanted.name, before, items)

    # --- the end ------------------------------------------------------------------------------------------------------

    def checked(self) -> Locked:
        return self._result(is_written=False)

    def written(self) -> Locked:
        """Writes the lock, unless it says the same already: then not a byte of it changes, its day included."""
        names: dict[Scope, dict[str, Items]] = {}
        if self._options.only and self._before is not None:
            names = {scope: dict(known) for scope, known in self._before.names.items()}
        for (scope, name), items in self._resolved.items():
            names.setdefault(scope, {})[name] = items
        if self._before is not None and self._before.names == names:
            return self._result(is_written=False)
        path = lock_of(self._path)
        if not names and not path.exists():
            return self._result(is_written=False)
        text = to_text(Lock(day=self._today.isoformat(), names=names), self._path.name)
        try:
            write_whole(path, text)
        except OSError as error:
            hint = f"a lock is a file: remove or rename what stands at {path}" if path.is_dir() else None
            raise UserError(f"{path}: cannot be written: {error.strerror}", hint=hint) from error
        return self._result(is_written=True)

    def _unused(self) -> Iterator[tuple[Scope, str]]:
        if self._before is None or self._options.only:
            return
        for scope, names in self._before.names.items():
            yield from ((scope, name) for name in names if (scope, name) not in self._wishes)

    def _result(self, *, is_written: bool) -> Locked:
        return Locked(
            manifest=self._path,
            path=lock_of(self._path),
            names=len(self._wishes),
            moved=tuple(self._moved),
            unused=tuple(self._unused()),
            is_written=is_written,
            warnings=tuple(self._warnings),
        )


class NoMatch(Struct, frozen=True):
    """A name that is no single item, and no glob that matches one. `candidates` have the same name."""

    candidates: tuple[Item, ...] = ()
    paused: tuple[Item, ...] = ()


def matches(name: str, items: Sequence[Item]) -> tuple[Item, ...] | NoMatch:
    """The items that a name or a glob stands for. A name that is written just so wins over its reading as a glob.

    A slug is a name as well, but no glob is read against it. A glob leaves out what cannot run now.
    """
    exact = tuple(item for item in items if same(name) in {same(text) for text in (item.name, item.slug) if text})
    if exact:
        return exact if len(exact) == 1 else NoMatch(candidates=exact)
    if not is_glob(name):
        return NoMatch()
    pattern = wildcard(same(name))
    matching = [item for item in items if pattern.fullmatch(same(item.name))]
    usable = tuple(item for item in matching if item.unusable is None)
    return usable or NoMatch(paused=tuple(matching))


def is_glob(name: str) -> bool:
    return "*" in name or "?" in name


def moves(scope: Scope, name: str, before: Items, items: Sequence[Item]) -> Iterator[Moved]:
    """What has moved since a name was locked: of its ids, and of what it would stand for now."""
    known = {item.id: item for item in items}
    now = matches(name, items)
    matched = {item.id for item in (now.candidates if isinstance(now, NoMatch) else now)}
    for identifier, was in before.items():
        item = known.get(identifier)
        if item is None:
            yield Moved(move=Move.GONE, scope=scope, name=name, id=identifier, before=was)
            continue
        if same(item.name) != same(was):
            yield Moved(move=Move.RENAMED, scope=scope, name=name, id=identifier, before=was, after=item.name)
        if item.unusable is not None:
            yield Moved(
                move=Move.PAUSED, scope=scope, name=name, id=identifier, before=was, after=item.name, why=item.unusable
            )
        elif identifier not in matched and is_glob(name):
            yield Moved(move=Move.UNMATCHED, scope=scope, name=name, id=identifier, before=was, after=item.name)
    for identifier in matched - before.keys():
        yield Moved(move=Move.MATCHED, scope=scope, name=name, id=identifier, after=known[identifier].name)


def _unfit(wish: _Wish, ids: list[str]) -> Iterator[Diagnostic]:
    """What the vendor's adapter would refuse of these ids: a lock that has them would be of no use."""
    key = str(wish.wanted.path[0])
    if key not in BY_NAME:
        if len(ids) > 1:
            message = f"{wish.wanted.shown} is {', '.join(ids[:_SHOWN])}: an entry runs in one environment"
            yield problem(wish.locator, wish.wanted.path, message, code=CAPABILITY, hint="write its whole name")
        vendor, facts = wish.wanted.scope.vendor, vendor_names(wish.wanted.scope.vendor)
        for identifier in ids:
            if facts is not None and facts.is_environment_name(identifier):
                message = f"{wish.wanted.shown} is {identifier}, which is no id of an environment at {vendor}"
                yield problem(wish.locator, wish.wanted.path, message, code=CAPABILITY, hint=_ASK_VENDOR)
        return
    row = {name: value for name, value in wish.row.data.items() if name != key} | {BY_NAME[key]: ids}
    for complaint in complaints(registry.get(wish.wanted.scope.vendor), row, wish.settings):
        if complaint.path[:1] == (BY_NAME[key],):
            message = f"{wish.wanted.shown} is {', '.join(ids[:_SHOWN])}: {complaint.message}"
            yield problem(wish.locator, wish.wanted.path, message, code=CAPABILITY, hint=complaint.hint)


_ASK_VENDOR = "the vendor lists what its own pages do not allow: ask it about this environment"


def _undecided(locator: Locator, wanted_name: Wanted) -> Diagnostic:
    if wanted_name.known:
        setting = f"vendors.{wanted_name.scope.vendor}.{PROJECT}"
        message = f"{wanted_name.shown}: a variable that is not set decides whose name it is, in {setting}"
    else:
        message = f"{wanted_name.shown}: a variable that is not set decides the name"
    hint = "give the variable a value for the lock, such as --var NAME=VALUE"
    return problem(locator, wanted_name.path, message, code=Code.NOT_FOUND, hint=hint)


_SHOWN = 5


def _not_found(wish: _Wish, missing: NoMatch, items: Sequence[Item], before: Items | None) -> Diagnostic:
    wanted_name = wish.wanted
    title, what = registry.get(wanted_name.scope.vendor).info.title, WORDS[wanted_name.scope.kind]
    where = f" in project {wanted_name.scope.project}" if wanted_name.scope.project is not None else ""
    renamed = [item for item in items if item.id in (before or {})]
    if missing.candidates:
        ids = ", ".join(item.id for item in missing.candidates[:_SHOWN])
        more = ", …" if len(missing.candidates) > _SHOWN else ""
        message = f"{title}{where} has {len(missing.candidates)} of the name {wanted_name.shown}: {ids}{more}"
        hint = "give them different names there, or name the one that is meant by its id, in an entry of its own"
    elif missing.paused:
        message = f"no {what}{where} at {title} that can run matches {wanted_name.shown}"
        hint = "; ".join(f"{shown(item.name)}: {item.unusable}" for item in missing.paused[:_SHOWN])
    else:
        means = "matches" if is_glob(wanted_name.name) else "has the name"
        message, hint = f"no {what}{where} at {title} {means} {wanted_name.shown}", _near(wanted_name, items)
        if renamed and not is_glob(wanted_name.name):
            hint = f"it was renamed: {renamed[0].id} is {shown(renamed[0].name)} now"
    return problem(wish.locator, wanted_name.path, message, code=Code.NOT_FOUND, hint=hint)


def _near(wanted_name: Wanted, items: Sequence[Item]) -> str:
    """Names that differ in capitals alone are near as well."""
    names = {item.name.casefold(): item.name for item in items}
    near = closest(wanted_name.name.casefold(), names)
    kind = plural_of(INVENTORIES[wanted_name.scope.kind])
    listed = f"`qarunner vendors {wanted_name.scope.vendor} --list {kind}` shows what there is"
    return f"did you mean {shown(names[near])}? {listed}" if near else listed


# ---------------------------------------------------------------------------------------------------------------------

# `qarunner init --from-vendor NAME`


def first_manifest(
    name: str, options: InitOptions, environ: Mapping[str, str], *, hide: Hide, note: Callable[[str], None]
) -> str:
    """A manifest's text with an entry for each category that a vendor lists; without any, its tests.

    UserError if the vendor lists nothing that could run.
    """
    vendor = str(options.from_vendor)
    info = registry.get(vendor).info
    for kind in (NameKind.CATEGORIES, NameKind.TESTS):
        if INVENTORIES[kind] not in info.inventories:
            continue
        asked = VendorsOptions(
            name=vendor, kind=plural_of(INVENTORIES[kind]), project=options.project, env_file=options.env_file
        )
        listing = list_vendor(asked, environ, hide=hide, note=note)
        usable = [item for item in listing.items[INVENTORIES[kind]] if item.unusable is None]
        items = [item for item in usable if not item.holds_all] or usable
        if items:
            has_all = any(item.holds_all for item in items)
            if kind is NameKind.CATEGORIES and InventoryKind.TEST in info.inventories and not has_all:
                alone = f"tests that are in no {info.collection} have no entry"
                note(f"{alone}; `qarunner vendors {vendor} --list tests` shows all tests")
            is_together = kind is NameKind.TESTS and info.capabilities.several_tests
            groups = [("tests", items)] if is_together else [(item.name, [item]) for item in items]
            return _manifest_of(name, info, kind, groups, project_of(info, options, environ))
    if not info.inventories:
        raise not_listed(info, InventoryKind.TEST)
    raise InventoryError(f"{info.title} lists nothing that could run", hint=f"qarunner init --vendor {vendor}")


def project_of(info: VendorInfo, options: InitOptions, environ: Mapping[str, str]) -> str | None:
    """The project that the manifest has to name, where the vendor has some."""
    variable = info.settings_env.get(PROJECT)
    return options.project or (environ.get(variable) if variable else None)


def _manifest_of(
    name: str, info: VendorInfo, kind: NameKind, groups: Sequence[tuple[str, list[Item]]], project: str | None
) -> str:
    settings = [f"vendors: {{ {info.name}: {{ project: {quoted(project)} }} }}", ""] if project else []
    lines = [f"name: {name}", "", *settings, f"defaults: {{ vendor: {info.name}, timeout: 30m }}", "", "matrix:"]
    ids: set[str] = set()
    names = Counter(same(item.name) for _, items in groups for item in items)
    for title, items in groups:
        lines.append(f"  - id: {_new_id(title, ids)}")
        # Two of one name, and what would be read as a template, differ in their ids alone.
        named = all(names[same(item.name)] == 1 and not holds_template(item.name) for item in items)
        texts = ", ".join(quoted(item.name if named else item.id) for item in items)
        comment = "" if named or len(items) > 1 else f"   # {items[0].name!r}"
        lines.append(f"    {kind if named else BY_NAME[kind]}: [{texts}]{comment}")
    return "".join(f"{line}\n" for line in lines)


def _new_id(title: str, ids: set[str]) -> str:
    """`Checkout flow` as an id that no other entry has: `checkout-flow`."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    word = re.sub("[^a-z0-9]+", "-", plain).strip("-")[:_LONGEST_ID] or "entry"
    new = next(
        candidate for number in count(1) if (candidate := word if number == 1 else f"{word}-{number}") not in ids
    )
    ids.add(new)
    return new


_LONGEST_ID = 60
