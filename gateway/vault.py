"""Keys, and what is encrypted with them. The only I/O here is reading and creating key files.

Every submission has a data key of its own (256 bit); what it protects is encrypted with AES-256-GCM. Data keys are stored
beside the data, wrapped by a *site key*; site keys lie as files in a directory that is no part of the journal and of its
backups. Erasing a wrapped data key therefore erases what it protected. Rotation makes a new site key and wraps the data
keys anew; the data stays as it is. A backup holds the wrapped keys of its day: what has been erased since can be read in it
until the site keys of that day have been rotated and their files destroyed.

``about`` binds a ciphertext to its place ("document 0, chunk 3, the last"): moved elsewhere it does not open.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.randomness import random_bytes

_KEY = 32
_NONCE = 12
_FILE = re.compile(r"(?P<kind>site|sign)-(?P<id>\d{4,}-[0-9a-f]{8})\.key")


class VaultError(Exception):
    """The key directory cannot be used as it is; the text says what to do. de: the same in German."""

    def __init__(self, en: str, de: str) -> None:
        super().__init__(en)
        self.en, self.de = en, de


class KeyLost(VaultError):
    """A site key that is needed is not in the key directory: put its file back.

    key_id: which. submissions: how many need it, where that was counted. Everything under other keys goes on.
    """

    def __init__(self, key_id: str, *, submissions: int | None = None) -> None:
        needed = "" if submissions is None else f"; {submissions} submissions need it"
        needed_de = "" if submissions is None else f"; gebraucht von {submissions} Einreichungen"
        name = file_name("site", key_id)
        super().__init__(
            f"site key {key_id} is not in the key directory ({name}){needed}",
            f"Der Standortschlüssel {key_id} fehlt im Schlüsselverzeichnis ({name}){needed_de}",
        )
        self.key_id, self.submissions = key_id, submissions


class Damaged(Exception):
    """A stored ciphertext is not what was once written at this place."""


class DataKey:
    """Encrypts and decrypts; never shows itself."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def encrypt(self, plain: bytes | memoryview, about: str) -> bytes:
        """Nonce and ciphertext with its tag: 28 bytes longer than ``plain``."""
        nonce = random_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, plain, about.encode())

    def decrypt(self, sealed: bytes, about: str) -> bytes:
        """Raises ``Damaged`` if a bit differs or ``about`` is not what it was."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], about.encode())
        except (InvalidTag, ValueError):
            raise Damaged(f"does not open: {about}") from None

    def __repr__(self) -> str:
        return "DataKey(…)"


class Vault:
    """The site keys and the signing key of one gateway. ``Vault.open`` makes one."""

    def __init__(
        self, directory: Path, keys: dict[str, DataKey], signers: dict[str, Ed25519PrivateKey], lost: Iterable[str] = ()
    ) -> None:
        self._directory, self._keys, self._signers, self._lost = directory, keys, signers, frozenset(lost)
        self._newest = max(keys, key=_age, default="")

    @classmethod
    def open(cls, directory: Path, *, make: bool = True, lost: Iterable[str] = ()) -> Vault:
        """Read the keys; at first start, make directory (0700) and keys (0600). Raises ``VaultError``.

        Refuses key files that others may read, so that a key never lies open unnoticed. Read access for the group and a
        directory that is mounted read-only are allowed: that is how secrets are mounted in containers.

        make: ``False`` makes nothing, and what is not there may be empty: a directory that was not mounted looks like a first
        start, and only the journal can tell them apart. ``complete`` makes up for it.

        lost: names of key files that a person has given up for good.
        """
        if not directory.exists():
            if not make:
                return cls(directory, {}, {}, lost)
            _make_place(directory)
        if directory.stat().st_mode & 0o022 and not _is_read_only(directory):
            raise VaultError(
                f"{directory} can be written by others: chmod 700 {directory}",
                f"{directory} ist für andere schreibbar: chmod 700 {directory}",
            )
        keys = {key_id: DataKey(_material(path)) for key_id, path in _files(directory, "site")}
        signers = {
            key_id: Ed25519PrivateKey.from_private_bytes(_material(path)) for key_id, path in _files(directory, "sign")
        }
        vault = cls(directory, keys, signers, lost)
        if make:
            vault.complete()
        return vault

    def complete(self) -> None:
        """Make what a first start lacks: the directory, a site key, a signing key."""
        if not self._directory.exists():
            _make_place(self._directory)
        if not self._keys:
            self.rotate()
        if not self._signers:
            key_id, key = _create(self._directory, "sign", 1)
            self._signers[key_id] = Ed25519PrivateKey.from_private_bytes(key)

    @property
    def directory(self) -> Path:
        return self._directory

    @property
    def newest(self) -> str:
        """Id of the site key that wraps what is new."""
        return self._newest

    @property
    def key_ids(self) -> tuple[str, ...]:
        return tuple(sorted(self._keys, key=_age))

    @property
    def signing_key_ids(self) -> tuple[str, ...]:
        return tuple(sorted(self._signers, key=_age))

    def files_gone(self) -> frozenset[str]:
        """Names of key files that were there and are not any more: what they protect cannot be read after the next start."""
        held = {file_name("site", key_id) for key_id in self._keys} | {file_name("sign", key_id) for key_id in self._signers}
        try:
            return frozenset(held - {path.name for path in self._directory.iterdir()})
        except OSError:
            return frozenset(held)

    def make(self) -> str:
        """A new site key, durable, and not used yet; its id. To be copied to all machines before it is."""
        return _create(self._directory, "site", 1 + max((_age(known)[0] for known in self._keys), default=0))[0]

    def rotate(self) -> str:
        """Wrap what is new with the newest key that lies there, or else with one that is made now; its id. Data keys stay where
        they are: see ``rewrap``."""
        before = self._newest
        self._look_again()
        if self._newest == before:
            self.make()
            self._look_again()
        return self._newest

    def follow(self, key_id: str) -> None:
        """Wrap what is new with this key, which another process may have made, unless there is a newer. Raises ``KeyLost``."""
        if key_id != self._newest:
            self._site(key_id)
            self._newest = max(key_id, self._newest, key=_age)

    def new_key(self, about: str) -> tuple[DataKey, str, bytes]:
        """A fresh data key, the id of the site key that wraps it, and the wrapped key to store."""
        key, key_id = random_bytes(_KEY), self.newest
        return DataKey(key), key_id, self._keys[key_id].encrypt(key, f"key of {about}")

    def data_key(self, about: str, key_id: str, wrapped: bytes) -> DataKey:
        """The data key that was wrapped. Raises ``KeyLost``, ``Damaged``."""
        return DataKey(self._site(key_id).decrypt(wrapped, f"key of {about}"))

    def rewrap(self, about: str, key_id: str, wrapped: bytes) -> tuple[str, bytes]:
        """The same data key under the newest site key. Raises ``KeyLost``, ``Damaged``."""
        key = self._site(key_id).decrypt(wrapped, f"key of {about}")
        return self.newest, self._keys[self.newest].encrypt(key, f"key of {about}")

    def seal(self, text: bytes, about: str) -> bytes:
        """Encrypt with the newest site key itself, for what belongs to no submission; the key's id is inside."""
        key_id = self.newest
        return key_id.encode() + b":" + self._keys[key_id].encrypt(text, about)

    def unseal(self, sealed: bytes, about: str) -> bytes:
        key_id, _, rest = sealed.partition(b":")
        return self._site(key_id.decode("ascii", "replace")).decrypt(rest, about)

    def can_open(self, sealed: bytes) -> bool:
        """Is the key there that this was sealed with?"""
        return sealed.partition(b":")[0].decode("ascii", "replace") in self._keys

    def sealed_with_newest(self, sealed: bytes) -> bool:
        return sealed.startswith(self.newest.encode() + b":")

    def sign(self, message: bytes) -> tuple[str, bytes]:
        """Ed25519: id of the signing key, signature."""
        key_id = max(self._signers, key=_age)
        return key_id, self._signers[key_id].sign(message)

    def can_check(self, key_id: str) -> bool:
        """False: the key of these signatures is lost for good, and a person has said so."""
        return key_id in self._signers or file_name("sign", key_id) not in self._lost

    def signed(self, key_id: str, message: bytes, signature: bytes) -> bool:
        """Is this our signature? Raises ``KeyLost`` if the signing key is not there."""
        if key_id not in self._signers:
            raise VaultError(
                f"signing key {key_id} is not in the key directory ({file_name('sign', key_id)})",
                f"Der Schlüssel {key_id} der Unterschriften fehlt im Schlüsselverzeichnis ({file_name('sign', key_id)})",
            )
        try:
            self._signers[key_id].public_key().verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __repr__(self) -> str:
        return f"Vault({len(self._keys)} site keys)"

    def _site(self, key_id: str) -> DataKey:
        if key_id not in self._keys:  # another process may have made it since we looked
            with suppress(OSError, VaultError):
                self._look_again()
        if (cipher := self._keys.get(key_id)) is None:
            raise KeyLost(key_id)
        return cipher

    def _look_again(self) -> None:
        self._keys = {known: DataKey(_material(path)) for known, path in _files(self._directory, "site")} | self._keys
        self._newest = max(self._keys, key=_age, default="")


