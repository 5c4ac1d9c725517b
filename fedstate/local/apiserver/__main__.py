"""`python -m fedstate.local.apiserver`: one API server in the foreground, for trying it by hand."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

import uvloop

from fedstate.local.apiserver import ApiServer, TlsFiles, User
from fedstate.local.apiserver.auth import MASTERS


async def _serve(arguments: argparse.Namespace) -> None:
    server = ApiServer(
        database=arguments.database, host=arguments.host, port=arguments.port,
        tls=TlsFiles(cert=arguments.cert, key=arguments.key),
        tokens={arguments.token: User(name="admin", groups=(MASTERS,))},
    )  # fmt: skip
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await server.start()
    try:
        await stopping.wait()
    finally:
        await server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fedstate.local.apiserver", description=__doc__)
    parser.add_argument("--database", type=Path, required=True, help="SQLite file; made if it does not exist")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cert", type=Path, required=True, help="PEM file of the server's certificate")
    parser.add_argument("--key", type=Path, required=True, help="PEM file of its key")
    parser.add_argument("--token", required=True, help="bearer token of the administrator")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(arguments))


if __name__ == "__main__":
    main()
