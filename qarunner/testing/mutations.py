"""Never green by accident: replies with a single thing changed, and what may not come of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from qarunner.entry import SelectionKind
from qarunner.vendors.api import GOOD, Reply, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qarunner.entry import Entry
    from qarunner.testing.adapter import Scene
    from qarunner.vendors.api import Outcome


# ---------------------------------------------------------------------------------------------------------------------

# Plain data with a single thing in it changed: what a changed API, a proxy or a bug at the vendor may send.


Path: TypeAlias = "tuple[str | int, ...]"


UNKNOWN_WORD = "zz-a-word-that-nobody-documented"


class Change(NamedTuple):
    """What was done, and the data after it. `shorter`: a list lost elements, which not every vendor lets one see."""

    what: str
    data: object
    shorter: bool = False


def changes(data: object) -> Iterator[Change]:
    """Every change of a single place: a key is missing, a value is null, odd, unknown or of another type."""
    for path, value in places(data):
        at = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        if path and isinstance(path[-1], str):
            yield Change(f"{at} is missing", put(data, path, _GONE))
        for odd in _odd(value):
            yield Change(f"{at} is {odd!r}", put(data, path, odd))
        if isinstance(value, list) and value:
            for shorter in dict.fromkeys(map(_Once, ([], value[1:], value[:-1]))):
                yield Change(f"{at} has lost elements", put(data, path, shorter.value), shorter=True)


class _Once:
    """A list that is equal to another by what it holds; lists themselves are no keys."""

    def __init__(self, value: list[object]) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Once) and other.value == self.value

    def __hash__(self) -> int:
        return len(self.value)


def _odd(value: object) -> tuple[object, ...]:
    match value:
        case None:
            return (UNKNOWN_WORD,)
        case str():
            return (None, UNKNOWN_WORD, "", 7, {})
        case bool():
            return (None, UNKNOWN_WORD)
        case int() | float():
            return (None, UNKNOWN_WORD, -1)
        case list():
            return (None, {}, UNKNOWN_WORD)
        case _:
            return (None, [], UNKNOWN_WORD)


_GONE = object()


def places(data: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Every place in data, the whole first."""
    yield path, data
    for step, child in _children(data):
        yield from places(child, (*path, step))


def leaves(data: object) -> Iterator[tuple[Path, object]]:
    """The places of scalars other than null."""
    return ((path, value) for path, value in places(data) if value is not None and not isinstance(value, (dict, list)))


def _children(data: object) -> Iterator[tuple[str | int, object]]:
    if isinstance(data, dict):
        yield from data.items()
    elif isinstance(data, list):
        yield from enumerate(data)


def put(data: object, path: Path, value: object) -> object:
    """A copy with another value at a place."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(data, list):
        return [put(child, rest, value) if index == step else child for index, child in enumerate(data)]
    mapping = cast("dict[str | int, object]", data)
    changed = put(mapping[step], rest, value)
    return {
        key: changed if key == step else child for key, child in mapping.items() if key != step or changed is not _GONE
    }


def replaced(data: object, change: Callable[[object], object]) -> object:
    """A copy with each scalar changed."""
    if isinstance(data, dict):
        return {key: replaced(child, change) for key, child in data.items()}
    if isinstance(data, list):
        return [replaced(child, change) for child in data]
    return change(data)


def names(data: object, text: str) -> bool:
    """Whether data is this text, or an object that has it, but not in a list below."""
    if isinstance(data, dict):
        return any(names(child, text) for child in data.values())
    return not isinstance(data, (list, bool)) and str(data) == text


def without(data: object, text: str) -> object:
    """A copy without the elements of lists that name a text."""
    if isinstance(data, dict):
        return {key: without(child, text) for key, child in data.items()}
    if isinstance(data, list):
        return [without(child, text) for child in data if not names(child, text)]
    return data


def elements_naming(data: object, text: str) -> Iterator[Path]:
    """Where the objects in lists are that name a text."""
    for path, value in places(data):
        if path and isinstance(path[-1], int) and isinstance(value, dict) and names(value, text):
            yield path


Slot: TypeAlias = "tuple[str, int] | None"
"""A reply of a story: that of the create, or a run's id and the number of the reply about it."""


_BROKEN = frozenset({Verdict.FAILED, Verdict.BLOCKED})


_NO_ANSWERS = (
    Reply(status=0, text="the connection was lost"),
    Reply(status=403, text="{}"),
    Reply(status=404, text=""),
)


