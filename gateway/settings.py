"""Where things are: ``NAHTLOS_*`` in the environment, ``NAHTLOS_*_FILE``, or a directory of secrets. No file of its own.

``read()`` gives the settings, or every fault at once; a misspelt variable is a fault and not silence.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BeforeValidator, ByteSize, Field, SecretStr, TypeAdapter, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

from gateway.config.binding import PositiveDuration
from gateway.config.faults import Fault, Faults, Where, did_you_mean, translated
from gateway.config.secretfiles import SecretMissing, read_secret_file, refuse_readable_by_others, resolve_options, resolve_secret

__all__ = [
    "DiskReserve", "LogFormat", "Role", "SecretMissing", "Settings", "SettingsFaults", "read", "resolve_options",
    "resolve_secret", "without_password",
]

PREFIX = "NAHTLOS_"

# Read elsewhere, so that they are not taken for misspelt: by the command line as a client, and by the tests.
_ALSO_KNOWN = ("NAHTLOS_SECRETS_DIR", "NAHTLOS_URL", "NAHTLOS_KEY", "NAHTLOS_KEY_FILE")
_PLACE = Where("environment")


class SettingsFaults(Faults):
    """The gateway cannot start like this; every fault names its variable."""


class Role(StrEnum):
    """What this process does; anything but ALL needs PostgreSQL."""

    ALL = "all"
    INTAKE = "intake"
    WORKER = "worker"


class LogFormat(StrEnum):
    """AUTO: for people on a terminal, JSON everywhere else."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class DiskReserve:
    """Space that must stay free: a share of the volume (0.1 = a tenth), or a number of bytes."""

    share: float = 0.0
    size: int = 0

    def of(self, total: int) -> int:
        """Bytes that must stay free on a volume of ``total`` bytes."""
        return max(self.size, int(total * self.share))


