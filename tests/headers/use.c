/* SPDX-License-Identifier: MIT */
#include "tests/headers/use.h"
