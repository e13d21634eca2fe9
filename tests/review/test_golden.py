"""Every folder of tests/golden/diff is a case: what a reviewer is told of `before.yml` → `after.yml`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qarunner.app.planning import check_manifest
from qarunner.review import json as review_json
from qarunner.review import markdown as review_markdown
from qarunner.review import text as review_text
from qarunner.review.compare import compare
from qarunner.review.model import Side
from qarunner.review.reasons import notices
from qarunner.review.view import Review, visible

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent / "golden" / "diff"
CASES = sorted(path.parent.name for path in ROOT.glob("*/after.yml"))


def side(path: Path) -> Side | None:
    if not path.exists():
        return None
    checked = check_manifest(path, {})
    assert checked.problems == ()
    return Side(
        manifest=checked.manifest,
        rows=checked.rows,
        evaluated=checked.evaluated,
        vendors=checked.vendors,
        copied_to=f"{path.parent.as_posix()}/",
    )


def review_of(folder: Path) -> Review:
    before, after = side(folder / "before.yml"), side(folder / "after.yml")
    assert after is not None
    difference = compare(before, after)
    return Review(
        file="qa-matrix.yml",
        base="0" * 40,
        wording="main (merge base 00000000)",
        difference=difference,
        notices=notices(difference, before, after),
    )


def lines(review: Review) -> str:
    return "".join(f"{text}\n" for text, _ in review_text.render(review))


FORMATS: dict[str, Callable[[Review], str]] = {
    "diff.txt": lines,
    "diff.md": review_markdown.render,
    "diff.json": review_json.render,
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, name: str, golden: Callable[[Path, str], None]) -> None:
    golden(ROOT / case / name, FORMATS[name](review_of(ROOT / case)))


@pytest.mark.parametrize("case", CASES)
def test_nothing_differs_from_itself(case: str) -> None:
    after = side(ROOT / case / "after.yml")
    assert after is not None
    difference = compare(after, after)
    assert not difference
    assert difference.before == difference.after
    assert notices(difference, after, after) == ()


@pytest.mark.parametrize("case", CASES)
def test_the_json_has_the_documented_keys_and_counts_every_row(case: str) -> None:
    document: Any = json.loads(review_json.render(review_of(ROOT / case)))
    assert {"version", "base", "added", "removed", "changed", "tests"} <= set(document)
    assert set(document["tests"]) == {"before", "after"}
    for row in (*document["added"], *document["removed"]):
        assert {"id", "vendor", "platform", "tests", "line", "from"} <= set(row)
    for change in document["changed"]:
        assert {"id", "fields"} <= set(change)
        assert change["fields"]
        assert all({"path", "before", "after"} <= set(field) for field in change["fields"])
    grown = len(document["added"]) - len(document["removed"])
    assert document["rows"]["after"] - document["rows"]["before"] == grown


def outside_of_code(markdown: str) -> str:
    """What a site would read as Markdown; a span may not be longer than its line."""
    assert "```" not in markdown
    return "\n".join(re.sub(r"`[^`]*`", "", line) for line in markdown.splitlines())


@pytest.mark.parametrize("case", CASES)
def test_nothing_of_a_manifest_stands_outside_of_code(case: str) -> None:
    text = review_markdown.render(review_of(ROOT / case))
    plain = outside_of_code(text)
    assert "`" not in plain
    assert not re.search(r"[@\[\]#|]|https?:|<(?!/?(details|summary)>)", re.sub(r"^### ", "", plain))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e]", text)


def test_a_terminal_gets_no_command() -> None:
    text = lines(review_of(ROOT / "a-strangers-words"))
    assert "\x1b" not in text
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())
    assert visible("a\x9b\u202e\ud800\n") == "a\\x9b\\u202e\\ud800\\n"


# --- a comment that would be too long ---------------------------------------------------------------------------------


def big(tmp_path: Path, rows: int, end: str = "") -> Review:
    entries = "".join(f"  - {{ id: row-{n}{end}, test_ids: [{'t' * 40}{n}] }}\n" for n in range(rows))
    top = "version: 1\nname: shop\n"
    top += "defaults: { vendor: doksi, platform: web, timeout: %s, target: { web_url: https://a.b } }\n"
    small = "  - { id: small, test_ids: [t], name: %s }\n"
    (tmp_path / "before.yml").write_text(top % "30m" + "matrix:\n" + entries + small % "a", encoding="utf-8")
    (tmp_path / "after.yml").write_text(top % "45m" + "matrix:\n" + entries + small % "b", encoding="utf-8")
    return review_of(tmp_path)


def test_a_comment_is_never_longer_than_a_comment_may_be(tmp_path: Path) -> None:
    review = big(tmp_path, 1500, "-of-a-large-matrix-with-long-names")
    text = review_markdown.render(review)
    assert 40_000 < len(text.encode()) <= 65_536
    assert "defaults.timeout 30m → 45m" in text
    cut = re.search(r"_(\d+) smaller parts with (\d+) rows do not fit", text)
    assert cut is not None
    assert text.count("- `row-") + int(cut[2]) == 1502  # and the small one, which is in two groups
    assert text.count("<details>") == text.count("</details>")


def test_the_biggest_cause_comes_first(tmp_path: Path) -> None:
    text = lines(big(tmp_path, 20))
    assert text.index("defaults.timeout") < text.index("small: name a → b")
    assert "and 9 more (-v shows them)" in text
    every = "".join(each for each, _ in review_text.render(big(tmp_path, 20), every_row=True))
    assert "row-19" in every
    assert "more" not in every
