/* What the encoders share; see canon_events.h. */
#ifndef PM_API_ENCODE_H
#define PM_API_ENCODE_H

#include "core/api/canon_events.h"

struct pm_encoder {
    enum pm_protocol protocol;
    struct pm_encoder_spec spec;
    pm_wire_sink sink;
    void *arg;
    bool mute, started;
    char *id, *model;
    unsigned sequence;          /* responses: of the next event */
    size_t index;               /* of the block that is open, or of the next one */
    size_t calls;               /* chat: how many have been opened */
    const struct pm_tool *tool; /* of the call that is open, NULL when it is not known by that name */
    enum pm_block block;
    char *item, *call_id, *name; /* responses: of the block that is open */
    struct pm_buf text;          /* and what it has said */
    cJSON *output;               /* responses: the items so far */
    unsigned closings;           /* responses: events that close the block and have been sent already */
    struct pm_buf fresh_id;
    struct pm_buf line; /* the event that is being written */
};

/* Sends what stands in e->line, and clears it. */
void pm_encoder_send(struct pm_encoder *e, const char *name);

/* Appends `"key":"text"` to the line. */
void pm_encoder_member(struct pm_encoder *e, const char *key, const char *text);

/* The caller's name of the tool that is called. */
const char *pm_encoder_tool_name(struct pm_encoder *e, const char *wire_name);

/* The id of a call: the target's, made different where the conversation has it already, or `made_up` where there is
 * none. Valid until the next call of this. */
const char *pm_encoder_call_id(struct pm_encoder *e, const char *id, const char *made_up);

void pm_chat_encode(struct pm_encoder *e, const struct pm_canon_event *event);
void pm_messages_encode(struct pm_encoder *e, const struct pm_canon_event *event);
void pm_responses_encode(struct pm_encoder *e, const struct pm_canon_event *event);

/* An unknown count is 0 on the wire. */
#define PM_KNOWN(n) ((n) > 0 ? (n) : 0)

#endif
