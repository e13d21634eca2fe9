"""Names in a manifest: `qarunner lock` asks the vendors, over real HTTP; everything else reads the lock alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.program.conftest import AtOnce, Begin, Stage

PROJECT = "33333333-3333-4333-8333-333333333333"
OTHER = "44444444-4444-4444-8444-444444444444"
ODD_ENVIRONMENT = {"id": "nope", "name": "Staging", "slug": "staging", "kind": "static", "url": None}
TESTS: dict[int, object] = {12: {"name": "Checkout flow"}, 13: {"name": "Login admin"}, 14: {"name": "Login user"}}


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def docketqa(entry: str, *names: str, **more: object) -> dict[str, object]:
    return {"id": entry, "vendor": "docketqa", "platform": "web", **({"tests": list(names)} if names else {}), **more}


def lock_of(stage: Stage) -> str:
    return (stage.folder / "qa-matrix.lock").read_text(encoding="utf-8")


def at(other: Stage) -> dict[str, str | None]:
    """The variables that lead to another stage's vendors: the same ones on a later day."""
    return {name: value for name, value in other.environ.items() if name.startswith("QARUNNER_")}


def data(stage: Stage, *words: str, code: int = 0, **variables: str | None) -> Any:  # noqa: ANN401  JSON
    ended = stage.run(*words, **variables)
    assert ended.code == code, ended
    return json.loads(ended.out)


def ids(stage: Stage, *words: str, **variables: str | None) -> dict[str, list[str]]:
    """What each entry of the plan runs."""
    out = stage.folder / "plan.json"
    ended = stage.run("plan", "-q", "--out", str(out), *words, **variables)
    assert ended.code == 0, ended
    return {entry["id"]: entry["selection"]["ids"] for entry in json.loads(out.read_bytes())["entries"]}


def test_a_lock_is_written_once_and_then_read_offline(begin: Begin) -> None:
    stage = begin(
        docketqa={"tests": TESTS, "suites": {"7": {"name": "Smoke", "tests": [12]}}},
        testerarmy={
            "projects": {PROJECT: {"environments": {uuid(9): "Staging"}, "tests": [uuid(1)]}},
            "tests": {uuid(1): {"name": "Search"}},
        },
    )
    stage.commit(
        docketqa("pay", "Checkout flow", "Login *"),
        docketqa("smoke", categories=["Smoke"]),
        {"id": "find", "vendor": "testerarmy", "tests": ["Search"], "target": {"environment": "Staging"}},
        vendors={"testerarmy": {"project": PROJECT}},
    )  # fmt: skip
    for command in ("validate", "plan", "diff", "apply", "explain pay"):
        ended = stage.run(*command.split())
        if command != "diff":  # there is no repository
            assert ended.code == 2, ended
            assert "test 'Login *' is a name, and there is no qa-matrix.lock" in ended.err
            assert "qa-matrix.yml:16:5: error" in ended.err
            assert "`qarunner lock` asks docketqa" in ended.err
    assert stage.sent() == []

    ended = stage.run("lock")
    assert (ended.code, ended.out) == (0, "qa-matrix.lock: written, 5 names\n"), ended
    assert all(request["method"] == "GET" for request in stage.sent())
    assert len(stage.sent("docketqa")) == 1, "suites are known by their tests: one page tells of both"
    text = lock_of(stage)
    _, _, day, *rest = text.splitlines()
    assert day.startswith('day: "2')
    assert rest == [
        "locked:",
        '  - vendor: "docketqa"',
        "    categories:",
        '      "Smoke":',
        '        "7": "Smoke"',
        "    tests:",
        '      "Checkout flow":',
        '        "12": "Checkout flow"',
        '      "Login *":',
        '        "13": "Login admin"',
        '        "14": "Login user"',
        '  - vendor: "testerarmy"',
        f'    project: "{PROJECT}"',
        "    environments:",
        '      "Staging":',
        f'        "{uuid(9)}": "Staging"',
        "    tests:",
        '      "Search":',
        f'        "{uuid(1)}": "Search"',
    ]

    # An earlier day: nothing moved, so not a byte changes.
    old = text.replace(day, 'day: "2020-01-01"')
    (stage.folder / "qa-matrix.lock").write_text(old, encoding="utf-8")
    assert stage.run("lock").out == "qa-matrix.lock: unchanged, 5 names\n"
    assert lock_of(stage) == old
    assert stage.run("lock", "--check").code == 0

    asked = len(stage.sent())
    keyless: dict[str, str | None] = dict.fromkeys(("DOCKET_API_KEY", "TESTERARMY_API_KEY"))
    assert stage.run("validate", **keyless).code == 0
    assert ids(stage, **keyless) == {"pay": ["12", "13", "14"], "smoke": ["7"], "find": [uuid(1)]}
    shown = stage.run("plan", **keyless)
    assert "Checkout flow (12), Login admin (13), Login user (14)" in shown.out
    assert '"projectEnvironmentId": "' + uuid(9) in shown.out
    assert "Login user (14)" in stage.run("explain", "pay", **keyless).out
    assert len(stage.sent()) == asked
    assert stage.apply("plan.json").code == 0
    assert sorted(map(str, stage.paid("docketqa"))) == ["['12']", "['13']", "['14']"] or stage.paid("docketqa")


