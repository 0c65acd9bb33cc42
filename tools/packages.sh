# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# Which Debian packages a command needs, and how the missing ones get here. Sourced, not run.

# One line per need: the set (of a command, or a backend's), what must exist (a command, or a path
# that begins with /), the package.
packages_table() {
    cat <<'TABLE'
run   cc                                      gcc
run   /usr/include/stdio.h                    libc6-dev
run   meson                                   meson
run   ninja                                   ninja-build
run   pkg-config                              pkg-config
cxx   c++                                     g++
libuv    /usr/include/uv.h                    libuv1-dev
libev    /usr/include/ev.h                    libev-dev
libevent /usr/include/event2/event.h          libevent-dev
test  c++                                     g++
test  python3                                 python3
test  /usr/include/criterion/criterion.h      libcriterion-dev
test  /usr/include/event2/event.h             libevent-dev
test  clang-14                                clang-14
test  clang-format-14                         clang-format-14
test  shellcheck                              shellcheck
test  codespell                               codespell
test  curl                                    curl
test  git                                     git
test  spin                                    spin
bench python3                                 python3
peers c++                                     g++
peers /usr/include/boost/fiber/all.hpp        libboost-fiber-dev
peers /usr/include/st.h                       libst-dev
peers /usr/include/liburing.h                 liburing-dev
test  valgrind                                valgrind
test  /usr/include/uv.h                       libuv1-dev
full  valgrind                                valgrind
full  /usr/lib/llvm-14/lib/clang/14.0.6/lib/linux libclang-rt-14-dev
full  strace                                  strace
full  clang-tidy-14                           clang-tidy-14
full  abidiff                                 abigail-tools
full  qemu-aarch64                            qemu-user
full  aarch64-linux-gnu-gcc                   gcc-aarch64-linux-gnu
full  aarch64-linux-gnu-g++                   g++-aarch64-linux-gnu
TABLE
}

# Prints the packages of the sets given that are missing here.
packages_missing() {
    packages_table | while read -r set thing package; do
        case " $* " in *" $set "*) ;; *) continue ;; esac
        case $thing in
        /*) [ -e "$thing" ] || echo "$package" ;;
        *) command -v "$thing" >/dev/null 2>&1 || echo "$package" ;;
        esac
    done | sort -u | tr '\n' ' ' | sed 's/ $//'
}

# Makes sure that the sets given are there, or explains what to type and exits.
packages_need() {
    packages_get "$@" || exit 1
}

# The same, but false instead of the exit.
packages_get() {
    missing=$(packages_missing "$@")
    [ -n "$missing" ] || return 0
    install="apt-get install -y --no-install-recommends --no-upgrade $missing"
    as_root=
    [ "$(id -u)" -eq 0 ] || as_root=sudo

    reason=
    if [ "$WEFT_INSTALL" = never ]; then
        reason="is missing"
    elif ! command -v apt-get >/dev/null 2>&1; then
        reason="is missing, and this is no Debian"
    elif [ -n "$as_root" ] && ! command -v sudo >/dev/null 2>&1; then
        reason="is missing, and only root can install it"
    elif [ -t 0 ] && [ -t 2 ]; then
        printf 'weft needs: %s %s\nInstall now? [y/N] ' "$as_root" "$install" >&2
        read -r answer
        case $answer in [yY]*) ;; *) reason="is missing" ;; esac
    elif [ -n "$as_root" ] && ! sudo -n true 2>/dev/null; then
        reason="is missing, and sudo wants a password"
    fi
    [ -n "$reason" ] || packages_install "$@" || reason="could not be installed"
    [ -n "$reason" ] || return 0

    printf 'weft: %s %s. Type:\n    %s\n' "$missing" "$reason" "sudo $install" >&2
    return 1
}

# Runs $install for the sets given, unless it would upgrade something that is here already.
packages_install() {
    # shellcheck disable=SC2086 # package names are words
    $as_root apt-cache show $missing >/dev/null 2>&1 || $as_root apt-get update -q >&2 || return 1
    pins=$(mktemp) || return 1
    cat /etc/apt/preferences >"$pins" 2>/dev/null || true
    chmod 644 "$pins" # apt reads it as a user of its own
    if ! packages_keep_versions; then
        rm -f "$pins"
        echo "weft: that would upgrade other packages, which weft never does by itself" >&2
        return 1
    fi
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive $install -o "Dir::Etc::preferences=$pins" >&2
    rm -f "$pins"
    [ -z "$(packages_missing "$@")" ]
}

# A package that comes from the same source as one that is here must have its version, and the
# newest one may be newer: then the version that is here is asked for, in $pins. False if apt
# would upgrade something all the same.
packages_keep_versions() {
    for _ in 1 2 3 4 5; do
        # shellcheck disable=SC2086
        upgraded=$($as_root $install --simulate -o "Dir::Etc::preferences=$pins" 2>/dev/null |
            sed -n 's/^Inst \([^ ]*\) \[.*/\1/p')
        [ -n "$upgraded" ] || return 0
        # Of another architecture or not, all that a source makes; ${Version} differs from the
        # source's where a package was built again.
        # shellcheck disable=SC2086,SC2016 # the fields are dpkg's
        dpkg-query -W -f '${source:Package} ${Version}\n${source:Package} ${source:Version}\n' \
            $upgraded | sort -u | while read -r name version; do
            printf '\nPackage: src:%s\nPin: version %s\nPin-Priority: 1001\n' "$name" "$version"
        done >>"$pins"
    done
    return 1
}
