"""OpenAI Agents: a tool with `needs_approval` runs once Threada has allowed the call."""

from __future__ import annotations

import asyncio
import json

from agents import Agent, Model, Runner, function_tool
from threada_client import Threada
from threada_client.tool_calls import ToolCall, decide_tool_call


@function_tool(needs_approval=True)
def delete_file(path: str) -> str:
    """Delete a file."""
    return f"{path} is deleted"


async def run(model: Model, prompt: str, *, wait_s: float = 600) -> str:
    """Run the agent, and ask Threada about each call that needs an approval."""
    agent = Agent(name="housekeeper", model=model, tools=[delete_file])
    result = await Runner.run(agent, prompt)
    with Threada() as threada:
        while result.interruptions:
            state = result.to_state()
            for call in result.interruptions:
                asked = ToolCall("openai-agents", call.name or "", json.loads(call.arguments or "{}"))
                decision = await asyncio.to_thread(decide_tool_call, threada, asked, timeout=wait_s)
                if decision.is_allowed:
                    state.approve(call)
                else:
                    state.reject(call, rejection_message=decision.reason)
            result = await Runner.run(agent, state)
    return str(result.final_output)
