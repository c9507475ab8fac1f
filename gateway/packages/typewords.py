"""The built-in types of XML Schema in words of the office."""

from __future__ import annotations

from typing import Final

_WHOLE: Final = ("eine ganze Zahl", "a whole number")

WORDS: Final[dict[str, tuple[str, str]]] = {
    "date": ("ein Datum der Form JJJJ-MM-TT", "a date of the form YYYY-MM-DD"),
    "dateTime": ("ein Zeitpunkt der Form JJJJ-MM-TTThh:mm:ss", "a date and time of the form YYYY-MM-DDThh:mm:ss"),
    "time": ("eine Uhrzeit der Form hh:mm:ss", "a time of the form hh:mm:ss"),
    "gYear": ("ein Jahr der Form JJJJ", "a year of the form YYYY"),
    "gYearMonth": ("ein Monat der Form JJJJ-MM", "a month of the form YYYY-MM"),
    "gMonthDay": ("ein Tag der Form --MM-TT", "a day of the form --MM-DD"),
    "gMonth": ("ein Monat der Form --MM", "a month of the form --MM"),
    "gDay": ("ein Tag der Form ---TT", "a day of the form ---DD"),
    "duration": ("eine Dauer, zum Beispiel P1Y6M", "a duration, for example P1Y6M"),
    "boolean": ("true oder false", "true or false"),
    "decimal": ("eine Zahl mit Punkt vor den Nachkommastellen", "a number with a point before its decimals"),
    "double": ("eine Zahl", "a number"),
    "float": ("eine Zahl", "a number"),
    "integer": _WHOLE,
    "int": _WHOLE,
    "long": _WHOLE,
    "short": _WHOLE,
    "byte": _WHOLE,
    "nonNegativeInteger": ("eine ganze Zahl ab 0", "a whole number from 0"),
    "unsignedLong": ("eine ganze Zahl ab 0", "a whole number from 0"),
    "unsignedInt": ("eine ganze Zahl ab 0", "a whole number from 0"),
    "unsignedShort": ("eine ganze Zahl ab 0", "a whole number from 0"),
    "unsignedByte": ("eine ganze Zahl von 0 bis 255", "a whole number from 0 to 255"),
    "positiveInteger": ("eine ganze Zahl ab 1", "a whole number from 1"),
    "nonPositiveInteger": ("eine ganze Zahl bis 0", "a whole number up to 0"),
    "negativeInteger": ("eine ganze Zahl unter 0", "a whole number below 0"),
    "anyURI": ("eine Adresse (URI)", "an address (URI)"),
    "language": ("ein Sprachkürzel, zum Beispiel de", "a language code, for example de"),
    "base64Binary": ("eine gültige Base64-Kodierung", "valid base64"),
    "hexBinary": ("eine gültige Hexadezimal-Kodierung", "valid hexadecimal"),
    "ID": ("eine eindeutige Kennung", "a unique identifier"),
    "IDREF": ("ein Verweis auf eine Kennung", "a reference to an identifier"),
    "IDREFS": ("eine Liste von Verweisen auf Kennungen", "a list of references to identifiers"),
    "NCName": ("ein einfacher Name ohne Doppelpunkt", "a simple name without colon"),
    "Name": ("ein Name", "a name"),
    "NMTOKEN": ("eine Kennung ohne Leerzeichen", "a token without spaces"),
    "QName": ("ein Name mit vereinbartem Präfix", "a name with a declared prefix"),
}
