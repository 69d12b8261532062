"""Proves that cffi takes the header as it is: the text between its markers without the word LQ_API is all that cdef needs.

Run by bindings.sh with the path of the shared library in LIBQUANT.
"""

import os
import pathlib
import re
import sys

import cffi

top = pathlib.Path(__file__).resolve().parents[1]
checks = failures = 0


def check(good, text):
    global checks, failures
    checks += 1
    if not good:
        failures += 1
        print(f"binding_cffi.py:{sys._getframe(1).f_lineno}: failed: {text}")


def open_library():
    header = (top / "include" / "libquant.h").read_text()
    begin, end = header.index("/* BEGIN DECLARATIONS"), header.index("/* END DECLARATIONS")
    ffi = cffi.FFI()
    ffi.cdef(header[begin:end].replace("LQ_API ", ""))
    return ffi, ffi.dlopen(os.environ["LIBQUANT"])


def everything_is_there(ffi, lib):
    declared = (top / "tests" / "abi" / "declared.def").read_text()
    for name, value in re.findall(r"^CONSTANT\((\w+), (-?\d+)\)", declared, re.M):
        check(getattr(lib, name) == int(value), name)
    for name in re.findall(r"^FUNCTION\((\w+),", declared, re.M):
        check(ffi.typeof(getattr(lib, name)).kind == "function", name)
    if ffi.sizeof("void *") == 8:
        for name, size in re.findall(r"^STRUCT\((\w+), (\d+),", declared, re.M):
            check(ffi.sizeof(name) == int(size), name)
        for name, field, at in re.findall(r"^FIELD\((\w+), (\w+), (\d+),", declared, re.M):
            check(ffi.offsetof(name, field) == int(at), f"{name}.{field}")


def quantize(ffi, lib, rows, columns):
    """There and back: config, tensor, quantizer, planes, product, and a callback in Python."""
    w = ffi.new("float[]", [(i % 17 - 8) * 0.01 for i in range(rows * columns)])
    shape = ffi.new("uint64_t[2]", [rows, columns])
    config, quantizer = ffi.new("lq_config **"), ffi.new("lq_quantizer **")
    dense, small = ffi.new("lq_tensor **"), ffi.new("lq_tensor **")
    tasks = []

    @ffi.callback("lq_parallel_fn")
    def parallel(user, count, task, arg):
        tasks.append(count)
        for i in reversed(range(count)):
            task(arg, i)

    check(lib.lq_config_create(ffi.NULL, config) == lib.LQ_OK, "config")
    check(lib.lq_config_set_text(config[0], b"method", b"nf4") == lib.LQ_OK, "method")
    check(lib.lq_config_set_i64(config[0], lib.LQ_KEY_NESTED, 1) == lib.LQ_OK, "nested")
    check(lib.lq_config_set_i64(config[0], 7, 1) == lib.LQ_E_ARGUMENT, "an unknown key")
    check(ffi.string(lib.lq_config_error_text(config[0])) != b"", "the reason")
    check(lib.lq_config_set_parallel(config[0], parallel, ffi.NULL) == lib.LQ_OK, "parallel")
    check(lib.lq_quantizer_create(config[0], quantizer) == lib.LQ_OK, "quantizer")
    check(
        lib.lq_tensor_wrap(ffi.NULL, lib.LQ_F32, 2, shape, w, ffi.sizeof(w), dense) == lib.LQ_OK,
        "wrap",
    )
    check(lib.lq_quantizer_run(quantizer[0], dense[0], small) == lib.LQ_OK, "run")
    check(tasks and min(tasks) > 1, f"the callback was called: {tasks}")

    report = ffi.new("lq_report *", {"size": ffi.sizeof("lq_report")})
    check(lib.lq_quantizer_report(quantizer[0], report) == lib.LQ_OK, "report")
    check(report.elements == rows * columns, f"{report.elements} elements")
    metrics = ffi.new("lq_metrics *", {"size": ffi.sizeof("lq_metrics")})
    check(lib.lq_compare(dense[0], small[0], metrics, ffi.NULL) == lib.LQ_OK, "compare")
    check(0 < metrics.relative_error < 0.1, f"relative error {metrics.relative_error}")

    plane = ffi.new("lq_plane *", {"size": ffi.sizeof("lq_plane")})
    names = []
    for i in range(lib.lq_tensor_plane_count(small[0], lib.LQ_LAYOUT_BITSANDBYTES)):
        check(
            lib.lq_tensor_plane(small[0], lib.LQ_LAYOUT_BITSANDBYTES, i, plane) == lib.LQ_OK, "plane"
        )
        names.append(ffi.string(plane.name).decode())
    check({"weight", "weight.absmax", "weight.quant_map"} <= set(names), f"planes {names}")

    x, y = ffi.new("float[]", columns), ffi.new("float[]", rows)
    x[3] = 1
    status = lib.lq_matmul(
        small[0], 1, lib.LQ_F32, x, columns, ffi.NULL, lib.LQ_F32, y, rows, ffi.NULL
    )
    back = ffi.new("float[]", rows * columns)
    check(
        status == lib.LQ_OK
        and lib.lq_dequantize(small[0], lib.LQ_F32, back, ffi.sizeof(back), ffi.NULL) == lib.LQ_OK
        and list(y) == list(back)[3::columns],
        "a product with a unit vector is a column",
    )
    for tensor in (small, dense):
        lib.lq_tensor_destroy(tensor[0])
    lib.lq_quantizer_destroy(quantizer[0])
    lib.lq_config_destroy(config[0])


def main():
    ffi, lib = open_library()
    everything_is_there(ffi, lib)
    quantize(ffi, lib, 600, 1024)
    print(f"{checks - failures} passed, {failures} failed")
    sys.exit(failures > 0)


main()
