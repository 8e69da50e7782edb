/* A policy whose structure is too small to hold what is required. */
#include "pointsman.h"

PMP_EXPORT extern const uint32_t pmp_policy_words[4] __asm__("pmp_policy");
const uint32_t pmp_policy_words[4] = {PMP_ABI, sizeof(pmp_policy_words)};
