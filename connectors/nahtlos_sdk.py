"""``connectors.sdk`` under a name that no folder of an integrator can shadow: ``from nahtlos_sdk import Connector``.

The wheel puts this file at the top. It is the same module, not a copy: a connector that imports it and a gateway that
imports ``connectors.sdk`` mean the same classes, also where an integrator's own ``connectors/`` comes first on the path.
"""

import sys as _sys
from importlib import import_module as _import_module
from importlib.util import find_spec as _find_spec
from importlib.util import module_from_spec as _module_from_spec
from importlib.util import spec_from_file_location as _spec_from_file_location
from pathlib import Path as _Path
from types import ModuleType as _ModuleType


def _source() -> _Path:
    """Ours lies beside this file (wheel, or in the folder itself), else beside the gateway (a checkout installed in place)."""
    here = _Path(__file__).resolve().parent
    gateway = _find_spec("gateway")
    beside_gateway = _Path(gateway.origin).resolve().parents[1] if gateway is not None and gateway.origin else here
    for candidate in (here / "connectors" / "sdk.py", here / "sdk.py", beside_gateway / "connectors" / "sdk.py"):
        if candidate.is_file() and "SDK_VERSION" in candidate.read_text(encoding="utf-8"):
            return candidate
    raise ImportError("nahtlos is not installed completely: connectors/sdk.py is missing")


def _load() -> _ModuleType:
    source = _source()
    try:
        module = _import_module("connectors.sdk")
        if _Path(module.__file__ or "").resolve() == source:
            return module
    except ImportError:
        pass  # another ``connectors`` comes first
    spec = _spec_from_file_location("connectors.sdk", source)
    assert spec is not None
    assert spec.loader is not None
    module = _module_from_spec(spec)
    _sys.modules["connectors.sdk"] = module  # so that every later import of it, by whatever path, finds this one
    spec.loader.exec_module(module)
    if (parent := _sys.modules.get("connectors")) is not None:
        parent.sdk = module  # type: ignore[attr-defined]
    return module


globals().update({name: value for name, value in vars(_load()).items() if not name.startswith("_")})
