"""What stands in the way of an apply: each thing that it needs is looked at, and nothing is created or paid.

With a network, each vendor whose pages show a read that costs nothing is asked once, by the transport of an apply.
"""

from __future__ import annotations

import json
import platform
import re
import sys
import tempfile
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner import __version__
from qarunner.app.ci import in_ci, read_build, who
from qarunner.app.files import allowed_secrets, find_manifest, read_env_files, sorted_out
from qarunner.app.git import Git, tracked
from qarunner.app.inventory import Inventories
from qarunner.app.options import NextCommand
from qarunner.app.planning import check_manifest, credential_names, make_plan, read_inputs, settings_of
from qarunner.app.runs import SEAL_KEY, load, state_of
from qarunner.app.session import VARIABLE as LIMITS
from qarunner.app.session import base_url_of
from qarunner.diagnostics import Severity
from qarunner.engine.decide.interpret import after_listing, refusal_of, with_key_name
from qarunner.engine.io.connection import Network, checked_url, shown_proxy
from qarunner.engine.io.journal import by_age, is_driven
from qarunner.errors import ManifestError, UserError
from qarunner.known import Known, Refused, is_open
from qarunner.manifest.load import version_fits
from qarunner.manifest.schema import validate as published
from qarunner.manifest.templates.env import key_names
from qarunner.paths import working_folder
from qarunner.plan.compile import vendor_plan
from qarunner.text import plural
from qarunner.vendors import registry
from qarunner.vendors.api import Cause, InventoryKind, Reply, Request
from qarunner.vendors.types import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.app.choosing import Hide
    from qarunner.app.options import DoctorOptions
    from qarunner.app.planning import CheckedManifest
    from qarunner.decode import Json
    from qarunner.engine.decide.interpret import Answer
    from qarunner.plan.model import Plan, VendorPlan
    from qarunner.vendors.api import Vendor


