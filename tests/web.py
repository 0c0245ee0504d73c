"""httpx for who speaks plain HTTP with this machine: without its proxies, and without reading all authorities, for which each
client would take 40 ms of a processor.
"""

import functools
import ssl

import httpx

_PLAIN = {"verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "trust_env": False}

Client = functools.partial(httpx.Client, **_PLAIN)
AsyncClient = functools.partial(httpx.AsyncClient, **_PLAIN)
request = functools.partial(httpx.request, **_PLAIN)
get = functools.partial(httpx.get, **_PLAIN)
post = functools.partial(httpx.post, **_PLAIN)
put = functools.partial(httpx.put, **_PLAIN)
delete = functools.partial(httpx.delete, **_PLAIN)
options = functools.partial(httpx.options, **_PLAIN)
