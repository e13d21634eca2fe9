"""Every form in which a secret may come back, in text from outside."""

from __future__ import annotations

import base64
import json
import re
import textwrap
from html import escape, unescape
from itertools import product
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.secret import (
    SEAL_KEY,
    VALUE_OF,
    Scrubber,
    as_template,
    mask,
    placeholder,
    placeholders_whole,
    reveal,
    seal_keys,
    secret_names,
    without_encoding,
)
from tests.amount import no_long_time

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = 'pr3view/T0ken+with="odd"&chärs'
NAME = placeholder("TOKEN")


def scrub(text: str) -> str:
    return Scrubber({"TOKEN": TOKEN})(text)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


FORMS = {
    "raw": TOKEN,
    "quoted": quote(TOKEN, safe=""),
    "quoted but for slashes": quote(TOKEN),
    "base64": encoded(TOKEN),
    "base64 for URLs": base64.urlsafe_b64encode(TOKEN.encode()).decode(),
    "JSON": json.dumps(TOKEN)[1:-1],
    "JSON in UTF-8": json.dumps(TOKEN, ensure_ascii=False)[1:-1],
    "JSON of PHP": json.dumps(TOKEN)[1:-1].replace("/", "\\/"),
}


def html(text: str) -> str:
    return "".join(f"&#{ord(char)};" for char in text)


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


HARD = "s3cr3t/Value+With=Chars & 42"
MEANINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "quoted": lambda text: quote(text, safe=""),
    "quoted in lower case": lambda text: re.sub(r"%..", lambda match: match[0].lower(), quote(text, safe="")),
    "form-quoted": quote_plus,
    "quoted to the last character": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "HTML": escape,
    "HTML in numbers": html,
    "HTML in hexadecimal numbers": lambda text: "".join(f"&#x{ord(char):X};" for char in text),
    "JSON in numbers": escaped,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "a literal of Python": lambda text: text.encode("unicode_escape").decode(),
    "bytes of Python": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode("latin-1")),
    "JavaScript's escape": lambda text: "".join(f"%u{ord(char):04X}" for char in text),
}
CASES: dict[str, Callable[[str], str]] = {**MEANINGS, "lower case": str.lower, "upper case": str.upper}
CODES: dict[str, Callable[[bytes], bytes]] = {
    "hex": lambda data: data.hex().encode(),
    "hex in upper case": lambda data: data.hex().upper().encode(),
    "base64": base64.b64encode,
    "base64 for URLs": base64.urlsafe_b64encode,
    "base32": base64.b32encode,
    "base32 in lower case": lambda data: base64.b32encode(data).lower(),
}


@pytest.mark.parametrize("first", CASES)
def test_a_secret_is_found_in_what_a_text_means_up_to_three_times(first: str) -> None:
    scrubber = Scrubber({"TOKEN": HARD})
    for second, meant in MEANINGS.items():
        for text in (meant(CASES[first](HARD)), html(meant(CASES[first](HARD)))):
            assert scrubber(f"before {text} after") == f"before {NAME} after", second
            assert scrubber(f"äö%20&amp;\\n{text}&amp;%41\\u0041") == f"äö%20&amp;\\n{NAME}&amp;%41\\u0041", second


@pytest.mark.parametrize("code", CODES)
def test_a_secret_is_found_in_codes_with_anything_around_it(code: str) -> None:
    scrubber = Scrubber({"TOKEN": HARD})
    for before, after in product(["", "u", "us", "use", "user", "user:"], ["", "!", "!!", "!!!", "!!!!"]):
        text = CODES[code](f"{before}{HARD}{after}".encode()).decode().rstrip("=")
        rest = scrubber(f"is {text}.").removeprefix("is ").removesuffix(".")
        assert NAME in rest, (before, after)
        around = CODES[code](f"{before}{after}".encode()).rstrip(b"=")
        assert len(rest.replace(NAME, "")) <= len(around) + 2, (before, after)
        assert NAME in scrubber(quote(f"is {text}.", safe="")), (before, after)


@pytest.mark.parametrize(
    "value", ["100%41percent", "a&amp;b&lt;cdefg", "back\\\\slash\\n123", "%2525252525", "%41%42%43%44%45%46%47%48"]
)
def test_a_secret_may_look_like_an_escape_itself(value: str) -> None:
    for form, meant in MEANINGS.items():
        assert Scrubber({"TOKEN": value})(f"<{meant(value)}>") == f"<{NAME}>", form


def test_what_a_secret_means_is_a_secret_from_eight_characters_on() -> None:
    assert Scrubber({"TOKEN": "%61bcdefgh"})("abcdefgh") == NAME
    assert Scrubber({"TOKEN": "%61bcdefg"})("abcdefg") == "abcdefg"