def test_what_has_moved(begin: Begin) -> None:
    """Gone, renamed, newly matched, no longer matched, paused: each is said, and changes nothing of a plan."""
    stage = begin(
        docketqa={"tests": {**TESTS, 15: {"name": "Login guest"}, 16: {"name": "Cart"}, 17: {"name": "Shop"}}}
    )
    stage.commit(docketqa("pay", "Checkout flow", "Login *", "Cart", "Shop"))
    assert stage.run("lock").code == 0
    before, planned = lock_of(stage), ids(stage)
    later = begin(
        docketqa={
            "tests": {
                12: {"name": "Checkout"},
                13: {"name": "Sign in admin"},
                14: {"name": "Login user"},
                15: {"name": "Login guest"},
                17: {"name": "Shop"},
                18: {"name": "Login new"},
            },
            "paused": [15, 17],
        }
    )
    said = data(stage, "lock", "--check", "--output", "json", code=10, **at(later))
    assert [(each["move"], each["id"], each["name"]) for each in said["locks"][0]["moved"]] == [
        ("renamed", "12", "Checkout flow"),
        ("renamed", "13", "Login *"),
        ("no longer matched", "13", "Login *"),
        ("paused", "15", "Login *"),
        ("newly matched", "18", "Login *"),
        ("gone", "16", "Cart"),
        ("paused", "17", "Shop"),
    ]
    ended = stage.run("lock", "--check", **at(later))
    assert (ended.code, lock_of(stage)) == (10, before), ended
    assert "test 'Checkout flow' of docketqa: 12 is renamed from 'Checkout flow' to 'Checkout'" in ended.out
    assert "qa-matrix.lock: 7 moved, 4 names" in ended.out
    assert ids(stage, **at(later)) == planned

    refused = stage.run("lock", **at(later))
    assert (refused.code, lock_of(stage)) == (2, before), refused
    assert "no test at DocketQA has the name 'Checkout flow' [E462]" in refused.err
    assert "it was renamed: 12 is 'Checkout' now" in refused.err
    assert "no test at DocketQA has the name 'Cart' [E462]" in refused.err

    stage.commit(docketqa("pay", "Checkout", "Login *", "Shop"))
    assert stage.run("validate").code == 2
    written = stage.run("lock", **at(later))
    assert written.code == 0, written
    assert "'Login new' (18) is newly matched" in written.out
    assert "warning: qa-matrix.yml: 'Shop' (17) at DocketQA: it is paused" in written.err
    assert ids(stage) == {"pay": ["12", "18", "14", "17"]}


def test_names_that_are_no_single_thing(begin: Begin) -> None:
    stage = begin(
        docketqa={
            "tests": {
                1: {"name": "Twice"},
                2: {"name": "Twice"},
                3: {"name": "Is 2*3 6?"},
                4: {"name": 'Odd: "quotes" \\ # \u2028 \U000e0001 {{ x }} é'},
                5: {"name": "Paused only"},
                6: {"name": "Cafe\u0301"},
            },
            "paused": [5],
        }
    )
    quoted = 'Odd: "quotes" \\ # \u2028 *'
    stage.commit(docketqa("one", "Twice", "{{ x }}"))
    refused = stage.run("lock")
    assert (refused.code, refused.err.count("error:")) == (2, 1), refused
    assert "unknown name 'x' [E302]" in refused.err, "a wrong template is the problem, and no value is missing"
    stage.commit(docketqa("one", "Twice", "Nothing *", "TWISE", "Paused o*", "Is 2*3 6?"))
    refused = stage.run("lock")
    assert refused.code == 2, refused
    assert "DocketQA has 2 of the name 'Twice': 1, 2 [E462]" in refused.err
    assert "no test at DocketQA matches 'Nothing *' [E462]" in refused.err
    assert "did you mean 'Twice'? `qarunner vendors docketqa --list tests` shows" in refused.err
    assert "no test at DocketQA that can run matches 'Paused o*' [E462]" in refused.err
    assert refused.err.count("[E462]") == 4
    assert not (stage.folder / "qa-matrix.lock").exists()
    stage.commit(docketqa("one", "Is 2*3 6?", quoted, "Tw*", "Caf\u00e9"))
    assert stage.run("lock").code == 0
    assert ids(stage) == {"one": ["3", "4", "1", "2", "6"]}
    assert stage.run("lock").out == "qa-matrix.lock: unchanged, 4 names\n"


