"""Hugging Face model directories: what transformers saves is read, what is written it loads."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers
from nets import minilm
from sources import bits, read

import ptformat
import ptformat.torch
from ptformat.converters import convert, copy
from ptformat.converters.files import open_source
from ptformat.converters.files.huggingface import WEIGHTS, companions
from ptformat.converters.files.sharded import INDEX
from ptformat.tree import Alias

Model = transformers.PreTrainedModel
SMALL = {"vocab_size": 20, "n_positions": 8, "n_embd": 4, "n_layer": 1, "n_head": 2}
SIZES = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def gpt2() -> Model:
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**SMALL))


def bert() -> Model:
    return transformers.BertModel(transformers.BertConfig(vocab_size=30, max_position_embeddings=8, **SIZES))


def bert_masked() -> Model:
    return transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=30, max_position_embeddings=8, **SIZES))


def t5() -> Model:
    config = transformers.T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    return transformers.T5ForConditionalGeneration(config)


MODELS = {"gpt2": gpt2, "bert": bert, "bert masked": bert_masked, "t5": t5}
TIED = {
    "gpt2": {"lm_head.weight", "transformer.wte.weight"},
    "bert": set(),
    "bert masked": {"cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"},
    "t5": {"shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"},
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No weights and no names are ever fetched; random weights are the same every time."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    yield
    transformers.utils.logging.enable_progress_bar()


def loads(kind: str, folder: Path, model: Model) -> None:
    """transformers loads the directory into the same model: nothing missing, every bit there, ties tied."""
    loaded, info = type(model).from_pretrained(folder, output_loading_info=True)
    assert {key: list(value) for key, value in info.items()} == {key: [] for key in info}
    expected, found = model.state_dict(), loaded.state_dict()
    assert list(found) == list(expected)
    assert all(found[name].equal(tensor) for name, tensor in expected.items())
    assert len({found[name].data_ptr() for name in TIED[kind]}) == min(len(TIED[kind]), 1)


@pytest.mark.parametrize("limit", ["5GB", "1KB"])
@pytest.mark.parametrize("kind", MODELS)
def test_what_transformers_saves_comes_back_to_it(kind: str, limit: str, tmp_path: Path) -> None:
    model = MODELS[kind]()
    model.save_pretrained(tmp_path / "theirs", max_shard_size=limit)
    assert (tmp_path / "theirs" / INDEX).exists() == (limit == "1KB")
    found = read(tmp_path / "theirs")
    expected = model.state_dict()
    assert all(found[name].tobytes() == expected[name].numpy().tobytes() for name in found)
    copy(tmp_path / "theirs", tmp_path / "m.ptf", codec="zstd", durable=False)
    for number, shard_bytes in enumerate((10**9, 700)):
        ours = tmp_path / f"ours{number}"
        copy(tmp_path / "theirs", ours, max_shard_bytes=shard_bytes)
        assert (ours / INDEX).exists() == (shard_bytes == 700)
        loads(kind, ours, model)
        copy(tmp_path / "m.ptf", tmp_path / f"again{number}", max_shard_bytes=shard_bytes)
        (tmp_path / f"again{number}" / "config.json").write_bytes((ours / "config.json").read_bytes())
        loads(kind, tmp_path / f"again{number}", model)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("kind", MODELS)
def test_a_live_model_and_its_ties(kind: str, sharded: bool, tmp_path: Path) -> None:
    model = MODELS[kind]()
    ptformat.torch.save_model(model, tmp_path / "m.ptf")
    copy(tmp_path / "m.ptf", tmp_path / "m", max_shard_bytes=700 if sharded else 10**9)
    model.config.save_pretrained(tmp_path / "m")
    loads(kind, tmp_path / "m", model)
    groups: dict[str, set[str]] = {}
    for entry in open_source(tmp_path / "m").entries:
        if isinstance(entry, Alias):
            groups.setdefault(entry.target, {entry.target}).add(entry.path)
    assert TIED[kind] in groups.values() or not TIED[kind]


@pytest.mark.parametrize("kind", MODELS)
def test_a_tie_that_was_kept_under_the_head(kind: str, tmp_path: Path) -> None:
    """`save_model` keeps the first name of the alphabet, from which transformers would load no embedding."""
    model = MODELS[kind]()
    safetensors.torch.save_model(model, str(tmp_path / "x.safetensors"), metadata={"format": "pt"})
    copy(tmp_path / "x.safetensors", tmp_path / "m")
    model.config.save_pretrained(tmp_path / "m")
    loads(kind, tmp_path / "m", model)


def test_the_negative_control(tmp_path: Path) -> None:
    """What `loads` asserts fails for a bit that differs."""
    model = gpt2()
    model.save_pretrained(tmp_path / "m")
    with torch.no_grad():
        model.transformer.wte.weight[0, 0] += 1
    with pytest.raises(AssertionError):
        loads("gpt2", tmp_path / "m", model)


def test_to_linen_and_back_transformers_computes_the_same(tmp_path: Path) -> None:
    model = bert().eval()
    model.save_pretrained(tmp_path / "theirs")
    convert(tmp_path / "theirs", tmp_path / "linen.ptf", to="linen")
    convert(tmp_path / "linen.ptf", tmp_path / "back", to="torch", max_shard_bytes=2000)
    model.config.save_pretrained(tmp_path / "back")
    assert (tmp_path / "back" / INDEX).exists()
    loads("bert", tmp_path / "back", model)
    tokens = torch.arange(6)[None]
    with torch.no_grad():
        again = transformers.BertModel.from_pretrained(tmp_path / "back").eval()
        assert again(tokens).last_hidden_state.equal(model(tokens).last_hidden_state)


def test_the_checkpoint_as_a_directory_and_back(tmp_path: Path) -> None:
    origin = minilm.model_path()
    copy(origin, tmp_path / "m", durable=False)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == origin.read_bytes()
    copy(tmp_path / "m", tmp_path / "shards", max_shard_bytes=20_000_000, durable=False)
    copy(tmp_path / "shards", tmp_path / "m.ptf", durable=False)
    copy(tmp_path / "m.ptf", tmp_path / "back/", durable=False)
    assert (tmp_path / "back" / "model.safetensors").read_bytes() == origin.read_bytes()


# What lies beside the weights


def model_directory(folder: Path) -> Path:
    """One tensor, and what repositories of models hold beside it."""
    folder.mkdir(parents=True)
    safetensors.torch.save_file({"a.w": torch.arange(4.0)}, folder / "model.safetensors", metadata={"format": "pt"})
    for name in ("config.json", "tokenizer.json", "vocab.txt", "spiece.model", "1_Pooling/config.json", "README.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    for name in ("pytorch_model.bin", "flax_model.msgpack", "tf_model.h5", "onnx/model.onnx", "training_args.bin"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("weights")
    for name in (".gitattributes", ".git/config", "other.safetensors.index.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    return folder


BESIDE = ["1_Pooling/config.json", "README.md", "config.json", "spiece.model", "tokenizer.json", "vocab.txt"]


def held(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_other_files_are_copied_along_but_no_weights(tmp_path: Path) -> None:
    origin = model_directory(tmp_path / "theirs")
    copy(origin, tmp_path / "ours")
    assert held(tmp_path / "ours") == sorted([*BESIDE, "model.safetensors"])
    assert all((tmp_path / "ours" / name).read_text() == name for name in BESIDE)
    convert(origin, tmp_path / "linen", to="linen", drop=["*"])
    assert held(tmp_path / "linen") == sorted([*BESIDE, "model.safetensors"])


def test_nothing_is_copied_along_with_a_file(tmp_path: Path) -> None:
    origin = model_directory(tmp_path / "theirs")
    copy(origin / "model.safetensors", tmp_path / "ours")
    assert held(tmp_path / "ours") == ["model.safetensors"]
    assert companions(tmp_path) == []


def test_the_weights_that_transformers_would_take(tmp_path: Path) -> None:
    assert WEIGHTS[:2] == (transformers.utils.SAFE_WEIGHTS_NAME, transformers.utils.SAFE_WEIGHTS_INDEX_NAME)
    assert WEIGHTS[2:] == (transformers.utils.WEIGHTS_NAME, transformers.utils.WEIGHTS_INDEX_NAME)
    origin = model_directory(tmp_path / "m")
    (origin / INDEX).write_text(json.dumps({"weight_map": {"b": "gone.safetensors"}}))
    assert list(read(origin)) == ["a.w"]


def test_pytorch_model_bin_in_a_directory(tmp_path: Path) -> None:
    model = gpt2()
    (tmp_path / "m").mkdir()
    model.save_pretrained(tmp_path / "m", safe_serialization=False)
    assert (tmp_path / "m" / "pytorch_model.bin").exists()
    copy(tmp_path / "m", tmp_path / "ours")
    loads("gpt2", tmp_path / "ours", model)
    assert "pytorch_model.bin" not in held(tmp_path / "ours")


def test_sharded_pytorch_model_bin_in_a_directory(tmp_path: Path) -> None:
    model = gpt2()
    model.save_pretrained(tmp_path / "m", safe_serialization=False, max_shard_size="1KB")
    assert (tmp_path / "m" / "pytorch_model.bin.index.json").exists()
    copy(tmp_path / "m", tmp_path / "ours")
    loads("gpt2", tmp_path / "ours", model)


# Replacing, refusing


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    ptformat.save_file({"a.w": bits("float32", (2, 3))}, tmp_path / "x.ptf", convention="torch")
    return tmp_path / "x.ptf"


def snapshot(folder: Path) -> dict[str, Any]:
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    return {name: path.read_bytes() if path.is_file() else None for name, path in found.items()}


def test_an_empty_directory_and_one_of_weights_are_replaced(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    copy(tree, tmp_path / "m")
    assert held(tmp_path / "m") == ["model.safetensors"]
    copy(minilm.model_path(), tmp_path / "m", max_shard_bytes=40_000_000, durable=False)
    assert len(held(tmp_path / "m")) == 5
    copy(tree, f"{tmp_path / 'm'}{os.sep}")
    assert held(tmp_path / "m") == ["model.safetensors"]
    assert list(read(tmp_path / "m")) == ["a.w"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "x.ptf"]


def test_a_directory_of_which_every_file_is_written_anew_is_replaced(tmp_path: Path) -> None:
    origin = model_directory(tmp_path / "theirs")
    for _ in range(2):
        copy(origin, tmp_path / "ours", durable=False)
    assert held(tmp_path / "ours") == sorted([*BESIDE, "model.safetensors"])


@pytest.mark.parametrize("name", ["config.json", "pytorch_model.bin", "sub/notes.txt", ".git/config", "x.safetensors"])
def test_a_directory_is_not_replaced_when_something_would_be_lost(name: str, tree: Path, tmp_path: Path) -> None:
    copy(tree, tmp_path / "m")
    (tmp_path / "m" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "m" / name).write_text("mine")
    before = snapshot(tmp_path)
    with pytest.raises(ptformat.FormatError) as caught:
        copy(tree, tmp_path / "m")
    assert caught.value.code == "FORMAT"
    assert f"holds {name!r}, which would be lost" in caught.value.message
    assert snapshot(tmp_path) == before


def test_a_link_in_the_directory_is_not_followed_nor_lost(tree: Path, tmp_path: Path) -> None:
    copy(tree, tmp_path / "m")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "m" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ptformat.FormatError, match="holds 'link', which would be lost"):
        copy(tree, tmp_path / "m")
    assert (tmp_path / "m" / "link").is_symlink()


def test_the_source_is_never_replaced(tmp_path: Path) -> None:
    origin = model_directory(tmp_path / "m")
    before = snapshot(tmp_path)
    for source, target, words in (
        (origin, origin, "is the source itself"),
        (origin, f"{origin}/", "is the source itself"),
        (origin / "model.safetensors", origin, "holds the source"),
    ):
        with pytest.raises(ptformat.FormatError, match=words):
            copy(source, target)
    assert snapshot(tmp_path) == before


def test_a_file_of_that_name_stays(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "m").write_text("mine")
    with pytest.raises(NotADirectoryError):
        copy(tree, tmp_path / "m")
    with pytest.raises(FileNotFoundError):
        copy(tree, tmp_path / "none" / "m")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "x.ptf"]


@pytest.mark.parametrize(
    ("held_tree", "code"), [({"a": 3}, "TYPE"), ({"a": bits("complex128", (2,))}, "DTYPE")], ids=["value", "dtype"]
)
def test_what_cannot_be_held_leaves_nothing(held_tree: Any, code: str, tmp_path: Path) -> None:
    ptformat.save_file(held_tree, tmp_path / "x.ptf")
    with pytest.raises(ptformat.FormatError) as caught:
        copy(tmp_path / "x.ptf", tmp_path / "m")
    assert caught.value.code == code
    assert [path.name for path in tmp_path.iterdir()] == ["x.ptf"]


class Stop(Exception):
    pass


def test_a_write_that_stops_leaves_the_old_directory(tree: Path, tmp_path: Path) -> None:
    copy(tree, tmp_path / "m")
    before = snapshot(tmp_path)

    def stop(nbytes: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        copy(minilm.model_path(), tmp_path / "m", progress=stop)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("link", ["model.safetensors", "config.json", "1_Pooling/config.json"])
def test_links_that_lead_out_of_the_source_are_refused(link: str, tmp_path: Path) -> None:
    origin = model_directory(tmp_path / "m")
    (origin / link).rename(tmp_path / "outside")
    (origin / link).symlink_to(tmp_path / "outside")
    with pytest.raises(ptformat.FormatError) as caught:
        copy(origin, tmp_path / "ours")
    assert (caught.value.code, str(link) in caught.value.message) == ("PATH", True)
    assert "is a link that leads out of" in caught.value.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "outside"]


def test_folders_that_are_links_are_not_entered(tmp_path: Path) -> None:
    origin = model_directory(tmp_path / "m")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.txt").write_text("secret")
    (origin / "more").symlink_to(tmp_path / "secret")
    copy(origin, tmp_path / "ours")
    assert held(tmp_path / "ours") == sorted([*BESIDE, "model.safetensors"])


def test_a_pipe_beside_the_weights_is_refused(tmp_path: Path) -> None:
    origin = model_directory(tmp_path / "m")
    os.mkfifo(origin / "pipe")
    with pytest.raises(ptformat.FormatError, match="is no regular file"):
        copy(origin, tmp_path / "ours")


def test_a_directory_without_weights(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    with pytest.raises(IsADirectoryError):
        open_source(tmp_path / "m")
