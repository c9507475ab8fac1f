"""Who is let in, and what they may do: denied unless somebody permitted it."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import (
    KEY_PATTERN,
    ROLES,
    Action,
    Certificate,
    Forbidden,
    Identity,
    Keyring,
    Kind,
    Party,
    Proof,
    Role,
    TooManyKeys,
    Unauthenticated,
    authorities_of,
    bound_certificate,
    from_client_cert_header,
    is_trusted,
    key_in,
    local_operator,
    may_operate,
    may_submit,
    new_key,
    refuse_third_key,
    require_operate,
    require_submit,
)
from gateway.ports import Credential
from gateway.site import Site, parse

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Stopped:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


def site(more: str = "") -> Site:
    return parse(f'''site = "test"
[portal.service-bw]
leistungen = ["wohngeld", "hundesteuer"]
{more}
[portal.amt24]
leistungen = ["*"]
'''.encode(), Path("nahtlos.toml"))


def key(holder: str = "service-bw", kind: Kind = Kind.PORTAL_KEY, scope: tuple[str, ...] = ("*",)) -> tuple[str, Credential]:
    return new_key(holder, kind, scope, Stopped())


def refusal(keyring: Keyring, plain: str | None, at: datetime = NOW) -> str:
    with pytest.raises(Unauthenticated) as caught:
        keyring.by_key(plain, at=at)
    assert caught.value.de
    assert caught.value.en
    return caught.value.code


def certificate_der(days: int = 365) -> bytes:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "portal")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
    valid = builder.serial_number(1).not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=days))
    return valid.sign(private, hashes.SHA256()).public_bytes(Encoding.DER)


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_key_is_recognised_wherever_it_turns_up() -> None:
    plain, _ = key()
    found = KEY_PATTERN.search(f'curl -H "Authorization: Bearer {plain}" https://…')
    assert found is not None
    assert found[0] == plain
    assert len(plain) == 71


def test_the_journal_keeps_a_hash_and_not_the_key() -> None:
    plain, credential = key()
    assert plain not in repr(credential)
    assert plain.split("_")[2] not in repr(credential)
    assert credential.expires_at == NOW + timedelta(days=365)
    assert len({key()[0] for _ in range(50)}) == 50


def test_a_key_opens_the_door_for_its_portal() -> None:
    plain, credential = key(scope=("wohngeld",))
    identity = Keyring([credential], site()).by_key(plain, at=NOW)
    assert (identity.party, identity.holder, identity.proof) == (Party.PORTAL, "service-bw", Proof.KEY)
    assert identity.scope == ("wohngeld",)
    assert identity.actor == "portal:service-bw"
    assert identity.portal is not None


@given(st.integers(0, 70), st.characters(codec="ascii"))
def test_every_single_typo_is_told_from_a_wrong_key(at: int, instead: str) -> None:
    plain, credential = key()
    mistyped = plain[:at] + instead + plain[at + 1:]
    if mistyped != plain:
        assert refusal(Keyring([credential], site()), mistyped) == "key-mistyped"


@pytest.mark.parametrize("wrong", ["", "nk_", "Bearer x", "nk_" + "a" * 68, "ä" * 71])
def test_what_is_no_key_at_all_is_mistyped(wrong: str) -> None:
    assert refusal(Keyring([], site()), wrong) == "key-mistyped"


def test_no_key_says_how_to_send_one() -> None:
    assert refusal(Keyring([], site()), None) == "key-missing"


def test_a_guess_learns_nothing_about_which_keys_exist() -> None:
    """A key with the id of one that is there, revoked or expired, is answered like one that never was."""
    plain, credential = key()
    stranger, _ = key()
    same_id = replace(credential, id=stranger.split("_")[1])
    for known in (same_id, replace(same_id, revoked_at=NOW), replace(same_id, expires_at=NOW)):
        assert refusal(Keyring([known], site()), stranger) == "key-unknown"
    assert refusal(Keyring([], site()), stranger) == "key-unknown"
    assert plain != stranger


def test_whoever_holds_the_whole_key_is_told_that_it_ended() -> None:
    plain, credential = key()
    assert refusal(Keyring([credential], site()), plain, NOW + timedelta(days=365)) == "key-expired"
    assert refusal(Keyring([replace(credential, revoked_at=NOW)], site()), plain) == "key-revoked"


def test_a_third_active_key_is_refused_and_a_revoked_one_does_not_count() -> None:
    first, second = key()[1], key()[1]
    other, operator = key("amt24")[1], key(kind=Kind.OPERATOR_KEY)[1]
    refuse_third_key([first, other, operator], "service-bw", kind=Kind.PORTAL_KEY, at=NOW)
    with pytest.raises(TooManyKeys) as caught:
        refuse_third_key([first, second], "service-bw", kind=Kind.PORTAL_KEY, at=NOW)
    assert set(caught.value.active) == {first.id, second.id}
    refuse_third_key([first, replace(second, revoked_at=NOW)], "service-bw", kind=Kind.PORTAL_KEY, at=NOW)
    refuse_third_key([first, second], "service-bw", kind=Kind.PORTAL_KEY, at=NOW + timedelta(days=366))


def test_a_portal_that_left_the_site_file_is_told_whom_to_ask() -> None:
    plain, credential = key("gone")
    with pytest.raises(Forbidden) as caught:
        Keyring([credential], site()).by_key(plain, at=NOW)
    assert caught.value.code == "portal-not-configured"


def test_the_day_of_the_last_use_is_noted_once_a_day() -> None:
    plain, credential = key()
    keyring = Keyring([credential], site())
    keyring.by_key(plain, at=NOW)
    assert keyring.take_used() == [replace(credential, last_used_on="2026-03-01")]
    keyring.by_key(plain, at=NOW)
    assert keyring.take_used() == []
    keyring.by_key(plain, at=NOW + timedelta(days=1))
    assert [used.last_used_on for used in keyring.take_used()] == ["2026-03-02"]


@pytest.mark.parametrize(("headers", "expected"), [
    ({"authorization": "Bearer nk_a"}, "nk_a"),
    ({"authorization": "bearer  nk_a "}, "nk_a"),
    ({"authorization": "Basic " + b64encode(b"any:nk_a").decode()}, "nk_a"),
    ({"authorization": "Basic %%%"}, ""),
    ({"authorization": "Basic " + b64encode(b"\xff:\xff").decode()}, ""),
    ({"api_key": " nk_a "}, "nk_a"),
    ({"authorization": "Digest x"}, None),
    ({"authorization": ""}, None),
    ({}, None),
])
def test_a_key_is_found_where_senders_can_put_it(headers: dict[str, str], expected: str | None) -> None:
    assert key_in(**headers) == expected


# --- certificates ----------------------------------------------------------------------------------------------------


def test_a_certificate_of_the_site_file_stands_for_its_portal() -> None:
    der = certificate_der()
    certificate = Certificate.from_der(der)
    keyring = Keyring([], site(f'certificates = ["{certificate.fingerprint.hex()}"]'))
    identity = keyring.by_certificate(certificate, at=NOW)
    assert (identity.holder, identity.proof) == ("service-bw", Proof.CERTIFICATE)
    assert may_submit(identity, "wohngeld")
    assert keyring.take_used() == []


def test_a_certificate_of_the_journal_can_be_limited_and_revoked() -> None:
    certificate = Certificate.from_der(certificate_der())
    bound = bound_certificate("amt24", certificate, ["wohngeld"], Stopped())
    identity = Keyring([bound], site()).by_certificate(certificate, at=NOW)
    assert (may_submit(identity, "wohngeld"), may_submit(identity, "hundesteuer")) == (True, False)
    with pytest.raises(Unauthenticated) as caught:
        Keyring([replace(bound, revoked_at=NOW)], site()).by_certificate(certificate, at=NOW)
    assert caught.value.code == "certificate-revoked"


def test_an_expired_or_unknown_certificate_is_refused() -> None:
    certificate = Certificate.from_der(certificate_der(days=1))
    keyring = Keyring([bound_certificate("amt24", certificate, ["*"], Stopped())], site())
    for at, presented, code in (
        (NOW + timedelta(days=2), certificate, "certificate-expired"),
        (NOW - timedelta(days=2), certificate, "certificate-expired"),
        (NOW, Certificate.from_der(certificate_der()), "certificate-unknown"),
    ):
        with pytest.raises(Unauthenticated) as caught:
            keyring.by_certificate(presented, at=at)
        assert caught.value.code == code


def test_a_certificate_cannot_be_used_as_a_key() -> None:
    certificate = Certificate.from_der(certificate_der())
    bound = bound_certificate("amt24", certificate, ["*"], Stopped())
    plain, _ = key()
    assert refusal(Keyring([replace(bound, id=plain.split("_")[1])], site()), plain) == "key-unknown"


def test_the_header_of_rfc_9440_carries_a_certificate() -> None:
    der = certificate_der()
    assert from_client_cert_header(f":{b64encode(der).decode()}:") == Certificate.from_der(der)


@pytest.mark.parametrize("spoil", [
    lambda text: text[1:-1], lambda text: text + ", " + text, lambda text: text + ";a=1", lambda text: ":" + text[5:],
    lambda text: text.replace(":", '"'), lambda text: "::", lambda text: "", lambda text: ":AAAA:",
    lambda text: text[:40] + " " + text[40:], lambda text: "-----BEGIN CERTIFICATE-----",
])
def test_a_header_that_is_not_one_certificate_is_refused(spoil: object) -> None:
    assert callable(spoil)
    with pytest.raises(Unauthenticated) as caught:
        from_client_cert_header(spoil(f":{b64encode(certificate_der()).decode()}:"))
    assert caught.value.code == "certificate-malformed"


@given(st.text(max_size=60))
def test_any_header_gives_a_certificate_or_a_refusal(value: str) -> None:
    with pytest.raises(Unauthenticated):
        from_client_cert_header(value)


@pytest.mark.parametrize(("peer", "expected"), [
    ("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("11.1.2.3", False), ("fd00::1", True), ("fe80::1", False), (None, False),
    ("", False), ("10.1.2.3:4711", False), ("unix:", False),
])
def test_only_proxies_of_the_named_networks_are_believed(peer: str | None, expected: bool) -> None:
    assert is_trusted(peer, [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]) is expected


def test_without_networks_no_proxy_is_believed() -> None:
    assert not is_trusted("127.0.0.1", [])


# --- permissions -----------------------------------------------------------------------------------------------------


def operator(*scope: str) -> Identity:
    return Identity(Party.OPERATOR, "frau-a", scope, Proof.KEY, "x")


def portal(*scope: str, name: str = "service-bw") -> Identity:
    return Identity(Party.PORTAL, name, scope, Proof.KEY, "x", site().portals[name])


@pytest.mark.parametrize(("identity", "leistung", "expected"), [
    (portal("*"), "wohngeld", True),
    (portal("*"), "waffenschein", False),  # the site file does not permit it
    (portal("wohngeld"), "hundesteuer", False),  # the key does not
    (portal("waffenschein"), "waffenschein", False),
    (portal("waffenschein", name="amt24"), "waffenschein", True),
    (portal(), "wohngeld", False),
    (operator("*"), "wohngeld", False),
    (local_operator("root"), "wohngeld", False),
])
def test_submitting_needs_the_right_of_the_portal_and_of_the_key(identity: Identity, leistung: str, expected: bool) -> None:
    assert may_submit(identity, leistung) is expected
    if expected:
        require_submit(identity, leistung)
    else:
        with pytest.raises(Forbidden) as caught:
            require_submit(identity, leistung)
        assert caught.value.code in ("leistung-not-permitted", "portals-only")


@pytest.mark.parametrize(("identity", "action", "authority", "expected"), [
    (operator("*"), Action.KEYS, None, True),
    (local_operator("root"), Action.DOCUMENT, "lk", True),
    (operator("viewer"), Action.VIEW, "lk", True),
    (operator("viewer"), Action.DOCUMENT, "lk", False),
    (operator("viewer"), Action.REPLAY, "lk", False),
    (operator("operator"), Action.REPLAY, "lk", True),
    (operator("operator"), Action.KEYS, None, False),
    (operator("operator@lk"), Action.REPLAY, "lk", True),
    (operator("operator@lk"), Action.REPLAY, "stadt", False),
    (operator("operator@lk"), Action.PAUSE, None, False),
    (operator("operator@lk", "viewer"), Action.VIEW, "stadt", True),
    (operator("auditor"), Action.AUDIT, None, True),
    (operator("auditor"), Action.DOCUMENT, "lk", False),
    (operator("admin"), Action.KEYS, None, True),
    (operator("admin"), Action.DOCUMENT, "lk", False),
    (operator("wizard"), Action.VIEW, "lk", False),
    (operator("operator@"), Action.VIEW, "lk", False),
    (operator(), Action.VIEW, "lk", False),
    (portal("*"), Action.VIEW, "lk", False),
    (portal("operator"), Action.VIEW, "lk", False),
])
def test_operating_needs_a_role_for_that_authority(
    identity: Identity, action: Action, authority: str | None, expected: bool
) -> None:
    assert may_operate(identity, action, authority) is expected
    if expected:
        require_operate(identity, action, authority)
    else:
        with pytest.raises(Forbidden):
            require_operate(identity, action, authority)


@given(st.lists(st.text(max_size=12), max_size=3), st.sampled_from(Action), st.none() | st.sampled_from(["lk", "stadt"]))
def test_no_made_up_scope_permits_anything(scope: list[str], action: Action, authority: str | None) -> None:
    known = [entry for entry in scope if entry.partition("@")[0] in ROLES]
    assert known or not may_operate(operator(*scope), action, authority)


def test_no_role_but_the_operators_sees_what_citizens_wrote() -> None:
    assert [role for role in Role if Action.DOCUMENT in ROLES[role]] == [Role.OPERATOR]


def test_lists_show_only_authorities_that_one_may_see() -> None:
    assert authorities_of(operator("viewer@lk"), Action.VIEW, ["lk", "stadt"]) == {"lk"}
