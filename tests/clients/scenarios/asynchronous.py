"""The asynchronous client: operations at once, iteration, waiting. Print `done` at the end."""

from __future__ import annotations

import asyncio

from threada_client import AsyncThreada, NotFound, PolicyDenied


async def main() -> None:
    async with AsyncThreada() as threada:
        me, *items = await asyncio.gather(
            threada.me(),
            *(threada.create_work_item("policy_review", {"question": f"{number}?"}) for number in range(4)),
        )
        assert me["kind"] in {"service", "human", "agent"}
        made = {item["work_item_id"] for item in items}
        assert len(made) == 4
        listed = {item["work_item_id"] async for item in threada.work_items(limit=3, workflow_id="policy_review")}
        assert made <= listed
        accepted = await threada.execute(items[0]["work_item_id"], "request_approval", "int_workflow")
        ended = await threada.wait_for_execution(accepted["execution_id"], timeout=60)
        assert ended["status"] == "succeeded"
        assert (await threada.explain(items[0]["work_item_id"]))["waiting_for"]
        assert [event["kind"] async for event in threada.timeline(items[0]["work_item_id"])]
        try:
            await threada.execution(accepted["execution_id"][:-3] + "000")
            raise AssertionError
        except NotFound as refused:
            assert not isinstance(refused, PolicyDenied)
    print("done")


asyncio.run(main())
