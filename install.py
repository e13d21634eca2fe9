"""Installs qarunner into a new environment: `python3 -I install.py [--emulator] [--from DIST] FOLDER`.

Every package comes with its hash, and as a wheel: nothing is compiled. Without --from they are those of
requirements.txt, and the hatchling among them builds qarunner from this folder. `--from dist` installs what `make dist`
made, without an index and without a build. pip and the build see only what they need of the environment, and so no
vendor's key. `-I` at every start: nothing of the working directory is imported. FOLDER is new, empty or an environment:
that one is replaced, and comes back if the install fails. The last line of the output is the new environment's Python;
`--key` prints what names the packages in a cache instead.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator  # noqa: UP035  this line is also read by a Python that is too old

SOURCE = Path(__file__).resolve().parent
KEPT = {
    *("PATH", "HOME", "TMPDIR", "TEMP", "TMP", "LANG", "LC_ALL", "SYSTEMROOT", "COMSPEC", "PATHEXT", "WINDIR"),
    *("USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "XDG_CACHE_HOME"),
    # Of pip's own settings, those that say how packages come here: not which, nor where they go.
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_TRUSTED_HOST", "PIP_PROXY"),
    *("PIP_CERT", "PIP_CLIENT_CERT", "PIP_KEYRING_PROVIDER", "PIP_CACHE_DIR", "PIP_NO_CACHE_DIR", "PIP_CONFIG_FILE"),
    *("PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
}
OLDEST = (3, 11)
MARK = "pyvenv.cfg"
SHEBANG = re.compile(rb"\A(#!\S+/python[\w.]*|#!/bin/sh\n'''exec' (?:\"[^\"\n]+\"|\S+))(\n| \"\$0\")")
"""As pip writes it: Python itself, or a shell where its path is long or has a space."""
LAST = re.compile(r"^qarunner==\S+[ \\\r\n]+--hash=sha256:[0-9a-f]{64}\s*\Z", re.MULTILINE)
HASHED = ("--require-hashes", "--only-binary", ":all:", "--no-deps", "--requirement")


def main(words: list[str]) -> int:
    """Returns pip's exit code; 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="install.py", description=__doc__)
    parser.add_argument("--emulator", action="store_true", help="also what `apply --rehearse` needs")
    parser.add_argument("--from", dest="dist", metavar="DIST", type=Path, help="a folder that `make dist` made")
    parser.add_argument("--key", action="store_true", help="install nothing, and print the key of the packages")
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    options = parser.parse_args(words)
    lock = SOURCE / ("requirements-emulator.txt" if options.emulator else "requirements.txt")
    steps = [[*HASHED, str(lock)], ["--no-index", "--no-deps", "--no-build-isolation", str(SOURCE)]]
    if options.dist is not None:
        lock = options.dist / "requirements.lock"
        steps = [["--no-index", "--find-links", str(options.dist / "wheelhouse"), *HASHED, str(lock)]]
    wrong = unfit(lock, options.dist)
    if wrong is not None:
        return failed(wrong)
    if options.key:
        digest = hashlib.sha256(lock.read_bytes()).hexdigest()
        sys.stdout.write(f"{sys.implementation.cache_tag}-{sysconfig.get_platform()}-{digest}\n")
        return 0
    try:
        with replaced(options.folder.absolute()) as folder:
            python = installed(folder, steps, options.dist)
    except InstallError as error:
        sys.stderr.write(str(error))
        return error.code
    except OSError as error:
        return failed(f"{options.folder}: {error.strerror or error}")
    sys.stdout.write(f"{python}\n")
    return 0


