"""What an adapter sends: calls that hold every entry once, and requests that mean one thing alone."""

# ruff: noqa: S101  a conformance suite asserts

from __future__ import annotations

import json
import re
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, cast

from qarunner.cursor import UnexpectedData
from qarunner.errors import UserError
from qarunner.testing.changes import replaced
from qarunner.testing.example import MOST_REPLIES, reply_of
from qarunner.vendors.api import More, Refusal, Reply, Request, fill

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qarunner.cursor import Json
    from qarunner.entry import Entry
    from qarunner.testing.adapter import Adapter
    from qarunner.testing.example import Scene
    from qarunner.vendors.api import Prepared, RemoteRun, Resource, VendorInfo

TOKEN = "0a1b2c3d4e5f"  # noqa: S105  a text that names resources apart
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
_PATH = re.compile(r"(/[^\s/?#\\]+)+")
_HOSTILE = ("a/b", "a?b=c", "a#b", "a b", "ä", "a%2Fb", "a\\b", "a;b", "a\r\nX: y")
_TEMPLATE = "{{ env.ANYTHING }}"


# --- calls ------------------------------------------------------------------------------------------------------------


def check_groups(scenes: Sequence[Scene]) -> None:
    """Groups of all examples together, of each alone, twice over, and in other orders."""
    each = [[_named(entry, f"{n}-") for entry in scene.call.entries] for n, scene in enumerate(scenes)]
    every = [entry for entries in each for entry in entries]
    twins = [*every, *(_named(entry, "again-") for entry in every)]
    random = Random(0)  # noqa: S311  the same orders every time
    orders = [random.sample(twins, len(twins)) for _ in range(10)]
    for entries in (*each, every, every[::-1], twins, *orders):
        _check_partition(scenes[0].adapter, entries)


def _named(entry: Entry, prefix: str) -> Entry:
    return replace(entry, id=prefix + entry.id)


def _check_partition(adapter: Adapter, entries: Sequence[Entry]) -> None:
    try:
        groups = adapter.group(entries)
    except UserError:  # the adapter's own word that these entries cannot stand together
        return
    got = [entry.id for group in groups for entry in group]
    wanted = [entry.id for entry in entries]
    assert sorted(got) == sorted(wanted), f"{adapter.name}: group: expected each of {wanted} once, got {got}"
    assert all(groups), f"{adapter.name}: group: a call without an entry"
    places = [[wanted.index(entry.id) for entry in group] for group in groups]
    in_order = all(place == sorted(place) for place in places) and places == sorted(places)
    assert in_order, f"{adapter.name}: group: the order of {wanted} is lost in {got}"


# --- requests ---------------------------------------------------------------------------------------------------------


def check_requests(scene: Scene) -> None:
    """The create, and what is asked of each run."""
    adapter, able = scene.adapter, scene.adapter.vendor.info.capabilities
    adapter.notices(scene.call)
    _check_request(scene, adapter.submit(scene.call))
    for run in scene.runs:
        _check_request(scene, adapter.poll(scene.call, run))
        cancel = adapter.cancel(scene.call, run)
        told = f"{adapter.name}: capabilities.cancel is {able.cancel}, but cancel() gives {cancel}"
        assert (cancel is not None) == able.cancel, told
        if cancel is not None:
            _check_request(scene, cancel)
    for runs in (scene.runs, scene.runs[:1]):
        if (together := adapter.cancel_all(scene.call, runs)) is not None:
            _check_request(scene, together)
            assert able.cancel, f"{adapter.name}: capabilities.cancel is False, but cancel_all() gives {together}"


def _check_request(scene: Scene, request: Request) -> None:
    where = f"{scene.adapter.name}: {request}"
    assert request.method in _METHODS, f"{where}: unknown method"
    if request.file is None:
        told = "expected a path from the base URL, quoted, without `..`, and a query in `query`"
        assert _PATH.fullmatch(request.path), f"{where}: {told}"
        assert request.path.isascii(), f"{where}: {told}"
        assert not {".", ".."} & set(request.path.split("/")), f"{where}: {told}"
    else:
        assert re.match(r"https?://|/", request.path), f"{where}: expected a path, or an upload's absolute address"
        assert request.body is None, f"{where}: a body and a file"
    for problem in _not_json(request.body, "body"):
        raise AssertionError(f"{where}: {problem}")
    for name, value in request.query:
        assert {type(name), type(value)} == {str}, f"{where}: a query is pairs of texts"
    for name, value in request.headers:
        _check_header(scene.adapter.vendor.info, name, value, where)


def _check_header(info: VendorInfo, name: str, value: str, where: str) -> None:
    ours = {each.lower() for each in (info.auth[0], info.idempotency_header, "cookie") if each}
    assert name.lower() not in ours, f"{where}: the header {name} is not the adapter's to send"
    assert re.fullmatch(r"[A-Za-z0-9-]+", name), f"{where}: {name!r} is no name of a header"
    assert value.isascii(), f"{where}: {name}: expected ASCII"
    assert value.isprintable(), f"{where}: {name}: has a character that no header can have"


