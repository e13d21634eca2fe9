"""The compiler: rows → jobs, resources and pacing, without a process or a file."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from qarunner.diagnostics import Place
from qarunner.entry import Gate, Platform, Report
from qarunner.manifest.expand import expand
from qarunner.manifest.load import entry_of
from qarunner.plan.compile import runs_of, vendor_plan
from qarunner.plan.guard import AdapterBug
from qarunner.plan.model import Cost, NotPlanned, Rate, Sharding, from_json, seal, to_json
from qarunner.vendors.api import Complaint, Pacing, ResourceKind
from tests.matrices import manifest, only, refusal
from tests.plan.acme import ACME, METADATA, TODAY, Acme, build, compiled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qarunner.decode import Json
    from qarunner.plan.model import Plan
    from qarunner.vendors.api import BuildRules

HEAD = "defaults: { vendor: acme, test_ids: [t] }\nmatrix:\n"
THREE = HEAD + "  - { id: a }\n  - { id: b }\n  - { id: c }\n"
APPS = HEAD.replace("vendor: acme,", "vendor: acme, platform: android,")


def jobs(plan: Plan) -> list[tuple[str, tuple[str, ...]]]:
    return [(job.id, job.entries) for job in plan.jobs]


# --- jobs -------------------------------------------------------------------------------------------------------------


def test_what_the_adapter_groups_is_one_create() -> None:
    plan = compiled(THREE, settings={"acme": {"team": "shop", "max_in_flight": 2}})
    assert jobs(plan) == [("acme-1", ("a", "b", "c"))]
    assert plan.jobs[0].request.body == {"entries": ["a", "b", "c"], "settings": {"team": "shop"}, "branch": "main"}


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        ({"b": ("a",)}, [("a", "c"), ("b",)]),
        ({"a": ("b",)}, [("a",), ("b", "c")]),
        ({"b": ("a",), "c": ("a", "b")}, [("a",), ("b",), ("c",)]),
        ({"b": ("a",), "c": ("a",)}, [("a",), ("b", "c")]),
    ],
)
def test_entries_that_wait_for_different_ones_never_share_a_create(
    needs: Mapping[str, tuple[str, ...]], expected: list[tuple[str, ...]]
) -> None:
    plan = compiled(THREE, needs=needs)
    assert jobs(plan) == [(f"acme-{number}", ids) for number, ids in enumerate(expected, 1)]
    assert {entry.id: entry.needs for entry in plan.entries} == {name: needs.get(name, ()) for name in "abc"}


def test_the_order_in_which_needs_are_written_separates_nothing() -> None:
    text = THREE + "  - { id: d }\n"
    plan = compiled(text, needs={"c": ("a", "b"), "d": ("b", "a")})
    assert jobs(plan) == [("acme-1", ("a", "b")), ("acme-2", ("c", "d"))]


def test_jobs_are_numbered_for_each_vendor_in_the_order_of_its_first_entry() -> None:
    text = "matrix:\n" + "".join(
        f"  - {{ id: {name}, vendor: {vendor}, test_ids: [t] }}\n"
        for name, vendor in {"a": "other", "b": "acme", "c": "other", "d": "acme"}.items()
    )
    plan = compiled(text, vendors=(ACME, Acme("other")), needs={"d": ("b",)})
    assert jobs(plan) == [("other-1", ("a", "c")), ("acme-1", ("b",)), ("acme-2", ("d",))]
    assert [job.vendor for job in plan.jobs] == ["other", "acme", "acme"]
    assert list(plan.vendors) == ["other", "acme"]


def test_a_plan_keeps_the_names_of_the_ids_that_it_sends_and_no_others() -> None:
    text = HEAD + "  - { id: a, test_ids: [t1, t2] }\n  - { id: b, test_ids: [t3] }\n"
    plan = compiled(text, names={"acme": {"t1": "Login", "t3": "Search", "t9": "Another"}, "other": {"t2": "No"}})
    assert plan.names == {"acme": {"t1": "Login", "t3": "Search"}}
    assert compiled(text).names == {}


# --- what has to exist first ------------------------------------------------------------------------------------------

BINARY = ("target", "binary")
TWO_PATHS = APPS + "".join(f"  - {{ id: {name}, target: {{ binary: {name}/app.apk }} }}\n" for name in ("a", "b", "c"))


def test_two_paths_of_one_content_are_one_upload() -> None:
    found = {name: build(name, content) for name, content in {"a/app.apk": "1", "b/app.apk": "2"}.items()}
    plan = compiled(TWO_PATHS, builds={**found, "c/app.apk": build("c/app.apk", "1")})
    assert [(each.id, each.vendor, each.kind, each.build) for each in plan.resources] == [
        ("acme-build-1", "acme", ResourceKind.BUILD, found["a/app.apk"]),
        ("acme-build-2", "acme", ResourceKind.BUILD, found["b/app.apk"]),
    ]
    assert plan.jobs[0].uses == {"a/app.apk": "acme-build-1", "b/app.apk": "acme-build-2", "c/app.apk": "acme-build-1"}


def test_one_content_for_two_vendors_is_uploaded_to_both() -> None:
    text = TWO_PATHS.replace("{ id: b,", "{ id: b, vendor: other,")
    found = {f"{name}/app.apk": build(f"{name}/app.apk", "1") for name in "abc"}
    plan = compiled(text, vendors=(ACME, Acme("other")), builds=found)
    assert [(each.id, each.vendor) for each in plan.resources] == [
        ("acme-build-1", "acme"),
        ("other-build-1", "other"),
    ]
    assert [job.uses for job in plan.jobs] == [
        {"a/app.apk": "acme-build-1", "c/app.apk": "acme-build-1"},
        {"b/app.apk": "other-build-1"},
    ]


def test_equal_environments_are_one_and_counted_apart_from_builds() -> None:
    text = APPS + (
        "  - { id: a, target: { binary: a.apk }, options: { fresh: true, size: 1 } }\n"
        "  - { id: b, options: { fresh: true, size: 2 } }\n"
        "  - { id: c, options: { size: 1, fresh: true } }\n"
    )
    plan = compiled(text, builds={"a.apk": build("a.apk", "1")}, settings={"acme": {"team": "shop"}})
    assert [(each.id, each.kind, each.data) for each in plan.resources] == [
        ("acme-build-1", ResourceKind.BUILD, {"team": "shop"}),
        ("acme-environment-1", ResourceKind.ENVIRONMENT, {"fresh": True, "size": 1}),
        ("acme-environment-2", ResourceKind.ENVIRONMENT, {"fresh": True, "size": 2}),
    ]
    assert [each.build is None for each in plan.resources] == [False, True, True]
    assert plan.jobs[0].uses["env a"] == plan.jobs[0].uses["env c"] == "acme-environment-1"


def test_a_build_is_read_by_the_rules_of_its_platform() -> None:
    measured: list[tuple[str, BuildRules | None]] = []
    text = APPS + (
        "  - { id: a, target: { binary: a.apk } }\n"
        "  - { id: b }\n"
        "  - { id: c, platform: web, target: { web_url: 'https://x.example' } }\n"
    )
    compiled(text, builds={"a.apk": build("a.apk", "1")}, measured=measured)
    assert measured == [("a.apk", ACME.info.capabilities.builds[Platform.ANDROID])]


@pytest.mark.parametrize(
    ("found", "message", "hint"),
    [
        (Complaint(path=BINARY, message="a.apk: no such file", hint="build it"), "a.apk: no such file", "build it"),
        (build("a.apk", "1", size=1001), "a.apk: 1001 bytes, at most 1000 bytes are taken", None),
        (build("a.zip", "1"), "a.zip: not a build that this vendor takes", "it takes .apk"),
    ],
)
def test_builds_that_cannot_be_sent_are_told_at_their_line_all_at_once(
    found: Complaint, message: str, hint: str | None
) -> None:
    text = APPS + "  - { id: a, target: { binary: a.apk } }\n  - { id: b }\n  - { id: c, target: { binary: a.apk } }\n"
    problems = refusal(lambda: compiled(text, builds={"a.apk": found}))
    assert [(str(each.place), each.message, each.hint) for each in problems] == [
        ("qa-matrix.yml:5:32", message, hint),
        ("qa-matrix.yml:7:32", message, hint),
    ]


# --- what the whole plan says -----------------------------------------------------------------------------------------


def test_a_notice_is_told_once_and_secrets_are_sorted() -> None:
    text = THREE.replace("{ id: a }", "{ id: a, labels: [x, y] }").replace("{ id: c }", "{ id: c, labels: [y, z, x] }")
    plan = compiled(text, needs={"c": ("a",)}, secrets=["ZEBRA", "APPLE", "MANGO", "BERRY"])
    assert plan.notices == ("label x moves", "label y moves", "label z moves")
    assert plan.secrets == ("APPLE", "BERRY", "MANGO", "ZEBRA")


def test_a_plan_holds_all_that_an_apply_has_to_know(tmp_path: Path) -> None:
    text = (
        "gate: { min_tests: 3, on_skipped: fail, max_quarantined: 2 }\n"
        "reports: [{ format: junit, path: qa.xml }, { format: json, path: qa.json }]\n"
    ) + THREE
    left_out = NotPlanned(id="d", reason="unchanged", origin=Place(file="qa-matrix.yml", line=9, column=5))
    sharding = Sharding(shard="1/4", count=4, partition="p", min_tests=1)
    plan = compiled(text, not_planned=[left_out], sharding=sharding)
    assert plan.gate == Gate(min_tests=3, on_skipped="fail", max_quarantined=2)
    assert plan.reports == (Report(format="junit", path="qa.xml"), Report(format="json", path="qa.json"))
    assert (plan.name, plan.manifest, plan.tool, plan.metadata) == ("shop", "qa-matrix.yml", "1.2.3", METADATA)
    assert (plan.git, plan.ci) == ({"branch": "main"}, {"name": "local"})
    assert plan.not_planned == (left_out,)
    assert (plan.shard, plan.partition, plan.shard_min_tests, plan.min_tests) == ("1/4", "p", 1, 1)
    assert plan.vendors["acme"].reads == Rate(count=15)
    assert next((entry.id, str(entry.origin)) for entry in plan.entries) == ("a", "qa-matrix.yml:7:5")
    assert from_json(to_json(plan), path=tmp_path) == plan


def test_a_plan_with_a_price_says_what_it_costs_and_what_is_not_in_that() -> None:
    vendors, text = (ACME, Acme("other")), THREE + "  - { id: d, vendor: other }\n"
    settings: dict[str, dict[str, Json]] = {"acme": {"price": {"per_test": "0.10", "per_run": "1", "currency": "EUR"}}}
    plan = compiled(text, vendors=vendors, settings=settings)
    # Three tests of one create; an infrastructure's failure may repeat each, in a run of its own.
    assert plan.cost == Cost(planned=Decimal("1.3"), up_to=Decimal("4.6"), currency="EUR")
    assert plan.notices == ("other has no price: its runs are not in the cost",)
    assert plan == seal(plan)
    assert not compiled(text, vendors=vendors).cost


def test_how_many_runs_entries_take_is_known_before_there_is_a_plan() -> None:
    rows = expand(subject := manifest(THREE + "  - { id: d, vendor: other }\n"))
    entries = [entry_of(subject, row, today=TODAY, needs=("a",) if row.id == "b" else ()) for row in rows]
    assert runs_of(entries, {"acme": ACME, "other": Acme("other")}) == {"acme": 2, "other": 1}


def test_a_plan_of_the_whole_matrix_is_no_shard() -> None:
    plan = compiled("gate: { min_tests: 2 }\n" + THREE)
    assert plan.vendors["acme"].reads == Rate(count=60)
    assert (plan.shard, plan.partition, plan.shard_min_tests, plan.min_tests) == (None, None, None, 2)
    assert (plan.not_planned, plan.reports, plan.resources, plan.notices) == ((), (), (), ())


# --- what a vendor cannot do ------------------------------------------------------------------------------------------


def test_what_a_vendor_cannot_do_is_told_at_its_line_all_at_once() -> None:
    text = THREE.replace("{ id: a }", "{ id: a, tags: [x] }").replace("{ id: c }", "{ id: c, platform: ios }")
    problems = refusal(lambda: compiled(text))
    assert [(str(each.place), each.code, each.hint) for each in problems] == [
        ("qa-matrix.yml:5:14", "E501", "name the tests"),
        ("qa-matrix.yml:7:24", "E501", "use android"),
    ]


def test_what_this_build_cannot_ask_for_is_told_at_its_line_all_at_once() -> None:
    text = THREE.replace("{ id: a }", "{ id: a, test_ids: [t, gone] }").replace(
        "{ id: c }", "{ id: c, test_ids: [gone] }"
    )
    problems = refusal(lambda: compiled(text, settings={"acme": {"team": "shop"}}))
    assert [(str(each.place), each.message, each.hint) for each in problems] == [
        ("qa-matrix.yml:5:28", "shop has no test 'gone' on main", "look again"),
        ("qa-matrix.yml:7:25", "shop has no test 'gone' on main", "look again"),
    ]


def test_braces_in_a_rendered_row_are_text_like_any_other() -> None:
    top = "vars: { x: 1 }\n"
    problem = only(refusal(lambda: compiled(top + HEAD + "  - { id: a, options: { size: '{{ vars.x }}' } }\n")))
    assert (str(problem.place), problem.message) == (
        "qa-matrix.yml:6:31",
        "size: expected a whole number, got '{{ vars.x }}'",
    )


@pytest.mark.parametrize("method", ["check", "check_call", "check_all", "group", "notices", "submit", "resources"])
def test_a_bug_of_an_adapter_is_told_with_its_name_and_method(method: str) -> None:
    with pytest.raises(AdapterBug) as caught:
        compiled(THREE, vendors=[Acme(broken=method)])
    assert str(caught.value) == (f"vendor 'acme': tests.plan.acme.Acme failed in {method}: LookupError: no such field")


def test_what_cannot_stand_together_points_at_all_of_it() -> None:
    text = HEAD + "".join(f"  - {{ id: {entry}, name: same }}\n" for entry in ("a", "b", "c"))
    problem = only(refusal(lambda: compiled(text)))
    assert (str(problem.place), problem.message, problem.hint) == (
        "qa-matrix.yml:5:20",
        "same stands twice",
        "rename one",
    )
    assert [(str(place), words) for place, words in problem.related] == [
        ("qa-matrix.yml:6:20", "as b has it"),
        ("qa-matrix.yml:7:20", "as c has it"),
    ]


# --- pacing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100/h", Rate(count=100, per_s=3600)),
        ("100/min", Rate(count=100, per_s=60)),
        ("100/s", Rate(count=100, per_s=1)),
        ("100 / h", Rate(count=100, per_s=3600)),
        ("1/min", Rate(count=1, per_s=60)),
        ("0/min", Rate(count=1, per_s=60)),
    ],
)
@pytest.mark.parametrize("kind", ["reads", "creates", "all"])
def test_a_rate_means_what_its_unit_says(kind: str, text: str, expected: Rate) -> None:
    found = vendor_plan(ACME.info, {"rate": {kind: text}})
    rates = {"reads": found.reads, "creates": found.creates, "all": found.all}
    documented = {"reads": Rate(count=60), "creates": Rate(count=7), "all": Rate(count=90)}
    assert rates == {**documented, kind: expected}


@pytest.mark.parametrize(
    ("poll", "every", "longest"),
    [
        ({}, 10, 30),
        ({"every": "20s"}, 20, 30),
        ({"every": "1m"}, 60, 60),
        ({"every": "1m", "max": "40s"}, 60, 60),
        ({"max": "5s"}, 10, 10),
        ({"every": "2s", "max": "5s"}, 2, 5),
        ({"max": "2m"}, 10, 120),
    ],
)
def test_the_longest_interval_is_never_below_the_first_one(poll: dict[str, Json], every: float, longest: float) -> None:
    found = vendor_plan(ACME.info, {"poll": poll})
    assert (found.every_s, found.max_s) == (every, longest)
    assert [type(number) for number in (found.every_s, found.max_s)] == [float, float]


def test_what_the_manifest_does_not_say_is_the_vendors() -> None:
    found = vendor_plan(ACME.info, {})
    assert (found.key_env, found.max_in_flight, found.settings) == ("ACME_API_KEY", 5, {})
    own = vendor_plan(ACME.info, {"api_key_env": "OTHER", "max_in_flight": 1, "team": "shop"})
    assert (own.key_env, own.max_in_flight, own.settings) == ("OTHER", 1, {"team": "shop"})


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (1, Rate(count=60)),
        (7, Rate(count=8)),
        (60, Rate(count=1)),
        (61, Rate(count=1, per_s=61)),
        (90, Rate(count=1, per_s=90)),
    ],
)
def test_shards_never_ask_more_often_together_than_one_alone(share: int, expected: Rate) -> None:
    found = vendor_plan(Acme(pacing=Pacing(every_s=1, max_s=1, reads=60)).info, {}, share=share)
    assert found.reads == expected
    assert share * expected.count / expected.per_s <= 1
    assert (found.creates, found.all) == (None, None)


def test_shards_share_a_rate_of_the_manifest_too() -> None:
    found = vendor_plan(ACME.info, {"rate": {"creates": "100/h"}}, share=3)
    assert found.creates == Rate(count=33, per_s=3600)
