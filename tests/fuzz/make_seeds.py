"""Writes tests/fuzz/seeds: `python3 tests/fuzz/make_seeds.py`. Small inputs that reach what the malformed files of the
vectors do not: tokenizers and models in GGUF files, journals, command lines, keys of a config."""
import pathlib
import struct
import zlib

root = pathlib.Path(__file__).parent / "seeds"


def put(target, name, data):
    (root / target).mkdir(parents=True, exist_ok=True)
    (root / target / name).write_bytes(data if isinstance(data, bytes) else data.encode())


# ---- GGUF ----

def text(s):
    return struct.pack("<Q", len(s.encode())) + s.encode()


def key(name, kind, value):
    return text(name) + struct.pack("<I", kind) + value


def u32(name, v):
    return key(name, 4, struct.pack("<I", v))


def f32(name, v):
    return key(name, 6, struct.pack("<f", v))


def string(name, s):
    return key(name, 8, text(s))


def array(name, kind, items):
    return key(name, 9, struct.pack("<IQ", kind, len(items)) + b"".join(items))


def gguf(keys, tensors):
    head, data = b"", b""
    for name, shape, kind, body in tensors:
        data += bytes(-len(data) % 32)
        head += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in shape)
        head += struct.pack("<IQ", kind, len(data))
        data += body
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + head
    return out + bytes(-len(out) % 32) + data + bytes(-len(data) % 32)


def ints(values):
    return [struct.pack("<i", v) for v in values]


pieces = ["<unk>", "<s>", "</s>", "<0x0A>", "<0x61>", "\u2581", "a", "b", "ab", "\u2581a", "\u2581ab", "<u>"]
sentencepiece = [string("tokenizer.ggml.model", "llama"), array("tokenizer.ggml.tokens", 8, [text(p) for p in pieces]),
                 array("tokenizer.ggml.scores", 6, [struct.pack("<f", -i) for i in range(len(pieces))]),
                 array("tokenizer.ggml.token_type", 5, ints([2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 4])),
                 u32("tokenizer.ggml.bos_token_id", 1), u32("tokenizer.ggml.unknown_token_id", 0)]
letters = ["a", "b", "\u0120", "1", "ab", "\u0120a", "\u010a", "<|end|>"]
bytelevel = [string("tokenizer.ggml.model", "gpt2"), string("tokenizer.ggml.pre", "llama-bpe"),
             array("tokenizer.ggml.tokens", 8, [text(p) for p in letters]),
             array("tokenizer.ggml.token_type", 5, ints([1] * 7 + [3])),
             array("tokenizer.ggml.merges", 8, [text("a b"), text("\u0120 a")])]
shape = [string("general.architecture", "llama"), u32("llama.block_count", 1), u32("llama.embedding_length", 32),
         u32("llama.feed_forward_length", 32), u32("llama.context_length", 64), u32("llama.attention.head_count", 2),
         u32("llama.attention.head_count_kv", 1), f32("llama.attention.layer_norm_rms_epsilon", 1e-5),
         f32("llama.rope.freq_base", 100)]


def layer(name, rows, kind=8, block=34):
    return name + ".weight", (32, rows), kind, bytes(i % 251 for i in range(block * rows))


model = [layer("token_embd", 12), layer("blk.0.attn_q", 32), layer("blk.0.attn_k", 16), layer("blk.0.attn_v", 16),
         layer("blk.0.attn_output", 32), layer("blk.0.ffn_gate", 32, 2, 18), layer("blk.0.ffn_up", 32, 2, 18),
         layer("blk.0.ffn_down", 32, 2, 18)]
for norm in "blk.0.attn_norm", "blk.0.ffn_norm", "output_norm":
    model.append((norm + ".weight", (32,), 0, struct.pack("<f", 1) * 32))
