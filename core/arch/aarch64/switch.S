/* SPDX-License-Identifier: MIT */
/*
 * The exchange of stacks on AArch64 (AAPCS64), interface in core/arch/switch.h.
 *
 * A suspended context is the address of this record, which lies on top of its own stack:
 *
 *     sp + 176  the caller's stack pointer
 *     sp + 160  FPCR
 *     sp +  96  d8 to d15
 *     sp +  16  x19 to x28 (a fresh context: the entry function in x19)
 *     sp +   8  x30, the return address (a fresh context: fresh_start); signed where the build asks
 *     sp        x29 (a fresh context: 0, the end of the chain of frames)
 *
 * Both stacks have this shape at the moment of the exchange, so that one set of unwind tables is
 * true before and after it. It leaves by `ret`: a plain branch to a return address would trap where
 * the caller's code is protected by BTI, and whether it is cannot be known here.
 */

#ifndef __ARM_FEATURE_BTI_DEFAULT
#define __ARM_FEATURE_BTI_DEFAULT 0
#endif
#ifndef __ARM_FEATURE_PAC_DEFAULT
#define __ARM_FEATURE_PAC_DEFAULT 0
#endif

/*
 * A saved return address is signed with the stack pointer that its owner returns to. All of these
 * are hints, which older processors take for no-ops.
 */
#if __ARM_FEATURE_PAC_DEFAULT & 1
#define SIGN       paciasp
#define CHECK      autiasp
#define SIGN_FRESH pacia1716
#elif __ARM_FEATURE_PAC_DEFAULT & 2
#define SIGN       .cfi_b_key_frame; pacibsp
#define CHECK      autibsp
#define SIGN_FRESH pacib1716
#endif

/* Where an indirect call may arrive; the signing instruction is a landing place, too. */
#if __ARM_FEATURE_PAC_DEFAULT & 3
#define LANDING_SIGNED SIGN; .cfi_negate_ra_state
#elif __ARM_FEATURE_BTI_DEFAULT
#define LANDING_SIGNED bti c
#else
#define LANDING_SIGNED
#endif
#if __ARM_FEATURE_BTI_DEFAULT
#define LANDING bti c
#else
#define LANDING
#endif

#define CONTEXT_SIZE 176

    .text

