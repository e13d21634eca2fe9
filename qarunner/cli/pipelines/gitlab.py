"""The steps of the component: `qarunner-gitlab-note [FILE]` and `qarunner-gitlab-plan`.

The first keeps the merge request's note with the matrix diff. It needs a token that may write notes (scope `api`, role
Reporter) in GITLAB_TOKEN; the job's own token may not. The second prints the child pipeline, from inputs in variables.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.app.options import DEFAULT_RUNS, PlanOptions, ShowOptions
from qarunner.app.saved_plan import plan_of
from qarunner.cli.commands.plan import tell
from qarunner.cli.console import open_console
from qarunner.cli.main import error_boundary
from qarunner.cli.pipelines.arguments import arguments, from_environment, values
from qarunner.cli.pipelines.notes import GitLabNotes, NoteError, put
from qarunner.cli.pipelines.review import changes_since
from qarunner.report.plan import gitlab_pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.cli.console import Console


def main() -> None:
    sys.exit(note(os.environ, sys.argv[1] if len(sys.argv) > 1 else None))


def note(environ: Mapping[str, str], file: str | None) -> int:
    """Prints the diff, and keeps the merge request's note up to date where there is a token for it."""
    token = environ.get("GITLAB_TOKEN", "")
    console = open_console(environ, output="text")
    console.hide([token])
    base, number = environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA"), environ.get("CI_MERGE_REQUEST_IID", "")
    if not base or not number.isdecimal():
        console.result("qarunner: no merge request, no note")
        return 0
    changes = changes_since(base, file)
    if changes.problem:
        console.document(changes.log)
        console.result(f"qarunner: no diff of the matrix: {changes.problem}")
        return 0
    console.document(changes.text)
    if not token:
        console.result("qarunner: no note is written: GITLAB_TOKEN is not set")
        return 0
    api, project = environ.get("CI_API_V4_URL", "https://gitlab.com/api/v4"), environ.get("CI_PROJECT_ID", "")
    try:
        notes = GitLabNotes.of(api, token, project, int(number))
        done = put(notes, file or "qa-matrix.yml", changes.text, anew=changes.any)
    except NoteError as error:
        console.result(f"qarunner: no note is written: {error.message}")
        return 0
    console.result(f"qarunner: the merge request's note: {done}")
    return 0


# --- the child pipeline -----------------------------------------------------------------------------------------------


def print_plan() -> None:
    console = open_console(os.environ, output="text")
    sys.exit(error_boundary(console, lambda: plan(console, os.environ)))


def plan(console: Console, environ: Mapping[str, str]) -> int:
    """Prints a pipeline whose jobs apply with the component's inputs; the matrix has as many parts as it can have."""
    inputs = from_environment(environ)
    file, shards = inputs.pop("file", ""), inputs.pop("shards", "1")
    words = [*([file] if file else []), *arguments("apply", inputs, quoted=True)[1:]]
    chosen = ShowOptions(
        file=Path(file) if file else None,
        **values(PlanOptions, inputs, quoted=True),  # type: ignore[arg-type]
    )
    # What the manifest declares is read from the environment: the component's own inputs are none of its business.
    own = {name: text for name, text in environ.items() if not name.startswith("INPUT_")}
    found = plan_of(chosen, own, hide=console.hide)
    tell(console, found)
    # The values of secrets are the pipeline's matter.
    secrets = tuple(f"--var={name}=" for name in found.declared_secrets)
    typed = "".join(f" {shlex.quote(word)}" for word in words if not word.startswith(secrets))
    total = min(int(shards), max(1, len(found.plan.entries)))
    console.document(gitlab_pipeline(total, typed, DEFAULT_RUNS.as_posix()))
    return 0


if __name__ == "__main__":
    main()
