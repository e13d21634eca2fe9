"""The files for CI systems against their public schemas and linters, and their commands against the program."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from check_jsonschema import main as check_jsonschema  # type: ignore[import-untyped]  # it has no types
from click.testing import CliRunner

from generate.pipeline_inputs import action_inputs, action_variables, component_inputs, component_variables
from qarunner.app.options import options_of
from qarunner.cli.command_line import COMMANDS
from qarunner.cli.console import open_console
from qarunner.cli.pipelines import gitlab
from qarunner.cli.pipelines.arguments import POSITIONAL
from qarunner.errors import UserError
from tests.program.conftest import Started

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
PIPELINES = ROOT / "examples" / "pipelines"
WORKFLOWS = sorted((PIPELINES / "github").glob("*.yml"))
OWN_WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCHEMAS = [
    ("github-actions", ROOT / "action.yml", ()),
    *(("github-workflows", path, ()) for path in (*WORKFLOWS, *OWN_WORKFLOWS)),
    ("gitlab-ci", PIPELINES / "gitlab" / ".gitlab-ci.yml", ("--data-transform", "gitlab-ci")),
    ("circle-ci", PIPELINES / "circleci" / "config.yml", ()),
    ("azure-pipelines", PIPELINES / "azure" / "azure-pipelines.yml", ("--data-transform", "azure-pipelines")),
    ("buildkite", PIPELINES / "buildkite" / "pipeline.yml", ()),
    ("bitbucket-pipelines", PIPELINES / "bitbucket" / "bitbucket-pipelines.yml", ()),
]
FILES = [ROOT / "templates" / "qarunner.yml", *(path for path in sorted(PIPELINES.rglob("*")) if path.is_file())]


def tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def fits(path: Path, schema: str, *more: str) -> None:
    """check-jsonschema, in this process: it would import for longer than it checks."""
    done = CliRunner().invoke(check_jsonschema, ["--builtin-schema", f"vendor.{schema}", *more, str(path)])
    assert done.exit_code == 0, done.output


def run(*words: str) -> str:
    ended = Started(words, ROOT, {"PATH": os.environ["PATH"]}).end()
    assert ended.code == 0, ended
    return ended.out


def relative(value: object) -> str:
    return value.relative_to(ROOT).as_posix() if isinstance(value, Path) else str(value)


@pytest.mark.parametrize(("schema", "path", "more"), SCHEMAS, ids=relative)
def test_it_fits_the_systems_public_schema(schema: str, path: Path, more: tuple[str, ...]) -> None:
    fits(path, schema, "--regex-variant", "python", *more)


def test_nothing_in_the_action_and_the_workflows_is_unsafe(tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    for path in (*WORKFLOWS, *OWN_WORKFLOWS):
        shutil.copy(path, folder)
    shutil.copy(ROOT / "action.yml", tmp_path)
    words = [tool("zizmor"), "--offline", "--no-progress", str(folder), str(tmp_path / "action.yml")]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def help_of(command: str) -> str:
    return run(command, "--help")


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_its_commands_are_ones_that_the_program_takes(path: Path) -> None:
    """Options that a file names exist; what they do is tested where they are."""
    text = path.read_text(encoding="utf-8")
    matches = re.findall(r"\bqarunner\"? ((?:validate|plan|apply|resume|cancel|report|diff)\b[^\n>'|]*)", text)
    for command in matches:
        name = re.split("[^a-z]", command)[0]
        shown = help_of(name)
        for option in re.findall(r"--[a-z-]+", command):
            assert option in shown, f"{path.name}: qarunner {name} has no {option}"
    assert matches or path.parent.name == "github", path


@pytest.mark.parametrize("path", WORKFLOWS, ids=relative)
def test_a_workflow_gives_the_action_inputs_that_it_has(path: Path) -> None:
    inputs = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"]
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    given = [
        step.get("with", {}) for job in jobs.values() for step in job["steps"] if "/qarunner@" in step.get("uses", "")
    ]
    assert given
    for each in given:
        assert set(each) <= set(inputs)


def test_every_input_is_an_option_of_the_program() -> None:
    data = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    step = next(step for step in data["runs"]["steps"] if step.get("id") == "run")
    passed = {
        name.removeprefix("INPUT_").lower().replace("_", "-") for name in step["env"] if name.startswith("INPUT_")
    }
    assert passed == set(data["inputs"]) - {"comment", "token", "cache", "python", "install", "emulator"}
    assert passed >= {
        field.name.removeprefix("--")
        for command in POSITIONAL
        for field in options_of(COMMANDS[command].options)
        if field.name not in {"", "--continue"}
    }


@pytest.mark.parametrize(
    ("file", "options", "variables"),
    [
        ("action.yml", action_inputs(), action_variables()),
        ("templates/qarunner.yml", component_inputs(), component_variables()),
    ],
)
def test_inputs_are_made_from_the_programs_options(
    file: str, options: str, variables: str, golden: Callable[[Path, str], None]
) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    for name, lines in (("options", options), ("variables", variables)):
        pattern = rf"(\n *# <{name}>[^\n]*\n).*?( *# </{name}>\n)"
        assert len(re.findall(pattern, text, re.DOTALL)) == 1
        text = re.sub(pattern, lambda found, lines=lines: found[1] + lines + found[2], text, flags=re.DOTALL)  # type: ignore[misc]
    golden(ROOT / file, text)


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", [*FILES, ROOT / "action.yml", ROOT / "Containerfile", *PAGES], ids=relative)
def test_nothing_is_imported_from_the_checkout_or_taken_from_an_index_by_name(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"pip3? install[^\n]*\bqarunner\b(?!/|\[|-)", text), "whoever owns the name gets every key"
    for line in text.splitlines():
        if re.search(r"(python3?|PYTHON\w*)\S* .*-m ", line) and "unittest" not in line:
            assert re.search(r"-[IP]\b", line), f"{line.strip()}: -m puts the checkout first on the path"


@pytest.mark.skipif(os.name == "nt", reason="the agent's commands are a shell's")
def test_a_retried_job_of_buildkite_takes_the_newest_runs_that_an_attempt_left(tmp_path: Path) -> None:
    """The agent downloads no artifact of a job that was retried, unless it is asked for."""
    text = (ROOT / "examples/pipelines/buildkite/pipeline.yml").read_text(encoding="utf-8")
    commands = [line.replace("$$", "$") for line in yaml.safe_load(text)["steps"][0]["commands"]]
    bring = [line for line in commands if not re.search(r"install\.py|qarunner-source|apply", line)]
    store, agent = tmp_path / "store", tmp_path / "bin" / "buildkite-agent"
    agent.parent.mkdir()
    agent.write_text(f'#!/bin/sh\ncase "$*" in *--include-retried-jobs*) cp -R {store}/. .;; *) exit 1;; esac\n')
    agent.chmod(0o755)
    for attempt in range(3):
        (checkout := tmp_path / str(attempt)).mkdir()
        environ = {"PATH": f"{agent.parent}:{os.environ['PATH']}", "BUILDKITE_RETRY_COUNT": str(attempt)}
        run = f'{"; ".join(bring)}; mkdir -p "$runs"; echo {attempt} >> "$runs/journal"; cat "$runs/journal"'
        done = subprocess.run(
            ["bash", "-ec", run], cwd=checkout, env=environ, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [["0"], ["0", "1"], ["0", "2"]][attempt]
        if attempt != 1:  # an attempt that was lost left nothing
            shutil.copytree(checkout, store, dirs_exist_ok=True)


def test_the_hook_is_a_valid_one() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    (hook,) = hooks
    assert hook["entry"].split()[0] == "qarunner"
    # Any YAML file can be a fragment, and the manifest that includes it is what has to be checked.
    assert hook["pass_filenames"] is False
    assert "types" not in hook
    assert all(re.search(hook["files"], name) for name in ("qa-matrix.yml", "qa/any.yaml", "qa-matrix.lock"))
    assert not re.search(hook["files"], "src/main.py")


# --- the component and the page ---------------------------------------------------------------------------------------


def component(inputs: dict[str, str]) -> str:
    """The component's second document with its inputs filled in, as GitLab does before it reads it."""
    text = (ROOT / "templates" / "qarunner.yml").read_text(encoding="utf-8")
    header, _, body = text.partition("\n---\n")
    spec = yaml.safe_load(header)["spec"]["inputs"]
    assert set(inputs) <= set(spec)
    values = {name: str(inputs.get(name, value["default"])) for name, value in spec.items()}
    assert all(value["description"] for value in spec.values())
    return re.sub(r"\$\[\[ inputs\.([a-z-]+) \]\]", lambda found: values[found[1]], body)


