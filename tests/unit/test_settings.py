"""Settings from the environment, and secrets that others must not be able to read."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.config.secretfiles import SecretMissing, read_secret_file, resolve_options, resolve_secret
from gateway.settings import DiskReserve, Role, Settings, SettingsFaults, read, without_password


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("NAHTLOS_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refused(**environment: str) -> list[str]:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SettingsFaults) as caught:
        for name, value in environment.items():
            patch.setenv(name, value)
        read()
    return [fault.en for fault in caught.value.faults]


def settings(**environment: str) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return read()


def test_without_any_variable_everything_is_embedded_and_local(tmp_path: Path) -> None:
    found = settings(NAHTLOS_STATE=str(tmp_path / "state"))
    assert found.journal.get_secret_value() == f"sqlite:///{tmp_path / 'state' / 'journal.db'}"
    assert found.broker.get_secret_value() == "embedded"
    assert (found.host, found.port, found.max_body) == ("127.0.0.1", 8400, 16 << 20)
    assert found.keys == tmp_path / "state" / "keys"
    assert found.header_timeout == timedelta(seconds=10)


def test_values_are_written_as_people_write_them() -> None:
    found = settings(
        NAHTLOS_MAX_BODY="8MiB", NAHTLOS_DRAIN="1m", NAHTLOS_TRUSTED_PROXIES="10.0.0.0/8, ::1/128", NAHTLOS_SCHEMAS="/usr,/etc",
        NAHTLOS_DISK_RESERVE="5GiB", NAHTLOS_LOG_LEVEL="debug",
    )
    assert (found.max_body, found.drain) == (8 << 20, timedelta(minutes=1))
    assert found.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert found.schemas == (Path("/usr"), Path("/etc"))
    assert found.disk_reserve == DiskReserve(size=5 << 30)
    assert found.log_level == "DEBUG"


def test_a_reserve_is_a_share_or_a_size() -> None:
    assert DiskReserve(share=0.1).of(1000) == 100
    assert DiskReserve(size=300).of(1000) == 300


def test_a_misspelt_variable_is_a_fault_and_not_silence() -> None:
    assert refused(NAHTLOS_JORNAL="sqlite:///x") == ['unknown variable NAHTLOS_JORNAL; did you mean "NAHTLOS_JOURNAL"?']


def test_every_wrong_value_is_named_at_once_and_not_repeated() -> None:
    names = ["NAHTLOS_DISK_RESERVE", "NAHTLOS_DRAIN", "NAHTLOS_LOG_LEVEL", "NAHTLOS_PORT", "NAHTLOS_TRUSTED_PROXIES"]
    found = refused(**dict.fromkeys(names, "geheim"))
    assert [fault.split('"')[1] for fault in found] == names
    assert "geheim" not in " ".join(found)


@pytest.mark.parametrize(("environment", "text"), [
    ({"NAHTLOS_ROLE": "worker"}, "NAHTLOS_ROLE=intake or worker needs PostgreSQL"),
    ({"NAHTLOS_BROKER": "amqp://x"}, "NAHTLOS_BROKER=amqp needs PostgreSQL"),
    ({"NAHTLOS_BROKER": "kafka://x"}, "NAHTLOS_BROKER is embedded, amqp://"),
    ({"NAHTLOS_JOURNAL": "mysql://x"}, "NAHTLOS_JOURNAL is sqlite:///path or postgresql://"),
    ({"NAHTLOS_TLS_CERT": "c.pem"}, "NAHTLOS_TLS_CERT and NAHTLOS_TLS_KEY belong together"),
    ({"NAHTLOS_BROKER_CA": "ca.pem"}, "NAHTLOS_BROKER_CA, _CERT and _KEY need NAHTLOS_BROKER=amqps://"),
    ({"NAHTLOS_BROKER_CERT": "c.pem"}, "NAHTLOS_BROKER_CERT and NAHTLOS_BROKER_KEY belong together"),
    ({"NAHTLOS_MAX_REQUEST": "1MiB"}, "NAHTLOS_MAX_REQUEST must hold NAHTLOS_MAX_BODY"),
    ({"NAHTLOS_IN_FLIGHT_BYTES": "1MiB"}, "NAHTLOS_IN_FLIGHT_BYTES must hold NAHTLOS_MAX_REQUEST"),
    ({"NAHTLOS_SECRETS_DIR": "/no/such"}, "NAHTLOS_SECRETS_DIR: /no/such is not a directory"),
])
def test_what_does_not_go_together_is_refused(environment: dict[str, str], text: str) -> None:
    assert any(text in fault for fault in refused(**environment))


def test_several_processes_need_postgresql_and_may_then_take_roles() -> None:
    found = settings(NAHTLOS_ROLE="worker", NAHTLOS_JOURNAL="postgresql://u:p@db/n", NAHTLOS_BROKER="amqps://u:p@mq/")
    assert found.role is Role.WORKER


def test_passwords_never_appear_in_a_repr() -> None:
    found = settings(NAHTLOS_JOURNAL="postgresql://user:geheim@db/nahtlos", NAHTLOS_BROKER="amqp://user:geheim@mq/v")
    assert "geheim" not in repr(found) + str(found)
    assert without_password(found.journal) == "postgresql://db/nahtlos"
    assert without_password(found.broker) == "amqp://mq/v"


def test_a_value_may_stand_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "journal"
    secret.write_text("postgresql://u:geheim@db/n\n")
    secret.chmod(0o600)
    assert settings(NAHTLOS_JOURNAL_FILE=str(secret)).journal.get_secret_value() == "postgresql://u:geheim@db/n"


def test_a_value_and_its_file_contradict_each_other(tmp_path: Path) -> None:
    secret = tmp_path / "journal"
    secret.write_text("postgresql://db/n")
    secret.chmod(0o600)
    found = refused(NAHTLOS_JOURNAL_FILE=str(secret), NAHTLOS_JOURNAL="postgresql://db/m")
    assert found == ["NAHTLOS_JOURNAL and NAHTLOS_JOURNAL_FILE are both set; one will do"]


def test_a_directory_of_secrets_is_read(tmp_path: Path) -> None:
    (tmp_path / "nahtlos_journal").write_text("postgresql://u:p@db/n")
    assert settings(NAHTLOS_SECRETS_DIR=str(tmp_path)).journal.get_secret_value() == "postgresql://u:p@db/n"
    assert settings(CREDENTIALS_DIRECTORY=str(tmp_path)).journal.get_secret_value() == "postgresql://u:p@db/n"


def open_to_all(directory: Path) -> None:
    while directory != directory.parent and directory.owner() and directory.stat().st_mode & 0o001 == 0:
        directory.chmod(directory.stat().st_mode | 0o001)
        directory = directory.parent


def test_a_secret_that_everybody_can_read_is_refused_with_the_cure(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("geheim")
    secret.chmod(0o644)
    open_to_all(tmp_path)
    with pytest.raises(SecretMissing, match="chmod o-rwx") as caught:
        resolve_secret(f"file:{secret}")
    assert "geheim" not in str(caught.value)
    assert any("readable by everyone" in fault for fault in refused(NAHTLOS_JOURNAL_FILE=str(secret)))


def test_a_secret_behind_a_closed_directory_is_safe_whatever_its_own_mode(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "token").write_text("geheim")
    (closed / "token").chmod(0o644)
    open_to_all(tmp_path)
    assert resolve_secret(f"file:{closed / 'token'}").get_secret_value() == "geheim"


def test_a_mounted_directory_of_secrets_is_trusted_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("geheim")
    (tmp_path / "token").chmod(0o644)
    open_to_all(tmp_path)
    assert read_secret_file(tmp_path / "token", mounted=tmp_path).get_secret_value() == "geheim"


@pytest.mark.parametrize("whose", ["TLS", "BROKER"])
def test_a_tls_key_that_everybody_can_read_is_refused(tmp_path: Path, whose: str) -> None:
    for name in ("key.pem", "cert.pem"):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o644)
    open_to_all(tmp_path)
    found = refused(**{
        f"NAHTLOS_{whose}_CERT": str(tmp_path / "cert.pem"), f"NAHTLOS_{whose}_KEY": str(tmp_path / "key.pem"),
        "NAHTLOS_JOURNAL": "postgresql://db/n", "NAHTLOS_BROKER": "amqps://mq/",
    })  # fmt: skip
    assert any("key.pem is readable by everyone" in fault for fault in found)


@pytest.mark.parametrize("reference", ["env:NAHTLOS_TEST_NOT_SET", "file:/no/such/file", "geheim", "env:", "file:"])
def test_a_secret_that_cannot_be_had_says_so_without_repeating_itself(reference: str) -> None:
    with pytest.raises(SecretMissing) as caught:
        resolve_secret(reference)
    assert caught.value.de
    assert "geheim" not in str(caught.value)


def test_an_empty_secret_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(SecretMissing, match="is empty"):
        resolve_secret(f"file:{tmp_path / 'token'}")


def test_references_are_replaced_at_every_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOZIAL_TOKEN", "geheim")
    given = {"url": "https://x", "token": "env:SOZIAL_TOKEN", "more": {"list": [{"key": "env:SOZIAL_TOKEN"}, 3]}}
    assert resolve_options(given) == {"url": "https://x", "token": "geheim", "more": {"list": [{"key": "geheim"}, 3]}}


def test_a_resolved_secret_is_masked() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOZIAL_TOKEN", "geheim")
        assert "geheim" not in repr(resolve_secret("env:SOZIAL_TOKEN"))


def test_a_folder_of_packages_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    assert refused(NAHTLOS_SCHEMAS=f"{tmp_path},/nix/da") == ["NAHTLOS_SCHEMAS: /nix/da is not a directory"]
