"""What a value of a form becomes in a message: the named functions of the field table. Pure: text in, text out.

Each takes text without outer blanks, never empty, and raises ``Unfit`` with what it expected; never with the value.
Guessing is refused where money or a day hangs on it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType

from gateway.clocks import BERLIN

_STAMP = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[T ](?P<time>\d\d:\d\d(?::\d\d)?)(?:[.,]\d{1,9})?(?P<zone>Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_GERMAN_DATE = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})", re.ASCII)
_TIME = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?(?:[.,]\d{1,9})?(?: ?Uhr)?", re.ASCII)
_CURRENCY = re.compile(r"(?:\s|EUR|Euro|€|,-+$|,–$)+", re.IGNORECASE)
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'"}
_ENTITY = re.compile("|".join(_ENTITIES))
_PIECE = 4 * 256 * 1024  # characters; a multiple of four
_YES = frozenset({"true", "1", "ja", "yes", "j", "on", "wahr"})
_NO = frozenset({"false", "0", "nein", "no", "n", "off", "falsch"})


class Unfit(Exception):
    """The value is not what the function turns into something. de, en: what it expects, as the end of a sentence."""

    def __init__(self, de: str, en: str) -> None:
        super().__init__(en)
        self.de, self.en = de, en


def text(value: str) -> str:
    """As it is, without outer blanks."""
    return value.strip()


def line(value: str) -> str:
    """On one line: runs of blanks and line breaks become one blank."""
    return " ".join(value.split())


def day(value: str) -> str:
    """A calendar day: ``2015-08-09``, the older ``2015-07-08T00:00:00.000+02:00``, ``2015-08-08T22:00:00+0000`` (the same
    day in Germany) or ``9.8.2015`` → ``2015-08-09``."""
    expected = Unfit("ein Datum (JJJJ-MM-TT oder TT.MM.JJJJ)", "a date (YYYY-MM-DD or DD.MM.YYYY)")
    try:
        if german := _GERMAN_DATE.fullmatch(value):
            return date(int(german[3]), int(german[2]), int(german[1])).isoformat()
        if _STAMP.fullmatch(value):
            return _in_germany(value).date().isoformat()
        if re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            return date.fromisoformat(value).isoformat()
    except (ValueError, OverflowError):
        pass
    raise expected


def partial_day(value: str) -> str:
    """A day of which only year, or year and month, may be known: also ``1961``, ``1961-05``, ``05.1961``, ``00.00.1961``."""
    if known := re.fullmatch(r"(?:(?:00\.)?(\d\d)\.)?(\d{4})", value, re.ASCII):
        month = known[1] if known[1] not in (None, "00") else None
        if month is None:
            return known[2]
        if int(month) <= 12:
            return f"{known[2]}-{month}"
    if re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", value, re.ASCII):
        return value
    return day(value)


def clock(value: str) -> str:
    """A time of day: ``10:44:00``, ``10:44`` or the older ``1970-01-01T11:55:00.000+01:00`` → ``11:55:00``."""
    try:
        if _STAMP.fullmatch(value):
            return _in_germany(value).time().isoformat("seconds")
        if found := _TIME.fullmatch(value):
            return time(int(found[1]), int(found[2]), int(found[3] or 0)).isoformat("seconds")
    except (ValueError, OverflowError):
        pass
    raise Unfit("eine Uhrzeit (HH:MM oder HH:MM:SS)", "a time of day (HH:MM or HH:MM:SS)")


def moment(value: str) -> str:
    """Day and time with its offset; without one it is German time. Fractions of seconds go."""
    try:
        if found := _STAMP.fullmatch(value):
            stamp = datetime.fromisoformat(_iso(found))
            return (stamp if stamp.tzinfo else stamp.replace(tzinfo=BERLIN)).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        pass
    raise Unfit("Tag und Uhrzeit (JJJJ-MM-TTTHH:MM:SS)", "day and time (YYYY-MM-DDTHH:MM:SS)")


def money(value: str) -> str:
    """An amount in euros with two decimals: ``5.66``, ``1.234,56``, ``1234,5 €``, ``1.0E7`` → ``5.66`` …

    ``1.234`` is refused: nobody but the person who typed it knows whether it is a thousand. ``money_german`` reads it.
    """
    return _amount(value, german=False)


def money_german(value: str) -> str:
    """As ``money``, for text fields: a point always parts thousands, a comma the cents."""
    return _amount(value, german=True)


def number(value: str) -> str:
    """A number with decimals, comma or point: ``72,5`` → ``72.5``; as with money, ``1.234`` is refused."""
    expected = Unfit("eine Zahl (Nachkommastellen mit Komma)", "a number")
    return format(_decimal(value.replace(" ", ""), expected, german=False).normalize(), "f")


def whole(value: str) -> str:
    """A whole number: ``3``, ``+3``, ``3.0``, ``3,0`` → ``3``."""
    found = re.fullmatch(r"\+?(-?\d{1,18})(?:[.,]0{1,2})?", value, re.ASCII)
    if found is None:
        raise Unfit("eine ganze Zahl", "a whole number")
    return str(int(found[1]))


def boolean(value: str) -> str:
    """``true``, ``ja``, ``1``, … → ``true``; ``false``, ``nein``, ``0``, … → ``false``."""
    word = value.lower()
    if word in _YES or word in _NO:
        return "true" if word in _YES else "false"
    raise Unfit("ja oder nein", "yes or no")


def upper(value: str) -> str:
    return value.upper()


def lower(value: str) -> str:
    return value.lower()


def digits(value: str) -> str:
    """Only its digits: ``276 09 81…`` → ``2760981…``; letters are refused, so that nothing is lost unseen."""
    if re.search(r"[^\W\d_]", value):
        raise Unfit("nur Ziffern", "digits only")
    return re.sub(r"\D", "", value, flags=re.ASCII)


def compact(value: str) -> str:
    """Without any blanks, in capitals: IBAN, BIC, number plates of documents."""
    return "".join(value.split()).upper()


def phone(value: str) -> str:
    """A telephone number in its shortest form: ``+49 (0) 7131 / 994-0`` → ``+4971319940``. One with words in it
    ("Durchwahl 12") stays as it is."""
    if re.search(r"[^\W\d_]", value):
        return line(value)
    kept = re.sub(r"[^\d+]", "", re.sub(r"(?<=\d)\s*\(0\)", "", value), flags=re.ASCII)
    return ("+" + kept[2:]) if kept.startswith("00") else kept


def filename(value: str) -> str:
    """The last part of what some browsers send as a whole path, on one line."""
    name = line(re.split(r"[\\/]", value)[-1])
    if not name:
        raise Unfit("ein Dateiname", "a file name")
    return name


def mimetype(value: str) -> str:
    """A media type without its parameters."""
    return value.partition(";")[0].strip().lower()


def measured(value: str) -> tuple[int, str]:
    """Size in bytes and SHA-256 (hex) of what base64 text holds, line breaks allowed. A piece at a time: files are large."""
    compact = "".join(value.split()) if any(blank in value for blank in " \t\r\n") else value
    digest, size = hashlib.sha256(), 0
    try:
        if "=" in compact[:-2]:
            raise ValueError
        for start in range(0, len(compact), _PIECE):
            piece = base64.b64decode(compact[start:start + _PIECE], validate=True)
            digest.update(piece)
            size += len(piece)
    except ValueError:
        raise Unfit("eine Datei in Base64", "a file in base64") from None
    return size, digest.hexdigest()


def unescaped(value: str) -> str:
    """The five entities of XML undone, once: ``A &amp;amp; B`` → ``A &amp; B``."""
    return _ENTITY.sub(lambda found: _ENTITIES[found[0]], value)


FUNCTIONS: Mapping[str, Callable[[str], str]] = MappingProxyType({
    "text": text, "line": line, "date": day, "partial_date": partial_day, "time": clock, "datetime": moment, "money": money,
    "money_german": money_german, "number": number, "integer": whole, "boolean": boolean, "upper": upper, "lower": lower,
    "digits": digits, "iban": compact, "phone": phone, "filename": filename,
    "mimetype": mimetype, "trim": text,
})


def _in_germany(value: str) -> datetime:
    """The wall clock meant: midnight or any time with an offset is the sender's own clock, zero offset is UTC."""
    found = _STAMP.fullmatch(value)
    assert found is not None
    stamp = datetime.fromisoformat(_iso(found))
    if stamp.tzinfo is None or stamp.utcoffset() != timedelta(0):
        return stamp
    return stamp.astimezone(BERLIN)


