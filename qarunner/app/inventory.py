"""What vendors list: one request at a time, within the rates of each credential."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from qarunner.app.files import allowed_secrets, read_env_files, sorted_out
from qarunner.app.planning import check_manifest, credential_names, settings_of
from qarunner.app.reports import credentials_in
from qarunner.app.session import Surroundings, reach, shared_budgets
from qarunner.diagnostics import choose
from qarunner.engine.decide.interpret import Rejected, Retry, after_listing, with_key_name
from qarunner.engine.schedule.rate_limits import RateLimiter, RequestKind
from qarunner.engine.schedule.timing import RetryState
from qarunner.errors import ExitCode, UserError
from qarunner.known import is_open
from qarunner.manifest.templates.env import key_names
from qarunner.paths import nearest_manifest, runs_folder
from qarunner.plan.compile import vendor_plan
from qarunner.vendors import registry
from qarunner.vendors.api import Cause, InventoryKind, Item, Request
from qarunner.vendors.types import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from qarunner.app.choosing import Hide
    from qarunner.app.options import VendorsOptions
    from qarunner.decode import Json
    from qarunner.engine.decide.interpret import Answer
    from qarunner.plan.model import VendorPlan
    from qarunner.vendors.api import Refusal, Vendor, VendorInfo

MOST_PAGES = 1000
"""A list of 100,000 items has as many. A longer one does not end."""

PROJECT = "project"
"""The setting that says whose inventory is read, where a vendor has projects."""


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

    def close(self) -> None:
        self._pool.close()

    def items(self, name: str, kind: InventoryKind, settings: Mapping[str, Json]) -> tuple[Item, ...]:
        """All items of a kind, each id once. InventoryError says why they cannot be read."""
        key = (name, kind, str(settings.get(PROJECT)))
        if key not in self._known:
            vendor = registry.get(name)
            if kind not in vendor.info.inventories:
                raise not_listed(vendor.info, kind)
            self._known[key] = _each_once(self._read(vendor, kind, settings))
        return self._known[key]

    def _read(self, vendor: Vendor, kind: InventoryKind, settings: Mapping[str, Json]) -> tuple[Item, ...]:
        answers: list[Answer] = []
        asked: list[Request] = []
        retries = RetryState()
        while True:
            meaning = after_listing(vendor, kind, settings, answers, now=self._world.clock.wall())
            match meaning:
                case Retry():
                    answers.pop()
                    self._wait_to_retry(vendor, meaning, retries, established=bool(answers))
                case Request():
                    if meaning in asked or len(asked) >= MOST_PAGES:
                        raise InventoryError(f"{vendor.info.title}: its list of {plural_of(kind)} does not end")
                    asked.append(meaning)
                    retries = RetryState()
                case Rejected():
                    raise self._refused(vendor.info, meaning.refusal)
                case tuple():
                    return meaning
                case _:
                    assert_never(meaning)
            answers.append(self.answer(vendor.info.name, asked[-1]))

    def _wait_to_retry(self, vendor: Vendor, again: Retry, retries: RetryState, *, established: bool) -> None:
        now, name = self._world.clock.now(), vendor.info.name
        retries.add(again, now)
        if (cause := retries.exhausted(again, now, established=established)) is not None:
            raise InventoryError(f"{vendor.info.title}: {again.message}", code=_CODES.get(cause, ExitCode.USAGE))
        wait = retries.backoff(again, self._world.jitter())
        if again.held:
            wait = self._limiters[name].hold(wait, now, named=again.wait_s is not None)
        self._note(f"{vendor.info.title}: {again.message}: asked again in {wait:.0f} s")
        self._pool.wait(wait)

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
        limiter.note_reply(refused=not isinstance(answer, Fault) and answer.status == _TOO_MANY)
        return answer

    def _refused(self, info: VendorInfo, refusal: Refusal) -> InventoryError:
        words = with_key_name(refusal, self._transport.key_names[info.name])
        return InventoryError(f"{info.title}: {words}", code=_CODES.get(refusal.cause, ExitCode.USAGE))


_A_MOMENT_S = 0.01


_TOO_MANY = 429


def not_listed(info: VendorInfo, kind: InventoryKind) -> InventoryError:
    """A vendor has no list of a kind, or no list at all."""
    if not info.inventories:
        hint = "take the ids from its dashboard: test_ids and category_ids"
        return InventoryError(f"{info.title} has no inventory: it lists nothing that could be named", hint=hint)
    lists = ", ".join(plural_of(each) for each in InventoryKind if each in info.inventories)
    return InventoryError(f"{info.title} does not list its {plural_of(kind)}", hint=f"it lists {lists}")


def plural_of(kind: InventoryKind) -> str:
    return "categories" if kind is InventoryKind.CATEGORY else f"{kind}s"


def _each_once(items: Sequence[Item]) -> tuple[Item, ...]:
    """Pages that shift while they are read repeat an item. What came last is the newest."""
    return tuple({item.id: item for item in items}.values())


# ---------------------------------------------------------------------------------------------------------------------

# `qarunner vendors NAME --list [KIND]`


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
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
    inventories = Inventories(
        {info.name: plan},
        environ,
        allowed=allowed_secrets(environ, options.allow_secret),
        runs=runs_folder(None, path, environ),
        note=note,
    )
    found: dict[InventoryKind, tuple[Item, ...]] = {}
    errors: list[InventoryError] = []
    try:
        for kind in kinds:
            try:
                found[kind] = inventories.items(info.name, kind, plan.settings)
            except InventoryError as error:
                errors.append(error)
    finally:
        inventories.close()
    if not found:
        raise errors[0]
    return Listing(items=found, errors=tuple(errors))


def _kinds(info: VendorInfo, word: str | None) -> tuple[InventoryKind, ...]:
    if word is None and info.inventories:
        return tuple(kind for kind in InventoryKind if kind in info.inventories)
    words = {name: kind for kind in InventoryKind for name in (str(kind), plural_of(kind))}
    words |= dict.fromkeys((info.collection + ending for ending in ("", "s", "es")), InventoryKind.CATEGORY)
    kind = words.get(word or str(InventoryKind.TEST))
    if kind is None:
        kinds = [plural_of(each) for each in InventoryKind]
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
    given: dict[str, object] = {}
    keys = {*registry.keys_builtin().values(), *credential_names(vendor)}
    declared: Mapping[str, object] = {}
    if path is not None:
        checked = check_manifest(path, environ, hide=hide)
        written = {**checked.manifest.vendors.get(name, {}), **checked.evaluated.vendors.get(name, {})}
        given = {key: value for key, value in written.items() if key not in _ABOUT_RUNS and not is_open(value)}
        keys |= key_names(checked.manifest.document.data)
        declared = checked.manifest.env
    if options.project is not None:
        given[PROJECT] = options.project
    files = sorted_out(read_env_files(options.env_file), declared, keys)
    environ = {**files.keys, **environ}
    hide(credentials_in(environ, keys))
    return settings_of({name: given}, {name: vendor}, environ)[name], environ


_ABOUT_RUNS = frozenset({"poll", "max_in_flight", "defaults"})
