"""What a gateway is going to be: settings, site file, schema packages, forms and connectors, read and checked, nothing opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway import conversion, plugins, sitenames
from gateway.config.faults import Faults
from gateway.delivery import LiveTarget
from gateway.formbindings import Forms
from gateway.packagewatch import fingerprint
from gateway.schemas import Registry
from gateway.settings import Settings
from gateway.site import Site, load
from gateway.sitewatch import Marks, marks_of


@dataclass(frozen=True, slots=True)
class Plan:
    """packages, files: what tells whether the folders and the site file were changed, from before they were read."""

    settings: Settings
    site: Site
    files: Marks
    packages: bytes
    registry: Registry
    forms: Forms
    connectors: plugins.Connectors
    targets: Mapping[str, LiveTarget]


def plan(settings: Settings, *, site: Site | None = None) -> Plan:
    """Raises ``SiteFaults``, ``PackageFaults``, ``MappingFaults`` or ``TargetFaults``: all of them hold every fault with file
    and line. site: already loaded."""
    file = marks_of([settings.site])
    site = site or load(settings.site)
    files = file + marks_of(files_of(site)[1:])
    packages = fingerprint(schema_roots(settings))
    registry = Registry.load(*schema_roots(settings))
    if faults := conversion.faults_of(site, registry):
        raise Faults(faults)
    connectors = plugins.find(settings.connectors)
    return Plan(
        settings, site, files, packages, registry, Forms.load(site, registry), connectors, plugins.live_targets(site, connectors),
    )


def files_of(site: Site) -> list[Path]:
    """The file itself and the field tables it names."""
    return [site.path, *(form.mapping for form in site.forms if form.mapping is not None)]


def checked(settings: Settings) -> Plan:
    """As ``plan``, and with nothing named that is not there. Raises ``Faults`` too."""
    made = plan(settings)
    if faults := sitenames.faults_of(made.site, made.registry, made.targets, settings):
        raise Faults(faults)
    return made


def schema_roots(settings: Settings) -> tuple[Path, ...]:
    """What ships with the gateway, the site's own packages in its state, and further folders."""
    own = settings.state / "schemas"
    return (shipped_schemas(), *((own,) if own.is_dir() else ()), *settings.schemas)


def shipped_schemas() -> Path:
    """In a wheel inside the package, in a checkout beside it."""
    here = Path(__file__).parent
    return here / "shipped" if (here / "shipped").is_dir() else here.parent / "schemas"


def lanes_of(site: Site) -> dict[str, int]:
    """Every lane, and how many attempts its targets take at once: a shared lane with less prefetch would starve somebody."""
    lanes: dict[str, int] = {}
    for target in sorted(site.targets.values(), key=lambda target: target.lane):
        lanes[target.lane] = lanes.get(target.lane, 0) + target.concurrency
    return lanes
