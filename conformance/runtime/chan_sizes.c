/* SPDX-License-Identifier: MIT */
/*
 * Channels, sizes and memory: CHAN-14 to 16, 29; rows 8 and 12 of the semantics.
 *
 * Every way that a value can take (stored, from a parked sender, to a parked receiver) is walked
 * for each size.
 */
#include "conformance/runtime/chan_kit.h"

#define GUARD_SIZE 64

WEFT_TASK(send_bytes, (struct weft_chan *, chan), (const void *, value), (int *, ret_status))
{
    *ret_status = weft_chan_send(chan, value);
    return 0;
}

WEFT_TASK(recv_bytes, (struct weft_chan *, chan), (void *, ret_value), (int *, ret_status))
{
    *ret_status = weft_chan_recv(chan, ret_value);
    return 0;
}

static struct weft_chan *open_bytes(size_t size, size_t capacity)
{
    struct weft_chan *chan = NULL;
    CHECK_EQ(weft_chan_open(&chan, size, capacity), 0);
    return chan;
}

VIRTUAL_TEST(chan, 14_zero_size_values_are_pure_signals)
{
    struct weft_chan *chan = open_bytes(0, 2);

    CHECK_EQ(weft_chan_send(chan, NULL), 0);
    CHECK_EQ(weft_chan_try_send(chan, NULL), 0);
    CHECK_EQ(weft_chan_try_send(chan, NULL), -EAGAIN);
    CHECK_EQ(weft_chan_len(chan), 2);
    CHECK_EQ(weft_chan_recv(chan, NULL), 0);
    CHECK_EQ(weft_chan_try_recv(chan, NULL), 0);
    CHECK_EQ(weft_chan_try_recv(chan, NULL), -EAGAIN);
    CHECK_EQ(weft_chan_close(chan), 0);
    CHECK_EQ(weft_chan_recv(chan, NULL), -EPIPE);

    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 14b_zero_size_rendezvous_and_select)
{
    struct weft_chan *chan = open_bytes(0, 0);
    int status = PENDING;
    CHECK_EQ(weft_go(send_bytes, chan, NULL, &status), 0);
    settle();
    CHECK_EQ(status, PENDING);
    CHECK_EQ(weft_chan_recv(chan, NULL), 0);
    settle();
    CHECK_EQ(status, 0);

    status = PENDING;
    CHECK_EQ(weft_go(recv_bytes, chan, NULL, &status), 0);
    settle();
    CHECK_EQ(weft_select(weft_on_send(chan, NULL), weft_default()), 0);
    CHECK_EQ(weft_select(weft_on_send(chan, NULL), weft_default()), 1);
    settle();
    CHECK_EQ(status, 0);
    weft_chan_unref(chan);
}

/* A block of `size` bytes with a guard on both sides. */
struct guarded {
    unsigned char *memory;
    unsigned char *value;
    size_t size;
};

static struct guarded guarded_open(size_t size, unsigned char fill)
{
    struct guarded block = {.memory = malloc(size + 2 * GUARD_SIZE), .size = size};
    if (!CHECK(block.memory != NULL)) abort();
    block.value = block.memory + GUARD_SIZE;
    memset(block.memory, 0xA5, size + 2 * GUARD_SIZE);
    memset(block.value, fill, size);
    return block;
}

static void guarded_close(struct guarded *block)
{
    for (size_t i = 0; i < GUARD_SIZE; i++) {
        CHECK_EQ(block->memory[i], 0xA5);
        CHECK_EQ(block->value[block->size + i], 0xA5);
    }
    free(block->memory);
}

