"""What a site file names that is not there: services, folders, a way for certificates to come in.

Not a reason to refuse a start: a package may still come while the gateway runs, a folder may be mounted later. ``nahtlos check``
names each as a fault; a running gateway says how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.config.faults import Fault, did_you_mean
from gateway.config.routing import EVERY
from gateway.delivery import LiveTarget
from gateway.schemas import Registry
from gateway.settings import Settings
from gateway.site import Site


def faults_of(
    site: Site, registry: Registry, targets: Mapping[str, LiveTarget], settings: Settings
) -> tuple[Fault, ...]:
    """Sorted by line."""
    found = (*_services(site, registry), *_places(site, targets), *_certificates(site, settings))
    return tuple(sorted(found, key=lambda fault: (fault.line, fault.en)))


def _services(site: Site, registry: Registry) -> Iterator[Fault]:
    named = [
        *((("route", n, "leistung"), route.leistung) for n, route in enumerate(site.routes)),
        *((("form", n, "leistung"), form.leistung) for n, form in enumerate(site.forms)),
        *((("portal", portal.name, "leistungen", n), leistung)
          for portal in site.portals.values() for n, leistung in enumerate(portal.leistungen)),
    ]
    for place, leistung in named:
        if leistung != EVERY and leistung not in registry.leistungen:
            de, en = did_you_mean(leistung, registry.leistungen)
            yield site.where.at(*place).fault(
                f"die Leistung „{leistung}“ gibt es hier nicht{de}", f'there is no service "{leistung}" here{en}'
            )


def _places(site: Site, targets: Mapping[str, LiveTarget]) -> Iterator[Fault]:
    for name, live in targets.items():
        for option, folder in live.connector.folders(live.target).items():
            if not Path(folder).is_dir():
                yield site.where.at("target", name, "options", option).fault(
                    f"den Ordner {folder} gibt es nicht; er wird nicht angelegt, damit eine leere Einhängestelle keiner wird",
                    f"the folder {folder} does not exist; it is not made, so that an empty mount point never becomes one",
                )


def _certificates(site: Site, settings: Settings) -> Iterator[Fault]:
    if settings.tls_client_ca is not None or settings.trusted_proxies:
        return
    for portal in site.portals.values():
        if portal.certificates:
            yield site.where.at("portal", portal.name, "certificates").fault(
                "kein Zertifikat eines Portals kann hier ankommen: NAHTLOS_TLS_CLIENT_CA fehlt (eigenes TLS) und "
                "NAHTLOS_TRUSTED_PROXIES auch (TLS endet davor)",
                "no certificate of a portal can get here: NAHTLOS_TLS_CLIENT_CA is missing (own TLS), and so is "
                "NAHTLOS_TRUSTED_PROXIES (TLS ends before)",
            )
