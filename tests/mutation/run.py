"""Runs the tests over each change that mutmut writes: a fork for each, out of one process that has collected the tests.

mutmut itself begins pytest anew for each mutant, which costs more than the tests. Here those that call the changed
function run, the quickest first, until one fails. Results stand where mutmut keeps them: beside the modules in the
tree `mutants/`.
"""

from __future__ import annotations

import ast
import fnmatch
import json
import math
import os
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from mutmut.__main__ import create_mutants
from mutmut.configuration import config as settings
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.type_checking import run_type_checker
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir, setup_source_paths

if TYPE_CHECKING:
    from collections.abc import Callable

TREE = Path(__file__).resolve().parents[2] / "mutants"
OBSERVED = TREE / "observed.json"
"""What each test takes, and which functions it calls."""
SURVIVED, KILLED, UNTESTED, REFUSED = 0, 1, 33, 37
"""mutmut's exit codes."""
REST = "rest"
"""In the place of patterns: the mutants that have no result yet, as a run was interrupted or their function changed."""
_WORDS = {SURVIVED: "survives", KILLED: "killed", UNTESTED: "untested"}
_HANGS_S = 5
"""CPU seconds that a test may take beyond three times those that it takes without a change."""


def main(patterns: list[str]) -> int:
    TREE.mkdir(exist_ok=True)
    # In a process of its own: the trees of all mutants take memory, which each later fork would copy.
    if forked(_generate) is None:
        sys.exit("the mutants cannot be made: is there a tree `mutants/` of another version?")
    setup_source_paths()
    os.chdir(TREE)
    words = [*settings().pytest_add_cli_args, *settings().pytest_add_cli_args_test_selection]
    return pytest.main(["-s", "--tb=no", "--rootdir=.", *words], plugins=[Mutants(patterns or ["*"])])


def _generate() -> bool:
    copy_src_dir()
    copy_also_copy_files()
    create_mutants(1)
    if None in _results().values():
        OBSERVED.unlink(missing_ok=True)  # a function that has changed calls others
        _keep(dict.fromkeys(_refused(), REFUSED))
    return True


def _refused() -> set[str]:
    """The mutants that the type checker finds fault with. mutmut's own search for their names takes minutes."""
    os.chdir(TREE)
    lines: dict[Path, set[int]] = {}
    for error in run_type_checker(settings().type_check_command):
        lines.setdefault(error.file_path.relative_to(TREE), set()).add(error.line_number)
    names = set[str]()
    for path, wrong in lines.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(node.lineno <= at <= (node.end_lineno or 0) for at in wrong):
                names.add(f"{'.'.join(path.with_suffix('').parts)}.{node.name}")
    return names & _results().keys()


class _Test(NamedTuple):
    item: pytest.Item
    seconds: float
    is_near: bool


