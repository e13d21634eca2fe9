"""The steps of the component: `qarunner-gitlab-note [FILE] [--result MARKDOWN]` and `qarunner-gitlab-plan`.

The first keeps the merge request's note with the matrix diff and the result. It needs a token that may write notes
(scope `api`, role Reporter) in GITLAB_TOKEN; the job's own token may not.
The second prints the child pipeline, from inputs in variables.
"""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qarunner.app.options import DEFAULT_RUNS
from qarunner.app.saved_plan import plan_of
from qarunner.cli.command_line import options_from
from qarunner.cli.commands.plan import tell
from qarunner.cli.console import Console, open_console
from qarunner.cli.main import error_boundary
from qarunner.cli.pipelines.arguments import arguments, from_environment
from qarunner.cli.pipelines.notes import GitLabNotes, NoteError, changes_since, put
from qarunner.errors import UserError
from qarunner.paths import MANIFEST_NAMES
from qarunner.report.plan import PipelinePart, gitlab_pipeline
from qarunner.review.markdown import code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.app.options import PlanOptions


FILE = MANIFEST_NAMES[0]


def main() -> None:
    words = sys.argv[1:]
    result = words.pop() if words[-2:-1] == ["--result"] else None
    file = next((word for word in words if word != "--result"), None)
    if result is None:
        sys.exit(note(os.environ, file))
    sys.exit(note_result(os.environ, file, Path(result)))


def note_result(environ: Mapping[str, str], file: str | None, markdown: Path) -> int:
    """Puts a result, as `report --merge --format markdown` wrote it, into the merge request's note."""
    console = open_console(environ, output="text")
    console.hide([environ.get("GITLAB_TOKEN", "")])
    try:
        text = markdown.read_text(encoding="utf-8")
    except OSError:
        text = f"### ❌ {code(file or FILE)}: there is no result; the jobs' logs say why"
    return _put(console, environ, file, "result", text)


def note(environ: Mapping[str, str], file: str | None) -> int:
    """Prints the diff, and keeps the merge request's note up to date where there is a token for it."""
    console = open_console(environ, output="text")
    console.hide([environ.get("GITLAB_TOKEN", "")])
    base = environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA")
    if not base:
        console.result("qarunner: no merge request, no note")
        return 0
    changes = changes_since(base, file)
    if changes.problem:
        console.document(changes.log)
        console.result(f"qarunner: no diff of the matrix: {changes.problem}")
        return 0
    console.document(changes.text)
    return _put(console, environ, file, "diff", changes.text, anew=changes.any)


def _put(
    console: Console, environ: Mapping[str, str], file: str | None, part: str, text: str, *, anew: bool = True
) -> int:
    token, number = environ.get("GITLAB_TOKEN", ""), environ.get("CI_MERGE_REQUEST_IID", "")
    if not number.isdecimal():
        console.result("qarunner: no merge request, no note")
        return 0
    if not token:
        console.result("qarunner: no note is written: GITLAB_TOKEN is not set")
        return 0
    api, project = environ.get("CI_API_V4_URL", "https://gitlab.com/api/v4"), environ.get("CI_PROJECT_ID", "")
    try:
        notes = GitLabNotes.of(api, token, project, int(number))
        done = put(notes, file or FILE, part, text, anew=anew)
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
    if not shards.isdecimal():
        raise UserError(f"shards: expected a whole number, got {shards!r}")
    words = [*([file] if file else []), *arguments("apply", inputs, quoted=True)[1:]]
    # Nothing is sent from here: of an earlier run that no key verifies, the jobs have to be sure.
    chosen = replace(cast("PlanOptions", options_from(["apply", *words])), unsealed=None)
    # What the manifest declares is read from the environment: the component's inputs are not for it.
    of_build = {name: text for name, text in environ.items() if not name.startswith("INPUT_")}
    result = plan_of(chosen, of_build, hide=console.hide)
    tell(console, result)
    # The values of secrets are the pipeline's matter.
    secrets = tuple(f"--var={name}=" for name in result.declared_secrets)
    typed = "".join(f" {shlex.quote(word)}" for word in words if not word.startswith(secrets))
    total = min(int(shards), max(1, len(result.plan.entries)))
    part = PipelinePart(file=file or FILE, name=result.plan.name, words=typed, shards=total)
    console.document(gitlab_pipeline([part], DEFAULT_RUNS.as_posix(), environ.get("CI_PIPELINE_ID")))
    return 0


if __name__ == "__main__":
    main()
