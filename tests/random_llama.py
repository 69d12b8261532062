#!/usr/bin/env python3
"""A Llama-type model folder of any size with random weights, for measuring time and memory. Needs numpy.

    python3 tests/random_llama.py OUT                              1.1 billion parameters, 2.2 GB
    python3 tests/random_llama.py OUT --hidden 4096 --layers 10 --intermediate 11008 --heads 32 --kv-heads 32

Weights are bf16, normal with the usual 0.02, in shards of about 1 GiB; the tokenizer of examples/model is copied, so
that calibration and perplexity run on it (their figures mean nothing).
"""

import argparse
import json
import pathlib
import shutil
import struct

import numpy as np

SHARD_BYTES = 1 << 30


def bf16(x):
    u = x.view(np.uint32)
    return ((u + 0x7FFF + (u >> 16 & 1)) >> 16).astype(np.uint16)


def tensors(a, vocabulary):
    """(name, shape) in the order of the file; a shape of one dimension is a norm."""
    head = a.hidden // a.heads
    yield "model.embed_tokens.weight", (vocabulary, a.hidden)
    for i in range(a.layers):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (a.hidden,)
        yield p + "self_attn.q_proj.weight", (a.heads * head, a.hidden)
        yield p + "self_attn.k_proj.weight", (a.kv_heads * head, a.hidden)
        yield p + "self_attn.v_proj.weight", (a.kv_heads * head, a.hidden)
        yield p + "self_attn.o_proj.weight", (a.hidden, a.heads * head)
        yield p + "post_attention_layernorm.weight", (a.hidden,)
        yield p + "mlp.gate_proj.weight", (a.intermediate, a.hidden)
        yield p + "mlp.up_proj.weight", (a.intermediate, a.hidden)
        yield p + "mlp.down_proj.weight", (a.hidden, a.intermediate)
    yield "model.norm.weight", (a.hidden,)


def shards(named):
    """Lists of tensors of about SHARD_BYTES."""
    part, size = [], 0
    for name, shape in named:
        if size > SHARD_BYTES:
            yield part
            part, size = [], 0
        part.append((name, shape))
        size += 2 * int(np.prod(shape))
    yield part


def write_shard(path, part, rng):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in part:
        end = at + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, shape in part:
            if len(shape) == 1:
                f.write(bf16(np.ones(shape, np.float32)).tobytes())
            else:
                for _ in range(shape[0]):
                    f.write(bf16(rng.standard_normal(shape[1], dtype=np.float32) * np.float32(0.02)).tobytes())
    return at


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--hidden", type=int, default=2048)
    parser.add_argument("--intermediate", type=int, default=5632)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--kv-heads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    example = pathlib.Path(__file__).resolve().parent.parent / "examples" / "model"
    config = json.loads((example / "config.json").read_text())
    config.update(
        hidden_size=a.hidden,
        intermediate_size=a.intermediate,
        num_hidden_layers=a.layers,
        num_attention_heads=a.heads,
        num_key_value_heads=a.kv_heads,
        head_dim=a.hidden // a.heads,
    )
    a.out.mkdir(parents=True)
    (a.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(example / name, a.out)
    parts = list(shards(tensors(a, config["vocab_size"])))
    weight_map, total, rng = {}, 0, np.random.default_rng(a.seed)
    for i, part in enumerate(parts):
        name = f"model-{i + 1:05d}-of-{len(parts):05d}.safetensors"
        total += write_shard(a.out / name, part, rng)
        weight_map.update((tensor, name) for tensor, _ in part)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (a.out / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    print(f"{a.out}: {total / 2:,.0f} parameters in {len(parts)} shards")


if __name__ == "__main__":
    main()
