from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import jsonschema
import pytest
from msgspec.structs import replace

from qarunner.diagnostics import Place
from qarunner.entry import Entry, Platform, Policy, Selection, SelectionKind, Target, TargetKind
from qarunner.vendors.api import Call, Finished, RemoteRun, Reply, Running, Verdict
from qarunner.vendors.doksi.adapter import VENDOR
from qarunner.vendors.doksi.grouping import address, alike
from qarunner.vendors.doksi.info import INFO
from tests.amount import no_long_time
from tests.matrices import objections

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.decode import Json
    from qarunner.vendors.api import Outcome

URL = "https://staging.example.com"


def web(name: str, *tests: str, url: str = URL) -> Entry:
    return Entry(
        id=name,
        vendor="doksi",
        policy=Policy(timeout_s=60),
        origin=Place(file="qa-matrix.yml", line=1, column=1),
        platform=Platform.WEB,
        target=Target(kind=TargetKind.WEB_URL, value=url),
        selection=Selection(kind=SelectionKind.TEST_IDS, ids=tests),
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (URL, URL + "/"),
        (URL, "HTTPS://STAGING.example.com:443"),
        (URL, "https://staging.example.com./#/route"),
        (URL, " https://user:password@staging.example.com?\n"),
        ("http://a.example:80/x", "http://a.example/x/"),
        ("https://a.example/x y", "https://a.example/x%20y"),
        ("https://a.example/b", "https://a.example/a/../b"),
        ("https://a.example/b", "https://a.example//b"),
        ("https://bücher.example", "https://xn--bcher-kva.example/"),
        ("https://a.example/?q=ä", "https://a.example?q=%C3%A4"),
        ("https://a.example/?t=⟦secret:T:urlencode⟧", "https://a.example/?t=⟦secret:T⟧"),
    ],
)
def test_addresses_that_may_come_back_alike_are_one(one: str, other: str) -> None:
    assert address(one) == address(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (URL, "http://staging.example.com"),
        (URL, URL + ":8443"),
        (URL, URL + "/de"),
        (URL + "/?tier=free", URL + "/?tier=pro"),
        ("https://[::1", "https://[::2"),
    ],
)
def test_other_addresses_differ(one: str, other: str) -> None:
    assert address(one) != address(other)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://⟦secret:A⟧/de", "https://x.example/de", True),
        ("https://⟦secret:A⟧/de", "https://x.example/en", False),
        ("https://⟦secret:A⟧/de", "https://⟦secret:B⟧/de", True),
        ("https://x.example/de?t=⟦secret:A⟧", "https://x.example/en?t=⟦secret:A⟧", False),
        ("https://x.example/de", "https://x.example/en", False),
    ],
)
def test_a_secret_may_stand_for_any_text(one: str, other: str, *, same: bool) -> None:
    assert alike(one, other) is alike(other, one) is same


ACCOUNT = {"type": "authentication", "strategy": "specific", "account_id": "acc_1"}


@pytest.mark.parametrize(
    ("artifact", "path"),
    [
        (ACCOUNT, None),
        ({"type": "authentication", "strategy": "generated"}, None),
        ({"type": "authentication", "strategy": "{{ vars.strategy }}", "account_id": "x"}, None),
        ({"type": "authentication", "strategy": "specific"}, ("artifacts", 0)),
        ({**ACCOUNT, "strategy": "none"}, ("artifacts", 0, "account_id")),
        ({**ACCOUNT, "strategy": "generated"}, ("artifacts", 0, "account_id")),
    ],
)
def test_an_account_belongs_to_the_strategy_specific(
    artifact: dict[str, str], path: tuple[str | int, ...] | None
) -> None:
    row = {"platform": "web", "target": {"web_url": "https://a.example"}, "test_ids": ["t1"], "artifacts": [artifact]}
    assert [where for where, _, _ in objections(VENDOR, row, {})] == ([path] if path else [])


def test_extra_fields_cannot_replace_the_matrix() -> None:
    schema = {"type": "object", "properties": dict(INFO.settings)}
    good: Mapping[str, Json] = {"extra": {"pull_request": 7}}
    bad: Mapping[str, Json] = {"extra": {"matrix": []}}
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema)


def test_an_incomplete_entry_is_a_bug_and_never_sent() -> None:
    entry = Entry(id="a", vendor="doksi", policy=Policy(timeout_s=1), origin=Place(file="f", line=1, column=1))
    with pytest.raises(ValueError, match="a: the capability table"):
        VENDOR.submit(Call(entries=(entry,)))


