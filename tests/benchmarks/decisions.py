"""One decision: 20 rules over a payload of 1 KB, next to the bare engine with the same rules in the same run."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.benchmarks.figures import Figure
from tests.benchmarks.world import World

RULES: Final = 20
_ROUNDS: Final = 15
_CALLS: Final = 300
_CONDITIONS: Final = (
    "item.payload.amount_minor > {limit}",
    "item.payload.vendor == 'vendor {limit}'",
    "item.payload.country in lists.odd && item.payload.amount_minor > {limit}",
    "item.confidence < 0.{digit} && item.payload.urgent",
)


def measure(world: World) -> Iterator[Figure]:
    """Measure the evaluation alone, and with the database queries and the construction of facts."""
    from policies.deciding.rulebook import rulebook_for
    from policies.documents.policy import parse_policy
    from policies.language.evaluation import RulebookEntry, compile_policy, evaluate
    from policies.language.facts import VARIABLES, build_facts
    from policies.language.time_window import whole_milliseconds
    from threada_site.database.unit_of_work import unit_of_work
    from threada_site.kernel import clock

    spec = {"rules": rules()}
    entries = [RulebookEntry("bench", "pv_bench", "tenant", compile_policy(parse_policy(spec)))]
    facts = build_facts(point="execute", now=clock.now(), payload=payload(), lists={"odd": ["XX", "YY"]})
    assert evaluate(entries, facts).reason_codes == ("REST",)
    bare = bare_engine([rule["when"] for rule in spec["rules"]], VARIABLES, facts)
    with unit_of_work(uuid.UUID(world.tenant_id)):
        ctx, request = asked(world, spec)

        def with_resolution() -> Any:
            now = whole_milliseconds(clock.now())
            rulebook = rulebook_for(
                workflow=request.workflow, channel=request.channel, requester_id=request.requester_id, at=now, ctx=ctx
            )
            found = request.facts(now=now, lists=rulebook.lists, requester_groups=rulebook.requester_groups)
            return evaluate(rulebook.entries, found)

        assert with_resolution().reason_codes == ("REST",)

        def floor() -> Any:
            _select_one()
            return bare()

        alone, beside, resolved, least = rounds(lambda: evaluate(entries, facts), bare, with_resolution, floor)
    yield _figure(f"decision over 1 KB, {RULES} rules: evaluation alone", alone, beside, aim=1.5)
    yield _figure(
        "the same with overlays and versions read from the database",
        resolved,
        least,
        aim=3,
        compared="one SELECT 1 and bare cel-expr-python",
    )


def _select_one() -> None:
    """Run the cheapest statement in the way in which the product runs frequent ones."""
    from django.db import connection

    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute("SELECT 1")
        cursor.fetchone()


def rules() -> list[dict[str, Any]]:
    """Return 19 rules that do not match, and one that allows."""
    denying = [
        {
            "id": f"r{number}",
            "when": _CONDITIONS[number % 4].format(limit=2_000_000 + number, digit=number % 4),
            "effect": "deny",
            "reason": "NO",
        }
        for number in range(RULES - 1)
    ]
    return [*denying, {"id": "rest", "when": "true", "effect": "allow", "reason": "REST"}]


def payload() -> dict[str, Any]:
    """Return about 1 KB of JSON."""
    lines = [{"sku": f"sku-{number:05}", "quantity": number, "price_minor": 1000 + number} for number in range(15)]
    return {"vendor": "Hooli", "amount_minor": 4500, "country": "DE", "urgent": True, "lines": lines, "note": "x" * 100}


def bare_engine(sources: list[str], variables: tuple[str, ...], facts: dict[str, Any]) -> Callable[[], Any]:
    """Return a function that evaluates the rules in turn with cel-expr-python alone and one activation."""
    from cel_expr_python import cel

    environment = cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN))
    programs = [environment.compile(source) for source in sources]

    def ask() -> list[bool]:
        activation = environment.Activation(facts)
        return [program.eval(activation).value() is True for program in programs]

    assert ask() == [False] * (RULES - 1) + [True]
    return ask


def asked(world: World, spec: dict[str, Any]) -> tuple[Any, Any]:
    """Return the policy in force on a workflow of its own, and a request about it; inside a unit of work."""
    from policies.configuration.lists import upsert_list
    from policies.configuration.overlays import upsert_overlay
    from policies.configuration.workflows import upsert_workflow
    from policies.documents.list import parse_list
    from policies.documents.overlay import OverlayScope
    from policies.documents.workflow import parse_workflow
    from policies.language.request import DecisionRequest
    from policies.publication.publish import upsert_policy
    from tests.factories import acting_system
    from threada_site.kernel import ids
    from threada_site.kernel.context import EntryPoint
    from threada_site.tenancy.models import Tenant

    ctx = acting_system(Tenant.objects.get(id=world.tenant_id), EntryPoint.COMMAND)
    upsert_workflow("bench", parse_workflow({"actions": ["pay"]}), ctx=ctx)
    upsert_list("odd", parse_list({"items": ["XX", "YY"]}), ctx=ctx)
    upsert_policy("bench", spec, ctx=ctx)
    upsert_overlay("bench", OverlayScope("workflow", "bench"), ctx=ctx)
    request = DecisionRequest(
        point="execute",
        work_item_id=ids.new_uuid(),
        workflow="bench",
        payload=payload(),
        requester=ids.public_id(ids.PRINCIPAL, ids.new_uuid()),
        data_class="internal",
        action="pay",
        actor="pr_bench",
        actor_kind="service",
    )
    return ctx, request


def rounds(*measured: Callable[[], Any]) -> list[list[float]]:
    """Return microseconds per call of each function, in alternating rounds, so that disturbances affect all of them."""
    found: list[list[float]] = [[] for _ in measured]
    for _ in range(_ROUNDS):
        for place, call in enumerate(measured):
            began = time.perf_counter()
            for _ in range(_CALLS):
                call()
            found[place].append((time.perf_counter() - began) / _CALLS * 1e6)
    return found


def _figure(
    name: str,
    ours: list[float],
    bare: list[float],
    *,
    aim: float | None = None,
    compared: str = "bare cel-expr-python",
) -> Figure:
    value, beside = statistics.median(ours), statistics.median(bare)
    return Figure(
        name=name,
        value=f"{value:.0f} µs",
        beside=f"{compared} {beside:.0f} µs",
        ratio=value / beside,
        aim=f"≤ {aim}" if aim else "",
        is_met=value / beside <= aim if aim else None,
    )
