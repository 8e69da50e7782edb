/* What part of a route's requests goes to its strong side: a limit for the complexity is a quantile of the last
 * scores, since a score by itself means another thing with each policy and each kind of traffic. Pure.
 */
#ifndef PM_ROUTE_SHARE_H
#define PM_ROUTE_SHARE_H

#include <stdbool.h>

enum { PM_SHARE_SCORES = 1000 };

struct pm_share {
    float scores[PM_SHARE_SCORES]; /* the last ones, a ring */
    unsigned long n;               /* seen so far */
    double limit;                  /* as it was worked out last */
    double of;                     /* for that share */
    unsigned long at;              /* and after so many scores */
};

/* One more score, 0..1. */
void pm_share_note(struct pm_share *s, double score);

/* From where on a score belongs to the strongest `share` (0..1) of the requests. Before there are scores enough to
 * tell, policies are taken at their word that scores are spread evenly: 1 - share. */
double pm_share_limit(struct pm_share *s, double share);

#endif
