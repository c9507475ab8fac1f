"""deploy/compose.yaml: what the specification allows, what a container must not be able to do, and no word of a secret."""

from __future__ import annotations

import copy
import importlib.resources
import json
import os
import re
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway.settings import Settings, SettingsFaults, read
from gateway.site import load
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "gateway", "worker")


@pytest.fixture(scope="module")
def specification() -> jsonschema.protocols.Validator:
    vendored = importlib.resources.files("check_jsonschema.builtin_schemas.vendor").joinpath("compose-spec.json")
    schema = json.loads(vendored.read_text(encoding="utf-8"))
    return jsonschema.validators.validator_for(schema)(schema)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets") / "made"
    subprocess.run([str(DEPLOY / "secrets.sh"), str(folder)], check=True, capture_output=True)
    return folder


def test_it_is_what_the_specification_allows(specification: jsonschema.protocols.Validator) -> None:
    assert [error.message for error in specification.iter_errors(COMPOSE)] == []


def test_a_misspelt_key_is_noticed(specification: jsonschema.protocols.Validator) -> None:
    wrong = copy.deepcopy(COMPOSE)
    wrong["services"]["gateway"]["read_onli"] = True
    assert list(specification.iter_errors(wrong))


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_may_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"]), "root, or a name that the image decides about"
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    assert "privileged" not in service
    assert all(not str(volume).startswith(("/", ".")) for volume in service.get("volumes", ())), "a folder of this machine"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_says_whether_it_is_well(name: str) -> None:
    if name in OURS:  # the image does (HEALTHCHECK); migrate is over before anybody asks
        assert SERVICES[name].get("healthcheck", {}) == ({"disable": True} if name == "migrate" else {})
    else:
        assert {"test", "interval", "timeout", "retries"} <= set(SERVICES[name]["healthcheck"])


@pytest.mark.parametrize("name", SERVICES)
def test_images_can_be_taken_from_elsewhere_and_are_of_a_version(name: str) -> None:
    assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[\w./-]+:(?!latest)[\w.-]+\}", SERVICES[name]["image"])


def test_nothing_secret_stands_in_the_file_or_comes_by_the_environment() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            assert not re.search(r"PASS|SECRET|TOKEN|KEY", variable) or variable.endswith("_FILE"), (name, variable)
            assert not re.search(r"://[^/@]*:[^/@]*@", str(value)), f"{name}: a password in {variable}"


def test_every_secret_is_made_by_the_script_and_every_file_is_there(secrets: Path) -> None:
    for each in COMPOSE["secrets"].values():
        assert (secrets / Path(each["file"]).name).is_file(), each
    for each in COMPOSE["configs"].values():
        path = re.sub(r"\$\{\w+:-(.*)\}", r"\1", each["file"])
        assert (DEPLOY / path).is_file(), each


@pytest.mark.parametrize("kind", ["secrets", "configs", "volumes", "networks"])
def test_what_services_use_is_declared_and_what_is_declared_is_used(kind: str) -> None:
    used = set()
    for service in SERVICES.values():
        for each in service.get(kind, ()):
            used.add(each["source"] if isinstance(each, dict) else each.partition(":")[0])
    assert used == set(COMPOSE[kind])


def test_who_waits_for_whom_exists() -> None:
    for service in SERVICES.values():
        for name, condition in service.get("depends_on", {}).items():
            assert condition["condition"] in ("service_healthy", "service_completed_successfully")
            assert name in SERVICES


def test_the_script_makes_passwords_that_differ_and_never_changes_one(secrets: Path) -> None:
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    subprocess.run([str(DEPLOY / "secrets.sh"), str(secrets)], check=True, capture_output=True)
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before
    passwords = {name: text for name, text in before.items() if "password" in name}
    assert len(set(passwords.values())) == len(passwords) == 3
    assert all(len(text.strip()) >= 48 for text in passwords.values())
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert passwords["postgres_password"].strip() in before["nahtlos_journal"]
    assert passwords["nahtlos_broker_password"].strip() in before["rabbitmq_user.conf"]


def test_the_gateway_can_start_with_what_its_containers_are_given(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables and secret files of compose.yaml make settings without a fault, and no other file is read."""
    for name in list(os.environ):
        if name.startswith("NAHTLOS_"):
            monkeypatch.delenv(name)
    for service in OURS[1:]:
        with monkeypatch.context() as patch:
            for name, value in SERVICES[service]["environment"].items():
                patch.setenv(name, value)
            patch.setenv("NAHTLOS_SECRETS_DIR", str(secrets))
            patch.setenv("NAHTLOS_ROLE", SERVICES[service]["command"][-1].replace("gateway", "intake"))
            try:
                settings: Settings = read()
            except SettingsFaults as faults:
                pytest.fail(str(faults))
        assert settings.journal.get_secret_value() == (secrets / "nahtlos_journal").read_text().strip()
        assert settings.broker_password is not None
        assert set(SERVICES[service]["secrets"]) == {"nahtlos_journal", "nahtlos_broker_password"}


def test_the_example_site_is_one() -> None:
    site = load(DEPLOY / "example/nahtlos.toml")
    assert site.route("hundesteuer", "081210000000", date(2026, 1, 1))
    (target,) = site.targets.values()
    assert f"ausgang:{target.options['path']}" in SERVICES["worker"]["volumes"]
