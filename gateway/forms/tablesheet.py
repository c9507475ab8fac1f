"""From the plan of a message to the stylesheet that makes it, elements in the order of the message's XSD.

The stylesheet is built as a tree, never as text; the only text that enters an XPath is a form field name (checked when
read) or a literal (``literal``), so nothing written in a table can become code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from lxml import etree

from gateway.forms.fieldtable import Block, Condition, Leaf, Over, Source
from gateway.forms.formfunctions import OURS
from gateway.forms.messageplan import Node, code_name, value_shape
from gateway.forms.messageshape import Kind, Shape
from gateway.forms.portalform import FIELDS, LIST_VALUE
from gateway.forms.transform import PARAMETERS, XSL

Fill = Callable[[etree._Element, Node], None]

_INSTANCE = (
    "*[namespace-uri() = '' and starts-with(local-name(), 'instance_') and string-length(local-name()) > 9"
    " and string-length(local-name()) < 19 and translate(substring(local-name(), 10), '0123456789', '') = '']"
)
_FUNCTION_OF = {
    Kind.TEXT: "text", Kind.LINE: "line", Kind.DATE: "date", Kind.PARTIAL_DATE: "partial_date", Kind.TIME: "time",
    Kind.DATETIME: "datetime", Kind.BOOLEAN: "boolean", Kind.MONEY: "money", Kind.NUMBER: "number", Kind.INTEGER: "integer",
    Kind.BINARY: "raw",
}


def stylesheet(root: Node, *, namespace: str) -> bytes:
    """XSLT 1.0, the same bytes for the same plan. namespace: of elements whose shape is not known."""
    return _Writer(root, namespace).bytes()


def literal(text: str) -> str:
    """An XPath expression for exactly this text. XPath 1.0 has no escape, so both kinds of quotes need ``concat``."""
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text:
        return f'"{text}"'
    return "concat(" + ", \"'\", ".join(f"'{part}'" for part in text.split("'")) + ")"


class _Writer:
    """Writes the tree as XSLT."""

    def __init__(self, root: Node, home: str) -> None:
        self._root, self._home, self._numbers = root, home, 0
        self._groups: dict[str, str] = {}
        self._prefixes: dict[str, str] = {}
        written = root.shape.prefixes if root.shape is not None else {}
        for namespace in _namespaces(root, home):
            if namespace:
                prefix = written.get(namespace, "")
                free = prefix and prefix not in {"xsl", "our", *self._prefixes.values()}
                self._prefixes.setdefault(namespace, prefix if free else f"our{len(self._prefixes)}")

    def bytes(self) -> bytes:
        nsmap = {"xsl": XSL, "our": OURS} | {prefix: namespace for namespace, prefix in self._prefixes.items()}
        sheet = etree.Element(f"{{{XSL}}}stylesheet", {"version": "1.0", "exclude-result-prefixes": "our"}, nsmap)
        etree.SubElement(sheet, f"{{{XSL}}}output", method="xml", encoding="UTF-8", indent="no")
        for name in PARAMETERS:
            etree.SubElement(sheet, f"{{{XSL}}}param", name=name)
        template = etree.SubElement(sheet, f"{{{XSL}}}template", match="/")
        body = etree.Element("body")
        self._element(body, self._root, self._root.shape, self._children)
        _variable(template, "meta", "/serviceportal/metadata")
        _variable(template, "fields", f"/{FIELDS} | /serviceportal/{FIELDS}")
        for group, name in self._groups.items():
            _variable(template, name, f"our:first($fields/{group}/*)")
        template.extend(list(body))
        return etree.tostring(sheet, encoding="UTF-8", xml_declaration=True)

    def _children(self, into: etree._Element, node: Node) -> None:
        for child in node.ordered():
            if child.blocks:
                for block, inner in child.blocks:
                    self._block(into, block, inner)
            elif child.leaves:
                self._leaves(into, child)
            else:
                self._element(_if(into, self._present(child)), child, child.shape, self._children)

    def _element(self, into: etree._Element, node: Node, shape: Shape | None, fill: Fill) -> None:
        namespace = shape.namespace if shape is not None else self._home
        element = etree.SubElement(into, f"{{{namespace}}}{node.name}" if namespace else node.name)
        for name, value in (shape.fixed if shape is not None else {}).items():
            element.set(name, value.replace("{", "{{").replace("}", "}}"))
        fill(element, node)

    def _block(self, into: etree._Element, block: Block, inner: Node) -> None:
        spot = into
        if block.over is Over.INSTANCES:
            spot = etree.SubElement(into, f"{{{XSL}}}for-each", select=f"$fields/{block.sources[0].group}/{_INSTANCE}")
            etree.SubElement(spot, f"{{{XSL}}}sort", {"select": "substring(local-name(), 10)", "data-type": "number"})
        elif block.over is Over.VALUES:
            spot = etree.SubElement(into, f"{{{XSL}}}for-each", select=_values(self._path(block.sources[0])))
        elif block.over is Over.FILES:
            files = " | ".join(self._files(source) for source in block.sources)
            spot = etree.SubElement(into, f"{{{XSL}}}for-each", select=files)
        tests = [self._condition(condition) for condition in block.when]
        if block.over is not Over.FILES and (present := self._present(inner)):
            tests.append(f"({present})")
        self._element(_if(spot, " and ".join(tests)), inner, inner.shape, self._children)

    def _leaves(self, into: etree._Element, node: Node) -> None:
        repeats = node.shape.repeats if node.shape is not None else False
        if len(node.leaves) == 1 or repeats:
            for leaf in node.leaves:
                self._leaf(into, node, leaf)
            return
        choose = etree.SubElement(into, f"{{{XSL}}}choose")
        for leaf in node.leaves:
            when = etree.SubElement(choose, f"{{{XSL}}}when", test=self._leaf_present(leaf, sure="true()"))
            self._leaf(when, node, leaf)

    def _leaf(self, into: etree._Element, node: Node, leaf: Leaf) -> None:
        spot = _if(into, " and ".join(self._condition(condition) for condition in leaf.when))
        if leaf.constant is not None:
            self._value(spot, node, text=leaf.constant)
            return
        expressions = [self._path(source) for source in leaf.sources]
        if leaf.each:
            spot = etree.SubElement(spot, f"{{{XSL}}}for-each", select=" | ".join(map(_values, expressions)))
            expressions = ["self::*"]
        if self._functions(leaf, node.shape) == ("raw",) and len(expressions) == 1:
            # A file of megabytes goes from tree to tree without passing through Python.
            self._value(_if(spot, f"{expressions[0]}/text()"), node, select=expressions[0])
            return
        if leaf.default is None:
            # Most fields of most forms are absent: asking libxslt first spares the way through Python.
            spot = _if(spot, " or ".join(expressions))
        self._numbers += 1
        name = f"v{self._numbers}"
        _variable(spot, name, self._call(leaf, node.shape, expressions))
        if leaf.default is None:
            self._value(_if(spot, f"${name} != ''"), node, select=f"${name}")
            return
        choose = etree.SubElement(spot, f"{{{XSL}}}choose")
        self._value(etree.SubElement(choose, f"{{{XSL}}}when", test=f"${name} != ''"), node, select=f"${name}")
        otherwise = etree.SubElement(choose, f"{{{XSL}}}otherwise")
        if isinstance(leaf.default, Source):
            self._value(otherwise, node, select=self._path(leaf.default))
        else:
            self._value(otherwise, node, text=leaf.default)

    def _value(self, into: etree._Element, node: Node, *, text: str | None = None, select: str | None = None) -> None:
        def write(element: etree._Element, _: Node) -> None:
            if select is not None:
                etree.SubElement(element, f"{{{XSL}}}value-of", select=select)
            else:
                etree.SubElement(element, f"{{{XSL}}}text").text = text

        code = node.shape.code if node.shape is not None else None
        if code is None:
            self._element(into, node, node.shape, write)
        else:
            inner = Node(code.name, code)
            self._element(into, node, node.shape, lambda element, _: self._element(element, inner, code, write))

    def _call(self, leaf: Leaf, shape: Shape | None, expressions: list[str]) -> str:
        if leaf.join is not None:
            value = f"our:join({literal(leaf.join)}, {', '.join(expressions)})"
        else:
            value = expressions[0] if len(expressions) == 1 else f"our:given({', '.join(expressions)})"
        for name in self._functions(leaf, shape):
            value = f"our:{name}({value})"
        target = value_shape(shape)
        known = target is not None and target.simple is not None and bool(target.simple.values)
        if leaf.codes is not None or (known and leaf.functions is None):
            value = f"our:code({value}, {literal(code_name(leaf, shape))})"
        return value

    def _functions(self, leaf: Leaf, shape: Shape | None) -> tuple[str, ...]:
        """What the table says, else what the message's type asks for; a code list reads the value as it is."""
        if leaf.functions is not None:
            return leaf.functions
        target = value_shape(shape)
        simple = target.simple if target is not None else None
        if leaf.codes is not None or (simple is not None and simple.values):
            return ()
        return (_FUNCTION_OF[simple.kind],) if simple is not None else ("text",)

    def _present(self, node: Node) -> str:
        """Whether anything from the form goes into this element. Constants alone bring no element about, unless it has
        nothing but constants; "" stands for always."""
        tests = [self._leaf_present(leaf, sure="") for leaf in node.leaves if leaf.alone]
        tests += [self._block_present(block, inner) for block, inner in node.blocks]
        tests += [self._present(child) for child in node.children.values()]
        return " or ".join(dict.fromkeys(filter(None, tests)))

    def _leaf_present(self, leaf: Leaf, *, sure: str) -> str:
        tests = [self._condition(condition) for condition in leaf.when]
        if leaf.sources:
            given = [f"normalize-space({self._path(source)})" for source in leaf.sources]
            tests.append(f"({' or '.join(given)})" if len(given) > 1 or tests else given[0])
        return " and ".join(tests) or sure

    def _block_present(self, block: Block, inner: Node) -> str:
        """Asked from outside the block: is there anything it could be made of."""
        if block.over is Over.ONCE:
            tests = [self._condition(condition) for condition in block.when]
            return " and ".join([*tests, f"({self._present(inner) or 'true()'})"])
        if block.over is Over.INSTANCES:
            return f"$fields/{block.sources[0].group}/{_INSTANCE}[normalize-space()]"
        return " or ".join(
            self._files(source) if block.over is Over.FILES else _values(self._path(source)) for source in block.sources
        )

    def _condition(self, condition: Condition) -> str:
        path = self._path(condition.source)
        if condition.values:
            wanted = {text.strip() for text in condition.values} | {_escaped(text.strip()) for text in condition.values}
            tests = " or ".join(f"normalize-space() = {literal(_as_normalized(text))}" for text in sorted(wanted))
            test = f"boolean({path}/descendant-or-self::*[not(*)][{tests}])"
        else:
            test = f"boolean(normalize-space({path}))"
        return f"not({test})" if condition.negated else test

    def _files(self, source: Source) -> str:
        """All uploads of a field, in all instances: single, or several in a list; and the form's own PDF."""
        if source.group == "@":
            return f"{self._path(source)}[text()]"
        holder = source.field if source.group == "" else f"$fields/{source.group}/{_INSTANCE}/{source.field}"
        filled = "[base64Data/text() or normalize-space(filename)]"
        return f"{holder}{filled} | {holder}/{LIST_VALUE}{filled}"

    def _path(self, source: Source) -> str:
        if source.group == "$":
            return f"${source.field}"
        if source.group == "@":
            return f"$meta/{source.field}"
        if source.group == "":
            return "self::*" if source.field == "." else source.field
        name = self._groups.setdefault(source.group, f"g{len(self._groups) + 1}")
        return f"${name}/{source.field}"


def _values(path: str) -> str:
    return f"{path}/{LIST_VALUE}[normalize-space()] | {path}[not(*)][normalize-space()]"


def _escaped(text: str) -> str:
    """As the portal's dumper writes it in lists."""
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&apos;")):
        text = text.replace(char, entity)
    return text


def _namespaces(node: Node, home: str) -> Iterable[str]:
    yield node.shape.namespace if node.shape is not None else home
    for child in node.children.values():
        yield from _namespaces(child, home)
    for _, inner in node.blocks:
        yield from _namespaces(inner, home)


def _if(into: etree._Element, test: str) -> etree._Element:
    return etree.SubElement(into, f"{{{XSL}}}if", test=test) if test else into


def _variable(into: etree._Element, name: str, select: str) -> None:
    etree.SubElement(into, f"{{{XSL}}}variable", name=name, select=select)


def _as_normalized(text: str) -> str:
    """What XPath's normalize-space() makes of it: XML's white space only, a no-break space is a character like others."""
    return " ".join(re.findall(r"[^ \t\r\n]+", text))
