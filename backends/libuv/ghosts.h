/* SPDX-License-Identifier: MIT */
/*
 * Ghosts: registrations in an epoll instance that nobody can delete, because their number was
 * closed while a duplicate of the descriptor lived on.
 */
#ifndef WEFT_BACKENDS_LIBUV_GHOSTS_H
#define WEFT_BACKENDS_LIBUV_GHOSTS_H

/* Puts a new instance with the same registrations, but for ghosts, at the number `epoll_fd`.
 * 0 or a negative errno, with the old one left as it was. */
int weft__libuv_renew_epoll(int epoll_fd);

#endif
