"""How bench_products.py has other programs multiply by packed weights; it knows nothing of libquant.

A function NAME(w, threads, amx) for each program gives its kernels for the f32 weight w [N, K], and raises ImportError
where the program is not installed. Weights are packed once; a kernel copies what is packed.
"""

import collections
import copy
import ctypes
import importlib.util
import pathlib
import weakref

import numpy as np

# name; jobs: FOUR ... below; x: what the kernel makes of x; nbytes: of a packed weight; build(count, x): calls which
# together do `count` products, each with its own copy of the weight, and what makes an array of a call's result.
Kernel = collections.namedtuple("Kernel", "name jobs x nbytes build")
FOUR, EIGHT, INTEGER = "4 bits", "8 bits", "int8 x int8"


def torch_kernels(w, threads, amx):
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    n, k = w.shape
    dense, ops = torch.from_numpy(w), torch.ops.aten

    def kernel(name, jobs, x_type, packed, product):
        def build(count, x):
            x = torch.from_numpy(x).to(x_type)
            copies = [packed.clone() for _ in range(count)]
            return [lambda c=c: product(x, c) for c in copies], lambda y: y.float().numpy()

        taken = {torch.float32: "f32", torch.bfloat16: "bf16"}[x_type]
        taken = "int8" if INTEGER in jobs else taken
        return Kernel(f"torch {name}", jobs, taken, packed.numel() * packed.element_size(), build)

    def dynamic(x, packed):
        s = x.abs().amax(1, keepdim=True) / 127
        return ops._int_mm((x / s).round().to(torch.int8), packed.t()).float() * s * scale

    half, f32 = torch.bfloat16, torch.float32
    scale = dense.abs().amax(1) / 127
    int8, half_scale = (dense / scale[:, None]).round().to(torch.int8), scale.to(half)
    kernels = [
        kernel("dense f32", (FOUR, EIGHT), f32, dense, torch.nn.functional.linear),
        kernel("dense bf16", (FOUR, EIGHT), half, dense.to(half), torch.nn.functional.linear),
        kernel("int8 weights", (EIGHT,), half, int8, lambda x, p: ops._weight_int8pack_mm(x, p, half_scale)),
        kernel("dynamic int8", (INTEGER,), f32, int8, dynamic),
    ]
    if k % 128 == 0 and n % 16 == 0 and hasattr(ops, "_convert_weight_to_int4pack_for_cpu"):
        codes, scales = blocks(w, 4, 128)
        four = ops._convert_weight_to_int4pack_for_cpu(torch.from_numpy(codes.reshape(n, k).astype(np.int32)), 1)
        scales = torch.from_numpy(np.stack([scales.T, 0 * scales.T], -1)).to(half).contiguous()
        four_mm = ops._weight_int4pack_mm_for_cpu
        kernels.append(kernel("int4 g128", (FOUR,), half, four, lambda x, p: four_mm(x, p, 128, scales)))
    return kernels


def bitsandbytes_kernels(w, threads, amx):
    import torch
    import bitsandbytes
    import bitsandbytes.functional as f

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    dense = torch.from_numpy(w)

    def kernel(name, x_type, q, state):
        def build(count, x):
            x = torch.from_numpy(x).to(x_type)
            copies = [q.clone() for _ in range(count)]
            calls = [lambda c=c: bitsandbytes.matmul_4bit(x, c, quant_state=state) for c in copies]
            return calls, lambda y: y.float().numpy()

        taken = "f32" if x_type == torch.float32 else "bf16"
        size = q.numel() + state.absmax.numel() * state.absmax.element_size()
        return Kernel(f"bitsandbytes {name}", (FOUR,), taken, size, build)

    q, state = f.quantize_4bit(dense, quant_type="nf4")
    half_q, half_state = f.quantize_4bit(dense.bfloat16(), quant_type="nf4")
    kernels = [
        kernel("nf4 f32", torch.float32, q, state),
        kernel("nf4 bf16", torch.bfloat16, half_q, half_state),
    ]
    if f.has_avx512bf16() and w.shape[0] % 32 == 0:
        packed = f._convert_weight_packed_for_cpu(half_q.clone(), copy.copy(half_state))
        kernels.append(kernel("nf4 packed bf16", torch.bfloat16, *packed))

    def llm_int8(count, x):
        x, stats = torch.from_numpy(x).half(), dense.abs().amax(1)
        codes = f.int8_vectorwise_quant(dense.half())[0]
        product = torch.ops.bitsandbytes.int8_scaled_mm

        def call(packed):
            a, a_stats, _ = f.int8_vectorwise_quant(x)
            return product(a, packed, a_stats, stats, bias=None, dtype=torch.float16)

        return [lambda c=codes.clone(): call(c) for _ in range(count)], lambda y: y.float().numpy()

    return kernels + [Kernel("bitsandbytes LLM.int8", (INTEGER,), "int8", w.size, llm_int8)]


