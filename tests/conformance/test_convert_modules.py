"""The files of conversions are those of live modules of torch, linen and nnx, which give the same outputs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from nets.suite import NETS

import ptformat
import ptformat.flax
import ptformat.torch
from ptformat.conformance import adapter, suite

FOLDER = suite.CASES / "convert"
BOUND = {"linear-bfloat16": 2e-2, "rnn-bfloat16": 2e-2}
# Files of which no module of the framework is: what stood aside, and a tie that a linen module does not make.
NO_MODULE = {"buffers/linen", "buffers/nnx", "tied-permuted/linen", "tied-as-it-is/linen"}


def flax_inputs(net):
    return [jnp.asarray(net.into(one)) for one in net.inputs]


def saved(slug, side, path):
    """The file that the library writes of a live module."""
    net = NETS[slug]
    if side == "torch":
        ptformat.torch.save_model(net.torch(), path)
    elif side == "linen":
        variables = net.linen.init(jax.random.key(0), *flax_inputs(net))
        ptformat.flax.save_model(net.linen, variables, path, *flax_inputs(net))
    else:
        ptformat.flax.save_model(net.nnx(nnx.Rngs(0)), path, rng_state="drop")


def described(entries):
    """Path -> what is said of an entry, the elements aside and the classes of the tests' own modules."""
    found = {}
    for entry in entries:
        said = {key: value for key, value in entry.items() if key != "sha256"}
        if said.get("class", "").startswith("nets."):
            del said["class"]
        if said != {"type": "node", "path": said["path"], "form": "map"}:  # a map that nothing is said of
            found[said["path"]] = said
    return found


SAVED = [
    f"{slug}/{side}"
    for slug, net in NETS.items()
    for side in ("torch", "linen", "nnx")
    if getattr(net, side) is not None and f"{slug}/{side}" not in NO_MODULE
]


@pytest.mark.parametrize("name", SAVED)
def test_file_says_what_the_library_says_of_the_live_module(name, tmp_path):
    slug, side = name.split("/")
    saved(slug, side, tmp_path / "live.ptf")
    with ptformat.open(tmp_path / "live.ptf") as live:
        expected = described(adapter.content(live)["entries"])
    committed = json.loads((FOLDER / f"{name}.json").read_bytes())
    assert described(committed["entries"]) == expected


def test_every_file_of_a_module_is_compared_with_the_live_one():
    files = {f"{case.id.split('/')[1]}/{case.id.split('/')[2]}" for case in suite.listed(["convert"])}
    own = {name for name in files if name.split("/")[1] in ("torch", "linen", "nnx") and name.split("/")[0] in NETS}
    assert own - set(SAVED) == NO_MODULE


def as_torch(array):
    return torch.tensor(array.astype(np.float32)).bfloat16() if array.dtype == jnp.bfloat16 else torch.tensor(array)


def torch_out(net, path):
    module = net.torch()
    ptformat.torch.load_model(module, path)
    with torch.no_grad():
        return module.eval()(*map(as_torch, net.inputs)).float().numpy()


def linen_out(net, path):
    with jax.default_matmul_precision("highest"):
        return net.out(np.asarray(net.linen.apply(ptformat.load_tree(path), *flax_inputs(net)), np.float32))


def nnx_out(net, path):
    module = ptformat.flax.load_model(net.nnx(nnx.Rngs(0)), path, rng_state="keep")
    with jax.default_matmul_precision("highest"):
        return net.out(np.asarray(module(*flax_inputs(net)), np.float32))


OUT = {"torch": torch_out, "linen": linen_out, "nnx": nnx_out}
COMPARED = [slug for slug, net in NETS.items() if net.linen is not None or net.nnx is not None]


@pytest.mark.parametrize("slug", COMPARED)
def test_modules_of_all_frameworks_give_the_same_outputs(slug):
    net = NETS[slug]
    expected = torch_out(net, FOLDER / slug / "torch.ptf")
    assert np.abs(expected).max() > 0.01
    for side in ("linen", "nnx"):
        if getattr(net, side) is not None:
            found = OUT[side](net, FOLDER / slug / f"{side}.ptf")
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() <= BOUND.get(slug, 1e-5) * max(1, np.abs(expected).max())


BACK = ["batch-norm", "gru", "gru-zeros", "lstm", "lstm-layers", "lstm-optimized", "rnn", "rnn-bfloat16"]


@pytest.mark.parametrize("slug", BACK)
def test_way_back_gives_the_same_function(slug):
    net = NETS[slug]
    expected = torch_out(net, FOLDER / slug / "torch.ptf")
    found = torch_out(net, FOLDER / slug / "torch-back.ptf")
    assert np.abs(found - expected).max() <= BOUND.get(slug, 1e-6)


def test_dense_kernel_gives_the_function_of_the_groups():
    """What comes back of a transposed convolution in groups is one without."""
    net = NETS["conv-transpose-grouped"]
    expected = torch_out(net, FOLDER / "conv-transpose-grouped" / "torch.ptf")
    module = torch.nn.ModuleDict({"up": torch.nn.ConvTranspose2d(4, 6, (3, 2), 2, 1)})
    ptformat.torch.load_model(module, FOLDER / "conv-transpose-grouped" / "torch-back.ptf")
    with torch.no_grad():
        found = module["up"](torch.tensor(net.inputs[0])).numpy()
    assert np.abs(found - expected).max() <= 1e-6
