"""Paths and addresses of a container, rewritten to where they really are: a local container has no mount and no network namespace.

Knows text only; touches no file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PATH_CHARACTER = r"[\w./-]"
_WILDCARD = re.compile(r"(?<![\w.])0\.0\.0\.0(?![\w.])")


class Translation:
    """Rewrites text of one container: mount paths to real directories, the address of all interfaces to the pod's own.

    A mount path counts only as whole path components (`/data` is not in `/database` nor in `/var/data`), the longest mount first,
    and what a replacement brings in is not looked at again.
    """

    def __init__(self, mounts: Mapping[str, str], address: str) -> None:
        self._mounts = {path.rstrip("/") or "/": real for path, real in mounts.items()}
        self._address = address
        longest_first = sorted(self._mounts, key=len, reverse=True)
        alternatives = "|".join(re.escape(path) for path in longest_first if path != "/")
        self._pattern = (
            re.compile(rf"(?<!{_PATH_CHARACTER})({alternatives})(?![\w-])(?!\.\w)") if alternatives else None
        )  # fmt: skip

    def path(self, path: str) -> str | None:
        """Where a whole absolute path lies; None if it is in no mount."""
        parts = path.rstrip("/").split("/")
        for size in range(len(parts), 1, -1):
            real = self._mounts.get("/".join(parts[:size]))
            if real is not None:
                return "/".join([real, *parts[size:]])
        return None

    def paths(self, text: str) -> str:
        """`text` with its mount paths rewritten."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self._mounts[match.group(1)], text)

    def text(self, text: str) -> str:
        """`text` with mount paths and the address of all interfaces rewritten."""
        return _WILDCARD.sub(self._address, self.paths(text))