def test_two_projects_are_two_sets_of_names(begin: Begin) -> None:
    """A profile may lead to another project; a variable of the environment may name it, too."""
    stage = begin(
        testerarmy={
            "projects": {PROJECT: {"groups": [uuid(1)]}, OTHER: {"groups": [uuid(2)]}},
            "groups": {uuid(1): {"name": "Smoke"}, uuid(2): {"name": "Smoke"}},
        },
        certyn={"projects": ["shop", "bank"], "processes": {"smoke-suite": {"name": "Smoke"}}},
    )
    stage.commit(
        {"id": "smoke", "vendor": "testerarmy", "categories": ["Smoke"]},
        {"id": "gate", "vendor": "certyn", "categories": ["Smo*"]},
        vars={"project": PROJECT},
        vendors={"testerarmy": {"project": "{{ vars.project }}"}, "certyn": {}},
        profiles={"other": {"vars": {"project": OTHER}}},
    )
    assert stage.run("lock", CERTYN_PROJECT="shop").code == 0
    assert stage.run("validate").code == 0
    assert ids(stage, CERTYN_PROJECT="shop") == {"smoke": [uuid(1)], "gate": ["smoke-suite"]}
    assert ids(stage, "--profile", "other", CERTYN_PROJECT="shop")["smoke"] == [uuid(2)]
    elsewhere = stage.run("plan", CERTYN_PROJECT="bank")
    assert elsewhere.code == 2, elsewhere
    assert "category 'Smo*' is not in qa-matrix.lock (certyn, project bank) [E460]" in elsewhere.err


def test_a_page_of_a_thousand_and_one_entry_alone(begin: Begin) -> None:
    stage = begin(docketqa={"tests": {number: {"name": f"Case {number}"} for number in range(1, 1001)}})
    stage.commit(docketqa("all", "Case *"), docketqa("one", "Case 7"), docketqa("two", "Case 8"))
    assert stage.run("lock").code == 0
    assert len(ids(stage)["all"]) == 1000
    assert len(stage.sent("docketqa")) == 10  # each page once, for three names
    before = lock_of(stage)
    later = begin(docketqa={"tests": {7: {"name": "Other"}, 8: {"name": "Case 8"}, 9: {"name": "Case 9"}}})
    stage.commit(docketqa("all", "Case *"), docketqa("one", "Other"), docketqa("two", "Case 8"))
    assert stage.run("lock", "--only", "one", **at(later)).code == 0
    after = lock_of(stage)
    assert set(after.splitlines()) - set(before.splitlines()) == {'      "Other":', '        "7": "Other"'}
    unknown = stage.run("lock", "--only", "on")
    assert unknown.code == 2, unknown
    assert "--only on: qa-matrix.yml has no such entry" in unknown.err
    assert "did you mean 'one'?" in unknown.err
    stage.commit(docketqa("one", "Other", "Other"), docketqa("two", "Case 8"))
    wrong = stage.run("lock", "--only", "one", **at(later))
    assert "'Other' stands here twice" in wrong.err, wrong
    assert "no such entry" not in wrong.err


def test_names_that_no_entry_has_are_left_out_and_said(begin: Begin) -> None:
    stage = begin(docketqa={"tests": TESTS})
    stage.commit(docketqa("pay", "Checkout flow", "Login *"))
    assert stage.run("lock").code == 0
    stage.commit(docketqa("pay", "Login *"))
    text = "qa-matrix.lock: test 'Checkout flow' of docketqa: no entry has this name: "
    checked = stage.run("lock", "--check")
    assert (checked.code, checked.out.splitlines()[0]) == (0, f"{text}`qarunner lock` leaves it out"), checked
    assert data(stage, "lock", "--check", "--output", "json")["locks"][0]["unused"] == [
        {"vendor": "docketqa", "project": None, "kind": "tests", "name": "Checkout flow"}
    ]
    assert "no entry" not in stage.run("lock", "--only", "pay").out
    assert stage.run("lock").out == f"{text}left out\nqa-matrix.lock: written, 1 name\n"
    assert "Checkout" not in lock_of(stage)


def test_a_lock_belongs_to_one_manifest(begin: Begin) -> None:
    stage = begin(docketqa={"tests": TESTS})
    path = stage.commit(docketqa("pay", "Login *"))
    other = path.with_suffix(".yaml")
    other.write_bytes(path.read_bytes())
    for words in ((), ("--check",), (other.name,)):
        refused = stage.run("lock", *words)
        assert refused.code == 2, refused
        assert "would share qa-matrix.lock" in refused.err
    assert stage.sent() == []
    other.unlink()
    assert stage.run("lock").code == 0


