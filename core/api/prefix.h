/* Where a prompt stops being the same as one that its server has read before. Pure.
 *
 * A llama-server reads anew all that follows the first difference to what it has in its cache. This remembers the last
 * prompts of one target as fingerprints, and tells the place in the body where a new one broke with what it should
 * have gone on from: the turn before of the same conversation, or the tools and system text that conversations share.
 */
#ifndef PM_API_PREFIX_H
#define PM_API_PREFIX_H

#include "core/api/request.h"

struct pm_prefix_memory;

struct pm_prefix_memory *pm_prefix_memory_new(void);
void pm_prefix_memory_free(struct pm_prefix_memory *m);

enum { PM_PREFIX_STEP = 256 };

/* Notes a body as it is sent, which has passed pm_json_scan. Returns the offset in it of the break, exact to
 * PM_PREFIX_STEP bytes, or -1 when there is none. */
long long pm_prefix_note(struct pm_prefix_memory *m, const char *body, size_t len, uint64_t conversation);

#endif
