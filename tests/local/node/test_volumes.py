"""Projected files and environment."""

import base64
from pathlib import Path
from typing import Any

import pytest

from fedstate.local.node.environment import NotYetThere, environment_of, expand
from fedstate.local.node.volumes import File, Sources, mounts_of, project, projected_files

POD: Any = {
    "metadata": {"name": "x-0", "namespace": "ns", "uid": "u", "labels": {"app": "x"}, "annotations": {"a": 'q"'}},
    "spec": {"nodeName": "n1", "containers": [{"name": "c", "resources": {"limits": {"memory": "1Gi"}}}]},
}
FACTS = {"status.podIP": "127.0.0.9"}


def lookup(kind: str, name: str) -> Any:
    known: dict[tuple[str, str], Any] = {
        ("Secret", "s"): {"data": {"k": base64.b64encode(b"\x00v").decode(), "l": base64.b64encode(b"w").decode()}},
        ("ConfigMap", "m"): {"data": {"conf": "text"}},
    }
    return known.get((kind, name))


def files(volume: dict[str, Any]) -> dict[str, File] | None:
    def no_claim(_: str) -> Path:
        raise AssertionError

    return projected_files({"name": "v", **volume}, Sources(pod=POD, lookup=lookup, facts=FACTS, claim_directory=no_claim))


def test_a_secret_is_projected_with_its_modes_and_items() -> None:
    assert files({"secret": {"secretName": "s", "defaultMode": 0o400}}) == {
        "k": File(content=b"\x00v", mode=0o400),
        "l": File(content=b"w", mode=0o400),
    }
    chosen = {"secretName": "s", "items": [{"key": "k", "path": "a/b", "mode": 0o600}]}
    assert files({"secret": chosen}) == {"a/b": File(content=b"\x00v", mode=0o600)}


def test_what_is_missing_is_named_unless_it_is_optional() -> None:
    with pytest.raises(NotYetThere, match='secret "no" not found'):
        files({"secret": {"secretName": "no"}})
    with pytest.raises(NotYetThere, match="non-existent configmap key: z"):
        files({"configMap": {"name": "m", "items": [{"key": "z", "path": "z"}]}})
    assert files({"secret": {"secretName": "no", "optional": True}}) == {}


def test_a_projected_volume_joins_its_sources() -> None:
    sources = [
        {"configMap": {"name": "m"}},
        {"secret": {"name": "s", "items": [{"key": "l", "path": "l"}]}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    found = files({"projected": {"sources": sources}})
    assert found is not None
    assert {name: file.content for name, file in found.items()} == {"conf": b"text", "l": b"w", "labels": b'app="x"'}


def test_files_change_all_at_once_and_go_when_their_key_goes(tmp_path: Path) -> None:
    directory = tmp_path / "v"
    assert project(directory, {"a": File(content=b"1", mode=0o400), "b/c": File(content=b"2", mode=0o644)})
    assert (directory / "a").stat().st_mode & 0o777 == 0o400
    assert (directory / "b" / "c").read_bytes() == b"2"
    assert not project(directory, {"a": File(content=b"1", mode=0o400), "b/c": File(content=b"2", mode=0o644)})
    assert project(directory, {"a": File(content=b"3", mode=0o400)})
    assert (directory / "a").read_bytes() == b"3"
    assert sorted(path.name for path in directory.iterdir() if not path.name.startswith("..")) == ["a"]
    assert len([path for path in directory.iterdir() if path.is_dir() and not path.is_symlink()]) == 1


def test_environment_takes_values_fields_secrets_and_references_in_order() -> None:
    container = {
        "name": "c",
        "resources": {"limits": {"cpu": "1500m"}},
        "envFrom": [{"configMapRef": {"name": "m"}, "prefix": "P_"}],
        "env": [
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)-$(P_conf)-$(C)"},
            {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "l"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "zz", "optional": True}}},
        ],
    }
    assert environment_of(POD, container, lookup, FACTS) == {
        "P_conf": "text", "A": "1", "B": "1-text-$(C)", "C": "w", "IP": "127.0.0.9", "APP": "x", "CPU": "2",
    }  # fmt: skip


def test_a_missing_key_is_named() -> None:
    container = {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "no"}}}]}
    with pytest.raises(NotYetThere, match="couldn't find key no in ConfigMap m"):
        environment_of(POD, container, lookup, FACTS)


def test_unknown_references_stay_and_double_dollars_escape() -> None:
    assert expand("$(A) $(B) $$(A) $A", {"A": "1"}) == "1 $(B) $(A) $A"


def test_a_mount_may_be_a_part_of_a_volume_but_not_leave_it(tmp_path: Path) -> None:
    mounts = [{"name": "v", "mountPath": "/a", "subPath": "x/y"}]
    assert mounts_of({"volumeMounts": mounts}, {"v": tmp_path}, str) == {"/a": str(tmp_path / "x/y")}
    with pytest.raises(NotYetThere, match="must not contain"):
        mounts_of({"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../b"}]}, {"v": tmp_path}, str)
