"""What the agent of a node costs: at 1 Hz, 8 GPUs of 8 processes each, read by Prometheus, written every 10 s.

`python tools/benchmarks/telemetry_agent.py [SECONDS]` prints CPU in percent of a core and memory.  NVML is the tests'
stand-in, which answers at once: what a real driver takes for its answers comes on top.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests" / "clusterctl" / "telemetry"))

from running_agent import RunningAgent, until  # noqa: E402
from standin import Script  # noqa: E402

GPUS, PROCESSES, SCRAPE_SECONDS = 8, 8, 15
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Of the process with all its threads; it has no children."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS_PER_SECOND


def memory_mib(pid: int) -> float:
    """The most that was resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Measure once."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
    with tempfile.TemporaryDirectory() as folder:
        script = Script(Path(folder) / "nvml.script")
        jobs = [
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100000)"]) for _ in range(GPUS * PROCESSES)
        ]
        lines = [f"gpu {n % GPUS} pid {job.pid} 1000" for n, job in enumerate(jobs)]
        script.set(f"gpus {GPUS}", "gpm 1", *(f"gpu {n} util {80 + n}" for n in range(GPUS)), *lines)
        agent = RunningAgent(Path(folder) / "h", script=script, interval_seconds=1.0, write_seconds=10.0)
        try:
            until(lambda: "appeared 7" in agent.said())
            time.sleep(12)  # over the first flush, which loads what writing needs
            began, before = time.monotonic(), cpu_seconds(agent.process.pid)
            while time.monotonic() - began < seconds:
                time.sleep(SCRAPE_SECONDS)
                agent.page()
            share = (cpu_seconds(agent.process.pid) - before) / (time.monotonic() - began)
            print(
                f"{share:.2%} of a core, {memory_mib(agent.process.pid):.0f} MiB, over {time.monotonic() - began:.0f} s"
            )
        finally:
            agent.stop()
            for job in jobs:
                job.kill()
                job.wait()


if __name__ == "__main__":
    main()
