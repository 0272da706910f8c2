"""What Ray Serve's controller says of itself, as a list of replicas."""

from enum import Enum

from planogram.serve.control import Replica, listed


class State(Enum):
    """As Ray's: its text is not its value."""

    RUNNING = "RUNNING"


def test_replicas_are_listed_with_the_names_of_their_states():
    running = {"replica_id": "a", "state": State.RUNNING, "pid": 7, "actor_name": "SERVE_REPLICA::a"}
    found = [running, {"replica_id": "b", "state": "STARTING"}]
    ranker = {"replicas": found}
    details = {"applications": {"planogram": {"deployments": {"Ranker": ranker, "Gateway": {"replicas": []}}}}}
    assert listed(details) == [
        Replica("a", "Ranker", "RUNNING", 7, "SERVE_REPLICA::a"),
        Replica("b", "Ranker", "STARTING", None, None),
    ]
