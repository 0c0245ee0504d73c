"""What `make up` compiles before the first start"""

import os
import subprocess
import sys
from pathlib import Path


def test_who_sets_the_system_up_is_given_no_id_and_reported_to_no_one(tmp_path: Path) -> None:
    code = "from emulator import compiled; compiled.main(['onnxruntime'])"
    environ = {
        name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    subprocess.run([sys.executable, "-c", code], env=environ | {"HOME": str(tmp_path)}, check=True)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in str(path)]