class State(StrEnum):
    """What a check came to. Only a problem stands in the way of an apply."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was looked at, what was seen, and how to put it right."""

    check: str
    text: str
    state: State = State.OK
    remedy: str | None = None


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
        yield _python()
        yield from _packages()
        yield from _git(self._environ)
        yield _ci(self._environ)
        yield from self._folders()
        yield from self._open_runs()
        yield from _network(self._environ)
        try:
            path = find_manifest(self._options.file)
            found = check_manifest(path, self._environ, self._options.profile, hide=self._hide)
        except UserError as error:
            yield from _refused("manifest", error, "qarunner init --vendor NAME writes a first one")
            return
        yield from self._manifest(path, found)
        yield _schema(path)
        for name, plan in self._plans(found).items():
            yield from self._vendor(found, found.vendors[name], plan)

    # --- the manifest -------------------------------------------------------------------------------------------------

    def _manifest(self, path: Path, found: CheckedManifest) -> Iterator[Finding]:
        try:
            inputs = read_inputs(self._options, self._environ)
            result = make_plan(path, self._options, self._environ, inputs, hide=self._hide)
        except UserError as error:
            yield from _refused("manifest", error, "qarunner plan shows each problem at its line")
            return
        self._planned = result.plan
        entries, jobs = len(result.plan.entries), len(result.plan.jobs)
        counts = f"{plural(entries, 'entry', 'entries')} in {plural(jobs, 'vendor run')}"
        yield Finding(check="manifest", text=f"{path.as_posix()}: {counts}; every variable that they read is set")
        warnings = (*result.warnings, *found.warnings)
        for place, message in dict.fromkeys((str(each.place), each.message) for each in warnings):
            yield Finding(check="manifest", state=State.WARNING, text=f"{place}: {message}", remedy="qarunner validate")
        for remark in result.remarks:
            yield Finding(check="manifest", state=State.WARNING, text=remark)

    # --- folders ------------------------------------------------------------------------------------------------------

    def _folders(self) -> Iterator[Finding]:
        runs = self._options.runs_dir
        yield _writable("runs folder", runs, "name another one: --runs-dir DIR, or QARUNNER_RUNS_DIR")
        if tracked(runs, self._environ) == Known(value=True):
            remedy = f"git rm -r --cached {runs.as_posix()}, and ignore it"
            text = f"git tracks files in {runs.as_posix()}: runs that come with a checkout are refused"
            yield Finding(check="runs folder", state=State.WARNING, text=text, remedy=remedy)
        if limits := self._environ.get(LIMITS):
            yield _writable("limits folder", Path(limits), f"set {LIMITS} to a folder that all applies can write to")

    def _open_runs(self) -> Iterator[Finding]:
        """Runs that are not over: what they have at vendors goes on, and is paid."""
        for folder in by_age(self._options.runs_dir)[:_MOST_RUNS]:
            try:
                run = load(folder).run
            except UserError as error:
                yield Finding(check="runs", state=State.WARNING, text=error.message, remedy=error.hint)
                continue
            if run.over or run.rehearsal:
                continue
            follow = NextCommand(run_id=folder.name, runs_dir=folder.parent)
            state, live = state_of(run, driven=is_driven(folder)), sum(1 for _ in run.active_runs())
            text = f"{folder.name} is {state}, with {plural(live, 'run')} at the vendors"
            remedy = follow.status() if state == "running" else f"{follow.resume()}, or {follow.cancel()}"
            yield Finding(check="runs", state=State.WARNING, text=text, remedy=remedy)

    # --- vendors ------------------------------------------------------------------------------------------------------

    def _plans(self, found: CheckedManifest) -> Mapping[str, VendorPlan]:
        """Those of the plan; where there is none, those that the manifest names, as far as their settings are known."""
        if self._planned is not None:
            return self._planned.vendors
        given = {
            name: {key: value for key, value in settings.items() if not is_open(value)}
            for name, settings in found.evaluated.vendors.items()
        }
        settings = settings_of(given, found.vendors, self._environ)
        return {name: vendor_plan(vendor.info, settings[name]) for name, vendor in found.vendors.items()}

    def _vendor(self, found: CheckedManifest, vendor: Vendor, plan: VendorPlan) -> Iterator[Finding]:
        """Its key and its address; and whether it answers to that key."""
        name = vendor.info.name
        try:
            environ = self._with_files(found, vendor)
        except UserError as error:
            yield from _refused(f"{name} key", error, None)
            return
        key = environ.get(plan.key_env, "").strip()
        self._hide([key] if key else [])
        if not key:
            text = f"{plan.key_env} is not set, or empty"
            remedy = f"export {plan.key_env}=…; or try it without one: qarunner apply --rehearse"
            yield Finding(check=f"{name} key", state=State.PROBLEM, text=text, remedy=remedy)
        else:
            yield _key(vendor, plan.key_env, key)
        try:
            url = checked_url(*base_url_of(vendor.info, environ))
            proxy = Network.of(environ).proxy_for(url)
        except UserError as error:
            yield from _refused(f"{name} address", error, None)
            return
        yield Finding(check=f"{name} address", text=url + (f" through the proxy {shown_proxy(proxy)}" if proxy else ""))
        if key:
            yield from self._answer(vendor, plan, environ)

    def _with_files(self, found: CheckedManifest, vendor: Vendor) -> dict[str, str]:
        """The environment with the keys of env files, as an apply has it."""
        keys = {*registry.keys_builtin().values(), *credential_names(vendor), *key_names(found.manifest.document.data)}
        files = sorted_out(read_env_files(self._options.env_file), found.manifest.env, keys)
        return {**files.keys, **self._environ}

    def _answer(self, vendor: Vendor, plan: VendorPlan, environ: Mapping[str, str]) -> Iterator[Finding]:
        name = vendor.info.name
        check = f"{name} answer"
        request = _free_read(vendor, plan.settings, self._now)
        if request is None or self._options.offline:
            why = "--offline" if request is not None else "no page of this vendor shows a read that tries a key"
            yield Finding(check=check, state=State.NOT_CHECKED, text=why)
            return
        try:
            vendors = Inventories(
                {name: plan}, environ, allowed=self._allowed, runs=self._options.runs_dir, note=lambda _: None
            )
        except UserError as error:
            yield from _refused(check, error, None)
            return
        try:
            answer = vendors.answer(name, request)
        finally:
            vendors.close()
        yield _meaning(check, vendor, plan.key_env, answer)
        if isinstance(answer, Reply):
            yield from _clock(answer, self._now)


_MOST_RUNS = 50