/* Puts the caller's registers on its stack and that place into *ret_from [x0]; FPCR into x3. */
    .macro  SAVE
    sub     sp, sp, #CONTEXT_SIZE
    .cfi_def_cfa_offset CONTEXT_SIZE
    stp     x29, x30, [sp]
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    stp     x19, x20, [sp, #16]
    .cfi_rel_offset x19, 16
    .cfi_rel_offset x20, 24
    stp     x21, x22, [sp, #32]
    .cfi_rel_offset x21, 32
    .cfi_rel_offset x22, 40
    stp     x23, x24, [sp, #48]
    .cfi_rel_offset x23, 48
    .cfi_rel_offset x24, 56
    stp     x25, x26, [sp, #64]
    .cfi_rel_offset x25, 64
    .cfi_rel_offset x26, 72
    stp     x27, x28, [sp, #80]
    .cfi_rel_offset x27, 80
    .cfi_rel_offset x28, 88
    stp     d8, d9, [sp, #96]
    .cfi_rel_offset d8, 96
    .cfi_rel_offset d9, 104
    stp     d10, d11, [sp, #112]
    .cfi_rel_offset d10, 112
    .cfi_rel_offset d11, 120
    stp     d12, d13, [sp, #128]
    .cfi_rel_offset d12, 128
    .cfi_rel_offset d13, 136
    stp     d14, d15, [sp, #144]
    .cfi_rel_offset d14, 144
    .cfi_rel_offset d15, 152
    mrs     x3, fpcr
    str     x3, [sp, #160]
    mov     x4, sp
    str     x4, [x0]
    .endm

/* int weft__switch(void **ret_from [x0], void *to [x1], intptr_t value [x2]) */
    .globl  weft__switch
    .hidden weft__switch
    .type   weft__switch, %function
    .balign 64
weft__switch:
    .cfi_startproc
    LANDING_SIGNED
    SAVE

    mov     sp, x1

.Lresume: /* sp is the new context, x3 the FPCR in force */
    ldr     x4, [sp, #160]
    cmp     x3, x4
    b.ne    .Lload_fpcr
.Lrestore:
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     d8, d9, [sp, #96]
    ldp     d10, d11, [sp, #112]
    ldp     d12, d13, [sp, #128]
    ldp     d14, d15, [sp, #144]
    ldp     x29, x30, [sp]
    mov     x0, x2
    .cfi_remember_state
    add     sp, sp, #CONTEXT_SIZE
    .cfi_def_cfa_offset 0
    .cfi_restore x19
    .cfi_restore x20
    .cfi_restore x21
    .cfi_restore x22
    .cfi_restore x23
    .cfi_restore x24
    .cfi_restore x25
    .cfi_restore x26
    .cfi_restore x27
    .cfi_restore x28
    .cfi_restore x29
    .cfi_restore x30
    .cfi_restore d8
    .cfi_restore d9
    .cfi_restore d10
    .cfi_restore d11
    .cfi_restore d12
    .cfi_restore d13
    .cfi_restore d14
    .cfi_restore d15
#if __ARM_FEATURE_PAC_DEFAULT & 3
    CHECK
    .cfi_negate_ra_state
#endif
    ret

.Lload_fpcr:
    .cfi_restore_state
    msr     fpcr, x4
    b       .Lrestore
    .cfi_endproc
    .size   weft__switch, . - weft__switch

/* void weft__switch_leave(void *to [x0], intptr_t value [x1]) */
    .globl  weft__switch_leave
    .hidden weft__switch_leave
    .type   weft__switch_leave, %function
    .balign 16
weft__switch_leave:
    .cfi_startproc
    .cfi_undefined x30
    LANDING
    mrs     x3, fpcr
    mov     x2, x1
    mov     sp, x0
    b       .Lresume
    .cfi_endproc
    .size   weft__switch_leave, . - weft__switch_leave

/* A context that was never resumed starts here, with `value` in x0 and the entry in x19. */
    .type   fresh_start, %function
    .balign 16
fresh_start:
    .cfi_startproc
    .cfi_undefined x30
    blr     x19
    brk     #1
    .cfi_endproc
    .size   fresh_start, . - fresh_start

/* void *weft__switch_prepare(void *top [x0], void (*entry)(intptr_t) [x1]) */
    .globl  weft__switch_prepare
    .hidden weft__switch_prepare
    .type   weft__switch_prepare, %function
    .balign 16
weft__switch_prepare:
    .cfi_startproc
    LANDING
    mov     x16, x0
    adrp    x17, fresh_start
    add     x17, x17, :lo12:fresh_start
#if __ARM_FEATURE_PAC_DEFAULT & 3
    SIGN_FRESH
#endif
    sub     x0, x0, #CONTEXT_SIZE
    stp     xzr, x17, [x0]
    str     x1, [x0, #16]
    str     xzr, [x0, #160]
    ret
    .cfi_endproc
    .size   weft__switch_prepare, . - weft__switch_prepare

/* int weft__switch_start(void **ret_from [x0], void *top [x1], intptr_t value [x2],
 *                        void (*entry)(intptr_t) [x3]) */
    .globl  weft__switch_start
    .hidden weft__switch_start
    .type   weft__switch_start, %function
    .balign 64
weft__switch_start:
    .cfi_startproc
    LANDING_SIGNED
    mov     x5, x3
    SAVE
    mov     x0, x1
    mov     x1, x5
    b       .Lbegin
    .cfi_endproc
    .size   weft__switch_start, . - weft__switch_start

/* void weft__switch_restart(void *top [x0], void (*entry)(intptr_t) [x1], intptr_t value [x2]) */
    .globl  weft__switch_restart
    .hidden weft__switch_restart
    .type   weft__switch_restart, %function
    .balign 16
weft__switch_restart:
    .cfi_startproc
    .cfi_undefined x30
    LANDING
.Lbegin:
    mov     sp, x0
    msr     fpcr, xzr
    mov     x29, xzr
    mov     x0, x2
    blr     x1
    brk     #1
    .cfi_endproc
    .size   weft__switch_restart, . - weft__switch_restart

/* What the linker may say of the whole: only what all of the above does. */
#if __ARM_FEATURE_BTI_DEFAULT || __ARM_FEATURE_PAC_DEFAULT
    .pushsection .note.gnu.property, "a", %note
    .balign 8
    .word   4, 16, 5      /* sizes of name and description, NT_GNU_PROPERTY_TYPE_0 */
    .asciz  "GNU"
    .word   0xc0000000, 4 /* GNU_PROPERTY_AARCH64_FEATURE_1_AND */
#if __ARM_FEATURE_BTI_DEFAULT && __ARM_FEATURE_PAC_DEFAULT & 3
    .word   3, 0
#elif __ARM_FEATURE_BTI_DEFAULT
    .word   1, 0
#else
    .word   2, 0
#endif
    .popsection
#endif

    .section .note.GNU-stack, "", %progbits
