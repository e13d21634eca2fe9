"""Says whether a tag may become a release, and prints its notes: `python -I release/tag.py TAG`.

The signers are those of main, and not of the tagged commit: who can only push a tag adds no signer.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

MAIN = "refs/remotes/origin/main"
SIGNERS = "release/allowed_signers"


def main(words: list[str]) -> int:
    """Returns 0 for a release, 1 if anything is wrong; all of it is said at once."""
    (tag,) = words
    commit, notes = f"refs/tags/{tag}^{{commit}}", ""
    found = [*unsigned(tag)]
    if git("merge-base", "--is-ancestor", commit, MAIN).returncode:
        found.append(f"{tag} is not on main")
    version = re.search(r'^__version__ = "(.+)"$', shown(commit, "qarunner/__init__.py"), flags=re.MULTILINE)
    if version is None or tag != f"v{version[1]}":
        found.append(f"{tag}: qarunner/__init__.py has the version {version[1] if version else 'of nothing'}")
    else:
        notes = section(shown(commit, "CHANGELOG.md"), version[1])
        if not notes:
            found.append(f"CHANGELOG.md has no section '## {version[1]}'")
        if not shown(commit, f"tests/golden/versions/{version[1]}/journal.jsonl"):
            found.append(f"tests/golden/versions/{version[1]} is missing: make golden writes the run of this version")
    sys.stderr.writelines(f"release: {each}\n" for each in found)
    sys.stdout.write(notes if not found else "")
    return 1 if found else 0


def unsigned(tag: str) -> list[str]:
    """What is wrong with the tag's signature."""
    with tempfile.TemporaryDirectory() as folder:
        signers = Path(folder) / "signers"
        signers.write_text(shown(MAIN, SIGNERS), encoding="utf-8")
        only_ours = ("-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={signers}")
        done = git(*only_ours, "verify-tag", "--", tag)
    return [f"{tag} has no signature of {SIGNERS}: {done.stderr.strip()}"] if done.returncode else []


def section(changelog: str, version: str) -> str:
    """The text below `## 0.2.0`, up to the next version."""
    found = re.search(rf"^## \[?{re.escape(version)}\b[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return f"{found[1].strip()}\n" if found and found[1].strip() else ""


def shown(commit: str, path: str) -> str:
    return git("show", f"{commit}:{path}").stdout


def git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], capture_output=True, encoding="utf-8", check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