def _reserve(text: object) -> object:
    if not isinstance(text, str):
        return text
    if found := re.fullmatch(r"\s*(\d{1,2}(?:\.\d+)?)\s*%\s*", text):
        return DiskReserve(share=float(found[1]) / 100)
    try:
        return DiskReserve(size=TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        raise ValueError("erwartet wird „10%“ oder „5GiB“ / expected is 10% or 5GiB") from None


def _listed(text: Any) -> Any:
    return [part.strip() for part in text.split(",") if part.strip()] if isinstance(text, str) else text


def _networks(text: object) -> object:
    try:
        return tuple(ip_network(part) for part in _listed(text)) if isinstance(text, str) else text
    except ValueError:
        raise ValueError("erwartet werden Netze wie 10.0.0.0/8 / expected are networks such as 10.0.0.0/8") from None


def _state_directory() -> Path:
    """Where a packaged service keeps its state, else beside the person who tries it out."""
    installed = Path("/var/lib/nahtlos")
    return installed if os.access(installed, os.W_OK) else Path("state")


class Settings(BaseSettings):
    """Every variable, its default and its unit. Sizes as "16MiB", times as "10s", lists divided by commas.

    journal: ``sqlite:///path`` or ``postgresql://…``; broker: ``embedded`` or ``amqp(s)://…``; both may hold a password
    and are masked. broker_password: goes before the one in the address. broker_ca: who vouches for it, by default whom this
    machine trusts; broker_cert, broker_key: what we show it; broker_prefix: of the names of its queues, so that several
    sites can share one broker. journal_password: as broker_password. migrate: bring the tables up to date at start; by
    default on SQLite only, where nobody else works on them. state: all that must survive; keys: site keys, inside it by
    default; lost_keys: file names of those that were needed and are given up for good. schemas: further folders with
    packages; connectors: folder with connectors of your own. trusted_proxies: networks whose ``Client-Cert`` is
    believed. max_body: the message; max_attachment: each file;
    max_request: everything together.
    body_min_rate: bytes per second, below which a body counts as stalled. in_flight_bytes: of all requests at once.
    commit_wait: oldest waiting commit above which intake says 503. drain: longest graceful stop.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, env_ignore_empty=True,
    )

    site: Path = Path("nahtlos.toml")
    state: Path = Field(default_factory=_state_directory)
    keys: Path = Path()
    lost_keys: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    journal: SecretStr = SecretStr("")
    journal_password: SecretStr | None = None
    migrate: bool | None = None
    broker: SecretStr = SecretStr("embedded")
    broker_password: SecretStr | None = None
    broker_ca: Path | None = None
    broker_cert: Path | None = None
    broker_key: Path | None = None
    broker_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")] = "nahtlos"
    role: Role = Role.ALL
    instance: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    schemas: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_listed)] = ()
    connectors: Path = Path()

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8400
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)] = ()

    max_body: Annotated[ByteSize, Field(gt=0)] = ByteSize(16 << 20)
    max_attachment: Annotated[ByteSize, Field(gt=0)] = ByteSize(64 << 20)
    max_request: Annotated[ByteSize, Field(gt=0)] = ByteSize(128 << 20)
    header_timeout: PositiveDuration = timedelta(seconds=10)
    body_idle_timeout: PositiveDuration = timedelta(seconds=15)
    body_min_rate: ByteSize = ByteSize(1024)
    in_flight_bytes: Annotated[ByteSize, Field(gt=0)] = ByteSize(512 << 20)
    commit_wait: PositiveDuration = timedelta(seconds=2)
    disk_reserve: Annotated[DiskReserve, NoDecode, BeforeValidator(_reserve)] = DiskReserve(share=0.1)
    drain: PositiveDuration = timedelta(seconds=10)
    threads: Annotated[int, Field(ge=1, le=64)] = min(8, (os.cpu_count() or 1) + 1)

    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$"), BeforeValidator(lambda v: str(v).upper())] = "INFO"
    log_format: LogFormat = LogFormat.AUTO

    @property
    def control_socket(self) -> Path:
        """Where the command line talks to the process that holds a SQLite journal (mode 0600)."""
        return self.state / "control.sock"

    @model_validator(mode="before")
    @classmethod
    def _inside_state(cls, values: dict[str, Any]) -> dict[str, Any]:
        state = Path(values.get("state") or _state_directory()).absolute()
        return {
            "journal": f"sqlite:///{state / 'journal.db'}", "keys": state / "keys", "connectors": state / "connectors",
        } | values | {"state": state}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        sqlite, embedded = _scheme(self.journal) == "sqlite", self.broker.get_secret_value() == "embedded"
        rules = {
            "NAHTLOS_TLS_CERT und NAHTLOS_TLS_KEY gehören zusammen / NAHTLOS_TLS_CERT and NAHTLOS_TLS_KEY belong together":
                (self.tls_cert is None) == (self.tls_key is None),
            "NAHTLOS_TLS_CLIENT_CA braucht NAHTLOS_TLS_CERT / NAHTLOS_TLS_CLIENT_CA needs NAHTLOS_TLS_CERT":
                self.tls_client_ca is None or self.tls_cert is not None,
            "NAHTLOS_MAX_REQUEST muss NAHTLOS_MAX_BODY und NAHTLOS_MAX_ATTACHMENT fassen "
            "/ NAHTLOS_MAX_REQUEST must hold NAHTLOS_MAX_BODY and NAHTLOS_MAX_ATTACHMENT":
                self.max_request >= max(self.max_body, self.max_attachment),
            "NAHTLOS_IN_FLIGHT_BYTES muss NAHTLOS_MAX_REQUEST fassen / NAHTLOS_IN_FLIGHT_BYTES must hold NAHTLOS_MAX_REQUEST":
                self.in_flight_bytes >= self.max_request,
            "NAHTLOS_JOURNAL ist sqlite:///pfad oder postgresql://… / NAHTLOS_JOURNAL is sqlite:///path or postgresql://…":
                sqlite or _scheme(self.journal) == "postgresql",
            "NAHTLOS_BROKER ist embedded, amqp://… oder amqps://… / NAHTLOS_BROKER is embedded, amqp://… or amqps://…":
                embedded or _scheme(self.broker) in ("amqp", "amqps"),
            "NAHTLOS_BROKER_CA, _CERT und _KEY brauchen NAHTLOS_BROKER=amqps://… "
            "/ NAHTLOS_BROKER_CA, _CERT and _KEY need NAHTLOS_BROKER=amqps://…":
                _scheme(self.broker) == "amqps" or not (self.broker_ca or self.broker_cert or self.broker_key),
            "NAHTLOS_BROKER_CERT und NAHTLOS_BROKER_KEY gehören zusammen "
            "/ NAHTLOS_BROKER_CERT and NAHTLOS_BROKER_KEY belong together":
                (self.broker_cert is None) == (self.broker_key is None),
            "NAHTLOS_ROLE=intake oder worker braucht PostgreSQL, denn eine SQLite-Datei hält ein Prozess allein "
            "/ NAHTLOS_ROLE=intake or worker needs PostgreSQL, because one process alone holds a SQLite file":
                self.role is Role.ALL or not sqlite,
            "NAHTLOS_BROKER=amqp braucht PostgreSQL als Journal / NAHTLOS_BROKER=amqp needs PostgreSQL as journal":
                embedded or not sqlite,
        }
        if broken := [text.split(" / ") for text, holds in rules.items() if not holds]:
            raise ValueError("; ".join(de for de, _ in broken) + " / " + "; ".join(en for _, en in broken))
        return self

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings, _Files(settings_cls)]
        if (mounted := _secrets_directory()) is not None:
            sources.append(SecretsSettingsSource(settings_cls, secrets_dir=mounted))
        return tuple(sources)


class _Files(PydanticBaseSettingsSource):
    """``NAHTLOS_X_FILE=/path``: the value of X stands in that file, which others must not be able to read."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{PREFIX}{field_name.upper()}_FILE")
        if not path:
            return None, field_name, False
        return read_secret_file(Path(path), mounted=_secrets_directory()).get_secret_value(), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def read(**given: Any) -> Settings:
    """The settings from the environment; ``given`` goes before it. Raises ``SettingsFaults``."""
    faults = _misspelt() + _given_twice() + _no_secrets_directory()
    settings: Settings | None = None
    try:
        settings = Settings(**given)
        faults += _no_folders(settings)
        for key in (settings.tls_key, settings.broker_key):
            if key is not None:
                refuse_readable_by_others(key, mounted=_secrets_directory())
    except ValidationError as error:
        written = {name: PREFIX + name.upper() for name in Settings.model_fields}
        details = error.errors(include_url=False, include_input=False)
        faults += [translated(dict(detail), _PLACE, written) for detail in details]
    except SecretMissing as missing:
        faults.append(_PLACE.fault(missing.de, missing.en))
    if faults or settings is None:
        raise SettingsFaults(faults)
    return settings


