"""The child process of ``proving``: compiles, compares, looks for weaknesses, and answers in JSON.

The second engine and the lint are imported only when the first engine is content: most bad releases end before that.
"""

from __future__ import annotations

import json
import re
import resource
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from lxml import etree

from gateway.config.faults import Fault
from gateway.document import read_again
from gateway.packages.compiled import CompiledSchema
from gateway.packages.declarations import declared_in
from gateway.packages.knowledge import CODES, FOLDER, LISTS
from gateway.packages.schemafiles import XS, Catalog, SchemaFaults, SchemaFiles, gather
from gateway.releases.probing import Probed, probe
from gateway.releases.remarks import summary
from gateway.rules import codelists
from gateway.rules.codeuse import CodeTable

if TYPE_CHECKING:
    import xmlschema

MEMORY: Final = 1024 * 1024 * 1024
_STUMBLES: Final = (RecursionError, etree.LxmlError, ValueError, KeyError, TypeError, Warning)
_UNKNOWN: Final = etree.ErrorTypes.SCHEMAV_CVC_ELT_1


def main() -> None:
    job = json.loads(sys.stdin.buffer.read())
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (job["seconds"], job["seconds"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(_no_network)
    proof = _Proof(Path(job["folder"]))
    try:
        for number, group in enumerate(job["groups"]):
            proof.schema(number, group, is_library=job["library"])
        proof.codelists(job["codelists"])
    except SchemaFaults as faults:
        proof.faults += faults.faults
    sys.stdout.write(json.dumps(proof.answer()))


def _no_network(event: str, given: tuple[Any, ...]) -> None:
    """A second wall: nothing here has a reason to reach anything but its own files."""
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "ftplib.")):
        raise PermissionError(event)
    if event == "urllib.Request" and not str(given[0]).startswith("file:///"):
        raise PermissionError(event)


class _Proof:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._knowledge = folder / FOLDER
        self._seconds: dict[str, float] = {}
        self._roots: dict[str, etree._Element] = {}
        self._names: dict[str, str] = {}
        self._elements: list[str] = []
        self._unknown: list[str] = []
        self._probed = Probed("F", {}, {}, ())
        self._table = CodeTable()
        self._lists = self._keys = 0
        self._list_faults: list[tuple[str, str]] = []
        self.faults: list[Fault] = []

    def schema(self, number: int, entry: list[str], *, is_library: bool) -> None:
        """Raises ``SchemaFaults``."""
        began = perf_counter()
        catalog = Catalog.load(self._folder / "catalog.xml", inside=self._folder)
        files, roots = gather(*(self._folder / name for name in entry), inside=self._folder, catalog=catalog)
        compiled = CompiledSchema(files, declared_in(roots))
        began = self._passed("lxml", began)
        for key, root in roots.items():
            name = self._name(files.paths[key])
            self._roots[name], self._names[name] = root, name
        second = self._second_engine(number, files)
        if second is None:
            return
        began = self._passed("xmlschema", began)
        known = {str(name): element for name, element in second.maps.elements.items()}
        ours = {name: element for name, element in known.items() if _namespace(name) == files.namespace}
        self._compare(compiled, ours, files, roots)
        if not is_library:
            messages = [element for element in ours.values() if not element.abstract]
            self._elements = sorted(str(element.local_name) for element in messages)
            from gateway.rules.learning import learn

            self._probed = probe(messages)
            self._table = learn(second)
        self._passed("compare", began)

    def _second_engine(self, number: int, files: SchemaFiles) -> xmlschema.XMLSchema10 | None:
        """xmlschema reads copies in a folder of their own and may open nothing else."""
        import xmlschema

        from gateway.checks.secondengine import compiled_from, write_texts

        scratch = self._folder / f".scratch-{number}"
        scratch.mkdir()
        try:
            write_texts(files, scratch)
            return compiled_from(scratch, files.entry, files.namespace)
        except (*_STUMBLES, xmlschema.XMLSchemaException) as error:
            place = self._place_in(f"{getattr(error, 'schema_url', '')}{error}", files)
            message = str(getattr(error, "message", "") or error).rpartition("failed: ")[2].split("\n", 1)[0]
            for key, path in files.paths.items():
                message = message.replace(key, path.name)
            self.faults.append(Fault(place, 1, f"kein gültiges Schema (zweiter Prüfer xmlschema): {message}",
                                     f"not a valid schema (second engine, xmlschema): {message}"))
            return None
        finally:
            shutil.rmtree(scratch)

    def _place_in(self, text: str, files: SchemaFiles) -> str:
        found = re.search(r"nahtlos-schema-\d+\.xsd", text)
        return self._name(files.paths[found[0] if found and found[0] in files.paths else files.entry[0]])

    def _compare(
        self, compiled: CompiledSchema, ours: Mapping[str, Any], files: SchemaFiles, roots: Mapping[str, etree._Element]
    ) -> None:
        """Every global element must be known to both. libxml2 has no list of them; it is asked one by one."""
        declared = {
            str(element.get("name")) for root in roots.values() if str(root.get("targetNamespace", "")) == files.namespace
            for element in root.iterchildren(XS + "element")
        }
        for name in sorted(declared | {str(element.local_name) for element in ours.values()}):
            prefix, space = ("m:", f' xmlns:m="{_escaped(files.namespace)}"') if files.namespace else ("", "")
            verdict = compiled.check(read_again(f"<{prefix}{name}{space}/>".encode()))
            known = not any(error.kind == _UNKNOWN for error in verdict.errors)
            if not known or not any(element.local_name == name for element in ours.values()):
                self._unknown.append(name)

    def codelists(self, names: list[str]) -> None:
        began = perf_counter()
        self._knowledge.mkdir(exist_ok=True)
        if names:
            lists, faults = codelists.prepare([self._folder / name for name in names], self._knowledge / LISTS)
            self._lists = len(lists)
            self._keys = sum(len(lists.keys(name) or ()) for name in lists)
            self._list_faults = [(f"{fault.file.name}: {fault.de}", f"{fault.file.name}: {fault.en}") for fault in faults]
            self._passed("codelists", began)

    def answer(self) -> dict[str, Any]:
        if self.faults:
            told = dict.fromkeys(self.faults)
            return {"faults": [[self._relative(fault.file), fault.line, fault.de, fault.en] for fault in told]}
        from gateway.releases.lint import lint

        began = perf_counter()
        remarks = summary(lint(self._roots, self._names))
        self._passed("lint", began)
        if self._table.types:
            said = json.dumps(self._table.to_json(), ensure_ascii=False, separators=(",", ":"))
            (self._knowledge / CODES).write_text(said, encoding="utf-8")
        return {
            "faults": [], "elements": self._elements, "unknown": self._unknown, "probed": asdict(self._probed),
            "remarks": [asdict(remark) for remark in remarks], "lists": self._lists, "keys": self._keys,
            "list_faults": self._list_faults, "places": sum(entry.code is not None for entry in self._table.types),
            "seconds": {name: round(value, 3) for name, value in self._seconds.items()},
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }

    def _passed(self, step: str, began: float) -> float:
        now = perf_counter()
        self._seconds[step] = self._seconds.get(step, 0.0) + now - began
        return now

    def _name(self, path: Path) -> str:
        return self._relative(str(path))

    def _relative(self, name: str) -> str:
        return name.removeprefix(str(self._folder.resolve()) + "/").removeprefix("release/")


def _namespace(name: str) -> str:
    return name[1:].partition("}")[0] if name.startswith("{") else ""


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


if __name__ == "__main__":
    main()
