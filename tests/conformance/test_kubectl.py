"""Sessions of a real kubectl: what a user types, and what kubectl makes of the answers."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedstate.kube.client import KubeClient
from tests.conformance.conftest import Server, config_map
from tests.e2e.system import kubectl_path

pytestmark = pytest.mark.kubectl
Kubectl = Callable[..., subprocess.CompletedProcess[str]]
MANIFESTS = Path(__file__).parents[2] / "manifests" / "crds"

INSTANCE = """
apiVersion: middleware.fedstate.io/v1alpha1
kind: MultiCloudMongoDB
metadata:
  name: sample
spec:
  replicaset: 5
  imageSetting:
    image: mongo:6.0
  storage:
    storageSize: 1Gi
"""


@pytest.fixture
def ours(kubectl: Kubectl) -> None:
    """FedState's own kinds are served."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(MANIFESTS))
    kubectl("wait", "--for=condition=Established", "-f", str(MANIFESTS), "--timeout=10s")


def test_apply_creates_configures_and_leaves_unchanged(kubectl: Kubectl, namespace: str) -> None:
    first = yaml.safe_dump(config_map("a", namespace, {"k": "1"}))
    assert kubectl("apply", "-f", "-", stdin=first).stdout == "configmap/a created\n"
    assert kubectl("apply", "-f", "-", stdin=first).stdout == "configmap/a unchanged\n"
    second = yaml.safe_dump(config_map("a", namespace, {"k": "2"}))
    assert kubectl("apply", "-f", "-", stdin=second).stdout == "configmap/a configured\n"
    assert kubectl("get", "cm", "a", "-n", namespace, "-o", "jsonpath={.data.k}").stdout == "2"


def test_apply_removes_what_the_file_no_longer_has(kubectl: Kubectl, namespace: str) -> None:
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump(config_map("a", namespace, {"k": "1", "gone": "x"})))
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump(config_map("a", namespace, {"k": "1"})))
    assert json.loads(kubectl("get", "cm", "a", "-n", namespace, "-o", "json").stdout)["data"] == {"k": "1"}


def test_server_side_apply_says_who_owns_the_field(kubectl: Kubectl, namespace: str) -> None:
    kubectl(
        "apply", "--server-side", "--field-manager=one", "-f", "-", stdin=yaml.safe_dump(config_map("a", namespace, {"k": "1"}))
    )
    other = yaml.safe_dump(config_map("a", namespace, {"k": "2"}))
    refused = kubectl("apply", "--server-side", "--field-manager=two", "-f", "-", stdin=other, check=False)
    assert refused.returncode == 1
    assert 'conflict with "one": .data.k' in refused.stderr
    forced = kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=two", "-f", "-", stdin=other)
    assert forced.stdout == "configmap/a serverside-applied\n"


def test_server_side_apply_takes_over_from_client_side_apply(kubectl: Kubectl, namespace: str) -> None:
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump(config_map("a", namespace, {"k": "1"})))
    changed = yaml.safe_dump(config_map("a", namespace, {"k": "2"}))
    assert kubectl("apply", "--server-side", "-f", "-", stdin=changed).stdout == "configmap/a serverside-applied\n"
    assert kubectl("get", "cm", "a", "-n", namespace, "-o", "jsonpath={.data.k}").stdout == "2"


def test_get_prints_the_columns_of_its_kind(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "configmap", "a", "-n", namespace, "--from-literal=x=1", "--from-literal=y=2")
    lines = kubectl("get", "cm", "a", "-n", namespace).stdout.splitlines()
    assert lines[0].split() == ["NAME", "DATA", "AGE"]
    assert re.fullmatch(r"a\s+2\s+\d+s", lines[1])


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        ("pods", "NAME READY STATUS RESTARTS AGE"),
        ("services", "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE"),
        ("secrets", "NAME TYPE DATA AGE"),
        ("statefulsets", "NAME READY AGE"),
    ],
)
async def test_built_in_kinds_have_their_usual_columns(
    server: Server, client: KubeClient, namespace: str, kind: str, header: str
) -> None:
    objects: dict[str, dict[str, Any]] = {
        "pods": {"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": "x", "containers": [{"name": "c", "image": "x"}]}},
        "services": {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 1}]}},
        "secrets": {"apiVersion": "v1", "kind": "Secret"},
        "statefulsets": {
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "spec": {"replicas": 0, "serviceName": "x", "selector": {"matchLabels": {"a": "b"}},
                     "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}},
        },
    }  # fmt: skip
    server.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps({**objects[kind], "metadata": {"name": "x"}}))
    assert server.kubectl("get", kind, "-n", namespace).stdout.splitlines()[0].split() == header.split()


