"""The manifest's rows against what each vendor can do: an error at the line, never a field silently dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from qarunner.diagnostics import Diagnostic, Place, in_order, problem
from qarunner.entry import BY_NAME, Platform, SelectionKind, TargetKind
from qarunner.known import holds_template, is_open
from qarunner.manifest import codes
from qarunner.manifest.expand import RowLocator
from qarunner.manifest.schema.explain import SchemaError, messages_of, once
from qarunner.plan.guard import adapter_guard, bug
from qarunner.regex import regex
from qarunner.secret import OPEN
from qarunner.vendors import registry
from qarunner.vendors.api import INVENTORIES, Complaint, only_one

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from jsonschema import Draft202012Validator, ValidationError

    from qarunner.decode import Json
    from qarunner.manifest.model import Manifest, Row
    from qarunner.vendors.api import Build, BuildRules, Capabilities, Conflict, Vendor, VendorInfo


# ---------------------------------------------------------------------------------------------------------------------

# What a plugin adds to the manifest, its `options` and its settings, against the JSON Schema that it brings along.
#
# The built-in vendors' own words stand in qa-matrix.schema.json, for editors' sake.


_ABOUT_CONTAINERS = frozenset({"type", "additionalProperties", "required", "minProperties", "maxProperties"})


def faults_of_options(vendor: Vendor, options: object, *, templates: bool) -> tuple[SchemaError, ...]:
    """What is wrong with an entry's options; paths lead from the options."""
    name = vendor.info.name
    return _faults(vendor, "options", vendor.info.options, options, f"{name} has no options", templates=templates)


def faults_of_settings(
    vendor: Vendor, settings: Mapping[str, object], general: frozenset[str], *, templates: bool
) -> tuple[SchemaError, ...]:
    """What is wrong under `vendors.<name>`, where `general` keys are not the plugin's to check."""
    properties: dict[str, Json] = {**dict.fromkeys(sorted(general), True), **vendor.info.settings}
    return _faults(vendor, "settings", properties, settings, None, templates=templates)


def _faults(
    vendor: Vendor, what: str, properties: Mapping[str, Json], data: object, hint: str | None, *, templates: bool
) -> tuple[SchemaError, ...]:
    if not isinstance(data, dict) or not data:
        return ()
    schema: dict[str, Json] = {"properties": dict(properties), "additionalProperties": False}
    validator = _validator(vendor, what, {**schema, "x-hint": hint} if hint else schema)
    errors = [error for error in validator.iter_errors(data) if not _undecided(error, templates=templates)]
    return once(fault for error in errors for fault in messages_of(error))


_validators: dict[str, Draft202012Validator] = {}


def _validator(vendor: Vendor, what: str, schema: Mapping[str, Json]) -> Draft202012Validator:
    """Of one schema there is one: to check the schema itself takes longer than to check 100 rows."""
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415  140 ms, for plugins with options alone

    key = repr(schema)
    if key not in _validators:
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise bug(vendor, f"has {what} that are no JSON Schema: {error.message}") from error
        _validators[key] = Draft202012Validator(schema)
    return _validators[key]


def _undecided(error: ValidationError, *, templates: bool) -> bool:
    """True if the value is not known yet: a template's until it is rendered, a secret's until it is sent."""
    if isinstance(error.instance, (dict, list)) and error.validator in _ABOUT_CONTAINERS:
        return False
    return any((templates and holds_template(text)) or OPEN in text for text in _texts(error.instance))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _texts(child)


GENERAL_SETTINGS = frozenset({"poll", "rate", "max_in_flight", "api_key_env", "defaults", "price"})
"""What every vendor has under `vendors.<name>`; the rest is the adapter's own."""


_BINARY = ("target", "binary")


_PLATFORMS = {str(platform): platform for platform in Platform}


_PACKAGES = (".aab", ".apks", ".xapk", ".apkm", ".ipa", ".app", ".tgz", ".gz", ".apk", ".zip")
"""Endings of apps in files: where folders are taken, any other name may be one."""


