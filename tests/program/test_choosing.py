"""Which rows run: needs, conditions, changes, shards and reruns, through the whole program."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qarunner.app.options import stored_words
from qarunner.plan.model import from_json
from tests.program.conftest import git

if TYPE_CHECKING:
    import pytest

    from tests.program.conftest import Begin, Stage


def planned(stage: Stage, *arguments: str, **variables: str | None) -> Any:  # noqa: ANN401  JSON
    ended = stage.run("plan", "--format", "json", *arguments, **variables)
    assert ended.code == 0, ended
    return json.loads(ended.out)


def ids(plan: Any) -> list[str]:  # noqa: ANN401
    return [entry["id"] for entry in plan["entries"]]


# --- needs ------------------------------------------------------------------------------------------------------------


def shop(stage: Stage) -> None:
    stage.commit(
        stage.doksi("checkout", variants={"web": {}, "other": {"target": {"web_url": "https://other.example"}}}),
        stage.certyn("smoke", needs=["checkout"]),
        stage.doksi("unrelated"),
    )


def test_what_is_needed_is_included_across_vendors(stage: Stage) -> None:
    shop(stage)
    ended = stage.run("plan", "--select", "smoke")
    assert ended.code == 0, ended
    assert "warning: checkout/web is included: smoke needs it" in ended.err
    assert "warning: checkout/other is included: smoke needs it" in ended.err
    assert "  needs: checkout/web, checkout/other" in ended.out
    plan = planned(stage, "--select", "smoke")
    assert ids(plan) == ["checkout/web", "checkout/other", "smoke"]
    assert [entry["needs"] for entry in plan["entries"]] == [[], [], ["checkout/web", "checkout/other"]]


def test_bad_needs_are_told_before_anything_else_happens(stage: Stage) -> None:
    stage.commit(stage.doksi("a", needs=["b"]), stage.doksi("b", needs=["a"]), stage.doksi("c", needs=["bb"]))
    for command in ("validate", "apply"):
        ended = stage.run(command)
        assert ended.code == 2, ended
        assert "needs: these wait for each other: b → a → b [E421]" in ended.err
        assert "needs: there is no entry 'bb' [E420]" in ended.err
    assert stage.sent() == []


def test_a_broken_entry_is_not_called_unknown(stage: Stage) -> None:
    stage.commit(stage.doksi("a", needs=["b", "b/web"]), stage.doksi("b", varaints={"web": {}}))
    ended = stage.run("validate")
    assert "varaints" in ended.err
    assert "E420" not in ended.err
    stage.commit(stage.doksi("a", needs=["b", "b[locale=en]"]), stage.doksi("b", axes="en"))
    ended = stage.run("validate")
    assert "axes" in ended.err
    assert "E420" not in ended.err


# --- if ---------------------------------------------------------------------------------------------------------------

MAIN = "{{ env.BRANCH == 'main' }}"


def conditional(entry: dict[str, object], condition: object) -> dict[str, object]:
    return {**entry, "if": condition}


def gated(stage: Stage) -> None:
    stage.environ["QARUNNER_ENV"] = "BRANCH"
    stage.commit(
        stage.doksi("login"),
        conditional(stage.doksi("release"), MAIN),
        stage.doksi("after", needs=["release"]),
        stage.doksi("last", needs=["after"]),
        env={"BRANCH": {}},
    )


def test_rows_whose_if_is_false_are_listed_and_not_run(stage: Stage) -> None:
    gated(stage)
    reasons = {
        "release": f"skipped by if: {MAIN}",
        "after": f"needs release, which is not planned: skipped by if: {MAIN}",
        "last": f"needs after, which is not planned: needs release, which is not planned: skipped by if: {MAIN}",
    }
    plan = planned(stage, BRANCH="topic")
    assert ids(plan) == ["login"]
    assert {row["id"]: row["reason"] for row in plan["not_planned"]} == reasons
    assert all(row["origin"]["line"] > 1 for row in plan["not_planned"])
    assert f"not planned: release  skipped by if: {MAIN}  qa-matrix.yml:" in stage.run("plan", BRANCH="topic").out
    ended = stage.apply(BRANCH="topic")
    assert ended.code == 0, ended
    assert f"qarunner: not planned: after  {reasons['after']}" in ended.err
    assert {row["id"]: row["reason"] for row in stage.report()["not_planned"]} == reasons
    assert stage.paid() == [["login"]]
    assert ids(planned(stage, BRANCH="main")) == ["login", "release", "after", "last"]


def test_nothing_left_to_run_is_not_green(stage: Stage) -> None:
    gated(stage)
    ended = stage.apply("--select", "release", "--select", "after", BRANCH="topic")
    assert ended.code == 3, ended
    assert "nothing to run: all 2 chosen entries are left out" in ended.err
    assert f"    release: skipped by if: {MAIN}" in ended.err
    assert stage.sent() == []


def test_what_only_a_left_out_row_needs_is_not_run(stage: Stage) -> None:
    stage.commit(
        stage.doksi("setup"),
        conditional(stage.doksi("release", needs=["setup"]), condition=False),
        stage.doksi("login"),
    )
    assert ids(planned(stage, "--select", "release", "--select", "login")) == ["login"]


def test_the_condition_of_a_row_that_is_not_chosen_needs_no_variable(stage: Stage) -> None:
    gated(stage)
    assert ids(planned(stage, "--select", "login")) == ["login"]
    assert "BRANCH is not set" in stage.run("plan").err


# --- changes ----------------------------------------------------------------------------------------------------------


def committed(stage: Stage, *files: str) -> None:
    for file in files:
        path = stage.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file, encoding="utf-8")
    git(stage.folder, "add", "-A")
    git(stage.folder, "commit", "-qm", "more")


def repository(stage: Stage) -> None:
    stage.commit(
        stage.doksi("cart", paths=["src/cart/**", "!**/*.md"]),
        stage.doksi("search", paths=["src/search"], needs=["login"]),
        stage.doksi("login", paths=["src/login/**"]),
        stage.doksi("always"),
    )
    git(stage.folder, "init", "-q", "-b", "main")
    committed(stage, "src/cart/a.py", "src/cart/notes.md", "src/search/s.py", "src/login/l.py")
    git(stage.folder, "checkout", "-qb", "topic")


def test_without_the_option_paths_change_nothing(stage: Stage) -> None:
    repository(stage)
    assert ids(planned(stage)) == ["cart", "search", "login", "always"]


def test_entries_run_if_one_of_their_files_changed_since_the_merge_base(stage: Stage) -> None:
    repository(stage)
    assert ids(planned(stage, "--changed-since", "main")) == ["always"]
    committed(stage, "src/cart/b.py")
    plan = planned(stage, "--changed-since", "main")
    assert ids(plan) == ["cart", "always"]
    reason = "nothing in its paths changed since main"
    assert [(row["id"], row["reason"]) for row in plan["not_planned"]] == [("search", reason), ("login", reason)]
    git(stage.folder, "checkout", "-q", "main")
    committed(stage, "src/login/elsewhere.py")
    git(stage.folder, "checkout", "-q", "topic")
    assert ids(planned(stage, "--changed-since", "main")) == ["cart", "always"]


def test_explain_says_what_a_change_and_an_earlier_run_decide(stage: Stage) -> None:
    repository(stage)
    ended = stage.run("explain", "search", "--changed-since", "main")
    assert "does not run: nothing in its paths changed since main" in ended.out
    assert stage.apply().code == 0
    ended = stage.run("explain", "search", "--rerun-failed", "r1")
    assert ended.code in {0, 3}, ended
    assert "does not run: it passed in run r1" in ended.out


def test_the_working_tree_counts_as_well(stage: Stage) -> None:
    repository(stage)
    (stage.folder / "src/cart/notes.md").write_text("more", encoding="utf-8")
    assert ids(planned(stage, "--changed-since", "HEAD")) == ["always"]
    (stage.folder / "src/cart/new file.py").write_text("new", encoding="utf-8")
    assert ids(planned(stage, "--changed-since", "HEAD")) == ["cart", "always"]
    (stage.folder / "src/search/s.py").rename(stage.folder / "elsewhere.py")
    plan = planned(stage, "--changed-since", "HEAD")
    assert ids(plan) == ["cart", "search", "login", "always"]
    assert plan["not_planned"] == []


def test_a_ref_that_git_does_not_know_is_told_with_the_way_out(stage: Stage, tmp_path: Path) -> None:
    repository(stage)
    ended = stage.run("plan", "--changed-since", "develop")
    assert ended.code == 2, ended
    assert "--changed-since develop: git knows no such commit" in ended.err
    assert "origin/develop" in ended.err
    assert stage.run("plan", "--changed-since", "--output").code == 2
    committed(stage, "x")
    git(stage.folder, "clone", "-q", "--depth", "1", f"file://{stage.folder}", str(tmp_path / "shallow"))
    stage.folder = tmp_path / "shallow"
    shallow = stage.run("plan", "--changed-since", "origin/main")
    assert shallow.code == 2, shallow
    assert "this clone is shallow" in shallow.err
    assert "fetch-depth: 0" in shallow.err


def test_without_a_repository_or_without_git_it_is_an_error(stage: Stage) -> None:
    stage.commit(stage.doksi("cart", paths=["src/**"]))
    ended = stage.run("plan", "--changed-since", "main")
    assert ended.code == 2, ended
    assert "--changed-since main: not in a git repository" in ended.err
    git(stage.folder, "init", "-q")
    ended = stage.run("plan", "--changed-since", "main", PATH="")
    assert ended.code == 2, ended
    assert "--changed-since main: git is not installed" in ended.err
    assert stage.run("validate", PATH="").err == ""


def test_a_glob_that_matches_nothing_is_a_warning(stage: Stage) -> None:
    stage.commit(stage.doksi("cart", paths=["scr/**", "qa-matrix.yml"]))
    git(stage.folder, "init", "-q")
    ended = stage.run("validate")
    assert ended.code == 0, ended
    assert "warning: paths: 'scr/**' matches no file of the repository [W420]" in ended.err
    assert ended.err.count("warning") == 1


# --- shards -----------------------------------------------------------------------------------------------------------


def test_every_row_is_in_exactly_one_shard(stage: Stage) -> None:
    stage.commit(
        *(stage.doksi(f"e{n}") for n in range(7)),
        stage.certyn("smoke", needs=["e3"], estimate=5),
        gate={"min_tests": 4},
    )
    plans = [planned(stage, "--shard", f"{n}/3") for n in (1, 2, 3)]
    rows = [ids(plan) for plan in plans]
    assert sorted(row for part in rows for row in part) == sorted([f"e{n}" for n in range(7)] + ["smoke"])
    assert sorted(map(len, rows)) == [2, 3, 3]
    assert any({"smoke", "e3"} <= set(part) for part in rows)
    assert [plan["shard"] for plan in plans] == ["1/3", "2/3", "3/3"]
    assert len({plan["partition"] for plan in plans}) == 1
    assert all((plan["shard_min_tests"], plan["gate"]["min_tests"]) == (1, 4) for plan in plans)
    whole = planned(stage)
    assert (whole["shard"], whole["shard_min_tests"], whole["gate"]["min_tests"]) == (None, None, 4)


def test_a_shard_gets_its_part_of_a_rate(stage: Stage) -> None:
    stage.commit(
        *(stage.certyn(f"e{n}") for n in range(40)),
        vendors={"certyn": {"project": "shop", "rate": {"reads": "60/min", "creates": "3/min"}}},
    )
    rates = planned(stage, "--shard", "1/4")["vendors"]["certyn"]
    assert (rates["reads"], rates["creates"]) == ({"count": 15, "per_s": 60.0}, {"count": 1, "per_s": 80.0})


def test_an_empty_shard_of_a_full_matrix_is_green_and_says_so(stage: Stage) -> None:
    stage.commit(stage.doksi("login"), stage.doksi("cart"))
    ended = stage.apply("--shard", "3/3")
    assert ended.code == 0, ended
    assert ended.last == "qarunner: exit 0: no tests: shard 3/3 is empty"
    assert "warning: shard 3/3 is empty: 2 chosen entries in 3 shards" in ended.err
    assert (stage.report()["shard"], stage.report()["entries"]) == ("3/3", [])
    assert stage.sent() == []
    assert stage.run("apply", "--shard", "3/3", "--select", "nothing").code == 3


def test_a_shard_in_which_nothing_gates_leaves_the_gate_to_the_others(stage: Stage) -> None:
    stage.commit(stage.doksi("free", allow_failure=True), stage.doksi("gating"))
    codes = {
        tuple(ids(planned(stage, "--shard", f"{n}/2"))): stage.run(
            "apply", "--poll-interval", "20ms", "--shard", f"{n}/2"
        )
        for n in (1, 2)
    }
    assert {rows: ended.code for rows, ended in codes.items()} == {("free",): 0, ("gating",): 0}
    stage.commit(stage.doksi("free", allow_failure=True), stage.doksi("other", allow_failure=True))
    assert stage.run("apply", "--poll-interval", "20ms", "--shard", "1/2").code == 3


def test_bad_shards_and_budgets_of_all_shards(stage: Stage) -> None:
    stage.commit(stage.doksi("login"), stage.doksi("cart"), budget={"max_tests": 1})
    for shard in ("0/2", "3/2", "half"):
        ended = stage.run("plan", "--shard", shard)
        assert ended.code == 2, ended
        assert f"--shard {shard}: " in ended.err
    assert stage.run("plan", "--shard", "1/2").code == 6


def test_the_command_lines_limit_is_for_what_this_process_starts(stage: Stage) -> None:
    stage.commit(stage.doksi("login"), stage.doksi("cart"), stage.doksi("search"))
    assert stage.run("plan", "--max-tests", "2").code == 6
    assert stage.run("plan", "--max-tests", "2", "--shard", "1/2").code == 0
    assert stage.run("plan", "--max-tests", "1", "--shard", "1/2").code == 6
    assert stage.run("plan", "--max-tests", "1", "--select", "login").code == 0


def test_shards_are_joined_into_one_gate(stage: Stage) -> None:
    stage.commit(*(stage.doksi(f"e{n}") for n in range(5)), gate={"min_tests": 5})
    for number in (1, 2):
        ended = stage.run("apply", "--shard", f"{number}/2", "--run-id", f"s{number}", "--poll-interval", "20ms")
        assert ended.code == 0, ended
        assert "gate.min_tests of 5 is for all 2 shards together" in ended.err
    joined = stage.run("report", "--merge", "s1", "s2")
    assert joined.code == 0, joined
    assert [entry["id"] for entry in json.loads(joined.out)["entries"]] == [f"e{n}" for n in range(5)]
    assert stage.run("report", "--merge", "s1").code == 8
    stage.commit(*(stage.doksi(f"e{n}") for n in range(5)), gate={"min_tests": 6})
    for number in (1, 2):
        stage.run("apply", "--shard", f"{number}/2", "--run-id", f"t{number}", "--poll-interval", "20ms")
    assert stage.run("report", "--merge", "t1", "t2").code == 3


# --- running again ----------------------------------------------------------------------------------------------------


def test_only_what_did_not_pass_runs_again(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"cart": ["failed", "passed"], "gone": "failed"}})
    entries = [
        stage.doksi("login"),
        stage.doksi("cart", needs=["login"]),
        stage.certyn("after", needs=["cart", "login"]),
    ]
    stage.commit(*entries, stage.doksi("gone"))
    assert stage.apply().code == 1
    assert stage.verdicts() == {"login": "passed", "cart": "failed", "after": "skipped", "gone": "failed"}
    stage.commit(*entries)
    ended = stage.run("apply", "--rerun-failed", "r1", "--run-id", "r2", "--poll-interval", "20ms")
    assert ended.code == 0, ended
    assert "warning: gone did not pass in run r1, and is not in the matrix any more" in ended.err
    assert stage.verdicts("r2") == {"cart": "passed", "after": "passed"}
    assert [test for run in stage.paid("doksi") for test in run] == ["login", "gone", "cart", "cart"]
    again = stage.run("plan", "--rerun-failed", "r2")
    assert again.code == 3, again
    assert "every entry of run r2 passed: there is nothing to run again" in again.err
    assert stage.run("plan", "--rerun-failed", "r1", "--select", "login").code == 3


def test_the_command_that_comes_next_is_typed_as_it_is(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"cart": ["failed", "passed"]}})
    (stage.folder / "shop").mkdir()
    rows = stage.doksi("login"), stage.doksi("cart", url="https://{{ env.PLACE }}/{{ env.TOKEN }}")
    declared = {"PLACE": {}, "TOKEN": {"secret": True}}
    stage.commit(*rows, name="shop/qa-matrix.yml", env=declared, profiles={"p": {"select": ["login", "cart"]}})
    words = ("--profile", "p", "--var", "PLACE=shop.example", "--var", "TOKEN=hunter2-hunter2")
    secret = {"QARUNNER_VAR_TOKEN": "hunter2-hunter2"}
    assert stage.apply("shop/qa-matrix.yml", *words, "--allow-secret", "TOKEN@shop.example", **secret).code == 1
    report = json.loads((stage.folder / "shop/.qarunner/runs/r1/report.json").read_text(encoding="utf-8"))
    assert report["next"]["do"] == "rerun"
    assert "hunter2" not in report["next"]["command"]
    program, *typed = shlex.split(report["next"]["command"])
    ended = stage.run(*typed, "--run-id", "r2", "--poll-interval", "20ms", **secret)
    assert (program, ended.code) == ("qarunner", 0), ended
    assert [test for run in stage.paid("doksi") for test in run] == ["login", "cart", "cart"]


def test_the_command_that_comes_next_keeps_what_a_stored_plan_was_chosen_with(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"cart": ["failed", "failed", "passed"]}})
    (stage.folder / "shop").mkdir()
    rows = stage.doksi("login"), stage.doksi("cart", url="https://{{ env.PLACE }}"), stage.doksi("other")
    chosen = {"select": ["login", "cart"]}
    stage.commit(*rows, name="shop/qa-matrix.yml", env={"PLACE": {}}, profiles={"p": chosen})
    git(stage.folder, "init", "-q", "-b", "main")
    words = ("--profile", "p", "--var", "PLACE=shop.example")
    assert stage.run("plan", "shop/qa-matrix.yml", *words, "--out", "plan.json").code == 0
    assert stage.apply("plan.json").code == 1
    report = json.loads((stage.folder / ".qarunner/runs/r1/report.json").read_text(encoding="utf-8"))
    assert "--profile p --var PLACE=shop.example --rerun-failed r1" in report["next"]["command"]
    ended = stage.run(*shlex.split(report["next"]["command"])[1:], "--run-id", "r2", "--poll-interval", "20ms")
    assert ended.code == 1, ended
    again = json.loads(stage.run("report", "r2").out)
    seen = json.loads(stage.run("watch", "r2", "--output", "json").out)
    assert again["next"] == seen["next"]
    ended = stage.run(*shlex.split(again["next"]["command"])[1:], "--run-id", "r3", "--poll-interval", "20ms")
    assert ended.code == 0, ended
    assert [test for run in stage.paid("doksi") for test in run] == ["login", "cart", "cart", "cart"]


def test_a_stored_plan_leads_to_its_manifest_from_another_folder(
    tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.commit(stage.doksi("login"))
    git(stage.folder, "init", "-q", "-b", "main")
    assert stage.apply().code == 0
    plan = from_json((stage.run_folder() / "plan.json").read_bytes(), path=Path("plan.json"))
    monkeypatch.chdir(stage.folder)
    assert stored_words(plan) == ()
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    (word,) = stored_words(plan, stage.run_folder()) or ()
    assert Path(word).resolve() == (stage.folder / "qa-matrix.yml").resolve()


def test_a_create_that_nobody_decided_about_is_not_paid_for_again_in_silence(begin: Begin) -> None:
    stage = begin(doksi={"faults": [{"on": "POST /runs", "call": 1, "drop": "after"}]})
    stage.commit(stage.doksi("login"))
    assert stage.apply().code == 8
    said = "run r1 may have started doksi-1 at the vendor, and no decision is recorded"
    assert said in stage.run("plan", "--rerun-failed", "r1").err
    assert stage.resume("r1", "--drop", "login").code == 8
    assert said not in stage.run("plan", "--rerun-failed", "r1").err


def test_a_run_that_nobody_wrote_down_cannot_be_run_again(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    ended = stage.run("apply", "--rerun-failed", "r9")
    assert ended.code == 2, ended
    assert "no run r9" in ended.err
    assert stage.sent() == []


def test_a_rehearsal_satisfies_nothing_real(begin: Begin) -> None:
    stage = begin()
    stage.commit(stage.doksi("login"), stage.doksi("cart", needs=["login"]))
    scenario = stage.folder / "scenario.yml"
    scenario.write_text(json.dumps({"speed": 50, "doksi": {"tests": {"cart": "failed"}}}), encoding="utf-8")
    assert stage.apply("--rehearse", "--scenario", str(scenario)).code == 1
    refused = stage.run("apply", "--rerun-failed", "r1")
    assert refused.code == 2, refused
    assert "was a rehearsal" in refused.err
    again = stage.run("apply", "--rerun-failed", "r1", "--rehearse", "--poll-interval", "20ms", "--run-id", "r2")
    assert again.code == 0, again
    assert stage.sent() == []