@pytest.mark.parametrize("form", ["&#X{:x};", "&#x{:04x};", "&#{:06d};"])
def test_a_number_of_html_has_a_base_in_either_case_and_zeros(form: str) -> None:
    assert Scrubber({"TOKEN": HARD})("".join(form.format(ord(char)) for char in HARD)) == NAME
    highest = f"{HARD}\U0010ffff"
    assert Scrubber({"TOKEN": highest})("".join(form.format(ord(char)) for char in highest[:-1]) + "&#x10FFFF;") == NAME


def test_a_number_that_is_no_character_means_itself() -> None:
    assert Scrubber({"TOKEN": "XXXX-of-a-secret"})("&#1114112;-of-a-secret") == "&#1114112;-of-a-secret"


def test_a_secret_beyond_the_basic_plane_is_found_in_json() -> None:
    value = "päss\U0001f511wörd\U0001f511"
    assert Scrubber({"TOKEN": value})(json.dumps(value)) == f'"{NAME}"'


def test_half_of_a_character_in_json_hides_nothing() -> None:
    text = "\\ud83d is a half, and so is \\udd11"
    assert Scrubber({"TOKEN": HARD})(f"{text}: {HARD}") == f"{text}: {NAME}"
    assert Scrubber({"TOKEN": HARD})(f"\\ud83d{escaped(HARD)}\\udd11") == f"\\ud83d{NAME}\\udd11"


@pytest.mark.parametrize("char", ["\b", "\f", "\n", "\r", "\t"])
def test_a_secret_with_a_character_that_json_writes_as_a_letter_is_found(char: str) -> None:
    value = f"s3cr3t{char}/Value{char}{char}+With"
    assert Scrubber({"TOKEN": value})(json.dumps(f"<{value}>")) == f'"<{NAME}>"'


def test_of_a_quoted_text_the_rest_stays_to_the_character() -> None:
    quoted = MEANINGS["quoted to the last character"]
    assert Scrubber({"TOKEN": HARD})(quoted(f"ä {HARD} ö")) == f"{quoted('ä ')}{NAME}{quoted(' ö')}"


def test_a_beginning_of_twelve_characters_is_a_secret_too() -> None:
    scrubber = Scrubber({"TOKEN": HARD})
    for length in range(8, len(HARD)):
        text = f"cut: {HARD[:length]}"
        assert scrubber(text) == (f"cut: {NAME}" if length >= 12 else text)
    assert scrubber(f"cut: {quote(HARD[:20], safe='')}…") == f"cut: {NAME}…"
    assert scrubber(f"cut: {HARD[4:]}") == f"cut: {HARD[4:]}", "an end of it is not promised"
    for url in ("https://hooks.example/T0/B0/xyz", "HTTPS://hooks.example/T0/B0/xyz"):
        assert Scrubber({"URL": url})("https://hooks.other/") == "https://hooks.other/"


@pytest.mark.parametrize("code", ["hex", "base64"])
def test_a_beginning_of_twenty_four_characters_is_one_in_codes(code: str) -> None:
    text, scrubber = CODES[code](HARD.encode()).decode(), Scrubber({"TOKEN": HARD})
    assert scrubber(text[:24]) == NAME
    assert scrubber(text[:23]) == text[:23]


@pytest.mark.parametrize("text", ["ΜΥΣΤΙΚΟΣ", "μυστικος", "μυστικοσ", "ΜΥΣΤΙΚΟΣΩ", "İ ΜΥΣΤΙΚΟΣ", "ß ΜΥΣΤΙΚΟΣ"])
def test_a_sigma_at_the_end_of_a_secret_is_one_within_a_word(text: str) -> None:
    assert Scrubber({"GREEK": "ΜΥΣΤΙΚΟΣ"})(text).strip("İß Ω") == placeholder("GREEK")


def test_case_counts_for_short_ones_alone() -> None:
    assert Scrubber({"A": "AbCdEfGh"})("abcdefgh") == placeholder("A")
    assert Scrubber({"A": "AbCdEfG"})("abcdefg AbCdEfG") == f"abcdefg {placeholder('A')}"


@pytest.mark.parametrize("code", CODES)
def test_a_short_secret_is_found_in_codes_which_make_it_longer(code: str) -> None:
    assert NAME in Scrubber({"TOKEN": "geheim"})(f"is {CODES[code](b'geheim').decode()}.")


