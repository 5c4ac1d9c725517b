"""The options that say where the scheduler learns what member clusters have room for, and what they mean."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from fedstate.control.component import CapacitySettings
from fedstate.settings import capacity_sources_from

Option: TypeAlias = Callable[..., Callable[[Any], Any]]

_DEFAULTS = CapacitySettings()

_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--capacity-sources": {
        "default": "",
        "metavar": "NAME[,NAME]",
        "show_default": "nodes,summary; estimator too if an option says where estimators are",
        "help": "Where to learn what a member cluster has room for: estimator, nodes, summary. The best one that answers counts,"
        " and summary always where no other does; summary alone keeps away from member clusters.",
    },
    "--estimator-service-prefix": {
        "default": "",
        "metavar": "PREFIX",
        "show_default": _DEFAULTS.estimator_service_prefix,
        "help": "Services of estimators are named PREFIX-CLUSTER.",
    },
    "--estimator-namespace": {
        "default": "",
        "show_default": _DEFAULTS.estimator_namespace,
        "help": "Namespace of the estimators' services.",
    },
    "--estimator-addresses": {
        "default": "",
        "metavar": "CLUSTER=HOST[:PORT],...",
        "help": "Estimators that no service names; an IPv6 address goes in brackets.",
    },
    "--estimator-ca-file": {
        "default": "",
        "metavar": "FILE",
        "help": "Ask estimators by TLS, and trust this authority (PEM).",
    },
    "--estimator-cert-file": {"default": "", "metavar": "FILE", "help": "Certificate to show to estimators (PEM)."},
    "--estimator-key-file": {"default": "", "metavar": "FILE", "help": "Its key (PEM, not encrypted)."},
    "--estimator-skip-verify": {"is_flag": True, "help": "Ask estimators by TLS, and accept any certificate."},
}


def capacity_options(option: Option) -> Callable[[Any], Any]:
    """Adds them to a command, each by `option`."""

    def add(command: Any) -> Any:
        for flag, attributes in reversed(tuple(_OPTIONS.items())):
            command = option(flag, **attributes)(command)
        return command

    return add


def take_capacity(said: dict[str, Any]) -> CapacitySettings:
    """What was said of it, which is taken out of `said`; SettingsError for what makes no sense."""
    estimator = {name: said.pop(name) for name in tuple(said) if name.startswith("estimator_")}
    estimator = {name: value for name, value in estimator.items() if value}
    sources = capacity_sources_from(said.pop("capacity_sources"), estimator_said=bool(estimator))
    return CapacitySettings(sources=tuple(map(str, sources)), **estimator)
