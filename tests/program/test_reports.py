"""Reports that the manifest asks for, and those of the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.program.conftest import Begin


def test_every_format_is_written_by_every_apply(begin: Begin) -> None:
    stage = begin()
    formats = {"json": "a.json", "junit": "out/a.xml", "ctrf": "a.ctrf.json", "markdown": "a.md", "html": "a.html"}
    stage.commit(stage.doksi("login"), reports=[{"format": form, "path": path} for form, path in formats.items()])
    ended = stage.apply()
    assert ended.code == 0, ended
    for path in formats.values():
        assert "login" in (stage.folder / path).read_text(encoding="utf-8")
    assert json.loads((stage.folder / "a.json").read_text(encoding="utf-8"))["verdict"] == "passed"


def test_a_link_out_of_the_folder_is_refused_before_anything_is_sent(begin: Begin, tmp_path: Path) -> None:
    stage = begin()
    (tmp_path / "elsewhere").mkdir()
    (stage.folder / "out").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    stage.commit(stage.doksi("login"), reports=[{"format": "junit", "path": "out/qa.xml"}])
    ended = stage.apply()
    assert ended.code == 2, ended
    assert "leads out of the manifest's folder" in ended.err
    assert stage.paid() == []