def test_a_placeholder_stays_whole_whatever_the_secrets_are() -> None:
    scrubber = Scrubber({"secret": "secret", "TOKEN": "TOKEN"})
    text = f"as {NAME} of TOKEN"
    assert scrubber(text) == f"as {NAME} of {NAME}"
    assert scrubber(scrubber(text)) == scrubber(text)


def test_secrets_that_overlap_leave_nothing_of_either() -> None:
    scrubber = Scrubber({"A": "abcdefghijkl", "B": "ijklmnopqrst"})
    assert scrubber("<abcdefghijklmnopqrst>") == f"<{placeholder('A')}>"
    assert scrubber("abcdefghijklijklmnopqrst") == f"{placeholder('A')}{placeholder('B')}", "they only touch"
    cut = Scrubber({"A": "abcdefghijkl-and-more", "B": "ghijklmnopqr"})
    assert cut("<abcdefghijklmnopqr>") == f"<{placeholder('A')}>"
    behind = Scrubber({"A": "abcdefghijkl", "B": "bcdefghijklmnopq"})
    assert behind("<abcdefghijklmnopq>") == f"<{placeholder('B')}>"
    first = "abcdefghijklmnopqrstuvwxyz-0123"
    longer = Scrubber({"A": first, "B": f"{first[5:]}-and-more"})
    assert longer(f"<{first}-and-more>") == f"<{placeholder('B')}>"
    assert longer(f"<{first}-and>") == f"<{placeholder('A')}>", "the second one is cut"
    assert Scrubber({"A": first, "B": f"{first[5:]}4"})(f"<{first}4>") == f"<{placeholder('A')}>"
    assert Scrubber({"A": first, "B": f"{first[5:]}4567"})(f"<{first}4>") == f"<{placeholder('A')}>", "cut after one"


@given(
    st.text(min_size=8, max_size=40).filter(lambda text: len(text.strip()) >= 8),
    st.lists(st.sampled_from(["quoted", "form-quoted", "HTML", "JSON", "HTML in numbers"]), max_size=3),
    st.text(st.characters(codec="ascii", exclude_characters="%&\\;\n\r+ "), max_size=5),
)
def test_whatever_a_secret_is_it_is_found_under_three_layers(value: str, layers: list[str], around: str) -> None:
    text = value
    for layer in layers:
        text = MEANINGS[layer](text)
    found = Scrubber({"X": value})(f"{around}|{text}|{around}")
    assert placeholder("X") in found
    for layer in reversed(layers):
        found = MEANT[layer](found)
    assert value not in found.replace(placeholder("X"), "")


MEANT: dict[str, Callable[[str], str]] = {
    "quoted": unquote,
    "form-quoted": unquote_plus,
    "HTML": unescape,
    "HTML in numbers": unescape,
    "JSON": lambda text: str(json.loads(f'"{text}"', strict=False)),
}

