"""An embedded Kubernetes API server: enough of one for FedState's components and kubectl, on one port, in one SQLite file.

Runs no pods and no controllers (but ends namespaces and definitions); those are clients like any other.
"""

from fedstate.local.apiserver.auth import User
from fedstate.local.apiserver.server import ApiServer, TlsFiles

__all__ = ["ApiServer", "TlsFiles", "User"]
