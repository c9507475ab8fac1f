"""What answers look like, for the OpenAPI document. Tests hold every answer to these shapes; nothing is serialised by them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gateway.http.problems import Kind


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Finding(_Shape):
    """Ein Befund: Stelle, Regel und was erwartet war; nie der Wert, der dort stand."""

    code: str
    rule: str
    severity: str
    de: str
    en: str
    line: int | None = None
    column: int | None = None
    path: str | None = Field(None, description="mit den Präfixen, die das Schema selbst verwendet")
    expected: list[str] = []
    reason_de: str | None = Field(None, description="was ein zweiter Prüfer über die Stelle weiß: Typ, Reihenfolge")
    reason_en: str | None = None


class Problem(BaseModel):
    """RFC 9457. `type` ist beständig; die Texte dürfen besser werden."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=[Kind.INVALID.uri])
    title: str
    status: int
    detail: str
    title_de: str
    title_en: str
    detail_de: str
    detail_en: str
    instance: str
    code: str | None = None
    retry_after: int | None = None
    package: str | None = Field(None, description="Schemapaket, gegen das geprüft wurde")
    findings: list[Finding] = []


class Links(_Shape):
    self: str
    events: str


class ReceiptDelivery(_Shape):
    id: str
    purpose: str


class Receipt(_Shape):
    """Die Eingangsbestätigung. Eine Wiederholung erhält dieselbe."""

    id: str
    reference: str = Field(description="Eingangsnummer: zehn Zeichen und ein Prüfzeichen")
    state: str
    digest: str = Field(description="sha-256:… der Nachricht, wie sie ankam")
    received_at: str
    leistung: str | None
    ars: str | None
    test: bool
    deliveries: list[ReceiptDelivery]
    links: Links
    duplicate_of: str | None = None


class Delivery(_Shape):
    id: str
    purpose: str
    state: str = Field(description="on_its_way, delivered, needs_attention, returned, closed, withdrawn")
    changed_at: str
    case_number: str | None = None
    replaces: str | None = None


class Event(_Shape):
    at: str
    event: str
    state: str
    delivery: str | None = None
    reason: str | None = None


class Brief(_Shape):
    id: str
    reference: str
    state: str = Field(description="received, delivered, needs_attention, completed_by_hand, returned, withdrawn")
    digest: str
    received_at: str
    leistung: str | None
    ars: str | None
    test: bool
    deliveries: list[Delivery]
    links: Links


class Status(Brief):
    history: list[Event]


class Since(_Shape):
    submissions: list[Brief]
    next: int


class RouteTarget(_Shape):
    target: str
    purpose: str
    authority: str


class Report(_Shape):
    """Was eine Einreichung ergäbe; gespeichert wird nichts."""

    valid: bool
    outcome: str = Field(description="accepted, held, refused")
    status: int = Field(description="womit POST /v1/submissions antworten würde")
    origin: str | None
    leistung: str | None
    ars: str | None
    package: str | None
    message_type: str | None
    test: bool
    complete: bool
    route: list[RouteTarget] | None
    findings: list[Finding]
    problem: Problem | None


class MessageKind(_Shape):
    package: str
    namespace: str
    roots: list[str]


class Leistung(_Shape):
    slug: str
    name_de: str | None
    name_en: str | None
    kind: str
    place: str
    leika: str | None
    on_invalid: str | None
    urgency: str
    deadline_days: int | None
    max_bytes: int
    message: MessageKind


class Leistungen(_Shape):
    leistungen: list[Leistung]


class RouteStep(_Shape):
    target: str | None = Field(description="Name des Zielsystems; nur für Bedienstete")
    purpose: str
    after: str | None = Field(description="Name des Zielsystems, das vorher beliefert wird; nur für Bedienstete")
    authority: str
    health: str = Field(
        description="ok, closed, paused, unreachable, blocked (Zugang verweigert), refused; verloren geht in keinem Fall etwas")


class Routes(_Shape):
    leistung: str
    ars: str
    place: str
    why_de: str
    why_en: str
    to: list[RouteStep]


