# Worst stack of a call, from gcc's -fcallgraph-info=su: awk -f stack.awk FILE.ci NAME..., a line "NAME BYTES" each.
# "?" in place of bytes where a size is not static, or calls go round in a circle or through a pointer.
BEGIN {
  for (i = 2; i < ARGC; i++)
    names[++count] = ARGV[i]
  ARGC = 2
}

function quoted(key,   at, rest)
{
  at = index($0, key ": \"")
  rest = substr($0, at + length(key) + 3)
  return substr(rest, 1, index(rest, "\"") - 1)
}

/^node:/ {
  title = quoted("title")
  if (match($0, /[0-9]+ bytes \([a-z,]+\)/)) {
    size = substr($0, RSTART, RLENGTH)
    if (size !~ /\(static\)/)
      odd[title] = 1
    frame[title] = size + 0
  } else if (title == "__indirect_call")
    odd[title] = 1
}

/^edge:/ {
  from = quoted("sourcename")
  calls[from, ++n[from]] = quoted("targetname")
}

function worst(f,   i, most, below)
{
  if (odd[f] || open[f])
    return -1
  open[f] = 1
  for (i = 1; i <= n[f]; i++) {
    below = worst(calls[f, i])
    if (below < 0)
      most = -1
    else if (most >= 0 && below > most)
      most = below
  }
  open[f] = 0
  return most < 0 ? -1 : most + frame[f]
}

END {
  for (i = 1; i <= count; i++) {
    bytes = names[i] in frame ? worst(names[i]) : -1
    print names[i], bytes < 0 ? "?" : bytes
  }
}
