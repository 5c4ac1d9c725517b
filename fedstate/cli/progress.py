"""One line per phase with its time, on standard error; a spinner while a phase runs where there is a terminal."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, TextIO

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAME_SECONDS = 0.1
GREEN, RED, RESET = "\x1b[32m", "\x1b[31m", "\x1b[0m"
TEXT_WIDTH = 38

Output = Literal["text", "json"]


class Running:
    """A phase under way; set `detail` to show what it is at, and what it reached in the end."""

    def __init__(self, text: str, detail: str) -> None:
        self.text = text
        self.detail = detail


class Progress:
    """Prints phases; `output="json"` prints one object a line instead."""

    def __init__(self, *, output: Output = "text", stream: TextIO | None = None) -> None:
        self._output = output
        self._stream = stream or sys.stderr
        self._terminal = output == "text" and self._stream.isatty()
        self._color = self._terminal and not os.environ.get("NO_COLOR")

    def line(self, text: str) -> None:
        """A line of its own."""
        if self._output == "text":
            print(text, file=self._stream, flush=True)

    def done(self, text: str, detail: str, seconds: float) -> None:
        """A phase that is over."""
        self._finish("✓", text, detail, seconds)

    @asynccontextmanager
    async def phase(self, text: str, detail: str = "") -> AsyncIterator[Running]:
        """Show the phase while the block runs; an exception marks it as failed and goes on."""
        running = Running(text, detail)
        begun = time.monotonic()
        spinner = asyncio.create_task(self._spin(running, begun), name="spinner") if self._terminal else None
        try:
            yield running
        except BaseException:
            await self._stop(spinner)
            self._finish("✗", running.text, running.detail, time.monotonic() - begun)
            raise
        await self._stop(spinner)
        self._finish("✓", running.text, running.detail, time.monotonic() - begun)

    async def _stop(self, spinner: asyncio.Task[None] | None) -> None:
        if spinner is not None:
            spinner.cancel()
            await asyncio.wait([spinner])

    async def _spin(self, running: Running, begun: float) -> None:
        for frame in itertools.cycle(FRAMES):
            line = _line(frame, running.text, running.detail, time.monotonic() - begun)
            print(f"\r\x1b[2K{line}", end="", file=self._stream, flush=True)
            await asyncio.sleep(FRAME_SECONDS)

    def _finish(self, mark: str, text: str, detail: str, seconds: float) -> None:
        if self._output == "json":
            event = {"phase": text, "detail": detail, "seconds": round(seconds, 2), "ok": mark == "✓"}
            print(json.dumps(event, ensure_ascii=False), file=self._stream, flush=True)
            return
        shown = f"{GREEN if mark == '✓' else RED}{mark}{RESET}" if self._color else mark
        start = "\r\x1b[2K" if self._terminal else ""
        print(f"{start}{_line(shown, text, detail, seconds)}", file=self._stream, flush=True)


def _line(mark: str, text: str, detail: str, seconds: float) -> str:
    return f" {mark} {text:<{TEXT_WIDTH}} {detail:<60} {seconds:5.1f}s"
