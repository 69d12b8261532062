# reference.awk - the manual in include/libquant.h as pages: one for each function, and one for the whole.
#
#   awk -v form=man -v to=DIR -f docs/reference.awk lib/libquant.sym include/libquant.h    lq_NAME.3, libquant.3
#   awk -v form=md  -v to=DIR -f docs/reference.awk ...                                    lq_NAME.md, README.md
#   awk -v form=check -f docs/reference.awk ...       what comments lack, a line each; exit status 1 if anything
#   awk -v form=names -f docs/reference.awk ...       names of the functions
#
# Owns: how the header's comments are read. Must not know: what functions do. No text of a page stands here but
# the meaning of the three thread rules. POSIX awk.

# ---- Reading ----

FILENAME ~ /\.sym$/ {
  since[$1] = $2
  next
}

/define LQ_VERSION_(MAJOR|MINOR|PATCH) / {
  version = version (version == "" ? "" : ".") $3
}

/^\/\* BEGIN DECLARATIONS/ { declarations = 1; next }
/^\/\* END DECLARATIONS/ { declarations = 0; next }

# A comment: its lines without the marks, joined by newlines.
/^\/\*/ || in_comment {
  line = $0
  last = line ~ /\*\/ *$/
  sub(/ *\*\/ *$/, "", line)
  if (!in_comment) {
    comment = ""
    sub(/^\/\* ?/, "", line)
  } else {
    sub(/^ \* ?/, "", line)
  }
  comment = comment (comment == "" ? "" : "\n") line
  in_comment = !last
  if (last && !declarations && essay == "")
    essay = comment
  if (last && comment ~ /^\n?---- .* ----/) {
    sections++
    match(comment, /---- .* ----/)
    title[sections] = substr(comment, RSTART + 5, RLENGTH - 10)
    about[sections] = substr(comment, RSTART + RLENGTH)
    comment = ""
  }
  if (sections == 1 && declarations)
    constants = constants $0 "\n"
  next
}

!declarations { next }

# Section 1 is the constants, which are shown as they stand.
sections == 1 {
  constants = constants $0 "\n"
  if (match($0, /LQ_E_[A-Z]+ = -[0-9]+/)) {
    code = substr($0, RSTART, RLENGTH)
    sub(/ .*/, "", code)
    meaning[code] = $0
    sub(/^.*\/\* */, "", meaning[code])
    sub(/ *\*\/.*$/, "", meaning[code])
  }
}

