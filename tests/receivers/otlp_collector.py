"""OTLP/HTTP receiver of logs in its own process: `python -m tests.receivers.otlp_collector LOG_FILE CONTROL_FILE`.

Like `http_receiver`, but a body is decompressed and parsed with the official protobuf classes; `body` in the log is
the message in protobuf's JSON, or `unreadable`. Without `body` or `fault` in a behaviour, the answer is a protobuf
message: an `ExportLogsServiceResponse` with the behaviour's `rejected` and `message` below 400, else a
`google.rpc.Status` with its `message`.
"""

from __future__ import annotations

import gzip
from typing import Any

from google.protobuf.json_format import MessageToJson
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from tests.receivers.http_receiver import Handler, main

PROTOBUF = "application/x-protobuf"


class Collector(Handler):
    def text_of(self, body: bytes) -> str:
        if self.headers["Content-Encoding"] != "gzip" or self.headers["Content-Type"] != PROTOBUF:
            return "unreadable"
        return MessageToJson(ExportLogsServiceRequest.FromString(gzip.decompress(body)), indent=None)

    def _send(self, behaviour: dict[str, Any], payload: bytes | None = None, length: int | None = None) -> None:
        if payload is None and "body" not in behaviour:
            said = behaviour.get("message", "")
            if behaviour.get("status", 200) < 400:
                rejected = ExportLogsPartialSuccess(
                    rejected_log_records=behaviour.get("rejected", 0), error_message=said
                )
                payload = ExportLogsServiceResponse(
                    partial_success=rejected if said or rejected.rejected_log_records else None
                ).SerializeToString()
            else:
                payload = Status(code=3, message=said).SerializeToString()
            behaviour = {**behaviour, "content_type": PROTOBUF}
        super()._send(behaviour, payload, length)


if __name__ == "__main__":
    main(Collector)
