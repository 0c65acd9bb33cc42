#!/bin/sh
# SPDX-License-Identifier: MIT
# links.sh ROOT LIBDIR BACKEND: row EMB-16. A program that itself uses libevent (evhttp), libuv or
# libev for something else works with the library in LIBDIR, in each link order, directly or through
# a dependency. One pair nobody can save, because libev exports libevent's names: libev found before
# libevent, on weft's libevent backend. It is refused with -ELIBBAD.
set -u
root=$1 libdir=$2 backend=$3
place=$(mktemp -d) || exit 1
trap 'rm -rf "$place"' EXIT
cd "$place" || exit 1
status=0
number=0

compile() { # compile FLAGS...
    cc -std=gnu17 -D_GNU_SOURCE -O1 -I"$root" -I"$root/api" "$@"
}
check() { # check NAME EXPECTED OBJECTS-AND-LIBRARIES...: in this order
    name=16_$1 expected=$2
    shift 2
    number=$((number + 1))
    compile -o program program.o -L"$libdir" -L. -Wl,--no-as-needed "$@" >report 2>&1 &&
        LD_LIBRARY_PATH=$libdir:$place timeout 30 ./program >>report 2>&1
    got=$?
    # Nothing may be printed, either.
    if [ $got -eq "$expected" ] && [ ! -s report ]; then
        echo "ok $number - emb::$name"
    else
        echo "not ok $number - emb::$name"
        echo "# status $got, not $expected"
        sed 's/^/# /' report
        status=1
    fi
}

echo 1..13
compile -c "$root/tests/links/program.c" || exit 1
for user in libevent libuv libev; do
    case $user in
    libevent) libraries='-levent_extra -levent_core' ;;
    libuv) libraries=-luv ;;
    libev) libraries=-lev ;;
    esac
    compile -fPIC -c "$root/tests/links/use_$user.c" || exit 1
    # shellcheck disable=SC2086 # flags are words
    compile -shared -o lib$user-user.so use_$user.o $libraries || exit 1

    refused=0 # where the loader finds libev before libevent
    [ "$backend $user" != 'libevent libev' ] || refused=80
    check ${user}_in_a_dependency_after_weft 0 -lweft -l$user-user
    check ${user}_in_a_dependency_before_weft $refused -l$user-user -lweft
    # shellcheck disable=SC2086
    check ${user}_after_weft $refused use_$user.o -lweft $libraries
    # shellcheck disable=SC2086
    check ${user}_before_weft $refused use_$user.o $libraries -lweft
done
# What doctor and the guide tell those who need that pair: name libevent first.
check libevent_before_libev 0 use_libev.o -levent_core -lev -lweft
exit $status
