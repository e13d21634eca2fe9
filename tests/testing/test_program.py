"""The example plugin, built and installed as anybody would, with the real program against a server on loopback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.amount import some
from tests.testing.installed import Service, User, install

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.program.conftest import Ended
    from tests.testing.installed import Answer, Call

KEY = "acme-key-0123456789"


class Acme(Service):
    """Acme QA: each run is queued once, and done from then on. `words` are results by test; others are `ok`."""

    def __init__(self) -> None:
        super().__init__()
        self.words: dict[str, str] = {}
        self.tests: dict[str, list[str]] = {}
        self.asked: set[str] = set()
        self.keys: set[str | None] = set()

    def answer(self, call: Call) -> Answer:
        self.keys.add(call.headers["Authorization"])
        if call.method == "POST":
            run = f"run-{len(self.creates)}"
            self.tests[run] = call.body["tests"]
            return 201, {"id": run}, {}
        return 200, self.status(call.path.rpartition("/")[2]), {}

    def status(self, run: str) -> object:
        if run not in self.asked:
            self.asked.add(run)
            return {"id": run, "state": "queued"}
        results = [{"id": test, "result": self.words.get(test, "ok")} for test in self.tests[run]]
        return {"id": run, "state": "done", "tests": results}


@pytest.fixture
def server() -> Iterator[Acme]:
    with Acme() as found:
        yield found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory, "vendor-plugin")


def applied(user: User, server: Acme) -> Ended:
    return user.apply(QARUNNER_ACME_URL=server.url, BROKEN_URL=server.url, ACME_API_KEY=KEY)


@pytest.fixture
def user(tmp_path: Path, installed: Path) -> User:
    return User(tmp_path, installed)


# --- the example ------------------------------------------------------------------------------------------------------


def test_it_is_one_of_the_vendors(user: User) -> None:
    table = user.run("vendors")
    assert table.code == 0, table
    assert [line.split()[:3] for line in table.out.splitlines() if line.startswith("acme")] == [
        ["acme", "web", "web_url"]
    ]
    detail = user.run("vendors", "acme")
    assert "Acme QA (acme): https://acme.example/docs" in detail.out
    assert "options: browsers" in detail.out


def test_its_example_is_valid(user: User) -> None:
    user.example()
    done = user.run("validate")
    assert (done.code, done.out) == (0, "qa-matrix.yml: ok, 2 entries\n"), done


@pytest.mark.parametrize(
    ("old", "new", "problem", "hint"),
    [
        ("browsers: 2", "browsers: many", "16:26: error: browsers: expected a whole number, got 'many'", ""),
        ("browsers: 2", "browsers: 0", "16:26: error: browsers: expected at least 1, got the number 0", ""),
        ("browsers: 2", "browsers: 5", "16:26: error: browsers: expected at most 4, got the number 5", ""),
        ("browsers: 2", "browser: 2", "16:16: error: unknown key 'browser'", "did you mean 'browsers'?"),
        ("team: web", "team: 7", "6:17: error: team: expected a text, got the number 7", ""),
        ("team: web", "teem: web", "6:11: error: unknown key 'teem'", "did you mean 'team'?"),
        (
            "test_ids: [t-3]",
            "category_ids: [c]",
            "19:5: error: acme cannot run categories: 'category_ids' is not offered",
            "acme has no categories",
        ),
        ("  vendor: acme", "  vendor: acne", "9:11: error: unknown vendor 'acne'", "did you mean 'acme'?"),
    ],
)
def test_what_it_does_not_take_is_an_error_at_its_line(user: User, old: str, new: str, problem: str, hint: str) -> None:
    user.example(old, new)
    done = user.run("validate")
    assert done.code == 2, done
    assert f"qa-matrix.yml:{problem}" in done.err
    assert hint in done.err


def test_what_a_template_gives_is_checked_once_it_is_known(user: User) -> None:
    declared = "name: acme-tour\nenv: { HOW_MANY: { format: integer } }\n"
    user.example("name: acme-tour\n", declared)
    text = (user.folder / "qa-matrix.yml").read_text(encoding="utf-8")
    user.write(text.replace("browsers: 2", 'browsers: "{{ env.HOW_MANY }}"'))
    assert user.run("validate").code == 0
    assert user.run("plan", "--var", "HOW_MANY=3").code == 0
    refused = user.run("plan", "--var", "HOW_MANY=9")
    assert refused.code == 2, refused
    assert "qa-matrix.yml:17:26: error: browsers: " in refused.err


def test_settings_of_a_plugin_that_no_row_uses_are_checked_too(user: User) -> None:
    user.write("""
        version: 1
        name: shop
        vendors: { acme: { teem: web } }
        matrix:
          - { id: a, vendor: doksi, platform: web, target: { web_url: "https://a.example" }, test_ids: [t] }
        """)
    done = user.run("validate")
    assert done.code == 2, done
    assert "error: unknown key 'teem'" in done.err


def test_the_plan_shows_its_requests(user: User) -> None:
    user.example()
    done = user.run("plan", "--format", "json")
    assert done.code == 0, done
    url = "https://staging.example.com"
    assert [job["request"]["body"] for job in json.loads(done.out)["jobs"]] == [
        {"url": url, "tests": ["t-1", "t-2"], "team": "web", "browsers": 2},
        {"url": url, "tests": ["t-3"], "team": "web"},
    ]
    assert "POST /runs" in user.run("plan").out


def test_an_apply_passes(user: User, server: Acme) -> None:
    user.example()
    done = applied(user, server)
    assert done.code == 0, done
    assert user.verdicts == {"checkout": "passed", "login": "passed"}
    assert server.keys == {f"Bearer {KEY}"}
    assert sorted(body["tests"] for body in server.creates) == [["t-1", "t-2"], ["t-3"]]


@pytest.mark.parametrize(("word", "code", "verdict"), [("broken", 1, "failed"), ("odd", 8, "unknown")])
def test_an_apply_that_does_not_pass(user: User, server: Acme, word: str, code: int, verdict: str) -> None:
    user.example()
    server.words["t-2"] = word
    done = applied(user, server)
    assert done.code == code, done
    assert user.verdicts == {"checkout": verdict, "login": "passed"}


def test_without_an_emulation_there_is_no_rehearsal(user: User) -> None:
    user.example()
    done = user.run("apply", "--rehearse")
    assert done.code == 2, done
    assert "vendor 'acme' has no emulation" in done.err


# --- plugins that are broken ------------------------------------------------------------------------------------------

BROKEN = """
    from msgspec.structs import replace
    from acme_qa import Acme

    class Broken(Acme):
        info = replace(Acme.info, name="broken", url_env=("BROKEN_URL",))

        def {method}(self, *arguments, **named):
            raise KeyError("no such thing")

    VENDOR = Broken()
    """
BOTH = """
    version: 1
    name: both
    defaults: { platform: web, target: { web_url: "https://a.example" }, test_ids: [t-1] }
    matrix:
      - { id: bad, vendor: broken }
      - { id: good, vendor: acme }
    """


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("from acme_qa import Acme\nclass VENDOR(Acme):\n    info = None", "has info.name None"),
        (
            (
                "from acme_qa import Acme\nfrom msgspec.structs import replace\n"
                "class VENDOR(Acme): info = replace(Acme.info, name='broken')"
            ),
            "is a class and not an adapter",
        ),
    ],
)
def test_a_plugin_that_cannot_be_loaded_hides_no_other(user: User, module: str, reason: str) -> None:
    user.add_plugin("broken", module)
    table = user.run("vendors")
    assert table.code == 2, table
    assert "vendor 'broken', which the distribution broken 1.2 adds" in table.err
    assert reason in table.err
    assert {"acme", "certyn", "doksi"} <= {line.split()[0] for line in table.out.splitlines() if line[:1].strip()}
    assert "acme" in json.loads(user.run("vendors", "--output", "json").out)
    user.example()
    assert user.run("validate").code == 0
    user.write(BOTH)
    named = user.run("validate")
    assert named.code == 2, named
    assert "error: vendor 'broken', which the distribution broken 1.2 adds" in named.err
    assert "qa-matrix.yml:6:24" in named.err


def test_a_plugin_cannot_stand_in_for_a_vendor_that_qarunner_brings(user: User) -> None:
    user.add_plugin("thief", "raise RuntimeError('was loaded')", "doksi", "certyn")
    table = user.run("vendors", "doksi")
    assert table.code == 0, table
    assert "Doksi (doksi): https://docs.doksi.ai" in table.out


@pytest.mark.parametrize("method", ["read", "poll"])
def test_a_bug_in_reading_ends_its_own_job_alone(user: User, server: Acme, method: str) -> None:
    user.add_plugin("broken", BROKEN.format(method=method))
    user.write(BOTH)
    done = applied(user, server)
    assert done.code == 9, done
    assert user.verdicts == {"bad": "error", "good": "passed"}
    assert "of the distribution broken 1.2: broken.Broken failed: KeyError: 'no such thing'" in done.out + done.err


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("return None", "TypeError: expected Running or More or Finished, got NoneType"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("return api.Finished(outcomes={'bad': None})", "ValidationError: "),
        ("return api.Running(note=None)", "ValidationError: "),
    ],
)
def test_whatever_reading_gives_other_vendors_go_on(user: User, server: Acme, code: str, words: str) -> None:
    module = BROKEN.format(method="read").replace('raise KeyError("no such thing")', code)
    user.add_plugin("broken", module.replace("import Acme", "import Acme, api"))
    user.write(BOTH)
    done = applied(user, server)
    assert done.code == 9, done
    assert user.verdicts == {"bad": "error", "good": "passed"}
    assert f"broken.Broken failed: {words}" in done.out + done.err


def test_a_bug_in_reading_a_creates_answer_leaves_no_run_unsaid(user: User, server: Acme) -> None:
    user.add_plugin("broken", BROKEN.format(method="accepted"))
    user.write(BOTH)
    done = applied(user, server)
    assert done.code == 8, done
    assert user.verdicts == {"bad": "unknown", "good": "passed"}
    assert "broken.Broken failed: KeyError: 'no such thing'" in done.out + done.err


@pytest.mark.parametrize("method", some(["check", "check_call", "group", "submit", "resources", "notices"], 2))
def test_a_bug_before_anything_is_sent_names_the_distribution(user: User, server: Acme, method: str) -> None:
    user.add_plugin("broken", BROKEN.format(method=method))
    user.write(BOTH)
    done = applied(user, server)
    assert done.code == 9, done
    assert f"vendor 'broken' of the distribution broken 1.2: broken.Broken failed in {method}: KeyError" in done.err
    assert server.creates == []


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ("[]", "entry bad is in 0 of its calls"),
        ("[tuple(entries), tuple(entries)]", "entry bad is in 2 of its calls"),
        ("[tuple(entries), ()]", "a call has no entry, or one that is not in the plan"),
    ],
)
def test_no_entry_is_lost_and_none_is_paid_twice(user: User, server: Acme, groups: str, words: str) -> None:
    module = BROKEN.format(method="group").replace(
        'raise KeyError("no such thing")', f"entries = arguments[0]; return {groups}"
    )
    user.add_plugin("broken", module)
    user.write(BOTH)
    done = applied(user, server)
    assert done.code == 9, done
    assert words in done.err
    assert server.creates == []


def test_a_schema_that_is_none_is_the_plugins_bug(user: User) -> None:
    module = BROKEN.replace('url_env=("BROKEN_URL",)', 'options={{"a": {{"type": "text"}}}}').format(method="nothing")
    user.add_plugin("broken", module)
    user.write(BOTH.replace("vendor: broken }", "vendor: broken, options: { a: 1 } }"))
    done = user.run("validate")
    assert done.code == 9, done
    assert (
        "vendor 'broken' of the distribution broken 1.2: broken.Broken has options that are no JSON Schema" in done.err
    )
