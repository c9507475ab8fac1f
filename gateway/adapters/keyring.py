"""Which data key belongs to which submission, with the few facts that a change needs of a submission."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from gateway.adapters.sql import Dialogue, Rows
from gateway.vault import DataKey, KeyLost, Vault


@dataclass(frozen=True, slots=True)
class Held:
    """key: ``None`` after erasure. lost: the site key is not there (and ``key`` is ``None``)."""

    seq: int
    portal: str
    test: bool
    key: DataKey | None = field(repr=False)
    lost: KeyLost | None = None


class Keyring:
    """The last ``size`` data keys in use, so that a delivery does not unwrap its key for every line. For several threads."""

    def __init__(self, vault: Vault, size: int = 4096) -> None:
        self.vault = vault
        self._size = size
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, submission_id: str, held: Held) -> Held:
        with self._lock:
            self._held[submission_id] = held
            if len(self._held) > self._size:
                self._held.popitem(last=False)
        return held

    def known(self, submission_id: str) -> Held | None:
        with self._lock:
            held = self._held.get(submission_id)
            if held is not None:
                self._held.move_to_end(submission_id)
            return held

    def forget(self, submission_id: str) -> None:
        """Part of erasure: the key must not live on in memory."""
        with self._lock:
            self._held.pop(submission_id, None)

    def clear(self) -> None:
        """Others may have erased, and we were not told."""
        with self._lock:
            self._held.clear()

    def held(self, submission_id: str) -> Dialogue[Held | None]:
        """``None``: no such submission. A lost key is said in the value, not raised: what needs no key goes on."""
        if (held := self.known(submission_id)) is not None:
            return held
        rows = yield Rows("key_of_submission", (submission_id,))
        if not rows:
            return None
        seq, portal, test, key_id, wrapped = rows[0]
        try:
            key = None if wrapped is None else self.vault.data_key(submission_id, key_id, wrapped)
        except KeyLost as lost:
            return Held(seq, portal, bool(test), None, lost)
        return self.keep(submission_id, Held(seq, portal, bool(test), key))

    def unlock(self, submission_id: str, key_id: str | None, wrapped: bytes | None) -> DataKey | None:
        """The key of a row that was read together with its wrapped key; ``None``: erased or lost."""
        if wrapped is None or key_id is None:
            return None
        if (held := self.known(submission_id)) is not None and held.key is not None:
            return held.key
        try:
            return self.vault.data_key(submission_id, key_id, wrapped)
        except KeyLost:
            return None
