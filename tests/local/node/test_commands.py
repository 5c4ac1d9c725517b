"""Containers as processes: what is rewritten and what is left alone."""

from pathlib import Path
from typing import Any

import pytest

from fedstate.local.node.commands import CannotRun, Place, bound_to, launch_of, mongod_config, mongod_flags
from fedstate.local.node.images import Program, image_name, program_of
from fedstate.local.node.paths import Translation

MOUNTS = {"/data": "/real/data", "/data/db": "/real/db", "/etc/keys/": "/real/keys"}


def place(*, mongod: Path | None = Path("/opt/mongod"), ports: dict[int, int] | None = None) -> Place:
    return Place(
        translation=Translation(MOUNTS, "127.1.2.3"), address="127.1.2.3", scratch=Path("/scratch"), tools=Path("/tools"), mongod=mongod,
        ports=ports or {},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data/db", "/real/db"),
        ("/data/db/journal", "/real/db/journal"),
        ("--dbpath=/data/db", "--dbpath=/real/db"),
        ("cp /data/a /etc/keys/b", "cp /real/data/a /real/keys/b"),
        ("'/data':/data;/data", "'/real/data':/real/data;/real/data"),
        ("/database /var/data /data-old /data.old", "/database /var/data /data-old /data.old"),
        ("look in /data.", "look in /real/data."),
    ],
)
def test_mount_paths_are_rewritten_longest_first_and_only_as_whole_components(text: str, expected: str) -> None:
    assert place().translation.paths(text) == expected


def test_what_a_replacement_brings_in_is_not_rewritten_again() -> None:
    assert Translation({"/a": "/b/a", "/b": "/c"}, "").paths("/a /b") == "/b/a /c"


def test_a_whole_path_is_found_in_its_innermost_mount() -> None:
    translation = place().translation
    assert translation.path("/data/db/x") == "/real/db/x"
    assert translation.path("/data/x") == "/real/data/x"
    assert translation.path("/elsewhere") is None


@pytest.mark.parametrize(
    ("image", "program"),
    [
        ("mongo:3.6", Program.MONGOD),
        ("docker.io/library/mongo@sha256:00", Program.MONGOD),
        ("registry:5000/percona/percona-server-mongodb:6.0", Program.MONGOD),
        ("quay.io/mongodb/mongodb-community-server:7.0-ubi8", Program.MONGOD),
        ("percona/mongodb_exporter:0.40", None),
        ("mongo-express", None),
        ("ghcr.io/x/fedstate:1", Program.FEDSTATE),
        ("busybox", Program.HOST),
        ("nginx:1", None),
    ],
)
def test_images_are_known_by_their_name_alone(image: str, program: Program | None) -> None:
    assert program_of(image) is program


def test_a_registry_port_is_no_tag() -> None:
    assert image_name("registry:5000/mongo") == "mongo"


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ("0.0.0.0", "127.1.2.3"),
        ("localhost,0.0.0.0", "127.1.2.3"),
        ("127.0.0.1,10.0.0.1", "127.1.2.3,10.0.0.1"),
        ("*", "127.1.2.3"),
    ],
)
def test_bind_addresses_that_mean_the_pod_become_its_own(addresses: str, expected: str) -> None:
    assert bound_to(addresses, "127.1.2.3") == expected


def test_mongod_is_given_its_address_directory_and_a_quick_stop() -> None:
    flags = mongod_flags(["--replSet", "rs0", "--bind_ip_all", "--keyFile=/etc/keys/k"], place())
    assert flags == [
        "--replSet", "rs0", "--bind_ip", "127.1.2.3", "--keyFile", "/real/keys/k", "--dbpath", "/real/db", "--nounixsocket",
        "--setParameter", "shutdownTimeoutMillisForSignaledShutdown=1000",
    ]  # fmt: skip


def test_what_the_user_said_of_mongod_is_not_said_twice() -> None:
    own = [
        "--dbpath",
        "/x",
        "--nounixsocket",
        "--bind_ip",
        "0.0.0.0",
        "--setParameter",
        "shutdownTimeoutMillisForSignaledShutdown=5",
    ]
    flags = mongod_flags(own, place())
    assert flags == [*own[:4], "127.1.2.3", *own[5:]]


def test_where_pods_share_an_address_mongod_gets_the_port_the_proxy_knows() -> None:
    assert "40000" in mongod_flags(["--port", "27017"], place(ports={27017: 40000}))
    assert mongod_flags([], place(ports={27017: 40000})).count("--port") == 1


def launch(container: dict[str, Any], program: Program, **values: str) -> tuple[str, ...]:
    return launch_of({"image": "i", **container}, program, values, place()).argv


def test_a_mongod_image_runs_the_local_mongod_however_it_is_started() -> None:
    for container in (
        {},
        {"command": ["mongod"]},
        {"command": ["/usr/bin/mongod"]},
        {"command": ["docker-entrypoint.sh"], "args": ["mongod"]},
    ):
        assert launch(container, Program.MONGOD)[0] == "/opt/mongod"
    script = launch({"command": ["sh", "-c", "exec mongod --bind_ip_all --dbpath /data/db"]}, Program.MONGOD)
    assert script == ("sh", "-c", "exec mongod --bind_ip 127.1.2.3 --dbpath /real/db")


def test_references_to_variables_are_expanded_before_paths() -> None:
    assert launch({"command": ["echo", "$(DIR)/x", "$$(DIR)", "$(NO)"]}, Program.HOST, DIR="/data") == (
        "echo",
        "/real/data/x",
        "$(DIR)",
        "$(NO)",
    )


def test_variables_get_real_paths_and_the_tools_come_first() -> None:
    env = launch_of({"image": "i", "command": ["x"]}, Program.HOST, {"KEY": "/etc/keys/k", "PATH": "/bin"}, place()).env
    assert env["KEY"] == "/real/keys/k"
    assert env["PATH"] == "/tools:/bin"


def test_a_container_without_a_command_or_a_mongod_says_what_to_do() -> None:
    with pytest.raises(CannotRun, match="set the container's command"):
        launch({}, Program.HOST)
    with pytest.raises(CannotRun, match=r"fedstate\[local\]"):
        launch_of({"image": "mongo"}, Program.MONGOD, {}, place(mongod=None))


def test_a_mongod_configuration_file_is_rewritten_too() -> None:
    text = "storage:\n  dbPath: /data/db\nnet:\n  bindIp: localhost,0.0.0.0 # all\n  port: 27017\n"
    assert mongod_config(text, place()) == "storage:\n  dbPath: /real/db\nnet:\n  bindIp: 127.1.2.3# all\n  port: 27017\n"
    assert mongod_config("net: {bindIpAll: true}", place()) == "net: {bindIp: 127.1.2.3}"
