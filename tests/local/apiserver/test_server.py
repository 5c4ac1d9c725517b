"""The server as a whole: who may ask, what survives a restart, what deletion leaves, what it refuses."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from fedstate.local.apiserver import ApiServer, TlsFiles, expiry
from fedstate.local.pki import Pki
from tests.local.apiserver.conftest import TOKEN, USER_TOKEN, Answer, Running, running

MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
DEFINITION: dict[str, Any] = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, "status": {
                            "type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                },
            },
            {"name": "v1beta1", "served": True, "storage": False, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": True}}},
        ],
    },
}  # fmt: skip


def widget(name: str, version: str = "v1", **fields: object) -> dict[str, object]:
    return {"apiVersion": f"example.com/{version}", "kind": "Widget", "metadata": {"name": name}, **fields}


async def until(ask: Callable[[], Awaitable[Answer]], code: int) -> Answer:
    async with asyncio.timeout(5):
        answer = await ask()
        while answer.code != code:
            answer = await ask()
    return answer


async def test_wrong_token_is_unauthorized_everywhere(api: Running) -> None:
    for path in (MAPS, "/version", "/healthz"):
        assert (await api.ask("GET", path, token="nonsense")).code == 401


async def test_nobody_may_see_health_and_version_but_nothing_else(api: Running) -> None:
    assert (await api.ask("GET", "/readyz", token=None)).body == "ok"
    assert (await api.ask("GET", "/version", token=None)).code == 200
    assert (await api.ask("GET", "/api", token=None)).message == 'forbidden: User "system:anonymous" cannot get path "/api"'
    refused = await api.ask("GET", "/api/v1/namespaces", token=None)
    assert refused.code == 403
    assert refused.message == (
        'namespaces is forbidden: User "system:anonymous" cannot list resource "namespaces" in API group "" at the cluster scope'
    )


async def test_user_without_rights_may_ask_who_they_are(api: Running) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = await api.ask("POST", path, {}, token=USER_TOKEN)
    assert answer.body["status"]["userInfo"] == {"username": "bob", "groups": ["dev", "system:authenticated"]}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    spec = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    assert (await api.ask("POST", path, spec, token=USER_TOKEN)).body["status"] == {"allowed": False}
    assert (await api.ask("POST", path, spec)).body["status"] == {"allowed": True}


async def test_token_review_knows_the_tokens(api: Running) -> None:
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    good = await api.ask("POST", path, {"spec": {"token": USER_TOKEN}})
    assert good.body["status"]["user"]["username"] == "bob"
    bad = await api.ask("POST", path, {"spec": {"token": "x"}})
    assert bad.body["status"] == {"user": {}, "error": "invalid bearer token"}


async def test_restart_loses_nothing(tmp_path: Path, pki: Pki) -> None:
    async with running(tmp_path / "db", pki) as api:
        await api.ask("POST", DEFINITIONS, DEFINITION)
        await api.ask("POST", WIDGETS, widget("w", spec={"size": 1}))
        service = await api.ask(
            "POST", SERVICES, {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
        )
        port, address = service.body["spec"]["ports"][0]["nodePort"], service.body["spec"]["clusterIP"]
        version = (await api.ask("GET", MAPS)).body["metadata"]["resourceVersion"]
    async with running(tmp_path / "db", pki) as api:
        assert (await api.ask("GET", f"{WIDGETS}/w")).body["spec"] == {"size": 1}
        assert (await api.ask("GET", MAPS)).body["metadata"]["resourceVersion"] == version
        taken = {"metadata": {"name": "t"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}}
        assert (await api.ask("POST", SERVICES, taken)).message.endswith("provided port is already allocated")
        taken = {"metadata": {"name": "t"}, "spec": {"clusterIP": address, "ports": [{"port": 80}]}}
        assert (await api.ask("POST", SERVICES, taken)).message.endswith("provided IP is already allocated")


async def test_failed_service_gives_back_what_it_took(api: Running) -> None:
    ports = [{"name": "a", "port": 1, "nodePort": 30001}, {"name": "b", "port": 2, "nodePort": 99}]
    assert (
        await api.ask("POST", SERVICES, {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": ports}})
    ).code == 422
    ports = [{"name": "a", "port": 1, "nodePort": 30001}]
    assert (
        await api.ask("POST", SERVICES, {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": ports}})
    ).code == 201


async def test_dry_run_takes_no_port(api: Running) -> None:
    body = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 1, "nodePort": 30002}]}}
    for path in (f"{SERVICES}?dryRun=All", SERVICES):
        assert (await api.ask("POST", path, body)).code == 201


async def test_node_port_range_runs_out_and_refills(api: Running) -> None:
    for number in range(10):
        body = {"metadata": {"name": f"s{number}"}, "spec": {"type": "NodePort", "ports": [{"port": 1}]}}
        assert (await api.ask("POST", SERVICES, body)).code == 201
    body = {"metadata": {"name": "more"}, "spec": {"type": "NodePort", "ports": [{"port": 1}]}}
    assert "range is full" in (await api.ask("POST", SERVICES, body)).message
    await api.ask("DELETE", f"{SERVICES}/s3")
    assert (await api.ask("POST", SERVICES, body)).code == 201


async def test_namespace_ends_after_what_holds_its_content(api: Running) -> None:
    await api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "x"}})
    await api.ask("POST", "/api/v1/namespaces/x/configmaps", {"metadata": {"name": "held", "finalizers": ["x.io/y"]}})
    await api.ask("POST", "/api/v1/namespaces/x/configmaps", {"metadata": {"name": "free"}})
    gone = await api.ask("DELETE", "/api/v1/namespaces/x")
    assert gone.body["status"]["phase"] == "Terminating"
    await until(lambda: api.ask("GET", "/api/v1/namespaces/x/configmaps/free"), 404)
    refused = await api.ask("POST", "/api/v1/namespaces/x/configmaps", {"metadata": {"name": "late"}})
    assert refused.code == 403
    assert refused.message == (
        'configmaps "late" is forbidden: unable to create new content in namespace x because it is being terminated'
    )
    conditions = (await api.ask("GET", "/api/v1/namespaces/x")).body["status"]["conditions"]
    assert {condition["type"] for condition in conditions} == {"NamespaceContentRemaining", "NamespaceFinalizersRemaining"}
    patch = {"metadata": {"finalizers": None}}
    await api.ask("PATCH", "/api/v1/namespaces/x/configmaps/held", patch, Content_Type="application/merge-patch+json")
    await until(lambda: api.ask("GET", "/api/v1/namespaces/x"), 404)


async def test_namespace_that_was_ending_goes_on_ending_after_a_restart(tmp_path: Path, pki: Pki) -> None:
    async with running(tmp_path / "db", pki) as api:
        await api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "x"}})
        await api.ask("POST", "/api/v1/namespaces/x/configmaps", {"metadata": {"name": "held", "finalizers": ["x.io/y"]}})
        await api.ask("DELETE", "/api/v1/namespaces/x")
    async with running(tmp_path / "db", pki) as api:
        patch = {"metadata": {"finalizers": None}}
        await api.ask("PATCH", "/api/v1/namespaces/x/configmaps/held", patch, Content_Type="application/merge-patch+json")
        await until(lambda: api.ask("GET", "/api/v1/namespaces/x"), 404)


async def test_definition_ends_after_its_objects_and_is_no_longer_served(api: Running) -> None:
    await api.ask("POST", DEFINITIONS, DEFINITION)
    await api.ask("POST", WIDGETS, widget("w"))
    await api.ask("DELETE", f"{DEFINITIONS}/widgets.example.com")
    await until(lambda: api.ask("GET", f"{DEFINITIONS}/widgets.example.com"), 404)
    assert (await api.ask("GET", WIDGETS)).body == "404 page not found\n"


async def test_custom_object_is_seen_in_every_version(api: Running) -> None:
    await api.ask("POST", DEFINITIONS, DEFINITION)
    created = await api.ask("POST", WIDGETS.replace("v1/", "v1beta1/"), widget("w", "v1beta1", spec={"size": 1}))
    assert created.body["apiVersion"] == "example.com/v1beta1"
    assert (await api.ask("GET", f"{WIDGETS}/w")).body["apiVersion"] == "example.com/v1"
    groups = (await api.ask("GET", "/apis")).body["groups"]
    (own,) = [group for group in groups if group["name"] == "example.com"]
    assert own["preferredVersion"]["version"] == "v1"


async def test_version_that_is_deprecated_warns(api: Running) -> None:
    definition = copy.deepcopy(DEFINITION)
    definition["spec"]["versions"][1]["deprecated"] = True
    await api.ask("POST", DEFINITIONS, definition)
    answer = await api.ask("GET", WIDGETS.replace("v1/", "v1beta1/"))
    assert answer.headers["Warning"] == '299 - "example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget"'


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"metadata": {"name": "w"}}, "Object 'Kind' is missing"),
        ({**widget("w"), "apiVersion": "example.com/v2"}, "does not match the expected API version (example.com/v1)"),
        ({**widget("w"), "kind": "Gadget"}, 'kind: Invalid value: "Gadget": must be Widget'),
    ],
)
async def test_custom_object_must_say_what_it_is(api: Running, body: object, says: str) -> None:
    await api.ask("POST", DEFINITIONS, DEFINITION)
    assert says in (await api.ask("POST", WIDGETS, body)).message


async def test_replacing_a_custom_object_needs_its_version(api: Running) -> None:
    await api.ask("POST", DEFINITIONS, DEFINITION)
    await api.ask("POST", WIDGETS, widget("w"))
    answer = await api.ask("PUT", f"{WIDGETS}/w", widget("w"))
    assert answer.code == 422
    assert "metadata.resourceVersion" in answer.message


async def test_event_is_one_object_in_two_groups(api: Running) -> None:
    new = {"metadata": {"name": "e"}, "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}, "note": "hello",
           "reason": "R", "type": "Normal", "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "c",
           "reportingInstance": "i", "action": "A"}  # fmt: skip
    created = await api.ask("POST", "/apis/events.k8s.io/v1/namespaces/default/events", new)
    assert created.body["note"] == "hello"
    old = await api.ask("GET", "/api/v1/namespaces/default/events/e")
    assert (old.body["message"], old.body["involvedObject"]["name"], old.body["apiVersion"]) == ("hello", "p", "v1")


async def test_pages_show_one_moment_while_others_write(api: Running) -> None:
    for number in range(6):
        await api.ask("POST", MAPS, {"metadata": {"name": f"c{number}"}})
    first = (await api.ask("GET", f"{MAPS}?limit=2")).body
    assert first["metadata"]["remainingItemCount"] == 4
    await api.ask("DELETE", f"{MAPS}/c4")
    await api.ask("POST", MAPS, {"metadata": {"name": "c3a"}})
    second = (await api.ask("GET", f"{MAPS}?limit=10&continue={first['metadata']['continue']}")).body
    assert [item["metadata"]["name"] for item in second["items"]] == ["c2", "c3", "c4", "c5"]
    assert second["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}


async def test_port_in_use_is_an_os_error_and_leaves_nothing_behind(api: Running, tmp_path: Path, pki: Pki) -> None:
    tls = TlsFiles(cert=pki.tls_cert, key=pki.tls_key)
    second = ApiServer(database=tmp_path / "second.db", host="127.0.0.1", port=api.server.port, tls=tls, tokens={})
    with pytest.raises(OSError, match="address already in use"):
        await second.start()


async def test_logs_come_from_the_kubelet_of_the_pods_node(api: Running, pki: Pki) -> None:
    seen = []

    async def logs(request: web.Request) -> web.Response:
        seen.append(str(request.rel_url))
        return web.Response(text="line\n")

    app = web.Application()
    app.router.add_get("/containerLogs/{ns}/{pod}/{container}", logs)
    runner = web.AppRunner(app)
    await runner.setup()
    context = api.server._tls_context()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    try:
        await api.ask("POST", "/api/v1/nodes", {"metadata": {"name": "n"}, "status": status})
        pods = "/api/v1/namespaces/default/pods"
        await api.ask("POST", pods, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
        assert (await api.ask("GET", f"{pods}/p/log")).message == "pod p does not have a host assigned"
        await api.ask("POST", f"{pods}/p/binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}})
        assert (await api.ask("GET", f"{pods}/p/log?tailLines=5")).body == "line\n"
        assert seen == ["/containerLogs/default/p/c?tailLines=5"]
    finally:
        await runner.cleanup()


async def test_requests_in_a_row_share_a_connection(api: Running) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False, limit=1)) as session:
        for _ in range(3):
            async with session.get(f"{api.server.url}{MAPS}", headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
                assert answer.status == 200
                await answer.read()


async def test_fields_that_are_there_twice_are_named(api: Running) -> None:
    body = b'{"metadata":{"name":"c"},"foo":1,"data":{"a":"1","a":"2"}}'
    refused = await api.ask("POST", f"{MAPS}?fieldValidation=Strict", body)
    assert refused.message == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'unknown field "foo", duplicate field "data.a"'
    )
    warned = await api.ask("POST", MAPS, body)
    assert warned.headers.getall("Warning") == ['299 - "unknown field \\"foo\\""', '299 - "duplicate field \\"data.a\\""']
    assert warned.body["data"] == {"a": "2"}


async def test_watch_of_a_kind_ends_when_its_definition_goes(api: Running) -> None:
    await api.ask("POST", DEFINITIONS, DEFINITION)
    await api.ask("POST", WIDGETS, widget("w"))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with asyncio.timeout(5), api.session.get(f"{api.server.url}{WIDGETS}?watch=1", headers=headers) as stream:
        await stream.content.readline()
        await api.ask("DELETE", f"{DEFINITIONS}/widgets.example.com")
        lines = [line async for line in stream.content]
    assert len(lines) == 1


async def test_events_are_kept_for_an_hour(api: Running) -> None:
    path = "/api/v1/namespaces/default/events"
    for name, time in (("old", "2020-01-01T00:00:00Z"), ("new", None)):
        about = {"kind": "Pod", "name": "p", "namespace": "default"}
        await api.ask("POST", path, {"metadata": {"name": name}, "involvedObject": about, "lastTimestamp": time})
    core = api.server._core
    later = dataclasses.replace(core, clock=lambda: core.clock() + expiry.KEPT_FOR / 2)
    assert expiry.expire(later) == 0
    later = dataclasses.replace(core, clock=lambda: core.clock() + expiry.KEPT_FOR * 2)
    assert expiry.expire(later) == 2
    assert (await api.ask("GET", path)).body["items"] == []


async def test_body_that_is_too_large_is_refused(api: Running) -> None:
    body = {"metadata": {"name": "big"}, "data": {"a": "x" * (3 * 1024 * 1024)}}
    answer = await api.ask("POST", MAPS, body)
    assert (answer.code, answer.message) == (413, "Request entity too large: limit is 3145728")


@pytest.mark.parametrize("path", [f"{MAPS}?limit=x", f"{MAPS}?watch=1&timeoutSeconds=x", f"{MAPS}?resourceVersion=x"])
async def test_number_that_is_none_is_a_bad_request(api: Running, path: str) -> None:
    answer = await api.ask("GET", path)
    assert answer.code == 400
    assert 'parsing "x": invalid syntax' in answer.message


async def test_openapi_offers_strategic_merge_patch_for_built_in_kinds_alone(api: Running) -> None:
    await api.ask("POST", DEFINITIONS, DEFINITION)
    index = (await api.ask("GET", "/openapi/v3")).body["paths"]
    offered = {}
    for key, path in (("apis/example.com/v1", f"{WIDGETS}/{{name}}"), ("api/v1", f"{MAPS}/{{name}}")):
        document = (await api.ask("GET", index[key]["serverRelativeURL"])).body
        patch = document["paths"][path.replace("default", "{namespace}")]["patch"]
        offered[key] = "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    assert offered == {"apis/example.com/v1": False, "api/v1": True}
