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
    from collections.abc import Callable, Collection, Iterable, Mapping

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


# --- what may leave ---------------------------------------------------------------------------------------------------
#
# Pure rules: the manifest's check asks them early and with places, the transport asks them for whatever it is to send.
# `allowed` are always the words of --allow-secret and QARUNNER_ALLOW_SECRETS: NAME, NAME@HOST or NAME@VENDOR.


def key_may_go_to(variable: str, vendor: str, *, keys: Mapping[str, str], allowed: Collection[str]) -> bool:
    """True if a variable may be sent to a vendor as its credential. `keys` gives each vendor's default variable.

    The default variable of a vendor goes to that vendor alone, whatever is allowed. Any other variable needs the
    vendor's own word in its name, or a person's permission by its bare name.
    """
    owners = owners_of_key(variable, keys)
    if owners:
        return vendor in owners
    return named_after(vendor, variable, keys) or variable in allowed


def owners_of_key(variable: str, keys: Mapping[str, str]) -> frozenset[str]:
    """The vendors that have a variable as their default credential. Windows knows no case in names of variables."""
    return frozenset(vendor for vendor, key in keys.items() if key.upper() == variable.upper())


def named_after(vendor: str, variable: str, keys: Mapping[str, str]) -> bool:
    """True if a variable's name holds the vendor's own word: MY_DOKSI_KEY is named after doksi, DOKSIAN_KEY is not."""
    return any(f"_{word}_" in f"_{variable.upper()}_" for word in words_of(vendor, keys))


def words_of(vendor: str, keys: Mapping[str, str]) -> tuple[str, ...]:
    """The words that mark a variable as a vendor's: DOCKETQA, and DOCKET as in DOCKET_API_KEY."""
    own = vendor.upper().replace("-", "_")
    default = keys.get(vendor, "").upper()
    for ending in ("_API_KEY", "_API_TOKEN", "_KEY", "_TOKEN"):
        if default.endswith(ending):
            return (default.removesuffix(ending), own)
    return (own,)


def secret_may_go_to(name: str, text: str, *, vendor: str, allowed: Collection[str], is_url: bool = False) -> bool:
    """True if a secret may be sent to a vendor inside of this text.

    A text that is a URL, or holds something that could be read as one, needs `NAME@HOST` with the URL's host. Any other
    text needs `NAME@VENDOR`. `is_url`: the text stands where a URL belongs, such as a target.
    """
    needed = needed_permission(name, text, vendor=vendor, is_url=is_url)
    if needed is None:
        return False
    _, _, destination = needed.partition("@")
    return any(_fits(destination, place) for place in places_of(name, allowed))


def needed_permission(name: str, text: str, *, vendor: str, is_url: bool = False) -> str | None:
    """The word of --allow-secret that lets a secret out in this text; None if the URL's host is not certain."""
    if not (is_url or _looks_like_address(text)):
        return f"{name}@{vendor}"
    host = certain_host(text)
    return None if host is None else f"{name}@{host}"


def places_of(name: str, allowed: Collection[str]) -> tuple[str, ...]:
    """The hosts and vendors that a secret may go to. A bare name gives none: it permits a key, and no secret."""
    pairs = (word.partition("@") for word in allowed)
    return tuple(sorted(place.lower() for own, at, place in pairs if at and own == name))


def certain_host(url: str) -> str | None:
    """The host of a URL, with its port if that is not the usual one; None for all that is not certainly one URL.

    A host without a dot always has its port, so that it is never taken for a vendor's name.
    """
    match = _URL.fullmatch(url)
    if match is None:
        return None
    scheme, host = match["scheme"].lower(), match["host"].lower()
    if scheme != "https" and host not in _LOOPBACK:
        return None
    usual = "443" if scheme == "https" else "80"
    port = match["port"] or usual
    bare = port == usual and ("." in host or host in _LOOPBACK)
    return host if bare else f"{host}:{port}"


def _looks_like_address(text: str) -> bool:
    """True if some program could read an address in a text, or take the whole text for one that lacks its scheme."""
    return _ADDRESS.search(text) is not None or _NO_SCHEME.match(_PLACEHOLDER.sub("x", text)) is not None


_ADDRESS = re.compile(r"https?:|[/\\]{2}", re.IGNORECASE)
_NO_SCHEME = re.compile(r"\s*(?:[^\s/@]*@)?(?:[a-z0-9-]+\.)+[a-z]{2,}\.?(?::[0-9]*)?(?:[/?#\\]|\Z)", re.IGNORECASE)

_LOOPBACK = frozenset({"localhost", "127.0.0.1"})

# The host is read by what it may consist of, not by where it seems to end: backslashes, odd characters and secrets
# before the first slash are read differently by different programs. A secret in the user's part is quoted.
_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:(?:[A-Za-z0-9._~!$&'()*+,;=:%-]|⟦secret:[A-Za-z_][A-Za-z0-9_]*:urlencode⟧)*@)?"
    r"(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?(?:[/?#][^\s\x00-\x1f\x7f]*)?",
    re.ASCII | re.IGNORECASE,
)


def _fits(destination: str, place: str) -> bool:
    """True if a destination is the place of a permission, where `*.` stands for labels and `*` for a part of one."""
    first, _, rest = place.partition(".")
    if "*" not in first:
        return destination == place
    pattern = "[a-z0-9.-]+" if first == "*" else re.escape(first).replace(r"\*", "[a-z0-9-]*")
    return re.fullmatch(rf"{pattern}\.{re.escape(rest)}", destination) is not None
