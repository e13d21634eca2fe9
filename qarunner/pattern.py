"""Regular expressions that are compiled when they are first asked: to compile all takes a tenth of a short command."""

from __future__ import annotations

import re
from typing import cast


def pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """As `re.compile`, later. A text that is no regular expression is an error at its first use."""
    return cast("re.Pattern[str]", _Pattern(text, flags))


class _Pattern:
    """Keeps what it is asked for: the second `search` is that of the compiled one itself."""

    def __init__(self, text: str, flags: int) -> None:
        self._words = text, flags

    def __getattr__(self, name: str) -> object:
        value: object = getattr(re.compile(*self._words), name)
        setattr(self, name, value)
        return value
