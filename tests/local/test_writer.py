"""The writer's account of what was lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fedstate.local.writer import Writer


class _Collection:
    """Holds some documents, and lets the writer have another one acknowledged while they are read."""

    def __init__(self, writer: Writer, documents: list[int]) -> None:
        self._writer = writer
        self._documents = documents

    async def find(self, query: dict[str, Any], fields: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        for number in list(self._documents):
            yield {"_id": number}
        self._writer.acknowledged.append(99)


async def test_a_document_acknowledged_while_the_others_are_read_back_is_not_called_lost(monkeypatch: Any) -> None:
    writer = Writer("mongodb://127.0.0.1:1")
    monkeypatch.setattr(writer, "_collection", _Collection(writer, [0, 2]))
    writer.acknowledged += [0, 1, 2]
    try:
        assert await writer.missing() == [1]
    finally:
        await writer.close()
