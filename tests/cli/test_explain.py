"""`explain`: an entry from the lines of its values to its request, without a variable that needs to be set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qarunner.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parents[1] / "golden" / "explain"


@pytest.fixture
def explain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs `explain` beside the golden manifest, in no build of any CI."""
    for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "URL", "LOCALE", "PREVIEW_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QARUNNER_BRANCH", "main")
    monkeypatch.chdir(tmp_path)
    shutil.copy(GOLDEN / "qa-matrix.yml", tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        code = run(["explain", *words])
        return code, *capsys.readouterr()

    return call


def entries(shown: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(shown)["entries"]
    return rows


@pytest.mark.parametrize("word", ["checkout", "search[locale=en]", "slow"])
def test_golden(word: str, explain: Callable[..., tuple[int, str, str]], golden: Callable[[Path, str], None]) -> None:
    code, out, err = explain(word)
    assert (code, err) == (0, "")
    golden(GOLDEN / f"{word.partition('[')[0]}.txt", out)


def test_each_value_stands_where_it_was_written(explain: Callable[..., tuple[int, str, str]]) -> None:
    lines = (GOLDEN / "qa-matrix.yml").read_text(encoding="utf-8").splitlines()
    _, out, _ = explain("*", "--profile", "nightly", "--output", "json")
    rows = entries(out)
    assert [entry["id"] for entry in rows] == [
        *("checkout/web", "checkout/android", "search[locale=en]", "search[locale=de]", "slow")
    ]
    sources = set()
    for entry in rows:
        for value in entry["values"]:  # type: ignore[attr-defined]
            written = value["written"]
            begin = lines[value["line"] - 1][value["column"] - 1 :]
            wanted = written if isinstance(written, str) else json.dumps(written).replace('"', "")
            assert begin.lstrip("\"'").startswith(wanted), value
            sources.add(value["from"])
    assert sources == {"axis", "defaults", "entry", "profile nightly", "variant android", "variant web"}


def test_the_choosing_options_decide_as_for_apply(explain: Callable[..., tuple[int, str, str]]) -> None:
    def choice(*words: str) -> tuple[object, object]:
        (entry,) = entries(explain(*words, "--output", "json")[1])
        return entry["runs"], entry["reason"]

    url = ("--var", "URL=https://x.example")
    assert choice("checkout/web") == (True, "nothing leaves it out")
    assert choice("checkout/web", "--select", "checkout") == (True, "--select checkout")
    assert choice("checkout/web", "--select", "slow") == (False, "--select slow does not name it")
    assert choice("checkout/web", "--select", "search", *url) == (True, "search[locale=en] needs it")
    assert choice("checkout/web", "--profile", "nightly") == (False, "profile nightly chooses label:n alone")
    assert choice("slow") == (False, "skipped by if: {{ git.branch == 'nowhere' }}")
    assert choice("search[locale=de]", *url) == (True, "nothing leaves it out")
    assert choice("search[locale=de]") == (None, "a condition decides, and URL is not set")
    assert choice("search[locale=de]", "--var", "URL=x:x") == (True, "nothing leaves it out")


def test_the_shard_that_runs_a_row_is_named_once_it_is_known(explain: Callable[..., tuple[int, str, str]]) -> None:
    def choices(*words: str) -> dict[object, tuple[object, object]]:
        return {row["id"]: (row["runs"], row["reason"]) for row in entries(explain("*", *words, "--output", "json")[1])}

    manifest = Path("qa-matrix.yml")
    text = (
        manifest.read_text(encoding="utf-8")
        .replace("needs: [checkout]", "needs: []")
        .replace("test_ids: [a, b]", "test_ids: [a]")
    )
    manifest.write_text(text, encoding="utf-8")
    url = ("--var", "URL=https://x.example")
    first, second = choices("--shard", "1/2", *url), choices("--shard", "2/2", *url)
    assert first["slow"] == second["slow"] == (False, "skipped by if: {{ git.branch == 'nowhere' }}")
    for row in first.keys() - {"slow"}:
        (number,) = (n for n, shard in ((1, first), (2, second)) if shard[row][0])
        other = (second, first)[number - 1]
        assert (first, second)[number - 1][row][1] == f"nothing leaves it out; it is in shard {number}/2"
        assert other[row] == (False, f"shard {number}/2 runs it")
    assert {runs for runs, _ in first.values()} == {runs for runs, _ in second.values()} == {True, False}
    runs, reason = choices("--shard", "1/2")["checkout/web"]
    assert runs is None
    assert str(reason).endswith("which shard runs it depends on what is not set")
    assert "there are shards 1 to 2" in explain("checkout", "--shard", "3/2")[2]


def test_what_is_set_is_put_in_and_a_secret_never_is(
    explain: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREVIEW_TOKEN", "hunter2hunter2")
    monkeypatch.setenv("QARUNNER_ALLOW_SECRETS", "PREVIEW_TOKEN")
    code, out, err = explain("checkout/web", "--var", "URL=https://x.example")
    assert (code, err) == (0, "")
    assert "hunter2" not in out
    assert '"web_url": "https://x.example/x?t=***"' in out
    _, out, _ = explain("search", "--var", "URL=https://x.example", "--output", "json")
    assert all(entry["missing"] == [] for entry in entries(out))


def test_an_unknown_entry_has_a_closest_match(explain: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = explain("chekout")
    assert (code, out) == (2, "")
    assert "no entry is called 'chekout'" in err
    assert "did you mean 'checkout'?" in err


def test_a_broken_manifest_is_told_of(explain: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    (tmp_path / "qa-matrix.yml").write_text("version: 1\nname: a\nmatrix: [{ id: a, vendor: doski, test_ids: [a] }]\n")
    code, _, err = explain("a")
    assert code == 2
    assert "[E502]" in err


def test_an_entry_goes_before_a_code(explain: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    assert explain("e204")[1].startswith("E204: A required key is missing.")
    text = "version: 1\nname: a\nmatrix: [{ id: e204, vendor: docketqa, test_ids: [1] }]\n"
    (tmp_path / "qa-matrix.yml").write_text(text)
    assert explain("e204")[1].startswith("e204  qa-matrix.yml:3:10\n")
    assert explain("E204")[1].startswith("E204: A required key is missing.")
    (tmp_path / "qa-matrix.yml").unlink()
    assert explain("e204")[1].startswith("E204: A required key is missing.")


def test_what_cannot_be_known_yet_is_said(explain: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    text = """version: 1
name: a
env: { P: {}, N: { format: integer }, T: {} }
matrix:
  - id: a
    vendor: doksi
    platform: "{{ env.P }}"
    category_ids: [c]
    target: { web_url: https://x }
    estimate: "{{ env.N }}"
    timeout: "{{ env.T }}"
    retries: { failed: "{{ env.N }}" }
"""
    (tmp_path / "qa-matrix.yml").write_text(text)
    code, out, err = explain("a")
    assert (code, err) == (0, "")
    assert "request: a variable that is not set decides what is sent" in out
    assert "cost: unknown tests" in out
    code, out, _ = explain("a", "--var", "P=web", "--var", "N=2")
    assert code == 0
    assert "cost: 2 tests; 1 run, and at most 2 after failed tests" in out
    assert "at most 1h each" in out
    code, out, err = explain("a", "--var", "T=soon")
    assert (code, out) == (2, "")
    assert "timeout: expected a duration such as 30s, 10m or 1h30m, got 'soon' [E207]" in err


LAYERS = """version: 1
name: shop
env: { HOST: {}, TAGS: { format: list }, T: { default: 5m } }
vars: { host: "{{ env.HOST }}", team: mine }
vendors: { doksi: { extra: { project: "{{ env.T }}" }, defaults: { retries: { failed: 2 }, labels: [v] } } }
defaults: { vendor: doksi, platform: web, timeout: "{{ env.T }}", target: { web_url: "https://{{ vars.host }}" } }
profiles:
  below: { defaults: { retries: { infra: 3 } }, vars: { team: theirs } }
  n: { extends: below, entries: { a: { owner: "{{ vars.team }}" }, "a/x[l=fr,d=q]": { labels: { append: [p] } } } }
matrix:
  - id: a
    axes: { l: [en], d: [{ name: p, os: x }] }
    include: [{ l: fr, d: { name: q, os: y } }]
    labels: { append: [e] }
    test_ids: "{{ env.TAGS }}"
    name: "{{ git.tag | default('none') }}"
    variants: { x: { timeout: null }, y: {} }
"""


def test_every_layer_is_named_with_its_line_and_what_it_reads(
    explain: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "qa-matrix.yml").write_text(LAYERS)
    (tmp_path / "v.yml").write_text("TAGS: [t]\n")
    _, out, _ = explain("a/x[l=fr,d=q]", "--profile", "n", "--var-file", "v.yml", "--output", "json")
    (row,) = entries(out)
    values = {item["path"]: (item["from"], item["line"], item["unknown"]) for item in row["values"]}  # type: ignore[attr-defined]
    assert values == {
        "matrix.l": ("axis", 13, []),
        "matrix.d.name": ("axis", 13, []),
        "matrix.d.os": ("axis", 13, []),
        "vendor": ("defaults", 6, []),
        "platform": ("defaults", 6, []),
        "target.web_url": ("defaults", 6, ["HOST is not set"]),
        "retries.failed": ("defaults of doksi", 5, []),
        "retries.infra": ("profile below", 8, []),
        "labels.0": ("defaults of doksi", 5, []),
        "labels.1": ("entry", 14, []),
        "labels.2": ("profile n", 9, []),
        "test_ids": ("entry", 15, []),
        "name": ("entry", 16, []),
        "owner": ("profile n", 9, []),
        "timeout": ("variant x", 17, []),
    }
    reads = {item["path"]: (item["from"], item["file"], item["value"], item["unknown"]) for item in row["reads"]}  # type: ignore[attr-defined]
    assert reads == {
        "vars.host": ("vars", "qa-matrix.yml", "{{ env.HOST }}", None),
        "vars.team": ("profile below", "qa-matrix.yml", "theirs", None),
        "env.HOST": ("not known", "qa-matrix.yml", None, "HOST is not set"),
        "env.TAGS": ("--var-file", "v.yml", ["t"], None),
        "env.T": ("default", "qa-matrix.yml", "5m", None),
        "git.tag": ("the build", None, None, "this build has no tag"),
    }


def test_a_list_that_is_not_known_is_no_empty_one(explain: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    (tmp_path / "qa-matrix.yml").write_text(LAYERS)
    _, out, _ = explain("a/y[l=en,d=p]", "--var", "HOST=h")
    assert "request: a variable that is not set decides what is sent" in out
    assert "cost: unknown tests" in out
    assert "? TAGS is not set" in out


MANY = """
version: 1
name: many
defaults: { vendor: doksi, platform: web, target: { web_url: "https://x.example" }, if: "{{ 1 == 2 }}" }
matrix:
"""


def test_each_of_many_rows_has_the_reason_why_it_does_not_run(explain: Callable[..., tuple[int, str, str]]) -> None:
    rows = "".join(f"  - {{ id: e{number}, test_ids: [a] }}\n" for number in range(15))
    Path("qa-matrix.yml").write_text(f"{MANY.lstrip()}{rows}", encoding="utf-8")
    for name in ("e0", "e14"):
        (row,) = entries(explain(name, "--output", "json")[1])
        assert (row["runs"], row["reason"]) == (False, "skipped by if: {{ 1 == 2 }}")
