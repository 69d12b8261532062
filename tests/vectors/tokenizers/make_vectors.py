#!/usr/bin/env python3
"""Writes the vectors of this folder with the `tokenizers` library (0.23.3) from two files of WikiText-2:

    python3 make_vectors.py valid.txt test.txt ../../../examples/model/tokenizer.json

Trains a small tokenizer for each kind of pipeline and notes what the library makes of difficult texts (NAME.json holds the
tokenizer, NAME.cases.json the results); mixed.cases.json holds many tiny tokenizers put together at random.
"""
import json
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, models, trainers
from tokenizers import decoders as D
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = WORDS + r"\p{N}{1,3}" + REST
QWEN2 = WORDS + r"\p{N}" + REST
BYTES = ["<0x%02X>" % i for i in range(256)]

SCRIPTS = ("日本語のテキスト。中文字符测试 한국어 русский текст ελληνικά العربية עברית हिन्दी 😀😃👍 naïve café Ünïcödé ﬁ ") * 30

TEXTS = [
    "", " ", "  ", "   ", "\n", "\r\n\r\n", " \n ", "\t\t x", "a", " a", "a ", "  a  b   c    ", "Hello, world!  How's it?",
    "it's IT'S we'Re You'LL he'd'Ve 'tis 'ſ ''s ' s 'ſx'Sx'sx 'reX", "he'ſx'Sx'LLl'tis'd",
    "x = 1;\r\n\tif (x) {\r\n\t\treturn 12345678;\r\n\t}\r\n\r\n\r\nend",
    "0 12 345 6789 00001 1.5e10 ½²Ⅷ٣४ 1,234,567", "a\u00a0b\u3000c\u2028d\u0085e\u1680f\u200bg\ufeffh\x0bi\x00j\x1fk\x7f",
    "日本語のテキスト、中文字符。한국어 각각", "\u1112\u1161\u11ab\u1100\u1173\u11af \u1100\u1161 \uac00\u11a8",
    "e\u0301\u0323o\u0323\u0301\u0334 A\u030a \u212b \u2126 \u0344 \u0958 \u1e9b\u0323 \u0f73\u0f71 \U0001d15e",
    "\u0301\u0323 x\u0345\u0301\u0327\u0334y", "😀😃 👨‍👩‍👧‍👦 🇫🇷 👍🏽 ❤️", "\u0378\ue000\ufffd\ufffe\U000e0001\U0010ffff\U00030000",
    "<s>", "<s></s><unk>", "a<s>b </s> c  <unk>  d", " <|endoftext|> x<|endoftext|>\n<|im_start|>user\nhi<|im_end|>\n",
    "x  <mask>  y<mask>", "wug wugs _wug wug_ wug, éwug (wug) \u0301wug wug\u0301", "<r>   a <r>\u3000\nb<r><r>> <r>",
    "<tool_call>\n{\"a\": [1, 2]}\n</tool_call>", "<|eot_id|>  <|begin_of_text|>\n\n<|eot_id", "<0x41><0x0A>",
    "caf\u00e9 cafe\u0301 CAFÉ",
    "▁a ▁▁ b▁", "ĠaĠĠbĊ", "snake_case CamelCase kebab-case 3rd-party v2.0.1-rc1", "Привет, мир! Γειά σου Κόσμε ½ǅǆ",
    "السلام عليكم ١٢٣ שלום हिन्दी में ไทย", "...!!!???\n\n---\n***", " \r \n \r\n\n  z", "a\n\n\n  b\n   \n", "!\n\n?\r\r x\n",
    "the the  the   the\nThe THE", "2 @-@ 3 , 4 @,@ 000 = = Title = = \n",
]


def train(t, lines, size, special, alphabet=()):
    t.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, show_progress=False, initial_alphabet=list(alphabet)))
    return t


def byte_level(lines, size, special, pre, normalizer=None, **model):
    t = Tokenizer(models.BPE(**model))
    t.pre_tokenizer, t.decoder = pre, D.ByteLevel()
    if normalizer:
        t.normalizer = normalizer
    return train(t, lines, size, special, P.ByteLevel.alphabet())


def split_then_bytes(regex):
    return P.Sequence([P.Split(Regex(regex), "isolated", False), P.ByteLevel(add_prefix_space=False, use_regex=False)])