def file_name(kind: str, key_id: str) -> str:
    """kind: ``site`` or ``sign``."""
    return f"{kind}-{key_id}.key"


def _make_place(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True)
    directory.chmod(0o700)


def _is_read_only(directory: Path) -> bool:
    return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)


def _files(directory: Path, kind: str) -> list[tuple[str, Path]]:
    found = ((_FILE.fullmatch(path.name), path) for path in directory.iterdir())
    return [(name["id"], path) for name, path in found if name and name["kind"] == kind]


def _material(path: Path) -> bytes:
    mode = path.stat().st_mode
    if mode & 0o027:
        raise VaultError(
            f"{path} can be read or changed by others: chmod 600 {path}",
            f"{path} ist für andere lesbar oder änderbar: chmod 600 {path}",
        )
    try:
        key = bytes.fromhex(path.read_text("ascii"))
    except (ValueError, UnicodeDecodeError):
        key = b""
    if len(key) != _KEY:
        raise VaultError(
            f"{path} is not a key file (64 hex digits): put the right file back",
            f"{path} ist keine Schlüsseldatei (64 Hexziffern): die richtige Datei zurücklegen",
        )
    return key


def _create(directory: Path, kind: str, number: int) -> tuple[str, bytes]:
    """Written and synced under another name first: a power cut leaves no half of a key."""
    key_id, key = f"{number:04d}-{os.urandom(4).hex()}", os.urandom(_KEY)
    draft = directory / f".{kind}-{key_id}.draft"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(directory / file_name(kind, key_id))
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return key_id, key


def _age(key_id: str) -> tuple[int, str]:
    return int(key_id.split("-")[0]), key_id
