# Every instruction form that the instruction layer moves, with its text.
# SPDX-License-Identifier: Apache-2.0
#
# Memory operands are 32(%rsi), 32(%rsi,%rcx,8) or at `near`, which the test fills too;
# rax is rsi.

.macro FORM insn:vararg
    .text
.Lbegin\@:
    \insn
.Lend\@:
    .section .rodata
.Ltext\@:
    .asciz "\insn"
    .section .data.rel.ro.forms, "aw"
    .quad .Lbegin\@, .Lend\@, .Ltext\@
.endm

    .section .data.rel.ro.forms, "aw"
    .globl forms_begin
forms_begin:

.macro ARITHMETIC op
    .irp type, ps, pd, ss, sd
    FORM \op\type %xmm3, %xmm2
    FORM \op\type %xmm9, %xmm12
    FORM \op\type %xmm4, %xmm4
    FORM \op\type 32(%rsi), %xmm11
    FORM v\op\type %xmm3, %xmm2, %xmm1
    FORM v\op\type %xmm13, %xmm2, %xmm13
    FORM v\op\type %xmm8, %xmm8, %xmm9
    FORM v\op\type 32(%rsi,%rcx,8), %xmm14, %xmm10
    FORM v\op\type near(%rip), %xmm0, %xmm0
    .endr
    .irp type, ps, pd
    FORM v\op\type %ymm3, %ymm2, %ymm1
    FORM v\op\type %ymm13, %ymm14, %ymm13
    FORM v\op\type %ymm8, %ymm8, %ymm8
    FORM v\op\type 32(%rsi), %ymm15, %ymm9
    FORM v\op\type near(%rip), %ymm0, %ymm0
    .endr
.endm
    ARITHMETIC add
    ARITHMETIC sub
    ARITHMETIC mul
    ARITHMETIC div

.irp type, ps, pd, ss, sd
    FORM sqrt\type %xmm3, %xmm2
    FORM sqrt\type %xmm10, %xmm10
    FORM sqrt\type 32(%rsi), %xmm12
.endr
.irp type, ss, sd
    FORM vsqrt\type %xmm3, %xmm2, %xmm1
    FORM vsqrt\type %xmm13, %xmm9, %xmm13
    FORM vsqrt\type 32(%rsi), %xmm2, %xmm15
.endr
.irp type, ps, pd
    FORM vsqrt\type %xmm3, %xmm12
    FORM vsqrt\type %ymm3, %ymm12
    FORM vsqrt\type %ymm9, %ymm9
    FORM vsqrt\type 32(%rsi), %ymm1
.endr

.macro FUSED op
    .irp order, 132, 213, 231
    .irp type, ps, pd, ss, sd
    FORM v\op\order\type %xmm3, %xmm2, %xmm1
    FORM v\op\order\type %xmm8, %xmm12, %xmm9
    FORM v\op\order\type 32(%rsi), %xmm2, %xmm11
    .endr
    .irp type, ps, pd
    FORM v\op\order\type %ymm3, %ymm2, %ymm1
    FORM v\op\order\type %ymm10, %ymm10, %ymm13
    FORM v\op\order\type 32(%rsi,%rcx,8), %ymm12, %ymm0
    .endr
    .endr
.endm
    FUSED fmadd
    FUSED fmsub
    FUSED fnmadd
    FUSED fnmsub

.irp op, fmaddsub, fmsubadd
.irp order, 132, 213, 231
.irp type, ps, pd
    FORM v\op\order\type %xmm3, %xmm2, %xmm1
    FORM v\op\order\type %ymm13, %ymm2, %ymm9
    FORM v\op\order\type 32(%rsi), %ymm2, %ymm1
.endr
.endr
.endr

.irp op, addsub, hadd, hsub
.irp type, ps, pd
    FORM \op\type %xmm3, %xmm2
    FORM \op\type 32(%rsi), %xmm9
    FORM v\op\type %xmm3, %xmm2, %xmm1
    FORM v\op\type %ymm13, %ymm12, %ymm1
    FORM v\op\type 32(%rsi), %ymm2, %ymm11
.endr
.endr

    FORM cvtpd2ps %xmm3, %xmm2
    FORM cvtpd2ps 32(%rsi), %xmm9
    FORM cvtsd2ss %xmm3, %xmm2
    FORM cvtsd2ss 32(%rsi), %xmm9
    FORM cvtdq2ps %xmm3, %xmm12
    FORM cvtdq2ps 32(%rsi), %xmm2
    FORM cvtsi2ssl %ecx, %xmm2
    FORM cvtsi2ssq %rcx, %xmm2
    FORM cvtsi2ssl 32(%rsi), %xmm9
    FORM cvtsi2ssq 32(%rsi), %xmm9
    FORM cvtsi2sdq %r9, %xmm2
    FORM cvtsi2sdq %rax, %xmm2
    FORM cvtsi2ssq 32(%rax), %xmm9
    FORM cvtsi2sdq 32(%rsi), %xmm9
    FORM vcvtpd2psx %xmm3, %xmm2
    FORM vcvtpd2psy %ymm13, %xmm2
    FORM vcvtpd2psy 32(%rsi), %xmm2
    FORM vcvtsd2ss %xmm3, %xmm2, %xmm1
    FORM vcvtsd2ss 32(%rsi), %xmm12, %xmm1
    FORM vcvtdq2ps %xmm3, %xmm2
    FORM vcvtdq2ps %ymm3, %ymm9
    FORM vcvtdq2ps 32(%rsi), %ymm2
    FORM vcvtsi2ssl %ecx, %xmm2, %xmm1
    FORM vcvtsi2ssq %r9, %xmm12, %xmm1
    FORM vcvtsi2ssq 32(%rsi), %xmm2, %xmm11
    FORM vcvtsi2sdq %rcx, %xmm2, %xmm1
    FORM vcvtsi2sdq %rax, %xmm2, %xmm1
    FORM vcvtsi2ssq 32(%rax), %xmm2, %xmm11
    FORM vmulps 32(%rax), %ymm15, %ymm9
    FORM vfmadd231ps 32(%rax), %ymm15, %ymm9
    FORM vcvtsi2sdq 32(%rsi), %xmm2, %xmm9

    FORM vcvtps2ph $0, %xmm3, %xmm2
    FORM vcvtps2ph $4, %ymm13, %xmm9
    FORM vcvtps2ph $0, %ymm3, 32(%rsi)
    FORM vcvtps2ph $0, %xmm3, 32(%rsi,%rcx,8)

    .section .data.rel.ro.forms, "aw"
    .globl forms_end
forms_end:

    .bss
    .globl near
    .balign 64
near:
    .skip 64

    .section .note.GNU-stack, "", @progbits
