"""Everything that a file (or a library) reaches: functions and images, with the path from one to the other."""

import argparse
import sys
from pathlib import Path

from k8s.programs.images import TOOLS, image_inputs, tool_inputs
from runtime.closure import Checkout, ClosureError
from runtime.loader import LoadError
from runtime.services import ROOT, ServiceError, suggestion


def reached(name: str, checkout: Checkout) -> list[list[str]]:
    """Chains from a file below the checkout, or a library's name, to each image that holds it."""
    chains = []
    toml, library = f"functions/{{}}/{Path(name).name}", f"library {name}"
    for service in checkout.services.values():
        image = image_inputs(checkout, service)
        found = []
        for closure in checkout.functions(service):
            if name == "locks/dev.txt":
                keys = ["library litestar" if "library litestar" in closure.inputs else "library dramatiq"]
            elif name == "k8s/image.toml":
                keys = ["base image"]
            elif name.endswith("service.toml") and name == toml.format(service.folder):
                keys = ["setting name"]
            else:
                keys = [key for key in (name, library) if key in closure.inputs]
            found += [[name, *closure.chain(key)[1:], service.name] for key in keys]
        if not found and (name in image or library in image):
            found = [[name, service.name]]
        chains += found
    if {name, library} & {*tool_inputs(checkout)}:
        chains.append([name, TOOLS])
    return chains


EXAMPLES = """\
eco2 why shared/db.py  # each function and image it reaches, and the way
eco2 why pillow  # the same of a library
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Name all functions and images that a file or a library reaches, and the way there."
    parser.add_argument("file", help="a file of the checkout, or a library's name")


def main(args: argparse.Namespace) -> int:
    path = Path(args.file).resolve()  # by whatever link it is named
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else args.file
    checkout = Checkout()
    known = "/" not in args.file and args.file in checkout.lock.versions
    if known:
        name = args.file
    elif not path.exists() and not (ROOT / name).exists():
        names = [file.relative_to(ROOT).as_posix() for file in ROOT.glob("*/**/*.py") if ".venv" not in file.parts]
        print(f"eco2 why: there is no file or locked library {args.file}{_near(args.file, names)}", file=sys.stderr)
        return 2
    try:
        chains = reached(name, checkout)
    except (ClosureError, LoadError, ServiceError) as error:
        print(f"eco2 why: {error}", file=sys.stderr)
        return 1
    print("\n".join(" > ".join(chain) for chain in chains) if chains else f"{name} reaches no function and no image")
    return 0


def _near(name: str, names: list[str]) -> str:
    found = suggestion(name, names)
    return found if "did you mean" in found else ""
