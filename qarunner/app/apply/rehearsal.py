"""The emulated vendors, for `apply --rehearse` and `qarunner emulator`: the one place that knows that they exist."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from qarunner import __version__
from qarunner.errors import UserError
from qarunner.paths import PathRefused, read_regular
from qarunner.secret import Scrubber, placeholder, reveal, secret_names
from qarunner.vendors import registry

if TYPE_CHECKING:
    from qarunner.app.options import EmulatorOptions
    from qarunner.plan.model import Plan


EMULATOR = "emulator.jsonl"
"""What the vendors of a rehearsal were asked, in the run's folder: with it a rehearsal can be resumed."""


class Rehearsal(Struct, frozen=True, kw_only=True):
    """Emulated vendors at work. `environ` leads every vendor of a plan to them, with keys of their own."""

    environ: Mapping[str, str]
    keep_in: Callable[[Path], None]
    """Called with the run's folder as soon as there is one. OSError if nothing can be written there."""


@contextlib.contextmanager
def rehearse(
    plan: Plan, secrets: Mapping[str, str], *, scenario: Path | None = None, folder: Path | None = None
) -> Iterator[Rehearsal]:
    """Starts the emulator: as a scenario says, or as an earlier one stood that kept its memory in a run's folder.

    `secrets` are the texts of the plan's secrets: the memory has placeholders in their places.
    """
    try:
        from qarunner.emulator import ScenarioError, serve
        from qarunner.emulator.memory import Forgotten, Memory, read_memory
        from qarunner.emulator.scenario import read_text, scenario_of
    except ImportError as error:
        raise _missing(error) from error
    clean = Scrubber(secrets)

    def restore(text: str) -> str:
        """A cancel needs no secret: what is not known stays a placeholder."""
        return reveal(text, {name: secrets.get(name, placeholder(name)) for name in secret_names(text)})

    with contextlib.ExitStack() as stack:
        try:
            if folder is not None:
                memory = read_memory(_kept_by_emulator(folder / EMULATOR), clean, restore)
            else:
                source = read_text(scenario) if scenario else scenario_of(_projects(plan))
                memory = Memory(source, name=str(scenario), clean=clean)
            stack.callback(memory.close)
            running = stack.enter_context(serve(memory=memory))
        except (Forgotten, PathRefused, FileNotFoundError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or error
            raise UserError(
                f"the rehearsal cannot go on, its emulated vendors are gone: {EMULATOR}: {why}",
                hint="qarunner apply --rehearse again",
            ) from error
        except (ScenarioError, OSError) as error:
            raise UserError(f"the emulator cannot start: {error}") from error
        environ = _led_to(plan, running.environ)
        yield Rehearsal(environ=environ, keep_in=lambda folder: memory.keep_in(folder / EMULATOR))


def _projects(plan: Plan) -> Mapping[str, str]:
    named = ((name, vendor_plan.settings.get("project")) for name, vendor_plan in plan.vendors.items())
    return {name: project for name, project in named if isinstance(project, str)}


def _kept_by_emulator(path: Path) -> bytes:
    """The emulator's file in a run's folder, which somebody else may have made. OSError if it is not one."""
    if path.is_symlink():
        raise PathRefused("is a link")
    return read_regular(path)


def _led_to(plan: Plan, emulated: Mapping[str, str]) -> Mapping[str, str]:
    environ = dict(emulated)
    for name, vendor_plan in plan.vendors.items():
        info = registry.get(name).info
        if info.url_env[0] not in environ:
            raise UserError(f"vendor {name!r} has no emulation", hint=f"leave it out: --select '!vendor:{name}'")
        # Whatever variable the manifest names for the key: a real one has no business in a rehearsal.
        environ[vendor_plan.key_env] = environ[info.key_env]
    return environ


def run_emulator(options: EmulatorOptions) -> int:
    """Serves until a signal comes."""
    try:
        from qarunner.emulator.server import serve_until_signal
    except ImportError as error:
        raise _missing(error) from error
    try:
        serve_until_signal(options.scenario, options.port, host=options.host, speed=options.speed)
    except (ValueError, OSError) as error:  # a scenario, or an address, that cannot be used
        raise UserError(f"the emulator cannot start: {error}") from error
    return 0


def _missing(error: ImportError) -> UserError:
    """The hint installs it from where this qarunner came from: at an index, its name may belong to somebody else."""
    hint = f"install it: {shlex.join([sys.executable, '-m', 'pip', 'install', *_with_emulator()])}"
    return UserError(f"the emulator is not installed ({error.name} is missing)", hint=hint)


def _with_emulator() -> list[str]:
    """What pip has to be given (direct_url.json says where a distribution came from: PEP 610)."""
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.request import url2pathname

    try:
        origin = json.loads(distribution("qarunner").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    url = origin.get("url", "")
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    if "dir_info" in origin:
        folder = url2pathname(urlsplit(url).path)
        return [*(["--editable"] if origin["dir_info"].get("editable") else []), f"{folder}[emulator]"]
    return [f"qarunner[emulator] @ {url}" if url else f"qarunner[emulator]=={__version__}"]
