"""Takes a multipart/form-data body apart: one part ``submission``, everything else is an attachment.

A file's name is what the sender called it and is never a path. A body whose end is missing is refused: the parser
alone would report no parts at all, and a submission would vanish.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.examination import Attachment
from gateway.http.problems import Kind, Problem
from gateway.http.upload import Limits, is_xml, refuse_charset, too_large

_MEDIA_TYPE = re.compile(rb"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\Z")
_EXTENDED = re.compile(rb"""(?i);\s*filename\*\s*=\s*utf-8'[^']*'([^\s;"]+)""")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
MAX_NAME = 255


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    field_name: str = ""
    file_name: str | None = None
    media_type: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0


class Multipart:
    """Feed it the body as it comes; ``finish`` gives the message and the attachments in the order they came."""

    def __init__(self, parameters: dict[bytes, bytes], limits: Limits) -> None:
        boundary = parameters.get(b"boundary", b"")
        if not 1 <= len(boundary) <= 70:
            raise _broken("Die Trennmarke (boundary) fehlt oder ist zu lang.", "The boundary is missing or too long.")
        self._limits = limits
        self._part = _Part()
        self._parts: list[_Part] = []
        self._ended = False
        self._name = self._value = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin, "on_part_data": self._data, "on_header_field": self._header_field,
                "on_header_value": self._header_value, "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished, "on_end": self._end,
            },
            max_header_count=8,
            max_header_size=4096,
        )
        self._parser.logger = _SILENT

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise _broken("Der Aufbau des multipart-Inhalts ist falsch.", "The multipart content is malformed.") from None

    def finish(self) -> tuple[bytes, tuple[Attachment, ...]]:
        """The bytes of the part ``submission`` and the attachments. Raises ``Problem``."""
        if not self._ended:
            raise _broken(
                "Dem multipart-Inhalt fehlt das Ende. Es wurde nichts gespeichert.",
                "The multipart content has no end. Nothing was stored.",
            )
        messages = [part for part in self._parts if part.field_name == "submission"]
        if len(messages) != 1:
            raise _broken(
                "Genau ein Teil mit dem Namen submission wird gebraucht.", "Exactly one part named submission is needed.",
            )
        files = tuple(
            Attachment(
                part.file_name if part.file_name is not None else part.field_name,
                part.media_type.decode("ascii"),
                b"".join(part.chunks),
            )
            for part in self._parts if part is not messages[0]
        )
        return b"".join(messages[0].chunks), files

    # --- the parser's callbacks, in the order they happen ---

    def _begin(self) -> None:
        if len(self._parts) == self._limits.parts:
            count = self._limits.parts
            raise Problem(
                Kind.TOO_LARGE, de=f"Höchstens {count} Teile sind erlaubt.", en=f"At most {count} parts are allowed.", close=True,
            )
        self._part = _Part()
        self._parts.append(self._part)

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        name = self._name.lower()
        if name in self._part.headers:
            raise _broken("Ein Teil hat denselben Kopf zweimal.", "A part has the same header twice.")
        self._part.headers[name] = self._value
        self._name = self._value = b""

    def _headers_finished(self) -> None:
        part = self._part
        disposition, options = parse_options_header(part.headers.get(b"content-disposition", b""))
        if disposition != b"form-data" or b"name" not in options:
            raise _broken("Einem Teil fehlt sein Name (Content-Disposition).", "A part has no name (Content-Disposition).")
        part.field_name = _text(options[b"name"])
        extended = _EXTENDED.search(part.headers[b"content-disposition"])
        if extended is not None:  # goes before the other, as in RFC 6266
            part.file_name = _text(unquote_to_bytes(extended[1]))
        elif b"filename" in options:
            part.file_name = _text(options[b"filename"])
        if part.headers.get(b"content-encoding", b"identity").lower() != b"identity" or part.headers.get(
            b"content-transfer-encoding", b"binary"
        ).lower() not in (b"binary", b"8bit", b"7bit"):
            raise Problem(
                Kind.MEDIA_TYPE,
                de="Ein Teil ist komprimiert oder umkodiert; gelesen werden nur die Bytes selbst.",
                en="A part is compressed or transfer-encoded; only plain bytes are read.",
                close=True,
            )
        media_type, parameters = parse_options_header(part.headers.get(b"content-type", b""))
        if part.field_name == "submission":
            if media_type and not is_xml(media_type):
                raise Problem(
                    Kind.MEDIA_TYPE, de="Der Teil submission muss XML sein.", en="The part submission must be XML.", close=True,
                )
            refuse_charset(parameters)
        part.media_type = media_type if _MEDIA_TYPE.match(media_type) else b"application/octet-stream"

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        part.size += end - start
        message = part.field_name == "submission"
        limit = self._limits.document if message else self._limits.attachment
        if part.size > limit:
            raise too_large(limit, part="submission" if message else "attachment")
        part.chunks.append(data[start:end])

    def _end(self) -> None:
        self._ended = True


def _text(raw: bytes) -> str:
    """A name as the sender wrote it, in UTF-8, without characters that only serve to deceive a reader."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _broken("Ein Name ist nicht in UTF-8 kodiert.", "A name is not encoded in UTF-8.") from None
    if len(text) > MAX_NAME or _CONTROL.search(text):
        raise _broken(
            f"Ein Name ist länger als {MAX_NAME} Zeichen oder enthält Steuerzeichen.",
            f"A name is longer than {MAX_NAME} characters or contains control characters.",
        )
    return text


def _broken(de: str, en: str) -> Problem:
    return Problem(Kind.BAD_REQUEST, de=de, en=en, close=True)


_SILENT = logging.getLogger("gateway.http.multipart.parser")
_SILENT.disabled = True  # its warnings quote bytes of the body
