"""`qarunner schema --plain` in ajv, which refuses every keyword that it does not know."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from qarunner.manifest.schema import validate as published
from qarunner.manifest.yaml import reader as document

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GOLDEN = ROOT / "tests" / "golden" / "schema"
PROGRAM = """
const Ajv = require("ajv/dist/2020").default;
const { schema, manifests } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const valid = new Ajv({ logger: false }).compile(schema);
console.log(JSON.stringify(manifests.map((each) => valid(each))));
"""

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(not (HERE / "node_modules" / "ajv").exists(), reason="no ajv: `make editor` installs it"),
]


def test_ajv_compiles_it_and_agrees() -> None:
    names = [*ROOT.glob("examples/*/qa-matrix.yml"), *GOLDEN.glob("[!y]*/qa-matrix.yml")]
    manifests = {
        path.relative_to(ROOT).as_posix(): document.read("m.yml", path.read_bytes()).data for path in sorted(names)
    }
    given = {"schema": json.loads(published.plain()), "manifests": list(manifests.values())}
    done = subprocess.run(
        ["node", "-e", PROGRAM], input=json.dumps(given), capture_output=True, text=True, check=True, cwd=HERE
    )
    valid = {name for name, answer in zip(manifests, json.loads(done.stdout), strict=True) if answer}
    assert valid == {name for name in manifests if name.startswith("examples/") or "/valid-" in name}
