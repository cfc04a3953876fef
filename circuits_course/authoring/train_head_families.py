"""Trains the families of chapter 09 and writes them beside this file: `head_families.*`.

    python -m circuits_course.authoring.train_head_families

Every task, number of heads and seed, each on one thread, as many at a time as there are cores;
about fifteen minutes on two. The weights are kept as float16 in `head_families.safetensors`.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import platform
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product

import torch
from safetensors.torch import save
from torch import Tensor
from tqdm.auto import tqdm  # type: ignore[import-untyped]

from circuits_course.circuits.head_families import (
    EVERY,
    FAMILIES,
    SEEDS,
    SHIPPED,
    TASKS,
    Trained,
    member_name,
    train_member,
)
from circuits_course.storage import write_whole

COMMAND = "python -m circuits_course.authoring.train_head_families"
Key = tuple[str, int, int]


def train_all(keys: list[Key]) -> Iterator[Trained]:
    """Every member, in the order of the keys."""
    workers, context = os.cpu_count() or 1, multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,)) as pool:
        # The slow ones, of many heads, first, so that none is left alone at the end.
        jobs = {key: pool.submit(train_member, *key) for key in sorted(keys, key=_work)[::-1]}
        for _ in tqdm(as_completed(jobs.values()), total=len(jobs), unit="model"):
            pass
        yield from (jobs[key].result() for key in keys)


def _work(key: Key) -> int:
    task, n_heads, _ = key
    return n_heads * TASKS[task].steps


def kept(trained: Trained) -> dict[str, Tensor]:
    """The weights as they are stored."""
    name = member_name(trained.task, trained.n_heads, trained.seed)
    weights = trained.model.named_parameters()
    return {f"{name}/{key}": weight.detach().half().contiguous() for key, weight in weights}


def main() -> None:
    weights: dict[str, Tensor] = {}
    rows = []
    keys = [key for task, counts in SHIPPED.items() for key in product([task], counts, SEEDS)]
    for trained in train_all(keys):
        weights.update(kept(trained))
        rows.append({field: getattr(trained, field) for field in
                     ("task", "n_heads", "seed", "history", "births")})  # fmt: skip
    content = save(weights)
    made_with = {"python": platform.python_version(), "torch": torch.__version__,
                 "machine": platform.machine()}  # fmt: skip
    table = {"command": COMMAND, "steps between losses": EVERY, "made_with": made_with,
             "sha256": hashlib.sha256(content).hexdigest(), "models": rows}  # fmt: skip
    write_whole(FAMILIES.with_suffix(".safetensors"), content)
    write_whole(FAMILIES, (json.dumps(table) + "\n").encode())


if __name__ == "__main__":
    main()
