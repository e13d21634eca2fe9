"""Faults that an author may make, planted one at a time into the source of an example adapter: the suite finds them."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from qarunner.testing import Conformance
from tests.amount import some

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CHECKS = sorted(name for name in vars(Conformance) if name.startswith("test_"))
LONG = ("test_a_failure_stays_one", "test_passes_are_not_invented", "test_garbage_is_never_a_pass")

ACME = {
    "a result with an unknown word is a pass": (".lower(), Verdict.UNKNOWN)", ".lower(), Verdict.PASSED)"),
    "the word for a failure is a pass": ('"broken": Verdict.FAILED', '"broken": Verdict.PASSED'),
    "a test without a result is left out": ("if test not in dict(told)]", "if not told]"),
    "the state of the run is not looked at": ('if state.lower() != "done":', 'if state == "queued":'),
    "the answer may be about another run": ('answers.check_about(body.get("id"), run.id)', "pass"),
    "an error answer is read like any other": (
        "answers.status_body(replies[0], self.refused(replies[0]))",
        "replies[0].json()",
    ),
    "each result counts as often as it is told": ("list(dict.fromkeys(results))", "list(results)"),
    "of two results of a test the last one counts": (
        "list(dict.fromkeys(results))  # told twice it is one; with two words it is two cases, and no pass",
        "list(dict(results).items())",
    ),
    "one pass is enough": (
        "if Verdict.FAILED in verdicts:\n        return Verdict.FAILED",
        "if Verdict.FAILED in verdicts:\n        return Verdict.UNKNOWN",
    ),
    "an id is not quoted": ("answers.segment(run.id)", "run.id"),
    "any text is an id": ('answers.path_id(reply.json().get("id"))', 'reply.json().get("id").text_or("run")'),
    "the first test alone is sent": ("list(entry.selection.ids)", "list(entry.selection.ids[:1])"),
    "the address is not sent": ('"url": entry.target.value, ', ""),
    "the options are not sent": (", **entry.options}", "}"),
    "the settings are not sent": ("**call.settings, ", ""),
    "a refusal has no words": ('answers.refusal(reply, "error")', "api.Refusal(message=reply.text)"),
}

RAINFOREST = {
    "`no_result` is a pass": ('"failed": Verdict.FAILED}', '"failed": Verdict.FAILED, "no_result": Verdict.PASSED}'),
    "the result of the run is not looked at": ('told != "passed" or set', "set"),
    "the first page alone is read": ('or len(pages) < _header(pages[-1], "x-total-pages")', ""),
    "an aborted run ends as its tests say": ('"aborted": Verdict.CANCELLED', '"aborted": None'),
    "the counters are not looked at": ("or not agreed", ""),
    "after many polls it is over": ("or final is False:", "and polls < 500:"),
    "the tests may be those of another run": ('answers.check_about(test.get("run_id"), run.id)', "pass"),
    "a cancel is about every run": ('method="DELETE", path=_path(run)', 'method="DELETE", path="/1/runs/all"'),
    "the options are not sent": ("{**_environment(entry), **entry.options}", "_environment(entry)"),
    "the first tag alone is sent": ('{"tags": list(ids)}', '{"tags": list(ids[:1])}'),
    "the commit is not sent": ('body["release"] = call.metadata.commit', "pass"),
    "the commit is that of another field": ('body["release"] = call.metadata.commit', 'body["release"] = "latest"'),
    "another environment is removed": ("answers.segment(str(prepared.values['id']))", "'1'"),
    "a status is asked for of every run": ('method="GET", path=_path(run)', 'method="GET", path="/1/runs/newest"'),
    "an id is no number": ("answers.segment(ids[0])", "'all'"),
}
QATECH = {
    "an option is not sent": ('if "device_preset" in entry.options:', "if False:"),
    "the commit is not sent": ('"commitHash": metadata.commit,', ""),
    "the target is not sent": ('application["environment"] = {key: entry.target.value}', "pass"),
}
PLANTED = [
    *[("vendor-plugin", "acme_qa", fault, *change) for fault, change in ACME.items()],
    *[("rainforest-plugin", "rainforest_qa", fault, *change) for fault, change in RAINFOREST.items()],
    *[("qatech-plugin", "qatech", fault, *change) for fault, change in QATECH.items()],
]


def load(folder: str, name: str, old: str = "", new: str = "") -> Any:  # noqa: ANN401  an author's module
    """The adapter of an example, with a piece of its source replaced."""
    source = (EXAMPLES / folder / f"{name}.py").read_text(encoding="utf-8")
    assert old in source, f"{old!r} is not in {name}.py"
    module = ModuleType(name)
    exec(compile(source.replace(old, new, 1), f"{name}.py", "exec"), module.__dict__)  # noqa: S102  an example of ours
    return module


def examples_of(folder: str, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401  an author's module
    monkeypatch.syspath_prepend(EXAMPLES / folder)
    for module in (name, f"test_{name}"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return import_module(f"test_{name}").EXAMPLES


def suite_of(vendor: object, examples: object) -> Any:  # noqa: ANN401  its checks are found by name
    return type("Suite", (Conformance,), {"vendor": vendor, "examples": examples})()


def problem(vendor: object, examples: object) -> str | None:
    """What the suite finds first; checks that take long are the last ones."""
    suite = suite_of(vendor, examples)
    for check in sorted(CHECKS, key=lambda name: (name in LONG, name)):
        try:
            getattr(suite, check)()
        except AssertionError as error:
            return f"{check}: {error}"
    return None


@pytest.mark.parametrize(("folder", "name", "fault", "old", "new"), some(PLANTED, 10))
def test_a_planted_fault_is_found(
    folder: str, name: str, fault: str, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qarunner.testing.suite._SAMPLES", 10)
    examples = examples_of(folder, name, monkeypatch)
    assert problem(load(folder, name, old, new).VENDOR, examples), fault


def test_without_a_fault_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qarunner.testing.suite._SAMPLES", 10)
    examples = examples_of("vendor-plugin", "acme_qa", monkeypatch)
    assert problem(load("vendor-plugin", "acme_qa").VENDOR, examples) is None


def test_the_pages_example_conforms(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/plugins.md, as it stands."""
    monkeypatch.setattr("qarunner.testing.suite._SAMPLES", 10)
    page = (EXAMPLES.parent / "docs" / "plugins.md").read_text(encoding="utf-8")
    source = next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "Conformance" in block)
    names: dict[str, Any] = {"VENDOR": load("vendor-plugin", "acme_qa").VENDOR}
    exec(source, names)  # noqa: S102  the page's own example
    assert problem(names["VENDOR"], names["TestAcme"].examples) is None
