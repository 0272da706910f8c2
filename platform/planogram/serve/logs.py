"""Structured logs: one JSON object per line, escaped and bounded, without bodies or keys."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from starlette.types import Scope

from planogram.serve.call import Call

ROOT = "planogram"
MAX_TRACE_CHARS = 8000
# What a caller adds with `extra`; all other attributes of a record are logging's own.
EXTRA = ("request_id", "method", "route", "status", "took_ms", "reason", "key", "trace_id")

access = logging.getLogger("planogram.serve.access")


class JsonFormatter(logging.Formatter):
    """A record as one line of ASCII JSON, so that no text can forge a second line."""

    def format(self, record: logging.LogRecord) -> str:
        """Serialize."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({key: getattr(record, key) for key in EXTRA if hasattr(record, key)})
        if record.exc_info:
            line["error"] = "".join(traceback.format_exception(*record.exc_info))[-MAX_TRACE_CHARS:]
        return json.dumps(line)


def configure_logging() -> None:
    """Send the package's logs of this process to standard error. Replicas call it as they start."""
    root = logging.getLogger(ROOT)
    if root.handlers:
        return
    # Ray Serve's throughput flag puts a buffer of 1,000 lines behind sys.stderr; the real one is read at once.
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(JsonFormatter())
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    root.propagate = False


def route_of(scope: Scope) -> str:
    """The template of the route that answered: paths are the client's text."""
    return getattr(scope.get("route"), "path", "unmatched")


def log_request(call: Call, scope: Scope, status: int) -> None:
    """Log one answered request."""
    access.info(
        "request",
        extra={
            "request_id": call.request_id,
            "method": scope["method"] if scope["method"].isalpha() else "?",
            "route": route_of(scope),
            "status": status,
            "took_ms": call.took_ms,
            "reason": call.reason,
            "key": call.key,
            "trace_id": call.trace_id,
        },
    )
