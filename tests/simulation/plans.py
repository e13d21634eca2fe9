"""Small plans by chance, compiled as a manifest is; many worlds share one, since compiling costs more than living."""

from __future__ import annotations

import json
import random
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from qarunner.emulator.world import uuid_of
from qarunner.manifest.expand import expand
from qarunner.manifest.load import entry_of, load
from qarunner.manifest.templates.env import Values
from qarunner.manifest.templates.evaluate import render
from qarunner.plan.compile import compile_plan
from qarunner.vendors import registry
from qarunner.vendors.api import Build, Metadata

if TYPE_CHECKING:
    from qarunner.decode import Json
    from qarunner.entry import Entry
    from qarunner.plan.model import Plan

TODAY = date(2026, 9, 21)
VENDORS = ("doksi", "docketqa", "testerarmy", "certyn")
SETTINGS: dict[str, dict[str, Json]] = {"certyn": {"project": "my-app"}}


@lru_cache(maxsize=256)
def plan_of(shape: int) -> Plan:
    """The plan of a number; the same number gives the same plan."""
    dice = random.Random(f"plan {shape}")  # noqa: S311  a simulation's dice
    return compiled(*_manifest(dice))


@lru_cache(maxsize=256)
def lenient_plan_of(shape: int) -> Plan:
    """The same plan, but that nothing in it fails a build."""
    vendors, data, needs = _manifest(random.Random(f"plan {shape}"))  # noqa: S311  as above
    rows = data["matrix"]
    assert isinstance(rows, list)
    lenient: list[Json] = [{**row, "allow_failure": True} for row in rows if isinstance(row, dict)]
    return compiled(vendors, {**data, "matrix": lenient, "gate": {"min_tests": 0}}, needs)


def compiled(vendors: dict[str, dict[str, Json]], data: dict[str, Json], needs: dict[str, tuple[str, ...]]) -> Plan:
    """The plan of a manifest: its vendors' settings, the rest of it, and what its rows need."""
    manifest = load("qa-matrix.yml", json.dumps({**data, "vendors": vendors}))
    rows = render(manifest, expand(manifest), Values()).rows
    return compile_plan(
        manifest=manifest,
        rows=rows,
        entries=[entry_of(manifest, row, today=TODAY, needs=needs.get(row.id, ())) for row in rows],
        settings=vendors,
        vendors={name: registry.get(name) for name in VENDORS},
        secrets=(),
        metadata=Metadata(),
        git={},
        ci={},
        tool="simulation",
        measure=lambda path, _rules: Build(path=path, filename=path, size=3, sha256=path),
    )


def plan_from(*rows: dict[str, Json], gate: dict[str, Json] | None = None) -> Plan:
    """A plan that a test spells out: entries are `e0`, `e1`, … in their order."""
    numbered: list[Json] = [{"id": f"e{number}", **row} for number, row in enumerate(rows)]
    needs = {
        f"e{n}": tuple(map(str, found)) for n, row in enumerate(rows) if isinstance(found := row.get("needs"), list)
    }
    settings = {str(row["vendor"]): SETTINGS.get(str(row["vendor"]), {}) for row in rows}
    data: dict[str, Json] = {"version": 1, "name": "told", "matrix": numbered, "gate": gate or {}}
    return compiled(settings, data, needs)


def _manifest(
    dice: random.Random,
) -> tuple[dict[str, dict[str, Json]], dict[str, Json], dict[str, tuple[str, ...]]]:
    """The settings of its vendors, the rest of it, and what its rows need."""
    rows: list[Json] = []
    needs: dict[str, tuple[str, ...]] = {}
    vendors = dice.sample(VENDORS, k=dice.choice([1, 2, 2, 3]))
    for number in range(dice.choice([1, 2, 2, 3, 4])):
        row = _row(dice, number, dice.choice(vendors))
        if rows and dice.random() < 0.25:
            needed = f"e{dice.randrange(number)}"
            row["needs"] = [needed]
            needs[str(row["id"])] = (needed,)
        rows.append(row)
    settings = {name: {**SETTINGS.get(name, {}), "poll": {"every": "10s", "max": "20s"}} for name in vendors}
    return settings, {"version": 1, "name": "simulated", "matrix": rows, "gate": _gate(dice)}, needs


def _gate(dice: random.Random) -> dict[str, Json]:
    gate: dict[str, Json] = {"min_tests": dice.choice([1, 1, 1, 2, 3])}
    if dice.random() < 0.2:
        gate["on_skipped"] = dice.choice(["pass", "fail"])
    return gate


def _row(dice: random.Random, number: int, vendor: str) -> dict[str, Json]:
    row: dict[str, Json] = {
        "id": f"e{number}",
        "vendor": vendor,
        "timeout": dice.choice(["25s", "60s", "10m", "10m", "1h"]),
        "retries": {"failed": dice.choice([0, 0, 0, 1, 2]), "infra": dice.choice([0, 1])},
    }
    if dice.random() < 0.15:
        row["allow_failure"] = True
    return row | {"doksi": _doksi, "docketqa": _docketqa, "testerarmy": _testerarmy, "certyn": _certyn}[vendor](
        dice, number
    )


def _doksi(dice: random.Random, number: int) -> dict[str, Json]:
    tests: dict[str, Json] = {"test_ids": [f"t{number}{letter}" for letter in "abc"[: dice.choice([1, 1, 2])]]}
    if dice.random() < 0.2:
        return {**tests, "platform": "android", "target": {"binary": "app.apk"}}
    return {**tests, "platform": "web", "target": {"web_url": "https://shop.example"}}


def _docketqa(dice: random.Random, number: int) -> dict[str, Json]:
    if dice.random() < 0.3:
        return {"category_ids": [str(number + 1)]}
    return {"test_ids": [str(n) for n in range(10 * number + 10, 10 * number + 10 + dice.choice([1, 1, 2]))]}


def _testerarmy(dice: random.Random, number: int) -> dict[str, Json]:
    if dice.random() < 0.4:
        return {"category_ids": [group(number)]}
    return {"test_ids": [uuid_of("test", number)]}


def _certyn(dice: random.Random, number: int) -> dict[str, Json]:
    row: dict[str, Json] = {"category_ids": [f"process-{number}"], "platform": "web"}
    if dice.random() < 0.5:
        row["target"] = {"web_url": f"https://preview{number}.example"}
    return row


def group(number: int) -> str:
    return uuid_of("group", number)


def members(number: int) -> tuple[str, ...]:
    """The tests of an entry's TesterArmy group."""
    return tuple(uuid_of("member", number, letter) for letter in "xyz")


def suite(number: int) -> tuple[int, ...]:
    """The tests of an entry's DocketQA suite."""
    return (1000 + 10 * number, 1001 + 10 * number, 1002 + 10 * number)


def own_tests(entry: Entry) -> tuple[str, ...]:
    """Every test that a vendor may run for an entry."""
    return tests_of(entry.vendor, int(entry.id.removeprefix("e")))


@lru_cache
def tests_of(vendor: str, number: int) -> tuple[str, ...]:
    """Every id that a vendor's ledger may have of an entry: no other entry has one of them."""
    match vendor:
        case "doksi":
            return tuple(f"t{number}{letter}" for letter in "abc")
        case "docketqa":
            return tuple(str(n) for n in (*range(10 * number + 10, 10 * number + 12), *suite(number)))
        case "testerarmy":
            return (uuid_of("test", number), *members(number))
        case _:
            return (f"process-{number}",)
