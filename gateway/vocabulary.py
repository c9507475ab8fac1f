"""Everything that can be wrong with a document, in one table: rule → code, severity, sentence in German and English.

The code is neutral, out of the rejection reasons of XInneres: T transport and form, X XML and schema, V versions and what
contradicts itself, S content and code lists. The rule is our own stable name and says more. {words} in a sentence come from
us or from the schema, never from the document. ``schemas/README.md`` shows the table; a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.findings import Finding, Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """code: of XInneres. severity: unless a package's stage says otherwise. de, en: templates."""

    code: str
    de: str
    en: str
    severity: Severity = Severity.ERROR


Words = str | int | tuple[str, str]


def say(
    key: str, words: Mapping[str, Words] = MappingProxyType({}), *, line: int | None = None, column: int | None = None,
    path: str | None = None, expected: tuple[str, ...] = (), severity: Severity | None = None,
) -> Finding:
    """The finding for a rule. key: its name in ``RULES``, with "#variant" where it has several sentences. words: what fills
    the sentences; a pair is German and English."""
    rule = RULES[key]
    return Finding(
        rule.code, key.partition("#")[0], rule.de.format_map(_in(words, 0)), rule.en.format_map(_in(words, 1)),
        line=line, column=column, path=path, expected=expected, severity=severity or rule.severity,
    )


def _in(words: Mapping[str, Words], language: int) -> dict[str, object]:
    return {name: word[language] if isinstance(word, tuple) else word for name, word in words.items()}


_HINT: Final = Severity.WARNING

