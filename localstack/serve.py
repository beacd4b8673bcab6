"""Starts LocalStack listening on the loopback address only.

Its server takes the port from GATEWAY_LISTEN but listens on all interfaces
("TODO: interface = host?" in localstack.runtime.server.twisted), which a store with
no checked credentials must not do.
"""

import functools
import runpy

from twisted.internet import endpoints

endpoints.TCP4ServerEndpoint = functools.partial(
    endpoints.TCP4ServerEndpoint, interface="127.0.0.1"
)
runpy.run_module("localstack.runtime.main", run_name="__main__")
