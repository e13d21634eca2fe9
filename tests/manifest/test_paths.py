"""Globs over file names: what they mean, and which of them mean nothing."""

from __future__ import annotations

import pytest

from qarunner.diagnostics import Severity
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import check_rows, expand
from qarunner.manifest.select import check_paths, concerns, patterns_of
from tests.matrices import manifest, only, refusal

FILES = (
    "README.md",
    "src/shop/cart.py",
    "src/shop/deep/er/pay.py",
    "src/app/[locale]/page.tsx",
    "docs/a.md",
    "!odd",
    "a.b",
)


def matching(*patterns: str) -> list[str]:
    return [file for file in FILES if concerns(patterns, [file]) is not None]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["README.md"], ["README.md"]),
        (["./README.md"], ["README.md"]),
        (["/README.md"], ["README.md"]),
        (["*.md"], ["README.md"]),
        (["**/*.md"], ["README.md", "docs/a.md"]),
        (["**.md"], ["README.md", "docs/a.md"]),
        (["src/*"], []),
        (["src/*/cart.py"], ["src/shop/cart.py"]),
        (["src/**/pay.py"], ["src/shop/deep/er/pay.py"]),
        (["src/**/cart.py"], ["src/shop/cart.py"]),
        (["**/shop/**/*.py"], ["src/shop/cart.py", "src/shop/deep/er/pay.py"]),
        (["src/shop"], ["src/shop/cart.py", "src/shop/deep/er/pay.py"]),
        (["src/shop/"], ["src/shop/cart.py", "src/shop/deep/er/pay.py"]),
        (["src/shop/**"], ["src/shop/cart.py", "src/shop/deep/er/pay.py"]),
        (["src/sho"], []),
        (["src/app/[locale]/**"], ["src/app/[locale]/page.tsx"]),
        (["**"], list(FILES)),
        (["**/**"], list(FILES)),
        (["d?cs/a.md"], ["docs/a.md"]),
        (["a?b"], ["a.b"]),
        (["src?shop"], []),
        (["SRC/**"], []),
        (["src/**", "!src/shop/**"], ["src/app/[locale]/page.tsx"]),
        (["src/**", "!src/shop/**", "src/shop/cart.py"], ["src/shop/cart.py", "src/app/[locale]/page.tsx"]),
        (["!src/**"], []),
        (["\\!odd"], ["!odd"]),
        (["\\*"], []),
    ],
)
def test_globs(patterns: list[str], expected: list[str]) -> None:
    assert matching(*patterns) == expected


@pytest.mark.parametrize(
    ("patterns", "means"),
    [
        *((["libs/checkout/**"], True), (["libs/checkout/*"], True), (["**/checkout/**"], True), (["libs/**"], True)),
        *((["libs/checkout"], True), (["libs/checkout/"], True), (["libs"], True), (["libs/*"], True), (["**"], True)),
        *((["libs/checkout/src/cart.ts"], True), (["libs/*/src"], True), (["**/*.ts"], True), (["**/src/**"], True)),
        *((["libs/checkou/**"], False), (["src/**"], False), (["*.ts"], False), (["checkout/**"], False)),
        *((["libs/checkout/**", "!**/*.md"], True), (["libs/checkout/**", "!libs/checkout/docs/**"], True)),
        *((["**", "!libs/checkout/**"], False), (["**", "!libs"], False), (["**", "!libs/checkout/*"], True)),
    ],
)
def test_a_submodule_is_a_folder_of_which_nothing_more_is_known(patterns: list[str], means: bool) -> None:  # noqa: FBT001
    assert (concerns(patterns, ["libs/checkout/"]) is not None) is means


def test_a_hostile_glob_takes_no_time() -> None:
    assert concerns(["**/" * 30 + "x", "**a" * 8 + "b/**"], ["a/" * 60]) is not None
    assert concerns(["*a" * 12 + "b", "**/" * 30 + "x", "**a" * 8 + "b"], ["a" * 60, "a/" * 60 + "y"]) is None


@pytest.mark.parametrize(
    ("paths", "taken"),
    [
        *(("['src/**', '!src/**']", True), ("['src/shop/*.py', '!src/**']", True), ("['**/*.md', '!**/*.md']", True)),
        *(("['src/**', '!src/*/**']", False), ("['src/**', '!**/*.md']", False), ("['!src/**', 'src/**']", False)),
        ("['src/**', '!src/shop']", False),
    ],
)
def test_a_glob_that_a_later_one_takes_out_wholly_is_a_warning(paths: str, taken: bool) -> None:  # noqa: FBT001
    subject = manifest(rows_of(paths))
    problems = check_paths(subject, expand(subject), [*FILES, "src/a.md"])
    assert [problem.code for problem in problems] == [Code.NO_FILE] * taken
    assert all("takes out all that" in problem.message for problem in problems)


def rows_of(paths: str) -> str:
    return f"matrix:\n  - {{ id: a, vendor: certyn, category_ids: [c], paths: {paths} }}\n"


def test_a_glob_that_means_no_file_is_a_warning_at_its_place() -> None:
    subject = manifest(rows_of('["src/**", "scr/**", "!docs/b.md"]'))
    rows = expand(subject)
    assert check_rows(subject, rows) == ()
    assert patterns_of(rows[0]) == ("src/**", "scr/**", "!docs/b.md")
    problems = check_paths(subject, rows, FILES)
    assert [(problem.severity, problem.code, str(problem.place)) for problem in problems] == [
        (Severity.WARNING, Code.NO_FILE, "qa-matrix.yml:4:67"),
        (Severity.WARNING, Code.NO_FILE, "qa-matrix.yml:4:77"),
    ]
    assert problems[0].message == "paths: 'scr/**' matches no file of the repository"


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ("src/**", "paths: expected a list of globs, got 'src/**'"),
        ("[]", "paths: expected a list of globs, got an empty list"),
        ("['!docs/**']", "paths has only globs that take files out: nothing could ever match"),
        ("['{{ env.DIR }}/**']", "paths: templates are not rendered here"),
    ],
)
def test_what_cannot_be_meant_is_refused(paths: str, message: str) -> None:
    assert only(refusal(lambda: manifest("env: { DIR: {} }\n" + rows_of(paths)))).message == message


@pytest.mark.parametrize(
    "glob",
    [
        *("src/**/*.{ts,tsx}", "^src/.*", "!^src/.*", r"src\shop\**", r"src\.ts", "src/{a", "!src/{a,b}/**"),
        *("src/(a|b)/**", "!src/a|lib", "~/src", "!~"),
    ],
)
def test_a_pattern_of_another_tool_is_refused(glob: str) -> None:
    entry = f"{{ id: a, vendor: doksi, test_ids: [t], paths: [src/**, '{glob}'] }}"
    added = entry.replace("[src", "{ append: [src").replace("] }", "]} }")
    for problem in (
        only(refusal(lambda: manifest(f"matrix: [{entry}]"))),
        only(refusal(lambda: manifest(f"matrix: [{added}]"))),
    ):
        assert problem.code == "E207"
        assert "two globs instead of {a,b}" in problem.message


def test_a_sign_with_a_meaning_can_be_escaped() -> None:
    manifest(r"matrix: [{ id: a, vendor: doksi, test_ids: [t], paths: ['app/[locale]/(shop)/\*', '\!odd', 'a^b'] }]")
