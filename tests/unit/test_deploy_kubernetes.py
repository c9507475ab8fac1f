"""deploy/kubernetes: every overlay builds, every resource is one that Kubernetes knows, every reference leads somewhere."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from gateway.adapters.rabbitmq_queues import Queues
from gateway.settings import Settings
from gateway.site import load
from gateway.vault import Vault
from tests.conftest import ROOT
from tests.unit.kustomized import CLUSTER_WIDE, Resource, built, containers

KUBERNETES = ROOT / "deploy/kubernetes"
OVERLAYS = ("small", "large")
VERSIONS = ("1.30", "1.34")

# What the operators (KEDA, Prometheus) add to Kubernetes has no schema in its own set: what we use of it, and no more.
_NAMED = {"type": "object", "required": ["name", "labels"], "properties": {"name": {"type": "string"}}}


def _custom(version: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object", "required": ["apiVersion", "kind", "metadata", "spec"], "additionalProperties": False,
        "properties": {"apiVersion": {"const": version}, "kind": {"type": "string"}, "metadata": _NAMED, "spec": spec},
    }


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "additionalProperties": False, "properties": required | optional}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": of}


_TEXT, _NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_SECONDS, _COUNT = {"type": "string", "pattern": r"^\d+(s|m|h)$"}, {"type": "string", "pattern": r"^\d+$"}

CUSTOM = {
    "ServiceMonitor": _custom("monitoring.coreos.com/v1", _object(
        {"selector": _object({"matchLabels": _TEXTS}),
         "endpoints": _list(_object({"port": _TEXT, "path": _TEXT, "interval": _SECONDS}, scrapeTimeout=_SECONDS))},
        jobLabel=_TEXT,
    )),
    "PrometheusRule": _custom("monitoring.coreos.com/v1", _object({"groups": _list(_object({"name": _TEXT, "rules": _list(_object(
        {"alert": _TEXT, "expr": _TEXT, "labels": _TEXTS, "annotations": _TEXTS}, **{"for": _SECONDS},
    ))}))})),
    "ScaledObject": _custom("keda.sh/v1alpha1", _object(
        {"scaleTargetRef": _object({"name": _TEXT}, apiVersion=_TEXT, kind=_TEXT), "triggers": _list(_object({
            "type": {"const": "rabbitmq"},
            "metadata": _object({"queueName": _TEXT, "mode": {"enum": ["QueueLength", "MessageRate"]}, "value": _COUNT},
                                protocol={"enum": ["auto", "amqp", "http"]}),
            "authenticationRef": _object({"name": _TEXT}),
        }))},
        minReplicaCount=_NUMBER, maxReplicaCount=_NUMBER, pollingInterval=_NUMBER, cooldownPeriod=_NUMBER,
        fallback=_object({"failureThreshold": _NUMBER, "replicas": _NUMBER}),
    )),
    "TriggerAuthentication": _custom("keda.sh/v1alpha1", _object({
        "secretTargetRef": _list(_object({"parameter": _TEXT, "name": _TEXT, "key": _TEXT})),
    })),
}


@pytest.fixture(scope="module", params=OVERLAYS)
def resources(request: pytest.FixtureRequest) -> list[Resource]:
    return built(KUBERNETES / "overlays" / request.param)


def secrets(*arguments: str) -> list[Resource]:
    said = subprocess.run([str(KUBERNETES / "secrets.sh"), *arguments], capture_output=True, text=True, check=True).stdout
    return list(yaml.safe_load_all(said))


def validate(resource: Resource, version: str) -> None:
    if resource["kind"] in CUSTOM:
        jsonschema.validate(resource, CUSTOM[resource["kind"]])
    else:
        kubernetes_validate.validate(resource, version, strict=True)


def named(resources: list[Resource], kind: str) -> dict[str, Resource]:
    return {each["metadata"]["name"]: each for each in resources if each["kind"] == kind}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_is_what_kubernetes_expects_and_nothing_is_misspelt(resources: list[Resource], version: str) -> None:
    for resource in resources:
        validate(resource, version)


def test_a_misspelt_key_is_noticed(resources: list[Resource]) -> None:
    deployment = json.loads(json.dumps(named(resources, "Deployment")["nahtlos-intake"]))
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(deployment, VERSIONS[0])


def test_every_reference_leads_to_something(resources: list[Resource]) -> None:
    deployments, maps = named(resources, "Deployment"), named(resources, "ConfigMap")
    made = {each["metadata"]["name"]: each["stringData"] for each in secrets("postgresql://db/n", "amqps://mq/")}
    for deployment in deployments.values():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] in named(resources, "ServiceAccount")
        volumes = {each["name"]: each for each in pod["volumes"]}
        for volume in volumes.values():
            assert "configMap" not in volume or volume["configMap"]["name"] in maps
            assert "secret" not in volume or volume["secret"]["secretName"] in made
        for container in containers(deployment):
            assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
            assert container["image"].startswith("registry.example/nahtlos:")
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        for each in named(resources, kind).values():
            assert each["spec"]["scaleTargetRef"]["name"] in deployments
    for each in named(resources, "ScaledObject").values():
        for trigger in each["spec"]["triggers"]:
            proof = named(resources, "TriggerAuthentication")[trigger["authenticationRef"]["name"]]
            for reference in proof["spec"]["secretTargetRef"]:
                assert reference["key"] in made[reference["name"]]


def test_what_selects_pods_selects_some(resources: list[Resource]) -> None:
    pods = [each["spec"]["template"]["metadata"]["labels"].items() for each in named(resources, "Deployment").values()]
    services = [each["metadata"]["labels"].items() for each in named(resources, "Service").values()]
    for kind, place in (("Service", ("spec", "selector")), ("PodDisruptionBudget", ("spec", "selector", "matchLabels")),
                        ("NetworkPolicy", ("spec", "podSelector", "matchLabels"))):
        for resource in named(resources, kind).values():
            wanted: Any = resource
            for part in place:
                wanted = wanted[part]
            assert any(wanted.items() <= labels for labels in pods), (kind, resource["metadata"]["name"])
    for monitor in named(resources, "ServiceMonitor").values():
        assert all(monitor["spec"]["selector"]["matchLabels"].items() <= labels for labels in services)


def test_every_variable_is_one_the_gateway_reads(resources: list[Resource]) -> None:
    known = {f"NAHTLOS_{name.upper()}" for name in Settings.model_fields} | {"NAHTLOS_SECRETS_DIR"}
    for deployment in named(resources, "Deployment").values():
        for container in containers(deployment):
            assert {each["name"] for each in container["env"]} <= known


def test_no_pod_may_more_than_it_needs(resources: list[Resource]) -> None:
    """What the Pod Security Standard "restricted" asks for, and a root file system that cannot be written."""
    for deployment in named(resources, "Deployment").values():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in containers(deployment):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }
            assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert all(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
               for namespace in named(resources, "Namespace").values())


def test_everything_lies_in_the_namespace(resources: list[Resource]) -> None:
    (namespace,) = named(resources, "Namespace")
    assert {each["metadata"].get("namespace") for each in resources if each["kind"] not in CLUSTER_WIDE} == {namespace}


def test_workers_scale_by_the_lanes_of_the_site_and_not_beyond_the_targets() -> None:
    (scaled,) = named(built(KUBERNETES / "overlays/large"), "ScaledObject").values()
    site = load(KUBERNETES / "overlays/large/nahtlos.toml")
    queues = {trigger["metadata"]["queueName"]: int(trigger["metadata"]["value"]) for trigger in scaled["spec"]["triggers"]}
    assert set(queues) == {Queues().of(target.lane) for target in site.targets.values()}
    assert scaled["spec"]["minReplicaCount"] <= scaled["spec"]["maxReplicaCount"] == 20 * 4 / min(queues.values())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_site_of_an_overlay_is_one(overlay: str) -> None:
    site = load(KUBERNETES / "overlays" / overlay / "nahtlos.toml")
    assert site.route("hundesteuer", "081210000000", date(2026, 1, 1))


def test_the_operator_of_prometheus_gets_the_same_alarms() -> None:
    (rule,) = named(built(KUBERNETES / "monitoring"), "PrometheusRule").values()
    ours = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text(encoding="utf-8"))
    assert rule["spec"] == ours, "make rules"


def test_the_secrets_that_are_made_are_secrets_and_keys_that_the_vault_opens(tmp_path: Path) -> None:
    made = secrets("postgresql://u:it's@db/n?a=b", "amqps://u:p@mq/")
    for secret in made:
        kubernetes_validate.validate(secret, VERSIONS[0], strict=True)
    connections, keys = (secret["stringData"] for secret in made)
    assert connections == {"nahtlos_journal": "postgresql://u:it's@db/n?a=b", "nahtlos_broker": "amqps://u:p@mq/"}
    assert set(secrets("postgresql://db/n")[0]["stringData"]) == {"nahtlos_journal"}
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    for name, content in keys.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o440)
    vault = Vault.open(folder)
    assert [f"site-{key_id}.key" for key_id in vault.key_ids] == [name for name in keys if name.startswith("site-")]
    assert {path.name for path in folder.iterdir()} == set(keys), "the vault made keys of its own"


def test_secrets_that_are_asked_for_without_an_address_are_not_made() -> None:
    done = subprocess.run([str(KUBERNETES / "secrets.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""


def _line(resource: Resource) -> str:
    return json.dumps(resource, sort_keys=True)


if KUBECTL := shutil.which("kubectl"):  # one test more where it can be had; our own builder carries the others everywhere

    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_kustomize_itself_says_the_same(overlay: str) -> None:
        said = subprocess.run(
            [str(KUBECTL), "kustomize", str(KUBERNETES / "overlays" / overlay)], capture_output=True, text=True, check=True,
        ).stdout
        theirs = list(yaml.safe_load_all(said))
        (site,) = (each["metadata"]["name"] for each in theirs if each["kind"] == "ConfigMap")
        theirs = json.loads(json.dumps(theirs).replace(site, "nahtlos-site"))
        assert sorted(map(_line, theirs)) == sorted(map(_line, built(KUBERNETES / "overlays" / overlay)))
