"""What a hint says to write is right: the schema takes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.manifest.schema import validate as schema
from qarunner.manifest.schema.explain import meant

DURATION = "a duration such as 30s, 10m or 1h30m"
URL = "a URL that begins with https:// or http://"
ID = "lower-case letters, digits, '.', '_' and '-', beginning with a letter or digit"


@pytest.mark.parametrize(
    ("expected", "value", "hint"),
    [
        (DURATION, "5 minutes", "write 5m"),
        (DURATION, "1.5 h", "write 1h30m"),
        (DURATION, "90min", "write 1h30m"),
        (DURATION, "1500 ms", "write 1s500ms"),
        (DURATION, "PT1H5M", "write 1h5m"),
        (DURATION, "10 days", None),
        (DURATION, "0 min", None),
        (DURATION, True, None),
        (DURATION, 30, "write 30s, 30m or 30h"),
        (URL, "localhost:3000/x", "write https://localhost:3000/x"),
        (URL, "“https://x.example”", "write https://x.example"),
        (
            URL,
            "https://x.example/a b",
            "a space in a URL is written as %20; in a template, {{ … | urlencode }} does it",
        ),
        (URL, "ftp://x.example", None),
        (URL, "$BASE/x", "a variable is declared under env, and read as {{ env.BASE }}"),
        (URL, "{{ env.A }}$B", None),
        (ID, "Größe", None),
        (ID, "---", None),
        ("a day such as 2026-12-31", "2030/01/02", "write 2030-01-02"),
    ],
)
def test_hints(expected: str, value: object, hint: str | None) -> None:
    assert meant(expected, value) == hint


@given(st.one_of(st.from_regex(r"[0-9]{1,4}(\.[0-9])? ?(ms|s|sec|min|h|hours)", fullmatch=True), st.text(max_size=12)))
def test_what_is_to_be_written_is_valid(text: str) -> None:
    for expected, key in ((DURATION, "timeout"), (ID, "id")):
        hint = meant(expected, text)
        if hint and hint.startswith("write "):
            row = {"id": "a", "vendor": "doksi", "test_ids": ["t"], key: hint.removeprefix("write ")}
            assert schema.faults(row, part="row") == (), hint
