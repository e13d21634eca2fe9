"""Whether a saved plan still is what a new one would be: every difference by its name, and none passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

import msgspec

from qarunner.plan.model import Sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qarunner.plan.model import Plan

Data: TypeAlias = "dict[str, object]"

FACTS = ("sha", "branch", "tag", "repository")
"""What of a build counts: where results are reported to. Its URL and its event may be another job's."""

_NAMED = 5


def differences(saved: Plan, now: Plan) -> tuple[str, ...]:
    """What a plan that is made again with the same choices has other; both are of the same build's facts."""
    old, new = saved.sources or _NOTHING, now.sources or _NOTHING
    changed_files = [
        path for path in dict.fromkeys((*old.files, *new.files)) if old.files.get(path) != new.files.get(path)
    ]
    changed = [
        name for name in dict.fromkeys((*old.variables, *new.variables)) if _other(old.variables, new.variables, name)
    ]
    rows = list(_rows(saved, now))
    found = [f"{path} {_word(path, old.files, new.files)}" for path in changed_files]
    if found:
        found[-1] += _of_rows(rows)
    found += [f"{name} differs" for name in changed]
    found += [
        f"{name} is at {new.endpoints.get(name)}, was at {url}"
        for name, url in old.endpoints.items()
        if _other(old.endpoints, new.endpoints, name)
    ]
    found += _builds(saved, now)
    found += _settings(saved, now)
    found += _gate(saved, now)
    if not found:
        found += rows
    if not found:
        found += _rest(saved, now)
    return tuple(found)


_NOTHING = Sources(manifest="", files={}, variables={}, endpoints={})


def facts_that_differ(saved: Mapping[str, str | None], now: Mapping[str, str | None]) -> list[str]:
    """`git.sha is 1a2b3c4, the plan is for 9f8e7d6`: results would be reported to another commit."""
    return [
        f"git.{name} is {_short(now.get(name))}, the plan is for {_short(saved.get(name))}"
        for name in FACTS
        if saved.get(name) != now.get(name)
    ]


def _short(value: str | None) -> str:
    if value is None:
        return "not known"
    return value[:12] if len(value) == 40 else value  # noqa: PLR2004  a commit


def _word(path: str, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    if path not in new:
        return "is gone"
    return "changed" if path in old else "is new"


def _other(old: Mapping[str, str], new: Mapping[str, str], name: str) -> bool:
    return old.get(name) != new.get(name)


# --- rows -------------------------------------------------------------------------------------------------------------


def _rows(saved: Plan, now: Plan) -> Iterator[str]:
    """`2 rows changed (checkout/web, search)`, and the same of those that came or went."""
    old, new = ({entry.id: _bare(msgspec.to_builtins(entry)) for entry in plan.entries} for plan in (saved, now))
    kinds = {
        "changed": [name for name in new if name in old and new[name] != old[name]],
        "came": [name for name in new if name not in old],
        "went": [name for name in old if name not in new],
    }
    for word, names in kinds.items():
        if names:
            yield f"{len(names)} {'row' if len(names) == 1 else 'rows'} {word} ({_some(names)})"


def _some(names: Sequence[str]) -> str:
    told = ", ".join(names[:_NAMED])
    return told if len(names) <= _NAMED else f"{told}, …"


def _of_rows(rows: Sequence[str]) -> str:
    return f": {', '.join(rows)}" if rows else ", though no row of the plan did"


def _bare(entry: object) -> Data:
    """An entry without its place: a comment above it moves that, and so does another folder to start in."""
    return {key: value for key, value in cast("Data", entry).items() if key != "origin"}


# --- what else goes into it -------------------------------------------------------------------------------------------


def _builds(saved: Plan, now: Plan) -> Iterator[str]:
    old = {resource.id: resource.build for resource in saved.resources if resource.build is not None}
    for resource in now.resources:
        build, before = resource.build, old.get(resource.id)
        if build is not None and before is not None and build.sha256 != before.sha256:
            yield f"{build.path} has other content"


def _settings(saved: Plan, now: Plan) -> Iterator[str]:
    for name, settings in saved.vendors.items():
        if name in now.vendors:
            keys = _keys(
                cast("Data", msgspec.to_builtins(settings)), cast("Data", msgspec.to_builtins(now.vendors[name]))
            )
            if keys:
                yield f"vendors.{name} differs: {', '.join(keys)}"


def _gate(saved: Plan, now: Plan) -> Iterator[str]:
    keys = _keys(cast("Data", msgspec.to_builtins(saved.gate)), cast("Data", msgspec.to_builtins(now.gate)))
    yield from (f"gate.{key} differs" for key in keys)


def _keys(old: Data, new: Data) -> list[str]:
    found = []
    for key in dict.fromkeys((*old, *new)):
        first, second = old.get(key), new.get(key)
        if isinstance(first, dict) and isinstance(second, dict):
            found += [f"{key}.{each}" for each in _keys(first, second)]
        elif first != second:
            found.append(key)
    return found


_OF_THE_PLACE = frozenset({"digest", "manifest", "sources", "ci", "tool"})


def _rest(saved: Plan, now: Plan) -> Iterator[str]:
    """Whatever nothing above names, so that nothing else than the saved plan is ever applied."""
    old, new = _comparable(saved), _comparable(now)
    yield from (f"the plan's {key} differ" for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key))


def _comparable(plan: Plan) -> Data:
    data = cast("Data", msgspec.to_builtins(plan))
    data["entries"] = [_bare(entry) for entry in cast("list[object]", data["entries"])]
    for resource in cast("list[Data]", data["resources"]):
        if isinstance(resource.get("build"), dict):
            resource["build"] = {**cast("Data", resource["build"]), "path": ""}
    return {key: value for key, value in data.items() if key not in _OF_THE_PLACE}
