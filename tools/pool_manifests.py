"""Writes the manifests of pools below deploy/: a Deployment each, and its scaler for HPA and for KEDA.

Usage: python tools/pool_manifests.py [--pools MODULE …] [--out deploy]. What differs between pools comes from the Pool
objects themselves: their names, their concurrency, and the bounds of their scale.
"""

import argparse
import sys
from pathlib import Path
from string import Template
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from orchestrator.ports.tasks import LANES  # the checkout first
from workers import Pool, Registry  # the checkout first

GRACE_S: Final = 60  #: for running steps when a worker is asked to go
LEASE_S: Final = 30  #: above the lease of a worker's tasks, with room for a last answer
COOLDOWN_S: Final = 300  #: before a pool shrinks; set it above the 95th percentile of its steps
HEADER: Final = (
    "# Written by tools/pool_manifests.py from the pool itself: change it there, or with a patch in an overlay.\n"
)

DEPLOYMENT: Final = Template("""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: worker-$name
  labels: {app.kubernetes.io/name: orchestrator, app.kubernetes.io/component: worker, orchestrator/pool: $pool}
spec:
  # No number of replicas: a scaler owns it, and applying this file again must not set it back.
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 25%}
  selector:
    matchLabels: {app.kubernetes.io/name: orchestrator, app.kubernetes.io/component: worker, orchestrator/pool: $pool}
  template:
    metadata:
      labels: {app.kubernetes.io/name: orchestrator, app.kubernetes.io/component: worker, orchestrator/pool: $pool}
    spec:
      serviceAccountName: orchestrator
      automountServiceAccountToken: false
      # Above the grace for running steps and above the lease: what is not done by then has been handed back.
      terminationGracePeriodSeconds: $termination
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: worker
          image: orchestrator
          args: [worker, --pool, $pool, --concurrency, "$concurrency", --grace, "$grace", --http, "0.0.0.0:9464"]
          ports: [{name: http, containerPort: 9464}]
          envFrom: [{configMapRef: {name: orchestrator}}]
          env:
            - name: ORCHESTRATOR_TRANSPORT
              valueFrom: {secretKeyRef: {name: orchestrator, key: transport}}
          startupProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 2
            failureThreshold: 30
          livenessProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: 5
            timeoutSeconds: 3
          resources:
            requests: {cpu: 250m, memory: 256Mi}
            limits: {memory: 1Gi}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts: [{name: tmp, mountPath: /tmp}]
      volumes:
        - name: tmp
          emptyDir: {sizeLimit: 1Gi}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: worker-$name
  labels: {app.kubernetes.io/name: orchestrator, app.kubernetes.io/component: worker, orchestrator/pool: $pool}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {app.kubernetes.io/name: orchestrator, app.kubernetes.io/component: worker, orchestrator/pool: $pool}
""")

HPA: Final = Template("""\
# Needs an adapter that serves the gauge orchestrator_pool_backlog as an external metric. Its least is one worker.
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: worker-$name
  labels: {app.kubernetes.io/name: orchestrator, app.kubernetes.io/component: worker, orchestrator/pool: $pool}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: worker-$name}
  minReplicas: $hpa_least
  maxReplicas: $most
  metrics:
    - type: External
      external:
        # waiting + delayed + running: with the queue's length alone a pool would shrink under its last long step.
        metric:
          name: orchestrator_pool_backlog
          selector: {matchLabels: {pool: $pool}}
        target: {type: AverageValue, averageValue: "$concurrency"}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
      policies: [{type: Percent, value: 100, periodSeconds: 15}, {type: Pods, value: 4, periodSeconds: 15}]
    scaleDown:
      stabilizationWindowSeconds: $cooldown
      policies: [{type: Percent, value: 50, periodSeconds: 60}]
""")

KEDA: Final = Template("""\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: worker-$name
  labels: {app.kubernetes.io/name: orchestrator, app.kubernetes.io/component: worker, orchestrator/pool: $pool}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: worker-$name}
  minReplicaCount: $least
  maxReplicaCount: $most
  pollingInterval: 5
  cooldownPeriod: $cooldown
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown: {stabilizationWindowSeconds: $cooldown}
  triggers:
$triggers
    # The same number from the journal's side, which a lost or emptied Redis does not make smaller.
    - type: metrics-api
      metadata:
        url: http://supervisor.orchestrator.svc:9464/v1/pools/$pool/backlog
        valueLocation: backlog
        targetValue: "$concurrency"
""")

# Lag alone is blind to steps that run: a pool would be scaled to zero under its last one. Hence two triggers per lane.
TRIGGER: Final = Template("""\
    - type: redis-streams
      metadata:
        stream: "$stream"
        consumerGroup: $group
        $kind: "$concurrency"
      authenticationRef: {name: orchestrator-redis}
""").template.rstrip("\n")


def names_of_streams(pool: str) -> tuple[str, list[str]]:
    """Consumer group and streams of a pool, highest lane first, as the Redis transport names them."""
    from orchestrator.adapters.redis.limits import GROUP, NAMESPACE

    return GROUP, [f"{NAMESPACE}:q:{pool}:{number}" for number, _ in enumerate(LANES, start=1)]


def manifests(pool: Pool) -> dict[str, str]:
    """The files of one pool, by place below deploy/."""
    name = pool.name.replace("_", "-")
    least, most = pool.scale
    group, streams = names_of_streams(pool.name)
    triggers = [
        Template(TRIGGER).substitute(stream=stream, group=group, kind=kind, concurrency=pool.concurrency)
        for stream in streams
        for kind in ("lagCount", "pendingEntriesCount")
    ]
    words = {
        "name": name,
        "pool": pool.name,
        "concurrency": pool.concurrency,
        "least": least,
        "most": most,
        "hpa_least": max(least, 1),
        "grace": GRACE_S,
        "termination": GRACE_S + LEASE_S,
        "cooldown": COOLDOWN_S,
        "triggers": "\n".join(triggers),
    }
    return {
        f"base/pools/{name}.yaml": HEADER + DEPLOYMENT.substitute(words),
        f"components/hpa/{name}.yaml": HEADER + HPA.substitute(words),
        f"components/keda/{name}.yaml": HEADER + KEDA.substitute(words),
    }


def lists(names: list[str]) -> dict[str, str]:
    """The kustomizations that name those files."""
    one_each = "".join(f"  - {name}.yaml\n" for name in names)
    pools = one_each.replace("  - ", "  - pools/")
    component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources:\n"
    base = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n"
    return {
        "base/kustomization.yaml": f"{HEADER}{base}  - config.yaml\n  - supervisor.yaml\n{pools}",
        "components/hpa/kustomization.yaml": HEADER + component + one_each,
        "components/keda/kustomization.yaml": HEADER + component + "  - authentication.yaml\n" + one_each,
    }  # fmt: skip


def written(modules: list[str]) -> dict[str, str]:
    """Every file, by place below deploy/."""
    pools = sorted(Registry.from_modules(modules), key=lambda pool: pool.name)
    found: dict[str, str] = {}
    for pool in pools:
        found |= manifests(pool)
    return found | lists([pool.name.replace("_", "-") for pool in pools])


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description="Write the manifests of pools.")
    parser.add_argument("--pools", action="append", default=[], metavar="MODULE")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "deploy")
    given = parser.parse_args()
    for place, text in written(given.pools).items():
        path = given.out / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
