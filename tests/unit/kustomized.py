"""The little of kustomize that deploy/kubernetes uses, so that overlays can be built where there is no kustomize.

Where kubectl is, a test compares: both must say the same.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Resource = dict[str, Any]

CLUSTER_WIDE = ("Namespace",)
_KNOWN = {"apiVersion", "kind", "namespace", "resources", "configMapGenerator", "images", "patches"}


def built(folder: Path) -> list[Resource]:
    """Every resource of an overlay, in its order. Generated ConfigMaps keep their plain name. Unknown keys are errors."""
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert set(plan) <= _KNOWN, f"{folder.name}: {set(plan) - _KNOWN}"
    found: list[Resource] = []
    for entry in plan["resources"]:
        path = (folder / entry).resolve()
        assert path.exists(), f"{folder.name}: there is no {entry}"
        found += built(path) if path.is_dir() else copy.deepcopy(list(_documents(path)))
    for made in plan.get("configMapGenerator", ()):
        data = {name: (folder / name).read_text(encoding="utf-8") for name in made["files"]}
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": made["name"]}, "data": data})
    for patch in plan.get("patches", ()):
        aimed = [each for each in found if _is_meant(each, patch["target"])]
        assert aimed, f"{folder.name}: nobody is meant by {patch['target']}"
        for resource in aimed:
            for step in yaml.safe_load(patch["patch"]):
                _apply(resource, step)
    for image in plan.get("images", ()):
        for container in (each for resource in found for each in containers(resource)):
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
    if "namespace" in plan:
        for resource in found:
            if resource["kind"] not in CLUSTER_WIDE:
                resource["metadata"]["namespace"] = plan["namespace"]
    return found


def containers(resource: Resource) -> list[dict[str, Any]]:
    if resource["kind"] != "Deployment":
        return []
    pod = resource["spec"]["template"]["spec"]
    return [*pod.get("initContainers", ()), *pod["containers"]]


def _documents(path: Path) -> Iterator[Resource]:
    return (each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each)


def _is_meant(resource: Resource, target: dict[str, str]) -> bool:
    name = target.get("name")
    return resource["kind"] == target["kind"] and name in (None, resource["metadata"]["name"])


def _apply(resource: Resource, step: dict[str, Any]) -> None:
    """One step of RFC 6902, as far as it is used."""
    *way, last = step["path"].strip("/").replace("~1", "/").split("/")
    place: Any = resource
    for part in way:
        place = place[int(part)] if isinstance(place, list) else place[part]
    match step["op"], place:
        case "remove", dict():
            del place[last]
        case ("add" | "replace"), dict():
            place[last] = step["value"]
        case "add", list():
            place.insert(len(place) if last == "-" else int(last), step["value"])
        case _:
            raise AssertionError(f"not known here: {step}")