def finished(entries: tuple[Entry, ...], results: list[object]) -> Finished:
    body = {"run_id": "r", "status": "passed", "results": results}
    reply = Reply(status=200, text=json.dumps(body))
    status = VENDOR.read(Call(entries=entries), RemoteRun(id="r"), [reply], polls=0)
    assert isinstance(status, Finished)
    return status


def test_many_strays_count_but_are_not_all_shown() -> None:
    entries = (web("a", "t1"), web("b", "t2"))
    strays: list[object] = [{"result_id": f"r{n}", "test_id": f"x{n}", "status": "passed"} for n in range(50)]
    outcome = finished(entries, [{"result_id": "r", "test_id": "t1", "status": "passed"}, *strays]).outcomes["a"]
    assert outcome.verdict is Verdict.UNKNOWN
    assert len(outcome.cases) == 1 + 20 + 1
    assert outcome.cases[-1].message == "no entry asked for 30 more results"


def test_an_answer_that_names_neither_its_run_nor_a_result_of_the_create_is_no_pass() -> None:
    anonymous = {"test_id": "t", "status": "passed"}

    def read(*results: dict[str, str]) -> Outcome:
        reply = Reply(status=200, text=json.dumps({"status": "passed", "results": results}))
        run = RemoteRun(id="r", memo={"results": {"7": {"test_id": "t"}}})
        status = VENDOR.read(Call(entries=(web("a", "t"),)), run, [reply], polls=0)
        assert isinstance(status, Finished)
        return status.outcomes["a"]

    message = "Doksi's answer names neither the run nor a result of its create"
    assert (read(anonymous).verdict, read(anonymous).message) == (Verdict.UNKNOWN, message)
    assert read({**anonymous, "result_id": "8"}).message == message
    assert read({**anonymous, "result_id": "7"}).verdict is Verdict.PASSED


def test_beside_a_failure_nothing_passes_in_an_answer_that_cannot_be_read() -> None:
    results = [result("t", "failed", 1), result("u", "passed", 2)]
    body = {"run_id": "r", "status": "failed", "tests_total": "two", "results": results}
    call = Call(entries=(web("a", "t"), web("b", "u")))
    status = VENDOR.read(call, RemoteRun(id="r"), [Reply(status=200, text=json.dumps(body))], polls=0)
    assert isinstance(status, Finished)
    failed, other = status.outcomes["a"], status.outcomes["b"]
    assert (failed.verdict, other.verdict) == (Verdict.FAILED, Verdict.UNKNOWN)
    assert "tests_total" in (other.message or "")


def test_results_that_are_no_objects_make_nothing_green() -> None:
    entries = (web("a", "t1"),)
    outcome = finished(entries, [{"result_id": "r", "test_id": "t1", "status": "passed"}, None]).outcomes["a"]
    assert outcome.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("same", ["test", "address", "secret", "nothing"])
def test_a_large_matrix_is_grouped_and_read_in_linear_time(same: str) -> None:
    urls = {"test": "/{}", "address": "", "secret": "/{}?token=⟦secret:T⟧", "nothing": "/{}"}

    def entry(number: int) -> Entry:
        test = "t" if same in {"test", "secret"} else f"t{number}"
        return web(f"e{number}", test, url=URL + urls[same].format(number))

    entries = [entry(number) for number in range(5000)]
    with no_long_time():  # quadratic would be minutes
        group_and_read(entries)


def group_and_read(entries: list[Entry]) -> None:
    groups = list(VENDOR.group(entries))
    for group in groups:
        matrix = [(row.selection.ids[0], row.target.value) for row in group if row.selection and row.target]
        results: list[object] = [
            {
                "result_id": f"r{n}",
                "test_id": test,
                "status": "passed",
                "destination": {"platform": "web", "web_url": url},
            }
            for n, (test, url) in enumerate(matrix)
        ]
        verdicts = {outcome.verdict for outcome in finished(group, results).outcomes.values()}
        assert verdicts == {Verdict.PASSED}
    assert sum(map(len, groups)) == len(entries)


