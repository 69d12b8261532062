#!/bin/sh
# `make install` below a scratch root puts these files there and no others; a program builds with them through the
# pkg-config file, against the shared and the static library. The program is the one in the comment of libquant.h.
set -u
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root
build=${LQ_BUILD:-build}
[ "$(uname -s)" = Linux ] || { echo "written for the names of ELF libraries"; exit 77; }

make_target()
{
  # shellcheck disable=SC2086 # words
  $nobody ${MAKE:-make} --no-print-directory "$1" BUILD="${build#"$PWD/"}" DESTDIR="$root" PREFIX=/usr LIBDIR=/usr/lib
}

fail()
{
  echo "$*"
  exit 1
}

# First to make whatever is not yet made. Then below a folder of its own as a user who may write nowhere else, where the
# system lets one become that user.
nobody=
root=$scratch/first
make_target install || fail "make install failed"
root=$scratch/root
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null &&
  setpriv --reuid=65534 --regid=65534 --clear-groups test -r "$PWD/Makefile" -a -r "$build/quant"; then
  nobody="setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=$scratch TMPDIR=$scratch"
  chown 65534 "$scratch"
  chmod 755 "$scratch"
fi
echo "installs ${nobody:-as $(id -un)}"

touch "$scratch/before"
version=$(awk '/define LQ_VERSION_(MAJOR|MINOR|PATCH) / { printf "%s%s", dot, $3; dot = "." }' include/libquant.h)
major=${version%%.*}
make_target install || fail "make install failed"
(cd "$root" && find . ! -type d | sort) >"$scratch/found"
{
  awk '{ print "./usr/share/man/man3/" $1 ".3" }' lib/libquant.sym
  cat <<END
./usr/bin/quant
./usr/include/libquant.h
./usr/lib/libquant.a
./usr/lib/libquant.so
./usr/lib/libquant.so.$major
./usr/lib/libquant.so.$version
./usr/lib/pkgconfig/libquant.pc
./usr/share/man/man1/quant.1
./usr/share/man/man3/libquant.3
END
} | sort >"$scratch/expected"
diff "$scratch/expected" "$scratch/found" || fail "other files than expected (<) were installed (>)"
grep -l "$scratch" "$root/usr/lib/pkgconfig/libquant.pc" && fail "the scratch root is in libquant.pc"
find /usr/bin /usr/include /usr/lib /usr/local /usr/share/man -maxdepth 3 -newer "$scratch/before" -name '*quant*' 2>/dev/null | grep . &&
  fail "installed outside the scratch root"

# The example, from the comment of the header.
awk '/^ \*     #include <libquant.h>/ { on = 1 }
  on { line = $0; sub(/^ \*(     )?/, "", line); print line }
  on && /^ \*     }$/ { exit }' include/libquant.h >"$scratch/program.c"
[ -s "$scratch/program.c" ] || fail "no program in the comment of libquant.h"

(
  # Below the scratch folder with relative paths: a blank in its name does no harm then.
  cd "$scratch" || exit 1
  pc=root/usr/lib/pkgconfig
  if command -v pkg-config >/dev/null; then
    export PKG_CONFIG_LIBDIR=$pc PKG_CONFIG_SYSROOT_DIR=root
    export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
    [ "$(pkg-config --modversion libquant)" = "$version" ] || fail "the version in libquant.pc is not $version"
    cflags=$(pkg-config --cflags libquant)
    shared=$(pkg-config --libs libquant)
    static=$(pkg-config --static --libs libquant)
  else
    echo "no pkg-config: reading libquant.pc by hand"
    value() { sed -n "s/^$1: *//p" $pc/libquant.pc | sed "s|\${[a-z]*dir}|root/usr/$2|"; }
    cflags=$(value Cflags include)
    shared=$(value Libs lib)
    static="$shared $(value Libs.private lib)"
  fi
  static=$(echo "$static" | sed "s|-lquant|root/usr/lib/libquant.a|")
  cc="${CC:-cc} -std=c99 ${CFLAGS:-} $cflags"
  set -x
  $cc -o shared program.c $shared ${LDFLAGS:-} || fail "does not build against the shared library"
  $cc -o static program.c $static ${LDFLAGS:-} || fail "does not build against the static library"
  # All of it static, where there is a static libc: then -lquant is libquant.a.
  echo 'int main(void) { return 0; }' >empty.c
  if $cc -static -o empty empty.c ${LDFLAGS:-} 2>/dev/null; then
    # shellcheck disable=SC2046
    $cc -static -o alone program.c $(pkg-config --static --libs libquant 2>/dev/null || echo $static) ${LDFLAGS:-} &&
      ./alone || fail "does not build and run as a static program"
  fi
  with_shared=$(LD_LIBRARY_PATH=root/usr/lib ./shared) || fail "does not run with the shared library"
  with_static=$(./static) || fail "does not run with the static library"
  [ "$with_shared" = "$with_static" ] || fail "the two programs differ: $with_shared; $with_static"
  root/usr/bin/quant --version || fail "the installed tool does not run"
) || exit 1

make_target uninstall || fail "make uninstall failed"
find "$root" ! -type d | grep . && fail "left behind by make uninstall"
exit 0
