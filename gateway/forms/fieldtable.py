"""The field table: a TOML file in which a clerk can read which field of the form becomes which field of the message.

    "antragsteller/person/geburtsdatum" = "person/geburtsdatum"                 message field = group/field of the form
    "hund/geschlecht" = { from = "geschlecht", codes = "geschlecht" }
    "identitaet/postfach" = "@postfachHandleId"                                 @: from the form's metadata

Here is what such a file says, as values. ``gateway.forms.tablereader`` reads it, ``gateway.forms.messageplan`` checks it
against the message, ``gateway.forms.tablesheet`` makes a stylesheet of it; ``schemas/README.md`` explains every key to authors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.config.faults import Where


@dataclass(frozen=True, slots=True)
class Source:
    """A field of the form: of a group's first instance, of the metadata (group "@"), or of the instance at hand (group
    ""; field "." is the value at hand itself). Group "$" is what the gateway knows (``transform.PARAMETERS``)."""

    group: str
    field: str

    def __str__(self) -> str:
        return {"": self.field, "@": f"@{self.field}", "$": ""}.get(self.group, f"{self.group}/{self.field}")


@dataclass(frozen=True, slots=True)
class Condition:
    """source holds one of these values; given: holds anything. negated: the other way round."""

    source: Source
    values: tuple[str, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Leaf:
    """One message field and what fills it: a constant, or the first given of its sources (or all of them, joined).

    functions: ``None`` leaves the choice to the message's type. codes: name of a code list. default: text, or a parameter
    of the gateway, when nothing is given. each: once per chosen value. alone: ``False`` when it brings no element about
    unless something else does (the name that a block repeats).
    """

    to: tuple[str, ...]
    where: Where = field(repr=False)
    sources: tuple[Source, ...] = ()
    constant: str | None = None
    functions: tuple[str, ...] | None = None
    codes: str | None = None
    join: str | None = None
    default: str | Source | None = None
    when: tuple[Condition, ...] = ()
    each: bool = False
    alone: bool = True


class Over(StrEnum):
    """What a block is made once for."""

    ONCE = "once"
    INSTANCES = "instances"
    VALUES = "values"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class Block:
    """A message element with fields of its own, made once per instance, value or file. sources: group (field "") or fields."""

    to: tuple[str, ...]
    where: Where = field(repr=False)
    over: Over
    sources: tuple[Source, ...]
    entries: tuple[Entry, ...]
    when: tuple[Condition, ...] = ()


Entry = Leaf | Block


@dataclass(frozen=True, slots=True)
class CodeList:
    """otherwise: for what is not listed; "=" takes it as it is, ``None`` makes it a fault."""

    entries: Mapping[str, str]
    otherwise: str | None
    where: Where = field(repr=False)


@dataclass(frozen=True, slots=True)
class Table:
    """forms, versions: the formIds it was written for. ignore: form fields that need not arrive ("hinweise/*")."""

    where: Where = field(repr=False)
    entries: tuple[Entry, ...]
    codes: Mapping[str, CodeList]
    forms: tuple[str, ...] = ()
    versions: str = ""
    leistung: str | None = None
    root: str | None = None
    namespace: str | None = None
    unescape: bool = False
    ignore: tuple[str, ...] = ()


def every_leaf(entries: Sequence[Entry], within: tuple[Block, ...] = ()) -> Iterator[tuple[tuple[Block, ...], Leaf]]:
    """All leaves with the blocks around them, outermost first."""
    for entry in entries:
        if isinstance(entry, Block):
            yield from every_leaf(entry.entries, (*within, entry))
        else:
            yield within, entry
