/* Where the members of ABI 1.0 lie, one a line; compiled against each header. */
#include <stdio.h>

#include "pointsman.h"

#define SHOW(type, member)                                                                                            \
    printf(#type "." #member " %zu %zu\n", offsetof(struct type, member), sizeof(((struct type *)0)->member))

int main(void)
{
    SHOW(pmp_pair, where);
    SHOW(pmp_pairs, n);
    SHOW(pmp_option, type);
    SHOW(pmp_option, doc);
    SHOW(pmp_target, caps);
    SHOW(pmp_target, is_fallback);
    SHOW(pmp_host, log);
    SHOW(pmp_host, alloc);
    SHOW(pmp_host, text);
    SHOW(pmp_host, target);
    SHOW(pmp_host, intent);
    SHOW(pmp_host, reason);
    SHOW(pmp_outcome, route);
    SHOW(pmp_outcome, status);
    SHOW(pmp_outcome, total_ms);
    SHOW(pmp_outcome, output_tokens);
    SHOW(pmp_policy, options);
    SHOW(pmp_policy, start);
    SHOW(pmp_policy, judge);
    SHOW(pmp_policy, outcome);
    SHOW(pmp_policy, stop);
    printf("%d %d %d %d\n", PMP_TEXT_LAST_TOOL_RESULT, PMP_NUM_AUDIO, PMP_CAP_AUDIO, PMP_LOG_ERROR);
    return 0;
}