@dataclass(frozen=True, kw_only=True)
class Story:
    """All replies of an example."""

    created: Reply
    runs: Mapping[str, Sequence[Reply]]

    def slots(self) -> list[Slot]:
        return [None, *((run, number) for run, replies in self.runs.items() for number in range(len(replies)))]

    def data(self, slot: Slot) -> object:
        """A reply's body; None where it is no JSON."""
        reply = self.created if slot is None else self.runs[slot[0]][slot[1]]
        try:
            return json.loads(reply.text)
        except ValueError:
            return None

    def put(self, slot: Slot, data: object) -> Story:
        """The story with another body, or another reply."""
        if slot is None:
            return replace(self, created=_reply(self.created, data))
        run, number = slot
        replies = list(self.runs[run])
        replies[number] = _reply(replies[number], data)
        return replace(self, runs={**self.runs, run: replies})


def _reply(old: Reply, data: object) -> Reply:
    return data if isinstance(data, Reply) else replace(old, text=json.dumps(data))


def good_tests(outcome: Outcome) -> int:
    cases = sum(case.verdict in GOOD for case in outcome.cases)
    return cases + sum(number for verdict, number in outcome.counts.items() if verdict in GOOD and number > 0)


def _passing(outcomes: Mapping[str, Outcome] | None) -> set[str]:
    return {name for name, outcome in (outcomes or {}).items() if outcome.verdict in GOOD}


def _asked(entry: Entry) -> tuple[str, ...]:
    """The tests that an entry names."""
    single = entry.selection is not None and entry.selection.kind is SelectionKind.TEST_IDS
    return entry.selection.ids if single and entry.selection else ()


class _Stage:
    """A story, and what comes of changing it."""

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene = scene
        self.name = f"{scene.adapter.name}: `{name}`"
        self.story = Story(created=scene.created, runs=scene.story(getattr(scene.example, name)))
        self.entries = scene.call.entries
        self.before = self.of(self.story) or {}

    def of(self, story: Story) -> dict[str, Outcome] | None:
        return self.scene.outcomes(story.created, story.runs)

    def changed(self) -> Iterator[tuple[str, Change, dict[str, Outcome] | None]]:
        """Each change of each reply, in words, and what it comes to."""
        for slot in self.story.slots():
            for change in changes(self.story.data(slot)):
                where = "the create's answer" if slot is None else f"the reply about {slot[0]}"
                yield f"{self.name}: in {where}, {change.what}", change, self.of(self.story.put(slot, change.data))


# --- a failure stays one ----------------------------------------------------------------------------------------------


def check_failure_stays(scene: Scene) -> None:
    """Elements that are missing from a list can be noticed only where the entry names its tests."""
    stage = _Stage(scene, "failed")
    failing = {name for name, outcome in stage.before.items() if outcome.verdict in _BROKEN}
    named = {entry.id for entry in stage.entries if _asked(entry)}
    for what, change, after in stage.changed():
        passed = _passing(after) & (failing & named if change.shorter else failing)
        assert not passed, f"{what}: now {', '.join(sorted(passed))} passes"


# --- a passing reply with one thing of a failing one ------------------------------------------------------------------


def check_crossing(scene: Scene) -> None:
    """Each value in which a failing reply differs from the passing one, put into that by itself, loses the pass."""
    passed, failed = _Stage(scene, "passed"), _Stage(scene, "failed")
    for slot in passed.story.slots():
        if slot is None or slot not in failed.story.slots():
            continue
        data, other = passed.story.data(slot), dict(leaves(failed.story.data(slot)))
        for path, value in leaves(data):
            if path in other and other[path] != value:
                after = _passing(passed.of(passed.story.put(slot, put(data, path, other[path]))))
                at = ".".join(map(str, path))
                what = f"{passed.name}: the reply about {slot[0]} has the failing {at} {other[path]!r}"
                assert _passing(passed.before) - after, f"{what}, and passes"


# --- words that nobody documented -------------------------------------------------------------------------------------


def check_unknown_words(scene: Scene) -> None:
    """In the replies about each run, and in what they say of each test, a word decides over the pass."""
    stage = _Stage(scene, "passed")
    for run in stage.story.runs:
        slots = [slot for slot in stage.story.slots() if slot is not None and slot[0] == run]
        decided = any(_decides(stage, slot, path) for slot in slots for path, _ in leaves(stage.story.data(slot)))
        assert decided, f"{stage.name}: whatever a status of {run} says, it passes"
        for slot in slots:
            _check_tests(stage, slot)


