"""The ways of this machine to the network: base URLs, proxies and certificates, checked before anything is sent."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from requests.utils import should_bypass_proxies

from qarunner.errors import UserError

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a vendor lives and how a request shows who sends it. `key` is text: this never leaves the process."""

    base_url: str
    auth: tuple[str, str]
    key: str
    idempotency_header: str | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.base_url})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Proxies and certificates, resolved once."""

    proxies: Mapping[str, str]
    no_proxy: str
    verify: str | bool

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Network:
        """What the usual variables say; lower case wins. UserError for certificates that cannot be read."""

        def read(name: str) -> str:
            return environ.get(name.lower()) or environ.get(name) or ""

        everything = read("ALL_PROXY")
        proxies = {"https": read("HTTPS_PROXY") or everything, "http": read("HTTP_PROXY") or everything}
        bundle = next((name for name in _BUNDLES if environ.get(name)), None)
        if bundle:
            _check_bundle(bundle, environ[bundle])
        return cls(
            proxies={scheme: url for scheme, url in proxies.items() if url},
            no_proxy=read("NO_PROXY"),
            verify=environ[bundle] if bundle else True,
        )

    def proxies_for(self, url: str) -> dict[str, str]:
        """No proxy for this machine itself, whatever the variables say."""
        if not self.proxies or is_loopback(urlsplit(url).hostname or ""):
            return {}
        return {} if should_bypass_proxies(url, no_proxy=self.no_proxy) else dict(self.proxies)

    def passwords(self) -> dict[str, str]:
        """What proxies are asked with, as written and as meant: a library's error may repeat their URL."""
        found: dict[str, str] = {}
        for scheme, url in self.proxies.items():
            written = url.rpartition("@")[0].partition("//")[2].partition(":")[2]
            found |= {f"{scheme}_proxy_password": written, f"{scheme}_proxy_password_plain": unquote(written)}
        return found


def _check_bundle(variable: str, path: str) -> None:
    """Found out now, and not at a create, where nobody could tell whether it had left."""
    kind = "capath" if Path(path).is_dir() else "cafile"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**{kind: path})
    except OSError as error:
        hint = "it names a file of certificates in PEM form"
        raise UserError(f"{variable}: {path}: {error.strerror or error}", hint=hint) from error


def is_loopback(host: str) -> bool:
    # Not *.localhost: not every resolver keeps these names on this machine.
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_url(url: str, variable: str) -> str:
    """A base URL without its trailing slash. UserError unless it is https, or plain http on loopback."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        # Not in its own words: they may repeat a part of a password.
        raise UserError(f"{variable}: not a URL", hint="write https://host or https://host:port/path") from None
    if not url.isprintable() or " " in url or "\\" in url:
        raise UserError(f"{variable}: has a character that no URL can have")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise UserError(f"{variable}: a base URL has no user, password, query or fragment")
    if parts.scheme == "https" and host:
        return url.rstrip("/")
    if parts.scheme == "http" and is_loopback(host):
        return url.rstrip("/")
    raise UserError(
        f"{variable}: {url!r} is no https URL",
        hint="use https://…; plain http is taken for 127.0.0.1 and localhost alone",
    )
