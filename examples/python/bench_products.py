#!/usr/bin/env python3
"""Products y = x W^T on packed weights with libquant and with its peers, in one run on one machine.

    pip install numpy torch bitsandbytes onnxruntime llama_cpp_python
    make && taskset -c 1 python3 examples/python/bench_products.py

A peer that is not installed is left out. libquant meets the peers one after another: what is compared takes turns, so
that what else the machine does hits both, the fastest round counts, and a ratio is that of one such meeting. A model
reads each weight once a token, so that with few rows of x a round goes over as many copies of the weight as make
up --footprint MiB. The best peer is the fastest of all that do the same job, dense products of the weights before
quantization included. Many round x to bf16 or int8 for speed; the last columns have the best of those that take x as
it is, which "exact" is to be compared with. Below 1024 x 1024 the 20 microseconds of a call from Python count.
"""

import argparse
import sys

import numpy as np

from bench_peers import best_times, headline, lq, random_weights, start
from product_peers import EIGHT, FOUR, INTEGER, PROGRAMS, Kernel

MOST_COPIES = 128  # small weights stay in the caches of a whole model, too
WRONG = 0.3  # relative error of a product that no rounding explains


def libquant_kernels(w):
    """The products of this library; one set of copies serves all kernels of a method."""
    kept = {}

    def copies_of(count, method):
        if len(kept.get(method, [])) != count:
            kept[method] = [lq.quantize(w, method) for _ in range(count)]
        return kept[method]

    def floats(method, mode):
        def build(count, x):
            return [lambda t=t: t.matmul(x, mode=mode) for t in copies_of(count, method)], np.asarray

        return build

    def integers(count, x):
        return [lambda t=t: t.matmul(lq.quantize(x, "int8")) for t in copies_of(count, "int8")], np.asarray

    kernels = []
    for name, method, job in (("nf4", "nf4", FOUR), ("affine g128", "affine", FOUR), ("int8", "int8", EIGHT)):
        size = lq.quantize(w, method).nbytes
        kernels.append(Kernel(f"{name} exact", (job,), "f32", size, floats(method, "exact")))
        kernels.append(Kernel(f"{name} fast", (job,), "8, 16 bits", size, floats(method, "fast")))
    kernels.append(Kernel("int8 x int8", (INTEGER,), "int8", size, integers))
    return kernels


def peer_kernels(w, args):
    kernels = []
    for name, make in PROGRAMS.items():
        try:
            kernels += make(w, args.threads, args.amx)
        except ImportError as e:
            print(f"{name} is left out: {e}", file=sys.stderr)
    return kernels


class Meeting:
    """One kernel made ready for x: `run` does a round of `count` products."""

    def __init__(self, kernel, x, w, footprint):
        self.count = min(max(1, round(footprint * 2**20 / kernel.nbytes)), MOST_COPIES)
        self.calls, to_array = kernel.build(self.count, x)
        y, exact = np.asarray(to_array(self.calls[0]()), np.float32)[:8], x[:8] @ w.T
        self.error = float(np.linalg.norm(y - exact) / np.linalg.norm(exact))
        if not self.error < WRONG:
            raise ValueError(f"the product is off by {self.error:.2g}")

    def run(self):
        for call in self.calls:
            call()


def rounds_of(meetings, args):
    """{kernel: ms of a product}."""
    times = best_times({k: r.run for k, r in meetings.items()}, args.rounds)
    return {k: t / meetings[k].count for k, t in times.items()}


def measure(own, peers, w, m, args):
    """{own kernel: [(its ms, peer's ms, peer)]}, and {kernel: (ms, error)} of all kernels, for m rows of x."""
    x = np.random.default_rng(m).standard_normal((m, w.shape[1]), dtype=np.float32)
    footprint = args.footprint if args.footprint is not None else 512 if m <= 4 else 128 if m <= 16 else 0
    ready = {k: Meeting(k, x, w, footprint) for k in own}
    pairs, alone = {k: [] for k in ready}, {}
    for peer in peers[:]:
        here = {k: r for k, r in ready.items() if set(k.jobs) & set(peer.jobs)}
        try:
            here[peer] = Meeting(peer, x, w, footprint)
            times = rounds_of(here, args)
        except Exception as e:  # whatever another program raises is no reason to end
            text = f"M = {m}: {peer.name} is left out: {type(e).__name__} {e}"
            print(text.split("\n")[0][:160], file=sys.stderr)
            if isinstance(e, NotImplementedError):
                peers.remove(peer)
            continue
        alone[peer] = (times[peer], here[peer].error)
        for k in set(here) - {peer}:
            pairs[k].append((times[k], times[peer], peer))
    for k, r in ready.items():
        best = min((p[0] for p in pairs[k]), default=None)
        alone[k] = (rounds_of({k: r}, args)[k] if best is None else best, r.error)
    return pairs, alone


def line(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def number(ms):
    return f"{ms:.3g}" if ms < 100 else f"{ms:.0f}"


def fastest(meetings):
    """That with the fastest peer, as cells: ms of libquant, ms of the peer, its name, times faster."""
    if not meetings:
        return "", "", "", ""
    ours, theirs, peer = min(meetings, key=lambda p: p[1])
    return number(ours), number(theirs), peer.name, f"{theirs / ours:.2g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", default="4096x4096", help="N x K, rows and columns of W")
    parser.add_argument("--rows", default="1,4,16,64,512", help="M, rows of x, separated by commas")
    parser.add_argument("--footprint", type=float, help="MiB; default: 512 to M = 4, 128 to M = 16, then one copy")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    help_amx = "tiles of AMX in libquant and ggml (some builds crash there)"
    parser.add_argument("--amx", action="store_true", help=help_amx)
    args = parser.parse_args()
    start(args.threads)
    if args.amx:
        lq.request_cpu("amx")
    w = random_weights(*(int(n) for n in args.size.split("x")))
    own, peers = libquant_kernels(w), peer_kernels(w, args)
    print(headline(args) + "\n")
    line("M", "libquant", "ms", "best peer ms", "", "times faster", "x as it is: ms", "", "times faster")
    line(*["---"] * 9)
    columns = {}
    for m in (int(n) for n in args.rows.split(",")):
        pairs, columns[m] = measure(own, peers, w, m, args)
        for k in (k for k in own if k in columns[m]):
            ours, *best = fastest(pairs[k])
            _, *best_exact = fastest([p for p in pairs[k] if p[2].x == "f32"])
            line(str(m), k.name, ours or number(columns[m][k][0]), *best, *best_exact)
    print("\nEvery kernel, ms; error: of its product, relative to that of the weights before quantization.\n")
    line("kernel", "x taken as", "error", *(f"M = {m}" for m in columns))
    line(*["---"] * (3 + len(columns)))
    for k in own + peers:
        seen = [column[k] for column in columns.values() if k in column]
        name = f"libquant {k.name}" if k in own else k.name
        if seen:
            cells = (number(column[k][0]) if k in column else "" for column in columns.values())
            line(name, k.x, f"{max(error for _, error in seen):.4f}", *cells)


if __name__ == "__main__":
    main()
