"""Regular expressions from a manifest, bounded: what could take exponential or very long time is refused.

Python's `re` backtracks, so time is bounded by shape. Nothing that varies may be repeated, which rules exponential
time out; what is left is a polynomial, and it is computed before a match whether that one could take too long.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache

LONGEST = 200
_STEPS = 20_000_000
"""How many steps a match may take at worst: a fraction of a second."""

_TOKEN = re.compile(
    r"(?P<escape>\\.)"
    r"|(?P<klass>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<open>\((?:\?:|\?P<\w+>)?(?!\?))"
    r"|(?P<close>\))"
    r"|(?P<count>\{(?P<least>\d*)(?P<comma>,?)(?P<most>\d*)\}|[*+?])[?+]?"
    r"|(?P<either>\|)"
    r"|(?P<other>[^(\\\[])",
    re.DOTALL,
)


class Refused(ValueError):  # noqa: N818  it says what became of the pattern
    """A pattern that is not taken, or that may take too long on a text."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression that is safe on texts up to some length, which depends on it."""

    compiled: re.Pattern[str]
    varying: int
    anchored: bool

    def full_match(self, text: str) -> bool:
        """Whether the whole text matches. Refused if that could take too long."""
        self._bound(text, self.varying)
        return self.compiled.fullmatch(text) is not None

    def replace(self, text: str, by: str) -> str:
        r"""Every match replaced; `\1` stands for a group. Refused if that could take too long."""
        self._bound(text, self.varying + (not self.anchored))
        return self.compiled.sub(by, text)

    def _bound(self, text: str, degree: int) -> None:
        if len(text) ** degree / math.factorial(degree) > _STEPS:
            raise Refused(f"the pattern {self.compiled.pattern!r} could take too long on {len(text)} characters")


@lru_cache(maxsize=256)
def compile_pattern(text: str) -> Pattern:
    """A checked pattern. Refused: it is none, is too long, or its shape allows exponential time."""
    if len(text) > LONGEST:
        raise Refused(f"a pattern has at most {LONGEST} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of a set that a later Python may read in another way
            compiled = re.compile(text)
    except (re.error, FutureWarning, DeprecationWarning, OverflowError, RecursionError) as error:
        raise Refused(f"not a regular expression: {error}") from error
    anchored = text.startswith("^") and "|" not in text
    return Pattern(compiled, _varying(text), anchored)


def _varying(text: str) -> int:
    """How many parts can match at different lengths. Refused where such a part is itself repeated."""
    total = 0
    groups: list[int] = []  # how much varies inside each open group
    inside = 0  # the same of what was just closed: what a quantifier would repeat
    for token in _tokens(text):
        if token.lastgroup is None or token["count"] is None:
            closed = token["close"] is not None
            inside = groups.pop() if closed and groups else 0
            if closed and groups:
                groups[-1] += inside
            if token["open"]:
                groups.append(0)
            if token["either"] and groups:
                groups[-1] += 1
            continue
        if inside and _repeats(token):
            raise Refused("a group that is repeated cannot hold something that varies (`*`, `+`, `?`, `{n,m}` or `|`)")
        if not (token["least"] and not token["comma"]):
            total += 1
            groups[-1:] = [groups[-1] + 1] if groups else []
        inside = 0
    return total


def _tokens(text: str) -> list[re.Match[str]]:
    position = 0
    tokens = []
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None or (token["escape"] and token["escape"][1].isdigit()):
            raise Refused("look-around, flags, conditions and back-references cannot be used")
        tokens.append(token)
        position = token.end()
    return tokens


def _repeats(quantifier: re.Match[str]) -> bool:
    """Whether a quantifier allows more than one."""
    return quantifier["count"] not in {"?", "{0,1}", "{,1}", "{1}", "{0}", "{1,1}"}
