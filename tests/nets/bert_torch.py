"""A compact BERT encoder in torch; its state dict has exactly the names of the MiniLM checkpoint."""

import math

import torch
from torch import Tensor, nn

from .minilm import BertConfig


class Embeddings(nn.Module):
    """Word, position and token type embeddings, summed and normalised."""

    position_ids: Tensor

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.register_buffer("position_ids", torch.arange(config.max_position_embeddings)[None])

    def forward(self, ids: Tensor) -> Tensor:
        summed: Tensor = (
            self.word_embeddings(ids)
            + self.position_embeddings(self.position_ids[:, : ids.shape[1]])
            + self.token_type_embeddings(torch.zeros_like(ids))
        )
        out: Tensor = self.LayerNorm(summed)
        return out


class SelfAttention(nn.Module):
    """Multi-head attention without its output projection."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        batch, length, hidden = x.shape
        q, k, v = (
            part(x).view(batch, length, self.heads, -1).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        scores = q @ k.transpose(2, 3) / math.sqrt(hidden // self.heads)
        scores = scores.masked_fill(~keep[:, None, None, :], torch.finfo(x.dtype).min)
        mixed: Tensor = scores.softmax(-1) @ v
        return mixed.transpose(1, 2).reshape(batch, length, hidden)


class Output(nn.Module):
    """A projection, added to the residual and normalised."""

    def __init__(self, size: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        out: Tensor = self.LayerNorm(self.dense(x) + residual)
        return out


class Attention(nn.Module):
    """Self-attention and its output projection."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = Output(config.hidden_size, config)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        out: Tensor = self.output(self.self(x, keep), x)
        return out


class Intermediate(nn.Module):
    """The widening half of the feed-forward block, with the exact gelu."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(self.dense(x))


class Layer(nn.Module):
    """Attention, then the feed-forward block."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = Output(config.intermediate_size, config)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        x = self.attention(x, keep)
        out: Tensor = self.output(self.intermediate(x), x)
        return out


class Encoder(nn.Module):
    """All layers, in a ModuleList named `layer`."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        for layer in self.layer:
            x = layer(x, keep)
        return x


class Pooler(nn.Module):
    """A projection of the first token, through tanh."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.dense(x[:, 0]))


class Bert(nn.Module):
    """ids, mask (batch, length), int64 -> last hidden state (batch, length, hidden), pooled (batch, hidden)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = Pooler(config)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.encoder(self.embeddings(ids), mask.bool())
        return hidden, self.pooler(hidden)


def bert(config: BertConfig, seed: int = 0) -> Bert:
    """A model in eval mode, random biases and norms included; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Bert(config).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "LayerNorm" in name:
                    parameter.add_(0.2 * torch.randn_like(parameter))
    return model
