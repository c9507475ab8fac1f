"""The child process in which Saxon runs; ``saxon`` owns it. Imports nothing of ours.

It has no environment of ours, stands in "/", may write no file and use little memory, and Saxon may use no protocol to reach
anything. Stylesheets come through the pipe as text, documents as our own serialisation of what was read.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import sys
from collections import OrderedDict
from typing import IO, Any, Final

LENGTH: Final = struct.Struct(">Q")
_MEMORY: Final = 1024 * 1024 * 1024
_SHEETS: Final = 128


class _Engine:
    def __init__(self) -> None:
        import saxonche

        self._error = saxonche.PySaxonApiError
        self._processor = saxonche.PySaxonProcessor(license=False)
        self._processor.set_configuration_property("http://saxon.sf.net/feature/allowedProtocols", "")
        self._processor.set_configuration_property("http://saxon.sf.net/feature/allow-external-functions", "off")
        self._compiler = self._processor.new_xslt30_processor()
        self._compiler.set_jit_compilation(False)  # else only what a document happens to need would be compiled
        self._sheets: OrderedDict[str, Any] = OrderedDict()

    def answer(self, question: dict[str, Any], view: bytes) -> dict[str, Any]:
        name, text = str(question["sheet"]), question.get("text")
        sheet = self._sheets.get(name)
        if sheet is None:
            try:
                sheet = self._compiler.compile_stylesheet(stylesheet_text=text)
            except self._error as error:
                return {"compiled": False, "why": str(error)}
            self._sheets[name] = sheet
            if len(self._sheets) > _SHEETS:
                self._sheets.popitem(last=False)
        self._sheets.move_to_end(name)
        if not view:
            return {"compiled": True}
        try:
            node = self._processor.parse_xml(xml_text=view.decode())
            said = sheet.transform_to_string(xdm_node=node)
        except self._error:  # its text may quote the document
            return {"compiled": True, "failed": True}
        return {"compiled": True, "found": [line.split(" ", 1) for line in (said or "").splitlines() if line.strip()]}


def _read(pipe: IO[bytes]) -> bytes | None:
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    size = LENGTH.unpack(head)[0]
    body = pipe.read(size)
    return body if len(body) == size else None


def _serve(deadline: float) -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the engine prints is no answer
    os.chdir("/")
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    engine = _Engine()
    while (head := _read(sys.stdin.buffer)) is not None and (view := _read(sys.stdin.buffer)) is not None:
        signal.setitimer(signal.ITIMER_REAL, 2 * deadline + 5)  # should the parent be gone, nobody else would end this
        question = json.loads(head)
        said = json.dumps(engine.answer(question, view) if question else {}).encode()
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(LENGTH.pack(len(said)) + said)
        answers.flush()


if __name__ == "__main__":
    _serve(float(sys.argv[1]))
