"""The examples for agent frameworks, each with a call that people approve and one that they reject. Prints JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import langgraph_interrupts
import openai_agents_approvals
import pydantic_ai_approvals
from agents import Model, ModelResponse, Usage, set_tracing_disabled
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText
from pydantic_ai.messages import ModelMessage, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.messages import ModelResponse as Answer
from pydantic_ai.models.function import AgentInfo, FunctionModel

WAIT_S = 120


class OneCall(Model):
    """Model of OpenAI Agents that calls the tool with the prompt, and then says what the tool returned."""

    async def get_response(self, *arguments: Any, **named: Any) -> ModelResponse:
        given = named["input"] if "input" in named else arguments[1]
        outputs = [] if isinstance(given, str) else [one for one in given if one.get("type") == "function_call_output"]
        if outputs:
            text = ResponseOutputText(text=str(outputs[-1]["output"]), type="output_text", annotations=[])
            said: Any = ResponseOutputMessage(
                id="m", content=[text], role="assistant", status="completed", type="message"
            )
        else:
            prompt = given if isinstance(given, str) else given[0]["content"]
            arguments = json.dumps({"path": prompt})
            said = ResponseFunctionToolCall(call_id="c", name="delete_file", arguments=arguments, type="function_call")
        return ModelResponse(output=[said], usage=Usage(), response_id=None)

    async def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        raise NotImplementedError
        yield


def one_call(messages: list[ModelMessage], _: AgentInfo) -> Answer:
    """Answer for pydantic-ai: a call of the tool with the prompt, and then what the tool returned."""
    parts = [part for message in messages for part in message.parts]
    returned = [part for part in parts if isinstance(part, ToolReturnPart)]
    if returned:
        return Answer(parts=[TextPart(str(returned[-1].content))])
    return Answer(parts=[ToolCallPart("delete_file", {"path": parts[0].content})])


def with_openai(path: str) -> str:
    return asyncio.run(openai_agents_approvals.run(OneCall(), path, wait_s=WAIT_S))


def with_pydantic_ai(path: str) -> str:
    return pydantic_ai_approvals.run(FunctionModel(one_call), path, wait_s=WAIT_S)


def with_langgraph(path: str) -> str:
    return langgraph_interrupts.run(path, thread=path, wait_s=WAIT_S)


PROGRAMS: dict[str, Callable[[str], str]] = {
    "openai-agents": with_openai,
    "pydantic-ai": with_pydantic_ai,
    "langgraph": with_langgraph,
}


def main() -> None:
    set_tracing_disabled(True)
    jobs = [(name, path) for name in PROGRAMS for path in ("scratch.txt", "keep.txt")]
    with ThreadPoolExecutor(len(jobs)) as pool:
        found = pool.map(lambda job: PROGRAMS[job[0]](job[1]), jobs)
        print(json.dumps({f"{name} {path}": text for (name, path), text in zip(jobs, found, strict=True)}))


if __name__ == "__main__":
    main()
