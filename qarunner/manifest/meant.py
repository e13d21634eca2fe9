"""What was probably meant by a text that is not written as it has to be."""

from __future__ import annotations

import re

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_HOST = re.compile(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}(?::\d+)?(?:[/?]\S*)?|localhost(?::\d+)?(?:/\S*)?")
_AMOUNT = re.compile(r"\s*(\d{1,6}(?:\.\d{1,3})?)\s*([a-z]+)\.?\s*", re.IGNORECASE)
_ISO = re.compile(r"PT(?=\d)((?:\d+H)?(?:\d+M)?(?:\d+S)?)", re.IGNORECASE)
_DAY = re.compile(r"(\d{4})[./](\d{2})[./](\d{2})")
_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_UNITS = {
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
}


def meant(expected: str, value: object) -> str | None:
    """A hint with the text as it should be written; None where that cannot be told."""
    if isinstance(value, int) and not isinstance(value, bool) and expected.startswith("a duration"):
        return f"write {value}s, {value}m or {value}h" if 0 < value < 10**6 else None
    if not isinstance(value, str):
        return None
    variable = _VARIABLE.search(value)
    if variable and "{{" not in value:
        return f"a variable is declared under env, and read as {{{{ env.{variable[1] or variable[2]} }}}}"
    found = _rewritten(expected, value)
    return f"write {found}" if found and found != value else None


def _rewritten(expected: str, value: str) -> str | None:
    if expected.startswith("a URL"):
        return f"https://{value}" if _HOST.fullmatch(value) else None
    if expected.startswith("a duration"):
        return _duration(value)
    if expected.startswith("a day"):
        return _DAY.sub(r"\1-\2-\3", value) if _DAY.fullmatch(value) else None
    if "lower-case letters" in expected:
        return re.sub(r"[^a-z0-9._-]+", "-", value.lower()).strip("-._") if value.isascii() else None
    return None


def _duration(text: str) -> str | None:
    iso = _ISO.fullmatch(text)
    if iso:
        return iso[1].lower()
    amount = _AMOUNT.fullmatch(text)
    unit = _UNITS.get(amount[2].lower()) if amount else None
    if amount is None or unit is None:
        return None
    rest = round(float(amount[1]) * _MS[unit])
    parts = []
    for name in ("h", "m", "s", "ms"):
        number, rest = divmod(rest, _MS[name])
        parts += [f"{number}{name}"] if number else []
    return "".join(parts)