def without_password(url: SecretStr) -> str:
    """An address that may be shown: user and password left out."""
    parts = urlsplit(url.get_secret_value())
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", "")) if parts.scheme else parts.path


def _scheme(url: SecretStr) -> str:
    return url.get_secret_value().partition(":")[0]


def _secrets_directory() -> Path | None:
    """Named by us or by systemd (``LoadCredential=``), else where container engines mount them."""
    named = os.environ.get(PREFIX + "SECRETS_DIR") or os.environ.get("CREDENTIALS_DIRECTORY") or "/run/secrets"
    return Path(named) if Path(named).is_dir() else None


def _no_secrets_directory() -> list[Fault]:
    named = os.environ.get(PREFIX + "SECRETS_DIR")
    if not named or Path(named).is_dir():
        return []
    return [_PLACE.fault(f"NAHTLOS_SECRETS_DIR: {named} ist kein Verzeichnis",
                         f"NAHTLOS_SECRETS_DIR: {named} is not a directory")]


def _no_folders(settings: Settings) -> list[Fault]:
    return [
        _PLACE.fault(f"NAHTLOS_SCHEMAS: {folder} ist kein Verzeichnis", f"NAHTLOS_SCHEMAS: {folder} is not a directory")
        for folder in settings.schemas if not folder.is_dir()
    ]


def _misspelt() -> list[Fault]:
    known = {PREFIX + name.upper() + suffix for name in Settings.model_fields for suffix in ("", "_FILE")} | set(_ALSO_KNOWN)
    faults = []
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known and not name.startswith(PREFIX + "TEST_"):
            de, en = did_you_mean(name, known)
            faults.append(_PLACE.fault(f"unbekannte Variable {name}{de}", f"unknown variable {name}{en}"))
    return faults


def _given_twice() -> list[Fault]:
    return [
        _PLACE.fault(f"{name} und {name}_FILE sind beide gesetzt; eines genügt",
                     f"{name} and {name}_FILE are both set; one will do")
        for name in (PREFIX + field.upper() for field in Settings.model_fields)
        if os.environ.get(name) and os.environ.get(name + "_FILE")
    ]


