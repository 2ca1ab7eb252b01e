"""What one would write in five minutes to bring a BERT from safetensors to Flax: python throwaway.py SOURCE TARGET."""

import sys

from flax.serialization import msgpack_serialize
from safetensors.numpy import load_file

source, target = sys.argv[1:]
tree: dict = {}
for name, array in load_file(source).items():
    *parents, leaf = name.split(".")
    if leaf == "weight":
        if "embeddings" in parents[-1]:
            leaf = "embedding"
        elif array.ndim == 1:
            leaf = "scale"
        else:
            leaf, array = "kernel", array.T
    node = tree
    for parent in parents:
        node = node.setdefault(parent, {})
    node[leaf] = array
with open(target, "wb") as file:
    file.write(msgpack_serialize(tree))
