"""What a vendor lists: all pages are read, each item has the name of its element, no list is read for ever."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from qarunner.decode import Json, UnexpectedData
from qarunner.testing.adapter import Answers, Scene, reply_of
from qarunner.testing.mutations import leaves, places, put
from qarunner.testing.suite import check_request
from qarunner.vendors.api import InventoryKind, Item, Refusal, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


_SEVERAL = 2
MOST_PAGES = 100
"""A list of more requests than this would never end."""

_NO_LISTS = ("null", "7", '"text"', "{}", "<html>")
"""Bodies that hold no list. An empty list would be believed: a vendor may have nothing."""

_NAMES = ("name", "title", "label")
"""What the fields of elements are called that people read."""


def check_inventories(scenes: Sequence[Scene]) -> None:
    """Each list of the examples is read as it stands there, and each kind in `info.inventories` has an example."""
    for scene in scenes:
        for kind, answers in scene.example.listed.items():
            _List(scene=scene, kind=kind, answers=answers).check()
    info = scenes[0].vendor.info
    missing = sorted(info.inventories - {kind for scene in scenes for kind in scene.example.listed})
    assert not missing, f"{info.name}: info.inventories has {', '.join(missing)}, but no example has it in `listed`"


class _List(NamedTuple):
    """One kind of a scene's lists. `name` begins each message."""

    scene: Scene
    kind: InventoryKind
    answers: Answers

    @property
    def name(self) -> str:
        return f"{self.scene.name}: inventory {self.kind}"

    def check(self) -> None:
        assert self.kind in self.scene.adapter.info.inventories, (
            f"{self.name}: info.inventories does not have this kind"
        )
        replies, items = self._read()
        expected = self.scene.example.items.get(self.kind)
        named = {item.id: item.name for item in items}
        if expected is not None:
            assert named == dict(expected), f"{self.name}: the example has {dict(expected)}, the adapter names {named}"
        else:
            self._check_elements(replies, named)
        self._check_malformed(replies, items)
        self._check_project(items)
        self._check_repeats()
        self._check_empty()

    def _read(self) -> tuple[list[Reply], tuple[Item, ...]]:
        try:
            replies, result = self._driven(lambda request, number: reply_of(self.answers, request, number))
        except UnexpectedData as error:
            raise AssertionError(f"{self.name}: the example's list is not understood: {error}") from error
        assert result is not None, f"{self.name}: asks for the same again, or for ever"
        if isinstance(self.answers, tuple):
            length = len(self.answers)
            assert len(replies) == length, f"{self.name}: the example has {length} pages, {len(replies)} were read"
        assert not isinstance(result, Refusal), f"{self.name}: refused: {result}"
        assert result, f"{self.name}: the example has items, but the adapter names no item"
        ids = [item.id for item in result]
        assert all(ids), f"{self.name}: an item has no id: {result}"
        assert all(item.name for item in result), f"{self.name}: an item has no name: {result}"
        twice = sorted({element for element in ids if ids.count(element) > 1})
        assert not twice, f"{self.name}: named twice: {', '.join(twice)}"
        return replies, result

    def _driven(
        self, answer: Callable[[Request, int], Reply], settings: Mapping[str, Json] | None = None
    ) -> tuple[list[Reply], Refusal | tuple[Item, ...] | None]:
        """What the adapter makes of the answers; None where it asks for the same again, or for ever. UnexpectedData."""
        replies, asked = list[Reply](), set[tuple[object, ...]]()
        settings = self.scene.example.settings if settings is None else settings
        while True:
            step = self.scene.adapter.inventory(self.kind, settings, tuple(replies))
            if not isinstance(step, Request):
                return replies, step
            assert step.method == "GET", (
                f"{self.name}: {step.method} {step.path}: a list is read, and nothing is changed"
            )
            check_request(self.scene, step)
            meaning = (step.path, tuple(step.query))
            if meaning in asked or len(asked) == MOST_PAGES:
                return replies, None
            asked.add(meaning)
            replies.append(answer(step, len(replies)))

    def _with(self, replies: Sequence[Reply], number: int, text: str) -> Refusal | tuple[Item, ...] | None:
        """What comes of the answers with another text in the place of one; None is no list."""
        texts = [reply.text for reply in replies]
        texts[number] = text
        try:
            return self._driven(lambda _, at: Reply(status=200, text=texts[min(at, len(texts) - 1)]))[1]
        except UnexpectedData:
            return None

    def _check_elements(self, replies: Sequence[Reply], named: Mapping[str, str]) -> None:
        """Without `items`: every element of the lists from which ids are read has its item, with its own name."""
        for elements, key in _with_ids(replies, named):
            ids = {str(element[key]): element for element in elements if element.get(key) is not None}
            lost = sorted(ids.keys() - named.keys())
            assert not lost, f"{self.name}: the example has {', '.join(lost)}, which the adapter does not name"
            for identifier, element in ids.items():
                title = next((str(element[name]) for name in _NAMES if element.get(name)), identifier)
                is_own = named[identifier] != identifier or title == identifier
                assert is_own, f"{self.name}: {identifier} is named by its id, but its element says {title!r}"

    def _check_malformed(self, replies: Sequence[Reply], items: Sequence[Item]) -> None:
        """What is no list gives no items, and an element that has an odd value is never left out without a word."""
        ids = {item.id for item in items}
        for number, reply in enumerate(replies):
            for text in _NO_LISTS:
                result = self._with(replies, number, text)
                assert not isinstance(result, tuple), (
                    f"{self.name}: reply {number + 1} is {text}, and is read as {result}"
                )
            data = json.loads(reply.text)
            for path, value in leaves(data):
                if str(value) not in ids and not any(str(value) == item.name for item in items):
                    continue
                result = self._with(replies, number, json.dumps(put(data, path, {})))
                kept = not isinstance(result, tuple) or len(result) >= len(items)
                assert kept, f"{self.name}: with an object in the place of {value!r} an item is missing: {result}"

    def _check_project(self, items: Sequence[Item]) -> None:
        """A setting `project` says whose list it is: with another one, another list is asked for, or it is refused."""
        settings = self.scene.example.settings
        if "project" not in settings or self.kind is InventoryKind.PROJECT:
            return
        first, second = list[Request](), list[Request]()

        def asked(requests: list[Request], settings: Mapping[str, Json]) -> object:
            def answer(request: Request, number: int) -> Reply:
                requests.append(request)
                return reply_of(self.answers, request, number)

            try:
                return self._driven(answer, settings)[1]
            except UnexpectedData:
                return None

        asked(first, settings)
        result = asked(second, {**settings, "project": "another-project"})
        is_other = first != second or result != tuple(items)
        assert is_other, f"{self.name}: the list of another project is asked for in the same way: {first[-1]}"

    def _check_repeats(self) -> None:
        """A cursor leads to the same page again: the list ends, is refused, or asks again, which the program ends."""
        if not isinstance(self.answers, tuple) or len(self.answers) < _SEVERAL:
            return
        last = len(self.answers) - _SEVERAL  # the last page that says that there are more
        try:
            _, result = self._driven(lambda request, number: reply_of(self.answers, request, min(number, last)))
        except UnexpectedData:
            return
        if isinstance(result, tuple):
            assert all(item.id for item in result), f"{self.name}: a page that repeats: an item has no id: {result}"

    def _check_empty(self) -> None:
        """Pages without anything in their lists."""

        def answer(request: Request, number: int) -> Reply:
            reply = reply_of(self.answers, request, number)
            return replace(reply, text=json.dumps(_without_items(json.loads(reply.text))))

        try:
            _, result = self._driven(answer)
        except UnexpectedData:
            return
        assert result is not None, f"{self.name}: empty pages are read for ever"
        assert isinstance(result, Refusal) or result == (), (
            f"{self.name}: nothing is listed, but there are items: {result}"
        )


def _with_ids(replies: Sequence[Reply], named: Mapping[str, str]) -> Iterator[tuple[Sequence[Mapping[str, Any]], str]]:
    """The elements of each list from which ids are read, of all pages, with the key that most ids stand under."""
    lists: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for reply in replies:
        for path, value in places(json.loads(reply.text)):
            if isinstance(value, dict) and path and isinstance(path[-1], int):
                lists.setdefault(tuple(step if isinstance(step, str) else "*" for step in path), []).append(value)
    for elements in lists.values():
        keys = Counter(key for element in elements for key, value in element.items() if str(value) in named)
        for key, _ in keys.most_common(1):
            yield elements, key


def _without_items(body: Json) -> Json:
    match body:
        case list():
            return []
        case dict():
            return {key: _without_items(value) for key, value in body.items()}
        case _:
            return body
