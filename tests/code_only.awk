# Prints FILE:LINE:code for C sources, without comments and without what stands in strings (kept in #include lines).
FNR == 1 { in_comment = 0 }
{
  line = $0
  code = ""
  include = line ~ /^[ \t]*#[ \t]*include/
  while (line != "") {
    if (in_comment) {
      end = index(line, "*/")
      if (end == 0)
        break
      line = substr(line, end + 2)
      in_comment = 0
    } else if (match(line, include ? "/[*/]" : "/[*/]|[\"']") == 0) {
      code = code line
      break
    } else {
      code = code substr(line, 1, RSTART - 1)
      opener = substr(line, RSTART, 1) == "/" ? substr(line, RSTART, 2) : substr(line, RSTART, 1)
      line = substr(line, RSTART + length(opener))
      if (opener == "//")
        break
      if (opener == "/*") {
        code = code " "
        in_comment = 1
      } else {
        body = opener == "\"" ? "^([^\"\\\\]|\\\\.)*\"" : "^([^'\\\\]|\\\\.)*'"
        if (match(line, body))
          line = substr(line, RLENGTH + 1)
        code = code opener opener
      }
    }
  }
  if (code ~ /[^ \t]/)
    print FILENAME ":" FNR ":" code
}