class DeadLetter(_Shape):
    id: str
    submission: str
    reference: str
    portal: str
    leistung: str | None
    ars: str | None
    authority: str | None
    target: str | None
    purpose: str
    state: str
    dead_class: str | None = Field(alias="class")
    code: str | None
    cause: str | None
    cause_de: str | None
    cause_en: str | None
    in_doubt: bool
    attempts: int
    crashes: int
    test: bool
    received_at: str
    since: str
    revision: int


class DeadLetters(_Shape):
    dead_letters: list[DeadLetter]
    next: str | None


class Group(_Shape):
    cause: str | None
    target: str | None
    dead_class: str | None = Field(alias="class")
    code: str | None
    cause_de: str | None
    cause_en: str | None
    count: int
    test: int
    oldest: str
    newest: str
    example: str


class Groups(_Shape):
    groups: list[Group]
    complete: bool


class HistoryLine(_Shape):
    no: int | None
    at: str
    actor: str
    subject: str
    submission: str | None
    delivery: str | None
    event: str
    from_state: str | None = Field(alias="from")
    to_state: str | None = Field(alias="to")
    attempt: int | None
    outcome: str | None
    code: str | None
    facts: dict[str, Any]
    texts: dict[str, str] = {}


class DocumentLine(_Shape):
    no: int
    role: str
    media_type: str
    size: int
    digest: str


class DeadLetterDetail(DeadLetter):
    waiting_for: str | None
    next_attempt_at: str | None
    closed_as: str | None
    cause_text: dict[str, str] | None
    case_number: str | None
    replaces: str | None
    after: str | None
    changed_at: str
    documents: list[DocumentLine]
    history: list[HistoryLine]


class Target(_Shape):
    name: str
    authority: str
    connector: str
    productive: bool
    concurrency: int
    contact: str | None
    closed_now: bool
    counts: dict[str, int]
    in_doubt: int
    oldest: str | None
    paused: bool
    paused_reason: str | None
    paused_at: str | None
    paused_until: str | None
    breaker: str
    breaker_kind: str | None = Field(
        description="solange der Schutzschalter offen ist: down (nicht erreichbar), blocked (Zugang verweigert oder falsch "
        "eingerichtet: 401, 403, TLS), refused (nimmt lauter gleiche nicht an)")
    breaker_cause: str | None
    breaker_since: str | None
    probe_at: str | None
    revision: int


class Targets(_Shape):
    targets: list[Target]


class Audit(_Shape):
    entries: list[HistoryLine]
    next: int


class Key(_Shape):
    id: str
    holder: str
    kind: str
    scope: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_on: str | None


class NewKey(Key):
    key: str = Field(description="steht nur in dieser Antwort")


class Keys(_Shape):
    keys: list[Key]


class Rotated(_Shape):
    key_id: str
    rewrapped: int


class OpenWorkLine(_Shape):
    target: str
    counts: dict[str, int]
    in_doubt: int


class OpenWork(_Shape):
    targets: list[OpenWorkLine]


class PackageUse(_Shape):
    package: str
    submissions: int
    waiting: int
    dead_letters: int


class Alive(_Shape):
    status: str


class Wrong(_Shape):
    code: str
    de: str
    en: str


class Ready(_Shape):
    status: str
    wrong: list[Wrong]


# --- what operators send ---------------------------------------------------------------------------------------------


class Reason(_Shape):
    reason: str = Field(min_length=1, max_length=2000)
    revision: int | None = Field(default=None, description="auf welchem Stand entschieden wurde; sonst auf dem jetzigen")


class Replay(Reason):
    absent: bool = Field(default=False, description="im Fachverfahren nachgesehen: dort ist sie nicht")


class Close(Reason):
    closed_as: str = Field(default="by_hand", description="by_hand oder duplicate")
    case_number: str | None = None


class Redirect(Reason):
    target: str


class Pause(Reason):
    until: str | None = None


class KeyOrder(_Shape):
    holder: str
    kind: str = "portal-key"
    scope: list[str] = ["*"]
    reason: str


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of an endpoint, for its documentation."""
    return {
        status: {
            "description": " / ".join(kind.de for kind in Kind if kind.status == status),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def changes() -> dict[int | str, dict[str, Any]]:
    return problems(400, 401, 403, 404, 409, 413, 415, 503)


def body(shape: type[BaseModel]) -> dict[str, Any]:
    """A request body that is read by ``strict_json`` and only documented here."""
    schema = shape.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
