"""What needs no vendor: `validate`, `plan`, `vendors`, `schema`; and what brings its own: `emulator`, `--rehearse`."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import jsonschema_rs
import pytest

if TYPE_CHECKING:
    from tests.program.conftest import Stage

ROOT = Path(__file__).resolve().parents[2]
STOREFRONT = ROOT / "examples" / "storefront"
WITHOUT_EXTRA = """
import sys
sys.modules["starlette"] = sys.modules["uvicorn"] = None
"""


# --- validate ---------------------------------------------------------------------------------------------------------


def offline(stage: Stage) -> None:
    """Leaves nothing in the environment that leads to a vendor."""
    stage.environ = {name: value for name, value in stage.environ.items() if name in {"PATH", "HOME", "PYTHONPATH"}}


def several(stage: Stage) -> list[str]:
    offline(stage)
    stage.commit(stage.doksi("login", url="{{ env.URL }}"), env={"URL": {"format": "uri"}}, name="good.yml")
    stage.commit(stage.doksi("login", timeout="soon"), name="bad.yml")
    stage.commit(stage.doksi("login", platfrom="web"), stage.certyn("smoke", test_ids=["t"]), name="worse.yml")
    return ["good.yml", "bad.yml", "worse.yml"]


def test_several_manifests_are_checked_at_once_without_any_variable(stage: Stage) -> None:
    ended = stage.run("validate", *several(stage))
    assert ended.code == 2, ended
    assert ended.out == "good.yml: ok, 1 entry\n"
    assert "bad.yml:" in ended.err
    assert "worse.yml:" in ended.err
    assert "3 errors" in ended.err
    assert stage.run("validate", "good.yml").code == 0


def test_problems_as_json(stage: Stage) -> None:
    files = several(stage)
    ended = stage.run("validate", *files, "--output", "json")
    assert ended.code == 2, ended
    problems = json.loads(ended.out)["problems"]
    assert [problem["file"] for problem in problems] == ["bad.yml", "worse.yml", "worse.yml"]
    assert json.loads(stage.run("validate", "good.yml", "--output", "json").out)["problems"] == []
    missing = stage.run("validate", "missing.yml", *files, "--output", "json")
    assert missing.code == 2, missing
    assert "missing.yml" in missing.out
    assert len(json.loads(missing.out)["problems"]) >= 3


def test_problems_for_github_are_annotations_at_their_lines(stage: Stage) -> None:
    ended = stage.run("validate", *several(stage), "--output", "github")
    assert ended.code == 2, ended
    annotations = [line for line in ended.out.splitlines() if line.startswith("::error ")]
    assert [line.split(",")[0] for line in annotations] == [
        "::error file=bad.yml",
        "::error file=worse.yml",
        "::error file=worse.yml",
    ]


def test_the_manifest_of_the_repository_is_found_from_a_folder_below(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    (stage.folder / ".git").mkdir()
    below = stage.folder / "a" / "b"
    below.mkdir(parents=True)
    stage.folder = below
    ended = stage.run("validate")
    assert (ended.code, ended.out) == (0, "../../qa-matrix.yml: ok, 1 entry\n")


def test_the_examples_are_fine(stage: Stage) -> None:
    everything = STOREFRONT.parent.glob("*/qa-matrix.yml")
    examples = sorted(str(path) for path in everything if not (path.parent / "pyproject.toml").exists())
    assert len(examples) >= 3
    ended = stage.run("validate", *examples)
    assert ended.code == 0, ended


# --- plan, schema, vendors --------------------------------------------------------------------------------------------


def test_a_plan_is_the_same_bytes_again_and_nothing_is_sent(stage: Stage) -> None:
    stage.commit(stage.doksi("login"), stage.doksi("other", account="a"), stage.certyn("smoke"))
    for name, seed in (("one.json", "1"), ("two.json", "2")):
        ended = stage.fresh("plan", "--out", f"new/{name}", PYTHONHASHSEED=seed).end()
        assert ended.code == 0, ended
    one, two = ((stage.folder / "new" / name).read_bytes() for name in ("one.json", "two.json"))
    assert one == two
    assert stage.run("plan", "--format", "json").out.encode() == one
    assert stage.sent() == []
    assert stage.apply().code == 0
    assert (stage.run_folder() / "plan.json").read_bytes() == one


def test_a_plan_needs_no_credential_and_shows_every_request(stage: Stage) -> None:
    offline(stage)
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    ended = stage.run("plan")
    assert ended.code == 0, ended
    assert '"web_url": "https://shop.example"' in ended.out
    assert '"processSlug": "smoke"' in ended.out
    assert ended.last == "plan: 2 entries, at least 2 tests in 2 vendor runs: doksi 1, certyn 1; nothing was sent"


def test_a_fragment_has_a_schema_of_its_own(stage: Stage) -> None:
    fragment: dict[str, Any] = {"matrix": [stage.doksi("login")], "x-anchors": {}}
    wrong: list[dict[str, Any]] = [{"matrix": [{"id": "b", "tst_ids": ["b"]}]}, {**fragment, "version": 1}, {}]
    for form in ([], ["--plain"]):
        schema = json.loads(stage.run("schema", "--fragment", *form).out)
        checker = jsonschema.validators.validator_for(schema)(schema)
        assert list(checker.iter_errors(fragment)) == []
        assert not any(map(checker.is_valid, wrong))


def test_a_base_has_a_schema_of_its_own(stage: Stage) -> None:
    base: dict[str, Any] = {"entries": {"label:x": {"timeout": "5m"}}, "limits": {"max_cost": 5}, "x-anchors": {}}
    wrong: list[dict[str, Any]] = [{"matrix": []}, {"entries": {"a": {"id": "b"}}}, {"limits": {"hosts": []}}]
    for form in ([], ["--plain"]):
        schema = json.loads(stage.run("schema", "--base", *form).out)
        checker = jsonschema.validators.validator_for(schema)(schema)
        assert list(checker.iter_errors(base)) == []
        assert not any(map(checker.is_valid, wrong))


def test_help_and_version_are_words(stage: Stage) -> None:
    offline(stage)
    meant = {" ".join(option): stage.run(*option).out for option in (["--version"], ["--help"], ["plan", "--help"])}
    for words, option in (
        ("version", "--version"),
        ("-v version -q", "--version"),
        ("--color never version", "--version"),
        ("version --help", "--help"),
        ("help", "--help"),
        ("help help", "--help"),
        ("help version", "--help"),
        ("help plan", "plan --help"),
        ("-q help --color never plan extra", "plan --help"),
    ):
        said = stage.run(*words.split())
        assert (said.code, said.out) == (0, meant[option]), words


def test_the_schema_is_valid_json_and_a_valid_schema(stage: Stage) -> None:
    ended = stage.run("schema")
    assert ended.code == 0, ended
    schema = json.loads(ended.out)
    jsonschema_rs.meta.validate(schema)


def test_the_vendors_are_listed(stage: Stage) -> None:
    offline(stage)
    listed = stage.run("vendors")
    assert listed.code == 0, listed
    assert "doksi" in listed.out
    assert "certyn" in listed.out
    one = stage.run("vendors", "certyn")
    assert "CERTYN_API_KEY" in one.out
    assert {"doksi", "certyn"} <= set(json.loads(stage.run("vendors", "--output", "json").out))
    unknown = stage.run("vendors", "certin")
    assert unknown.code == 2, unknown
    assert "certyn" in unknown.err


def test_help_and_version(stage: Stage) -> None:
    assert stage.run("--version").out.startswith("qarunner ")
    ended = stage.run("--help")
    assert ended.code == 0, ended
    assert "Usage: qarunner emulator " in stage.run("emulator", "--help").out
    for command in ("validate", "plan", "apply", "resume", "report", "schema", "vendors", "emulator"):
        assert command in ended.out
    wrong = stage.run("aply")
    assert wrong.code == 2, wrong


# --- the last line, and a stdout that takes nothing -------------------------------------------------------------------


def test_an_apply_that_never_began_ends_with_its_code_and_why(stage: Stage) -> None:
    stage.commit(stage.doksi("login"), name="good.yml")
    stage.commit(stage.doksi("login", timeout="soon"), name="bad.yml")
    for words, code, last in (
        (("apply", "bad.yml"), 2, "1 problem in the manifest"),
        (("apply", "good.yml", "--select", "other"), 3, "--select chose none of 1 entries"),
        (("apply", "good.yml", "--max-tests", "0"), 6, "the plan runs 1 test, --max-tests allows 0; nothing was sent"),
        (("apply", "good.yml", "--nope"), 2, "No such option: --nope"),
        (("apply", "good.yml", "--allow-secret", ""), 2, "--allow-secret '': names no variable"),
        (("resume", "nobody"), 2, "no run nobody in .qarunner/runs"),
    ):
        ended = stage.run(*words)
        assert ended.code == code, ended
        assert ended.last == f"qarunner: exit {code}: {last}"
        as_data = stage.run(*words, "--output", "json")
        assert as_data.err.splitlines()[-1] == f"qarunner: exit {code}: {last}"
        assert json.loads(as_data.out or "{}") is not None
    assert stage.sent() == []


def test_without_a_credential_there_is_no_run_to_speak_of(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    ended = stage.run("apply", DOKSI_API_KEY=None)
    assert ended.code == 2, ended
    assert ended.last == "qarunner: exit 2: no credential: DOKSI_API_KEY (Doksi) not set"
    stage.commit(stage.doksi("login"), stage.certyn("cart"))
    ended = stage.run("apply", DOKSI_API_KEY="a b", CERTYN_API_KEY=None, QARUNNER_CERTYN_URL="ftp://x")
    assert ended.last == "qarunner: exit 2: no credential: CERTYN_API_KEY (Certyn) not set"
    assert "DOKSI_API_KEY: has a character that no API key can have (was it pasted with its quotes?)\n" in ended.err
    assert "QARUNNER_CERTYN_URL: 'ftp://x' is no https URL" in ended.err
    assert "vendor run" not in ended.err
    assert not (stage.folder / ".qarunner").exists()


# --- the emulator -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal as POSIX does")
def test_the_emulator_prints_what_leads_to_it_and_serves(stage: Stage) -> None:
    offline(stage)
    emulator = stage.start("emulator", "--speed", "50")
    assert emulator.process.stdout is not None
    exports = dict(emulator.process.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(8))
    stage.environ |= exports
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    ended = stage.apply()
    assert ended.code == 0, ended
    assert emulator.signal(signal.SIGTERM).code == 0


def test_the_storefront_is_rehearsed_without_a_credential_of_ones_own(stage: Stage) -> None:
    offline(stage)
    shutil.copytree(STOREFRONT, stage.folder / "storefront")
    (stage.folder / "fast.yml").write_text(
        "speed: 10\n" + (STOREFRONT / "rehearsal.yml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    ended = stage.run(
        "apply", "storefront/qa-matrix.yml", "--rehearse", "--scenario", "fast.yml", "--poll-interval", "300ms"
    )
    assert ended.code == 0, ended
    assert "rehearsal: emulated vendors" in ended.out
    assert ended.last.startswith("qarunner: exit 0: 1 failed (does not gate)")


def test_a_rehearsal_sends_nothing_to_the_real_vendors(stage: Stage) -> None:
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    (stage.folder / "fast.yml").write_text("speed: 50")
    ended = stage.apply("--rehearse", "--scenario", "fast.yml")
    assert ended.code == 0, ended
    assert stage.report()["rehearsal"] is True
    assert stage.sent() == []


def test_a_scenario_that_makes_no_sense(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    for scenario, words in (
        ("doski: {}", "wrong.yml: unknown field 'doski'"),
        ("doksi: { faults: [{ on: POST /rns }] }", "wrong.yml: doksi.faults[0].on: unknown route"),
    ):
        (stage.folder / "wrong.yml").write_text(scenario)
        ended = stage.apply("--rehearse", "--scenario", "wrong.yml")
        assert ended.code == 2, ended
        assert words in ended.err
    assert not stage.run_folder().exists()


def test_without_the_extra_the_way_to_install_it_is_told(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    stage.customise(WITHOUT_EXTRA)
    for words in (["apply", "--rehearse"], ["emulator"]):
        ended = stage.fresh(*words).end()
        assert ended.code == 2, ended
        # From where this qarunner came: whoever owns its name at an index is somebody else.
        assert re.search(rf"-m pip install (--editable )?'?{re.escape(str(ROOT))}\[emulator\]", ended.err)
        assert "Traceback" not in ended.text
    shown = stage.fresh("emulator", "--help").end()
    assert shown.code == 0, shown
    assert "--scenario FILE" in shown.out
    assert stage.run("plan").code == 0
