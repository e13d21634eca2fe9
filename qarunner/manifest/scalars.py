"""Plain scalars by the core schema of YAML 1.2: `on`, `yes`, `12:30` and `2026-01-01` are strings."""

from __future__ import annotations

import math
import re
import sys
from typing import TypeAlias

Scalar: TypeAlias = "str | int | float | bool | None"

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BASES = {"0o": 8, "0x": 16}
_LONGEST = 1_000
"""Digits of a number; Python itself stops at 4,300."""

FIRST = frozenset("0123456789+-.~nNtTfF")
"""The characters with which everything but a string begins."""


class BadNumber(ValueError):  # noqa: N818  it says what was found
    """A number that JSON, and so the rest of the program, cannot hold."""


def is_null(text: str) -> bool:
    """Whether a plain scalar means null."""
    return text in _WORDS and _WORDS[text] is None


def resolve(text: str) -> Scalar:
    """The value of a plain scalar. BadNumber for `.nan`, `.inf` and what is too large."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in FIRST:
        return sys.intern(text)
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    if _SPECIAL.fullmatch(text):
        raise BadNumber(f"{text} is not a number that JSON can hold")
    return text


def _integer(text: str) -> int:
    if len(text) > _LONGEST:
        raise BadNumber(f"a number of {len(text)} digits is too long")
    return int(text[2:], _BASES[text[:2]]) if text[:2] in _BASES else int(text)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise BadNumber(f"{text[:20]} is larger than any number that JSON can hold")
    return value
