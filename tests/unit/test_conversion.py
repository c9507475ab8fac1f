"""What our own stylesheet does wrong is not the sender's fault."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.conversion import convert
from gateway.document import read
from gateway.findings import Unacceptable
from gateway.forms.transform import Sheet
from gateway.packages.package import Conversion

SHEET = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output encoding="ISO-8859-1"/><xsl:template match="/"><b>ü</b></xsl:template></xsl:stylesheet>""".encode()


async def test_a_stylesheet_that_writes_another_encoding_is_no_415() -> None:
    package = cast(Any, SimpleNamespace(id="x@1", name="x", conversion=Conversion("x@2", Sheet(SHEET), "00")))
    inspector = cast(Any, SimpleNamespace(registry=SimpleNamespace(packages={"x@1": package})))
    with pytest.raises(Unacceptable) as refused:
        await convert(inspector, read(b"<a/>"), package, "x@2", target="t", parameters={})
    assert refused.value.status == 422
    assert refused.value.findings[0].rule == "conversion-failed"
