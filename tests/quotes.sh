#!/bin/sh
# Code in docs/embedding.md is quoted from the examples: each block stands in one of them, line for line.
set -u
cd "$(dirname "$0")/.." || exit 1
awk -v page=docs/embedding.md '
  FILENAME != page { text[FILENAME] = text[FILENAME] $0 "\n"; next }
  /^```/ {
    found = 0
    for (file in text)
      found += index(text[file], block) > 0
    if (on && found && block != "")
      passed++
    else if (on) {
      failed++
      print page ":" FNR ": not in any example:\n" block
    }
    block = ""
    on = !on && /^```c/
    next
  }
  on { block = block $0 "\n" }
  END {
    printf "%d passed, %d failed\n", passed, failed
    exit failed > 0 || passed == 0
  }' examples/*.c examples/*.cc docs/embedding.md
