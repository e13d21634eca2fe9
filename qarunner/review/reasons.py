"""What a reviewer of a changed matrix must not miss: gates that open, secrets that travel, variables to set."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner.decode import Json, collected
from qarunner.entry import BY_NAME, TargetKind
from qarunner.known import holds_template
from qarunner.manifest.model import BASE, Manifest
from qarunner.manifest.rules import truth
from qarunner.manifest.templates.env import shaped_like_secret
from qarunner.manifest.templates.parse import parse
from qarunner.manifest.templates.scope import templates_in
from qarunner.plan.cost import amount_of
from qarunner.regex import regex
from qarunner.review.fields import Fields, fields_of, fields_of_settings, flat, meaning, written_fields
from qarunner.review.model import Change, Difference, Line, Setting, Side, Size
from qarunner.secret import MASK
from qarunner.text import money
from qarunner.vendors import registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from qarunner.diagnostics import Path


# ---------------------------------------------------------------------------------------------------------------------

# Why a row came, went or changed: the line of the manifest that a reviewer has to look at.


_LONGEST = 60
"""Characters of a value inside of a cause; the field itself shows all of it."""


class Expansion:
    """Why rows are there or not: entries, variants and axes of both sides."""

    def __init__(self, before: Iterable[Line], after: Iterable[Line]) -> None:
        self._before, self._after = (collected((line.entry, line) for line in lines) for lines in (before, after))

    def added(self, line: Line) -> str:
        return _why(line, self._before, self._after, ("added", "gained", "no longer excluded"))

    def removed(self, line: Line) -> str:
        return _why(line, self._after, self._before, ("removed", "lost", "now excluded"))


def _why(
    line: Line, others: Mapping[str, list[Line]], by_entry: Mapping[str, list[Line]], words: tuple[str, str, str]
) -> str:
    """`by_entry` is the side that has the row, `others` the one that has not."""
    verb, change, excluded = words
    beside = others.get(line.entry)
    if beside is None:
        return f"entry {line.entry} {verb}"
    if line.variant not in {other.variant for other in beside}:
        what = f"variant {line.variant}" if line.variant is not None else "the row without a variant"
        return f"{line.entry}: {what} {verb}"
    there = {name for other in beside for name in other.axes}
    new = [name for name in line.axes if name not in there]
    if new:
        return f"{line.entry}: {_axes(new)} {verb}"
    missing = sorted(there - line.axes.keys())
    if missing:
        return f"{line.entry}: {_axes(missing)} {'removed' if verb == 'added' else 'added'}"
    grown = [_values(line, name, beside, by_entry[line.entry], change) for name in line.axes]
    texts = [other for other in grown if other]
    return f"{line.entry}: {' and '.join(texts) if texts else excluded}"


def _axes(names: list[str]) -> str:
    return f"{'axis' if len(names) == 1 else 'axes'} {', '.join(names)}"


def _values(line: Line, name: str, beside: list[Line], lines: list[Line], change: str) -> str | None:
    """`axis locale gained fr, it`, if the row has one of these values."""
    there = {other.axes.get(name) for other in beside}
    only = [
        value
        for value in dict.fromkeys(other.axes[name] for other in lines if name in other.axes)
        if value not in there
    ]
    return f"axis {name} {change} {', '.join(shown(value) for value in only)}" if line.axes[name] in only else None


def renamed(before: Line, after: Line) -> str:
    if before.entry != after.entry:
        return f"entry {before.entry} renamed to {after.entry}"
    if before.variant is None:
        return f"{before.entry}: the entry became its variant {after.variant}"
    if after.variant is None:
        return f"{before.entry}: variant {before.variant} became the entry itself"
    return f"{before.entry}: variant {before.variant} renamed to {after.variant}"


# --- fields -----------------------------------------------------------------------------------------------------------


class FieldCauses:
    """Why fields of one row differ: its variant, its entry, the defaults, a value of `vars`, or the lock."""

    def __init__(self, old: Manifest, before: Line, new: Manifest, after: Line, *, lock: str = "") -> None:
        self._lock = lock
        self._old, self._before = old, before
        self._new, self._after = new, after
        self._written = written_fields(before.row), written_fields(after.row)

    def cause(self, path: str) -> tuple[str, str | None]:
        """`defaults.timeout 30m → 45m`, and the entry or variant where it was written, if it was there."""
        before, after = self._written[0].get(path), self._written[1].get(path)
        if path.startswith("vendors."):
            return f"{path} {shown(self._before.fields.get(path))} → {shown(self._after.fields.get(path))}", None
        if (names := self._names(path)) is not None:
            return f"{self._lock}: {', '.join(map(shown, names))}", None
        if before == after and after is not None:
            texts = " ".join(text for _, text in templates_in({"": after}))
            return self.of_values(texts) or f"{self._after.entry}: the axes' values", None
        old, new = _layer(self._old, self._before, path), _layer(self._new, self._after, path)
        change = f"{path} {shown(before)} → {shown(after)}"
        where = _where(self._after, new or old or ())
        if where is not None:
            return f"{where}: {change}", where
        return ".".join((*map(str, new or old or ("defaults",)), change)), None

    def _names(self, path: str) -> list[Json] | None:
        """The names behind a value that the lock gives, and that no person wrote."""
        old, new = self._written[0].get(path), self._written[1].get(path)
        for key, names in {**(self._before.value.named or {}), **(self._after.value.named or {})}.items():
            if BY_NAME[key] == path and new is None:
                return list(names)
        by_name = path == f"target.{TargetKind.ENVIRONMENT}" and new != self._after.fields.get(path)
        return [new] if by_name and new == old and not holds_template(str(new)) else None

    def of_values(self, template: str) -> str | None:
        """What a text reads from `vars` or a default that is not the same any more; that of this row, if it tells."""
        changed = self._changed_by(template, frozenset())
        mine = [
            setting
            for setting in changed
            if any(str(setting.after) in str(value) for value in self._after.fields.values())
        ]
        first = (mine or changed)[:1]
        return f"{first[0].path} {shown(first[0].before)} → {shown(first[0].after)}" if first else None

    def _changed_by(self, template: str, seen: frozenset[str]) -> list[Setting]:
        """The changed values behind a text, through other values of `vars` as well."""
        settings: list[Setting] = []
        for reference in parse(template).references:
            name = ".".join((reference.root, *reference.path))
            settings += [setting for setting in self._values if _concerns(setting.path, name)]
            if reference.root == "vars" and name not in seen:
                value = self._new.vars.get(reference.path[0], "") if reference.path else dict(self._new.vars)
                for _, text in templates_in({"": value}):
                    settings += self._changed_by(text, seen | {name})
        return settings

    @cached_property
    def _values(self) -> list[Setting]:
        old, new = (_values_of(side) for side in (self._old, self._new))
        return [
            Setting(path=name, before=old.get(name), after=new.get(name))
            for name in dict.fromkeys((*new, *old))
            if old.get(name) != new.get(name)
        ]


def _values_of(manifest: Manifest) -> Fields:
    """What templates can read of a manifest itself: `vars`, and the defaults of variables."""
    defaults: Fields = {f"env.{name}.default": declaration.default for name, declaration in manifest.env.items()}
    return defaults | dict(flat({"vars": dict(manifest.vars)}))


def _concerns(changed: str, name: str) -> bool:
    """Whether a text that reads a name sees a change: of the value itself, of a part of it, or of what holds it."""
    return changed == name or changed.startswith(f"{name}.") or name.startswith(f"{changed}.")


def _where(line: Line, layer: Path) -> str | None:
    """The entry or its variant; None for the defaults, those of a profile, and for the base."""
    if layer[-1:] == ("defaults",) or layer[:1] == (BASE,):
        return None
    return f"{line.entry}, variant {line.variant}" if "variants" in layer else line.entry


def _layer(manifest: Manifest, line: Line, path: str) -> Path | None:
    """The layer of the row that has a field, highest priority first."""
    for layer in line.row.layers:
        if any(key == path or key.startswith((f"{path}.", f"{path}[")) for key, _ in flat(manifest.section(layer))):
            return layer
    return None


def shown(value: Json, longest: int = _LONGEST) -> str:
    """A value in one line, as YAML's flow style would have it; what looks like a secret is not repeated."""
    value = presentable(value)
    if value is None:
        return "(none)"
    if isinstance(value, bool):
        return str(value).lower()
    text = value if isinstance(value, str) else _list(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def presentable(value: Json) -> Json:
    """A value without what looks like a secret: a comment would spread what the manifest should not hold."""
    if isinstance(value, str):
        return MASK if shaped_like_secret(value) else value
    if isinstance(value, list):
        return [presentable(item) for item in value]
    if isinstance(value, dict):
        return {key: presentable(item) for key, item in value.items()}
    return value


def _list(value: Json) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return f"[{', '.join(value)}]"
    return json.dumps(value, ensure_ascii=False)


_HOST = regex(r"(?:([a-z]+)://)?((?:\{\{.*?\}\}|[^/?#{])+)", re.IGNORECASE)
"""What a URL begins with, up to its path; a template in it stays as it is written."""


_URLS = ("target.web_url", "target.binary_url")


_USUAL_PORTS = {"https": ":443", "http": ":80"}


def _hosts(fields: Fields) -> dict[str, tuple[str, str]]:
    """The URLs of a row's target, options and settings by their paths: the scheme, and where each leads."""
    return {
        path: _host(text)
        for path, text in fields.items()
        if isinstance(text, str)
        and (path in _URLS or (path.startswith(("options", "vendors.")) and _SCHEME.match(text)))
    }


_SCHEME = regex(r"https?://", re.IGNORECASE)


def _host(text: str) -> tuple[str, str]:
    """The scheme and the host of a URL; the whole text is the host, where statements of a template decide it."""
    begins = None if "{%" in text else _HOST.match(text)
    if begins is None:
        return "", text
    scheme, host = (begins[1] or "").lower(), begins[2]
    return scheme, (host if "{" in host else host.lower()).removesuffix(_USUAL_PORTS.get(scheme, ":"))


class Kind(StrEnum):
    """What a notice is about, most important first."""

    SECRET = "secret"  # noqa: S105  a word
    CREDENTIAL = "credential"
    TARGET = "target"
    GATE = "gate"
    QUARANTINE = "quarantine"
    RETRIES = "retries"
    VARIABLE = "variable"
    BUDGET = "budget"
    COST = "cost"


class Notice(Struct, frozen=True, kw_only=True):
    """A sentence, and the rows that it is true of; empty where it is about the whole manifest."""

    kind: Kind
    message: str
    rows: tuple[str, ...] = ()


def notices(difference: Difference, before: Side | None, after: Side) -> tuple[Notice, ...]:
    """Everything to look at, most important first; rows of one sentence together."""
    order = list(Kind)
    together = collected(((notice.kind, notice.message), notice.rows) for notice in _all(difference, before, after))
    return tuple(
        Notice(kind=kind, message=message, rows=tuple(chain.from_iterable(rows)))
        for (kind, message), rows in sorted(together.items(), key=lambda item: order.index(item[0][0]))
    )


def _all(difference: Difference, before: Side | None, after: Side) -> Iterator[Notice]:
    old, new = _Reads(before), _Reads(after)
    yield from _secrets(old, new)
    yield from _places(old, new)
    yield from _new_vendors(old, new, after) if before is not None else ()
    yield from _published(old, new)
    yield from _variables(old, new)
    yield from _cost(difference.before, difference.after)
    for setting in difference.settings:
        yield from _of_setting(setting, is_new=before is None)
    for line in difference.added:
        yield from _policy({}, line.fields, line, new.of_vars)
        yield from _undecided(line.fields.items(), line)
    for line in difference.removed:
        if line.fields.get("quarantine.until") is not None:
            yield Notice(kind=Kind.QUARANTINE, message="quarantine ends with the row", rows=(line.id,))
    for change in difference.changed:
        yield from _moves(change)
        yield from _policy(change.before.fields, change.after.fields, change.after, new.of_vars)
        yield from _undecided(((item.path, item.after) for item in change.fields), change.after)


# --- what goes out ----------------------------------------------------------------------------------------------------


class _Reads:
    """What the rows of one matrix read, and who gets it; of no matrix, nothing."""

    def __init__(self, side: Side | None) -> None:
        self._side = side
        self._rows = side.rows if side is not None else ()
        self.env = side.manifest.env if side is not None else {}
        self.of_vars: dict[str, frozenset[str]] = {}
        """The environment variables behind each value of `vars`, through other values as well."""
        values = side.manifest.vars if side is not None else {}
        while (more := {name: _names({"": value}, self.of_vars) for name, value in values.items()}) != self.of_vars:
            self.of_vars = more

    @cached_property
    def vendors(self) -> dict[str, list[str]]:
        """The rows of each vendor."""
        return collected((str(row.data.get("vendor")), row.id) for row in self._rows)

    @cached_property
    def sent(self) -> dict[tuple[str, str], list[str]]:
        """Variables and the vendors that they go to, with the rows that send them."""
        settings = self._side.manifest.vendors if self._side is not None else {}
        of_vendors = {name: _names(written, self.of_vars) for name, written in settings.items()}
        uses = collected(
            ((name, vendor), row.id)
            for row in self._rows
            for vendor in (str(row.data.get("vendor")),)
            for name in _names(row.data, self.of_vars) | of_vendors.get(vendor, frozenset())
        )
        return dict(sorted(uses.items()))

    @cached_property
    def in_urls(self) -> dict[tuple[str, str], list[str]]:
        """Variables in URLs and the hosts, as they are written, that get them, with the rows."""
        return dict(sorted(collected(self._urls()).items()))

    def _urls(self) -> Iterator[tuple[tuple[str, str], str]]:
        for row in self._rows:
            assert self._side is not None  # noqa: S101  no row without a matrix
            value = self._side.values.get(row.id, row)
            vendor = str(value.data.get("vendor"))
            fields = fields_of(value) | fields_of_settings(vendor, self._side.settings(vendor))
            for path, (_, host) in _hosts(fields).items():
                yield from (((name, host), row.id) for name in _names({"": fields[path]}, self.of_vars))

    def sends(self, name: str) -> tuple[str, ...]:
        """The rows that send a variable anywhere."""
        return tuple(dict.fromkeys(row for (used, _), rows in self.sent.items() if used == name for row in rows))

    def is_secret(self, name: str) -> bool:
        return name in self.env and self.env[name].secret

    @cached_property
    def required(self) -> set[str]:
        return {name for name, _ in self.sent if name in self.env and self.env[name].default is None}


def _names(data: Mapping[str, object], of_vars: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The environment variables that templates in data read, through `vars` as well."""
    names_used: set[str] = set()
    for _, text in templates_in(dict(data)):
        for expression in parse(text).expressions:
            for reference in expression.references:
                if reference.root == "env":
                    names_used.update(reference.path[:1])
                elif reference.root == "vars":
                    names = reference.path[:1] or tuple(of_vars)
                    names_used.update(*(of_vars.get(name, frozenset()) for name in names))
    return frozenset(names_used)


def _secrets(old: _Reads, new: _Reads) -> Iterator[Notice]:
    known = {name for name, _ in old.sent}
    for (name, vendor), rows in new.sent.items():
        if not new.is_secret(name) or (name, vendor) in old.sent:
            continue
        hosts = [host for (used, host), where in new.in_urls.items() if used == name and set(where) & set(rows)]
        words = [f"--allow-secret {name}@{'HOST' if '{{' in host else host}" for host in hosts]
        need = "" if name in known else f"; apply needs {', '.join(words) or f'--allow-secret {name}@{vendor}'}"
        yield Notice(kind=Kind.SECRET, message=f"the secret {name} is now sent to {vendor}{need}", rows=tuple(rows))


def _places(old: _Reads, new: _Reads) -> Iterator[Notice]:
    """Secrets of before that stand in URLs of another host now: whoever owns it reads them."""
    known = {name for name, _ in old.sent}
    for (name, host), rows in new.in_urls.items():
        if name in known and (name, host) not in old.in_urls and new.is_secret(name):
            yield Notice(kind=Kind.SECRET, message=f"the secret {name} now goes to {host} in a URL", rows=tuple(rows))


def _new_vendors(old: _Reads, new: _Reads, after: Side) -> Iterator[Notice]:
    """Vendors whose key the pipeline did not need before."""
    for vendor in (name for name in new.vendors if name not in old.vendors):
        message = f"{vendor} is new here: apply needs its key in {after.credential(vendor)}"
        yield Notice(kind=Kind.CREDENTIAL, message=message, rows=tuple(new.vendors[vendor]))


def _published(old: _Reads, new: _Reads) -> Iterator[Notice]:
    """Variables that were secret and are no more: from now on the manifest alone decides where they go."""
    for name in new.env:
        if old.is_secret(name) and not new.is_secret(name):
            message = f"{name} is no secret any more: it is masked nowhere, and needs no --allow-secret"
            yield Notice(kind=Kind.SECRET, message=message, rows=new.sends(name))


def _variables(old: _Reads, new: _Reads) -> Iterator[Notice]:
    for name, declaration in new.env.items():
        if name not in old.env:
            needed = "; it must be set, as it has no default" if declaration.default is None else ""
            message = f"{name} is newly declared: templates can read it where the pipeline names it{needed}"
            yield Notice(kind=Kind.VARIABLE, message=message, rows=new.sends(name))
        elif name in new.required - old.required:
            message = f"{name} must be set from now on: it has no default"
            yield Notice(kind=Kind.VARIABLE, message=message, rows=new.sends(name))
    for name in sorted(old.required - new.required):
        yield Notice(kind=Kind.VARIABLE, message=f"{name} need not be set any more")


def _moves(change: Change) -> Iterator[Notice]:
    """A row that runs against another host or environment than before."""
    old, new, rows = change.before.fields, change.after.fields, (change.after.id,)
    were, are = _hosts(old), _hosts(new)
    for path in dict.fromkeys((*are, *were)):
        # A URL that a template decides as a whole begins with no scheme, and is one nevertheless.
        was = were.get(path) or (_host(str(old[path])) if path in old else None)
        now = are.get(path) or (_host(str(new[path])) if path in new else None)
        known = path in _URLS if was is None else was == now
        if now is not None and not known and (was is not None or now[1] not in {host for _, host in were.values()}):
            yield Notice(kind=Kind.TARGET, message=_leads(path, was, now), rows=rows)
    for path in dict.fromkeys((*new, *old)):
        is_place = path.startswith(("target.", "options.")) and "environment" in path.rpartition(".")[2]
        elsewhere = is_place or path.startswith("vendors.")
        if (
            elsewhere
            and path not in were | are
            and old.get(path) != new.get(path)
            and change.before.vendor == change.after.vendor
        ):
            message = f"runs elsewhere: {path} {shown(old.get(path))} → {shown(new.get(path))}"
            yield Notice(kind=Kind.TARGET, message=message, rows=rows)


def _leads(path: str, was: tuple[str, str] | None, now: tuple[str, str]) -> str:
    """Where a URL leads now; of one that is not the target, its name. The scheme is shown where it alone differs."""
    if was is None:
        return f"reaches {shown(now[1])} now: {path} was added"
    same_host = was[1] == now[1]
    texts = [f"{scheme}://{host}" if same_host and scheme else host for scheme, host in (was, now)]
    verb = "runs against" if path in _URLS else f"{path} leads to"
    return f"{verb} {shown(texts[1])} now, before {'against' if path in _URLS else 'to'} {shown(texts[0])}"


def _cost(before: Size, after: Size) -> Iterator[Notice]:
    """A run that costs more than before."""
    old, new = before.cost, after.cost
    if old is None or new is None or old.currency != new.currency or new.planned <= old.planned:
        return
    more = money(new.planned - old.planned, new.currency)
    yield Notice(kind=Kind.COST, message=f"each run costs {more} more: {amount_of(new, new.planned)}")


def _of_setting(setting: Setting, *, is_new: bool) -> Iterator[Notice]:
    change = f"{setting.path} {shown(setting.before)} → {shown(setting.after)}"
    path = setting.path.removeprefix(f"{BASE}.")
    if path.startswith("vendors.") and path.endswith(".api_key_env"):
        vendor = path.split(".")[1]
        key = registry.get(vendor).info.key_env if vendor in registry.names_builtin() else None
        yield Notice(kind=Kind.CREDENTIAL, message=f"{vendor} gets another credential: {_key(setting, key)}")
    elif path.startswith("gate."):
        if not is_new:
            yield Notice(kind=Kind.GATE, message=f"{change}{_weaker(setting)}")
    elif path.startswith(("budget.", "limits.")) and not is_new:
        yield Notice(kind=Kind.BUDGET, message=change)


def _key(setting: Setting, default: str | None) -> str:
    before = setting.before if setting.before is not None else default
    after = setting.after if setting.after is not None else default
    return f"{shown(before)} → {shown(after)}"


def _weaker(setting: Setting) -> str:
    """What a change of the gate lets through that it did not; "" where it lets through less."""
    first, second = setting.before, setting.after
    match setting.path.removeprefix("gate."):
        case "min_tests" if _count(second) < _count(first):
            return "; fewer tests are enough for a green build"
        case "on_skipped" if _STRICT.index(second) < _STRICT.index(first):
            return "; skipped tests fail fewer builds"
        case "max_quarantined" if first is not None and (second is None or _count(second) > _count(first)):
            return "; more rows may be in quarantine"
    return ""


_STRICT: tuple[Json, ...] = ("pass", None, "fail")
"""What `on_skipped` says, from the gate that lets most through to the one that lets least."""


# --- what a verdict counts --------------------------------------------------------------------------------------------


def _policy(before: Fields, after: Fields, line: Line, of_vars: Mapping[str, frozenset[str]]) -> Iterator[Notice]:
    """What of a row's policy differs; of a new row, what is not the default."""
    rows = (line.id,)
    allowed, allows = before.get("allow_failure", False), after.get("allow_failure", False)
    if allows != allowed and not isinstance(allows, str):
        message = "does not gate: allow_failure" if allows else "gates again: allow_failure is gone"
        yield Notice(kind=Kind.GATE, message=message, rows=rows)
    yield from _quarantine(before, after, rows)
    failed, fails = _count(before.get("retries.failed")), _count(after.get("retries.failed"))
    if fails > failed:
        message = f"failed tests are run again, up to {fails} times: a pass after a failure passes as flaky"
        yield Notice(kind=Kind.RETRIES, message=message, rows=rows)
    old, new = meaning(before), meaning(after)
    for key in ("if", "paths", "needs"):
        if before and key in after and old.get(key) != new.get(key):
            decided = key == "if" and not _names({key: line.row.data.get(key)}, of_vars)
            yield from _rarer(key, before, rows, truth(after[key]) if decided else None)


def _rarer(key: str, before: Fields, rows: tuple[str, ...], holds: bool | None) -> Iterator[Notice]:  # noqa: FBT001  it is a condition's value
    """What lets a row run less often; a condition that holds in each build does not."""
    if holds:
        return
    if holds is False:
        message = "never runs: `if` is false"
    elif key not in before:
        message = f"runs less often: `{key}` was added"
    else:
        message = f"may run less often: `{key}` was changed"
    yield Notice(kind=Kind.GATE, message=message, rows=rows)


def _undecided(fields: Iterable[tuple[str, Json]], line: Line) -> Iterator[Notice]:
    """What the build alone decides, and was edited: it may open the gate."""
    for path, value in fields:
        if path in {"allow_failure", "quarantine"} and isinstance(value, str):
            yield Notice(kind=Kind.GATE, message=f"may not gate: {path} is {shown(value)}", rows=(line.id,))


def _quarantine(before: Fields, after: Fields, rows: tuple[str, ...]) -> Iterator[Notice]:
    was, until = before.get("quarantine.until"), after.get("quarantine.until")
    if "quarantine" in after:
        return  # an expression that no build has computed yet
    if until is not None and was is None:
        owner, reason = after.get("quarantine.owner"), after.get("quarantine.reason")
        message = f"quarantine begins: does not gate until {until} ({shown(owner)}: {shown(reason)})"
        yield Notice(kind=Kind.QUARANTINE, message=message, rows=rows)
    elif until is None and (was is not None or "quarantine" in before):
        yield Notice(kind=Kind.QUARANTINE, message="quarantine ends: gates again", rows=rows)
    elif until != was:
        longer = "extended" if str(until) > str(was) else "shortened"
        message = f"quarantine {longer}: until {was} → {until}"
        yield Notice(kind=Kind.QUARANTINE, message=message, rows=rows)


def _count(value: Json) -> int:
    return value if isinstance(value, int) else 0
