/* A shared object that is no policy: the structure is there under another name. */
#include "pointsman.h"

PMP_EXPORT const struct pmp_policy my_policy = {.abi = PMP_ABI, .size = sizeof(my_policy), .name = "no_symbol"};
