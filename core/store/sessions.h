/* Which turn belongs to which conversation, and where that was answered last. Shared by all workers of a machine
 * (mapped.h).
 *
 * A request of the APIs brings its whole conversation. Its fingerprints are taken of everything up to the end, up to
 * the answer before, and so on; a turn finds its conversation by the longest beginning that was a request itself. When
 * a beginning has been gone on from already, in other words, the turn is another conversation's first.
 */
#ifndef PM_STORE_SESSIONS_H
#define PM_STORE_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"

struct pm_sessions;

/* Fingerprints of a request: chain[0] of the whole, each next one of what came before an earlier answer. */
struct pm_session_key {
    const uint64_t *chain;
    unsigned n;
    uint64_t opening; /* of what was there before the first answer */
};

struct pm_session {
    uint64_t conversation; /* never 0; the same for all its turns */
    uint64_t target;       /* pm_session_target of the one that answered last, 0 for none */
    uint64_t at_ms;        /* when; wall clock */
    bool seen;             /* this very request was there before */
};

/* Opens the file, relative to the folder `dir`. NULL with `err`. */
struct pm_sessions *pm_sessions_open(int dir, const char *path, struct pm_error *err);
void pm_sessions_free(struct pm_sessions *s);

/* Whose turn is it? `claim`: it is about to be answered, and goes on from what it was found by; else nothing is
 * changed. `s` may be NULL: then the opening says it all. */
void pm_sessions_find(struct pm_sessions *s, const struct pm_session_key *key, bool claim, struct pm_session *out);

/* It was answered by that target. */
void pm_sessions_note(struct pm_sessions *s, const struct pm_session_key *key, uint64_t conversation, uint64_t target,
                      uint64_t now_ms);

/* It was not: what asks in its place may go on from where it did. */
void pm_sessions_drop(struct pm_sessions *s, const struct pm_session_key *key);

/* The name of a target as it stands in a session: holds when the configuration changes. Not 0. */
uint64_t pm_session_target(const char *id);

#endif
