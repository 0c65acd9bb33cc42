/* SPDX-License-Identifier: MIT */
/*
 * FD-47: standard input and output as a pipe, a terminal, a file, /dev/null, or closed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <termios.h>

#include "conformance/runtime/io_support.h"

/* Copies standard input to standard output until the end; the result of the last read. */
static int echo(void *arg)
{
    (void)arg;
    char buffer[256];
    for (;;) {
        ssize_t size = weft_read(STDIN_FILENO, buffer, sizeof buffer);
        if (size <= 0) return (int)size;
        int result = weft_write_all(STDOUT_FILENO, buffer, (size_t)size, NULL);
        if (result < 0) return result;
    }
}

static void redirect(int fd, int target)
{
    CHECK_OR_RETURN(fd >= 0, );
    CHECK_EQ(dup2(fd, target), target);
    CHECK_EQ(close(fd), 0);
}

static int on_pipe(void *arg)
{
    (void)arg;
    int fds[2];
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(write(fds[1], "pipe", 4), 4);
    CHECK_EQ(close(fds[1]), 0);
    redirect(fds[0], STDIN_FILENO);
    return run_real(echo, NULL);
}

WEFT_TEST(fd, 47_stdio_may_be_pipes)
{
    struct harness_child child;
    harness_run_child(&child, on_pipe, NULL);

    CHECK_EQ(child.exit_code, 0);
    CHECK_STR(child.output, "pipe");
}

static int on_file(void *arg)
{
    (void)arg;
    char name[] = "weft-stdio-XXXXXX";
    int file = mkstemp(name);
    CHECK_EQ(unlink(name), 0);
    CHECK_EQ(write(file, "a file", 6), 6);
    CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
    redirect(file, STDIN_FILENO);
    FILE *output = tmpfile();
    CHECK_OR_RETURN(output, 1);
    redirect(dup(fileno(output)), STDOUT_FILENO);

    int result = run_real(echo, NULL);

    char text[16] = "";
    CHECK_EQ(pread(fileno(output), text, sizeof text - 1, 0), 6);
    CHECK_STR(text, "a file");
    return result;
}

WEFT_TEST(fd, 47_stdio_may_be_files)
{
    struct harness_child child;
    harness_run_child(&child, on_file, NULL);

    CHECK_EQ(child.exit_code, 0);
    CHECK_STR(child.output, "");
}

static int terminal_master;

static int types_on_terminal(void *arg)
{
    (void)arg;
    char text[32] = "";
    CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);
    CHECK_EQ(weft_write_all(terminal_master, "tty\n", 4, NULL), 0);
    CHECK_EQ(weft_read_exactly(terminal_master, text, 5, NULL), 0);
    CHECK_STR(text, "tty\r\n");
    CHECK_EQ(weft_write_all(terminal_master, "\004", 1, NULL), 0); /* the end, typed */
    return 0;
}

static int terminal_root(void *arg)
{
    weft_task typist = start(types_on_terminal, arg);
    int result = echo(NULL);
    CHECK_EQ(finish(typist), 0);
    return result;
}

static int on_terminal(void *arg)
{
    (void)arg;
    char name[64];
    terminal_master = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK_OR_RETURN(terminal_master >= 0, 1);
    CHECK_EQ(grantpt(terminal_master), 0);
    CHECK_EQ(unlockpt(terminal_master), 0);
    CHECK_EQ(ptsname_r(terminal_master, name, sizeof name), 0);
    int slave = open(name, O_RDWR | O_NOCTTY);
    struct termios settings;
    CHECK_EQ(tcgetattr(slave, &settings), 0);
    settings.c_lflag &= ~(tcflag_t)ECHO;
    CHECK_EQ(tcsetattr(slave, TCSANOW, &settings), 0);
    redirect(dup(slave), STDIN_FILENO);
    redirect(slave, STDOUT_FILENO);

    int result = run_real(terminal_root, NULL);

    /* The shell that comes after us finds its terminal as it was. */
    CHECK_EQ(fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK, 0);
    return result;
}

WEFT_TEST(fd, 47_stdio_may_be_a_terminal_and_stays_as_it_was)
{
    struct harness_child child;
    harness_run_child(&child, on_terminal, NULL);

    CHECK_EQ(child.exit_code, 0);
}

static int on_null(void *arg)
{
    (void)arg;
    redirect(open("/dev/null", O_RDONLY), STDIN_FILENO);
    redirect(open("/dev/null", O_WRONLY), STDOUT_FILENO);
    int result = run_real(echo, NULL);
    return result;
}

WEFT_TEST(fd, 47_stdio_may_be_dev_null)
{
    struct harness_child child;
    harness_run_child(&child, on_null, NULL);

    CHECK_EQ(child.exit_code, 0);
    CHECK_STR(child.output, "");
}

static int closed_root(void *arg)
{
    CHECK_EQ(close(STDIN_FILENO), 0);
    CHECK_EQ(echo(arg), -EBADF);
    CHECK_EQ(close(STDOUT_FILENO), 0);
    CHECK_EQ(weft_write_all(STDOUT_FILENO, "x", 1, NULL), -EBADF);
    return 0;
}

static int on_nothing(void *arg)
{
    return run_real(closed_root, arg);
}

WEFT_TEST(fd, 47_stdio_may_be_closed)
{
    struct harness_child child;
    harness_run_child(&child, on_nothing, NULL);

    CHECK_EQ(child.exit_code, 0);
    CHECK_STR(child.output, "");
}
