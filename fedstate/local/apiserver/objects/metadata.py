"""The schema of ObjectMeta, which is the same for every kind, and how lists and maps in it are owned."""

from __future__ import annotations

from fedstate.local.apiserver.objects.nodes import Node, Obj, compile_node

_STRING: Obj = {"type": "string"}
_TIME: Obj = {"type": "string", "format": "date-time"}
_NUMBER: Obj = {"type": "integer", "format": "int64"}
_STRINGS: Obj = {"type": "object", "additionalProperties": _STRING}

OWNER_REFERENCE: Obj = {
    "description": "Names an object that owns this one; when every owner is gone, this one is deleted too.",
    "type": "object",
    "required": ["apiVersion", "kind", "name", "uid"],
    "x-kubernetes-map-type": "atomic",
    "properties": {
        "apiVersion": {"type": "string", "description": "API version of the owner."},
        "kind": {"type": "string", "description": "Kind of the owner."},
        "name": {"type": "string", "description": "Name of the owner."},
        "uid": {"type": "string", "description": "UID of the owner."},
        "controller": {"type": "boolean", "description": "True for the one owner that manages this object."},
        "blockOwnerDeletion": {"type": "boolean", "description": "Foreground deletion of the owner waits for this object."},
    },
}
MANAGED_FIELDS: Obj = {
    "description": "Who set which fields, in one way of writing.",
    "type": "object",
    "properties": {
        "apiVersion": {"type": "string", "description": "API version of this object that the fields are named in."},
        "fieldsType": {"type": "string", "description": "Format of the fields; always FieldsV1."},
        "fieldsV1": {"type": "object", "description": "The set of fields.", "x-kubernetes-preserve-unknown-fields": True},
        "manager": {"type": "string", "description": "Who manages the fields."},
        "operation": {"type": "string", "description": "Apply or Update."},
        "subresource": {"type": "string", "description": "The subresource written through; empty for the object itself."},
        "time": {**_TIME, "description": "When the set of fields, or a value in it, last changed."},
    },
}
OBJECT_META_PROPERTIES: dict[str, Obj] = {
    "annotations": {**_STRINGS, "description": "Free-form text for tools and people, by key. Not used to select objects."},
    "creationTimestamp": {**_TIME, "description": "When the object was created. Set by the server."},
    "deletionGracePeriodSeconds": {**_NUMBER, "description": "Seconds the object has to end once deletion was asked for."},
    "deletionTimestamp": {**_TIME, "description": "Set once deletion was asked for; the object goes when no finalizer is left."},
    "finalizers": {
        "type": "array",
        "items": _STRING,
        "description": "Names that must be taken off before the object can go; each by whoever put it on.",
        "x-kubernetes-list-type": "set",
        "x-kubernetes-patch-strategy": "merge",
    },
    "generateName": {"type": "string", "description": "Prefix of a name that the server makes up; used when name is empty."},
    "generation": {**_NUMBER, "description": "Counts changes of the desired state. Set by the server."},
    "labels": {**_STRINGS, "description": "Key/value pairs by which selectors find objects."},
    "managedFields": {
        "type": "array",
        "items": MANAGED_FIELDS,
        "description": "Who set which fields; kept by the server for server-side apply.",
        "x-kubernetes-list-type": "atomic",
    },
    "name": {"type": "string", "description": "Name, unique within the namespace and kind. Cannot be changed."},
    "namespace": {"type": "string", "description": "Namespace the name is unique in; empty for cluster-scoped kinds."},
    "ownerReferences": {
        "type": "array",
        "items": OWNER_REFERENCE,
        "description": "The objects that this one depends on.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["uid"],
        "x-kubernetes-patch-merge-key": "uid",
        "x-kubernetes-patch-strategy": "merge",
    },
    "resourceVersion": {"type": "string", "description": "Opaque version of this object; changes with every write."},
    "selfLink": {"type": "string", "description": "No longer set."},
    "uid": {"type": "string", "description": "Unique in space and time. Set by the server."},
}
OBJECT_META: Obj = {
    "description": "What every object carries beside its own fields.",
    "type": "object",
    "properties": OBJECT_META_PROPERTIES,
}

OBJECT_META_NODE: Node = compile_node(OBJECT_META)
