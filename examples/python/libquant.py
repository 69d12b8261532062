"""libquant from Python: quantized neural-network weights, by ctypes and numpy alone.

    import libquant as lq

    t = lq.quantize(w, "nf4", nested=True)      # w: numpy float32, float16, or uint16 bits of bf16
    t.bits_per_weight                           # 4.13
    w2 = t.dequantize()                         # numpy float32
    y = t.matmul(x)                             # x @ w2.T; mode="fast" for fixed point or 8-bit integers
    x = t.matmul(y, transpose=True)             # y @ w2, for gradients
    t.planes("bitsandbytes")                    # {"weight": ..., "weight.absmax": ..., ...}
    t = lq.from_planes("bitsandbytes", arrays)  # and back

    t = lq.quantize(w, "affine", bits=4, group_size=128, sym=False)
    t.planes("gptq_v2")                         # {"qweight": ..., "qzeros": ..., "scales": ..., "g_idx": ...}

    c = lq.Calibrator(w.shape[1], bits=4)       # GPTQ: codes that keep the output of a layer
    c.observe(x)                                # its inputs, as often as there are any
    t = c.quantize(w)
    c.report()["relative_error"]                # of the output

Arrays are not copied on the way in where they are C-contiguous, nor on the way out: planes() gives views of the
tensor's own memory, but for the layouts of GPTQ and AWQ, which keep codes in another order. What numpy has no type
for, bf16, travels as uint16 bits and is named by dtype="bf16".

This one file is the whole binding: copy it where you need it. It looks for the shared library in the environment
variable LIBQUANT, then in build/ of the repository that this file lies in, then where the system keeps libraries.
"""

import ctypes
import ctypes.util
import operator
import os
import pathlib
import sys
import weakref

import numpy as np

__all__ = [
    "quantize",
    "from_planes",
    "compare",
    "Calibrator",
    "Tensor",
    "Error",
    "set_threads",
    "cpu_features",
    "limit_cpu",
    "request_cpu",
    "methods",
    "version",
    "build_info",
]

# ---- the library's types and functions, as libquant.h declares them ----

_i32, _u32, _i64, _u64 = ctypes.c_int32, ctypes.c_uint32, ctypes.c_int64, ctypes.c_uint64
_f32, _f64, _str, _ptr, _size = ctypes.c_float, ctypes.c_double, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t
_POINTER = ctypes.POINTER

# ---- written by tests/binding_table.py from libquant.h, not by hand ----
_E_ARGUMENT = -10
_E_SHAPE = -11
_E_OVERFLOW = -12
_E_MEMORY = -20
_E_NONFINITE = -30
_E_LAYOUT = -31
_E_SINGULAR = -32
_E_UNSUPPORTED = -40
_E_STATE = -50
_E_VERSION = -60
_E_INTERNAL = -90
_F32 = 1
_F16 = 2
_BF16 = 3
_I8 = 4
_U8 = 5
_I32 = 6
_I64 = 7
_LAYOUT_NATIVE = 1
_LAYOUT_BITSANDBYTES = 2
_LAYOUT_GPTQ = 3
_LAYOUT_GPTQ_V2 = 4
_LAYOUT_AWQ = 5
_LAYOUT_GGML = 6
_METHOD_BLOCKWISE = 1
_METHOD_ROWWISE = 2
_METHOD_GROUPWISE = 4
_METHOD_CALIBRATED = 8
_METHOD_DECODES = 16


class _Alloc(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("flags", _u32),
        ("user", _ptr),
        ("alloc", ctypes.CFUNCTYPE(_ptr, _ptr, _size, _size)),
        ("release", ctypes.CFUNCTYPE(None, _ptr, _ptr, _size, _size)),
    ]


_TaskFn = ctypes.CFUNCTYPE(None, _ptr, _u32)
_ParallelFn = ctypes.CFUNCTYPE(None, _ptr, _u32, _TaskFn, _ptr)


class _Plane(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("dtype", _i32),
        ("ndim", _u32),
        ("reserved", _u32),
        ("dims", _u64 * 8),
        ("bytes", _u64),
        ("name", _str),
        ("data", _ptr),
    ]


class _Report(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("method", _i32),
        ("elements", _u64),
        ("nonfinite", _u64),
        ("first_nonfinite", _u64),
        ("outlier_columns", _u64),
        ("rows_observed", _u64),
        ("dead_columns", _u64),
        ("damping", _f64),
        ("error", _f64),
        ("error_nearest", _f64),
        ("energy", _f64),
    ]


class _Metrics(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("reserved", _u32),
        ("relative_error", _f64),
        ("sqnr_db", _f64),
        ("cosine", _f64),
        ("max_error", _f64),
        ("max_row", _u64),
        ("max_column", _u64),
        ("sum_a2", _f64),
        ("sum_b2", _f64),
        ("sum_d2", _f64),
        ("sum_ab", _f64),
    ]


class _MethodInfo(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("id", _i32),
        ("flags", _u32),
        ("code_bits", _u32),
        ("default_block_size", _u32),
        ("reserved", _u32),
        ("name", _str),
        ("text", _str),
    ]


class _GgmlType(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("type", _i32),
        ("elements", _u32),
        ("bytes", _u32),
        ("dtype", _i32),
        ("decodes", _i32),
        ("name", _str),
    ]


