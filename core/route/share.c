#include "core/route/share.h"

#include <stdlib.h>
#include <string.h>

/* Fewer scores say little; with more, the limit is worked out anew after so many. */
enum { ENOUGH = 100, EVERY = 20 };

void pm_share_note(struct pm_share *s, double score)
{
    s->scores[s->n++ % PM_SHARE_SCORES] = (float)score;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

double pm_share_limit(struct pm_share *s, double share)
{
    float sorted[PM_SHARE_SCORES];
    size_t n = s->n < PM_SHARE_SCORES ? s->n : PM_SHARE_SCORES;
    if (n < ENOUGH)
        return 1 - share;
    if (s->at && s->of == share && s->n - s->at < EVERY)
        return s->limit;
    memcpy(sorted, s->scores, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_value);
    size_t above = (size_t)(share * (double)n + 0.5);
    s->of = share;
    s->at = s->n;
    /* Between two neighbours, so that equal scores fall on one side. */
    s->limit = above == 0 ? 1.1 : above >= n ? 0 : ((double)sorted[n - above] + (double)sorted[n - above - 1]) / 2;
    return s->limit;
}
