"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "ptformat",
    "numpy",
    "torch",
    "jax",
    "flax",
    "msgpack",
    "zstandard",
    "xxhash",
    "safetensors",
    "ztensor",
    "zipnn",
    "blosc2",
    "orbax-checkpoint",
)


def facts(folders: dict[str, Path]) -> dict[str, str]:
    """Of the machine, and of the file systems of these folders."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": f"{processor()}, {cores()} cores in use",
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        **{label: file_system(folder) for label, folder in folders.items()},
        "Python": platform.python_version(),
    }


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def file_system(folder: Path) -> str:
    """Its kind, as the longest mount point above it says, and what is free."""
    found, kind = "", "unknown"
    mounts = Path("/proc/mounts")
    for line in mounts.read_text().splitlines() if mounts.exists() else ():
        _, point, this, *_ = line.split()
        if Path(point) in (folder, *folder.parents) and len(point) >= len(found):
            found, kind = point, this
    return f"{kind}, {free(folder) / 2**30:.0f} GiB free"


def free(folder: Path) -> int:
    """Bytes that can be written there."""
    return shutil.disk_usage(folder).free


def is_memory(folder: Path) -> bool:
    return file_system(folder).startswith("tmpfs")


def available() -> int:
    """Bytes of memory that can be had without swapping."""
    info = Path("/proc/meminfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def load() -> str:
    """The load averages of 1, 5 and 15 minutes."""
    return ", ".join(f"{value:.2f}" for value in os.getloadavg())


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def versions_in(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    """The same in another environment; nothing where there is none."""
    if not python.exists():
        return {}
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    done = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    return dict(zip(packages, done.stdout.split(), strict=True))