def test_a_lock_is_text_of_strangers(begin: Begin, at_once: AtOnce) -> None:
    """One error with its line, whatever is wrong with it; `lock` writes it anew."""
    stage = begin(docketqa={"tests": TESTS}, testerarmy={"projects": {PROJECT: {}}})
    stage.commit(
        docketqa("pay", "Checkout flow", "Login *"),
        {"id": "find", "vendor": "testerarmy", "category_ids": [uuid(1)], "target": {"environment": "Production"}},
        vendors={"testerarmy": {"project": PROJECT}},
    )
    assert stage.run("lock").code == 0
    good = lock_of(stage)
    lines = good.splitlines(keepends=True)
    environment = next(line for line in lines if '": "Production"' in line)
    cases = (
        ("".join([*lines[:5], "<<<<<<< HEAD\n", *lines[5:]]), "lock:6:1: error: the lock has the marks of a merge con"),
        (good.replace("version: 1", "version: 2"), "lock:2:10: error: a lock of version 2: this qarunner reads"),
        (good.replace('"12": "Checkout flow"', '"12": ["x"]'), "lock:8:15: error: '12' in the lock is no text"),
        (good.replace("    tests:", "    testz:"), "error: unknown key 'testz' in the lock"),
        (good.replace(lines[2], ""), "lock:2:1: error: 'day' in the lock is no text"),
        (good[:60], "error: the lock"),
        ("", "error: the lock cannot be read: the file is empty"),
        ("[1]\n", "error: the lock cannot be read"),
        (good + "x: {", "error: the lock cannot be read"),
        (good.replace('"12": "Checkout flow"', '"⟦secret:X⟧": "Checkout flow"'), "error: "),
        (good.replace('        "12": "Checkout flow"\n', ""), "error: the lock has no mapping here"),
        (good + good.partition("locked:\n")[2], "docketqa stands twice"),
    )

    def check(case: tuple[str, str]) -> None:
        text, message = case
        folder = stage.folder / f"case-{cases.index(case)}"
        folder.mkdir()
        (folder / "qa-matrix.yml").write_bytes((stage.folder / "qa-matrix.yml").read_bytes())
        (folder / "qa-matrix.lock").write_text(text, encoding="utf-8")
        ended = stage.run("validate", str(folder / "qa-matrix.yml"))
        assert ended.code == 2, ended
        assert message in ended.err, ended
        assert ended.err.count("error: ") == 1, ended

    at_once(cases, check)
    for text, message in (
        (good.replace('"12":', f'"{uuid(3)}":'), f"a whole number, got '{uuid(3)}', from qa-matrix.lock"),
        (good.replace(environment, '        "12": "Production"\n'), "is not in qa-matrix.lock"),
        (good.replace('vendor: "docketqa"', 'vendor: "certyn"'), "is not in qa-matrix.lock (docketqa)"),
    ):
        (stage.folder / "qa-matrix.lock").write_text(text, encoding="utf-8")
        ended = stage.run("plan")
        assert ended.code == 2, ended
        assert message in ended.err, ended
        assert "qa-matrix.yml:" in ended.err, ended
    damaged = stage.run("lock", "--check")
    assert damaged.code == 2, damaged
    assert stage.run("lock").code == 0
    assert lock_of(stage) == good


def test_a_lock_that_leads_elsewhere_is_not_read(begin: Begin) -> None:
    stage = begin(docketqa={"tests": TESTS})
    stage.commit(docketqa("pay", "Checkout flow"))
    assert stage.run("lock").code == 0
    lock = stage.folder / "qa-matrix.lock"
    outside = stage.folder.parent / "outside.lock"
    lock.rename(outside)
    lock.symlink_to(outside)
    ended = stage.run("validate")
    assert ended.code == 2, ended
    assert "the lock lies outside of the repository [E461]" in ended.err
    lock.unlink()
    lock.mkdir()
    assert "[E461]" in stage.run("validate").err
    kept = outside.read_bytes()
    lock.rmdir()
    lock.symlink_to(outside)
    assert stage.run("lock").code == 0
    assert not lock.is_symlink()
    assert outside.read_bytes() == kept


