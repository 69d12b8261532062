#!/usr/bin/env python3
"""Quantizes a layer with GPTQ and to the nearest, and prints what each does to the layer's output.

Needs numpy and the shared library (`make`). Run it from anywhere: python3 examples/python/calibrate_layer.py
"""

import numpy as np

import libquant as lq


def inputs(rng, rows, columns):
    """Inputs as layers have them: correlated, and of very different size."""
    mixed = rng.standard_normal((rows, columns // 4)) @ rng.standard_normal((columns // 4, columns))
    noise = 4.0 * rng.standard_normal((rows, columns))
    return ((mixed + noise) * np.exp(rng.standard_normal(columns))).astype(np.float32)


def output_error(t, w, x):
    exact = x.astype(np.float64) @ w.T.astype(np.float64)
    return np.linalg.norm(t.matmul(x) - exact) / np.linalg.norm(exact)


def main():
    rng = np.random.default_rng(3)
    w = rng.standard_normal((256, 512), dtype=np.float32) * np.float32(0.02)
    x = inputs(rng, 3072, 512)
    seen, fresh = x[:2048], x[2048:]

    print("                     error of the output, inputs not seen before")
    print("codes      bits  to the nearest      gptq   by its own report")
    for storage, bits in (("affine", 4), ("affine", 3), ("affine", 2), ("nf4", 4)):
        c = lq.Calibrator(512, storage=storage, bits=bits)
        for batch in np.split(seen, 8):
            c.observe(batch)
        chosen, nearest = c.quantize(w), lq.quantize(w, storage, bits=bits)
        errors = [output_error(t, w, fresh) for t in (nearest, chosen)]
        print(
            f"{storage:10} {bits:4} {errors[0]:15.4f} {errors[1]:9.4f} {c.report()['relative_error']:19.4f}"
        )
        assert errors[1] < errors[0]

    # Two processes that saw a half each; what they saw travels as bytes.
    halves = [lq.Calibrator(512, bits=4) for _ in range(2)]
    for c, part in zip(halves, np.split(seen, 2)):
        c.observe(part)
    whole = lq.Calibrator(512, bits=4)
    for c in halves:
        part = lq.Calibrator(512, bits=4)
        part.load(c.save())
        whole.merge(part)
    t = whole.quantize(w)
    print(f"merged from two halves: {output_error(t, w, fresh):.4f}")
    print(", ".join(f"{name} {list(a.shape)}" for name, a in t.planes("gptq_v2").items()))


if __name__ == "__main__":
    main()
