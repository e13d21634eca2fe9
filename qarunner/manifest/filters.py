"""The filters of templates that are ours: each bounded, and strict where Jinja2's own would guess."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import quote

from qarunner import secret
from qarunner.manifest.codes import Code
from qarunner.manifest.expression import LONGEST_TEXT, TemplateFault, as_text
from qarunner.manifest.patterns import Refused, compile_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLACEHOLDER = re.compile("(⟦[^⟧]*⟧)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_MOST_DIGITS = 12
_WHOLE = "a secret can be inserted whole, or through urlencode or b64encode"


def bounded(length: int) -> None:
    """TemplateFault if a text of this length would be too long. Ask before making it."""
    if length > LONGEST_TEXT:
        raise TemplateFault(Code.TOO_MUCH, f"a template makes a text of more than {LONGEST_TEXT} characters")


def _encoded(name: str, form: str) -> str:
    """A placeholder with a form; only a plain one can take it."""
    if name.count(":") != 1:
        raise TemplateFault(Code.SECRET_CHANGED, _WHOLE)
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
        raise TemplateFault(Code.SECRET_CHANGED, _WHOLE, "b64encode takes the secret alone, without text beside it")
    return _encoded(text, "b64encode")


def slug(value: object) -> str:
    """Lower-case ASCII letters, digits and single hyphens: `Feature/Ünïcode` becomes `feature-unicode`."""
    plain = unicodedata.normalize("NFKD", as_text(value)).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def regex_replace(value: object, pattern: object, by: object = "") -> str:
    r"""Every match of a regular expression replaced; `\1` stands for a group."""
    text, put, searched = as_text(value), as_text(by), as_text(pattern)
    if _CONTROL.search(put + searched):
        # Jinja2 reads '\\1' in quotes as the character U+0001, and '\\b' as a backspace.
        raise TemplateFault(Code.FAILED, "regex_replace: a control character", r"write the backslash twice: '\\1'")
    try:
        found = compile_pattern(searched)
        # Each match may insert every group, and each group at most the text.
        bounded((len(text) + 1) * len(put) + len(text) * (1 + put.count("\\") * (len(text) > 0)))
        return found.replace(text, put)
    except Refused as refusal:
        raise TemplateFault(Code.TOO_MUCH, f"regex_replace: {refusal}") from None
    except (re.error, IndexError) as error:
        raise TemplateFault(Code.FAILED, f"regex_replace: {error}") from None


def replace(value: object, old: object, new: object) -> str:
    """Every occurrence of a text replaced."""
    text, old_text, new_text = as_text(value), as_text(old), as_text(new)
    bounded(len(text) + text.count(old_text) * (len(new_text) - len(old_text)))
    return text.replace(old_text, new_text)


def join(value: object, between: object = "") -> str:
    """The elements of a list as one text."""
    if not isinstance(value, (list, tuple)):
        raise TemplateFault(Code.FAILED, "join takes a list")
    texts, separator = [as_text(element) for element in value], as_text(between)
    bounded(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def tojson(value: object) -> str:
    """JSON text, keys in order."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
    bounded(len(text))
    return text


def integer(value: object) -> int:
    """A whole number; unlike Jinja2's own `int`, text that is none is an error and not 0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int):
        return int(value)
    text = as_text(value).strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text, re.ASCII):
        raise TemplateFault(Code.FAILED, f"int: {text[:40]!r} is not a whole number")
    return int(text)


def number(value: object) -> float:
    """A number; text that is none is an error and not 0.0."""
    if isinstance(value, (int, float)):
        return float(value)
    text = as_text(value).strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", text, re.ASCII):
        raise TemplateFault(Code.FAILED, f"float: {text[:40]!r} is not a number")
    return float(text)


def rounded(value: object, digits: object = 0) -> float:
    """A number rounded to some digits after the point; to a whole number without any."""
    places = integer(digits)
    if not 0 <= places <= _MOST_DIGITS:
        raise TemplateFault(Code.TOO_MUCH, f"round: at most {_MOST_DIGITS} digits")
    return round(number(value), places) if places else round(number(value))


def first(value: Sequence[object]) -> object:
    if not value:
        raise TemplateFault(Code.NO_VALUE, "first: there is no element")
    return value[0]


def last(value: Sequence[object]) -> object:
    if not value:
        raise TemplateFault(Code.NO_VALUE, "last: there is no element")
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