def complaints(vendor: Vendor, row: Mapping[str, object], settings: Mapping[str, Json]) -> list[Complaint]:
    """All that this vendor cannot do of a merged row; strings may still be templates."""
    of_table = in_table(vendor.info, row)
    # An adapter knows ids alone: what is still a name is looked at when its id is known.
    if of_table or not BY_NAME.keys().isdisjoint(row):
        return of_table
    with adapter_guard(vendor, "check"):
        of_vendor = list(vendor.check(row, settings))
    # The adapter's own words about a file know what to do instead.
    return of_vendor if any(each.path == _BINARY for each in of_vendor) else [*of_vendor, *_ending(vendor.info, row)]


def in_table(info: VendorInfo, row: Mapping[str, object]) -> list[Complaint]:
    """What the capability table alone says of a row."""
    complaints = [*_platform(info, row), *_target(info, row), *_selection(info, row)]
    if row.get("artifacts") and not info.capabilities.artifacts:
        complaints.append(_cannot(info, ("artifacts",), "artifacts", "sign in with an account"))
    return complaints


def _ending(info: VendorInfo, row: Mapping[str, object]) -> Iterator[Complaint]:
    """A local build's file name, as far as it is known; the file itself need not exist yet."""
    target = row.get("target")
    name = cast("Mapping[str, object]", target).get("binary") if isinstance(target, dict) else None
    platform = _PLATFORMS.get(str(row.get("platform")))
    rules = info.capabilities.builds.get(platform) if platform is not None else None
    if rules is None or not isinstance(name, str) or is_open(name):
        return
    if name.lower().endswith(rules.endings) or (rules.folders and not name.lower().endswith(_PACKAGES)):
        return
    yield _not_taken(name, rules)


def _not_taken(name: str, rules: BuildRules) -> Complaint:
    folders = ", or a folder of split APKs" if rules.folders else ""
    message = f"{name}: not a build that this vendor takes"
    return Complaint(path=_BINARY, message=message, hint=f"it takes {', '.join(rules.endings)}{folders}")


def _cannot(info: VendorInfo, path: tuple[str | int, ...], word: str, what: str) -> Complaint:
    hint = info.capabilities.instead.get(word)
    return Complaint(path=path, message=f"{info.name} cannot {what}: {str(word)!r} is not offered", hint=hint)


def _platforms(capabilities: Capabilities) -> str:
    return " or ".join(str(platform) for platform in capabilities.targets if platform is not None)


def _platform(info: VendorInfo, row: Mapping[str, object]) -> Iterator[Complaint]:
    platform = row.get("platform")
    targets = info.capabilities.targets
    if platform is None:
        if None not in targets:
            yield Complaint(
                path=(),
                message=f"{info.name} needs a platform",
                hint=f"add platform: {_platforms(info.capabilities)}",
            )
    elif not is_open(platform) and platform not in targets:
        yield _cannot(info, ("platform",), str(platform), f"run {platform} tests")


def _allowed_targets(capabilities: Capabilities, platform: object) -> frozenset[TargetKind] | None:
    """The targets of a row's platform; None where the platform is not known or not offered."""
    if platform is None:
        return capabilities.targets.get(None)
    known = _PLATFORMS.get(str(platform))
    return capabilities.targets.get(known) if known is not None else None


def _target(info: VendorInfo, row: Mapping[str, object]) -> Iterator[Complaint]:
    allowed = _allowed_targets(info.capabilities, row.get("platform"))
    if allowed is None:
        return
    target = row.get("target")
    kinds = list(cast("Mapping[str, object]", target)) if isinstance(target, dict) else []
    where = f" on {row['platform']}" if row.get("platform") else ""
    for kind in kinds:
        if kind not in allowed:
            yield _wrong_target(info, kind, where, allowed)
    if not kinds and info.capabilities.target_required:
        offered = " or ".join(sorted(allowed))
        yield Complaint(path=(), message=f"{info.name} needs a target{where}", hint=f"add target: {{ {offered}: … }}")


