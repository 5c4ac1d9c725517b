"""What a kind does beyond being stored: hooks around create, update and delete. The plain strategy does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from fedstate.kube.objects import KubeObject
from fedstate.local.apiserver.auth import User
from fedstate.local.apiserver.objects.fielderrors import FieldError
from fedstate.local.apiserver.objects.naming import metadata_errors
from fedstate.local.apiserver.requests import DeleteOptions, WriteOptions

if TYPE_CHECKING:
    from fedstate.local.apiserver.core import Core
    from fedstate.local.apiserver.objects.builtin_schemas import BuiltinKind

PLAIN_OPTIONS = WriteOptions(dry_run=False, field_manager="kube-apiserver", field_validation="Ignore", force=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One writing request: who, when, how; `warnings` go back as headers."""

    core: Core
    user: User
    now: datetime
    options: WriteOptions = PLAIN_OPTIONS
    warnings: list[str] = field(default_factory=list)
    duplicates: Sequence[str] = ()
    """Paths of fields that the body has twice."""
    subresource: str = ""
    """The part of the object that is written: "status", or empty for all the rest."""
    tracked: bool = False
    """Whether the change itself settles who owns which field, as server-side apply does."""
    decodes_body: bool = False
    """Whether the object itself was sent (create, replace), and not a patch: errors in it are worded otherwise."""


class Strategy:
    """The hooks of a kind. Objects given are in the request's version and may be changed in place where the hook says `prepare`."""

    returns_deleted = False
    """Whether DELETE answers with the object instead of a Status."""
    keeps_status_on_create = False
    known: BuiltinKind | None = None
    """Defaults and rules of a built-in kind."""

    def prepare_create(self, obj: KubeObject, write: Write) -> None:
        """Fill in what the server decides."""

    def prepare_update(self, obj: KubeObject, old: KubeObject, write: Write) -> None:
        """Put back what a client may not change."""

    def prepare_status(self, obj: KubeObject, old: KubeObject, write: Write) -> None:
        """The same for the status subresource."""

    def default(self, obj: KubeObject) -> KubeObject:
        """The object with its defaults; it may share parts with `obj`, which is unchanged."""
        return self.known.default(obj) if self.known is not None else obj

    def validate(self, obj: KubeObject, old: KubeObject | None, write: Write) -> list[FieldError]:
        """What is wrong with the object."""
        return self.known.validate(obj, old) if self.known is not None else metadata_errors(obj, old, any_finalizer=True)

    def allocate(self, obj: KubeObject, old: KubeObject | None, write: Write) -> None:
        """Take what the object needs from shared ranges; the last step that may refuse it."""

    def grace_period(self, obj: KubeObject, options: DeleteOptions) -> int:
        """Seconds that somebody else needs to end what the object stands for; 0 for none."""
        return 0

    def check_delete(self, obj: KubeObject, write: Write) -> None:
        """Raise to refuse a deletion."""

    def prepare_deletion(self, obj: KubeObject, write: Write) -> None:
        """Change the object as it begins to end."""

    def holds(self, obj: KubeObject) -> bool:
        """Whether the object may not go yet for a reason other than `metadata.finalizers`."""
        return False

    def stored(self, obj: KubeObject, old: KubeObject | None, core: Core) -> None:
        """After an object was written, and for every object once at the start."""

    def removed(self, obj: KubeObject, core: Core) -> None:
        """After an object is gone."""
