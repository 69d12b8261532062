# The deepest stack of public calls, from the compiler's call graph (-fcallgraph-info=su) and from what objects refer to.
#   awk -v public="NAME..." -f stack.awk LIB-SOURCE... RELOCATIONS CALLGRAPH.ci...
# Where a call goes through a pointer, the line that makes it tells which:
#   a kernel          the functions of lib/kern that are named after its slot, as lib/kern/dispatch.c has them
#   a slot of a table what the tables of that type have in the slot
#   an argument       a function whose address one of the callers takes: found below whatever that caller calls
#   a caller's hook   not counted, like the C library and OpenMP's
# A call that is none of these, a size that is not known, or a circle of calls is a finding.

function last(path,   n, part)
{
  n = split(path, part, ":")
  return part[n]
}

BEGIN {
  once = "lqi_nested_expand" # scales of scales are never nested: it is not called below itself
  edges = "^lqi_tile_f(32|64)_" # a tile at an edge is computed whole by another call of the same function
}

# ---- tables in sources: type, slot -> functions ----

FILENAME ~ /\.[ch]$/ {
  if (match($0, /^(static )?const struct lqi_[a-z_]+ [a-z_0-9]+(\[\])? = \{/)) {
    table = $0
    sub(/^.*struct lqi_/, "", table)
    sub(/ .*/, "", table)
  } else if (/^};/)
    table = ""
  else if (table == "ggml_type" && match($0, /lqi_ggml_[a-z0-9_]+/))
    slots[table, "decode"] = slots[table, "decode"] " " substr($0, RSTART, RLENGTH)
  else if (table != "" && match($0, /\.[a-z_]+ = [a-z_0-9]+,/)) {
    split(substr($0, RSTART + 1, RLENGTH - 2), word, " = ")
    slots[table, word[1]] = slots[table, word[1]] " " word[2] " "
  }
  source[FILENAME, FNR] = $0
  if (FILENAME ~ /dispatch\.c$/)
    check_names($0)
  next
}