def _iso(found: re.Match[str]) -> str:
    return f"{found['date']}T{found['time']}{found['zone'] or ''}"


def _amount(value: str, *, german: bool) -> str:
    expected = Unfit("ein Betrag in Euro (zum Beispiel 1.234,56)", "an amount in euros (1234.56)")
    amount = _decimal(_CURRENCY.sub("", value), expected, german=german)
    if amount != (cents := round(amount, 2)):
        raise Unfit("ein Betrag mit höchstens zwei Nachkommastellen", "an amount with at most two decimals")
    return f"{cents:.2f}"


def _decimal(value: str, expected: Unfit, *, german: bool) -> Decimal:
    if len(value) > 24:
        raise expected
    if re.fullmatch(r"-?\d{1,3}(\.\d{3})+,\d+|-?\d+(,\d+)?", value, re.ASCII):  # 1.234,56 · 1234,5 · 1234
        return Decimal(value.replace(".", "").replace(",", "."))
    if re.fullmatch(r"-?\d{1,3}(\.\d{3}){1,}" if german else r"-?\d{1,3}(\.\d{3}){2,}", value, re.ASCII):  # 1.234.567
        return Decimal(value.replace(".", ""))
    if not german and re.fullmatch(r"-?\d+\.(\d{1,2}|\d{4,})", value, re.ASCII):  # as the portal writes it: 5.66
        return Decimal(value)
    if not german and re.fullmatch(r"-?\d\.\d+E(\d|1[0-2])", value, re.ASCII):  # what Java makes of ten million
        return Decimal(value)
    if re.fullmatch(r"-?\d{1,3}\.\d{3}", value, re.ASCII):
        raise Unfit("eine eindeutige Zahl: ein Punkt mit drei Stellen kann Tausender oder Nachkommastellen trennen",
                    "an unambiguous number: a point before three digits may part thousands or decimals")
    raise expected
