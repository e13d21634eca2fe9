"""From a manifest's text to a plan: read, check, expand, render, choose, compile, in this order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, cast

from msgspec import Struct, field
from msgspec.structs import replace

from qarunner import __version__
from qarunner.app.choosing import Chosen, Hide, Inputs, RowFilter, choose_rows, hide_nothing, unmatched_paths, untouched
from qarunner.app.ci import Build, read_build
from qarunner.app.files import (
    allowed_secrets,
    base_of,
    finder,
    lock_of,
    measurer,
    named_variables,
    overrides,
    read_env_files,
    read_lock,
    read_manifest,
    read_var_files,
    sorted_out,
)
from qarunner.app.reports import credentials_in, misplaced
from qarunner.decode import Json, is_unicode
from qarunner.diagnostics import Diagnostic, Locator, Place, few_suggestions, in_order, problem
from qarunner.entry import Entry, NameKind
from qarunner.errors import ManifestError, UserError
from qarunner.manifest import codes
from qarunner.manifest.advice import check_facts, check_reach, check_spending
from qarunner.manifest.base import BaseText, check_limits, over_base
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import RowLocator, check_rows, expand, expand_sound, place_of
from qarunner.manifest.load import check_changes, check_select, entry_of, examine, profile_names, with_profile
from qarunner.manifest.lock import KnownNames, VendorNames
from qarunner.manifest.model import EnvDeclaration, Manifest, Row
from qarunner.manifest.names import PROJECT
from qarunner.manifest.needs import check_needs
from qarunner.manifest.rules import check_conditions, check_quarantines
from qarunner.manifest.schema.urls import out_of_reach
from qarunner.manifest.select import Shard, fingerprint, parse_shard, split
from qarunner.manifest.templates.env import Values, key_names, misspelt, nothing_set
from qarunner.manifest.templates.evaluate import Evaluated, evaluate, render, with_known
from qarunner.manifest.templates.expression import Steps
from qarunner.manifest.templates.secret_access import misdirected, refusal
from qarunner.paths import manifest_root, working_folder
from qarunner.plan import capabilities as check
from qarunner.plan.compile import compile_plan, runs_of
from qarunner.plan.cost import (
    Extent,
    Limits,
    allowance,
    check_budget,
    check_priced,
    cost_of,
    counted,
    prices_of,
    tests_of,
    within,
)
from qarunner.plan.model import Plan, Price, Sharding, seal
from qarunner.secret import VALUE_OF
from qarunner.vendors import registry
from qarunner.vendors.api import INVENTORIES, Vendor, VendorInfo

if TYPE_CHECKING:
    from pathlib import Path

    from qarunner.app.files import FileVariable
    from qarunner.app.options import ChoiceOptions, DiffOptions, LockOptions, PlanOptions
    from qarunner.diagnostics import Path as Trail
    from qarunner.manifest.load import LoadedManifest


# ---------------------------------------------------------------------------------------------------------------------

# From a manifest's text to its problems: everything that can be said without a variable.


class CheckedManifest(Struct, frozen=True, kw_only=True):
    """A manifest, the rows that could be looked at, their adapters, and every problem that needs no variable.

    `rows` are as they were written, `evaluated` has them with what the file itself says of their values.
    """

    manifest: Manifest
    rows: tuple[Row, ...]
    evaluated: Evaluated
    settings: Mapping[str, Mapping[str, Json]]
    """What the adapters were asked with about the evaluated rows."""
    vendors: Mapping[str, Vendor]
    problems: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...]
    mended: frozenset[Place] = frozenset()
    """Places of faulty values, which are unknown in the rows."""


def secret_values(manifest: Manifest, values: Values) -> Iterator[str]:
    """The values of secrets and of all credentials, wherever they are set: permitted or not.

    Secrets are what the manifest or a permission calls so.
    """
    secrets = sorted(_secrets_of(manifest) | values.secrets)
    of_secrets = (*secrets, *(f"{VALUE_OF}{name}" for name in secrets))
    keys = (*registry.keys_builtin().values(), *key_names(manifest.document), *values.credentials)
    for source in (values.env, values.overrides, values.files):
        yield from credentials_in(source, (*keys, *of_secrets))


def check_manifest(
    path: Path, environ: Mapping[str, str], profile: str | None = None, *, hide: Hide = hide_nothing
) -> CheckedManifest:
    """All problems at once: what is wrong in one entry hides nothing in another. ManifestError if it is no manifest.

    `environ` is what git runs with, which is asked which files may be fragments.
    """
    return manifest_reader(path, environ, hide=hide)(profile)


@few_suggestions()
def manifest_reader(
    path: Path,
    environ: Mapping[str, str] | None,
    *,
    hide: Hide = hide_nothing,
    named: bool = True,
    base: BaseText | None = None,
) -> Callable[[str | None], CheckedManifest]:
    """Reads a manifest once. What it gives checks it as it stands, or with a profile, as `check_manifest` does.

    `environ` is None for a copy of git's own files. Names become ids, unless they are not to be `named`: then the lock
    is not read. `base` is that of such a copy; else the environment names it.
    """
    keys = registry.keys_builtin()
    hide(credentials_in(environ or {}, keys.values()))
    name, text = read_manifest(path, environ)
    base = base_of(environ) if environ is not None else base
    read = examine(name, text, finder(path, environ), vendor_keys=keys, base=base, of_the_past=environ is None)
    hide(secret_values(read.manifest, Values(env=environ or {})))
    names = KnownNames(lock_of(path).as_posix(), vendor_names, lambda: read_lock(path)) if named else None
    manifest = replace(read.manifest, names=names)
    reports = tuple(misplaced(path, read.manifest.document, environ)) if environ is not None else ()

    @few_suggestions()
    def check(profile: str | None) -> CheckedManifest:
        checked = _checked(read, manifest if profile is None else with_profile(manifest, profile))
        return replace(checked, problems=in_order([*read.problems, *checked.problems, *reports]))

    return check


@few_suggestions()
def check_with_profiles(
    path: Path, environ: Mapping[str, str], *, hide: Hide = hide_nothing
) -> tuple[CheckedManifest, ...]:
    """The same for the manifest as it stands, and then with each of its profiles; every problem is reported once."""
    check = manifest_reader(path, environ, hide=hide)
    whole = [check(None)]
    reported = {(problem.place, problem.message) for problem in whole[0].problems}
    for name in profile_names(whole[0].manifest.document):
        checked = check(name)
        new = [problem for problem in checked.problems if (problem.place, problem.message) not in reported]
        reported |= {(problem.place, problem.message) for problem in new}
        whole.append(replace(checked, problems=tuple(_with_its_profile(problem, name) for problem in new)))
    return tuple(whole)


def _with_its_profile(problem: Diagnostic, name: str) -> Diagnostic:
    """A problem that is there with a profile alone says so, unless it stands in it."""
    return (
        problem
        if problem.code == Code.PROFILE
        else replace(problem, message=f"{problem.message}, with --profile {name}")
    )


@cache
def vendor_names(vendor: str) -> VendorNames | None:
    """What of a vendor has names: what it lists. None for a vendor that is not known."""
    try:
        info = registry.get(vendor).info
    except UserError:
        return None
    kinds = frozenset(kind for kind in NameKind if INVENTORIES[kind] in info.inventories)
    return VendorNames(kinds=kinds, environment_id=info.capabilities.environment_ids)


def in_environment(manifest: Manifest, vendors: Mapping[str, Vendor], environ: Mapping[str, str]) -> Manifest:
    """The manifest with names of the projects that the environment says, where the manifest itself has none."""
    if manifest.names is None:
        return manifest
    settings = settings_of({}, vendors, environ)
    projects = {
        name: str(vendor_settings[PROJECT])
        for name, vendor_settings in settings.items()
        if vendor_settings.get(PROJECT)
    }
    return replace(manifest, names=manifest.names.at(projects))


def _checked(read: LoadedManifest, manifest: Manifest) -> CheckedManifest:
    rows = over_base(manifest, expand(manifest) if read.sound is None else expand_sound(manifest, read.sound))
    missing = _without_rows(manifest, rows)
    adapters = _Adapters()
    vendors, unknown = _vendors(manifest, rows, adapters)
    evaluated = evaluate(manifest, rows, nothing_set(len(rows)))
    decided = check_conditions(manifest, rows, evaluated)
    asked = {problem.place for problem in decided}  # of a secret in a condition, its template says the same again
    problems = [*check_rows(manifest, rows, are_sound=read.sound is None), *decided, *unknown]
    problems += [problem for problem in evaluated.problems if problem.place not in asked]
    # Of a faulty entry not all rows are known: whatever names one of them may be right.
    problems += check_needs(manifest, rows, missing)
    if manifest.lineage:
        problems += check_select(manifest, evaluated.rows, are_all=read.is_whole)
        problems += check_changes(manifest, rows, missing)
    problems += check_limits(manifest, evaluated.rows)
    known = [row for row in evaluated.rows if row.data.get("vendor") in vendors]
    reported = {problem.place for problem in (*read.problems, *problems)}
    named = {**_with_settings(manifest, adapters), **vendors}
    settings = settings_of({**manifest.vendors, **evaluated.vendors}, named, None)
    capabilities = check.check_rows(manifest, known, named, settings)
    others = (*capabilities, *_unknown_elsewhere(manifest, adapters))
    problems += [other for other in others if other.place not in reported]
    problems = read.others(problems)
    return CheckedManifest(
        manifest=manifest,
        rows=rows,
        evaluated=evaluated,
        settings=settings,
        vendors=vendors,
        problems=in_order(problems),
        warnings=() if read.problems or problems else check_spending(manifest, rows, evaluated),
        mended=read.mended,
    )


def reach_warnings(manifest: Manifest, rows: Sequence[Row], vendors: Mapping[str, Vendor]) -> tuple[Diagnostic, ...]:
    """What vendors cannot reach, of evaluated rows. A vendor at a private address may see others."""
    at_home = {name for name, vendor in vendors.items() if out_of_reach(vendor.info.base_url)}
    return check_reach(manifest, rows, at_home)


def _warnings(
    checked: CheckedManifest,
    chosen: Chosen,
    rendered: Evaluated,
    build: Build,
    git: tuple[Path, Mapping[str, str]],
) -> Iterator[Diagnostic]:
    """What is worth a look: in the file, and what only a build can tell. `git` is what git is asked with."""
    path, environ = git
    yield from checked.warnings
    yield from unmatched_paths(path, checked.manifest, checked.rows, environ)
    yield from reach_warnings(checked.manifest, rendered.rows, checked.vendors)
    asked = {row.id for row in chosen.rows} | {row.id for row in chosen.left_out}
    yield from check_facts(checked.manifest, [row for row in checked.rows if row.id in asked], build.in_templates)


def _without_rows(manifest: Manifest, rows: Iterable[Row]) -> set[str]:
    """The ids of entries that were not expanded, since something is wrong with them."""
    matrix = manifest.document.data.get("matrix")
    written = (
        {str(entry.get("id")) for entry in matrix if isinstance(entry, dict)} if isinstance(matrix, list) else set()
    )
    return written - {row.entry_id for row in rows}


class _Adapters:
    """Adapters by name, each looked for once: to ask for a name that no distribution adds takes long."""

    def __init__(self) -> None:
        self._known: dict[str, Vendor | UserError] = {}
        self._names: Sequence[str] | None = None

    def get(self, name: str) -> Vendor | UserError:
        """The adapter, or why it is missing."""
        if name not in self._known:
            self._known[name] = self._look_for(name)
        return self._known[name]

    def _look_for(self, name: str) -> Vendor | UserError:
        if name not in registry.names_builtin():
            self._names = registry.names() if self._names is None else self._names
            if name not in self._names:
                return registry.unknown(name, self._names)
        try:
            return registry.get(name)
        except UserError as error:
            return error


def _vendors(
    manifest: Manifest, rows: Iterable[Row], adapters: _Adapters
) -> tuple[dict[str, Vendor], list[Diagnostic]]:
    """The adapters that the rows name. An unknown name is a problem at its place."""
    vendors: dict[str, Vendor] = {}
    problems: list[Diagnostic] = []
    for row in rows:
        name = row.data.get("vendor")
        if not isinstance(name, str) or name in vendors:
            continue
        adapter = adapters.get(name)
        if isinstance(adapter, UserError):
            problems.append(_unknown(RowLocator(manifest, row), ("vendor",), adapter))
        else:
            vendors[name] = adapter
    return vendors, problems


def _unknown(locator: Locator, path: Trail, error: UserError, *, key: bool = False) -> Diagnostic:
    return problem(locator, path, error.message, code=codes.UNKNOWN_VENDOR, hint=error.hint, key=key)


def _unknown_elsewhere(manifest: Manifest, adapters: _Adapters) -> Iterator[Diagnostic]:
    """Settings and limits of a vendor that does not exist are a misspelling, which would be dropped in silence."""
    for path, names in ((("vendors",), manifest.vendors), (("budget", "per_vendor"), manifest.budget.per_vendor)):
        for name in names:
            adapter = None if name in registry.names_builtin() else adapters.get(name)
            if isinstance(adapter, UserError):
                yield _unknown(manifest.document, (*path, name), adapter, key=True)


def _with_settings(manifest: Manifest, adapters: _Adapters) -> dict[str, Vendor]:
    """Plugins that have settings, whether a row uses them or not; the schema of the manifest knows the others'."""
    plugins = {name: adapters.get(name) for name in manifest.vendors if name not in registry.names_builtin()}
    return {name: adapter for name, adapter in plugins.items() if not isinstance(adapter, UserError)}


