#!/usr/bin/env python3
"""Quantizes a matrix by every method and prints what that costs and loses; then stores and loads one of them.

Needs numpy and the shared library (`make`). Run it from anywhere: python3 examples/python/quantize_tensor.py
"""

import numpy as np

import libquant as lq


def main():
    rng = np.random.default_rng(1)
    w = rng.standard_normal((512, 1024), dtype=np.float32) * np.float32(0.02)
    x = rng.standard_normal((3, 1024), dtype=np.float32)
    exact = x.astype(np.float64) @ w.T.astype(np.float64)

    print(f"libquant {lq.version()}, kernels: {lq.cpu_features()}")
    print("method     nested  bits per weight  SQNR of weights  error of a product")
    for method in ("nf4", "fp4", "int8", "dynamic8", "affine"):
        for nested in (False, True):
            if nested and method == "int8":
                continue  # its scales belong to rows, not to blocks
            t = lq.quantize(w, method, nested=nested)
            error = np.linalg.norm(t.matmul(x) - exact) / np.linalg.norm(exact)
            sqnr = lq.compare(w, t)["sqnr_db"]
            print(
                f"{method:10} {'yes' if nested else 'no':6} {t.bits_per_weight:16.3f} {sqnr:13.2f} dB {error:19.5f}"
            )

    # The arrays that a checkpoint in the format of bitsandbytes holds for this weight, and the way back.
    t = lq.quantize(w, "nf4", nested=True)
    planes = t.planes("bitsandbytes")
    print()
    for name, array in planes.items():
        print(f"{name:40} {array.dtype!s:8} {list(array.shape)}")
    again = lq.from_planes("bitsandbytes", planes)
    assert again.shape == w.shape
    assert np.array_equal(again.dequantize(), t.dequantize())


if __name__ == "__main__":
    main()
