"""Bad input is given to both API servers."""

from __future__ import annotations

from tests.servers import client as client
from tests.servers import namespace as namespace
from tests.servers import server as server
