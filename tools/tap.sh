# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# For the scripts in tools/full/: builds and results in the form that test.py reads. Sourced, with
# the root of the tree as working directory.

# Configures build/NAME if needed and compiles it; prints `not ok` and exits when that fails.
tap_build() { # tap_build NAME MESON-OPTIONS...
    tap_folder=build/$1
    shift
    log=$(mktemp)
    if { [ -e "$tap_folder/build.ninja" ] || meson setup "$tap_folder" "$@"; } >"$log" 2>&1 &&
        ninja -C "$tap_folder" >>"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    echo "not ok - compilation"
    tail -n 40 "$log"
    rm -f "$log"
    exit 1
}

# Runs a command for at most ten minutes; its output is shown only if it fails.
tap() { # tap NAME COMMAND...
    tap_name=$1
    shift
    if output=$(timeout 600 "$@" 2>&1); then
        echo "ok - $tap_name"
    else
        echo "not ok - $tap_name"
        printf '%s\n' "$output" | tail -n 60 | sed 's/^/    /'
    fi
}

# Runs a program that prints such lines itself; one that ends badly without any is a failure.
tap_pass_on() { # tap_pass_on COMMAND...
    log=$(mktemp)
    timeout 3000 "$@" >"$log" 2>&1
    status=$?
    cat "$log"
    [ $status -eq 0 ] || grep -q '^not ok' "$log" || echo "not ok - $* # exit status $status"
    rm -f "$log"
}

# Runs every plain program of the build folder, behind a wrapper if one is given; the conformance
# suite's plain runners report their rows themselves.
tap_plain() { # tap_plain WRAPPER...
    for program in "$tap_folder"/tests/plain-* "$tap_folder"/conformance/plain-conformance-*; do
        if [ ! -f "$program" ] || [ ! -x "$program" ]; then continue; fi
        case $program in
        */plain-conformance-*) tap_pass_on "$@" "$program" ;;
        *) tap "${program##*/plain-}" "$@" "$program" ;;
        esac
    done
}
