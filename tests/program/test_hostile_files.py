"""Files that a pull request, a cache or an artifact may hold: nothing outside is read, and nothing written there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from qarunner.engine.io.journal import Journal, read
from qarunner.engine.state.events import RunStarted
from qarunner.entry import Report
from qarunner.plan.model import from_json, seal, to_json
from tests.program.conftest import PROGRAM, git

if TYPE_CHECKING:
    from tests.program.conftest import AtOnce, Begin, Ended, Stage

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links need a privilege there")

WORD = "hunter2-of-a-neighbour"


def in_a_repository(stage: Stage) -> Path:
    """A file beside the repository that is none of its business."""
    stage.folder.joinpath(".gitignore").write_text("site/\n")
    git(stage.folder, "init", "-q")
    private = stage.folder.parent / f"{stage.folder.name}-private"
    private.write_text(f"password: {WORD}\n")
    return private


def refused(ended: Ended, *words: str) -> None:
    assert ended.code == 2, ended
    assert WORD not in ended.text, ended
    for word in words:
        assert word in ended.err, ended


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_manifest_that_is_a_link_out_of_its_repository_is_not_read(begin: Begin, at_once: AtOnce) -> None:
    def check(command: str) -> None:
        stage = begin()
        private = in_a_repository(stage)
        for target in (private, Path("/proc/self/environ"), stage.folder / ".git" / "config"):
            (stage.folder / "qa-matrix.yml").unlink(missing_ok=True)
            (stage.folder / "qa-matrix.yml").symlink_to(target)
            words = (command, "a") if command == "explain" else (command,)
            ended = stage.run(*words, DOKSI_API_KEY=WORD)
            refused(ended, "qa-matrix.yml: cannot be read")
        assert stage.sent() == []

    at_once(("validate", "plan", "apply", "diff", "explain"), check)


def test_a_manifest_or_a_lock_that_is_a_link_shows_no_other_file_of_the_checkout(begin: Begin, at_once: AtOnce) -> None:
    """A job's own files lie there as well, such as what a login has left."""

    def check(command: str) -> None:
        stage = begin()
        in_a_repository(stage)
        (stage.folder / ".gitignore").write_text("secrets.yml\n")
        files = {
            ".env": f"LOGIN={WORD}\n",
            "creds.json": f'{{"key": "{WORD}", "matrix": 1}}\n',
            "new.yml": f"a: {WORD}",
        }
        manifest = stage.folder / "qa-matrix.yml"
        for name, text in {**files, "secrets.yml": f"matrix: {WORD}\n"}.items():
            (stage.folder / name).write_text(text)
            manifest.unlink(missing_ok=True)
            manifest.symlink_to(name)
            refused(stage.run(command), "qa-matrix.yml: cannot be read: it is a link to a file ")
            manifest.unlink()
            stage.commit({"id": "a", "vendor": "docketqa", "tests": ["Login"]})
            (stage.folder / "qa-matrix.lock").symlink_to(name)
            refused(stage.run(command), "qa-matrix.lock:1:1: error: the lock is a link")
            (stage.folder / "qa-matrix.lock").unlink()
        assert stage.sent() == []

    at_once(("validate", "plan", "diff"), check)


def test_a_manifest_may_be_a_link_to_another_one_of_its_repository(stage: Stage) -> None:
    in_a_repository(stage)
    stage.commit(stage.doksi("a"), name="other.yml")
    (stage.folder / "qa-matrix.yml").unlink(missing_ok=True)
    (stage.folder / "qa-matrix.yml").symlink_to("other.yml")
    assert stage.run("validate").code == 0


def test_no_file_is_a_fragment_that_does_not_look_like_one(stage: Stage) -> None:
    in_a_repository(stage)
    for name in (".env", "gha-creds.json", ".npmrc", "notes.txt"):
        (stage.folder / name).write_text(f"PAYMENT_LOGIN={WORD}\n")
        (stage.folder / "link.yml").unlink(missing_ok=True)
        (stage.folder / "link.yml").symlink_to(name)
        for glob in (name, "link.yml"):
            stage.commit(stage.doksi("a"), include=[glob])
            refused(stage.run("validate"), "does not end in .yml or .yaml")
    stage.commit(stage.doksi("a"), include=[".git/config.yml"])
    (stage.folder / ".git" / "config.yml").write_text(f"matrix: {WORD}\n")
    refused(stage.run("validate"), "lies in .git")


