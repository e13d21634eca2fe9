"""What an organisation gives to all its manifests, through the whole program."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.program.conftest import Begin, Stage

FAILS = {"doksi": {"tests": {"old": "failed"}}}


def day(days: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


def base(stage: Stage, **top: object) -> Path:
    """Outside of the folder of the manifest."""
    path = stage.folder.parent / "org.yml"
    path.write_text(json.dumps(top), encoding="utf-8")
    return path


def test_a_shared_list_of_quarantines_lies_below_what_entries_say(begin: Begin) -> None:
    stage = begin(**FAILS)
    quarantine = {"reason": "rewritten", "owner": "team-core", "until": day(30)}
    path = base(stage, entries={"label:legacy": {"quarantine": quarantine}}, defaults={"timeout": "7m"})
    stage.commit(stage.doksi("old", labels=["legacy"]), stage.doksi("cart"), vendors={"doksi": {"max_in_flight": 2}})
    assert stage.apply().code == 1
    ended = stage.apply("--run-id", "r2", "--base", str(path))
    assert ended.code == 0, ended
    assert stage.report("r2")["entries"][0]["quarantine"] == quarantine
    shown = stage.run("explain", "old", QARUNNER_BASE=str(path)).out
    assert "base, label:legacy" in shown
    assert f"{path.as_posix()}:1:" in shown
    assert "timeout" in shown
    stage.commit(stage.doksi("old", labels=["legacy"], quarantine=None), stage.doksi("cart"))
    assert stage.apply("--run-id", "r3", "--base", str(path)).code == 1


@pytest.mark.parametrize(
    ("price", "message"),
    [
        ({"per_test": "4.99", "per_run": 1, "currency": "EUR"}, "per_test of doksi is 4.99"),
        ({"per_test": "{{ vars.cheap }}", "currency": "EUR"}, "per_test of doksi is {{ vars.cheap }}"),
        (None, "per_test of doksi is 0"),
        ({"per_test": 5, "per_run": "2.5", "currency": "EUR"}, ""),
    ],
)
def test_a_price_below_that_of_the_base_is_no_way_around_its_limit(stage: Stage, price: object, message: str) -> None:
    usual = {"doksi": {"price": {"per_test": 5, "per_run": 1, "currency": "EUR"}}}
    path = base(stage, limits={"max_cost": 100}, vendors=usual)
    stage.commit(stage.doksi("login"), vendors={"doksi": {"price": price}}, vars={"cheap": 1})
    for word in ("validate", "plan"):
        ended = stage.run(word, "--base", str(path))
        assert (ended.code, message in ended.err) == (2 if message else 0, True), ended


@pytest.mark.parametrize(
    "words", [["validate"], ["plan"], ["explain", "a"], ["diff", "qa-matrix.yml", "--file", "b.yml"]]
)
def test_no_expression_and_no_command_is_a_way_around_the_days_of_a_quarantine(stage: Stage, words: list[str]) -> None:
    away = {"reason": "r", "owner": "o", "until": day(6)}
    path = base(stage, limits={"quarantine_days": 5}, entries={"a": {"quarantine": "{{ vars.away }}"}})
    for name in ("qa-matrix.yml", "b.yml"):
        entries = (
            stage.doksi("a"),
            stage.doksi("b", quarantine="{{ vars.away if git.branch == 'x' else false }}"),
            stage.doksi("c", quarantine=away),
        )
        stage.commit(*entries, vars={"away": away}, name=name)
    ended = stage.run(*words, "--base", str(path))
    assert ended.code == 2, ended
    assert ended.err.count("is 6 days, and the base allows 5 [E444]") == 3, ended
    assert "no template reads" not in ended.err


@pytest.mark.parametrize("word", ["validate", "plan", "apply"])
def test_a_manifest_can_only_tighten_limits(stage: Stage, word: str) -> None:
    limits = {"max_tests": 3, "max_cost": 1, "vendors": ["doksi"], "hosts": ["*.example"], "quarantine_days": 5}
    price = {"price": {"per_test": "0.10", "currency": "EUR"}}
    path = base(stage, limits=limits, vendors={"doksi": price})
    away = {"reason": "r", "owner": "o", "until": day(6)}
    stage.commit(
        stage.doksi("login", url="https://user@elsewhere.test", quarantine=away),
        stage.certyn("smoke"),
        budget={"max_tests": 4, "max_cost": "1.01"},
    )
    ended = stage.run(word, "--base", str(path))
    assert ended.code == 2, ended
    messages = [line.partition("error: ")[2] for line in ended.err.splitlines() if ": error: " in line]
    assert sorted(messages) == [
        "budget: max_cost is 1.01, and the base allows 1 [E444]",
        "budget: max_tests is 4, and the base allows 3 [E444]",
        f"quarantine: until {day(6)} is 6 days, and the base allows 5 [E444]",
        "the base does not allow elsewhere.test [E444]",
        "vendor: the base does not allow certyn [E444]",
    ]
    assert ended.err.count(f"{path.as_posix()}:1:") == 5
    assert stage.sent() == []


def test_a_host_that_only_the_build_knows_is_checked_before_anything_is_sent(stage: Stage) -> None:
    path = base(stage, limits={"hosts": ["shop.example"]})
    stage.commit(stage.doksi("login", url="https://{{ env.PLACE }}/x"), env={"PLACE": {}})
    assert stage.run("validate", "--base", str(path)).code == 0
    for place in ("evil.test", "evil.test\\@shop.example", "shop.example.evil.test", "{{x}}@evil.test"):
        ended = stage.apply("--base", str(path), "--var", f"PLACE={place}")
        assert ended.code == 2, ended
    assert stage.sent() == []
    stage.commit(stage.doksi("login", url="{{ env.PLACE }}"), env={"PLACE": {"secret": True}})
    secret = {
        "QARUNNER_VAR_PLACE": "https://shop.example/?k=3141592653",
        "QARUNNER_ALLOW_SECRETS": "PLACE@shop.example",
    }
    assert stage.apply("--base", str(path), **secret).code == 2
    assert stage.sent() == []
    stage.commit(stage.doksi("login", url="https://{{ env.PLACE }}/x"), env={"PLACE": {}})
    assert stage.apply("--base", str(path), "--var", "PLACE=shop.example").code == 0


def test_limits_of_amounts_hold_beside_the_budget(stage: Stage) -> None:
    path = base(
        stage,
        limits={"max_tests": 1, "max_cost": 0.15},
        vendors={"doksi": {"price": {"per_test": 0.1, "currency": "EUR"}}},
    )
    stage.commit(stage.doksi("login"), stage.doksi("cart"))
    ended = stage.run("apply", "--base", str(path))
    assert ended.code == 6, ended
    assert "the plan runs 2 tests, limits.max_tests allows 1" in ended.err
    assert "the plan costs 0.20 EUR, limits.max_cost allows 0.15 EUR" in ended.err
    assert stage.sent() == []


def test_what_is_wrong_with_a_base_stands_at_its_lines(stage: Stage) -> None:
    stage.commit(stage.doksi("login", timeout="soon"), vendors={"doksi": {"price": {"per_run": 1, "currency": "USD"}}})
    path = stage.folder.parent / "org.yml"
    path.write_text(
        "include: [qa/*.yml]\nmatrix: [{ id: a }]\nprofiles: {}\nlimits: { hosts: [https://x] }\n"
        "entries:\n  'colour:red': { timeout: 5m }\n",
        encoding="utf-8",
    )
    ended = stage.run("validate", "--base", str(path))
    assert ended.code == 2, ended
    for line in (1, 2, 3, 4, 6):
        assert f"{path.as_posix()}:{line}:" in ended.err, line
    assert "fragments belong into the manifests" in ended.err
    assert "timeout: expected a duration" in ended.err
    price = {"doksi": {"price": {"per_test": 1, "currency": "EUR"}}}
    path = base(stage, vendors=price)
    stage.commit(stage.doksi("login"), vendors={"doksi": {"price": {"per_run": 1, "currency": "USD"}}})
    ended = stage.run("validate", "--base", str(path))
    assert ended.err.count("a manifest has one currency: this is USD, and EUR stands before") == 1
    assert f"{path.as_posix()}:1:" in ended.err
    for word in ("nowhere.yml", "."):
        ended = stage.run("plan", "--base", word)
        assert ended.code == 2, ended
        assert f"--base {word}: cannot be read" in ended.err


def test_what_a_base_says_is_held_to_the_rules_of_a_manifest(stage: Stage) -> None:
    """Its key is no variable of a template, and nobody forges a placeholder."""
    path = base(stage, vendors={"doksi": {"api_key_env": "QA_DOKSI_KEY"}}, defaults={"name": "\u27e6x\u27e7"})
    stage.commit(stage.doksi("login"), env={"QA_DOKSI_KEY": {"secret": True}})
    ended = stage.run("validate", "--base", str(path))
    assert ended.code == 2, ended
    assert "[E321]" in ended.err
    assert "are reserved for the placeholders of secrets" in ended.err
    path = base(stage, vendors={"doksi": {"api_key_env": "OTHER_KEY"}})
    stage.commit(stage.doksi("login"))
    ended = stage.run("plan", "--base", str(path))
    assert ended.code == 2, ended
    assert f"{path.as_posix()}:1:" in ended.err
    assert "[E331]" in ended.err


def test_thousands_of_expressions_over_thousands_of_rows_are_too_much(stage: Stage) -> None:
    """4,000 over 4,000 had no end after 100 s."""
    stage.commit(*(stage.doksi(f"e{number}") for number in range(1_001)))
    words = ("validate", "--base")
    path = base(stage, entries={f"e{index}": {"timeout": "7m"} for index in range(1_998)})
    assert stage.run(*words, str(path)).code == 0
    path = base(stage, entries={f"e{index}": {"timeout": "7m"} for index in range(1_999)})
    refused = stage.run(*words, str(path))
    assert refused.code == 2, refused
    assert "entries: 1999 expressions would be looked up for 1001 rows [E434]" in refused.err
    assert "at most 2,000,000 pairs are taken" in refused.err


def test_a_saved_plan_keeps_to_its_base(stage: Stage) -> None:
    path = base(stage, defaults={"timeout": "7m"})
    stage.commit(stage.doksi("login"))
    words = ("--base", str(path))
    assert stage.run("plan", "--out", "plan.json", *words).code == 0
    assert stage.run("apply", "plan.json").code == 5
    base(stage, defaults={"timeout": "8m"})
    ended = stage.run("apply", "plan.json", *words)
    assert ended.code == 5, ended
    assert "--base changed: 1 row changed (login)" in ended.err
    base(stage, defaults={"timeout": "7m"})
    assert stage.apply("plan.json", *words).code == 0


def test_diff_compares_the_bases_of_both_sides(stage: Stage) -> None:
    stage.commit(stage.doksi("login"), name="old.yml")
    stage.commit(stage.doksi("login"))
    path = base(stage, defaults={"timeout": "7m"})
    assert "all 1 rows are as before" in stage.run("diff", "old.yml", "--base", str(path)).out
    own = stage.folder / "org.yml"
    own.write_text("limits: { max_tests: 3 }\ndefaults: { timeout: 7m }\n", encoding="utf-8")
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example")
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=stage.folder, check=True)
    own.write_text("limits: { max_tests: 30 }\ndefaults: { timeout: 8m }\n", encoding="utf-8")
    shown = stage.run("diff", "HEAD", QARUNNER_BASE="org.yml").out
    assert "! base.limits.max_tests 3 → 30" in shown
    assert "~ base.defaults.timeout 7m → 8m" in shown