RULES: Final[Mapping[str, Rule]] = MappingProxyType({
    # --- transport and form
    "too-large": Rule("T099", "Die Nachricht ist größer als {most} Byte.", "The message is larger than {most} bytes."),
    "too-many-elements": Rule(
        "T099", "Die Nachricht hat mehr als {most} Elemente oder Attribute.",
        "The message has more than {most} elements or attributes."),
    "form-unbound": Rule(
        "T010",
        "Dieses Formular ist keiner Leistung zugeordnet. Der Betrieb trägt es als [[form]] ein, oder die Adresse nennt "
        "?leistung=.",
        "This form is bound to no service. Operators add a [[form]] for it, or the URL names ?leistung=."),
    "form-unmapped": Rule(
        "T011", "Für Formulare dieser Leistung gibt es hier keine Feldzuordnung.",
        "There is no mapping for forms of this service here."),
    # --- bytes and XML
    "empty": Rule("X000", "Die Nachricht ist leer.", "The message is empty."),
    "not-utf-8": Rule(
        "S001", "Die Nachricht enthält Bytes, die kein UTF-8 sind.", "The message contains bytes that are not UTF-8."),
    "not-utf-8#encoding": Rule("S001", "{what} Erwartet wird UTF-8.", "{what} UTF-8 is expected."),
    "not-well-formed": Rule(
        "X000", "Die Nachricht ist kein wohlgeformtes XML: {why}.", "The message is not well-formed XML: {why}."),
    "doctype-forbidden": Rule(
        "X000", "Eine Dokumenttyp-Deklaration (DOCTYPE) ist nicht erlaubt.",
        "A document type declaration (DOCTYPE) is not allowed."),
    "xml-version": Rule(
        "X000", "Die XML-Deklaration nennt eine andere Version als 1.0.",
        "The XML declaration names another version than 1.0."),
    "aside-too-long": Rule(
        "X000", "Ein Kommentar oder eine Verarbeitungsanweisung ist länger als 1 MiB.",
        "A comment or processing instruction is longer than 1 MiB."),
    "too-many-asides": Rule(
        "X000", "Die Nachricht enthält zu viele Kommentare oder CDATA-Abschnitte.",
        "The message has too many comments or CDATA sections."),
    "too-deep": Rule(
        "X000", "Elemente sind tiefer als {most} Ebenen geschachtelt.", "Elements are nested deeper than {most} levels."),
    "too-many-attributes": Rule(
        "X000", "Ein Element hat mehr als {most} Attribute.", "An element has more than {most} attributes."),
    "name-too-long": Rule("X000", "Ein Name ist länger als {most} Zeichen.", "A name is longer than {most} characters."),
    # --- which message it is
    "unknown-message": Rule(
        "V001",
        "Zu Namensraum und Wurzelelement dieser Nachricht gibt es hier kein Schema. GET /v1/leistungen nennt, was angenommen "
        "wird.",
        "There is no schema here for the namespace and root element of this message. GET /v1/leistungen lists what is taken."),
    "unknown-message#of-standard": Rule(
        "V001", "Dieser Standard ist bekannt, diese Nachricht daraus nicht.",
        "This standard is known, this message of it is not."),
    "answer-not-taken": Rule(
        "V001", "Das ist eine Antwort (Eingangsbestätigung oder Rückweisung), kein Antrag; sie wird nicht eingereicht.",
        "This is an answer (acknowledgement or rejection), not an application; it is not submitted."),
    "unknown-version": Rule(
        "V000", "Dieser Standard ist bekannt, diese Version nicht. Angenommen werden: {known}.",
        "This standard is known, this version is not. Accepted: {known}."),
    "version-not-yet-valid": Rule(
        "V000", "Diese Version ({version}) gilt erst ab {day}.{instead}",
        "This version ({version}) is valid only from {day}.{instead}"),
    "version-no-longer-valid": Rule(
        "V000", "Diese Version ({version}) galt bis {day}.{instead}", "This version ({version}) was valid until {day}.{instead}"),
    "version-not-expected": Rule(
        "V000", "Das Zielsystem {target} erwartet {expected}; aus {version} lässt sich das hier nicht umwandeln.",
        "The target {target} expects {expected}; {version} cannot be converted into it here."),
    "type-code-differs": Rule(
        "V002", "Der Nachrichtentyp im Nachrichtenkopf ist nicht der des Wurzelelements ({number}); das Wurzelelement gilt.",
        "The message type in the header is not that of the root element ({number}); the root element counts.", _HINT),
    "leistung-contradiction": Rule(
        "V003", "Die Adresse (?leistung=) und die Nachricht nennen verschiedene Leistungen.",
        "The URL (?leistung=) and the message name different services."),
    "ars-contradiction": Rule(
        "V003", "Die Adresse (?ars=) und die Nachricht nennen verschiedene Orte (ARS).",
        "The URL (?ars=) and the message name different places (ARS)."),
    # --- against the XSD
    "missing-element": Rule(
        "X001", "Innerhalb {place} fehlt ein Element{listed}.", "Inside {place} an element is missing{listed}."),
    "unexpected-element": Rule(
        "X001", "{which} steht an einer Stelle, an der es nicht vorgesehen ist{listed}.",
        "{which} stands where it is not expected{listed}."),
    "unexpected-element#in-value": Rule(
        "X001", "Innerhalb {place} steht ein Element, wo nur ein Wert vorgesehen ist.",
        "Inside {place} there is an element where only a value is expected."),
    "unknown-element": Rule(
        "X001", "Der Name {place} ist im Schema nicht vereinbart.", "The name of {place} is not declared in the schema."),
    "unexpected-text": Rule(
        "X001", "Innerhalb {place} steht Text, wo keiner vorgesehen ist.",
        "Inside {place} there is text where none is expected."),
    "not-empty": Rule("X001", "Der Inhalt {place} muss leer sein.", "The content of {place} must be empty."),
    "missing-attribute": Rule(
        "X001", "Innerhalb {place} fehlt das Attribut{named}.", "Inside {place} the attribute{named} is missing."),
    "unexpected-attribute": Rule(
        "X001", "{which} ist an diesem Element nicht vorgesehen.", "{which} is not expected on this element."),
    "enumeration": Rule(
        "X001", "Der Wert {place} steht nicht in der Liste der {count} erlaubten Werte.",
        "The value of {place} is not one of the {count} allowed values."),
    "type": Rule("X001", "Der Wert {place} muss {what} sein.", "The value of {place} must be {what}."),
    "type#id": Rule(
        "X001", "Der Wert {place} ist keine Kennung oder im Dokument nicht eindeutig.",
        "The value of {place} is no identifier or not unique in the document."),
    "type#base64": Rule("X001", "Der Inhalt muss eine gültige Base64-Kodierung sein.", "The content must be valid base64."),
    "pattern": Rule(
        "X001", "Der Wert {place} hat nicht die verlangte Form.", "The value of {place} does not have the required form."),
    "length": Rule("X001", "Der Wert {place} ist {what}{allowed}.", "The value of {place} is {what}{allowed}."),
    "range": Rule("X001", "Der Wert {place} ist {what}{bound}.", "The value of {place} is {what}{bound}."),
    "fixed-value": Rule(
        "X001", "Der Wert {place} ist vorgeschrieben und weicht ab.", "The value of {place} is fixed and differs."),
    "nil": Rule(
        "X001", "Der Wert {place} ist mit xsi:nil als leer gekennzeichnet; das passt hier nicht.",
        "The value of {place} is marked as empty by xsi:nil, which does not fit here."),
    "xsi-type": Rule(
        "X001", "Der mit xsi:type genannte Typ {place} ist hier nicht zulässig.",
        "The type named by xsi:type of {place} is not allowed here."),
    "abstract-type": Rule(
        "X001", "Der Typ {place} ist abstrakt; xsi:type muss einen genaueren nennen.",
        "The type of {place} is abstract; xsi:type has to name a more precise one."),
    "duplicate-key": Rule(
        "X001", "Der Schlüssel {place} kommt mehrfach vor, muss aber eindeutig sein.",
        "The key of {place} occurs more than once but must be unique."),
    "unknown-key": Rule(
        "X001", "Der Verweis {place} führt zu keinem Eintrag im Dokument.",
        "The reference of {place} leads to no entry in the document."),
    "incomplete-key": Rule("X001", "Der Schlüssel {place} ist nicht vollständig.", "The key of {place} is incomplete."),
    "dangling-reference": Rule(
        "X001", "Der Verweis führt zu keiner Kennung (ID) im Dokument.",
        "The reference leads to no identifier (ID) in the document."),
    "schema": Rule(
        "X001", "Der Inhalt {place} entspricht nicht dem Schema.", "The content of {place} does not follow the schema."),
    "validation-aborted": Rule(
        "S999", "Die Prüfung wurde abgebrochen: Sie hätte zu lange gedauert oder zu viel Speicher gebraucht.",
        "The validation was aborted: it would have taken too long or too much memory."),
    # --- code lists
    "code-unknown": Rule(
        "S011", "Diesen Schlüssel gibt es in der Codeliste {uri}, Version {version}, nicht.",
        "This key is not in the code list {uri}, version {version}."),
    "code-empty": Rule(
        "S030", "Das Element ist leer; hier wird ein Schlüssel aus einer Codeliste erwartet.",
        "The element is empty; a key from a code list is expected here.", _HINT),
    "code-list-unknown": Rule(
        "S010", "Die Codeliste{named} ist hier nicht bekannt; der Schlüssel wurde nicht geprüft.",
        "The code list{named} is not known here; the key was not checked.", _HINT),
    "code-list-version-unknown": Rule(
        "S010", "Die Version der Codeliste {uri} {what}; der Schlüssel wurde nicht geprüft.",
        "The version of the code list {uri} {what}; the key was not checked.", _HINT),
    "code-list-unnamed": Rule(
        "S010", "Die Nachricht sagt nicht, aus welcher Codeliste der Schlüssel ist; der Schlüssel wurde nicht geprüft.",
        "The message does not say which code list the key is from; the key was not checked.", _HINT),
    # --- attachments
    "attachment-missing": Rule(
        "S999", "Diese Datei wird genannt, wurde aber nicht mitgeschickt.",
        "This file is named but did not come with the message."),
    "attachment-unexpected": Rule(
        "S999", "Die {number}. mitgeschickte Datei wird in der Nachricht nicht genannt.",
        "File {number} beside the message is not named in the message."),
    "attachment-twice": Rule(
        "S999", "Die {number}. mitgeschickte Datei hat denselben Namen wie eine andere.",
        "File {number} beside the message has the same name as another."),
    "attachment-named-twice": Rule(
        "S999", "Diesen Dateinamen gibt es in der Nachricht schon; jeder darf nur einmal vorkommen.",
        "This file name occurs before in the message; each may occur only once."),
    "attachment-size": Rule(
        "S999", "Die Datei ist nicht so groß, wie die Nachricht sagt; sie kam wohl nicht vollständig an.",
        "The file is not as large as the message says; it probably did not arrive whole."),
    "attachment-digest": Rule(
        "S999", "Die Prüfsumme (SHA-256) der Datei ist eine andere, als die Nachricht sagt.",
        "The digest (SHA-256) of the file is not the one the message says."),
    # --- characters
    "character-not-allowed": Rule(
        "S999", "An Stelle {position} steht {what}, das hier nach DIN 91379 nicht erlaubt ist.",
        "At position {position} is {what} that DIN 91379 does not allow here."),
    "not-normalised": Rule(
        "S999", "Der Text ist nicht in der Unicode-Normalform NFC; DIN 91379 verlangt sie.",
        "The text is not in Unicode normal form NFC; DIN 91379 demands it."),
    # --- rules of the standard, which have their own sentences: rule "schematron:<id>"
    "schematron": Rule("S999", "{text}", "A rule of the standard does not hold ({id}). It says: {text}"),
    "schematron-not-evaluated": Rule(
        "S999", "{which} an dieser Nachricht nicht auswerten.", "{which} could not be evaluated on this message.", _HINT),
    # --- from a portal's form to the message
    "mapping-value": Rule(
        "S020", "Formularfeld „{field}“: erwartet wird {what}.", 'Form field "{field}": expected {what}.'),
    "mapping-code": Rule(
        "S011", "Formularfeld „{field}“: erwartet wird {what}.", 'Form field "{field}": expected {what}.'),
    "mapping-file": Rule(
        "S020", "Formularfeld „{field}“: erwartet wird {what}.", 'Form field "{field}": expected {what}.'),
    "mapping-structure": Rule(
        "S020", "Formularfeld „{field}“: erwartet wird {what}.", 'Form field "{field}": expected {what}.'),
    "mapping-too-many": Rule(
        "S020", "Das Formular wiederholt Gruppen mehr als {most} Mal.", "The form repeats its groups more than {most} times."),
    "mapping-empty": Rule("X001", "Die Feldzuordnung ergab keine Nachricht.", "The mapping made no message."),
    "mapping-no-form": Rule(
        "X001", "Das ist kein Portalformular: „serviceportal-fields“ fehlt.",
        'This is no portal form: "serviceportal-fields" is missing.'),
    "mapping-failed": Rule(
        "X001", "Die Feldzuordnung brach bei diesem Formular ab.", "The mapping gave up on this form."),
    # --- from one version of a standard to the next
    "conversion-failed": Rule(
        "V000", "Die Umwandlung von {version} in {expected} ist bei dieser Nachricht gescheitert.",
        "Converting {version} into {expected} failed for this message."),
    "conversion-invalid": Rule(
        "V000", "Aus {version} umgewandelt ist die Nachricht nach {expected} nicht gültig: {finding}",
        "Converted from {version}, the message is not valid as {expected}: {finding}"),
    # --- for a target that knows fewer characters
    "transliterated": Rule(
        "S999",
        "Das Zielsystem {target} kennt nur {repertoire}: Für dieses werden hier {count} Zeichen nach DIN 91379 umgeschrieben.",
        "The target {target} knows {repertoire} only: for it {count} characters are rewritten here by DIN 91379.", _HINT),
    "transliterated#signs": Rule(
        "S999",
        "Das Zielsystem {target} kennt nur {repertoire}: Für dieses werden hier {count} Zeichen umgeschrieben, {usual} davon "
        "auf übliche Weise, weil DIN 91379 nichts dazu sagt.",
        "The target {target} knows {repertoire} only: for it {count} characters are rewritten here, {usual} of them in the "
        "usual way, because DIN 91379 says nothing of them.", _HINT),
    "character-not-held": Rule(
        "S999",
        "Das Zielsystem {target} kennt nur {repertoire}; für das Zeichen an Stelle {position} gibt es dort keinen Ersatz.",
        "The target {target} knows {repertoire} only; for the character at position {position} there is no substitute."),
    "transliteration-invalid": Rule(
        "S999", "Für das Zielsystem {target} umgeschrieben ist die Nachricht nicht mehr gültig: {finding}",
        "Rewritten for the target {target}, the message is not valid any more: {finding}"),
})
