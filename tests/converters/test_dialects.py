"""Families and their dialects: equal names and shapes whose values mean something else, proven by outputs."""

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from sources import read, same, source

import ptformat
from ptformat.converters import ConversionError, Rules, convert, plan
from ptformat.converters.files import open_source
from ptformat.converters.rules import load

WIDTH, HEADS, GROUPS, HEAD, LENGTH = 20, 4, 2, 6, 9
SHAPES = {
    "layers.0.self_attn.q_proj.weight": (HEADS * HEAD, WIDTH),
    "layers.0.self_attn.k_proj.weight": (GROUPS * HEAD, WIDTH),
    "layers.0.self_attn.v_proj.weight": (GROUPS * HEAD, WIDTH),
    "layers.0.self_attn.o_proj.weight": (WIDTH, HEADS * HEAD),
}
LLAMA = {"rules": "llama", "facts": {"head_dim": HEAD}}


def angles():
    return np.outer(np.arange(LENGTH), 1 / 50.0 ** (np.arange(0, HEAD, 2) / HEAD))[:, None]


def rotated_halves(x):
    """x (LENGTH, heads, HEAD): place i rotates against place i + HEAD / 2, as Hugging Face's Llama does."""
    low, high = np.split(x, 2, axis=-1)
    cos, sin = np.cos(angles()), np.sin(angles())
    return np.concatenate([low * cos - high * sin, high * cos + low * sin], axis=-1)


def rotated_pairs(x):
    """The same for place 2i against 2i + 1, as Meta's Llama does."""
    even, odd = x[..., ::2], x[..., 1::2]
    cos, sin = np.cos(angles()), np.sin(angles())
    return np.stack([even * cos - odd * sin, odd * cos + even * sin], axis=-1).reshape(x.shape)


