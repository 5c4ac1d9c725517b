"""docs/reference/messages.md, made of the tables that the tests ask: `python -m tests.badinput.document` writes it anew."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.badinput.conditions import Condition
from tests.badinput.members import TROUBLES
from tests.badinput.rejected import REJECTED, Rejected
from tests.badinput.reported import REPORTED
from tests.badinput.running import RUNNING

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "messages.md"

HEAD = """\
# Messages: bad input, and what FedState says of it

Every line here is a test: the input on the left gives the message on the right, to the letter. Conditions and reasons as such are in
[status.md](status.md). The page is made of the tables in `tests/badinput` by `python -m tests.badinput.document`.

Where to look: `kubectl describe` shows the conditions and the events of an object; what is `Stalled` needs a human, and an event says it too.
"""

REFUSED = """
## Refused by the API server

`kubectl apply` fails, and nothing of the object is stored or changed. Left is what differs from a valid manifest. A real kube-apiserver may add
that it has not checked some rules, or the same again for the `scale` subresource.
"""

PLACING = """
## Before members run: conditions of MultiCloudMongoDB

The scheduler writes the condition `Scheduled` and the event `FailedScheduling`, the federation the others.
"""

AT_WORK = """
## While members run: conditions of MultiCloudMongoDB
"""

IN_A_CLUSTER = """
## In a member cluster: conditions of MongoDB

On a `MultiCloudMongoDB` the same appears as `cluster NAME: ...` in its condition `Stalled` and in `status.result[].message`, with the names that
the fields have there, such as `spec.storage.storageClass`. A message of `Ready` that is `True` is a remark: members serve in spite of it.
"""


def page() -> str:
    """The whole page."""
    parts = [
        HEAD,
        REFUSED,
        *_table(("kind", "in the manifest", "message"), map(_refused, REJECTED)),
        PLACING,
        *_table(("situation", "condition", "message"), _told(REPORTED)),
        AT_WORK,
        *_table(("situation", "condition", "message"), _told(RUNNING)),
        IN_A_CLUSTER,
        *_table(("situation", "condition", "message"), _told(TROUBLES)),
    ]
    return "\n".join(part.rstrip("\n") if part in (REFUSED, PLACING, AT_WORK, IN_A_CLUSTER) else part for part in parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"\n| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _refused(row: Rejected) -> tuple[str, str, str]:
    changes = [f"spec.{path}: {value}" for path, value in _paths(row.change)]
    if row.name != row.valid["metadata"]["name"] or not changes:
        changes.append(f"metadata.name: {row.name}")
    what = "<br>".join(_code(change) for change in changes)
    return row.resource.kind, f"{what}, changed later" if row.later else what, "<br>".join(map(_code, row.messages))


def _paths(change: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in change.items():
        if isinstance(value, Mapping) and value:
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield prefix + name, "(left out)" if value is None else json.dumps(value)


def _told(rows: Iterable[Any]) -> Iterator[tuple[str, str, str]]:
    for row in rows:
        for index, condition in enumerate(row.says):
            yield (row.situation if index == 0 else "", *_cells(condition))


def _cells(condition: Condition) -> tuple[str, str]:
    kind, status, reason, message = condition
    return f"`{kind}` {status}, `{reason}`", _code(message)


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`"


if __name__ == "__main__":
    PAGE.write_text(page())
