#include "core/api/resume.h"

#include <stdlib.h>
#include <string.h>

#include "core/api/decode.h"
#include "core/api/encode.h"
#include "core/base/alloc.h"

enum { SAID_MAX = 16 << 20 };

struct said_block {
    enum pm_block block;
    char *id, *call_id, *name, *signature;
    struct pm_buf text;
    bool closed;
};

struct pm_said {
    enum pm_protocol protocol;
    struct pm_decoder *decoder;
    char *id, *model;
    struct said_block *blocks;
    size_t n;
    unsigned sequence; /* of the next event */
    size_t index;      /* of the block or item that was opened last, as the stream itself counts */
    cJSON *output;     /* responses: the items that are done */
    bool stopped;
    bool unread;      /* something of it could not be read back */
    bool begun;       /* a block or item is open in the stream */
    unsigned closing; /* responses: how many of the events that close it have passed */
    bool summary;     /* the thoughts that came last are a summary */
};

/* --- what was said --- */

static void open_block(struct pm_said *s, const struct pm_canon_event *e)
{
    s->blocks = pm_realloc(s->blocks, s->n + 1, sizeof(*s->blocks));
    struct said_block *b = &s->blocks[s->n++];
    *b = (struct said_block){
        .block = e->block, .id = pm_strdup(e->id), .call_id = pm_strdup(e->call_id), .name = pm_strdup(e->name)};
    pm_buf_init(&b->text, SAID_MAX);
}

static void note(void *arg, const struct pm_canon_event *e)
{
    struct pm_said *s = arg;
    struct said_block *last = s->n ? &s->blocks[s->n - 1] : NULL;
    switch (e->kind) {
    case PM_CANON_START:
        s->id = pm_strdup(e->id);
        s->model = pm_strdup(e->model);
        break;
    case PM_CANON_OPEN:
        open_block(s, e);
        break;
    case PM_CANON_DELTA:
        if (last)
            pm_buf_add(&last->text, e->text);
        break;
    case PM_CANON_CLOSE:
        if (last) {
            last->closed = true;
            last->signature = pm_strdup(e->signature);
        }
        break;
    case PM_CANON_STOP:
    case PM_CANON_ERROR:
        s->stopped = true;
        break;
    }
}

struct pm_said *pm_said_new(enum pm_protocol p)
{
    struct pm_said *s = pm_calloc(1, sizeof(*s));
    s->protocol = p;
    s->decoder = pm_decoder_new(p, note, s);
    return s;
}

void pm_said_free(struct pm_said *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        free(s->blocks[i].id);
        free(s->blocks[i].call_id);
        free(s->blocks[i].name);
        free(s->blocks[i].signature);
        pm_buf_release(&s->blocks[i].text);
    }
    pm_decoder_free(s->decoder);
    cJSON_Delete(s->output);
    free(s->blocks);
    free(s->id);
    free(s->model);
    free(s);
}

static bool is(const char *type, const char *word)
{
    return strcmp(type, word) == 0;
}

static bool ends(const char *text, const char *tail)
{
    size_t n = strlen(text), k = strlen(tail);
    return n >= k && strcmp(text + n - k, tail) == 0;
}

/* Blocks that no other protocol knows are counted by the stream, though the decoder passes over them. */
static void follow_messages(struct pm_said *s, const char *type, const cJSON *root)
{
    if (is(type, "content_block_start")) {
        s->index = (size_t)pm_json_num(root, "index", 0);
        s->begun = true;
    } else if (is(type, "content_block_stop")) {
        s->begun = false;
    }
}

static void follow_responses(struct pm_said *s, const char *type, const cJSON *root)
{
    s->sequence = (unsigned)pm_json_num(root, "sequence_number", s->sequence) + 1;
    if (is(type, "response.output_item.added")) {
        s->index = (size_t)pm_json_num(root, "output_index", 0);
        s->begun = true;
        s->summary = false;
        s->closing = 0;
    } else if (is(type, "response.output_item.done")) {
        s->begun = false;
        s->closing = 0;
        if (!s->output)
            s->output = cJSON_CreateArray();
        cJSON_AddItemToArray(s->output, cJSON_Duplicate(pm_json_get(root, "item"), true));
    } else if (ends(type, ".done")) {
        s->closing++;
    } else if (strncmp(type, "response.reasoning_summary", 26) == 0) {
        s->summary = true;
    }
}

void pm_said_event(struct pm_said *s, const char *name, const char *data, size_t len)
{
    cJSON *root = len ? cJSON_ParseWithLength(data, len) : NULL;
    const char *type = pm_json_str(root, "type");
    if (!type)
        type = name;
    if (len && !root && !(len == 6 && memcmp(data, "[DONE]", 6) == 0))
        s->unread = true;
    if (s->protocol == PM_PROTO_MESSAGES)
        follow_messages(s, type, root);
    else if (s->protocol == PM_PROTO_RESPONSES)
        follow_responses(s, type, root);
    pm_decoder_event(s->decoder, name, data, len);
    cJSON_Delete(root);
}

/* Has the caller seen of a call what the decoder has not told yet? */
static bool is_behind(const struct pm_decoder *d)
{
    for (size_t i = 0; i < d->n_calls; i++)
        if (!d->calls[i].opened && (d->calls[i].id || d->calls[i].name || d->calls[i].arguments.len))
            return true;
    return false;
}

