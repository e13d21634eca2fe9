"""git is asked in one way: at the repository's root, and nothing that a checkout names is executed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from qarunner.app.git import Git, Repository, changed_since, files_of, tracked
from qarunner.errors import UserError
from qarunner.known import Known, Refused, Unknown

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git")

ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
OWNER = ("-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *OWNER, *words], cwd=folder, env=ENVIRON, check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit of `main`."""
    root = tmp_path / "checkout"
    (root / "app").mkdir(parents=True)
    (root / "app" / "qa-matrix.yml").write_text("version: 1\n")
    (root / "app" / "code.py").write_text("one\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


# --- what a checkout could have executed ------------------------------------------------------------------------------


@pytest.fixture
def trap(tmp_path: Path) -> tuple[str, Path]:
    """A command that leaves a file behind, and the file."""
    sprung = tmp_path / "sprung"
    program = tmp_path / "trap.sh"
    program.write_text(f"#!/bin/sh\ntouch '{sprung}'\ncat\n")
    program.chmod(0o755)
    return str(program), sprung


def settings_of_traps(program: str) -> list[tuple[str, str]]:
    return [
        ("core.fsmonitor", program),
        ("core.pager", program),
        ("pager.diff", program),
        ("pager.ls-files", program),
        ("diff.external", program),
        ("diff.x.textconv", program),
        ("diff.x.command", program),
        ("filter.x.clean", program),
        ("filter.x.smudge", program),
        ("filter.x.process", program),
        ("filter.x.required", "true"),
        ("core.hooksPath", str(Path(program).parent)),
    ]


def ask_everything(folder: Path, environ: dict[str, str]) -> None:
    """Every question that the program has for git."""
    asked = Git(folder, environ)
    asked.ask("rev-parse", "HEAD")
    files_of(asked)
    asked.tracks(folder / "code.py")
    changed_since("main", asked)
    repository = Repository(folder, environ)
    base = repository.base("HEAD", None)
    repository.earlier_path(base.commit, "app/renamed.yml")
    repository.read(base.commit, "app/qa-matrix.yml")
    with tempfile.TemporaryDirectory() as copy:
        repository.write_fragments(base.commit, Path(copy))


@pytest.mark.skipif(os.name != "posix", reason="the trap is a shell's")
def test_a_folder_that_looks_like_a_bare_repository_is_none(checkout: Path, trap: tuple[str, Path]) -> None:
    """apps/shop of a pull request holds HEAD, config, objects/ and refs/ beside the manifest."""
    program, sprung = trap
    shop = checkout / "apps" / "shop"
    shop.mkdir(parents=True)
    git(shop, "init", "-q", "--bare", ".")
    for name, value in settings_of_traps(program):
        git(checkout, "config", "--file", str(shop / "config"), name, value)
    git(checkout, "config", "--file", str(shop / "config"), "core.bare", "false")
    git(checkout, "config", "--file", str(shop / "config"), "core.worktree", str(shop))
    (shop / ".gitattributes").write_text("* filter=x diff=x\n")
    (shop / "qa-matrix.yml").write_text("version: 1\n")
    ask_everything(shop, ENVIRON)
    assert not sprung.exists()
    assert Git(shop, ENVIRON).root == checkout.resolve()
    answer = files_of(Git(shop, ENVIRON))
    assert isinstance(answer, Known)
    assert "apps/shop/qa-matrix.yml" in answer.value


@pytest.mark.skipif(os.name != "posix", reason="the trap is a shell's")
def test_no_program_of_the_configuration_runs(checkout: Path, trap: tuple[str, Path]) -> None:
    program, sprung = trap
    for name, value in settings_of_traps(program):
        git(checkout, "config", name, value)
    (checkout / ".gitattributes").write_text("* filter=x diff=x\n")
    (checkout / "app" / "code.py").write_text("two\n")
    (checkout / "app" / "qa-matrix.yml").rename(checkout / "app" / "renamed.yml")
    ask_everything(checkout / "app", ENVIRON)
    # A later question could be one of these: a diff with its lines, and what writes the index.
    shutil.copy(program, Path(program).with_name("post-index-change"))
    Git(checkout, ENVIRON).diff("HEAD")
    Git(checkout, ENVIRON).ask("read-tree", "HEAD")
    assert not sprung.exists()
    assert changed_since("main", Git(checkout, ENVIRON)) == {
        *("app/code.py", "app/qa-matrix.yml", "app/renamed.yml", ".gitattributes")
    }


@pytest.mark.skipif(os.name != "posix", reason="the trap is a shell's")
def test_a_filter_that_cannot_be_turned_off_does_not_run(checkout: Path, trap: tuple[str, Path]) -> None:
    program, sprung = trap
    git(checkout, "config", "filter.a=b.clean", program)
    (checkout / ".gitattributes").write_text("* filter=a=b\n")
    (checkout / "app" / "code.py").write_text("two\n")
    with pytest.raises(UserError, match="cannot be turned off: 'a=b' holds a ="):
        changed_since("main", Git(checkout, ENVIRON))
    assert not sprung.exists()


@pytest.mark.skipif(os.name != "posix", reason="the trap is a shell's")
@pytest.mark.parametrize("variable", ["HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL"])
def test_a_home_in_the_checkout_gives_git_no_settings(
    variable: str, checkout: Path, trap: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some pipelines call their workspace a home; `.gitconfig` is then whatever a pull request made of it."""
    program, sprung = trap
    file = checkout / {"HOME": ".gitconfig", "XDG_CONFIG_HOME": "git/config"}.get(variable, "settings")
    file.parent.mkdir(exist_ok=True)
    git(checkout, "config", "--file", str(file), "remote.origin.url", f"ext::{program}")
    git(checkout, "config", "--file", str(file), "protocol.ext.allow", "always")
    git(checkout, "config", "--file", str(file), "safe.directory", "*")
    monkeypatch.chdir(checkout)
    place = str(file if variable == "GIT_CONFIG_GLOBAL" else checkout)
    others = {name: value for name, value in ENVIRON.items() if name != "XDG_CONFIG_HOME"}
    for value in (place, str(Path(place).relative_to(checkout))):
        Git(checkout, {**others, variable: value}).fetch("0" * 40)
        assert not sprung.exists()


@pytest.mark.skipif(os.name != "posix", reason="the trap is a shell's")
@pytest.mark.parametrize("path", ["", ".", "bin", ":bin:.", "{}", "{}/bin", "{}/../checkout/bin"])
def test_no_git_of_the_checkout_is_started(
    path: str, checkout: Path, trap: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some systems look for programs in the working directory, and a PATH may name it, or a folder of it."""
    program, sprung = trap
    (checkout / "bin").mkdir()
    for place in (checkout, checkout / "bin"):
        shutil.copy(program, place / "git")
    monkeypatch.chdir(checkout)
    answer = Git(checkout, {**ENVIRON, "PATH": path.format(checkout)}).ask("rev-parse", "HEAD")
    assert answer == Unknown("git is not installed")
    assert not sprung.exists()


def test_a_broken_root_does_not_stand_for_a_repository_above_it(checkout: Path) -> None:
    (checkout / "app" / ".git").mkdir()
    assert Git(checkout / "app", ENVIRON).ask("rev-parse", "HEAD") == Unknown("not in a git repository")
    git(checkout, "init", "-q", "--bare", str(checkout / "app"))  # nor does what looks like a bare one beside it
    assert not isinstance(Git(checkout / "app", ENVIRON).ask("rev-parse", "--git-dir"), Known)


@pytest.mark.parametrize(
    "name", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_CONFIG"]
)
def test_no_variable_leads_git_elsewhere(name: str, checkout: Path, tmp_path: Path) -> None:
    """A hook of git has them, of the repository that it runs for."""
    asked = Git(checkout, {**ENVIRON, name: str(tmp_path / "elsewhere")})
    assert isinstance(asked.ask("rev-parse", "HEAD"), Known)
    assert files_of(asked) == Known(("app/code.py", "app/qa-matrix.yml"))
    assert not (tmp_path / "elsewhere").exists()


def test_git_traces_nothing_into_its_answers(checkout: Path) -> None:
    environ = {**ENVIRON, "GIT_TRACE": "2", "GIT_EXTERNAL_DIFF": "false", "GIT_LITERAL_PATHSPECS": "1"}
    assert Git(checkout, environ).maybe("config", "--get", "remote.origin.url") == Known(None)
    assert tracked(checkout / "app" / "code.py", environ) == Known(value=True)


# --- what git says ----------------------------------------------------------------------------------------------------


def test_it_is_asked_at_the_root(checkout: Path) -> None:
    assert files_of(Git(checkout / "app", ENVIRON)) == Known(("app/code.py", "app/qa-matrix.yml"))


def test_no_answer_is_told_from_none(checkout: Path, tmp_path: Path) -> None:
    assert Git(tmp_path, ENVIRON).ask("rev-parse", "HEAD") == Unknown("not in a git repository")
    assert Git(checkout, {"PATH": str(tmp_path)}).ask("rev-parse", "HEAD") == Unknown("git is not installed")
    refused = Git(checkout, {**ENVIRON, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}).ask("rev-parse", "HEAD")
    assert isinstance(refused, Refused)
    assert refused.why.startswith("git: detected dubious ownership in repository at '")
    assert "git config --global --add safe.directory" in (refused.hint or "")
    assert Git(checkout, ENVIRON).maybe("config", "--get", "no.such") == Known(None)
    assert isinstance(Git(checkout, ENVIRON).ask("rev-parse", "no-such"), Unknown)


def test_a_directory_that_the_user_calls_safe_is_read(checkout: Path) -> None:
    environ = {**ENVIRON, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", "GIT_CONFIG_COUNT": "1"}
    environ |= {"GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    assert isinstance(Git(checkout, environ).ask("rev-parse", "HEAD"), Known)


@pytest.mark.skipif(os.name != "posix", reason="the slow git is a shell's")
def test_git_has_a_time_limit(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setattr("qarunner.app.git.PATIENCE_S", 0.1)
    environ = {**ENVIRON, "PATH": f"{slow.parent}{os.pathsep}{ENVIRON['PATH']}"}
    assert Git(checkout, environ).ask("rev-parse", "HEAD") == Unknown("git rev-parse took longer than 0.1 s")


def test_what_git_tracks(checkout: Path, tmp_path: Path) -> None:
    (checkout / "app" / "new.py").write_text("new")
    (checkout / "gone.xml").write_text("tracked")
    git(checkout, "add", "gone.xml")
    (checkout / "gone.xml").unlink()
    for path, answer in (
        ("app/code.py", True),
        ("app", True),
        ("gone.xml", True),
        ("app/new.py", False),
        ("none/x.xml", False),
        ("app/*", False),
        (":(top)app", False),
    ):
        assert tracked(checkout / path, ENVIRON) == Known(answer), path
    assert tracked(tmp_path / "outside.xml", ENVIRON) == Known(value=False)
    assert isinstance(tracked(checkout / "app", {"PATH": ""}), Unknown)


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege there")
def test_a_tracked_file_is_recognised_behind_a_link_and_in_other_letters(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "shortcut").symlink_to(checkout / "app")
    assert tracked(tmp_path / "shortcut" / "code.py", ENVIRON) == Known(value=True)
    # On a disk that does not tell them apart these would be one file; a hard link plays that here.
    (checkout / "app" / "CODE.py").hardlink_to(checkout / "app" / "code.py")
    assert tracked(checkout / "app" / "CODE.py", ENVIRON) == Known(value=True)
    (checkout / "app" / "Code.PY").write_text("another one")
    assert tracked(checkout / "app" / "Code.PY", ENVIRON) == Known(value=False)


def test_a_file_of_a_submodule_is_asked_for_there(checkout: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "lib.py").write_text("lib")
    git(library, "init", "-q", "-b", "main")
    git(library, "add", ".")
    git(library, "commit", "-q", "-m", "first")
    git(checkout, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "libs/checkout")
    assert tracked(checkout / "libs" / "checkout" / "lib.py", ENVIRON) == Known(value=True)
    assert tracked(checkout / "libs" / "checkout" / "new.py", ENVIRON) == Known(value=False)
    assert tracked(checkout / "libs" / "checkout", ENVIRON) == Known(value=True)


def test_a_changed_submodule_is_a_changed_folder_whatever_its_settings_hide(checkout: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "-q", "-b", "main")
    git(library, "commit", "-q", "--allow-empty", "-m", "one")
    git(checkout, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "libs/checkout")
    git(checkout, "config", "--file", ".gitmodules", "submodule.libs/checkout.ignore", "all")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "with a submodule")
    known = files_of(Git(checkout, ENVIRON))
    assert known == Known((".gitmodules", "app/code.py", "app/qa-matrix.yml", "libs/checkout/"))
    git(checkout / "libs" / "checkout", "commit", "-q", "--allow-empty", "-m", "two")
    assert changed_since("main", Git(checkout, ENVIRON)) == {"libs/checkout/"}
    git(checkout, "checkout", "-q", "-b", "bump")
    git(checkout, "commit", "-q", "-m", "bump", "libs/checkout")
    assert changed_since("main", Git(checkout, ENVIRON)) == {"libs/checkout/"}
    git(checkout, "rm", "-q", "-f", "libs/checkout")
    assert changed_since("main", Git(checkout, ENVIRON)) == {"libs/checkout/", ".gitmodules"}


def test_names_may_hold_any_byte(checkout: Path) -> None:
    if os.name != "posix":
        pytest.skip("names are text there")
    name = os.fsdecode(b"caf\xe9\n.py")
    (checkout / name).write_text("new")
    assert changed_since("main", Git(checkout, ENVIRON)) == {name}
