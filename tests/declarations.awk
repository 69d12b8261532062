# Prints what include/libquant.h declares between its markers, a line for each in the order of the header:
#   constant NAME | struct NAME | field STRUCT NAME DECLARATION | typedef DECLARATION | function DECLARATION
# Declarations come with single blanks and without LQ_API. Every test of the interface reads these lines.
/^\/\* BEGIN DECLARATIONS/ { inside = 1 }
/^\/\* END DECLARATIONS/ { inside = 0 }
inside { text = text " " $0 }

function trim(s)
{
  gsub(/[ \t]+/, " ", s)
  gsub(/^ | $/, "", s)
  gsub(/\( /, "(", s)
  return s
}

function enumerators(body,    part, n, i)
{
  n = split(body, part, ",")
  for (i = 1; i <= n; i++) {
    sub(/=.*/, "", part[i])
    if (trim(part[i]) != "")
      print "constant", trim(part[i])
  }
}

# "double a, b" is two fields; commas inside of the parameters of a function pointer are not between fields.
function fields(name, body,    part, declarator, n, m, i, k, type, field)
{
  n = split(body, part, ";")
  for (i = 1; i <= n; i++) {
    part[i] = trim(part[i])
    if (part[i] == "")
      continue
    m = part[i] ~ /\(/ ? 1 : split(part[i], declarator, ",")
    if (m == 1)
      declarator[1] = part[i]
    type = declarator[1]
    sub(/[A-Za-z0-9_]+$/, "", type)
    for (k = 1; k <= m; k++) {
      field = k == 1 ? declarator[1] : trim(type declarator[k])
      declarator[k] = field
      if (match(field, /\(\*[a-z0-9_]+\)/))
        field = substr(field, RSTART + 2, RLENGTH - 3)
      else {
        sub(/\[.*/, "", field)
        sub(/.*[ *]/, "", field)
      }
      print "field", name, field, declarator[k]
    }
  }
}

END {
  while (match(text, /\/\*([^*]|\*+[^*\/])*\*+\//))
    text = substr(text, 1, RSTART - 1) " " substr(text, RSTART + RLENGTH)
  while (match(text, /^[^;{]*;|^[^;{]*\{[^}]*\}[^;]*;/)) {
    item = trim(substr(text, 1, RLENGTH - 1))
    text = substr(text, RLENGTH + 1)
    body = item
    sub(/^[^{]*\{/, "", body)
    sub(/\}[^}]*$/, "", body)
    if (item ~ /^enum \{/)
      enumerators(body)
    else if (item ~ /^typedef struct [a-z0-9_]+ \{/) {
      split(item, word, " ")
      print "struct", word[3]
      fields(word[3], body)
    } else if (item ~ /^typedef /)
      print item
    else if (sub(/^LQ_API /, "", item))
      print "function", item
    else
      print "unknown", item
  }
  if (trim(text) != "")
    print "unknown", trim(text)
}
