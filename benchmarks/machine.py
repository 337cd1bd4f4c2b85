"""What the numbers were measured on; without it they mean nothing."""

import os
import platform
import subprocess
from pathlib import Path


def describe_machine() -> dict[str, str]:
    """Collect the facts about this machine that bear on the numbers."""
    return {
        "cpu": _cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": _first_line(os.environ.get("CC", "cc"), "--version"),
        "load_average": f"{os.getloadavg()[0]:.2f}",
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def _first_line(*command: str) -> str:
    try:
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return printed.partition("\n")[0]