def test_get_of_nothing_says_so(kubectl: Kubectl, namespace: str) -> None:
    assert kubectl("get", "secrets", "-n", namespace).stderr == f"No resources found in {namespace} namespace.\n"
    missing = kubectl("get", "cm", "nope", "-n", namespace, check=False)
    assert missing.stderr == 'Error from server (NotFound): configmaps "nope" not found\n'


def test_get_of_an_unknown_kind_says_so(kubectl: Kubectl) -> None:
    assert 'the server doesn\'t have a resource type "unicorns"' in kubectl("get", "unicorns", check=False).stderr


def test_our_kind_has_its_columns_and_short_name(kubectl: Kubectl, namespace: str, ours: None) -> None:
    kubectl("apply", "-n", namespace, "-f", "-", stdin=INSTANCE)
    lines = kubectl("get", "mcm", "-n", namespace).stdout.splitlines()
    assert lines[0].split()[0] == "NAME"
    assert "STATE" in lines[0]
    assert lines[0].split()[-1] == "AGE"
    assert lines[1].startswith("sample")
    assert kubectl("get", "fedstate", "-n", namespace, "-o", "name").stdout == "multicloudmongodb.middleware.fedstate.io/sample\n"


def test_explain_describes_our_fields(kubectl: Kubectl, ours: None) -> None:
    text = kubectl("explain", "multicloudmongodb.spec").stdout
    assert "KIND:       MultiCloudMongoDB" in text
    assert "replicaset" in text
    assert "<integer>" in text
    deep = kubectl("explain", "multicloudmongodb.spec.storage").stdout
    assert "storageSize" in deep


def test_explain_describes_built_in_kinds(kubectl: Kubectl) -> None:
    text = kubectl("explain", "service.spec").stdout
    assert "KIND:       Service" in text
    assert "clusterIP" in text


def test_describe_shows_an_object_and_its_events(kubectl: Kubectl, namespace: str, ours: None) -> None:
    kubectl("apply", "-n", namespace, "-f", "-", stdin=INSTANCE)
    text = kubectl("describe", "mcm", "sample", "-n", namespace).stdout
    assert re.search(r"Name:\s+sample", text)
    assert "Replicaset:" in text
    assert re.search(r"Events:\s+<none>", text)


def test_scale_changes_the_number_of_members(kubectl: Kubectl, namespace: str, ours: None) -> None:
    kubectl("apply", "-n", namespace, "-f", "-", stdin=INSTANCE)
    assert "scaled" in kubectl("scale", "mcm/sample", "--replicas=7", "-n", namespace).stdout
    assert kubectl("get", "mcm", "sample", "-n", namespace, "-o", "jsonpath={.spec.replicaset}").stdout == "7"
    refused = kubectl("scale", "mcm/sample", "--replicas=0", "-n", namespace, check=False)
    assert refused.returncode == 1
    assert "spec.replicaset" in refused.stderr


@pytest.mark.parametrize(
    ("kind", "patch", "key"),
    [
        ("merge", '{"data": {"k": "2"}}', "2"),
        ("strategic", '{"data": {"k": "3"}}', "3"),
        ("json", '[{"op": "replace", "path": "/data/k", "value": "4"}]', "4"),
    ],
)
def test_patch_of_every_type(kubectl: Kubectl, namespace: str, kind: str, patch: str, key: str) -> None:
    kubectl("create", "configmap", "a", "-n", namespace, "--from-literal=k=1")
    assert kubectl("patch", "cm", "a", "-n", namespace, "--type", kind, "-p", patch).stdout == "configmap/a patched\n"
    assert kubectl("get", "cm", "a", "-n", namespace, "-o", "jsonpath={.data.k}").stdout == key


