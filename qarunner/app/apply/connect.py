"""The way to vendors: credentials, addresses and what may leave; and how fast all applies together may ask."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from qarunner.app.planning import base_url_of, credential_names
from qarunner.engine.io.connection import Endpoint, Network, checked_url
from qarunner.engine.io.shared_rates import SharedRateLimit, credential_salt
from qarunner.engine.io.transport import Permissions, Transport
from qarunner.engine.io.workers import Clock, Pool, Sender, SystemClock, Workers
from qarunner.engine.schedule.rate_limits import rates_of
from qarunner.errors import UserError
from qarunner.signals import PROCESS, Signals
from qarunner.vendors import registry

if TYPE_CHECKING:
    from qarunner.plan.model import Plan, VendorPlan
    from qarunner.vendors.api import Auth, Build, Vendor, VendorInfo


WORKERS = 12


class Surroundings(Struct, frozen=True, kw_only=True):
    """The world of a session besides disk and network. A simulation has another one.

    `jitter` is uniform in 0…1, `token` makes a text of so many random bytes.
    """

    clock: Clock = field(default_factory=SystemClock)
    pool: Callable[[Sender], Pool] = field(default_factory=lambda: lambda sender: Workers(sender, WORKERS))
    jitter: Callable[[], float] = random.random
    token: Callable[[int], str] = secrets.token_hex
    signals: Signals = PROCESS


def adapters(plan: Plan) -> dict[str, Vendor]:
    return {name: registry.get(name) for name in plan.vendors}


def connect(
    plan: Plan,
    environ: Mapping[str, str],
    secrets: Mapping[str, str],
    *,
    allowed: frozenset[str] = frozenset(),
    only: Container[str] | None = None,
    cancels: bool = False,
) -> Transport:
    """The way to the plan's vendors, or to some of them. It is not used for creates if it `cancels`.

    UserError names every credential that is missing, before anything is sent.
    """
    builds = [resource.build for resource in plan.resources if resource.build is not None]
    transport = reach(plan.vendors, environ, secrets, builds=builds, allowed=allowed, only=only)
    if not cancels:
        _refuse_requests(plan, transport)
    return transport


_WITHOUT_KEY = ", or try it without one: qarunner apply --rehearse"


def reach(
    plans: Mapping[str, VendorPlan],
    environ: Mapping[str, str],
    secrets: Mapping[str, str],
    *,
    builds: Sequence[Build] = (),
    allowed: frozenset[str] = frozenset(),
    only: Container[str] | None = None,
    instead: str = _WITHOUT_KEY,
) -> Transport:
    """The way to vendors, or to some of them, whether there is a plan or not. The rules for keys are the same.

    UserError has all that is wrong with credentials and addresses; `instead` ends its hint.
    """
    infos = {name: registry.get(name).info for name in plans if only is None or name in only}
    missing: list[str] = []
    wrong: list[UserError] = []
    endpoints = {}
    for name, info in infos.items():
        keys = {name: environ.get(name, "").strip() for name in _variables(info, plans[name])}
        missing += [f"{variable} ({info.title})" for variable, key in keys.items() if not key]
        try:
            endpoints[name] = _endpoint(info, keys, environ)
        except UserError as error:
            wrong.append(error)
    if missing:
        hint = f"export {missing[0].split()[0]}=…{instead}"
        wrong.insert(0, UserError(f"no credential: {', '.join(missing)} not set", hint=hint))
    if wrong:
        first, *others = wrong
        details = [f"{error.message}{f' ({error.hint})' if error.hint else ''}" for error in others]
        raise UserError(first.message, hint=first.hint, details=details)
    known = {name: registry.get(name) for name in (*registry.names_builtin(), *plans)}
    credentials = {variable for vendor in known.values() for variable in credential_names(vendor)}
    credentials |= {settings.key_env for settings in plans.values()}
    return Transport(
        endpoints,
        secrets,
        Network.of(environ),
        SystemClock().now,
        builds,
        permissions=Permissions(allowed=allowed, keys={name: vendor.info.key_env for name, vendor in known.items()}),
        masked={variable: environ[variable] for variable in credentials if environ.get(variable)},
    )


def _variables(info: VendorInfo, plan: VendorPlan) -> tuple[str, ...]:
    """The variables of a vendor's credentials; its key's is the first."""
    return plan.key_env, *(variable for variable in info.credential_environ if _names(info.auth, variable))


def _endpoint(info: VendorInfo, keys: Mapping[str, str], environ: Mapping[str, str]) -> Endpoint:
    """UserError if no request could carry the key, or for an address that is none."""
    (variable, key), *more = keys.items()
    if not (key.isascii() and key.isprintable()) or " " in key:
        hint = "was it pasted with its quotes?"
        raise UserError(f"{variable}: has a character that no API key can have", hint=hint)
    return Endpoint(
        base_url=checked_url(*base_url_of(info, environ)),
        auth=info.auth,
        key=key,
        key_variable=variable,
        more_keys=dict(more),
        idempotency_header=info.idempotency_header,
    )


def _refuse_requests(plan: Plan, transport: Transport) -> None:
    """UserError if the transport would not send a create of the plan: that is said before anything is begun."""
    reasons: dict[str, str] = {}
    for job in plan.jobs:
        if job.vendor in transport.base_urls and (reason := transport.forbidden(job.vendor, job.request)):
            reasons.setdefault(reason, job.id)
    if reasons:
        (reason, job_id), *others = reasons.items()
        hint = "the plan asks for more than the pipeline allows: nothing was sent"
        raise UserError(f"{job_id}: {reason}", hint=hint, details=[f"{job}: {words}" for words, job in others])


def _names(auth: Auth, variable: str) -> bool:
    return any(f"{{{variable}}}" in text for text in auth.texts)


# ---------------------------------------------------------------------------------------------------------------------

# Which folder the applies that use the same credentials count their requests in.


LIMITS_VARIABLE = "QARUNNER_LIMITS_DIR"


_FOLDER = ".limits"


def shared_budgets(
    plans: Mapping[str, VendorPlan],
    transport: Transport,
    clock: Clock,
    runs: Path,
    environ: Mapping[str, str],
    warn: Callable[[str], None],
) -> dict[str, SharedRateLimit]:
    """One for each vendor that has a rate, in the runs folder or in the one that the environment names."""
    # A resume connects to the vendors alone that it still needs.
    limited = {
        name: vendor_plan
        for name, vendor_plan in plans.items()
        if name in transport.base_urls and rates_of(vendor_plan)
    }
    if not limited:
        return {}
    folder = Path(environ.get(LIMITS_VARIABLE) or runs / _FOLDER)

    def uncounted(text: str) -> None:
        warn(f"qarunner: warning: {text}: requests of other applies are not counted")

    try:
        salt = credential_salt(folder)
    except OSError as error:
        uncounted(f"{folder}: {error.strerror}")
        return {}
    paths = {name: folder / f"{name}-{transport.pseudonym(name, salt)}.json" for name in limited}
    return {name: SharedRateLimit(paths[name], vendor_plan, clock, uncounted) for name, vendor_plan in limited.items()}