@pytest.mark.parametrize(
    "inputs",
    [{}, {"shards": "4", "file": "qa/matrix.yml", "source": "https://git.example.com/q.git", "ref": "0123abc"}],
)
def test_the_component_is_a_pipeline(tmp_path: Path, inputs: dict[str, str]) -> None:
    path = tmp_path / ".gitlab-ci.yml"
    path.write_text(component(inputs), encoding="utf-8")
    fits(path, "gitlab-ci", "--data-transform", "gitlab-ci")
    assert "$[[" not in path.read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="the component runs in images of Linux")
@pytest.mark.parametrize("ref", ["", "main", "0123abc", "0123456789abcdef0123456789abcdef0123456 "])
def test_the_component_installs_no_moving_commit(ref: str) -> None:
    jobs = yaml.safe_load(component({"source": "https://git.example.invalid/q.git", "ref": ref}))
    (child,) = (text for text in jobs["qarunner-plan"]["script"] if "<<'END'" in text)
    defaults = yaml.safe_load(child.partition("<<'END'\n")[2].rpartition("END")[0])["default"]
    for script in (jobs[".qarunner"]["before_script"][0], defaults["before_script"][0]):
        done = subprocess.run(["bash", "-ec", script], capture_output=True, encoding="utf-8", check=False)
        assert (done.returncode, done.stderr.partition(",")[0]) == (
            2,
            "qarunner: the input ref is the whole commit of your copy to install",
        )


