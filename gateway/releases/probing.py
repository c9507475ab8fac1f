"""Which header family the messages of a schema belong to, seen from what the schema declares and not from examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway.packages.headers import FAMILIES, VERSION_AT


@dataclass(frozen=True, slots=True)
class Probed:
    """family: of most messages. header: what the manifest has to say beyond the family's table, because messages of several
    families stand side by side. lines: what can be read, field → path. without: messages that have no header at all.
    version: that the schema fixes for the header, where the namespace does not tell it."""

    family: str
    header: dict[str, str]
    lines: dict[str, str]
    without: tuple[str, ...]
    version: str | None = None


def probe(elements: Iterable[Any]) -> Probed:
    """elements: the messages, as xmlschema has compiled them."""
    by_family: dict[str, list[Any]] = {}
    for element in elements:
        by_family.setdefault(_family_of(element), []).append(element)
    counted = Counter({family: len(some) for family, some in by_family.items() if family != "F"})
    order = [family for family, _ in counted.most_common()]
    without = tuple(sorted(str(element.local_name) for element in by_family.get("F", ())))
    if not order:
        return Probed("F", {}, {}, ())
    lines: dict[str, list[str]] = {}
    for family in order:
        for field, path in FAMILIES[family].items():
            kept = [one for one in path.split("|") if any(_has(element, one.split("+")[-1]) for element in by_family[family])]
            lines.setdefault(field, []).extend(one for one in kept if one not in lines.get(field, ()))
    said = {field: "|".join(paths) for field, paths in lines.items() if paths}
    return Probed(order[0], said if len(order) > 1 else {}, said, without, _fixed(by_family[order[0]], VERSION_AT.get(order[0])))


def _family_of(element: Any) -> str:
    for child in _children(element):
        if child.local_name == "nachrichtenkopf.g2g":
            return "B" if str(child.name).startswith("{") else "A"
        if child.local_name == "nachrichtenkopf":
            return "E" if _has(child, "eigeneNachrichtenID") or _has(child, "@xjustizVersion") else "C"
        if child.local_name == "Kopf" and _has(child, "ProzessID"):
            return "D"
    return "F"


def _has(element: Any, path: str) -> bool:
    step, _, rest = path.partition("/")
    if step.startswith("@"):
        return any(str(name).rpartition("}")[2] == step[1:] for name in element.attributes if name is not None)
    return any(not rest or _has(child, rest) for child in _children(element) if step in ("*", child.local_name))


def _children(element: Any) -> list[Any]:
    content: Any = getattr(element.type, "content", None)
    if not hasattr(content, "iter_elements"):
        return []
    return [child for child in content.iter_elements() if getattr(child, "local_name", None)]


def _fixed(elements: Iterable[Any], path: str | None) -> str | None:
    """What the schema fixes an attribute of the header to."""
    if path is None:
        return None
    *steps, attribute = path.split("/")
    for at in elements:
        for step in steps:
            at = next((child for child in _children(at) if child.local_name == step), None)
            if at is None:
                break
        else:
            declared = at.attributes.get(attribute[1:])
            if declared is not None and declared.fixed:
                return str(declared.fixed)
    return None
