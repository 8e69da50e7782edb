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

/* Between two neighbours, of which so many are above. */
static double between(const float *sorted, size_t n, size_t above)
{
    if (above == 0)
        return 1.1;
    return above >= n ? 0 : ((double)sorted[n - above] + (double)sorted[n - above - 1]) / 2;
}

/* Equal scores stay together, on the side that comes nearer to the share. */
static size_t without_ties(const float *sorted, size_t n, size_t above)
{
    if (above == 0 || above >= n || sorted[n - above] > sorted[n - above - 1])
        return above;
    size_t fewer = above, more = above;
    while (fewer && sorted[n - fewer] <= sorted[n - above])
        fewer--;
    while (more < n && sorted[n - more - 1] >= sorted[n - above])
        more++;
    return above - fewer < more - above ? fewer : more;
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
    s->of = share;
    s->at = s->n;
    s->limit = between(sorted, n, without_ties(sorted, n, (size_t)(share * (double)n + 0.5)));
    return s->limit;
}
