"""skeleton"""

from __future__ import annotations

from collections.abc import Iterable

from fedstate.local.apiserver.objects.schema import Obj


def index(group_versions: Iterable[str], etags: dict[str, str] | None = None) -> Obj:
    """Body of GET /openapi/v3; keys such as "api/v1", "apis/apps/v1"."""
    return {"paths": {}}


def document(group_version: str, crds: Iterable[Obj]) -> Obj:
    """Body of GET /openapi/v3/<key> for "v1", "apps/v1", "middleware.fedstate.io/v1alpha1": built-in kinds plus the served versions of `crds`."""
    return {}


def swagger(crds: Iterable[Obj]) -> Obj:
    """Body of GET /openapi/v2."""
    return {}
