"""The command line, settings and logs: what is accepted, what is said, and that help stays fast."""

import io
import logging
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from fedstate import __version__, logs
from fedstate.__main__ import complete
from fedstate.cli import cli
from fedstate.control.context import CURRENT, Reconciling
from fedstate.errors import FedstateError
from fedstate.kube.errors import TransportError
from fedstate.kube.objects import Key
from fedstate.settings import Component, Role, Settings, SettingsError, check_vip, components_from


@pytest.fixture(autouse=True)
def root_logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def invoke(*words: str, env: dict[str, str] | None = None, error: BaseException | None = None) -> tuple[Result, Settings | None]:
    """Calls the command line with a runner that takes the settings and runs nothing."""
    taken: list[Settings] = []

    def runner(coroutine: Coroutine[Any, Any, None]) -> None:
        taken.append(coroutine.cr_frame.f_locals["settings"])  # type: ignore[attr-defined]
        coroutine.close()
        if error is not None:
            raise error

    result = CliRunner().invoke(cli, list(words), obj=runner, env=env)
    return result, taken[0] if taken else None


def test_flags_become_settings() -> None:
    result, settings = invoke(
        "run", "--role", "member", "--cluster-name", "c1", "--vip", "10.0.0.1", "--no-leader-elect", "--http-port", "0"
    )
    assert result.exit_code == 0, result.output
    assert settings is not None
    assert (settings.role, settings.components) == (Role.MEMBER, (Component.DATAPLANE,))
    assert (settings.cluster_name, settings.vip, settings.leader_elect, settings.http_port) == ("c1", "10.0.0.1", False, 0)


def test_every_flag_is_an_environment_variable_too() -> None:
    env = {
        "FEDSTATE_ROLE": "control-plane",
        "FEDSTATE_COMPONENTS": "scheduler",
        "FEDSTATE_LEADER_ELECT": "false",
        "FEDSTATE_HTTP_PORT": "1234",
        "FEDSTATE_LOG_FORMAT": "json",
        "FEDSTATE_NAMESPACE": "x",
    }
    result, settings = invoke("run", env=env)
    assert result.exit_code == 0, result.output
    assert settings is not None
    assert (settings.components, settings.leader_elect, settings.http_port) == ((Component.SCHEDULER,), False, 1234)
    assert (settings.namespace, settings.log_format) == ("x", "json")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "--role"),
        (["run", "--role", "boss"], "'boss' is not one of"),
        (
            ["run", "--role", "member", "--components", "dataplane,foo"],
            "there is no component 'foo'; there are scheduler, federation, dataplane",
        ),
        (["run", "--role", "control-plane", "--components", "console"], "there is no component 'console'"),
        (["run", "--role", "member", "--vip", "http://x:1"], "neither an IP address nor a DNS name"),
        (["run", "--role", "member", "--http-port", "70000"], "70000 is not in the range"),
        (["nonsense"], "No such command"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(words: list[str], said: str) -> None:
    result, settings = invoke(*words)
    assert result.exit_code != 0
    assert said in result.output
    assert "Traceback" not in result.output
    assert settings is None


@pytest.mark.parametrize(
    "error",
    [
        TransportError("cannot connect to https://x"),
        ExceptionGroup("g", [ExceptionGroup("h", [FedstateError("cannot connect to https://x")])]),
    ],
)
def test_an_error_we_know_ends_in_one_sentence_and_status_1(error: Exception) -> None:
    result, _ = invoke("run", "--role", "member", error=error)
    assert result.exit_code == 1
    assert result.output.strip().splitlines()[-1] == "Error: cannot connect to https://x"


def test_a_bug_keeps_its_trace() -> None:
    result, _ = invoke("run", "--role", "member", error=ExceptionGroup("g", [ZeroDivisionError()]))
    assert isinstance(result.exception, ExceptionGroup)


def test_a_process_without_a_kubeconfig_says_what_to_give(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "fedstate",
        "run",
        "--role",
        "member",
        "--components",
        "dataplane",
        "--kubeconfig",
        str(tmp_path / "none"),
    ]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=15, check=False)
    assert ended.returncode == 1
    # asyncio's debug mode may remark on slow imports, before.
    assert [line for line in ended.stderr.splitlines() if '"logger":"asyncio"' not in line] == [
        f"Error: no kubeconfig at {tmp_path / 'none'}; give --kubeconfig FILE or set KUBECONFIG"
    ]


