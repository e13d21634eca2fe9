"""Prices, through the whole program: what is planned, spent and refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.program.conftest import Begin, Stage

PRICE = {"price": {"per_test": 0.1, "per_run": 0.05, "currency": "EUR"}}
FAILS = {"doksi": {"tests": {"login": "failed"}}}


def test_plan_reports_and_diff_show_what_it_costs(begin: Begin) -> None:
    stage = begin(**FAILS)
    entries = (stage.doksi("login", "login", "logout", retries={"failed": 1, "infra": 0}), stage.certyn("smoke"))
    stage.commit(*entries, name="old.yml", vendors={"doksi": {"price": {"per_test": 0.05, "currency": "EUR"}}})
    stage.commit(*entries, vendors={"doksi": PRICE})
    ended = stage.run("plan", "--out", "plan.json")
    assert "expected duration unknown; 0.25 EUR, up to 0.50 EUR with retries" in ended.out
    assert "cost: 0.25 EUR, up to 0.50 EUR with retries" in ended.out
    assert "note: certyn has no price: its runs are not in the cost" in ended.out
    planned = json.loads((stage.folder / "plan.json").read_text(encoding="utf-8"))
    assert planned["cost"] == {"planned": 0.25, "up_to": 0.5, "currency": "EUR"}
    assert "`cost: 0.25 EUR, up to 0.50 EUR with retries`" in stage.run("plan", "--format", "markdown").out
    ended = stage.run("diff", "old.yml")
    assert "a run costs 0.10 EUR → 0.25 EUR (+0.15 EUR), up to 0.50 EUR with retries" in ended.out
    assert "! each run costs 0.15 EUR more: 0.25 EUR" in ended.out
    ended = stage.apply("plan.json", "--report", "markdown=qa.md", "--report", "html=qa.html")
    assert ended.code == 1, ended
    # The failed test alone ran again, in a run of its own.
    words = "planned 0.25 EUR, up to 0.50 EUR with retries, spent 0.40 EUR"
    assert f"cost: {words}" in ended.out.splitlines()
    assert stage.report()["cost"] == {"planned": 0.25, "up_to": 0.5, "spent": 0.4, "currency": "EUR"}
    assert words in (stage.folder / "qa.md").read_text(encoding="utf-8")
    assert words in (stage.folder / "qa.html").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in stage.run("runs", "--export", "jsonl").out.splitlines()]
    assert [(row["vendor"], row["cost"]) for row in rows] == [("doksi", 0.25), ("certyn", None), ("doksi", 0.15)]


def test_of_a_category_it_is_at_least_so_much_until_its_results_are_there(stage: Stage) -> None:
    stage.commit(stage.certyn("smoke"), vendors={"certyn": {**PRICE, "project": "shop"}})
    assert "cost: at least 0.15 EUR, at least 0.30 EUR with retries" in stage.run("plan").out
    assert stage.apply().code == 0
    report = stage.report()
    tests = report["totals"]["tests"]
    assert report["cost"]["spent"] == round(0.05 + tests * 0.1, 2)
    assert report["cost"]["at_least"] is True


def test_over_a_limit_nothing_is_sent(stage: Stage) -> None:
    stage.commit(stage.doksi("login"), stage.doksi("cart"), vendors={"doksi": PRICE}, budget={"max_cost": "0.25"})
    assert stage.run("plan").code == 0
    for word in ("plan", "apply"):
        ended = stage.run(word, "--max-cost", "0.24")
        assert ended.code == 6, ended
        assert "the plan costs 0.25 EUR, --max-cost allows 0.24 EUR; nothing was sent" in ended.err
    stage.commit(stage.doksi("login"), stage.doksi("cart"), vendors={"doksi": PRICE}, budget={"max_cost": 0.249})
    # Each shard would make a run of its own.
    for words, costs in ((("apply",), "0.25"), (("apply", "--shard", "1/2"), "0.30")):
        ended = stage.run(*words)
        assert ended.code == 6, ended
        assert f"the plan costs {costs} EUR, budget.max_cost allows 0.249 EUR; nothing was sent" in ended.err
    assert stage.sent() == []


def test_a_limit_of_money_without_a_price_is_an_error(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    for words in (("--max-cost", "3"), ("--max-cost", "3 EUR"), ("--max-cost", "-3")):
        ended = stage.run("plan", *words)
        assert ended.code == 2, ended
        assert "--max-cost: " in ended.err
    planned = json.loads(stage.run("plan", "--format", "json").out)
    assert {"cost", "price", "allowance"}.isdisjoint({*planned, *planned["vendors"]["doksi"]})
    assert stage.apply().code == 0
    assert "cost" not in stage.report()


def test_a_budget_that_counts_retries_holds_while_it_runs(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"login": "failed", "cart": "failed"}})
    entries = [stage.doksi(name, retries={"failed": 2, "infra": 0}) for name in ("login", "cart")]
    stage.commit(*entries, vendors={"doksi": PRICE}, budget={"max_cost": 0.5, "count_retries": True})
    assert "; retries end at 0.50 EUR" in stage.run("plan").out
    assert stage.apply().code == 1
    # Of two rounds of retries, one has room.
    assert len(stage.paid("doksi")) == 2
    assert stage.report()["cost"]["spent"] == 0.5
    told = "no new attempt: max_cost leaves no more: 0.50 EUR of 0.50 EUR used or planned, 0.25 EUR more needed"
    assert told in stage.reason("login")
    stage.commit(*entries, budget={"max_tests": 100, "per_vendor": {"doksi": 2}, "count_retries": True})
    assert stage.apply("--run-id", "r2").code == 1
    assert len(stage.paid("doksi")) == 3
    told = "no new attempt: per_vendor of doksi leaves no more: 2 tests of 2 used or planned, 2 more needed"
    assert told in stage.reason("cart", "r2")


def test_shards_say_what_each_may_spend_and_the_joined_report_sums_it(stage: Stage) -> None:
    key = {"QARUNNER_SEAL_KEY": "k" * 40}
    stage.commit(*(stage.doksi(f"e{number}") for number in range(3)), vendors={"doksi": PRICE})
    costs = []
    for number in (1, 2):
        assert "cost of shard" in stage.run("plan", "--shard", f"{number}/2").out
        assert stage.apply("--shard", f"{number}/2", "--run-id", f"s{number}", **key).code == 0
        costs.append(stage.report(f"s{number}")["cost"])
    joined = json.loads(stage.run("report", "--merge", "s1", "s2", **key).out)["cost"]
    assert {name: round(sum(cost[name] for cost in costs), 2) for name in ("planned", "up_to", "spent")} == {
        name: joined[name] for name in ("planned", "up_to", "spent")
    }
    assert joined["spent"] > 0
    alone = stage.run("report", "--merge", "s1", **key)
    assert alone.code == 8, alone
    assert json.loads(alone.out)["cost"] == {**costs[0], "at_least": True}