# ---- onnxruntime: its models are written byte by byte, so that package onnx is not needed ----


def blocks(w, bits, size):
    """Codes [N, K / size, size] with zero point 2^(bits - 1), and scales [N, K / size]."""
    parts, most = w.reshape(w.shape[0], -1, size), 2 ** (bits - 1)
    scales = np.maximum(np.abs(parts).max(2), 1e-12) / (most - 1)
    return (np.clip(np.rint(parts / scales[..., None]), -most, most - 1) + most).astype(np.uint8), scales


def field(number, value):
    """A field of a protocol buffer: an integer, or bytes behind their length."""

    def varint(v):
        low = bytes([v & 127 | (128 if v > 127 else 0)])
        return low + varint(v >> 7) if v > 127 else low

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def onnx_model(operator, attributes, weights, m, n, k):
    """`weights`: for each product of x [m, k] the operator's other inputs, in order."""
    types = {"float32": 1, "uint8": 2, "int8": 3}

    def value(name, *shape):
        dims = b"".join(field(1, field(1, d)) for d in shape)
        return field(1, name) + field(2, field(1, field(1, types["float32"]) + field(2, dims)))

    settings = b"".join(field(5, field(1, a) + field(3, v) + field(20, 2)) for a, v in attributes.items())
    graph = [field(2, "products"), field(11, value("x", m, k))]
    for i, arrays in enumerate(weights):
        node = field(1, "x")
        for j, a in enumerate(arrays):
            dims = b"".join(field(1, d) for d in a.shape)
            data = field(2, types[a.dtype.name]) + field(8, f"w{i}.{j}") + field(9, a.tobytes())
            graph.append(field(5, dims + data))
            node += field(1, f"w{i}.{j}")
        node += field(2, f"y{i}") + field(4, operator) + settings + field(7, "com.microsoft")
        graph += [field(1, node), field(12, value(f"y{i}", m, n))]
    versions = field(8, field(1, "") + field(2, 17)) + field(8, field(1, "com.microsoft") + field(2, 1))
    return field(1, 8) + field(7, b"".join(graph)) + versions


def onnxruntime_kernels(w, threads, amx):
    import onnxruntime as ort

    n, k = w.shape

    def kernel(name, job, taken, operator, attributes, codes, scales):
        def build(count, x):
            options = ort.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.log_severity_level = 4
            weights = [(np.roll(codes, i, 0), scales) for i in range(count)]  # equal ones would become one
            model = onnx_model(operator, attributes, weights, len(x), n, k)
            session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            return [lambda: session.run(None, {"x": x})], lambda results: results[0]

        return Kernel(f"onnxruntime {name}", (job,), taken, codes.nbytes + scales.nbytes, build)

    kernels = []
    for bits, size in ((4, 32), (4, 128), (8, 128)):
        if k % size:
            continue
        codes, scales = blocks(w, bits, size)
        if bits == 4:
            codes = codes[..., 0::2] | codes[..., 1::2] << 4
        for level, taken in ((0, "f32"), (4, "int8")):
            if bits == 8 and level == 0:  # ten times slower than the dense product
                continue
            attributes = {"K": k, "N": n, "bits": bits, "block_size": size, "accuracy_level": level}
            name = f"{bits} bits b{size} level {level}"
            job = FOUR if bits == 4 else EIGHT
            kernels.append(kernel(name, job, taken, "MatMulNBits", attributes, codes, scales))
    codes, scales = blocks(w, 8, k)
    codes = np.ascontiguousarray((codes.reshape(n, k) ^ 128).view(np.int8).T)
    name = "DynamicQuantizeMatMul"
    return kernels + [kernel(name, INTEGER, "int8", name, {}, codes, scales.reshape(n))]


# ---- ggml, by the libraries that llama_cpp brings along ----


