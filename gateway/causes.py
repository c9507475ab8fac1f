"""Why something is stuck, said once for everything that is stuck for the same reason. Pure.

A group's text reaches lists, alarms and exports, so it holds nothing personal: of what a target said it keeps only words
of a fixed vocabulary, of a place only element names, of a code only what looks like one. The full text of the target
stays with the single delivery, encrypted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.submission import DeadClass


@dataclass(frozen=True, slots=True)
class Cause:
    """hash: names the group. de, en: its sentence for people. code: as kept, or ``None``."""

    hash: bytes
    de: str
    en: str
    code: str | None


def cause_of(
    kind: str, *, target: str | None, code: str | None = None, place: str | None = None, reason: str | None = None
) -> Cause:
    """The group of one failure. kind: a ``DeadClass``, or one of our own words in ``_SENTENCES``.

    code, place (XPath) and reason are what the target said; digits, quoted values and unknown words never count, so that
    ten thousand applicants with one missing field are one group.
    """
    code, place, gist = code_of(code), place_of(place), gist_of(reason)
    identity = "\x1f".join((target or "", kind, code or "", place or "", gist or ""))
    de, en = _SENTENCES[kind]
    return Cause(
        hash=hashlib.sha256(identity.encode()).digest()[:16],
        de=de.format(target=f"„{target}“" if target else "")
        + _details(None if code == kind else code, place, gist, place_word="Stelle")
        + ".",
        en=en.format(target=f"“{target}”" if target else "")
        + _details(None if code == kind else code, place, gist, place_word="place")
        + ".",
        code=code,
    )


def text_of(cause: Cause, *, reason: str | None = None, place: str | None = None) -> Mapping[str, str]:
    """``Delivery.cause_text``: the group's sentences, and what the target itself said (for this delivery alone)."""
    return (
        {"de": cause.de, "en": cause.en} | ({"said": reason[:4000]} if reason else {}) | ({"place": place[:500]} if place else {})
    )


def code_of(code: str | None) -> str | None:
    """The code if it looks like one; long numbers, which could be somebody's, are blotted out."""
    if code is None or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,47}", code):
        return None
    return re.sub(r"\d{5,}", "#", code)


def place_of(place: str | None) -> str | None:
    """The path as element names: ``/a:antrag[2]/b:name[text()='X']/@art`` → ``/antrag/name/@art``."""
    if not place:
        return None
    without_conditions = re.sub(r"\[[^\]]*\]?", "", place)
    names = [re.fullmatch(r"(@?)(?:[\w.-]+:)?([^\W\d][\w.-]{0,59})", step) for step in without_conditions.split("/")]
    return "".join(f"/{found[1]}{found[2]}" for found in names[:20] if found) or None


def gist_of(reason: str | None) -> str | None:
    """What remains of a target's text when everything that may be somebody's is left out; ``None`` if nothing does."""
    if not reason:
        return None
    bare = re.sub(r"[„“”\"»«'‚‘’`][^„“”\"»«'‚‘’`]*[„“”\"»«'‚‘’`]?", " … ", reason[:2000])
    words = [word if word.lower() in _VOCABULARY else "…" for word in re.findall(r"[^\W\d_]+|[^\s\w]?\d\S*|…", bare)]
    kept = [word for n, word in enumerate(words) if word != "…" or n == 0 or words[n - 1] != "…"][:16]
    return " ".join(kept) if any(word != "…" for word in kept) else None


def _details(code: str | None, place: str | None, gist: str | None, *, place_word: str) -> str:
    said = [
        f"Code {code}" if code else None,
        f"{place_word} {place}" if place else None,
        f"„{gist}“" if gist else None,
    ]
    return f" ({', '.join(part for part in said if part)})" if any(said) else ""