def test_a_changed_lock_is_a_changed_row_and_a_stale_plan(begin: Begin) -> None:
    stage = begin(docketqa={"tests": TESTS})
    stage.commit(docketqa("pay", "Login *"), docketqa("cart", test_ids=[12]))
    assert stage.run("lock").code == 0
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com")
    for words in (["init", "-q", "-b", "main"], ["add", "qa-matrix.yml", "qa-matrix.lock"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], cwd=stage.folder, check=True)
    assert ids(stage) == {"pay": ["13", "14"], "cart": ["12"]}
    later = begin(docketqa={"tests": {**TESTS, 15: {"name": "Login guest"}}})
    assert stage.run("lock", **at(later)).code == 0
    document = data(stage, "diff", "main", "--format", "json")
    assert [row["id"] for row in document["changed"]] == ["pay"]
    (field,) = document["changed"][0]["fields"]
    assert field["path"] == "test_ids"
    assert field["after"] == ["Login admin (13)", "Login guest (15)", "Login user (14)"]
    assert document["tests"] == {"before": 3, "after": 4}
    shown = stage.run("diff", "main")
    assert "~ qa-matrix.lock: Login *" in shown.out
    assert "Login guest (15)" in shown.out
    stale = stage.run("apply", "plan.json")
    assert stale.code == 5, stale
    assert "qa-matrix.lock changed: 1 row changed (pay)" in stale.err
    assert stage.sent("docketqa", "POST") == []

    # Names in place of the same ids send the same; where one more came with them, it alone is new.
    stage.commit(docketqa("pay", "Login admin", "Login user"), docketqa("cart", "Checkout flow"))
    assert stage.run("lock").code == 0
    document = data(stage, "diff", "main", "--format", "json")
    assert [row["id"] for row in document["changed"]] == ["pay"], "its names are written in another way"
    stage.commit(docketqa("pay", "Login *"), docketqa("cart", "Checkout flow", "Login admin"))
    assert stage.run("lock").code == 0
    shown = stage.run("diff", "main")
    assert "+ Login admin (13)\n" in shown.out
    assert "Checkout flow (12)" not in shown.out


def test_what_stops_a_lock(begin: Begin, at_once: AtOnce) -> None:
    stage = begin(
        docketqa={"tests": TESTS}, certyn={"scopes": ["ci:trigger", "ci:status", "ci:cancel"], "projects": ["shop"]}
    )
    entry = docketqa("pay", "Checkout flow")
    cases: tuple[tuple[dict[str, object], dict[str, object], tuple[str, ...], int, str], ...] = (
        (entry, {}, ("DOCKET_API_KEY=",), 2, "DOCKET_API_KEY (DocketQA) not set"),
        (entry, {}, ("QARUNNER_DOCKETQA_URL=http://127.0.0.1:9",), 75, "DocketQA"),
        ({"id": "gate", "vendor": "certyn", "categories": ["Smoke"]}, {}, (), 4, "the key lacks the scope"),
        (docketqa("pay", "Login *", test_ids=[12]), {}, (), 2, "tests and test_ids exclude each other"),
        (
            {**{key: value for key, value in stage.doksi("x").items() if key != "test_ids"}, "tests": ["Pay"]},
            {},
            (),
            2,
            "doksi has no inventory that could be asked for names: write the ids in test_ids",
        ),
        (docketqa("pay", "{{ env.WHICH }}"), {"env": {"WHICH": {}}}, (), 2, "decides the name [E462]"),
        (
            {"id": "x", "vendor": "testerarmy", "categories": ["Smoke"]},
            {},
            (),
            2,
            "TesterArmy lists by project: set vendors.testerarmy.project",
        ),
        (
            entry,
            {"vendors": {"docketqa": {"api_key_env": "CI_TOKEN"}}},
            ("CI_TOKEN=abc",),
            2,
            "CI_TOKEN must not be sent to docketqa",
        ),
    )

    def check(case: tuple[dict[str, object], dict[str, object], tuple[str, ...], int, str]) -> None:
        row, top, words, code, message = case
        number = cases.index(case)
        path = stage.commit(row, name=f"m{number}.yml", **top)
        variables: dict[str, str | None] = {
            name: value or None for name, _, value in (word.partition("=") for word in words)
        }
        ended = stage.run("lock", path.name, **variables)
        assert ended.code == code, ended
        assert message in ended.err, ended
        assert not path.with_suffix(".lock").exists()

    stage.hasty()
    at_once(cases, check)
    path = stage.commit(docketqa("pay", "{{ env.WHICH }}"), env={"WHICH": {}})
    assert stage.run("lock", "--var", "WHICH=Login *").code == 0
    assert stage.run("validate").code == 0
    assert ids(stage, "--var", "WHICH=Login *") == {"pay": ["13", "14"]}
    other = stage.run("plan", "--var", "WHICH=Checkout flow")
    assert other.code == 2, other
    assert "test 'Checkout flow' is not in qa-matrix.lock (docketqa) [E460]" in other.err
    assert path.exists()