def settings_of(
    written: Mapping[str, Mapping[str, object]], vendors: Mapping[str, Vendor], environ: Mapping[str, str] | None
) -> dict[str, dict[str, Json]]:
    """Each vendor's settings: the manifest's, completed from the vendor's own variables.

    Without an environment each of them counts as set: a manifest is valid without any variable.
    """
    by_vendor: dict[str, dict[str, Json]] = {}
    for name, vendor in vendors.items():
        settings = cast("dict[str, Json]", dict(written.get(name, {})))
        for key, variable in vendor.info.settings_env.items():
            if value := variable if environ is None else environ.get(variable):
                if not is_unicode(value):
                    raise UserError(f"{variable}: is not valid UTF-8")
                settings.setdefault(key, value)
        by_vendor[name] = settings
    return by_vendor


# ---------------------------------------------------------------------------------------------------------------------

# From a checked manifest and the environment to a plan.


def read_inputs(words: ChoiceOptions | LockOptions, environ: Mapping[str, str]) -> Inputs:
    """What the words say about values. UserError or ManifestError for files and words that cannot be taken."""
    from_options = overrides(words.var)
    from_files = {line.name: line for line in read_var_files(words.var_file)}  # of two of a name the later one counts
    in_files = {name: line for name, line in from_files.items() if name not in from_options}
    values = Values(
        overrides={**{name: line.text for name, line in from_files.items()}, **from_options},
        places={name: line.place for name, line in in_files.items()},
        lists=frozenset(name for name, line in in_files.items() if line.listed),
        names=named_variables(environ, words.env),
        allow_secrets=allowed_secrets(environ, words.allow_secret),
    )
    return Inputs(values=values, env_lines=read_env_files(words.env_file))