_SENTENCES: Mapping[str, tuple[str, str]] = {
    DeadClass.REFUSED: (
        "Das Zielsystem {target} hat die Einreichung nicht angenommen",
        "The target system {target} did not accept the submission",
    ),
    DeadClass.EXHAUSTED: (
        "Das Zielsystem {target} war bis zum Ende der Frist nicht erreichbar",
        "The target system {target} could not be reached in time",
    ),
    DeadClass.IN_DOUBT: (
        "Ausgang ungeklärt: Ob das Zielsystem {target} die Einreichung hat, lässt sich nur im Fachverfahren nachsehen",
        "In doubt: only a look into the case system tells whether {target} has the submission",
    ),
    DeadClass.UNCONFIRMED: (
        "Das Zielsystem {target} hat die Übernahme nicht innerhalb der Frist bestätigt",
        "The target system {target} did not confirm in time",
    ),
    DeadClass.UNROUTABLE: (
        "Für diese Leistung und dieses Gebiet ist kein Leitweg eingerichtet",
        "No route is set up for this service and area",
    ),
    DeadClass.INVALID: (
        "Die Einreichung entspricht nicht den Vorgaben der Leistung",
        "The submission does not meet the rules of its service",
    ),
    DeadClass.DEFECT: (
        "Die Anbindung an das Zielsystem {target} ist fehlerhaft: dreimal derselbe Programmfehler",
        "The connector to {target} is defective: three times the same failure",
    ),
    DeadClass.POISON: (
        "Diese Übermittlung an {target} hat das Programm mehrmals abstürzen lassen",
        "This delivery to {target} has crashed the program several times",
    ),
    "test-to-productive": (
        "Eine Testeinreichung darf nicht in das produktive Zielsystem {target} gelangen",
        "A test submission must not reach the productive target system {target}",
    ),
    "blocked": (
        "Das Zielsystem {target} lässt die Übermittlung nicht zu: Zugangsdaten, Berechtigung oder Zertifikat prüfen",
        "The target system {target} does not let us in: check credentials, rights or certificate",
    ),
    "blocks-the-loop": (
        "Die Anbindung an das Zielsystem {target} hält das ganze Programm an und wurde unterbrochen",
        "The connector to {target} brings the whole program to a halt and was interrupted",
    ),
    "unreadable": (
        "Das gespeicherte Dokument ist nicht lesbar: Schlüssel und Datenträger prüfen",
        "The stored document cannot be read: check keys and storage",
    ),
    "unavailable": (
        "Das Zielsystem {target} ist zurzeit nicht erreichbar",
        "The target system {target} cannot be reached at present",
    ),
    "doubtful": (
        "Das Zielsystem {target} hat nicht eindeutig geantwortet; vor einem neuen Versuch wird dort nachgefragt",
        "The target system {target} gave no clear answer; it is asked before anything is sent again",
    ),
    "asked": (
        "Das Zielsystem {target} konnte noch nicht gefragt werden, ob es die Einreichung hat",
        "The target system {target} could not yet be asked",
    ),
    "open": ("Das Zielsystem {target} hat noch nicht entschieden", "The target system {target} has not decided yet"),
    "handed_over": (
        "Übergeben; die Bestätigung des Zielsystems {target} steht aus",
        "Handed over; the confirmation of {target} is awaited",
    ),
    "held": ("Das Zielsystem {target} ist zurzeit angehalten", "The target system {target} is on hold at present"),
    "defective": (
        "Die Anbindung an das Zielsystem {target} ist fehlerhaft; es wird erneut versucht",
        "The connector to {target} failed; it is tried again",
    ),
    "interrupted": ("Beim Beenden des Programms unterbrochen", "Interrupted when the program stopped"),
    "crashed": ("Das Programm wurde während der Übermittlung beendet", "The program ended during the delivery"),
}

# Words that say what is wrong and never who. Names of fields are missing on purpose: the place says those.
_WORDS = """
abgelaufen abgewiesen abgleich abweichend adresse aktenzeichen anfrage angabe angaben angegeben angemeldet anhang
anhänge anlage anlagen annahme antrag antwort art auf aus ausgefüllt bearbeitung bei benutzer berechtigt berechtigung
bereits bestand dürfen datei dateien dateityp daten datensatz datum der die das dem den des doppelt ein eine einer eines
element enthält erforderlich erlaubt erwartet existiert falsch falsche falscher falsches fehler fehlerhaft fehlt fehlen
feld felder format formular fremdschlüssel für gefunden gesperrt groß größe gültig hat ist im in intern interner kann
kein keine keinen kennung konnte länge leer lesbar liegt mandant maximal mehrfach mehr muss müssen nachricht nicht nur
oder ohne pflichtangabe pflichtfeld prüfung prüfsumme referenz schema schlüssel schon sein server sind stimmt system
technischer text typ überein überschritten und unbekannt unbekannte unbekannter unbekanntes ungültig ungültige
ungültiger ungültiges unvollständig unzulässig verarbeitet verarbeitung verboten vergangenheit version vorgang vorhanden
vor von war wert werte wird wurde zeichen zeitüberschreitung zertifikat zu zugang zugriff zukunft zulässig
zurückgewiesen zuständig
a access already an and are argument at attachment attachments authorized bad be been body by certificate character
characters checksum code conflict constraint content could data date denied does duplicate element empty error exceeded
exceeds exist exists expected expired failed failure field fields file for forbidden format found has in internal
invalid is key large length limit malformed mandatory match maximum message mime missing must no not null of only or
parse parser payload permitted provided record refused rejected request required response schema server service size
supported system tenant the timeout to too type unable unauthorized unexpected unknown unprocessable unsupported valid
validation value values version was with wrong xml json
"""
_VOCABULARY = frozenset(_WORDS.split())
