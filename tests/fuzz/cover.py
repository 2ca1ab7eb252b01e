"""Lines and branches of the library that a corpus reaches: each of its files examined once more, under coverage.py."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

# What reads a file's bytes, or what was made of them.
MODULES = (
    *("bands", "codecs/planes", "codecs/raw", "codecs/zstd", "collector", "columns", "container", "containers"),
    *("dtypes", "errors", "index", "limits", "loading", "paths", "profile", "reader", "slices", "structure", "tree"),
    "verification",
)
SECONDS = 600  # of a corpus too large to be examined whole, as much as this allows


def measured(corpus: Path) -> str:
    """Lines and branches reached, of all there are, in a fresh process."""
    command = [sys.executable, str(Path(__file__).resolve()), str(corpus)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """`cover.py CORPUS`: one line, then what was not reached, module by module."""
    import time

    import coverage

    sys.path[0] = str(Path(__file__).resolve().parents[1])
    meter = coverage.Coverage(branch=True, source_pkgs=["ptformat"], data_file=None, config_file=False)
    meter.start()
    from fuzz.target import examine

    end, files = time.monotonic() + SECONDS, 0
    for path in sorted(Path(sys.argv[1]).iterdir()):
        if time.monotonic() > end:
            break
        files += 1
        try:
            examine(path.read_bytes())
        except Exception as error:
            print(f"{path.name}: {type(error).__name__}", file=sys.stderr)
    meter.stop()
    with tempfile.NamedTemporaryFile(suffix=".json") as held:
        import ptformat

        root = Path(ptformat.__file__).parent
        meter.json_report(morfs=[str(root / f"{name}.py") for name in MODULES], outfile=held.name)
        found = json.loads(Path(held.name).read_text("utf-8"))
    total = found["totals"]
    lines = f"{total['covered_lines']} of {total['num_statements']} lines"
    print(f"{lines}, {total['covered_branches']} of {total['num_branches']} branches ({files} files examined)")
    for name, facts in found["files"].items():
        if facts["missing_lines"] or facts["missing_branches"]:
            print(f"  {Path(name).name}: lines {facts['missing_lines']}, branches {facts['missing_branches']}")


if __name__ == "__main__":
    main()
