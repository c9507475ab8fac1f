"""Which line of a field table fills which element of the message: every line checked against the message's shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.config.faults import Fault, Faults, did_you_mean
from gateway.forms.fieldtable import Block, CodeList, Entry, Leaf, Over, Source, Table
from gateway.forms.formfunctions import Codes
from gateway.forms.messageshape import Shape

# What the gateway itself writes into the head (kopf) of a message on our common basis, unless the table says otherwise.
_HEAD: Mapping[str, tuple[Source, Source | None]] = {
    "kopf/nachrichtId": (Source("$", "message_id"), None),
    "kopf/erstellt": (Source("@", "creationDate"), Source("$", "received")),
    "kopf/leistung": (Source("$", "leistung"), None),
    "kopf/ars": (Source("$", "ars"), None),
    "kopf/onlinedienst/portal": (Source("$", "portal"), None),
    "kopf/onlinedienst/formular": (Source("$", "form_id"), None),
    "kopf/onlinedienst/formularVersion": (Source("$", "version"), None),
    "kopf/testnachricht": (Source("$", "test"), None),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """root: the message to be. codes: the lists it calls. entries: those of the table and the head's."""

    root: Node
    codes: Mapping[str, Codes]
    entries: tuple[Entry, ...]


def plan(table: Table, shape: Shape | None) -> Plan:
    """Raises ``Faults``. Without a shape nothing can be checked, and the order of elements is that of the table."""
    entries = table.entries + (() if shape is None else _head(table, shape))
    root = Node(shape.name if shape else table.root or "", shape)
    planner = _Planner(table.codes)
    if not root.name:
        planner.faults.append(table.where.fault(
            "ohne XSD muss „root“ das Wurzelelement nennen", 'without an XSD "root" must name the root element'))
    planner.grow(root, entries)
    if not planner.faults:
        planner.faults += [table.where.at("fields").fault(
            f"das Pflichtfeld „{name}“ wird von keiner Zeile gefüllt", f'no line fills the required field "{name}"',
        ) for name in _never_filled(root)]
    if planner.faults:
        raise Faults(planner.faults)
    return Plan(root, planner.codes, entries)


@dataclass(slots=True)
class Node:
    """An element of the message to be: what fills it, or what stands in it."""

    name: str
    shape: Shape | None
    children: dict[str, Node] = field(default_factory=dict)
    leaves: list[Leaf] = field(default_factory=list)
    blocks: list[tuple[Block, Node]] = field(default_factory=list)

    def ordered(self) -> Iterable[Node]:
        if self.shape is None:
            return self.children.values()
        order = {name: n for n, name in enumerate(self.shape.children)}
        return sorted(self.children.values(), key=lambda node: order.get(node.name, len(order)))


