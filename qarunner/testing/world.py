"""A world in which an adapter finds nothing: no environment, no file, no network, no clock."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import socket
import subprocess
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_asking: ContextVar[bool] = ContextVar("asking", default=False)

_DOORS: tuple[tuple[Any, str, str], ...] = (
    (builtins, "open", "opens a file"),
    (io, "open", "opens a file"),
    (os, "open", "opens a file"),
    (type(os.environ), "__getitem__", "reads the environment"),
    (type(os.environ), "__iter__", "reads the environment"),
    (socket.socket, "connect", "uses the network"),
    (socket, "getaddrinfo", "uses the network"),
    (subprocess.Popen, "__init__", "starts a process"),
    (time, "sleep", "sleeps"),
    (time, "time", "reads the clock"),
)


class Touched(AssertionError):  # noqa: N818  what happened
    """An adapter reached for the world."""


@contextlib.contextmanager
def closed_world() -> Iterator[None]:
    """While an adapter is asked, everything that is not in its arguments is out of reach."""
    with contextlib.ExitStack() as stack:
        for owner, name, what in _DOORS:
            stack.enter_context(patch.object(owner, name, _guarded(getattr(owner, name), what)))
        yield


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Around the adapter's own code; the rest of the program goes on as ever."""
    token = _asking.set(True)
    try:
        yield
    finally:
        _asking.reset(token)


def _guarded(original: Callable[..., Any], what: str) -> Callable[..., Any]:
    def guard(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401  whatever the original takes
        if _asking.get():
            raise Touched(f"an adapter only translates, but this one {what}")
        return original(*arguments, **named)

    return guard
