"""A peer as a target: installed where it is absent, started on the bundle's plain form, and ended."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from planogram.benchmark.peers.environments import environment
from planogram.benchmark.peers.export import ONNX, ONNX_INT8, export_plain
from planogram.benchmark.spawn import process, wait
from planogram.benchmark.targets import Running
from planogram.config import PeerName
from planogram.serve.check import LOOPBACK
from planogram.serve.haproxy import free_ports


@dataclass
class PeerServer:
    """Another server over the same backbone.

    Args:
        name: of the peer.
        bundle: folder of the model.
        threads: of one inference.
        folder: of the environments; None: the default.
        start_timeout_s: for `/health` to answer.
    """

    name: PeerName
    bundle: str
    threads: int
    folder: str | None = None
    start_timeout_s: float = 300.0

    @contextmanager
    def started(self) -> Iterator[Running]:
        """Install where that is needed, write the model, and serve while the block runs.

        Raises:
            PeerError: it cannot be installed, or not read such a model.
            TargetError: it does not start; the message is the end of its log.
        """
        python = environment(self.name if self.name == "sentence-transformers" else "infinity", self.folder)
        port = free_ports(1)[0]
        url = f"http://{LOOPBACK}:{port}"
        with tempfile.TemporaryDirectory(prefix="planogram-") as place:
            model = Path(place, "model")
            export_plain(self.bundle, model, {"infinity-onnx": ONNX, "infinity-onnx-int8": ONNX_INT8}.get(self.name))
            command = peer_command(self.name, python, model, port, self.threads)
            own = {"HF_HOME": place, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": str(self.threads)}
            with process(self.name, command, own) as (child, log):
                wait(child, f"{url}/health", self.start_timeout_s, log)
                yield Running(url, child.pid)


def peer_command(name: PeerName, python: Path, model: Path, port: int, threads: int) -> list[str]:
    """How a peer is started."""
    if name == "sentence-transformers":
        app = Path(__file__).with_name("app.py")
        # -P: beside the script lie modules of ours.
        return [str(python), "-P", str(app), str(model), "--port", str(port), "--threads", str(threads)]
    engine = "torch" if name == "infinity-torch" else "optimum"
    infinity = str(python.with_name("infinity_emb"))
    where = ["--model-id", str(model), "--device", "cpu", "--host", LOOPBACK, "--port", str(port)]
    return [infinity, "v2", *where, "--engine", engine, "--no-trust-remote-code"]