class _Planner:
    """Grows the tree of a message from the lines of a table."""

    def __init__(self, lists: Mapping[str, CodeList]) -> None:
        self.lists, self.codes, self.faults = lists, dict[str, Codes](), list[Fault]()

    def grow(self, root: Node, entries: Iterable[Entry], within: tuple[str, ...] = ()) -> None:
        for entry in entries:
            node = self._reach(root, entry, within)
            if node is None:
                continue
            if node.children or (node.blocks if isinstance(entry, Leaf) else node.leaves):
                self._fault(entry, "wird an anderer Stelle schon anders gefüllt", "is filled in another way elsewhere")
            elif isinstance(entry, Block):
                if entry.over is not Over.ONCE and node.shape is not None and not self._repeats(root, entry):
                    self._fault(entry, "darf in der Nachricht nur einmal vorkommen", "may occur only once in the message")
                inner = Node(node.name, node.shape)
                self.grow(inner, entry.entries, (*within, *entry.to))
                node.blocks.append((entry, inner))
            else:
                self._leaf(node, entry)

    def _repeats(self, root: Node, block: Block) -> bool:
        """Files may also go to an element that takes one: a single upload field then fits, and two are found by the XSD."""
        shape = root.shape.at(*block.to) if root.shape else None
        return shape is None or shape.repeats or block.over is Over.FILES

    def _reach(self, root: Node, entry: Entry, within: tuple[str, ...]) -> Node | None:
        node = root
        for n, step in enumerate(entry.to):
            shape = node.shape.children.get(step) if node.shape else None
            if node.shape is not None and shape is None:
                path = "/".join((*within, *entry.to[:n + 1]))
                de, en = did_you_mean(step, node.shape.children)
                self.faults.append(entry.where.fault(
                    f"die Nachricht hat kein Feld „{path}“{de}", f'the message has no field "{path}"{en}'))
                return None
            if node.leaves or node.blocks:
                self._fault(entry, "wird an anderer Stelle schon anders gefüllt", "is filled in another way elsewhere")
                return None
            node = node.children.setdefault(step, Node(step, shape))
        return node

    def _leaf(self, node: Node, leaf: Leaf) -> None:
        target = value_shape(node.shape)
        if node.shape is not None and (target is None or target.simple is None):
            inside = ", ".join(node.shape.children)
            self._fault(leaf, f"hat selbst Felder: {inside}", f"has fields of its own: {inside}")
            return
        if leaf.each and node.shape is not None and not node.shape.repeats:
            self._fault(leaf, "darf in der Nachricht nur einmal vorkommen, „each“ geht hier nicht",
                        'may occur only once in the message, "each" is not possible here')
        known = target.simple.values if target is not None and target.simple is not None else frozenset[str]()
        for text in (leaf.constant, leaf.default if isinstance(leaf.default, str) else None):
            self._is_known(leaf, text, known)
        if leaf.codes is not None or (known and leaf.sources and leaf.functions is None):
            own = self.lists.get(leaf.codes or "")
            for text in (*own.entries.values(), own.otherwise if own.otherwise != "=" else None) if own else ():
                self._is_known(leaf, text, known)
            self.codes[code_name(leaf, node.shape)] = Codes(own.entries if own else {}, known, own.otherwise if own else None)
        node.leaves.append(leaf)

    def _is_known(self, leaf: Leaf, text: str | None, known: frozenset[str]) -> None:
        if text is not None and known and text not in known:
            de, en = did_you_mean(text, known)
            self._fault(leaf, f"„{text}“ ist kein Wert dieses Felds{de}", f'"{text}" is no value of this field{en}')

    def _fault(self, entry: Entry, de: str, en: str) -> None:
        path = "/".join(entry.to)
        self.faults.append(entry.where.fault(f"Nachrichtenfeld „{path}“ {de}", f'message field "{path}" {en}'))


def value_shape(shape: Shape | None) -> Shape | None:
    """Where the text of a field goes: into itself, or into the key of a code."""
    return shape.code or shape if shape is not None else None


def code_name(leaf: Leaf, shape: Shape | None) -> str:
    target = value_shape(shape)
    known = ",".join(sorted(target.simple.values)) if target is not None and target.simple is not None else ""
    return f"{leaf.codes or ''}|{known}"


def _head(table: Table, shape: Shape) -> tuple[Leaf, ...]:
    taken = {"/".join(entry.to) for entry in table.entries}
    return tuple(
        Leaf(tuple(name.split("/")), table.where, (source,), default=default)
        for name, (source, default) in _HEAD.items()
        if name not in taken and shape.at(*name.split("/")) is not None
    )


def _never_filled(node: Node, path: str = "") -> Iterable[str]:
    """Required fields of elements that this table makes, and that no line fills: such a message can never be valid."""
    if node.shape is None:
        return
    if node.children:
        for name, shape in node.shape.children.items():
            if shape.required and name not in node.children:
                yield f"{path}{name}"
    for child in node.children.values():
        yield from _never_filled(child, f"{path}{child.name}/")
    for _, inner in node.blocks:
        yield from _never_filled(inner, path)
