"""Tables of a configuration file become values of a dataclass, or faults that say where, what and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import timedelta
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, cast, get_args, get_type_hints

from pydantic import AfterValidator, BeforeValidator, TypeAdapter, ValidationError

from gateway.config.faults import Fault, Faults, Where, did_you_mean, translated

# Whoever binds a table deals with its faults, and finds their names here as well.
__all__ = [
    "Duration", "Fault", "Faults", "PositiveDuration", "Where", "bind", "bind_options", "clear_text_secrets", "did_you_mean",
    "duration", "is_secret_key",
]

T = TypeVar("T")

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_KEY_FILE = re.compile(r"/[^\0\n]+\.(pem|key)")
"""``client_key`` names the file that holds a key; the key itself is not in the site file then."""

_SECRET_WORDS = frozenset((
    "token", "password", "passwort", "passwd", "pwd", "pass", "passphrase", "kennwort", "secret", "geheimnis", "key",
    "apikey", "schluessel", "credential", "credentials", "authorization", "bearer", "pin", "cookie",
))
_USER_INFO = re.compile(r"://[^/@\s:]*:[^/@\s]+@")


def duration(value: object) -> timedelta:
    """``"60s"``, ``"30min"``, ``"72h"``, ``"7d"``, ``"1h30m"`` → timedelta; a number without a unit is nobody's guess."""
    if isinstance(value, timedelta):
        return value
    text = re.sub(r"\s+", "", value) if isinstance(value, str) else ""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|min|[smhd])", text)
    if not parts or text != "".join(number + unit for number, unit in parts):
        raise ValueError(
            "keine Dauer; erwartet wird zum Beispiel „60s“, „30min“, „72h“, „7d“ "
            '/ not a duration; expected for example "60s", "30min", "72h", "7d"'
        )
    try:
        return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
    except OverflowError:
        raise ValueError("länger als jede Zeitrechnung / longer than any calendar") from None


