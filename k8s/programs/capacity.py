"""`eco2 capacity`: what the nodes carry, which part is the first limit, and what the next step costs.

From service.toml and nodes.yaml (what runs where, and how much it may have), k8s/costs.toml (what work costs, as
`make bench ARGS=costs` measured it) and k8s/traffic.toml (the mix of traffic and the prices, estimates).
"""

import argparse
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from k8s.programs.room import empty, loads, node_plan
from runtime.services import ROOT, Service, ServiceError, load_services

# One node more of the same part is the next step, until its kind of part can't be more than one.
SINGLE = {
    "k8s-postgresql": "a larger PostgreSQL, then one for the busiest schema (docs/SCALE.md)",
    "broker": "a broker by service",
}


class Limit(Struct, frozen=True):
    """How much of a kind of work one part can carry, a second, when it spends nothing on any other kind."""

    part: str
    node: str
    sustained: float
    burst: float


class Capacity(Struct, frozen=True):
    """`limits`: by kind of work (read, login, photo, question), the tightest part first. `mixed`: photos a second with all that
    comes along, by part, the tightest first.
    """

    limits: dict[str, list[Limit]]
    mixed: list[Limit]
    dollars: float
    next_step: str


def capacity(services: Mapping[str, Service], platform: str = "kubeadm", root: Path = ROOT) -> Capacity:
    """What the nodes of k8s/nodes.yaml carry.

    Raises:
        KeyError: costs.toml or traffic.toml names a part or an instance that there is not.
    """
    costs, traffic = (
        tomllib.loads((root / "k8s" / file).read_text(encoding="utf-8")) for file in ("costs.toml", "traffic.toml")
    )
    mix, instances = traffic["mix"], traffic["instances"]
    plan = node_plan(root)
    room = empty(plan, platform)
    nodes = {node["label"]: node for node in plan["nodes"]}
    home = {load.name: load.label for load in loads(services.values(), root)}
    # A read is any API service's: the smallest of them says how many.
    reading = min((s.name for s in services.values() if not s.is_worker), key=lambda name: room[home[name]])
    costs["read"][reading] = costs["read"].pop("api")

    def limit(part: str, cost: float) -> Limit:
        label = home[part]
        sustained = instances[nodes[label]["instance"]]["sustained"]
        return Limit(part, nodes[label]["name"], sustained * 1000 / cost, max(room[label][0], 0.0) * 1000 / cost)

    limits = {
        kind: sorted((limit(part, cost) for part, cost in parts.items()), key=lambda one: one.sustained)
        for kind, parts in costs.items()
    }
    whole: dict[str, float] = {}
    for kind, share in mix.items():
        for part, cost in costs[kind].items():
            whole[part] = whole.get(part, 0.0) + share * cost
    mixed = sorted((limit(part, cost) for part, cost in whole.items()), key=lambda one: one.sustained)
    first = mixed[0]
    more = instances[nodes[home[first.part]]["instance"]]["dollars"]
    step = f"{first.part} is the first limit; next: {SINGLE.get(first.part, f'a second node of its label, ${more:g} a month')}"
    dollars = sum(instances[node["instance"]]["dollars"] for node in plan["nodes"])
    return Capacity(limits, mixed, dollars, step)


def text(found: Capacity) -> str:
    """For a person: a table a kind of work, then the whole."""
    lines = ["a second, each kind alone                sustained    burst"]
    for kind, parts in found.limits.items():
        lines.append(f"{kind}s")
        lines += [f"    {one.part:20} {one.node:20} {one.sustained:8.1f} {one.burst:8.1f}" for one in parts]
    lines.append("photos with their reads, questions and logins")
    lines += [f"    {one.part:20} {one.node:20} {one.sustained:8.1f} {one.burst:8.1f}" for one in found.mixed]
    day = found.mixed[0].sustained * 86400
    lines += [
        f"about {day:,.0f} photos a day, if they came evenly; a quarter of that in a day with its peak",
        f"${found.dollars:,.0f} a month for the nodes, without volumes, traffic and the load balancer",
        found.next_step,
    ]
    return "\n".join(lines)


EXAMPLES = """\
eco2 capacity  # what the 13 nodes carry
eco2 capacity --platform eks --json  # for programs
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "What the nodes carry by the measured costs of k8s/costs.toml, the first limit, and the next step."
    )
    parser.add_argument("--platform", choices=["kubeadm", "eks"], default="kubeadm", help="whose reserves count")
    parser.add_argument("--json", action="store_true", help="for programs")


def main(args: argparse.Namespace) -> int:
    try:
        found = capacity(load_services(), args.platform)
    except (ServiceError, tomllib.TOMLDecodeError) as error:
        print(f"eco2 capacity: {error}", file=sys.stderr)
        return 1
    except KeyError as error:
        print(
            f"eco2 capacity: k8s/costs.toml or traffic.toml names {error}, which no node or service has",
            file=sys.stderr,
        )
        return 1
    print(msgspec.json.encode(found).decode() if args.json else text(found))
    return 0