def test_each_manifest_has_a_lock_and_none_without_names(begin: Begin) -> None:
    stage = begin(docketqa={"tests": TESTS})
    one = stage.commit(docketqa("pay", "Checkout flow"), name="one.yml")
    two = stage.commit(docketqa("log", "Login user"), name="two.yaml")
    plain = stage.commit(docketqa("ids", test_ids=[12]), name="plain.yml")
    ended = stage.run("lock", one.name, two.name, plain.name)
    assert ended.code == 0, ended
    assert sorted(path.name for path in stage.folder.glob("*.lock")) == ["one.lock", "two.lock"]
    stage.commit(docketqa("log", "Nobody"), name="two.yaml")
    stage.commit(docketqa("pay", "Login user"), name="one.yml")
    before = one.with_suffix(".lock").read_bytes()
    assert stage.run("lock", one.name, two.name).code == 2
    assert one.with_suffix(".lock").read_bytes() == before


def test_reports_name_what_a_vendor_does_not(begin: Begin) -> None:
    """A create that is refused tells no names; the lock does."""
    stage = begin(docketqa={"tests": TESTS, "faults": [{"on": "POST /test_group_run/trigger_run", "status": 400}]})
    stage.commit(docketqa("pay", "Login *"))
    assert stage.run("lock").code == 0
    assert stage.apply("--report", "junit=out.xml").code == 8
    assert "`qarunner lock --check` says whether the lock still holds" in stage.reason("pay")
    tests = stage.report()["entries"][0]["tests"]
    assert [(test["id"], test["name"]) for test in tests] == [("13", "Login admin"), ("14", "Login user")]
    assert "Login admin (13)" in (stage.folder / "out.xml").read_text(encoding="utf-8")
    # One that takes the create, and starts nothing for the tests, may not know them any more, either.
    silent = {"on": "POST /test_group_run/trigger_run", "merge": {"test_group_run": {"id": 1, "test_runs": []}}}
    later = begin(docketqa={"tests": TESTS, "faults": [silent]})
    shutil.rmtree(stage.folder / ".qarunner")
    assert stage.apply(**at(later)).code == 8
    assert stage.report()["entries"][0]["verdict"] == "unknown"
    assert stage.reason("pay").endswith("; `qarunner lock --check` says whether the lock still holds")


def test_a_name_that_a_build_alone_knows_is_never_an_entry_without_tests(begin: Begin) -> None:
    """A secret is no name, and a value that looks like a template is one."""
    stage = begin(docketqa={"tests": {1: {"name": "{{ x }}"}, 2: {"name": "a"}, 3: {"name": "b"}}})
    env = {"TOKEN": {"secret": True}, "WHICH": {"default": "a"}, "NAMES": {"format": "list", "default": ["a", "b"]}}
    stage.commit(docketqa("one", "{{ env.WHICH }}"), docketqa("all", tests="{{ env.NAMES }}"), env=env)
    assert stage.run("lock", "--var", "WHICH={{ x }}").code == 0
    assert ids(stage, "--var", "WHICH={{ x }}") == {"one": ["1"], "all": ["2", "3"]}
    missing = stage.run("plan", "--var", "WHICH={{ y }}")
    assert missing.code == 2, missing
    assert "test '{{ y }}' is not in qa-matrix.lock" in missing.err
    stage.commit(docketqa("one", "{{ env.TOKEN }}"), env=env)
    allowed = ("--allow-secret", "TOKEN@docketqa", "--env", "TOKEN")
    for command in ("plan", "lock"):
        secret = stage.run(command, *allowed, TOKEN="a")
        assert secret.code == 2, secret
        assert "error: " in secret.err
    assert stage.sent("docketqa", "POST") == []


def test_what_an_organisation_gives_is_locked_as_well(begin: Begin) -> None:
    """The base may say whose names they are."""
    stage = begin(
        testerarmy={"projects": {PROJECT: {}, OTHER: {"groups": [uuid(2)]}}, "groups": {uuid(2): {"name": "Smoke"}}}
    )
    (stage.folder / "base.yml").write_text(
        json.dumps({"version": 1, "vendors": {"testerarmy": {"project": OTHER}}}), encoding="utf-8"
    )
    stage.commit({"id": "smoke", "vendor": "testerarmy", "categories": ["Smoke"]}, vendors={})
    assert stage.run("lock").code == 2
    assert stage.run("lock", "--base", "base.yml").code == 0
    assert ids(stage, "--base", "base.yml") == {"smoke": [uuid(2)]}
    listed = data(stage, "vendors", "testerarmy", "--list", "groups", "--output", "json", "--base", "base.yml")
    assert uuid(2) in [item["id"] for item in listed["items"]]