def _longer_than_nothing(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("eine Dauer von null hält hier alles an / a duration of nothing would stop everything here")
    return value


Duration = Annotated[timedelta, BeforeValidator(duration)]
PositiveDuration = Annotated[Duration, AfterValidator(_longer_than_nothing)]


def bind(
    cls: type[T], table: Mapping[str, Any], *, where: Where,
    given: Mapping[str, Any] = MappingProxyType({}), defaults: Mapping[str, Any] = MappingProxyType({}),
) -> T:
    """An instance of a dataclass from a table of the file.

    A field is written under its own name or under ``metadata["toml"]``. given: fields that the caller sets and that are
    no keys of the file; defaults: fields that the file may leave out although the dataclass wants them. Raises ``Faults``
    with every unknown key (and the nearest known one), missing key and wrong type.
    """
    names = {key: name for key, name in _keys(cls).items() if name not in given}
    faults = _unknown(cls, table, where, names)
    values = {names[key]: value for key, value in table.items() if key in names}
    bound, details = _validated(cls, {**defaults, **values, **given})
    written = {name: key for key, name in names.items()}
    faults += [translated(detail, where, written) for detail in details]
    if faults:
        wrong = {detail["loc"][0] for detail in details if detail["loc"]}
        rest = {name: value for name, value in values.items() if name not in wrong}
        raise Faults(faults, remainder=bound if bound is not None else _validated(cls, {**defaults, **rest, **given})[0])
    return cast(T, bound)


def bind_options(options_cls: type[T], mapping: Mapping[str, Any], *, where: Where | str) -> T:
    """A connector's ``Options`` from ``options = {…}``, secrets already resolved.

    Nested dataclasses and durations written as text are understood; ``dict`` as ``Options`` takes what is there. Raises
    ``Faults``; whatever a connector's own check says, no value of a secret key comes out.
    """
    place = Where(where) if isinstance(where, str) else where
    if not is_dataclass(options_cls):
        return cast(T, dict(mapping))
    try:
        return bind(options_cls, _with_durations(options_cls, mapping), where=place)
    except Faults as found:
        secrets = tuple(_secret_values(mapping))
        masked = [Fault(f.file, f.line, _masked(f.de, secrets), _masked(f.en, secrets)) for f in found.faults]
    raise Faults(masked)  # outside the handler: the chain would carry the text that was masked


def is_secret_key(key: str) -> bool:
    """Does the last word of this key name a secret? ``api_key`` and ``clientSecret`` do, ``key_header`` does not."""
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", key).lower()
    return re.split(r"[-_. ]", words)[-1] in _SECRET_WORDS


def clear_text_secrets(options: Mapping[str, Any], where: Where) -> list[Fault]:
    """A fault for every secret that is written out where ``env:`` or ``file:`` belongs; also ``https://user:password@…``."""
    faults = []
    for key, value in options.items():
        for place, inner in _tables_in(value, where.at(key)):
            faults += clear_text_secrets(inner, place)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and _in_clear(key, text):
                faults.append(where.at(key).fault(
                    f"„{key}“ enthält ein Geheimnis im Klartext; schreiben Sie „file:/run/secrets/…“ oder „env:NAME“ und "
                    "erneuern Sie das Geheimnis, wenn diese Datei schon weitergegeben wurde",
                    f'"{key}" holds a secret in clear text; write "file:/run/secrets/…" or "env:NAME", and renew the secret '
                    "if this file has been passed on",
                ))
    return faults


def _in_clear(key: str, text: str) -> bool:
    if not text or text.startswith(("env:", "file:")):
        return False
    return bool(_USER_INFO.search(text)) or (is_secret_key(key) and not _KEY_FILE.fullmatch(text))


def _validated(cls: type[Any], values: Mapping[str, Any]) -> tuple[Any, Sequence[Mapping[str, Any]]]:
    try:
        return _adapter(cast(Any, cls)).validate_python(values), ()
    except ValidationError as error:
        return None, cast(Any, error.errors(include_url=False, include_input=False))


@cache
def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return get_type_hints(cls)


def _keys(cls: type[Any]) -> dict[str, str]:
    """Key in the file → name of the field."""
    return {str(f.metadata.get("toml", f.name)): f.name for f in fields(cls) if f.init}


def _unknown(cls: type[Any], table: Mapping[str, Any], where: Where, known: Mapping[str, str]) -> list[Fault]:
    """Pydantic passes over keys that a plain dataclass does not have, at every depth; a misspelt key must not be passed over."""
    faults, hints = [], _hints(cast(Any, cls))
    for key, value in table.items():
        if key not in known:
            de, en = did_you_mean(key, known)
            faults.append(where.at(key).fault(f"unbekannter Schlüssel „{key}“{de}", f'unknown key "{key}"{en}'))
        elif nested := _dataclass_in(hints[known[key]]):
            for place, inner in _tables_in(value, where.at(key)):
                faults += _unknown(nested, inner, place, _keys(nested))
    return faults


def _dataclass_in(hint: Any) -> type[Any] | None:
    """The dataclass that ``X``, ``X | None``, ``tuple[X, ...]`` or ``Mapping[str, X]`` is made of."""
    if is_dataclass(hint) and isinstance(hint, type):
        return hint
    return next((found for part in get_args(hint) if (found := _dataclass_in(part))), None)


def _tables_in(value: Any, where: Where) -> list[tuple[Where, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        return [(where, value)]
    return [(where.at(n), item) for n, item in enumerate(value) if isinstance(item, Mapping)] if isinstance(value, list) else []


def _with_durations(cls: type[Any], table: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(table)
    for name, hint in _hints(cast(Any, cls)).items():
        value = table.get(name)
        if hint in (timedelta, timedelta | None) and isinstance(value, str):
            with suppress(ValueError):  # pydantic then names the place and what it wants
                values[name] = duration(value)
        elif isinstance(value, Mapping) and is_dataclass(hint):
            values[name] = _with_durations(cast(type[Any], hint), value)
    return values


def _secret_values(options: Mapping[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _secret_values(value)
        elif isinstance(value, str) and value and is_secret_key(key):
            yield value


def _masked(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