def _check_tests(stage: _Stage, slot: Slot) -> None:
    data = stage.story.data(slot)
    for test in dict.fromkeys(test for entry in stage.entries for test in _asked(entry)):
        for element in elements_naming(data, test):
            words = [path for path, value in leaves(data) if path[: len(element)] == element and str(value) != test]
            decided = any(_decides(stage, slot, path) for path in words)
            assert decided, f"{stage.name}: whatever the reply says of test {test}, it passes"


def _decides(stage: _Stage, slot: Slot, path: Path) -> bool:
    """Whether an unknown word at this place takes a pass away."""
    after = stage.of(stage.story.put(slot, put(stage.story.data(slot), path, UNKNOWN_WORD)))
    return _passing(after) != _passing(stage.before)


# --- passes are not invented ------------------------------------------------------------------------------------------


def check_no_inventions(scene: Scene) -> None:
    """Fewer results are never more passes, and a test of which no reply tells has none."""
    stage = _Stage(scene, "passed")
    for what, _, after in stage.changed():
        _check_not_more(stage, what, after)
    for slot in stage.story.slots():
        if slot is not None and slot[1] > 0:
            for reply in _NO_ANSWERS:
                what = f"{stage.name}: reply {slot[1] + 1} about {slot[0]} is {reply.status}"
                _check_not_more(stage, what, stage.of(stage.story.put(slot, reply)))
    for test in dict.fromkeys(test for entry in stage.entries for test in _asked(entry)):
        _check_lost(stage, test)
    unfound = replace(
        stage.story, runs={run: [replace(replies[0], status=404)] for run, replies in stage.story.runs.items()}
    )
    passed = _passing(stage.of(unfound))
    assert not passed, f"{stage.name}: answered with 404, {', '.join(sorted(passed))} passes"


def _check_not_more(stage: _Stage, what: str, after: Mapping[str, Outcome] | None) -> None:
    for name in _passing(after):
        assert after is not None
        before, now = stage.before[name], after[name]
        assert good_tests(now) <= good_tests(before), f"{what}: {name} has more passes: {now}"
        lost = _good_ids(before) - _good_ids(now) if before.cases and now.cases else set()
        asked = next(set(_asked(entry)) for entry in stage.entries if entry.id == name)
        assert not lost & asked, f"{what}: {name} passes without a result for {lost & asked}"


def _good_ids(outcome: Outcome) -> set[str]:
    return {case.id for case in outcome.cases if case.verdict in GOOD}


def _check_lost(stage: _Stage, test: str) -> None:
    """Without anything that lists of results say of a test."""
    story = stage.story
    for slot in story.slots():
        data = story.data(slot)
        if data is not None:
            story = story.put(slot, without(data, test))
    if story == stage.story or not any(_lists(stage, slot, test) for slot in stage.story.slots()):
        return
    passed = _passing(stage.of(story)) & {entry.id for entry in stage.entries if test in _asked(entry)}
    assert not passed, f"{stage.name}: without any result of test {test}, {', '.join(sorted(passed))} passes"


def _lists(stage: _Stage, slot: Slot, test: str) -> bool:
    """Whether a reply has objects in a list that tell of a test."""
    return any(True for _ in elements_naming(stage.story.data(slot), test))


# --- the answer is about this run, and each result counts once --------------------------------------------------------

OTHER_RUN = "11112222-3333-4444-8555-666677778888"


def check_other_runs(scene: Scene) -> None:
    """A reply that names another run than the one that was asked about passes nothing."""
    stage = _Stage(scene, "passed")
    for run in stage.story.runs:
        slot: Slot = (run, 0)
        data = stage.story.data(slot)
        for path, value in leaves(data):
            if str(value) == run:
                passed = _passing(stage.of(stage.story.put(slot, put(data, path, _other(value)))))
                at = ".".join(map(str, path))
                assert not passed, f"{stage.name}: the reply about {run} says that {at} is another run's, and passes"


def _other(value: object) -> object:
    return value + 1 if isinstance(value, int) and not isinstance(value, bool) else OTHER_RUN


def check_told_twice(scene: Scene) -> None:
    """A result that stands twice in a list is one result: `gate.min_tests` counts tests."""
    stage = _Stage(scene, "passed")
    for slot in stage.story.slots():
        data = stage.story.data(slot)
        for path, value in places(data):
            if slot is not None and isinstance(value, list) and any(isinstance(child, dict) for child in value):
                twice = [child for child in value for _ in range(2)]
                where = f"{stage.name}: each element of {'.'.join(map(str, path))} told twice"
                for name, outcome in (stage.of(stage.story.put(slot, put(data, path, twice))) or {}).items():
                    assert good_tests(outcome) <= good_tests(stage.before[name]), f"{where}: {name}: {outcome}"
