"""Where a secret may be sent: what the pipeline allows, and no manifest can loosen.

`NAME@HOST` allows a secret in target URLs of that host, `NAME@VENDOR` in the other fields that go to that vendor, and
nowhere else, whatever a later manifest says. The rules themselves stand in `qarunner.secret`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from qarunner import secret
from qarunner.decode import texts
from qarunner.entry import TargetKind
from qarunner.errors import UserError
from qarunner.manifest.codes import Code
from qarunner.regex import regex

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from qarunner.diagnostics import Path


_NAME = regex(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


_VENDOR = regex(r"[a-z][a-z0-9_-]*", re.ASCII)


_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"


_HOST = regex(rf"(?:(?:\*\.|[a-z0-9*-]*\.)?{_LABEL}(?:\.{_LABEL})*)(?::[0-9]{{1,5}})?", re.ASCII)


# https://publicsuffix.org/list: first-come names, one level deep, and two deep as most countries have them.
_REGISTRY = regex(r"[a-z0-9-]+|(?:ac|co|com|edu|go|gob|gouv|gov|ltd|mil|ne|net|nom|or|org|plc)\.[a-z]{2}|[0-9.]+")


# Of the same list, hosts below which a customer or a stranger has a name at once: previews and tunnels lie there.
_SHARED = frozenset(
    {
        *("amazonaws.com", "amplifyapp.com", "appspot.com", "azurestaticapps.net", "azurewebsites.net"),
        *("cloudfront.net", "firebaseapp.com", "fly.dev", "github.io", "gitlab.io", "herokuapp.com", "netlify.app"),
        *("ngrok-free.app", "ngrok-free.dev", "ngrok.app", "ngrok.dev", "ngrok.io", "onrender.com", "pages.dev"),
        *("run.app", "s3.amazonaws.com", "surge.sh", "trycloudflare.com", "up.railway.app", "vercel.app", "web.app"),
        "workers.dev",
    }
)


_URLS = frozenset(str(kind) for kind in TargetKind if kind.is_url)
"""Kinds of target whose value is a URL."""


class Misdirected(NamedTuple):
    """A secret that may not be sent where it stands. `needed` permits it; None if the URL's host is not certain."""

    path: Path
    name: str
    needed: str | None


def misdirected(data: object, allowed: Collection[str], *, vendor: str, path: Path = ()) -> Iterator[Misdirected]:
    """Secrets in data that goes to a vendor, and that may not go there. `path` leads to the data in a row."""
    for place, text in texts(data, path):
        is_url = place[:1] == ("target",) and len(place) > 1 and place[1] in _URLS
        for name in sorted(secret.secret_names(text)):
            if not secret.secret_may_go_to(name, text, vendor=vendor, allowed=allowed, is_url=is_url):
                yield Misdirected(place, name, secret.needed_permission(name, text, vendor=vendor, is_url=is_url))


def refusal(misdirected: Misdirected, allowed: Collection[str]) -> tuple[Code, str, str]:
    """What to say of a secret that may not be sent where it stands: code, message and hint."""
    name, places = misdirected.name, secret.places_of(misdirected.name, allowed)
    if misdirected.needed is None:
        message = f"the secret {name} would be sent to a host that is not certain"
        return Code.ELSEWHERE, message, "the URL's host has to be literal, with https, and no secret before its path"
    where = misdirected.needed.partition("@")[2]
    hint = f"add --allow-secret {misdirected.needed}, or QARUNNER_ALLOW_SECRETS={misdirected.needed} in the pipeline"
    if places:
        message = f"the secret {name} is allowed for {', '.join(places)} alone, and would be sent to {where}"
        return Code.ELSEWHERE, message, hint
    if name in allowed:
        hint += "; the bare name permits an api_key_env alone"
    return Code.NOT_ALLOWED, f"the secret {name} would be sent to {where}, and is not allowed there", hint


def checked_word(word: str) -> str:
    """A word of --allow-secret. UserError if it is malformed, or allows more than its author can mean."""
    name, bound, place = word.partition("@")
    if not _NAME.fullmatch(name):
        raise UserError(f"--allow-secret {word}: {name!r} is no variable's name", hint=_HINT)
    if not bound or _VENDOR.fullmatch(place):
        return word
    first, _, rest = place.lower().partition(":")[0].partition(".")
    if not _HOST.fullmatch(place.lower()):
        raise UserError(f"--allow-secret {word}: {place!r} is no host, and no vendor", hint=_HINT)
    if "*" in first and _REGISTRY.fullmatch(rest):
        raise UserError(f"--allow-secret {word}: {place!r} is half of the internet", hint=_HINT)
    if first == "*" and rest in _SHARED:
        hint = f"name the host, or how yours begin: {name}@shop-*.{rest}"
        raise UserError(f"--allow-secret {word}: anybody can have a host of {place!r}", hint=hint)
    return word


_HINT = (
    "write NAME@shop.example.com or NAME@*.preview.example.com for URLs, with the port if it is not https's: "
    "NAME@host:8443; NAME@VENDOR for other fields of that vendor; NAME alone for an api_key_env"
)