class _KeyInfo(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("key", _i32),
        ("type", _i32),
        ("reserved", _u32),
        ("i64_min", _i64),
        ("i64_max", _i64),
        ("i64_default", _i64),
        ("f64_min", _f64),
        ("f64_max", _f64),
        ("f64_default", _f64),
        ("name", _str),
        ("choices", _str),
        ("text", _str),
        ("unused", _ptr),
    ]


class _Static(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("method", _i32),
        ("rows", _u32),
        ("columns", _u32),
        ("bits", _u32),
        ("block", _u32),
        ("scale_dtype", _i32),
        ("nested_block", _u32),
        ("nested_offset", _f32),
        ("codes_bytes", _u32),
        ("scales_bytes", _u32),
        ("zeros_bytes", _u32),
        ("nested_scales_bytes", _u32),
        ("reserved", _u32),
        ("codes", _ptr),
        ("scales", _ptr),
        ("zeros", _ptr),
        ("codebook", _ptr),
        ("nested_scales", _ptr),
        ("nested_codebook", _ptr),
        ("bias", _ptr),
    ]


class _StaticW8a8(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("rounding", _i32),
        ("rows", _u32),
        ("columns", _u32),
        ("y_zero", _i32),
        ("y_least", _i32),
        ("y_most", _i32),
        ("x_zero", _i32),
        ("x_scale", _f32),
        ("y_scale", _f32),
        ("codes", _ptr),
        ("bias", _ptr),
        ("multiplier", _ptr),
        ("shift", _ptr),
    ]


# name, result, arguments
_FUNCTIONS = [
    ("lq_version_number", _i32, []),
    ("lq_version_string", _str, []),
    ("lq_build_info", _str, []),
    ("lq_status_string", _str, [_i32]),
    ("lq_cpu_features", _str, []),
    ("lq_cpu_limit", _i32, [_str]),
    ("lq_cpu_request", _i32, [_str]),
    ("lq_method_count", _u32, []),
    ("lq_method_name", _str, [_i32]),
    ("lq_method_from_name", _i32, [_str]),
    ("lq_method_info_at", _i32, [_u32, _POINTER(_MethodInfo)]),
    ("lq_ggml_type_info", _i32, [_i32, _POINTER(_GgmlType)]),
    ("lq_config_create", _i32, [_POINTER(_Alloc), _POINTER(_ptr)]),
    ("lq_config_clone", _i32, [_ptr, _POINTER(_ptr)]),
    ("lq_config_destroy", None, [_ptr]),
    ("lq_config_set_i64", _i32, [_ptr, _i32, _i64]),
    ("lq_config_get_i64", _i32, [_ptr, _i32, _POINTER(_i64)]),
    ("lq_config_set_f64", _i32, [_ptr, _i32, _f64]),
    ("lq_config_get_f64", _i32, [_ptr, _i32, _POINTER(_f64)]),
    ("lq_config_set_text", _i32, [_ptr, _str, _str]),
    ("lq_config_key_info", _i32, [_u32, _POINTER(_KeyInfo)]),
    ("lq_config_set_parallel", _i32, [_ptr, _ParallelFn, _ptr]),
    ("lq_config_error_text", _str, [_ptr]),
    ("lq_tensor_create", _i32, [_POINTER(_Alloc), _i32, _u32, _POINTER(_u64), _POINTER(_ptr)]),
    (
        "lq_tensor_wrap",
        _i32,
        [_POINTER(_Alloc), _i32, _u32, _POINTER(_u64), _ptr, _size, _POINTER(_ptr)],
    ),
    (
        "lq_tensor_from_planes",
        _i32,
        [_ptr, _i32, _POINTER(_Plane), _u32, _u32, _POINTER(_u64), _i32, _POINTER(_ptr)],
    ),
    ("lq_tensor_clone", _i32, [_POINTER(_Alloc), _ptr, _POINTER(_ptr)]),
    ("lq_tensor_destroy", None, [_ptr]),
    ("lq_tensor_dtype", _i32, [_ptr]),
    ("lq_tensor_ndim", _u32, [_ptr]),
    ("lq_tensor_dim", _u64, [_ptr, _u32]),
    ("lq_tensor_nbytes", _u64, [_ptr]),
    ("lq_tensor_data", _ptr, [_ptr]),
    ("lq_tensor_method", _i32, [_ptr]),
    ("lq_tensor_get_i64", _i32, [_ptr, _i32, _POINTER(_i64)]),
    ("lq_tensor_bits_per_weight", _f64, [_ptr]),
    ("lq_tensor_plane_count", _u32, [_ptr, _i32]),
    ("lq_tensor_plane", _i32, [_ptr, _i32, _u32, _POINTER(_Plane)]),
    ("lq_tensor_convert", _i32, [_POINTER(_Alloc), _ptr, _i32, _POINTER(_ptr)]),
    ("lq_tensor_obstacle", _str, [_ptr, _i32]),
    ("lq_quantizer_create", _i32, [_ptr, _POINTER(_ptr)]),
    ("lq_quantizer_destroy", None, [_ptr]),
    ("lq_quantizer_run", _i32, [_ptr, _ptr, _POINTER(_ptr)]),
    ("lq_quantizer_observe", _i32, [_ptr, _u64, _u64, _i32, _ptr, _u64]),
    ("lq_quantizer_observe_pair", _i32, [_ptr, _u64, _u64, _i32, _ptr, _u64, _ptr, _u64]),
    ("lq_quantizer_reset", None, [_ptr]),
    ("lq_quantizer_save_bytes", _u64, [_ptr]),
    ("lq_quantizer_save", _i32, [_ptr, _ptr, _size]),
    ("lq_quantizer_load", _i32, [_ptr, _ptr, _size]),
    ("lq_quantizer_merge", _i32, [_ptr, _ptr]),
    ("lq_quantizer_report", _i32, [_ptr, _POINTER(_Report)]),
    ("lq_quantizer_error_text", _str, [_ptr]),
    ("lq_dequantize", _i32, [_ptr, _i32, _ptr, _size, _ptr]),
    ("lq_dequantize_rows", _i32, [_ptr, _u64, _u64, _i32, _ptr, _size, _ptr]),
    ("lq_matmul", _i32, [_ptr, _u64, _i32, _ptr, _u64, _ptr, _i32, _ptr, _u64, _ptr]),
    (
        "lq_matmul_rows",
        _i32,
        [_ptr, _u64, _u64, _u64, _i32, _ptr, _u64, _ptr, _i32, _ptr, _u64, _ptr],
    ),
    ("lq_matmul_transposed", _i32, [_ptr, _u64, _i32, _ptr, _u64, _i32, _ptr, _u64, _ptr]),
    ("lq_matmul_int8", _i32, [_ptr, _ptr, _ptr, _i32, _ptr, _u64, _ptr]),
    ("lq_compare", _i32, [_ptr, _ptr, _POINTER(_Metrics), _ptr]),
    ("lq_static_check", _i32, [_POINTER(_Static)]),
    ("lq_static_decode", _i32, [_POINTER(_Static), _u32, _u32, _ptr]),
    ("lq_static_matvec", _i32, [_POINTER(_Static), _ptr, _ptr]),
    ("lq_requantize", _i32, [_i32, _i32, _i32, _i32]),
    ("lq_static_check_w8a8", _i32, [_POINTER(_StaticW8a8)]),
    ("lq_static_matvec_w8a8", _i32, [_POINTER(_StaticW8a8), _ptr, _ptr]),
    ("lq_static_from_tensor", _i32, [_ptr, _POINTER(_Static)]),
    ("lq_requantize_factor", _i32, [_f64, _ptr, _ptr]),
    (
        "lq_static_w8a8_from_tensor",
        _i32,
        [_ptr, _ptr, _ptr, _ptr, _ptr, _ptr, _POINTER(_StaticW8a8)],
    ),
]
# ---- end of what is written ----

