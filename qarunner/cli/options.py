"""The options that several commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional, TypeAlias

import typer

Manifest: TypeAlias = Annotated[
    Optional[Path],  # noqa: UP045  typer reads this when the program runs
    typer.Argument(
        metavar="[FILE]",
        help="The manifest. Default: qa-matrix.yml or .yaml here, or in a parent folder.",
        show_default=False,
    ),
]
Manifests: TypeAlias = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Argument(metavar="[FILE]...", help="Manifests. Default: the one of this repository.", show_default=False),
]
RunId: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Argument(metavar="[RUN]", help="A run's id. Default: the newest.", show_default=False),
]
Profile: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--profile", metavar="NAME", help="A profile of the manifest; --select chooses among its entries."),
]
RunIds: TypeAlias = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Argument(
        metavar="[RUN]...",
        help="A run's id; with --merge, ids, or folders that runs are in. Default: the newest.",
        show_default=False,
    ),
]
Merge: TypeAlias = Annotated[
    bool, typer.Option("--merge", help="Join the runs of several jobs into one report, and one exit code.")
]
Select: TypeAlias = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--select",
        metavar="EXPR",
        help="Which entries: id-glob, label:x, vendor:x, platform:x, variant:x, owner:x; comma: and; repeat: or; "
        "!: not.",
    ),
]
Var: TypeAlias = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--var", metavar="K=V", help="A value for a variable that the manifest declares."),
]
VarFile: TypeAlias = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Option("--var-file", metavar="FILE", help="Values of variables, in YAML or JSON; --var wins."),
]
Env: TypeAlias = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--env",
        metavar="NAME",
        help="Lets templates read this variable of the environment, if the manifest declares it; NAME* is a glob, "
        "'!NAME' is not meant.",
    ),
]
EnvFile: TypeAlias = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Option(
        "--env-file",
        metavar="FILE",
        help="Declared variables and vendors' keys, as NAME=value lines; what is named of the environment wins.",
    ),
]
AllowSecret: TypeAlias = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--allow-secret",
        metavar="NAME@HOST|NAME@VENDOR",
        help="Lets a secret into URLs of this host, or other fields of this vendor; NAME alone: as an api_key_env.",
    ),
]
ChangedSince: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--changed-since",
        metavar="REF",
        help="Leaves out entries with paths of which nothing changed since the merge base with REF.",
    ),
]
Branch: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--branch", metavar="NAME", help="The branch of this build, where neither CI nor git tells it."),
]
Tag: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--tag", metavar="NAME", help="The tag of this build, which then has no branch."),
]
ShardOf: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--shard", metavar="I/N", help="Only the Ith of N parts of equal weight, for parallel jobs."),
]
RerunFailed: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--rerun-failed", metavar="RUN", help="Only the entries that did not pass in an earlier run."),
]
Report: TypeAlias = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--report", metavar="FORMAT=PATH", help="Also writes a report: json, junit, ctrf, markdown or html. Repeatable."
    ),
]
RunsDir: TypeAlias = Annotated[Path, typer.Option("--runs-dir", metavar="DIR", help="Where runs are kept.")]
PollInterval: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--poll-interval",
        metavar="DURATION",
        help="How often each run is asked, whatever its vendor says; rates still hold.",
    ),
]
Timeout: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--timeout", metavar="DURATION", help="For all of it, such as 45m."),
]
FailFast: TypeAlias = Annotated[
    bool, typer.Option("--fail-fast", help="After the first failure that gates, begin nothing and cancel what runs.")
]
Detach: TypeAlias = Annotated[
    bool, typer.Option("--detach", help="Return when every run is started; `qarunner resume` waits for them.")
]
OnInterrupt: TypeAlias = Annotated[
    str, typer.Option("--on-interrupt", metavar="cancel|detach", help="What a signal does to runs at the vendors.")
]
Output: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--output",
        metavar="text|json|github",
        help="How results and problems are printed. Default: text; in GitHub Actions, github.",
    ),
]
Quiet: TypeAlias = Annotated[bool, typer.Option("-q", "--quiet", help="Only the result.")]
Verbose: TypeAlias = Annotated[bool, typer.Option("-v", "--verbose", help="Every step.")]
NoColor: TypeAlias = Annotated[bool, typer.Option("--no-color", help="No colours.")]
PlanOut: TypeAlias = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--out", metavar="FILE", help="Also writes the plan as JSON; the same input, the same bytes."),
]
MaxTests: TypeAlias = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--max-tests", metavar="N", min=0, help="Refuse to start more tests than this (exit 6)."),
]
NewRunId: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--run-id", metavar="ID", help="A name for this run, instead of one made from the time."),
]
Rehearse: TypeAlias = Annotated[
    bool, typer.Option("--rehearse", help="Against emulated vendors, started inside: nothing is sent or paid.")
]
Scenario: TypeAlias = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--scenario", metavar="FILE", help="With --rehearse: what the emulated vendors do."),
]
Resubmit: TypeAlias = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--resubmit", metavar="ID", help="An uncertain job or entry made no run: start it again."),
]
Drop: TypeAlias = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--drop", metavar="ID", help="Leave an uncertain job or entry as it is: unknown."),
]
Continue: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--continue",
        help="With --run-id: go on with the run of that id; of one that is over, only what did not pass runs again.",
        show_default=False,
    ),
]
AllRuns: TypeAlias = Annotated[bool, typer.Option("--all", help="Every run.")]
Limit: TypeAlias = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--limit", metavar="N", min=1, help="So many runs. Default: 20.", show_default=False),
]
Prune: TypeAlias = Annotated[
    bool, typer.Option("--prune", help="With --keep: remove finished runs of which nothing is left at a vendor.")
]
Keep: TypeAlias = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--keep", metavar="N", min=0, help="With --prune: the newest N runs stay.", show_default=False),
]
Unsealed: TypeAlias = Annotated[
    bool, typer.Option("--unsealed", help="The run's folder is mine, whatever its seal says.", show_default=False)
]
ReportOut: TypeAlias = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--out", metavar="FILE", help="Where to write it. Default: print it."),
]
VendorName: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Argument(metavar="[NAME]", help="One vendor, in detail.", show_default=False),
]
Explained: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="ENTRY", help="An entry's id, a glob of ids, or the code of an error, such as E204.", show_default=False
    ),
]
Starters: TypeAlias = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--vendor", metavar="NAME", help="A vendor to begin with; repeatable."),
]
PlainSchema: TypeAlias = Annotated[
    bool, typer.Option("--plain", help="Only the standard's keywords, for validators that refuse all others.")
]
PlanForm: TypeAlias = Annotated[
    str,
    typer.Option("--format", metavar="text|json|markdown|github-matrix|gitlab-ci", help="How the plan is printed."),
]
Shards: TypeAlias = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--shards", metavar="N", min=1, help="Jobs to share the plan; at most one for each entry."),
]
PlanExitCode: TypeAlias = Annotated[
    bool, typer.Option("--exit-code", help="Exit with 10 if an apply would send anything.")
]
ReportForm: TypeAlias = Annotated[
    str, typer.Option("--format", metavar="json|junit|ctrf|markdown|html", help="The report's format.")
]
DiffBase: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Argument(
        metavar="[BASE]",
        help="A revision or another file. Default: where this branch left its target or the default branch.",
        show_default=False,
    ),
]
DiffFile: TypeAlias = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--file", metavar="FILE", help="The manifest. Default: as for the other commands."),
]
DiffForm: TypeAlias = Annotated[
    str, typer.Option("--format", metavar="text|json|markdown", help="markdown fits a pull request's comment.")
]
WithExitCode: TypeAlias = Annotated[bool, typer.Option("--exit-code", help="Exit with 10 if there are changes.")]
DEFAULT_RUNS = Path(".qarunner/runs")
