"""The keys that a journal needs, and the refusal to start where one of them is not there.

A key directory that was not mounted looks exactly like a first start. Whoever made new keys then would accept and deliver as
if all were well, while what is stored could not be read: so the journal is asked first, before anything is written or made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from gateway.adapters.sql import Dialogue, JournalUnusable, Rows
from gateway.vault import Vault, file_name

Needed = Mapping[str, int]
"""Name of a key file → how many submissions it protects; 0 where it protects other texts or has signed."""


class KeysMissing(JournalUnusable):
    """missing: by file name. directory: where they were looked for."""

    def __init__(self, missing: Needed, directory: Path) -> None:
        self.missing, self.directory = dict(missing), directory
        names = ",".join(missing)
        super().__init__(
            f"keys that this journal needs are not in {directory}: {_listed(missing, 'submissions')}. Nothing was started and "
            "no new key was made. Was the directory not mounted, or not restored? Mount it or put its files back from their "
            "backup; NAHTLOS_KEYS names the directory. If they are lost for good, what they protect stays unreadable; to go on "
            f"without them: NAHTLOS_LOST_KEYS={names}",
            f"Schlüssel, die dieses Journal braucht, liegen nicht in {directory}: {_listed(missing, 'Einreichungen')}. Es wurde "
            "nichts gestartet und kein neuer Schlüssel erzeugt. Ist das Verzeichnis nicht eingehängt oder nicht zurückgespielt? "
            "Einhängen oder die Dateien aus ihrer Sicherung zurücklegen; NAHTLOS_KEYS nennt das Verzeichnis. Sind sie "
            "endgültig verloren, so bleibt unlesbar, was sie schützen; ohne sie geht es weiter mit "
            f"NAHTLOS_LOST_KEYS={names}",
        )


def needed_keys() -> Dialogue[Needed]:
    """Every site key that protects something or is in force, and every key that has signed the history."""
    in_use = dict((yield Rows("keys_in_use")))
    ((in_force,),) = yield Rows("key_in_force")
    others = [key_id for (key_id,) in (yield Rows("private_keys_in_use"))]
    signing = [key_id for (key_id,) in (yield Rows("signing_keys"))]
    site = {key_id: 0 for key_id in (*others, in_force) if key_id} | in_use
    return {file_name("site", key_id): n for key_id, n in sorted(site.items())} | {
        file_name("sign", key_id): 0 for key_id in sorted(signing)
    }


def require_keys(vault: Vault, lost: Collection[str] | None) -> Dialogue[None]:
    """lost: names of key files that a person has given up; ``None`` asks nothing. Raises ``KeysMissing``."""
    if lost is None:
        return
    needed = yield from needed_keys()
    there = {file_name("site", key_id) for key_id in vault.key_ids}
    there |= {file_name("sign", key_id) for key_id in vault.signing_key_ids}
    if missing := {name: n for name, n in needed.items() if name not in there and name not in lost}:
        raise KeysMissing(missing, vault.directory)


def _listed(missing: Needed, submissions: str) -> str:
    return ", ".join(f"{name} ({n} {submissions})" if n else name for name, n in missing.items())
