"""Two readers, one answer: what the plain reader takes, the parser's events say as well, with the same places."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.errors import ManifestError
from qarunner.manifest.yaml.events import read_events
from qarunner.manifest.yaml.plain import read_plain
from qarunner.manifest.yaml.reader import decode

ROOT = Path(__file__).parents[3]
FILES = sorted(path for folder in ("examples", "templates", "docs") for path in (ROOT / folder).rglob("*.y*ml"))

PLAIN = """\
# yaml-language-server: $schema=x
version: 1
name: "shop: all"   # a comment

env: { STAGE: { default: staging, description: 'a # b' }, EMPTY: {} }
vars:
  hosts: [ a, "b, c", 'd', 5, -1.5, true, ~, [x y, []] ]
  url: https://{{ env.STAGE }}.example.com:8080/#top
x-list:
- 1
-   two: 2
    three: { a: [1, { b: 2 }], c: http://x/y }
- key:
  - deep
  -
    - deeper
defaults:
    labels: [smoke, checkout]
    timeout: 0x1F
matrix:
  - id: entry-1
    name: Ein schöner Name… (1)  # Grüße
    labels: [smoke, checkout]
    options:
      # above
      instruction: a, b - c? {{ env.STAGE }}
  - id: entry-2
    labels: [smoke, checkout]
"""
PIECES = [
    *(
        "a",
        "b",
        "key",
        "null",
        "true",
        "1",
        "-1",
        "1e3",
        "0o17",
        "nan",
        ".nan",
        "~",
        "on",
        "x y",
        "ä",
        "\U0001f600",
        "<<",
    ),
    *(": ", ":", " ", "  ", "- ", "-", ", ", ",", "[", "]", "{", "}", "[]", "{ }", "#", " # ", '"', "'", "''", '"a b"'),
    *("'c'", "\\", "\\n", "&a", "*a", "!!str", "|", ">", "?", "? ", "%", "@", "`", "=", "---", "...", "{{ env.A }}"),
    *(
        "http://a:1/b#c?d",
        "\t",
        "\r",
        "\x85",
        "\u2028",
        "\xa0",
        "\n",
        "\n  ",
        "\n    ",
        "\n- ",
        "\n  - ",
        "key: ",
        "a:\n  b: ",
    ),
]


def compare(text: str) -> bool:
    """True if the plain reader took the text."""
    try:
        source = decode("q.yml", text)
    except ManifestError:
        return False
    plain = read_plain(source.text)
    if plain is not None:
        data, positions = read_events(source, "")  # which finds nothing wrong
        assert repr(plain[0]) == repr(data)
        assert plain[1].nodes == positions.nodes
    return plain is not None


def test_what_people_write_is_plain() -> None:
    assert compare(PLAIN)
    assert compare("a: 1")
    assert compare("a: {}\n\n# end")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_of_this_project(path: Path) -> None:
    compare(path.read_text(encoding="utf-8"))


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_any_text(text: str) -> None:
    compare(text)


@given(st.integers(0, 2**32), st.sampled_from([PLAIN, *(path.read_text(encoding="utf-8") for path in FILES)]))
def test_changed_manifests(seed: int, text: str) -> None:
    compare(changed(random.Random(seed), text))  # noqa: S311  a test


def changed(source: random.Random, text: str) -> str:
    for _ in range(source.randint(1, 3)):
        at = source.randrange(len(text) + 1)
        piece = source.choice([*PIECES, "", text[at : at + 9], " " * source.randint(1, 5)])
        text = text[:at] + piece + text[at + source.choice([0, 0, 1, 1, 2, 5]) :]
    return text
