"""What a command line asks for, and the commands that go on with a run, as they have to be typed here."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from qarunner.cli.options import DEFAULT_RUNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """A run, with the options that lead to it and to what it needs."""

    run_id: str
    runs_dir: Path = DEFAULT_RUNS
    env_files: tuple[Path, ...] = ()
    allow: tuple[str, ...] = ()

    def resume(self, *words: str) -> str:
        return self._typed("resume", *words, *self._env_files(), *(f"--allow-secret={name}" for name in self.allow))

    def cancel(self) -> str:
        return self._typed("cancel", *self._env_files())

    def status(self) -> str:
        return self._typed("status")

    def _env_files(self) -> list[str]:
        return [f"--env-file={file}" for file in self.env_files]

    def _typed(self, command: str, *words: str) -> str:
        place = [] if self.runs_dir == DEFAULT_RUNS else [f"--runs-dir={self.runs_dir}"]
        return shlex.join(["qarunner", command, self.run_id, *place, *words])
