#!/usr/bin/env python3
"""Writes the Unicode tables of the tokenizer, one file a run:

    python3.14 src/model/gen_tok_unicode.py classes > src/model/tok_classes.c    (Unicode 16.0)
    python3.6  src/model/gen_tok_unicode.py nfc     > src/model/tok_nfc_table.c  (Unicode 9.0)
    clang-format -i src/model/tok_classes.c src/model/tok_nfc_table.c

The two versions are those that the `tokenizers` library 0.23 itself uses: its regular expressions (Oniguruma 6.9.10) know
Unicode 16.0, its normalizer (unicode-normalization-alignments 0.1.12) Unicode 9.0. A model saw the text as that library cut
it, so the same version matters more than the newest. The unicodedata2 package stands in for a Python of another version.
"""
import sys

try:
    import unicodedata2 as ucd
except ImportError:
    import unicodedata as ucd

VERSION = {"classes": "16.0.0", "nfc": "9.0.0"}

LETTER, NUMBER, SPACE, WORD = 1, 2, 4, 8

# Property White_Space, which \s is; no general category equals it.
WHITE_SPACE = {0x9, 0xa, 0xb, 0xc, 0xd, 0x20, 0x85, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000} | set(
    range(0x2000, 0x200b))

# What \w holds (UTS 18, annex C) beyond its general categories: Join_Control, and the enclosed letters that
# Other_Alphabetic adds to the symbols. All else in Other_Alphabetic is a mark.
WORD_EXTRA = {0x200c, 0x200d}
for first, last in ((0x24b6, 0x24e9), (0x1f130, 0x1f149), (0x1f150, 0x1f169), (0x1f170, 0x1f189)):
    WORD_EXTRA |= set(range(first, last + 1))

POINTS = [c for c in range(0x110000) if not 0xd800 <= c <= 0xdfff]


def classes(c):
    category = ucd.category(chr(c))
    out = 0
    if category[0] == "L":
        out |= LETTER
    if category[0] == "N":
        out |= NUMBER
    if c in WHITE_SPACE:
        out |= SPACE
    if category[0] in "LM" or category in ("Nd", "Nl", "Pc") or c in WORD_EXTRA:
        out |= WORD
    return out


def runs(value):
    """[first, last, value(c)] of neighbours with one value other than 0."""
    out = []
    for c in POINTS:
        v = value(c)
        if v and out and out[-1][1] == c - 1 and out[-1][2] == v:
            out[-1][1] = c
        elif v:
            out.append([c, c, v])
    return out


def rows(items, per):
    return ",\n".join("    " + ", ".join(items[i:i + per]) for i in range(0, len(items), per))


def table(comment, kind, name, items, per):
    print("\n/* %s */\nconst %s %s[] = {\n%s,\n};\nconst size_t %s_count = sizeof %s / sizeof *%s;" %
          (comment, kind, name, rows(items, per), name, name, name))


def head(name, owns):
    print("""/*
 * %s - %s of Unicode %s. Written by gen_tok_unicode.py,
 * which says what and why; change that and run it again.
 *
 * Owns: the tables. Must not know: who looks things up in them.
 */
#include "tok_unicode.h\"""" % (name, owns, ucd.unidata_version))


def write_classes():
    head("tok_classes.c", "classes of characters")
    table("First and last code point, classes.", "tok_class_range", "tok_class_ranges",
          ["{0x%x, 0x%x, %d}" % tuple(r) for r in runs(classes)], 5)


def write_nfc():
    single, pair = [], []
    for c in POINTS:
        text = ucd.decomposition(chr(c))
        if text and text[0] != "<":
            parts = [int(p, 16) for p in text.split()]
            (pair if len(parts) == 2 else single).append((c, parts))
    # Composed again unless excluded: those that NFC leaves as they are.
    composed = [i for i, (c, parts) in enumerate(pair) if ucd.normalize("NFC", chr(c)) == chr(c)]
    head("tok_nfc_table.c", "canonical mappings")
    table("First and last code point, canonical combining class.", "tok_ccc_range", "tok_ccc_ranges",
          ["{0x%x, 0x%x, %d}" % tuple(r) for r in runs(lambda c: ucd.combining(chr(c)))], 5)
    table("A character and the one that stands for it.", "tok_single", "tok_singles",
          ["{0x%x, 0x%x}" % (c, parts[0]) for c, parts in single], 6)
    table("A character and the two it is made of.", "tok_pair", "tok_pairs",
          ["{0x%x, 0x%x, 0x%x}" % (c, parts[0], parts[1]) for c, parts in pair], 4)
    table("Those of tok_pairs that are put together again, in the order of their two parts.", "uint16_t",
          "tok_compositions", [str(i) for i in sorted(composed, key=lambda i: pair[i][1])], 14)


def main():
    what = sys.argv[1] if len(sys.argv) == 2 else ""
    if what not in VERSION:
        sys.exit(__doc__)
    if ucd.unidata_version != VERSION[what]:
        sys.exit("%s needs Unicode %s; this Python has %s" % (what, VERSION[what], ucd.unidata_version))
    write_classes() if what == "classes" else write_nfc()


main()
