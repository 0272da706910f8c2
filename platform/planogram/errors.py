"""The exceptions of Planogram. Each says what was given, what is allowed and what to do.

PlanogramError
├── ConfigError             a configuration file, an override or a command line
├── DataError               a source file, a table or a split
├── StorageError            a folder or object that cannot be read or written
│   ├── NotFoundError       a path, name, version or alias that does not exist
│   └── IntegrityError      content that is not what its manifest says
├── ParityError             an engine that does not rank as the trained model does
├── TrainingError           a run that cannot start, or cannot go on
├── ClusterError            a Ray cluster that cannot be reached or used
└── RequestError            what a client of the server sent
    ├── TooLargeError       beyond a limit on size or count
    └── OverloadedError     the server sheds load; the request may be sent again
"""


class PlanogramError(Exception):
    """Base of all errors that a user can mend.

    Args:
        given: what was wrong, naming the offending thing.
        allowed: what would have been right, empty where `given` says it all.
        remedy: what to do now, as an instruction.
    """

    def __init__(self, given: str, *, allowed: str = "", remedy: str = "") -> None:
        self.given = given
        self.allowed = allowed
        self.remedy = remedy
        lines = [given, f"allowed: {allowed}" if allowed else "", f"remedy: {remedy}" if remedy else ""]
        super().__init__("\n".join(line for line in lines if line))

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the three parts when the error crosses a process boundary."""
        return _rebuild, (type(self), self.given, self.allowed, self.remedy)


def _rebuild(cls: type[PlanogramError], given: str, allowed: str, remedy: str) -> PlanogramError:
    return cls(given, allowed=allowed, remedy=remedy)


class ConfigError(PlanogramError):
    """A configuration file, an override or a command line is wrong."""


class DataError(PlanogramError):
    """A source file, a table or a split is wrong."""


class StorageError(PlanogramError):
    """A folder or an object cannot be read or written."""


class NotFoundError(StorageError):
    """A path, a name, a version or an alias does not exist."""


class IntegrityError(StorageError):
    """Content is not what its manifest says: damaged, incomplete or foreign."""


class ParityError(PlanogramError):
    """An engine does not rank as the trained model does, so its bundle is not published."""


class TrainingError(PlanogramError):
    """A training run cannot start, or cannot go on."""


class ClusterError(PlanogramError):
    """A Ray cluster cannot be reached or used."""


class RequestError(PlanogramError):
    """A client's request is wrong."""


class TooLargeError(RequestError):
    """A request is beyond a limit on size or count."""


class OverloadedError(RequestError):
    """The server sheds load; the same request may be sent again later."""
