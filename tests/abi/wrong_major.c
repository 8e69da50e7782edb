/* A policy of another major version. Nothing in it but the first two fields may be believed. */
#include "pointsman.h"

PMP_EXPORT extern const uint32_t pmp_policy_words[64] __asm__("pmp_policy");
const uint32_t pmp_policy_words[64] = {(PMP_ABI_MAJOR + 1) << 16, sizeof(pmp_policy_words), 0xdeadbeef, 0xdeadbeef};
