"""Installs qarunner from this folder into a new environment: `python3 -I install.py [--emulator] FOLDER`.

Every package comes with the hash that requirements.txt has for it; the hatchling among them builds qarunner itself.
pip and the build see only what they need of the environment, and so no vendor's key. `-I` at every start: nothing of
the working directory is imported. The last line of the output is the new environment's Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
KEPT = {
    *("PATH", "HOME", "TMPDIR", "TEMP", "TMP", "LANG", "LC_ALL", "SYSTEMROOT", "COMSPEC", "PATHEXT", "WINDIR"),
    *("USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "XDG_CACHE_HOME"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
}


def main(words: list[str]) -> int:
    """Returns pip's exit code; 2 for a wrong call."""
    extra = words[:1] == ["--emulator"]
    if len(words) != 1 + extra or words[-1].startswith("-"):
        sys.stderr.write("usage: python3 -I install.py [--emulator] FOLDER\n")
        return 2
    folder = Path(words[-1]).absolute()
    venv.create(folder, with_pip=True, clear=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    locked = SOURCE / ("requirements-emulator.txt" if extra else "requirements.txt")
    for arguments in (
        ["--require-hashes", "--no-deps", "--requirement", str(locked)],
        ["--no-index", "--no-deps", "--no-build-isolation", str(SOURCE)],
    ):
        pip = [str(python), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
        done = subprocess.run(pip, env=environment(), stdout=sys.stderr, check=False)  # noqa: S603  fixed words
        if done.returncode:
            return done.returncode
    sys.stdout.write(f"{python}\n")
    return 0


def environment() -> dict[str, str]:
    """What pip needs; its own settings too, such as an index."""
    return {name: value for name, value in os.environ.items() if name.upper() in KEPT or name.startswith("PIP_")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
