"""Retrieval with one encoder for queries and documents.

Torch registers the shared encoder under both names, and its state dict lists both. Linen keeps it under the name it got
first, `query_encoder`; nnx holds the same Variables under both and lists them under the name that sorts first,
`document_encoder`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

EPS = 1e-4
WORDS, FEATURES, HIDDEN, OUT = 29, 8, 14, 6
RULES: dict = {}


class TorchEncoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(WORDS, FEATURES)
        self.norm = torch.nn.LayerNorm(FEATURES, eps=EPS)
        self.fc1 = torch.nn.Linear(FEATURES, HIDDEN)
        self.fc2 = torch.nn.Linear(HIDDEN, FEATURES)

    def forward(self, ids):
        return self.fc2(torch.tanh(self.fc1(self.norm(self.embedding(ids).mean(1)))))


class TorchTwoTower(torch.nn.Module):
    """Ids (N, T) and (M, S) -> scores (N, M)."""

    def __init__(self):
        super().__init__()
        encoder = TorchEncoder()
        self.query_encoder = encoder
        self.document_encoder = encoder
        self.query_head = torch.nn.Linear(FEATURES, OUT)
        self.document_head = torch.nn.Linear(FEATURES, OUT)

    def forward(self, queries, documents):
        queries = self.query_head(self.query_encoder(queries))
        documents = self.document_head(self.document_encoder(documents))
        return queries @ documents.T / OUT


class LinenEncoder(nn.Module):
    def setup(self):
        self.embedding = nn.Embed(WORDS, FEATURES)
        self.norm = nn.LayerNorm(epsilon=EPS, use_fast_variance=False)
        self.fc1 = nn.Dense(HIDDEN)
        self.fc2 = nn.Dense(FEATURES)

    def __call__(self, ids):
        return self.fc2(nn.tanh(self.fc1(self.norm(self.embedding(ids).mean(1)))))


class LinenTwoTower(nn.Module):
    """Ids (N, T) and (M, S) -> scores (N, M)."""

    def setup(self):
        self.query_encoder = LinenEncoder()
        self.document_encoder = self.query_encoder
        self.query_head = nn.Dense(OUT)
        self.document_head = nn.Dense(OUT)

    def __call__(self, queries, documents):
        queries = self.query_head(self.query_encoder(queries))
        documents = self.document_head(self.document_encoder(documents))
        return queries @ documents.T / OUT


class NnxEncoder(nnx.Module):
    def __init__(self, rngs):
        self.embedding = nnx.Embed(WORDS, FEATURES, rngs=rngs)
        self.norm = nnx.LayerNorm(FEATURES, epsilon=EPS, use_fast_variance=False, rngs=rngs)
        self.fc1 = nnx.Linear(FEATURES, HIDDEN, rngs=rngs)
        self.fc2 = nnx.Linear(HIDDEN, FEATURES, rngs=rngs)

    def __call__(self, ids):
        return self.fc2(nnx.tanh(self.fc1(self.norm(self.embedding(ids).mean(1)))))


class NnxTwoTower(nnx.Module):
    """Ids (N, T) and (M, S) -> scores (N, M)."""

    def __init__(self, rngs):
        encoder = NnxEncoder(rngs)
        self.query_encoder = encoder
        self.document_encoder = encoder
        self.query_head = nnx.Linear(FEATURES, OUT, rngs=rngs)
        self.document_head = nnx.Linear(FEATURES, OUT, rngs=rngs)

    def __call__(self, queries, documents):
        queries = self.query_head(self.query_encoder(queries))
        documents = self.document_head(self.document_encoder(documents))
        return queries @ documents.T / OUT


def torch_net():
    return TorchTwoTower()


def linen_net():
    return LinenTwoTower()


def nnx_net(rngs):
    return NnxTwoTower(rngs)


def inputs():
    rng = np.random.default_rng(9)
    return rng.integers(0, WORDS, (3, 5), np.int32), rng.integers(0, WORDS, (4, 9), np.int32)


def linen_args():
    return (jax.ShapeDtypeStruct((3, 5), jnp.int32), jax.ShapeDtypeStruct((4, 9), jnp.int32)), {}


def run_torch(net, queries, documents):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(queries), torch.from_numpy(documents)).numpy()


def run_linen(net, variables, queries, documents):
    return net.apply(variables, jnp.asarray(queries), jnp.asarray(documents))


def run_nnx(net, queries, documents):
    net.eval()
    return net(jnp.asarray(queries), jnp.asarray(documents))
