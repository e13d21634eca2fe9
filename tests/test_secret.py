"""Every form in which a secret may come back, in text from outside."""

from __future__ import annotations

import base64
import json
import textwrap
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.secret import Scrubber, canonical, intact, mask, names_in, placeholder, reveal
from tests.amount import no_long_time

TOKEN = 'pr3view/T0ken+with="odd"&chärs'
SCRUB = Scrubber({"TOKEN": TOKEN})
NAME = placeholder("TOKEN")


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


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_every_form(form: str) -> None:
    assert SCRUB(f"before {FORMS[form]} after").replace("=", "") == f"before {NAME} after"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\n    ", "\\n", "\\r\\n"])
def test_a_secret_is_found_over_the_ends_of_lines(form: str, line_end: str) -> None:
    wrapped = line_end.join(textwrap.wrap(FORMS[form], 11, break_on_hyphens=False, drop_whitespace=False))
    assert line_end in wrapped
    found = SCRUB(f"before{line_end}{wrapped}{line_end}after")
    assert found.replace("=", "") == f"before{line_end}{NAME}{line_end}after"


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
@pytest.mark.parametrize("after", ["", "!", "!!", "!!!"])
def test_a_secret_is_found_within_base64(before: str, after: str) -> None:
    found = SCRUB(f"Basic {encoded(before + TOKEN + after)}")
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


def test_other_text_stays_as_it_is() -> None:
    text = "one\ntwo\r\n  three\\nfour\n"
    assert SCRUB(text) == text
    assert SCRUB("") == ""


@given(st.text(min_size=8, max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_is_left_in_plain_text(value: str, before: str, after: str) -> None:
    scrub = Scrubber({"X": value})
    if len(value.strip()) >= 8:
        assert value not in scrub(before + value + after).replace(placeholder("X"), "")


def test_a_long_reply_takes_no_long_time() -> None:
    scrub = Scrubber({f"S{number}": f"secret-number-{number}-{'x' * 40}" for number in range(20)})
    text = "\n".join('  "key": "some value that is none",' for _ in range(20_000))
    with no_long_time():
        assert scrub(text) == text


# --- placeholders -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [None, "urlencode", "b64encode"])
def test_a_placeholder_is_whole_or_it_is_an_error(form: str | None) -> None:
    text = placeholder("TOKEN", form)
    assert intact(f"before {text}{text} after")
    for cut in (text[1:], text[:-1], text[1:-1] + "⟧", "⟦" + text[1:-1]):
        assert not intact(cut)
        assert not intact(f"{text} {cut} {text}")
        assert names_in(cut) == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        *("⟦", "⟧", "⟦secret:⟧", "⟦secret:1A⟧", "⟦secret:A:upper⟧", "⟦secret:A:⟧", "⟦SECRET:A⟧", "⟦secret: A⟧"),
        *("⟦⟦secret:A⟧", "⟦secret:A⟧⟧", "⟦secret:A⟦secret:B⟧⟧"),
    ],
)
def test_what_only_looks_like_a_placeholder_is_an_error(text: str) -> None:
    assert not intact(text)


def test_text_without_placeholders_is_whole() -> None:
    assert intact("")
    assert intact("[secret:A]")


def test_a_placeholder_stands_for_the_value_in_its_form() -> None:
    text = f"{placeholder('A')}/{placeholder('A', 'urlencode')}/{placeholder('B', 'b64encode')}/{placeholder('B')}"
    values = {"A": "a b/ü", "B": "x:y"}
    assert reveal(text, values) == "a b/ü/a%20b%2F%C3%BC/eDp5/x:y"
    assert mask(text) == "***/***/***/***"
    assert names_in(text) == {"A", "B"}
    assert canonical(text) == f"{placeholder('A')}/{placeholder('A')}/{placeholder('B')}/{placeholder('B')}"
    with pytest.raises(KeyError):
        reveal(text, {"A": "a"})


def test_text_without_placeholders_stays_as_it_is() -> None:
    for text in ("", "plain", "***", "secret:A"):
        assert reveal(text, {}) == mask(text) == canonical(text) == text
        assert names_in(text) == frozenset()
