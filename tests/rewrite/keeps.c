/* A function that keeps registers 16 to 31 and the masks over direct calls, as gcc does
 * with -fipa-ra where it sees that the callee leaves them alone: ends with 1 if they are lost.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

int keeps(float *x);

/* keeps calls outer, which rounds and jumps to inner, which rounds. */
__asm__(".text\n"
        ".type inner, @function\n"
        "inner:\n"
        "    vmulss %xmm1, %xmm0, %xmm0\n"
        "    vaddss %xmm1, %xmm0, %xmm0\n"
        "    vmovss %xmm0, (%rdi)\n"
        "    ret\n"
        ".size inner, .-inner\n"
        ".type outer, @function\n"
        "outer:\n"
        "    vmovss (%rdi), %xmm0\n"
        "    vmulss %xmm0, %xmm0, %xmm1\n"
        "    jmp inner\n"
        ".size outer, .-outer\n"
        ".globl keeps\n"
        ".type keeps, @function\n"
        "keeps:\n"
        "    vpternlogd $255, %zmm16, %zmm16, %zmm16\n"
        "    .irp r, 17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "    vmovdqa64 %zmm16, %zmm\\r\n"
        "    .endr\n"
        "    .irp r, 1,2,3,4,5,6,7\n"
        "    kxnorq %k\\r, %k\\r, %k\\r\n"
        "    .endr\n"
        "    call outer\n"
        "    .irp r, 2,3,4,5,6,7\n"
        "    kandq %k\\r, %k1, %k1\n"
        "    .endr\n"
        "    kortestq %k1, %k1\n"
        "    setnc %al\n"
        "    .irp r, 17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "    vpandd %zmm\\r, %zmm16, %zmm16\n"
        "    .endr\n"
        "    vpternlogd $255, %zmm0, %zmm0, %zmm0\n"
        "    vpcmpneqd %zmm0, %zmm16, %k1\n"
        "    kortestw %k1, %k1\n"
        "    setnz %cl\n"
        "    or %cl, %al\n"
        "    movzbl %al, %eax\n"
        "    vzeroupper\n"
        "    ret\n"
        ".size keeps, .-keeps\n");

int main(void)
{
    int lost = 0;
    for (int i = 0; i < 100; i++) {
        float x = 1 + (float)i / 128;
        lost |= keeps(&x);
        printf("%a\n", (double)x);
    }
    return lost;
}
