"""Log records as JSON lines or as text, each carrying which reconcile it belongs to. Knows no messages."""

import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

import orjson

from fedstate.control.context import CURRENT

FORMATS = ("auto", "json", "text")
LEVELS = ("debug", "info", "warning", "error")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Context(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        # Read here and not in the formatter: a record may be formatted elsewhere than where it was made.
        run = CURRENT.get()
        if run is not None:
            for name, value in (("controller", run.controller), ("object", run.object), ("reconcileID", run.id)):
                if not hasattr(record, name):
                    setattr(record, name, value)
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object per line: level, ts, logger, msg, and whatever `extra` held."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "level": record.levelname.lower(),
            "ts": f"{_second(int(record.created))}.{int(record.created % 1 * 1000):03}Z",
            "logger": record.name,
            "msg": record.getMessage(),
        }
        line.update(_extras(record))
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class TextFormatter(logging.Formatter):
    """For people at a terminal: time, level, message, and the extras as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        extras = "".join(f" {name}={value}" for name, value in _extras(record).items() if name != "reconcileID")
        text = f"{moment} {record.levelname:<7} {record.getMessage()}{extras}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def set_up(format: str, level: str, stream: TextIO | None = None) -> None:
    """Sends all records from `level` up to `stream` (default: stderr); `auto` is text at a terminal and JSON elsewhere."""
    target = stream if stream is not None else sys.stderr
    as_text = format == "text" or (format == "auto" and target.isatty())
    handler = logging.StreamHandler(target)
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    handler.addFilter(_Context())
    # Records are spared what no format shows.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


@lru_cache(maxsize=8)
def _second(since: int) -> str:
    return datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
