"""Never green by accident: replies with a single thing changed, and what may not come of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias, cast

from msgspec import Struct
from msgspec.structs import replace

from qarunner.entry import Entry, SelectionKind
from qarunner.testing.adapter import MOST_REPLIES, Answers, Scene
from qarunner.vendors.api import GOOD, Outcome, Reply, Request, Verdict

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
        for value_put in _unexpected(value):
            yield Change(f"{at} is {value_put!r}", put(data, path, value_put))
        if isinstance(value, list) and value:
            tried: list[list[object]] = []
            for shorter in ([], value[1:], value[:-1]):
                if shorter not in tried:
                    tried.append(shorter)
                    yield Change(f"{at} has lost elements", put(data, path, shorter), shorter=True)


def _unexpected(value: object) -> tuple[object, ...]:
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
    changed = {step: put(mapping.get(step), rest, value)}
    return {key: child for key, child in {**mapping, **changed}.items() if child is not _GONE}


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


class Story(Struct, frozen=True, kw_only=True, dict=True):
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

    def __init__(self, scene: Scene, name: str, answers: Answers) -> None:
        self.scene = scene
        self.name = f"{scene.name}: `{name}`"
        self.exchanges = scene.exchanges(answers)
        runs = {run: [reply for _, reply in pairs] for run, pairs in self.exchanges.items()}
        self.story = Story(created=scene.created, runs=runs)
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


def _passed(scene: Scene) -> _Stage:
    return _Stage(scene, "passed", scene.example.passed)


def _failing(scene: Scene) -> Iterator[_Stage]:
    """The stories in which an entry does not pass in the end."""
    yield _Stage(scene, "failed", scene.example.failed)
    for name, (answers, verdict) in scene.example.ends.items():
        if verdict not in GOOD:
            yield _Stage(scene, name, answers)


# --- a failure stays one ----------------------------------------------------------------------------------------------


def check_failure_stays(scene: Scene) -> None:
    """Elements that are missing from a list can be noticed only where the entry names its tests."""
    stage = _Stage(scene, "failed", scene.example.failed)
    failing = {name for name, outcome in stage.before.items() if outcome.verdict in _BROKEN}
    named = {entry.id for entry in stage.entries if _asked(entry)}
    for what, change, after in stage.changed():
        passed = _passing(after) & (failing & named if change.shorter else failing)
        assert not passed, f"{what}: now {', '.join(sorted(passed))} passes"


def check_no_early_pass(scene: Scene) -> None:
    """Whatever single thing is missing or odd in the replies of a run that goes on, no entry more is passed."""
    stage = _Stage(scene, "running", scene.example.running)
    early = _passing(scene.early(stage.story.runs))
    for slot in stage.story.slots():
        if slot is not None:
            for change in changes(stage.story.data(slot)):
                story = stage.story.put(slot, change.data)
                passed = (_passing(stage.of(story)) | _passing(scene.early(story.runs))) - early
                what = f"{stage.name}: in the reply about {slot[0]}, {change.what}"
                assert not passed, f"{what}: {', '.join(sorted(passed))} passes"


# --- a passing reply with one thing of a failing one ------------------------------------------------------------------


def check_crossing(scene: Scene) -> None:
    """Each thing in which a failing reply differs from the passing one, put into that by itself, loses the pass.

    What the failing story alone is asked for, such as a second page, follows the passing replies: it is read where the
    difference leads there.
    """
    passed = _passed(scene)
    for failed in _failing(scene):
        _cross(passed, failed, lambda _: True)
    # Of a run that goes on, words alone: a number or a list may say how far it is.
    _cross(passed, _Stage(scene, "running", scene.example.running), lambda value: isinstance(value, str))


def _cross(passed: _Stage, failed: _Stage, counts: Callable[[object], bool]) -> None:
    for run, replies in passed.story.runs.items():
        others = failed.story.runs[run]
        longer = [*replies, *others[len(replies) :]]
        story = replace(passed.story, runs={**passed.story.runs, run: longer})
        for number, (good, bad) in enumerate(zip(replies, others, strict=False)):
            slot = (run, number)
            crossed = [*_crossed(passed.story.data(slot), failed.story.data(slot), counts)]
            if number == 0:
                crossed += _unlisted(passed.story.data(slot), failed.story.data(slot))
            if good.status != bad.status:
                crossed.append((f"the status {bad.status}", replace(good, status=bad.status)))
            for what, data in crossed:
                lost = _passing(passed.before) - _passing(passed.of(story.put(slot, data)))
                assert lost, f"{passed.name}: the reply about {run} has {what} of {failed.name}, and passes"


def _crossed(data: object, other: object, counts: Callable[[object], bool]) -> Iterator[tuple[str, object]]:
    """Passing data with each thing of failing data: in words, and what it is then. A word has an unknown one beside."""
    for path, value in differences(data, other):
        at = "$" + "".join(f".{step}" for step in path)
        if counts(value):
            yield (f"no {at}" if value is _GONE else f"the {at} {value!r}"), put(data, path, value)
            if isinstance(value, str) and any(place == path and isinstance(word, str) for place, word in leaves(data)):
                yield f"an unknown word in place of the {at}", put(data, path, UNKNOWN_WORD)


def _unlisted(data: object, other: object) -> Iterator[tuple[str, object]]:
    """Passing data with each list of failing data as an object: what is no list any more may hold the failure."""
    known = dict(places(data))
    for path, value in places(other):
        before = known.get(path)
        is_inner = any(isinstance(step, int) for step in path)
        if isinstance(value, list) and isinstance(before, list) and not is_inner and before[: len(value)] != value:
            keyed = {str(index): element for index, element in enumerate(value)}
            yield f"the list $.{'.'.join(map(str, path))} as an object", put(data, path, keyed)


def differences(data: object, other: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Where `other` differs from data, each place by itself, and what it has there.

    An object, or an element of a list, that only `other` has is one difference. That a list is shorter there is no
    difference: a failed run may have fewer results.
    """
    if isinstance(data, dict) and isinstance(other, dict):
        for key in {**data, **other}:
            if key in data and key in other:
                yield from differences(data[key], other[key], (*path, key))
            else:
                yield (*path, key), other.get(key, _GONE)
    elif isinstance(data, list) and isinstance(other, list):
        for index, value in enumerate(other):
            if index < len(data):
                yield from differences(data[index], value, (*path, index))
            else:
                yield path, [*data, value]
    elif data != other:
        yield path, other


