"""Clients that ask a server all the time and count what they get."""

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
import numpy.typing as npt

WORDS = ("red", "blue", "running", "trail", "shoes", "lamp", "desk", "chair", "leather", "wool", "shirt", "small")
QUERY = "red running shoes"
TIMEOUT_S = 30.0
# Scores of one model on one engine, in other batches.
TOLERANCE = 1e-3


class Clients:
    """Threads that send the same request to `/v1/rerank`, from the start of the block to its end.

    Args:
        url: of the server, without a slash at its end.
        clients: how many threads.
        documents: in a request.
    """

    def __init__(self, url: str, clients: int, documents: int) -> None:
        texts = [" ".join(WORDS[(number + step * 5) % len(WORDS)] for step in range(6)) for number in range(documents)]
        self._url = f"{url}/v1/rerank"
        self._body = {"query": QUERY, "documents": texts, "return_documents": False}
        self._threads = [threading.Thread(target=self._ask, name=f"client-{n}") for n in range(clients)]
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._statuses: Counter[str] = Counter()
        self._wrong = 0
        self._slowest_s = 0.0
        self._expected = np.empty(0)

    def __enter__(self) -> Self:
        self._expected = _scores(httpx.post(self._url, json=self._body, timeout=TIMEOUT_S).raise_for_status())
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def result(self) -> dict[str, Any]:
        """`requests`, `non_2xx`, `statuses` (status or kind of failure -> count), `wrong` and `slowest_s`."""
        requests = sum(self._statuses.values())
        good = sum(count for status, count in self._statuses.items() if status.startswith("2"))
        return {
            "requests": requests,
            "non_2xx": requests - good,
            "statuses": dict(self._statuses),
            "wrong": self._wrong,
            "slowest_s": round(self._slowest_s, 3),
        }

    def _ask(self) -> None:
        with httpx.Client(timeout=TIMEOUT_S) as client:
            while not self._stopped.is_set():
                began_s = time.monotonic()
                status, wrong = self._once(client)
                with self._lock:
                    self._statuses[status] += 1
                    self._wrong += wrong
                    self._slowest_s = max(self._slowest_s, time.monotonic() - began_s)

    def _once(self, client: httpx.Client) -> tuple[str, bool]:
        try:
            response = client.post(self._url, json=self._body)
        except httpx.TransportError as error:
            return type(error).__name__, False
        if not response.is_success:
            return str(response.status_code), False
        scores, expected = _scores(response), self._expected
        right = (
            expected is not None and scores.shape == expected.shape and np.allclose(scores, expected, atol=TOLERANCE)
        )
        return str(response.status_code), not right


def _scores(response: httpx.Response) -> npt.NDArray[np.float64]:
    """(documents,) scores in the order of the request."""
    results = sorted(response.json()["results"], key=lambda result: result["index"])
    return np.asarray([result["relevance_score"] for result in results], dtype=np.float64)
