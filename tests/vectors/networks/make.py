#!/usr/bin/env python3
"""Makes the networks beside it: small seeded models of each architecture and what transformers predicts with them.

    make.py FOLDER [MODEL TEXT]

FOLDER/NAME/          config.json and model.safetensors, weights in bfloat16
FOLDER/NAME.json      another configuration for the weights of FOLDER/llama
FOLDER/NAME.safetensors
    tokens  I32 [2, 24]       two sequences
    logits  F32 [2, 24, 64]   of the model in float32
    greedy  I32 [20]          what the first sequence continues with (of two models)
FOLDER/excerpt.safetensors    of MODEL (examples/model) on the first two windows of TEXT (test.txt of WikiText-2)
    tokens     I32 [2, 512]
    positions  I32 [8], logits F32 [8, 2048]   of some positions of the first window
    nll        F64 [2]                         mean over the 511 scored tokens of each
Needs torch, transformers 5 and safetensors.
"""
import json
import os
import sys

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

VOCAB, LENGTH, SEQUENCES, ADDED = 64, 24, 2, 20

COMMON = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, bos_token_id=1, eos_token_id=2)
GATED = dict(COMMON, intermediate_size=40, num_key_value_heads=2, max_position_embeddings=64)
ROPE = {"rope_type": "default", "rope_theta": 100.0}

# Name, class, members of the configuration.
MODELS = [
    ("llama", "Llama", dict(GATED, head_dim=12, attention_bias=True, mlp_bias=True, rms_norm_eps=1e-5, hidden_act="gelu_pytorch_tanh",
                            rope_parameters=ROPE)),
    ("mistral", "Mistral", dict(GATED, sliding_window=5, rope_parameters=ROPE, tie_word_embeddings=True)),
    ("qwen2", "Qwen2", dict(GATED, use_sliding_window=True, sliding_window=7, max_window_layers=1, rope_parameters=ROPE)),
    ("qwen3", "Qwen3", dict(GATED, head_dim=16, rope_parameters=ROPE)),
    ("opt", "OPT", dict(COMMON, ffn_dim=40, max_position_embeddings=30, word_embed_proj_dim=32)),
    ("opt-after", "OPT", dict(COMMON, ffn_dim=40, max_position_embeddings=30, word_embed_proj_dim=20, do_layer_norm_before=False)),
    ("gpt2", "GPT2", dict(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_inner=40, n_positions=48, bos_token_id=1, eos_token_id=2,
                          scale_attn_by_inverse_layer_idx=True)),
]

# Other positions for the weights of "llama". "older": with the names that transformers had before version 5.
VARIANTS = [
    ("llama-older", dict(rope_scaling={"type": "linear", "factor": 3.0}, rope_theta=50.0)),
    ("llama-dynamic", dict(rope_scaling={"rope_type": "dynamic", "factor": 2.0}, rope_theta=100.0)),
    ("llama-3", dict(rope_parameters={"rope_type": "llama3", "rope_theta": 100.0, "factor": 4.0, "low_freq_factor": 1.0,
                                      "high_freq_factor": 3.0, "original_max_position_embeddings": 40})),
    ("llama-yarn", dict(rope_parameters={"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 16,
                                         "beta_fast": 2.0, "beta_slow": 0.5})),
]
GREEDY = ("llama-3", "gpt2")


def randomize(model, seed):
    """Weights large enough for every part to show in the logits."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        norm = parameter.ndim == 1 and name.endswith("weight")
        scale = 0.3 if parameter.ndim == 1 else 0.5 if "embed" in name or "wte" in name or "wpe" in name else 0.25
        parameter.data = ((1 if norm else 0) + scale * noise).to(torch.bfloat16)


@torch.inference_mode()
def expect(folder, name, model_folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = np.random.default_rng(len(name)).integers(3, VOCAB, (SEQUENCES, LENGTH)).astype(np.int32)
    ids = torch.from_numpy(tokens.astype(np.int64))
    result = {"tokens": tokens, "logits": model(ids, use_cache=False).logits.numpy()}
    assert result["logits"].dtype == np.float32
    if name in GREEDY:
        out = model.generate(ids[:1], max_new_tokens=ADDED, do_sample=False, eos_token_id=None, pad_token_id=0)
        top = torch.topk(model(out[:, :-1]).logits[0, LENGTH - 1:], 2).values
        assert (top[:, 0] - top[:, 1]).min() > 1e-3, "a tie"
        result["greedy"] = out[0, LENGTH:].numpy().astype(np.int32)
    save_file(result, os.path.join(folder, name + ".safetensors"))


@torch.inference_mode()
def excerpt(folder, model_folder, text_file):
    from tokenizers import Tokenizer

    with open(text_file, encoding="utf-8", newline="") as f:
        text = f.read()
    ids = Tokenizer.from_file(os.path.join(model_folder, "tokenizer.json")).encode(text, add_special_tokens=False).ids
    tokens = np.asarray(ids[:1024], dtype=np.int32).reshape(2, 512)
    model = transformers.AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    positions = np.asarray([0, 1, 2, 7, 15, 63, 200, 511], dtype=np.int32)
    nll = []
    for i, window in enumerate(torch.from_numpy(tokens.astype(np.int64))):
        logits = model(window[None], use_cache=False).logits[0]
        if i == 0:
            kept = logits[positions].numpy()
        log_p = torch.log_softmax(logits, -1)[:-1].gather(1, window[1:, None])[:, 0]
        nll.append(-log_p.double().mean().item())
    save_file({"tokens": tokens, "positions": positions, "logits": kept, "nll": np.asarray(nll)},
              os.path.join(folder, "excerpt.safetensors"))


def main():
    if len(sys.argv) == 4:
        excerpt(*sys.argv[1:])
    folder = sys.argv[1]
    for seed, (name, kind, members) in enumerate(MODELS):
        config = getattr(transformers, kind + "Config")(**members)
        model = getattr(transformers, "GPT2LMHeadModel" if kind == "GPT2" else kind + "ForCausalLM")(config)
        randomize(model, seed)
        path = os.path.join(folder, name)
        model.to(torch.bfloat16).save_pretrained(path)
        os.remove(os.path.join(path, "generation_config.json"))
        expect(folder, name, path)
    source = os.path.join(folder, "llama")
    for name, members in VARIANTS:
        with open(os.path.join(source, "config.json")) as f:
            config = json.load(f)
        del config["rope_parameters"]
        config.update(members)
        with open(os.path.join(folder, name + ".json"), "w") as f:
            json.dump(config, f, indent=2, sort_keys=True)
            f.write("\n")
        scratch = os.path.join(folder, "scratch")
        os.makedirs(scratch)
        os.symlink(os.path.abspath(os.path.join(source, "model.safetensors")), os.path.join(scratch, "model.safetensors"))
        os.symlink(os.path.abspath(os.path.join(folder, name + ".json")), os.path.join(scratch, "config.json"))
        expect(folder, name, scratch)
        for file in ("model.safetensors", "config.json"):
            os.remove(os.path.join(scratch, file))
        os.rmdir(scratch)


main()
