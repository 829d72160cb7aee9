"""pydantic-ai: a tool with `requires_approval` runs once Threada has allowed the call."""

from __future__ import annotations

from typing import Any

from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, ToolDenied
from pydantic_ai.models import Model
from threada_client import Threada
from threada_client.tool_calls import ToolCall, decide_tool_call


def make_agent(model: Model) -> Agent[None, Any]:
    """Return an agent with one tool that needs an approval."""
    agent = Agent(model, output_type=[str, DeferredToolRequests])

    @agent.tool_plain(requires_approval=True)
    def delete_file(path: str) -> str:
        """Delete a file."""
        return f"{path} is deleted"

    return agent


def run(model: Model, prompt: str, *, wait_s: float = 600) -> str:
    """Run the agent, and ask Threada about each call that needs an approval."""
    agent = make_agent(model)
    result = agent.run_sync(prompt)
    with Threada() as threada:
        while isinstance(result.output, DeferredToolRequests):
            answers = DeferredToolResults()
            for call in result.output.approvals:
                asked = ToolCall("pydantic-ai", call.tool_name, call.args_as_dict())
                decision = decide_tool_call(threada, asked, timeout=wait_s)
                answers.approvals[call.tool_call_id] = decision.is_allowed or ToolDenied(decision.reason)
            result = agent.run_sync(message_history=result.all_messages(), deferred_tool_results=answers)
    return str(result.output)
