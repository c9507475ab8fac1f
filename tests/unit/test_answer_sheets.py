"""Templates of answers that are shipped, over the published examples of their standard."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.document import read
from gateway.forms.transform import Sheet
from gateway.packages.headers import FAMILIES
from tests.conftest import ROOT
from tests.unit.releases_of_xoev import compiled, messages

pytestmark = pytest.mark.corpus
TOLD = {
    "created": "2026-11-22T03:17:44.007Z", "received_on": "22.11.2026 um 04:17:44 Uhr", "reference": "M0RGAFQM5ZF",
    "product": "Nahtlos", "product_version": "0.1.0",
}
ANSWERS = {
    "Aussonderung.Anbieteverzeichnis.0501": "Aussonderung.AnbietungEmpfangBestaetigen.0504",
    "Aussonderung.Bewertungsverzeichnis.0502": "Aussonderung.BewertungEmpfangBestaetigen.0505",
}
SETS = {"xdomea-2.4.0": ANSWERS, "xdomea-3.0.0": ANSWERS | {
    "Aussonderung.Aussonderung.0503": "Aussonderung.AussonderungEmpfangBestaetigen.0507"}}
EXAMPLES = [(name, path) for name in SETS for path in messages(name)]


@pytest.mark.parametrize(("name", "path"), EXAMPLES, ids=[f"{name}-{path.stem}" for name, path in EXAMPLES])
def test_xdomea_is_acknowledged_in_the_version_and_the_process_of_the_message(name: str, path: Path) -> None:
    sheet = Sheet((ROOT / "schemas" / "mappings" / "xdomea-empfang.xslt").read_bytes())
    message = read(path.read_bytes())
    made = sheet.run(message.root, TOLD)
    assert made.findings == ()
    if message.name not in SETS[name]:
        assert made.body == b"", "nothing that the standard does not know"
        return
    answer = read(made.body)
    assert (answer.name, answer.namespace) == (SETS[name][message.name], message.namespace)
    assert compiled(name)[0].check(answer).valid
    paths = FAMILIES["D"]
    assert answer.text(paths["reference"]) == message.text(paths["reference"])
    assert answer.text("Kopf/Absender/Institution/Name") == message.text("Kopf/Empfaenger/Institution/Name")
    assert "M0RGAFQM5ZF" in (answer.text("Kopf/Hinweis") or "")