class InstallError(Exception):
    """What is to be printed."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def failed(text: str) -> int:
    sys.stderr.write(f"install.py: {text}\n")
    return 2


def unfit(lock: Path, dist: Path | None) -> str | None:
    """What can be said before anything is made."""
    if sys.version_info[:2] < OLDEST:
        return f"qarunner needs Python {OLDEST[0]}.{OLDEST[1]} or later, and this is {sys.version.split()[0]}"
    if not lock.is_file():
        return f"{lock} is not there: --from names a folder that `make dist` made"
    if dist is None:
        return None
    # `make dist` writes qarunner last: what is cut anywhere does not end with it.
    if not LAST.search(lock.read_text(encoding="utf-8", errors="replace")):
        return f"{lock} does not end with qarunner and its hash: copy the folder again, and compare it with SHA256SUMS"
    if not (dist / "wheelhouse").is_dir():
        return f"{dist / 'wheelhouse'} is no folder: copy all that `make dist` made"
    return None


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Where a new environment goes. The one that was there comes back if it fails; no other folder is ever removed."""
    folder = folder.resolve() if folder.is_symlink() else folder
    earlier = folder.with_name(f"{folder.name}.before")
    if (earlier / MARK).is_file():  # an install was killed
        if (folder / MARK).is_file():
            shutil.rmtree(folder)
        if not folder.exists():
            earlier.rename(folder)
    if folder.exists() and not folder.is_dir():
        raise InstallError(f"install.py: {folder} is a file: name a new folder\n", 2)
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MARK).is_file():
            raise InstallError(f"install.py: {folder} has files, and is no environment: name a new folder\n", 2)
        folder.rename(earlier)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if earlier.exists():
            earlier.rename(folder)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def installed(folder: Path, steps: list[list[str]], dist: Path | None) -> Path:
    """The Python of the new environment. InstallError, with pip's exit code, if a package does not fit."""
    venv.create(folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    made = subprocess.run(  # noqa: S603  fixed words
        [str(python), "-I", "-m", "ensurepip", "--default-pip"],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if made.returncode:
        missing = "this Python has no ensurepip: on Debian, apt install python3-venv"
        why = missing if "No module named ensurepip" in made.stderr else f"no pip could be made: {made.stderr.strip()}"
        raise InstallError(f"install.py: {why}\n", 2)
    for arguments in steps:
        pip = [str(python), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
        done = subprocess.run(  # noqa: S603  fixed words
            pip, env=environment(), stdout=sys.stderr, stderr=subprocess.PIPE, encoding="utf-8", check=False
        )
        if done.returncode:
            raise InstallError(done.stderr if dist is None else reason(done.stderr, dist), done.returncode)
        sys.stderr.write(done.stderr)
    isolate(python.parent)
    return python


def isolate(scripts: Path) -> None:
    """Our programs ignore PYTHONPATH, which a pipeline may set to its checkout. On Windows they are no scripts."""
    for script in scripts.glob("qarunner*"):
        if script.suffix != ".exe":
            script.write_bytes(SHEBANG.sub(rb"\1 -I\2", script.read_bytes(), count=1))


def reason(said: str, dist: Path) -> str:
    """What pip said of a folder of `make dist`, in one line: which file, and what to do; else its own words."""
    if "DO NOT MATCH THE HASHES" in said:
        files = sorted(set(re.findall(r"from file:\S*/([^/\s]+\.whl)", said)))
        what = f"{', '.join(files) or 'a file'} has other content than requirements.lock says"
        return f"install.py: {dist}: {what}: copy the folder again, and compare it with SHA256SUMS\n"
    if "Hashes are required" in said or "Double requirement" in said:
        what = "requirements.lock does not give one hash to each package"
        return f"install.py: {dist}: {what}: copy the folder again, and compare it with SHA256SUMS\n"
    missing = re.search(r"No matching distribution found for ([\w.-]+)==([\w.+!-]+)", said)
    if missing is None:
        return said
    name, version = missing.groups()
    start = f"{re.sub('[-.]+', '_', name)}-{version}-".lower()
    files = sorted(path.name for path in (dist / "wheelhouse").glob("*.whl") if path.name.lower().startswith(start))
    if not files:
        what = f"the wheelhouse has no {name} {version}, which requirements.lock names: both come from one `make dist`"
        return f"install.py: {dist}: {what}\n"
    here = f"{sys.implementation.cache_tag} on {sysconfig.get_platform()}"
    way = "make the wheelhouse with --platform and --python-version: docs/install.md"
    return f"install.py: {dist}: {', '.join(files)} is not for this Python, {here}: {way}\n"


def environment() -> dict[str, str]:
    """What pip needs. Settings that stand in the checkout are none: some pipelines call their workspace a home."""
    kept = {name: value for name, value in os.environ.items() if name.upper() in KEPT}
    here = Path.cwd()
    checkout = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), None)
    homes = [Path(kept[name]) for name in ("HOME", "USERPROFILE", "APPDATA", "PIP_CONFIG_FILE") if kept.get(name)]
    if checkout is not None and any(home.resolve().is_relative_to(checkout) for home in homes):
        kept["PIP_CONFIG_FILE"] = os.devnull
    return kept


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
