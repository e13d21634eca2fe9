"""Replies that mean nothing: read as such, whatever they hold. With hypothesis where it is installed."""

# ruff: noqa: S101  a conformance suite asserts

from __future__ import annotations

import contextlib
import json
from random import Random
from typing import TYPE_CHECKING, Any

from qarunner.cursor import UnexpectedData
from qarunner.testing.changes import leaves, places
from qarunner.testing.example import MOST_REPLIES
from qarunner.testing.greener import Story
from qarunner.testing.sending import TOKEN, made, resources
from qarunner.vendors.api import GOOD, Cause, Finished, More, Prepared, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from qarunner.testing.example import Scene
    from qarunner.vendors.api import RemoteRun, Resource

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

    def alien(text: str) -> None:
        _read_anywhere(scene, text, may_pass=False)
        _make_anywhere(scene, text, chains)

    def familiar(text: str) -> None:
        _read_anywhere(scene, text, may_pass=True)
        _make_anywhere(scene, text, chains)

    for text in _FIXED:
        alien(text)
    _each(_ALIEN_KEYS, _ALIEN_WORDS, alien)
    _each(keys, words, familiar)


def check_refusals(scene: Scene) -> None:
    """Every error answer has words; 401 is about the credential, in whatever form it comes."""
    keys, words = _vocabulary(scene)
    for text in (*_FIXED, *_samples(Random(1), keys, words, _SAMPLES)):  # noqa: S311  the same samples every time
        for status in _STATUSES:
            scene.adapter.refused(Reply(status=status, text=text))
    for text in ("", "{}", "<html>"):
        cause = scene.adapter.refused(Reply(status=401, text=text)).cause
        assert cause is Cause.CREDENTIAL, f"{scene.adapter.name}: refused: 401 with {text!r} is {cause}"


def _vocabulary(scene: Scene) -> tuple[Sequence[str], Sequence[str]]:
    """The keys and words of the example."""
    keys, words = {"id", "status", "error", "results"}, {"zz", "", ".."}
    for told in (scene.example.passed, scene.example.failed, scene.example.running):
        story = Story(created=scene.created, runs=scene.story(told))
        for slot in story.slots():
            data = story.data(slot)
            keys |= {step for path, _ in places(data) for step in path if isinstance(step, str)}
            words |= {value for _, value in leaves(data) if isinstance(value, str)}
    return sorted(keys), sorted(words)


# --- reading ----------------------------------------------------------------------------------------------------------


def _read_anywhere(scene: Scene, text: str, *, may_pass: bool) -> None:
    reply = Reply(status=200, text=text)
    try:
        runs = scene.adapter.runs(scene.call, reply)
    except UnexpectedData:
        runs = ()
    else:
        assert may_pass or not runs, f"{scene.adapter.name}: accepted: made runs of garbage: {text!r}: {runs}"
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
                    assert all(isinstance(value, str) for value in step.values.values()), f"{step}: expected texts"


def _read(scene: Scene, run: RemoteRun, reply: Reply, *, may_pass: bool) -> None:
    replies = [reply]
    try:
        while isinstance(status := scene.adapter.read(scene.call, run, replies), More):
            assert len(replies) < MOST_REPLIES, f"{scene.adapter.name}: read asks for more and more"
            replies.append(reply)
    except UnexpectedData:
        return
    if isinstance(status, Finished) and not may_pass:
        passed = [name for name, outcome in status.outcomes.items() if outcome.verdict in GOOD]
        assert not passed, f"{scene.adapter.name}: read: {passed} passed with garbage: {reply}"


# --- garbage ----------------------------------------------------------------------------------------------------------


def _each(keys: Sequence[str], words: Sequence[str], check: Callable[[str], None]) -> None:
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
