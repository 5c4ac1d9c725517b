"""One whole local system per engine, shared by the end-to-end tests that do not need one of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from fedstate.local.kubernetes import find_assets
from tests.e2e.system import System, running_system


@pytest.fixture(
    scope="session",
    params=[
        "embedded",
        pytest.param(
            "kubernetes",
            marks=[
                pytest.mark.kubernetes,
                pytest.mark.skipif(find_assets() is None, reason="no etcd and kube-apiserver: KUBEBUILDER_ASSETS is not set"),
            ],
        ),
    ],
)
def shared_system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Three member clusters with room for several small instances, and no instance yet."""
    manager = running_system(
        tmp_path_factory.mktemp(str(request.param)), "--engine", request.param, "--no-demo", "--any-storage-class"
    )
    # Start and end in one loop; the tests between them have loops of their own.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield runner.run(manager.__aenter__())
        runner.run(manager.__aexit__(None, None, None))
