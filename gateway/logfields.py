"""The words of the log: every event and every field there is. A line with others is a defect that a test finds."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class LogEvent(StrEnum):
    """The name of every line. SUBMISSION and ATTEMPT are the canonical ones, the others say what changed in the process."""

    SUBMISSION = "submission"
    ATTEMPT = "attempt"
    REQUEST_FAILED = "request.failed"
    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SITE_LOADED = "site.loaded"
    SITE_REFUSED = "site.refused"
    SITE_DOUBTFUL = "site.doubtful"
    PACKAGES_LOADED = "packages.loaded"
    PACKAGES_REFUSED = "packages.refused"
    CONNECTOR_FAILED = "connector.failed"
    BREAKER = "breaker"
    DISPATCHER = "dispatcher"
    LEASE_LAPSED = "lease.lapsed"
    TICKET_FAILED = "ticket.failed"
    TICKET_UNREADABLE = "ticket.unreadable"
    DOCUMENT_UNREADABLE = "document.unreadable"
    RULES_NOT_EVALUATED = "rules.not-evaluated"
    VALIDATOR_DISAGREEMENT = "validator-disagreement"
    BROKER = "broker"
    BROKER_AWAY = "broker.away"
    BROKER_BACK = "broker.back"
    JOURNAL_UNAVAILABLE = "journal.unavailable"
    JOURNAL_REOPENED = "journal.reopened"
    JOURNAL_WARNING = "journal.warning"
    TASK_FAILED = "task.failed"
    FOREIGN = "foreign"


FIELDS: Mapping[str, str] = MappingProxyType({
    "submission": "id of the submission",
    "delivery": "id of the delivery",
    "reference": "Eingangsnummer",
    "request": "id of the request, also in the answer",
    "trace_id": "trace id of traceparent",
    "portal": "name of the portal in the site file",
    "credential": "id of the credential, never the key",
    "actor": "portal:name or operator:name as in the history",
    "authority": "key of the authority in the site file",
    "target": "name of the target in the site file",
    "connector": "name of the connector",
    "leistung": "slug of the Leistung",
    "ars": "area the route was found by",
    "package": "schema package",
    "version": "of the software, a package or a connector",
    "message_type": "root element or type within the package",
    "origin": "message or form",
    "test": "a test submission",
    "action": "what an operator did",
    "change": "what happened to a target",
    "outcome": "accepted, replayed, rejected, held …; delivered, unavailable, in_doubt, refused …",
    "state": "state after it",
    "class": "class of a dead letter",
    "dead_class": "class of a dead letter",
    "code": "stable code of ours or of the target",
    "rule": "first rule that was broken",
    "reason": "a code, never a sentence",
    "status": "HTTP status",
    "method": "HTTP method",
    "route": "path template, never the path itself",
    "bytes": "size of the message as received",
    "attachments": "how many",
    "findings": "how many",
    "crashes": "leases that ran out",
    "attempt": "which attempt",
    "waiting_for": "why it waits",
    "in_doubt": "may have been sent",
    "seconds": "from first byte to answer, or from claim to commit",
    "read_seconds": "reading the body",
    "guard_seconds": "guard and parse",
    "validate_seconds": "schema, rules, codes",
    "map_seconds": "field mapping",
    "commit_seconds": "waiting for the synced commit",
    "call_seconds": "within the connector",
    "group": "submissions in the same commit",
    "count": "how many",
    "lane": "lane of the broker",
    "role": "what this process does",
    "instance": "name of this process",
    "site": "name of the site",
    "digest": "SHA-256, hex, may be cut",
    "host": "address it listens on",
    "port": "port it listens on",
    "journal": "kind of journal",
    "broker": "kind of broker",
    "path": "a path of ours",
    "source": "name of a foreign logger",
    "task": "name of a background task",
    "template": "a foreign library's constant text",
    "error": "type of an exception",
    "place": "where it was raised: file:line:function",
    "trace": "the last frames, innermost last",
    "caused_by": "types of the exceptions before it",
})