def test_patch_that_changes_nothing_says_so(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "configmap", "a", "-n", namespace, "--from-literal=k=1")
    answer = kubectl("patch", "cm", "a", "-n", namespace, "--type=merge", "-p", '{"data": {"k": "1"}}')
    assert answer.stdout == "configmap/a patched (no change)\n"


def test_label_and_annotate(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "configmap", "a", "-n", namespace)
    assert kubectl("label", "cm", "a", "x=1", "-n", namespace).stdout == "configmap/a labeled\n"
    assert "already has a value" in kubectl("label", "cm", "a", "x=2", "-n", namespace, check=False).stderr
    assert kubectl("annotate", "cm", "a", "note=hello", "-n", namespace).stdout == "configmap/a annotated\n"
    assert kubectl("get", "cm", "-l", "x=1", "-n", namespace, "-o", "name").stdout == "configmap/a\n"
    assert kubectl("label", "cm", "a", "x-", "-n", namespace).stdout == "configmap/a unlabeled\n"


def test_edit_goes_through_an_editor(server: Server, namespace: str, tmp_path: Path) -> None:
    server.kubectl("create", "configmap", "a", "-n", namespace, "--from-literal=k=old")
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/old/new/' \"$1\"\n")
    editor.chmod(0o755)
    answer = subprocess.run(
        ["env", f"KUBE_EDITOR={editor}", kubectl_path(), "--kubeconfig", str(server.kubeconfig), "edit", "cm", "a", "-n", namespace],
        capture_output=True, text=True, timeout=15, check=False,
    )  # fmt: skip
    assert answer.stdout == "configmap/a edited\n", answer.stderr
    assert server.kubectl("get", "cm", "a", "-n", namespace, "-o", "jsonpath={.data.k}").stdout == "new"


def test_replace_and_diff(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "configmap", "a", "-n", namespace, "--from-literal=k=1")
    other = yaml.safe_dump(config_map("a", namespace, {"k": "2"}))
    difference = kubectl("diff", "-f", "-", stdin=other, check=False)
    assert difference.returncode == 1, difference.stderr
    assert '+  k: "2"' in difference.stdout
    assert kubectl("replace", "-f", "-", stdin=other).stdout == "configmap/a replaced\n"


def test_unknown_field_is_an_error_that_names_it(kubectl: Kubectl, namespace: str, ours: None) -> None:
    wrong = INSTANCE.replace("replicaset: 5", "replicaset: 5\n  replicasets: 6")
    refused = kubectl("apply", "-n", namespace, "-f", "-", stdin=wrong, check=False)
    assert refused.returncode == 1
    assert 'unknown field "spec.replicasets"' in refused.stderr


def test_wrong_value_is_an_error_that_names_it(kubectl: Kubectl, namespace: str, ours: None) -> None:
    refused = kubectl("apply", "-n", namespace, "-f", "-", stdin=INSTANCE.replace("replicaset: 5", "replicaset: -5"), check=False)
    assert refused.returncode == 1
    assert "spec.replicaset" in refused.stderr
    assert "greater than or equal to 1" in refused.stderr


def test_wait_for_a_condition_and_for_deletion(server: Server, namespace: str, ours: None) -> None:
    server.kubectl("apply", "-n", namespace, "-f", "-", stdin=INSTANCE)
    status = {"status": {"conditions": [{
        "type": "Ready", "status": "True", "reason": "Test", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
    }]}}  # fmt: skip
    server.kubectl("patch", "mcm", "sample", "-n", namespace, "--subresource=status", "--type=merge", "-p", json.dumps(status))
    waited = server.kubectl("wait", "mcm/sample", "-n", namespace, "--for=condition=Ready", "--timeout=5s")
    assert waited.stdout == "multicloudmongodb.middleware.fedstate.io/sample condition met\n"
    server.kubectl("delete", "mcm", "sample", "-n", namespace, "--wait=false")
    server.kubectl("wait", "mcm/sample", "-n", namespace, "--for=delete", "--timeout=10s")


