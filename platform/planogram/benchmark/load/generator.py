"""The load generator's process. What it costs is measured apart from the server that it asks."""

import multiprocessing
from multiprocessing.connection import Connection
from types import TracebackType

from planogram.benchmark.load.clients import generate
from planogram.benchmark.load.plan import Load, Plan
from planogram.errors import PlanogramError

# Beyond a plan's own length and its clients' patience.
GRACE_S = 60.0


class GeneratorError(PlanogramError):
    """The load generator gave no result."""


class Generator:
    """A process that carries out plans, one at a time. A context manager: the process ends with the block."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._patience_s = 0.0

    def __enter__(self) -> "Generator":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        # It may be in the middle of a plan that nobody waits for any more.
        self._process.terminate()
        self._process.join(10)

    def run(self, plan: Plan) -> Load:
        """Carry out a plan.

        Raises:
            GeneratorError: the process died, or took far too long.
        """
        self.begin(plan)
        return self.end()

    def begin(self, plan: Plan) -> None:
        """Start a plan, and return at once."""
        self._patience_s = plan.seconds + plan.probe_s + plan.timeout_s + GRACE_S
        self._connection.send(plan)

    def end(self) -> Load:
        """Wait for the plan that was started.

        Raises:
            GeneratorError: the process died, or took far too long.
        """
        try:
            if not self._connection.poll(self._patience_s):
                raise GeneratorError(f"the load generator gave no result for {self._patience_s:g} s")
            answer = self._connection.recv()
        except EOFError as error:
            raise GeneratorError("the load generator's process died") from error
        if isinstance(answer, Exception):
            raise GeneratorError(f"the load generator failed: {answer}") from answer
        return answer


def _serve(connection: Connection) -> None:
    """The process: plans come, loads go, until the other side closes."""
    while True:
        try:
            plan = connection.recv()
        except EOFError:
            return
        try:
            connection.send(generate(plan))
        except Exception as error:  # whatever it is, the parent says it
            connection.send(error)
