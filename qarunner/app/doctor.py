"""What stands in the way of an apply: each thing that it needs is looked at, and nothing is created or paid.

With a network, each vendor whose pages show a list, which costs nothing, is asked by the transport of an apply.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from contextlib import closing
from email.utils import parsedate_to_datetime
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner import __version__
from qarunner.app.apply.connect import LIMITS_VARIABLE as LIMITS
from qarunner.app.ci import in_ci, read_build, who
from qarunner.app.files import allowed_secrets, find_manifest
from qarunner.app.git import DEEPER, Git, tracked
from qarunner.app.inventory import Inventories, InventoryError, plural_of
from qarunner.app.options import DoctorOptions, NextCommand
from qarunner.app.planning import base_url_of, check_manifest, make_plan, read_inputs, settings_of, with_env_files
from qarunner.app.runs import load, state_of
from qarunner.diagnostics import Severity
from qarunner.engine.decide.interpret import Answer, after_listing, refusal_of, with_key_name
from qarunner.engine.io.connection import Network, checked_url, shown_proxy
from qarunner.engine.io.journal import by_age, is_driven
from qarunner.engine.io.transport import key_name
from qarunner.entry import SelectionKind, TargetKind
from qarunner.errors import ManifestError, UserError
from qarunner.known import Known, Refused, is_open
from qarunner.manifest.load import version_fits
from qarunner.manifest.schema import validate as published
from qarunner.manifest.schema.named import FILE, LINE, named_schema
from qarunner.paths import working_folder
from qarunner.plan.compile import vendor_plan
from qarunner.regex import regex
from qarunner.secret import SEAL_KEY, seal_keys
from qarunner.text import plural
from qarunner.vendors.api import Cause, Fault, InventoryKind, Reply, Request, Vendor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.app.choosing import Hide
    from qarunner.app.planning import CheckedManifest
    from qarunner.decode import Json
    from qarunner.plan.model import Plan, VendorPlan


class State(StrEnum):
    """What a check came to. Only a problem stands in the way of an apply."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    NOT_CHECKED = "not_checked"


class Finding(Struct, frozen=True):
    """What was looked at, what was seen, and how to put it right."""

    check: str
    state: State
    text: str
    remedy: str | None = None


# --- this machine -----------------------------------------------------------------------------------------------------


_OLDEST_PYTHON = (3, 11)


def python() -> Finding:
    text = f"Python {platform.python_version()}, {platform.system()}; qarunner {__version__}"
    if sys.version_info >= _OLDEST_PYTHON:
        return Finding("python", State.OK, text)
    return Finding("python", State.PROBLEM, text, "install Python 3.11 or newer")


_REQUIREMENT = regex(r"([A-Za-z0-9._-]+)\s*([^;]*)(?:;\s*(.*))?")


def packages() -> Iterator[Finding]:
    """The packages that this distribution wants, as its own metadata name them."""
    fitting, wrong, extras = 0, [], []
    for line in _requirements():
        match = _REQUIREMENT.match(line)
        name, wanted, marker = (match[1], match[2].strip(), match[3] or "") if match else (line, "", "")
        version = _version_of(name)
        if "extra" in marker:
            extras += [] if version is not None else [name]
        elif version is None or not version_fits(version, wanted):
            wrong.append(f"{name}{wanted} ({version or 'not installed'})")
        else:
            fitting += 1
    if wrong:
        remedy = "install qarunner again, into an environment of its own"
        yield Finding("packages", State.PROBLEM, ", ".join(wrong), remedy)
    else:
        yield Finding("packages", State.OK, f"{plural(fitting, 'package')} in the versions that are needed")
    if extras:
        text = f"the extra emulator is not installed ({', '.join(sorted(set(extras)))}): apply --rehearse needs it"
        yield Finding("packages", State.WARNING, text, "qarunner emulator says how to install it")


def _requirements() -> list[str]:
    try:
        return metadata.requires("qarunner") or []
    except metadata.PackageNotFoundError:
        return []