def _wrong_target(info: VendorInfo, kind: str, where: str, allowed: frozenset[TargetKind]) -> Complaint:
    offered = ", ".join(sorted(allowed)) or "no target"
    hint = info.capabilities.instead.get(kind) or f"{info.name}{where} takes {offered}"
    return Complaint(path=("target", kind), message=f"{info.name}{where} cannot take target.{kind}", hint=hint)


def _selection(info: VendorInfo, row: Mapping[str, object]) -> Iterator[Complaint]:
    for kind in _KINDS:
        if kind in row and kind not in info.capabilities.selections:
            yield _cannot(info, (kind,), kind, _WHAT[kind])
    for key, kind in () if BY_NAME.keys().isdisjoint(row) else BY_NAME.items():
        if key in row and kind not in info.capabilities.selections:
            yield Complaint(
                path=(key,),
                message=f"{info.name} cannot {_WHAT[kind]}: {str(key)!r} is not offered",
                hint=info.capabilities.instead.get(kind),
            )
        elif key in row and INVENTORIES[key] not in info.inventories:
            hint = f"write the ids in {kind}"
            yield Complaint(
                path=(key,), message=f"{info.name} has no inventory that could be asked for names", hint=hint
            )
    for kind in (SelectionKind.TEST_IDS, SelectionKind.CATEGORY_IDS):
        ids = row.get(kind)
        if not isinstance(ids, list):
            continue
        yield from _ids(info, kind, ids)
        if len(ids) > 1 and info.capabilities.takes_one(kind):
            message, hint = only_one(info, kind)
            yield Complaint(path=(kind, 1), message=f"{message}, got {len(ids)}", hint=hint)


def _ids(info: VendorInfo, kind: SelectionKind, ids: Sequence[Any]) -> Iterator[Complaint]:
    numbers = set[int]()
    for index, identifier in enumerate(ids):
        if not info.capabilities.integer_ids:
            if isinstance(identifier, int):
                message = "ids are text here, but YAML reads this as a number"
                yield Complaint(path=(kind, index), message=message, hint="put it in quotes, exactly as it is written")
        elif _INTEGER.fullmatch(str(identifier)):
            if int(identifier) in numbers:  # with quotes and without them it is one test, and is paid for once
                message = f"{identifier!r} stands here twice"
                yield Complaint(path=(kind, index), message=message, hint="remove one of the two")
            numbers.add(int(identifier))
        elif not holds_template(str(identifier)):
            message = f"{identifier!r} is no id of {info.name}: its ids are integers"
            yield Complaint(path=(kind, index), message=message, hint="write the number that it has there")


def misfit(build: Build, rules: BuildRules | None) -> Complaint | None:
    """Why a vendor would not take a build; None where it would, or where nothing is known."""
    if rules is None:
        return None
    if not build.filename.lower().endswith(rules.endings):
        return None if build.folder and rules.folders else _not_taken(build.path, rules)
    if rules.max_bytes is not None and build.size > rules.max_bytes:
        size, most = (f"{number / 2**20:.0f} MiB" for number in (build.size, rules.max_bytes))
        if size == most:  # rounded, they would contradict the sentence
            size, most = f"{build.size} bytes", f"{rules.max_bytes} bytes"
        return Complaint(path=_BINARY, message=f"{build.path}: {size}, at most {most} are taken")
    return None


_INTEGER = regex(r"[0-9]{1,18}")
"""Limited, so that it is one number everywhere."""


_KINDS = tuple(SelectionKind)


_WHAT = {
    SelectionKind.TEST_IDS: "run single tests",
    SelectionKind.CATEGORY_IDS: "run categories",
    SelectionKind.TAGS: "choose tests by tags",
}


# --- a whole manifest -------------------------------------------------------------------------------------------------