def gpt2(lines):
    return byte_level(lines, 650, ["<|endoftext|>"], P.ByteLevel(add_prefix_space=False))


def flags(lines):
    """ByteLevel with add_prefix_space as RoBERTa has it, and added tokens with every flag."""
    t = byte_level(lines, 500, ["<s>", "</s>", "<unk>"], P.ByteLevel(add_prefix_space=True), unk_token="<unk>")
    t.add_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False), AddedToken("wug", single_word=True),
                  AddedToken("<r>", rstrip=True, normalized=False), AddedToken("<r>>", normalized=False),
                  AddedToken("  ", lstrip=True, rstrip=True)])
    return t


def llama3(lines):
    t = byte_level(lines, 650, [], split_then_bytes(LLAMA3), ignore_merges=True)
    t.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    return t


def qwen2(lines):
    t = byte_level(lines, 650, [], split_then_bytes(QWEN2), N.NFC())
    t.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    t.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False),
                  AddedToken("café", normalized=True)])
    return t


def llama2(lines):
    # Trained on words, so that it is quick; then the pipeline of Llama 2, which has no pre-tokenizer. Only ASCII is known.
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.pre_tokenizer = P.Metaspace()
    d = json.loads(train(t, filter(str.isascii, lines), 750, ["<unk>", "<s>", "</s>"] + BYTES).to_str())
    d["added_tokens"] = [dict(id=i, content=c, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
                         for i, c in enumerate(["<unk>", "<s>", "</s>"])]
    d["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
    d["pre_tokenizer"] = None
    d["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    return Tokenizer.from_str(json.dumps(d))


def llama2_first(lines):
    """The newer form: Metaspace only before the whole text, no normalizer, no fusing of unknown characters."""
    d = json.loads(llama2(lines).to_str())
    d["normalizer"], d["pre_tokenizer"] = None, {
        "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    d["model"].update(fuse_unk=False, byte_fallback=False)
    d["model"]["merges"] = [" ".join(m) for m in d["model"]["merges"]]  # the old form of merges
    return Tokenizer.from_str(json.dumps(d)), d


def metaspace(lines):
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.pre_tokenizer, t.decoder = P.Sequence([P.Metaspace(), P.Digits(individual_digits=True)]), D.Metaspace()
    return train(t, filter(str.isascii, lines), 400, ["<unk>", "</s>"])


def ids_of(t, text):
    return t.encode(text, add_special_tokens=False).ids


def case(t, text):
    out = {"text": text, "ids": ids_of(t, text)}
    decoded = t.decode(out["ids"], skip_special_tokens=False)
    if decoded != text:
        out["decoded"] = decoded
    return out


def decoding(t, r, ids, count):
    for _ in range(count):
        some = [r.choice(ids) for _ in range(r.randrange(10))]
        yield {"ids": some, "decoded": t.decode(some, skip_special_tokens=False)}


def broken(t, r, count):
    """Decoding of bytes that are not UTF-8."""
    alphabet = [t.token_to_id(t.pre_tokenizer.pre_tokenize_str(c)[0][0][i])
                for c, i in [("A", 0), ("é", 0), ("é", 1), ("\u0800", 0), ("\u0800", 1), ("\ud7ff", 0), ("\ud7ff", 1),
                             ("\ud7ff", 2), ("\u8000", 1), ("\U00010000", 0), ("\U00010000", 1), ("\U0010ffff", 0), ("\U0010ffff", 1)]]
    alphabet += [max(alphabet)] * 2
    for _ in range(count):
        some = [r.choice(alphabet) for _ in range(r.randrange(1, 12))]
        yield {"ids": some, "decoded": t.decode(some, skip_special_tokens=False)}


def random_text(r, wiki):
    out = []
    for _ in range(r.randrange(1, 12)):
        kind = r.random()
        at = r.randrange(len(wiki) - 20)
        point = r.choice([r.randrange(0x80), r.randrange(0x250), r.randrange(0x300, 0x380), r.randrange(0x900, 0x1200),
                          r.randrange(0xe000, 0x110000)])
        out.append(wiki[at:at + r.randrange(1, 20)] if kind < 0.4 else r.choice(TEXTS) if kind < 0.5 else chr(point))
    return "".join(out)


def write(name, value):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), "w", encoding="utf-8", newline="\n") as f:
        f.write(value + "\n")


def write_cases(name, head, cases):
    rows = [json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in cases]
    write(name, "{%s,\n\"cases\":[\n%s\n]}" % (head, ",\n".join(rows)))


# Puts a mark before each piece, so that the ids show where text was cut.
SHOW = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}


def show_cuts(regex):
    steps = [{"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}, SHOW]
    return {"version": "1.0", "added_tokens": [], "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}, "decoder": {"type": "ByteFallback"}, "model": {
                "type": "BPE", "byte_fallback": True, "merges": [], "vocab": {t: i for i, t in enumerate(["▁"] + BYTES)}}}


# ---- tiny tokenizers put together at random ----

STRINGS = [" ", "  ", "a", "the", "\u0301", "é", "▁", "\n", "'", "1", "日", "ab", " t"]
CONTENTS = ["<s>", "</s>", " ", "  ", "\n", "wug", "the", "th", "café", "cafe\u0301", "<x>", "<x> ", "1", "'",
            "Hello world", "_a"]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def tiny_model(r):
    alphabet = r.choice(["the wugcafos1\n'▁_x<>/é日ab", "ĠthewugcafosĊ'1<>/ÃŃ©aĢbx▁"])
    vocab = {c: i for i, c in enumerate(dict.fromkeys(alphabet))}
    if r.random() < 0.5:
        for token in ["<unk>"] + BYTES[:10] + BYTES[0xc0:0xe8]:
            vocab[token] = len(vocab)
    merges, tokens = [], list(dict.fromkeys(alphabet))
    while len(merges) < 24:
        pair = [r.choice(tokens), r.choice(tokens)]
        whole = "".join(pair)
        if pair in merges or len(whole) > 5 or " " in whole:
            continue
        merges.append(pair)
        if whole not in vocab:
            vocab[whole] = len(vocab)
            tokens.append(whole)
    for word in "the", "wug", "▁the", "▁wug", "Ġwug":  # found by ignore_merges alone, if no merge makes them
        vocab.setdefault(word, len(vocab))
    if r.random() < 0.3:
        merges += merges[:8]  # the later place counts
    return {"type": "BPE", "dropout": None, "unk_token": r.choice([None, "a", "<unk>", "<none>"]),
            "continuing_subword_prefix": r.choice([None, ""]), "end_of_word_suffix": None, "fuse_unk": r.random() < 0.5,
            "byte_fallback": r.random() < 0.5, "ignore_merges": r.random() < 0.5, "vocab": vocab,
            "merges": merges if r.random() < 0.5 else [" ".join(m) for m in merges]}


def replace(r):
    return {"type": "Replace", "pattern": {"String": r.choice(STRINGS)}, "content": r.choice(STRINGS + [""])}


def split(r, pattern):
    return {"type": "Split", "pattern": pattern, "behavior": r.choice(BEHAVIORS), "invert": r.random() < 0.5}


def byte_level_step(r):
    return {"type": "ByteLevel", "add_prefix_space": r.random() < 0.5, "trim_offsets": True, "use_regex": r.random() < 0.5}


def metaspace_step(r):
    return {"type": "Metaspace", "replacement": r.choice("▁_x"), "prepend_scheme": r.choice(["always", "never", "first"]),
            "split": r.random() < 0.5}


NORMALIZERS = [lambda r: {"type": "NFC"}, lambda r: {"type": "Prepend", "prepend": r.choice(STRINGS)}, replace]
PRE_TOKENIZERS = [byte_level_step, metaspace_step, lambda r: {"type": "Digits", "individual_digits": r.random() < 0.5},
                  lambda r: split(r, {"String": r.choice(STRINGS)}),
                  lambda r: split(r, {"Regex": r.choice([GPT2, LLAMA3, QWEN2])})]
DECODERS = [byte_level_step, metaspace_step, replace, lambda r: {"type": "ByteFallback"}, lambda r: {"type": "Fuse"},
            lambda r: {"type": "Strip", "content": r.choice(" ta▁"), "start": r.randrange(3), "stop": 0}]


def some(r, makers, key):
    kind = r.random()
    if kind < 0.2:
        return None
    if kind < 0.5:
        return r.choice(makers)(r)
    return {"type": "Sequence", key: [r.choice(makers)(r) for _ in range(r.randrange(4))]}


def tiny(r):
    model = tiny_model(r)
    added, place, steps = [], len(model["vocab"]), some(r, PRE_TOKENIZERS, "pretokenizers")
    if steps and r.random() < 0.6:
        steps = {"type": "Sequence", "pretokenizers": [steps, SHOW]}
    for content in r.sample(CONTENTS, r.randrange(7)):
        known = model["vocab"].get(content)
        added.append({"id": place if known is None else known, "content": content,
                      **{k: r.random() < 0.3 for k in ("single_word", "lstrip", "rstrip", "normalized", "special")}})
        place += known is None
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": some(r, NORMALIZERS, "normalizers"),
            "pre_tokenizer": steps, "post_processor": None,
            "decoder": some(r, DECODERS, "decoders"), "model": model}


def refused(d):
    """What the tool refuses on purpose: "first" behind other steps, added tokens that normalizing makes equal or empty."""
    def flat(step):
        return [s for inner in step["pretokenizers"] for s in flat(inner)] if "pretokenizers" in step else [step]

    steps = flat(d["pre_tokenizer"] or {})
    if any(s.get("prepend_scheme") == "first" for s in steps[1 if d["normalizer"] is None else 0:]):
        return True
    t = Tokenizer.from_str(json.dumps(d))
    seen = [t.normalizer.normalize_str(a["content"]) if t.normalizer else a["content"]
            for a in d["added_tokens"] if a["normalized"]]
    return "" in seen or len(set(seen)) < len(seen)


def fixed():
    """Every behavior of a Split, for matches side by side and between text; then rules that texts seldom show."""
    for behavior in BEHAVIORS:
        for invert in False, True:
            steps = [{"type": "Split", "pattern": {"String": "a"}, "behavior": behavior, "invert": invert}, SHOW]
            yield ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}}, {"▁": 0, "a": 1, "b": 2}, [],
                   ["bab", "aabaaba", "a", "aaa", "b", "ba", "abbb", "baabaaab"], [])
    yield {}, {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4}, [["a", "b"], ["b", "c"], ["a", "b"]], ["abc", "ab", "bcab"], []
    steps = [{"type": "Replace", "pattern": {"String": "a"}, "content": ""}, {"type": "Prepend", "prepend": "▁"}]
    yield {"normalizer": {"type": "Sequence", "normalizers": steps}}, {"▁": 0, "b": 1}, [], ["aa", "", "ab", "b"], []
    tokens = ["<0x+5>", "<0xG1>", "<0x4a>", "<0x>", "<0xC3>", "<0xA9>", "<0xFF>", "é", "<0x++>", "<0xé>"]
    vocab = {token: i for i, token in enumerate(tokens)}
    yield ({"decoder": {"type": "ByteFallback"}}, vocab, [], [],
           [[0], [1], [2, 2], [3, 8, 9], [4, 5], [4, 7, 5], [4, 5, 6], [6, 4, 5, 3, 4, 5]])