/* Sends a pattern along one of the three ways and compares what arrives. */
static void copy_one_value(size_t size, size_t capacity, bool receiver_first)
{
    struct weft_chan *chan = open_bytes(size, capacity);
    struct guarded source = guarded_open(size, 0);
    struct guarded target = guarded_open(size, 0xEE);
    for (size_t i = 0; i < size; i++) {
        source.value[i] = (unsigned char)(i * 7 + size);
    }
    int sent = PENDING;
    int received = PENDING;
    if (receiver_first) {
        CHECK_EQ(weft_go(recv_bytes, chan, target.value, &received), 0);
        settle();
    }
    CHECK_EQ(weft_go(send_bytes, chan, source.value, &sent), 0);
    settle();
    if (!receiver_first) received = weft_chan_recv(chan, target.value);
    settle();

    CHECK_EQ(sent, 0);
    CHECK_EQ(received, 0);
    CHECK(memcmp(source.value, target.value, size) == 0);
    guarded_close(&source);
    guarded_close(&target);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 15_values_of_any_size_are_copied_exactly)
{
    static const size_t sizes[] = {1, 2, 3, 7, 8, 12, 16, 24, 100, 1024, 65536};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        copy_one_value(sizes[i], 0, false);
        copy_one_value(sizes[i], 0, true);
        copy_one_value(sizes[i], 3, false);
        copy_one_value(sizes[i], 3, true);
    }
}

/* Neighbours in the buffer: an odd size, several turns around the ring. */
VIRTUAL_TEST(chan, 15b_buffered_neighbours_do_not_touch_each_other)
{
    struct triple {
        unsigned char bytes[3];
    };
    struct weft_chan *chan = open_bytes(sizeof(struct triple), 5);
    int sent = 0;
    int received = 0;

    for (int round = 0; round < 50; round++) {
        while (weft_chan_len(chan) < 5) {
            struct triple value = {{(unsigned char)sent, (unsigned char)(sent + 1), 0xFF}};
            CHECK_EQ(weft_chan_send(chan, &value), 0);
            sent++;
        }
        for (int i = 0; i < 3; i++) {
            struct triple value = {{0}};
            CHECK_EQ(weft_chan_recv(chan, &value), 0);
            CHECK_EQ(value.bytes[0], (unsigned char)received);
            CHECK_EQ(value.bytes[1], (unsigned char)(received + 1));
            CHECK_EQ(value.bytes[2], 0xFF);
            received++;
        }
    }

    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 15c_null_target_throws_the_value_away)
{
    struct weft_chan *chan = open_ints(1);
    CHECK_EQ(send_int(chan, 1), 0);
    CHECK_EQ(weft_chan_recv(chan, NULL), 0);
    CHECK_EQ(weft_chan_len(chan), 0);

    int status = PENDING;
    CHECK_EQ(weft_go(recv_one, chan, NULL, &status), 0);
    settle();
    CHECK_EQ(send_int(chan, 2), 0);
    settle();

    CHECK_EQ(status, 0);
    CHECK_EQ(weft_chan_len(chan), 0);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 16_sizes_that_overflow_are_refused)
{
    static const size_t bad[][2] = {
        {1, SIZE_MAX},
        {SIZE_MAX, 1},
        {SIZE_MAX, SIZE_MAX},
        {SIZE_MAX / 2 + 1, 2},
        {8, SIZE_MAX / 8 + 1},
        {(size_t)1 << 33, (size_t)1 << 33},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct weft_chan *chan = (struct weft_chan *)&chan;
        CHECK_EQ(weft_chan_open(&chan, bad[i][0], bad[i][1]), -EINVAL);
        CHECK_PTR(chan, &chan); /* untouched on failure */
    }
}

VIRTUAL_TEST(chan, 16b_bad_options_are_refused)
{
    struct weft_chan *chan = NULL;
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.size = 1;

    CHECK_EQ(weft_chan_open_with(&chan, &options), -EINVAL);

    CHECK_PTR(chan, NULL);
}

#define CHANNELS 100000

/* The address sanitizer keeps freed memory back for a while. */
#ifdef __SANITIZE_ADDRESS__
#define GROWTH_MAX ((size_t)256 * 1024 * 1024)
#else
#define GROWTH_MAX ((size_t)2 * 1024 * 1024)
#endif

/* After the first ten thousand the allocator has what it needs; from there on nothing may grow. */
VIRTUAL_TEST(chan, 29_many_channels_need_bounded_memory)
{
    size_t before = 0;
    for (int i = 0; i < CHANNELS; i++) {
        struct weft_chan *chan = open_ints((size_t)i % 8);
        if (i % 8 > 0) CHECK_EQ(try_send_int(chan, i), 0);
        weft_chan_unref(chan);
        if (i == CHANNELS / 10) before = harness_resident_size();
    }

    size_t after = harness_resident_size();

    if (harness_sizes_are_exact()) CHECK(after < before + GROWTH_MAX);
}
