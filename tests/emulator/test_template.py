"""The process that becomes each part by a fork: what it imports is in the memory of all of them."""

import json
import subprocess
import sys

# What only one part needs, or none: a part imports it itself.
_NOT_HERE = {"PIL", "attrs", "boto3", "moto", "numpy", "onnxruntime", "openai", "pydantic", "rich", "werkzeug"}


def test_the_template_has_no_thread_and_nothing_that_one_part_alone_needs() -> None:
    code = """
import json, sys, threading
from emulator import template
template.WARM = ("no_such_module", *template.WARM)  # the child that needs it says so
template.warm()
print(json.dumps([threading.active_count(), sorted({name.partition(".")[0] for name in sys.modules})]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    threads, modules = json.loads(done.stdout)
    assert threads == 1
    assert not _NOT_HERE & set(modules)
    assert {"litestar", "httpcore", "psycopg", "redis"} <= set(modules)
