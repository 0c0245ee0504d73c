"""A plan from two records of what images were made from: what is rolled out, and the reason that is given"""

from typing import Any

import pytest

from k8s.programs.changes import Plan, ServiceChange, compare, text
from k8s.programs.deploy import _begins, _came_from, _new_pods
from k8s.programs.images import TOOLS, Image, Record
from k8s.programs.objects import UNFINISHED, ObjectChange
from runtime.closure import Closure
from runtime.loader import Function

DB, LOGIN = "shared/db.py", "functions/auth/login.py"


def closure(name: str = "login", **inputs: str) -> Closure:
    """A function that imports shared/db.py, which needs httpx."""
    file = f"functions/auth/{name}.py"
    found = {file: "1", DB: "1", "library httpx": "0.28.0"} | inputs
    return Closure(Function("auth", name, "http", "", file), found, {DB: file, "library httpx": DB})


def image(*closures: Closure, name: str = "api-auth", tag: str = "new", **more: Any) -> Image:
    own = more.pop("inputs", {"k8s/Containerfile": "1"})
    functions = {one.function.name: one.hash for one in closures}
    every = dict(own)
    for one in closures:
        every |= one.inputs
    return Image(name, "auth", "host", Record(tag, functions, every, **more), list(closures), own, [], [])


def change(new: Image, old: Record | None, *objects: ObjectChange, registry: str = "") -> ServiceChange:
    (found,) = compare([new], {new.name: old} if old else {}, objects, registry).services
    return found


def why(found: ServiceChange) -> dict[str, list[list[str]]]:
    return {one.function: one.why for one in found.functions}


THIS = image(closure())


@pytest.mark.parametrize(
    ("old", "kind", "reason"),
    [
        (THIS.record, "unchanged", []),
        (Record("new", finished=False, before="old"), "changed", ["the rollout of new has not been finished"]),
        (Record("new", registry="far.example"), "changed", ["registry far.example -> near.example"]),
        (Record("new", registry="near.example"), "unchanged", []),
        (Record("new", manifest="other"), "manifests", ["manifests (eco2 render)"]),
        (Record("new", manifest="mine"), "unchanged", []),
        # One that was not finished, of another tag: what is rolled out is not it.
        (Record("old", finished=False), "changed", []),
    ],
)
def test_a_service_is_rolled_out_for_a_reason_alone(old: Record, kind: str, reason: list[str]) -> None:
    found = change(image(closure(), manifest="mine"), old, registry="near.example")
    assert (found.change, [chain[0] for chain in found.why]) == (kind, reason)
    assert all(chain[-1] == "api-auth" for chain in found.why)
    assert (found.tag, found.running_tag) == ("new", old.tag)
    assert found.before == ("old" if old.before else "")
    assert change(image(closure(), manifest="mine"), Record("new", registry="far.example")).change == "unchanged"


def test_of_a_new_service_or_one_of_which_nothing_is_known_all_functions_are_rolled_out() -> None:
    new = change(THIS, None)
    assert (new.change, new.running_tag) == ("new", None)
    assert why(new) == {"login": [["nothing is running", "auth/login", "api-auth"]]}
    unknown = change(THIS, Record("old"))
    assert unknown.change == "changed"
    assert why(unknown) == {"login": [["image old, of which nothing is known", "auth/login", "api-auth"]]}


@pytest.mark.parametrize(
    ("was", "now", "chains"),
    [
        ({LOGIN: "0"}, {}, [[LOGIN, "auth/login", "api-auth"]]),
        ({DB: "0"}, {}, [[DB, LOGIN, "auth/login", "api-auth"]]),
        ({"library httpx": "0.27.0"}, {}, [["httpx 0.27.0 -> 0.28.0", DB, LOGIN, "auth/login", "api-auth"]]),
        ({}, {"python": "3.13"}, [["python (new)", "auth/login", "api-auth"]]),
        ({"python": "3.12"}, {"python": "3.13"}, [["python 3.12 -> 3.13", "auth/login", "api-auth"]]),
        ({"setting uses": "a"}, {"setting uses": "b"}, [["setting uses", "auth/login", "api-auth"]]),
        # What it no longer has is in no chain: it is told by itself.
        ({"shared/old.py": "1"}, {}, [["shared/old.py (gone)", "auth/login", "api-auth"]]),
    ],
)
def test_a_changed_function_says_what_changed_and_by_which_way(
    was: dict[str, str], now: dict[str, str], chains: list[list[str]]
) -> None:
    other = closure("me")
    found = change(image(other, closure(**now)), image(other, closure(**was), tag="old").record)
    assert why(found) == {"login": chains}
    assert (found.change, found.why) == ("changed", [])


def test_functions_come_and_go_and_what_belongs_to_none_is_the_image_s_own_reason() -> None:
    new = image(closure(), closure("me"), inputs={"k8s/Containerfile": "2"})
    old = image(closure(), closure("logout"), tag="old").record
    found = change(new, old)
    assert why(found) == {"me": [["new function", "functions/auth/me.py", "auth/me", "api-auth"]]}
    assert found.why == [["removed function", "auth/logout", "api-auth"], ["k8s/Containerfile", "api-auth"]]


def test_a_comment_alone_is_told_and_rolls_nothing_out() -> None:
    found = change(image(closure(), texts={DB: "2", LOGIN: "1"}), Record("new", texts={DB: "1", "shared/gone.py": "1"}))
    assert (found.change, found.text_only) == ("unchanged", [DB])


def deployment(
    kind: Any = "changed", *diff: str, reads: tuple[str, ...] = (), service: str = "api-auth"
) -> ObjectChange:
    return ObjectChange("Deployment", "eco2", service or "web", kind, list(diff), service, list(reads))


