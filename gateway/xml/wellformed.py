"""Why a text is not XML, said without quoting it.

libxml2's own messages repeat names and values of the document; only the kind of error, line and column are taken over.
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from gateway.findings import Finding
from gateway.vocabulary import say

_KINDS = etree.ErrorTypes

_REASONS: Final[dict[int, tuple[str, str]]] = {
    _KINDS.ERR_DOCUMENT_EMPTY: ("es beginnt nicht mit einem Element", "it does not begin with an element"),
    _KINDS.ERR_DOCUMENT_END: ("nach dem Ende des Dokuments folgt noch etwas", "something follows after its end"),
    _KINDS.ERR_TAG_NAME_MISMATCH: ("ein Element wird anders geschlossen, als es geöffnet wurde",
                                   "an element is closed by another name than it was opened"),
    _KINDS.ERR_TAG_NOT_FINISHED: ("es bricht vor dem Ende ab", "it breaks off before its end"),
    _KINDS.ERR_GT_REQUIRED: ("ein Element ist nicht mit > abgeschlossen", "a tag is not closed with >"),
    _KINDS.ERR_LT_REQUIRED: ("ein Element ist nicht mit < begonnen", "a tag is not opened with <"),
    _KINDS.ERR_LTSLASH_REQUIRED: ("ein Element ist nicht geschlossen", "an element is not closed"),
    _KINDS.ERR_NAME_REQUIRED: ("nach < oder & fehlt ein Name", "a name is missing after < or &"),
    _KINDS.ERR_ENTITYREF_SEMICOL_MISSING: ("nach & fehlt das Semikolon; ein & im Text wird als &amp; geschrieben",
                                           "the semicolon after & is missing; write & in text as &amp;"),
    _KINDS.ERR_UNDECLARED_ENTITY: ("es verwendet eine unbekannte Entität; erlaubt sind amp, lt, gt, quot und apos",
                                   "it uses an unknown entity; allowed are amp, lt, gt, quot and apos"),
    _KINDS.ERR_INVALID_CHAR: ("es enthält ein Zeichen, das in XML verboten ist", "it has a character forbidden in XML"),
    _KINDS.ERR_INVALID_CHARREF: ("es enthält einen unzulässigen Zeichenverweis", "it has a forbidden character reference"),
    _KINDS.ERR_ATTRIBUTE_REDEFINED: ("ein Attribut steht zweimal am selben Element",
                                     "an attribute stands twice on one element"),
    _KINDS.NS_ERR_ATTRIBUTE_REDEFINED: ("ein Attribut steht zweimal am selben Element",
                                        "an attribute stands twice on one element"),
    _KINDS.ERR_ATTRIBUTE_NOT_STARTED: ("ein Attributwert steht nicht in Anführungszeichen",
                                       "an attribute's value is not in quotes"),
    _KINDS.ERR_ATTRIBUTE_NOT_FINISHED: ("ein Attributwert ist nicht abgeschlossen", "an attribute's value is not closed"),
    _KINDS.ERR_ATTRIBUTE_WITHOUT_VALUE: ("ein Attribut hat keinen Wert", "an attribute has no value"),
    _KINDS.ERR_LT_IN_ATTRIBUTE: ("ein Attributwert enthält <", "an attribute's value contains <"),
    _KINDS.ERR_SPACE_REQUIRED: ("zwischen Attributen fehlt ein Leerzeichen", "a space between attributes is missing"),
    _KINDS.ERR_RESERVED_XML_NAME: ("vor der XML-Deklaration steht etwas", "something stands before the XML declaration"),
    _KINDS.ERR_COMMENT_NOT_FINISHED: ("ein Kommentar ist nicht abgeschlossen", "a comment is not closed"),
    _KINDS.ERR_CDATA_NOT_FINISHED: ("ein CDATA-Abschnitt ist nicht abgeschlossen", "a CDATA section is not closed"),
    _KINDS.NS_ERR_UNDEFINED_NAMESPACE: ("ein Namensraum-Präfix ist nicht vereinbart", "a namespace prefix is not declared"),
    _KINDS.NS_ERR_XML_NAMESPACE: ("ein Namensraum ist falsch vereinbart", "a namespace is declared wrongly"),
    _KINDS.NS_ERR_QNAME: ("ein Name enthält mehr als einen Doppelpunkt", "a name has more than one colon"),
}

_ENCODING: Final = frozenset({_KINDS.ERR_INVALID_ENCODING, _KINDS.ERR_UNKNOWN_ENCODING, _KINDS.ERR_UNSUPPORTED_ENCODING})


def syntax_fault(error: etree.XMLSyntaxError) -> Finding:
    """What libxml2 objects to, in our words."""
    line, column = (position or None for position in error.position)
    kind = int(getattr(error, "code", 0))
    if kind in _ENCODING:
        return say("not-utf-8", line=line, column=column)
    why = _REASONS.get(kind, ("ihre Schreibweise verletzt hier die Regeln von XML", "its syntax breaks the rules of XML here"))
    return say("not-well-formed", {"why": why}, line=line, column=column)