def test_help_and_version_import_neither_components_nor_kubernetes() -> None:
    code = (
        "import sys\nfrom fedstate.cli import cli\ncli.main(['--help'], standalone_mode=False)\ncli.main(['version'], standalone_mode=False)\n"
        "assert not {'aiohttp', 'numpy', 'kubernetes_asyncio', 'fedstate.local', 'fedstate.app'} & sys.modules.keys()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)
    assert ended.returncode == 0, ended.stderr
    assert f"fedstate {__version__}" in ended.stdout
    assert "local" in ended.stdout


def test_kubectl_gets_completions_in_the_form_it_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-fedstate", "run", "--ro"])
    complete()
    *candidates, directive = capsys.readouterr().out.splitlines()
    assert candidates[0].startswith("--role")
    assert directive == ":4"


def test_a_role_has_its_components_unless_others_are_named() -> None:
    assert components_from(Role.MEMBER, []) == (Component.DATAPLANE,)
    assert components_from(Role.MEMBER, ["scheduler, dataplane", "scheduler"]) == (Component.SCHEDULER, Component.DATAPLANE)


def test_processes_that_share_a_role_share_its_lease_and_others_do_not() -> None:
    whole = Settings(role=Role.CONTROL_PLANE, components=components_from(Role.CONTROL_PLANE, []))
    part = Settings(role=Role.CONTROL_PLANE, components=(Component.SCHEDULER,))
    assert whole.lease_name == "fedstate-control-plane"
    assert part.lease_name == "fedstate-scheduler"


@pytest.mark.parametrize(
    ("said", "sources"),
    [
        ([], "nodes,summary"),
        (["--capacity-sources", "summary"], "summary"),
        (["--capacity-sources", "nodes"], "nodes,summary"),
        (["--capacity-sources", "summary, estimator,nodes"], "estimator,nodes,summary"),
        (["--estimator-namespace", "karmada-system"], "estimator,nodes,summary"),
        (["--estimator-skip-verify"], "estimator,nodes,summary"),
    ],
)
def test_the_best_sources_of_capacity_come_first_and_sums_always_last(said: list[str], sources: str) -> None:
    result, settings = invoke("run", "--role", "control-plane", *said)
    assert result.exit_code == 0, result.output
    assert settings is not None
    assert ",".join(settings.capacity.sources) == sources


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (["--capacity-sources", "pods"], "there is no source 'pods'; there are estimator, nodes, summary"),
        (["--capacity-sources", "nodes", "--estimator-ca-file", "ca.pem"], "does not name estimator"),
    ],
)
def test_sources_of_capacity_that_make_no_sense_are_refused(said: list[str], problem: str) -> None:
    result, _ = invoke("run", "--role", "control-plane", *said)
    assert result.exit_code == 1
    assert problem in result.output


@pytest.mark.parametrize("vip", ["", "10.0.0.1", "fd00::1", "db.example.com"])
def test_addresses_and_names_can_be_a_vip(vip: str) -> None:
    assert check_vip(vip) == vip


@pytest.mark.parametrize("vip", ["10.0.0.1:27017", "http://x", "a b", "x/y"])
def test_a_vip_has_no_scheme_port_or_path(vip: str) -> None:
    with pytest.raises(SettingsError, match="--vip"):
        check_vip(vip)


def test_a_record_is_one_json_line_with_its_reconcile() -> None:
    stream = io.StringIO()
    logs.set_up("json", "info", stream)
    token = CURRENT.set(Reconciling("c", Key("n", "a"), 1))
    try:
        logging.getLogger("x").info("made %d", 2, extra={"pod": "p"})
        logging.getLogger("x").debug("unseen")
    finally:
        CURRENT.reset(token)
    (line,) = stream.getvalue().splitlines()
    record = orjson.loads(line)
    assert record.pop("ts").endswith("Z")
    expected = {
        "level": "info",
        "logger": "x",
        "msg": "made 2",
        "pod": "p",
        "controller": "c",
        "object": "n/a",
        "reconcileID": "000000000001",
    }
    assert record == expected


def test_a_trace_stays_on_the_line_of_its_record() -> None:
    stream = io.StringIO()
    logs.set_up("auto", "warning", stream)
    try:
        _ = 1 / len(stream.getvalue())
    except ZeroDivisionError:
        logging.getLogger("x").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ZeroDivisionError" in orjson.loads(line)["trace"]


def test_text_for_people_names_what_matters() -> None:
    stream = io.StringIO()
    logs.set_up("text", "debug", stream)
    logging.getLogger("x").warning("failed", extra={"pod": "p"})
    assert stream.getvalue().rstrip().endswith("WARNING failed pod=p")