def test_no_file_is_a_fragment_that_git_ignores_or_another_repository_holds(stage: Stage) -> None:
    """A job's own files lie in the checkout as well: ignored, in a clone beside, or in a package."""
    in_a_repository(stage)
    (stage.folder / ".gitignore").write_text("secrets/\n*.local.yml\n")
    for name in ("secrets/ci.yml", "qa/x.local.yml", "beside/a.yml"):
        path = stage.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"matrix: [{{ id: b, password: {WORD} }}]\n")
    git(stage.folder / "beside", "init", "-q")
    for glob in ("secrets/ci.yml", "qa/*.yml", "beside/*"):
        stage.commit(stage.doksi("a"), include=[glob])
        for command in (("validate",), ("plan",), ("explain", "a")):
            refused(stage.run(*command), "is ignored by git, or belongs to another repository")


def test_files_that_git_has_or_would_add_are_fragments(stage: Stage) -> None:
    in_a_repository(stage)
    (stage.folder / ".gitignore").write_text("*.local.yml\n")
    shared = stage.folder.parent / "shared"
    for folder in (stage.folder / "qa", shared):
        folder.mkdir()
    git(shared, "init", "-q")
    (shared / "s.yml").write_text("matrix: [{ id: of-a-submodule, test_ids: [t] }]\n")
    git(shared, "add", "-A")
    git(shared, "commit", "-qm", "one")
    git(stage.folder, "-c", "protocol.file.allow=always", "submodule", "add", "-q", shared.as_posix(), "shared")
    for name in ("of-git.local", "new", "Ünïcode [1] *"):
        (stage.folder / "qa" / f"{name}.yml").write_text(f"matrix: [{{ id: {name[:3].lower()}, test_ids: [t] }}]\n")
    git(stage.folder, "add", "-f", "qa/of-git.local.yml")
    target = {"vendor": "doksi", "platform": "web", "target": {"web_url": "https://shop.example"}}
    (stage.folder / "qa" / "Ünïcode [1] *.yml").write_text("matrix: [{ id: uni, test_ids: [t] }]\n", encoding="utf-8")
    stage.commit(stage.doksi("a"), include=["qa/*.yml", "shared/*.yml"], defaults=target)
    ended = stage.run("validate")
    assert (ended.code, "5 entries" in ended.text) == (0, True), ended


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 there")
def test_a_name_that_is_not_utf_8_is_one_error(stage: Stage) -> None:
    path = os.fsencode(stage.folder) + b"/caf\xe9.yml"
    Path(os.fsdecode(path)).write_text("matrix: [{ id: b, test_ids: [t] }]\n")
    stage.commit(stage.doksi("a"), include=["*\u00e9.yml", "caf*.yml"])
    for command in ("validate", "plan", "apply"):
        ended = stage.run(command)
        assert ended.code == 2, ended
        assert r"include: caf\xe9.yml has a name that is not UTF-8" in ended.err
    manifest = os.fsdecode(os.fsencode(stage.folder) + b"/m\xe9.yml")
    Path(manifest).write_bytes(stage.commit(stage.doksi("a")).read_bytes())
    for command in ("validate", "plan", "apply", "diff"):
        words = ("--file",) if command == "diff" else ()
        ended = stage.run(command, *words, os.fsdecode(b"m\xe9.yml"))
        assert (ended.code, "not UTF-8" in ended.err) == (2, True), ended


