"""Text on its way out: whatever it is made of, it commands nothing, and says the same as far as it can."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.text import (
    Styled,
    broken,
    cut,
    duration,
    inert,
    inert_json,
    inert_lines,
    inert_source,
    plain,
    plural,
    to_json,
)

COMMANDS = ("::error::", "::stop-commands::x", "##[error]", "##vso[task.complete]", "##VSO[a]b", "##teamcity[x]")
CONTROLS = ("\x1b[2J", "\x1b]0;T\x07", "\x9b1m", "\x00", "\x7f", "\r", "\n", "\r\n", "\x85", "\u2028", "\u2029", "\t")
UNSEEN = ("\u202e", "\u2066", "\u200b", "\u200f", "\ufeff", "\u061c", "\U000e0041", "\ud800", "\uffff", "\xad")
HOSTILE = (*COMMANDS, *CONTROLS, *UNSEEN, " ", "x", ":", "#", "::", "##", "[")

hostile_texts = st.lists(st.sampled_from(HOSTILE), max_size=12).map("".join) | st.text()


def commands_in(text: str) -> list[str]:
    """Whatever a CI system would take for a command, as their runners look for it."""
    found = [line for line in re.split(r"\r\n|[\r\n]", text) if line.lstrip().startswith("::")]
    return found + re.findall(r"##(?:\[|[A-Za-z]+\[)", text)


def unsafe_in(text: str) -> list[str]:
    """Characters that command a terminal, and those of the marks above that nobody sees."""
    return [char for char in text if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} or char in UNSEEN]


@given(hostile_texts)
def test_a_line_commands_nothing(text: str) -> None:
    line = inert(text)
    assert not commands_in(line)
    assert not unsafe_in(line)
    assert inert(line) == line


@given(hostile_texts, st.integers(min_value=8, max_value=40))
def test_a_line_that_is_broken_commands_nothing_and_loses_nothing(text: str, columns: int) -> None:
    line = f"  {inert(text)} {inert(text)}"
    whole = plain(broken((line[:5], Styled(line[5:], ("red",))), columns))
    assert not commands_in(whole)
    assert re.sub(" *\n *", " ", whole).split() == line.split()


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("  failed: a test: the page shows more", ["  failed: a test:", "    the page shows", "    more"]),
        ("to go on: qarunner resume", ["to go on:", "  qarunner resume"]),
        ("to go on: qarunner resume run1 --drop x", ["to go on: qarunner resume run1 --drop x"]),
        ("  qarunner resume   (why)", ["  qarunner resume", "    (why)"]),
        ("  https://app.test/a/long/path and so on", ["  https://app.test/a/long/path and so", "    on"]),
        ("漢字漢字漢字 漢字漢字", ["漢字漢字漢字", "  漢字漢字"]),
        ("it fits", ["it fits"]),
    ],
)
def test_words_links_and_commands_are_not_broken(line: str, rows: list[str]) -> None:
    assert plain(broken((line,), 19)).split("\n") == rows


@given(hostile_texts)
def test_many_lines_command_nothing_and_stay_lines(text: str) -> None:
    found = inert_lines(text)
    assert not commands_in(found)
    assert not {"\x1b", "\x00", "\x9b", "\u202e", "\u2028", "\x85", "\ud800"} & set(found)
    assert found.count("\n") == text.count("\n")
    assert inert_lines(found) == found


@given(hostile_texts)
def test_a_quoted_line_keeps_its_columns(text: str) -> None:
    line = re.split(r"[\r\n]", text)[0]
    found = inert_source(line)
    assert len(found) == len(line)
    assert not re.search(r"##(?:\[|[A-Za-z]+\[)", found)
    assert not {"\x1b", "\x00", "\u202e", "\u2028"} & set(found)
    assert [at for at, char in enumerate(line) if char == "\t"] == [at for at, char in enumerate(found) if char == "\t"]


@given(
    st.recursive(hostile_texts | st.integers() | st.none(), lambda of: st.lists(of) | st.dictionaries(st.text(), of))
)
def test_json_says_the_same_and_commands_nothing(data: object) -> None:
    text = to_json(data, lambda each: each)
    assert json.loads(text) == data
    assert not commands_in(text)
    assert not {"\x1b", "\x7f", "\x9b", "\u202e", "\u2028", "\x85", "\ud800", "\U000e0041"} & set(text)
    assert inert_json(text) == text


def test_what_people_write_stays() -> None:
    for text in ("50% of x::y", "# heading, ## heading", "naïve café 👩\u200d💻", "a\u200cb", "#1 [x]", "日本"):
        assert inert(text) == inert_source(text) == inert_lines(text) == text


def test_json_is_cleaned_text_by_text() -> None:
    """A secret may be called like a key, or look like a number."""
    data = {"status": "status 12", "n": 12, "list": ["status", {"a": "xstatus"}]}
    cleaned = json.loads(to_json(data, lambda text: text.replace("status", "***").replace("12", "***")))
    assert cleaned == {"status": "*** ***", "n": 12, "list": ["***", {"a": "x***"}]}


def test_a_text_that_is_cut_says_so() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcdef", 3) == "abc… (3 more characters)"
    assert len(inert("x" * 3_000_000)) < 11_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0s"), (0.04, "0s"), (0.4, "0.4s"), (3, "3s"), (9.94, "9.9s"), (9.96, "10s"), (47.4, "47s")),
        *((60, "1m"), (65, "1m05s"), (600, "10m"), (750, "12m30s"), (3600, "1h"), (3605, "1h00m05s"), (5400, "1h30m")),
        *((-3, "0s"), (86_400, "24h"), (59.6, "1m")),
    ],
)
def test_durations_read_alike(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_have_their_words() -> None:
    assert [plural(number, "run") for number in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
    assert [plural(number, "entry", "entries") for number in (0, 1, 2)] == ["0 entries", "1 entry", "2 entries"]
