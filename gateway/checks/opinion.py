"""A second opinion on a document that the schema refuses: what xmlschema knows of the place, in names of the schema.

libxml2 decides; this only adds to its findings which type a value has and what was expected after which child. It happens
in a child process with a deadline, one document at a time. Where an answer is waited for by a person, the opinion is waited
for; on the way in it is asked only while the child is idle and warm, and for a tenth of the time at most.
"""

from __future__ import annotations

import json
import pickle
import re
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from time import monotonic
from typing import Any, Final

import structlog

from gateway.checks.childprocess import Child, Recent
from gateway.checks.opinionchild import MOST_BYTES, SCHEMAS_KEPT
from gateway.checks.secondengine import write_texts
from gateway.findings import Finding
from gateway.logfields import LogEvent
from gateway.packages.compiled import CompiledSchema

_COMPILE_WITHIN: Final = 30.0
_REST: Final = 9
_LISTED: Final = 5
_MOST_BODY: Final = 16 * 1024 * 1024

_log = structlog.get_logger()


class Patience(Enum):
    """NONE: not asked. SPARE: only with what is left over (intake). FULL: waited for (a person asked)."""

    NONE = "none"
    SPARE = "spare"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Refused:
    """What libxml2 refused. package: id. digest: of the package."""

    package: str
    digest: bytes
    schema: CompiledSchema
    body: bytes
    findings: tuple[Finding, ...]


class SecondOpinion:
    """Safe in any thread. deadline: seconds for one document."""

    def __init__(self, *, deadline: float = 2.0) -> None:
        self._deadline = deadline
        self._child = Child("gateway.checks.opinionchild", deadline=deadline)
        self._sent: Recent[bool] = Recent(SCHEMAS_KEPT)
        self._hopeless: set[bytes] = set()
        self._lock = threading.Lock()
        self._rested_at = 0.0
        self._closed = False

    def on(self, refused: Refused, patience: Patience) -> tuple[Finding, ...]:
        """The findings, with reasons where there are any. Never raises, never takes a finding away."""
        if patience is Patience.NONE or not _is_worth_it(refused) or refused.digest in self._hopeless:
            return refused.findings
        spare = patience is Patience.SPARE
        if spare and not self.is_idle:
            return refused.findings
        if not self._lock.acquire(blocking=not spare, timeout=-1 if spare else 2 * self._deadline):
            return refused.findings
        try:
            began = monotonic()
            if spare and not (self._child.is_running and self._sent.get(refused.digest)):
                self._warm_later(refused)
                return refused.findings
            said = self._ask(refused, refused.body)
            self._rested_at = monotonic() + _REST * (monotonic() - began)
        finally:
            self._lock.release()
        return _told(refused, said) if said is not None and said.get("looked") else refused.findings

    @property
    def is_idle(self) -> bool:
        """Would ``SPARE`` be asked just now?"""
        return not self._lock.locked() and monotonic() >= self._rested_at

    def close(self) -> None:
        """Ends what runs; nothing is asked any more."""
        self._closed = True
        self._child.kill()
        with self._lock:
            self._child.end()

    def _warm_later(self, refused: Refused) -> None:
        """The next one of this package will find the schema compiled."""
        self._rested_at = monotonic() + self._deadline
        threading.Thread(target=self._warm, args=(refused,), name="second-opinion", daemon=True).start()

    def _warm(self, refused: Refused) -> None:
        with self._lock:
            self._ask(refused, b"")

    def _ask(self, refused: Refused, body: bytes) -> Mapping[str, Any] | None:
        if not self._child.is_running and not self._closed:
            self._sent.clear()
            try:
                self._child.start()
            except OSError:
                return None
        if self._closed or (not self._sent.get(refused.digest) and not self._sends(refused)):
            return None
        answer = self._child.ask(pickle.dumps((refused.digest, None, body)))
        return None if answer is None else json.loads(answer)

    def _sends(self, refused: Refused) -> bool:
        """Compiling takes seconds for a large standard, and a schema that this engine cannot take is not tried again."""
        files = refused.schema.files
        with tempfile.TemporaryDirectory(prefix="nahtlos-") as folder:
            write_texts(files, Path(folder))
            made_of = (folder, files.entry, files.namespace, refused.schema.declared)
            answer = self._child.ask(pickle.dumps((refused.digest, made_of, b"")), within=_COMPILE_WITHIN)
        if answer is None:
            self._hopeless.add(refused.digest)
            return False
        self._sent.put(refused.digest, True)
        return True


def _is_worth_it(refused: Refused) -> bool:
    """A document that is too large may fit once its base64 is blanked."""
    size = len(refused.body)
    return bool(refused.findings) and (size <= MOST_BYTES or (bool(refused.schema.declared.base64) and size <= _MOST_BODY))


def _told(refused: Refused, said: Mapping[str, Any]) -> tuple[Finding, ...]:
    errors: Sequence[Mapping[str, Any]] = said["errors"]
    if not errors:
        if said["whole"]:
            _log.warning(LogEvent.VALIDATOR_DISAGREEMENT, package=refused.package, rule=refused.findings[0].rule)
        return refused.findings
    places = {str(error[where]): error for where in ("at", "child") for error in reversed(errors) if error.get(where)}
    return tuple(_with_reason(finding, places) for finding in refused.findings)


_ATTRIBUTE: Final = re.compile(r"/@[^/]+\Z")


def _with_reason(finding: Finding, places: Mapping[str, Mapping[str, Any]]) -> Finding:
    error = places.get(_ATTRIBUTE.sub("", finding.path or ""))
    if error is None:
        return finding
    attribute = (finding.path or "").rpartition("/")[2].startswith("@")
    reason = _of_children(error) if "children" in error else _of_value(error["inner" if attribute else "type"])
    expected = finding.expected or tuple(error.get("expected", ()))
    return replace(finding, expected=expected, reason_de=reason[0], reason_en=reason[1]) if reason else finding


def _of_children(error: Mapping[str, Any]) -> tuple[str, str] | None:
    names = error["expected"]
    if not names:
        return None
    de, en = _quoted(names, "„“"), _quoted(names, "“”")
    holder, number = error["holder"], error["children"]
    type_de, type_en = (f" (Typ {error['type'][0]})", f" (type {error['type'][0]})") if error["type"] else ("", "")
    if "unexpected" in error:
        child = error["unexpected"]
        child_de, child_en = ("Ein unbekanntes Element", "An unknown element") if child == "*" else (f"„{child}“", f"“{child}”")
        return (f"{child_de} ist das {number + 1}. Kind von „{holder}“{type_de}; dort erwartet das Schema {de}.",
                f"{child_en} is child {number + 1} of “{holder}”{type_en}; there the schema expects {en}.")
    if not number:
        return (f"Das Schema erwartet in „{holder}“{type_de} zuerst {de}.",
                f"In “{holder}”{type_en} the schema first expects {en}.")
    return (f"Nach dem {number}. Kind von „{holder}“{type_de} erwartet das Schema noch {de}.",
            f"After child {number} of “{holder}”{type_en} the schema still expects {en}.")


def _quoted(names: Sequence[str], marks: str) -> str:
    return ", ".join(f"{marks[0]}{name}{marks[1]}" for name in names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def _of_value(kind: Sequence[str]) -> tuple[str, str] | None:
    if not kind:
        return None
    name, *base = kind
    made_de, made_en = (f", abgeleitet von {base[0]}", f", derived from {base[0]}") if base else ("", "")
    return f"Das Schema gibt ihm den Typ {name}{made_de}.", f"The schema gives it the type {name}{made_en}."