def test_what_the_command_line_names_has_to_be_a_file(stage: Stage) -> None:
    in_a_repository(stage)
    stage.commit(stage.doksi("a"))
    os.mkfifo(stage.folder / "pipe")
    refused(stage.run("plan", "--env-file", "pipe"), "--env-file pipe: cannot be read: is no regular file")
    refused(stage.run("validate", "pipe"), "pipe: cannot be read: it is no file")
    refused(stage.run("validate", "/dev/null"), "/dev/null: cannot be read: it is no file")


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_report_replaces_a_link_and_follows_none(begin: Begin, at_once: AtOnce) -> None:
    def check(form: str) -> None:
        stage = begin()
        private = in_a_repository(stage)
        before = private.read_bytes()
        stage.commit(stage.doksi("a"), reports=[{"format": form, "path": "of-the-manifest.out"}])
        (stage.folder / "of-the-manifest.out").symlink_to(private)
        refused(stage.apply(), "of-the-manifest.out: leads out of the manifest's folder")
        (stage.folder / "of-the-manifest.out").unlink()
        (stage.folder / "of-the-manifest.out").symlink_to("qa-matrix.yml")
        for name in ("named.out", ".of-the-manifest.out.1.tmp"):
            (stage.folder / name).symlink_to(private)
        ended = stage.apply("--report", f"{form}=named.out")
        assert ended.code == 0, ended
        assert private.read_bytes() == before
        assert b"matrix" in (stage.folder / "qa-matrix.yml").read_bytes()
        for name in ("named.out", "of-the-manifest.out"):
            assert not (stage.folder / name).is_symlink()
            assert (stage.folder / name).stat().st_size > 0

    at_once(("json", "junit", "ctrf", "markdown", "html"), check)


REPORTS = {
    ".git/config": "lies in .git",
    ".git/hooks/post-checkout": "lies in .git",
    ".qarunner/runs/r1/journal.jsonl": "lies in .qarunner",
    "kept/r1/journal.jsonl": "which holds the runs",
    "qa-matrix.yml": "git tracks this file",
    "new.yml": "has the name of a manifest, a fragment or a lock",
    "link/report.xml": "lies behind the link link",
    "a\0b": "character",
    "n" * 300: "cannot be written",
    "a\ud800b": "character",
}


def test_a_report_goes_where_it_may_and_nowhere_else(begin: Begin, at_once: AtOnce) -> None:
    def check(path: str) -> None:
        stage = begin()
        private = in_a_repository(stage)
        (stage.folder / "link").symlink_to(private.parent)
        stage.commit(stage.doksi("a"))
        git(stage.folder, "add", "qa-matrix.yml")
        before = {file: file.read_bytes() for file in stage.folder.rglob("*") if file.is_file()}
        words = ("--runs-dir", "kept")
        named = stage.apply("--report", f"junit={path}", *words) if path.isprintable() else None
        if named is not None:
            refused(named, REPORTS[path])
        assert {file: file.read_bytes() for file in stage.folder.rglob("*") if file in before} == before
        if path != "qa-matrix.yml":
            stage.commit(stage.doksi("a"), reports=[{"format": "junit", "path": path}])
            of_manifest = stage.apply(*words)
            assert of_manifest.code == 2, of_manifest
            if path != "kept/r1/journal.jsonl":  # only the command line says where runs are kept
                assert stage.run("validate").code == 2
            assert not (private.parent / "report.xml").exists()
        else:
            git(stage.folder, "mv", "qa-matrix.yml", "m.yml")
            (stage.folder / "m.yml").unlink()
            stage.commit(stage.doksi("a"), name="m.yml", reports=[{"format": "junit", "path": "m.yml"}])
            refused(stage.apply("m.yml", *words), "git tracks this file")
        assert stage.sent() == []

    at_once(REPORTS, check)