# --- words without documentation --------------------------------------------------------------------------------------


def check_unknown_words(scene: Scene) -> None:
    """In the replies about each run, and in what they say of each test, a word decides over the pass."""
    stage = _passed(scene)
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
    """Fewer results are never more passes, and a test without a reply does not pass."""
    stage = _passed(scene)
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
    stage = _passed(scene)
    for slot in stage.story.slots():
        if slot is None or not _is_needed(stage, slot):
            continue
        data, run = stage.story.data(slot), slot[0]
        for path, value in leaves(data):
            if str(value) == run:
                passed = _passing(stage.of(stage.story.put(slot, put(data, path, _other(value)))))
                at = ".".join(map(str, path))
                assert not passed, f"{stage.name}: the reply about {run} says that {at} is another run's, and passes"


def _is_needed(stage: _Stage, slot: tuple[str, int]) -> bool:
    """Whether a pass depends on this reply about a run; optional details say nothing that counts."""
    return slot[1] == 0 or not _passing(stage.of(stage.story.put(slot, _NO_ANSWERS[-1])))


def _other(value: object) -> object:
    return value + 1 if isinstance(value, int) and not isinstance(value, bool) else OTHER_RUN


def check_repeated_result(scene: Scene) -> None:
    """A result that stands twice in a list is one result: `gate.min_tests` counts tests.

    Where the failing story has another result in its place, both together are no pass; a flaky one at most.
    """
    stage, failed = _passed(scene), _Stage(scene, "failed", scene.example.failed)
    for slot in stage.story.slots():
        for path, value in places(stage.story.data(slot)):
            if slot is None or not isinstance(value, list) or not any(isinstance(child, dict) for child in value):
                continue
            where = f"{stage.name}: in the reply about {slot[0]}, {'.'.join(map(str, path)) or 'the list'}"
            twice = [child for child in value for _ in range(2)]
            for name, outcome in (_with(stage, slot, path, twice) or {}).items():
                fewer = good_tests(outcome) <= good_tests(stage.before[name])
                assert fewer, f"{where} has each element twice: {name}: {outcome}"
            for element in _others(failed, slot, path, value):
                for both in ([*value, element], [element, *value]):
                    outcomes = _with(stage, slot, path, both) or {}
                    lost = {name for name in stage.before if _verdict(outcomes, name) is not Verdict.PASSED}
                    assert lost, f"{where} has {element} of {failed.name} besides, and passes"


def _verdict(outcomes: Mapping[str, Outcome], name: str) -> Verdict | None:
    return outcomes[name].verdict if name in outcomes else None


def _with(stage: _Stage, slot: Slot, path: Path, value: object) -> dict[str, Outcome] | None:
    return stage.of(stage.story.put(slot, put(stage.story.data(slot), path, value)))


def _others(failed: _Stage, slot: Slot, path: Path, value: list[object]) -> list[object]:
    """The objects that the failing story has in a list, and the passing one has not."""
    if slot not in failed.story.slots():
        return []
    theirs = next((data for at, data in places(failed.story.data(slot)) if at == path), None)
    return [item for item in theirs if isinstance(item, dict) and item not in value] if isinstance(theirs, list) else []


# --- pages ------------------------------------------------------------------------------------------------------------


def check_pages(scene: Scene) -> None:
    """Where a list has pages: one that comes again and again ends, and is no pass; an empty one adds no pass."""
    stage = _passed(scene)
    for run, pairs in stage.exchanges.items():
        replies = [reply for _, reply in pairs]
        for number in range(1, len(pairs)):
            if not _are_pages(pairs[number - 1][0], pairs[number][0]):
                continue
            again = [*replies[:number], *[replies[number - 1]] * MOST_REPLIES]
            passed = _passing(stage.of(replace(stage.story, runs={**stage.story.runs, run: again})))
            what = f"{stage.name}: page {number} about {run} comes again in place of the next one"
            assert not passed, f"{what}, and {', '.join(sorted(passed))} passes"
            for path, value in places(stage.story.data((run, number))):
                if isinstance(value, list):
                    _check_not_more(stage, f"{stage.name}: an empty page", _with(stage, (run, number), path, []))


def _are_pages(one: Request, other: Request) -> bool:
    """True if the second request asks for another page of the same list."""
    return (one.method, one.path) == (other.method, other.path) and one != other
