"""Compiles what the first `eco2 up` will import, and no more: wheels bring no bytecode, and that of all of them is 110 MB.

Run by `make up` after it has installed the libraries (`python -m emulator.compiled`).
"""

import importlib
import os
from collections.abc import Iterable

from emulator.servers.s3.store import Store
from emulator.template import WARM

# What the parts import that the template does not become.
OTHERS = (
    *("yoyo", "yoyo.backends.core.postgresql"),
    *("onnx", "onnxruntime", "PIL.Image", "numpy", "bcrypt", "holidays", "rich.console", "psutil"),
    *("emulator.detached", "emulator.servers.s3.server", "emulator.dashboard.app", "runtime.cli"),
)


def main(names: Iterable[str] = (*WARM, *OTHERS)) -> None:
    # As functions/ai/embedded.py: imported without it, onnxruntime gives this account an id and reports to its makers.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    for name in names:
        importlib.import_module(name)
    Store()  # imports of moto what an S3 needs


if __name__ == "__main__":
    main()
