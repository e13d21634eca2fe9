"""Secrets as placeholders: real text exists in the transport alone, and nothing that is kept can hold it.

A placeholder reads `⟦secret:NAME⟧`, or `⟦secret:NAME:urlencode⟧` where the value is to be quoted when it is sent.
"""

from __future__ import annotations

import base64
import bisect
import re
import sys
import unicodedata
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from qarunner.regex import regex

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

OPEN = "⟦secret:"
CLOSE = "⟧"
_PLACEHOLDER = regex(r"⟦secret:([A-Za-z_][A-Za-z0-9_]*)(?::(urlencode|b64encode))?⟧")
MASK = "***"
VALUE_OF = "QARUNNER_VAR_"
"""`QARUNNER_VAR_NAME` is the value of the declared variable NAME."""
_SHORTEST = 4
"""Shorter values are not looked for in free text: they would mask half of every message."""

_STRONG = 8
"""Shorter forms are not looked for where chance would find them: within base64, and over the ends of lines."""
_BREAK = regex(
    r"(?:\r\n|\n|\r|\\r\\n|\\n|\\r)[ \t]*"
    r"|\x1b\[[0-9;]*m|[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\xad\u200b-\u200f\u2060-\u2064\ufeff]"
)
"""The end of a line, with the indentation of the next; also as JSON writes it. Colours, and invisible characters."""

_FORMS: Mapping[str, Callable[[str], str]] = {
    "urlencode": lambda value: quote(value.encode("utf-8", "surrogateescape"), safe=""),
    "b64encode": lambda value: base64.b64encode(value.encode("utf-8", "surrogateescape")).decode(),
}


SEAL_KEY = "QARUNNER_SEAL_KEY"


