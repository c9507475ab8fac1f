"""Validations that may run long happen in a child process, which is killed when its time is up.

The child gets the schema and the document through a pipe, has no environment of ours, opens no files, may use little
memory, and answers in JSON, so that whatever a document does to it cannot reach further than a finding.
"""

from __future__ import annotations

import json
import pickle
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from gateway.checks.childprocess import Child, Recent, answer_questions
from gateway.checks.steps import ABORTED, Outcome, run_steps
from gateway.document import Document, read_again
from gateway.findings import Finding, Severity
from gateway.packages.compiled import CompiledSchema

_MEMORY: Final = 1536 * 1024 * 1024
_SCHEMAS_KEPT: Final = 8


class Sandbox:
    """One child at a time, started when first needed and again after it was killed. For one thread at a time."""

    def __init__(self, *, deadline: float) -> None:
        self._deadline = deadline
        self._child = Child("gateway.checks.sandbox", deadline=deadline)
        self._sent: Recent[bool] = Recent(_SCHEMAS_KEPT)
        self._lock = threading.Lock()

    def run(self, document: Document, schema: CompiledSchema, stages: Mapping[str, str], *, digest: bytes) -> Outcome:
        """As ``run_steps``, or ``ABORTED`` when the deadline has passed or the child has died. Never raises."""
        with self._lock:
            answer = self._ask(document, schema, stages, digest)
        return Outcome((ABORTED,), False, {"schema": self._deadline}) if answer is None else _outcome(json.loads(answer))

    @property
    def is_running(self) -> bool:
        return self._child.is_running

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def close(self) -> None:
        """Ends what runs."""
        self._child.kill()
        with self._lock:
            self._child.end()

    def _ask(
        self, document: Document, schema: CompiledSchema, stages: Mapping[str, str], digest: bytes
    ) -> bytes | None:
        if not self._child.is_running:
            self._sent.clear()
            try:
                self._child.start()
            except OSError:
                return None
        made_of = None
        if not self._sent.get(digest):
            made_of = (schema.files, schema.declared)
            self._sent.put(digest, True)
        return self._child.ask(pickle.dumps((digest, made_of, document.body, dict(stages))))


def _outcome(said: Mapping[str, Any]) -> Outcome:
    findings = tuple(
        Finding(**{**finding, "expected": tuple(finding["expected"]), "severity": Severity(finding["severity"])})
        for finding in said["findings"]
    )
    return Outcome(findings, said["complete"], said["timings"], said["refused"])


# --- in the child ------------------------------------------------------------------------------------------------------


class _Validator:
    def __init__(self) -> None:
        self._schemas: Recent[CompiledSchema] = Recent(_SCHEMAS_KEPT)

    def answer(self, question: bytes) -> bytes:
        digest, made_of, body, stages = pickle.loads(question)  # noqa: S301  written by our own parent
        schema = self._schemas.get(digest)
        if schema is None:
            schema = CompiledSchema(*made_of)
            self._schemas.put(digest, schema)
        outcome = run_steps(read_again(body), schema, stages)
        return json.dumps({
            "findings": [asdict(finding) for finding in outcome.findings], "complete": outcome.complete,
            "timings": dict(outcome.timings), "refused": outcome.refused,
        }).encode()


if __name__ == "__main__":
    answer_questions(_Validator().answer, deadline=float(sys.argv[1]), memory=_MEMORY)
