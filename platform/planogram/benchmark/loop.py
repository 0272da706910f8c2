"""The engine by itself: tokenizer and forward pass, one request after the other. No server does more."""

import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

from planogram.benchmark.load.plan import Load, Sample
from planogram.benchmark.spawn import TargetError
from planogram.config import EngineName
from planogram.engines.base import score
from planogram.engines.load import load_engine
from planogram.registry.bundle import open_bundle
from planogram.serve.ranker import pair_texts

BATCH_TOKENS = 4096
GRACE_S = 300.0
Texts = Sequence[tuple[str, list[str]]]


def engine_loop(bundle: str, engine: EngineName, threads: int, texts: Texts, seconds: tuple[float, float]) -> Load:
    """Score requests one after the other in a process of its own.

    Args:
        bundle: its folder.
        engine: that scores.
        threads: of one inference.
        texts: (query, documents), which take turns.
        seconds: to warm up, and to measure.

    Returns:
        Samples with status 200.

    Raises:
        TargetError: the engine does not run here; the message says why.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (bundle, engine, threads, texts, seconds, theirs)
    process = context.Process(target=_process, args=arguments, daemon=True)
    process.start()
    theirs.close()
    try:
        answer = ours.recv() if ours.poll(sum(seconds) + GRACE_S) else TargetError("it gave no answer")
    except EOFError:
        answer = TargetError("its process died")
    finally:
        process.terminate()
        process.join(10)
        ours.close()
    if isinstance(answer, Exception):
        raise TargetError(f"the loop of {engine}: {answer}", remedy="choose another of `engines`") from answer
    return answer


def _process(
    bundle: str, engine: EngineName, threads: int, texts: Texts, seconds: tuple[float, float], connection: Connection
) -> None:
    try:
        connection.send(_measure(bundle, engine, threads, texts, seconds))
    except Exception as error:  # whatever it is, the parent says it
        connection.send(error)


def _measure(bundle: str, engine: EngineName, threads: int, texts: Texts, seconds: tuple[float, float]) -> Load:
    loaded = load_engine(bundle, engine, threads)
    manifest = open_bundle(bundle)[1]
    samples: list[Sample] = []
    for until_s in seconds:
        samples.clear()
        started_s, cpu_s = time.perf_counter(), time.process_time()
        while (now_s := time.perf_counter() - started_s) < until_s:
            query, documents = texts[len(samples) % len(texts)]
            score(loaded, pair_texts(query, documents, manifest.text_fields, manifest.text_language), BATCH_TOKENS)
            samples.append(Sample(now_s, time.perf_counter() - started_s - now_s, 200))
    return Load(samples, time.perf_counter() - started_s, time.process_time() - cpu_s)
