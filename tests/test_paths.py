"""Paths that somebody else could have prepared: what is read lies inside, and nothing is written through a link."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qarunner.errors import UserError
from qarunner.paths import (
    append,
    create,
    inside,
    is_below,
    make_folder,
    manifest_root,
    open_own,
    read_regular,
    remove_file,
    repository_root,
    working_folder,
    write_whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable

posix = pytest.mark.skipif(os.name != "posix", reason="links need a privilege there")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository beside a file that is none of its business."""
    root = tmp_path / "checkout"
    (root / ".git" / "hooks").mkdir(parents=True)
    (root / "app" / "src").mkdir(parents=True)
    (root / "app" / "qa-matrix.yml").write_text("manifest")
    (tmp_path / "private").write_text("private")
    return root


# --- where things are -------------------------------------------------------------------------------------------------


def test_the_root_is_the_nearest_folder_with_git(checkout: Path) -> None:
    assert repository_root(checkout / "app" / "src") == checkout.resolve()
    assert repository_root(checkout.parent / "none") is None
    (checkout / "app" / ".git").write_text("gitdir: elsewhere")
    assert repository_root(checkout / "app" / "src") == (checkout / "app").resolve()


def test_without_a_repository_a_manifests_folder_is_all_there_is(tmp_path: Path) -> None:
    assert manifest_root(tmp_path / "qa-matrix.yml") == tmp_path.resolve()


@posix
def test_a_link_leads_to_no_other_repository(checkout: Path, tmp_path: Path) -> None:
    """The root is that of the path as it was named: what a link of the repository leads to lies outside of it."""
    other = tmp_path / "other"
    (other / ".git").mkdir(parents=True)
    (other / "qa-matrix.yml").write_text("theirs")
    (checkout / "link").symlink_to(other)
    assert manifest_root(checkout / "link" / "qa-matrix.yml") == other.resolve()
    (other / ".git").rmdir()
    assert manifest_root(checkout / "link" / "qa-matrix.yml") == checkout.resolve()
    with pytest.raises(OSError, match="lies outside of the repository"):
        inside(checkout / "link" / "qa-matrix.yml", manifest_root(checkout / "link" / "qa-matrix.yml"))


@posix
def test_a_person_may_come_to_a_repository_through_a_link(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "shortcut").symlink_to(checkout / "app")
    named = tmp_path / "shortcut" / "qa-matrix.yml"
    assert manifest_root(named) == checkout.resolve()
    assert inside(named, manifest_root(named)) == (checkout / "app" / "qa-matrix.yml").resolve()


def test_a_working_directory_that_is_gone_is_a_users_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    if os.name == "posix":
        gone.rmdir()
        with pytest.raises(UserError, match="the working directory does not exist any more"):
            working_folder()
    monkeypatch.chdir(tmp_path)
    assert working_folder() == tmp_path.resolve()


# --- reading ----------------------------------------------------------------------------------------------------------


def link_out(root: Path) -> Path:
    (root / "out.yml").symlink_to(root.parent / "private")
    return root / "out.yml"


def link_through_a_folder(root: Path) -> Path:
    (root / "up").symlink_to(root.parent)
    return root / "up" / "private"


def link_to_git(root: Path) -> Path:
    (root / ".git" / "config").write_text("[core]")
    (root / "c.yml").symlink_to(root / ".git" / "config")
    return root / "c.yml"


def in_git(root: Path) -> Path:
    (root / ".git" / "config").write_text("[core]")
    return root / ".git" / "config"


def in_a_circle(root: Path) -> Path:
    (root / "a").symlink_to(root / "b")
    (root / "b").symlink_to(root / "a")
    return root / "a"


def pipe(root: Path) -> Path:
    os.mkfifo(root / "pipe")
    return root / "pipe"


def own_environment(root: Path) -> Path:
    (root / "env.yml").symlink_to("/proc/self/environ")
    return root / "env.yml"


NOT_OURS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a link out": (link_out, "lies outside of the repository"),
    "a link of a folder above": (link_through_a_folder, "lies outside of the repository"),
    "dots": (lambda root: root / ".." / "private", "lies outside of the repository"),
    "another place": (lambda root: root.parent / "private", "lies outside of the repository"),
    "git's own": (in_git, "lies in .git"),
    "a link to git's own": (link_to_git, "lies in .git"),
    "a circle": (in_a_circle, "leads in a circle"),
    "a pipe": (pipe, "is no file"),
    "NUL": (lambda root: root / "a\0b", "has a character that no file's name can have"),
    "half a character": (lambda root: root / "a\ud800b", "has a character that no file's name can have"),
    "a long name": (lambda root: root / ("n" * 300), os.strerror(errno.ENAMETOOLONG)),
    "nothing": (lambda root: root / "none", os.strerror(errno.ENOENT)),
}
if sys.platform == "linux":
    NOT_OURS["the process's own environment"] = (own_environment, "lies outside of the repository")