def fixed_cases():
    for parts, vocab, merges, texts, ids in fixed():
        d = {"added_tokens": [], **parts, "model": {"vocab": vocab, "merges": merges}}
        d = json.dumps(d, ensure_ascii=False, separators=(",", ":"))
        t = Tokenizer.from_str(d)
        yield {"json": d, "cases": [case(t, text) for text in texts] +
               [{"ids": i, "decoded": t.decode(i, skip_special_tokens=False)} for i in ids]}


def mixed(r):
    words = CONTENTS + [" ", "a", "b", " wug", "<x>   ", "the", "12", "é", "日本", "'s", "\r\n", "q"]
    words += ["a", "a", "the"]
    for _ in range(48):
        d = tiny(r)
        while refused(d):
            d = tiny(r)
        t = Tokenizer.from_str(json.dumps(d))
        known = sorted(set(d["model"]["vocab"].values()) | {a["id"] for a in d["added_tokens"]})
        cases = []
        while len(cases) < 6:
            text = "".join(r.choice(words) for _ in range(r.randrange(10)))
            try:
                cases.append(case(t, text))
            except BaseException as e:  # a panic of the library, or an unknown token that is not there
                if "PanicException" not in type(e).__name__:
                    cases.append({"text": text})  # must fail
        cases += decoding(t, r, known, 2)
        yield {"json": json.dumps(d, ensure_ascii=False, separators=(",", ":")), "cases": cases}