_OLDEST = 100  # version 0.1.0, as lq_version_number counts

# dtype id: (name, other name, numpy type)
_DTYPES = {
    _F32: ("f32", "float32", np.float32),
    _F16: ("f16", "float16", np.float16),
    _BF16: ("bf16", "bfloat16", np.uint16),
    _I8: ("i8", "int8", np.int8),
    _U8: ("u8", "uint8", np.uint8),
    _I32: ("i32", "int32", np.int32),
    _I64: ("i64", "int64", np.int64),
}
_DTYPE_IDS = {name: i for i, (short, long, _) in _DTYPES.items() for name in (short, long)}
_LAYOUTS = {
    "native": _LAYOUT_NATIVE,
    "bitsandbytes": _LAYOUT_BITSANDBYTES,
    "gptq": _LAYOUT_GPTQ,
    "gptq_v2": _LAYOUT_GPTQ_V2,
    "awq": _LAYOUT_AWQ,
    "ggml": _LAYOUT_GGML,
}


class Error(Exception):
    """A call of the library failed. `code` is its status (negative, LQ_E_... in libquant.h), str() its text."""

    def __init__(self, code, text=""):
        reason = _lib.lq_status_string(code).decode()
        super().__init__(f"{text} ({reason})" if text else reason)
        self.code = code


def _candidates():
    """Paths to try, most wanted first."""
    if os.environ.get("LIBQUANT"):
        return [os.environ["LIBQUANT"]]
    name = {"darwin": "libquant.dylib", "win32": "quant.dll"}.get(sys.platform, "libquant.so")
    here = pathlib.Path(__file__).resolve()
    paths = [str(here.parents[2] / "build" / name)] if len(here.parents) > 2 else []
    return paths + [p for p in (ctypes.util.find_library("quant"), name) if p]


def _load():
    tried = []
    for path in _candidates():
        try:
            lib = ctypes.CDLL(path)
        except OSError as reason:
            tried.append(f"  {path}: {reason}")
            continue
        for name, result, arguments in _FUNCTIONS:
            try:
                function = getattr(lib, name)
            except AttributeError:
                raise ImportError(
                    f"{path} has no function {name}: it is not libquant, or too old"
                ) from None
            function.restype, function.argtypes = result, arguments
        if lib.lq_version_number() < _OLDEST:
            raise ImportError(
                f"{path} is libquant {lib.lq_version_string().decode()}, too old for this binding"
            )
        return lib
    raise ImportError(
        "cannot load the libquant shared library. Build it with `make`, or set LIBQUANT to its path. "
        "Tried:\n" + "\n".join(tried)
    )


_lib = _load()
_threads = 0  # what set_threads asked for


# ---- small helpers ----


