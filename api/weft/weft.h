/* SPDX-License-Identifier: MIT */
/* All of weft: tasks, channels, select, scopes, mutexes, time, descriptors, hosts. */
#ifndef WEFT_WEFT_H
#define WEFT_WEFT_H

#include <weft/base.h>
#include <weft/chan.h>
#include <weft/fd.h>
#include <weft/host.h>
#include <weft/local.h>
#include <weft/net.h>
#include <weft/report.h>
#include <weft/runtime.h>
#include <weft/scope.h>
#include <weft/select.h>
#include <weft/sync.h>
#include <weft/task.h>
#include <weft/time.h>

#endif