class Checked(NamedTuple):
    """Rows that an earlier check found nothing wrong with, and the settings of the vendors in that check."""

    rows: Sequence[Row]
    settings: Mapping[str, Mapping[str, Json]]

    def same_rows(self, settings: Mapping[str, Mapping[str, Json]], vendors: Collection[str]) -> set[int]:
        """The identities of the rows that these vendors would be asked the same question about."""
        alike = {name for name in vendors if own_settings(self.settings.get(name, {})) == settings[name]}
        return {id(row) for row in self.rows if row.data.get("vendor") in alike}


def check_rows(
    manifest: Manifest,
    rows: Iterable[Row],
    vendors: Mapping[str, Vendor],
    settings: Mapping[str, Mapping[str, Json]],
    *,
    templates: bool = True,
    before: Checked | None = None,
) -> tuple[Diagnostic, ...]:
    """Every row against its vendor's own words and capabilities, one problem a place.

    Without `templates`, braces in a text are text like any other: so are rendered rows to be checked. Rows that were
    checked `before` are not looked at; a plugin's are, as its schema reads texts with braces in another way then.
    """
    problems: list[Diagnostic] = []
    taken: set[Place] = set()

    def report(found: Iterable[Diagnostic]) -> None:
        """All that is wrong at a place in one row; another row of the same entry says it again in its own words."""
        first = {(each.place, each.message): each for each in found if each.place not in taken}
        problems.extend(first.values())
        taken.update(each.place for each in first.values())

    plugins = {name: vendor for name, vendor in vendors.items() if name not in registry.names_builtin()}
    report(_of_settings(manifest, plugins, settings, templates=templates))
    unsettled = set(plugins) if problems else set()
    settings_of_vendor = {name: own_settings(settings.get(name, {})) for name in vendors}
    checked = before.same_rows(settings_of_vendor, vendors.keys() - plugins) if before is not None else set()
    for row in rows:
        if id(row) in checked:
            continue
        name = str(row.data["vendor"])
        of_options = list(_of_options(manifest, row, plugins[name], templates=templates)) if name in plugins else []
        if of_options or name in unsettled:  # the adapter's own check may rely on its schema
            reported = in_table(vendors[name].info, row.data)
        else:
            reported = complaints(vendors[name], row.data, settings_of_vendor[name])
        report([*of_options, *(complained(manifest, row, each, key=_is_key(each.path)) for each in reported)])
    return in_order(problems)


def _of_settings(
    manifest: Manifest,
    plugins: Mapping[str, Vendor],
    settings: Mapping[str, Mapping[str, Json]],
    *,
    templates: bool,
) -> Iterator[Diagnostic]:
    for name, vendor in plugins.items():
        for fault in faults_of_settings(vendor, settings.get(name, {}), GENERAL_SETTINGS, templates=templates):
            path = ("vendors", name, *fault.path)
            yield problem(manifest.document, path, fault.message, code=fault.code, hint=fault.hint, key=fault.key)


def _of_options(manifest: Manifest, row: Row, vendor: Vendor, *, templates: bool) -> Iterator[Diagnostic]:
    for fault in faults_of_options(vendor, row.data.get("options"), templates=templates):
        path, locator = ("options", *fault.path), RowLocator(manifest, row)
        yield problem(locator, path, fault.message, code=fault.code, hint=fault.hint, key=fault.key)


def complained(manifest: Manifest, row: Row, complaint: Complaint | Conflict, *, key: bool = False) -> Diagnostic:
    """What a vendor objects to, at the row's line."""
    locator = RowLocator(manifest, row)
    return problem(locator, complaint.path, complaint.message, code=codes.NOT_OFFERED, hint=complaint.hint, key=key)


def _is_key(path: tuple[str | int, ...]) -> bool:
    """Whether the place is the key itself: what is not offered is a key, a wrong platform is a value."""
    return bool(path) and isinstance(path[-1], str) and path[-1] not in {"platform", "timeout"}


def own_settings(settings: Mapping[str, Json]) -> dict[str, Json]:
    """What the adapter sees of a vendor's settings."""
    return {key: value for key, value in settings.items() if key not in GENERAL_SETTINGS}