def test_editors_can_complete_names(begin: Begin) -> None:
    stage = begin(
        docketqa={"tests": TESTS, "suites": {"7": {"name": "Smoke", "tests": [12]}}},
        testerarmy={"projects": {PROJECT: {"environments": {uuid(9): "Staging"}}}},
    )
    entry = {"id": "find", "vendor": "testerarmy", "category_ids": [uuid(1)], "target": {"environment": "Staging"}}
    stage.commit(
        docketqa("pay", "Checkout flow", "Login *"),
        docketqa("smoke", categories=["Smoke"]),
        entry,
        vendors={"testerarmy": {"project": PROJECT}},
    )
    missing = stage.run("schema", "--with-lock")
    assert (missing.code, missing.out) == (2, ""), missing
    assert stage.run("lock").code == 0
    definitions = data(stage, "schema", "--with-lock")["$defs"]
    offered, any_name = definitions["testNamesLocked"]["anyOf"]
    assert offered["enum"] == ["Checkout flow", "Login *", "Login admin", "Login user"]
    assert offered["markdownEnumDescriptions"][:2] == ["12 at docketqa", "13, 14 at docketqa"]
    assert any_name == {"$ref": "#/$defs/nameAtVendor"}
    assert "testNamesLocked" in json.dumps(definitions["testNames"])
    assert definitions["categoryNamesLocked"]["anyOf"][0]["enum"] == ["Smoke"]
    environment = definitions["target"]["properties"]["environment"]
    assert environment["anyOf"][0]["enum"] == ["Staging"]
    plain = data(stage, "schema", "--with-lock", "--plain", "--fragment")["$defs"]
    assert plain["testNamesLocked"]["anyOf"][0] == {"title": "Locked name", "enum": offered["enum"]}
    assert "testNamesLocked" not in stage.run("schema").out


def test_a_first_manifest_from_what_a_vendor_lists(begin: Begin) -> None:
    """It is valid as it stands, whatever things are called there; nothing is overwritten."""
    names = {1: "Smoke", 2: "Smoke!", 3: "Twice", 4: "Twice", 5: "{{ x }}", 6: "日本", 7: 'a "b" \\ *'}
    stage = begin(
        docketqa={"suites": {str(number): {"name": name, "tests": [number + 10]} for number, name in names.items()}},
        certyn={"projects": ["shop"], "processes": {"smoke-suite": {"name": "Smoke"}}},
    )
    ended = stage.run("init", "--from-vendor", "docketqa")
    assert ended.code == 0, ended
    assert "qa-matrix.lock: written, 4 names" in ended.out
    assert "tests that are in no suite have no entry; `qarunner vendors docketqa --list tests` shows" in ended.err
    assert stage.run("validate").code == 0
    assert sorted(map(tuple, ids(stage).values())) == [(str(number),) for number in names]
    assert {"smoke", "smoke-2", "twice", "twice-2", "x", "entry", "a-b"} == set(ids(stage))
    assert stage.run("init", "--from-vendor", "docketqa").code == 2
    for name in ("qa-matrix.yml", "qa-matrix.lock"):
        (stage.folder / name).unlink()
    assert stage.run("init", "--from-vendor", "certyn", "--project", "shop").code == 0
    assert ids(stage) == {"smoke": ["smoke-suite"]}
    for name in ("qa-matrix.yml", "qa-matrix.lock"):
        (stage.folder / name).unlink()
    # A group of all tests would run each test of the others once more.
    smoke: dict[str, object] = {uuid(3): {"name": "Smoke"}}
    for groups, entry in ((smoke, "smoke"), ({}, "all-tests")):
        project = {"groups": list(groups), "tests": [uuid(1), uuid(2)]}
        there = begin(testerarmy={"groups": groups, "projects": {PROJECT: project}})
        first = stage.run("init", "--from-vendor", "testerarmy", "--project", PROJECT, **at(there))
        assert first.code == 0
        assert ("have no entry" in first.err) is (entry == "smoke")
        assert stage.run("validate").code == 0
        assert ids(stage).keys() == {entry}
        (stage.folder / "qa-matrix.yml").unlink()
    for words, code, message in (
        (("doksi",), 2, "Doksi has no inventory"),
        (("testerarmy",), 2, "set vendors.testerarmy.project"),
        (("docketqa", "--vendor", "doksi"), 2, "exclude each other"),
        (("nobody",), 2, "unknown vendor 'nobody'"),
    ):
        refused = stage.run("init", "--from-vendor", *words)
        assert refused.code == code, refused
        assert message in refused.err
    assert not (stage.folder / "qa-matrix.yml").exists()


def test_a_lock_has_no_ids_that_the_vendor_would_refuse(begin: Begin) -> None:
    stage = begin(
        testerarmy={
            "projects": {PROJECT: {"tests": [uuid(1), uuid(2)]}},
            "tests": {uuid(1): {"name": "Search"}, uuid(2): {"name": "Search again"}},
        }
    )
    vendors = {"testerarmy": {"project": PROJECT}}
    stage.commit({"id": "find", "vendor": "testerarmy", "tests": ["Search*"]}, vendors=vendors)
    ended = stage.run("lock")
    assert ended.code == 2, ended
    assert f"'Search*' is {uuid(1)}, {uuid(2)}: testerarmy runs one test at a time" in ended.err
    assert not (stage.folder / "qa-matrix.lock").exists()
    stage.commit({"id": "find", "vendor": "testerarmy", "tests": ["Search"]}, vendors=vendors)
    assert stage.run("lock").code == 0


