"""The filters of templates that are ours: each bounded, and strict where Jinja2's own would guess."""

from __future__ import annotations

import base64
import json
import math
import re
import unicodedata
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec import Struct

from qarunner import secret
from qarunner.manifest.codes import Code
from qarunner.manifest.templates.expression import LONGEST_TEXT, Steps, TemplateError, as_text
from qarunner.regex import regex

if TYPE_CHECKING:
    from collections.abc import Sequence


# ---------------------------------------------------------------------------------------------------------------------

# Regular expressions from a manifest, bounded: what could take exponential or very long time is refused.
#
# Python's `re` backtracks, so time is bounded by shape. Nothing that varies may be repeated, which rules exponential
# time out; what is left is a polynomial, and it is computed before a match whether that one could take too long.


LONGEST = 200


_STEPS = 20_000_000
"""How many steps a match may take at worst: a fraction of a second."""


_READ_AT_ONCE = 4
"""Characters of a pattern that are read in one of the steps that a plan counts."""


_TOKEN = regex(
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


class Pattern(Struct, frozen=True):
    """A regular expression that is safe on texts up to some length, which depends on it."""

    compiled: re.Pattern[str]
    varying: int
    optional: int
    alternatives: int
    """In how many ways the pattern can be read, whatever the text: the alternatives of all groups, multiplied."""
    anchored: bool
    length: int
    """How many characters it matches at least, with every fixed repetition written out."""

    def full_match(self, text: str, steps: Steps) -> bool:
        """True if the whole text matches. Refused if that could take too long."""
        self._bound(text, self.varying, steps)
        return self.compiled.fullmatch(text) is not None

    def replace(self, text: str, by: str, steps: Steps) -> str:
        r"""Every match replaced; `\1` stands for a group. Refused if that could take too long."""
        self._bound(text, self.varying + (not self.anchored), steps)
        return self.compiled.sub(by, text)

    def _bound(self, text: str, degree: int, steps: Steps) -> None:
        """Each way to share the text out among what varies may be tried, and each try may read the whole pattern.

        Each of these again with every choice of what is optional, and with every alternative.
        """
        length = len(text)
        chosen = min(2**self.optional, math.comb(length + self.optional, self.optional))
        tries = math.comb(length + degree, degree) * chosen * self.alternatives
        read = min(self.length, len(text))
        if tries * max(1, read / LONGEST) > _STEPS:
            raise Refused(f"the pattern {self.compiled.pattern!r} could take too long on {len(text)} characters")
        steps.take(int(tries * max(1, read / _READ_AT_ONCE)) + len(text))


@lru_cache(maxsize=256)
def compile_pattern(text: str) -> Pattern:
    """A checked pattern. Refused: it is invalid, is too long, or its shape allows exponential time."""
    if len(text) > LONGEST:
        raise Refused(f"a pattern has at most {LONGEST} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of a set that a later Python may read in another way
            compiled = re.compile(text)
    except (re.error, FutureWarning, DeprecationWarning, OverflowError, RecursionError) as error:
        raise Refused(f"not a regular expression: {error}") from error
    shape = _shape(text)
    anchored = text.startswith("^") and "|" not in text
    return Pattern(compiled, shape.varying, shape.optional, shape.alternatives, anchored, shape.length)


class _Shape(Struct):
    """What is counted of a pattern, or of one of its groups.

    `varying` parts can be repeated, or are alternatives in a group; `optional` parts may be missing. Alternatives
    beside each other multiply. `length`: those of all alternatives count, as each of them may be tried.
    """

    varying: int = 0
    optional: int = 0
    alternatives: int = 1
    length: int = 0


def _shape(text: str) -> _Shape:
    """Refused where what varies is itself repeated."""
    whole = _Shape()
    groups = [_Shape()]
    last = _Shape()  # what a quantifier would repeat
    for token in _tokens(text):
        if token["count"]:
            if last.varying and _repeats(token):
                what = "something that varies (`*`, `+`, `?`, `{n,m}` or `|`)"
                raise Refused(f"a group that is repeated cannot hold {what}")
            if not (token["least"] and not token["comma"]):
                whole.varying += _repeats(token)
                whole.optional += not _repeats(token)
                groups[-1].varying += 1
            least = int(token["least"] or 0) if token["count"].startswith("{") else token["count"].startswith("+")
            groups[-1].length += last.length * (max(1, least) - 1)
            last = _Shape()
        elif token["open"]:
            groups.append(_Shape())
        elif token["close"] and len(groups) > 1:
            last = groups.pop()
            whole.alternatives *= last.alternatives
            groups[-1].varying += last.varying
            groups[-1].length += last.length
        elif token["either"]:
            groups[-1].alternatives += 1
            groups[-1].varying += 1
            last = _Shape()
        else:
            last = _Shape(length=1)
            groups[-1].length += 1
    whole.alternatives *= math.prod(group.alternatives for group in groups)
    whole.length = sum(group.length for group in groups)
    return whole


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


_PLACEHOLDER = regex("(⟦[^⟧]*⟧)")


_CONTROL = regex(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


_MOST_DIGITS = 12


_WHOLE = "a secret can be inserted whole, or through urlencode or b64encode"


def bounded(length: int) -> None:
    """TemplateError if a text of this length would be too long. Ask before making it."""
    if length > LONGEST_TEXT:
        raise TemplateError(Code.TOO_MUCH, f"a template makes a text of more than {LONGEST_TEXT} characters")


def _encoded(name: str, form: str) -> str:
    """A placeholder with a form; only a plain one can take it."""
    if name.count(":") != 1:
        raise TemplateError(Code.SECRET_CHANGED, _WHOLE)
    return secret.placeholder(name.removeprefix(secret.OPEN).removesuffix(secret.CLOSE), form)


def urlencode(value: object) -> str:
    """Percent-encoded, `/` as well, so that it fits into a query as into a path."""
    pieces = _PLACEHOLDER.split(as_text(value))
    bounded(sum(map(len, pieces)) * 9)
    return "".join(
        _encoded(piece, "urlencode") if index % 2 else quote(piece, safe="") for index, piece in enumerate(pieces)
    )


def b64encode(value: object) -> str:
    """Base64 of the UTF-8 text, with padding."""
    text = as_text(value)
    if secret.OPEN not in text:
        return base64.b64encode(text.encode()).decode()
    if not _PLACEHOLDER.fullmatch(text):
        raise TemplateError(Code.SECRET_CHANGED, _WHOLE, "b64encode takes the secret alone, without text beside it")
    return _encoded(text, "b64encode")


def slug(value: object) -> str:
    """Lower-case ASCII letters, digits and single hyphens: `Feature/Ünïcode` becomes `feature-unicode`."""
    plain = unicodedata.normalize("NFKD", as_text(value)).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def regex_replace(value: object, pattern: object, by: object = "", *, steps: Steps) -> str:
    r"""Every match of a regular expression replaced; `\1` stands for a group."""
    text, put, searched = as_text(value), as_text(by), as_text(pattern)
    if _CONTROL.search(put + searched):
        # Jinja2 reads '\\1' in quotes as the character U+0001, and '\\b' as a backspace.
        raise TemplateError(Code.FAILED, "regex_replace: a control character", r"write the backslash twice: '\\1'")
    try:
        compiled = compile_pattern(searched)
        # Each match may insert every group, and each group at most the text.
        bounded((len(text) + 1) * len(put) + len(text) * (1 + put.count("\\") * (len(text) > 0)))
        return compiled.replace(text, put, steps)
    except Refused as refusal:
        raise TemplateError(Code.TOO_MUCH, f"regex_replace: {refusal}") from None
    except (re.error, IndexError) as error:
        raise TemplateError(Code.FAILED, f"regex_replace: {error}") from None


def replace(value: object, old: object, new: object) -> str:
    """Every occurrence of a text replaced."""
    text, old_text, new_text = as_text(value), as_text(old), as_text(new)
    bounded(len(text) + text.count(old_text) * (len(new_text) - len(old_text)))
    return text.replace(old_text, new_text)


def join(value: object, between: object = "") -> str:
    """The elements of a list as one text."""
    if not isinstance(value, (list, tuple)):
        raise TemplateError(Code.FAILED, "join takes a list")
    texts, separator = [as_text(element) for element in value], as_text(between)
    bounded(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def tojson(value: object) -> str:
    """JSON text, keys in order."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
    bounded(len(text))
    return text


def integer(value: object) -> int:
    """A whole number; unlike Jinja2's own `int`, other text is an error and not 0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int):
        return int(value)
    text = as_text(value).strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text, re.ASCII):
        raise TemplateError(Code.FAILED, f"int: {text[:40]!r} is not a whole number")
    return int(text)


def number(value: object) -> float:
    """A number; other text is an error and not 0.0."""
    if isinstance(value, (int, float)):
        return float(value)
    text = as_text(value).strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", text, re.ASCII):
        raise TemplateError(Code.FAILED, f"float: {text[:40]!r} is not a number")
    return float(text)


def rounded(value: object, digits: object = 0) -> float:
    """A number rounded to some digits after the point; to a whole number without any."""
    places = integer(digits)
    if not 0 <= places <= _MOST_DIGITS:
        raise TemplateError(Code.TOO_MUCH, f"round: at most {_MOST_DIGITS} digits")
    return round(number(value), places) if places else round(number(value))


def first(value: Sequence[object]) -> object:
    if not value:
        raise TemplateError(Code.NO_VALUE, "first: there is no element")
    return value[0]


def last(value: Sequence[object]) -> object:
    if not value:
        raise TemplateError(Code.NO_VALUE, "last: there is no element")
    return value[-1]


def unique(value: Sequence[object]) -> list[object]:
    """A list without repetitions, in its order."""
    return list({as_text(element): element for element in reversed(value)}.values())[::-1]


def reverse(value: object) -> object:
    """A list or a text from its end."""
    return value[::-1] if isinstance(value, (list, tuple)) else as_text(value)[::-1]


def trim(value: object) -> str:
    return as_text(value).strip()


def lower(value: object) -> str:
    return as_text(value).lower()


def upper(value: object) -> str:
    return as_text(value).upper()