IMAGE = ("- spec.template.spec.containers[host].image: x:1", "+ spec.template.spec.containers[host].image: x:2")


@pytest.mark.parametrize(
    ("old", "objects", "kind", "reason"),
    [
        # Its image is the tag, of which the plan has said all.
        ("old", [deployment("changed", *IMAGE)], "changed", []),
        ("new", [deployment("changed", *IMAGE)], "unchanged", []),
        ("new", [deployment("changed", *IMAGE, "+ spec.replicas: 3")], "manifests", ["Deployment eco2/api-auth"]),
        ("new", [deployment(reads=("JWKS", "DB_URL"))], "manifests", ["setting DB_URL", "setting JWKS"]),
        ("new", [deployment("new")], "unchanged", []),
        ("new", [deployment("new", "+ spec.replicas: 3")], "unchanged", []),
        ("new", [deployment("refused", "! immutable")], "manifests", ["Deployment eco2/api-auth"]),
        ("old", [deployment("changed", "+ spec.replicas: 3")], "changed", ["Deployment eco2/api-auth"]),
        ("", [deployment("changed", "+ spec.replicas: 3")], "new", []),
        ("new", [deployment("changed", "+ spec.replicas: 3", service="api-waste")], "unchanged", []),
    ],
)
def test_what_would_change_beside_the_image_is_a_reason_too(
    old: str, objects: list[ObjectChange], kind: str, reason: list[str]
) -> None:
    found = change(THIS, image(closure(), tag=old).record if old else None, *objects)
    assert (found.change, [chain[0] for chain in found.why]) == (kind, reason)
    assert found.objects == [one for one in objects if one.service == "api-auth"]


def test_a_plan_has_the_services_those_that_are_gone_the_tools_and_the_objects_of_none() -> None:
    base = deployment("changed", "+ x: 1", service="")
    tools = image(name=TOOLS, tag="t")
    running = {"api-auth": THIS.record, "worker-old": Record("o"), "api-old": Record("o"), TOOLS: Record("t")}
    plan = compare([THIS, tools], running, [base])
    assert [(one.service, one.change, one.running_tag) for one in plan.services] == [
        ("api-auth", "unchanged", "new"),
        ("api-old", "removed", "o"),
        ("worker-old", "removed", "o"),
    ]
    assert plan.tools is not None
    assert (plan.tools.change, plan.base) == ("unchanged", [base])


def test_nothing_is_to_be_done_only_where_services_tools_and_base_are_as_they_should_be() -> None:
    done, to_do = ServiceChange("a", "t", "t", "unchanged"), ServiceChange("a", "t", "t", "manifests")
    assert Plan([done], done).nothing()
    assert Plan([done]).nothing()
    assert not Plan([done, to_do], done).nothing()
    assert not Plan([done], to_do).nothing()
    assert not Plan([done], done, [deployment()]).nothing()


def test_a_person_reads_each_change_with_what_is_worth_reading() -> None:
    changed = change(
        image(closure(), tag="new", texts={DB: "1"}),
        image(closure(**{DB: "0"}), tag="old").record,
        deployment("changed", *IMAGE),
        deployment("refused"),
        deployment("changed", "+ spec.replicas: 3"),
    )
    new = ServiceChange("api-new", "n", None, "new", changed.functions, objects=[deployment("new", "+ x: 1")])
    plan = Plan([changed, new, ServiceChange("api-old", "", "gone", "removed")], None, [deployment("new", service="")])
    assert text(plan).splitlines() == [
        f"{'Deployment eco2/web':52} new",
        f"{'api-auth':20} changed    new",
        "    Deployment eco2/api-auth > api-auth",
        f"    {'Deployment eco2/api-auth':52} refused",
        f"    {'Deployment eco2/api-auth':52} changed",
        "        + spec.replicas: 3",
        "    login",
        f"        {DB} > {LOGIN} > auth/login > api-auth",
        f"{'api-new':20} new        n",
        "    1 functions; none of them runs",
        f"{'api-old':20} removed    gone",
    ]


@pytest.mark.parametrize(
    ("found", "rolls"),
    [
        (None, False),
        (deployment("new", "+ spec.template.x: 1"), False),  # there was nothing before
        (deployment("changed", "+ spec.replicas: 3"), False),
        (deployment("changed", *IMAGE), True),
        (deployment("changed", UNFINISHED), True),
        (deployment("changed", reads=("JWKS",)), True),
    ],
)
def test_only_a_workload_whose_pods_were_changed_can_go_back(found: ObjectChange | None, rolls: bool) -> None:
    assert _new_pods(found) is rolls


def test_a_rollout_that_is_taken_up_again_knows_where_it_came_from() -> None:
    def taken(tag: str, running: str | None, before: str) -> str:
        return _came_from(ServiceChange("api-auth", tag, running, "changed", before=before))

    assert taken("b", "b", "a") == "a"
    assert [taken("b", "a", "a"), taken("b", "b", "b"), taken("b", None, "")] == ["", "", ""]


def test_each_begins_with_its_tags_or_with_the_reason_where_these_are_the_same() -> None:
    def begins(running: str | None, *why: list[str]) -> str:
        return _begins(ServiceChange("api-auth", "b", running, "changed", why=list(why)))

    assert begins("a", ["x", "api-auth"]) == "api-auth a -> b"
    assert begins(None) == "api-auth (new) -> b"
    assert begins("b", ["setting JWKS", "api-auth"], ["x", "y"]) == "api-auth b: setting JWKS, x"