# --- this machine -----------------------------------------------------------------------------------------------------


_OLDEST_PYTHON = (3, 11)


def _python() -> Finding:
    text = f"Python {platform.python_version()}, {platform.system()}; qarunner {__version__}"
    if sys.version_info >= _OLDEST_PYTHON:
        return Finding(check="python", text=text)
    return Finding(check="python", state=State.PROBLEM, text=text, remedy="install Python 3.11 or newer")


_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*([^;]*)(?:;\s*(.*))?")


def _packages() -> Iterator[Finding]:
    """The packages that this distribution wants, as its own metadata name them."""
    found, wrong, extras = 0, [], []
    for line in _requirements():
        match = _REQUIREMENT.match(line)
        name, wanted, marker = (match[1], match[2].strip(), match[3] or "") if match else (line, "", "")
        version = _version_of(name)
        if "extra" in marker:
            extras += [] if version is not None else [name]
        elif version is None or not version_fits(version, wanted):
            wrong.append(f"{name}{wanted} ({version or 'not installed'})")
        else:
            found += 1
    if wrong:
        remedy = "install qarunner again, into an environment of its own"
        yield Finding(check="packages", state=State.PROBLEM, text=", ".join(wrong), remedy=remedy)
    else:
        yield Finding(check="packages", text=f"{plural(found, 'package')} in the versions that are needed")
    if extras:
        text = f"the extra emulator is not installed ({', '.join(sorted(set(extras)))}): apply --rehearse needs it"
        yield Finding(
            check="packages", state=State.WARNING, text=text, remedy="qarunner emulator says how to install it"
        )


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


def _git(environ: Mapping[str, str]) -> Iterator[Finding]:
    git = Git(working_folder(), environ)
    head = git.maybe("rev-parse", "--verify", "--quiet", "HEAD")
    if not isinstance(head, Known):
        state = State.WARNING
        what = "diff, --changed-since and the commit in reports need it"
        remedy = head.hint or ("run git init, or work in a clone" if git.root is None else "install git")
        text = head.why if isinstance(head, Refused) else f"{head.why}: {what}"
        yield Finding(check="git", state=state, text=text, remedy=remedy)
        return
    build = read_build(environ, working_folder())
    where = f"branch {build.branch}" if build.branch else f"tag {build.tag}" if build.tag else "no branch"
    text = f"commit {build.sha[:7]}, {where}" if build.sha else f"no commit yet, {where}"
    yield Finding(check="git", text=text)
    for name, doubt in build.doubts.items():
        text = f"git.{name} is not known: {doubt.why}"
        yield Finding(check="git", state=State.WARNING, text=text, remedy=doubt.hint)
    if git.maybe("rev-parse", "--is-shallow-repository") == Known("true"):
        text = "the clone is shallow: diff and --changed-since may not find the common commit"
        remedy = "fetch all of it: fetch-depth: 0 for actions/checkout, GIT_DEPTH: 0 in GitLab, git fetch --unshallow"
        yield Finding(check="git", state=State.WARNING, text=text, remedy=remedy)


def _ci(environ: Mapping[str, str]) -> Finding:
    if not in_ci(environ):
        return Finding(check="ci", text="not in a job of a CI system")
    identity = who(environ)
    name = identity.pipeline if identity is not None and identity.pipeline else "a CI system that is not known"
    if environ.get(SEAL_KEY, "").strip():
        return Finding(check="ci", text=f"{name}; runs are sealed with {SEAL_KEY}")
    text = f"{name}; without {SEAL_KEY}, only jobs with the vendors' keys can join, resume or verify a run"
    remedy = f"store a long random text as the secret {SEAL_KEY} of this pipeline"
    return Finding(check="ci", state=State.WARNING, text=text, remedy=remedy)