@pytest.mark.parametrize(
    ("counters", "done", "total"),
    [
        ({"tests_total": 9, "tests_passed": 4, "tests_failed": 2}, 6, 9),
        ({"tests_total": 9, "tests_passed": 4}, None, 9),
        ({"tests_total": 9, "tests_failed": 4}, None, 9),
        ({"tests_passed": 1, "tests_failed": 0}, 1, None),
        ({"tests_total": "nine", "tests_passed": None, "tests_failed": -1}, None, None),
    ],
)
def test_a_run_that_goes_on_tells_how_many_tests_are_over(
    counters: Mapping[str, Json], done: int | None, total: int | None
) -> None:
    reply = Reply(status=200, text=json.dumps({"run_id": "r", "status": "running", **counters}))
    status = VENDOR.read(Call(entries=(web("a", "t"),)), RemoteRun(id="r"), [reply], polls=0)
    assert isinstance(status, Running)
    assert replace(status, so_far={}) == Running(note="running", done=done, total=total)


def going_on(*results: Mapping[str, Json], entries: tuple[Entry, ...], **said: Json) -> Running:
    """What is known of entries while their run goes on."""
    run = RemoteRun(id="r", memo=cast("Mapping[str, Json]", said.pop("memo", {})))
    body = {"run_id": "r", "status": "running", "tests_total": len(results), "results": list(results), **said}
    status = VENDOR.read(Call(entries=entries), run, [Reply(status=200, text=json.dumps(body))], polls=0)
    assert isinstance(status, Running)
    return status


def result(test: str, status: str | None, number: int = 0, url: str = URL) -> dict[str, Json]:
    place: dict[str, Json] = {"platform": "web", "web_url": url}
    return {"result_id": f"{test}-{number}", "test_id": test, "status": status, "destination": place}


def smoke(name: str) -> Entry:
    return replace(web(name), selection=Selection(kind=SelectionKind.CATEGORY_IDS, ids=("smoke",)))


SOON = {"results": {"t-0": {"test_id": "t"}, "u-0": {"test_id": "u"}}}
"""The results that the create named."""


@pytest.mark.parametrize(
    ("results", "said", "over"),
    [
        ([result("t", "passed"), result("u", None)], {}, {"a": Verdict.PASSED}),
        ([result("t", "passed"), result("u", "failed")], {}, {"a": Verdict.PASSED, "b": Verdict.FAILED}),
        ([result("t", "passed"), result("u", None)], {"status": "queued"}, {"a": Verdict.PASSED}),
        ([result("t", "queued"), result("u", None)], {}, {}),
        # Under a word that nobody has seen nothing passes before the end; a failure stays one.
        ([result("t", "passed"), result("u", "failed")], {"status": "settling"}, {"b": Verdict.FAILED}),
        # A result that the create named and that is missing may be the entry's own; another's changes nothing.
        ([result("t", "passed")], {"memo": SOON}, {"a": Verdict.PASSED}),
        ([result("t", "passed", 1)], {"memo": SOON}, {}),
        ([result("t", "passed")], {"memo": {"results": {"t-0": {"test_id": "t"}, "x": {}}}}, {}),
        # What belongs to nobody may be anybody's.
        ([result("t", "passed"), result("other", "passed")], {}, {}),
        ([result("t", "passed"), result("u", "passed", url=f"{URL}/de")], {}, {}),
    ],
)
def test_an_entry_is_over_before_its_run_once_all_of_its_results_are_final(
    results: list[dict[str, Json]], said: Mapping[str, Json], over: Mapping[str, Verdict]
) -> None:
    status = going_on(*results, entries=(web("a", "t"), web("b", "u")), **said)
    assert {name: outcome.verdict for name, outcome in status.outcomes.items()} == over
    assert all(outcome.verdict is Verdict.UNKNOWN for outcome in status.so_far.values())


