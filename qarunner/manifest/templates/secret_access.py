"""Where a secret may be sent: what the pipeline allows, and no manifest can loosen.

`NAME` allows a secret in everything that is sent to the vendors. `NAME@HOST` allows it in target URLs of that host and
nowhere else, whatever a later manifest says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qarunner import secret
from qarunner.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qarunner.diagnostics import Path


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"


_HOST = re.compile(rf"(?:(?:\*\.|[a-z0-9*-]*\.)?{_LABEL}(?:\.{_LABEL})*)(?::[0-9]{{1,5}})?", re.ASCII)


_LOOPBACK = frozenset({"localhost", "127.0.0.1"})


_URLS = frozenset({"web_url", "binary_url"})


# The host is read by what it may consist of, not by where it seems to end: backslashes, odd characters and secrets
# before the first slash are read differently by different programs. A secret in the user's part is quoted.
_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:(?:[A-Za-z0-9._~!$&'()*+,;=:%-]|⟦secret:[A-Za-z_][A-Za-z0-9_]*:urlencode⟧)*@)?"
    r"(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?(?=[/?#]|\Z)",
    re.ASCII | re.IGNORECASE,
)


class Permissions:
    """The words of --allow-secret and QARUNNER_ALLOW_SECRETS."""

    def __init__(self, words: frozenset[str]) -> None:
        self._bound: dict[str, list[str]] = {}
        for word in sorted(words):
            name, bound, host = word.partition("@")
            if bound:
                self._bound.setdefault(name, []).append(host.lower())
        self._free = frozenset(word for word in words if "@" not in word)

    def allows(self, name: str) -> bool:
        """Whether a secret may be sent at all."""
        return name in self._free or name in self._bound

    def hosts(self, name: str) -> tuple[str, ...]:
        """The hosts that a secret is bound to."""
        return tuple(self._bound.get(name, ()))

    def misdirected(self, data: object, path: Path = ()) -> Iterator[tuple[Path, str, str]]:
        """Where a bound secret stands and is not allowed: the path in a row, its name, and where it would be sent."""
        if isinstance(data, str):
            # A secret that somebody allowed everywhere is bound to nothing.
            for name in sorted(secret.names_in(data) - self._free):
                url = path[:1] == ("target",) and len(path) > 1 and path[1] in _URLS
                destination = _destination(data) if url else None
                if destination is None or not any(_fits(destination, host) for host in self.hosts(name)):
                    yield path, name, _where(path, destination, is_url=url)
            return
        children = (
            data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, (list, tuple)) else ()
        )
        for step, child in children:
            yield from self.misdirected(child, (*path, step))


def checked_word(word: str) -> str:
    """A word of permission. UserError if it is none, or allows more than whoever wrote it can mean."""
    name, bound, host = word.partition("@")
    if not _NAME.fullmatch(name):
        raise UserError(f"--allow-secret {word}: {name!r} is no variable's name", hint=_HINT)
    if not bound:
        return word
    plain = host.lower().partition(":")[0]
    if not _HOST.fullmatch(host.lower()):
        raise UserError(f"--allow-secret {word}: {host!r} is no host", hint=_HINT)
    if "*" in plain and plain.count(".") < 2:  # noqa: PLR2004  *.com is nobody's
        raise UserError(f"--allow-secret {word}: {host!r} is half of the internet", hint=_HINT)
    return word


_HINT = "write NAME, NAME@shop.example.com or NAME@*.preview.example.com; another port than https's: NAME@host:8443"


def _destination(url: str) -> str | None:
    """`host`, or `host:port` where it is not the usual port; None for what is not certainly an https URL of one."""
    match = _URL.match(url)
    if match is None or (match["scheme"].lower() != "https" and match["host"].lower() not in _LOOPBACK):
        return None
    usual = "443" if match["scheme"].lower() == "https" else "80"
    port = "" if match["port"] in {None, usual} else f":{match['port']}"
    return match["host"].lower() + port


def _fits(destination: str, host: str) -> bool:
    first, _, rest = host.partition(".")
    if "*" not in first:
        return destination == host
    # `*.` stands for one or more labels, and a star in a label for a part of it.
    pattern = "[a-z0-9.-]+" if first == "*" else re.escape(first).replace(r"\*", "[a-z0-9-]*")
    return re.fullmatch(rf"{pattern}\.{re.escape(rest)}", destination) is not None


def _where(path: Path, destination: str | None, *, is_url: bool) -> str:
    if destination is not None:
        return f"to {destination}"
    return "to a host that is not certain" if is_url else f"in {'.'.join(map(str, path))}"


def refusal(permissions: Permissions, name: str, where: str) -> tuple[str, str]:
    """What to say of a secret that would be sent elsewhere: a message and a hint."""
    hosts = ", ".join(permissions.hosts(name))
    message = f"the secret {name} is allowed in target URLs of {hosts} alone, and would be sent {where}"
    return message, "the host has to be literal, with https; other hosts are allowed where the pipeline is configured"