def values_of(
    checked: CheckedManifest, inputs: Inputs, environ: Mapping[str, str], build: Build, hide: Hide
) -> tuple[Values, tuple[Diagnostic, ...]]:
    """What templates can depend on, with the keys of env files in the environment; problems of lines in env files."""
    manifest = checked.manifest
    keys = {**registry.keys_builtin(), **{name: vendor.info.key_env for name, vendor in checked.vendors.items()}}
    credentials = {name for vendor in checked.vendors.values() for name in credential_names(vendor)} | {*keys.values()}
    files = sorted_out(inputs.env_lines, manifest.env, credentials | key_names(manifest.document))
    values = replace(
        inputs.values,
        env={**files.keys, **environ},
        files=files.values,
        credentials=frozenset(credentials),
        vendor_keys=keys,
        git=build.in_templates,
        ci=build.ci,
        steps=Steps(len(checked.rows)),
    )
    hide(secret_values(manifest, values))
    return values, files.problems


def values_of_run(
    plan: Plan, environ: Mapping[str, str], lines: Iterable[FileVariable], allow: Iterable[str]
) -> Values:
    """Where the secrets of a stored run come from, and what may be done with them.

    Its env files are those of the apply: what else they hold has gone into the plan, or is not declared.
    """
    keys = {settings.key_env for settings in plan.vendors.values()}
    keys |= {variable for name in plan.vendors for variable in credential_names(registry.get(name))}
    files = sorted_out(lines, plan.secrets, keys)
    return Values(
        env={**files.keys, **environ},
        names=named_variables(environ, ()),
        files=files.values,
        allow_secrets=allowed_secrets(environ, allow),
    )


