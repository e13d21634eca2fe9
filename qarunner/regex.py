"""Regular expressions that are compiled when they are first asked: to compile all takes a tenth of a short command."""

from __future__ import annotations

import re
from typing import AnyStr, Generic, cast


def regex(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """As `re.compile`, later: a text that is no regular expression is an error at its first use."""
    return cast("re.Pattern[AnyStr]", _Regex(text, flags))


class _Regex(Generic[AnyStr]):
    """Keeps what it is asked for: the second `search` is that of the compiled one itself."""

    def __init__(self, text: AnyStr, flags: int) -> None:
        self._words: tuple[AnyStr, int] = text, flags

    def __getattr__(self, name: str) -> object:
        value: object = getattr(re.compile(*self._words), name)
        setattr(self, name, value)
        return value
