"""What a container image can be on a machine without containers. Knows names of images, not how a process is started."""

from __future__ import annotations

import re
from enum import Enum

_MONGOD = re.compile(r"(mongo|mongod|mongodb|percona-server-mongodb)(-(community|enterprise))?(-server)?(-ubi\d*)?")
_HOST = frozenset({"alpine", "bash", "busybox", "debian", "python", "ubuntu"})


class Program(Enum):
    """What runs in place of an image."""

    MONGOD = "mongod"
    """The mongod of local mode, whatever version the tag names."""
    FEDSTATE = "fedstate"
    """This very package."""
    HOST = "host"
    """The command of the container, with the programs of this machine."""


def image_name(image: str) -> str:
    """The last part of a reference, without registry, tag and digest: `mongo` of `docker.io/library/mongo:3.6@sha256:…`."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def program_of(image: str) -> Program | None:
    """What an image runs as; None if nothing on this machine can stand for it."""
    name = image_name(image)
    if _MONGOD.fullmatch(name):
        return Program.MONGOD
    if name == "fedstate":
        return Program.FEDSTATE
    return Program.HOST if name in _HOST else None
