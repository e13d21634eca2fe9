from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import jsonschema_rs
import pytest

from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.errors import UserError
from qarunner.vendors import registry

ROOT = Path(__file__).resolve().parents[2]


def install(folder: Path, name: str, point: str, module: str = "") -> None:
    """A distribution with one vendor, as an installer leaves it behind."""
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[qarunner.vendors.v1]\n{point}\n")
    (folder / f"{name}.py").write_text(dedent(module))


ADAPTER = """
    from types import SimpleNamespace
    VENDOR = SimpleNamespace(info=SimpleNamespace(name={!r}))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", registry.names_builtin())
def test_a_built_in_vendor_is_named_like_its_info_and_describes_itself(name: str) -> None:
    info = registry.get(name).info
    assert info.name == name
    assert info.base_url.startswith("https://")
    assert info.url_env[0] == f"QARUNNER_{name.upper()}_URL"
    assert any("{key}" in text for text in info.auth.texts)
    for properties in (info.options, info.settings):
        jsonschema_rs.meta.validate({"type": "object", "properties": dict(properties)})


@pytest.mark.parametrize("name", registry.names_builtin())
def test_every_word_of_the_manifest_is_either_offered_or_explained(name: str) -> None:
    offered = registry.get(name).info.capabilities
    can = {str(platform) for platform in offered.targets} | {
        kind for kinds in offered.targets.values() for kind in kinds
    }
    can |= set(offered.selections) | ({"artifacts"} if offered.artifacts else set())
    words = {*Platform, *TargetKind, *SelectionKind, "artifacts"}
    assert words - can == set(offered.instead) - {"options"}


def test_only_the_named_vendor_is_loaded_and_no_distribution_is_looked_at() -> None:
    program = (
        "import sys; from qarunner.vendors import registry; registry.get('certyn'); registry.names_builtin();"
        "print([name in sys.modules for name in ('qarunner.vendors.certyn.adapter', 'qarunner.vendors.doksi.adapter',"
        " 'importlib.metadata')])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[True, False, False]\n"


def test_an_unknown_name_is_answered_with_the_closest_and_all_valid_ones() -> None:
    with pytest.raises(UserError, match="unknown vendor 'doski'") as caught:
        registry.get("doski")
    assert caught.value.hint == f"did you mean 'doksi'? Valid: {', '.join(registry.names_builtin())}"


def test_a_plugin_is_listed_and_loaded(folder: Path) -> None:
    install(folder, "plugin_good", "acme = plugin_good:VENDOR", ADAPTER.format("acme"))
    assert registry.names() == ("acme", *registry.names_builtin())
    assert registry.get("acme").info.name == "acme"


def test_a_plugin_cannot_take_a_built_in_name(folder: Path) -> None:
    install(folder, "plugin_thief", "doksi = plugin_thief:VENDOR\ndocketqa = plugin_thief:VENDOR", "raise SystemError")
    assert type(registry.get("doksi")).__module__ == "qarunner.vendors.doksi.adapter"
    assert type(registry.get("docketqa")).__module__ == "qarunner.vendors.docketqa.adapter"
    assert registry.names() == registry.names_builtin()


@pytest.mark.parametrize(
    ("name", "module", "message"),
    [
        (
            "broken_import",
            "import no_such_module_at_all",
            "ModuleNotFoundError: No module named 'no_such_module_at_all'",
        ),
        ("broken_code", "raise RuntimeError('boom')", "cannot be loaded: RuntimeError: boom"),
        ("broken_attribute", "", "cannot be loaded: AttributeError"),
        ("broken_name", ADAPTER.format("other"), "broken_name:VENDOR has info.name 'other'"),
        ("broken_type", "VENDOR = 1", "is not an adapter of that name: broken_type:VENDOR has info.name None"),
    ],
)
def test_a_broken_plugin_is_named_with_its_distribution(folder: Path, name: str, module: str, message: str) -> None:
    install(folder, name, f"{name} = {name}:VENDOR", module)
    with pytest.raises(UserError) as caught:
        registry.get(name)
    assert f"vendor '{name}', which the distribution {name} 1.2 adds" in caught.value.message
    assert message in caught.value.message


def test_two_plugins_of_the_same_name_are_an_error(folder: Path) -> None:
    install(folder, "plugin_one", "twice = plugin_one:VENDOR", ADAPTER.format("twice"))
    install(folder, "plugin_two", "twice = plugin_two:VENDOR", ADAPTER.format("twice"))
    with pytest.raises(UserError, match=r"several distributions: plugin_one 1\.2, plugin_two 1\.2"):
        registry.get("twice")
