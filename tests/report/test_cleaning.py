"""A large summary is cleaned many texts at a time: what comes out is what comes out one by one."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins
from msgspec.structs import replace

from qarunner.report.summary import cleaned
from qarunner.secret import Scrubber, mask
from qarunner.text import cut
from tests.amount import examples
from tests.report.large import large_summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qarunner.report.summary import Summary
    from qarunner.text import Clean

SECRETS = {
    "LONG": 's3cr3t "value" 1234',
    "SHORT": "hunter",
    "LINES": "first line of it\nsecond line",
    "GREEK": "ΜΥΣΤΙΚΟΣ",
}
LONG = SECRETS["LONG"]
WHOLE = [
    "hunter",
    "first line of it",
    "second line",
    "μυστικοσ",
    "ΜΥΣΤΙΚΟΣ",
    "ΜΥΣΤΙΚΟΣΩ",
    "⟦secret:X⟧",
    "⟦secret:Y:urlencode⟧",
]
FORMS = [LONG, quote(LONG), quote(quote(LONG)), json.dumps(LONG), base64.b64encode(LONG.encode()).decode()]
PARTS = ["s3cr3t ", '"value" 1234', "⟦secret:", "⟧", "\n", "\r", "\\n", "\\", "u00e9", "%", "41", "%C3", "&#", "39;"]
OTHER = ["İ", "Σ", "ω", "\0", "%00", "x" * 30, "Button 7 not found", " "]

TEXT = st.lists(st.sampled_from(WHOLE + FORMS + PARTS + OTHER) | st.text(max_size=3), max_size=5).map("".join)
MOST = 60


def scrubber_and_mask() -> Clean:
    scrub = Scrubber(SECRETS)
    return lambda text: mask(scrub(text))


CLEANS: dict[str, Clean] = {"mask": mask, "scrubber": Scrubber(SECRETS), "both": scrubber_and_mask()}
CLEAN = cache(CLEANS["both"])
"""Hundreds of entries have the same texts in each example."""


@cache
def large() -> Summary:
    return large_summary(300)


def with_texts(texts: Sequence[str]) -> Summary:
    """The summary with these texts somewhere in it: in entries, results, steps, keys of a mapping."""
    rows = list(large().entries)
    for number, text in enumerate(texts):
        place = number * 37 % len(rows)
        row = rows[place]
        case = replace(row.cases[0], message=text, ids={text: "id", "execution": text})
        rows[place] = replace(row, reason=text, cases=(case, *row.cases[1:]), tried=((1, case), *row.tried[1:]))
    return replace(large(), entries=tuple(rows))


def one_by_one(data: object, clean: Clean, most: int | None) -> object:
    """Plain data in which each text is cleaned alone."""
    match data:
        case str():
            return clean(data) if most is None else cut(clean(data), most)
        case list() | tuple():
            return type(data)(one_by_one(item, clean, most) for item in data)
        case dict():
            return {one_by_one(key, clean, most): one_by_one(item, clean, most) for key, item in data.items()}
        case _:
            return data


@pytest.mark.parametrize("name", CLEANS)
@given(texts=st.lists(TEXT, max_size=6))
def test_texts_with_a_nul_between_them_are_cleaned_like_each_alone(name: str, texts: list[str]) -> None:
    texts = [text.replace("\0", "") for text in texts]
    assert CLEANS[name]("\0".join(texts)) == "\0".join(map(CLEANS[name], texts))


@examples(0.4)
@given(texts=st.lists(TEXT, max_size=6), most=st.sampled_from([None, MOST]))
def test_many_entries_are_cleaned_like_each_alone(texts: list[str], most: int | None) -> None:
    summary = with_texts(texts)
    assert to_builtins(cleaned(summary, CLEAN, most=most)) == one_by_one(to_builtins(summary), CLEAN, most)


@pytest.mark.parametrize("text", [*WHOLE, *FORMS, "x" * (MOST + 1)])
def test_what_has_to_change_in_one_of_many_entries_changes(text: str) -> None:
    summary = cleaned(with_texts(["as it is", text]), CLEANS["both"], most=MOST)
    assert text not in {row.reason for row in summary.entries}
    assert text not in {case.message for row in summary.entries for _, case in row.tried}


def test_what_stays_is_not_copied() -> None:
    summary = with_texts(["nothing to look for"])
    assert cleaned(summary, CLEANS["both"], most=MOST) is summary
    dirty = cleaned(with_texts(["hunter"]), CLEANS["both"], most=MOST)
    assert dirty.entries[0].cases[0] is dirty.entries[0].tried[0][1]
    assert dirty.entries[-1] is large().entries[-1]
