"""The site that is in force, for those who keep it: what they hold always shows the one that counts now.

Everything of one site is put in force at once, between two steps of the event loop. What was begun under the site before may
still ask for its targets by name; to whoever asks which targets there are, they are gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

from gateway.delivery import LiveTarget
from gateway.site import Site, TargetConfig

V = TypeVar("V")


class SiteInForce:
    """site, targets, live: to be handed on and kept; ``put`` changes what they show."""

    def __init__(self, site: Site, live: Mapping[str, LiveTarget]) -> None:
        self.current = site
        self.targets: Mapping[str, TargetConfig] = (targets := _Showing(site.targets))
        self.live: Mapping[str, LiveTarget] = (alive := _Showing(live))
        self._targets, self._live = targets, alive
        self.site = cast(Site, _SiteNow(self))

    def put(self, site: Site, live: Mapping[str, LiveTarget]) -> tuple[LiveTarget, ...]:
        """Connectors that nothing but their options tells apart from those at work stay at work. The targets that are not
        needed any more, to be closed once they are idle."""
        kept, retired = {}, []
        for name, fresh in live.items():
            old = self.live.get(name)
            if old is not None and old.config.connector == fresh.config.connector and old.target == fresh.target:
                kept[name] = LiveTarget(fresh.config, old.connector, old.target)
                retired.append(fresh)
            else:
                kept[name] = fresh
        retired += [old for name, old in self.live.items() if name not in kept or kept[name].connector is not old.connector]
        self.current = site
        self._targets.show(site.targets)
        self._live.show(kept)
        return tuple(retired)


class _SiteNow:
    """Answers as the ``Site`` that is in force."""

    def __init__(self, in_force: SiteInForce) -> None:
        self._in_force = in_force

    def __getattr__(self, name: str) -> Any:
        return self._in_force.targets if name == "targets" else getattr(self._in_force.current, name)


class _Showing(Mapping[str, V], Generic[V]):
    """What is gone is neither counted nor listed nor found by ``get``; only ``[name]`` still has it."""

    def __init__(self, shown: Mapping[str, V]) -> None:
        self._shown: Mapping[str, V] = shown
        self._gone: dict[str, V] = {}

    def show(self, shown: Mapping[str, V]) -> None:
        self._gone |= self._shown
        self._shown = shown

    def __getitem__(self, name: str) -> V:
        return self._shown[name] if name in self._shown else self._gone[name]

    def __contains__(self, name: object) -> bool:
        return name in self._shown

    def __iter__(self) -> Iterator[str]:
        return iter(self._shown)

    def __len__(self) -> int:
        return len(self._shown)

    def get(self, name: str, default: Any = None) -> Any:
        return self._shown.get(name, default)