/^LQ_API / || in_prototype {
  line = $0
  if (!in_prototype) {
    name = line
    sub(/\(.*/, "", name)
    sub(/.*[ *]/, "", name)
    n++
    names[n] = name
    number[name] = n
    prototype[n] = ""
    text[n] = comment
    section[n] = sections
  }
  sub(/^(LQ_API |       )/, "", line)
  prototype[n] = prototype[n] (in_prototype ? "\n" : "") line
  in_prototype = line !~ /;/
  next
}

/^typedef .*[{;]$/ || in_type {
  type_text = type_text $0 "\n"
  in_type = type_text ~ /\{/ ? $0 !~ /^\}/ : 0
  if (!in_type) {
    type = $0
    if (type ~ /\(\*lq_/)
      sub(/\).*/, "", type)
    sub(/;.*/, "", type)
    sub(/.*[ *]/, "", type)
    types++
    type_name[types] = type
    type_body[types] = type_text
    type_about[types] = comment != "" ? comment : type_about[types - 1] # of two in a row the first has it
    type_text = ""
  }
  next
}

/^$/ { comment = "" }

END {
  if (in_comment || in_prototype || in_type || n == 0) {
    print "cannot read the header to its end"
    exit 1
  }
  for (i = 1; i <= n; i++)
    settle(i)
  if (form == "names")
    for (i = 1; i <= n; i++)
      print names[i]
  else if (form == "check")
    exit check_all()
  else
    write_all()
}

# ---- What a comment says ----

# The thread rule, the codes, the result, the parameters, the summary of function i.
function settle(i,    s, word, p, count, parts, j) {
  s = text[i]
  gsub(/\n/, " ", s)
  thread[i] = s ~ /[Aa]ny thread\./ ? "any" : ""
  if (s ~ /[Oo]ne thread per handle\./)
    thread[i] = thread[i] "one"
  if (s ~ /[Nn]ot during others\./)
    thread[i] = thread[i] "not"
  if (thread[i] == "any" || thread[i] == "one")
    sub(/(^|[ \n])(Any[ \n]thread|One[ \n]thread[ \n]per[ \n]handle)\./, "", text[i])
  result[i] = prototype[i]
  sub(/ *lq_[a-z0-9_]*\(.*/, "", result[i])
  codes[i] = s ~ /Errors as (there|lq_)/ ? codes[i - 1] : ""
  while (match(s, /LQ_E_[A-Z]+/)) {
    word = substr(s, RSTART, RLENGTH)
    if (index(codes[i] " ", word " ") == 0)
      codes[i] = codes[i] (codes[i] == "" ? "" : " ") word
    s = substr(s, RSTART + RLENGTH)
  }
  p = prototype[i]
  gsub(/\n/, " ", p)
  sub(/^[^(]*\(/, "", p)
  sub(/\);.*/, "", p)
  count = split(p, parts, / *, */)
  parameters[i] = ""
  for (j = 1; j <= count && p != "void"; j++) {
    sub(/.*[ *]/, "", parts[j])
    parameters[i] = parameters[i] (parameters[i] == "" ? "" : " ") parts[j]
  }
  summary[i] = text[i]
  gsub(/\n/, " ", summary[i])
  sub(/^ +/, "", summary[i])
  if (match(summary[i], /[^.]\. |[^.]\.$|.[;:] |. \(/))
    summary[i] = substr(summary[i], 1, RSTART)
}

function has_word(s, word) {
  return (" " s " ") ~ ("[^A-Za-z0-9_]" word "[^A-Za-z0-9_]")
}

function lacks(i, what) {
  print names[i] ": " what
  findings++
}

function check_all(    i, j, count, parts, known, left) {
  findings = 0
  for (i = 1; i <= n; i++) {
    if (names[i] in known)
      lacks(i, "declared twice")
    known[names[i]] = 1
    if (!(names[i] in since))
      lacks(i, "not in lib/libquant.sym")
    if (summary[i] == "")
      lacks(i, "no comment directly before it")
    if (length(summary[i]) > 100)
      lacks(i, "its first sentence is longer than 100 characters: " summary[i])
    if (thread[i] != "any" && thread[i] != "one" && thread[i] != "not")
      lacks(i, "not exactly one of: Any thread. One thread per handle. Not during others.")
    count = split(parameters[i], parts, " ")
    for (j = 1; j <= count; j++)
      if (!has_word(text[i], parts[j]) && !has_word(about[section[i]], parts[j]))
        lacks(i, "says nothing of the parameter " parts[j])
    if (prototype[i] ~ /\*\*out\)/ && text[i] !~ /own|belongs to/)
      lacks(i, "does not say who owns *out")
    if (result[i] == "lq_status" && codes[i] == "")
      lacks(i, "returns a status and names no code")
    count = split(codes[i], parts, " ")
    for (j = 1; j <= count; j++)
      if (!(parts[j] in meaning))
        lacks(i, "names a code that is not declared: " parts[j])
  }
  for (left in since)
    if (!(left in number)) {
      print left ": in lib/libquant.sym, not in the header"
      findings++
    }
  return findings != 0
}

# ---- Writing: the few forms that pages have, in both markups ----

# Text as it is, safe from the markup.
function plain(s) {
  if (form == "man") {
    gsub(/\\/, "\\e", s)
    gsub(/-/, "\\-", s)
  } else {
    gsub(/[\\*_<>\[\]]/, "\\\\&", s)
  }
  return s
}

# Text with names set apart: functions, constants, `parameters`.
function prose(s, self,    done, word) {
  done = ""
  while (match(s, /`[^`]*`|lq_[a-z0-9_]+|LQ_[A-Z0-9_]+|make [a-z]+`/)) {
    word = substr(s, RSTART, RLENGTH)
    done = done plain(substr(s, 1, RSTART - 1))
    s = substr(s, RSTART + RLENGTH)
    if (substr(word, 1, 1) == "`")
      word = substr(word, 2, length(word) - 2)
    if (form == "man")
      done = done (word ~ /^(lq|LQ)_/ ? "\\fB" : "\\fI") plain(word) "\\fP"
    else
      done = done (word in number && word != self ? "[`" word "`](" word ".md)" : "`" word "`")
  }
  return done plain(s)
}

function put(s) {
  print s >file
}

function heading(s) {
  put(form == "man" ? ".SH " s : "\n## " s "\n")
}

function paragraph(s, self) {
  filled(prose(s, self))
}

# Lines of a man page are short, and none begins with what would be a request.
function filled(s,    count, words, i, line) {
  if (form != "man") {
    put(s)
    return
  }
  count = split(s, words, " ")
  line = ""
  for (i = 1; i <= count; i++)
    if (line != "" && length(line) + length(words[i]) > 77) {
      put(line)
      line = words[i]
      sub(/^[.']/, "\\\\&&", line)
    } else {
      line = line (line == "" ? "" : " ") words[i]
    }
  put(line)
}

function between() {
  put(form == "man" ? ".PP" : "")
}

function literal(s, language,    count, lines, i) {
  put(form == "man" ? ".EX" : "```" language)
  count = split(s, lines, "\n")
  while (count > 0 && lines[count] == "")
    count--
  for (i = 1; i <= count; i++)
    put(form == "man" ? (lines[i] ~ /^[.']/ ? "\\&" : "") plain(lines[i]) : lines[i])
  put(form == "man" ? ".EE" : "```")
}

# A comment: paragraphs, and lines set in by two blanks or more, which stay as they are.
function body(s, self,    count, lines, i, run, block, first) {
  count = split(s, lines, "\n")
  run = block = ""
  first = 1
  for (i = 1; i <= count + 1; i++) {
    if (run != "" && (i > count || lines[i] ~ /^ *$/ || lines[i] ~ /^  /)) {
      if (!first)
        between()
      paragraph(run, self)
      run = ""
      first = 0
    }
    if (block != "" && (i > count || lines[i] !~ /^  /) && !(lines[i] ~ /^ *$/ && lines[i + 1] ~ /^  /)) {
      if (!first)
        between()
      literal(block)
      block = ""
      first = 0
    }
    if (i > count)
      break
    if (lines[i] ~ /^  /)
      block = block lines[i] "\n"
    else if (block != "")
      block = block "\n"
    if (lines[i] ~ /^[^ ]/)
      run = run (run == "" ? "" : " ") lines[i]
  }
}

function open_page(name, what) {
  file = to "/" name
  if (form == "man") {
    sub(/\.3$/, "", name)
    put(".\\\" Made from include/libquant.h; change it there.")
    put(".TH " toupper(name) " 3 \"" date "\" \"libquant " version "\" \"libquant\"")
    heading("NAME")
    gsub(/`/, "", what)
    filled(name " \\- " plain(what))
  } else {
    sub(/\.md$/, "", name)
    put("# " (name == "README" ? "libquant" : name) "\n\n" prose(what, name))
  }
}

# ---- The pages ----

function synopsis(i) {
  heading("SYNOPSIS")
  literal("#include <libquant.h>\n\n" prototype[i], "c")
}

function results(i,    count, parts, j) {
  heading("RETURN VALUE")
  if (result[i] == "void")
    paragraph("None.")
  else if (result[i] ~ /char/)
    paragraph("Text that the caller does not free: it lives as long as the handle it came from, or for ever " \
              "where there is none.")
  else if (result[i] != "lq_status")
    paragraph("As described.")
  if (result[i] != "lq_status")
    return
  paragraph("LQ_OK, or a negative code; lq_status_string has a text for it.")
  heading("ERRORS")
  count = split(codes[i], parts, " ")
  for (j = 1; j <= count; j++)
    if (form == "man")
      put(".TP\n.B " parts[j] "\n" plain(meaning[parts[j]]))
    else
      put("- `" parts[j] "`: " plain(meaning[parts[j]]))
}

function threads(i) {
  heading("THREADS")
  if (thread[i] == "any")
    paragraph("Any thread: there is no shared state; const handles may be shared.")
  else if (thread[i] == "one")
    paragraph("One thread per handle: a handle that is being changed belongs to one thread at a time.")
  else
    paragraph("Not during others: no other call may run in the process.")
}

# The public structs and function types that the prototype names, with what they say of themselves.
function related_types(i,    j, any, seen) {
  for (j = 1; j <= types; j++) {
    if (type_body[j] ~ /^typedef (struct lq_[a-z]+ lq_|int32_t)/ || !has_word(prototype[i], type_name[j]))
      continue
    if (!any)
      heading("TYPES")
    else
      between()
    any = 1
    body(type_about[j])
    between()
    literal((j > 1 && type_about[j - 1] == type_about[j] ? type_body[j - 1] : "") type_body[j], "c")
  }
}

function see_also(i,    j, list) {
  heading("SEE ALSO")
  list = ""
  for (j = 1; j <= n; j++)
    if (section[j] == section[i] && j != i)
      list = list (form == "man" ? ".BR " names[j] " (3),\n" : "[`" names[j] "`](" names[j] ".md), ")
  put(form == "man" ? list ".BR libquant (3)" : list "[all functions](README.md)")
}

function function_page(i) {
  open_page(names[i] (form == "man" ? ".3" : ".md"), summary[i])
  synopsis(i)
  heading("DESCRIPTION")
  body(text[i], names[i])
  if (about[section[i]] ~ /[a-z]/) {
    between()
    body(about[section[i]], names[i])
  }
  results(i)
  threads(i)
  related_types(i)
  heading("HISTORY")
  paragraph("Since libquant " since[names[i]] ".")
  see_also(i)
  close(file)
}

# The comment that opens the header: parts under lines of dashes, each with a heading in capitals.
function essay_parts(    count, parts, i, head) {
  count = split(essay, parts, /-----+\n/)
  for (i = 2; i <= count; i++) {
    head = parts[i]
    sub(/\n.*/, "", head)
    heading(head)
    sub(/^[^\n]*\n/, "", parts[i])
    body(parts[i])
  }
}

function list_functions(    i, last) {
  heading("FUNCTIONS")
  for (i = 1; i <= n; i++) {
    if (section[i] != last)
      put(form == "man" ? ".SS " plain(title[section[i]]) : (last ? "\n" : "") "### " title[section[i]] "\n")
    last = section[i]
    if (form == "man")
      put(".TP\n.BR " names[i] " (3)")
    if (form == "man")
      paragraph(summary[i])
    else
      put("- [`" names[i] "`](" names[i] ".md): " prose(summary[i], names[i]))
  }
}

function write_all(    i, what) {
  for (i = 1; i <= n; i++)
    function_page(i)
  what = essay
  sub(/^[^-]*- /, "", what)
  sub(/\..*/, "", what)
  open_page(form == "man" ? "libquant.3" : "README.md", what)
  if (form == "man") {
    heading("SYNOPSIS")
    literal("#include <libquant.h>\n\ncc program.c $(pkg-config --cflags --libs libquant)")
  }
  essay_parts()
  list_functions()
  heading("CONSTANTS")
  literal(constants, "c")
  if (form == "man") {
    heading("SEE ALSO")
    put(".BR quant (1)")
  }
  close(file)
}