def attention(q, k, v, o, rotate):
    """Causal attention with grouped keys and values over kernels (in, out); q, k, v, o -> (LENGTH, WIDTH)."""
    x = np.random.default_rng(7).standard_normal((LENGTH, WIDTH))
    # One order in memory: a product of the same numbers may be rounded otherwise in another.
    q, k, v, o = (np.ascontiguousarray(kernel, np.float64) for kernel in (q, k, v, o))
    queries, keys, values = ((x @ kernel).reshape(LENGTH, -1, HEAD) for kernel in (q, k, v))
    queries, keys = rotate(queries), rotate(keys)
    keys, values = (part.repeat(HEADS // GROUPS, 1) for part in (keys, values))
    scores = np.einsum("qhd,khd->hqk", queries, keys) / HEAD**0.5
    scores = np.where(np.tri(LENGTH, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = np.einsum("hqk,khd->qhd", weights / weights.sum(-1, keepdims=True), values)
    return mixed.reshape(LENGTH, -1) @ o


@pytest.fixture
def meta(tmp_path):
    """A checkpoint whose queries and keys are in pairs, and what it computes."""
    rng = np.random.default_rng(1)
    tensors = {name: torch.from_numpy(rng.standard_normal(shape).astype(np.float32)) for name, shape in SHAPES.items()}
    path = tmp_path / "meta.safetensors"
    safetensors.torch.save_file(tensors, path)
    kernels = [tensors[name].numpy().T for name in SHAPES]
    return path, tensors, attention(*kernels, rotated_pairs)


def kernels(path):
    found = read(path)
    return [found[f"params.{name.replace('weight', 'kernel')}"] for name in SHAPES]


@pytest.mark.parametrize("to", ["linen", "nnx"])
def test_pairs_become_halves(meta, tmp_path, to):
    path, _, expected = meta
    convert(path, tmp_path / "a.ptf", to=to, dialect="pairs", **LLAMA)
    found = read(tmp_path / "a.ptf")
    root = "params." if to == "linen" else ""
    halves = [found[f"{root}{name.replace('weight', 'kernel')}"] for name in SHAPES]
    np.testing.assert_allclose(attention(*halves, rotated_halves), expected, atol=1e-12)  # the same numbers added
    assert np.abs(attention(*halves, rotated_pairs) - expected).max() > 0.5


def test_what_fits_every_shape_and_is_wrong(meta, tmp_path):
    """The negative control: taken to be in halves already, or with heads of another width, nothing is refused."""
    path, _, expected = meta
    convert(path, tmp_path / "a.msgpack", to="linen", dialect="halves", **LLAMA)
    assert np.abs(attention(*kernels(tmp_path / "a.msgpack"), rotated_halves) - expected).max() > 0.5
    convert(path, tmp_path / "b.msgpack", to="linen", rules="llama", dialect="pairs", facts={"head_dim": 12})
    assert np.abs(attention(*kernels(tmp_path / "b.msgpack"), rotated_halves) - expected).max() > 0.5


def test_to_pairs_and_back_bit_for_bit(meta, tmp_path):
    path, tensors, expected = meta
    made = convert(path, tmp_path / "a.msgpack", to="linen", dialect="pairs", **LLAMA)
    assert made.steps["params.layers.0.self_attn.k_proj.kernel"].operation == (
        f"as ({GROUPS}, {HEAD}, {WIDTH}), deinterleave 2 on axis 1, as ({GROUPS * HEAD}, {WIDTH}), (0, 1) → (1, 0)"
    )
    assert made.report()[-1] == "all 4 steps are exact; nothing is guessed"
    convert(
        tmp_path / "a.msgpack", tmp_path / "b.safetensors", to="torch", dialect="halves", to_dialect="pairs", **LLAMA
    )
    back = read(tmp_path / "b.safetensors")
    assert all(same(back[name], tensor.numpy()) for name, tensor in tensors.items())
    convert(path, tmp_path / "c.msgpack", to="linen", dialect="pairs", to_dialect="pairs", **LLAMA)
    np.testing.assert_array_equal(attention(*kernels(tmp_path / "c.msgpack"), rotated_pairs), expected)


def test_a_dialect_is_recorded_and_evidence(meta, tmp_path):
    path, tensors, _ = meta
    convert(path, tmp_path / "a.ptf", to="linen", dialect="pairs", **LLAMA)
    assert ptformat.open(tmp_path / "a.ptf").dialect == "halves"
    # Undone as recorded, without any rules: the file says all.
    convert(tmp_path / "a.ptf", tmp_path / "b.ptf", to="torch")
    assert ptformat.open(tmp_path / "b.ptf").dialect is None
    back = read(tmp_path / "b.ptf")
    assert all(same(back[name], tensor.numpy()) for name, tensor in tensors.items())
    # By rules, what is recorded is evidence: nothing is guessed.
    made = convert(tmp_path / "a.ptf", tmp_path / "c.ptf", to="torch", to_dialect="pairs", strict=True, **LLAMA)
    assert not any(note.startswith("guess") for note in made.notes)
    back = read(tmp_path / "c.ptf")
    assert all(same(back[name], tensor.numpy()) for name, tensor in tensors.items())
    assert ptformat.open(tmp_path / "c.ptf").dialect == "pairs"
    # Where a file's header has no place for it, it stands among the metadata, and is evidence as well.
    convert(tmp_path / "a.ptf", tmp_path / "d.safetensors", to="torch", **LLAMA)
    assert open_source(tmp_path / "d.safetensors").header.metadata["dialect"] == "halves"
    convert(tmp_path / "d.safetensors", tmp_path / "e.ptf", to="linen", strict=True, **LLAMA)
    assert ptformat.open(tmp_path / "e.ptf").dialect == "halves"
    assert ptformat.open(tmp_path / "e.ptf").metadata == {}


def test_a_template_tells_the_dialect_of_the_target(meta, tmp_path):
    path, tensors, _ = meta
    convert(path, tmp_path / "a.ptf", to="linen", dialect="pairs", **LLAMA)
    convert(tmp_path / "a.ptf", tmp_path / "pairs.ptf", to="torch", to_dialect="pairs", **LLAMA)
    model = tmp_path / "pairs.ptf"
    convert(tmp_path / "a.ptf", tmp_path / "b.ptf", to="torch", template=model, **LLAMA)
    back = read(tmp_path / "b.ptf")
    assert all(same(back[name], tensor.numpy()) for name, tensor in tensors.items())
    with pytest.raises(ConversionError) as caught:
        plan(tmp_path / "a.ptf", to="torch", template=model, to_dialect="halves", **LLAMA)
    text = f"{model.name} is recorded in the dialect 'pairs', but --to-dialect says 'halves'"
    assert [each.kind for each in caught.value.problems] == ["contradiction"]
    assert caught.value.problems[0].text.endswith(text)


def told(tree, **steering):
    with pytest.raises(ConversionError) as caught:
        plan(tree, to="linen", **steering)
    return [(each.kind, each.text.replace(tree.name, "x")) for each in caught.value.problems]


def test_none_given_is_a_guess():
    tree = source(SHAPES)
    made = plan(tree, to="linen", **LLAMA)
    assert made.notes[-1] == f"guess: {tree.name} is taken to be in the dialect halves; it may be in the dialect pairs"
    assert made.header.dialect == "halves"
    text = "x: nothing says its dialect; it may be the dialect pairs. Say --dialect"
    assert told(tree, strict=True, **LLAMA) == [("guess", text)]
    assert plan(tree, to="linen", strict=True, dialect="halves", **LLAMA).header.dialect == "halves"


def test_contradictions_and_unknown_names():
    recorded = source(SHAPES, dialect="halves")
    assert plan(recorded, to="linen", strict=True, **LLAMA).notes == []
    text = "x is recorded in the dialect 'halves', but --dialect says 'pairs'"
    assert told(recorded, dialect="pairs", **LLAMA) == [("contradiction", text)]
    tree = source(SHAPES)
    for option in ("dialect", "to_dialect"):
        shown = f"--{option.replace('_', '-')}"
        text = "the dialect 'thirds' is none of llama's: halves, pairs"
        assert told(tree, **{option: "thirds"}, **LLAMA)[0] == ("unsupported", text)
        text = f"{shown} pairs: no rules with dialects are given"
        assert told(tree, **{option: "pairs"})[0] == ("unused", text)
        assert told(tree, **{option: "pairs"}, rules="gpt2")[0] == ("unused", text)
    text = "the dialect 'thirds' is none of llama's: halves, pairs"
    assert told(source(SHAPES, dialect="thirds"), **LLAMA)[0] == ("unsupported", text)
    # Without rules that know of dialects, what is recorded is carried along.
    assert plan(recorded, to="linen").header.dialect == "halves"


def test_the_width_of_a_head_is_said_or_recorded():
    tree = source(SHAPES)
    shown = "dialect pairs '*.q_proj.weight=deinterleave(0, 2, {head_dim})' on layers.0.self_attn.q_proj.weight"
    found = told(tree, rules="llama", dialect="pairs")
    assert found[0] == ("ambiguous", f"{shown}: nothing tells head_dim. Say --fact head_dim=N")
    assert len(found) == 2
    recorded = source(SHAPES, metadata={"head_dim": str(HEAD)})
    given = plan(tree, to="linen", dialect="pairs", **LLAMA)
    assert plan(recorded, to="linen", dialect="pairs", rules="llama").steps == given.steps
    own = Rules(name="mine", dialects=load("llama").dialects, facts={"head_dim": HEAD})
    assert plan(tree, to="linen", dialect="pairs", rules=own).steps == given.steps
    (first, _) = told(tree, rules="llama", dialect="pairs", facts={"head_dim": 7})
    assert first[1].endswith(
        f"{SHAPES['layers.0.self_attn.q_proj.weight']}: axis 0 of (24, 20) has no whole number of runs of 7"
    )


def test_a_dialect_that_concerns_nothing_is_a_problem():
    (problem,) = told(source({"a.weight": (3, 2), "b.bias": (4,)}), dialect="pairs", **LLAMA)
    assert problem[1].startswith("the dialect pairs concerns no tensor: none is called *.q_proj.weight, *.k_proj.")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gemmas_norms(tmp_path, dtype):
    """They multiply by 1 + weight. As it is, the tensor stays; a plain norm needs the sum, which is rounded."""
    norm = transformers.models.gemma.modeling_gemma.GemmaRMSNorm(16, eps=1e-6)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(16, generator=torch.Generator().manual_seed(0)) * 0.1)
    norm = norm.to(dtype)
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    expected = norm(x).detach().numpy()
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"model.layers.0.input_layernorm.weight": norm.weight.detach()}, path)
    made = convert(path, tmp_path / "a.msgpack", to="linen", rules="gemma", dialect="offset")
    assert made.report()[-1].startswith("the step is exact")
    plain = convert(path, tmp_path / "b.msgpack", to="linen", rules="gemma", dialect="offset", to_dialect="plain")
    assert plain.steps["params.model.layers.0.input_layernorm.scale"].exactness == "rounded"
    bare = x.numpy() / np.sqrt((x.numpy() ** 2).mean(-1, keepdims=True) + 1e-6)
    (same_scale,), (scale,) = (read(tmp_path / name).values() for name in ("a.msgpack", "b.msgpack"))
    np.testing.assert_array_equal(same_scale.astype(np.float32), norm.weight.detach().float().numpy())
    difference = np.abs(bare * scale.astype(np.float32) - expected).max()
    if dtype == torch.float32:
        assert difference < 1e-6
    else:
        assert 1e-4 < difference < 2**-6  # 1 + w in 8 bits
    assert np.abs(bare * same_scale.astype(np.float32) - expected).max() > 0.5  # the wrong norm


def state(model):
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return source(shapes)


def test_gpt2():
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=8, vocab_size=11, n_positions=6)
    tree = state(transformers.GPT2Model(config))
    made = plan(tree, to="linen", rules="gpt2", strict=True)
    kernel = made.steps["params.h.1.attn.c_attn.kernel"]
    assert (kernel.target.shape, kernel.operation) == ((8, 24), "")
    assert made.steps["params.wte.embedding"].guess == ""


