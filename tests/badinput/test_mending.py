"""Bad input changes nothing that runs, and is forgotten once it has been put right."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fedstate.api.configfile import config_problem
from fedstate.dataplane.mongodconf import mongod_conf
from fedstate.kube.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, SECRETS, SERVICES, STATEFUL_SETS
from tests.badinput.members import TROUBLES, Trouble, config, gone, put, wrong_plan
from tests.dataplane.cell import KEY, Cell, mongodb
from tests.mongo.mongods import mongod_binary

HELD = (STATEFUL_SETS, SERVICES, PERSISTENT_VOLUME_CLAIMS)


@pytest.mark.parametrize(
    "row", [row for row in TROUBLES if row.later is not None], ids=lambda row: row.situation.replace(" ", "-")
)
async def test_what_runs_is_left_as_it_is(row: Trouble) -> None:
    cell = Cell(mongodb(**row.spec))
    row.before(cell)
    await cell.looks(12)
    held, configs, users = [cell.names(kind) for kind in HELD], len(cell.mongos.history), dict(cell.mongos.users)
    assert row.later is not None
    row.later(cell)
    await cell.looks(8)
    assert [cell.names(kind) for kind in HELD] == held
    assert len(cell.mongos.history) == configs
    assert cell.mongos.users == users


@pytest.mark.parametrize(
    ("happens", "resource", "name"),
    [
        (gone(SECRETS, "x-auth"), SECRETS, "x-auth"),
        (wrong_plan("{"), CONFIG_MAPS, "x-hostconf"),
    ],
)
async def test_what_cannot_be_made_again_is_not_made_again_and_works_when_it_is_back(
    happens: Callable[[Cell], None], resource: object, name: str
) -> None:
    cell = Cell(mongodb())
    await cell.settle()
    before = cell.server.get(resource, name, KEY.namespace)  # type: ignore[arg-type]
    assert before is not None
    happens(cell)
    damaged = cell.server.get(resource, name, KEY.namespace)  # type: ignore[arg-type]
    await cell.looks(5)
    assert cell.status["state"] == "Error"
    assert cell.server.get(resource, name, KEY.namespace) == damaged  # type: ignore[arg-type]
    restored = before | {"metadata": {key: value for key, value in before["metadata"].items() if key != "resourceVersion"}}
    cell.server.seed(resource, restored)  # type: ignore[arg-type]
    await cell.settle()
    assert cell.condition("Stalled")["status"] == "False"


@pytest.mark.parametrize(
    ("spec", "mend"),
    [
        ({"customConfigRef": "mine"}, config("net: {maxIncomingConnections: 99}\n")),
        ({"rootPasswordSecretRef": {"name": "pw"}}, put(SECRETS, "pw", data={"rootPassword": base64.b64encode(b"x").decode()})),
    ],
)
async def test_what_was_missing_is_taken_in_when_it_comes(spec: dict[str, object], mend: Callable[[Cell], None]) -> None:
    cell = Cell(mongodb(**spec))
    await cell.looks(3)
    assert cell.names(STATEFUL_SETS) == []
    mend(cell)
    await cell.settle()
    assert cell.condition("Stalled")["status"] == "False"


async def test_a_configuration_broken_later_leaves_the_last_good_one_in_place() -> None:
    cell = Cell(mongodb(customConfigRef="mine"))
    config("net: {maxIncomingConnections: 99}\n")(cell)
    await cell.settle()
    good = cell.server.get(CONFIG_MAPS, "x-mongod", KEY.namespace)
    config("net: [\n")(cell)
    await cell.looks(6)
    assert cell.condition("Stalled")["reason"] == "ConfigInvalid"
    assert cell.server.get(CONFIG_MAPS, "x-mongod", KEY.namespace) == good


HOST_FILE = """\
systemLog: {destination: file, path: /var/log/mongodb/mongod.log, logAppend: true}
processManagement: {fork: true, pidFilePath: /var/run/mongod.pid, timeZoneInfo: /usr/share/zoneinfo}
net: {port: 27018, bindIp: 127.0.0.1, tls: {mode: requireTLS}}
replication: {replSetName: rs0}
security: {keyFile: /etc/key, clusterAuthMode: x509}
sharding: {clusterRole: shardsvr}
"""


@pytest.mark.mongod
@pytest.mark.parametrize(
    ("text", "says"), [(HOST_FILE, ""), ("net: {maxConns: 9}\n", "Unrecognized option: net.maxConns")], ids=["host", "unknown"]
)
def test_mongod_takes_what_is_made_of_a_configuration(tmp_path: Path, text: str, says: str) -> None:
    """A file meant for a host becomes one for a member; an option that mongod does not know is mongod's to refuse."""
    assert config_problem({"mongod.conf": text}) == ""
    conf = mongod_conf(replset="x", settings=(), custom=text, memory_limit=None).text
    keyfile = tmp_path / "keyfile"
    keyfile.write_text("YWJjZGVmZ2g=")
    keyfile.chmod(0o400)
    for inside, outside in (("/run/fedstate/keyfile", keyfile), ("/data/db", tmp_path), ("/usr/share/zoneinfo", tmp_path)):
        conf = conf.replace(inside, str(outside))
    path = tmp_path / "mongod.conf"
    path.write_text(conf)
    binary = mongod_binary()
    assert binary is not None
    answer = subprocess.run(
        [binary, "--config", str(path), "--outputConfig"],
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
        env=dict(os.environ),
    )
    said = answer.stdout + answer.stderr
    assert (answer.returncode == 0) == (says == ""), said
    assert says in said
