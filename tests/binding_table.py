"""Writes into examples/python/libquant.py what ctypes has to know about libquant.h: constants, structs, functions.

    python3 tests/binding_table.py           write it anew
    python3 tests/binding_table.py --check   fail if it is not what would be written

The source is tests/abi/declared.def, which tests/abi.sh holds equal to the header.
"""

import difflib
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[1]
BINDING = TOP / "examples" / "python" / "libquant.py"
BEGIN = "# ---- written by tests/binding_table.py from libquant.h, not by hand ----\n"
END = "# ---- end of what is written ----\n"

# Constants that a Python program uses; keys go by their names.
FAMILIES = re.compile(r"LQ_(E_\w+|[FIU]\d+|BF16|LAYOUT_\w+|METHOD_\w+)$")

NUMBERS = {
    "int32_t": "_i32",
    "uint32_t": "_u32",
    "int64_t": "_i64",
    "uint64_t": "_u64",
    "size_t": "_size",
    "float": "_f32",
    "double": "_f64",
    "lq_status": "_i32",
}

ADDRESSES = ("void", "float", "int8_t", "uint8_t", "uint16_t", "int32_t")  # of arrays, which numpy knows


def class_name(struct):
    return "_" + "".join(word.capitalize() for word in struct.split("_")[1:])


class Table:
    """The declarations in the order of the header, and their translation."""

    def __init__(self, text):
        self.handles, self.names = set(), {}  # names: of structs and callbacks, here
        self.constants, self.types_, self.functions = [], [], []
        for kind, rest in re.findall(r"^([A-Z]+)\((.*)\)$", text, re.M):
            getattr(self, kind.lower())(rest)

    def constant(self, rest):
        name, value = rest.split(", ")
        if FAMILIES.match(name):
            self.constants.append(f"{name[2:]} = {value}")

    def typedef(self, rest):
        handle = re.fullmatch(r"typedef struct (\w+) \1", rest)
        callback = re.fullmatch(r"typedef (.*)\(\*(\w+)\)\((.*)\)", rest)
        if handle:
            self.handles.add(handle.group(1))
        elif callback:
            result, name, parameters = callback.groups()
            self.names[name] = class_name(name)
            self.types_.append(f"{self.names[name]} = {self.function_type(result, parameters)}")

    def struct(self, rest):
        name = rest.split(",")[0]
        self.names[name] = class_name(name)
        self.fields = []
        self.types_.append((self.names[name], self.fields))

    def field(self, rest):
        name, declaration = rest.split(", ", 6)[1::5]
        callback = re.fullmatch(r"(.*)\(\*\w+\)\((.*)\)", declaration)
        array = re.fullmatch(r"(\w+) \w+\[(\d+)\]", declaration)
        if callback:
            kind = self.function_type(*callback.groups())
        elif array:
            kind = f"{NUMBERS[array.group(1)]} * {array.group(2)}"
        else:
            kind = self.type(declaration)
        self.fields.append(f'        ("{name}", {kind}),')

    def function(self, rest):
        name, prototype = rest.split(", ", 1)
        result, parameters = re.fullmatch(rf"(.*?)\b{name}\((.*)\)", prototype).groups()
        self.functions.append((name, self.type(result), f"[{self.types(parameters)}]"))

    def types(self, parameters):
        return ", ".join(self.type(p) for p in parameters.split(", ") if p != "void")

    def function_type(self, result, parameters):
        return f"ctypes.CFUNCTYPE({self.type(result)}, {self.types(parameters)})"

    def type(self, text):
        """Of a result, parameter or field, with its name or without."""
        word, stars = re.match(r"\w+", text.replace("const ", "")).group(), text.count("*")
        if (word, stars) == ("void", 0):
            return "None"
        if (word, stars) == ("char", 1):
            return "_str"
        if stars == 1 and (word in self.handles or word in ADDRESSES):
            return "_ptr"
        if word in self.handles and stars == 2:
            return "_POINTER(_ptr)"
        name = NUMBERS.get(word) or self.names.get(word)
        if name is None or stars > 1:
            sys.exit(f"binding_table.py: no translation for {text!r}")
        return f"_POINTER({name})" if stars else name

    def text(self):
        parts = [*self.constants]
        for item in self.types_:
            if isinstance(item, str):
                parts.append(item)
            else:
                name, fields = item
                parts += ["", "", f"class {name}(ctypes.Structure):", "    _fields_ = ["]
                parts += [*fields, "    ]", "", ""]
        parts += ["# name, result, arguments", "_FUNCTIONS = ["]
        parts += [*map(self.row, self.functions), "]", ""]
        return re.sub("\n{4,}", "\n" * 3, "\n".join(parts))

    @staticmethod
    def row(function):
        name, result, arguments = function
        row = f'    ("{name}", {result}, {arguments}),'
        if len(row) > 100:
            row = f'    (\n        "{name}",\n        {result},\n        {arguments},\n    ),'
        return row


def main():
    table = Table((TOP / "tests" / "abi" / "declared.def").read_text()).text()
    old = BINDING.read_text()
    head, rest = old.split(BEGIN)
    new = head + BEGIN + table + END + rest.split(END)[1]
    if sys.argv[1:] == ["--check"]:
        changes = list(difflib.unified_diff(old.splitlines(), new.splitlines(), "is", "should be"))
        print("\n".join(changes) if changes else f"the table is that of the header: {table.count('lq_')} names")
        sys.exit(bool(changes))
    BINDING.write_text(new)


main()