def _version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def git(environ: Mapping[str, str]) -> Iterator[Finding]:
    repository = Git(working_folder(), environ)
    head = repository.maybe("rev-parse", "--verify", "--quiet", "HEAD")
    if not isinstance(head, Known):
        state = State.WARNING
        what = "diff, --changed-since and the commit in reports need it"
        remedy = head.hint or ("run git init, or work in a clone" if repository.root is None else "install git")
        text = head.why if isinstance(head, Refused) else f"{head.why}: {what}"
        yield Finding("git", state, text, remedy)
        return
    build = read_build(environ, working_folder())
    where = f"branch {build.branch}" if build.branch else f"tag {build.tag}" if build.tag else "no branch"
    text = f"commit {build.sha[:7]}, {where}" if build.sha else f"no commit yet, {where}"
    yield Finding("git", State.OK, text)
    for name, doubt in build.doubts.items():
        text = f"git.{name} is not known: {doubt.why}"
        yield Finding("git", State.WARNING, text, doubt.hint)
    if repository.is_shallow:
        text = "the clone is shallow: diff and --changed-since may not find the common commit"
        yield Finding("git", State.WARNING, text, DEEPER)


def ci(environ: Mapping[str, str]) -> Finding:
    if not in_ci(environ):
        return Finding("ci", State.OK, "not in a job of a CI system")
    identity = who(environ)
    name = identity.pipeline if identity is not None and identity.pipeline else "a CI system that is not known"
    if seal_keys(environ):
        return Finding("ci", State.OK, f"{name}; runs are sealed with {SEAL_KEY}")
    text = f"{name}; without {SEAL_KEY}, only jobs with the vendors' keys can join, resume or verify a run"
    remedy = f"store a long random text as the secret {SEAL_KEY} of this pipeline"
    return Finding("ci", State.WARNING, text, remedy)


