# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# The library as `run` and `doctor` use it: where its build folder is, and how it gets fresh.
# Sourced, with $root set.

# Sets $cache and $library: below the tree where we may write, else in the user's cache.
library_place() { # library_place BACKEND, or `all`: a library per backend side by side
    : "${root:?}"
    if mkdir -p "$root/build" 2>/dev/null && [ -w "$root/build" ]; then
        cache=$root/build
    else
        cache=${XDG_CACHE_HOME:-$HOME/.cache}/weft/$(printf %s "$root" | cksum | tr ' ' -)
        mkdir -p "$cache"
    fi
    library_backend=$1
    library=$cache/run-$1
}

library_configure() {
    echo "weft: building the library ($library_backend)" >&2
    rm -rf "$library"
    case $library_backend in
    all) library_option=-Dcompare=true ;;
    *) library_option=-Dweft_backend=$library_backend ;;
    esac
    meson setup "$library" "$root" "$library_option" -Dtests=none >"$library.log" 2>&1 && return 0
    cat "$library.log" >&2
    rm -rf "$library"
    return 1
}

library_ninja() {
    [ -e "$library/build.ninja" ] && ninja -C "$library" --quiet "$@" >"$library.log" 2>&1
}

# Brings the targets up to date. A folder left by an older tree or compiler gets one fresh start.
library_build() { # library_build TARGET...
    library_ninja "$@" && return 0
    library_configure || return 1
    library_ninja "$@" && return 0
    cat "$library.log" >&2
    return 1
}
