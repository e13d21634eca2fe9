"""What the suite asks of an adapter: its data, the requests that it builds, and the replies that it reads."""

from __future__ import annotations

import contextlib
import json
import re
from random import Random
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from msgspec.structs import replace

from qarunner.decode import Json, UnexpectedData
from qarunner.engine.decide.outcomes import merge, worst_verdict
from qarunner.engine.state.run import RunState
from qarunner.entry import Entry, Platform, SelectionKind, TargetKind
from qarunner.errors import ManifestError, UserError
from qarunner.plan.capabilities import GENERAL_SETTINGS, faults_of_options, faults_of_settings
from qarunner.testing.adapter import MOST_REPLIES, Answers, Scene, reply_of
from qarunner.testing.mutations import Story, good_tests, leaves, places, replaced
from qarunner.vendors import registry
from qarunner.vendors.api import (
    GOOD,
    AnyRequest,
    Capabilities,
    Cause,
    Finished,
    Leftover,
    More,
    Outcome,
    Pacing,
    Prepared,
    Refusal,
    RemoteRun,
    Reply,
    Request,
    Resource,
    ResourceKind,
    Running,
    Upload,
    Vendor,
    VendorInfo,
    Verdict,
    resolve_refs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence


# ---------------------------------------------------------------------------------------------------------------------

# What an adapter says of itself: complete, consistent, and safe to act upon.


_NAME = re.compile(r"[a-z][a-z0-9_-]*")


_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token of HTTP (RFC 9110, 5.6.2)."""


_ADAPTER_METHODS = [name for name in vars(Vendor) if not name.startswith("_") and callable(getattr(Vendor, name))]


WORDS = frozenset({*Platform, *TargetKind, *SelectionKind, "artifacts", "options"})


def check_info(vendor: Vendor) -> None:
    """AssertionError for the first thing that is not as the engine relies on it."""
    info = vendor.info
    assert not isinstance(vendor, type), "give an instance of the adapter, not its class"
    assert isinstance(info, VendorInfo), f"info is a VendorInfo, got {info!r}"
    missing = [name for name in _ADAPTER_METHODS if not callable(getattr(vendor, name, None))]
    assert not missing, f"methods are missing: {', '.join(missing)}; inherit from Vendor"
    hash(vendor)
    _check_names(info)
    _check_address(info)
    _check_capabilities(info.capabilities)
    _check_pacing(info.pacing)
    _check_schema("options", info.options)
    _check_schema("settings", info.settings)
    taken = GENERAL_SETTINGS.intersection(info.settings)
    assert not taken, f"settings: every vendor has {', '.join(sorted(taken))} already"
    # These raise for what is no JSON Schema.
    faults_of_options(vendor, {"-": None}, templates=False)
    faults_of_settings(vendor, {"-": None}, GENERAL_SETTINGS, templates=False)


def _check_names(info: VendorInfo) -> None:
    assert _NAME.fullmatch(info.name), f"name: {info.name!r} cannot be written as a vendor in a manifest"
    assert info.title.strip(), "title: is empty"
    assert info.docs.startswith("https://"), f"docs: expected the https address of the documentation: {info.docs!r}"
    variables = [info.key_env, *info.url_env, *info.credential_environ]
    for variable in variables:
        assert _VARIABLE.fullmatch(variable), f"{variable!r} is no name of an environment variable"
    assert len(variables) == len(set(variables)), f"the same variable for two things: {variables}"
    for other in registry.names_builtin():
        if other != info.name:
            theirs = registry.get(other).info
            shared = {theirs.key_env, *theirs.credential_environ, *theirs.url_env}.intersection(variables)
            assert not shared, f"{', '.join(shared)} belongs to {other}"


def _check_address(info: VendorInfo) -> None:
    url = info.base_url
    assert url.startswith("https://"), f"base_url: expected https: {url!r}"
    assert not re.search(r"[\s?#@]|/$", url), f"base_url: expected no query, user or last slash: {url!r}"
    assert info.url_env, "url_env: without a variable, nothing can lead the adapter to a test server"
    for header in info.auth.headers:
        assert _HEADER.fullmatch(header), f"auth: {header!r} is no name of a header"
    assert any("{key}" in text for text in info.auth.texts), "auth: {key} stands nowhere"
    for text in info.auth.texts:
        rest = text
        for name in ("key", *info.credential_environ):
            rest = rest.replace(f"{{{name}}}", "")
        assert not re.search(r"[{}\r\n]", rest), f"auth: only {{key}} and credential_environ are filled in: {text!r}"
    if info.idempotency_header is not None:
        assert _HEADER.fullmatch(info.idempotency_header), "idempotency_header: no name of a header"


def _check_capabilities(able: Capabilities) -> None:
    assert able.targets, "targets: there is no platform that the vendor takes; None is an entry without one"
    for platform, kinds in able.targets.items():
        assert platform is None or isinstance(platform, Platform), f"targets: {platform!r} is no Platform"
        assert all(isinstance(kind, TargetKind) for kind in kinds), f"targets: expected TargetKinds: {kinds}"
        assert kinds or not able.target_required, f"targets: required, but there is no kind for {platform}"
    assert all(isinstance(kind, SelectionKind) for kind in able.selections), "selections: expected SelectionKinds"
    assert able.selections, "selections: there is no way to choose tests"
    offered = {*able.targets, *able.selections, *(kind for kinds in able.targets.values() for kind in kinds)}
    for word, reason in able.instead.items():
        assert word in WORDS, f"instead: {word!r} is no word of the manifest"
        assert word not in offered, f"instead: {word!r} is offered"
        assert reason.strip(), f"instead: {word!r} has no reason"
    for platform, rules in able.builds.items():
        assert TargetKind.BINARY in able.targets.get(platform, ()), f"builds: {platform} takes no binary"
        assert rules.endings, f"builds: {platform} takes no file"
        invalid = [ending for ending in rules.endings if not ending.startswith(".") or ending != ending.lower()]
        assert not invalid, f"builds: endings begin with a dot and are in lower case: {invalid}"
        assert rules.max_bytes is None or rules.max_bytes > 0, f"builds: {platform}: max_bytes"


def _check_pacing(pacing: Pacing) -> None:
    assert 0 < pacing.every_s <= pacing.max_s, f"pacing: expected 0 < every_s <= max_s: {pacing}"
    for name in ("reads", "creates", "all"):
        rate = getattr(pacing, name)
        assert rate is None or (isinstance(rate, int) and rate >= 1), f"pacing: {name} is None or requests a minute"
    assert pacing.max_in_flight >= 1, "pacing: max_in_flight lets nothing begin"
    if pacing.hint_s is not None:
        least, most = pacing.hint_s
        assert 0 < least <= most, f"pacing: hint_s: {pacing.hint_s}"


def _check_schema(what: str, properties: Mapping[str, Json]) -> None:
    for name, schema in properties.items():
        assert _NAME.fullmatch(name), f"{what}: {name!r}: expected lower-case letters, digits, '_' and '-'"
        assert isinstance(schema, dict), f"{what}.{name}: expected a JSON Schema"
        described = isinstance(schema.get("description"), str) and schema["description"]
        assert described, f"{what}.{name}: expected a description"
        assert set(schema) - {"description"}, f"{what}.{name}: takes anything; say at least its type"


# ---------------------------------------------------------------------------------------------------------------------

# What an adapter sends: calls that hold every entry once, and requests that mean one thing alone.


TOKEN = "0a1b2c3d4e5f"  # noqa: S105  a text that names resources apart


_HTTP_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


_PATH = re.compile(r"(/[^\s/?#\\]+)+")


_HOSTILE = ("a/b", "a?b=c", "a#b", "a b", "ä", "a%2Fb", "a\\b", "a;b", "a\r\nX: y")


_TEMPLATE = "{{ env.ANYTHING }}"


# --- calls ------------------------------------------------------------------------------------------------------------


def check_groups(scenes: Sequence[Scene]) -> None:
    """Groups of all examples together, of each alone, twice over, and in other orders."""
    by_scene = [[_named(entry, f"{n}-") for entry in scene.call.entries] for n, scene in enumerate(scenes)]
    every = [entry for entries in by_scene for entry in entries]
    twins = [*every, *(_named(entry, "again-") for entry in every)]
    random = Random(0)  # noqa: S311  the same orders every time
    orders = [random.sample(twins, len(twins)) for _ in range(10)]
    for entries in (*by_scene, every, every[::-1], twins, *orders):
        _check_partition(scenes[0].adapter, entries)


def _named(entry: Entry, prefix: str) -> Entry:
    return replace(entry, id=prefix + entry.id)


def _check_partition(adapter: Vendor, entries: Sequence[Entry]) -> None:
    try:
        groups = list(adapter.group(list(entries)))
    except UserError:  # the adapter's own word that these entries cannot stand together
        return
    got = [entry.id for group in groups for entry in group]
    wanted = [entry.id for entry in entries]
    assert sorted(got) == sorted(wanted), f"{adapter.info.name}: group: expected each of {wanted} once, got {got}"
    assert all(groups), f"{adapter.info.name}: group: a call without an entry"
    places = [[wanted.index(entry.id) for entry in group] for group in groups]
    in_order = all(place == sorted(place) for place in places) and places == sorted(places)
    assert in_order, f"{adapter.info.name}: group: the order of {wanted} is lost in {got}"


# --- requests ---------------------------------------------------------------------------------------------------------


def check_requests(scene: Scene) -> None:
    """The create, and what is asked of each run."""
    adapter, able = scene.adapter, scene.adapter.info.capabilities
    adapter.notices(scene.call)
    create = adapter.submit(scene.call)
    check_request(scene, create)
    check_complete(scene, create)
    _check_list(scene)
    _check_many(scene)
    for run in scene.runs:
        _check_about(scene, "poll", adapter.poll(scene.call, run), [run])
        cancel = adapter.cancel(scene.call, run)
        message = f"{scene.name}: capabilities.cancel is {able.cancel}, but cancel() gives {cancel}"
        assert (cancel is not None) == able.cancel, message
        if cancel is not None:
            _check_about(scene, "cancel", cancel, [run])
    for runs in (scene.runs, scene.runs[:1]):
        if (together := adapter.cancel_all(scene.call, runs)) is not None:
            _check_about(scene, "cancel_all", together, runs)
            assert able.cancel, f"{scene.name}: capabilities.cancel is False, but cancel_all() gives {together}"


def _check_about(scene: Scene, method: str, request: Request, runs: Sequence[RemoteRun]) -> None:
    """A request about runs names one of them, by its id or by what the adapter noted of it."""
    check_request(scene, request)
    known = [text for run in runs for text in (run.id, *(str(value) for _, value in leaves(run.memo)))]
    assert _names(request, known), f"{scene.name}: {method}: {request} does not say which run it is about"


def _names(request: Request, known: Iterable[str]) -> bool:
    return any(_holds(text, word) for text in _texts(request) for word in known)


def _texts(request: Request) -> list[str]:
    """All that a request says of its own."""
    values = [value for _, value in (*request.query, *leaves(request.body))]
    return [unquote(request.path), *map(str, values)]


_ODD_PAGES = ("{}", "[]", "null", '{"runs": [], "items": [], "nextCursor": null, "totalCount": 0}')
"""Pages of a list that tell of no run."""


def _check_many(scene: Scene) -> None:
    """The example's list decides runs that were asked for, as their own reads would, and no other run."""
    name, adapter = scene.name, scene.adapter
    if scene.example.many == ():
        return

    def driven(runs: Sequence[RemoteRun]) -> Mapping[str, Reply]:
        replies: list[Reply] = []
        while isinstance(step := adapter.poll_many(scene.call.settings, runs, replies), Request):
            check_request(scene, step)
            replies.append(reply_of(scene.example.many, step, len(replies)))
        return step or {}

    decided = driven(scene.runs)
    assert decided, f"{name}: poll_many() decides nothing by the example's `many`"
    known = {run.id: run for run in scene.runs}
    others = sorted({*decided} - {*known} | {*driven([RemoteRun(id="another-run")])})
    assert not others, f"{name}: poll_many() decides {', '.join(others)}, which it was not asked for"
    story = scene.story(scene.example.passed)
    for number, reply in decided.items():
        alone = scene.read(known[number], story[number])
        try:
            listed = scene.read(known[number], [reply, *story[number][1:]])
        except UnexpectedData as error:
            raise AssertionError(
                f"{name}: what poll_many() shows of run {number} is not its status: {error}"
            ) from error
        is_same = listed == alone or isinstance(listed, Running)
        assert is_same, f"{name}: poll_many() shows run {number} as {listed}, its own read as {alone}"


def _check_list(scene: Scene) -> None:
    """A list is read with plain requests, and decides no run that it does not tell of."""
    name, vendor = scene.name, scene.adapter
    for text in _ODD_PAGES:
        replies: list[Reply] = []
        for _ in range(_MOST_STEPS):
            try:
                step = vendor.poll_many(scene.call.settings, scene.runs, replies)
            except UnexpectedData:
                break
            if not isinstance(step, Request):
                assert not step, f"{name}: poll_many() decides {sorted(step or {})} by the page {text}"
                break
            check_request(scene, step)
            assert step.method == "GET", f"{name}: {step}: a list of runs is read with GET"
            replies.append(Reply(status=200, text=text))
        else:
            raise AssertionError(f"{name}: poll_many() never ends with the page {text}")


_MOST_STEPS = 50


def check_complete(scene: Scene, create: Request) -> None:
    """The create, and the resources that it uses, hold every id and the target of each entry."""
    needs = [need.data for need in scene.adapter.resources(scene.call)]
    texts = [*_texts(create), *(str(value) for data in needs for _, value in leaves(data))]
    for entry in scene.call.entries:
        wanted = set(entry.selection.ids) if entry.selection else set()
        if entry.target and entry.target.kind is not TargetKind.BINARY:
            wanted.add(urlsplit(entry.target.value).hostname or entry.target.value)
        lost = sorted(word for word in wanted if not any(_holds(text, word) for text in texts))
        assert not lost, f"{scene.name}: submit: {', '.join(lost)} of {entry.id} is not in {create}"


def _holds(text: str, word: str) -> bool:
    return re.search(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", text, re.IGNORECASE) is not None


def check_request(scene: Scene, request: AnyRequest) -> None:
    where = f"{scene.name}: {request}"
    assert request.method in _HTTP_METHODS, f"{where}: unknown method"
    if isinstance(request, Upload):
        assert re.match(r"https?://", request.path), f"{where}: expected an absolute address"
        for texts in request.form.fields if request.form else ():
            assert all(isinstance(text, str) for text in texts), f"{where}: fields of a form are pairs of texts"
        return
    expected = "expected a path from the base URL, quoted, without `..`, and a query in `query`"
    assert _PATH.fullmatch(request.path), f"{where}: {expected}"
    assert request.path.isascii(), f"{where}: {expected}"
    assert not {".", ".."} & set(request.path.split("/")), f"{where}: {expected}"
    for problem in _not_json(request.body, "body"):
        raise AssertionError(f"{where}: {problem}")
    for name, value in request.query:
        assert {type(name), type(value)} == {str}, f"{where}: a query is pairs of texts"
    for name, value in request.headers:
        _check_header(scene.adapter.info, name, value, where)


def _check_header(info: VendorInfo, name: str, value: str, where: str) -> None:
    ours = info.auth.reserves(name) or name.lower() == (info.idempotency_header or "").lower()
    assert not ours, f"{where}: the header {name} is not the adapter's to send"
    assert _HEADER.fullmatch(name), f"{where}: {name!r} is no name of a header"
    assert value.isascii(), f"{where}: {name}: expected ASCII"
    assert value.isprintable(), f"{where}: {name}: has a character that no header can have"


def _not_json(value: object, path: str) -> Iterator[str]:
    """Where a body is not plain JSON. A codec may well write sets or dates down, but no reader gets them back."""
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
                check_request(scene, request)
                message = f"{scene.name}: with the id {hostile!r} the path is {request.path}: quote it"
                assert request.path.count("/") == usual.path.count("/"), message
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
        runs = scene.runs_of(Reply(status=200, text=json.dumps(created)))
    except UnexpectedData:
        return
    for made in runs:
        for request in _about(scene, made):
            check_request(scene, request)


def check_integer_ids(scene: Scene) -> None:
    """Where ids are integers, one without quotes is the same as with them, and what is no number is refused."""
    name = scene.name
    if not scene.adapter.info.capabilities.integer_ids:
        return
    usual = scene.job.request
    for row in scene.example.rows:
        for kind in _ID_KINDS.intersection(row):
            ids = [str(identifier) for identifier in cast("Sequence[Json]", row[kind])]
            assert all(identifier.isdecimal() for identifier in ids), f"{name}: integer_ids, but the example has {ids}"
            bare = scene.with_row(row, {**row, kind: [int(identifier) for identifier in ids]})
            assert bare.job.request == usual, f"{name}: with {kind} without quotes the request is {bare.job.request}"
            for invalid in ("zz", "1.5", "-1"):
                # A row that is refused has said so; what raises is a bug, and Adapter says which.
                with contextlib.suppress(ManifestError, UserError):
                    scene.with_row(row, {**row, kind: [invalid]}).compiled()


_ID_KINDS = frozenset({"test_ids", "category_ids"})


# --- resources --------------------------------------------------------------------------------------------------------


def check_resources(scene: Scene) -> None:
    """Each resource is made with the example's answers, and the create finds in it what it speaks of."""
    adapter = scene.adapter
    needs = list(adapter.resources(scene.call))
    keys = [need.key for need in needs]
    assert len(keys) == len(set(keys)), f"{scene.name}: resources: needs with the same key: {keys}"
    values = {}
    for key, resource in resources(scene):
        prepared, replies = made(scene, resource)
        values[key] = prepared.values
        _check_left(scene, resource, "kept", adapter.kept(resource, prepared))
        if (release := adapter.release(resource, prepared)) is not None:
            _check_release(scene, release, prepared, replies)
    try:
        resolve_refs(adapter.submit(scene.call).body, values)
    except KeyError as error:
        raise AssertionError(f"{scene.name}: submit uses {error}, but prepare gives {values}") from error


def _check_release(scene: Scene, release: Request, prepared: Prepared, replies: Sequence[Reply]) -> None:
    """What removes a resource names it, by what the vendor's last answer calls it; else by any of its values."""
    check_request(scene, release)
    values = {str(value) for value in prepared.values.values()}
    in_answer = {str(value) for _, value in leaves(_body_of(replies[-1]))} if replies else set()
    expected = sorted(values & in_answer or values)
    assert _names(release, expected), f"{scene.name}: release: {release} does not name the resource {expected}"


def _body_of(reply: Reply) -> object:
    try:
        return json.loads(reply.text)
    except ValueError:
        return None


def _check_left(scene: Scene, resource: Resource, method: str, left: Leftover | None) -> None:
    """An upload that stays, or may stay, has a name and a word on what to do."""
    if left is None:
        return
    where = f"{scene.name}: {method}"
    assert resource.kind is ResourceKind.BUILD, f"{where}: {resource.kind}s are removed: name them in `leftover`"
    assert left.what, f"{where}: without a name"
    assert left.todo, f"{where}: without a word on what to do"


def resources(scene: Scene) -> list[tuple[str, Resource]]:
    by_id = {resource.id: resource for resource in scene.plan.resources}
    return [(key, by_id[name]) for key, name in scene.job.uses.items()]


def made(scene: Scene, resource: Resource) -> tuple[Prepared, list[Reply]]:
    """A resource at its end, and the replies that led to it."""
    replies: list[Reply] = []
    while isinstance(step := _step(scene, resource, replies), (Request, Upload)):
        check_request(scene, step)
        _check_upload(scene, step, resource)
        if isinstance(step, Request):
            _check_left(scene, resource, "may_stay", scene.adapter.may_stay(resource, step))
        assert len(replies) < MOST_REPLIES, f"{scene.name}: prepare asks for more and more"
        replies.append(reply_of(scene.example.made, step, len(replies)))
    _check_values(scene, step)
    return step, replies


def _check_values(scene: Scene, prepared: Prepared) -> None:
    for name, value in prepared.values.items():
        where = f"{scene.name}: prepare: {name}"
        assert isinstance(value, (str, int)), f"{where}: expected a text or an integer, got {value!r}"
        assert not isinstance(value, bool), f"{where}: expected a text or an integer, got {value!r}"


def _step(scene: Scene, resource: Resource, replies: Sequence[Reply]) -> AnyRequest | Prepared:
    try:
        step = scene.adapter.prepare(resource, TOKEN, replies)
    except UnexpectedData as error:
        raise AssertionError(f"{scene.name}: the example's `made` is not understood: {error}") from error
    assert not isinstance(step, Refusal), f"{scene.name}: the example's `made` is refused: {step}"
    return step.request if isinstance(step, More) else step


def _check_upload(scene: Scene, request: AnyRequest, resource: Resource) -> None:
    if isinstance(request, Upload):
        path = resource.build.path if resource.build else None
        message = f"{scene.name}: prepare: sends {request.file.path}, but the resource is {path}"
        assert request.file.path == path, message


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


# ---------------------------------------------------------------------------------------------------------------------

# The example's own stories: passed is passed, failed is failed, running is neither.


BROKEN = frozenset({Verdict.FAILED, Verdict.BLOCKED})


def check_examples(scene: Scene) -> None:
    """Each story ends as the example says, and the adapter asks for all of it."""
    _check_runs(scene)
    _check_ends(scene)
    _check_running(scene)
    ends = {name: answers for name, (answers, _) in scene.example.ends.items()}
    for name, answers in {"passed": scene.example.passed, "failed": scene.example.failed, **ends}.items():
        if isinstance(answers, tuple):
            asked = max(len(replies) for replies in scene.story(answers).values())
            message = f"{scene.name}: `{name}` has {len(answers)} replies, but the adapter asks for {asked}"
            assert asked == len(answers), message
    if scene.example.nothing is not None:
        _check_nothing(scene)


def _check_runs(scene: Scene) -> None:
    for run in scene.runs:
        message = f"{scene.name}: accepted: memo has to survive being written down: {run.memo}"
        try:
            same = json.loads(json.dumps(run.memo, allow_nan=False)) == run.memo
        except (TypeError, ValueError) as error:
            raise AssertionError(message) from error
        assert same, message
        linked = run.url is None or run.url.startswith(("https://", "http://"))
        assert linked, f"{scene.name}: accepted: url: {run.url!r} is no address"


def _ended(scene: Scene, name: str, answers: Answers) -> dict[str, Outcome]:
    """What a story comes to, which has to be its end."""
    outcomes = scene.outcomes(scene.created, scene.story(answers))
    assert outcomes is not None, f"{scene.name}: the example's `{name}` is not over, or not understood"
    for outcome in outcomes.values():
        _check_shape(scene.name, outcome)
    return outcomes


def _check_ends(scene: Scene) -> None:
    name, example = scene.name, scene.example
    passed, failed = _ended(scene, "passed", example.passed), _ended(scene, "failed", example.failed)
    for entry in scene.call.entries:
        _check_pass(scene, entry, passed[entry.id])
    verdicts = {key: str(outcome.verdict) for key, outcome in failed.items()}
    assert BROKEN.intersection(verdicts.values()), f"{name}: the example's `failed` has no failure: {verdicts}"
    for end, (answers, verdict) in example.ends.items():
        outcomes = _ended(scene, end, answers)
        worst = worst_verdict(outcome.verdict for outcome in outcomes.values())
        assert worst is verdict, f"{name}: the example's `{end}` is {worst}, expected {verdict}: {outcomes}"


def _check_pass(scene: Scene, entry: Entry, outcome: Outcome) -> None:
    name = scene.name
    assert outcome.verdict in GOOD, f"{name}: passed: {entry.id} is {outcome}"
    _check_shape(name, outcome)
    if scene.adapter.info.capabilities.per_test_results and entry.selection:
        passed = {case.id for case in outcome.cases if case.verdict in GOOD}
        missing = set(entry.selection.ids) - passed
        single = entry.selection.kind is SelectionKind.TEST_IDS
        assert not (single and missing), f"{name}: passed: {entry.id}: no result for {missing}, only {outcome.cases}"
    assert good_tests(outcome) > 0, f"{name}: passed: {entry.id}: no test finished"


def check_timing_out(scene: Scene) -> None:
    """A run that never ends is never over, and what it comes to when its time is up is no pass and loses no test."""
    story, end = scene.story(scene.example.running), Outcome(verdict=Verdict.TIMED_OUT)
    parts: dict[str, list[Outcome]] = {entry.id: [] for entry in scene.call.entries}
    going_on: set[str] = set()
    for run in scene.runs:
        status = _after_many_polls(scene, run, story[run.id])
        known = dict(status.outcomes)
        if isinstance(status, Running):
            state = RunState(remote=run, accepted_at=0, latest=dict(status.so_far))
            known |= {name: state.cut_short(name, end) for name in parts if name not in known}
            going_on |= parts.keys() - status.outcomes.keys()
        for name, outcome in known.items():
            parts[name].append(outcome)
    for entry in scene.call.entries:
        outcome = merge(parts[entry.id])
        if entry.id in going_on:
            _check_cut_short(scene, entry, outcome)
        elif outcome.verdict in GOOD:
            _check_pass(scene, entry, outcome)


def _after_many_polls(scene: Scene, run: RemoteRun, replies: Sequence[Reply]) -> Running | Finished:
    first, *later = (scene.read(run, replies, polls=polls) for polls in _MANY_POLLS)
    for status in later:
        same = type(status) is type(first)
        assert same, f"{scene.name}: `running` is {first}, and after many polls {status}"
    assert not isinstance(first, More)
    return first


_MANY_POLLS = (0, 9, 1_000, 1_000_000)


def _check_cut_short(scene: Scene, entry: Entry, outcome: Outcome) -> None:
    """`so_far` has a case for every test that the entry names, or has no case at all."""
    _check_shape(scene.name, outcome)
    assert outcome.verdict not in GOOD, f"{scene.name}: timed out: {entry.id} is {outcome}"
    cases = {case.id for case in outcome.cases}
    if cases and entry.selection and entry.selection.kind is SelectionKind.TEST_IDS:
        missing = set(entry.selection.ids) - cases
        assert not missing, f"{scene.name}: timed out: {entry.id}: {missing} are in no report: {outcome.cases}"


def _check_running(scene: Scene) -> None:
    name, story = scene.name, scene.story(scene.example.running)
    statuses = [scene.read(run, story[run.id]) for run in scene.runs]
    running = [status for status in statuses if isinstance(status, Running)]
    assert running, f"{name}: the example's `running` is over: {statuses}"
    for status in running:
        assert status.note, f"{name}: running without a word"
        assert status.wait_s is None or status.wait_s >= 0, f"{name}: a hint of {status.wait_s} s"


def _check_nothing(scene: Scene) -> None:
    """An answer that starts no run says so: without runs, and, as always then, without a pass."""
    answer = scene.adapter.accepted(scene.call, reply_of(scene.example.nothing, scene.job.request, 0))
    assert not isinstance(answer, tuple), f"{scene.name}: the example's `nothing` starts runs: {answer}"


def _check_shape(name: str, outcome: Outcome) -> None:
    """Types that no codec would miss, but reports would."""
    verdicts: list[object] = [outcome.verdict, *outcome.counts, *(case.verdict for case in outcome.cases)]
    invalid = [verdict for verdict in verdicts if not isinstance(verdict, Verdict)]
    assert not invalid, f"{name}: expected Verdicts, got {invalid}"
    assert all(case.id for case in outcome.cases), f"{name}: a case has an id: {outcome.cases}"


_FIXED = (
    "",
    " ",
    "null",
    "true",
    "0",
    "[]",
    "{}",
    '""',
    "NaN",
    '{"id": 1e999}',
    '{"id": "\\ud800"}',
    "{" * 5000,
    "[" * 5000,
    "<html><body>502 Bad Gateway</body></html>",
    "Internal Server Error",
    '{"error": null}',
    '{"error": {"message": ["x"]}}',
    "\x00\x1b[31m",
    '[{"a": [{"b": [{"c": {}}]}]}]',
)


_ALIEN_KEYS = ("zz_key", "zz_list", "zz_id", "zz_state")


_ALIEN_WORDS = ("zz", "zz-1", "", "..", "zz zz", "https://zz.example")


_NUMBERS: tuple[object, ...] = (None, True, False, 0, 1, -1, 3, 0.5, 10**40)


_SAMPLES = 120


_STATUSES = (200, 400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 503)


def check_replies(scene: Scene) -> None:
    """In place of every reply: garbage with words of its own, and with the vendor's."""
    keys, words = _vocabulary(scene)
    chains = [(resource, made(scene, resource)[1]) for _, resource in resources(scene)]

    def check(text: str, *, may_pass: bool) -> None:
        _read_anywhere(scene, text, may_pass=may_pass)
        _make_anywhere(scene, text, chains)

    for text in _FIXED:
        check(text, may_pass=False)
    _check_texts(_ALIEN_KEYS, _ALIEN_WORDS, lambda text: check(text, may_pass=False))
    _check_texts(keys, words, lambda text: check(text, may_pass=True))


def check_refusals(scene: Scene) -> None:
    """Every error answer has words; 401 is about the credential, in whatever form it comes."""
    keys, words = _vocabulary(scene)
    for text in (*_FIXED, *_samples(Random(1), keys, words, _SAMPLES)):  # noqa: S311  the same samples every time
        for status in _STATUSES:
            scene.adapter.refused(Reply(status=status, text=text))
    for text in ("", "{}", "<html>"):
        cause = scene.adapter.refused(Reply(status=401, text=text)).cause
        assert cause is Cause.CREDENTIAL, f"{scene.name}: refused: 401 with {text!r} is {cause}"


def _vocabulary(scene: Scene) -> tuple[Sequence[str], Sequence[str]]:
    """The keys and words of the example."""
    keys, words = {"id", "status", "error", "results"}, {"zz", "", ".."}
    for answers in (scene.example.passed, scene.example.failed, scene.example.running):
        story = Story(created=scene.created, runs=scene.story(answers))
        for slot in story.slots():
            data = story.data(slot)
            keys |= {step for path, _ in places(data) for step in path if isinstance(step, str)}
            words |= {value for _, value in leaves(data) if isinstance(value, str)}
    return sorted(keys), sorted(words)


# --- reading ----------------------------------------------------------------------------------------------------------


def _read_anywhere(scene: Scene, text: str, *, may_pass: bool) -> None:
    reply = Reply(status=200, text=text)
    try:
        runs = scene.runs_of(reply)
    except UnexpectedData:
        runs = ()
    else:
        assert may_pass or not runs, f"{scene.name}: accepted: made runs of garbage: {text!r}: {runs}"
    for run in (*scene.runs, *runs):
        _read(scene, run, reply, may_pass=may_pass)
        _read(scene, run, Reply(status=404, text=text), may_pass=False)


def _make_anywhere(scene: Scene, text: str, chains: Sequence[tuple[Resource, Sequence[Reply]]]) -> None:
    """In place of each reply to a request of `prepare`."""
    for resource, replies in chains:
        for number in range(len(replies)):
            got = [*replies[:number], Reply(status=200, text=text)]
            with contextlib.suppress(UnexpectedData):
                step = scene.adapter.prepare(resource, TOKEN, got)
                if isinstance(step, Prepared):
                    _check_values(scene, step)


def _read(scene: Scene, run: RemoteRun, reply: Reply, *, may_pass: bool) -> None:
    replies = [reply]
    try:
        while isinstance(status := scene.read(run, replies), More):
            assert len(replies) < MOST_REPLIES, f"{scene.name}: read asks for more and more"
            replies.append(reply)
    except UnexpectedData:
        return
    if isinstance(status, Finished) and not may_pass:
        passed = [name for name, outcome in status.outcomes.items() if outcome.verdict in GOOD]
        assert not passed, f"{scene.name}: read: {passed} passed with garbage: {reply}"


# --- garbage ----------------------------------------------------------------------------------------------------------


def _check_texts(keys: Sequence[str], words: Sequence[str], check: Callable[[str], None]) -> None:
    """Calls `check` with many texts: with hypothesis, which finds the smallest that fails, or with fixed samples."""
    try:
        import hypothesis  # noqa: PLC0415  not among the package's dependencies
        from hypothesis import strategies as st  # noqa: PLC0415
    except ImportError:
        for text in _samples(Random(0), keys, words, _SAMPLES):  # noqa: S311  the same samples every time
            check(text)
        return
    scalars: Any = st.sampled_from(_NUMBERS) | st.sampled_from(words) | st.text(max_size=5)
    bodies = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(keys), inner, max_size=8),
        max_leaves=20,
    )
    texts = bodies.map(json.dumps) | st.text(max_size=20)
    every = hypothesis.settings(
        max_examples=_SAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    every(hypothesis.given(texts)(check))()


def _samples(random: Random, keys: Sequence[str], words: Sequence[str], number: int) -> Iterator[str]:
    for _ in range(number):
        yield json.dumps(_value(random, keys, words, depth=0))


def _value(random: Random, keys: Sequence[str], words: Sequence[str], *, depth: int) -> object:
    choice = random.random() if depth < 4 else 1.0  # noqa: PLR2004
    if depth == 0 or choice < 0.3:  # noqa: PLR2004  mostly objects at the top, mostly scalars below
        chosen = random.sample(list(keys), k=min(len(keys), random.randint(0, 8)))
        return {key: _value(random, keys, words, depth=depth + 1) for key in chosen}
    if choice < 0.45:  # noqa: PLR2004
        return [_value(random, keys, words, depth=depth + 1) for _ in range(random.randint(0, 3))]
    return random.choice([*_NUMBERS, *words])
