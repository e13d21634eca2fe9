"""Why a row came, went or changed: the line of the manifest that a reviewer has to look at."""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import TYPE_CHECKING

from qarunner.manifest.declarations import shaped_like_secret
from qarunner.plan.effective import flat, written_fields
from qarunner.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qarunner.cursor import Json
    from qarunner.diagnostics import Path
    from qarunner.manifest.model import Manifest
    from qarunner.plan.diff import Line

_LONGEST = 60
"""Characters of a value inside of a cause; the field itself shows all of it."""


class Expansion:
    """Why rows are there or not: entries, variants and axes of both sides."""

    def __init__(self, before: Iterable[Line], after: Iterable[Line]) -> None:
        self._before = _by_entry(before)
        self._after = _by_entry(after)

    def added(self, line: Line) -> str:
        return _why(line, self._before, self._after, ("added", "gained", "no longer excluded"))

    def removed(self, line: Line) -> str:
        return _why(line, self._after, self._before, ("removed", "lost", "now excluded"))


def _why(
    line: Line, others: Mapping[str, list[Line]], own: Mapping[str, list[Line]], words: tuple[str, str, str]
) -> str:
    """`own` is the side that has the row, `others` the one that has not."""
    verb, change, excluded = words
    beside = others.get(line.entry)
    if beside is None:
        return f"entry {line.entry} {verb}"
    if line.variant not in {each.variant for each in beside}:
        what = f"variant {line.variant}" if line.variant is not None else "the row without a variant"
        return f"{line.entry}: {what} {verb}"
    there = {name for each in beside for name in each.axes}
    new = [name for name in line.axes if name not in there]
    if new:
        return f"{line.entry}: {_axes(new)} {verb}"
    missing = sorted(there - line.axes.keys())
    if missing:
        return f"{line.entry}: {_axes(missing)} {'removed' if verb == 'added' else 'added'}"
    grown = [_values(line, name, beside, own[line.entry], change) for name in line.axes]
    told = [each for each in grown if each]
    return f"{line.entry}: {' and '.join(told) if told else excluded}"


def _axes(names: list[str]) -> str:
    return f"{'axis' if len(names) == 1 else 'axes'} {', '.join(names)}"


def _values(line: Line, name: str, beside: list[Line], own: list[Line], change: str) -> str | None:
    """`axis locale gained fr, it`, if the row has one of these values."""
    there = {each.axes.get(name) for each in beside}
    only = [
        value for value in dict.fromkeys(each.axes[name] for each in own if name in each.axes) if value not in there
    ]
    return f"axis {name} {change} {', '.join(shown(value) for value in only)}" if line.axes[name] in only else None


def _by_entry(lines: Iterable[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.entry, []).append(line)
    return found


def renamed(before: Line, after: Line) -> str:
    if before.entry != after.entry:
        return f"entry {before.entry} renamed to {after.entry}"
    if before.variant is None:
        return f"{before.entry}: the entry became its variant {after.variant}"
    if after.variant is None:
        return f"{before.entry}: variant {before.variant} became the entry itself"
    return f"{before.entry}: variant {before.variant} renamed to {after.variant}"


# --- fields -----------------------------------------------------------------------------------------------------------


class Fields:
    """Why fields of one row differ: its variant, its entry, the defaults, or a value of `vars`."""

    def __init__(self, old: Manifest, before: Line, new: Manifest, after: Line) -> None:
        self._old, self._before = old, before
        self._new, self._after = new, after
        self._written = written_fields(before.row), written_fields(after.row)

    def cause(self, path: str) -> tuple[str, str | None]:
        """`defaults.timeout 30m → 45m`, and the entry or variant where it was written, if it was there."""
        before, after = self._written[0].get(path), self._written[1].get(path)
        if before == after and isinstance(after, str):
            return self.of_values(after) or f"{self._after.entry}: the axes' values", None
        old, new = _layer(self._old, self._before, path), _layer(self._new, self._after, path)
        change = f"{path} {shown(before)} → {shown(after)}"
        where = _where(self._after, new or old or ())
        if where is not None:
            return f"{where}: {change}", where
        return ".".join((*map(str, new or old or ("defaults",)), change)), None

    def of_values(self, template: str) -> str | None:
        """What a text reads from `vars` that is not the same any more."""
        for name, (old, new) in self._vars.items():
            if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w-])", template):
                return f"{name} {shown(old)} → {shown(new)}"
        return None

    @cached_property
    def _vars(self) -> dict[str, tuple[Json, Json]]:
        old, new = (dict(flat({"vars": dict(side.vars)})) for side in (self._old, self._new))
        return {
            name: (old.get(name), new.get(name))
            for name in dict.fromkeys((*new, *old))
            if old.get(name) != new.get(name)
        }


def _where(line: Line, layer: Path) -> str | None:
    """The entry or its variant; None for the defaults, or those of a profile."""
    if layer[-1:] == ("defaults",):
        return None
    return f"{line.entry}, variant {line.variant}" if "variants" in layer else line.entry


def _layer(manifest: Manifest, line: Line, path: str) -> Path | None:
    """The layer of the row that has a field, highest priority first."""
    for layer in line.row.layers:
        if any(each == path or each.startswith((f"{path}.", f"{path}[")) for each, _ in flat(_at(manifest, layer))):
            return layer
    return None


def _at(manifest: Manifest, path: Path) -> object:
    value: object = manifest.document.data
    for step in path:
        if isinstance(value, dict):
            value = value.get(str(step))
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
    return value


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
        return [presentable(each) for each in value]
    if isinstance(value, dict):
        return {key: presentable(each) for key, each in value.items()}
    return value


def _list(value: Json) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return f"[{', '.join(value)}]"
    return json.dumps(value, ensure_ascii=False)