def known_secrets(plan: Plan, values: Values) -> dict[str, str]:
    """The text of a plan's secrets, as far as they are set: also of those that may not be sent."""
    texts = {name: values.lookup(EnvDeclaration(name=name, secret=True)).text for name in plan.secrets}
    return {name: text for name, text in texts.items() if text}


def set_secrets(plan: Plan, values: Values) -> dict[str, str]:
    """The same, and what the environment has besides, meant or not."""
    names = (variable for name in plan.secrets for variable in (name, f"{VALUE_OF}{name}"))
    return {name: text for name in names if (text := values.env.get(name))} | known_secrets(plan, values)


def permitted_secrets(plan: Plan, values: Values) -> dict[str, str]:
    """The text of a plan's secrets. UserError if one is not set, or may not go where the plan sends it."""
    known = known_secrets(plan, values)
    missing = [name for name in plan.secrets if name not in known]
    if missing:
        raise UserError(f"not set: {', '.join(missing)}", hint="the run's requests need the secrets it began with")
    refused: dict[str, str] = {}
    for vendor, data in plan.material():
        for secret in misdirected(data, values.allow_secrets, vendor=vendor):
            _, message, hint = refusal(secret, values.allow_secrets)
            refused[message] = hint
    if refused:
        (message, hint), *others = refused.items()
        raise UserError(message, hint=hint, details=[f"{also}: {how}" for also, how in others])
    return known