def test_where_git_cannot_tell_what_it_tracks_there_is_a_warning(stage: Stage) -> None:
    in_a_repository(stage)
    stage.commit(stage.doksi("a"))
    ended = stage.apply("--report", "junit=qa.xml", GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert ended.code == 0, ended
    assert "--report junit=qa.xml: git cannot tell whether it tracks this file: git: detected dubious" in ended.err
    assert (stage.folder / "qa.xml").exists()


def test_a_run_is_written_through_no_link(begin: Begin, at_once: AtOnce) -> None:
    def check(name: str) -> None:
        stage = begin()
        private = in_a_repository(stage)
        elsewhere = private.parent / f"{stage.folder.name}-elsewhere"
        elsewhere.mkdir()
        stage.commit(stage.doksi("a"))
        link = stage.folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(elsewhere if "." not in link.name[1:] else elsewhere / "file")
        ended = stage.apply()
        assert not list(elsewhere.iterdir()), ended
        # What other applies have sent cannot be counted then, which is a warning.
        assert ended.code == (0 if link.name == ".limits" else 2), ended

    at_once(
        [
            ".qarunner",
            ".qarunner/runs",
            ".qarunner/runs/r1",
            *(f".qarunner/runs/r1/{name}" for name in ("plan.json", "journal.jsonl", "report.json")),
            ".qarunner/runs/.limits",
        ],
        check,
    )


def test_a_plan_is_saved_through_no_link(stage: Stage) -> None:
    private = in_a_repository(stage)
    before = private.read_bytes()
    stage.commit(stage.doksi("a"))
    for command, words in (("plan", ()), ("diff", ("--format", "json", "qa-matrix.yml", "--file", "b.yml"))):
        stage.commit(stage.doksi("b"), name="b.yml")
        out = stage.folder / f"{command}.json"
        out.symlink_to(private)
        ended = stage.run(command, *words, "--out", out.name)
        assert ended.code == 0, ended
        assert not out.is_symlink()
        refused(stage.run(command, *words, "--out", ".git/config"), "lies in .git")
    assert private.read_bytes() == before


def test_init_writes_through_no_link(stage: Stage) -> None:
    private = in_a_repository(stage)
    before = private.read_bytes()
    (stage.folder / "qa-matrix.schema.json").symlink_to(private)
    ended = stage.run("init", "--vendor", "doksi")
    assert ended.code == 0, ended
    assert private.read_bytes() == before
    (stage.folder / "qa-matrix.yml").unlink()
    (stage.folder / "qa-matrix.yml").symlink_to(private.parent / "new")
    assert stage.run("init", "--vendor", "doksi").code == 2
    assert not (private.parent / "new").exists()


def test_a_step_summary_is_written_through_no_link(stage: Stage) -> None:
    private = in_a_repository(stage)
    before = private.read_bytes()
    (stage.folder / "summary.md").symlink_to(private)
    stage.commit(stage.doksi("a"))
    ended = stage.apply(GITHUB_STEP_SUMMARY="summary.md")
    assert ended.code == 0, ended
    assert "GITHUB_STEP_SUMMARY=summary.md: cannot be written" in ended.err
    assert private.read_bytes() == before


# --- a plan that somebody else wrote ----------------------------------------------------------------------------------


def test_the_paths_of_a_plan_are_checked_as_if_they_stood_in_a_manifest(stage: Stage) -> None:
    in_a_repository(stage)
    other = stage.folder.parent / f"{stage.folder.name}-other"
    other.mkdir()
    (other / "build.apk").write_text(WORD)
    changed: list[dict[str, Any]] = [
        {"manifest": f"../{other.name}/x.yml"},
        {"manifest": f"{other}/x.yml"},
        {"reports": (Report(format="json", path=f"../{other.name}/escaped.json"),)},
        {"reports": (Report(format="json", path=f"{other}/escaped.json"),)},
        {"reports": (Report(format="json", path=".git/config"),)},
        {"reports": (Report(format="json", path=".qarunner/runs/r1/journal.jsonl"),)},
    ]
    for number, changes in enumerate(changed):
        stage.commit(stage.doksi("a"), reports=[{"format": "json", "path": "escaped.json"}])
        run = f"r{number}"
        ended = stage.run("apply", "--detach", "--run-id", run, "--poll-interval", "20ms")
        assert ended.code == 0, ended
        forge(stage.run_folder(run), changes)
        refused(stage.resume(run))
        assert not (other / "escaped.json").exists()
        assert b"verdict" not in (stage.folder / ".git" / "config").read_bytes()


def forge(folder: Path, changes: dict[str, Any]) -> None:
    """Changes a run's plan, and writes a journal that fits: whoever has no key can do that."""
    plan = seal(msgspec.structs.replace(from_json((folder / "plan.json").read_bytes(), path=folder), **changes))
    started, *others = read(folder).events
    assert isinstance(started, RunStarted)
    shutil.rmtree(folder)
    with Journal.create(folder, to_json(plan), msgspec.structs.replace(started, digest=plan.digest)) as journal:
        for event in others:
            journal.append(event)


# --- a folder that is gone --------------------------------------------------------------------------------------------


def test_a_working_directory_that_is_gone_is_a_users_matter(stage: Stage) -> None:
    folder = stage.folder / "gone"
    folder.mkdir()
    script = f'cd "{folder}" && rmdir "{folder}" && exec "{PROGRAM}" validate'
    ended = subprocess.run(["sh", "-c", script], env=stage.environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended
    folder.mkdir()
    step = f'"{sys.executable}" -I -m qarunner.cli.pipelines.github name'
    script = f'cd "{folder}" && rmdir "{folder}" && exec {step}'
    named = subprocess.run(["sh", "-c", script], env=stage.environ, capture_output=True, text=True, check=False)
    assert (named.returncode, named.stderr) == (2, ""), named
    assert "the working directory does not exist any more" in named.stdout
    stage.customise("import os\nos.mkdir('gone')\nos.chdir('gone')\nos.rmdir('../gone')\n")
    names = "validate, plan, apply, diff, status, runs, resume, cancel, report, init --vendor doksi, explain a"
    for words in names.split(", "):
        shown = stage.run(*words.split())
        assert shown.code == 2, (words, shown)
        for text in (shown.err, ended.stderr):
            assert "the working directory does not exist any more" in text, (words, shown)
            assert "Traceback" not in text


# --- an earlier run's reports -----------------------------------------------------------------------------------------


UNREADABLE = (
    ("--timeout", "soon"),
    ("--poll-interval", "0"),
    ("--on-interrupt", "stop"),
    ("--timeout", "1m", "--timeout", "2m"),
    ("--run-id", "../x"),
    ("--scenario", "s.yml"),
    ("--report", "jnuit=other.xml"),
    ("--report", "junit=qa-matrix.yml/x"),
    ("--report", "ctrf=named.xml"),
    ("--report", "junit=.git/config"),
)
"""Words of an apply or a resume that are refused for themselves."""


def test_no_apply_leaves_an_earlier_runs_report(begin: Begin, at_once: AtOnce) -> None:
    """Whatever ends it before anything is sent: the CI system would publish yesterday's green file."""
    cases: list[tuple[int, tuple[str, ...], dict[str, Any]]] = [
        (2, (), {"gate": {"min_tests": "many"}}),
        (2, (), {"env": {"X": {}}, "defaults": {"name": "{{ env.X }}"}}),
        (2, ("--env-file", "none"), {}),
        (3, ("--select", "zzz"), {}),
        (6, ("--max-tests", "0"), {}),
        (5, ("plan.json",), {}),
        (2, (), {"vendors": {"doksi": {"api_key_env": "NOT_SET_DOKSI_KEY"}}}),
        *((2, words, {}) for words in UNREADABLE),
    ]

    def check(case: tuple[int, tuple[str, ...], dict[str, Any]]) -> None:
        code, words, top = case
        stage = begin()
        in_a_repository(stage)
        reports = [{"format": "junit", "path": "of-the-manifest.xml"}]
        stage.commit(stage.doksi("a"), reports=reports)
        assert stage.run("plan", "--out", "plan.json").code == 0
        stage.commit(stage.doksi("a"), stage.doksi("b"), reports=reports, **top)
        for name in ("named.xml", "of-the-manifest.xml"):
            (stage.folder / name).write_text("<testsuites name='yesterday'/>")
        ended = stage.run("apply", *words, "--report", "junit=named.xml")
        assert ended.code == code, ended
        # Words that are refused for themselves are refused before there is a manifest.
        for name in ("named.xml", *(["of-the-manifest.xml"] if words[:1] != ("--report",) else [])):
            assert not (stage.folder / name).exists(), (name, ended)
        assert stage.sent() == []

    at_once(cases, check)


def test_a_resume_leaves_no_earlier_report_either(stage: Stage) -> None:
    in_a_repository(stage)
    stage.commit(stage.doksi("a"), reports=[{"format": "junit", "path": "of-the-manifest.xml"}])
    assert stage.apply("--detach").code == 0
    for name in ("named.xml", "of-the-manifest.xml"):
        (stage.folder / name).write_text("<testsuites name='yesterday'/>")
    process = stage.start("resume", "r1", "--poll-interval", "600s", "--report", "junit=named.xml")
    stage.until(lambda: not (stage.folder / "named.xml").exists())
    process.kill()
    assert not (stage.folder / "of-the-manifest.xml").exists()


def test_a_refused_resume_leaves_no_earlier_report_unless_another_process_drives_the_run(begin: Begin) -> None:
    stage = begin(doksi={"default": {"duration": "10h"}})
    stage.commit(stage.doksi("a"))
    assert stage.apply("--detach").code == 0
    shutil.copytree(stage.run_folder(), stage.run_folder("copied"))
    shutil.copytree(stage.run_folder(), stage.run_folder("damaged"))
    (stage.run_folder("damaged") / "plan.json").write_text("{")
    named = stage.folder / "named.xml"
    for run in ("missing", "copied", "damaged"):
        named.write_text("<testsuites name='yesterday'/>")
        ended = stage.run("resume", run, "--report", "junit=named.xml")
        assert ended.code == 2, ended
        assert not named.exists(), ended
    for words in UNREADABLE:
        if words[0] not in {"--run-id", "--scenario"}:
            named.write_text("<testsuites name='yesterday'/>")
            ended = stage.run("resume", "r1", *words, "--report", "junit=named.xml")
            assert (ended.code, named.exists()) == (2, False), ended
    process = stage.start("resume", "r1", "--poll-interval", "600s", "--report", "json=theirs.json")
    stage.until(lambda: stage.events("Resumed"))
    named.write_text("<testsuites name='its own'/>")
    ended = stage.run("resume", "r1", "--report", "junit=named.xml")
    assert ended.code == 2, ended
    assert "another qarunner is at work" in ended.err
    assert named.exists()
    process.kill()


def test_a_resume_of_a_rehearsal_that_is_gone_leaves_no_earlier_report(stage: Stage) -> None:
    stage.commit(stage.doksi("a"))
    assert stage.run("apply", "--rehearse", "--detach", "--run-id", "r1").code == 0
    (stage.run_folder() / "emulator.jsonl").unlink()
    named = stage.folder / "named.xml"
    named.write_text("<testsuites name='yesterday'/>")
    ended = stage.run("resume", "r1", "--report", "junit=named.xml")
    assert (ended.code, named.exists()) == (2, False), ended


def test_a_refused_report_leaves_no_earlier_one(begin: Begin, at_once: AtOnce) -> None:
    """The job that joins shards publishes what stands under the name that it gave."""

    def check(words: tuple[str, ...]) -> None:
        stage = begin()
        in_a_repository(stage)
        stage.commit(stage.doksi("a"))
        assert stage.apply().code == 0
        shutil.copytree(stage.run_folder(), stage.run_folder("damaged"))
        (stage.run_folder("damaged") / "plan.json").write_text("{")
        out = stage.folder / "whole.xml"
        out.write_text("<testsuites name='yesterday'/>")
        ended = stage.run("report", *words, "--format", "junit", "--out", out.name)
        assert (ended.code, out.exists()) == (2, False), ended

    merged = ("--merge", "r1", "damaged")
    unions = (("--union",), ("--merge", "--union", "r1"), ("--merge", "--union", "--manifest", "b.yml", "r1"))
    plain = (("missing",), ("damaged",), ("r1", "r2"), ("--merge",), ("--merge", "missing"), ("--open", "r1"))
    at_once((merged, *unions, *plain), check)


def test_no_command_waits_for_a_pipe_or_reads_a_device_in_a_run_s_folder(begin: Begin, at_once: AtOnce) -> None:
    """`runs` waited for a writer of the pipe; a link to a device was read without end."""

    def check(name: str) -> None:
        stage = begin()
        stage.commit(stage.doksi("a"))
        stage.apply()
        (stage.run_folder() / name).unlink(missing_ok=True)
        os.mkfifo(stage.run_folder() / name)
        shutil.copytree(stage.run_folder(), stage.run_folder("r2"), ignore=lambda *_: [name])
        (stage.run_folder("r2") / name).symlink_to("/dev/zero")
        assert stage.run("runs").code == 0
        for run, command in (("r1", "status"), ("r1", "resume"), ("r2", "report"), ("r2", "watch")):
            ended = stage.run(command, run)
            assert ended.code == 2, ended
            assert "Traceback" not in ended.text, ended

    at_once(("plan.json", "journal.jsonl"), check)
