"""Trains the digit classifier that the firmware example runs, and writes digits.safetensors beside this file.

Data: the 1797 handwritten digits, 8 x 8 pixels of 0 to 16, that scikit-learn carries ("Optical Recognition of
Handwritten Digits", E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, CC BY 4.0). The network: 64 inputs, 64
hidden units with ReLU, 10 outputs, trained by plain gradient descent in numpy. 1497 digits train it, 300 test it; the first
100 of these go into the file.

    python3 train.py        needs numpy, scikit-learn, safetensors
"""

import pathlib

import numpy as np
from safetensors.numpy import save_file
from sklearn.datasets import load_digits

rng = np.random.default_rng(1)
digits = load_digits()
order = rng.permutation(len(digits.target))
x = (digits.data[order] / 16).astype(np.float32)
label = digits.target[order]
train, test = slice(0, 1497), slice(1497, None)

w1 = rng.standard_normal((64, 64)) * np.sqrt(2 / 64)
w2 = rng.standard_normal((10, 64)) * np.sqrt(2 / 64)
b1, b2 = np.zeros(64), np.zeros(10)
params = [w1, b1, w2, b2]
speed = [np.zeros_like(p) for p in params]
one_hot = np.eye(10)

for epoch in range(60):
    rate = 0.05 * (1 - epoch / 60)
    for batch in np.array_split(rng.permutation(1497), 47):
        hidden = np.maximum(x[train][batch] @ w1.T + b1, 0)
        logits = hidden @ w2.T + b2
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        g2 = (p - one_hot[label[train][batch]]) / len(batch)
        g1 = (g2 @ w2) * (hidden > 0)
        gradients = [g1.T @ x[train][batch], g1.sum(0), g2.T @ hidden, g2.sum(0)]
        for value, v, g in zip(params, speed, gradients):
            v *= 0.9
            v -= rate * (g + (1e-4 * value if value.ndim == 2 else 0))
            value += v

hidden = np.maximum(x @ w1.T + b1, 0)
logits = hidden @ w2.T + b2
right = logits.argmax(1) == label
print(f"right: {right[train].mean():.4f} of the training digits, {right[test].mean():.4f} of the others")
print(f"first 100 of the others: {right[test][:100].sum()}")

# What fixed point needs: the ranges of hidden units and outputs over the training digits.
low, high = logits[train].min(), logits[train].max()
y_scale = (high - low) / 255
print(f"fc1: x_scale {1 / 16}, x_zero 0, y_scale {hidden[train].max() / 255:.6g}, y_zero -128")
print(f"fc2: y_scale {y_scale:.6g}, y_zero {round(-128 - low / y_scale)}")

save_file(
    {
        "fc1.weight": w1.astype(np.float32),
        "fc1.bias": b1.astype(np.float32),
        "fc2.weight": w2.astype(np.float32),
        "fc2.bias": b2.astype(np.float32),
        "images": digits.data[order][test][:100].astype(np.uint8),
        "labels": label[test][:100].astype(np.uint8),
    },
    pathlib.Path(__file__).parent / "digits.safetensors",
)
