"""Nothing that a manifest says is dropped: another value of an option, a setting or a tag gives another call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from qarunner.entry import SelectionKind
from qarunner.errors import ManifestError, UserError
from qarunner.testing.suite import check_complete, resources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from qarunner.decode import Json
    from qarunner.testing.adapter import Scene
    from qarunner.vendors.api import Request


def check_nothing_dropped(scenes: Sequence[Scene]) -> None:
    """AssertionError for the first option, setting, id or fact of the build that changes nothing."""
    for scene in scenes:
        _check_sent(scene)
        _check_options(scene)
        _check_selections(scene)
        _check_commit(scene)
    _check_settings(scenes)


def _check_sent(scene: Scene) -> None:
    expected, create = scene.example.sent, scene.job.request
    if expected is not None:
        assert create == expected, f"{scene.name}: submit: `sent` is {expected}, and the adapter gives {create}"


# --- options and settings ---------------------------------------------------------------------------------------------


def _check_options(scene: Scene) -> None:
    """Each option that a row takes, also those that the example does not have."""
    for row in scene.example.rows:
        options = cast("Mapping[str, Json]", row.get("options") or {})
        for name, schema in scene.vendor.info.options.items():
            others = [scene.with_row(row, {**row, "options": other}) for other in _others(options, name, schema)]
            changes = _changes(scene, others)
            assert changes is not False, f"{scene.name}: options.{name} is dropped: its values give one call"


def _check_settings(scenes: Sequence[Scene]) -> None:
    """A setting may be of use for some calls, or for lists, alone: it has to change something in one example."""
    for name, schema in scenes[0].vendor.info.settings.items():
        changes = [
            _changes(scene, [scene.altered(settings=other) for other in _others(scene.example.settings, name, schema)])
            for scene in scenes
        ]
        assert True in changes or False not in changes, (
            f"{scenes[0].name}: settings: {name} is dropped: whatever it is, the calls are the same"
        )


def _others(values: Mapping[str, Json], name: str, schema: Json) -> Iterator[dict[str, Json]]:
    """The same with other values under a name, and without it."""
    before = values.get(name)
    rest = {key: value for key, value in values.items() if key != name}
    for value in _values(cast("Mapping[str, Any]", schema), before):
        # Without a value, the vendor's own is taken: that is mostly false, or nothing.
        if value != before and (value or before is not None):
            yield {**rest, name: value}
    if name in values:
        yield rest


def _values(schema: Mapping[str, Any], before: Json) -> Iterator[Json]:
    """What a value can be besides, as far as its schema shows it. What the schema refuses is no value."""
    yield from schema.get("enum", ())
    yield from schema.get("examples", ())
    match before:
        case bool():
            yield not before
        case int():
            yield from (before + 1, before - 1)
        case str():
            yield f"{before}2"
        case list():
            yield [*before, *before[-1:]]
        case dict():
            yield {**before, "zz": 1}
        case _:
            pass  # its type says what it can be
    kinds = schema.get("type", ())
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        yield from _OF_KINDS.get(kind, ())


_OF_KINDS: Mapping[str, Sequence[Json]] = {
    "boolean": (True, False),
    "integer": (1, 2, 100),
    "number": (1, 0.5),
    "string": ("zz", "https://zz.example"),
    "array": (["zz"],),
    "object": ({"zz": "zz"},),
}


def _changes(scene: Scene, others: Iterable[Scene]) -> bool | None:
    """Whether one of other scenes gives other calls; None if none of them is valid."""
    usual, valid = _calls(scene), False
    for other in others:
        if _is_valid(other):
            valid = True
            if _calls(other) != usual:
                return True
    return False if valid else None


def _is_valid(scene: Scene) -> bool:
    try:
        scene.compiled()
    except (ManifestError, UserError):
        return False
    return True


def _calls(scene: Scene) -> list[object]:
    """All that an adapter makes of an example: what it sends, and how it reads the answers."""
    plan, adapter = scene.plan, scene.adapter
    if len(plan.jobs) > 1:
        return [job.request for job in plan.jobs]
    calls: list[object] = [scene.job.request]
    calls += [(resource.kind, dict(resource.data)) for _, resource in resources(scene)]
    for answers in (scene.example.passed, scene.example.failed, scene.example.running):
        try:
            calls += [request for pairs in scene.exchanges(answers).values() for request, _ in pairs]
            calls.append(scene.outcomes(scene.created, scene.story(answers)))
        except AssertionError as error:  # it asks for more than the example has: another way to read
            calls.append(str(error))
    calls += [adapter.cancel(scene.call, run) for run in scene.runs]
    calls += [adapter.inventory(kind, scene.example.settings, ()) for kind in sorted(scene.example.listed)]
    return calls


# --- ids and tags -----------------------------------------------------------------------------------------------------


def _check_selections(scene: Scene) -> None:
    """Several ids of each kind that the vendor takes; those that a row cannot have are refused, and say so."""
    able = scene.vendor.info.capabilities
    for row in scene.example.rows:
        rest = {key: value for key, value in row.items() if key not in {*SelectionKind}}
        for kind in sorted(able.selections):
            if able.takes_one(kind):
                continue
            written = cast("Sequence[Json]", row.get(kind) or ())
            ids = [*written, *([71, 72] if able.integer_ids and kind is not SelectionKind.TAGS else ["zz1", "zz2"])]
            other = scene.with_row(row, {**rest, kind: ids})
            if _is_valid(other) and len(other.plan.jobs) == 1:
                check_complete(other, other.job.request)


# --- where the build comes from ---------------------------------------------------------------------------------------


def _check_commit(scene: Scene) -> None:
    """A create that tells of the build tells what is tested: its commit."""
    facts = [name for name in _OF_BUILD if _depends(scene, name)]
    is_whole = not facts or _depends(scene, "commit") or scene.example.sent is not None
    assert is_whole, f"{scene.name}: submit tells the {', '.join(facts)} of the build, but not its commit"


_OF_BUILD = ("repository", "ref", "ref_name", "branch", "build_url")


def _depends(scene: Scene, name: str) -> bool:
    """Whether the create, or a resource of it, is another one for another fact of the build."""
    before = getattr(scene.example.metadata, name)
    if before is None:
        return False
    other = scene.altered(metadata=replace(scene.example.metadata, **{name: f"{before}7"}))
    return _is_valid(other) and _made_of(other) != _made_of(scene)


def _made_of(scene: Scene) -> tuple[Request, list[object]]:
    return scene.job.request, [dict(resource.data) for _, resource in resources(scene)]
