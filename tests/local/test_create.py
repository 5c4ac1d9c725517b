"""What `local up` writes: sizes that are read, files that are kept, and the sentences for wrong input."""

import asyncio
import json
import socket
import stat
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from fedstate.errors import FedstateError
from fedstate.local.create import ClusterSize, Wanted, cluster_specs, create, default_sizes, parse_size
from fedstate.local.layout import CONTROL_PLANE, Layout, layout_of, read_instance
from fedstate.local.supervisor import operator_argv
from fedstate.scheduler.filters import FILTERS
from fedstate.scheduler.profile import load_profile


def wanted(*sizes: ClusterSize, name: str = "default") -> Wanted:
    return Wanted(
        name=name, engine="embedded", clusters=sizes or default_sizes(3), mongod=Path("/bin/true"), mongod_version="6.0.5"
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("eu-1", ClusterSize(name="eu-1")),
        (
            "c1,nodes=1,cpu=500m,memory=1Gi",
            ClusterSize(name="c1", nodes=1, cpu="500m", memory="1Gi", asked=("nodes", "cpu", "memory")),
        ),
        ("c1,region=eu,zone=eu-a", ClusterSize(name="c1", region="eu", zone="eu-a", asked=("region", "zone"))),
    ],
)
def test_cluster_size_is_read(text: str, size: ClusterSize) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c1,cpus=4", "'cpus=4' is none of cpu=…, memory=…, nodes=…, region=…, zone=…"),
        ("c1,cpu", "'cpu' is none of"),
        ("c1,cpu=four", "cpu=four is not a quantity like 4, 500m or 8Gi"),
        ("c1,memory=-1Gi", "memory=-1Gi is not a quantity"),
        ("c1,nodes=0", "nodes=0 should be a number from 1 to 50"),
        ("C1", "the name may have lower-case letters"),
        ("control-plane", "not be 'control-plane'"),
        ("", "the name may have lower-case letters"),
    ],
)
def test_wrong_cluster_size_is_refused_with_the_part_that_is_wrong(text: str, message: str) -> None:
    with pytest.raises(FedstateError) as caught:
        parse_size(text)
    assert message in str(caught.value)


def test_members_get_addresses_of_their_own_and_the_kubeconfig_a_context_each(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "local")
    instance = create(layout, wanted())
    specs = cluster_specs(layout, instance)
    assert list(specs) == [CONTROL_PLANE, "eu-1", "us-1", "ap-1"]
    members = [specs[name] for name in instance.clusters]
    assert len({spec.vip for spec in members}) == 3
    assert len({spec.port for spec in specs.values()}) == 4
    assert len({spec.admin_token for spec in specs.values()}) == 4
    kubeconfig = yaml.safe_load(layout.kubeconfig.read_text())
    assert [c["name"] for c in kubeconfig["contexts"]] == ["fedstate", "fedstate-eu-1", "fedstate-us-1", "fedstate-ap-1"]
    assert kubeconfig["current-context"] == "fedstate"