# ---- what the library knows of Unicode ----

def fnv(data):
    """FNV-1a, 64 bits."""
    h = 0xcbf29ce484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return "%016x" % h


def unicode_hashes():
    """Of a byte for each code point that is no surrogate and in no empty plane: 1 for \\p{L}, 2 for \\p{N}, 4 for \\s, 8 for
    \\w, added up; and of NFC of a text that holds each of them in four places."""
    points = [c for c in range(0xe0200) if not 0xd800 <= c <= 0xdfff and not 0x32400 <= c < 0xe0000]
    classes = dict.fromkeys(points, 0)
    for bit, regex in ((1, r"\p{L}"), (2, r"\p{N}"), (4, r"\s")):
        left = P.Split(Regex(regex), "removed").pre_tokenize_str("".join(map(chr, points)))
        for c in set(points) - {ord(c) for piece, _ in left for c in piece}:
            classes[c] |= bit
    t = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))  # \w is what keeps a single_word from matching after it
    t.add_tokens([AddedToken("@x", single_word=True, normalized=False)])
    alone = {start for start, _ in t.encode("".join("\n" + chr(c) + "@x" for c in points)).offsets}
    for i, c in enumerate(points):
        if 4 * i + 2 not in alone:
            classes[c] |= 8
    text = "".join("x{0}\u0301\u0327x\u0345{0}\u0334\u0301\u1100{0}\u1161\u0b47{0}".format(chr(c)) for c in points)
    nfc = N.NFC().normalize_str(text).encode()
    return {"classes": fnv(bytes(classes[c] for c in points)), "nfc_length": len(nfc), "nfc": fnv(nfc)}


