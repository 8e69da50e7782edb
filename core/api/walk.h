/* The messages of a request, read once from first to last. Part of pm_api_read. */
#ifndef PM_API_WALK_H
#define PM_API_WALK_H

#include "core/api/history.h"
#include "core/api/request.h"

struct pm_walk {
    struct pm_api_request *r;
    struct pm_buf system, user, tool; /* texts: all of the system, the last of the user, the last result of a tool */
    size_t blob_bytes;                /* of images and other binary parts: not prompt text */
    struct pm_history history;
    uint64_t opening; /* fingerprint of all that was before the first answer, 0 until there is one */
    uint64_t chain;   /* of everything so far */
    struct pm_json_value last_result;
    struct pm_error *err;
    int rc, index;
    bool begun;                  /* the user has spoken */
    bool answered;               /* the message before was the model's */
    bool has_results, has_words; /* of the message that is walked */
    const char *key;             /* the member that is walked */
};

/* Reads the member that holds the conversation, as the protocol calls it, into the request and the walk. */
int pm_walk_body(struct pm_walk *w) PM_MUST;

/* Appends the texts of a content, which is a string or an array of parts; counts nothing. */
void pm_walk_text(const struct pm_json_value *content, struct pm_buf *text);

#endif
