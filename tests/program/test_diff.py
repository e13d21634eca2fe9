"""`diff` in real repositories: where the base is found, and what stands in the way."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from qarunner.history.index import Index, ResultRow, RunRow
from qarunner.vendors.api import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from tests.program.conftest import Begin, Ended, Stage

NOBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "n"), ("EMAIL", "n@example.com"))
}


class Repo:
    """A stage's folder as a repository, without anything that leads to a vendor."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        keep = {"PATH", "HOME"}
        self.environ = {name: value for name, value in stage.environ.items() if name in keep} | NOBODY
        stage.environ = dict(self.environ)
        self.git("init", "-q", "-b", "main")

    @property
    def folder(self) -> Path:
        return self.stage.folder

    def git(self, *words: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *words], cwd=cwd or self.folder, env=self.environ, capture_output=True, encoding="utf-8", check=True
        )
        return done.stdout.strip()

    def commit(self, *entries: str, name: str = "qa-matrix.yml", **top: object) -> str:
        """Commits everything, with a matrix of these entries."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        self.stage.commit(*(self.stage.doksi(entry) for entry in entries), name=name, **top)
        self.git("add", "-A")
        self.git("commit", "-qm", " ".join(entries))
        return self.git("rev-parse", "HEAD")

    def diff(self, *words: str, **variables: str) -> Ended:
        return self.stage.run("diff", *words, **variables)

    def document(self, *words: str, **variables: str) -> Any:  # noqa: ANN401  JSON
        ended = self.diff("--format", "json", *words, **variables)
        assert ended.code == 0, ended
        return json.loads(ended.out)


@pytest.fixture
def repo(stage: Stage) -> Repo:
    return Repo(stage)


def ids(rows: list[dict[str, object]]) -> list[object]:
    return [row["id"] for row in rows]


def test_a_branch_is_compared_with_where_it_left_the_default_branch(repo: Repo) -> None:
    base = repo.commit("a", "b")
    repo.git("checkout", "-qb", "feature")
    repo.commit("a", "c", "b")
    repo.git("checkout", "-q", "main")
    repo.commit("a", "b", "of-main")
    repo.git("checkout", "-q", "feature")
    data = repo.document()
    assert (data["base"], ids(data["added"]), data["removed"]) == (base, ["c"], [])
    assert data["tests"] == {"before": 2, "after": 3}
    text = repo.diff()
    assert text.out.startswith(f"qa-matrix.yml against main (merge base {base[:8]}): 1 added, 2 as before\n")
    assert "+ entry c added" in text.out
    assert ids(repo.document("main")["removed"]) == ["of-main"]


def test_the_working_tree_is_what_is_now_and_a_detached_head_is_fine(repo: Repo) -> None:
    base = repo.commit("a")
    repo.git("checkout", "-q", "--detach")
    assert repo.diff("--exit-code").code == 0
    assert "all 1 rows are as before" in repo.diff().out
    repo.stage.commit(repo.stage.doksi("a"), repo.stage.doksi("not-committed"))
    data = repo.document("HEAD")
    assert (data["base"], ids(data["added"])) == (base, ["not-committed"])
    assert repo.diff("--exit-code").code == 10
    assert repo.diff("--exit-code", "--format", "json").code == 10


def test_a_clone_knows_its_remotes_default_branch_and_a_build_its_target(repo: Repo, tmp_path: Path) -> None:
    repo.commit("a")
    repo.git("branch", "-m", "trunk")
    repo.git("checkout", "-qb", "release")
    repo.commit("a", "of-release")
    repo.git("checkout", "-q", "trunk")
    clone = tmp_path / "clone"
    repo.git("clone", "-q", str(repo.folder), str(clone))
    repo.stage.folder = clone
    repo.git("checkout", "-qb", "feature", "origin/release")
    repo.commit("a", "of-release", "mine")
    assert ids(repo.document()["added"]) == ["of-release", "mine"]
    pull = {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "release", "GITHUB_REF": "refs/pull/7/merge"}
    assert ids(repo.document(**pull)["added"]) == ["mine"]
    gone = repo.diff(**{**pull, "GITHUB_BASE_REF": "gone"})
    assert gone.code == 2, gone
    assert "looked for origin/gone, gone" in gone.err


def test_a_shallow_clone_is_told_to_fetch_more(repo: Repo, tmp_path: Path) -> None:
    repo.commit("a")
    repo.git("checkout", "-qb", "feature")
    repo.commit("a", "b")
    clone = tmp_path / "clone"
    repo.git("checkout", "-q", "main")
    repo.git("clone", "-q", "--depth", "1", "--branch", "feature", repo.folder.as_uri(), str(clone))
    repo.stage.folder = clone
    ended = repo.diff()
    assert ended.code == 2, ended
    assert "this clone is shallow" in ended.err
    assert "fetch-depth: 0" in ended.err
    repo.git("fetch", "-q", "--depth", "1", "origin", "main:refs/remotes/origin/main")
    apart = repo.diff()
    assert apart.code == 2, apart
    assert "HEAD and origin/main have no commit in common that is here" in apart.err
    assert ids(repo.document("origin/main")["added"]) == ["b"]


def test_a_manifest_in_a_folder_of_a_larger_repository(repo: Repo) -> None:
    repo.commit("a", name="apps/shop/qa-matrix.yml")
    repo.commit("a", "b", name="apps/shop/qa-matrix.yml")
    assert ids(repo.document("HEAD~1", "--file", "apps/shop/qa-matrix.yml")["added"]) == ["b"]
    repo.stage.folder /= "apps/shop"
    (row,) = repo.document("HEAD~1")["added"]
    assert (row["id"], row["from"]["file"], row["line"]) == ("b", "qa-matrix.yml", 17)


@pytest.mark.parametrize("added", [True, False])
@pytest.mark.parametrize(
    ("old", "new"), [("qa-matrix.yml", "qa-matrix.yaml"), ("qa-matrix.yml", "ci/qa.yml"), ("a.yml", "b.yml")]
)
def test_a_renamed_manifest_is_compared_with_what_it_was(
    repo: Repo,
    old: str,
    new: str,
    added: bool,  # noqa: FBT001  a case
) -> None:
    if not added and "qa-matrix" not in old:
        pytest.skip("git sees no rename of a file that it does not know, and nothing else tells")
    repo.commit("a", "b", "c", name=old)
    (repo.folder / new).parent.mkdir(exist_ok=True)
    (repo.folder / old).rename(repo.folder / new)
    repo.stage.commit(*(repo.stage.doksi(entry) for entry in "abcd"), name=new)
    if added:
        repo.git("add", "-A")
    data = repo.document("HEAD", "--file", new)
    assert ids(data["added"]) == ["d"]
    assert data["warnings"] == [f"{new} was {old} then"]


def test_a_first_manifest_is_all_new(repo: Repo) -> None:
    (repo.folder / "readme").write_text("x")
    repo.git("add", "-A")
    repo.git("commit", "-qm", "x")
    repo.stage.commit(repo.stage.doksi("a"))
    data = repo.document()
    assert ids(data["added"]) == ["a"]
    assert data["tests"] == {"before": 0, "after": 1}
    assert data["warnings"] == ["there was no qa-matrix.yml then: every row is new"]


def test_a_base_that_was_broken_is_said_and_a_broken_manifest_is_an_error(repo: Repo) -> None:
    (repo.folder / "qa-matrix.yml").write_text("version: 1\nname: [\n")
    repo.git("add", "-A")
    repo.git("commit", "-qm", "broken")
    repo.commit("a", defaults={"timeout": "soon"})
    repo.commit("a")
    for base, message in (
        ("HEAD~2", "was not valid then (qa-matrix.yml:"),
        ("HEAD~1", "was not valid then (qa-matrix"),
    ):
        data = repo.document(base)
        assert ids(data["added"]) == ["a"]
        assert message in data["warnings"][0]
        assert "/qarunner-diff-" not in data["warnings"][0]
    (repo.folder / "qa-matrix.yml").write_text("version: 1\nname: x\nmatrix: [{ id: a, vendor: doski }]\n")
    broken = repo.diff("HEAD")
    assert broken.code == 2, broken
    assert "qa-matrix.yml:3:" in broken.err


def test_a_base_that_required_an_earlier_version_is_compared_by_the_rules_of_today(repo: Repo) -> None:
    """An upgrade changes `requires`, and its review shows what else would be sent."""
    repo.stage.commit(repo.stage.doksi("a"), requires="<0.1")
    repo.git("add", "-A")
    repo.git("commit", "-qm", "before")
    repo.stage.commit(repo.stage.doksi("a"), repo.stage.doksi("b"), requires=">=0.1")
    review = repo.document("HEAD")
    assert (ids(review["added"]), review["warnings"]) == (["b"], [])
    repo.stage.commit({**repo.stage.doksi("a"), "novel": 1}, requires=">=99")
    repo.git("commit", "-qam", "a later version's")
    repo.stage.commit(repo.stage.doksi("a"))
    assert "requires qarunner >=99" in repo.document("HEAD")["warnings"][0]


def test_another_file_is_a_base_with_or_without_a_repository(repo: Repo) -> None:
    repo.stage.commit(repo.stage.doksi("a"), name="old.yml")
    repo.stage.commit(repo.stage.doksi("a"), repo.stage.doksi("b"))
    data = repo.document("old.yml")
    assert (data["base"], ids(data["added"])) == ("old.yml", ["b"])
    shutil.rmtree(repo.folder / ".git")
    assert ids(repo.document("old.yml")["added"]) == ["b"]
    outside = repo.diff()
    assert outside.code == 2, outside
    assert "not in a git repository" in outside.err
    assert "qarunner diff OTHER.yml" in outside.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nope"], "nope: neither a revision of this repository nor a file"),
        (["qa-matrix.yml"], "is the manifest itself"),
        (["--format", "html"], "--format: unknown word 'html'"),
        (["--file", "missing.yml"], "missing.yml: cannot be read"),
    ],
)
def test_what_cannot_be_compared(repo: Repo, words: list[str], message: str) -> None:
    repo.commit("a")
    ended = repo.diff(*words)
    assert ended.code == 2, ended
    assert message in ended.err


def test_a_repository_without_a_commit(repo: Repo) -> None:
    repo.stage.commit(repo.stage.doksi("a"))
    ended = repo.diff()
    assert ended.code == 2, ended
    assert "commit" in ended.err


def test_no_option_reaches_git_through_a_name(repo: Repo) -> None:
    repo.commit("a")
    ended = repo.diff("--", "--output=stolen")
    assert ended.code == 2, ended
    assert not (repo.folder / "stolen").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_nothing_of_the_repository_is_executed(repo: Repo) -> None:
    repo.commit("a")
    script = repo.folder / "run.sh"
    script.write_text(f"#!/bin/sh\ntouch {repo.folder}/executed\ncat\n")
    script.chmod(0o755)
    (repo.folder / ".gitattributes").write_text("*.yml diff=evil filter=evil\n")
    for name in ("diff.evil.command", "diff.evil.textconv", "core.fsmonitor"):
        repo.git("config", name, str(script))
    repo.stage.commit(repo.stage.doksi("a"), repo.stage.doksi("b"), name="new.yml")
    (repo.folder / "qa-matrix.yml").unlink()
    assert repo.document("HEAD", "--file", "new.yml")["added"]
    assert not (repo.folder / "executed").exists()


def test_rows_can_be_chosen(repo: Repo) -> None:
    repo.commit("a", "b")
    repo.commit("a", "c", "d")
    data = repo.document("HEAD~1", "--select", "c", "--select", "b", "--select", "x")
    assert (ids(data["added"]), ids(data["removed"])) == (["c"], ["b"])
    assert "'x' matches no entry" in data["warnings"][0]


def test_rows_are_chosen_by_changed_files_and_by_an_earlier_run_as_for_an_apply(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"b2": "failed"}})
    vendors = stage.environ
    repo = Repo(stage)
    for text in ("1", "2"):
        (repo.folder / "src").write_text(text, encoding="utf-8")
        entries = [stage.doksi("a", f"a{text}", paths=["src"]), stage.doksi("b", f"b{text}", paths=["lib"])]
        stage.commit(*entries, stage.doksi("c", f"c{text}"))
        repo.git("add", "-A")
        repo.git("commit", "-qm", text)

    def changed(*words: str) -> list[object]:
        return ids(repo.document("HEAD~1", *words)["changed"])

    assert changed() == ["a", "b", "c"]
    assert changed("--changed-since", "HEAD~1") == ["a", "c"]
    assert changed("--changed-since", "HEAD~1", "--select", "!c") == ["a"]
    assert "no run r1" in repo.diff("HEAD~1", "--rerun-failed", "r1").err
    stage.environ = vendors | repo.environ
    assert stage.apply().code == 1
    assert changed("--rerun-failed", "r1") == ["b"]
    assert changed("--rerun-failed", "r1", "--changed-since", "HEAD~1") == []


def test_variables_need_not_be_set_and_are_not_read(repo: Repo) -> None:
    entry = repo.stage.doksi("a", url="{{ env.URL }}/{{ env.TOKEN }}")
    repo.stage.commit(entry, env={"URL": {"format": "uri"}, "TOKEN": {"secret": True}})
    repo.git("add", "-A")
    repo.git("commit", "-qm", "x")
    entry = repo.stage.doksi("a", url="{{ env.URL }}/new/{{ env.TOKEN }}")
    repo.stage.commit(entry, env={"URL": {"format": "uri"}, "TOKEN": {"secret": True}})
    ended = repo.diff("HEAD", URL="https://inner.example", TOKEN="hunter2hunter2")
    assert ended.code == 0, ended
    assert "{{ env.URL }}/new/{{ env.TOKEN }}" in ended.out
    assert "inner.example" not in ended.out
    assert "hunter2" not in ended.out


def test_a_comment_is_written_to_a_file(repo: Repo) -> None:
    repo.commit("a")
    repo.commit("a", "b")
    ended = repo.diff("HEAD~1", "--format", "markdown", "--out", "build/comment.md")
    assert (ended.code, ended.out) == (0, "")
    assert (repo.folder / "build/comment.md").read_text(encoding="utf-8").startswith("### `qa-matrix.yml`: 1 added")
    assert [path.name for path in (repo.folder / "build").iterdir()] == ["comment.md"]


def test_fragments_are_read_as_they_were(repo: Repo) -> None:
    def write(*ids: str, name: str = "qa/one.yml") -> None:
        path = repo.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"matrix": [repo.stage.doksi(entry) for entry in ids]}))

    write("b")
    write("gone", name="qa/two.yml")
    base = repo.commit("a", include=["qa/*.yml"])
    write("b", "c")
    (repo.folder / "qa/two.yml").unlink()
    data = repo.document("HEAD")
    assert (data["base"], ids(data["added"]), ids(data["removed"])) == (base, ["c"], ["gone"])
    assert data["added"][0]["from"]["file"] == "qa/one.yml"
    assert data["removed"][0]["from"]["file"] == "qa/two.yml"
    assert data["warnings"] == data["changed"] == []


def test_a_profile_is_laid_over_both(repo: Repo) -> None:
    profiles = {"nightly": {"select": ["b"], "defaults": {"timeout": "60m"}}}
    repo.commit("a", "b", profiles=profiles)
    profiles["nightly"]["defaults"] = {"timeout": "90m"}
    repo.stage.commit(*(repo.stage.doksi(entry) for entry in "abc"), profiles=profiles)
    data = repo.document("HEAD", "--profile", "nightly")
    assert data["added"] == []
    (change,) = data["changed"]
    assert change["id"] == "b"
    assert change["fields"][0]["cause"] == "profiles.nightly.defaults.timeout 60m → 90m"


def test_a_secret_that_gets_another_host_or_is_none_any_more_stands_first(repo: Repo) -> None:
    def matrix(url: str, *, host: str, declared: dict[str, object]) -> None:
        entry = {**repo.stage.doksi("login"), "target": {"web_url": url}}
        variables = {"CODE": declared, "SITE": {"default": "https://a.example"}}
        repo.stage.commit(entry, env=variables, vars={"site": host})

    def marks() -> list[tuple[str, str]]:
        return [(notice["kind"], notice["message"]) for notice in repo.document("HEAD")["notices"]]

    secret: dict[str, object] = {"secret": True}
    matrix("https://{{ vars.site }}/?c={{ env.CODE }}", host="one.example", declared=secret)
    repo.git("add", "-A")
    repo.git("commit", "-qm", "secret")

    matrix("https://{{ vars.site }}/other?code={{ env.CODE }}", host="One.example", declared=secret)
    assert marks() == []
    matrix("https://{{ vars.site }}/?c={{ env.CODE }}", host="two.example", declared=secret)
    moved = ("target", "runs against two.example now, before against one.example")
    assert marks() == [("secret", "the secret CODE now goes to two.example in a URL"), moved]
    matrix("{{ env.SITE }}/?c={{ env.CODE }}", host="one.example", declared=secret)
    assert marks()[0] == ("secret", "the secret CODE now goes to a.example in a URL")
    matrix("https://{{ vars.site }}/?c={{ env.CODE }}", host="one.example", declared={"default": "x"})
    assert ("secret", "CODE is no secret any more: it is masked nowhere, and needs no --allow-secret") in marks()


def test_every_newly_declared_variable_is_marked(repo: Repo) -> None:
    def matrix(env: dict[str, object]) -> None:
        repo.stage.commit(repo.stage.doksi("a", url="https://a.example/{{ env.OLD }}"), env={"OLD": {}, **env})

    def marks() -> list[str]:
        return [notice["message"].partition(":")[0] for notice in repo.document("HEAD")["notices"]]

    matrix({})
    repo.git("add", "-A")
    repo.git("commit", "-qm", "x")
    matrix({"SLACK_URL": {"default": "x"}, "DB_PW": {}, "TOKEN": {"secret": True}})
    assert marks() == [f"{name} is newly declared" for name in ("SLACK_URL", "DB_PW", "TOKEN")]
    text = repo.diff("HEAD").out
    assert "! DB_PW is newly declared: templates can read it where the pipeline names it; it must be set" in text
    matrix({})
    assert marks() == []


def profiled(**profiles: object) -> dict[str, Any]:
    return {"vars": {"host": "staging.example"}, "profiles": profiles}


def test_each_profile_is_compared_with_itself(stage: Stage) -> None:
    shop = stage.doksi("shop", url="https://{{ vars.host }}")
    both = {"nightly": {"vars": {"host": "nightly.example"}}, "same": {"vars": {"host": "same.example"}}}
    stage.commit(shop, **profiled(**both, old={"vars": {"host": "old.example"}}))
    (stage.folder / "before.yml").write_bytes((stage.folder / "qa-matrix.yml").read_bytes())
    both["nightly"] = {"vars": {"host": "other.example"}}
    stage.commit(shop, **profiled(**both, fresh={"vars": {"host": "fresh.example"}}))
    document = json.loads(stage.run("diff", "before.yml", "--format", "json").out)
    assert document["changed"] == []
    assert list(document["profiles"]) == ["nightly", "fresh"]
    (row,) = document["profiles"]["fresh"]["changed"]
    assert [(field["before"], field["after"]) for field in row["fields"]] == [
        ("https://staging.example", "https://fresh.example")
    ]
    (row,) = document["profiles"]["nightly"]["changed"]
    assert [(each["before"], each["after"]) for each in row["fields"]] == [
        ("https://nightly.example", "https://other.example")
    ]
    assert "other.example" in document["profiles"]["nightly"]["notices"][0]["message"]
    assert {each["path"].split(".")[1] for each in document["settings"]} == {"nightly", "old", "fresh"}
    text = stage.run("diff", "before.yml").out
    assert "profile nightly: 1 changed" in text
    assert "profile same" not in text
    assert "In the profile `nightly`" in stage.run("diff", "before.yml", "--format", "markdown").out


def test_what_a_new_profile_changes_is_shown_and_not_what_it_leaves_out(stage: Stage) -> None:
    entries = [stage.doksi("shop", url="https://{{ vars.host }}/?t={{ env.TOKEN }}"), stage.doksi("cart")]
    env = {"TOKEN": {"secret": True}}
    stage.commit(*entries, env=env, **profiled(same={}))
    (stage.folder / "before.yml").write_bytes((stage.folder / "qa-matrix.yml").read_bytes())
    new = {"few": {"select": ["cart"]}, "far": {"vars": {"host": "far.example"}}}
    stage.commit(*entries, env=env, **profiled(**new))
    ended = stage.run("diff", "before.yml", "--format", "json")
    assert ended.code == 0, ended
    document = json.loads(ended.out)
    assert list(document["profiles"]) == ["far"]
    assert document["profiles"]["far"]["removed"] == []
    assert "TOKEN now goes to far.example" in document["profiles"]["far"]["notices"][0]["message"]


def test_what_differs_without_a_profile_is_not_said_again_for_each(stage: Stage) -> None:
    stage.commit(stage.doksi("shop"), **profiled(nightly={"vars": {"host": "nightly.example"}}))
    (stage.folder / "before.yml").write_bytes((stage.folder / "qa-matrix.yml").read_bytes())
    stage.commit(stage.doksi("shop", "another"), **profiled(nightly={"vars": {"host": "nightly.example"}}))
    document = json.loads(stage.run("diff", "before.yml", "--format", "json").out)
    assert [row["id"] for row in document["changed"]] == ["shop"]
    assert "profiles" not in document
    same = stage.run("diff", "before.yml", "--profile", "nightly", "--format", "json")
    assert [row["id"] for row in json.loads(same.out)["changed"]] == ["shop"]


def test_a_gate_that_opens_in_a_profile_alone_is_marked(stage: Stage) -> None:
    weak = {"gate": {"min_tests": 0, "on_skipped": "pass"}}
    top: dict[str, Any] = {"gate": {"min_tests": 5, "on_skipped": "fail"}}
    stage.commit(stage.doksi("shop"), **top, profiles={"low": {}, "nightly": {"extends": "low"}})
    (stage.folder / "before.yml").write_bytes((stage.folder / "qa-matrix.yml").read_bytes())
    stage.commit(stage.doksi("shop"), **top, profiles={"low": weak, "nightly": {"extends": "low"}})
    marks = [
        "gate.min_tests 5 → 0; fewer tests are enough for a green build",
        "gate.on_skipped fail → pass; skipped tests fail fewer builds",
    ]
    document = json.loads(stage.run("diff", "before.yml", "--format", "json").out)
    assert document["notices"] == []
    assert {name: [notice["message"] for notice in part["notices"]] for name, part in document["profiles"].items()} == {
        "low": marks,
        "nightly": marks,
    }
    alone = json.loads(stage.run("diff", "before.yml", "--profile", "nightly", "--format", "json").out)
    assert [notice["message"] for notice in alone["notices"]] == marks


def test_a_notice_that_is_true_in_a_profile_for_another_value_is_said_there(stage: Stage) -> None:
    def shop(condition: str) -> dict[str, object]:
        return {**stage.doksi("shop"), "if": f"{{{{ git.branch == '{condition}' }}}}"}

    for old, name in ((True, "before.yml"), (False, "qa-matrix.yml")):
        changed = {"entries": {"shop": {"if": shop("x" if old else "y")["if"]}}}
        stage.commit(shop("main" if old else "dev"), name=name, profiles={"nightly": changed})
    document = json.loads(stage.run("diff", "before.yml", "--format", "json").out)
    message = "may run less often: `if` was changed"
    assert [notice["message"] for notice in document["notices"]] == [message]
    assert [notice["message"] for notice in document["profiles"]["nightly"]["notices"]] == [message]


def test_what_a_change_costs_a_month_is_counted_with_the_runs_of_the_last_30_days(repo: Repo) -> None:
    """The shards of a run are half a run each; rehearsals, old runs and other manifests' runs do not count."""
    price = {"doksi": {"price": {"per_test": "0.50", "currency": "EUR"}}}
    repo.commit("login", "cart", vendors=price)
    day, now = 86_400.0, time.time()
    entries = {"r1": ["login", "cart"], "r2": ["login", "cart"], "r3": ["login"], "r4": ["cart"]}
    with Index(repo.folder / ".qarunner" / "history.db") as index:
        for run in [*entries, "old", "other", "rehearsed"]:
            row = RunRow(
                id=run,
                matrix="shop qa-matrix.yml" if run != "other" else "shop other/qa-matrix.yml",
                at=now - (31 * day if run == "old" else day),
                branch=None,
                commit=None,
                verdict=Verdict.PASSED,
                exit_code=0,
                rehearsal=run == "rehearsed",
                size=1,
            )
            names = entries.get(run, ["login", "cart"])
            results = [
                ResultRow(entry=name, vendor="doksi", verdict=Verdict.PASSED, duration_s=1.0, url=None, tests=())
                for name in names
            ]
            index.add(row, results)
    repo.stage.commit(*(repo.stage.doksi(name) for name in ("login", "cart", "search")), vendors=price)
    ended = repo.diff("main")
    assert "a month, with 3 runs as in the last 30 days: tests +3, +1.50 EUR" in ended.out
    assert repo.document("main")["month"] == {"runs": 3, "tests": 3, "cost": 1.5, "currency": "EUR"}
    assert "A month, with 3 runs" in repo.diff("main", "--format", "markdown").out
    repo.stage.commit(repo.stage.doksi("login"), repo.stage.doksi("cart", timeout="9m"), vendors=price)
    assert "a month" not in repo.diff("main").out
    (repo.folder / ".qarunner" / "history.db").write_bytes(b"x" * 5000)
    ended = repo.diff("main")
    assert ended.code == 0, ended
    assert "warning: the history" in ended.text
