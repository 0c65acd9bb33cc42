#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh PROGRAM FIRST LAST: the tests of tasks, joins, cancellation, channels and select pass when
# the ready queue is shuffled, for every seed. PROGRAM is the runtime suite, of either runner.
set -u
program=$1
first=$2
last=$3

run_seed() {
    case $(basename -- "$program") in
    plain-*) WEFT_TEST_SHUFFLE=$1 "$program" 'task/*' 'join/*' 'cancel/*' 'chan/*' 'sel/*' ;;
    *) WEFT_TEST_SHUFFLE=$1 "$program" --tap=- --jobs=1 --filter='@(task|join|cancel|chan|sel)/*' ;;
    esac
}

echo "1..$((last - first + 1))"
seed=$first
while [ "$seed" -le "$last" ]; do
    if report=$(run_seed "$seed" 2>&1); then
        count=$(printf '%s\n' "$report" | grep '^ok' | grep -vc SKIP)
        echo "ok $seed - seed_$seed $count tests"
    else
        echo "not ok $seed - seed_$seed"
        printf '%s\n' "$report" | grep -A 4 '^not ok' | sed 's/^/# /'
    fi
    seed=$((seed + 1))
done
