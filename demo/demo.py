"""The main job, shown: a torch checkpoint to Flax and back, through the format.

python demo/demo.py          the lecture deck's two nets, then a real model (MiniLM)
python demo/demo.py MODEL    a file of your own: .safetensors, .ptf or flax .msgpack
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import ptformat
from ptformat.converters import copy, plan

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # the networks that the tests use too


def title(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}\n{'=' * len(text)}")


def run(folder: Path, command: str, *, lines: int | None = None) -> str:
    """Run a command as a user would, show it with what it prints (its first lines), and stop if it fails."""
    print(f"\n$ ptformat {command}")
    done = subprocess.run(
        [sys.executable, "-m", "ptformat", *shlex.split(command)], cwd=folder, capture_output=True, text=True
    )
    shown = (done.stdout + done.stderr).rstrip().split("\n")
    for line in shown[:lines]:
        print(f"  {line}"[:150])
    if lines is not None and len(shown) > lines:
        print(f"  … {len(shown) - lines} more lines")
    if done.returncode:
        raise SystemExit(f"demo: 'ptformat {command}' ended with {done.returncode}")
    return done.stdout


def show_deck(folder: Path) -> None:
    import torch
    from nets import deck

    import ptformat.flax
    import ptformat.torch

    nets = {
        "deck": (deck.net(), deck.linen_net(), "Sequential(Linear(4, 8), ReLU(), Linear(8, 1))"),
        "shared": (deck.shared_net(), deck.linen_shared_net(), "one Linear(8, 8) at positions 2 and 4"),
    }
    for name, (net, linen, what) in nets.items():
        title(f"{name}: {what}")
        ptformat.torch.save_model(net, folder / f"{name}.ptf")
        run(folder, f"tree {name}.ptf")
        run(folder, f"convert {name}.ptf {name}_linen.ptf --to linen --dry-run")
        run(folder, f"convert {name}.ptf {name}_linen.ptf --to linen")
        run(folder, f"tree {name}_linen.ptf")
        x = np.random.default_rng(0).standard_normal((16, 4), np.float32)
        variables = ptformat.flax.load_file(folder / f"{name}_linen.ptf")
        outputs = net(torch.from_numpy(x)).detach().numpy(), np.asarray(linen.apply(variables, x))
        print(f"\n  torch and Flax on 16 inputs: largest difference {np.abs(outputs[0] - outputs[1]).max():.1e}")
        run(folder, f"convert {name}_linen.ptf {name}_back.ptf --to torch")
        same = (folder / f"{name}.ptf").read_bytes() == (folder / f"{name}_back.ptf").read_bytes()
        print(f"\n  {name}.ptf and {name}_back.ptf: {'the same bytes' if same else 'DIFFERENT'}")
        if not same:
            raise SystemExit("demo: the way back changed the file")
    loaded = deck.shared_net(seed=1)
    ptformat.torch.load_model(loaded, folder / "shared_back.ptf")
    loaded[2].weight.data[0, 0] = 100
    tied = loaded[2].weight is loaded[4].weight and loaded[4].weight.data[0, 0].item() == 100
    print(f"  loaded again, net[2].weight and net[4].weight are {'one parameter' if tied else 'NOT TIED'}")
    if not tied:
        raise SystemExit("demo: the tie was lost")


def show_file(folder: Path, model: Path) -> tuple[Path, Path]:
    """Pack, verify, unpack, convert to the other framework and back. Returns the two converted files."""
    source = folder / f"model{model.suffix}"
    source.symlink_to(model.resolve())
    run(folder, f"tree {source.name}", lines=24)
    run(folder, f"pack {source.name} packed.ptf")
    run(folder, "verify packed.ptf")
    there = "linen"
    try:
        made = plan(source, to=there)
    except ValueError as error:
        if "layout already" not in str(error):
            raise SystemExit(f"demo: {error}") from None
        there = "torch"
        made = plan(source, to=there)
    back, suffix = made.origin, "msgpack" if there == "linen" else "safetensors"
    run(folder, f"convert {source.name} converted.{suffix} --to {there} --dry-run", lines=12)
    run(folder, f"convert {source.name} converted.{suffix} --to {there}")
    run(folder, f"convert {source.name} converted.ptf --to {there}")
    run(folder, f"convert converted.{suffix} back.ptf --to {back}")
    copy(source, folder / "original.ptf")
    original, returned = (ptformat.load_file(folder / f"{name}.ptf") for name in ("original", "back"))
    equal = [key for key in original if key in returned and same_bits(original[key], returned[key])]
    print(f"\n  {len(equal)} of {len(original)} tensors came back from the .{suffix} bit for bit")
    return source, folder / f"converted.{suffix}"


def same_bits(a: Any, b: Any) -> bool:
    return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())


def show_minilm(folder: Path) -> None:
    import flax.serialization
    import torch
    from nets import bert_linen, bert_torch, minilm

    title("MiniLM: a real model, from its .safetensors file alone")
    path = minilm.model_path()
    source, converted = show_file(folder, path)
    copy(source, folder / "torch.ptf", durable=False)
    config = minilm.config()
    torch_model = bert_torch.bert(config)
    state = {key: torch.from_numpy(value) for key, value in ptformat.load_file(folder / "torch.ptf").items()}
    torch_model.load_state_dict(state)
    variables = flax.serialization.msgpack_restore(converted.read_bytes())
    ids, mask = minilm.batch()
    with torch.no_grad():
        hidden = torch_model(torch.from_numpy(ids), torch.from_numpy(mask))[0].numpy()
    linen = bert_linen.bert(config)
    other = linen.apply({"params": variables["params"]}, ids.astype(np.int32), mask.astype(np.int32))[0]
    difference = np.abs(minilm.kept(hidden, mask) - minilm.kept(np.asarray(other), mask)).max()
    print(f"  torch and Flax on {len(ids)} sentences: largest difference of the last hidden state {difference:.1e}")
    for name in ("model.safetensors", "packed.ptf", "converted.msgpack", "converted.ptf"):
        print(f"  {name:<20}{(folder / name).stat().st_size / 1e6:8.1f} MB")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ptformat-demo-") as name:
        folder = Path(name)
        if len(sys.argv) > 1:
            model = Path(sys.argv[1])
            if not model.is_file():
                raise SystemExit(f"demo: {model} is not a file")
            title(str(model))
            show_file(folder, model)
        else:
            show_deck(folder)
            show_minilm(folder)
    print()


if __name__ == "__main__":
    main()
