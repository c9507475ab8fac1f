"""A message and its attachments as one ``multipart/form-data`` body (RFC 7578), streamed, with its length known beforehand.

The length matters: many case systems refuse a body without Content-Length. The parts are ``submission``, then one
``attachment`` each, as a portal sends them to the gateway.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

from connectors.sdk import Attachment, Envelope
from connectors.wire import Stream

_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)


def multipart(envelope: Envelope, *, document_name: str = "submission") -> tuple[str, Stream]:
    """The Content-Type and the body. Attachments are read from their source while they are sent, 1 MiB at a time.

    The stream raises ``ValueError`` where an attachment turns out shorter or longer than it said; the target then
    never sees a complete request.
    """
    boundary = f"nahtlos-{uuid4().hex}"
    heads = [_head(boundary, document_name, f"{envelope.delivery_id}.xml", "application/xml")]
    heads += [_head(boundary, "attachment", each.name, each.media_type) for each in envelope.attachments]
    end = f"--{boundary}--\r\n".encode()
    sizes = len(envelope.document) + sum(each.size for each in envelope.attachments)
    size = sizes + sum(len(head) + 2 for head in heads) + len(end)
    return (
        f"multipart/form-data; boundary={boundary}",
        Stream(lambda: _chunks(heads, envelope.document, envelope.attachments, end), size),
    )


async def _chunks(heads: Sequence[bytes], document: bytes, attachments: Sequence[Attachment], end: bytes) -> AsyncIterator[bytes]:
    yield heads[0]
    yield document
    for head, attachment in zip(heads[1:], attachments, strict=True):
        yield b"\r\n" + head
        left = attachment.size
        async for chunk in attachment.open():
            left -= len(chunk)
            if left < 0:
                raise ValueError("an attachment is longer than it said")
            yield chunk
        if left:
            raise ValueError("an attachment is shorter than it said")
    yield b"\r\n" + end


def _head(boundary: str, name: str, filename: str, media_type: str) -> bytes:
    safe = media_type if _MEDIA_TYPE.fullmatch(media_type) else "application/octet-stream"
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{_quoted(filename)}"\r\n'
        f"Content-Type: {safe}\r\n\r\n"
    ).encode()


def _quoted(filename: str) -> str:
    """As browsers write it (HTML, multipart encoding): only what would end the header or the quotes is escaped."""
    plain = "".join(sign if sign >= " " and sign != "\x7f" else f"%{ord(sign):02X}" for sign in filename)
    return plain.replace('"', "%22").encode("utf-8", "replace").decode()