def test_a_name_with_a_variable_that_is_not_set_is_one_problem(begin: Begin) -> None:
    stage = begin(docketqa={"tests": TESTS})
    stage.commit(docketqa("pay", "{{ env.WHICH }}"), env={"WHICH": {}})
    ended = stage.run("plan")
    assert ended.code == 2, ended
    assert "WHICH is not set [E325]" in ended.err
    assert "E460" not in ended.err


def test_a_long_name_does_not_fill_a_screen(begin: Begin) -> None:
    stage = begin(docketqa={"tests": TESTS})
    stage.commit(docketqa("pay", "x" * 900))
    for command in ("validate", "lock"):
        ended = stage.run(command)
        assert ended.code == 2, ended
        assert "(800 more characters)" in ended.err
        assert len(ended.err.splitlines()[0]) < 250


def test_an_environment_is_named_by_its_slug_as_well(begin: Begin) -> None:
    """The vendor's own CLI takes either. A slug that is another one's name says nothing."""
    environments = {uuid(8): "Big Shop", uuid(9): "Other Shop"}
    stage = begin(
        testerarmy={
            "projects": {PROJECT: {"environments": environments, "tests": [uuid(1)]}},
            "tests": {uuid(1): {"name": "Search"}},
        }
    )
    vendors = {"testerarmy": {"project": PROJECT}}
    for name, code in (("big-shop", 0), ("Big Shop", 0), ("big-*", 2), ("* Shop", 2)):
        target = {"environment": name}
        stage.commit({"id": "find", "vendor": "testerarmy", "tests": ["Search"], "target": target}, vendors=vendors)
        ended = stage.run("lock")
        assert ended.code == code, ended
        assert f'"{uuid(8)}": "Big Shop"' in lock_of(stage)
        assert code or stage.run("lock", "--check").code == 0
    assert f"'* Shop' is {uuid(8)}, {uuid(9)}: an entry runs in one environment" in stage.run("lock").err
    listed = stage.run("vendors", "testerarmy", "--list", "environments", "--project", PROJECT)
    assert "Big Shop    slug: big-shop" in listed.out, listed


def test_a_rehearsal_without_a_lock_says_how_to_lock_without_an_account(begin: Begin) -> None:
    stage = begin(docketqa={"tests": TESTS})
    stage.commit(docketqa("pay", "Login *"))
    ended = stage.run("apply", "--rehearse")
    assert ended.code == 2, ended
    assert "without an account, run it where the variables are set that `qarunner emulator` prints" in ended.err
    assert "emulator" not in stage.run("plan").err
    assert stage.run("lock").code == 0  # the stage's variables are those that `qarunner emulator` prints
    rehearsed = stage.run("apply", "--rehearse")
    assert rehearsed.code == 0, rehearsed


def test_a_vendors_long_name_is_cut_where_it_is_shown_and_whole_in_the_lock(begin: Begin) -> None:
    name = "L" * 3000
    stage = begin(docketqa={"tests": {12: {"name": name}}})
    stage.commit(docketqa("pay", "L*"))
    assert stage.run("lock").code == 0
    assert name in lock_of(stage)
    later = begin(docketqa={"tests": {12: {"name": f"{name}!"}, 13: {"name": f"{name}?"}}})
    for command, code in (("plan", 0), ("vendors docketqa --list", 0), ("lock --check", 10), ("lock", 0)):
        ended = stage.run(*command.split(), **at(later))
        assert ended.code == code, ended
        assert "more characters)" in ended.out
        assert max(map(len, ended.out.splitlines())) < 400, command


def test_an_environment_whose_id_has_another_form_is_not_locked(begin: Begin) -> None:
    environment = {"on": "GET /projects/{projectId}/environments", "merge": {"environments": [ODD_ENVIRONMENT]}}
    stage = begin(
        testerarmy={
            "projects": {PROJECT: {"tests": [uuid(1)]}},
            "tests": {uuid(1): {"name": "Search"}},
            "faults": [environment],
        }
    )
    target = {"environment": "Staging"}
    stage.commit(
        {"id": "find", "vendor": "testerarmy", "tests": ["Search"], "target": target},
        vendors={"testerarmy": {"project": PROJECT}},
    )
    ended = stage.run("lock")
    assert ended.code == 2, ended
    assert "'Staging' is nope, which is no id of an environment at testerarmy" in ended.err
    assert not (stage.folder / "qa-matrix.lock").exists()