class _Config:
    """A config for the time of one call, with keys given by name; None means the default."""

    def __init__(self, **keys):
        handle = _ptr()
        _check(_lib.lq_config_create(None, ctypes.byref(handle)))
        self.handle = handle.value
        try:
            for name, value in dict(keys, threads=_threads).items():
                if value is None:
                    continue
                value = str(int(value) if isinstance(value, (bool, np.bool_)) else value)
                self.check(_lib.lq_config_set_text(self.handle, name.encode(), value.encode()))
        except BaseException:
            self.close()
            raise

    def check(self, status):
        if status:
            raise Error(status, _lib.lq_config_error_text(self.handle).decode())

    def close(self):
        _lib.lq_config_destroy(self.handle)
        self.handle = None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


class _Quantizer:
    """A quantizer with keys given by name; None means the default."""

    def __init__(self, **keys):
        handle = _ptr()
        with _Config(**keys) as config:
            config.check(_lib.lq_quantizer_create(config.handle, ctypes.byref(handle)))
        self.handle = handle.value
        weakref.finalize(self, _lib.lq_quantizer_destroy, self.handle).atexit = False

    def check(self, status):
        if status:
            raise Error(status, _lib.lq_quantizer_error_text(self.handle).decode())

    def run(self, dense):
        result = _ptr()
        self.check(_lib.lq_quantizer_run(self.handle, dense._handle, ctypes.byref(result)))
        return Tensor(result.value)


def _check(status, text=""):
    if status:
        raise Error(status, text)


def _dtype_id(dtype):
    """Id of a dtype given as "f32", "float32", or a numpy type (uint16 is not one of them: say "bf16")."""
    name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    if name not in _DTYPE_IDS:
        raise Error(_E_ARGUMENT, f"unknown dtype {name!r}: f32, f16 or bf16")
    return _DTYPE_IDS[name]


def _array(a, dtype=None, what="array", any_strides=False):
    """`a` as a numpy array of native byte order that can be passed on, and its dtype id; copies only if it must."""
    a = np.asarray(a)
    if dtype is None:
        if a.dtype == np.uint16:
            raise Error(
                _E_ARGUMENT,
                f'{what} is uint16: say dtype="bf16" if these are the bits of bf16 values',
            )
        dtype = a.dtype.name
    number = _DTYPE_IDS.get(dtype if isinstance(dtype, str) else np.dtype(dtype).name)
    if number is None or number > _BF16:
        raise Error(
            _E_ARGUMENT,
            f'{what} is {a.dtype}: float32, float16, or uint16 with dtype="bf16" is needed',
        )
    if number == _BF16 and a.dtype.name == "bfloat16":  # the type of package ml_dtypes
        a = a.view(np.uint16)
    if a.dtype != _DTYPES[number][2]:
        raise Error(_E_ARGUMENT, f"{what} is {a.dtype}, which does not hold {_DTYPES[number][0]}")
    if any_strides and a.flags.aligned:
        return a, number
    return np.require(a, requirements=["C", "ALIGNED"]), number


def _matrix(x, columns):
    """x [..., columns] as a matrix, and the elements from row to row; copies only what has other strides."""
    if x.ndim == 0 or x.shape[-1] != columns:
        raise Error(_E_SHAPE, f"x has shape {x.shape}, its last dimension must be {columns}")
    flat = x.reshape(-1 if x.size else int(np.prod(x.shape[:-1], dtype=np.uint64)), columns)
    stride = flat.strides[0] // flat.itemsize if flat.shape[0] > 1 else columns
    if (
        flat.strides[1] != flat.itemsize
        and columns > 1
        or stride < columns
        or flat.strides[0] % flat.itemsize
        and flat.shape[0] > 1
    ):
        flat, stride = np.ascontiguousarray(flat), columns
    return flat, stride


def _empty_aligned(shape, dtype):
    """np.empty at the start of a cache line, where results can be stored past the caches."""
    count = int(np.prod(shape, dtype=np.uint64)) * np.dtype(dtype).itemsize
    room = np.empty(count + 64, np.uint8)
    skip = -room.ctypes.data % 64
    return room[skip : skip + count].view(dtype).reshape(shape)


def _dims(shape):
    return (_u64 * max(len(shape), 1))(*shape)


def _wrap(a, number):
    """A dense tensor over the memory of the array `a`, which it keeps."""
    handle = _ptr()
    _check(
        _lib.lq_tensor_wrap(
            None, number, a.ndim, _dims(a.shape), a.ctypes.data, a.nbytes, ctypes.byref(handle)
        )
    )
    return Tensor(handle.value, a)


class _Memory:
    """Memory of a tensor in the form that numpy takes arrays from; keeps the tensor alive."""

    def __init__(self, owner, address, dtype, shape):
        self.owner = owner
        self.__array_interface__ = {
            "version": 3,
            "typestr": np.dtype(dtype).str,
            "shape": shape,
            "data": (address, True),
        }


# ---- tensors ----


