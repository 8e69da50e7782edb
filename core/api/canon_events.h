/* An answer in no protocol's words: the events that decoders make of a target's stream and encoders turn into the
 * caller's. Pure.
 *
 *   START (OPEN DELTA* CLOSE)* STOP     one block open at a time
 *   ... ERROR                           in place of the rest
 */
#ifndef PM_API_CANON_EVENTS_H
#define PM_API_CANON_EVENTS_H

#include "core/api/canon.h"

enum pm_canon_event_kind {
    PM_CANON_START, /* `id` and `model` of the answer, or NULL */
    PM_CANON_OPEN,  /* a block */
    PM_CANON_DELTA, /* `text` more of it */
    PM_CANON_CLOSE,
    PM_CANON_STOP, /* the end; `usage` is complete */
    PM_CANON_ERROR /* `text` */
};

enum pm_block { PM_BLOCK_TEXT, PM_BLOCK_THINKING, PM_BLOCK_CALL };

enum pm_stop { PM_STOP_END, PM_STOP_SEQUENCE, PM_STOP_LENGTH, PM_STOP_CALLS, PM_STOP_FILTER };

/* Tokens. `prompt` has in it what came from a cache and what was put there; -1 not known. */
struct pm_canon_usage {
    long long prompt, cached, created, output, reasoning;
};

#define PM_CANON_USAGE_UNKNOWN ((struct pm_canon_usage){-1, -1, -1, -1, -1})

struct pm_canon_event {
    enum pm_canon_event_kind kind;
    enum pm_block block;   /* OPEN */
    const char *id, *name; /* START, OPEN of a call; may be NULL. OPEN of others: the item's id, where there is one */
    const char *call_id;   /* OPEN of a call */
    const char *model;     /* START */
    const char *text;      /* DELTA, ERROR; STOP: the stop sequence, or NULL */
    const char *signature; /* CLOSE of thinking, or NULL */
    enum pm_stop stop;
    struct pm_canon_usage usage; /* START: as far as known, STOP */
};

typedef void (*pm_canon_sink)(void *arg, const struct pm_canon_event *event);

/* --- decoders: one protocol's stream, or whole answer, into events --- */

struct pm_decoder;

struct pm_decoder *pm_decoder_new(enum pm_protocol p, pm_canon_sink sink, void *arg);
void pm_decoder_free(struct pm_decoder *d);

/* One event of the stream. What cannot be understood is passed over. */
void pm_decoder_event(struct pm_decoder *d, const char *name, const char *data, size_t len);

/* A whole answer's body; false when it is none. */
bool pm_decoder_whole(struct pm_decoder *d, const char *body, size_t len);

/* The connection has ended: what was held back until then comes out. True when the answer is complete. */
bool pm_decoder_end(struct pm_decoder *d);

/* --- encoders: events into one protocol's stream --- */

struct pm_encoder;

/* Takes an event to send: its name ("" in chat) and its data. */
typedef void (*pm_wire_sink)(void *arg, const char *name, const char *data, size_t len);

struct pm_encoder_spec {
    const char *id;                 /* of the answer; NULL: the one that START brings */
    const char *model;              /* where the target names none */
    long long created;              /* seconds since 1970 */
    long long prompt_tokens;        /* estimated */
    bool wants_usage;               /* chat: the caller asked for it */
    const struct pm_canon *request; /* for the names of its tools, NULL for none; outlives the encoder */
};

struct pm_encoder *pm_encoder_new(enum pm_protocol p, const struct pm_encoder_spec *spec, pm_wire_sink sink,
                                  void *arg);
void pm_encoder_free(struct pm_encoder *e);
void pm_encoder_event(struct pm_encoder *e, const struct pm_canon_event *event);

/* The caller's stream has begun already: what comes while mute brings the encoder to where that stream stands, and is
 * not sent. Then what the stream itself has counted: the index of the block that is open, or of the next one;
 * responses: the number of the next event, the items that are done (may be NULL). */
void pm_encoder_mute(struct pm_encoder *e, bool mute);
void pm_encoder_stand(struct pm_encoder *e, size_t index, unsigned closings, unsigned sequence, const cJSON *output);
unsigned pm_encoder_sequence(const struct pm_encoder *e);

#endif
