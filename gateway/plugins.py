"""Connectors from entry points and from the drop-in folder, and the targets of this site brought to life with them.

A connector that fails to import stops nobody else: its targets are there and say so, and what is meant for them waits.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import structlog

from connectors import sdk
from gateway.config.binding import Fault, Faults, Where
from gateway.config.secretfiles import SecretMissing, resolve_options
from gateway.delivery import LiveTarget
from gateway.site import Site, TargetConfig, bind_options
from gateway.telemetry import LogEvent, place_of

GROUP = "nahtlos.connectors"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Connectors:
    """classes: by the name that ``connector = "…"`` uses. failed: name of an entry point or file → where and why, for people."""

    classes: Mapping[str, type[sdk.Connector]]
    failed: Mapping[str, str] = field(default_factory=dict)


class TargetFaults(Faults):
    """Targets of the site file cannot be brought to life. ``faults``: every one, with file and line."""


class Unusable(sdk.Connector):
    """Stands in for a connector that is not there. Says so to every attempt, which opens the target's breaker."""

    name = "unusable"

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted

    async def deliver(self, envelope: sdk.Envelope, target: sdk.Target) -> sdk.Acknowledgement:
        raise sdk.Blocked(f"connector {self._wanted} is not loaded")

    async def check(self, target: sdk.Target) -> None:
        raise sdk.Blocked(f"connector {self._wanted} is not loaded")


def find(folder: Path | None = None) -> Connectors:
    """Every connector there is. One in the folder goes before an installed one of the same name. Never raises."""
    sys.modules.setdefault("nahtlos_sdk", sdk)
    classes: dict[str, type[sdk.Connector]] = {}
    failed: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        try:
            loaded = point.load()
            classes[loaded.name] = loaded
        except Exception as error:
            _note(failed, point.name, error, _told(error, None))
    for path in sorted(folder.glob("*.py")) if folder is not None and folder.is_dir() else ():
        if not path.name.startswith("_"):
            try:
                classes |= {each.name: each for each in _defined_in(_import(path))}
            except Exception as error:
                _note(failed, path.stem, error, _told(error, path))
    return Connectors(classes, failed)


def live_targets(site: Site, connectors: Connectors) -> dict[str, LiveTarget]:
    """Every target with its connector, its options bound and its secrets read. Raises ``TargetFaults`` with every fault."""
    live: dict[str, LiveTarget] = {}
    faults: list[Fault] = []
    for config in site.targets.values():
        cls = connectors.classes.get(config.connector)
        if cls is None and config.connector in connectors.failed:
            live[config.name] = _live(config, Unusable(config.connector), {})
            continue
        if cls is None:
            faults.append(_unknown(site, config, connectors))
            continue
        try:
            options: object = bind_options(
                cls.Options, resolve_options(config.options), where=f"{site.path}:{config.line} [target.{config.name}]",
            )
            live[config.name] = _live(config, cls(), options)
        except SecretMissing as missing:
            where = f"[target.{config.name}]"
            faults.append(Fault(str(site.path), config.line, f"{where} {missing.de}", f"{where} {missing.en}"))
        except Faults as found:
            faults.extend(found.faults)
    if faults:
        raise TargetFaults(faults)
    return live


def _live(config: TargetConfig, connector: sdk.Connector, options: object) -> LiveTarget:
    target = sdk.Target(config.name, config.authority, options, productive=config.productive, timeout=config.timeout)
    return LiveTarget(config, connector, target)


def _unknown(site: Site, config: TargetConfig, connectors: Connectors) -> Fault:
    known = ", ".join(sorted(connectors.classes))
    broken = "; ".join(f"{name} ({why})" for name, why in sorted(connectors.failed.items()))
    return Fault(
        str(site.path), config.line,
        f"[target.{config.name}] es gibt keinen Konnektor „{config.connector}“; vorhanden sind: {known}"
        + (f"; nicht ladbar sind: {broken}" if broken else ""),
        f"[target.{config.name}] there is no connector “{config.connector}”; there are: {known}"
        + (f"; cannot be loaded: {broken}" if broken else ""),
    )


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"nahtlos_dropin_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _defined_in(module: ModuleType) -> Iterator[type[sdk.Connector]]:
    for value in vars(module).values():
        ours = isinstance(value, type) and issubclass(value, sdk.Connector) and value.__module__ == module.__name__
        if ours and hasattr(value, "name"):
            yield value


def _told(error: BaseException, path: Path | None) -> str:
    """"/state/connectors/own.py:3: ModuleNotFoundError: No module named 'zeep'". path: of the file that was read, whose own
    line says more than the place deep in a library where it ended."""
    why = " ".join(str(error).split())[:300]
    said = f"{type(error).__name__}: {why}" if why else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if path is not None and frame.filename == str(path)]
    places = own or [frame for frame in frames if not frame.filename.startswith("<")]
    return f"{places[-1].filename}:{places[-1].lineno}: {said}" if places else said


def _note(failed: dict[str, str], name: str, error: BaseException, told: str) -> None:
    failed[name] = told
    _log.error(LogEvent.CONNECTOR_FAILED, connector=name, **place_of(error))


__all__ = ["GROUP", "Connectors", "TargetFaults", "Unusable", "Where", "find", "live_targets"]