# Kernels stand in slots of their own name.
function check_names(text,   word)
{
  while (match(text, /\.[a-z0-9_.]+(\[[A-Z0-9_]+\])? = (FLOATS\(|convert\()?[a-z][a-z0-9_]*/)) {
    split(substr(text, RSTART + 1, RLENGTH - 1), word, " = ")
    text = substr(text, RSTART + RLENGTH)
    sub(/\[.*/, "", word[1])
    sub(/^FLOATS\(|^convert\(/, "", word[2])
    sub(/^lqi_/, "", word[2])
    if (word[2] ~ /_/ && index(word[2] "_", kernel_name(word[1])) != 1)
      finding("lib/kern/dispatch.c: " word[2] " in the slot " word[1])
  }
}

# What the functions in a slot are called, behind lqi_.
function kernel_name(slot)
{
  if (slot ~ /^tiles\./)
    return slot ~ /transpose/ ? "transpose_" : "tile_" substr(slot, 7) "_"
  return slot "_"
}

# ---- relocations: which functions a function refers to ----

/^Relocation section/ {
  from = index($3, ".rela.text.") != 0 ? $3 : ""
  gsub(/'|\.rela\.text\./, "", from)
  next
}

FILENAME !~ /\.ci$/ {
  if (from != "" && /^[0-9a-f]+ .* R_/) {
    to = $(NF - 2)
    sub(/^\.text\./, "", to)
    refers[from] = refers[from] " " to
  }
  next
}

# ---- the call graph ----

function quoted(key,   at, rest)
{
  at = index($0, key ": \"")
  if (at == 0)
    return ""
  rest = substr($0, at + length(key) + 3)
  return substr(rest, 1, index(rest, "\"") - 1)
}

/^node:/ {
  name = last(quoted("title"))
  if (match($0, /[0-9]+ bytes \([a-z,]+\)/)) {
    size = substr($0, RSTART, RLENGTH)
    frame[name] = size + 0
    if (size ~ /dynamic/ && size !~ /bounded/)
      finding(name ": the size is not bounded")
    if (FILENAME ~ /\/lib\/kern\//)
      kernel[name] = 1
  }
}

/^edge:/ {
  name = last(quoted("sourcename"))
  to = last(quoted("targetname"))
  if (to == "__indirect_call")
    pointer(name, quoted("label"))
  else
    calls[name] = calls[name] " " to
}

function finding(text)
{
  print text
  findings++
}

# The source at FILE:LINE:COLUMN; with the next line where a call goes on in it.
function line_at(place,   at, text)
{
  gsub(/[^\/]+\/\.\.\//, "", place)
  split(place, at, ":")
  text = source[at[1], at[2]]
  return text ~ /\)$/ ? text source[at[1], at[2] + 1] : text
}

# The call through a pointer in a function, at FILE:LINE:COLUMN.
function pointer(name, place,   text, slot)
{
  text = line_at(place)
  if (text ~ /hook|->alloc\(|->release\(/)
    return
  if ((slot = kernel_slot(text)) != "") {
    calls[name] = calls[name] " KERNEL:" slot
    pools["KERNEL:" slot] = "^lqi_" slot
  } else if (match(text, /(pass|task|t->load|t->store)\(|few_columns : many_columns/))
    passes[name] = 1
  else if (match(text, /t->encode\(/))
    calls[name] = calls[name] slots["method", "encode"] slots["method", "encode_nested"]
  else if (match(text, /(method|storage|[ (]m)->[a-z_]+\(/))
    slot_call(name, "method", place)
  else if (match(text, /codec->[a-z_]+\(/))
    slot_call(name, "block_codec", place)
  else if (match(text, /grid->[a-z_]+\(/))
    slot_call(name, "grid_ops", place)
  else if (match(text, /type->[a-z_]+\(/))
    slot_call(name, "ggml_type", place)
  else if (match(text, /([ (]l|layout|layout_[a-z]+)(->|\.)[a-z_]+\(/))
    slot_call(name, "layout", place)
  else
    finding(place ": a call through a pointer that tests/stack.awk does not know: " text)
}

# The slot of a kernel that a line calls, as the kernels are named; "" for other calls.
function kernel_slot(text)
{
  if (match(text, /tiles(\.|->)[A-Za-z0-9_]+/)) {
    text = substr(text, RSTART, RLENGTH)
    sub(/.*(\.|->)/, "tiles.", text)
    return kernel_name(tolower(text))
  }
  if (match(text, /LQI_DEFINE_PRODUCT\(f(32|64)/))
    return "tile_" substr(text, RSTART + RLENGTH - 3, 3) "_"
  if (match(text, /(spread|transpose)\(/))
    return substr(text, RSTART, RLENGTH - 1) "_"
  if (text ~ /t->multiply\(/)
    return "blocks_"
  if (!match(text, /(kern|kernels_at\([A-Z_]+\) *)->[a-z0-9_]+[[(]/))
    return ""
  text = substr(text, RSTART, RLENGTH - 1)
  sub(/.*->/, "", text)
  return kernel_name(text)
}

# RSTART and RLENGTH: "RECEIVER->SLOT(" in the line.
function slot_call(name, type, place,   text)
{
  text = substr(line_at(place), RSTART, RLENGTH - 1)
  sub(/^.*(->|\.)/, "", text)
  if (slots[type, text] == "")
    finding(place ": no table of type " type " has a slot " text)
  text = slots[type, text]
  sub(" " name " ", " ", text) # the storage of a method is another one
  calls[name] = calls[name] text
}

# ---- depths ----

# Most bytes from a function down; via[f, inside] is the next of the chain. inside: below `once`, which ends there.
function depth(f, inside,   n, to, i, below, most, hooked)
{
  if (!(f in frame) || (inside && f == once))
    return 0
  inside = inside || f == once
  if ((f, inside) in done)
    return done[f, inside]
  if ((f, inside) in open) {
    finding("a circle of calls through " f)
    return 0
  }
  open[f, inside] = 1
  most = 0
  n = split(calls[f], to, " ")
  for (i = 1; i <= n; i++)
    if (to[i] == f && f ~ edges)
      twice[f] = 1
    else if ((below = depth(to[i], inside)) > most) {
      most = below
      via[f, inside] = to[i]
    }
  # Functions that are handed down: below the deepest place that calls an argument.
  hooked = reach(f) - frame[f]
  n = split(refers[f], to, " ")
  for (i = 1; hooked >= 0 && i <= n; i++)
    if (index(calls[f] " ", " " to[i] " ") == 0 && (below = depth(to[i], inside) + hooked) > most && to[i] in frame) {
      most = below
      via[f, inside] = to[i]
      handed[f, inside] = hooked
    }
  delete open[f, inside]
  return done[f, inside] = most + frame[f] * (1 + twice[f])
}

# Most bytes from a function down to one that calls its argument, both included; -1 if there is none.
function reach(f,   n, to, i, below, most)
{
  if (f in reached)
    return reached[f]
  reached[f] = -1
  most = passes[f] ? 0 : -1
  n = split(calls[f], to, " ")
  for (i = 1; i <= n; i++)
    if (to[i] in frame && (below = reach(to[i])) > most)
      most = below
  return reached[f] = most < 0 ? -1 : most + frame[f]
}

END {
  for (pool in pools) {
    frame[pool] = 0
    for (f in kernel)
      if (f ~ pools[pool])
        calls[pool] = calls[pool] " " f
    if (calls[pool] == "")
      finding("no kernel is named " pools[pool])
  }
  n = split(public, entry, " ")
  for (i = 1; i <= n; i++) {
    f = entry[i]
    if (!(f in frame))
      finding(f " is not in the call graph")
    bytes = depth(f, 0)
    if (verbose)
      print f, bytes
    if (bytes > worst) {
      worst = bytes
      which = f
    }
  }
  for (f = which; f != ""; f = via[f, inside]) {
    inside = inside || f == once
    if (f !~ /^KERNEL/)
      chain = chain (chain == "" ? "" : " > ") f " " frame[f] * (1 + twice[f])
    if ((f, inside) in handed)
      chain = chain " > handed down " handed[f, inside]
  }
  print n " public functions, the deepest chain: " chain
  print worst, findings + 0
}
