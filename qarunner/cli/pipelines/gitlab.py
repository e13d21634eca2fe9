"""The merge request's note with the matrix diff: `qarunner-gitlab-note [FILE]`.

Needs a token that may write notes (scope `api`, role Reporter) in GITLAB_TOKEN; the job's own token may not.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from qarunner.cli.console import open_console
from qarunner.cli.pipelines.notes import GitLabNotes, NoteError, put
from qarunner.cli.pipelines.review import changes_since

if TYPE_CHECKING:
    from collections.abc import Mapping


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


if __name__ == "__main__":
    main()
