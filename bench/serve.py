"""The server beside a worker that makes videos: time to be ready, calls a second, latency, a long queue.

python bench/serve.py [--jobs 1000]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection, HTTPException
from typing import Any

PORT = 18123
WORDS = "A large red ball rolls across the floor to the right."


def call(
    connection: HTTPConnection, method: str, path: str, values: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One call over a connection that stays open."""
    body = None if values is None else json.dumps(values)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    return json.loads(connection.getresponse().read())


def timed(connection: HTTPConnection, count: int, *what: Any) -> str:
    """Calls a second, and the middle and the slow latencies."""
    spent = []
    for _ in range(count):
        start = time.perf_counter()
        call(connection, *what)
        spent.append(1000 * (time.perf_counter() - start))
    cuts = statistics.quantiles(spent, n=100)
    return f"{1000 * count / sum(spent):6.0f} a second; ms: p50 {cuts[49]:.1f}, p95 {cuts[94]:.1f}, p99 {cuts[98]:.1f}"


def made(connection: HTTPConnection) -> str:
    """The path of a video that was made while this waited."""
    path = f"/v1/videos/{call(connection, 'POST', '/v1/videos', {'prompt': WORDS})['id']}"
    while call(connection, "GET", path)["status"] in ("queued", "in_progress"):
        time.sleep(0.1)
    return path


def main() -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=1000)
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "sorairo", "serve", "--port", str(PORT), "--folder", folder]
        start = time.perf_counter()
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            while True:
                try:
                    connection = HTTPConnection("127.0.0.1", PORT, timeout=60)
                    call(connection, "GET", "/ready")
                    break
                except (OSError, HTTPException):
                    time.sleep(0.05)
            print(f"ready                  {time.perf_counter() - start:6.1f} s")
            path = made(connection)
            print(f"first video            {time.perf_counter() - start:6.1f} s after the start")
            start = time.perf_counter()
            path = made(connection)
            print(f"second video           {time.perf_counter() - start:6.1f} s after its create")
            create = ("POST", "/v1/videos", {"prompt": WORDS})
            print(f"create, worker busy    {timed(connection, jobs, *create)}")
            print(f"retrieve, worker busy  {timed(connection, 500, 'GET', path)}")
            print(f"list of 20             {timed(connection, 100, 'GET', '/v1/videos')}")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