def test_get_watch_follows_changes(server: Server, namespace: str) -> None:
    watching = subprocess.Popen(
        [
            kubectl_path(), "--kubeconfig", str(server.kubeconfig),
            "get", "cm", "-n", namespace, "-w", "-o", "name", "--field-selector=metadata.name=a",
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert watching.stdout is not None
        server.kubectl("create", "configmap", "a", "-n", namespace)
        assert watching.stdout.readline() == "configmap/a\n"
        server.kubectl("label", "cm", "a", "x=1", "-n", namespace)
        assert watching.stdout.readline() == "configmap/a\n"
    finally:
        watching.terminate()
        watching.wait()
        if watching.stdout is not None:
            watching.stdout.close()


def test_delete_waits_and_reports(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "configmap", "a", "-n", namespace)
    deleted = kubectl("delete", "cm", "a", "-n", namespace).stdout
    assert deleted.startswith('configmap "a" deleted')
    kubectl("delete", "cm", "a", "-n", namespace, "--ignore-not-found")


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_delete_with_every_kind_of_cascade(kubectl: Kubectl, namespace: str, cascade: str) -> None:
    kubectl("create", "configmap", "a", "-n", namespace)
    kubectl("delete", "cm", "a", "-n", namespace, f"--cascade={cascade}")
    assert kubectl("get", "cm", "a", "-n", namespace, check=False).returncode == 1


def test_api_resources_lists_our_kinds_with_short_names(kubectl: Kubectl, ours: None) -> None:
    lines = kubectl("api-resources", "--api-group=middleware.fedstate.io").stdout.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert rows["multicloudmongodbs"] == ["mcm", "middleware.fedstate.io/v1alpha1", "true", "MultiCloudMongoDB"]
    assert rows["mongodbs"] == ["fmdb", "middleware.fedstate.io/v1alpha1", "true", "MongoDB"]


def test_api_versions_lists_the_groups(kubectl: Kubectl, ours: None) -> None:
    versions = kubectl("api-versions").stdout.split()
    assert {"v1", "apps/v1", "coordination.k8s.io/v1", "middleware.fedstate.io/v1alpha1"} <= set(versions)


def test_version_shows_client_and_server(kubectl: Kubectl) -> None:
    answer = json.loads(kubectl("version", "-o", "json").stdout)
    assert answer["serverVersion"]["gitVersion"].startswith("v1.")


def test_whoami_names_the_user(kubectl: Kubectl) -> None:
    answer = json.loads(kubectl("auth", "whoami", "-o", "json").stdout)
    assert answer["status"]["userInfo"]["username"] == "admin"
    assert "system:masters" in answer["status"]["userInfo"]["groups"]


def test_admin_may_do_everything(kubectl: Kubectl, namespace: str) -> None:
    assert kubectl("auth", "can-i", "delete", "pods", "-n", namespace).stdout == "yes\n"


def test_wrong_token_is_unauthorized(kubectl: Kubectl) -> None:
    refused = kubectl("get", "cm", "--token=wrong", check=False)
    assert refused.returncode == 1
    assert "Unauthorized" in refused.stderr


def test_dry_run_on_the_server_keeps_nothing(kubectl: Kubectl, namespace: str) -> None:
    answer = kubectl("create", "configmap", "a", "-n", namespace, "--dry-run=server")
    assert answer.stdout == "configmap/a created (server dry run)\n"
    assert kubectl("get", "cm", "a", "-n", namespace, check=False).returncode == 1


def test_create_twice_says_already_exists(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "configmap", "a", "-n", namespace)
    refused = kubectl("create", "configmap", "a", "-n", namespace, check=False)
    assert refused.stderr == 'error: failed to create configmap: configmaps "a" already exists\n'
