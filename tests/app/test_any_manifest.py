"""Any valid manifest becomes the same plan every time; any other is refused quickly, in words, and never by a crash."""

from __future__ import annotations

import json
import random
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.app.choosing import Inputs, RowFilter
from qarunner.app.explain.rows import Explaining
from qarunner.app.options import PlanOptions
from qarunner.app.planning import check_manifest, in_environment, make_plan
from qarunner.errors import ManifestError, OverBudget, UserError
from qarunner.manifest.codes import Code
from qarunner.manifest.templates.env import Values
from qarunner.manifest.templates.evaluate import render
from qarunner.manifest.yaml import reader as document
from qarunner.plan.model import from_json, to_json
from qarunner.vendors.api import Metadata
from tests.manifest.schema.test_schema import TOKENS, assert_all_validators_agree, mangle
from tests.manifest.strategies import BASES, DAY, LOCK, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qarunner.app.planning import PlanResult
    from qarunner.diagnostics import Diagnostic

ENVIRON = {
    "QARUNNER_VAR_STAGING_URL": "https://staging.example.com",
    "GITHUB_ACTIONS": "true",
    "GITHUB_SHA": "0123456789abcdef0123456789abcdef01234567",
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_REPOSITORY": "example/shop",
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("any")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("qa-matrix.lock").write_text(LOCK, encoding="utf-8")
        yield Path("qa-matrix.yml")


def plan_of(path: Path, profile: str | None = None) -> PlanResult:
    return make_plan(path, PlanOptions(today=date.fromisoformat(DAY), profile=profile), ENVIRON, Inputs())


def worded(problems: tuple[Diagnostic, ...]) -> list[str]:
    return [f"{problem} [{problem.code}]" for problem in problems]


@given(text=texts())
def test_a_valid_manifest_becomes_the_same_plan_every_time(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    assert worded(check_manifest(path, {}).problems) == []
    for profile in [None, "nightly"] if "nightly" in text else [None]:
        try:
            first = plan_of(path, profile).plan
        except ManifestError as error:
            raise AssertionError(worded(error.diagnostics)) from error
        assert first.jobs
        written = to_json(first)
        assert from_json(written, path=path) == first
        assert to_json(from_json(written, path=path)) == written
        assert to_json(plan_of(path, profile).plan) == written


VALUES = st.fixed_dictionaries(
    {"STAGING_URL": st.just("https://staging.example.com")},
    optional={
        "LOCALE": st.sampled_from(["en", "de"]),
        "WORDS": st.sampled_from(["smoke,login", "a}}b,c", "a"]),
        "host": st.sampled_from(["example.com", "other.example"]),
    },
)


@given(text=texts(), given_values=VALUES)
def test_what_was_known_before_is_what_would_be_computed_again(
    path: Path, text: str, given_values: dict[str, str]
) -> None:
    path.write_text(text, encoding="utf-8")
    checked = check_manifest(path, {})
    manifest = in_environment(checked.manifest, checked.vendors, {})
    values = Values(overrides=given_values, git={"branch": "main"})
    first, second = (render(manifest, checked.rows, values, before) for before in (None, checked.evaluated))
    assert second == first
    assert repr(second) == repr(first)  # 1 and true are equal


@given(text=texts(), url=st.sampled_from([None, "https://staging.example.com"]))
def test_every_row_can_be_explained_whatever_is_set(path: Path, text: str, url: str | None) -> None:
    path.write_text(text, encoding="utf-8")
    checked = check_manifest(path, {})
    environ = {} if url is None else {"QARUNNER_VAR_STAGING_URL": url}
    explaining = Explaining(
        checked,
        Values(env=environ),
        wanted=RowFilter(),
        metadata=Metadata(),
        today=date.fromisoformat(DAY),
    )
    for row in checked.rows:
        explained = explaining.row(row)
        assert explained.reason
        assert explained.values
        assert (explained.sent is None) == (explained.unsent is not None)
        if url is not None:
            assert explained.sent is not None, explained.unsent
            assert explained.missing == ()


@given(text=texts(), base=BASES)
def test_a_base_refuses_nothing_but_what_its_limits_say(path: Path, text: str, base: dict[str, object]) -> None:
    path.write_text(text, encoding="utf-8")
    environ = {**ENVIRON, "QARUNNER_BASE": "base.yml"}
    options = PlanOptions(today=date.fromisoformat(DAY))
    Path("base.yml").write_text("{}", encoding="utf-8")
    assert make_plan(path, options, environ, Inputs()).plan.jobs == plan_of(path).plan.jobs
    Path("base.yml").write_text(json.dumps(base, ensure_ascii=False), encoding="utf-8")
    problems = check_manifest(path, environ).problems
    try:
        first = make_plan(path, options, environ, Inputs()).plan
        assert to_json(make_plan(path, options, environ, Inputs()).plan) == to_json(first)
        assert problems == ()
    except ManifestError as error:
        problems = (*problems, *error.diagnostics)
    except OverBudget:
        assert "limits" in base
    assert {problem.code for problem in problems} <= ({Code.LIMIT} if "limits" in base else set()), worded(problems)


def refused_or_planned(path: Path, raw: bytes) -> None:
    """Whatever is written: problems with places, or a plan."""
    path.write_bytes(raw)
    problems: tuple[Diagnostic, ...] = ()
    try:
        problems = check_manifest(path, {}).problems
        plan_of(path)
    except ManifestError as error:
        problems = (*problems, *error.diagnostics)
    except UserError:
        pass  # such as nothing that is left to run
    assert all(problem.message and problem.place.line >= 1 for problem in problems)


@given(text=texts(), seed=st.integers(0, 2**32))
def test_a_mangled_manifest_is_refused_in_words(path: Path, text: str, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  not for secrets
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(text))
        text = text[:start] + chance.choice(DAMAGES)(text[start:], chance)
    refused_or_planned(path, text.encode("utf-8", "surrogatepass"))


def _deleted(rest: str, chance: random.Random) -> str:
    return rest[chance.choice((1, 2, 5, 30)) :]


def _put_in(rest: str, chance: random.Random) -> str:
    return chance.choice(TOKENS) + rest


def _line_twice(rest: str, chance: random.Random) -> str:
    lines = rest.splitlines(keepends=True) or [""]
    return "".join([lines[0], *lines[1:2] * chance.randint(2, 3), *lines[2:]])


def _nested(rest: str, chance: random.Random) -> str:
    return chance.choice("[{") * chance.choice((3, 70, 5000)) + rest


def _garbage(rest: str, chance: random.Random) -> str:
    return "".join(chr(chance.randrange(0x110000)) for _ in range(5)) + rest


DAMAGES = (_deleted, _put_in, _line_twice, _nested, _garbage)


@given(text=texts(), seed=st.integers(0, 2**32))
def test_data_of_the_wrong_kinds_is_refused_and_all_validators_agree(path: Path, text: str, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    data = document.read("qa-matrix.yml", text).data
    for _ in range(chance.randint(1, 3)):
        mangle(data, chance)
    assert_all_validators_agree(data, "manifest", templates=True)
    refused_or_planned(path, json.dumps(data).encode())


@given(raw=st.binary(max_size=200))
def test_any_bytes_are_refused(path: Path, raw: bytes) -> None:
    refused_or_planned(path, raw)
