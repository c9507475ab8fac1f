"""What the portal sends: every shipped sample, some of it twice, and what must come of each. Pure but for reading samples."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import cycle, zip_longest
from pathlib import Path

from gateway.demo.town import CITY, DISTRICT, NAMES, PLACES, PORTAL, TROUBLED

REPEATS = 6


class Expected(Enum):
    """What must come of a post."""

    DELIVERED = "delivered"
    HELD = "held"
    """Accepted, and kept as a dead letter: a portal form whose citizen has left."""
    REFUSED = "refused"
    SAME = "same"
    """The receipt of an earlier post again, and nothing new."""


@dataclass(frozen=True, slots=True)
class Post:
    """One thing to send. no: its place in the run. label: the sample's name. query: of the URL, with its question mark.

    key: Idempotency-Key, or ``None`` for a portal's slot that can set no header. again: number of the post that it repeats.
    """

    no: int
    leistung: str
    label: str
    body: bytes = field(repr=False)
    expected: Expected
    form: bool = False
    query: str = ""
    key: str | None = None
    again: int | None = None


def programme(schemas: Path, *, more: int = 0) -> list[Post]:
    """Everything to send, services mixed, repeats last. more: further copies of good messages, for a
    longer run."""
    by_service = [list(_of_service(schemas / "leistungen" / slug)) for slug in NAMES]
    mixed = [post for row in zip_longest(*by_service) for post in row if post is not None]
    good = [post for post in mixed if post.expected is Expected.DELIVERED and not post.form]
    plain = [post for post in good if post.leistung != TROUBLED]
    posts = [*mixed, *_mistakes(good), *(_copy(plain[n % len(plain)]) for n in range(more))]
    posts = [replace(post, no=no) for no, post in enumerate(posts)]
    return [*posts, *(replace(post, no=len(posts) + n) for n, post in enumerate(_repeats(posts)))]


def fresh(message: bytes, place: str) -> bytes:
    """The message with a number of its own, for this place: what a portal would fill in."""
    message = re.sub(rb"(nachrichtId>)[0-9a-f-]{36}", rb"\g<1>" + str(uuid.uuid4()).encode(), message)
    return re.sub(rb"([:<]ars>)\d+", rb"\g<1>" + place.encode(), message, count=1)


def _of_service(folder: Path) -> Iterator[Post]:
    """Good samples go in turn to each place that is competent; broken ones, in between, stay as they are."""
    slug = folder.name
    places = cycle(PLACES[slug])
    paths = sorted(folder.glob("samples/*.xml"))
    good, bad = ([path for path in paths if ("broken-" in path.name) is wrong] for wrong in (False, True))
    for path in (path for pair in zip_longest(good, bad) for path in pair if path is not None):
        body, form, broken = path.read_bytes(), path.name.startswith("form-"), "broken-" in path.name
        place = PLACES[slug][0] if broken else next(places)
        if form:
            bound = b"<formId>" in body and len(PLACES[slug]) == 1
            by_url = "" if bound else f"?leistung={slug}&ars={place}"
            expected = Expected.HELD if broken else Expected.DELIVERED
            yield Post(0, slug, path.name, body, expected, form=True, query=by_url)
        elif broken:
            yield Post(0, slug, path.name, body, Expected.REFUSED, key=_key())
        else:
            yield Post(0, slug, path.name, fresh(body, place), Expected.DELIVERED, key=_key())


def _mistakes(good: list[Post]) -> Iterator[Post]:
    """What goes wrong at portals besides the content: a message cut off, and one for a place that nobody serves."""
    dog = next(post for post in good if post.leistung == "hundesteuer")
    yield replace(dog, label="abgeschnitten.xml", body=dog.body[: len(dog.body) // 2], key=_key(), expected=Expected.REFUSED)
    yield replace(dog, label="falscher-ort.xml", body=fresh(dog.body, DISTRICT), key=_key(), expected=Expected.REFUSED)


def _repeats(posts: list[Post]) -> Iterator[Post]:
    """The portal did not hear the answer and sends again; once, by mistake, something else under a key that is taken."""
    good = [post for post in posts if post.expected is Expected.DELIVERED]
    for post in [*[p for p in good if not p.form][: REPEATS - 2], *[p for p in good if p.form][:2]]:
        yield replace(post, expected=Expected.SAME, again=post.no)
    first = next(post for post in good if post.key)
    yield replace(first, label="anderer-inhalt.xml", body=fresh(first.body, CITY), expected=Expected.REFUSED)


def _copy(post: Post) -> Post:
    place = re.search(rb"[:<]ars>(\d+)", post.body)
    assert place is not None
    return replace(post, body=fresh(post.body, place[1].decode()), key=_key())


def _key() -> str:
    return f"{PORTAL}-{uuid.uuid4()}"
