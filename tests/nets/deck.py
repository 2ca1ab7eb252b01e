"""The nets of the lecture deck, in torch and in linen, and the linen trees they must give."""

from typing import Any

import flax.linen as nn
import torch

NET_TREE: dict[str, Any] = {
    "params": {
        "layers_0": {"bias": (8,), "kernel": (4, 8)},
        "layers_2": {"bias": (1,), "kernel": (8, 1)},
    }
}
SHARED_TREE: dict[str, Any] = {
    "params": {
        "layers_0": {"bias": (8,), "kernel": (4, 8)},
        "layers_2": {"bias": (8,), "kernel": (8, 8)},
        "layers_6": {"bias": (1,), "kernel": (8, 1)},
    }
}


def net(seed: int = 0) -> torch.nn.Sequential:
    """Two linear layers; the same weights for the same seed, and the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))


def shared_net(seed: int = 0) -> torch.nn.Sequential:
    """Positions 2 and 4 hold one and the same `Linear(8, 8)`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shared = torch.nn.Linear(8, 8)
        return torch.nn.Sequential(
            torch.nn.Linear(4, 8),
            torch.nn.ReLU(),
            shared,
            torch.nn.ReLU(),
            shared,
            torch.nn.ReLU(),
            torch.nn.Linear(8, 1),
        )


def linen_net() -> nn.Sequential:
    """The linen twin of `net`; its variables have the shapes of `NET_TREE`."""
    return nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(1)])


def linen_shared_net() -> nn.Sequential:
    """The linen twin of `shared_net`; linen holds the shared layer once, at its first position (`SHARED_TREE`)."""
    shared = nn.Dense(8)
    return nn.Sequential([nn.Dense(8), nn.relu, shared, nn.relu, shared, nn.relu, nn.Dense(1)])
