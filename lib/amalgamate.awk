# The library as one file: awk -f lib/amalgamate.awk lib/sources.list >libquant.c, from the root of the tree.
#
# Every source in the order of the list, with its headers in the place of their first #include. System headers that
# no condition surrounds go to the top, once each. A macro ends with the source that defines it. Names that the
# sources share become static, so that the compiler drops what nothing uses: a function that was static when it was
# first declared stays so, hence only declarations in headers and constants are marked, by LQI_PRIVATE.
#
# The first source of the list stands alone with its headers: it is what is left with LQ_FREESTANDING.

function fail(why)
{
  print "lib/amalgamate.awk: " why >"/dev/stderr"
  status = 1
  exit 1
}

function put(line)
{
  if (line != "" || out[lines] != "")
    out[++lines] = line
}

function read_lines(path, text,   n, line)
{
  n = 0
  while ((getline line <path) > 0)
    text[++n] = line
  close(path)
  if (n == 0)
    fail("cannot read " path)
  return n
}

# "lib/kern/x.c" and "../core/base.h" give "lib/core/base.h".
function beside(path, name)
{
  sub(/[^\/]*$/, "", path)
  while (sub(/^\.\.\//, "", name))
    sub(/[^\/]*\/$/, "", path)
  return path name
}

# Line of the #ifndef that guards a header against a second #include; 0: a template, meant to be included again.
function guard(text, n,   i, name)
{
  for (i = 1; i <= n && text[i] !~ /^#/; i++)
    continue
  name = text[i]
  return sub(/^#ifndef LQI_/, "", name) && text[i + 1] == "#define LQI_" name ? i : 0
}

function private(line)
{
  sub(/extern const /, "LQI_PRIVATE const ", line)
  if (line ~ /^[a-z][a-z0-9_ ]*[ *]lqi_[a-z0-9_]*\(/ && line !~ /^(static|typedef) /)
    return "LQI_PRIVATE " line
  if (line ~ /^ *lqi_[a-z0-9_#]*_fn lqi_/)
    sub(/lqi_/, "LQI_PRIVATE lqi_", line)
  return line
}

function include_system(line)
{
  if (depth > 0)
    put(line)
  else if (line !~ /<libquant.h>/ && !(line in hoisted)) {
    hoisted[line] = 1
    headers[hosted + 0] = headers[hosted + 0] line "\n"
  }
}

function note_macro(line,   name)
{
  name = line
  sub(/^# *(define|undef) +/, "", name)
  sub(/[^A-Za-z0-9_].*/, "", name)
  if (line ~ /^# *undef/)
    delete defined[name]
  else if (!(name in defined)) {
    defined[name] = 1
    macro[++macros] = name
  }
}

function expand(path, header,   text, n, i, begin, target)
{
  n = read_lines(path, text)
  begin = header ? guard(text, n) : 0
  if (begin && seen[path]++)
    return
  if (begin && depth)
    fail(path " is first included under a condition")
  if (begin) {
    text[begin] = text[begin + 1] = ""
    while (text[n] !~ /^#endif/)
      n--
    n--
  }
  put("")
  put("/* " path " */")
  put("")
  for (i = 1; i <= n; i++) {
    if (text[i] ~ /^# *if/)
      depth++
    else if (text[i] ~ /^# *endif/)
      depth--
    else if (!begin && text[i] ~ /^# *(define|undef) /)
      note_macro(text[i])
    if (text[i] ~ /^# *include *"/) {
      target = text[i]
      gsub(/^[^"]*"|".*/, "", target)
      expand(beside(path, target), 1)
    } else if (text[i] ~ /^# *include *</)
      include_system(text[i])
    else if (header)
      put(private(text[i]))
    else if (text[i] ~ /^ *const (struct )?[a-z0-9_]* lqi_[a-z0-9_#]*(\[[0-9]*\])? = /)
      put("LQI_PRIVATE" (text[i] ~ /^ / ? "" : " ") text[i])
    else
      put(text[i])
  }
}

function banner(   text, n, i, version)
{
  n = read_lines("include/libquant.h", text)
  for (i = 1; i <= n; i++)
    if (text[i] ~ /define LQ_VERSION_(MAJOR|MINOR|PATCH) /) {
      sub(/.* /, "", text[i])
      version = version (version == "" ? "" : ".") text[i]
    }
  print "/*"
  print " * libquant " version " in one file. With libquant.h beside it this is the whole library:"
  print " *"
  print " *     cc -std=c11 -O2 -c libquant.c"
  print " *"
  print " * and -lm when linking. -fopenmp gives threads. -DLQ_WITHOUT_NF4 and the like leave out methods,"
  print " * -DLQ_WITHOUT_SIMD the kernels beyond plain C (docs/vendoring.md). Made from the sources of"
  print " * libquant by `make amalgamation`; changes belong there."
  print " *"
  n = read_lines("LICENSE", text)
  for (i = 1; i <= n; i++)
    print text[i] == "" ? " *" : " * " text[i]
  print " */"
}

function print_macro_end(   i)
{
  for (i = 1; i <= macros; i++)
    if (macro[i] in defined)
      put("#undef " macro[i])
  split("", defined)
  macros = 0
}

{
  expand($1, 0)
  print_macro_end()
  if (depth != 0)
    fail($1 ": conditions do not end")
  if (!hosted)
    put("\n#ifndef LQ_FREESTANDING")
  hosted = 1
}

END {
  if (status)
    exit status
  banner()
  print "#include \"libquant.h\"\n"
  printf "%s#ifndef LQ_FREESTANDING\n%s#endif\n", headers[0], headers[1]
  print "\n/* Names that the parts share. The library's own tests, which call them, build with LQI_PRIVATE empty. */"
  print "#ifndef LQI_PRIVATE\n#define LQI_PRIVATE static\n#endif\n"
  print "#if defined(__GNUC__)"
  print "#pragma GCC diagnostic ignored \"-Wunused-function\""
  print "#pragma GCC diagnostic ignored \"-Wunused-const-variable\"\n#endif"
  for (i = 1; i <= lines; i++)
    print out[i]
  print "#endif"
}