def test_t5():
    """The embeddings are told from linear layers, also the one whose name says bias, and the MLP's layers from them."""
    config = transformers.T5Config(d_model=8, d_kv=4, d_ff=12, num_layers=2, num_heads=2, vocab_size=11)
    tree = state(transformers.T5Model(config))
    made = plan(tree, to="linen", rules="t5", strict=True)
    bias = made.steps["params.encoder.block.0.layer.0.SelfAttention.relative_attention_bias.embedding"]
    assert bias.target.shape == (32, 2)
    assert plan(tree, to="linen").guesses != []  # it may be a linear layer


def test_bert_with_gamma_and_beta(tmp_path):
    config = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12)
    config.vocab_size = 11
    new = transformers.BertModel(config).state_dict()
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in new.items()
    }
    old["embeddings.position_ids"] = torch.arange(512)[None]
    for name, tensors in (("new", new), ("old", old)):
        safetensors.torch.save_file(tensors, tmp_path / f"{name}.safetensors")
    convert(tmp_path / "new.safetensors", tmp_path / "new.msgpack", to="linen")
    made = convert(tmp_path / "old.safetensors", tmp_path / "old.msgpack", to="linen", rules="bert", strict=True)
    assert made.dropped == ["embeddings.position_ids: --drop *embeddings.position_ids"]
    first, second = read(tmp_path / "new.msgpack"), read(tmp_path / "old.msgpack")
    assert first.keys() == second.keys()
    assert all(same(first[name], second[name]) for name in first)
    convert(tmp_path / "old.msgpack", tmp_path / "back.safetensors", to="torch", rules="bert")
    assert read(tmp_path / "back.safetensors").keys() == new.keys()  # as it is called today
