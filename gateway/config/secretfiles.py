"""Secrets by reference: ``env:NAME`` or ``file:/path``. What is read is masked in every ``repr`` and never logged."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

# Container engines mount secrets here, readable by all, into a file system that only this container sees.
_ENGINE_MOUNT = Path("/run/secrets")


class SecretMissing(Exception):
    """A secret cannot be had. ``de``, ``en`` say what to do; the secret itself is in neither."""

    def __init__(self, de: str, en: str) -> None:
        super().__init__(f"{de} / {en}")
        self.de, self.en = de, en


def resolve_secret(reference: str) -> SecretStr:
    """The secret behind ``env:NAME`` or ``file:/path`` (without the line end). Raises ``SecretMissing``."""
    kind, _, place = reference.partition(":")
    if kind == "env" and place:
        value = os.environ.get(place, "")
        if not value:
            raise SecretMissing(f"die Umgebungsvariable {place} ist nicht gesetzt oder leer",
                                f"the environment variable {place} is not set or empty")
        return SecretStr(value)
    if kind == "file" and place:
        return read_secret_file(Path(place))
    raise SecretMissing("ein Geheimnis wird als „env:NAME“ oder „file:/pfad“ angegeben",
                        'a secret is given as "env:NAME" or "file:/path"')


def resolve_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Connector options with every ``env:``/``file:`` reference replaced, at every depth. Raises ``SecretMissing``.

    What comes back holds secrets in clear, as connectors need them: bind it at once and do not keep it.
    """
    return {key: _resolved(value) for key, value in options.items()}


def read_secret_file(path: Path, *, mounted: Path | None = None) -> SecretStr:
    """The content of a file that others cannot read. mounted: a directory of secrets that is trusted as it is."""
    refuse_readable_by_others(path, mounted=mounted)
    try:
        value = path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "UTF-8"
        raise SecretMissing(f"{path} kann nicht gelesen werden ({why})", f"{path} cannot be read ({why})") from None
    if not value:
        raise SecretMissing(f"{path} ist leer", f"{path} is empty")
    return SecretStr(value)


def refuse_readable_by_others(path: Path, *, mounted: Path | None = None) -> None:
    """Raises ``SecretMissing`` for a file that every account of this machine could read.

    A file below a directory that others cannot enter is safe whatever its own mode; so is one below ``/run/secrets`` or
    ``mounted``, which container engines fill for one container alone.
    """
    absolute = path.absolute()
    if any(safe is not None and absolute.is_relative_to(safe) for safe in (_ENGINE_MOUNT, mounted)):
        return
    try:
        readable = path.stat().st_mode & stat.S_IROTH
        reachable = all(parent.stat().st_mode & stat.S_IXOTH for parent in absolute.resolve().parents)
    except OSError as error:
        raise SecretMissing(f"{path} gibt es nicht oder ist nicht zugänglich ({error.strerror})",
                            f"{path} does not exist or is not accessible ({error.strerror})") from None
    if readable and reachable:
        raise SecretMissing(f"{path} ist für alle lesbar; führen Sie aus: chmod o-rwx {path}",
                            f"{path} is readable by everyone; run: chmod o-rwx {path}")


def _resolved(value: Any) -> Any:
    if isinstance(value, Mapping):
        return resolve_options(value)
    if isinstance(value, list | tuple):
        return [_resolved(item) for item in value]
    if isinstance(value, str) and value.startswith(("env:", "file:")):
        return resolve_secret(value).get_secret_value()
    return value
