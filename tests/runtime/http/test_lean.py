"""What a service's process imports of the libraries it stands on."""

import json
import subprocess
import sys

# A command line, a debugger, YAML, templates; models that no function has; and what begins after the first answer.
_UNUSED = {"attrs", "click", "html", "multiprocessing", "pdb", "pydantic", "rich", "yaml"}
_LATER = {"botocore", "dramatiq", "httpx", "jwt", "redis"}


def test_a_service_imports_nothing_that_no_request_needs_and_a_debugger_is_there_when_asked_for() -> None:
    code = """
import json, sys
import runtime.http.host
from runtime.http.lean import Application
from runtime.loader import load_http
from runtime.services import find
load_http(find("location"), None)
Application([])
before = sorted({name.partition(".")[0] for name in sys.modules})
import pdb, yaml
print(json.dumps([before, callable(pdb.set_trace), yaml.safe_load("a: 1")]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, traced, read = json.loads(done.stdout)
    assert not (_UNUSED | _LATER) & set(before)
    assert traced
    assert read == {"a": 1}


def test_what_begins_later_has_no_clusters_no_certificates_and_no_client_for_keys_until_someone_asks_for_them() -> None:
    code = """
import json, sys
from shared import identity
import runtime.delivery.background
identity.warm()
unused = ["redis.cluster", "redis.asyncio.cluster", "redis.sentinel", "cryptography.x509", "jwt.jwks_client"]
there = [name for name in unused if name in sys.modules]
from redis.asyncio.cluster import RedisCluster
from cryptography.x509 import load_pem_x509_certificate
from jwt.jwks_client import PyJWKClient
print(json.dumps([there, RedisCluster.__name__, callable(load_pem_x509_certificate), PyJWKClient.__name__]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], "RedisCluster", True, "PyJWKClient"]