def _not_json(value: object, path: str) -> Iterator[str]:
    """Where a body is not plain JSON. A codec may well write sets or dates down, but nobody reads them back."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _not_json(child, f"{path}.{key}") if isinstance(key, str) else (f"{path}: {key!r} is no text",)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _not_json(child, f"{path}[{index}]")
    elif value is not None and not isinstance(value, (str, int, float)):
        yield f"{path}: {type(value).__name__} is not JSON"
    else:
        try:
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except ValueError as error:
            yield f"{path}: {error}"


# --- ids --------------------------------------------------------------------------------------------------------------


def check_ids(scene: Scene) -> None:
    """Ids come from the vendor, but a path must lead to where the adapter meant."""
    for run in scene.runs:
        for hostile in _HOSTILE:
            for request, usual in zip(_about(scene, replace(run, id=hostile)), _about(scene, run), strict=True):
                _check_request(scene, request)
                told = f"{scene.adapter.name}: with the id {hostile!r} the path is {request.path}: quote it"
                assert request.path.count("/") == usual.path.count("/"), told
        for dots in (".", ".."):
            _check_dots(scene, run, dots)


def _about(scene: Scene, run: RemoteRun) -> list[Request]:
    asked = (scene.adapter.poll(scene.call, run), scene.adapter.cancel(scene.call, run))
    return [request for request in asked if request is not None]


def _check_dots(scene: Scene, run: RemoteRun, dots: str) -> None:
    """An id `..` is refused when it comes: no quoting keeps it from naming another resource."""
    body = json.loads(scene.created.text)
    created = replaced(body, lambda leaf: dots if str(leaf) == run.id else leaf)
    try:
        runs = scene.adapter.runs(scene.call, Reply(status=200, text=json.dumps(created)))
    except UnexpectedData:
        return
    for made in runs:
        for request in _about(scene, made):
            _check_request(scene, request)


# --- resources --------------------------------------------------------------------------------------------------------


def check_resources(scene: Scene) -> None:
    """Each resource is made with the example's answers, and the create finds in it what it speaks of."""
    adapter = scene.adapter
    needs = adapter.resources(scene.call)
    keys = [need.key for need in needs]
    assert len(keys) == len(set(keys)), f"{adapter.name}: resources: needs with the same key: {keys}"
    values = {}
    for key, resource in resources(scene):
        prepared, _ = made(scene, resource)
        values[key] = prepared.values
        release = adapter.release(resource, prepared)
        if release is not None:
            _check_request(scene, release)
    try:
        fill(adapter.submit(scene.call).body, values)
    except KeyError as error:
        raise AssertionError(f"{adapter.name}: submit uses {error}, but prepare gives {values}") from error


def resources(scene: Scene) -> list[tuple[str, Resource]]:
    by_id = {resource.id: resource for resource in scene.plan.resources}
    return [(key, by_id[name]) for key, name in scene.job.uses.items()]


def made(scene: Scene, resource: Resource) -> tuple[Prepared, list[Reply]]:
    """A resource at its end, and the replies that led to it."""
    replies: list[Reply] = []
    while isinstance(step := _step(scene, resource, replies), Request):
        _check_request(scene, step)
        _check_upload(scene, step, resource)
        assert len(replies) < MOST_REPLIES, f"{scene.adapter.name}: prepare asks for more and more"
        replies.append(reply_of(scene.example.made, step, len(replies)))
    for name, value in step.values.items():
        assert isinstance(value, str), f"{scene.adapter.name}: prepare: {name}: expected a text, got {value!r}"
    return step, replies


def _step(scene: Scene, resource: Resource, replies: Sequence[Reply]) -> Request | Prepared:
    try:
        step = scene.adapter.prepare(resource, TOKEN, replies)
    except UnexpectedData as error:
        raise AssertionError(f"{scene.adapter.name}: the example's `made` is not understood: {error}") from error
    assert not isinstance(step, Refusal), f"{scene.adapter.name}: the example's `made` is refused: {step}"
    return step.request if isinstance(step, More) else step


def _check_upload(scene: Scene, request: Request, resource: Resource) -> None:
    if request.file is not None:
        path = resource.build.path if resource.build else None
        told = f"{scene.adapter.name}: prepare: sends {request.file.path}, but the resource is {path}"
        assert request.file.path == path, told


# --- rows before they are rendered ------------------------------------------------------------------------------------


def check_templates(scene: Scene) -> None:
    """`check` sees rows as they were written: any text in them can be a template still."""
    fixed = ("id", "vendor")
    for row in scene.rows:
        kept = {key: value for key, value in row.data.items() if key in fixed}
        templated = {**cast("dict[str, object]", _templated(row.data)), **kept}
        for settings in (dict(scene.example.settings), _templated(scene.example.settings), {}):
            scene.adapter.check(templated, cast("dict[str, Json]", settings))
            scene.adapter.check(dict(row.data), cast("dict[str, Json]", settings))


def _templated(data: object) -> object:
    return replaced(data, lambda leaf: _TEMPLATE if isinstance(leaf, str) else leaf)
