"""The site file: what it gives, and that each mistake is told with its line and a way out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.binding import is_secret_key
from gateway.config.faults import Faults
from gateway.schemas import OnInvalid
from gateway.site import (
    Fault,
    FormBinding,
    NoRoute,
    Route,
    RouteStep,
    Site,
    SiteFaults,
    TargetConfig,
    Window,
    bind_options,
    load,
    parse,
)
from gateway.submission import Purpose

GOOD = '''site = "heilbronn"
[authority.lk-heilbronn]
ars = "081250000000"
name = "Landratsamt Heilbronn"
[portal.service-bw]
leistungen = ["*"]
on_invalid = "hold"
certificates = ["AB:CD:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:EF"]
[[form]]
portal = "service-bw"
form_id = "6000357:*Hundesteuer*"
versions = ">=1.0,<2"
leistung = "hundesteuer"
[target.sozial-hn]
connector = "rest"
authority = "lk-heilbronn"
productive = true
settle = "90s"
closed = ["Mo-Fr 22:00-05:00"]
options = { url = "https://sozial.example/api", token = "file:/run/secrets/sozial" }
[target.e-akte-hn]
connector = "folder"
authority = "lk-heilbronn"
[[route]]
leistung = "schwerbehindertenausweis"
ars = "08125"
from = 2026-01-01
to = [
  { target = "sozial-hn" },
  { target = "e-akte-hn", purpose = "copy", after = "sozial-hn" },
]
'''


def site(text: str = GOOD, path: str = "nahtlos.toml") -> Site:
    return parse(text.encode(), Path(path))


def faults_in(text: str) -> tuple[Fault, ...]:
    try:
        site(text)
    except SiteFaults as found:
        return found.faults
    return ()


def faults(text: str) -> list[tuple[int, str]]:
    with pytest.raises(SiteFaults) as caught:
        site(text)
    return [(fault.line, fault.en) for fault in caught.value.faults]


def test_targets_share_the_lane_of_their_connector_and_a_noisy_one_gets_its_own_by_one_line() -> None:
    assert {name: target.lane for name, target in site().targets.items()} == {"sozial-hn": "rest", "e-akte-hn": "folder"}
    noisy = GOOD.replace('settle = "90s"', 'settle = "90s"\nlane = "sozial"')
    assert site(noisy).targets["sozial-hn"].lane == "sozial"
    assert faults(GOOD.replace('settle = "90s"', 'lane = "so zial"')) == [(18, '"lane" does not have the allowed form')]



def fault_of(before: str, after: str) -> tuple[int, str]:
    """The one fault that this change makes."""
    assert before in GOOD
    found = faults(GOOD.replace(before, after, 1))
    assert len(found) == 1, found
    return found[0]


def test_a_good_file_gives_plain_values() -> None:
    found = site()
    assert found.name == "heilbronn"
    assert found.authorities["lk-heilbronn"].ars == "081250000000"
    assert found.portals["service-bw"].on_invalid is OnInvalid.HOLD
    assert found.portals["service-bw"].certificates == ("abcd" + "00" * 29 + "ef",)
    assert found.targets["sozial-hn"].settle == timedelta(seconds=90)
    assert found.targets["sozial-hn"].closed == (Window.parse("Mo-Fr 22:00-05:00"),)
    assert found.targets["e-akte-hn"].give_up_after == timedelta(hours=72)
    assert found.routes == (Route(
        "schwerbehindertenausweis", "08125", date(2026, 1, 1), None,
        (RouteStep("sozial-hn"), RouteStep("e-akte-hn", Purpose.COPY, "sozial-hn")), line=24,
    ),)
    assert len(found.digest) == 64


def test_a_site_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        site().targets["other"] = site().targets["sozial-hn"]  # type: ignore[index]


def test_options_never_appear_in_a_repr() -> None:
    assert "sozial.example" not in repr(site())


@pytest.mark.parametrize(("before", "after", "line", "text"), [
    ('name = "Landratsamt Heilbronn"', 'nmae = "x"\nname = "y"', 4, 'unknown key "nmae"; did you mean "name"?'),
    ("[portal.service-bw]", "[potal.x]\na = 1\n[portal.service-bw]", 5, 'unknown key "potal"; did you mean "portal"?'),
    ('site = "heilbronn"', "", 0, 'site = "name" is missing'),
    ('ars = "081250000000"', 'ars = "0812"', 3, '"0812" is not a regional key'),
    ('ars = "081250000000"', "ars = 8125", 3, '"ars" must be text in quotes'),
    ('leistungen = ["*"]', 'leistungen = ["Wohn Geld"]', 6, '"Wohn Geld" is not the short name of a service'),
    ('leistungen = ["*"]', "leistungen = []", 6, '"leistungen" must not be empty'),
    ('leistungen = ["*"]', 'in_flight = 0\nleistungen = ["*"]', 6, '"in_flight" must be ≥ 1'),
    ('on_invalid = "hold"', 'on_invalid = "keep"', 7, '"on_invalid" may only be "reject" or "hold"'),
    (":EF", ":E", 8, "not a SHA-256 fingerprint"),
    ('portal = "service-bw"', 'portal = "service-wb"', 10, 'portal "service-wb" is not entered; did you mean "service-bw"?'),
    ('versions = ">=1.0,<2"', 'versions = "~1"', 12, "not a range of versions"),
    ('leistung = "hundesteuer"', 'leistung = "hundesteuer"\nmapping = "no.toml"', 14, '"no.toml" does not exist'),
    ('connector = "rest"\n', "", 14, '"connector" is missing'),
    ('authority = "lk-heilbronn"\nproductive', 'authority = "lk"\nproductive', 16, 'authority "lk" is not entered'),
    ("productive = true", 'productive = "yes"', 17, '"productive" must be true or false'),
    ('settle = "90s"', "settle = 90", 18, "not a duration"),
    ('settle = "90s"', 'settle = "90 seconds"', 18, "not a duration"),
    ('settle = "90s"', 'concurrency = "4"', 18, '"concurrency" must be a whole number'),
    ('settle = "90s"', 'give_up_after = "0s"', 18, "a duration of nothing"),
    ("Mo-Fr 22:00-05:00", "Mo-Fr 22-05", 19, "not a maintenance window"),
    ("Mo-Fr 22:00-05:00", "Mo-So", 19, "leave no time to send"),
    ("from = 2026-01-01", 'from = "soon"', 27, '"from" must be a date'),
    ("from = 2026-01-01", "from = 2026-01-01\nuntil = 2025-01-01", 28, '"until" is before "from"'),
    ('{ target = "sozial-hn" }', '{ target = "sozial" }', 29, 'target "sozial" is not entered; did you mean "sozial-hn"?'),
    ('purpose = "copy"', 'purpos = "copy"', 30, 'unknown key "purpos"; did you mean "purpose"?'),
    ('purpose = "copy"', 'purpose = "kopie"', 30, '"to.purpose" may only be "case", "copy" or "notice"'),
    ('after = "sozial-hn"', 'after = "e-akte"', 30, '"after" names no target of this route: "e-akte"; did you mean "e-akte-hn"?'),
    ('after = "sozial-hn"', 'after = "e-akte-hn"', 28, '"after" forms a circle'),
    ('{ target = "sozial-hn" }', '{ target = "sozial-hn", purpose = "copy" }', 28, 'no target with purpose = "case"'),
    ('{ target = "sozial-hn" }', '{ target = "sozial-hn" }, { target = "sozial-hn" }', 29, '"sozial-hn" is in "to" twice'),
    ("[target.e-akte-hn]", "[target]\nx = 1\n[target.e-akte-hn]", 21, "must be [target.name]: the name is missing"),
    ("[[form]]", "[form]", 9, "must be [[form]], in double brackets"),
    ("[target.e-akte-hn]", '[authority."ü x"]\nars = "08"\nname = "x"\n[target.e-akte-hn]', 21, "is not a name"),
])
def test_a_mistake_is_told_with_its_line(before: str, after: str, line: int, text: str) -> None:
    found = faults(GOOD.replace(before, after, 1))
    assert any(text in en and at == line for at, en in found), found
    assert len(found) == 1 or "circle" not in text, found


def test_every_fault_is_told_at_once_and_in_the_order_of_the_file() -> None:
    broken = GOOD.replace("on_invalid", "on_invald").replace('"lk-heilbronn"\nproductive', '"lk"\nproductive')
    assert [line for line, _ in faults(broken.replace('"90s"', '"x"'))] == [7, 16, 18]


def test_a_broken_table_does_not_make_its_name_unknown_elsewhere() -> None:
    assert fault_of('connector = "rest"\n', "") == (14, '"connector" is missing')


@pytest.mark.parametrize("options", [
    'token = "abc"', 'clientSecret = "abc"', 'db = { password = "abc" }', 'url = "https://user:abc@host/"',
    'keys = [{ api_key = "abc" }]', 'api-key = "abc"', 'headers = { Authorization = "Bearer abc" }',
])
def test_a_secret_in_clear_is_refused_and_not_repeated(options: str) -> None:
    line, text = fault_of('url = "https://sozial.example/api", token = "file:/run/secrets/sozial"', options)
    assert line == 20
    assert "abc" not in text
    assert 'write "file:/run/secrets/…" or "env:NAME"' in text


@pytest.mark.parametrize("options", [
    'token = "env:SOZIAL_TOKEN"', 'key_header = "Idempotency-Key"', 'token_url = "https://x/token"', 'password = ""',
    'client_certificate = "/etc/nahtlos/tls/client.pem", client_key = "/etc/nahtlos/tls/client.key"',
])
def test_what_only_sounds_like_a_secret_is_none(options: str) -> None:
    assert site(GOOD.replace('token = "file:/run/secrets/sozial"', options))


def test_secret_words_are_looked_for_at_the_end_of_a_key() -> None:
    assert all(map(is_secret_key, ("apiKey", "API_KEY", "x.secret", "passwort")))
    assert not any(map(is_secret_key, ("keyId", "secretary", "key_header")))


def test_routes_that_overlap_are_refused_and_neighbours_are_not() -> None:
    again = '[[route]]\nleistung = "schwerbehindertenausweis"\nars = "08125"\n{}to = [{{ target = "sozial-hn" }}]\n'
    line, text = faults(GOOD + again.format(""))[0]
    assert (line, "line 24" in text) == (32, True)
    assert site(GOOD + again.format("until = 2025-12-31\n"))


def test_a_route_into_an_area_that_was_dissolved_is_refused() -> None:
    reform = '[[successor]]\nold = "08125"\nnew = "08199"\nfrom = 2027-01-01\n'
    line, text = faults(GOOD + reform)[0]
    assert line == 26
    assert "08125 belongs to 08199 from 2027-01-01 on (line 32)" in text
    ended = GOOD.replace("from = 2026-01-01", "from = 2026-01-01\nuntil = 2026-12-31")
    new = '[[route]]\nleistung = "schwerbehindertenausweis"\nars = "08199"\nto = [{ target = "sozial-hn" }]\n'
    found = site(ended + reform + new).route("schwerbehindertenausweis", "081250046046", date(2027, 1, 1))
    assert isinstance(found, Route)
    assert found.ars == "08199"


def test_a_route_by_ags_into_an_area_that_has_another_key_then_is_refused() -> None:
    """It would not be found any more, and the Kreis would get the cases in silence."""
    by_ags = '[[route]]\nleistung = "wohngeld"\nars = "08125047"\nto = [{ target = "sozial-hn" }]\n'
    reform = '[[successor]]\nold = "081250046047"\nnew = "081250046099"\nfrom = 2027-01-01\n'
    (_, text), = faults(GOOD + by_ags + reform)
    assert "08125047 belongs to 081250046099 from 2027-01-01 on" in text


def test_successors_of_different_length_are_refused() -> None:
    reform = '[[successor]]\nold = "081260001"\nnew = "08199"\nfrom = 2027-01-01\n'
    assert faults(GOOD + reform) == [(32, '"old" and "new" must be two different ARS of the same length')]


def test_text_that_is_no_toml_names_its_line() -> None:
    (line, text), = faults(GOOD.replace('on_invalid = "hold"', "on_invalid = hold"))
    assert line == 7
    assert "not valid TOML" in text


def test_a_file_in_another_encoding_names_its_line() -> None:
    with pytest.raises(SiteFaults) as caught:
        parse(GOOD.replace("Landratsamt", "Bürgermeisteramt").encode("latin-1"), Path("n.toml"))
    assert str(caught.value.faults[0]).startswith("n.toml:4: kein UTF-8")


def test_a_byte_order_mark_does_no_harm() -> None:
    assert parse(GOOD.encode("utf-8-sig"), Path("n.toml")).name == "heilbronn"


def test_a_missing_file_says_where_its_path_comes_from(tmp_path: Path) -> None:
    with pytest.raises(SiteFaults, match="NAHTLOS_SITE"):
        load(tmp_path / "nahtlos.toml")


def test_paths_inside_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "forms").mkdir()
    (tmp_path / "forms" / "h.toml").write_text("")
    file = tmp_path / "nahtlos.toml"
    file.write_text(GOOD.replace('leistung = "hundesteuer"', 'leistung = "hundesteuer"\nmapping = "forms/h.toml"'))
    assert load(file).forms[0].mapping == tmp_path / "forms" / "h.toml"


@given(st.text(max_size=200))
def test_any_text_gives_a_site_or_faults(text: str) -> None:
    for fault in faults_in(text):
        assert fault.de
        assert fault.en


@given(st.integers(0, len(GOOD)), st.integers(1, 12), st.sampled_from(["", '"', "[", "]", "x", "=", "\n", "1"]))
def test_any_damage_gives_a_site_or_faults_within_the_file(at: int, length: int, instead: str) -> None:
    text = GOOD[:at] + instead + GOOD[at + length:]
    for fault in faults_in(text):
        assert 0 <= fault.line <= text.count("\n") + 1


# --- form bindings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pattern", "versions", "form_id", "expected"), [
    ("6000357:*Hundesteuer*", "", "6000357:Antrag_Hundesteuer:v1.0", True),
    ("6000357:Hundesteuer", "", "6000357:Hundesteuer:v1.0", True),
    ("6000357:Hundesteuer:v1.0", "", "6000357:Hundesteuer:v1.0", True),
    ("6000357:Hundesteuer", "", "6000357:Hundesteuermarke:v1.0", False),
    ("6000357:*", "", "6000358:Hundesteuer:v1.0", False),
    ("*[x]*", "", "6000357:A[x]B:v1.0", True),
    ("*", ">=1.0,<2", "a:b:v1.9", True),
    ("*", ">=1.0,<2", "a:b:v1.10.3", True),
    ("*", ">=1.0,<2", "a:b:v2.0", False),
    ("*", ">=1.0,<2", "a:b:v0.9", False),
    ("*", ">=1.0,<2", "a:b", False),
    ("*", "==1", "a:b:v1.0", True),
    ("*", "<=1.5", "a:b:v1.10", False),
    ("*", ">1", "a:b:v1.0", False),
])
def test_a_form_is_recognised_by_pattern_and_version(pattern: str, versions: str, form_id: str, expected: bool) -> None:
    binding = FormBinding("service-bw", pattern, versions, "hundesteuer", None, False)
    assert binding.matches("service-bw", form_id) is expected
    assert not binding.matches("amt24", form_id)


# --- explanations ----------------------------------------------------------------------------------------------------


def test_an_explanation_says_where_to_and_in_which_line_that_stands() -> None:
    found = site().explain("schwerbehindertenausweis", "081250046046", date(2026, 3, 1))
    assert isinstance(found.decision, Route)
    assert "sozial-hn (Fall, Landratsamt Heilbronn)" in found.de
    assert "e-akte-hn (Kopie, Landratsamt Heilbronn, nach sozial-hn)" in found.de
    assert found.de.endswith("im Gebiet 08125, Zeile 24.")
    assert [step.ars for step in found.considered] == ["081250046046", "08125046", "081250046", "08125"]
    assert found.considered[-1].taken


def test_an_explanation_without_route_names_the_nearest() -> None:
    found = site().explain("schwerbehindertenausweis", "081260046046", date(2026, 3, 1))
    assert isinstance(found.decision, NoRoute)
    assert "Am nächsten: 08125 → sozial-hn (Zeile 24)." in found.de


def test_an_explanation_corrects_the_name_of_a_leistung() -> None:
    found = site().explain("schwerbehindertenausweiss", "08125", date(2026, 3, 1))
    assert "Gemeint ist vielleicht „schwerbehindertenausweis“." in found.de
    assert 'Perhaps you mean "schwerbehindertenausweis".' in found.en


# --- targets and options ---------------------------------------------------------------------------------------------


def test_a_target_knows_when_it_opens_again() -> None:
    target = TargetConfig("a", "rest", "lk", closed=(Window.parse("So"),))
    sunday = datetime(2026, 3, 8, 12, tzinfo=UTC)
    assert target.is_closed(sunday)
    assert target.opens_at(sunday) == datetime(2026, 3, 8, 23, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Retry:
    wait: timedelta = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Options:
    url: str
    token: str = field(default="", repr=False)
    port: int = 443
    timeout: timedelta = timedelta(seconds=30)
    paths: tuple[Path, ...] = ()
    retry: Retry = Retry()

    def __post_init__(self) -> None:
        if not self.url.startswith("https://"):
            raise ValueError(f"url muss mit https:// beginnen ({self.token}) / url must begin with https:// ({self.token})")


def test_options_become_the_connectors_own_dataclass() -> None:
    given_options = {"url": "https://x", "port": "8443", "timeout": "5s", "paths": ["/a"], "retry": {"wait": "2m"}}
    assert bind_options(Options, given_options, where="nahtlos.toml:20") == Options(
        "https://x", port=8443, timeout=timedelta(seconds=5), paths=(Path("/a"),), retry=Retry(timedelta(minutes=2)),
    )


@pytest.mark.parametrize(("options", "text"), [
    ({"url": "https://x", "tokn": "a"}, 'unknown key "tokn"; did you mean "token"?'),
    ({"url": "https://x", "retry": {"wiat": "1s"}}, 'unknown key "wiat"; did you mean "wait"?'),
    ({"url": "https://x", "retry": {"wait": "soon"}}, '"retry.wait" must be a duration'),
    ({}, '"url" is missing'),
    ({"url": "https://x", "port": "many"}, '"port" must be a whole number'),
])
def test_faults_of_options_name_the_key(options: dict[str, object], text: str) -> None:
    with pytest.raises(Faults) as caught:
        bind_options(Options, options, where="nahtlos.toml:20")
    assert [fault.en for fault in caught.value.faults] == [caught.value.faults[0].en]
    assert text in caught.value.faults[0].en
    assert str(caught.value).startswith("nahtlos.toml:20: ")


def test_faults_of_options_name_the_line_of_the_key() -> None:
    target = site(GOOD.replace('options = { url', "options = { urll")).targets["sozial-hn"]
    with pytest.raises(Faults) as caught:
        bind_options(Options, target.options, where=target.where.at("options"))
    assert [(fault.line, fault.en) for fault in caught.value.faults] == [
        (20, '"url" is missing'), (20, 'unknown key "urll"; did you mean "url"?'),
    ]


def test_a_connectors_own_check_cannot_leak_a_secret() -> None:
    with pytest.raises(Faults) as caught:
        bind_options(Options, {"url": "http://x", "token": "geheim123"}, where="x")
    assert "geheim123" not in str(caught.value)
    assert caught.value.__context__ is None
    assert "url muss mit https:// beginnen" in str(caught.value)


def test_a_connector_without_options_takes_what_is_there() -> None:
    assert bind_options(dict, {"a": 1}, where="x") == {"a": 1}
