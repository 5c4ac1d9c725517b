"""What members are made of: names, pods, configuration, Secrets."""

from __future__ import annotations

import base64
import json
from typing import Any

import yaml

from fedstate.api.mongodb import MongoDB
from fedstate.dataplane.credentials import read_credentials, users_to_write
from fedstate.dataplane.mongodconf import custom_text, mongod_conf
from fedstate.dataplane.naming import claim_name
from fedstate.dataplane.pods import PodInputs, pod_revision, pod_template
from fedstate.dataplane.specs import auth_secret, member_service, member_stateful_set, pull_secret
from fedstate.dataplane.writer import is_part_of
from fedstate.mongo.admin import UserInfo
from tests.dataplane.cell import mongodb


def parsed(**spec: Any) -> MongoDB:
    return MongoDB.from_object(mongodb(**spec))


def inputs(**spec: Any) -> PodInputs:
    mongo = parsed(**spec)
    conf = mongod_conf(replset="x", settings=mongo.config, custom=None, memory_limit=None)
    return PodInputs(mongo=mongo, conf=conf, claim_name="data-1")


def test_what_a_member_cannot_be_without_wins_over_the_users_settings() -> None:
    custom = "net: {port: 1, bindIp: 10.0.0.1, maxIncomingConnections: 9}\nsecurity: {authorization: disabled}\n"
    conf = mongod_conf(
        replset="x",
        settings=(("storage.engine", "wiredTiger"), ("net.maxIncomingConnections", "12"), ("LOG_LEVEL", "info")),
        custom=custom,
        memory_limit="3Gi",
    )
    document = yaml.safe_load(conf.text)
    assert document["net"] == {"port": 27017, "bindIpAll": True, "maxIncomingConnections": 12}
    assert document["security"]["authorization"] == "enabled"
    assert document["storage"]["wiredTiger"]["engineConfig"]["cacheSizeGB"] == 1.0
    assert conf.environment == (("LOG_LEVEL", "info"),)
    assert {problem.split()[0] for problem in conf.problems} == {"net.bindIp", "net.port", "security.authorization"}


def test_a_custom_configuration_that_is_no_map_is_told_and_not_used() -> None:
    for text in ("- a\n- b\n", "a: [", "just words"):
        conf = mongod_conf(replset="x", settings=(), custom=text, memory_limit=None)
        assert len(conf.problems) == 1
        assert yaml.safe_load(conf.text)["replication"]["replSetName"] == "x"
    assert custom_text({"mongod.conf": "a", "other": "b"}) == "a"
    assert custom_text({"only.yaml": "a"}) == "a"
    assert custom_text({"one": "a", "two": "b"}) is None


def test_a_later_instance_of_the_same_name_never_mounts_the_volume_of_the_former() -> None:
    assert claim_name("x", 0, "uid-1") != claim_name("x", 0, "uid-2")
    stateful_set = member_stateful_set(inputs(), 0, arbiter=False, instance_uid="uid-1", storage="1Gi")
    template = stateful_set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"]
    assert f"{template}-{stateful_set['metadata']['name']}-0" == claim_name("x", 0, "uid-1")


def test_a_member_is_reached_before_it_is_ready_and_its_pod_is_only_replaced_by_the_operator() -> None:
    service = member_service(parsed(), 0, arbiter=False, instance_uid="u")
    assert service["spec"]["publishNotReadyAddresses"] is True
    stateful_set = member_stateful_set(inputs(), 0, arbiter=False, instance_uid="u", storage="1Gi")
    assert stateful_set["spec"]["updateStrategy"] == {"type": "OnDelete"}
    labels = stateful_set["spec"]["template"]["metadata"]["labels"]
    assert is_part_of(service["spec"]["selector"], labels)
    assert is_part_of(stateful_set["spec"]["selector"]["matchLabels"], labels)


def test_the_keyfile_is_copied_for_mongod_alone_and_no_password_is_in_the_pod() -> None:
    template = pod_template(inputs(rootPassword="secret-word"), {})
    (prepare,) = template["spec"]["initContainers"]
    assert "chmod 0400" in prepare["command"][2]
    assert {"name": "keyfile", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}} in template["spec"]["volumes"]
    assert "secret-word" not in json.dumps(template)


def test_the_revision_follows_the_template_and_the_configuration_and_nothing_else() -> None:
    same = pod_revision(inputs())
    assert pod_revision(inputs(members=5, rootPassword="x")) == same
    changes: list[dict[str, Any]] = [
        {"image": "mongo:7.0"},
        {"resources": {"requests": {"cpu": "1"}}},
        {"config": [{"name": "operationProfiling.slowOpThresholdMs", "value": "5"}]},
        {"podSpec": {"nodeSelector": {"disk": "ssd"}}},
        {"metricsExporterSpec": {"enable": True}},
    ]
    assert len({same, *(pod_revision(inputs(**change)) for change in changes)}) == len(changes) + 1


def test_both_forms_of_the_pull_secret_reach_the_pod() -> None:
    for value, name in (("registry", "registry"), ({"username": "u", "password": "p"}, "x-pull")):
        template = pod_template(inputs(imagePullSecret=value), {})
        assert template["spec"]["imagePullSecrets"] == [{"name": name}]
    secret = pull_secret(parsed(image="quay.io/a/mongo:6", imagePullSecret={"username": "u", "password": "p"}), "u")
    assert secret is not None
    assert "quay.io" in json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]
    assert pull_secret(parsed(imagePullSecret="registry"), "u") is None


def test_the_secret_is_made_once_and_only_the_root_password_follows_the_user() -> None:
    first = auth_secret(parsed(), None, None, lambda n: b"a" * n)
    again = auth_secret(parsed(), first, "mine", lambda n: b"b" * n)
    assert {key for key in first["data"] if first["data"][key] != again["data"][key]} == {"rootPassword"}
    credentials, problem = read_credentials(again)
    assert credentials is not None
    assert not problem
    assert "mine" not in repr(credentials)
    assert credentials.system.username == "__system"


def test_a_secret_that_lacks_a_key_is_named_with_it() -> None:
    secret = auth_secret(parsed(), None, None, lambda n: b"a" * n)
    del secret["data"]["keyfile"]
    assert read_credentials(secret) == (None, "Secret x-auth has no key keyfile; restore it")


def test_only_users_that_are_missing_or_have_another_password_are_written() -> None:
    credentials, _ = read_credentials(auth_secret(parsed(), None, "p", lambda n: b"a" * n))
    assert credentials is not None
    known = [UserInfo(name=user.name, roles=user.roles, fingerprint=user.fingerprint) for user in credentials.users]
    assert users_to_write(credentials, known) == ((), ())
    stale = UserInfo(name="root", roles=(("root", "admin"),), fingerprint="old")
    create, update = users_to_write(credentials, [stale, known[1]])
    assert [user.name for user in create] == ["clusterMonitor"]
    assert [user.name for user in update] == ["root"]
