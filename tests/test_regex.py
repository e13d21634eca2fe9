"""What all regular expressions of the program have in common."""

from __future__ import annotations

import importlib
import pkgutil
import re
from re import _parser  # type: ignore[attr-defined]  # there is no public way to read a pattern

import qarunner

_NEW = {"POSSESSIVE_REPEAT", "ATOMIC_GROUP"}


def operations(value: object) -> set[str]:
    """The names of all operations in a parsed pattern."""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "SubPattern":
        return set().union(*(operations(item) for item in value))  # type: ignore[attr-defined]
    return {str(value)}


def test_no_pattern_has_possessive_parts() -> None:
    """Python before 3.11.5 reads `(a)?+` wrongly: a key that begins with a digit became an item of a list."""
    patterns: dict[str, re.Pattern[str]] = {}
    for module in pkgutil.walk_packages(qarunner.__path__, "qarunner."):
        if module.name.endswith("__main__"):
            continue
        names = vars(importlib.import_module(module.name))
        patterns |= {
            f"{module.name}.{name}": value
            for name, value in names.items()
            if type(value).__name__ in {"_Regex", "Pattern"}
        }
    assert len(patterns) > 50
    possessive = {
        name for name, value in patterns.items() if _NEW & operations(_parser.parse(value.pattern, value.flags & 511))
    }
    assert possessive == set()
