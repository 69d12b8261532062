# The rules for the interface that a machine can look at, over the lines of tests/declarations.awk. Prints what breaks one;
# docs/abi.md says why each is there.
function report(why)
{
  print why ": " $0
}

# A result, field or parameter, with its name or without. What is good is listed, since what is not has no end: long, int,
# enum, bool, unions, bit-fields, FILE and time_t all fail here, and so do arrays as parameters and structs by value.
function value(text, is_field,    type, word, n, i)
{
  gsub(/^ | $/, "", text)
  if (text ~ /^size_t (bytes|alignment)$/ || text ~ /^\*[a-z0-9_]+$/) # memory of this process; (*name) of a callback
    return
  type = text
  if (is_field)
    sub(/\[[0-9]+\]$/, "", type)
  if (type !~ /^(void|double|lq_status|u?int[0-9]+_t)$/ && !sub(/ [a-z][a-z0-9_]*$/, " ", type))
    sub(/\*[a-z][a-z0-9_]*$/, "*", type)
  n = split(type, word, /[ *]+/)
  for (i = 1; i <= n; i++)
    if (word[i] !~ /^(|const|void|char|float|double|u?int(8|16|32|64)_t|lq_status)$/ && !(word[i] in types))
      report("not of the interface, `" text "`")
  if (type ~ /char *$/)
    report("char that is not text")
  for (name in types)
    if (types[name] != "callback" && type ~ "(^| )" name " *$")
      report("a struct or handle by value")
}

function values(text, is_field,    part, n, i)
{
  n = split(text, part, /[(),]+/)
  for (i = 1; i <= n; i++)
    if (part[i] !~ /^ *$/)
      value(part[i], is_field)
  if (text ~ /\(\)/)
    report("no prototype: say (void)")
}

# lq_task_fn goes the other way: the library gives it to the caller's threads.
function callback(text)
{
  values(text)
  if (text !~ /\)\(void \*user[,)]/ && text !~ /\(\*lq_task_fn\)\(void \*arg,/)
    report("a callback without `void *user` in front")
}

{ text = $0 }
$1 == "constant" && $2 !~ /^LQ_[A-Z0-9_]+$/ { report("name of a constant") }
$1 == "unknown" { report("neither constant, type nor function") }
$1 == "struct" {
  types[$2] = "struct"
  first = 1
}
$1 == "field" {
  sub(/^field [^ ]+ [^ ]+ /, "", text)
  if (first && text != "uint32_t size")
    report("a struct that does not begin with `uint32_t size`")
  first = 0
  if (text ~ /\(\*/)
    callback(text)
  else
    values(text, 1)
}
$1 == "typedef" && sub(/^typedef /, "", text) {
  if (text ~ /^struct lq_[a-z0-9_]+ lq_[a-z0-9_]+$/)
    types[$4] = "handle"
  else if (match(text, /\(\*lq_[a-z0-9_]+\)/)) {
    types[substr(text, RSTART + 2, RLENGTH - 3)] = "callback"
    callback(text)
  } else if (text != "int32_t lq_status")
    report("a type that is neither handle, struct nor callback")
}
$1 == "function" && sub(/^function /, "", text) {
  if (text !~ /[ *]lq_[a-z0-9_]+\(/)
    report("name of a function")
  values(text)
}
