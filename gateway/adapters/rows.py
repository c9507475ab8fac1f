"""Rows and values: how submissions, deliveries and the rest lie in the tables, and which of their texts are encrypted.

``about`` of every ciphertext names its place, so that a row cannot be given another one's text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gateway.adapters.keyring import Keyring
from gateway.adapters.sql import DELIVERY, Dialect
from gateway.ports import Breaker, Credential, DocumentInfo, HistoryEntry, Part, Role, TargetState
from gateway.seal import Link, canonical
from gateway.submission import (
    ClosedAs,
    DeadClass,
    Delivery,
    Origin,
    Purpose,
    State,
    Submission,
    WaitingFor,
)
from gateway.vault import Damaged, DataKey, KeyLost, Vault

CHUNK = 1 << 20
_SUBMISSION_COLUMNS = 19
_BEFORE_DELIVERY = 6  # columns of :delivery_row: before those of :delivery:
_PLACES = {name: place for place, name in enumerate(DELIVERY.split(", "), _BEFORE_DELIVERY)}
_DAMAGED = {"de": "Der gespeicherte Text ist beschädigt.", "en": "The stored text is damaged."}


class RowMapping:
    """For one database and one key ring."""

    def __init__(self, dialect: Dialect, keyring: Keyring) -> None:
        self.time, self.load = dialect.store_time, dialect.load_time
        self.keyring = keyring

    def maybe(self, at: datetime | None) -> Any:
        return None if at is None else self.time(at)

    def loaded(self, at: Any) -> datetime | None:
        return None if at is None else self.load(at)

    # --- submissions and documents

    def submission_row(self, s: Submission) -> tuple[Any, ...]:
        """Without its number, which comes first."""
        return (
            s.id, s.reference, s.portal, s.authority, s.leistung, s.ars, s.package, s.message_type, s.message_uuid,
            s.origin.value, int(s.test), s.digest, s.fingerprint, s.size, s.traceparent, self.time(s.received_at),
            self.maybe(s.erase_after), self.maybe(s.erased_at),
        )

    def submission(self, row: Sequence[Any]) -> Submission:
        (seq, id_, reference, portal, authority, leistung, ars, package, message_type, message_uuid, origin, test, digest,
         fingerprint, size, traceparent, received_at, erase_after, erased_at) = row
        return Submission(
            id_, reference, portal, authority, leistung, ars, package, message_type, message_uuid, Origin(origin), bool(test),
            digest, fingerprint, size, self.load(received_at), traceparent, seq, self.loaded(erase_after), self.loaded(erased_at),
        )

    def document_row(self, no: int, part: Part, *, key: DataKey, at: datetime) -> tuple[Any, ...]:
        """Without its submission, which comes first."""
        name = None if part.name is None else key.encrypt(part.name.encode(), f"document {no} name")
        return (
            no, part.role.value, part.made_from, part.made_by, name, part.media_type, len(part.body), part.digest,
            chunk_count(len(part.body)), self.time(at),
        )

    def document(self, row: Sequence[Any], key: DataKey | None) -> DocumentInfo:
        no, role, made_from, made_by, name, media_type, size, digest, _, created_at = row
        return DocumentInfo(
            no, Role(role), media_type, size, digest, opened(key, name, f"document {no} name"), made_from, made_by,
            self.load(created_at),
        )

    # --- deliveries

    def delivery_row(self, d: Delivery, key: DataKey | None) -> tuple[Any, ...]:
        """Without the numbers, which come first."""
        authority, leistung, target, document, order_key, closed_as = self.route_row(d)
        *state, class_, code, cause, cause_text, case_number, outcome, changed_at = self.state_row(d, key)
        return (
            d.id, d.purpose.value, authority, leistung, target, document, order_key, *state, class_, closed_as, code, cause,
            cause_text, case_number, outcome, self.time(d.received_at), changed_at,
        )

    def state_row(self, d: Delivery, key: DataKey | None) -> tuple[Any, ...]:
        """What every transition may change. Without a key (erased, lost) the texts stay behind."""
        cause_text = case_number = outcome = None
        if key is not None:
            if d.cause_text is not None:
                cause_text = key.encrypt(canonical(dict(d.cause_text)).encode(), f"delivery {d.id} cause")
            if d.case_number is not None:
                case_number = key.encrypt(d.case_number.encode(), f"delivery {d.id} case")
            if d.outcome is not None:
                outcome = key.encrypt(canonical(dict(d.outcome)).encode(), f"delivery {d.id} outcome")
        return (
            d.state.value, d.revision, d.waiting_for and d.waiting_for.value, self.maybe(d.next_attempt_at),
            self.maybe(d.lease_until), d.claimed_by, d.attempts, d.crashes, int(d.in_doubt), self.maybe(d.failing_since),
            self.maybe(d.give_up_at), d.dead_class and d.dead_class.value, d.code, d.cause, cause_text, case_number, outcome,
            self.time(d.changed_at),
        )

    def route_row(self, d: Delivery) -> tuple[Any, ...]:
        """What only a few change: where it goes, with what, and how it was closed."""
        return d.authority, d.leistung, d.target, d.document, d.order_key, d.closed_as and d.closed_as.value

    def columns(self, row: Sequence[Any], *names: str) -> list[Any]:
        """Some columns of :delivery_row:, as stored."""
        return [row[_PLACES[name]] for name in names]

    def delivery(self, row: Sequence[Any], **instead: Any) -> Delivery:
        """From the columns of :delivery_row:. Texts whose key is erased or lost are ``None``. ``instead``: fields to replace."""
        (_, submission_id, replaces, after, key_id, wrapped, id_, purpose, authority, leistung, target, document, order_key,
         state, revision, waiting_for, next_attempt_at, lease_until, claimed_by, attempts, crashes, in_doubt, failing_since,
         give_up_at, class_, closed_as, code, cause, cause_text, case_number, outcome, received_at, changed_at) = row
        key = None
        if cause_text is not None or case_number is not None or outcome is not None:
            key = self.keyring.unlock(submission_id, key_id, wrapped)
        fields = {
            "id": id_, "submission_id": submission_id, "purpose": Purpose(purpose), "authority": authority,
            "leistung": leistung, "target": target, "document": document, "state": State(state), "revision": revision,
            "received_at": self.load(received_at), "changed_at": self.load(changed_at), "replaces": replaces, "after": after,
            "order_key": order_key, "waiting_for": waiting_for and WaitingFor(waiting_for),
            "next_attempt_at": self.loaded(next_attempt_at), "lease_until": self.loaded(lease_until),
            "claimed_by": claimed_by, "attempts": attempts, "crashes": crashes, "in_doubt": bool(in_doubt),
            "failing_since": self.loaded(failing_since), "give_up_at": self.loaded(give_up_at),
            "dead_class": class_ and DeadClass(class_), "closed_as": closed_as and ClosedAs(closed_as), "code": code,
            "cause": cause, "cause_text": _texts(key, cause_text, f"delivery {id_} cause"),
            "case_number": opened(key, case_number, f"delivery {id_} case"),
            "outcome": _facts(key, outcome, f"delivery {id_} outcome"),
        }
        return Delivery(**(fields | instead))

    def delivery_and_submission(self, row: Sequence[Any]) -> tuple[Delivery, Submission]:
        return self.delivery(row[:-_SUBMISSION_COLUMNS]), self.submission(row[-_SUBMISSION_COLUMNS:])

    # --- history

    def history(self, row: Sequence[Any]) -> HistoryEntry:
        (no, at, actor, subject, submission_id, delivery_id, event, from_state, to_state, attempt, outcome, code, facts,
         sealed_no, body, key_id, wrapped) = row
        private = None
        if body is not None:
            key = self.keyring.unlock(submission_id or f"note {subject}", key_id, wrapped)
            private = _texts(key, body, private_place(submission_id, delivery_id, subject))
        return HistoryEntry(
            no, self.load(at), actor, subject, submission_id, delivery_id, event, from_state, to_state, attempt, outcome, code,
            json.loads(facts), private, sealed_no,
        )

    def link(self, row: Sequence[Any], digest_of: Any) -> Link:
        *fields, private_digest, entry, sealed_no, chain, body, erased_at = row
        fields[1] = self.load(fields[1]).isoformat(timespec="microseconds")
        fits = (digest_of(body) == private_digest) if body is not None else (private_digest is None or erased_at is not None)
        return Link(
            fields[0], (*fields, private_digest.hex() if private_digest else None), entry, sealed_no, chain, fits,
        )

    # --- targets, credentials

    def target_row(self, t: TargetState, vault: Vault) -> tuple[Any, ...]:
        """Without name and revision. Its texts belong to no submission: they are sealed with the site key."""
        reason, cause = (
            None if text is None else vault.seal(text.encode(), f"target {t.name} {what}")
            for text, what in ((t.paused_reason, "pause"), (t.breaker_cause, "breaker"))
        )
        return (
            reason, self.maybe(t.paused_at), self.maybe(t.paused_until), t.breaker.value, cause,
            self.maybe(t.breaker_since), self.maybe(t.probe_at), t.streak, t.streak_cause,
        )

    def target(self, row: Sequence[Any], vault: Vault) -> TargetState:
        name, reason, paused_at, paused_until, breaker, cause, since, probe_at, streak, streak_cause, revision = row
        return TargetState(
            name, unsealed(vault, reason, f"target {name} pause"), self.loaded(paused_at), self.loaded(paused_until),
            Breaker(breaker), unsealed(vault, cause, f"target {name} breaker"), self.loaded(since), self.loaded(probe_at),
            streak, streak_cause, revision,
        )

    def credential_row(self, c: Credential) -> tuple[Any, ...]:
        return (
            c.id, c.holder, c.kind, c.hash, canonical(list(c.scope)), self.time(c.created_at), self.maybe(c.expires_at),
            self.maybe(c.revoked_at), c.last_used_on,
        )

    def credential(self, row: Sequence[Any]) -> Credential:
        id_, holder, kind, hash_, scope, created_at, expires_at, revoked_at, last_used_on = row
        return Credential(
            id_, holder, kind, hash_, tuple(json.loads(scope)), self.load(created_at), self.loaded(expires_at),
            self.loaded(revoked_at), last_used_on,
        )


def chunk_count(size: int) -> int:
    """An empty document has one chunk, an empty one."""
    return max(1, -(-size // CHUNK))


def chunk_place(document: int, no: int, *, last: bool) -> str:
    return f"document {document} chunk {no}{' last' if last else ''}"


def private_place(submission_id: str | None, delivery_id: str | None, subject: str) -> str:
    return f"private of {delivery_id or submission_id or subject}"


def opened(key: DataKey | None, sealed: bytes | None, about: str) -> str | None:
    """The text, or ``None`` if there is none or no key; a damaged one says so, so that a list stays readable."""
    if key is None or sealed is None:
        return None
    try:
        return key.decrypt(sealed, about).decode()
    except Damaged:
        return _DAMAGED["de"]


def unsealed(vault: Vault, sealed: bytes | None, about: str) -> str | None:
    if sealed is None:
        return None
    try:
        return vault.unseal(sealed, about).decode()
    except Damaged:
        return _DAMAGED["de"]
    except KeyLost:
        return None


def _texts(key: DataKey | None, sealed: bytes | None, about: str) -> Mapping[str, str] | None:
    found = _facts(key, sealed, about)
    return found if found is None else {str(name): str(text) for name, text in found.items()}


def _facts(key: DataKey | None, sealed: bytes | None, about: str) -> Mapping[str, Any] | None:
    if key is None or sealed is None:
        return None
    try:
        found: Mapping[str, Any] = json.loads(key.decrypt(sealed, about))
    except Damaged:
        return _DAMAGED
    return found