def refusal(call: Callable[[], object]) -> str:
    """What the end of a sentence about a path says."""
    try:
        call()
    except OSError as error:
        return error.strerror or ""
    return ""


@posix
@pytest.mark.parametrize("case", NOT_OURS)
def test_what_is_not_ours_is_not_read(case: str, checkout: Path) -> None:
    make, why = NOT_OURS[case]
    assert why in refusal(lambda: inside(make(checkout), checkout.resolve()))


@posix
def test_what_is_ours_may_be_a_link_within(checkout: Path) -> None:
    (checkout / "link.yml").symlink_to("app/qa-matrix.yml")
    real = checkout.resolve() / "app" / "qa-matrix.yml"
    for path in (checkout / "link.yml", checkout / "app" / "src" / ".." / "qa-matrix.yml"):
        assert inside(path, checkout.resolve()) == real
    assert read_regular(real) == b"manifest"


@posix
def test_nothing_waits_for_a_pipe_or_reads_a_device(tmp_path: Path) -> None:
    for path in (pipe(tmp_path), Path("/dev/zero")):
        with pytest.raises(OSError, match="is no regular file"):
            read_regular(path)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path)


# --- writing ----------------------------------------------------------------------------------------------------------


def open_it(path: Path) -> None:
    os.close(open_own(path, os.O_RDWR))


WRITERS: dict[str, Callable[[Path], None]] = {
    "write_whole": lambda path: write_whole(path, b"data"),
    "write_whole, named": lambda path: write_whole(path, b"data", device=True),
    "write_whole, private": lambda path: write_whole(path, b"data", private=True),
    "create": lambda path: create(path, b"data"),
    "append": lambda path: append(path, b"data"),
    "open_own": open_it,
    "make_folder": lambda path: make_folder(path.parent),
    "remove_file": remove_file,
}
"""Every way to change something on the disk. A new one belongs here."""


def everything_below(folder: Path) -> dict[str, bytes]:
    """Files and links by their paths; a link's content is where it leads."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = os.fsencode(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def folder_link(root: Path) -> Path:
    (root / "out").symlink_to(root.parent / "elsewhere")
    return root / "out" / "report.xml"


def deep_folder_link(root: Path) -> Path:
    (root / "a").mkdir()
    (root / "a" / "b").symlink_to(root.parent / "elsewhere")
    return root / "a" / "b" / "c" / "report.xml"


def link_within(root: Path) -> Path:
    (root / "out").symlink_to(root / "app")
    return root / "out" / "report.xml"


HOSTILE_FOLDERS: dict[str, Callable[[Path], Path]] = {
    "a link as the folder": folder_link,
    "a link on the way": deep_folder_link,
    "a link within the repository": link_within,
    "git's own": lambda root: root / ".git" / "config",
    "git's hooks": lambda root: root / ".git" / "hooks" / "post-checkout",
    "in other letters": lambda root: root / ".GIT" / "config",
}


@posix
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("case", HOSTILE_FOLDERS)
def test_nothing_is_written_where_a_link_leads_or_git_keeps_its_own(case: str, writer: str, checkout: Path) -> None:
    (checkout.parent / "elsewhere").mkdir()
    path = HOSTILE_FOLDERS[case](checkout)
    before = everything_below(checkout.parent)
    with pytest.raises(OSError, match=r"lies (behind the link|in \.git)"):
        WRITERS[writer](path)
    assert everything_below(checkout.parent) == before


@posix
@pytest.mark.parametrize("writer", WRITERS)
def test_a_link_as_the_file_itself_is_never_followed(writer: str, checkout: Path) -> None:
    """It is replaced, removed or refused."""
    for target in ("private", "new"):
        (checkout / "report.md").symlink_to(checkout.parent / target)
        try:
            WRITERS[writer](checkout / "report.md")
        except OSError:
            assert (checkout / "report.md").is_symlink()
            (checkout / "report.md").unlink()
        assert (checkout.parent / "private").read_text() == "private"
        assert not (checkout.parent / "new").exists()
        (checkout / "report.md").unlink(missing_ok=True)


@posix
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "n" * 300])
def test_a_name_that_no_file_can_have_is_one_error(writer: str, name: str, checkout: Path) -> None:
    path = checkout / "app" / name / "file" if writer == "make_folder" else checkout / "app" / name
    assert refusal(lambda: WRITERS[writer](path))


def test_a_file_is_written_whole_in_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / ("n" * 240)
    for data in (b"first, and longer", b"second"):
        write_whole(path, data)
        assert path.read_bytes() == data
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"before")

    def fails(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"after")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("report.json", b"before")]


@posix
def test_a_folder_that_becomes_a_link_meanwhile_is_seen(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder was looked at when the report was asked for, an hour ago."""
    elsewhere = checkout.parent / "elsewhere"
    elsewhere.mkdir()
    out = checkout / "out"
    out.mkdir()

    def swaps(_fd: int) -> None:
        out.rename(checkout / "old")
        out.symlink_to(elsewhere)

    monkeypatch.setattr(os, "fsync", swaps)
    with pytest.raises(OSError, match="lies behind the link out"):
        write_whole(out / "report.xml", b"data")
    assert not list(elsewhere.iterdir())


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="is a folder"):
        write_whole(tmp_path, b"data")
    assert not list(tmp_path.iterdir())


