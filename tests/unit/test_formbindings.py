"""Which Leistung a portal form is for: as the URL says, else as the first binding of the site file says that fits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import pytest

from gateway.document import Document, read
from gateway.findings import Unacceptable
from gateway.formbindings import Forms
from gateway.schemas import Leistung, Registry
from gateway.site import FormBinding
from tests.conftest import ROOT

ANY_DOG = FormBinding("service-bw", "*:Hundesteuer", "", "hundesteuer", None, False, "081210000000")
ANYTHING = FormBinding("service-bw", "*", "", "wohngeld", None, False)


@cache
def leistungen() -> Mapping[str, Leistung]:
    return Registry.load(ROOT / "schemas").leistungen


def form(form_id: str) -> Document:
    return read(f"<serviceportal><metadata><formId>{form_id}</formId></metadata></serviceportal>".encode())


def recognised(form_id: str, *bindings: FormBinding, portal: str = "service-bw", leistung: str = "") -> tuple[str, str]:
    forms = Forms(bindings, leistungen(), {})
    known = forms.recognise(portal, form(form_id), leistung=leistungen().get(leistung))
    return known.leistung.slug, known.ars


def test_the_first_binding_that_fits_counts() -> None:
    assert recognised("1:Hundesteuer:v1.0", ANY_DOG, ANYTHING) == ("hundesteuer", "081210000000")
    assert recognised("1:Hundesteuer:v1.0", ANYTHING, ANY_DOG) == ("wohngeld", "")
    assert recognised("1:Anderes:v1.0", ANY_DOG, ANYTHING) == ("wohngeld", "")


def test_what_the_url_says_goes_before_and_only_its_own_binding_adds_to_it() -> None:
    assert recognised("1:Hundesteuer:v1.0", ANYTHING, ANY_DOG, leistung="hundesteuer") == ("hundesteuer", "081210000000")
    assert recognised("1:Hundesteuer:v1.0", ANYTHING, leistung="hundesteuer") == ("hundesteuer", "")


@pytest.mark.parametrize(("form_id", "portal"), [("1:Anderes:v1.0", "service-bw"), ("1:Hundesteuer:v1.0", "amt24")])
def test_a_form_that_nobody_bound_is_refused(form_id: str, portal: str) -> None:
    with pytest.raises(Unacceptable) as refused:
        recognised(form_id, ANY_DOG, portal=portal)
    assert [finding.rule for finding in refused.value.findings] == ["form-unbound"]
