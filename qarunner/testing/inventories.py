"""What a vendor lists: all pages are read, each item is named once, and no list is read for ever."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from qarunner.decode import UnexpectedData
from qarunner.testing.adapter import reply_of
from qarunner.vendors.api import Refusal, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.decode import Json
    from qarunner.testing.adapter import Answers, Scene
    from qarunner.vendors.api import InventoryKind, Item

_SEVERAL = 2
MOST_PAGES = 100
"""A list of more requests than this would never end."""


def check_inventories(scene: Scene) -> None:
    """Each list that the example has is read to its end; a page that repeats, or is empty, keeps nothing going."""
    for kind, answers in scene.example.listed.items():
        name = f"{scene.adapter.name}: inventory {kind}"
        assert kind in scene.adapter.vendor.info.inventories, f"{name}: info.inventories does not have this kind"
        items = _items(name, _read(scene, kind, answers))
        assert items, f"{name}: the example has items, but the adapter names none"
        _repeats(name, scene, kind, answers)
        _empty(name, scene, kind, answers)


def _read(scene: Scene, kind: InventoryKind, answers: Answers) -> Refusal | tuple[Item, ...]:
    name, read = f"{scene.adapter.name}: inventory {kind}", list[int]()

    def answer(request: Request, number: int) -> Reply:
        read.append(number)
        return reply_of(answers, request, number)

    result = _driven(scene, kind, answer)
    assert result is not None, f"{name}: asks for the same again, or for ever"
    if isinstance(answers, tuple):
        assert len(read) == len(answers), f"{name}: the example has {len(answers)} pages, {len(read)} were read"
    return result


def _driven(
    scene: Scene, kind: InventoryKind, answer: Callable[[Request, int], Reply]
) -> Refusal | tuple[Item, ...] | None:
    """What the adapter makes of the answers; None where it asks for the same again, or for ever. UnexpectedData."""
    name, replies = f"{scene.adapter.name}: inventory {kind}", list[Reply]()
    asked = set[tuple[object, ...]]()
    while True:
        step = scene.adapter.vendor.inventory(kind, scene.example.settings, tuple(replies))
        if not isinstance(step, Request):
            return step
        assert step.method == "GET", f"{name}: {step.method} {step.path}: a list is read, and nothing is changed"
        is_relative = step.path.startswith("/") and not step.path.startswith("//")
        assert is_relative, f"{name}: {step.path!r} does not begin with exactly one slash"
        meaning = (step.path, tuple(step.query))
        if meaning in asked or len(asked) == MOST_PAGES:
            return None
        asked.add(meaning)
        replies.append(answer(step, len(replies)))


def _items(name: str, answer: Refusal | tuple[Item, ...]) -> tuple[Item, ...]:
    assert not isinstance(answer, Refusal), f"{name}: refused: {answer}"
    ids = [item.id for item in answer]
    assert all(ids), f"{name}: an item has no id: {answer}"
    assert all(item.name for item in answer), f"{name}: an item has no name: {answer}"
    twice = sorted({element for element in ids if ids.count(element) > 1})
    assert not twice, f"{name}: named twice: {', '.join(twice)}"
    return answer


def _repeats(name: str, scene: Scene, kind: InventoryKind, answers: Answers) -> None:
    """A cursor that leads back to the same page: the list ends, is refused, or asks again, which the program ends."""
    if not isinstance(answers, tuple) or len(answers) < _SEVERAL:
        return
    last = len(answers) - _SEVERAL  # the last page that says that there are more

    def answer(request: Request, number: int) -> Reply:
        return reply_of(answers, request, min(number, last))

    try:
        result = _driven(scene, kind, answer)
    except UnexpectedData:
        return
    if isinstance(result, tuple):
        assert all(item.id for item in result), f"{name}: a page that repeats: an item has no id: {result}"


def _empty(name: str, scene: Scene, kind: InventoryKind, answers: Answers) -> None:
    """Pages without anything in their lists."""

    def answer(request: Request, number: int) -> Reply:
        reply = reply_of(answers, request, number)
        return replace(reply, text=json.dumps(_without_items(json.loads(reply.text))))

    try:
        result = _driven(scene, kind, answer)
    except UnexpectedData:
        return
    assert result is not None, f"{name}: empty pages are read for ever"
    assert isinstance(result, Refusal) or result == (), f"{name}: nothing is listed, but there are items: {result}"


def _without_items(body: Json) -> Json:
    match body:
        case list():
            return []
        case dict():
            return {key: _without_items(value) for key, value in body.items()}
        case _:
            return body