def writable(check: str, folder: Path, remedy: str) -> Finding:
    """Tried with a file that has no name and leaves nothing; a folder that is not there yet, above it."""
    there = next((parent for parent in (folder, *folder.absolute().parents) if parent.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(4096))  # a full disk takes a new file, and nothing in it
    except OSError as error:
        text = f"{folder.as_posix()}: cannot be written: {error.strerror}"
        return Finding(check, State.PROBLEM, text, remedy)
    return Finding(check, State.OK, folder.as_posix() + ("" if there == folder else ": is made by the first apply"))


def certificates(environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        network = Network.of(environ)
        network.tls_context()
    except (UserError, OSError) as error:
        problem = error if isinstance(error, UserError) else UserError(f"certificates cannot be read: {error}")
        yield from refused("certificates", problem, None)
        return
    trusted = network.bundle or "those of the package certifi"
    yield Finding("certificates", State.OK, ", ".join([trusted, *network.folders]))


# --- the manifest's schema --------------------------------------------------------------------------------------------


_FORMS = (published.for_editors, published.plain)


def schema(path: Path) -> Finding:
    """What editors check the manifest with: the file or the address that its first lines name."""
    check, write = "schema", f"qarunner schema > {FILE}"
    named = named_schema(path, path.read_text(encoding="utf-8", errors="replace"))
    if named is None:
        remedy = f"{write}; first line: {LINE}./{FILE}"
        return Finding(check, State.WARNING, "no line names a schema for editors", remedy)
    name = named.address if named.file is None else named.file.as_posix()
    if named.file is None and named.version is None:
        return Finding(check, State.NOT_CHECKED, f"{name} has no version in its address")
    fits, of_lock = named.version == __version__, ""
    if named.file is not None:
        try:
            content = json.loads(named.text or "")
        except (ValueError, RecursionError):
            fault = "cannot be read" if named.file.is_symlink() or named.file.exists() else "is not there"
            return Finding(check, State.WARNING, f"{name} {fault}", write)
        # Each lock makes another one: with --with-lock, the version alone is compared.
        of_lock = ", with the names of a lock" if '"Locked name"' in json.dumps(content) else ""
        fits = fits and (bool(of_lock) or content in [json.loads(form()) for form in _FORMS])
    if fits:
        return Finding(check, State.OK, f"{name} is that of this version{of_lock}")
    how = f"is that of {named.whose}" if named.whose else "is not that of this version, as it was written"
    text = f"{name} {how}: editors check by other rules"
    return Finding(check, State.WARNING, text, named.remedy)


def refused(check: str, error: UserError, remedy: str | None) -> Iterator[Finding]:
    """An error of an apply, as findings: each problem of a manifest by itself."""
    if not isinstance(error, ManifestError):
        yield Finding(check, State.PROBLEM, error.message, error.hint or remedy)
        return
    for diagnostic in error.diagnostics:
        state = State.PROBLEM if diagnostic.severity is Severity.ERROR else State.WARNING
        yield Finding(check, state, f"{diagnostic.place}: {diagnostic.message}", diagnostic.hint or remedy)


def examine(options: DoctorOptions, environ: Mapping[str, str], *, now: float, hide: Hide) -> Iterator[Finding]:
    """Each check, as soon as it is done. `now` is the time of this machine, in seconds since the epoch."""
    return _Examination(options, environ, now, hide).findings()


class _Examination:
    """One check after another; what a later one needs of an earlier one is kept."""

    def __init__(self, options: DoctorOptions, environ: Mapping[str, str], now: float, hide: Hide) -> None:
        self._options = options
        self._environ = environ
        self._now = now
        self._hide = hide
        self._allowed = allowed_secrets(environ, options.allow_secret)
        self._planned: Plan | None = None

    def findings(self) -> Iterator[Finding]:
        yield python()
        yield from packages()
        yield from git(self._environ)
        yield ci(self._environ)
        yield from self._folders()
        yield from self._open_runs()
        yield from certificates(self._environ)
        try:
            path = find_manifest(self._options.file)
            checked = check_manifest(path, self._environ, self._options.profile, hide=self._hide)
        except UserError as error:
            yield from refused("manifest", error, "qarunner init --vendor NAME writes a first one")
            return
        yield from self._manifest(path, checked)
        yield schema(path)
        for name, plan in self._plans(checked).items():
            yield from self._vendor(checked, checked.vendors[name], plan)

    # --- the manifest -------------------------------------------------------------------------------------------------

    def _manifest(self, path: Path, checked: CheckedManifest) -> Iterator[Finding]:
        try:
            inputs = read_inputs(self._options, self._environ)
            result = make_plan(path, self._options, self._environ, inputs, hide=self._hide)
        except UserError as error:
            yield from refused("manifest", error, "qarunner plan shows each problem at its line")
            return
        self._planned = result.plan
        entries, jobs = len(result.plan.entries), len(result.plan.jobs)
        counts = f"{plural(entries, 'entry', 'entries')} in {plural(jobs, 'vendor run')}"
        yield Finding("manifest", State.OK, f"{path.as_posix()}: {counts}; every variable that they read is set")
        warnings = (*result.warnings, *checked.warnings)
        for place, message in dict.fromkeys((str(warning.place), warning.message) for warning in warnings):
            yield Finding("manifest", State.WARNING, f"{place}: {message}", "qarunner validate")
        for remark in result.remarks:
            yield Finding("manifest", State.WARNING, remark)

    # --- folders ------------------------------------------------------------------------------------------------------

    def _folders(self) -> Iterator[Finding]:
        runs = self._options.runs_dir
        yield writable("runs folder", runs, "name another one: --runs-dir DIR, or QARUNNER_RUNS_DIR")
        if tracked(runs, self._environ) == Known(value=True):
            remedy = f"git rm -r --cached {runs.as_posix()}, and ignore it"
            text = f"git tracks files in {runs.as_posix()}: runs that come with a checkout are refused"
            yield Finding("runs folder", State.WARNING, text, remedy)
        if limits := self._environ.get(LIMITS):
            yield writable("limits folder", Path(limits), f"set {LIMITS} to a folder that all applies can write to")

    def _open_runs(self) -> Iterator[Finding]:
        """Runs that are not over: what they have at vendors goes on, and is paid."""
        for folder in by_age(self._options.runs_dir)[:_MOST_RUNS]:
            try:
                run = load(folder).run
            except UserError as error:
                yield Finding("runs", State.WARNING, error.message, error.hint)
                continue
            if run.over or run.rehearsal:
                continue
            follow = NextCommand.of(folder)
            state, live = state_of(run, driven=is_driven(folder)), sum(1 for _ in run.active_runs())
            text = f"{folder.name} is {state}, with {plural(live, 'run')} at the vendors"
            remedy = follow.status() if state == "running" else f"{follow.resume()}, or {follow.cancel()}"
            yield Finding("runs", State.WARNING, text, remedy)

    # --- vendors ------------------------------------------------------------------------------------------------------

    def _plans(self, checked: CheckedManifest) -> Mapping[str, VendorPlan]:
        """Those of the plan; without a plan, those that the manifest names, as far as their settings are known."""
        if self._planned is not None:
            return self._planned.vendors
        settings_given = {
            name: {key: value for key, value in settings.items() if not is_open(value)}
            for name, settings in checked.evaluated.vendors.items()
        }
        settings = settings_of(settings_given, checked.vendors, self._environ)
        return {name: vendor_plan(vendor.info, settings[name]) for name, vendor in checked.vendors.items()}

    def _vendor(self, checked: CheckedManifest, vendor: Vendor, plan: VendorPlan) -> Iterator[Finding]:
        """Its key and its address; and whether it answers to that key."""
        name = vendor.info.name
        try:
            environ = with_env_files(self._options.env_file, self._environ, vendor, checked, self._hide)
        except UserError as error:
            yield from refused(f"{name} key", error, None)
            return
        key = environ.get(plan.key_env, "").strip()
        self._hide([key] if key else [])
        if not key:
            text = f"{plan.key_env} is not set, or empty"
            remedy = f"export {plan.key_env}=…; or try it without one: qarunner apply --rehearse"
            yield Finding(f"{name} key", State.PROBLEM, text, remedy)
        else:
            yield _key(vendor, plan.key_env, key)
        try:
            url = checked_url(*base_url_of(vendor.info, environ))
            proxy = Network.of(environ).proxy_for(url)
        except UserError as error:
            yield from refused(f"{name} address", error, None)
            return
        yield Finding(f"{name} address", State.OK, url + (f" through the proxy {shown_proxy(proxy)}" if proxy else ""))
        if key:
            yield from self._answer(vendor, plan, environ)

    def _answer(self, vendor: Vendor, plan: VendorPlan, environ: Mapping[str, str]) -> Iterator[Finding]:
        name = vendor.info.name
        check = f"{name} answer"
        request = _free_read(vendor, plan.settings, self._now)
        if request is None or self._options.offline:
            why = "--offline" if request is not None else "no page of this vendor shows a read that tries a key"
            yield Finding(check, State.NOT_CHECKED, why)
            return
        try:
            runs = self._options.runs_dir
            vendors = Inventories({name: plan}, environ, allowed=self._allowed, runs=runs, note=lambda _: None)
        except UserError as error:
            yield from refused(check, error, None)
            return
        with closing(vendors):
            answer = vendors.answer(name, request)
            yield _meaning(check, vendor, plan.key_env, vendors.key_names[name], answer)
            if isinstance(answer, Reply):
                yield from _clock(answer, self._now)
                if answer.ok and self._planned is not None:
                    yield from _ids(vendors, vendor, plan, self._planned)


_MOST_RUNS = 50


# --- a vendor ---------------------------------------------------------------------------------------------------------


def _key(vendor: Vendor, variable: str, key: str) -> Finding:
    check, begins = f"{vendor.info.name} key", vendor.info.key_begins
    if (named := key_name(variable, key)) != variable:
        return Finding(check, State.WARNING, named, "set it without them")
    if not begins or key.startswith(begins):
        return Finding(check, State.OK, f"{variable} is set")
    text = f"{variable} does not begin with {begins}, as keys of {vendor.info.title} do"
    return Finding(check, State.WARNING, text, "is it the key of another vendor?")


def _free_read(vendor: Vendor, settings: Mapping[str, Json], now: float) -> Request | None:
    """The first request for a list, which costs nothing; None if the vendor lists nothing."""
    kind = next((kind for kind in InventoryKind if kind in vendor.info.inventories), None)
    request = after_listing(vendor, kind, settings, (), now=now) if kind is not None else None
    return request if isinstance(request, Request) else None


def _meaning(check: str, vendor: Vendor, variable: str, named: str, answer: Answer) -> Finding:
    """`named` is the variable with what is odd about its key."""
    if isinstance(answer, Fault):
        return Finding(check, State.PROBLEM, answer.message, "see docs/running.md, The network")
    if answer.ok:
        return Finding(check, State.OK, f"{vendor.info.title} answers, and takes the key")
    refusal = refusal_of(vendor, answer)
    words = with_key_name(refusal, named)
    if refusal.cause is not Cause.CREDENTIAL:
        text = f"{vendor.info.title} answers, and does not say whether it takes the key: {words}"
        return Finding(check, State.WARNING, text, "try again later")
    if vendor.info.lists_need_more:
        return Finding(check, State.WARNING, f"cannot tell: {words}", vendor.info.lists_need_more)
    valid = "valid, and may read lists" if answer.status == _FORBIDDEN else "valid"
    return Finding(check, State.PROBLEM, words, f"set {variable} to a key that is {valid}")


_FORBIDDEN = 403


_KINDS = {
    SelectionKind.TEST_IDS: InventoryKind.TEST,
    SelectionKind.CATEGORY_IDS: InventoryKind.CATEGORY,
    SelectionKind.TAGS: InventoryKind.TAG,
}


def _ids(vendors: Inventories, vendor: Vendor, settings: VendorPlan, plan: Plan) -> Iterator[Finding]:
    """Whether the vendor still knows what the plan's entries name, written as ids or locked; nothing is run for it."""
    name = vendor.info.name
    check, fine, sound = f"{name} ids", 0, True
    for kind, entries in _used(plan, name).items():
        if kind not in vendor.info.inventories:
            continue
        try:
            # Ids of words are compared in any case, as the vendors' own tools do.
            known = {item.id.casefold(): item for item in vendors.items(name, kind, settings.settings)}
        except InventoryError as error:
            sound = False
            yield Finding(check, State.NOT_CHECKED, error.message)
            continue
        for used, where in entries.items():
            item = known.get(used.casefold())
            if item is None:
                text = f"{vendor.info.title} lists no {kind} {used}, which {where} names"
                remedy = f"qarunner vendors {name} --list {plural_of(kind)}, or for names: qarunner lock --check"
                yield Finding(check, State.PROBLEM, text, remedy)
            elif item.unusable is not None:
                text = f"{kind} {used} ({item.name}), which {where} names: {item.unusable}"
                yield Finding(check, State.WARNING, text, f"look at it at {vendor.info.title}")
            else:
                fine += 1
                continue
            sound = False
    if sound and fine:
        yield Finding(check, State.OK, f"{vendor.info.title} knows {plural(fine, 'id')} of the manifest")


def _used(plan: Plan, vendor: str) -> Mapping[InventoryKind, dict[str, str]]:
    """The ids that a vendor's entries name, each with the first entry that does. Secrets are no ids."""
    ids: dict[InventoryKind, dict[str, str]] = {}
    for entry in plan.entries:
        if entry.vendor != vendor:
            continue
        named = [(_KINDS[entry.selection.kind], test) for test in entry.selection.ids] if entry.selection else []
        if entry.target is not None and entry.target.kind is TargetKind.ENVIRONMENT:
            named.append((InventoryKind.ENVIRONMENT, entry.target.value))
        for kind, used in named:
            if not is_open(used):
                ids.setdefault(kind, {}).setdefault(used, entry.id)
    return ids


_MOST_APART_S = 300


def _clock(reply: Reply, now: float) -> Iterator[Finding]:
    """Times in journals and seals come from this machine; a vendor's certificate is judged by them, too."""
    try:
        theirs = parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return
    apart = now - theirs
    if abs(apart) > _MOST_APART_S:
        text = (
            f"the clock of this machine is {plural(round(abs(apart) / 60), 'minute')} {'fast' if apart > 0 else 'slow'}"
        )
        yield Finding("clock", State.WARNING, text, "set the clock of this machine")
