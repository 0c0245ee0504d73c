"""Writes what follows from the service.toml files: manifests, Ingress, overlays. A test proves that git is current.

k8s/base/services/      one file a service, the Ingress, and who may call whom
k8s/overlays/ENV/       domain and settings of an environment of k8s/environments.toml
k8s/bootstrap/eks.yaml  the nodes of k8s/nodes.yaml, and who has which rights in AWS

No file has a tag of ours: what runs is the cluster's to know, and `eco2 deploy` writes it there.
"""

import argparse
import sys
from pathlib import Path

from yaml import YAMLError

from k8s.programs import manifests
from k8s.programs.bootstrap import bootstrap_files
from k8s.programs.cluster import ClusterError
from k8s.programs.environments import UnknownEnvironment, environment, environments
from k8s.programs.images import wanted
from k8s.programs.overlays import kustomization, overlay
from k8s.programs.pin import unpinned
from k8s.programs.room import RoomError, check_connections, check_nodes
from k8s.programs.templates import Document, dump, read
from k8s.programs.wanted import overlay_documents, put_images
from runtime.closure import Checkout, ClosureError
from runtime.loader import LoadError
from runtime.services import ServiceError


def documents(checkout: Checkout) -> dict[str, list[Document]]:
    """What every file that is written says, by its path in the checkout.

    Raises:
        RoomError: the requests don't fit the nodes, or the pools PostgreSQL's connections.
    """
    services = list(checkout.services.values())
    check_nodes(services)
    check_connections(services)
    files = {f"{service.name}.yaml": manifests.service_documents(service) for service in services}
    files["ingress.yaml"] = [manifests.ingress(services)]
    files["callers.yaml"] = manifests.callers(services)
    files["kustomization.yaml"] = [kustomization(resources=sorted(files))]
    files = {f"k8s/base/services/{name}": found for name, found in files.items()}
    every = environments(checkout.root)
    files |= bootstrap_files(checkout, every["prod"])
    for name, env in every.items():
        files |= {f"k8s/overlays/{name}/{file}": found for file, found in overlay(env, services).items()}
    return files


def render(checkout: Checkout) -> dict[str, str]:
    """Every file that is written, by its path in the checkout.

    Raises:
        RoomError: see `documents`.
    """
    return {path: dump(found) for path, found in documents(checkout).items()}


def whole(env: str, checkout: Checkout) -> list[Document]:
    """All objects of an environment with their images, as a deploy would bring them.

    Raises:
        UnknownEnvironment, ClosureError, LoadError, ClusterError: there are none.
    """
    place = environment(env, checkout.root)
    found = overlay_documents(env, checkout.root)
    put_images(found, wanted(checkout), place)
    return found


def stale(checkout: Checkout) -> dict[str, str]:
    """What is not as `render` would write it: path to the text that should be there; empty for one too many."""
    files = render(checkout)
    found = dict.fromkeys(_there(checkout) - set(files), "")
    for path, text in files.items():
        file = checkout.root / path
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            found[path] = text
    return dict(sorted(found.items()))


def current(checkout: Checkout) -> bool:
    """Whether the files say what `render` would write: a deploy asks. To read them takes a quarter of writing them anew.

    Raises:
        RoomError: see `documents`.
    """
    files = documents(checkout)
    return _there(checkout) <= set(files) and all(_says(checkout.root / path, said) for path, said in files.items())


def _there(checkout: Checkout) -> set[str]:
    return {
        path.relative_to(checkout.root).as_posix()
        for folder in ("k8s/base/services", "k8s/overlays")
        for path in (checkout.root / folder).rglob("*")
        if path.is_file()
    }


def _says(file: Path, documents: list[Document]) -> bool:
    try:
        return file.is_file() and read(file.read_text(encoding="utf-8")) == documents
    except (UnicodeDecodeError, YAMLError):
        return False


EXAMPLES = """\
eco2 render  # after a change of a service.toml
eco2 render --check  # for CI
eco2 render --show prod  # all objects as a deploy would bring them
"""
EXIT_CODES = {1: "a service.toml is wrong; with --check: the manifests are not current"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write the manifests that follow from the service.toml files and k8s/environments.toml."
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if something would change")
    parser.add_argument("--show", metavar="ENV", help="change nothing; print an environment's objects, images and all")


def main(args: argparse.Namespace) -> int:
    checkout = Checkout()
    try:
        if args.show:
            print(dump(whole(args.show, checkout), header=""))
            return 0
        found = stale(checkout)
    except (RoomError, ClusterError, ClosureError, LoadError, ServiceError, UnknownEnvironment, ValueError) as error:
        print(f"eco2 render: {error}", file=sys.stderr)
        return 1
    for path, text in found.items():
        if args.check:
            print(f"{path} is not current: run `eco2 render`")
            continue
        file = checkout.root / path
        if text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        else:
            file.unlink()
        print(path)
    if not args.check and (loose := unpinned(checkout.root)):
        print(f"named by a tag alone (`eco2 build --pin` writes digests): {', '.join(loose)}", file=sys.stderr)
    return 1 if found and args.check else 0
