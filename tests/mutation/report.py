"""What `make mutants` left: each mutant that survives needs a reason in survivors.toml, and few may survive at all.

A mutant is known by its function and by the lines that it changes, so that other edits do not move it. In the work
tree of mutmut, `mutants/`, each module has all of its mutants as functions, and their results beside it as JSON;
constants.py leaves what it found there as well.
"""

from __future__ import annotations

import ast
import difflib
import json
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / "mutants"
REASONS = Path(__file__).with_name("survivors.toml")
MOST_SURVIVE = 0.05
"""Of those that the type checker lets pass: it holds the rest, as the types of an adapter's own words are strict."""

_RESULTS = {None: "unchecked", 0: "survived", 1: "killed", 3: "killed", 33: "untested", 37: "refused by mypy"}
"""mutmut's exit codes; any other is a mutant that hangs or crashes, and no test passes with it."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """A changed function as in `plan.compile:Resources.of`, with the lines that were there and that are there now."""

    function: str
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.function}\n  - {self.was}\n  + {self.now}"


def main() -> int:
    counts: dict[str, Counter[str]] = {}
    survivors: list[Survivor] = []
    for meta in sorted((TREE / "qarunner").rglob("*.py.meta")):
        results: dict[str, int | None] = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        module = meta.relative_to(TREE / "qarunner").as_posix().removesuffix(".py.meta").replace("/", ".")
        counts[module] = Counter(_RESULTS.get(code, "killed") for code in results.values())
        alive = [name.rpartition(".")[2] for name, code in results.items() if code in {0, 33}]
        survivors += _survivors(module, meta.with_suffix(""), alive)
    constants = TREE / "constants.json"
    if constants.exists():
        found = json.loads(constants.read_text(encoding="utf-8"))
        survivors += [Survivor(**each) for each in found["survivors"]]
        alive_there = len(found["survivors"])
        counts["(constants)"] = Counter(killed=found["number"] - alive_there, survived=alive_there)
    else:
        counts["(constants)"] = Counter(unchecked=1)
    reasons = _reasons()
    bare = [each for each in survivors if each not in reasons]
    idle = [each for each in reasons if each not in survivors]
    _print(counts, len(survivors), bare, idle)
    tested = sum(sum(found.values()) - found["refused by mypy"] for found in counts.values())
    whole = tested > 0 and not any(found["unchecked"] for found in counts.values())
    return 0 if whole and not bare and not idle and len(survivors) <= MOST_SURVIVE * tested else 1


def _survivors(module: str, path: Path, alive: list[str]) -> list[Survivor]:
    text = path.read_text(encoding="utf-8") if alive else ""
    lines = text.splitlines()
    functions = {
        node.name: [line.replace(node.name, "") for line in lines[node.lineno - 1 : node.end_lineno]]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }
    found = []
    for name in alive:
        mangled = name.rpartition("__mutmut_")[0]
        changes = [*difflib.ndiff(functions[f"{mangled}__mutmut_orig"], functions[name])]
        was, now = ("\n".join(line[2:].strip() for line in changes if line[0] == sign) for sign in "-+")
        # `x_function`, or `xǁClassǁmethod`
        plain = mangled.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
        found.append(Survivor(f"{module}:{plain}", was, now))
    return found


def _reasons() -> set[Survivor]:
    told = tomllib.loads(REASONS.read_text(encoding="utf-8"))["survivor"]
    return {
        Survivor(each["function"], each["was"], now)
        for each in told
        if each["reason"].strip()
        for now in ([each["now"]] if isinstance(each["now"], str) else each["now"])
    }


def _print(counts: dict[str, Counter[str]], survive: int, bare: list[Survivor], idle: list[Survivor]) -> None:
    columns = ("killed", "survived", "untested", "refused by mypy", "unchecked")
    out = sys.stdout
    out.write(f"{'':32}" + "".join(f"{name:>17}" for name in columns) + "\n")
    whole = sum(counts.values(), Counter[str]())
    for module, found in (*counts.items(), ("all", whole)):
        if found:
            out.write(f"{module:32}" + "".join(f"{found[name]:17}" for name in columns) + "\n")
    tested = whole.total() - whole["refused by mypy"]
    out.write(f"\n{survive} of {tested} survive that mypy lets pass: {survive / max(1, tested):.1%}, ")
    out.write(f"at most {MOST_SURVIVE:.0%} may\n")
    for title, survivors in (
        (f"without a reason in {REASONS.relative_to(ROOT)}: write a test, or say why none can tell", bare),
        ("with a reason, but not there any more: remove it", idle),
    ):
        out.write(f"\n{len(survivors)} {title}\n" if survivors else "")
        out.writelines(f"{each}\n" for each in survivors)


if __name__ == "__main__":
    sys.exit(main())
