"""One request with everything found out about it before its verb is carried out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from fedstate.kube.objects import Key
from fedstate.local.apiserver.auth import User
from fedstate.local.apiserver.core import Core
from fedstate.local.apiserver.registry import ResourceType
from fedstate.local.apiserver.requests import Target, decode, duplicate_fields, write_options
from fedstate.local.apiserver.strategy import Write


@dataclass(slots=True, kw_only=True)
class Call:
    """A request for a resource that exists, by a user who may make it."""

    core: Core
    request: web.Request
    user: User
    target: Target
    rtype: ResourceType
    warnings: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        return self.target.namespace if self.rtype.namespaced else ""

    @property
    def key(self) -> Key:
        return Key(self.namespace, self.target.name)

    def write(self, options_kind: str) -> Write:
        """What writing functions need to know of the request; 422 if its options are wrong."""
        options = write_options(self.request.query, self.request.headers.get("User-Agent", ""), options_kind)
        return Write(
            core=self.core,
            user=self.user,
            now=self.core.clock(),
            options=options,
            warnings=self.warnings,
            duplicates=self.duplicates,
            subresource="status" if self.target.subresource == "status" else "",
            decodes_body=options_kind in ("CreateOptions", "UpdateOptions"),
        )

    async def body(self, content_type: str = "") -> Any:
        """The decoded body; fields that it has twice are remembered for the write, unless the client wants to hear nothing."""
        raw = await self.request.read()
        value = decode(raw, content_type or self.request.headers.get("Content-Type", ""))
        if self.request.query.get("fieldValidation") != "Ignore":
            self.duplicates.extend(duplicate_fields(raw))
        return value


Answer = Callable[[Call], Awaitable[web.StreamResponse]]
