"""sentence-transformers' CrossEncoder as a server; it runs in the peer's environment and knows nothing of ours.

As most people would write it, and fair: requests wait in threads and not on the event loop, there is one forward pass
per request (no batching across requests), and a pass has as many threads as are asked for.

    python app.py MODEL --port 8001 --threads 2
"""

import argparse
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import CrossEncoder


class Rerank(BaseModel):
    """Body of `POST /rerank`."""

    query: str
    documents: list[str]
    return_documents: bool = False


def create_app(model: CrossEncoder) -> FastAPI:
    """The application over a loaded model."""
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    # Not a coroutine: FastAPI runs it in its pool of threads.
    @app.post("/rerank")
    def rerank(body: Rerank) -> dict[str, Any]:
        pairs = [(body.query, document) for document in body.documents]
        scores = model.predict(pairs, batch_size=32, show_progress_bar=False).tolist()
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        return {"results": [{"index": index, "relevance_score": scores[index]} for index in order]}

    return app


def main() -> None:
    """Load a model and serve it on 127.0.0.1."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    app = create_app(CrossEncoder(asked.model, device="cpu"))
    uvicorn.run(app, host="127.0.0.1", port=asked.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
