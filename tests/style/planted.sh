#!/bin/sh
# SPDX-License-Identifier: MIT
# planted.sh ROOT: each check of the style suite passes a clean tree, and finds planted faults.
# shellcheck disable=SC2016 # dollars and backquotes are part of the planted text
set -u
root=$1
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
status=0

fresh() { # a small tree without faults
    rm -rf "$tree"
    mkdir -p "$tree/api/weft" "$tree/base" "$tree/core" "$tree/backends/epoll" "$tree/tools" \
        "$tree/conformance/contract" "$tree/examples"
    cp "$root/.clang-format" "$tree/"
    cp "$root/tools/spelling-ok.txt" "$tree/tools/"
    cat >"$tree/api/weft/thing.h" <<'C'
/* SPDX-License-Identifier: MIT */
/** Does it. @return 0 Context: any. Sleeps: no. Cancellation point: no. */
WEFT_API int weft_thing_do(void);
C
    cat >"$tree/core/thing.c" <<'C'
/* SPDX-License-Identifier: MIT */
#include <weft/thing.h>

#include "backends/contract.h"

int weft_thing_do(void)
{
    return 0;
}
C
    printf '#!/bin/sh\n# SPDX-License-Identifier: MIT\necho "$1"\n' >"$tree/tools/thing.sh"
}

finds() { # finds CHECK MESSAGE: the tree has a fault now, and CHECK names it
    output=$("$root/tools/check_$1" "$tree" 2>&1) && {
        echo "not found by check_$1: $2"
        status=1
    }
    printf '%s\n' "$output" | grep -q -- "$2" || {
        printf 'check_%s did not say "%s" but:\n%s\n' "$1" "$2" "$output"
        status=1
    }
    fresh
}

plant() { # plant FILE LINE: adds a line to a file of the tree
    printf '%s\n' "$2" >>"$tree/$1"
}

many() { # many COUNT TEXT
    awk -v count="$1" -v text="$2" 'BEGIN { while (count-- > 0) print text }'
}

fresh
for check in layers style docs format spelling shell; do
    "$root/tools/check_$check" "$tree" || {
        echo "check_$check complains about a clean tree"
        status=1
    }
done

plant core/thing.c '#include "backends/epoll/epoll.h"'
finds layers 'core/ may not include "backends/epoll/'
plant core/thing.c '#include <sys/epoll.h>'
finds layers 'core/ may not include <sys/epoll.h>'
plant core/thing.c '#ifdef WEFT_BACKEND_EPOLL'
finds layers 'no #if on a backend'
plant core/thing.c '#include "../base/list.h"'
finds layers 'without ..'
plant backends/epoll/epoll.c '#include "core/thing.h"'
finds layers 'may not include "core/thing.h"'
plant backends/epoll/epoll.c '#include "backends/fake/fake.h"'
finds layers 'may not include "backends/fake/'
plant api/weft/thing.h '#include <unistd.h>'
finds layers 'may not include <unistd.h>'
plant api/weft/thing.h '#include "base/list.h"'
finds layers 'may not include "base/list.h"'
plant base/list.h '#include <sys/mman.h>'
finds layers 'may not include <sys/mman.h>'
plant conformance/contract/c1.c '#include <weft/thing.h>'
finds layers 'may not include <weft/thing.h>'
plant examples/hello.c '#include "core/thing.h"'
finds layers 'may not include "core/thing.h"'

plant core/thing.c "/* $(many 100 x | tr -d '\n') */"
finds style 'line of 106 columns'
plant core/thing.c "$(printf 'int long_one(void)\n{\n'; many 71 '    ;'; echo '}')"
finds style 'function of 71 lines'
plant core/thing.c "$(many 600 ';')"
finds style 'file of 609 lines'
for call in strcpy sprintf atoi usleep alloca; do
    plant core/thing.c "int x = $call(y);"
    finds style "banned call: $call"
done
plant core/thing.c 'int x; // note'
finds style 'comments are'
plant core/thing.c '/* TO''DO later */'
finds style 'a plan belongs'
plant core/bare.c 'int x;'
finds style 'the first line is'
plant core/thing.c 'int x; '
finds style 'trailing blank'

plant api/weft/thing.h 'WEFT_API int weft_thing_bare(void);'
finds docs 'weft_thing_bare has no'
plant api/weft/thing.h '/** @return 0. Sleeps: no. Cancellation point: no. */'
plant api/weft/thing.h 'WEFT_API int weft_thing_vague(void);'
finds docs 'weft_thing_vague: its comment has no `Context:`'

plant core/thing.c 'int  x ;'
finds format 'clang-format'
plant core/thing.c '/* Rec''ieves it. */'
finds spelling 'Receives'
plant tools/thing.sh 'rm $1'
finds shell 'SC2086'
exit $status
