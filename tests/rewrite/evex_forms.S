# Every EVEX form that the instruction layer moves, with its text.
# SPDX-License-Identifier: Apache-2.0
#
# Memory operands are 64(%rsi), which an eight-bit displacement scales, 64(%rsi,%rcx,8) or at
# `near`. Masks are k1 to k7.

.macro FORM insn:vararg
    .text
.Lbegin\@:
    {evex} \insn
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

# Registers of each width: high, low, the same twice; masks that merge and that zero;
# memory, and elements of it in all lanes.
.macro PACKED op, type, n128, n256, n512
    FORM \op\type %xmm23, %xmm2, %xmm31
    FORM \op\type %xmm3, %xmm3, %xmm4{%k1}
    FORM \op\type 64(%rsi){1to\n128}, %xmm30, %xmm5{%k3}{z}
    FORM \op\type 64(%rsi), %xmm29, %xmm6{%k2}
    FORM \op\type %ymm16, %ymm17, %ymm1
    FORM \op\type %ymm16, %ymm16, %ymm16{%k1}{z}
    FORM \op\type 64(%rsi), %ymm22, %ymm23{%k4}
    FORM \op\type near(%rip){1to\n256}, %ymm2, %ymm31{%k5}
    FORM \op\type 64(%rsi){1to\n256}, %ymm2, %ymm1
    FORM \op\type %zmm3, %zmm2, %zmm1
    FORM \op\type %zmm18, %zmm18, %zmm18
    FORM \op\type %zmm31, %zmm2, %zmm31{%k7}
    FORM \op\type 64(%rsi,%rcx,8), %zmm12, %zmm20{%k6}{z}
    FORM \op\type near(%rip), %zmm0, %zmm0{%k1}
    FORM \op\type 64(%rsi){1to\n512}, %zmm9, %zmm25
    FORM \op\type 64(%rsi){1to\n512}, %zmm9, %zmm9{%k2}
.endm

.macro SCALAR op, type
    FORM \op\type %xmm23, %xmm2, %xmm31
    FORM \op\type %xmm3, %xmm17, %xmm4{%k1}
    FORM \op\type %xmm3, %xmm17, %xmm17{%k1}{z}
    FORM \op\type 64(%rsi), %xmm30, %xmm5{%k3}{z}
    FORM \op\type 64(%rsi,%rcx,8), %xmm9, %xmm26{%k4}
    FORM \op\type near(%rip), %xmm30, %xmm5
.endm

.macro ALL op
    PACKED \op, ps, 4, 8, 16
    PACKED \op, pd, 2, 4, 8
    SCALAR \op, ss
    SCALAR \op, sd
.endm
    ALL vadd
    ALL vsub
    ALL vmul
    ALL vdiv
.irp op, fmadd, fmsub, fnmadd, fnmsub
.irp order, 132, 213, 231
    ALL v\op\order
.endr
.endr
.irp op, fmaddsub, fmsubadd
.irp order, 132, 213, 231
    PACKED v\op\order, ps, 4, 8, 16
    PACKED v\op\order, pd, 2, 4, 8
.endr
.endr
    SCALAR vsqrt, ss
    SCALAR vsqrt, sd
    SCALAR vcvt, sd2ss

# Of one operand: n elements of 128, 256 and 512 bits; where the result is narrower, with
# the suffixes that tell memory's width.
.macro UNARY op, n128, n256, n512
    FORM \op %xmm23, %xmm2
    FORM \op %xmm3, %xmm24{%k1}
    FORM \op %xmm4, %xmm4{%k2}{z}
    FORM \op 64(%rsi){1to\n128}, %xmm6{%k3}
    FORM \op %ymm16, %ymm1
    FORM \op %ymm26, %ymm26{%k1}
    FORM \op 64(%rsi), %ymm22{%k4}{z}
    FORM \op near(%rip){1to\n256}, %ymm2
    FORM \op %zmm3, %zmm17
    FORM \op %zmm31, %zmm2{%k5}
    FORM \op 64(%rsi), %zmm2{%k6}{z}
    FORM \op 64(%rsi){1to\n512}, %zmm2{%k7}
.endm
    UNARY vsqrtps, 4, 8, 16
    UNARY vsqrtpd, 2, 4, 8
    UNARY vcvtdq2ps, 4, 8, 16
    UNARY vcvtudq2ps, 4, 8, 16
    UNARY vcvtqq2pd, 2, 4, 8
    UNARY vcvtuqq2pd, 2, 4, 8

.macro NARROWING op
    FORM \op\()x %xmm23, %xmm2
    FORM \op\()x %xmm3, %xmm24{%k1}
    FORM \op\()x %xmm3, %xmm4{%k2}{z}
    FORM \op\()x 64(%rsi), %xmm6{%k3}
    FORM \op\()y %ymm16, %xmm1
    FORM \op\()y %ymm26, %xmm26{%k1}
    FORM \op\()y 64(%rsi), %xmm22{%k4}{z}
    FORM \op %zmm3, %ymm17
    FORM \op %zmm31, %ymm2{%k5}
    FORM \op 64(%rsi), %ymm2{%k6}{z}
    FORM \op near(%rip){1to8}, %ymm22
.endm
    NARROWING vcvtpd2ps
    NARROWING vcvtqq2ps
    NARROWING vcvtuqq2ps

.irp op, vcvtsi2ss, vcvtusi2ss
    FORM \op\()l 64(%rsi), %xmm2, %xmm29
    FORM \op\()q near(%rip), %xmm22, %xmm9
    FORM \op\()l %ecx, %xmm22, %xmm1
    FORM \op\()q %r9, %xmm2, %xmm31
.endr
.irp op, vcvtsi2sd, vcvtusi2sd
    FORM \op\()q %rcx, %xmm22, %xmm1
    FORM \op\()q %rax, %xmm2, %xmm16
    FORM \op\()q 64(%rsi), %xmm2, %xmm29
.endr

    FORM vcvtps2ph $0, %xmm23, %xmm2
    FORM vcvtps2ph $4, %xmm23, %xmm2{%k1}
    FORM vcvtps2ph $4, %ymm13, %xmm29
    FORM vcvtps2ph $4, %ymm13, %xmm29{%k2}{z}
    FORM vcvtps2ph $0, %zmm3, %ymm17
    FORM vcvtps2ph $0, %zmm30, %ymm7{%k3}
    FORM vcvtps2ph $0, %zmm3, 64(%rsi)
    FORM vcvtps2ph $0, %ymm19, 64(%rsi)
    FORM vcvtps2ph $0, %xmm3, 64(%rsi,%rcx,8)

    .section .data.rel.ro.forms, "aw"
    .globl forms_end
forms_end:

    .bss
    .globl near
    .balign 64
near:
    .skip 64

    .section .note.GNU-stack, "", @progbits
