"""Volumes of a pod as directories of this machine, and the files that Secrets, ConfigMaps and the pod itself are projected into."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fedstate.kube.objects import KubeObject
from fedstate.local.node.environment import Lookup, NotYetThere, data_of, field_value, resource_value

DEFAULT_MODE = 0o644
_DATA = "..data"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Content and permissions of one projected file."""

    content: bytes
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the content of a pod's volumes comes from."""

    pod: KubeObject
    lookup: Lookup
    facts: Mapping[str, str]
    claim_directory: Callable[[str], Path]
    """Claim name -> directory of its volume; raises NotYetThere."""
    token: str = ""
    """For volumes that project a service account token."""


def projected_files(volume: KubeObject, sources: Sources) -> dict[str, File] | None:
    """The files of a volume, by relative path; None for a volume that has none of its own. NotYetThere names what is missing."""
    if "projected" in volume:
        files: dict[str, File] = {}
        lenient = volume["name"].startswith("kube-api-access-")
        for source in volume["projected"].get("sources") or ():
            try:
                files.update(_source_files(source, sources, volume["projected"].get("defaultMode", DEFAULT_MODE)))
            except NotYetThere:
                if not lenient:  # the API access that every pod is given is not what a local program waits for
                    raise
        return files
    for kind in ("secret", "configMap", "downwardAPI"):
        if kind in volume:
            return _source_files({kind: _named(kind, volume[kind])}, sources, volume[kind].get("defaultMode", DEFAULT_MODE))
    return None


def _named(kind: str, source: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**source, "name": source["secretName"]} if kind == "secret" else source


def _source_files(source: Mapping[str, Any], sources: Sources, mode: int) -> dict[str, File]:
    if "serviceAccountToken" in source:
        return {source["serviceAccountToken"]["path"]: File(content=sources.token.encode(), mode=mode)}
    if "downwardAPI" in source:
        return dict(_downward_file(item, sources, mode) for item in source["downwardAPI"].get("items") or ())
    for field, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
        if field in source:
            return _object_files(kind, source[field], sources, mode)
    return {}


def _downward_file(item: Mapping[str, Any], sources: Sources, mode: int) -> tuple[str, File]:
    if "fieldRef" in item:
        text = field_value(sources.pod, item["fieldRef"]["fieldPath"], sources.facts)
    else:
        reference = item["resourceFieldRef"]
        containers = {c["name"]: c for c in sources.pod["spec"].get("containers") or ()}
        text = resource_value(containers.get(reference.get("containerName"), {}), reference)
    return item["path"], File(content=text.encode(), mode=item.get("mode", mode))


def _object_files(kind: str, source: Mapping[str, Any], sources: Sources, mode: int) -> dict[str, File]:
    name, optional = source["name"], bool(source.get("optional"))
    found = sources.lookup(kind, name)
    if found is None and not optional:
        raise NotYetThere(f'{kind.lower()} "{name}" not found')
    content = data_of(kind, found)
    items = source.get("items")
    if items is None:
        return {key: File(content=value, mode=mode) for key, value in content.items()}
    missing = [item["key"] for item in items if item["key"] not in content]
    if missing and not optional:
        raise NotYetThere(f"references non-existent {kind.lower()} key: {missing[0]}")
    return {
        item["path"]: File(content=content[item["key"]], mode=item.get("mode", mode)) for item in items if item["key"] in content
    }


def project(directory: Path, files: Mapping[str, File]) -> bool:
    """Make `directory` show exactly these files, all at once as the kubelet does (links to `..data`, which is switched); True if anything changed."""
    version = f"..{_digest(files)}"
    current = directory / _DATA
    if current.is_symlink() and os.readlink(current) == version:
        return False
    directory.mkdir(parents=True, exist_ok=True)
    _write_version(directory / version, files)
    old = os.readlink(current) if current.is_symlink() else None
    temporary = directory / "..data_tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(version)
    temporary.replace(current)
    _link_names(directory, {PurePosixPath(path).parts[0] for path in files})
    if old and old != version:
        shutil.rmtree(directory / old, ignore_errors=True)
    return True


def _digest(files: Mapping[str, File]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        file = files[path]
        digest.update(f"{path}\0{file.mode}\0{len(file.content)}\0".encode() + file.content)
    return digest.hexdigest()[:16]


def _write_version(directory: Path, files: Mapping[str, File]) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for path, file in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as output:
            output.write(file.content)
        target.chmod(file.mode)


def _link_names(directory: Path, names: set[str]) -> None:
    for entry in directory.iterdir():
        if not entry.name.startswith("..") and entry.is_symlink() and entry.name not in names:
            entry.unlink()
    for name in names:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")


def realise(volume: KubeObject, directory: Path, sources: Sources) -> Path:
    """Make a volume be there and return its directory; NotYetThere names what is missing. Again, it brings projected files up to date."""
    files = projected_files(volume, sources)
    own = directory / str(volume["name"])
    if files is not None:
        project(own, files)
        return own
    if "persistentVolumeClaim" in volume:
        return sources.claim_directory(volume["persistentVolumeClaim"]["claimName"])
    if "hostPath" in volume:
        return host_path(volume["hostPath"])
    if "emptyDir" in volume:
        own.mkdir(parents=True, exist_ok=True)
        return own
    kinds = [key for key in volume if key != "name"]
    raise NotYetThere(f"a local node has no volumes of type {', '.join(kinds) or 'unknown'}")


def host_path(source: Mapping[str, Any]) -> Path:
    path = Path(str(source["path"]))
    if source.get("type") == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        raise NotYetThere(f"hostPath {path} does not exist")
    return path


def mounts_of(container: KubeObject, volumes: Mapping[str, Path], expanded: Callable[[str], str]) -> dict[str, str]:
    """Mount path -> real path of a container's volume mounts."""
    mounts: dict[str, str] = {}
    for mount in container.get("volumeMounts") or ():
        real = volumes[mount["name"]]
        below = mount.get("subPath") or expanded(mount.get("subPathExpr") or "")
        if below:
            if ".." in PurePosixPath(below).parts:
                raise NotYetThere(f"subPath {below!r} of volume {mount['name']} must not contain '..'")
            real = real / below
            if not real.exists():
                real.mkdir(parents=True)
        mounts[mount["mountPath"]] = str(real)
    return mounts
