"""What states, causes and outcomes are called in an office. Whatever has no word of its own is shown as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLASSES = {
    "refused": "nicht angenommen",
    "exhausted": "nicht erreichbar",
    "in_doubt": "Ausgang ungeklärt",
    "unconfirmed": "nicht bestätigt",
    "unroutable": "kein Leitweg",
    "invalid": "fehlerhaft",
    "defect": "Fehler im Konnektor",
    "poison": "bringt die Verarbeitung zum Absturz",
}

STATES = {
    "pending": "wartet",
    "delivering": "wird übermittelt",
    "on_its_way": "unterwegs",
    "delivered": "im Fachverfahren",
    "dead": "Klärfall",
    "needs_attention": "wird von Hand geklärt",
    "returned": "an das Portal zurückgegeben",
    "closed": "von Hand übernommen",
    "withdrawn": "zurückgenommen",
    # of a whole submission
    "received": "eingegangen, unterwegs",
    "completed_by_hand": "von Hand übernommen",
}

CLOSED = {"duplicate": "doppelt, geschlossen", "redirected": "umgeleitet", "forwarded": "weitergeleitet"}

WAITS = {
    "turn": "ist an der Reihe",
    "backoff": "auf den nächsten Versuch",
    "lookup": "wird nachgesehen",
    "confirmation": "auf Bestätigung",
    "window": "auf das Ende des Wartungsfensters",
    "breaker": "auf das Zielsystem",
    "paused": "angehalten",
    "order": "auf eine frühere",
    "snooze": "Wiedervorlage",
}

PURPOSES = {"case": "Fall", "copy": "Kopie", "notice": "Nachricht an das Portal"}

ROLES = {
    "received": "wie eingegangen",
    "message": "daraus gebildete Nachricht",
    "attachment": "Anlage",
    "edited": "von Hand berichtigt",
    "rendered": "Ansicht",
}

EVENTS = {
    "accept": "angenommen",
    "hold": "zurückgehalten",
    "claim": "Versuch",
    "expire": "Frist abgelaufen",
    "withdraw": "zurückgenommen",
    "confirm": "bestätigt",
    "postpone": "auf später",
    "hand_over": "übergeben",
    "lapse": "Versuch abgebrochen",
    "give_up": "aufgegeben",
    "redeliver": "noch einmal übermitteln",
    "refuse_late": "nachträglich nicht angenommen",
    "replay": "erneut übermitteln",
    "return": "zurückgegeben",
    "close": "geschlossen",
    "reopen": "wieder geöffnet",
    "pause": "angehalten",
    "resume": "fortgesetzt",
    "open": "Schutzschalter offen",
    "probe": "Schutzschalter prüft",
    "streak": "gleiche Fehler in Folge",
    "restart": "Gateway neu gestartet",
    "credential-made": "Schlüssel ausgegeben",
    "credential-changed": "Schlüssel geändert",
    "credential-revoked": "Schlüssel gesperrt",
    "credential-reason": "Grund dafür",
    "site-key-rotated": "Standortschlüssel gewechselt",
    "document-seen": "Dokument angesehen",
}

OUTCOMES = {
    "acknowledged": "angenommen",
    "handed_over": "übergeben, noch nicht bestätigt",
    "still_open": "noch keine Antwort",
    "unavailable": "nicht erreichbar",
    "in_doubt": "Ausgang ungeklärt",
    "refused": "nicht angenommen",
    "blocked": "falsch eingerichtet",
    "defect": "Fehler im Konnektor",
    "put_back": "zurückgelegt",
    "interrupted": "unterbrochen",
    "crashed": "abgestürzt",
    "expired": "Frist abgelaufen",
}


def state_of(delivery: Mapping[str, Any]) -> str:
    """Of a delivery as the API tells it: what it is, and what it waits for."""
    closed_as, waits = delivery.get("closed_as"), delivery.get("waiting_for")
    if delivery["state"] == "closed" and closed_as in CLOSED:
        return CLOSED[closed_as]
    said = STATES.get(delivery["state"], str(delivery["state"]))
    return f"{said}: {WAITS.get(waits, waits)}" if delivery["state"] == "pending" and waits else said
