"""Where credentials come from, and that they are read again in time."""

import asyncio
import base64
import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedstate.kube.config import (
    ClusterConfig,
    ConfigError,
    FileToken,
    ReloadedToken,
    cluster_config_from,
    in_cluster_config,
    load_kubeconfig,
)


def kubeconfig(path: Path, user: dict[str, Any], **cluster: Any) -> str:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": "https://one:6443/", **cluster}}, {"name": "d", "cluster": {"server": "https://two"}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "ns"}},
            {"name": "two", "context": {"cluster": "d", "user": "u"}},
        ],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    return str(path)


async def header(config: ClusterConfig, *, fresh: bool = False) -> str | None:
    assert config.token is not None
    if isinstance(config.token, str):
        return f"Bearer {config.token}"
    return await config.token.authorization(fresh=fresh)


async def test_the_current_context_is_used_unless_another_is_named(tmp_path: Path) -> None:
    ca = base64.b64encode(b"authority").decode()
    path = kubeconfig(tmp_path / "config", {"token": "t"}, **{"certificate-authority-data": ca, "tls-server-name": "api"})
    one = await load_kubeconfig(path)
    assert (one.server, one.ca_data, one.namespace, one.tls_server_name) == ("https://one:6443", b"authority", "ns", "api")
    assert await header(one) == "Bearer t"
    two = await load_kubeconfig(path, "two")
    assert (two.server, two.namespace, two.insecure) == ("https://two", "default", False)


async def test_files_named_in_a_kubeconfig_are_relative_to_it(tmp_path: Path) -> None:
    for name in ("ca", "crt", "key", "token"):
        (tmp_path / name).write_text(f"the {name}")
    path = kubeconfig(
        tmp_path / "config",
        {"client-certificate": "crt", "client-key": "key", "tokenFile": "token"},
        **{"certificate-authority": "ca"},
    )
    config = await load_kubeconfig(path)
    assert (config.ca_data, config.client_cert_data, config.client_key_data) == (b"the ca", b"the crt", b"the key")
    assert await header(config) == "Bearer the token"
    (tmp_path / "token").write_text("rotated")
    assert await header(config, fresh=True) == "Bearer rotated"


async def test_a_name_and_password_and_an_unverified_server_are_understood(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", {"username": "u", "password": "p"}, **{"insecure-skip-tls-verify": True})
    config = await load_kubeconfig(path)
    assert config.insecure
    assert await header(config) == "Basic " + base64.b64encode(b"u:p").decode()


async def test_kubeconfigs_in_a_list_are_merged_the_first_word_counting(tmp_path: Path) -> None:
    kubeconfig(tmp_path / "a", {"token": "first"})
    kubeconfig(tmp_path / "b", {"token": "second"})
    config = await load_kubeconfig(f"{tmp_path / 'missing'}:{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert await header(config) == "Bearer first"


async def test_a_credentials_plugin_is_asked_and_asked_again_when_refused(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    count = tmp_path / "count"
    plugin.write_text(
        f"#!{sys.executable}\nimport json\nopen({str(count)!r}, 'a').write('x')\n"
        f"token = 't' + str(len(open({str(count)!r}).read()))\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential', 'status': {'token': token}}))\n"
    )
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "interactiveMode": "Never"}}
    config = await load_kubeconfig(kubeconfig(tmp_path / "config", user))
    assert await header(config) == "Bearer t1"
    assert await header(config) == "Bearer t1"
    assert await header(config, fresh=True) == "Bearer t2"


@pytest.mark.parametrize(
    ("content", "context", "said"),
    [
        ("{}", None, "current-context"),
        ("- a", None, "cannot be used"),
        (": :", None, "cannot be used"),
        (None, "three", "three"),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_is_named_with_the_reason(
    tmp_path: Path, content: str | None, context: str | None, said: str
) -> None:
    path = tmp_path / "config"
    kubeconfig(path, {"token": "t"})
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=said) as raised:
        await load_kubeconfig(str(path), context)
    assert str(path) in str(raised.value)


async def test_a_missing_kubeconfig_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give --kubeconfig FILE or set KUBECONFIG"):
        await load_kubeconfig(str(tmp_path / "nothing"))


async def test_a_pod_uses_its_service_account_and_sees_its_token_rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "ca.crt").write_bytes(b"authority")
    (tmp_path / "namespace").write_text("mine")
    (tmp_path / "token").write_text("one")
    config = in_cluster_config(tmp_path)
    assert (config.server, config.ca_data, config.namespace) == ("https://[fd00::1]:443", b"authority", "mine")
    assert await header(config) == "Bearer one"


def test_outside_a_pod_there_is_no_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match="does not run in a pod"):
        in_cluster_config()


async def test_a_token_file_is_read_again_after_a_minute_and_survives_its_absence(tmp_path: Path) -> None:
    file, at = tmp_path / "token", [0.0]
    file.write_text("one")
    token = FileToken(file, clock=lambda: at[0])
    assert await token.authorization() == "Bearer one"
    file.write_text("two")
    at[0] = 59
    assert await token.authorization() == "Bearer one"
    at[0] = 61
    assert await token.authorization() == "Bearer two"
    file.unlink()
    at[0] = 200
    assert await token.authorization() == "Bearer two"


async def test_many_refused_requests_make_new_credentials_once() -> None:
    made: list[int] = []

    async def make() -> str:
        made.append(1)
        await asyncio.sleep(0)
        return "Bearer new"

    token = ReloadedToken("Bearer old", make)
    assert await token.authorization() == "Bearer old"
    assert await asyncio.gather(*(token.authorization(fresh=True) for _ in range(5))) == ["Bearer new"] * 5
    assert len(made) == 1


async def test_credentials_that_cannot_be_renewed_stay_in_use() -> None:
    async def make() -> str:
        raise ConfigError("plugin failed")

    assert await ReloadedToken("Bearer old", make).authorization(fresh=True) == "Bearer old"


def test_secrets_do_not_show_in_a_configuration() -> None:
    shown = repr(cluster_config_from("https://x/", "pem", "secret")) + json.dumps({})
    assert "secret" not in shown
    assert "https://x'" in shown