@pytest.mark.parametrize(
    ("said", "over"),
    [
        ({}, True),
        ({"tests_total": 1}, True),
        ({"tests_total": 3}, False),
        ({"tests_total": None}, False),
        ({"memo": {"results": {"x": {"test_id": "x"}}}}, False),
        ({"memo": {"results": {"t-0": {"test_id": "t"}, "u-0": {"test_id": "u"}}}}, True),
    ],
)
def test_a_category_is_over_only_if_all_results_of_its_run_are_there(
    said: Mapping[str, Json],
    over: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    status = going_on(result("t", "passed"), result("u", "passed"), entries=(smoke("a"),), **said)
    assert ("a" in status.outcomes) is over
    assert not going_on(entries=(smoke("a"),)).outcomes


def test_an_answer_on_the_way_that_names_no_run_lets_no_entry_pass() -> None:
    passed, entries = result("t", "passed", 1), (web("a", "t"),)
    assert going_on(passed, entries=entries).outcomes.keys() == {"a"}
    assert not going_on(passed, entries=entries, run_id=None).outcomes
    named = going_on(passed, entries=entries, run_id=None, memo={"results": {"t-1": {"test_id": "t"}}})
    assert named.outcomes.keys() == {"a"}


def test_how_many_tests_of_each_entry_are_over_is_said_where_there_are_several() -> None:
    results = [result("t", "passed"), result("u", "failed"), result("v", "queued")]
    entries = (web("a", "t", "v"), web("b", "u"))
    assert going_on(*results, entries=entries).entries == {"a": (1, 2), "b": (1, 1)}
    assert going_on(result("t", "passed"), entries=(web("a", "t"),)).entries == {}


def of_one(*results: object) -> list[tuple[str, Verdict, str | None]]:
    """The cases of an entry with the test t that is alone in its run."""
    text = json.dumps({"run_id": "r", "status": "passed", "results": results})
    status = VENDOR.read(Call(entries=(web("a", "t"),)), RemoteRun(id="r"), [Reply(status=200, text=text)], polls=0)
    assert isinstance(status, Finished)
    return [(case.id, case.verdict, case.message) for case in status.outcomes["a"].cases]


@pytest.mark.parametrize(
    "other", [{"test_id": "u"}, {"destination": {"web_url": URL + "/other"}}, {"status": "failed"}]
)
def test_two_results_with_one_id_that_differ_are_no_pass(other: dict[str, Json]) -> None:
    passed = {"result_id": "1", "test_id": "t", "status": "passed", "destination": {"web_url": URL}}
    assert of_one(passed, {**passed, "name": "another name"}) == [("t", Verdict.PASSED, None)]
    assert [verdict for _, verdict, _ in of_one(passed, {**passed, **other})] == [Verdict.UNKNOWN]


def test_a_destination_with_an_address_alone_is_on_the_web() -> None:
    passed = {"result_id": "1", "test_id": "t", "status": "passed"}
    assert of_one({**passed, "destination": {"web_url": URL}}) == [("t", Verdict.PASSED, None)]
    ((_, verdict, message),) = of_one({**passed, "destination": {"web_url": URL + "/other"}})
    assert verdict is Verdict.UNKNOWN
    assert message is not None
    assert message.startswith("no entry of the run asked for result 1 (passed) of test t on web ")


def test_a_test_without_a_word_of_its_own_is_no_pass() -> None:
    assert of_one({"result_id": "1", "test_id": "t"}) == [("t", Verdict.UNKNOWN, "no status")]
    assert of_one({"result_id": "1", "test_id": "t", "status": "odd"}) == [
        ("t", Verdict.UNKNOWN, "the run is over, but this test's status is 'odd'")
    ]


def test_of_many_results_that_nobody_asked_for_some_are_shown_and_the_rest_is_counted() -> None:
    strays = [{"result_id": str(number), "test_id": f"x{number}", "status": "passed"} for number in range(23)]
    cases = of_one({"result_id": "a", "test_id": "t", "status": "passed"}, *strays)
    assert [name for name, _, _ in cases] == ["t", *(f"x{number}" for number in range(20)), "?"]
    assert cases[-1] == ("?", Verdict.UNKNOWN, "no entry asked for 3 more results")


def test_a_result_without_any_id_has_a_question_mark() -> None:
    (first, missing) = of_one({"status": "passed"})
    assert first == ("?", Verdict.UNKNOWN, "result ? (passed) of test ? on an unnamed destination may belong to a")
    assert missing == ("t", Verdict.UNKNOWN, "no result came back")


def test_a_result_that_says_nothing_of_itself_may_be_anybodys_and_is_nobodys() -> None:
    reply = Reply(status=200, text=json.dumps({"run_id": "r", "status": "passed", "results": [{}]}))
    call = Call(entries=(web("a", "t"), web("b", "u")))
    status = VENDOR.read(call, RemoteRun(id="r"), [reply], polls=0)
    assert isinstance(status, Finished)
    for outcome in status.outcomes.values():
        assert outcome.verdict is Verdict.UNKNOWN
        assert outcome.cases[0].message == (
            "result ? (no status) of test ? on an unnamed destination may belong to a, b"
        )
