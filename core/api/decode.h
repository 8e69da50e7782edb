/* What the decoders share; see canon_events.h. */
#ifndef PM_API_DECODE_H
#define PM_API_DECODE_H

#include "core/api/canon_events.h"

/* A call of a chat stream, whose pieces may come interleaved with another one's. */
struct pm_decoded_call {
    char *id, *name;
    struct pm_buf arguments;
    bool opened, closed;
};

struct pm_decoder {
    enum pm_protocol protocol;
    pm_canon_sink sink;
    void *arg;
    bool started, stopped;
    bool open; /* a block is */
    enum pm_block block;
    size_t block_bytes; /* that have come for it */
    bool has_stop, has_calls;
    enum pm_stop stop;
    char *stop_text, *signature;
    struct pm_canon_usage usage;
    struct pm_decoded_call *calls; /* chat */
    size_t n_calls;
    char *item; /* responses: the id of the item that is open */
};

void pm_decoded_start(struct pm_decoder *d, const char *id, const char *model);
/* Closes what is open. Texts may be NULL. */
void pm_decoded_open(struct pm_decoder *d, enum pm_block block, const char *id, const char *call_id, const char *name);
void pm_decoded_delta(struct pm_decoder *d, const char *text);
void pm_decoded_close(struct pm_decoder *d);
void pm_decoded_stop(struct pm_decoder *d);
void pm_decoded_error(struct pm_decoder *d, const cJSON *error);
/* A piece of a text or of thoughts, in the block that is open when it is of that kind, else in a new one. */
void pm_decoded_piece(struct pm_decoder *d, enum pm_block block, const char *id, const char *text);

void pm_chat_decode(struct pm_decoder *d, const cJSON *root);
void pm_chat_decode_end(struct pm_decoder *d);
bool pm_chat_decode_whole(struct pm_decoder *d, const cJSON *root);
void pm_messages_decode(struct pm_decoder *d, const char *type, const cJSON *root);
bool pm_messages_decode_whole(struct pm_decoder *d, const cJSON *root);
void pm_responses_decode(struct pm_decoder *d, const char *type, const cJSON *root);
bool pm_responses_decode_whole(struct pm_decoder *d, const cJSON *root);

/* A count where it is one. */
void pm_decoded_count(long long *field, const cJSON *object, const char *key);

#endif