def remarks_of(manifest: Manifest, values: Values) -> Iterator[str]:
    """What is no error about values, and most likely not meant."""
    yield from misspelt((*manifest.env, *manifest.vars), values.env)
    for name, declaration in manifest.env.items():
        if name in values.files and values.env.get(name) and values.lookup(declaration).text is values.files[name]:
            yield f"{name} is set in the environment, too; the env file's value is used, as nothing names the variable"


class PlanResult(Struct, frozen=True, kw_only=True):
    """A plan, the text of the secrets in it, and remarks for the user."""

    plan: Plan
    secrets: Mapping[str, str]
    environ: Mapping[str, str]
    """The environment, with the vendors' keys of env files."""
    remarks: tuple[str, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    variables: Mapping[str, object] = field(default_factory=dict)
    """The values of the variables that went in, but for secrets."""
    declared_secrets: frozenset[str] = frozenset()
    files: tuple[str, ...] = ()
    """The manifest, its fragments and its lock."""
    unverified: bool = False
    """True if it leaves out entries that passed in an earlier run, and no key could verify that run."""


def _secrets_of(manifest: Manifest) -> frozenset[str]:
    return frozenset(name for name, declaration in manifest.env.items() if declaration.secret)


@few_suggestions()
def make_plan(
    path: Path,
    options: PlanOptions,
    environ: Mapping[str, str],
    inputs: Inputs,
    *,
    build: Build | None = None,
    hide: Hide = hide_nothing,
) -> PlanResult:
    """A plan of the chosen entries. ManifestError, NothingSelected or OverBudget.

    `build`: an earlier plan's, where that holds on.
    """
    build = build or read_build(environ, working_folder(), branch=options.branch, tag=options.tag)
    shard = parse_shard(options.shard) if options.shard is not None else None
    checked = check_manifest(path, environ, options.profile, hide=hide)
    manifest, rows, vendors = _in_build(checked, path, build, environ), checked.rows, checked.vendors
    values, wrong = values_of(checked, inputs, environ, build, hide)
    quarantines = check_quarantines(manifest, with_known(manifest, rows, values, "quarantine"), options.today)
    if early := [*checked.problems, *quarantines.errors, *wrong]:
        others = evaluate(manifest, rows, values, later=False).problems
        raise ManifestError(in_order([*early, *(other for other in others if other.place not in checked.mended)]))
    asked_for = row_filter(path, options, environ, inputs, build.sha)
    chosen = choose_rows(manifest, rows, asked_for, values)
    used = {str(row.data["vendor"]): vendors[str(row.data["vendor"])] for row in chosen.rows}
    rendered = _rendered(manifest, chosen.rows, values, checked.evaluated)
    today, needs = options.today, chosen.needs
    entries = [entry_of(manifest, row, today=today, needs=needs.get(row.id, ())) for row in rendered.rows]
    part = part_of(shard, entries, manifest.gate.min_tests) if shard else None
    plan = compile_plan(
        manifest=manifest,
        rows=[row for row in rendered.rows if part is None or row.id in part.rows],
        entries=[entry for entry in entries if part is None or entry.id in part.rows],
        settings=settings_of(rendered.vendors, used, values.env),
        before=check.Checked(checked.evaluated.rows, checked.settings),
        vendors=used,
        secrets=rendered.secrets,
        metadata=build.metadata,
        git=build.git,
        ci=build.ci,
        tool=__version__,
        measure=measurer(path),
        not_planned=chosen.left_out,
        sharding=part.sharding if part else None,
        names=rendered.names,
    )
    plan = _within_budget(plan, manifest, Whole(entries, prices_of(rendered.vendors), vendors, part), options)
    doubts, secrets = (build.remark,) if build.remark else (), _secrets_of(manifest)
    return PlanResult(
        plan=plan,
        secrets=rendered.secrets,
        environ=values.env,
        remarks=(*chosen.remarks, *(part.remarks if part else ()), *doubts, *remarks_of(manifest, values)),
        warnings=in_order([*quarantines.warnings, *_warnings(checked, chosen, rendered, build, (path, environ))]),
        variables={name: value for name, value in rendered.env.items() if name not in secrets},
        declared_secrets=secrets,
        files=(*_files_of(manifest, checked.rows, entries), *((lock_of(path).as_posix(),) if rendered.names else ())),
        unverified=asked_for.earlier is not None and asked_for.earlier.unverified,
    )


def _files_of(manifest: Manifest, rows: Iterable[Row], entries: Iterable[Entry]) -> Iterable[str]:
    """The files that rows stand in. `entries` are those that were made of some of them."""
    files = {entry.id: entry.origin.file for entry in entries}
    return dict.fromkeys(files.get(row.id) or place_of(manifest, row, ()).file for row in rows)


def _rendered(manifest: Manifest, rows: Sequence[Row], values: Values, before: Evaluated) -> Evaluated:
    """What of checked rows is to be sent. ManifestError if it cannot be computed, or goes beyond the base's limits."""
    evaluated = render(manifest, rows, values, before)
    if beyond := check_limits(manifest, evaluated.rows, later=False):
        raise ManifestError(beyond)
    return evaluated


class Whole(NamedTuple):
    """What the jobs of all shards run together; `part` is what this one runs of it."""

    entries: Sequence[Entry]
    prices: Mapping[str, Price]
    vendors: Mapping[str, Vendor]
    part: Part | None

    def extent(self, shards: Mapping[str, int]) -> Extent:
        """Each shard makes runs of its own."""
        runs: Counter[str] = Counter()
        for number in dict.fromkeys(shards.values()):
            runs.update(runs_of([entry for entry in self.entries if shards[entry.id] == number], self.vendors))
        return Extent(entries=self.entries, cost=cost_of(self.prices, runs, map(counted, self.entries)))


def _within_budget(plan: Plan, manifest: Manifest, everything: Whole, options: PlanOptions) -> Plan:
    """The plan, with what its retries may use. OverBudget if it needs more than is allowed."""
    budget, most = manifest.budget, Limits(max_tests=options.max_tests, max_cost=options.most_cost)
    check_priced(manifest.vendors, most)
    started = Extent(entries=plan.entries, cost=plan.cost or None)
    part = everything.part
    whole = started if part is None else everything.extent(part.shards)
    most_tests, most_cost = manifest.limit_of("max_tests"), manifest.limit_of("max_cost")
    limits = Limits(max_tests=None if most_tests is None else int(most_tests), max_cost=most_cost)
    check_budget(whole, budget, started, most, limits)
    budget = within(budget, limits)
    allowed = allowance(budget, whole, started, most, part.sharding.count if part else 1)
    return plan if allowed is None else seal(plan, allowance=allowed)


def row_filter(
    path: Path, options: ChoiceOptions | DiffOptions, environ: Mapping[str, str], inputs: Inputs, sha: str | None
) -> RowFilter:
    """What of the command line chooses rows; git and earlier runs are asked only where it names them."""
    about_changes = about_runs = None
    if options.changed_since is not None:
        about_changes = untouched(options.changed_since, path, environ)
    if options.rerun_failed is not None:
        from qarunner.app.runs import Secrets, earlier_run

        secrets = Secrets.of(environ, inputs.env_lines, inputs.values.allow_secrets)
        about_runs = earlier_run(options, environ, secrets, options.rerun_failed, sha=sha)
    return RowFilter(select=options.select, untouched=about_changes, earlier=about_runs)


def _in_build(checked: CheckedManifest, path: Path, build: Build, environ: Mapping[str, str]) -> Manifest:
    """The manifest, with what it may leave to the build: its name is the repository's, projects the environment's."""
    manifest = in_environment(checked.manifest, checked.vendors, environ)
    unnamed = "name" not in manifest.document.data
    return replace(manifest, name=_repository_name(path, build)) if unnamed else manifest


def _repository_name(path: Path, build: Build) -> str:
    """What the repository is called where it comes from; else its folder's name."""
    return build.repository.rpartition("/")[2] if build.repository else manifest_root(path).name


def with_env_files(
    files: Iterable[Path],
    environ: Mapping[str, str],
    vendor: Vendor,
    checked: CheckedManifest | None,
    hide: Hide,
) -> dict[str, str]:
    """The environment with the keys that env files give, as an apply has it for a vendor."""
    keys = {*registry.keys_builtin().values(), *credential_names(vendor)}
    declared: Mapping[str, EnvDeclaration] = {}
    if checked is not None:
        keys |= key_names(checked.manifest.document)
        declared = checked.manifest.env
    environ = {**sorted_out(read_env_files(files), declared, keys).keys, **environ}
    hide(credentials_in(environ, keys))
    return environ


def credential_names(vendor: Vendor) -> tuple[str, ...]:
    return (vendor.info.key_env, *vendor.info.credential_environ)


def base_url_of(info: VendorInfo, environ: Mapping[str, str]) -> tuple[str, str]:
    """Where a vendor lives, and the variable that says so; not checked yet."""
    for variable in info.url_env:
        if url := environ.get(variable):
            return (url.rstrip("/").removesuffix(info.url_suffix) if info.url_suffix else url), variable
    return info.base_url, "the vendor's own URL"


class Part(Struct, frozen=True, kw_only=True):
    """The ids of a shard's rows, how it is written down, and what people should know of it."""

    rows: frozenset[str]
    sharding: Sharding
    remarks: tuple[str, ...] = ()
    shards: Mapping[str, int] = field(default_factory=dict)
    """The number of each row's shard, in all of them."""


def part_of(shard: Shard, entries: Sequence[Entry], min_tests: int) -> Part:
    """`entries` are those of all shards. Durations do not count: the jobs may know different histories."""
    weights = {entry.id: max(1, tests_of(entry)) for entry in entries}
    shards = split(weights, {entry.id: entry.needs for entry in entries}, shard.count)
    rows = frozenset(row for row, number in shards.items() if number == shard.index)
    least = _min_tests(rows, entries, min_tests)
    sharding = Sharding(shard=str(shard), count=shard.count, partition=fingerprint(shards), min_tests=least)
    return Part(rows=rows, sharding=sharding, remarks=_remarks(shard, rows, len(entries), min_tests), shards=shards)


def _min_tests(rows: frozenset[str], entries: Sequence[Entry], min_tests: int) -> int:
    """What a shard alone has to finish: one test, where anything in it gates. The whole is asked of all together."""
    gating = [entry.id for entry in entries if entry.policy.gating]
    if not gating:
        return min_tests  # no other shard makes up for it
    return min(min_tests, 1) if any(row in rows for row in gating) else 0


def _remarks(shard: Shard, rows: frozenset[str], number: int, min_tests: int) -> tuple[str, ...]:
    if not rows:
        return (f"shard {shard} is empty: {number} chosen entries in {shard.count} shards",)
    if min_tests > 1:
        whole = f"gate.min_tests of {min_tests} is for all {shard.count} shards together"
        return (f"{whole}: here one test has to finish, `qarunner report --merge` asks for the rest",)
    return ()
