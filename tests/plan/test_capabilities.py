"""What a vendor cannot do of a row, at the row's line: the table, the file names of builds, a plugin's own schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.errors import UserError
from qarunner.manifest import codes
from qarunner.manifest.expand import expand
from qarunner.plan.capabilities import (
    Checked,
    check_rows,
    complaints,
    faults_of_options,
    in_table,
    misfit,
    own_settings,
)
from qarunner.plan.guard import AdapterBug, adapter_guard, grouped
from qarunner.secret import placeholder
from qarunner.vendors.api import INVENTORIES, Build, BuildRules, Complaint
from tests.matrices import manifest, only, refusal
from tests.plan.acme import ACME, Acme, compiled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from qarunner.decode import Json
    from qarunner.diagnostics import Diagnostic
    from qarunner.entry import Entry
    from qarunner.vendors.api import Capabilities

ROW: Mapping[str, object] = {"id": "a", "vendor": "acme", "test_ids": ["t"]}


def told(row: Mapping[str, object], vendor: Acme = ACME) -> list[tuple[tuple[str | int, ...], str, str | None]]:
    return [(each.path, each.message, each.hint) for each in in_table(vendor.info, {**ROW, **row})]


def acme(**changes: object) -> Acme:
    """The vendor with other capabilities."""
    vendor = Acme()
    capabilities: Capabilities = replace(vendor.info.capabilities, **changes)
    vendor.info = replace(vendor.info, capabilities=capabilities)
    return vendor


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"platform": "web"},
        {"platform": "web", "target": {"web_url": "https://x.example"}},
        {"platform": "android", "target": {"binary": "a.apk"}},
        {"platform": "{{ vars.platform }}", "target": {"binary": "a.apk"}},
        {"platform": "{% if vars.x %}web{% endif %}"},
        {"target": None, "artifacts": []},
        {"target": "{{ vars.target }}"},
        {"category_ids": ["one"]},
    ],
)
def test_what_a_vendor_offers_is_not_complained_of(row: Mapping[str, object]) -> None:
    assert told(row) == []


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"platform": "ios"}, (("platform",), "acme cannot run ios tests: 'ios' is not offered", "use android")),
        ({"platform": "tv"}, (("platform",), "acme cannot run tv tests: 'tv' is not offered", None)),
        ({"tags": ["x"]}, (("tags",), "acme cannot choose tests by tags: 'tags' is not offered", "name the tests")),
        (
            {"artifacts": [{"type": "authentication"}]},
            (("artifacts",), "acme cannot sign in with an account: 'artifacts' is not offered", None),
        ),
        (
            {"category_ids": ["one", "two", "three"]},
            (
                ("category_ids", 1),
                "acme runs one category at a time: an entry has exactly one, got 3",
                "write an entry or a variant for each",
            ),
        ),
        (
            {"platform": "web", "target": {"binary": "a.apk"}},
            (("target", "binary"), "acme on web cannot take target.binary", "acme on web takes web_url"),
        ),
        (
            {"target": {"web_url": "https://x.example"}},
            (("target", "web_url"), "acme cannot take target.web_url", "acme takes no target"),
        ),
    ],
)
def test_what_a_vendor_does_not_offer_is_told_with_the_way_to_do_it_instead(
    row: Mapping[str, object], expected: tuple[tuple[str | int, ...], str, str | None]
) -> None:
    assert told(row) == [expected]


@pytest.mark.parametrize("kind", SelectionKind)
def test_a_selection_that_is_not_offered_is_named(kind: SelectionKind) -> None:
    words = {
        SelectionKind.TEST_IDS: "run single tests",
        SelectionKind.CATEGORY_IDS: "run categories",
        SelectionKind.TAGS: "choose tests by tags",
    }
    vendor = acme(selections=frozenset(SelectionKind) - {kind}, instead={})
    found = [(each.path, each.message) for each in in_table(vendor.info, {"id": "a", kind: ["x"]})]
    assert found == [((kind,), f"acme cannot {words[kind]}: {str(kind)!r} is not offered")]


def test_several_categories_are_fine_where_they_are_offered() -> None:
    assert told({"category_ids": ["one", "two"]}, acme(several_ids=True)) == []
    assert told({"category_ids": "{{ vars.ids }}"}) == []


def test_an_entry_has_one_test_where_a_vendor_runs_one_at_a_time() -> None:
    ((path, message, _),) = told({"test_ids": ["one", "two"]}, acme(several_tests=False))
    assert (path, message) == (("test_ids", 1), "acme runs one test at a time: an entry has exactly one, got 2")
    assert told({"test_ids": ["one"]}, acme(several_tests=False)) == []


@pytest.mark.parametrize("kind", [SelectionKind.TEST_IDS, SelectionKind.CATEGORY_IDS])
def test_an_adapter_says_whether_ids_may_be_integers(kind: SelectionKind) -> None:
    numbers = acme(integer_ids=True, several_ids=True)
    assert told({"test_ids": ["7"], kind: [1, "{{ vars.id }}"]}, numbers) == []
    wrong = told({"test_ids": ["7"], kind: ["x", -1, "1.5", "⟦secret⟧"]}, numbers)
    assert [path for path, _, _ in wrong] == [(kind, index) for index in range(4)]
    assert wrong[0][1:] == ("'x' is no id of acme: its ids are integers", "write the number that it has there")
    twice = told({"test_ids": ["7"], kind: [7, "8", "007"]}, numbers)
    assert twice == [((kind, 2), "'007' stands here twice", "remove one of the two")]
    assert told({kind: [1]}) == [
        (
            (kind, 0),
            "ids are text here, but YAML reads this as a number",
            "put it in quotes, exactly as it is written",
        )
    ]


def test_names_need_a_selection_that_is_offered_and_an_inventory() -> None:
    asked = acme(instead={SelectionKind.TEST_IDS: "name a category"})
    asked.info = replace(asked.info, inventories=frozenset({INVENTORIES["tests"]}))
    named: Mapping[str, object] = {"id": "a", "vendor": "acme", "tests": ["Checkout *"]}
    assert in_table(asked.info, named) == []
    message = "acme has no inventory that could be asked for names"
    assert in_table(ACME.info, named) == [Complaint(path=("tests",), message=message, hint="write the ids in test_ids")]
    offered = ACME.info.capabilities.selections - {SelectionKind.TEST_IDS}
    asked.info = replace(asked.info, capabilities=replace(asked.info.capabilities, selections=offered))
    message = "acme cannot run single tests: 'tests' is not offered"
    assert in_table(asked.info, named) == [Complaint(path=("tests",), message=message, hint="name a category")]


def test_a_hint_of_the_vendor_comes_before_the_table() -> None:
    vendor = acme(instead={"binary": "upload it first"})
    assert told({"platform": "web", "target": {"binary": "a.apk"}}, vendor) == [
        (("target", "binary"), "acme on web cannot take target.binary", "upload it first")
    ]


def test_all_that_is_offered_is_listed_in_a_fixed_order() -> None:
    offered = frozenset({TargetKind.WEB_URL, TargetKind.ENVIRONMENT, TargetKind.BUNDLE_ID})
    vendor = acme(targets={Platform.WEB: offered, Platform.IOS: offered}, target_required=True)
    assert told({"platform": "web"}, vendor) == [
        ((), "acme needs a target on web", "add target: { bundle_id or environment or web_url: … }")
    ]
    assert told({"platform": "ios", "target": {"binary": "x"}}, vendor) == [
        (
            ("target", "binary"),
            "acme on ios cannot take target.binary",
            "acme on ios takes bundle_id, environment, web_url",
        )
    ]
    assert told({}, vendor) == [((), "acme needs a platform", "add platform: web or ios")]
    assert told({"platform": "web", "target": {"web_url": "https://x.example"}}, vendor) == []


def test_a_target_may_be_required_of_entries_without_a_platform() -> None:
    vendor = acme(targets={None: frozenset({TargetKind.ENVIRONMENT})}, target_required=True)
    assert told({}, vendor) == [((), "acme needs a target", "add target: { environment: … }")]


def test_artifacts_are_taken_where_they_are_offered() -> None:
    assert told({"artifacts": [{"type": "authentication"}]}, acme(artifacts=True)) == []


def test_everything_is_told_at_once() -> None:
    found = told({"platform": "web", "target": {"binary": "a"}, "tags": ["x"], "artifacts": [{}]})
    assert [path for path, _, _ in found] == [("target", "binary"), ("tags",), ("artifacts",)]


# --- the file names of builds -----------------------------------------------------------------------------------------

RULES = BuildRules(endings=(".apk", ".zip"), folders=True)
TAKES = "it takes .apk, .zip, or a folder of split APKs"


def names(binary: object, *, rules: BuildRules = RULES, platform: str = "android") -> list[Complaint]:
    vendor = acme(builds={Platform.ANDROID: rules})
    return complaints(vendor, {**ROW, "platform": platform, "target": {"binary": binary}}, {})


@pytest.mark.parametrize(
    "binary",
    [
        *("a.apk", "A.APK", "out/app.zip", "out/splits", "out.d/splits", "v1.2"),
        *("{{ vars.app }}.ipa", "{% if x %}a{% endif %}.ipa", f"{placeholder('X')}.ipa"),
    ],
)
def test_a_build_that_may_fit_is_not_complained_of(binary: str) -> None:
    assert names(binary) == []


@pytest.mark.parametrize("binary", ["a.ipa", "A.IPA", "a.aab", "a.apks", "a.xapk", "a.apkm", "a.app", "a.tgz", "a.gz"])
def test_a_build_that_cannot_fit_is_told_before_there_is_a_file(binary: str) -> None:
    message = f"{binary}: not a build that this vendor takes"
    assert names(binary) == [Complaint(path=("target", "binary"), message=message, hint=TAKES)]


@pytest.mark.parametrize(("ending", "other"), [(".apk", "a.zip"), (".zip", "a.apk")])
def test_where_folders_are_taken_another_package_is_still_none(ending: str, other: str) -> None:
    (complaint,) = names(other, rules=BuildRules(endings=(ending,), folders=True))
    assert complaint.message == f"{other}: not a build that this vendor takes"


def test_where_no_folders_are_taken_every_name_has_to_end_right() -> None:
    found = names("out/splits", rules=BuildRules(endings=(".apk",)))
    assert [(each.message, each.hint) for each in found] == [
        ("out/splits: not a build that this vendor takes", "it takes .apk")
    ]


def test_where_nothing_is_known_of_builds_nothing_is_complained_of() -> None:
    vendor = acme(builds={})
    row = {**ROW, "platform": "android", "target": {"binary": "a.ipa"}}
    assert complaints(vendor, row, {}) == []
    assert names("a.ipa", platform="{{ vars.platform }}") == []
    assert names(7) == []
    assert complaints(acme(builds={Platform.ANDROID: RULES}), {**ROW, "platform": "android"}, {}) == []


def test_the_adapters_own_words_about_a_build_come_alone() -> None:
    vendor = acme(builds={Platform.ANDROID: RULES})
    row = {**ROW, "platform": "android", "target": {"binary": "a.ipa"}}
    assert [each.message for each in complaints(vendor, {**row, "name": "by hand"}, {})] == ["the adapter's own words"]
    assert [each.message for each in complaints(vendor, {**row, "name": "forbidden"}, {"team": "shop"})] == [
        "shop has no 'forbidden'",
        "a.ipa: not a build that this vendor takes",
    ]


def test_the_adapter_is_not_asked_of_a_row_that_the_table_refuses() -> None:
    found = complaints(Acme(broken="check"), {**ROW, "tags": ["x"]}, {})
    assert [each.path for each in found] == [("tags",)]


def made(filename: str, *, size: int = 10, folder: bool = False) -> Build:
    return Build(path=f"out/{filename}", filename=filename, size=size, sha256="1", folder=folder)


MIB = 2**20
LIMITED = BuildRules(endings=(".apk",), max_bytes=5 * MIB)


@pytest.mark.parametrize(
    ("build", "rules"),
    [
        (made("a.ipa"), None),
        (made("a.apk", size=5 * MIB), LIMITED),
        (made("A.APK"), LIMITED),
        (made("a.apk", size=10**12), BuildRules(endings=(".apk",))),
        (made("splits", folder=True, size=10**12), RULES),
        (made("a.apk", folder=True), RULES),
    ],
)
def test_a_build_that_fits(build: Build, rules: BuildRules | None) -> None:
    assert misfit(build, rules) is None


@pytest.mark.parametrize(
    ("build", "rules", "message", "hint"),
    [
        (
            made("a.apk", folder=True, size=7 * MIB),
            BuildRules(endings=(".apk",), folders=True, max_bytes=5 * MIB),
            "out/a.apk: 7 MiB, at most 5 MiB are taken",
            None,
        ),
        (made("a.ipa"), LIMITED, "out/a.ipa: not a build that this vendor takes", "it takes .apk"),
        (made("splits", folder=True), LIMITED, "out/splits: not a build that this vendor takes", "it takes .apk"),
        (made("splits"), RULES, "out/splits: not a build that this vendor takes", TAKES),
        (made("a.apk", size=7 * MIB), LIMITED, "out/a.apk: 7 MiB, at most 5 MiB are taken", None),
        (
            made("a.apk", size=5 * MIB + 1),
            LIMITED,
            "out/a.apk: 5242881 bytes, at most 5242880 bytes are taken",
            None,
        ),
    ],
)
def test_a_build_that_does_not_fit(build: Build, rules: BuildRules, message: str, hint: str | None) -> None:
    assert misfit(build, rules) == Complaint(path=("target", "binary"), message=message, hint=hint)


# --- a whole manifest -------------------------------------------------------------------------------------------------

HEAD = "defaults: { vendor: acme, test_ids: [t] }\nmatrix:\n"


def problems(
    text: str, settings: Mapping[str, Json] | None = None, *, vendor: Acme = ACME, templates: bool = True
) -> list[tuple[str, str, str | None]]:
    return [(str(each.place), each.message, each.hint) for each in found(text, settings, vendor, templates=templates)]


def found(
    text: str, settings: Mapping[str, Json] | None, vendor: Acme, *, templates: bool = True
) -> tuple[Diagnostic, ...]:
    subject = manifest(text)
    of_vendors = {"acme": settings} if settings is not None else {}
    return check_rows(subject, expand(subject), {"acme": vendor}, of_vendors, templates=templates)


def test_every_row_is_checked_and_each_place_is_told_once() -> None:
    text = HEAD + (
        "  - id: a\n    tags: [x]\n    variants: { p: {}, q: { platform: ios } }\n"
        "  - { id: b }\n  - { id: c, platform: web, target: { binary: a.apk } }\n"
    )
    assert problems(text) == [
        ("qa-matrix.yml:6:5", "acme cannot choose tests by tags: 'tags' is not offered", "name the tests"),
        ("qa-matrix.yml:7:39", "acme cannot run ios tests: 'ios' is not offered", "use android"),
        ("qa-matrix.yml:9:39", "acme on web cannot take target.binary", "acme on web takes web_url"),
    ]
    problem = found(text, None, ACME)[0]
    assert (problem.code, problem.source) == ("E501", "    tags: [x]")


def test_two_problems_of_a_row_at_one_place_are_both_told() -> None:
    class Demanding(Acme):
        def check(self, row: Mapping[str, object], settings: Mapping[str, Json]) -> Iterator[Complaint]:
            number = len([row["id"], *settings])
            yield from (Complaint(path=("id",), message=f"{what} {number}") for what in ("one", "one", "two"))

    text = HEAD + "  - { id: a, platform: web, target: { web_url: https://a.example } , axes: { n: [1, 10] } }\n"
    assert [message for _, message, _ in problems(text, vendor=Demanding())] == ["one 1", "two 1"]


def test_the_adapter_sees_its_own_settings_alone() -> None:
    text = "vendors: { acme: { team: shop, max_in_flight: 2 } }\n" + HEAD + "  - { id: a, name: forbidden }\n"
    assert problems(text, {"team": "shop", "max_in_flight": 2}) == [
        ("qa-matrix.yml:6:14", "shop has no 'forbidden'", "rename it")
    ]
    general: dict[str, Json] = {"poll": {}, "rate": {}, "max_in_flight": 1, "api_key_env": "X"}
    general |= {"defaults": {}, "price": {}}
    assert own_settings({**general, "team": "shop"}) == {"team": "shop"}


def test_the_options_of_a_plugin_are_checked_by_its_schema_at_their_line() -> None:
    text = HEAD + "  - id: a\n    options:\n      fresh: 1\n      colour: red\n      size: 2\n"
    assert problems(text) == [
        ("qa-matrix.yml:7:14", "fresh: expected true or false, got the number 1", None),
        ("qa-matrix.yml:8:7", "unknown key 'colour'", "valid: fresh, size, tags"),
    ]


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"minLength": 2}, "x", "size: expected at least 2 characters, got 1"),
        ({"minItems": 3}, ["x", "y"], "size: expected at least 3 items, got 2"),
        ({"minProperties": 2}, {"x": 1}, "size: expected at least 2 keys, got 1"),
        ({"minLength": 1}, "", "size: is empty"),
        ({"maxLength": 2}, "xyz", "size: expected at most 2 characters, got 3"),
        ({"maxProperties": 1}, {"x": 1, "y": 2}, "size: expected at most 1 keys, got 2"),
        ({"minItems": 1}, [], "size: is empty"),
    ],
)
def test_what_is_too_short_or_too_long_is_told_as_such(schema: Mapping[str, Json], value: Json, message: str) -> None:
    vendor = Acme()
    vendor.info = replace(vendor.info, options={"size": schema})
    assert [fault.message for fault in faults_of_options(vendor, {"size": value}, templates=False)] == [message]


def test_an_unknown_setting_of_a_plugin_is_told_at_its_key() -> None:
    text = "vendors: { acme: { colour: red } }\n" + HEAD + "  - { id: a, options: { size: x } }\n"
    assert [(str(each.place), each.code, each.message) for each in found(text, {"colour": "red"}, ACME)] == [
        ("qa-matrix.yml:3:20", codes.UNKNOWN_KEY, "unknown key 'colour'"),
        ("qa-matrix.yml:6:31", codes.WRONG_TYPE, "size: expected a whole number, got 'x'"),
    ]


def test_a_timeout_is_told_at_its_value() -> None:
    assert problems(HEAD + "  - { id: a, timeout: 5h }\n") == [("qa-matrix.yml:5:23", "too long", None)]


def test_options_of_another_shape_are_not_the_plugins_to_check() -> None:
    shapes: list[object] = [None, [], ["x"], "{{ vars.options }}", {}]
    for options in shapes:
        assert faults_of_options(ACME, options, templates=False) == ()


def test_a_plugin_without_options_says_so() -> None:
    vendor = Acme()
    vendor.info = replace(vendor.info, options={})
    assert problems(HEAD + "  - { id: a, options: { size: 1 } }\n", vendor=vendor) == [
        ("qa-matrix.yml:5:25", "unknown key 'size'", "acme has no options")
    ]


def test_where_the_options_are_wrong_the_adapters_check_is_not_asked() -> None:
    text = HEAD + "  - { id: a, options: { fresh: 1 } }\n"
    assert [message for _, message, _ in problems(text, vendor=Acme(broken="check"))] == [
        "fresh: expected true or false, got the number 1"
    ]


def test_the_settings_of_a_plugin_are_checked_by_its_schema_at_their_line() -> None:
    text = (
        "vendors:\n  acme: { team: 7, max_in_flight: 3, poll: { every: 5s } }\n" + HEAD + "  - { id: a, tags: [x] }\n"
    )
    vendor = Acme(broken="check")
    assert problems(text, {"team": 7, "max_in_flight": 3, "poll": {"every": "5s"}}, vendor=vendor) == [
        ("qa-matrix.yml:4:17", "team: expected a text, got the number 7", "put it in quotes"),
        ("qa-matrix.yml:7:14", "acme cannot choose tests by tags: 'tags' is not offered", "name the tests"),
    ]


def test_where_the_settings_are_wrong_the_adapters_check_is_not_asked() -> None:
    text = "vendors: { acme: { team: 7 } }\n" + HEAD + "  - { id: a }\n"
    assert len(problems(text, {"team": 7}, vendor=Acme(broken="check"))) == 1
    with pytest.raises(AdapterBug):
        problems(text, {"team": "shop"}, vendor=Acme(broken="check"))


@pytest.mark.parametrize("value", ["{{ vars.size }}", f"{placeholder('SIZE')}"])
def test_what_is_not_known_yet_is_not_refused(value: str) -> None:
    subject = manifest("vars: { size: 1 }\n" + HEAD + "  - { id: a, options: { size: 1, fresh: 2 } }\n")
    rows = [replace(row, data={**row.data, "options": {"size": value, "fresh": True}}) for row in expand(subject)]
    assert check_rows(subject, rows, {"acme": ACME}, {}) == ()
    rendered = check_rows(subject, rows, {"acme": ACME}, {}, templates=False)
    assert [each.message for each in rendered] == (
        ["size: expected a whole number, got '{{ vars.size }}'"] if "{{" in value else []
    )


@pytest.mark.parametrize("tags", [["{{ vars.a }}", "{{ vars.a }}"], [["{{ vars.a }}"], ["{{ vars.a }}"]]])
def test_two_templates_may_become_different_values(tags: list[object]) -> None:
    assert faults_of_options(ACME, {"tags": tags}, templates=True) == ()
    assert len(faults_of_options(ACME, {"tags": tags}, templates=False)) == 1
    assert len(faults_of_options(ACME, {"tags": [["x"], ["x"]]}, templates=True)) == 1


def test_a_template_inside_hides_no_wrong_container() -> None:
    text = (
        "vars: { size: 1 }\n"
        + HEAD
        + "  - { id: a, options: { size: ['{{ vars.size }}'], tags: ['{{ vars.size }}'] } }\n"
    )
    message = only(found(text, None, ACME)).message
    assert message == "size: expected a whole number, got a list"


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ({"required": ["x"]}, {"y": "{{ vars.y }}"}),
        ({"properties": {}, "additionalProperties": False}, {"y": "{{ vars.y }}"}),
        ({"minProperties": 2}, {"y": "{{ vars.y }}"}),
        ({"maxProperties": 1}, {"y": "{{ vars.y }}", "z": 1}),
        ({"type": "object"}, ["{{ vars.y }}"]),
    ],
)
def test_a_template_inside_hides_no_wrong_keys(rule: Mapping[str, Json], value: Json) -> None:
    vendor = Acme()
    vendor.info = replace(vendor.info, options={"size": rule})
    assert len(faults_of_options(vendor, {"size": value}, templates=True)) == 1
    assert len(faults_of_options(vendor, {"size": value}, templates=False)) == 1


def test_options_that_are_no_json_schema_are_the_adapters_bug() -> None:
    vendor = Acme()
    vendor.info = replace(vendor.info, options={"size": {"type": "whole"}})
    with pytest.raises(
        AdapterBug, match=r"^vendor 'acme': tests\.plan\.acme\.Acme has options that are no JSON Schema"
    ):
        problems(HEAD + "  - { id: a, options: { size: 1 } }\n", vendor=vendor)
    assert problems(HEAD + "  - { id: a }\n", vendor=vendor) == []


def test_settings_that_are_no_json_schema_are_the_adapters_bug() -> None:
    vendor = Acme()
    vendor.info = replace(vendor.info, settings={"team": {"type": "whole"}})
    with pytest.raises(AdapterBug, match="has settings that are no JSON Schema: 'whole' is not valid"):
        problems("vendors: { acme: { team: 7 } }\n" + HEAD + "  - { id: a }\n", {"team": 7}, vendor=vendor)


# --- an adapter's bugs ------------------------------------------------------------------------------------------------


class Groups(Acme):
    """Entries in groups as a test says, by their ids."""

    def __init__(self, *groups: str) -> None:
        super().__init__()
        self.groups = groups

    def group(self, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ...]]:
        of_id = {entry.id: entry for entry in entries}
        return [tuple(of_id.get(name, entries[0]) for name in group) for group in self.groups]


def entries() -> list[Entry]:
    from tests.fictional import entry  # noqa: PLC0415  the engine's helpers, for this one part

    return [entry(name, "acme") for name in "abc"]


@pytest.mark.parametrize("groups", [("abc",), ("a", "b", "c"), ("c", "ba")])
def test_groups_in_which_each_entry_stands_once(groups: tuple[str, ...]) -> None:
    assert ["".join(entry.id for entry in group) for group in grouped(Groups(*groups), entries())] == list(groups)


@pytest.mark.parametrize(
    ("groups", "told_"),
    [
        (("ab",), "entry c is in 0 of its calls"),
        (("ab", "bc"), "entry b is in 2 of its calls"),
        (("a", "bc", "a"), "entry a is in 2 of its calls"),
        (("abc", ""), "a call has no entry, or one that is not in the plan"),
        ((), "entry a is in 0 of its calls"),
    ],
)
def test_groups_that_lose_or_repeat_an_entry_are_the_adapters_bug(groups: tuple[str, ...], told_: str) -> None:
    with pytest.raises(AdapterBug) as caught:
        grouped(Groups(*groups), entries())
    assert str(caught.value) == f"vendor 'acme': tests.plan.test_capabilities.Groups failed in group: {told_}"


def test_who_ends_the_program_is_to_blame_and_a_word_to_the_user_passes() -> None:
    with pytest.raises(AdapterBug, match="failed in submit: SystemExit: 0") as caught, adapter_guard(ACME, "submit"):
        raise SystemExit(0)
    assert isinstance(caught.value.__cause__, SystemExit)
    with pytest.raises(UserError, match=r"^put it right$"), adapter_guard(ACME, "submit"):
        raise UserError("put it right")
    with pytest.raises(KeyboardInterrupt), adapter_guard(ACME, "submit"):
        raise KeyboardInterrupt


# --- rows that were checked before ------------------------------------------------------------------------------------


class Builtin(Acme):
    """A built-in vendor, whose rows the schema has checked."""

    def __init__(self) -> None:
        super().__init__("doksi")


OWN = (
    "defaults: { vendor: doksi, test_ids: [t] }\nmatrix:\n  - { id: a, name: forbidden }\n  - { id: b, timeout: 5h }\n"
)


def test_a_row_that_was_checked_is_checked_again_only_where_something_has_changed() -> None:
    subject, vendors = manifest(OWN), {"doksi": Builtin()}
    first, second = expand(subject)
    settings: Mapping[str, Mapping[str, Json]] = {"doksi": {"team": "shop", "max_in_flight": 2}}

    def messages(before: Checked | None) -> list[str]:
        return [problem.message for problem in check_rows(subject, [first, second], vendors, settings, before=before)]

    both = ["shop has no 'forbidden'", "too long"]
    assert messages(None) == both
    assert messages(Checked([first, second], {"doksi": {"team": "shop", "max_in_flight": 7}})) == []
    assert messages(Checked([first], settings)) == both[1:]
    assert messages(Checked([second], settings)) == both[:1]
    assert messages(Checked([first, second], {"doksi": {"team": "another"}})) == both
    assert messages(Checked([first, second], {})) == both
    assert messages(Checked([replace(first), replace(second)], settings)) == both


def test_a_plugins_rows_are_checked_again() -> None:
    subject = manifest(HEAD + "  - { id: a, timeout: 5h }\n")
    rows = expand(subject)
    assert len(check_rows(subject, rows, {"acme": ACME}, {}, before=Checked(rows, {}))) == 1


def test_a_plan_relies_on_what_was_checked_before() -> None:
    assert len(refusal(lambda: compiled(OWN, vendors=(Builtin(),)))) == 2
    assert compiled(OWN, vendors=(Builtin(),), are_checked=True).entries