class Tensor:
    """A matrix of weights, quantized or dense. It never changes. Made by quantize() and from_planes()."""

    def __init__(self, handle, *keep):
        self._handle = handle
        self._keep = keep  # arrays whose memory the tensor uses
        weakref.finalize(self, _lib.lq_tensor_destroy, handle).atexit = False

    def __repr__(self):
        return f"<libquant {self.method} {list(self.shape)} {self.dtype}, {self.bits_per_weight:.3f} bits per weight>"

    @property
    def shape(self):
        """Dimensions of the weights."""
        return tuple(
            _lib.lq_tensor_dim(self._handle, i) for i in range(_lib.lq_tensor_ndim(self._handle))
        )

    @property
    def method(self):
        """Name of the method: "nf4", "fp4", "int8", "dynamic8", "affine" or "none"."""
        return _lib.lq_method_name(_lib.lq_tensor_method(self._handle)).decode()

    @property
    def dtype(self):
        """What the weights were before: "f32", "f16" or "bf16"."""
        return _DTYPES[_lib.lq_tensor_dtype(self._handle)][0]

    @property
    def nbytes(self):
        """Bytes of codes, scales and all else that the weights need in memory."""
        return _lib.lq_tensor_nbytes(self._handle)

    @property
    def bits_per_weight(self):
        """8 * nbytes / number of weights."""
        return _lib.lq_tensor_bits_per_weight(self._handle)

    def planes(self, layout="native"):
        """The arrays that make up the tensor, {name: array}, under the names of a checkpoint family.

        "bitsandbytes" gives what transformers stores for a module ("weight", "weight.absmax", ...), "native" what
        libquant itself keeps; "gptq", "gptq_v2" and "awq" give "qweight", "qzeros", "scales" and "g_idx". The arrays
        are read-only views: no bytes are copied, and the tensor lives as long as any of them. For the last three
        it is convert(layout) that they are views of. bf16 planes are uint16.
        """
        number = _layout(layout)
        count = _lib.lq_tensor_plane_count(self._handle, number)
        if count == 0:
            return self.convert(layout).planes(layout)
        result = {}
        for i in range(count):
            p = _Plane(size=ctypes.sizeof(_Plane))
            _check(_lib.lq_tensor_plane(self._handle, number, i, ctypes.byref(p)))
            dtype, shape = _DTYPES[p.dtype][2], tuple(p.dims[: p.ndim])
            if p.bytes == 0:
                view = np.empty(shape, dtype)
                view.flags.writeable = False
            else:
                view = np.asarray(_Memory(self, p.data, dtype, shape))
            result[p.name.decode()] = view
        return result

    def convert(self, layout):
        """A copy that has planes in that layout; nothing is lost. Error says why, if the layout cannot hold it."""
        number, handle = _layout(layout), _ptr()
        obstacle = _lib.lq_tensor_obstacle(self._handle, number)
        if obstacle is not None:
            raise Error(
                _E_UNSUPPORTED,
                f"layout {layout} cannot hold this {self.method} tensor: {obstacle.decode()}",
            )
        _check(_lib.lq_tensor_convert(None, self._handle, number, ctypes.byref(handle)))
        return Tensor(handle.value)

    def dequantize(self, dtype="f32", out=None, rows=None):
        """The weights as a numpy array of dtype "f32", "f16" or "bf16" (uint16 bits).

        out: a C-contiguous array of that shape and dtype to write to. rows: a slice of the first rows of the
        tensor taken as a matrix of its last dimension, such as slice(3, 8); the result then is 2-D.
        """
        number, shape, first = _dtype_id(dtype), self.shape, 0
        if rows is not None:
            columns = shape[-1] if shape else 1
            total = int(np.prod(shape[:-1], dtype=np.uint64)) if shape else 1
            first, stop, step = rows.indices(total)
            if step != 1:
                raise Error(_E_ARGUMENT, "rows must be a slice of step 1")
            shape = (max(stop - first, 0), columns)
        if out is None:
            out = _empty_aligned(shape, _DTYPES[number][2])
        if (
            out.shape != shape
            or out.dtype != _DTYPES[number][2]
            or not out.flags.c_contiguous
            or not out.flags.writeable
        ):
            raise Error(
                _E_SHAPE,
                f"out must be a writable C-contiguous {_DTYPES[number][2].__name__} array of shape "
                f"{shape}",
            )
        with _Config() as how:
            if rows is None:
                _check(
                    _lib.lq_dequantize(
                        self._handle, number, out.ctypes.data, out.nbytes, how.handle
                    )
                )
            else:
                _check(
                    _lib.lq_dequantize_rows(
                        self._handle,
                        first,
                        shape[0],
                        number,
                        out.ctypes.data,
                        out.nbytes,
                        how.handle,
                    )
                )
        return out

    def matmul(
        self,
        x,
        transpose=False,
        mode="exact",
        *,
        bias=None,
        dtype=None,
        out_dtype=None,
        compat=None,
    ):
        """x @ W.T + bias for a weight W of shape [N, K] and x of shape [..., K]; the result is [..., N].

        transpose=True: x @ W for x of shape [..., N], without bias; the result is [..., K]. It takes the gradient of a
        layer's output to that of its input.

        x: float32, float16, or uint16 with dtype="bf16"; rows may have any stride. The result has the dtype of x
        unless out_dtype says otherwise. x may also be an int8 Tensor if W is one; the product is then made of
        integers, and out_dtype "i32" gives it unscaled (default "f32").

        mode: "exact" computes in f32, with the same bits on every machine. "fast" permits 16-bit fixed point for up to
        8 rows of x, for more 8-bit integers, or bf16 from 16 rows on after request_cpu("amx"); libquant.h bounds the
        errors at LQ_KEY_COMPUTE. Where neither applies, also with transpose and with an int8 Tensor, it is "exact".
        """
        if transpose and bias is not None:
            raise Error(_E_ARGUMENT, "transpose=True takes no bias")
        if bias is not None:
            bias = np.require(bias, np.float32, ["C", "ALIGNED"])
            if bias.shape != (self._rows(),):
                raise Error(_E_SHAPE, f"bias has shape {bias.shape}, not ({self._rows()},)")
        if isinstance(x, Tensor):
            if transpose:
                raise Error(_E_UNSUPPORTED, "transpose=True needs x as an array")
            out_dtype = "f32" if out_dtype is None else out_dtype
            return self._matmul_int8(x, bias, out_dtype, compat, mode)
        x, number = _array(x, dtype, "x", any_strides=True)
        columns = self.shape[-1] if self.shape else 1
        inner, outer = (self._rows(), columns) if transpose else (columns, self._rows())
        flat, stride = _matrix(x, inner)
        y_number = number if out_dtype is None else _dtype_id(out_dtype)
        y = np.empty((flat.shape[0], outer), _DTYPES[y_number][2])
        call = _lib.lq_matmul_transposed if transpose else _lib.lq_matmul
        bias = () if transpose else (None if bias is None else bias.ctypes.data,)
        source = (self._handle, flat.shape[0], number, flat.ctypes.data, stride)
        with _Config(compute=mode) as how:
            _check(call(*source, *bias, y_number, y.ctypes.data, outer, how.handle))
        return y.reshape(x.shape[:-1] + (y.shape[1],))

    def _rows(self):
        return int(np.prod(self.shape[:-1], dtype=np.uint64)) if self.shape else 1

    def _matmul_int8(self, x, bias, out_dtype, compat, mode):
        number = _dtype_id(out_dtype)
        y = np.empty((x._rows(), self._rows()), _DTYPES[number][2])
        with _Config(compat=compat, compute=mode) as how:
            _check(
                _lib.lq_matmul_int8(
                    self._handle,
                    x._handle,
                    None if bias is None else bias.ctypes.data,
                    number,
                    y.ctypes.data,
                    y.shape[1],
                    how.handle,
                )
            )
        return y


