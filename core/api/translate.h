/* A request for a target that does not speak its caller's protocol. Pure.
 *
 *   body -> pm_canon (the caller's codec) -> body (the target's codec)
 *
 * The answer comes back through a decoder and an encoder (canon_events.h).
 */
#ifndef PM_API_TRANSLATE_H
#define PM_API_TRANSLATE_H

#include "core/api/codec.h"

/* Can a request of this protocol be put into another one's words? */
bool pm_api_translates(enum pm_protocol p);

/* The body for the target, which asks for a stream, appended to `out`. `*request` is what it was made of, for the
 * encoder and for what was left out; the caller frees it. A negative code with a sentence that names the JSON path
 * when something cannot be carried over without another meaning. */
int pm_translate_request(const struct pm_api_request *r, enum pm_protocol to, const struct pm_codec_target *t,
                         struct pm_buf *out, struct pm_canon **request, struct pm_error *err) PM_MUST;

/* The body of a messages request without the thoughts of its history, for an API that refuses their signatures.
 * False when there are none. */
bool pm_api_without_thoughts(const char *body, size_t len, struct pm_buf *out);

#endif
