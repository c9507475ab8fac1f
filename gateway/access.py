"""Who may do what. Pure decisions over what the site file and the journal say; whatever is not permitted is denied."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType

from gateway.credentials import (
    KEY_PATTERN,
    Certificate,
    Kind,
    TooManyKeys,
    Unauthenticated,
    bound_certificate,
    from_client_cert_header,
    is_active,
    is_trusted,
    key_id,
    key_in,
    new_key,
    refuse_third_key,
)
from gateway.ports import Credential
from gateway.site import PortalConfig, Site

__all__ = [
    "KEY_PATTERN", "ROLES", "Action", "Certificate", "Forbidden", "Identity", "Keyring", "Kind", "Party", "Proof", "Role",
    "TooManyKeys", "Unauthenticated", "authorities_of", "bound_certificate", "from_client_cert_header", "is_trusted", "key_id",
    "key_in",
    "local_operator", "may_operate", "may_submit", "new_key", "refuse_third_key", "require_operate", "require_submit",
]

EVERY = "*"
_SITE_ID = "site-"


class Party(StrEnum):
    PORTAL = "portal"
    OPERATOR = "operator"


class Proof(StrEnum):
    """How somebody proved who they are. LOCAL: the command line, over a socket that only its owner can open."""

    KEY = "key"
    CERTIFICATE = "certificate"
    LOCAL = "local"


class Action(StrEnum):
    """What an operator can do. DOCUMENT: see what a citizen wrote, a permission of its own."""

    VIEW = "view"
    DOCUMENT = "document"
    SNOOZE = "snooze"
    REPLAY = "replay"
    EDIT = "edit"
    REDIRECT = "redirect"
    FORWARD = "forward"
    RETURN = "return"
    CLOSE = "close"
    REOPEN = "reopen"
    WITHDRAW = "withdraw"
    REDELIVER = "redeliver"
    PAUSE = "pause"
    AUDIT = "audit"
    KEYS = "keys"
    CONFIGURE = "configure"


class Role(StrEnum):
    """viewer looks; operator repairs; auditor reads the history; admin gives out keys, and needs no documents for that."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    ADMIN = "admin"


_REPAIR = frozenset(Action) - {Action.AUDIT, Action.KEYS, Action.CONFIGURE}

ROLES: Mapping[str, frozenset[Action]] = MappingProxyType({
    Role.VIEWER: frozenset({Action.VIEW}),
    Role.OPERATOR: _REPAIR,
    Role.AUDITOR: frozenset({Action.VIEW, Action.AUDIT}),
    Role.ADMIN: frozenset({Action.VIEW, Action.PAUSE, Action.AUDIT, Action.KEYS, Action.CONFIGURE}),
    EVERY: frozenset(Action),
})


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody we know. scope: for a portal the services, for an operator roles, each for all authorities ("operator")
    or for one ("operator@lk-heilbronn"). portal: its rights here. credential: id for the log and the history."""

    party: Party
    holder: str
    scope: tuple[str, ...]
    proof: Proof
    credential: str
    portal: PortalConfig | None = None

    @property
    def actor(self) -> str:
        """As the history names them: "portal:service-bw"."""
        return f"{self.party}:{self.holder}"


class Forbidden(Exception):
    """403: known, but not permitted. code: portal-not-configured | leistung-not-permitted | action-not-permitted |
    operators-only | portals-only. de, en: who can change that."""

    def __init__(self, code: str, de: str, en: str) -> None:
        super().__init__(code)
        self.code, self.de, self.en = code, de, en


class Keyring:
    """Every credential of journal and site file, ready for look-up. Make a new one when either has changed."""

    def __init__(self, credentials: Iterable[Credential], site: Site) -> None:
        self._site = site
        self._by_id: dict[str, Credential] = {}
        self._by_fingerprint: dict[bytes, Credential] = {}
        for portal in site.portals.values():
            for fingerprint in portal.certificates:
                self._by_fingerprint[bytes.fromhex(fingerprint)] = _from_site(portal, fingerprint)
        for credential in credentials:
            if credential.kind == Kind.PORTAL_CERTIFICATE:
                self._by_fingerprint[credential.hash] = credential
            else:
                self._by_id[credential.id] = credential
        self._used: dict[str, Credential] = {}

    def by_key(self, plain: str | None, *, at: datetime) -> Identity:
        """Raises ``Unauthenticated``, and ``Forbidden`` for a portal that the site file does not name.

        The time it takes does not depend on how much of a key is right.
        """
        if plain is None:
            raise Unauthenticated("key-missing")
        known = self._by_id.get(plain[3:11])
        presented = sha256(plain.encode()).digest()
        if not hmac.compare_digest(presented, known.hash if known else bytes(32)) or known is None:
            key_id(plain)  # a typo is told as such
            raise Unauthenticated("key-unknown")
        return self._identity(known, Proof.KEY, at)

    def by_certificate(self, certificate: Certificate, *, at: datetime) -> Identity:
        """Raises ``Unauthenticated`` and ``Forbidden``. The chain is not looked at: the fingerprint itself is bound."""
        known = self._by_fingerprint.get(certificate.fingerprint)
        if known is None:
            raise Unauthenticated("certificate-unknown")
        if not certificate.valid_from <= at < certificate.valid_until:
            raise Unauthenticated("certificate-expired")
        return self._identity(known, Proof.CERTIFICATE, at)

    def take_used(self) -> list[Credential]:
        """Credentials of the journal that were used for the first time that day since this was last asked: to be stored."""
        used, self._used = list(self._used.values()), {}
        return used

    def _identity(self, known: Credential, proof: Proof, at: datetime) -> Identity:
        what = "certificate" if proof is Proof.CERTIFICATE else "key"
        if known.revoked_at is not None:
            raise Unauthenticated(f"{what}-revoked")
        if not is_active(known, at):
            raise Unauthenticated(f"{what}-expired")
        party = Party.OPERATOR if known.kind == Kind.OPERATOR_KEY else Party.PORTAL
        portal = self._site.portals.get(known.holder) if party is Party.PORTAL else None
        if party is Party.PORTAL and portal is None:
            raise Forbidden(
                "portal-not-configured",
                f"Das Portal „{known.holder}“ ist in der Konfiguration nicht mehr eingetragen; bitte an den Betreiber wenden.",
                f'The portal "{known.holder}" is no longer entered in the configuration; please ask the operators.',
            )
        self._note_use(known, at)
        return Identity(party, known.holder, known.scope, proof, known.id, portal)

    def _note_use(self, known: Credential, at: datetime) -> None:
        today = at.date().isoformat()
        if known.last_used_on == today or known.id.startswith(_SITE_ID):
            return
        known = replace(known, last_used_on=today)
        self._used[known.id] = known
        if known.kind == Kind.PORTAL_CERTIFICATE:
            self._by_fingerprint[known.hash] = known
        else:
            self._by_id[known.id] = known


def may_submit(identity: Identity, leistung: str) -> bool:
    """Both the credential and the portal's entry in the site file must cover the service."""
    if identity.party is not Party.PORTAL or identity.portal is None:
        return False
    return all(EVERY in scope or leistung in scope for scope in (identity.scope, identity.portal.leistungen))