def _writable(check: str, folder: Path, remedy: str) -> Finding:
    """Tried with a file that has no name and leaves nothing; a folder that is not there yet, above it."""
    there = next((each for each in (folder, *folder.absolute().parents) if each.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        text = f"{folder.as_posix()}: cannot be written: {error.strerror}"
        return Finding(check=check, state=State.PROBLEM, text=text, remedy=remedy)
    return Finding(check=check, text=folder.as_posix() + ("" if there == folder else ": is made by the first apply"))


def _network(environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        network = Network.of(environ)
        network.tls_context()
    except (UserError, OSError) as error:
        problem = error if isinstance(error, UserError) else UserError(f"certificates cannot be read: {error}")
        yield from _refused("certificates", problem, None)
        return
    trusted = network.bundle or "those of the package certifi"
    yield Finding(check="certificates", text=", ".join([trusted, *network.folders]))


# --- the manifest's schema --------------------------------------------------------------------------------------------


_SCHEMA_LINE = re.compile(r"^#\s*yaml-language-server:\s*\$schema=(\S+)", re.MULTILINE)


def _schema(path: Path) -> Finding:
    """What editors check the manifest with: the file that its first lines name."""
    check, write = "schema", "qarunner schema > qa-matrix.schema.json"
    match = _SCHEMA_LINE.search(path.read_text(encoding="utf-8", errors="replace"))
    if match is None:
        remedy = f"{write}; first line: # yaml-language-server: $schema=./qa-matrix.schema.json"
        return Finding(check=check, state=State.WARNING, text="no line names a schema for editors", remedy=remedy)
    if "://" in match[1]:
        return Finding(check=check, state=State.NOT_CHECKED, text=f"{match[1]} is not a file")
    file = path.parent / match[1]
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Finding(check=check, state=State.WARNING, text=f"{file.as_posix()} cannot be read", remedy=write)
    if held in [json.loads(form()) for form in (published.for_editors, published.plain)]:
        return Finding(check=check, text=f"{file.as_posix()} is that of this version")
    text = f"{file.as_posix()} is that of another version: editors check by other rules"
    return Finding(check=check, state=State.WARNING, text=text, remedy=f"qarunner schema > {file.as_posix()}")


# --- a vendor ---------------------------------------------------------------------------------------------------------


def _key(vendor: Vendor, variable: str, key: str) -> Finding:
    check, begins = f"{vendor.info.name} key", vendor.info.key_begins
    if not begins or key.startswith(begins):
        return Finding(check=check, text=f"{variable} is set")
    text = f"{variable} does not begin with {begins}, as keys of {vendor.info.title} do"
    return Finding(check=check, state=State.WARNING, text=text, remedy="is it the key of another vendor?")


def _free_read(vendor: Vendor, settings: Mapping[str, Json], now: float) -> Request | None:
    """The first request for a list, which costs nothing; None if the vendor lists nothing."""
    kind = next((kind for kind in InventoryKind if kind in vendor.info.inventories), None)
    request = after_listing(vendor, kind, settings, (), now=now) if kind is not None else None
    return request if isinstance(request, Request) else None


def _meaning(check: str, vendor: Vendor, variable: str, answer: Answer) -> Finding:
    if isinstance(answer, Fault):
        return Finding(check=check, state=State.PROBLEM, text=answer.message, remedy="see docs/running.md, The network")
    if answer.ok:
        return Finding(check=check, text=f"{vendor.info.title} answers, and takes the key")
    refusal = refusal_of(vendor, answer)
    words = with_key_name(refusal, variable)
    if refusal.cause is not Cause.CREDENTIAL:
        text = f"{vendor.info.title} answers, and does not say whether it takes the key: {words}"
        return Finding(check=check, state=State.WARNING, text=text, remedy="try again later")
    if vendor.info.lists_need_more:
        return Finding(
            check=check, state=State.WARNING, text=f"cannot tell: {words}", remedy=vendor.info.lists_need_more
        )
    return Finding(check=check, state=State.PROBLEM, text=words, remedy=f"set {variable} to a key that is valid")


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
        yield Finding(check="clock", state=State.WARNING, text=text, remedy="set the clock of this machine")


def _refused(check: str, error: UserError, remedy: str | None) -> Iterator[Finding]:
    """An error of an apply, as findings: each problem of a manifest by itself."""
    if not isinstance(error, ManifestError):
        yield Finding(check=check, state=State.PROBLEM, text=error.message, remedy=error.hint or remedy)
        return
    for each in error.diagnostics:
        state = State.PROBLEM if each.severity is Severity.ERROR else State.WARNING
        yield Finding(check=check, state=state, text=f"{each.place}: {each.message}", remedy=each.hint or remedy)
