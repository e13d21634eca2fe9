"""URLs that no browser could open: each is refused before it is sent, and paid for."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING
from urllib.parse import unquote

from qarunner.known import holds_template
from qarunner.regex import regex
from qarunner.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator

_AUTHORITY = regex(r"https?://((?:[^/?#\\{]|\{\{.*?\}\}|\{%.*?%\}|\{)*)", re.IGNORECASE | re.DOTALL)


_FOREIGN = regex(r"\$\{\{.*?\}\}|\$\{([A-Za-z_]\w*)[^}]*\}?|\$([A-Za-z_]\w*)", re.ASCII | re.DOTALL)
"""How shells and CI systems write a variable."""


_PORT = regex(r"(\[[^]]*\]?[^:]*|[^:]*)(:?)(.*)", re.DOTALL)


_LABEL = r"\w(?:[\w-]{0,61}\w)?"


_NUMBER = regex(r"\d+|0[xX][0-9a-fA-F]*")


_HOST = regex(rf"{_LABEL}(?:\.{_LABEL})*\.?")


_LONGEST_HOST = 253


_HIGHEST_PORT = 65535


_URLS = ("web_url", "binary_url")


def misfits(row: dict[str, object]) -> Iterator[tuple[tuple[str, str], str, str]]:
    """What is wrong with the URLs of a row's target: path, message, hint."""
    target = row.get("target")
    for kind in _URLS:
        text = target.get(kind) if isinstance(target, dict) else None
        if isinstance(text, str) and (problem := misfit(text)):
            yield ("target", kind), f"target.{kind}: {problem[0]}", problem[1]


def misfit(text: str) -> tuple[str, str] | None:
    """Why the host or the port of an http URL is invalid, and what helps. What is not known yet may be right."""
    match = _AUTHORITY.match(text)
    return None if match is None else _misfit(match[1].rpartition("@")[2])


@lru_cache(maxsize=1024)
def _misfit(authority: str) -> tuple[str, str] | None:
    """Most URLs of a matrix lead to one host."""
    foreign = _FOREIGN.search(authority)
    if foreign is not None:
        name = foreign[1] or foreign[2] or "NAME"
        return f"{foreign[0]} is not replaced by anything", f"write {{{{ env.{name} }}}}, and declare {name} under env"
    if holds_template(authority) or MASK in authority:
        return None
    host, colon, port = _PORT.fullmatch(authority).groups()  # type: ignore[union-attr]
    if not _is_host(unquote(host)):
        return f"{host!r} is no host", "a host is a name such as shop.example.com, or an address"
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _HIGHEST_PORT):
        return f"{port!r} is no port", f"a port is a number from 1 to {_HIGHEST_PORT}; the scheme stands once, in front"
    return None


def out_of_reach(text: str) -> str | None:
    """The host of an http URL that no other machine can reach: this machine, or an address of a private network."""
    match = _AUTHORITY.match(text)
    return None if match is None else _private_host(match[1].rpartition("@")[2])


@lru_cache(maxsize=1024)
def _private_host(authority: str) -> str | None:
    if not authority or holds_template(authority) or MASK in authority:
        return None
    host = unquote(_PORT.fullmatch(authority)[1]).strip("[]").rstrip(".").lower()  # type: ignore[index]
    if host.rpartition(".")[2] in _LOCAL_NAMES:
        return host
    if ":" not in host and not host[-1:].isdigit():
        return None
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    plain = getattr(address, "ipv4_mapped", None) or address
    return None if plain.is_global or plain.is_multicast else host


_LOCAL_NAMES = frozenset({"localhost", "local", "internal"})
"""Last labels of names that no public name server has (RFC 6761, RFC 6762, and what ICANN keeps for private use)."""


def _is_host(text: str) -> bool:
    if text.startswith("["):
        try:
            IPv6Address(text[1:-1].partition("%")[0])
        except ValueError:
            return False
        return text.endswith("]")
    if _NUMBER.fullmatch(text.rstrip(".").rpartition(".")[2]):  # browsers take it for an address then
        return _is_address(text)
    return len(text) <= _LONGEST_HOST and _HOST.fullmatch(text) is not None


def _is_address(text: str) -> bool:
    try:
        return IPv4Address(text.removesuffix(".")) is not None
    except ValueError:
        return False
