"""The outermost layer of the application: the gate, limits while a request is read, its time limit, its id, its traces.

What is known at the end goes to the log, the metrics and the span.
"""

import asyncio
import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from planogram.errors import PlanogramError, RequestError
from planogram.serve import metrics
from planogram.serve.auth import Gate
from planogram.serve.body import ClientGoneError, checked
from planogram.serve.call import Call
from planogram.serve.logs import log_request, route_of
from planogram.serve.problems import INTERNAL, SlowError, problem_of, response
from planogram.serve.settings import Limits
from planogram.serve.shapes import Problem
from planogram.serve.tracing import OFF, Tracing
from planogram.serve.values import LateError

logger = logging.getLogger(__name__)

CLIENT_CLOSED = 499
POLICY_VIOLATION = 1008


class _Reply:
    """Sends on with the times of the answer's stages, and remembers the status."""

    def __init__(self, send: Send, call: Call) -> None:
        self._send = send
        self._call = call
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            headers = MutableHeaders(scope=message)
            if timing := self._call.server_timing:
                headers["Server-Timing"] = timing
            if self._call.cache:
                headers["X-Cache"] = self._call.cache
        await self._send(message)


class Guard:
    """ASGI middleware around the routes.

    Args:
        app: the routes.
        limits: what one request may cost.
        gate: asks for keys; None: everybody may ask.
        tracing: makes the request's span.
    """

    def __init__(self, app: ASGIApp, limits: Limits, gate: Gate | None = None, tracing: Tracing = OFF) -> None:
        self.app = app
        self.limits = limits
        self.gate = gate
        self.tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; no error of it leaves this method."""
        if scope["type"] == "websocket":
            # No route speaks it, and no check below would see it.
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        call = Call.begin(headers.get("x-request-id"), path, headers.get("traceparent"))
        scope.setdefault("state", {})["call"] = call
        reply = _Reply(send, call)
        status = CLIENT_CLOSED
        with self.tracing.request(call, headers) as span:
            try:
                problem = await self._answer(scope, receive, reply, call)
                if problem and reply.status is None:
                    await response(problem, call)(scope, receive, reply)
                status = reply.status or CLIENT_CLOSED
            finally:
                log_request(call, scope, status)
                metrics.count_request(route_of(scope), status, call)
                span.answered(scope["method"], route_of(scope), status, call)

    async def _answer(self, scope: Scope, receive: Receive, reply: _Reply, call: Call) -> Problem | None:
        reading = True
        try:
            async with asyncio.timeout(self.limits.request_timeout_s) as limit:
                if self.gate:
                    self.gate.admit(scope, call)
                receive = await checked(scope, receive, self.limits)
                reading = False
                if scope["method"] == "POST":
                    # Not before the body is there: who drips it would come again at once.
                    call.charge(0)
                await self.app(scope, receive, reply)
        except ClientGoneError:
            return None
        except PlanogramError as error:
            return self._logged(error, call)
        except Exception as error:
            if limit.expired():
                return problem_of(_too_late(reading, self.limits.request_timeout_s))
            return self._logged(error, call)
        return None

    def _logged(self, error: Exception, call: Call) -> Problem:
        problem = problem_of(error)
        if problem is INTERNAL:
            logger.error("request failed", exc_info=error, extra={"request_id": call.request_id})
        return problem


def _too_late(reading: bool, timeout_s: float) -> RequestError:
    if reading:
        return SlowError(f"the body did not arrive within {timeout_s:g} s", remedy="send it at once")
    return LateError(f"no answer within {timeout_s:g} s", remedy="send fewer or shorter documents, or try again later")
