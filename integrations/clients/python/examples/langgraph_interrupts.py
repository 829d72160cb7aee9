"""LangGraph: a node interrupts the graph, and Threada's decision resumes it."""

from __future__ import annotations

from typing import Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from threada_client import Threada
from threada_client.tool_calls import ToolCall, decide_tool_call


class State(TypedDict):
    path: str
    done: str


def delete_file(state: State) -> dict[str, str]:
    """Ask before the file is deleted. The node runs again from its start when it is resumed."""
    answer = interrupt({"tool": "delete_file", "input": {"path": state["path"]}})
    return {"done": f"{state['path']} is deleted" if answer["is_allowed"] else answer["reason"]}


def make_graph() -> Any:
    """Return the compiled graph. A checkpointer is needed to resume it."""
    graph = StateGraph(State)
    graph.add_node("delete_file", delete_file)
    graph.add_edge(START, "delete_file")
    graph.add_edge("delete_file", END)
    return graph.compile(checkpointer=InMemorySaver())


def run(path: str, *, thread: str, wait_s: float = 600) -> str:
    """Run the graph, and ask Threada at each interrupt."""
    graph, config = make_graph(), {"configurable": {"thread_id": thread}}
    state = graph.invoke({"path": path, "done": ""}, config)
    with Threada() as threada:
        while interrupts := state.get("__interrupt__"):
            (stop,) = interrupts
            asked = ToolCall("langgraph", stop.value["tool"], stop.value["input"])
            decision = decide_tool_call(threada, asked, timeout=wait_s)
            answer = {"is_allowed": decision.is_allowed, "reason": decision.reason}
            state = graph.invoke(Command(resume=answer), config)
    return str(state["done"])