def test_files_with_credentials_are_readable_by_the_owner_alone(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "local")
    create(layout, wanted())
    for path in [layout.kubeconfig, layout.cluster("eu-1") / "cluster.json", *(layout.directory / "pki").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_second_up_keeps_the_instance_as_it_is(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "local")
    first = create(layout, wanted())
    before = (layout.cluster("eu-1") / "cluster.json").read_bytes()
    assert create(layout, wanted()) == first == read_instance(layout)
    assert (layout.cluster("eu-1") / "cluster.json").read_bytes() == before


def test_second_up_that_says_nothing_of_clusters_and_engine_takes_those_that_are_there(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "local")
    first = create(layout, wanted(ClusterSize(name="c1")))
    again = create(layout, Wanted(name="default", mongod=Path("/bin/false"), mongod_version="7.0.1", any_storage_class=True))
    assert again.clusters == first.clusters == ["c1"]
    member = cluster_specs(layout, again)["c1"]
    assert (member.mongod, member.any_storage_class, again.mongod_version) == ("/bin/false", True, "7.0.1")


def test_second_up_leaves_ports_that_somebody_else_has_taken(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "local")
    first = create(layout, wanted(ClusterSize(name="c1")))
    before = {name: spec.port for name, spec in cluster_specs(layout, first).items()}
    with socket.create_server(("127.0.0.1", before[CONTROL_PLANE])):
        again = create(layout, wanted(ClusterSize(name="c1")))
    after = {name: spec.port for name, spec in cluster_specs(layout, again).items()}
    assert after["c1"] == before["c1"]
    assert after[CONTROL_PLANE] not in before.values()
    servers = [c["cluster"]["server"] for c in yaml.safe_load(layout.kubeconfig.read_text())["clusters"]]
    assert servers == [f"https://127.0.0.1:{port}" for port in after.values()]


def test_up_with_other_clusters_says_how_to_get_them(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "local")
    create(layout, wanted())
    with pytest.raises(
        FedstateError, match=r"exists with clusters eu-1, us-1, ap-1 .* `fedstate local down --name default` removes it"
    ):
        create(layout, wanted(ClusterSize(name="c1")))


@pytest.mark.parametrize(
    ("again", "says"),
    [
        ("c1,nodes=9", "its cluster c1 has nodes=3: `fedstate local down --name default` removes it"),
        ("c1,cpu=8,zone=b", r"its cluster c1 has cpu=4, zone=a:"),
        ("c1,nodes=3", ""),
        ("c1,cpu=4000m,memory=8192Mi", ""),
        ("c1", ""),
    ],
)
def test_up_with_another_size_of_a_cluster_that_is_there_is_refused_and_one_without_a_size_is_not(
    tmp_path: Path, again: str, says: str
) -> None:
    layout = Layout(tmp_path / "local")
    create(layout, wanted(parse_size("c1,nodes=3,zone=a")))
    with pytest.raises(FedstateError, match=says) if says else nullcontext():
        create(layout, wanted(parse_size(again)))


def test_cluster_name_twice_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "local")
    with pytest.raises(FedstateError, match="every name once"):
        create(layout, wanted(ClusterSize(name="c1"), ClusterSize(name="c1")))
    assert not layout.directory.exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", "Über", "x" * 41, "-a"])
def test_instance_name_cannot_leave_its_directory(name: str) -> None:
    with pytest.raises(FedstateError, match="--name"):
        layout_of(name)


def test_missing_instance_says_how_to_create_it(tmp_path: Path) -> None:
    with pytest.raises(FedstateError, match="`fedstate local up` creates it"):
        read_instance(Layout(tmp_path / "none"))


def test_unreadable_state_says_how_to_remove_it(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"name": 1}))
    with pytest.raises(FedstateError, match="`fedstate local down` removes the instance"):
        read_instance(Layout(tmp_path))


async def test_instances_that_are_made_at_the_same_moment_share_no_port(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fedstate.local.create import *; from fedstate.local.layout import Layout; "
        "layout = Layout(Path(sys.argv[1])); wanted = Wanted(name='x', mongod=Path('/bin/true'), mongod_version='6'); "
        "instance = create(layout, wanted); print(sorted([s.port for s in cluster_specs(layout, instance).values()] + "
        "[o.http_port for o in instance.operators] + [instance.network]), flush=True); sys.stdin.read()"
    )
    makers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(tmp_path / name), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        for name in "ab"
    ]
    numbers: list[int] = []
    for maker in makers:
        assert maker.stdout is not None
        numbers += json.loads(await maker.stdout.readline())
    for maker in makers:
        await maker.communicate(b"")
    assert len(numbers) == len(set(numbers)) == 2 * (4 + 4 + 1)


def test_with_any_storage_class_the_scheduler_leaves_storage_classes_out(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "local")
    instance = create(layout, wanted())
    assert "--scheduler-profile" not in operator_argv(layout, instance, instance.operators[0], "")
    instance = create(layout, replace(wanted(), any_storage_class=True))
    argv = operator_argv(layout, instance, instance.operators[0], "")
    profile = load_profile(argv[argv.index("--scheduler-profile") + 1])
    assert [one.name for one in FILTERS if one not in profile.filters] == ["StorageClass"]
    assert "--scheduler-profile" not in operator_argv(layout, instance, instance.operators[1], "127.1.1.1")
