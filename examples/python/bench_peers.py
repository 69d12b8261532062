#!/usr/bin/env python3
"""Quantizing and dequantizing with libquant and with its peers, in one run on one machine.

    pip install numpy torch bitsandbytes optimum-quanto
    make && taskset -c 1 python3 examples/python/bench_peers.py

A peer that is not installed is left out. Every call has its warm-up; then the rounds of all programs take turns, so
that what else the machine does hits all of them, and the fastest round counts. The C library is told to keep freed
memory: otherwise the page faults of fresh results hide the kernels. One thread unless --threads says otherwise.
bench_products.py does the same for products on packed weights.
"""

import argparse
import os
import pathlib
import sys
import time

import numpy as np

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import libquant as lq  # noqa: E402


def start(threads):
    """Sets what a process reads when it starts, by starting it again, and the threads of the library."""
    if not all(key in os.environ for key in KEEP_MEMORY):
        os.environ.update(KEEP_MEMORY, OMP_NUM_THREADS=str(threads))
        os.execv(sys.executable, [sys.executable, *sys.argv])
    lq.set_threads(threads)


def random_weights(rows, columns):
    return (np.random.default_rng(0).standard_normal((rows, columns), dtype=np.float32) * 0.02).astype(np.float32)


def headline(args):
    return f"{lq.build_info().splitlines()[0]}, {lq.cpu_features()}, {args.threads} thread(s), {args.size}"


def libquant_cases(w, half):
    """{operation: call} of this library."""
    cases = {}
    for name, method, nested in (
        ("nf4", "nf4", False),
        ("nf4 nested", "nf4", True),
        ("fp4", "fp4", False),
        ("int8", "int8", False),
        ("dynamic8", "dynamic8", False),
    ):
        cases[f"quantize f32 to {name}"] = lambda m=method, n=nested: lq.quantize(w, m, nested=n)
        t = lq.quantize(w, method, nested=nested)
        for dtype in ("f32", "bf16"):
            cases[f"dequantize {name} to {dtype}"] = lambda t=t, d=dtype: t.dequantize(d)
    cases["quantize bf16 to nf4"] = lambda: lq.quantize(half, "nf4", dtype="bf16")
    return cases


def bitsandbytes_cases(w, threads):
    import torch
    import bitsandbytes.functional as f

    torch.set_num_threads(threads)
    x = torch.from_numpy(w)
    cases = {"quantize bf16 to nf4": lambda h=x.to(torch.bfloat16): f.quantize_4bit(h, quant_type="nf4")}
    for name, kind, nested in (("nf4", "nf4", False), ("nf4 nested", "nf4", True), ("fp4", "fp4", False)):
        cases[f"quantize f32 to {name}"] = lambda k=kind, n=nested: f.quantize_4bit(
            x, quant_type=k, compress_statistics=n
        )
        for dtype, torch_type in (("f32", torch.float32), ("bf16", torch.bfloat16)):
            q, state = f.quantize_4bit(x.to(torch_type), quant_type=kind, compress_statistics=nested)
            cases[f"dequantize {name} to {dtype}"] = lambda q=q, s=state: f.dequantize_4bit(q, s)
    cases["quantize f32 to dynamic8"] = lambda: f.quantize_blockwise(x, blocksize=256)
    q, state = f.quantize_blockwise(x, blocksize=256)
    cases["dequantize dynamic8 to f32"] = lambda q=q, s=state: f.dequantize_blockwise(q, s)
    half = x.half()
    cases["quantize f32 to int8"] = lambda: f.int8_vectorwise_quant(half)
    return cases


def quanto_cases(w, threads):
    import torch
    from optimum.quanto import AbsmaxOptimizer, qint8, quantize_weight

    torch.set_num_threads(threads)
    x = torch.from_numpy(w)
    scale = AbsmaxOptimizer()(x, qtype=qint8, axis=0)
    q = quantize_weight(x, qint8, 0, scale)
    return {
        "quantize f32 to int8": lambda: quantize_weight(x, qint8, 0, AbsmaxOptimizer()(x, qtype=qint8, axis=0)),
        "dequantize int8 to f32": q.dequantize,
    }


def gather(w, threads):
    half = (w.view(np.uint32) >> 16).astype(np.uint16)
    programs = {"libquant": libquant_cases(w, half)}
    for name, make in (("bitsandbytes", bitsandbytes_cases), ("quanto", quanto_cases)):
        try:
            programs[name] = make(w, threads)
        except ImportError as e:
            print(f"{name} is left out: {e}", file=sys.stderr)
    return programs


def best_times(calls, rounds):
    """Milliseconds of the fastest round of each call; the calls take turns."""
    best = {}
    for name, call in calls.items():
        call()
        best[name] = float("inf")
    for _ in range(rounds):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            best[name] = min(best[name], 1e3 * (time.perf_counter() - begin))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", default="4096x4096", help="rows x columns")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    rows, columns = (int(n) for n in args.size.split("x"))
    start(args.threads)
    w = random_weights(rows, columns)
    programs = gather(w, args.threads)
    print(headline(args))
    print(f"{'operation':30} {'libquant ms':>12} {'best peer ms':>13}  {'':14}{'times faster':>12}")
    for operation in programs["libquant"]:
        best = best_times({p: c[operation] for p, c in programs.items() if operation in c}, args.rounds)
        ours = best.pop("libquant")
        if not best:
            print(f"{operation:30} {ours:12.2f}")
            continue
        peer = min(best, key=best.get)
        print(f"{operation:30} {ours:12.2f} {best[peer]:13.2f}  {peer:14}{best[peer] / ours:12.1f}")


if __name__ == "__main__":
    main()