def main():
    valid, test, model = sys.argv[1:]
    with open(valid, encoding="utf-8", newline="") as f:
        lines = f.read()[:600000].splitlines(True) + SCRIPTS.splitlines(True)
    with open(test, encoding="utf-8", newline="") as f:
        wiki = f.read()
    r = random.Random(20)
    for make in gpt2, flags, llama3, qwen2, llama2, llama2_first, metaspace:
        made = make(lines)
        t, d = made if isinstance(made, tuple) else (made, json.loads(made.to_str()))
        name = make.__name__
        write(name + ".json", json.dumps(d, ensure_ascii=False, separators=(",", ":")))
        write_cases(name + ".cases.json", '"tokenizer":"%s.json"' % name,
                    [case(t, text) for text in TEXTS + [random_text(r, wiki) for _ in range(12)]] +
                    list(decoding(t, r, range(t.get_vocab_size()), 12)) + list(broken(t, r, 40) if name == "gpt2" else []))
    for name, regex in ("gpt2", GPT2), ("llama3", LLAMA3), ("qwen2", QWEN2):
        d = json.dumps(show_cuts(regex), ensure_ascii=False, separators=(",", ":"))
        write("cuts_" + name + ".json", d)
        write_cases("cuts_" + name + ".cases.json", '"tokenizer":"cuts_%s.json"' % name,
                    [case(Tokenizer.from_str(d), text) for text in TEXTS + [random_text(r, wiki) for _ in range(20)]])
    parts = [wiki[at:at + 2500] for at in range(0, len(wiki), 2500)]
    parts = sorted(parts, key=lambda part: -sum(c > "\x7f" for c in part))[:7] + parts[:1]
    write_cases("wiki.cases.json", '"tokenizer":"../../../examples/model/tokenizer.json"',
                [case(Tokenizer.from_file(model), part) for part in parts])
    write("unicode.json", json.dumps(unicode_hashes()))
    rows = [json.dumps(e, ensure_ascii=False, separators=(",", ":")) for e in [*mixed(r), *fixed_cases()]]
    write("mixed.cases.json", "[\n%s\n]" % ",\n".join(rows))


main()
