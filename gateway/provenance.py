"""How a document says what made it (``Part.made_by``): the steps one after the other, "+" between them.

"mapping:<digest>" a message out of a portal's form · "conversion:<package>:<digest>" the same message in another version of its
standard · "characters:<repertoire>" with fewer characters. The last two are made for a target, not for everybody.
"""

from __future__ import annotations

from collections.abc import Iterable

_MAPPING, _CONVERSION, _CHARACTERS = "mapping", "conversion", "characters"


def mapping(digest: str) -> str:
    return f"{_MAPPING}:{digest}"


def conversion(to: str, digest: str) -> str:
    """to: id of the package that the result is a message of. digest: of the stylesheets, hex."""
    return f"{_CONVERSION}:{to}:{digest}"


def characters(repertoire: str) -> str:
    return f"{_CHARACTERS}:{repertoire}"


def together(steps: Iterable[str]) -> str:
    return "+".join(steps)


def is_for_a_target(made_by: str | None) -> bool:
    """Made so that one target can take it; whoever else asks for the message means the one before."""
    return (made_by or "").startswith((f"{_CONVERSION}:", f"{_CHARACTERS}:"))


def package_of(made_by: str | None) -> str | None:
    """Id of the package that a conversion led to; ``None`` where there was none."""
    for step in (made_by or "").split("+"):
        kind, _, rest = step.partition(":")
        if kind == _CONVERSION:
            return rest.rpartition(":")[0] or None
    return None