@posix
def test_nobody_knows_the_name_of_a_temporary_file(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []

    def looks(_fd: int) -> None:
        names.append(next(path.name for path in checkout.glob(".qarunner-*")))

    monkeypatch.setattr(os, "fsync", looks)
    for _ in range(20):
        write_whole(checkout / "r.xml", b"data")
    assert len(set(names)) == 20
    assert min(map(len, names)) > 20


@posix
def test_what_is_private_is_read_by_its_user_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_whole(tmp_path / "plan.json", b"", private=True)
        write_whole(tmp_path / "report.xml", b"")
        open_it(tmp_path / "lock")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"plan.json": 0o600, "report.xml": 0o644, "lock": 0o600}


# --- devices and pipes that a person names ----------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("word", ["/dev/stdout", "/dev/fd/1", "//dev/stdout", "/proc/self/fd/1"])
def test_a_report_can_go_to_standard_output(word: str, tmp_path: Path) -> None:
    if not Path(word).exists():
        pytest.skip(f"no {word} here")
    code = f"import pathlib, qarunner.paths as p; p.write_whole(pathlib.Path({word!r}), b'hi', device=True)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"hi"
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.write(b"before\n")
        file.flush()
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert log.read_bytes() == b"before\nhi", "what a stream leads into is added to, and not replaced"


@posix
def test_a_shells_pipe_and_a_pipe_with_a_name_are_written_to(tmp_path: Path) -> None:
    code = "import sys, pathlib, qarunner.paths as p; p.write_whole(pathlib.Path(sys.argv[1]), b'hi', device=True)"
    script = f'"{sys.executable}" -c "{code}" >(cat > out); wait; sleep 0; until [ -s out ]; do sleep 0.05; done'
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "out").read_bytes() == b"hi"
    fifo = pipe(tmp_path)
    with subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE) as reader:
        write_whole(fifo, b"through", device=True)
        assert reader.communicate(timeout=60)[0] == b"through"
    assert stat.S_ISFIFO(fifo.lstat().st_mode)


@posix
def test_a_device_has_to_be_named_by_a_person(checkout: Path) -> None:
    fifo = pipe(checkout)
    with pytest.raises(OSError, match="is no regular file"):
        write_whole(fifo, b"data")
    (checkout / "tty").symlink_to("/dev/null")
    write_whole(checkout / "tty", b"data", device=True)
    assert (checkout / "tty").read_bytes() == b"data", "a link to a device is a link"


@posix
def test_a_device_is_not_removed(tmp_path: Path) -> None:
    fifo = pipe(tmp_path)
    for path in (fifo, Path("/dev/stdout"), Path("/dev/null")):
        remove_file(path)
    assert stat.S_ISFIFO(fifo.lstat().st_mode)
    assert Path("/dev/stdout").is_symlink()
    (tmp_path / "old.xml").write_text("green")
    remove_file(tmp_path / "old.xml")
    remove_file(tmp_path / "old.xml")
    assert not (tmp_path / "old.xml").exists()


# --- words ------------------------------------------------------------------------------------------------------------


def test_a_folder_of_ours_is_recognised_below_the_repository(checkout: Path, tmp_path: Path) -> None:
    assert is_below(checkout / ".qarunner" / "x.xml", ".qarunner")
    assert is_below(checkout / "app" / ".QARUNNER" / "runs" / "x.xml", ".qarunner")
    assert not is_below(checkout / "app" / "qarunner.xml", ".qarunner")
    nested = tmp_path / ".qarunner" / "work"
    (nested / ".git").mkdir(parents=True)
    assert not is_below(nested / "x.xml", ".qarunner"), "whatever the folders above a checkout are called"


@posix
def test_a_folder_of_ours_is_recognised_behind_a_link(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".qarunner").mkdir()
    (tmp_path / "shortcut").symlink_to(checkout / ".qarunner")
    assert is_below(tmp_path / "shortcut" / "x.xml", ".qarunner")


@pytest.mark.parametrize("name", [".git", ".GIT", ".git.", ".git. .", ".git::$INDEX_ALLOCATION", ".g\u200cit"])
def test_the_folder_of_git_is_known_by_each_name_that_a_system_has_for_it(name: str, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert is_below(tmp_path / name / "config", ".git")
    assert not is_below(tmp_path / f"x{name}" / "config", ".git")
