"""Everything a process can be told, checked once. Passed on, never imported as a global."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from fedstate.control.component import CapacitySettings
from fedstate.errors import FedstateError


class SettingsError(FedstateError):
    """A setting that cannot be used; the message names it and what would do."""


class Role(StrEnum):
    """Where the process works: beside the Karmada control plane, or in one member cluster."""

    CONTROL_PLANE = "control-plane"
    MEMBER = "member"


class Component(StrEnum):
    """A part of FedState that a process can run."""

    SCHEDULER = "scheduler"
    FEDERATION = "federation"
    DATAPLANE = "dataplane"


class CapacitySource(StrEnum):
    """Where the scheduler learns what a cluster has room for; the best one first."""

    ESTIMATOR = "estimator"
    NODES = "nodes"
    SUMMARY = "summary"


ROLE_COMPONENTS = {
    Role.CONTROL_PLANE: (Component.SCHEDULER, Component.FEDERATION),
    Role.MEMBER: (Component.DATAPLANE,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of `fedstate run`. Empty text means: not said."""

    role: Role
    components: tuple[Component, ...]
    kubeconfig: str = ""
    context: str = ""
    cluster_name: str = ""
    vip: str = ""
    namespace: str = ""
    http_host: str = "127.0.0.1"
    http_port: int = 8080
    scheduler_profile: str = ""
    capacity: CapacitySettings = CapacitySettings()
    leader_elect: bool = True
    lease_namespace: str = ""
    sync_timeout: float = 120.0
    log_format: str = "auto"
    log_level: str = "info"

    @property
    def lease_name(self) -> str:
        """One lease per role; a process that runs other components than its role's has one of its own."""
        if set(self.components) == set(ROLE_COMPONENTS[self.role]):
            return f"fedstate-{self.role}"
        return "fedstate-" + "-".join(sorted(self.components))


def components_from(role: Role, names: Sequence[str]) -> tuple[Component, ...]:
    """The components named (comma-separated texts are fine), or those of the role; SettingsError for one that does not exist."""
    wanted = [name.strip() for text in names for name in text.split(",") if name.strip()]
    known = [str(component) for component in Component]
    for name in wanted:
        if name not in known:
            raise SettingsError(f"--components: there is no component {name!r}; there are {', '.join(known)}")
    return tuple(dict.fromkeys(Component(name) for name in wanted)) or ROLE_COMPONENTS[role]


def capacity_sources_from(text: str, *, estimator_said: bool) -> tuple[CapacitySource, ...]:
    """The sources named (comma-separated), or those that make sense; SettingsError for one that does not exist.

    Unsaid, estimators are asked only if something else is said about them. Sums are always among the sources: what nobody
    else can tell of a cluster is decided by them.
    """
    named = [name.strip() for name in text.split(",") if name.strip()]
    for name in named:
        if name not in list(CapacitySource):
            raise SettingsError(f"--capacity-sources: there is no source {name!r}; there are {', '.join(CapacitySource)}")
    if not named:
        named = ["nodes", "estimator"] if estimator_said else ["nodes"]
    elif estimator_said and CapacitySource.ESTIMATOR not in named:
        raise SettingsError("--capacity-sources: does not name estimator, but an option says where estimators are; drop one")
    return tuple(source for source in CapacitySource if source in named or source == CapacitySource.SUMMARY)


def check_vip(vip: str) -> str:
    """The address as given, if it can be one: an IP address or a DNS name without scheme or port."""
    if not vip or _is_ip(vip):
        return vip
    if any(character in vip for character in "/:@ ") or len(vip) > 253:
        raise SettingsError(f"--vip: {vip!r} is neither an IP address nor a DNS name; give it without scheme and port")
    return vip


def _is_ip(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except OSError:
            continue
        return True
    return False
