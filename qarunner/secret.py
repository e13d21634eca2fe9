"""Secrets as placeholders: real text exists in the transport alone, and nothing that is kept can hold it.

A placeholder reads `⟦secret:NAME⟧`, or `⟦secret:NAME:urlencode⟧` where the value is to be quoted when it is sent.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

OPEN = "⟦secret:"
CLOSE = "⟧"
_PLACEHOLDER = re.compile(r"⟦secret:([A-Za-z_][A-Za-z0-9_]*)(?::(urlencode|b64encode))?⟧")
MASK = "***"
_SHORTEST = 4
"""Shorter values are not looked for in free text: they would mask half of every message."""

_STRONG = 8
"""Shorter forms are not looked for where chance would find them: within base64, and over the ends of lines."""
_BREAK = re.compile(r"(?:\r\n|\n|\r|\\r\\n|\\n|\\r)[ \t]*")
"""The end of a line, with the indentation of the next; also as JSON writes it."""

_FORMS: Mapping[str, Callable[[str], str]] = {
    "urlencode": lambda value: quote(value.encode("utf-8", "surrogateescape"), safe=""),
    "b64encode": lambda value: base64.b64encode(value.encode("utf-8", "surrogateescape")).decode(),
}


def placeholder(name: str, form: str | None = None) -> str:
    """The text that stands for a secret in a plan."""
    return f"{OPEN}{name}:{form}{CLOSE}" if form else f"{OPEN}{name}{CLOSE}"


def names_in(text: str) -> frozenset[str]:
    """The secrets that a text stands for."""
    return frozenset(match[1] for match in _PLACEHOLDER.finditer(text)) if OPEN in text else frozenset()


def intact(text: str) -> bool:
    """Whether each placeholder in a text is whole: a filter that cut or changed one is an error, not a leak."""
    rest = _PLACEHOLDER.sub("", text)
    return "⟦" not in rest and CLOSE not in rest


def reveal(text: str, values: Mapping[str, str]) -> str:
    """Puts the values in. Only the transport calls this. KeyError if one is not known."""

    def value(match: re.Match[str]) -> str:
        plain = values[match[1]]
        return _FORMS[match[2]](plain) if match[2] else plain

    return _PLACEHOLDER.sub(value, text) if OPEN in text else text


def mask(text: str) -> str:
    """For people: every placeholder as `***`."""
    return _PLACEHOLDER.sub(MASK, text) if OPEN in text else text


def canonical(text: str) -> str:
    """Placeholders without their form, so that a text that was scrubbed equals the text it came from."""
    return _PLACEHOLDER.sub(lambda match: placeholder(match[1]), text) if OPEN in text else text


class Scrubber:
    """Replaces secret values in text that comes from outside, in every form in which they may come back."""

    def __init__(self, values: Mapping[str, str]) -> None:
        forms: dict[str, str] = {}
        for name, value in values.items():
            for form in _appearances(value):
                if len(form) >= _SHORTEST:
                    forms.setdefault(form, placeholder(name))
        self._forms = forms
        # Longest first: a quoted form may contain the raw one.
        longest = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest))) if longest else None

    def __call__(self, text: str) -> str:
        if self._pattern is None:
            return text
        return self._split(self._pattern.sub(lambda match: self._forms[match[0]], text))

    def _split(self, text: str) -> str:
        """Forms that were wrapped: mail and certificates break lines after 64 or 76 characters."""
        whole = _BREAK.sub("", text)
        if len(whole) == len(text):
            return text
        for form, name in self._forms.items():
            if len(form) >= _STRONG and form in whole:
                text = re.sub(rf"(?:{_BREAK.pattern})?".join(map(re.escape, form)), name, text)
        return text


def _inside(value: bytes) -> Iterable[str]:
    """What is certain of a value's base64 where other bytes stand before and behind it, such as `user:` in a header."""
    for shift, uncertain in enumerate((0, 2, 3)):
        text = base64.b64encode(b"\0" * shift + value).decode().rstrip("=")
        core = text[uncertain : len(text) - bool((shift + len(value)) % 3)]
        if len(core) >= _STRONG:
            yield core
            yield core.replace("+", "-").replace("/", "_")


def _appearances(value: str) -> Iterable[str]:
    escaped = json.dumps(value)[1:-1]
    encoded = value.encode("utf-8", "surrogateescape")
    yield from (
        value,
        value.strip(),
        escaped,
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(encoded, safe=""),
        quote(encoded),
        base64.b64encode(encoded).decode().rstrip("="),
        base64.urlsafe_b64encode(encoded).decode().rstrip("="),
        escaped.replace("/", "\\/"),
    )
    yield from _inside(encoded)
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        yield from lines
