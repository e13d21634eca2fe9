"""Draws docs/apply.svg: what `qarunner apply` really prints, in a terminal, as one picture.

python docs/picture.py
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
WIDTH = 100
COMMAND = "qarunner apply --rehearse --scenario rehearsal.yml"


def recorded(words: list[str], folder: Path) -> str:
    """What a command prints when it talks to a terminal."""
    master, slave = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(WIDTH)}
    with subprocess.Popen(
        words, cwd=folder, stdout=slave, stderr=subprocess.DEVNULL, stdin=slave, env=environ
    ) as process:
        os.close(slave)
        chunks = []
        while process.poll() is None or select.select([master], [], [], 0.1)[0]:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    chunks.append(os.read(master, 65536))
                except OSError:
                    break
    return b"".join(chunks).decode().replace("\r\n", "\n")


def main() -> None:
    program = str(Path(sys.executable).parent / "qarunner")
    words = [program, "apply", "--rehearse", "--scenario", "rehearsal.yml", "--poll-interval", "1s"]
    with tempfile.TemporaryDirectory() as made:  # a first run: no history says what failed before
        folder = Path(made) / "storefront"
        shutil.copytree(ROOT / "examples" / "storefront", folder, ignore=shutil.ignore_patterns(".qarunner"))
        shown = recorded(words, folder)
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    console.print(Text.assemble(("$ ", "bold green"), (COMMAND, "bold")))
    console.print(Text.from_ansi(shown))
    svg = console.export_svg(title="qarunner")
    # The picture loads no font.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    (ROOT / "docs" / "apply.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
