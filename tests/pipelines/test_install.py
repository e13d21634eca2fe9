"""install.py with a folder of `make dist`: without an index, and one error for each thing that does not fit."""

from __future__ import annotations

import base64
import hashlib
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.amount import FULL

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


def wheel(folder: Path, name: str, version: str, tag: str = "py3-none-any") -> Path:
    """A small wheel, as the format's specification asks for it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    digests = {path: hashlib.sha256(text.encode()).digest() for path, text in files.items()}
    lines = [
        f"{path},sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')}," for path, digest in digests.items()
    ]
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in {**files, f"{info}/RECORD": "\n".join([*lines, f"{info}/RECORD,,\n"])}.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return path


def locked(dist: Path, *wheels: Path) -> None:
    """A lock as `make dist` writes it: qarunner last."""
    lines = []
    for path in (*wheels, wheel(dist / "wheelhouse", "qarunner", "0.1.0")):
        name, version = path.name.split("-")[:2]
        lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n")
    (dist / "requirements.lock").write_text("".join(lines), encoding="utf-8")


def install(dist: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-I", str(ROOT / "install.py"), "--from", str(dist), *words, str(dist.parent / "home")]
    # What a pipeline sets for its own Python is no setting of the new environment's.
    environ = {**os.environ, "PYTHONPLATLIBDIR": "x", "PYTHONINSPECT": "1", "PYTHONHASHSEED": "odd"}
    return subprocess.run(program, env=environ, capture_output=True, encoding="utf-8", check=False)


def other_platform(dist: Path) -> str:
    path = wheel(dist / "wheelhouse", "small_b", "2.0", "cp37-cp37m-win_amd64")
    locked(dist, path)
    return f"{path.name} is not for this Python, {sys.implementation.cache_tag} on "


def wrong_hash(dist: Path) -> str:
    path = wheel(dist / "wheelhouse", "small_b", "2.0")
    locked(dist, path)
    path.write_bytes(path.read_bytes() + b"x")
    return f"{path.name} has other content than requirements.lock says: "


def other_lock(dist: Path) -> str:
    path = wheel(dist / "wheelhouse", "small_b", "2.0")
    locked(dist, wheel(dist.parent, "small_b", "2.1"))
    assert path.exists()
    return "the wheelhouse has no small_b 2.1, which requirements.lock names: "


def no_lock(dist: Path) -> str:
    dist.mkdir()
    return "requirements.lock is not there: --from names a folder that `make dist` made"


def cut_lock(dist: Path) -> str:
    locked(dist, wheel(dist / "wheelhouse", "small_b", "2.0"))
    text = (dist / "requirements.lock").read_text(encoding="utf-8")
    (dist / "requirements.lock").write_text(text[: text.index("qarunner==")], encoding="utf-8")
    return "requirements.lock does not end with qarunner and its hash: "


def lock_of_noise(dist: Path) -> str:
    dist.mkdir()
    (dist / "requirements.lock").write_bytes(bytes(range(256)))
    return "requirements.lock does not end with qarunner and its hash: "


def no_hash(dist: Path) -> str:
    locked(dist, wheel(dist / "wheelhouse", "small_b", "2.0"))
    lock = dist / "requirements.lock"
    lock.write_text(f"small_b==2.0\n{lock.read_text(encoding='utf-8')}", encoding="utf-8")
    return "requirements.lock does not give one hash to each package: "


def no_wheelhouse(dist: Path) -> str:
    dist.mkdir()
    locked(dist)
    shutil.rmtree(dist / "wheelhouse")
    (dist / "wheelhouse").write_text("a file", encoding="utf-8")
    return "wheelhouse is no folder: "


# The first ones make an environment with pip, which takes seconds.
@pytest.mark.parametrize(
    "spoil",
    [
        *([other_platform, other_lock, no_hash, wrong_hash] if FULL else []),
        *(no_lock, cut_lock, lock_of_noise, no_wheelhouse),
    ],
)
def test_what_does_not_fit_is_one_error_and_leaves_the_earlier_environment(
    tmp_path: Path, spoil: Callable[[Path], str]
) -> None:
    (tmp_path / "home").mkdir()
    for name in ("pyvenv.cfg", "works"):
        (tmp_path / "home" / name).touch()
    expected = spoil(tmp_path / "dist")
    done = install(tmp_path / "dist")
    assert sorted(path.name for path in tmp_path.glob("home*/*")) == ["pyvenv.cfg", "works"]
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("install.py: ")
    assert expected in line


@pytest.mark.parametrize(
    ("existing", "expected"),
    [("home", "is a file"), ("home/notes.txt", "has files, and is no environment")],
)
def test_only_an_environment_is_ever_replaced(tmp_path: Path, existing: str, expected: str) -> None:
    locked(tmp_path / "dist", wheel(tmp_path / "dist" / "wheelhouse", "small_b", "2.0"))
    (tmp_path / existing).parent.mkdir(exist_ok=True)
    (tmp_path / existing).write_text("precious", encoding="utf-8")
    done = install(tmp_path / "dist")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert expected in line
    assert (tmp_path / existing).read_text(encoding="utf-8") == "precious"


SHELL = "#!/bin/sh\n'''exec' {} \"$0\" \"$@\"\n' '''"


@pytest.mark.skipif(os.name == "nt", reason="pip makes programs there, no scripts")
@pytest.mark.parametrize("first", ["#!{}", SHELL, SHELL.replace("{}", '"{}"')], ids=["plain", "long", "with a space"])
def test_the_programs_import_nothing_of_a_checkout_that_pythonpath_names(tmp_path: Path, first: str) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('trapped')", encoding="utf-8")
    (tmp_path / "bin").mkdir()
    names = ("qarunner", "qarunner-gitlab-note", "pip")
    for name in names:
        script = tmp_path / "bin" / name
        script.write_text(f"{first.format(sys.executable)}\nimport json, sys\nprint(*sys.argv[1:])\n", encoding="utf-8")
        script.chmod(0o755)
    runpy.run_path(str(ROOT / "install.py"))["isolate"](tmp_path / "bin")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for name in names:
        done = subprocess.run(
            [tmp_path / "bin" / name, "a b"], env=environ, capture_output=True, text=True, check=False
        )
        assert (done.stdout, done.stderr) == (("", "trapped\n") if name == "pip" else ("a b\n", ""))


@pytest.mark.skipif(not FULL, reason="makes environments with pip: make test-full")
def test_a_wheel_that_fits_is_installed_without_an_index_or_a_build(tmp_path: Path) -> None:
    locked(tmp_path / "dist", wheel(tmp_path / "dist" / "wheelhouse", "small_b", "2.0"))
    done = install(tmp_path / "dist")
    assert done.returncode == 0, done.stderr
    subprocess.run([done.stdout.strip(), "-I", "-c", "import small_b"], check=True)
    key, again = (install(tmp_path / "dist", "--key").stdout for _ in range(2))
    assert key == again
    locked(tmp_path / "dist", wheel(tmp_path / "dist" / "wheelhouse", "small_b", "2.1"))
    assert install(tmp_path / "dist", "--key").stdout != key


@pytest.mark.parametrize("variable", ["HOME", "USERPROFILE", "PIP_CONFIG_FILE"])
def test_pip_is_told_neither_what_to_install_nor_by_the_checkout(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = runpy.run_path(str(ROOT / "install.py"))["environment"]
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example")
    for name in ("PIP_REQUIREMENT", "PIP_TARGET", "PIP_NO_BINARY", "PIP_EDITABLE", "PYTHONPATH", "DOKSI_API_KEY"):
        monkeypatch.setenv(name, "evil")
    for name in ("HOME", "USERPROFILE", "APPDATA", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    assert environment()[variable] == str(tmp_path), "the machine's own settings hold"
    monkeypatch.chdir(tmp_path)
    given = environment()
    assert given["PIP_CONFIG_FILE"] == os.devnull
    assert [name for name, value in given.items() if value == "evil"] == []
    assert given["PIP_INDEX_URL"] == "https://mirror.example"
