"""Keys: made once, durable, for nobody else's eyes; and what is encrypted with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.randomness import _Randomness
from gateway.vault import Damaged, DataKey, KeyLost, Vault, VaultError


def site_keys(folder: Path) -> list[Path]:
    return sorted(folder.glob("site-*.key"))


def test_the_first_start_makes_a_directory_and_keys_for_the_gateway_alone(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "state" / "keys")

    folder = tmp_path / "state" / "keys"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600, 0o600]
    assert [path.name for path in site_keys(folder)] == [f"site-{vault.newest}.key"]


def test_the_second_start_finds_the_same_keys(tmp_path: Path) -> None:
    first = Vault.open(tmp_path / "k")
    key, key_id, wrapped = first.new_key("s1")
    sealed = key.encrypt(b"text", "place")

    again = Vault.open(tmp_path / "k")

    assert again.key_ids == first.key_ids
    assert again.data_key("s1", key_id, wrapped).decrypt(sealed, "place") == b"text"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o666, 0o620])
def test_a_key_file_that_others_may_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    Vault.open(tmp_path / "k")
    (path,) = site_keys(tmp_path / "k")
    path.chmod(mode)

    with pytest.raises(VaultError, match="chmod 600"):
        Vault.open(tmp_path / "k")


def test_a_key_file_mounted_for_a_group_is_accepted(tmp_path: Path) -> None:
    Vault.open(tmp_path / "k")
    site_keys(tmp_path / "k")[0].chmod(0o440)

    Vault.open(tmp_path / "k")


def test_a_key_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    Vault.open(tmp_path / "k")
    (tmp_path / "k").chmod(0o777)

    with pytest.raises(VaultError, match="chmod 700"):
        Vault.open(tmp_path / "k")


def test_a_key_directory_that_is_mounted_read_only_may_look_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Vault.open(tmp_path / "k")
    (tmp_path / "k").chmod(0o1777)  # as Kubernetes shows a secret
    monkeypatch.setattr("gateway.vault._is_read_only", lambda directory: True)

    Vault.open(tmp_path / "k")


def test_a_key_that_another_process_has_made_is_found(tmp_path: Path) -> None:
    ours, theirs = Vault.open(tmp_path / "k"), Vault.open(tmp_path / "k")
    new = theirs.rotate()
    key, key_id, wrapped = theirs.new_key("s1")
    sealed = key.encrypt(b"text", "place")

    assert ours.data_key("s1", key_id, wrapped).decrypt(sealed, "place") == b"text"
    assert ours.newest == new


@pytest.mark.parametrize("content", [b"", b"abc", b"zz" * 32, b"\xff" * 64, b"00" * 31])
def test_a_file_that_is_no_key_is_named(tmp_path: Path, content: bytes) -> None:
    Vault.open(tmp_path / "k")
    (path,) = site_keys(tmp_path / "k")
    path.write_bytes(content)

    with pytest.raises(VaultError, match=path.name):
        Vault.open(tmp_path / "k")


def test_half_a_key_after_a_power_cut_is_passed_over(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "k")
    (tmp_path / "k" / ".site-0002-00000000.draft").write_text("ab")

    assert Vault.open(tmp_path / "k").key_ids == vault.key_ids


def test_after_rotation_new_keys_are_wrapped_by_the_new_one_and_old_ones_still_open(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "k")
    old_key, old_id, old_wrapped = vault.new_key("s1")
    sealed = old_key.encrypt(b"text", "place")

    new_id = vault.rotate()

    assert vault.newest == new_id != old_id
    assert vault.new_key("s2")[1] == new_id
    assert Vault.open(tmp_path / "k").newest == new_id
    assert vault.data_key("s1", old_id, old_wrapped).decrypt(sealed, "place") == b"text"
    again_id, again = vault.rewrap("s1", old_id, old_wrapped)
    assert again_id == new_id
    assert vault.data_key("s1", again_id, again).decrypt(sealed, "place") == b"text"


def test_the_newest_key_is_the_one_with_the_highest_number(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "k")
    made = [vault.rotate() for _ in range(11)]

    assert Vault.open(tmp_path / "k").newest == made[-1]
    assert made[-1].startswith("0012-")


def test_a_lost_key_is_named(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "k")
    _, key_id, wrapped = vault.new_key("s1")
    text = vault.seal(b"reason", "target a")
    site_keys(tmp_path / "k")[0].unlink()
    vault = Vault.open(tmp_path / "k")

    for use in (lambda: vault.data_key("s1", key_id, wrapped), lambda: vault.rewrap("s1", key_id, wrapped),
                lambda: vault.unseal(text, "target a")):
        with pytest.raises(KeyLost, match=key_id) as lost:
            use()
        assert lost.value.key_id == key_id
    assert not vault.can_open(text)


def test_a_wrapped_key_opens_only_for_its_own_submission(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "k")
    _, key_id, wrapped = vault.new_key("s1")

    with pytest.raises(Damaged):
        vault.data_key("s2", key_id, wrapped)


@given(plain=st.binary(max_size=200), place=st.text(max_size=20), flip=st.integers(0, 10_000))
def test_what_was_changed_in_one_bit_or_moved_does_not_open(plain: bytes, place: str, flip: int) -> None:
    key = DataKey(os.urandom(32))
    sealed = key.encrypt(plain, place)
    damaged = bytearray(sealed)
    damaged[flip % len(sealed)] ^= 1 << flip % 8

    assert key.decrypt(sealed, place) == plain
    for body, about in ((bytes(damaged), place), (sealed, place + "x"), (sealed[:-1], place), (b"", place)):
        with pytest.raises(Damaged):
            key.decrypt(body, about)


def test_equal_texts_look_different_every_time() -> None:
    key = DataKey(os.urandom(32))

    assert len({key.encrypt(b"text", "place") for _ in range(2_000)}) == 2_000
    assert len({key.encrypt(b"", "place")[:12] for _ in range(2_000)}) == 2_000


def test_random_bytes_are_given_out_once_and_not_again_in_a_child() -> None:
    source = _Randomness(piece=64)
    seen = [source.take(12) for _ in range(200)]
    assert len(set(seen)) == 200
    assert len(source.take(1_000)) == 1_000

    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, source.take(12))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 12) != source.take(12)


def test_a_signature_is_ours_or_it_is_not(tmp_path: Path) -> None:
    vault, other = Vault.open(tmp_path / "k"), Vault.open(tmp_path / "other")
    key_id, signature = vault.sign(b"head")

    assert Vault.open(tmp_path / "k").signed(key_id, b"head", signature)
    assert not vault.signed(key_id, b"another head", signature)
    with pytest.raises(VaultError, match=key_id):
        other.signed(key_id, b"head", signature)


def test_no_key_shows_itself(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "k")
    key, _, _ = vault.new_key("s1")
    material = site_keys(tmp_path / "k")[0].read_text().strip()

    shown = repr(vault) + repr(key) + repr(vars(vault)) + str(vault.__dict__.values())
    assert material not in shown
    assert repr(bytes.fromhex(material)) not in shown


def test_what_is_only_looked_at_makes_nothing(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "k", make=False)

    assert not (tmp_path / "k").exists()
    assert (vault.key_ids, vault.signing_key_ids, vault.newest) == ((), (), "")

    vault.complete()
    assert Vault.open(tmp_path / "k", make=False).key_ids == vault.key_ids != ()


def test_an_empty_vault_can_be_given_its_first_key(tmp_path: Path) -> None:
    (tmp_path / "k").mkdir(mode=0o700)
    vault = Vault.open(tmp_path / "k", make=False)

    assert vault.rotate() == vault.newest
    assert [path.name for path in site_keys(tmp_path / "k")] == [f"site-{vault.newest}.key"]