class Mutants:
    """pytest's loop: once over all tests to see what each calls, then once for each mutant, each time in a fork."""

    def __init__(self, patterns: list[str]) -> None:
        self.patterns = patterns
        self.has_failed = False

    def _asks_for(self, mutant: str) -> bool:
        return any(fnmatch.fnmatch(mutant, pattern) for pattern in self.patterns)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.has_failed = self.has_failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            sys.exit("not all tests can be collected without any change")
        session.config.pluginmanager.unregister(name="terminalreporter")
        tests = self._tests_by_function(session.items)
        mutants = [
            name
            for name, code in _results().items()
            if (code in {None, UNTESTED} if self.patterns == [REST] else code != REFUSED and self._asks_for(name))
        ]
        for number, mutant in enumerate(mutants, 1):
            code = self._code(mutant, tests.get(mutant.partition("__mutmut_")[0], []))
            _keep({mutant: code})
            if code != KILLED or number % 100 == 0:
                sys.stderr.write(f"{number} of {len(mutants)}: {mutant} {_WORDS[code]}\n")
        return True

    def _tests_by_function(self, items: list[pytest.Item]) -> dict[str, list[_Test]]:
        """The tests that call each function, the quickest first: where its own room has some, they alone.

        A room has to notice by itself what is wrong in it; all tests of all vendors would take a minute more.
        """
        known: dict[str, tuple[float, list[str]]] = json.loads(OBSERVED.read_text()) if OBSERVED.exists() else {}
        new = [item for item in items if item.nodeid not in known]
        observed = forked(lambda: self._observe(new))
        if observed is None:
            sys.exit("the tests fail without any change")
        known |= observed
        OBSERVED.write_text(json.dumps(known))
        tests: dict[str, list[_Test]] = {}
        for item in items:
            seconds, functions = known[item.nodeid]
            for function in functions:
                tests.setdefault(function, []).append(_Test(item, seconds, is_near=_room(function) in item.nodeid))
        return {
            name: sorted([test for test in calling if test.is_near] or calling, key=lambda test: test.seconds)
            for name, calling in tests.items()
        }

    def _observe(self, items: list[pytest.Item]) -> dict[str, tuple[float, list[str]]] | None:
        """The CPU seconds of each test, and the functions that it calls; None if one fails."""
        set_mutant_under_test("stats")
        os.environ["MUTMUT_DEPENDENCY_DEPTH"] = "-1"
        observed: dict[str, tuple[float, list[str]]] = {}
        for number, item in enumerate(items):
            state()._stats.clear()
            began = time.process_time()
            self._run(item, items[number + 1] if number + 1 < len(items) else None)
            observed[item.nodeid] = time.process_time() - began, sorted(state()._stats)
        return None if self.has_failed else observed

    def _code(self, mutant: str, tests: list[_Test]) -> int:
        """A mutant's result. The test that notices it stands first from now on, and may notice the next one as well."""
        if not tests:
            return UNTESTED
        noticed = forked(lambda: self._first_failure(mutant, tests))
        if noticed is None:
            return KILLED
        if noticed < 0:
            return SURVIVED
        tests.insert(0, tests.pop(noticed))
        return KILLED

    def _first_failure(self, mutant: str, tests: list[_Test]) -> int:
        set_mutant_under_test(mutant)
        for number, test in enumerate(tests):
            _end_after(_HANGS_S + 3 * test.seconds)
            self._run(test.item, tests[number + 1].item if number + 1 < len(tests) else None)
            if self.has_failed:
                return number
        return -1

    @staticmethod
    def _run(item: pytest.Item, following: pytest.Item | None) -> None:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def _room(function: str) -> str:
    """What the paths of a function's own tests have in them: `plan`, `engine`, `secret`, `vendors`."""
    return function.split(".")[1]


def _end_after(seconds: float) -> None:
    """Ends this process when it has taken so many CPU seconds more."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), most))


def forked(work: Callable[[], Any], *, limit_s: int | None = None) -> Any:  # noqa: ANN401  what JSON can hold
    """What `work` returns, computed in a process of its own; None if it crashes, or takes more CPU seconds."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(receiving)
            if limit_s is not None:
                _end_after(limit_s)
            with Path(os.devnull).open("r+b") as nothing:
                for stream in (0, 1, 2):
                    os.dup2(nothing.fileno(), stream)
            with os.fdopen(sending, "w") as pipe:
                json.dump(work(), pipe)
        finally:
            os._exit(0)
    os.close(sending)
    with os.fdopen(receiving) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else None


def _metas() -> list[Path]:
    return sorted((TREE / "qarunner").rglob("*.py.meta"))


def _results() -> dict[str, int | None]:
    return {name: code for meta in _metas() for name, code in json.loads(meta.read_text())["exit_code_by_key"].items()}


def _keep(codes: dict[str, int | None]) -> None:
    for meta in _metas():
        data = json.loads(meta.read_text())
        known = data["exit_code_by_key"]
        if known.keys() & codes.keys():
            known.update({name: code for name, code in codes.items() if name in known})
            meta.write_text(json.dumps(data))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
