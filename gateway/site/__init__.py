"""What goes where: ``nahtlos.toml`` → authorities, portals, form bindings, targets and routes.

Decides; does no I/O but reading that one file. A file with faults is refused as a whole, every fault as ``file:line``.
"""

from gateway.config.binding import bind_options
from gateway.config.faults import Fault, Where
from gateway.config.routing import Considered, NoRoute, Route, RouteStep, Successor
from gateway.site.explanation import RouteExplanation
from gateway.site.loading import SiteFaults, load, parse
from gateway.site.model import Authority, FormBinding, PortalConfig, Site, TargetConfig
from gateway.site.windows import Window

__all__ = [
    "Authority", "Considered", "Fault", "FormBinding", "NoRoute", "PortalConfig", "Route", "RouteExplanation",
    "RouteStep", "Site", "SiteFaults", "Successor", "TargetConfig", "Where", "Window", "bind_options", "load", "parse",
]