class Ggml:
    """The functions of ggml by their names without ggml_, its buffer types, and its CPU backend."""

    def __init__(self, folder, threads):
        def load(name):
            found = sorted(p for end in ("so*", "dylib") for p in folder.rglob(f"lib{name}.{end}"))
            if not found:
                raise ImportError(f"no lib{name} in {folder}")
            return ctypes.CDLL(str(found[0]), ctypes.RTLD_GLOBAL)

        self.libraries = load("ggml-base"), load("ggml-cpu")
        log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
        self.silence = log(lambda *_: None)
        self("log_set", None, self.silence, None)
        registry = self("backend_cpu_reg", ctypes.c_void_p)
        self.device = self("backend_reg_dev_get", ctypes.c_void_p, registry, 0)
        self.buffers = {"plain": self("backend_cpu_buffer_type", ctypes.c_void_p)}
        more = self("backend_reg_get_proc_address", ctypes.c_void_p, registry, b"ggml_backend_dev_get_extra_bufts")
        if more:
            kind = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)
            for buffer in iter(kind(more)(self.device) or []):
                if buffer is None:
                    break
                self.buffers[self("backend_buft_name", ctypes.c_char_p, buffer).decode()] = buffer
        self.backend = self("backend_cpu_init", ctypes.c_void_p)
        self("backend_cpu_set_n_threads", None, self.backend, threads)

    def __call__(self, name, result, *arguments):
        """Integers go as 64 bits, which narrower parameters take the low end of; addresses are integers too."""
        name = f"ggml_{name}"
        function = next(getattr(lib, name) for lib in self.libraries if hasattr(lib, name))
        function.restype = result
        return function(*(ctypes.c_int64(a) if isinstance(a, int) else a for a in arguments))

    def context(self, size):
        class Parameters(ctypes.Structure):
            _fields_ = [("size", ctypes.c_size_t), ("memory", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]

        return self("init", ctypes.c_void_p, Parameters(size, None, True))

    def products(self, buffer, number, packed, shape, count, x):
        """The graph of `count` products as one call, and a function that fetches the first."""
        pointer, (n, k) = ctypes.c_void_p, shape
        context = self.context((count + 1) * 2048 + (4 << 20)), self.context((count + 1) * 2048)
        weights = [self("new_tensor_2d", pointer, context[1], number, k, n) for _ in range(count)]
        held = [self("backend_alloc_ctx_tensors_from_buft", pointer, context[1], buffer)]
        inputs = self("new_tensor_2d", pointer, context[0], 0, k, len(x))
        results = [self("mul_mat", pointer, context[0], a, inputs) for a in weights]
        if not held[0] or not self("backend_dev_supports_op", ctypes.c_bool, self.device, results[0]):
            raise NotImplementedError("no such product in this buffer")
        for a in weights:
            self("backend_tensor_set", None, a, packed.ctypes.data, 0, packed.nbytes)
        graph = self("new_graph", pointer, context[0])
        for y in results:
            self("build_forward_expand", None, graph, y)
        held.append(self("backend_alloc_ctx_tensors", pointer, context[0], self.backend))
        self("backend_tensor_set", None, inputs, x.ctypes.data, 0, x.nbytes)

        def run():
            if self("backend_graph_compute", ctypes.c_int, self.backend, graph):
                raise RuntimeError("the graph failed")

        def fetch(_):
            y = np.empty((len(x), n), np.float32)
            self("backend_tensor_get", None, results[0], y.ctypes.data, 0, y.nbytes)
            return y

        def free():
            for b in held:
                self("backend_buffer_free", None, b)
            for c in context:
                self("free", None, c)

        weakref.finalize(run, free).atexit = False
        return [run], fetch


def ggml_kernels(w, threads, amx):
    found = importlib.util.find_spec("llama_cpp")
    if found is None:
        raise ImportError("No module named 'llama_cpp'")
    ggml, kernels = Ggml(pathlib.Path(found.origin).parent, threads), []
    n, k = w.shape
    for name, number, unit, job in (("Q4_0", 2, 32, FOUR), ("Q4_K", 12, 256, FOUR), ("Q8_0", 8, 32, EIGHT)):
        if k % unit:
            continue
        packed = np.empty(n * ggml("row_size", ctypes.c_size_t, number, k), np.uint8)
        ggml("quantize_chunk", ctypes.c_size_t, number, w.ctypes.data, packed.ctypes.data, 0, n, k, None)
        for kind, buffer in ggml.buffers.items():
            if kind == "AMX" and not amx:
                continue

            def build(count, x, buffer=buffer, number=number, packed=packed):
                return ggml.products(buffer, number, packed, w.shape, count, x)

            kind = kind.lower().replace("cpu_", "")
            kernels.append(Kernel(f"ggml {name} {kind}", (job,), "int8", packed.nbytes, build))
    return kernels


PROGRAMS = {
    "torch": torch_kernels,
    "bitsandbytes": bitsandbytes_kernels,
    "onnxruntime": onnxruntime_kernels,
    "ggml": ggml_kernels,
}
