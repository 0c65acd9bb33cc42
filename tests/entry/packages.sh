#!/bin/sh
# SPDX-License-Identifier: MIT
# packages.sh ROOT: what the weft script does where things are missing, with an apt-get that only
# writes down how it was called.
# shellcheck disable=SC2016 # the stubs expand it
set -u
root=$1
place=$(mktemp -d) || exit 1
trap 'rm -rf "$place"' EXIT
status=0

# A machine on which nothing but the most basic commands exists.
mkdir "$place/bin"
for tool in sh cat dirname readlink sed sort tr grep env mktemp chmod rm; do
    ln -s "$(command -v $tool)" "$place/bin/$tool"
done
stub() { # stub NAME BODY: a command that logs how it is called, then does BODY
    printf '#!/bin/sh\necho "%s $*" >>"%s/calls"\n%s\n' "$1" "$place" "$2" >"$place/bin/$1"
    chmod +x "$place/bin/$1"
}
machine() { # machine USER-ID: a fresh one
    rm -f "$place/bin/sudo" "$place/bin/cc" "$place/bin/meson" "$place/bin/ninja"
    rm -f "$place/bin/pkg-config"
    : >"$place/calls"
    printf '#!/bin/sh\necho %s\n' "$1" >"$place/bin/id"
    chmod +x "$place/bin/id"
    stub apt-cache 'exit 0'
    stub apt-get 'case "$*" in
*--simulate*) echo "0 upgraded, 9 newly installed" ;;
*install*) for c in cc meson ninja pkg-config; do printf "#!/bin/sh\nexit 1\n" >'"$place"'/bin/$c
    chmod +x '"$place"'/bin/$c; done ;;
esac'
}
weft() { # runs the script there, without a terminal
    output=$(env -i PATH="$place/bin" HOME="$place" "$root/weft" "$@" 2>&1 </dev/null)
}
says() {
    case $output in *"$1"*) ;; *)
        printf 'expected "%s" in:\n%s\n' "$1" "$output"
        status=1
        ;;
    esac
}
calls() { # calls yes|no PATTERN: was something called like that?
    found=no
    grep -q -- "$2" "$place/calls" && found=yes
    [ $found = "$1" ] && return
    printf 'calls of "%s": %s, expected %s; all calls:\n' "$2" $found "$1"
    cat "$place/calls"
    status=1
}

machine 0
weft -n run nothing.c
says 'apt-get install -y --no-install-recommends --no-upgrade gcc'
calls no install
machine 0
weft run -n nothing.c
calls no install

machine 0
weft run nothing.c
calls yes '^apt-get install -y --no-install-recommends --no-upgrade .*meson'
calls no 'dist-upgrade\|full-upgrade\|apt-get upgrade'
calls no 'clang\|criterion'

machine 0
stub apt-cache 'exit 1'
weft run nothing.c
calls yes '^apt-get update'

# What would upgrade something is not installed, whatever versions are asked for ...
machine 0
stub dpkg-query 'echo foo 1.0'
stub apt-get 'case "$*" in *--simulate*) echo "Inst foo1 [1.0] (1.1 Debian:12 [amd64])" ;; esac'
weft run nothing.c
says 'would upgrade other packages'
says 'Type:'
grep install "$place/calls" | grep -qv -- --simulate && calls no 'installed in spite of the upgrade'

# ... but if the version that is here will do, it is asked for.
machine 0
stub dpkg-query 'echo foo 1.0'
stub apt-get 'pins=${*##*preferences=}
case "$*" in
*--simulate*) grep -q src:foo "$pins" || echo "Inst foo1 [1.0] (1.1 Debian:12 [amd64])" ;;
*install*) grep -A1 src:foo "$pins" >>'"$place"'/calls; for c in cc meson ninja pkg-config; do
    printf "#!/bin/sh\\nexit 1\\n" >'"$place"'/bin/$c; chmod +x '"$place"'/bin/$c; done ;;
esac'
weft run nothing.c
calls yes 'version 1.0'

machine 1000
weft run nothing.c
says 'only root can install it'
calls no install
machine 1000
stub sudo '[ "$1 $2" != "-n true" ]'
weft run nothing.c
says 'sudo wants a password'
calls no install
exit $status