def _layout(name):
    if name not in _LAYOUTS:
        raise Error(_E_ARGUMENT, f"unknown layout {name!r}: {' or '.join(_LAYOUTS)}")
    return _LAYOUTS[name]


def _method_info(method):
    for i in range(_lib.lq_method_count()):
        info = _MethodInfo(size=ctypes.sizeof(_MethodInfo))
        _check(_lib.lq_method_info_at(i, ctypes.byref(info)))
        if info.name.decode() == method:
            return info
    raise Error(_E_ARGUMENT, f"unknown method {method!r}: {', '.join(methods())}")


def _refuse_foreign(method, bits, group_size, sym):
    """Arguments of methods with groups must stand at their defaults for others."""
    info = _method_info(method)
    if info.flags & _METHOD_GROUPWISE:
        return
    if bits not in (4, info.code_bits):
        raise Error(_E_UNSUPPORTED, f"bits={bits}: {method} codes have {info.code_bits} bits")
    if group_size != 128:
        raise Error(
            _E_UNSUPPORTED,
            f"group_size={group_size}: {method} has no groups (block_size, perhaps?)",
        )
    if sym is not True:
        raise Error(_E_UNSUPPORTED, f"sym={sym}: {method} has no zero points")


def quantize(
    w,
    method="nf4",
    block_size=None,
    nested=False,
    compat=None,
    bits=4,
    group_size=128,
    sym=True,
    *,
    dtype=None,
    threshold=None,
    absmax=None,
    nonfinite=None,
    nested_block_size=None,
    mse=None,
):
    """Quantizes an array of weights, [rows, columns] or any other shape, and gives a Tensor.

    w            float32 or float16, or uint16 with dtype="bf16"; not copied if it is C-contiguous
    method       "nf4", "fp4", "int8", "dynamic8", "none", or "affine", also called "rtn"
    block_size   elements that share a scale; None: 64 for nf4 and fp4, 256 for dynamic8
    nested       quantize the scales too; nested_block_size of them share one of the second level (256)
    compat       "bitsandbytes-cpu": byte for byte what that program makes; "gptq" for affine
    threshold    int8: columns with a magnitude at or above it stay dense
    absmax       int8: the absmax of every row, known before; None: each row's own
    nonfinite    what to do with NaN and infinity: "error" (default), "saturate", "keep" or "propagate"
    bits         affine: 2, 3, 4 or 8
    group_size   affine: columns of a row that share a scale; -1: all of them
    sym          affine: False stores a zero point for each group
    mse          affine: exponent of a search for the range that errs least, 2.4 usual; None: full ranges

    Raises Error, which names row and column of a weight that is not finite.
    """
    method = "affine" if method == "rtn" else method
    flags = _method_info(method).flags
    if flags & _METHOD_CALIBRATED:
        raise Error(_E_STATE, f"{method} needs inputs of the layer: see Calibrator")
    _refuse_foreign(method, bits, group_size, sym)
    groupwise = flags & _METHOD_GROUPWISE
    quantizer = _Quantizer(
        method=method,
        block_size=block_size,
        nested=nested or None,
        compat=compat,
        threshold=threshold,
        absmax=absmax,
        nonfinite=nonfinite,
        nested_block_size=nested_block_size,
        mse=mse,
        bits=bits if groupwise else None,
        group_size=group_size if groupwise else None,
        symmetric=sym if groupwise else None,
    )
    return quantizer.run(_wrap(*_array(w, dtype, "w")))


