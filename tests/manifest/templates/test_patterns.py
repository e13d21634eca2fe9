from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.manifest.templates.expression import Steps
from qarunner.manifest.templates.filters import Refused, compile_pattern
from tests.amount import examples, no_long_time


@pytest.mark.parametrize(
    "pattern",
    [
        "[a-z]+",
        r"^v?(\d+)\.(\d+)(-\w+)?$",
        "(ab)*",
        "(?:en|de)",
        r"(?P<year>\d{4})-x",
        "a{2}",
        "[]a]+",
        r"\(\d+\)",
        "a+?",
    ],
)
def test_ordinary_patterns_are_taken(pattern: str) -> None:
    assert compile_pattern(pattern).compiled.pattern == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        *("(a+)+", "(a*)*b", "(a|a)*b", "((a+)x?)+", "(a?){30}", "(?:(x+)y)*", "((a|b)c)+", "(a{1,9}){1,9}"),
        *("(?=a)", "(?<=a)b", "(?!a)", r"(a)\1", "(?i)a", "(?P<x>a)(?P=x)", "(?(1)a|b)"),
        *("(", "[", "*", "a" * 201, "a{5,2}"),
    ],
)
def test_what_could_take_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(Refused):
        compile_pattern(pattern)


def test_a_slow_polynomial_is_refused_for_long_texts_alone() -> None:
    pattern = compile_pattern("a*a*a*b")
    assert not pattern.full_match("a" * 20, Steps())
    with pytest.raises(Refused, match="too long on 60000 characters"):
        pattern.full_match("a" * 60_000, Steps())


@pytest.mark.parametrize(
    "pattern", ["(a|a)" * 39 + "b", "(?:a|a|a|a)" * 18, "a?" * 60 + "b", "a*" * 60 + "b", "a{0,1}" * 30]
)
def test_what_may_be_read_in_very_many_ways_is_refused_for_short_texts_too(pattern: str) -> None:
    with pytest.raises(Refused, match="too long on 28 characters"):
        compile_pattern(pattern).replace("a" * 28, "", Steps())


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^v?(\d+)\.(\d+)\.(\d+)(-[\w.]+)?(\+[\w.]+)?$", "v1.22.333-rc.1+build.20261128.abcdef0123"),
        (r"(feature|bugfix|hotfix)/(shop|admin|api)-(\d+)", "feature/shop-" + "1" * 200),
        (r"a?b?c?d?e?f?g?h?i?j?k?l?m?n?o?p?q?r?s?t?u?v?w?x?y?z?", "az"),
    ],
)
def test_optional_parts_and_alternatives_that_are_used_are_taken(pattern: str, text: str) -> None:
    assert compile_pattern(pattern).full_match(text, Steps())


@pytest.mark.parametrize("pattern", ["a*a*a*b", "a?a?a?a?a?a?a?a?aaaaaaaab", ".*.*.*x", "^a*a*a*a*b", "[^x]*[^y]*z"])
def test_the_longest_text_that_is_taken_does_not_take_long(pattern: str) -> None:
    compiled = compile_pattern(pattern)
    length = 65_536
    while length:
        with no_long_time():
            try:
                compiled.replace("a" * length, "", Steps())
            except Refused:
                length //= 2
                continue
        return


@examples(3)
@given(st.text(alphabet="ab()[]|*+?{},1\\d.^$", max_size=14), st.text(alphabet="ab1", max_size=30))
def test_any_pattern_ends_soon(pattern: str, text: str) -> None:
    try:
        matches = compile_pattern(pattern).full_match(text, Steps())
    except Refused:
        return
    assert matches == (re.fullmatch(pattern, text) is not None)