bool pm_said_can_go_on(const struct pm_said *s)
{
    const struct said_block *last = s->n ? &s->blocks[s->n - 1] : NULL;
    if (!last || s->stopped || s->unread || is_behind(s->decoder))
        return false;
    if (s->begun && last->closed)
        return false;
    if (s->summary && !last->closed)
        return false;
    return last->block != PM_BLOCK_CALL || last->closed || s->closing;
}

const char *pm_said_id(const struct pm_said *s)
{
    return s->id;
}

unsigned pm_said_sequence(const struct pm_said *s)
{
    return s->sequence;
}

/* --- going on --- */

struct pm_resume {
    const struct pm_said *said;
    struct pm_encoder *encoder;
    size_t block, offset; /* what of `said` has been found again */
    bool inside;          /* of that block */
    enum pm_resume_state state;
};

static void tell(struct pm_encoder *e, struct pm_canon_event event)
{
    pm_encoder_event(e, &event);
}

static void replay(const struct pm_said *s, struct pm_encoder *e)
{
    pm_encoder_mute(e, true);
    tell(e, (struct pm_canon_event){
                .kind = PM_CANON_START, .id = s->id, .model = s->model, .usage = PM_CANON_USAGE_UNKNOWN});
    for (size_t i = 0; i < s->n; i++) {
        const struct said_block *b = &s->blocks[i];
        tell(e, (struct pm_canon_event){
                    .kind = PM_CANON_OPEN, .block = b->block, .id = b->id, .call_id = b->call_id, .name = b->name});
        if (b->text.len)
            tell(e, (struct pm_canon_event){.kind = PM_CANON_DELTA, .block = b->block, .text = b->text.data});
        if (b->closed)
            tell(e, (struct pm_canon_event){.kind = PM_CANON_CLOSE, .block = b->block});
    }
    pm_encoder_mute(e, false);
    if (s->protocol == PM_PROTO_MESSAGES || s->protocol == PM_PROTO_RESPONSES)
        pm_encoder_stand(e, s->index + !s->begun, s->closing, s->sequence, s->output);
}

struct pm_resume *pm_resume_new(const struct pm_said *said, struct pm_encoder *encoder)
{
    struct pm_resume *r = pm_calloc(1, sizeof(*r));
    r->said = said;
    r->encoder = encoder;
    replay(said, encoder);
    return r;
}

void pm_resume_free(struct pm_resume *r)
{
    free(r);
}

enum pm_resume_state pm_resume_state(const struct pm_resume *r)
{
    return r->state;
}

static void pass(struct pm_resume *r, const struct pm_canon_event *event)
{
    r->state = PM_RESUME_GOES_ON;
    pm_encoder_event(r->encoder, event);
}

static const struct said_block *current(const struct pm_resume *r)
{
    return r->block < r->said->n ? &r->said->blocks[r->block] : NULL;
}

static void opened(struct pm_resume *r, const struct pm_canon_event *event)
{
    const struct said_block *b = current(r);
    if (!b) {
        pass(r, event);
    } else if (b->block != event->block || (b->block == PM_BLOCK_CALL && b->name &&
                                            strcmp(b->name, pm_encoder_tool_name(r->encoder, event->name)))) {
        r->state = PM_RESUME_DIFFERS;
    } else {
        r->inside = true;
        r->offset = 0;
    }
}

static void grown(struct pm_resume *r, const struct pm_canon_event *event)
{
    const struct said_block *b = r->inside ? current(r) : NULL;
    if (!b) {
        pass(r, event);
        return;
    }
    size_t len = strlen(event->text), left = b->text.len - r->offset, same = len < left ? len : left;
    if (memcmp(event->text, b->text.data + r->offset, same) != 0 || (len > left && (b->closed || r->said->closing))) {
        r->state = PM_RESUME_DIFFERS;
        return;
    }
    r->offset += same;
    if (len > left) {
        struct pm_canon_event rest = *event;
        rest.text += same;
        pass(r, &rest);
    }
}

static void closed(struct pm_resume *r, const struct pm_canon_event *event)
{
    const struct said_block *b = r->inside ? current(r) : NULL;
    if (!b) {
        pass(r, event);
        return;
    }
    if (r->offset < b->text.len) {
        r->state = PM_RESUME_DIFFERS;
        return;
    }
    r->inside = false;
    r->block++;
    if (!b->closed)
        pass(r, event);
}

void pm_resume_event(void *arg, const struct pm_canon_event *event)
{
    struct pm_resume *r = arg;
    if (r->state == PM_RESUME_DIFFERS || r->state == PM_RESUME_FAILED)
        return;
    /* From here on all is new, also to `said`, which goes on growing. */
    if (r->state == PM_RESUME_GOES_ON && event->kind != PM_CANON_START && event->kind != PM_CANON_ERROR) {
        pass(r, event);
        return;
    }
    switch (event->kind) {
    case PM_CANON_START:
        break;
    case PM_CANON_OPEN:
        opened(r, event);
        break;
    case PM_CANON_DELTA:
        grown(r, event);
        break;
    case PM_CANON_CLOSE:
        closed(r, event);
        break;
    case PM_CANON_STOP:
        if (current(r))
            r->state = PM_RESUME_DIFFERS;
        else
            pass(r, event);
        break;
    case PM_CANON_ERROR:
        r->state = PM_RESUME_FAILED;
        break;
    }
}
