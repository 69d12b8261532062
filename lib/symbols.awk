# Turns lib/libquant.sym (name, version; grouped by version, oldest first) into a linker version script.
/^#/ || NF < 2 { next }
!($2 in names) { order[++n] = $2 }
{ names[$2] = names[$2] "    " $1 ";\n" }
END {
  for (i = 1; i <= n; i++) {
    printf "LQ_%s {\n  global:\n%s", order[i], names[order[i]]
    printf i == 1 ? "  local: *;\n};\n" : "} LQ_%s;\n", order[i - 1]
  }
}
