"""Reads what a spec refers to, at the moment it is needed: objects of the user's, which FedState does not cache or own."""

import base64
from dataclasses import replace

from fedstate.api.configfile import config_problem
from fedstate.api.federated import MultiCloudMongoDB
from fedstate.fed.observed import References
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import NotFound
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import CONFIG_MAPS, SECRETS, Resource

_LOGIN_KEY = ".dockerconfigjson"


async def read_references(client: KubeClient, instance: MultiCloudMongoDB) -> References:
    """What the instance refers to; what is missing becomes a problem that names the field and the remedy."""
    references = await _with_root_password(client, instance, References())
    if instance.config_ref:
        references = await _with_config(client, instance, instance.config_ref, references)
    name = instance.image_pull_secret.name
    if name:
        found = await _get(client, SECRETS, name, instance.namespace)
        if found is None:
            references = _with_problem(references, "spec.imageSetting.imagePullSecret", "Secret", instance.namespace, name)
        elif wrong := _pull_secret_problem(found):
            problem = f"spec.imageSetting.imagePullSecret: Secret {instance.namespace}/{name} {wrong}"
            references = replace(references, problems=(*references.problems, problem))
        else:
            references = replace(references, pull_secret=found)
    return references


async def _with_config(client: KubeClient, instance: MultiCloudMongoDB, name: str, references: References) -> References:
    found = await _get(client, CONFIG_MAPS, name, instance.namespace)
    if found is None:
        return _with_problem(references, "spec.config.configRef", "ConfigMap", instance.namespace, name)
    data = found.get("data") or {}
    wrong = config_problem(data)
    if not wrong:
        return replace(references, config=data)
    problem = f"spec.config.configRef: ConfigMap {instance.namespace}/{name} {wrong}"
    return replace(references, problems=(*references.problems, problem))


def _pull_secret_problem(secret: KubeObject) -> str:
    """No pod can use a Secret without this key, and none says so."""
    data = secret.get("data") or {}
    if data.get(_LOGIN_KEY) or data.get(".dockercfg"):
        return ""
    return f"has no key {_LOGIN_KEY}; make it with kubectl create secret docker-registry"


async def _with_root_password(client: KubeClient, instance: MultiCloudMongoDB, references: References) -> References:
    reference, field = instance.root_password_secret_ref, "spec.auth.rootPasswordSecretRef"
    if reference is None:
        return references
    found = await _get(client, SECRETS, reference.name, instance.namespace)
    if found is None:
        return _with_problem(references, field, "Secret", instance.namespace, reference.name)
    try:
        password = base64.b64decode((found.get("data") or {}).get(reference.key) or "").decode()
    except ValueError:
        password = ""
    if password:
        return replace(references, root_password=password)
    problem = f"{field}: Secret {instance.namespace}/{reference.name} has no text under the key {reference.key}; add one"
    return replace(references, problems=(*references.problems, problem))


def _with_problem(references: References, field: str, kind: str, namespace: str, name: str) -> References:
    problem = f"{field}: {kind} {namespace}/{name} does not exist; create it, or change the field"
    return replace(references, problems=(*references.problems, problem))


async def _get(client: KubeClient, resource: Resource, name: str, namespace: str) -> KubeObject | None:
    try:
        return await client.get(resource, name, namespace)
    except NotFound:
        return None