class Calibrator:
    """Quantizes weights by what their layer has seen: inputs first, then the weights that share them.

    columns        of the weights, and of every input
    method         "gptq"
    storage        whose codes are chosen: "affine", "nf4" or "fp4"
    bits, group_size, sym, block_size, nested, nested_block_size, nonfinite, compat: as for quantize()
    act_order      columns with the largest inputs are rounded first
    group_aware    the same within each group, and then by groups; takes the place of act_order
    static_groups  scales are those of the weights before any is rounded; False with act_order stores the group
                   of each column
    mse            exponent of a search for the range that errs least, 2.4 usual; 0: full ranges
    damp           added to the diagonal of the Hessian, as a share of its mean
    input_correction  share, 0 to 1, of what quantizing the layers before changed in the inputs that is made up for
                   (GPTAQ), 0.25 usual; above 0 every observe() takes x_float too

    It takes the number of threads that is set when it is made, and serves one thread at a time.
    """

    def __init__(
        self,
        columns,
        method="gptq",
        storage="affine",
        bits=4,
        group_size=128,
        sym=True,
        act_order=True,
        static_groups=True,
        group_aware=False,
        mse=0.0,
        damp=0.01,
        compat=None,
        block_size=None,
        nested=False,
        *,
        nested_block_size=None,
        nonfinite=None,
        input_correction=0.0,
    ):
        if not _method_info(method).flags & _METHOD_CALIBRATED:
            raise Error(_E_UNSUPPORTED, f"{method} does not calibrate: see quantize()")
        _refuse_foreign(storage, bits, group_size, sym)
        groupwise = _method_info(storage).flags & _METHOD_GROUPWISE
        self._keys = dict(
            method=method,
            storage=storage,
            bits=bits if groupwise else None,
            group_size=group_size if groupwise else None,
            symmetric=sym if groupwise else None,
            order="groups" if group_aware else "activation" if act_order else "none",
            static_groups=bool(static_groups),
            mse=mse,
            damping=damp,
            input_correction=input_correction,
            compat=compat,
            block_size=block_size,
            nested=nested or None,
            nested_block_size=nested_block_size,
            nonfinite=nonfinite,
        )
        self._columns = operator.index(columns)
        if not 0 <= self._columns < 2**32:
            raise Error(_E_ARGUMENT, f"columns={columns}")
        self._quantizer = _Quantizer(**self._keys)
        self._report = None

    @property
    def columns(self):
        """Columns of the inputs and of the weights."""
        return self._columns

    def observe(self, x, dtype=None, x_float=None):
        """Inputs of the layer, [..., columns]: float32, float16, or uint16 with dtype="bf16".

        How they are split into calls does not matter. Rows may have any stride; they are read where they are.
        x_float: with input_correction, what the layer would see in the float model; shape and dtype of x.
        """
        x, number = _array(x, dtype, "x", any_strides=True)
        flat = [_matrix(x, self._columns)]
        if x_float is not None:
            y, other = _array(x_float, dtype, "x_float", any_strides=True)
            if other != number or y.shape != x.shape:
                raise Error(_E_ARGUMENT, "x_float has not the dtype or the shape of x")
            flat.append(_matrix(y, self._columns))
        inputs = [a for rows, stride in flat for a in (rows.ctypes.data, stride)]
        self._show(self._quantizer, flat[0][0].shape[0], number, inputs)

    def _show(self, q, rows, number, inputs):
        call = _lib.lq_quantizer_observe if len(inputs) == 2 else _lib.lq_quantizer_observe_pair
        q.check(call(q.handle, rows, self._columns, number, *inputs))

    def reset(self):
        """Forgets what was observed."""
        _lib.lq_quantizer_reset(self._quantizer.handle)

    def save(self):
        """What was observed, as bytes that load() takes on any machine."""
        out = np.empty(_lib.lq_quantizer_save_bytes(self._quantizer.handle), np.uint8)
        if out.size == 0:
            raise Error(_E_STATE, "nothing was observed")
        _check(_lib.lq_quantizer_save(self._quantizer.handle, out.ctypes.data, out.nbytes))
        return out.tobytes()

    def load(self, data):
        """Replaces what was observed by what another Calibrator saved. If that fails, nothing has changed."""
        data = np.frombuffer(data, np.uint8) if len(data) else np.empty(0, np.uint8)
        new = _Quantizer(**self._keys)
        new.check(_lib.lq_quantizer_load(new.handle, data.ctypes.data, data.nbytes))
        nothing = [None, self._columns] * (2 if self._keys["input_correction"] else 1)
        self._show(new, 0, 1, nothing)
        self._quantizer = new

    def merge(self, other):
        """Adds what another Calibrator of as many columns observed, behind what this one did."""
        if other is self:
            raise Error(_E_ARGUMENT, "a Calibrator cannot be merged with itself")
        self._quantizer.check(
            _lib.lq_quantizer_merge(self._quantizer.handle, other._quantizer.handle)
        )

    def quantize(self, w, dtype=None):
        """A Tensor of the weights w, [rows, columns], as quantize() takes them. May be called for several weights."""
        t = self._quantizer.run(_wrap(*_array(w, dtype, "w")))
        r = _Report(size=ctypes.sizeof(_Report))
        _check(_lib.lq_quantizer_report(self._quantizer.handle, ctypes.byref(r)))
        self._report = {name: getattr(r, name) for name, _ in _Report._fields_[6:]}
        share = r.error / r.energy if r.energy > 0 else 0.0
        self._report["relative_error"] = max(share, 0.0) ** 0.5
        return t

    def report(self):
        """What the last quantize() did, with H = 2/rows X^T X of the inputs X: a dict of

        error           tr(E H E^T) of the error E of the weights: the squared error of the output
        error_nearest   the same, had each weight been rounded to the nearest
        energy          tr(W H W^T) of the weights
        relative_error  sqrt(error / energy)
        damping         in force: damp, or what it was raised to for H to be factored
        dead_columns    columns whose inputs were all 0
        rows_observed   rows of inputs
        """
        if self._report is None:
            raise Error(_E_STATE, "no weight was quantized yet")
        return dict(self._report)


