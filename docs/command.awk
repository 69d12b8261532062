# command.awk - the page quant.1 from what the tool says of itself.
#
#   { quant --help; quant VERB --help; ... } | awk -v version=V -v date=D -f docs/command.awk docs/quant.1.in -
#
# docs/quant.1.in is the page without its lists: @SYNOPSIS@, @SUMMARY@ and @VERBS@ stand for what comes from the help
# texts. Owns: how a help text is read. Must not know: any verb or option. POSIX awk.

function literal(s) {
  gsub(/\\/, "\\e", s)
  gsub(/-/, "\\-", s)
  return (s ~ /^[.']/ ? "\\&" : "") s
}

# The page's own text is remembered; examples in it are written as they are typed.
FILENAME != "-" {
  if ($0 == ".EE")
    example = 0
  page[++lines] = example ? literal($0) : $0
  if ($0 == ".EX")
    example = 1
  next
}

/^usage: quant/ {
  verb++
  usage[verb] = substr($0, 8)
  part = "summary"
  next
}

# In the help of the whole tool: the list of verbs and the exit status, which the page has in other words.
verb == 1 && part != "summary" { next }
verb == 1 && /^verbs:/ { part = "verbs"; next }

# "  -o, --output OUT  text", "      --json  text"; the text may begin on the next line and is wrapped.
part == "options" && /^  (-[a-zA-Z], |    )--/ {
  line = $0
  sub(/^ +/, "", line)
  text = ""
  if (match(line, /  +/)) {
    text = substr(line, RSTART + RLENGTH)
    line = substr(line, 1, RSTART - 1)
  }
  body[verb] = body[verb] ".TP\n" option(line) "\n" (text == "" ? "" : literal(text) "\n")
  next
}
part == "options" && /^ / {
  sub(/^ +/, "")
  body[verb] = body[verb] literal($0) "\n"
  next
}
part == "options" && /:$/ { body[verb] = body[verb] ".PP\n.I " literal(substr($0, 1, length($0) - 1)) "\n"; next }
/^options:$/ { part = "options"; next }
part == "summary" && /./ { summary[verb] = summary[verb] literal($0) "\n" }

# "-o, --output OUT": dashes and names in bold, what stands for a value in italics.
function option(s,    words, count, i, out) {
  count = split(s, words, " ")
  out = ""
  for (i = 1; i <= count; i++) {
    out = out (i > 1 ? " " : "")
    if (words[i] ~ /^-.*,$/)
      out = out "\\fB" literal(substr(words[i], 1, length(words[i]) - 1)) "\\fP,"
    else
      out = out (words[i] ~ /^-/ ? "\\fB" : "\\fI") literal(words[i]) "\\fP"
  }
  return out
}

# Lines of a page, those of running text not longer than they should be.
function put(s,    count, lines, i, j, words, n, line) {
  sub(/\n+$/, "", s)
  count = split(s, lines, "\n")
  for (i = 1; i <= count; i++) {
    if (lines[i] == ".EX" || lines[i] == ".EE")
      example = lines[i] == ".EX"
    if (example || lines[i] ~ /^[.']/ || length(lines[i]) <= 78) {
      print lines[i]
      continue
    }
    n = split(lines[i], words, " ")
    line = words[1]
    for (j = 2; j <= n; j++)
      if (length(line) + length(words[j]) > 77) {
        print line
        line = (words[j] ~ /^[.']/ ? "\\&" : "") words[j]
      } else {
        line = line " " words[j]
      }
    print line
  }
}

END {
  if (verb < 2) {
    print "no help texts" >"/dev/stderr"
    exit 1
  }
  for (i = 1; i <= lines; i++)
    if (page[i] == "@SYNOPSIS@")
      for (v = 2; v <= verb; v++)
        put((v > 2 ? ".br\n" : "") literal(usage[v]))
    else if (page[i] == "@SUMMARY@")
      put(summary[1])
    else if (page[i] == "@VERBS@")
      for (v = 2; v <= verb; v++) {
        name = usage[v]
        sub(/^quant /, "", name)
        sub(/ .*/, "", name)
        put(".SS " name "\n.B " literal(usage[v]) "\n.PP\n" summary[v] body[v])
      }
    else {
      gsub(/@VERSION@/, version, page[i])
      gsub(/@DATE@/, date, page[i])
      put(page[i])
    }
}