def test_the_components_inputs_reach_every_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    inputs = {
        "INPUT_FILE": "examples/storefront/qa-matrix.yml",
        "INPUT_SHARDS": "2",
        "INPUT_SELECT": "checkout 'vendor:doksi,!label:slow'",
        "INPUT_TIMEOUT": "45m",
        "INPUT_FAIL_FAST": "true",
        "INPUT_ARGS": "--quiet",
        "INPUT_PROFILE": "",
    }
    out = io.StringIO()
    assert gitlab.plan(open_console({}, output="text", out=out), {"PATH": os.environ["PATH"], **inputs}) == 0
    path = tmp_path / ".gitlab-ci.yml"
    path.write_text(out.getvalue(), encoding="utf-8")
    fits(path, "gitlab-ci", "--data-transform", "gitlab-ci")
    (script,) = yaml.safe_load(out.getvalue())["qarunner 1/2"]["script"]
    words = "--select=checkout '--select=vendor:doksi,!label:slow' --timeout=45m --fail-fast --quiet"
    assert script.startswith(f"qarunner apply examples/storefront/qa-matrix.yml {words} --shard 1/2 ")


def test_the_components_plan_is_that_of_the_applies_with_their_further_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    file = {"INPUT_FILE": "examples/storefront/qa-matrix.yml", "INPUT_SHARDS": "9", "PATH": os.environ["PATH"]}
    made = []
    for inputs in ({"INPUT_SELECT": "checkout/web"}, {"INPUT_ARGS": "--select checkout/web"}):
        out = io.StringIO()
        assert gitlab.plan(open_console({}, output="text", out=out), {**file, **inputs}) == 0
        made.append([job for job in yaml.safe_load(out.getvalue()) if job.startswith("qarunner 1/")])
    assert made == [["qarunner 1/1"]] * 2
    with pytest.raises(UserError, match="'soon' is not a valid int"):
        gitlab.plan(open_console({}, output="text", out=io.StringIO()), {**file, "INPUT_MAX_TESTS": "soon"})


def test_the_child_pipeline_that_the_component_runs_is_one(tmp_path: Path) -> None:
    made = run("plan", "examples/storefront/qa-matrix.yml", "--shards", "3", "--format", "gitlab-ci")
    path = tmp_path / ".gitlab-ci.yml"
    path.write_text(made, encoding="utf-8")
    fits(path, "gitlab-ci", "--data-transform", "gitlab-ci")
    jobs = yaml.safe_load(made)
    assert "qarunner apply examples/storefront/qa-matrix.yml --shard 1/3" in str(jobs["qarunner 1/3"]["script"])


def test_the_page_has_every_input_and_output(request: pytest.FixtureRequest) -> None:
    page = ROOT / "docs" / "pipelines.md"
    data = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    text = page.read_text(encoding="utf-8")
    for section in ("inputs", "outputs"):
        head = f"| {section.removesuffix('s')} | |\n|---|---|\n"
        rows = head + "".join(f"| `{name}` | {item['description']} |\n" for name, item in data[section].items())
        text = re.sub(
            rf"<!-- {section} -->\n.*?<!-- /{section} -->",
            f"<!-- {section} -->\n{rows}<!-- /{section} -->",
            text,
            flags=re.DOTALL,
        )
    if request.config.getoption("--update-golden"):
        page.write_text(text, encoding="utf-8")
    assert text == page.read_text(encoding="utf-8")