def may_operate(identity: Identity, action: Action, authority: str | None = None) -> bool:
    """authority: whose submission or target it is; ``None``: what concerns the whole gateway, for which a role that is
    limited to one authority does not do."""
    if identity.party is not Party.OPERATOR:
        return False
    for entry in identity.scope:
        role, at, limited_to = entry.partition("@")
        if action in ROLES.get(role, ()) and (not at or (authority is not None and limited_to == authority)):
            return True
    return False


def authorities_of(identity: Identity, action: Action, known: Iterable[str]) -> frozenset[str]:
    """For which authorities: what a list may show."""
    return frozenset(authority for authority in known if may_operate(identity, action, authority))


def require_submit(identity: Identity, leistung: str) -> None:
    """Raises ``Forbidden`` where ``may_submit`` says no."""
    if identity.party is not Party.PORTAL:
        raise Forbidden(
            "portals-only", "Einreichen kann nur ein Portal; dieser Schlüssel gehört dem Betrieb.",
            "Only a portal can submit; this key belongs to the operators.",
        )
    if not may_submit(identity, leistung):
        raise Forbidden(
            "leistung-not-permitted",
            "Dieses Portal darf die Leistung hier nicht einreichen; der Betreiber kann sie für Portal und Schlüssel freigeben.",
            "This portal may not submit the service here; the operators can permit it for the portal and for the key.",
        )


def require_operate(identity: Identity, action: Action, authority: str | None = None) -> None:
    """Raises ``Forbidden`` where ``may_operate`` says no."""
    if identity.party is not Party.OPERATOR:
        raise Forbidden(
            "operators-only", "Das ist dem Betrieb vorbehalten; der Schlüssel eines Portals genügt nicht.",
            "This is for operators; a portal's key does not do.",
        )
    if not may_operate(identity, action, authority):
        roles = ", ".join(role for role, actions in ROLES.items() if action in actions and role != EVERY)
        raise Forbidden(
            "action-not-permitted",
            f"Dafür braucht dieser Schlüssel eine der Rollen {roles} für die zuständige Verwaltung; "
            "wer Schlüssel verwaltet, kann sie geben.",
            f"For this the key needs one of the roles {roles} for the authority in charge; whoever manages keys can give it.",
        )


def local_operator(holder: str) -> Identity:
    """The command line on this machine: who may open the socket (mode 0600) may do everything. holder: the account."""
    return Identity(Party.OPERATOR, holder, (EVERY,), Proof.LOCAL, "local")


def _from_site(portal: PortalConfig, fingerprint: str) -> Credential:
    return Credential(
        id=f"{_SITE_ID}{fingerprint[:16]}", holder=portal.name, kind=Kind.PORTAL_CERTIFICATE,
        hash=bytes.fromhex(fingerprint), scope=(EVERY,), created_at=datetime.min.replace(tzinfo=UTC),
    )