def _plane_array(name, a):
    a = (
        np.frombuffer(a, np.uint8)
        if isinstance(a, (bytes, bytearray, memoryview))
        else np.asarray(a)
    )
    for number, (_, _, numpy_type) in _DTYPES.items():
        if a.dtype == numpy_type:
            return np.require(a, requirements=["C", "ALIGNED"]), number
    raise Error(_E_ARGUMENT, f"plane {name} is {a.dtype}, which no plane can be")


def from_planes(layout, planes, shape=None, nonfinite=None, zero_borrow=None):
    """A Tensor from the arrays of a checkpoint, planes {name: array}, in layout "bitsandbytes", "gptq", "gptq_v2",
    "awq", "ggml" or "native".

    Names are the checkpoint's own less the module path: "weight", "weight.absmax", ...; uint16 arrays are bf16.
    Arrays are used where they are, so they must not change afterwards; those of GPTQ and AWQ are copied. They are
    checked: sizes, names, code books, finite scales (nonfinite="propagate" lets those that are not finite pass).
    shape: if given, it must agree.
    zero_borrow: layout "gptq" with 1 taken from whole words of zero points, as GPTQModel does.
    """
    keep, structs = [], (_Plane * max(len(planes), 1))()
    for p, (name, a) in zip(structs, planes.items()):
        a, number = _plane_array(name, a)
        if a.ndim > 8:
            raise Error(_E_ARGUMENT, f"plane {name} has {a.ndim} dimensions")
        keep.append(a)
        p.size, p.dtype, p.ndim, p.bytes = ctypes.sizeof(_Plane), number, a.ndim, a.nbytes
        p.dims[: a.ndim] = a.shape
        p.name, p.data = name.encode(), a.ctypes.data
    handle = _ptr()
    ndim, dims = (0, None) if shape is None else (len(shape), _dims(shape))
    with _Config(nonfinite=nonfinite, zero_borrow=zero_borrow) as config:
        config.check(
            _lib.lq_tensor_from_planes(
                config.handle,
                _layout(layout),
                structs,
                len(planes),
                ndim,
                dims,
                1,
                ctypes.byref(handle),
            )
        )
    return Tensor(handle.value, *keep)


def compare(a, b, dtype=None):
    """How far b is from a, each a Tensor or an array: a dict of relative_error, sqnr_db, cosine, max_error, the row
    and column of the largest error, and the sums they are made of. dtype="bf16" says that uint16 arrays are bf16.
    """
    a, b = (
        (
            t
            if isinstance(t, Tensor)
            else _wrap(
                *_array(t, dtype if getattr(t, "dtype", None) == np.uint16 else None, "array")
            )
        )
        for t in (a, b)
    )
    m = _Metrics(size=ctypes.sizeof(_Metrics))
    with _Config() as how:
        _check(_lib.lq_compare(a._handle, b._handle, ctypes.byref(m), how.handle))
    return {name: getattr(m, name) for name, _ in _Metrics._fields_[2:]}


# ---- the library itself ----


def set_threads(n):
    """Threads of every call from here on; 0: as many as OpenMP offers, 1: the caller's alone."""
    global _threads
    before, _threads = _threads, n
    try:
        _Config().close()
    except Error:
        _threads = before
        raise


def cpu_features():
    """The level of kernels in force: "scalar", "avx2", "avx512vbmi", "neon", ..."""
    return _lib.lq_cpu_features().decode()


def limit_cpu(level=None):
    """Caps the kernels of the whole process at a level named as above; None lifts the cap. Results do not change."""
    _check(_lib.lq_cpu_limit(None if level is None else level.encode()), f"level {level!r}")


def request_cpu(level="amx"):
    """Asks the system for tiles of int8 and bf16, once, before other calls. Error where there are none."""
    _check(_lib.lq_cpu_request(level.encode()), f"level {level!r}")


def methods():
    """Names of the methods."""
    result = []
    for i in range(_lib.lq_method_count()):
        info = _MethodInfo(size=ctypes.sizeof(_MethodInfo))
        _check(_lib.lq_method_info_at(i, ctypes.byref(info)))
        result.append(info.name.decode())
    return result


def version():
    """Version of the library, as "0.1.0"."""
    return _lib.lq_version_string().decode()


def build_info():
    """Lines for bug reports: version, methods, instruction sets, threading."""
    return _lib.lq_build_info().decode()
