"""What a service's process imports of the libraries it stands on."""

import json
import subprocess
import sys

# A command line, a debugger, YAML; models that no function has; and what begins after the first answer.
_UNUSED = {"attrs", "click", "multiprocessing", "pdb", "pydantic", "rich", "yaml"}
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
