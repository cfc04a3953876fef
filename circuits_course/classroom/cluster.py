"""A class checked by the machines of a Dask cluster, each with judges and sandboxes of its own.

Files travel as bytes and verdicts as plain values, so the machines share no disk. A machine that is
lost has its notebooks judged elsewhere; a verdict comes once, whoever gave it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from circuits_course.classroom.judges import Job, examine
from circuits_course.classroom.sandbox import require
from circuits_course.errors import CourseError

CONNECTING = 30  # seconds
RETRIES = 3  # for a notebook whose machine was lost
AHEAD = 4  # notebooks handed out for each thread of the cluster


def on_cluster(address: str, trust: bool) -> Callable[[Iterable[Job]], Iterator[tuple[int, Any]]]:
    """A function that has jobs done there and yields (index, verdict) as they come.

    address: the scheduler's, such as "tcp://10.0.0.1:8786". Raises CourseError where nobody answers
    there, or dask.distributed is not installed.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise CourseError(
            "--cluster needs dask.distributed: pip install 'circuits-course[cluster]'."
        ) from None

    def run(jobs: Iterable[Job]) -> Iterator[tuple[int, Any]]:
        with _client(Client, address) as client:
            threads = sum(client.nthreads().values())
            if not threads:
                raise CourseError(f"The cluster at {address} has no workers.")
            left = enumerate(jobs)
            indices: dict[Any, int] = {}

            def hand_out() -> Any:
                for index, job in left:
                    future = client.submit(examine_there, job, trust, pure=False, retries=RETRIES)
                    indices[future] = index
                    return future
                return None

            first = [f for f in (hand_out() for _ in range(AHEAD * threads)) if f is not None]
            coming = as_completed(first)
            for future in coming:
                yield indices.pop(future), _verdict(future)
                following = hand_out()
                if following is not None:
                    coming.add(following)

    return run


def _client(client: Any, address: str) -> Any:
    try:
        return client(address, timeout=CONNECTING)
    except (OSError, ValueError, TimeoutError) as error:
        raise CourseError(f"No Dask scheduler answers at {address} ({error}).") from None


def examine_there(job: Job, trust: bool) -> dict[str, Any]:
    """Runs on a machine of the cluster: what a judge there says of a file."""
    return examine({**job, "program": require(trust).program})


def _verdict(future: Any) -> dict[str, Any]:
    error = future.exception()
    if error is None:
        return future.result()
    return {"trouble": [f"the cluster could not check the file ({type(error).__name__}: {error})"]}