def seal_keys(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of their own with which run folders are sealed here; without any, the vendors' credentials seal them."""
    return tuple(dict.fromkeys(filter(None, (key.strip() for key in environ.get(SEAL_KEY, "").split(",")))))


def placeholder(name: str, form: str | None = None) -> str:
    """The text that stands for a secret in a plan."""
    return f"{OPEN}{name}:{form}{CLOSE}" if form else f"{OPEN}{name}{CLOSE}"


def has_brackets(text: str) -> bool:
    """True if a text holds one of the two brackets around placeholders: nobody else may write them."""
    return "⟦" in text or CLOSE in text


def secret_names(text: str) -> frozenset[str]:
    """The secrets that a text stands for."""
    return frozenset(match[1] for match in _PLACEHOLDER.finditer(text)) if OPEN in text else frozenset()


def placeholders_whole(text: str) -> bool:
    """Whether each placeholder in a text is whole: a filter that cut or changed one is an error, not a leak."""
    return not has_brackets(_PLACEHOLDER.sub("", text))


def reveal(text: str, values: Mapping[str, str]) -> str:
    """Puts the values in. Only the transport calls this. KeyError if one is not known."""

    def value(match: re.Match[str]) -> str:
        plain = values[match[1]]
        return _FORMS[match[2]](plain) if match[2] else plain

    return _PLACEHOLDER.sub(value, text) if OPEN in text else text


def mask(text: str) -> str:
    """For people: every placeholder as `***`."""
    return _PLACEHOLDER.sub(MASK, text) if OPEN in text else text


def as_template(text: str) -> str:
    """For reviewers: every placeholder as the template that it came from."""

    def written(match: re.Match[str]) -> str:
        return f"{{{{ env.{match[1]} | {match[2]} }}}}" if match[2] else f"{{{{ env.{match[1]} }}}}"

    return _PLACEHOLDER.sub(written, text) if OPEN in text else text


def without_encoding(text: str) -> str:
    """Placeholders without their form, so that a text that was scrubbed equals the text it came from."""
    return _PLACEHOLDER.sub(lambda match: placeholder(match[1]), text) if OPEN in text else text


class Scrubber:
    """Puts placeholders in the place of secret values in text, in every form in which they may come back.

    It looks in the text and in what the text means to a browser, a JSON reader or a URL, up to three times over, and
    takes out what the value came from. A beginning of 12 characters is a secret, too: logs cut long lines. Time is
    linear in the text.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._needles: dict[str, list[_Needle]] = {}
        """Those that chance does not spell, by their beginnings."""
        self._words: dict[str, str] = {}
        """Short ones, which have to be there to the letter; with the placeholder of each."""
        for name, value in values.items():
            self._learn(placeholder(name), value)
        self._beginnings = re.compile(_any_of(_shortest(self._needles))) if self._needles else None
        self._lengths = sorted({len(beginning) for beginning in self._needles})
        words = sorted(self._words, reverse=True)  # each before its own beginnings
        self._shorts = re.compile("|".join(map(re.escape, words))) if words else None

    def _learn(self, name: str, value: str) -> None:
        for text, least in _forms(value):
            if len(text) < _STRONG:
                self._words.setdefault(text, name)
                continue
            known = self._needles.setdefault(text[: min(least, _BEGINNING)], [])
            if all(text != other.text for other in known):
                known.append(_Needle(text, least, name))

    def __call__(self, text: str) -> str:
        if OPEN not in text:
            return self._without(text)
        # What is a placeholder already stays one, also where a secret is called `secret`.
        kept, ends = [], 0
        for match in _PLACEHOLDER.finditer(text):
            kept += [self._without(text[ends : match.start()]), match[0]]
            ends = match.end()
        return "".join([*kept, self._without(text[ends:])])

    def _without(self, text: str) -> str:
        spans = [(*view.source(start, end), name) for view in _views(text) for start, end, name in self._find(view)]
        if not spans:
            return text
        parts, ends = [], 0
        for start, end, name in _joined(spans):
            parts += [text[ends:start], name]
            ends = end
        return "".join([*parts, text[ends:]])

    def _find(self, view: _View) -> Iterator[tuple[int, int, str]]:
        """Where secrets begin and end in a view."""
        if self._shorts is not None and not view.is_joined:
            for match in self._shorts.finditer(view.text):
                yield match.start(), match.end(), self._words[match[0]]
        if self._beginnings is None:
            return
        text = _folded(view.text)
        at = covered = 0
        while (hit := self._beginnings.search(text, at)) is not None:
            at = hit.start()
            for length in self._lengths:
                for needle in self._needles.get(text[at : at + length], ()):
                    # What is found already is not measured again: a long row of one character would take for ever.
                    is_news = at + needle.least > covered or text.startswith(needle.text[: covered - at + 1], at)
                    if is_news and (there := needle.length_in(text, at)):
                        covered = max(covered, at + there)
                        yield at, at + there, needle.name
            at += 1


def _forms(value: str) -> tuple[tuple[str, int], ...]:
    """What is looked for of a value, and how much of each form is enough."""
    forms: dict[str, int] = {}
    for text in {value, value.strip(), *(line.strip() for line in value.splitlines())}:
        forms.setdefault(text, _BEGINNING + _scheme_length(text))
        # What a text means is compared with what the value means, so that a value may hold escapes itself.
        for meant in _meanings(text):
            if len(meant) >= _STRONG:
                forms.setdefault(meant, _BEGINNING)
    data = _bytes(value)
    for form in (data.hex(), base64.b64encode(data).decode().rstrip("="), *_cores(data)):
        forms.setdefault(form, _ENCODED_BEGINNING)
        forms.setdefault(form.replace("+", "-").replace("/", "_"), _ENCODED_BEGINNING)
    return tuple(
        (text, least) if len(text) < _STRONG else (_folded(text), min(least, len(text)))
        for text, least in forms.items()
        if len(text) >= _SHORTEST
    )


_BEGINNING = 12
"""So many characters of a secret are a secret, too."""

_ENCODED_BEGINNING = 24
"""The same of a secret in hex, and more than the same in base64."""


class _Needle(NamedTuple):
    """What is looked for. `least` characters from its beginning are enough."""

    text: str
    least: int
    name: str

    def length_in(self, text: str, at: int) -> int:
        """How much of it stands in a text from there on; 0 if that is too little."""
        lengths = range(len(self.text) + 1)
        too_long = bisect.bisect_left(lengths, x=True, key=lambda length: not text.startswith(self.text[:length], at))
        return too_long - 1 if too_long > self.least else 0


def _shortest(words: Iterable[str]) -> list[str]:
    """The words, sorted, without those that begin with another one."""
    prefixes: list[str] = []
    for word in sorted(words):
        if not (prefixes and word.startswith(prefixes[-1])):
            prefixes.append(word)
    return prefixes


def _any_of(words: Sequence[str]) -> str:
    """A pattern of the words, whose alternatives begin with different characters. No word begins with another one."""
    if len(words) == 1:
        return re.escape(words[0])
    branches: dict[str, list[str]] = {}
    for word in words:
        branches.setdefault(word[0], []).append(word[1:])
    parts = [re.escape(first) + (_any_of(rests) if rests[0] else "") for first, rests in branches.items()]
    return parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"


def _folded(text: str) -> str:
    """A text of the same length, in which forms that mean the same are equal: lower case, and `+` for a space.

    Each character by itself: how a sigma is written depends on whether its word goes on.
    """
    lower = text.lower()
    if len(lower) != len(text):
        lower = "".join(small if len(small := char.lower()) == 1 else char for char in text)
    return lower.replace("\u03c2", "\u03c3").replace("+", " ")


def _scheme_length(text: str) -> int:
    """How much of a URL says nothing about it."""
    match = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text)
    return match.end() if match else 0


def _bytes(value: str) -> bytes:
    try:
        return value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return value.encode(errors="surrogatepass")


def _cores(data: bytes) -> Iterator[str]:
    """What is certain of a value in base64 and base32 where other bytes stand before and behind it, as in a header."""
    for bits, encode, shifts in ((6, base64.b64encode, 3), (5, base64.b32encode, 5)):
        for shift in range(shifts):
            text = encode(b"\0" * shift + data).decode()
            yield text[-(-shift * 8 // bits) : (shift + len(data)) * 8 // bits]


def _joined(spans: Iterable[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    """The places in their order; those that overlap are one, under the name of the longest."""
    groups: list[list[tuple[int, int, str]]] = []
    end = 0
    for span in sorted(spans):
        if span[0] >= end:
            groups.append([])
        groups[-1].append(span)
        end = max(end, span[1])
    for group in groups:
        yield group[0][0], max(last for _, last, _ in group), max(group, key=lambda span: span[1] - span[0])[2]


# --- what a text means ------------------------------------------------------------------------------------------------

_DEPTH = 3
"""So often a text is decoded: a URL in HTML in JSON."""

_ESCAPE = regex(
    r"(?:%[0-9A-Fa-f]{2})+|%u[0-9A-Fa-f]{4}"
    r"|\\u[dD][89ABab][0-9A-Fa-f]{2}\\u[dD][C-Fc-f][0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\[\"'\\/bfnrt]"
    r"|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
)
_BYTES = regex(r"%[0-9A-Fa-f]{2}")
_UTF_16 = ("utf-16", "surrogatepass")
"""A text may hold one half of a pair, and is kept as it is."""
_SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _decoded(text: str) -> str:
    """A text without one layer of escapes: those of URLs, HTML and JSON."""
    return _ESCAPE.sub(_meaning, text) if "%" in text or "&" in text or "\\" in text else text


def _meanings(text: str) -> Iterator[str]:
    """What a text is after each layer of escapes."""
    for _ in range(_DEPTH):
        meant = _decoded(text)
        if meant == text:
            return
        yield meant
        text = meant


def _meaning(match: re.Match[str]) -> str:
    text = match[0]
    if text[0] == "&":
        from html import unescape  # noqa: PLC0415  2,231 names, which hardly any text needs

        return _character(text[2:-1]) or text if text[1] == "#" else unescape(text)
    if text[1] == "u":
        units = "".join(chr(int(unit, 16)) for unit in re.split(r"[%\\]u", text)[1:])
        return units.encode(*_UTF_16).decode(*_UTF_16)
    if text[0] == "%":
        return bytes.fromhex(text.replace("%", "")).decode(errors="surrogateescape")
    return chr(bytes.fromhex(text[2:])[0]) if text[1] == "x" else _SIMPLE.get(text[1], text[1])


def _character(number: str) -> str:
    """The character of a number in HTML, also of those that a page must not have."""
    code = int(number[1:], 16) if number[0].lower() == "x" else int(number)
    return chr(code) if code <= sys.maxunicode else ""


class _Change(NamedTuple):
    """A part of a text that another text has in its place."""

    at: int
    end: int
    source: int
    source_end: int


class _View:
    """What a text means: itself, decoded, or with its lines joined. `source` leads back to where a part came from."""

    def __init__(self, text: str, parent: _View | None = None, *, joins: bool = False) -> None:
        self.text = text
        self.is_joined: bool = joins or (parent is not None and parent.is_joined)
        self._parent = parent
        self._joins = joins
        self._changes: list[_Change] | None = None

    def decoded(self) -> _View | None:
        """None if there is nothing to decode."""
        text = _decoded(self.text)
        return None if text == self.text else _View(text, self)

    def joined(self) -> _View | None:
        """Mail breaks lines after 76 characters, and test tools colour parts. None if there is nothing to join.

        A NUL divides texts that are looked at together.
        """
        if self.is_joined or ("\\" not in self.text and self.text.replace("\0", "").isprintable()):
            return None
        text = _BREAK.sub("", self.text)
        return None if len(text) == len(self.text) else _View(text, self, joins=True)

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Where a part stands in the text that all views are of."""
        if self._parent is None:
            return start, end
        if self._changes is None:
            self._changes = list(self._changed(self._parent.text))
        return self._parent.source(self._before(start)[0], self._before(end - 1)[1])

    def _changed(self, text: str) -> Iterator[_Change]:
        """Where this view differs from its parent's text, in order; a run of %XX character by character."""
        shift = 0
        for match in (_BREAK if self._joins else _ESCAPE).finditer(text):
            place, at, meaning = match.start(), match.start() + shift, "" if self._joins else _meaning(match)
            shift += len(meaning) - len(match[0])
            if _BYTES.match(match[0]):
                for char in meaning:
                    length = 3 * len(_bytes(char))
                    yield _Change(at, at + 1, place, place + length)
                    at, place = at + 1, place + length
            else:
                yield _Change(at, at + len(meaning), place, match.end())

    def _before(self, at: int) -> tuple[int, int]:
        """Where the character at a place begins and ends in the parent's text."""
        assert self._changes is not None  # noqa: S101  `source` has made them
        index = bisect.bisect_right(self._changes, at, key=lambda change: change.at) - 1
        if index < 0:
            return at, at + 1
        change = self._changes[index]
        if at < change.end:
            return change.source, change.source_end
        place = change.source_end + at - change.end
        return place, place + 1


def _views(text: str) -> Iterator[_View]:
    """A text and all that it may mean."""
    level = [_View(text)]
    for _ in range(_DEPTH + 1):
        if not level:
            return
        level += [view for view_above in level if (view := view_above.joined()) is not None]
        yield from level
        level = [view for view_above in level if (view := view_above.decoded()) is not None]


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
    """True if a variable's name holds the vendor's own word: MY_DOKSI_KEY is named after doksi, DOKSIAN_KEY is not.

    qarunner's own variables are not: QARUNNER_VAR_DOKSI_USER gives a value to templates, and is no key.
    """
    if variable.upper().startswith("QARUNNER_"):
        return False
    return any(f"_{word}_" in f"_{variable.upper()}_" for word in words_of(vendor, keys))


def words_of(vendor: str, keys: Mapping[str, str]) -> tuple[str, ...]:
    """The words that mark a variable as a vendor's: DOCKETQA, and DOCKET as in DOCKET_API_KEY."""
    vendor_word = vendor.upper().replace("-", "_")
    default = keys.get(vendor, "").upper()
    endings = ("_API_KEY", "_API_TOKEN", "_KEY", "_TOKEN")
    word = next((default.removesuffix(ending) for ending in endings if default.endswith(ending)), "")
    # A default of API_KEY says nothing about its vendor: STRIPE_API_KEY belongs to somebody else.
    words = (word, vendor_word) if word and (word in vendor_word or vendor_word in word) else (vendor_word,)
    return tuple(word for word in words if word not in _OF_ANY_KEY)


_OF_ANY_KEY = frozenset({"API", "KEY", "TOKEN", "SECRET", "AUTH", "ACCESS", "APP"})
"""Words that names of credentials have, whoever they belong to."""


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
    return tuple(sorted(place.lower() for secret_name, at, place in pairs if at and secret_name == name))


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
    text = _as_in_names(_PLACEHOLDER.sub("x", text))
    return _ADDRESS.search(text) is not None or _NO_SCHEME.match(text) is not None


def _as_in_names(text: str) -> str:
    """A text as browsers read names of hosts (UTS 46): wide characters are plain ones, invisible ones are not there."""
    if text.isascii():
        return text
    composed = unicodedata.normalize("NFKC", text)
    return "".join(char for char in composed if unicodedata.category(char) not in {"Cf", "Mn"})


_ADDRESS = regex(r"https?:|(?<![a-z0-9+.-])(?:ftp|wss?):|[/\\]{2}", re.IGNORECASE)
_NO_SCHEME = regex(
    r"""\s*(?:[^\s/@]*@)?
    (?:(?:(?:[\w-]+[.\u3002])+(?:[^\W\d_]{2,}|xn--[a-z0-9-]+)\.?  # a name, in any script
      |\d{1,3}(?:\.\d{1,8}){1,3}|\d{8,10}|\[[0-9a-f:.]+\]                # an IP address
      )(?::[0-9]*)?(?:[/?#\\]|\Z)
    |(?:(?=[^:]*[^\W\d])[\w-]+:[0-9]{1,5}|0x[0-9a-f]+)[/?#\\])            # a name with its port; a number
    """,
    re.IGNORECASE | re.VERBOSE,
)

_LOOPBACK = frozenset({"localhost", "127.0.0.1"})

# The host is read by what it may consist of, not by where it seems to end: backslashes, odd characters and secrets
# before the first slash are read differently by different programs, and so is an @ behind ? or # (CVE-2016-8624).
# A secret in the user's part is quoted.
_URL = regex(
    r"(?P<scheme>https?)://"
    r"(?:(?:[A-Za-z0-9._~!$&'()*+,;=:%-]|⟦secret:[A-Za-z_][A-Za-z0-9_]*:urlencode⟧)*@)?"
    r"(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?(?![?#][^/]*@)(?:[/?#][^\s\x00-\x1f\x7f]*)?",
    re.ASCII | re.IGNORECASE,
)


def _fits(destination: str, place: str) -> bool:
    """True if a destination is the place of a permission, where `*.` stands for labels and `*` for a part of one."""
    first, _, rest = place.partition(".")
    if "*" not in first:
        return destination == place
    pattern = "[a-z0-9.-]+" if first == "*" else re.escape(first).replace(r"\*", "[a-z0-9-]*")
    return re.fullmatch(rf"{pattern}\.{re.escape(rest)}", destination) is not None
