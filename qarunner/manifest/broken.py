"""A rule of the schema that data breaks, and the phrases of which sentences about it are made."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from qarunner.manifest import fault_codes as codes
from qarunner.manifest.faults import CONDITION, TYPE, VALUE, Fault, Found

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jsonschema import ValidationError

    from qarunner.diagnostics import Path

    Schema: TypeAlias = Mapping[str, object]

_SHOWN = 60
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


class Broken(NamedTuple):
    """A rule that data breaks: what the keyword of the schema wants, and the value that is otherwise."""

    keyword: str
    wanted: object
    value: object
    path: Path
    schema: Schema
    steps: frozenset[str | int]
    """The steps through the schema that lead here."""
    alternatives: tuple[tuple[int, ValidationError], ...]
    """Under anyOf: what each of its branches says, with the branch's index."""

    def words(self, keyword: str) -> str | None:
        """A text that stands next to the rule."""
        text = self.schema.get(keyword)
        return text if isinstance(text, str) else None

    def names(self, keyword: str) -> list[str]:
        """A list of names next to the rule, or the keys of a mapping there."""
        return list(cast("Sequence[str]", self.schema.get(keyword, ())))

    def texts(self, keyword: str) -> Mapping[str, str]:
        return cast("Mapping[str, str]", self.schema.get(keyword, {}))

    @property
    def mapping(self) -> Mapping[str, object]:
        """The value, where it is a mapping; else an empty one."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> Sequence[object]:
        """The value, where the keyword is one of lists."""
        return cast("Sequence[object]", self.value)

    @property
    def options(self) -> Sequence[object]:
        """What is wanted, where that is a list."""
        return cast("Sequence[object]", self.wanted)


def label(path: Path) -> str:
    """What a sentence about a value begins with: the key, and the index in its list."""
    index = len(path)
    while index and not isinstance(path[index - 1], str):
        index -= 1
    steps = "".join(f"[{step}]" for step in path[index:])
    return f"{path[index - 1]}{steps}: " if index else ""


def fault_of_value(broken: Broken, text: str, code: str, hint: str | None = None) -> Found:
    """A fault of the value that is checked. The schema's own code wins."""
    rank = TYPE if code == codes.WRONG_TYPE else CONDITION if broken.steps & {"then", "else"} else VALUE
    fault = Fault(broken.path, text, hint or broken.words("x-hint"), broken.words("x-code") or code)
    return Found(fault, broken.path, rank)


def got(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return repr(short(value))
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"the number {short(str(value))}"


def short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def written(value: object) -> str:
    """A scalar as one would write it in YAML."""
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return got(value).removeprefix("the number ")


def listed(names: Sequence[str], last: str) -> str:
    return f"{', '.join(names[:-1])} {last} {names[-1]}" if len(names) > 1 else "".join(names)