MUCH = 40_000
HOSTILE = [
    "%41",
    "%2525",
    "\\",
    "\\u0041",
    "&amp;",
    "&a",
    "&#x41;",
    "\n ",
    "\\n",
    "s3cr3t/Value+",
    "% ",
    "73336372",
    "a" * 12,
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_text_that_was_made_to_be_slow_is_not(piece: str) -> None:
    secrets = {f"S{number}": f"{number}-secret-{number}-{HARD}" for number in range(20)}
    scrubber = Scrubber({"TOKEN": HARD, "ROW": f"{'a' * 40}{HARD}", **secrets})
    with no_long_time():
        scrubber(piece * (MUCH // len(piece)))


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_every_form(form: str) -> None:
    assert scrub(f"before {FORMS[form]} after").replace("=", "") == f"before {NAME} after"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\n    ", "\\n", "\\r\\n"])
def test_a_secret_is_found_over_the_ends_of_lines(form: str, line_end: str) -> None:
    wrapped = line_end.join(textwrap.wrap(FORMS[form], 11, break_on_hyphens=False, drop_whitespace=False))
    assert line_end in wrapped
    found = scrub(f"before{line_end}{wrapped}{line_end}after")
    assert found.replace("=", "") == f"before{line_end}{NAME}{line_end}after"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sign", ["\x1b[7m", "\x1b[1;31m", "\\u001b[31m", "\u200b", "\xad"])
def test_a_secret_is_found_whatever_colours_and_invisible_characters_a_tool_puts_in(form: str, sign: str) -> None:
    text = FORMS[form]
    assert (
        scrub(f"before {sign.join((text[:6], text[6:9], text[9:]))} after").replace("=", "") == f"before {NAME} after"
    )


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
@pytest.mark.parametrize("after", ["", "!", "!!", "!!!"])
def test_a_secret_is_found_within_base64(before: str, after: str) -> None:
    found = scrub(f"Basic {encoded(before + TOKEN + after)}")
    assert NAME in found
    rest = found.removeprefix("Basic ").replace(NAME, "").rstrip("=")
    assert len(rest) <= len(encoded(before)) + len(encoded(after)) + 4


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:", "??>>~~"])
@pytest.mark.parametrize("after", ["", "!", "!!", "??>>~~"])
def test_a_secret_is_found_within_base64_for_urls(before: str, after: str) -> None:
    """Such as the claims of a token; the core of the secret has characters that only this alphabet spells so."""
    secret = "".join(f"?>{number}~~" for number in range(8))
    token = base64.urlsafe_b64encode((before + secret + after).encode()).decode().rstrip("=")
    core = base64.urlsafe_b64encode(secret.encode()).decode().rstrip("=")
    assert "-" in core
    assert "_" in core
    found = Scrubber({"TOKEN": secret})(f"eyJhbGciOiJub25lIn0.{token}.c2lnbmF0dXJl")
    assert NAME in found
    assert len(found) - len(NAME) <= len("eyJhbGciOiJub25lIn0..c2lnbmF0dXJl") + len(token) - len(core) + 4


def test_each_line_of_a_secret_is_found() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"
    assert Scrubber({"KEY": key})("it says kqhkiG9w0BAQEF here") == f"it says {placeholder('KEY')} here"


@pytest.mark.parametrize(("short", "long"), [("0123456789", "0123456789-0123456789"), ("pass", "passwrd")])
def test_of_two_secrets_the_one_that_holds_the_other_is_found_whole(short: str, long: str) -> None:
    scrubber = Scrubber({"SHORT": short, "LONG": long})
    assert scrubber(f"{long} {short}") == f"{placeholder('LONG')} {placeholder('SHORT')}"


def test_secrets_with_the_same_beginning_are_found_whole() -> None:
    scrubber = Scrubber({"A": "ghp_0123456789-aaaaaaaa", "B": "ghp_0123456789-bbbbbbbb"})
    assert scrubber("ghp_0123456789-bbbbbbbb") == placeholder("B")
    assert scrubber("ghp_0123456789-aaaaaaaa") == placeholder("A")
    twelfth = Scrubber({"A": "ghp_0123456a-and-more", "B": "ghp_0123456b-and-more"})
    assert twelfth("ghp_0123456b-and-more ghp_0123456a") == f"{placeholder('B')} {placeholder('A')}"


def test_four_characters_are_looked_for_and_three_would_mask_half_of_every_message() -> None:
    assert Scrubber({"A": "abcd"})("xabcdx") == f"x{placeholder('A')}x"
    assert Scrubber({"A": "abc"})("xabcx") == "xabcx"
    assert Scrubber({})("nothing to look for") == "nothing to look for"


def test_only_what_chance_cannot_spell_is_looked_for_over_the_ends_of_lines() -> None:
    assert Scrubber({"A": "abcdefgh"})("abcd\nefgh") == placeholder("A")
    assert Scrubber({"A": "abcdefg"})("abcd\nefg") == "abcd\nefg"


@pytest.mark.parametrize(("bits", "encode"), [(6, base64.b64encode), (5, base64.b32encode)])
@pytest.mark.parametrize("length", [24, 25, 26])
@pytest.mark.parametrize("before", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_what_is_certain_of_a_secret_within_other_bytes_is_found_to_the_character(
    bits: int, encode: Callable[[bytes], bytes], length: int, before: int, after: int
) -> None:
    """So many bits a character: those that hold bits of the secret alone."""
    value = ("correct horse battery staple"[: length - 1] + "W").encode()
    text = encode(b"u" * before + value + b"~" * after).decode()
    first, last = -(-before * 8 // bits), (before + length) * 8 // bits
    assert Scrubber({"TOKEN": value.decode()})(text) == text[:first] + NAME + text[last:]


@pytest.mark.parametrize("length", [24, 25, 26])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_found_with_and_without_its_padding(length: int, encode: Callable[[bytes], bytes]) -> None:
    value = "?" * 9 + "W" * (length - 9)
    text = encode(value.encode()).decode()
    bare = text.rstrip("=")
    assert Scrubber({"TOKEN": value})(bare) == NAME
    assert Scrubber({"TOKEN": value})(text) == NAME + "=" * (len(text) - len(bare))


def test_bytes_that_are_no_text_are_found_too() -> None:
    """A variable of the environment may hold any bytes; Python keeps them as halves of characters."""
    value = b"key-\xff-0123456789"
    scrubber = Scrubber({"TOKEN": value.decode("utf-8", "surrogateescape")})
    assert scrubber(quote(value)) == NAME
    assert scrubber(base64.b64encode(value).decode().rstrip("=")) == NAME
    half = "key-\ud83d-0123456789"
    assert Scrubber({"TOKEN": half})(f"<{half}>") == f"<{NAME}>"


def test_each_of_two_lines_is_found() -> None:
    assert Scrubber({"TOKEN": "first line\nsecond line"})("a second line, b first line") == f"a {NAME}, b {NAME}"


def test_other_text_stays_as_it_is() -> None:
    text = "one\ntwo\r\n  three\\nfour\n"
    assert scrub(text) == text
    assert scrub("") == ""


@given(st.text(min_size=8, max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_is_left_in_plain_text(value: str, before: str, after: str) -> None:
    scrubber = Scrubber({"X": value})
    if len(value.strip()) >= 8:
        assert value not in scrubber(before + value + after).replace(placeholder("X"), "")


def test_a_long_reply_takes_no_long_time() -> None:
    scrubber = Scrubber({f"S{number}": f"secret-number-{number}-{'x' * 40}" for number in range(20)})
    text = "\n".join('  "key": "some value that is none",' for _ in range(20_000))
    with no_long_time():
        assert scrubber(text) == text


# --- placeholders -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [None, "urlencode", "b64encode"])
def test_a_placeholder_is_whole_or_it_is_an_error(form: str | None) -> None:
    text = placeholder("TOKEN", form)
    assert placeholders_whole(f"before {text}{text} after")
    for cut in (text[1:], text[:-1], text[1:-1] + "⟧", "⟦" + text[1:-1]):
        assert not placeholders_whole(cut)
        assert not placeholders_whole(f"{text} {cut} {text}")
        assert secret_names(cut) == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        *("⟦", "⟧", "⟦secret:⟧", "⟦secret:1A⟧", "⟦secret:A:upper⟧", "⟦secret:A:⟧", "⟦SECRET:A⟧", "⟦secret: A⟧"),
        *("⟦⟦secret:A⟧", "⟦secret:A⟧⟧", "⟦secret:A⟦secret:B⟧⟧"),
    ],
)
def test_what_only_looks_like_a_placeholder_is_an_error(text: str) -> None:
    assert not placeholders_whole(text)


def test_text_without_placeholders_is_whole() -> None:
    assert placeholders_whole("")
    assert placeholders_whole("[secret:A]")


def test_a_placeholder_stands_for_the_value_in_its_form() -> None:
    text = f"{placeholder('A')}/{placeholder('A', 'urlencode')}/{placeholder('B', 'b64encode')}/{placeholder('B')}"
    values = {"A": "a b/ü", "B": "x:y"}
    assert reveal(text, values) == "a b/ü/a%20b%2F%C3%BC/eDp5/x:y"
    assert mask(text) == "***/***/***/***"
    assert secret_names(text) == {"A", "B"}
    assert without_encoding(text) == f"{placeholder('A')}/{placeholder('A')}/{placeholder('B')}/{placeholder('B')}"
    with pytest.raises(KeyError):
        reveal(text, {"A": "a"})


def test_bytes_that_are_no_text_are_sent_as_they_are() -> None:
    values = {"A": b"key-\xff".decode("utf-8", "surrogateescape")}
    assert reveal(placeholder("A", "urlencode"), values) == "key-%FF"
    assert reveal(placeholder("A", "b64encode"), values) == base64.b64encode(b"key-\xff").decode()


def test_text_without_placeholders_stays_as_it_is() -> None:
    for text in ("", "plain", "***", "secret:A"):
        assert reveal(text, {}) == mask(text) == without_encoding(text) == text
        assert secret_names(text) == frozenset()


def test_a_reviewer_reads_the_template_that_a_placeholder_came_from() -> None:
    text = f"https://a.example/{placeholder('TOKEN', 'urlencode')}?u={placeholder('USER')}"
    assert as_template(text) == "https://a.example/{{ env.TOKEN | urlencode }}?u={{ env.USER }}"
    assert as_template("{{ env.X }}") == "{{ env.X }}"


def test_variables_of_our_own_have_the_names_that_pipelines_set() -> None:
    assert (SEAL_KEY, VALUE_OF) == ("QARUNNER_SEAL_KEY", "QARUNNER_VAR_")


def test_seal_keys_are_separated_by_commas_each_once_and_never_empty() -> None:
    assert seal_keys({SEAL_KEY: " new one , ,old,new one,"}) == ("new one", "old")
    assert seal_keys({SEAL_KEY: ","}) == seal_keys({}) == ()