# Type, elements and bytes of a block, as ggml has them.
blocks = [(2, 32, 18), (3, 32, 20), (6, 32, 22), (7, 32, 24), (8, 32, 34), (10, 256, 84), (11, 256, 110), (12, 256, 144),
          (13, 256, 176), (14, 256, 210), (0, 8, 32), (1, 8, 16), (30, 8, 16)]
kinds = [("t%d" % k, (n, 2), k, bytes((7 * i + k) % 256 for i in range(2 * size))) for k, n, size in blocks]
for target in "gguf_open", "gguf_decode":
    put(target, "kinds.gguf", gguf([], kinds))
put("gguf_open", "llama.gguf", gguf(shape + sentencepiece, model))
put("gguf_open", "sentencepiece.gguf", gguf(sentencepiece, []))
put("gguf_open", "bytelevel.gguf", gguf(bytelevel, []))

# ---- journals ----

def record(body):
    return struct.pack("<II", len(body), zlib.crc32(body)) + body


put("journal", "empty", b"")
put("journal", "three", record(b'{"job":1}') + record(b"second") + record(b"x" * 40))
put("journal", "cut", record(b"first") + record(b"second")[:-2])
put("journal", "zeros", record(b"first") + bytes(64))

# ---- JSON ----

put("json", "kinds.json", '{"a":[1,-0.5e-3,1e400,true,false,null,"\\u00e9\\ud83d\\ude00\\n"],"b":{"":{}},"\\u0000":18446744073709551615}')
put("json", "numbers.json", "[0,-0,0.1,5e-324,1.7976931348623157e308,9007199254740993,-9223372036854775808,1E+2]")

# ---- tokenizers ----

vocab = '{"a":0,"b":1,"ab":2,"\u2581":3,"<0x0A>":4,"<unk>":5}'
put("tokenizer", "steps.json", '{"added_tokens":[{"id":5,"content":"<unk>","single_word":false,"lstrip":true,"rstrip":true,'
    '"normalized":false,"special":true}],"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Prepend",'
    '"prepend":"\u2581"},{"type":"Replace","pattern":{"String":" "},"content":"\u2581"}]},"pre_tokenizer":{"type":"Sequence",'
    '"pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"Metaspace","replacement":"\u2581",'
    '"prepend_scheme":"always","split":true}]},"decoder":{"type":"Sequence","decoders":[{"type":"ByteFallback"},'
    '{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},"model":{"type":"BPE","unk_token":"<unk>",'
    '"fuse_unk":true,"byte_fallback":true,"vocab":' + vocab + ',"merges":[["a","b"]]}}')
put("tokenizer", "text.json", ('{"model":{"type":"BPE","vocab":' + vocab + ',"merges":["a b"]}}').encode()
    + b"\xffab a\nb \xe2\x96\x81ab")

# ---- command lines: a verb's number, then words ----

lines = ["in -o out --method nf4 --nested --block-size 64 --quiet", "in -oout --dtype float16 --force",
         "in -o out.c --c-array --include q_proj", "in --json", "a b --worst 3", "in --text t.txt --threads 2 --window=128",
         "in --prompt x --max-tokens 3 --temperature 0.5", "--quick --cpu scalar"]
for i, line in enumerate(lines):
    put("cli_args", "verb%d" % i, bytes([i]) + "\n".join(line.split()).encode())
put("cli_args", "help", b"\0--hel\n--help")

# ---- configs: odd byte, name=value; even byte, key and value ----

put("config", "texts", "\x01method=gptq\n\x01storage=affine\n\x01bits=3\n\x01group_size=-1\n\x01damping=1e-2\n\x01mse=2.4\n")
put("config", "nested", "\x01method=fp4\n\x01nested=1\n\x01nested_block_size=128\n\x01block_size=4096\n\x01compat=none\n")
put("config", "numbers", b"".join(b"\0" + struct.pack("<Hq", k, v) for k, v in ((100, 5), (300, 0x4018000000000000), (900, 1))))
