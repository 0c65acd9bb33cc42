#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh ROOT: what `weft run` promises: any working directory, arguments as they are, the program's
# own exit status, fresh after every change, and a second start within a second.
set -u
root=$1
place=$(mktemp -d) || exit 1
trap 'rm -rf "$place"' EXIT
mkdir "$place/a folder"
ln -s "$root/weft" "$place/weft"
cd "$place" || exit 1
status=0

fail() {
    echo "$*"
    status=1
}
expect() { # expect STATUS OUTPUT COMMAND...
    wanted_status=$1 wanted=$2
    shift 2
    got=$("$@" 2>"$place/errors")
    got_status=$?
    [ "$got" = "$wanted" ] && [ $got_status -eq "$wanted_status" ] && return
    fail "$*: status $got_status, printed: $got"
    cat "$place/errors"
}

cat >"a folder/show me.c" <<'C'
#include <stdio.h>

#include <weft/weft.h>

#include "own.h"

static int app_main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        printf("[%s]", argv[i]);
    printf(OWN " %s\n", weft_backend_name());
    return 7;
}

WEFT_MAIN(app_main);
C
echo '#define OWN "one"' >"a folder/own.h"
# shellcheck disable=SC2016 # passed on as it is
expect 7 '[a b][$x][*][-n][--backend][]one epoll' \
    ./weft run 'a folder/show me.c' 'a b' '$x' '*' -n --backend ''

before=$(date +%s%N)
expect 7 'one epoll' ./weft run 'a folder/show me.c'
took=$((($(date +%s%N) - before) / 1000000))
[ $took -lt 1000 ] || fail "the second run started after $took ms"

echo '#define OWN "two"' >"a folder/own.h"
expect 7 'two epoll' ./weft run "$place/a folder/show me.c"
expect 7 'two fake' ./weft run --backend fake 'a folder/show me.c'

cat >sum.cc <<'C'
#include <vector>

#include <weft/weft.h>

static int app_main(int, char **)
{
    return (int)std::vector<int>(5).size();
}

WEFT_MAIN(app_main);
C
expect 5 '' ./weft run sum.cc

printf 'int main(void)\n{\n    return unknown;\n}\n' >wrong.c
expect 1 '' ./weft run wrong.c
grep -q "wrong.c:3:12: error: .unknown. undeclared" errors || fail "wrong.c: no error message"
expect 2 '' ./weft run missing.c
expect 2 '' ./weft run
expect 2 '' ./weft run "$root/README.md"
expect 2 '' ./weft frobnicate
expect 2 '' ./weft run --backend nosuch sum.cc

# On every backend: the output once, and whether it is the same.
cat >same.c <<'C'
#include <stdio.h>

#include <weft/weft.h>

static int app_main(int argc, char **argv)
{
    printf("%s %d\n", argc > 1 ? argv[1] : weft_backend_name(), getchar());
    return argc > 2 ? weft_backend_name()[0] == 'e' : 3;
}

WEFT_MAIN(app_main);
C
expect 3 'x -1' ./weft run --backend all same.c x
grep -q 'weft: the same output and exit status (3) on: epoll .*fake' errors || {
    fail "all: does not say that they agree"
    cat errors
}
expect 1 'epoll -1' ./weft run --backend=all same.c
grep -q '^-epoll -1$' errors || fail "all: no diff of the outputs"
grep -q '^+fake -1$' errors || fail "all: no diff of the last one's output"
grep -q 'weft: not the same as on epoll: .*fake$' errors || fail "all: does not say who differs"
expect 1 'x -1' ./weft run --backend all same.c x y
grep -q 'weft: exit status 0 on fake, 1 on epoll' errors || fail "all: no word on the status"
printf '#include <signal.h>\nint main(void)\n{\n    return raise(SIGKILL);\n}\n' >killed.c
expect 137 '' ./weft run killed.c
exit $status
