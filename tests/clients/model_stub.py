"""Model on loopback that calls tools as it is told, with the streams of the Messages API and the Responses API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

type Call = tuple[str, dict[str, Any]]
_RESULTS: Final = frozenset({"tool_result", "function_call_output"})


@dataclass
class Model:
    """Calls still to make, results that a program sent, and everything else that it asked for."""

    calls: list[Call]
    url: str = ""
    results: list[str] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)

    def events(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Store the results in a request. Return the events that call the next tool, or end the turn."""
        said = body["messages"] if path == "/v1/messages" else body["input"]
        blocks = [block for part in said for block in _blocks(part) if block.get("type") in _RESULTS]
        results = [json.dumps(block.get("content", block.get("output"))) for block in blocks]
        if not body.get("tools"):
            call = None  # a title or a summary
        else:
            self.results = results
            call = self.calls[len(results)] if len(results) < len(self.calls) else None
        return _messages(call, len(results)) if path == "/v1/messages" else _responses(call, len(results))


def _blocks(part: dict[str, Any]) -> list[dict[str, Any]]:
    content = part.get("content")
    return [part, *content] if isinstance(content, list) else [part]


def _messages(call: Call | None, number: int) -> list[dict[str, Any]]:
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "stub", "content": []}
    block: dict[str, Any] = {"type": "text", "text": ""}
    delta: dict[str, Any] = {"type": "text_delta", "text": "Done."}
    if call:
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": call[0], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(call[1])}
    reason = "tool_use" if call else "end_turn"
    return [
        {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]


def _responses(call: Call | None, number: int) -> list[dict[str, Any]]:
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    item: dict[str, Any] = {"type": "message", "id": f"msg_{number}", "role": "assistant"}
    item["content"] = [{"type": "output_text", "text": "Done."}]
    if call:
        item = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": call[0]}
        item["arguments"] = json.dumps(call[1])
    return [
        {"type": "response.created", "response": {"id": f"resp_{number}"}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"id": f"resp_{number}", "usage": usage}},
    ]


@contextmanager
def model(calls: list[Call]) -> Iterator[Model]:
    """Serve a model that makes these calls. As a proxy it refuses every other address."""
    stub = Model(calls)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            path = self.path.partition("?")[0]
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if path not in ("/v1/messages", "/v1/responses"):
                self.refuse()
                return
            events = stub.events(path, json.loads(body))
            text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def refuse(self) -> None:
            stub.asked_for.append(f"{self.command} {self.path}")
            self.send_error(403)

        do_GET = do_HEAD = do_CONNECT = refuse  # noqa: N815 - names that the server calls

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield stub
        server.shutdown()
        thread.join()
