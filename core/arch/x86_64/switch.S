/* SPDX-License-Identifier: MIT */
/*
 * The exchange of stacks on x86-64 (System V ABI), interface in core/arch/switch.h.
 *
 * A suspended context is the address of this record, which lies on top of its own stack:
 *
 *     sp + 64   what the caller of weft__switch() had at its stack pointer after the return
 *     sp + 56   return address (a fresh context: fresh_start)
 *     sp + 48   rbp (a fresh context: 0, the end of the chain of frames)
 *     sp + 40   rbx
 *     sp + 32   r12 (a fresh context: the entry function)
 *     sp + 24   r13
 *     sp + 16   r14
 *     sp +  8   r15
 *     sp +  4   x87 control word, 2 bytes
 *     sp        MXCSR, 4 bytes
 *
 * Both stacks have this shape at the moment of the exchange, so that one set of unwind tables is
 * true before and after it. A debugger walks a suspended task with rsp = sp + 64, rip = the word at
 * sp + 56, rbp = the word at sp + 48.
 */

/* Addresses that an indirect jump may reach start with this when the build asks for it. */
#if defined(__CET__) && (__CET__ & 1)
#define LANDING endbr64
#else
#define LANDING
#endif

#define MXCSR_DEFAULT 0x1f80
#define X87_DEFAULT   0x037f

    .text

/* Puts the caller's registers on its stack and that place into *ret_from [rdi]. */
    .macro  SAVE
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbp, 0
    pushq   %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbx, 0
    pushq   %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r12, 0
    pushq   %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r13, 0
    pushq   %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r14, 0
    pushq   %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r15, 0
    subq    $8, %rsp
    .cfi_adjust_cfa_offset 8
    stmxcsr (%rsp)
    fnstcw  4(%rsp)
    movq    %rsp, (%rdi)
    .endm

/* int weft__switch(void **ret_from [rdi], void *to [rsi], intptr_t value [rdx]) */
    .globl  weft__switch
    .hidden weft__switch
    .type   weft__switch, @function
    .balign 64
weft__switch:
    .cfi_startproc
    LANDING
    SAVE
    movzwl  4(%rsp), %ecx

    movq    %rsi, %rsp

    /* rsp is the new context, cx the x87 control word in force */
.Lresume:
    /* Loading MXCSR is cheaper than reading back what stmxcsr wrote in order to compare it. */
    ldmxcsr (%rsp)
    cmpw    4(%rsp), %cx
    jne     .Lload_x87
    .cfi_remember_state
.Lrestore:
    addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq    %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore r15
    popq    %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore r14
    popq    %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore r13
    popq    %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore r12
    popq    %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbx
    popq    %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbp
    movq    %rdx, %rax

    /*
     * The processor predicts a `ret` to go where the last call came from, which is the other stack:
     * always wrong. A jump is predicted by history. It is not tracked, as a return address carries
     * no endbr64.
     */
    popq    %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register rip, rcx
    notrack jmp *%rcx

.Lload_x87:
    .cfi_restore_state
    fnclex
    fldcw   4(%rsp)
    jmp     .Lrestore
    .cfi_endproc
    .size   weft__switch, . - weft__switch

/* void weft__switch_leave(void *to [rdi], intptr_t value [rsi]) */
    .globl  weft__switch_leave
    .hidden weft__switch_leave
    .type   weft__switch_leave, @function
    .balign 16
weft__switch_leave:
    .cfi_startproc
    .cfi_undefined rip
    LANDING
    fnstcw  -8(%rsp)
    movzwl  -8(%rsp), %ecx
    movq    %rsi, %rdx
    movq    %rdi, %rsp
    jmp     .Lresume
    .cfi_endproc
    .size   weft__switch_leave, . - weft__switch_leave

/* A context that was never resumed starts here, with `value` in rax and the entry in r12. */
    .type   fresh_start, @function
    .balign 16
fresh_start:
    .cfi_startproc
    .cfi_undefined rip
    LANDING
    movq    %rax, %rdi
    callq   *%r12
    ud2
    .cfi_endproc
    .size   fresh_start, . - fresh_start

/* void *weft__switch_prepare(void *top [rdi], void (*entry)(intptr_t) [rsi]) */
    .globl  weft__switch_prepare
    .hidden weft__switch_prepare
    .type   weft__switch_prepare, @function
    .balign 16
weft__switch_prepare:
    .cfi_startproc
    LANDING
    leaq    -64(%rdi), %rax
    leaq    fresh_start(%rip), %rcx
    movq    %rcx, 56(%rax)
    movq    $0, 48(%rax)
    movq    %rsi, 32(%rax)
    movl    $MXCSR_DEFAULT, (%rax)
    movl    $X87_DEFAULT, 4(%rax)
    ret
    .cfi_endproc
    .size   weft__switch_prepare, . - weft__switch_prepare

/* int weft__switch_start(void **ret_from [rdi], void *top [rsi], intptr_t value [rdx],
 *                        void (*entry)(intptr_t) [rcx]) */
    .globl  weft__switch_start
    .hidden weft__switch_start
    .type   weft__switch_start, @function
    .balign 64
weft__switch_start:
    .cfi_startproc
    LANDING
    SAVE
    cmpw    $X87_DEFAULT, 4(%rsp)
    movq    %rsi, %rdi
    movq    %rcx, %rsi
    jmp     .Lbegin
    .cfi_endproc
    .size   weft__switch_start, . - weft__switch_start

/* void weft__switch_restart(void *top [rdi], void (*entry)(intptr_t) [rsi], intptr_t [rdx]) */
    .globl  weft__switch_restart
    .hidden weft__switch_restart
    .type   weft__switch_restart, @function
    .balign 16
weft__switch_restart:
    .cfi_startproc
    .cfi_undefined rip
    LANDING
    fnstcw  -8(%rsp)
    cmpw    $X87_DEFAULT, -8(%rsp)
.Lbegin: /* flags: is the x87 control word the default? */
    movq    %rdi, %rsp
    ldmxcsr mxcsr_default(%rip)
    jne     .Ldefault_x87
.Lenter:
    xorl    %ebp, %ebp
    movq    %rdx, %rdi
    callq   *%rsi
    ud2
.Ldefault_x87:
    fnclex
    fldcw   x87_default(%rip)
    jmp     .Lenter
    .cfi_endproc
    .size   weft__switch_restart, . - weft__switch_restart

    .section .rodata
    .balign 4
mxcsr_default:
    .long   MXCSR_DEFAULT
x87_default:
    .short  X87_DEFAULT

/*
 * Says "indirect branch tracking" when the build has it. It never says "shadow stack": one thread
 * runs on many stacks here, so that a return is not where the shadow expects it.
 */
#if defined(__CET__) && (__CET__ & 1)
    .pushsection .note.gnu.property, "a", @note
    .balign 8
    .long   4, 16, 5      /* sizes of name and description, NT_GNU_PROPERTY_TYPE_0 */
    .asciz  "GNU"
    .long   0xc0000002, 4 /* GNU_PROPERTY_X86_FEATURE_1_AND */
    .long   1, 0          /* IBT */
    .popsection
#endif

    .section .note.GNU-stack, "", @progbits
