"""`init`: a first manifest for the chosen vendors, over no other one, and the schema that editors check it with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.cli.inputs import NAMES
from qarunner.diagnostics import choose
from qarunner.errors import ExitCode, UserError
from qarunner.manifest import published
from qarunner.vendors import registry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qarunner.cli.console import Console

_SCHEMA = "qa-matrix.schema.json"
_HEAD = f"""# yaml-language-server: $schema=./{_SCHEMA}
version: 1
name: {{name}}

env:                                    # the only environment variables that templates can read
  STAGING_URL: {{{{ format: uri }}}}

"""
_SETTINGS = {
    "certyn": "  certyn: { project: my-app }           # the project's slug\n",
}
_ENTRIES = {
    "doksi": """
  - id: checkout
    vendor: doksi
    platform: web
    labels: [smoke]
    target: { web_url: "{{ env.STAGING_URL }}" }
    test_ids: [abc123]                  # ids of your tests at Doksi, or category_ids
""",
    "docketqa": """
  - id: login
    vendor: docketqa
    platform: web
    target: { web_url: "{{ env.STAGING_URL }}" }
    category_ids: [7]                   # the number of your suite at DocketQA
""",
    "testerarmy": """
  - id: search
    vendor: testerarmy
    platform: web
    target: { web_url: "{{ env.STAGING_URL }}" }
    category_ids: [3f2b8c1e-5d4a-4c7b-9e6f-0a1b2c3d4e5f]   # the id of your group at TesterArmy
""",
    "certyn": """
  - id: release-smoke
    vendor: certyn
    category_ids: [smoke-suite]         # the slug of your process at Certyn
    target: { web_url: "{{ env.STAGING_URL }}" }
""",
}


def init(console: Console, folder: Path, vendors: Sequence[str]) -> ExitCode:
    """Writes both files into a folder. UserError where a manifest is already there, or for a vendor of plugins."""
    chosen = tuple(dict.fromkeys(vendors))
    for name in chosen:
        if name not in _ENTRIES:
            raise UserError(f"--vendor: there is no starter for {name!r}", hint=choose(name, tuple(_ENTRIES)))
    if not chosen:
        raise UserError("init: choose a vendor", hint=f"--vendor NAME, repeatable: {', '.join(_ENTRIES)}")
    there = next((folder / name for name in NAMES if (folder / name).exists()), None)
    if there is not None:
        raise UserError(f"{there.as_posix()} is already there", hint="remove it first; nothing is overwritten")
    path = folder / NAMES[0]
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(starter(_name(folder), chosen))
        (folder / _SCHEMA).write_text(published.for_editors(), encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(f"{path.as_posix()}: cannot be written: {error.strerror}") from error
    keys = ", ".join(registry.get(name).info.key_env for name in chosen)
    console.result(f"{path.as_posix()}: written, with {_SCHEMA} for editors")
    console.note(f"next: put your ids in, set STAGING_URL and {keys}, then `qarunner validate` and `qarunner plan`")
    return ExitCode.OK


def starter(name: str, vendors: Sequence[str]) -> str:
    """A manifest that is valid as it stands."""
    settings = "".join(_SETTINGS[vendor] for vendor in vendors if vendor in _SETTINGS)
    middle = f"vendors:                                # settings, never credentials\n{settings}\n" if settings else ""
    entries = "".join(_ENTRIES[vendor] for vendor in vendors).removeprefix("\n")
    return f"{_HEAD.format(name=name)}{middle}defaults: {{ timeout: 30m }}\n\nmatrix:\n{entries}"


def _name(folder: Path) -> str:
    """The folder's name, where it can stand in YAML without quotes."""
    name = folder.resolve().name
    plain = name.isascii() and name[:1].isalpha() and name.replace("-", "").replace("_", "").isalnum()
    return name if plain and name.lower() not in {"true", "false", "null"} else "my-app"
