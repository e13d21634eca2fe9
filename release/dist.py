"""Makes what a release is: `python release/dist.py FOLDER`; `make dist` does it in dist/.

A wheel and an sdist of the commit, the same bytes each time; a wheelhouse with all that the wheel needs; a lock with
the hash of each file; an SBOM; the manifest's schema; and the digests of it all. The wheelhouse is for the Python and
the platform that this runs on, or for those that pip's words name: `--platform win_amd64 --python-version 3.13`.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements-emulator.txt"


def main(words: list[str]) -> int:
    """Returns 0; an exception says which step failed."""
    out, *pip_words = words
    folder = Path(out).absolute()
    house = folder / "wheelhouse"
    house.mkdir(parents=True, exist_ok=True)
    wheel = built(folder)
    lock = locked(wheel)
    (folder / "requirements.lock").write_text(lock, encoding="utf-8")
    (folder / "install.py").write_bytes((ROOT / "install.py").read_bytes())
    run("-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", *pip_words, *hashed(lock, house))
    (house / wheel.name).write_bytes(wheel.read_bytes())
    sbom = folder / "sbom.cdx.json"
    lock_file = str(folder / "requirements.lock")
    run("-m", "cyclonedx_py", "requirements", lock_file, "--output-reproducible", "-o", str(sbom))
    (folder / "lock.txt").unlink()
    # The version is in the name: at every address that it is published at, it says which qarunner it is of.
    form = subprocess.run([sys.executable, "-I", "-m", "qarunner", "schema"], check=True, capture_output=True)
    (folder / f"qa-matrix-{wheel.name.split('-')[1]}.schema.json").write_bytes(form.stdout)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    lines = [f"{digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    return 0


def built(folder: Path) -> Path:
    """The wheel. What is built is the commit, and not what lies beside it; its time is the commit's."""
    git = ["git", "-C", str(ROOT), "-c", "core.autocrlf=false"]
    moment = subprocess.run([*git, "log", "-1", "--format=%ct"], check=True, capture_output=True, text=True)
    with tempfile.TemporaryDirectory() as source:
        archive = Path(source) / "source.tar"
        subprocess.run([*git, "archive", "--output", str(archive), "HEAD"], check=True)
        with tarfile.open(archive) as members:
            members.extractall(source, filter="data")
        archive.unlink()
        run("-m", "hatchling", "build", "-d", str(folder), cwd=source, SOURCE_DATE_EPOCH=moment.stdout.strip())
    return max(folder.glob("qarunner-*.whl"), key=lambda path: path.stat().st_mtime)


def locked(wheel: Path) -> str:
    """The pinned packages that the program needs with its emulator, and the wheel itself, each with its hashes."""
    needed = closure("qarunner", "emulator")
    text = re.sub(r"^#[^\n]*\n", "", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    blocks = [f"{block.rstrip()}\n" for block in re.split(r"\n(?=[a-z0-9])", text)]
    kept = [block for block in blocks if canonicalize_name(re.split("[=<>; ]", block)[0]) in needed]
    own = f"qarunner=={wheel.name.split('-')[1]} \\\n    --hash=sha256:{digest(wheel)}\n"
    return "".join([*kept, own])


def closure(root: str, root_extra: str = "") -> set[str]:
    """All that a distribution needs, as it is installed here. What is not installed here adds no needs."""
    found: set[str] = set()
    waiting = [(root, root_extra)]
    while waiting:
        name, extra = waiting.pop()
        try:
            needs = requires(name) or []
        except ModuleNotFoundError:
            continue
        for need in map(Requirement, needs):
            of_extra = need.marker is not None and "extra" in str(need.marker)
            wanted = not of_extra or bool(extra and need.marker and need.marker.evaluate({"extra": extra}))
            if wanted and canonicalize_name(need.name) not in found:
                found.add(canonicalize_name(need.name))
                waiting += [(need.name, each) for each in ("", *need.extras)]
    return found


def hashed(lock: str, house: Path) -> list[str]:
    """Words for pip: the lock without qarunner itself, which no index has."""
    path = house.parent / "lock.txt"
    # Markers speak of the machine that pip runs on, and the wheelhouse may be for another one.
    path.write_text(re.sub(r" ; [^\\\n]*", " ", lock[: lock.rindex("qarunner==")]), encoding="utf-8")
    return ["--require-hashes", "--requirement", str(path), "--dest", str(house)]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(*words: str, cwd: str | Path = ROOT, **variables: str) -> None:
    subprocess.run([sys.executable, *words], cwd=cwd, env={**os.environ, **variables}, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
