"""What a node reads of its cluster to run pods: Secrets, ConfigMaps, claims and their volumes, from caches."""

from __future__ import annotations

from pathlib import Path

from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import Key, KubeObject
from fedstate.kube.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, SECRETS
from fedstate.local.node.environment import Lookup, NotYetThere
from fedstate.local.node.pod import Stock
from fedstate.local.node.volumes import host_path


def stock_of(informers: InformerSet) -> Stock:
    """A Stock that reads the caches of `informers`."""
    sources = {"Secret": informers.informer(SECRETS).store, "ConfigMap": informers.informer(CONFIG_MAPS).store}
    claims = informers.informer(PERSISTENT_VOLUME_CLAIMS).store
    volumes = informers.informer(PERSISTENT_VOLUMES).store

    def lookup(namespace: str) -> Lookup:
        return lambda kind, name: sources[kind].get(Key(namespace, name))

    def claim_directory(namespace: str, name: str) -> Path:
        claim = claims.get(Key(namespace, name))
        if claim is None:
            raise NotYetThere(f'persistentvolumeclaim "{name}" not found')
        volume = volumes.get(Key("", claim["spec"].get("volumeName") or ""))
        if volume is None or (claim.get("status") or {}).get("phase") != "Bound":
            raise NotYetThere(f'persistentvolumeclaim "{name}" is not bound')
        return directory_of(volume)

    return Stock(lookup=lookup, claim_directory=claim_directory)


def directory_of(volume: KubeObject) -> Path:
    """Where a PersistentVolume lies on this machine; NotYetThere for a kind of volume that is not here."""
    for kind in ("hostPath", "local"):
        if kind in volume["spec"]:
            return host_path(volume["spec"][kind])
    raise NotYetThere(f"volume {volume['metadata']['name']} is not a directory of this machine")
