"""Built-in kinds: defaults and refusals as recorded from kube-apiserver 1.37, quantities, definitions of CRDs."""

from __future__ import annotations

from typing import Any

import pytest

from fedstate.local.apiserver.objects.builtin_schemas import BuiltinKind, builtin_kind, builtin_kinds
from fedstate.local.apiserver.objects.quantities import canonical

Object = dict[str, Any]


def kind_of(api_version: str, kind: str) -> BuiltinKind:
    found = builtin_kind(api_version, kind)
    assert found is not None
    return found


def named(name: str = "x", **rest: Any) -> Object:
    return {"metadata": {"name": name}, **rest}


CONTAINER: Object = {"name": "c", "image": "i"}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
SET = named(spec={"serviceName": "w", "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE})
CLAIM = named(spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}})


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("0.5Gi", "512Mi"),
        ("1000m", "1"),
        ("1e3", "1e3"),
        ("1000", "1k"),
        ("2000Gi", "2000Gi"),
        ("0", "0"),
        ("100Mi", "100Mi"),
        (4, "4"),
        (0.25, "250m"),
        ("0.1Ki", "102400m"),
    ],
)
def test_quantities_have_one_spelling(text: Any, stored: str) -> None:
    assert canonical(text) == stored


def test_a_pod_gets_the_defaults_of_the_real_server() -> None:
    probe: Object = {"tcpSocket": {"port": 1}}
    limits = {"cpu": "0.5", "memory": "1024Mi"}
    container = {**CONTAINER, "ports": [{"containerPort": 80}], "resources": {"limits": limits}, "readinessProbe": probe}
    pod = kind_of("v1", "Pod").default(named(spec={"containers": [container]}))
    stored = {"cpu": "500m", "memory": "1Gi"}
    assert pod["spec"]["containers"] == [
        {
            **CONTAINER,
            "ports": [{"containerPort": 80, "protocol": "TCP"}],
            "resources": {"limits": stored, "requests": stored},
            "readinessProbe": {**probe, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "imagePullPolicy": "Always",
        }
    ]
    assert (pod["spec"]["restartPolicy"], pod["spec"]["dnsPolicy"], pod["spec"]["terminationGracePeriodSeconds"]) == (
        "Always",
        "ClusterFirst",
        30,
    )
    assert pod["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}


@pytest.mark.parametrize(
    ("image", "policy"),
    [("i", "Always"), ("i:latest", "Always"), ("i:1", "IfNotPresent"), ("h:5000/i", "Always"), ("i@sha256:0", "IfNotPresent")],
)
def test_the_pull_policy_follows_from_the_tag(image: str, policy: str) -> None:
    pod = kind_of("v1", "Pod").default(named(spec={"containers": [{"name": "c", "image": image}]}))
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_a_stateful_set_gets_the_defaults_of_the_real_server() -> None:
    spec = {**SET["spec"], "volumeClaimTemplates": [CLAIM]}
    stored = kind_of("apps/v1", "StatefulSet").default({**SET, "spec": spec})["spec"]
    assert stored["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}}
    assert (stored["replicas"], stored["podManagementPolicy"], stored["revisionHistoryLimit"]) == (1, "OrderedReady", 10)
    assert stored["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    claim = stored["volumeClaimTemplates"][0]
    assert (claim["kind"], claim["spec"]["volumeMode"], claim["status"]) == (
        "PersistentVolumeClaim",
        "Filesystem",
        {"phase": "Pending"},
    )
    assert "enableServiceLinks" not in stored["template"]["spec"]


def test_a_service_gets_the_defaults_of_the_real_server() -> None:
    stored = kind_of("v1", "Service").default(named(spec={"ports": [{"port": 80}], "type": "NodePort"}))
    assert stored["spec"] == {
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "type": "NodePort",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "externalTrafficPolicy": "Cluster",
    }


def test_text_of_a_secret_becomes_data() -> None:
    stored = kind_of("v1", "Secret").default(named(stringData={"a": "x"}))
    assert stored == {**named(data={"a": "eA=="}), "type": "Opaque"}


@pytest.mark.parametrize(
    ("api_version", "kind", "obj", "errors"),
    [
        ("v1", "Pod", named(), ["spec.containers: Required value"]),
        (
            "v1",
            "Pod",
            named(spec={"containers": [{}]}),
            ["spec.containers[0].name: Required value", "spec.containers[0].image: Required value"],
        ),
        (
            "v1",
            "Pod",
            named(spec={"containers": [CONTAINER, CONTAINER], "restartPolicy": "No"}),
            [
                'spec.containers[1].name: Duplicate value: "c"',
                'spec.restartPolicy: Unsupported value: "No": supported values: "Always", "OnFailure", "Never"',
            ],
        ),
        (
            "v1",
            "Pod",
            named(spec={"containers": [{**CONTAINER, "volumeMounts": [{"name": "zz", "mountPath": "/x"}]}]}),
            ['spec.containers[0].volumeMounts[0].name: Not found: "zz"'],
        ),
        ("v1", "Service", named(spec={}), ["spec.ports: Required value"]),
        (
            "v1",
            "Service",
            named(spec={"ports": [{"port": 80, "nodePort": 30080}]}),
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            "apps/v1",
            "StatefulSet",
            named(spec={}),
            [
                "spec.selector: Required value",
                "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
                "spec.template.spec.containers: Required value",
            ],
        ),
        (
            "v1",
            "PersistentVolumeClaim",
            named(spec={}),
            ["spec.accessModes: Required value: at least 1 access mode is required", "spec.resources[storage]: Required value"],
        ),
        ("v1", "Secret", named(type="kubernetes.io/tls"), ["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
        ("storage.k8s.io/v1", "StorageClass", named(), ["provisioner: Required value"]),
        (
            "coordination.k8s.io/v1",
            "Lease",
            named(spec={"leaseDurationSeconds": 0}),
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
        ),
        ("v1", "ServiceAccount", {"metadata": {}}, ["metadata.name: Required value: name or generateName is required"]),
        (
            "v1",
            "ConfigMap",
            {"metadata": {"name": "x", "finalizers": ["bad"], "ownerReferences": [{"kind": "X", "name": "n", "uid": "u"}]}},
            [
                "metadata.ownerReferences[0].apiVersion: Required value: must not be empty",
                'metadata.finalizers[0]: Invalid value: "bad": name is neither a standard finalizer name nor is it fully qualified',
            ],
        ),
    ],
)
def test_a_refusal_reads_as_kube_apiserver_words_it(api_version: str, kind: str, obj: Object, errors: list[str]) -> None:
    known = kind_of(api_version, kind)
    assert [str(error) for error in known.validate(known.default(obj))] == errors


@pytest.mark.parametrize(
    ("api_version", "kind", "old", "change", "error"),
    [
        ("apps/v1", "StatefulSet", SET, {"serviceName": "z"}, 'spec.serviceName: Invalid value: "z": field is immutable'),
        (
            "v1",
            "PersistentVolumeClaim",
            CLAIM,
            {"accessModes": ["ReadWriteMany"]},
            "spec: Forbidden: spec is immutable after creation except",
        ),
        (
            "v1",
            "Service",
            named(spec={"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}),
            {"clusterIP": "10.96.0.77", "clusterIPs": ["10.96.0.77"]},
            'spec.clusterIPs[0]: Invalid value: ["10.96.0.77"]: may not change once set',
        ),
        (
            "v1",
            "Pod",
            named(spec={"containers": [CONTAINER]}),
            {"containers": [{**CONTAINER, "name": "d"}]},
            "spec: Forbidden: pod updates may not",
        ),
    ],
)
def test_what_may_not_change_is_refused(api_version: str, kind: str, old: Object, change: Object, error: str) -> None:
    known = kind_of(api_version, kind)
    before = known.default(old)
    assert known.validate(before, before) == []
    errors = known.validate({**before, "spec": {**before["spec"], **change}}, before)
    assert [str(one)[: len(error)] for one in errors] == [error]


def test_immutable_data_stays() -> None:
    known, old = kind_of("v1", "ConfigMap"), named(immutable=True, data={"a": "1"})
    assert [str(error) for error in known.validate({**old, "data": {"a": "2"}}, old)] == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]


@pytest.mark.parametrize(
    ("api_version", "kind", "obj", "message"),
    [
        (
            "apps/v1",
            "StatefulSet",
            {"spec": {"replicas": "3"}},
            "json: cannot unmarshal string into Go struct field StatefulSet.spec.replicas of type int32",
        ),
        (
            "v1",
            "ConfigMap",
            {"data": {"a": 1}},
            "json: cannot unmarshal number into Go struct field ConfigMap.data.a of type string",
        ),
        ("v1", "Secret", {"data": {"a": "***"}}, "illegal base64 data at input byte 0"),
        ("v1", "PersistentVolumeClaim", {"spec": {"resources": {"requests": {"storage": "x"}}}}, "quantities must match"),
    ],
)
def test_what_cannot_be_decoded_is_told(api_version: str, kind: str, obj: Object, message: str) -> None:
    assert (kind_of(api_version, kind).decode_error(obj) or "").startswith(message)


def test_every_kind_accepts_its_own_defaults_twice() -> None:
    for known in builtin_kinds():
        once = known.default({"metadata": {"name": "x"}})
        assert known.default(once) == once
        assert known.schema.prune(once) == (once, [])


def crd(**spec: Any) -> Object:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    whole = {"group": "t.io", "names": names, "scope": "Namespaced", "versions": [version], **spec}
    return {"metadata": {"name": "things.t.io"}, "spec": whole}


def test_a_definition_gets_the_names_that_follow_from_its_kind() -> None:
    known = kind_of("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    names = known.default(crd(names={"plural": "things", "kind": "Thing"}))["spec"]["names"]
    assert (names["singular"], names["listKind"]) == ("thing", "ThingList")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"group": "u.io"}, "metadata.name"),
        ({"scope": "Everywhere"}, "spec.scope"),
        ({"versions": []}, "spec.versions"),
        ({"versions": [{"name": "v1", "served": True, "storage": True}]}, "spec.validation.openAPIV3Schema"),
    ],
)
def test_a_wrong_definition_is_refused(change: Object, field: str) -> None:
    known = kind_of("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert known.validate(crd()) == []
    assert field in [error.field for error in known.validate(crd(**change))]
