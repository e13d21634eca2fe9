"""Installs qarunner into a new environment: `python3 -I install.py [--emulator] [--from DIST] FOLDER`.

Every package comes with its hash, and as a wheel: nothing is compiled. Without --from they are those of
requirements.txt, and the hatchling among them builds qarunner from this folder. `--from dist` installs what `make dist`
made, without an index and without a build. pip and the build see only what they need of the environment, and so no
vendor's key. `-I` at every start: nothing of the working directory is imported. The last line of the output is the new
environment's Python; `--key` prints what names the packages in a cache instead.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
KEPT = {
    *("PATH", "HOME", "TMPDIR", "TEMP", "TMP", "LANG", "LC_ALL", "SYSTEMROOT", "COMSPEC", "PATHEXT", "WINDIR"),
    *("USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "XDG_CACHE_HOME"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
}
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
    if not lock.is_file():
        sys.stderr.write(f"install.py: {lock} is not there: --from names a folder that `make dist` made\n")
        return 2
    if options.key:
        digest = hashlib.sha256(lock.read_bytes()).hexdigest()
        sys.stdout.write(f"{sys.implementation.cache_tag}-{sysconfig.get_platform()}-{digest}\n")
        return 0
    folder = options.folder.absolute()
    venv.create(folder, with_pip=True, clear=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    for arguments in steps:
        pip = [str(python), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
        done = subprocess.run(  # noqa: S603  fixed words
            pip, env=environment(), stdout=sys.stderr, stderr=subprocess.PIPE, encoding="utf-8", check=False
        )
        sys.stderr.write(
            done.stderr if options.dist is None or not done.returncode else reason(done.stderr, options.dist)
        )
        if done.returncode:
            return done.returncode
    sys.stdout.write(f"{python}\n")
    return 0


def reason(said: str, dist: Path) -> str:
    """What pip said of a folder of `make dist`, in one line: which file, and what to do; else its own words."""
    if "DO NOT MATCH THE HASHES" in said:
        files = sorted(set(re.findall(r"from file:\S*/([^/\s]+\.whl)", said)))
        what = f"{', '.join(files) or 'a file'} has other content than requirements.lock says"
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
    """What pip needs; its own settings too, such as an index."""
    return {name: value for name, value in os.environ.items() if name.upper() in KEPT or name.startswith("PIP_")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
