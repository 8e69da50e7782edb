/* What the encoders of the three protocols share. */
#include "core/api/encode.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

struct pm_encoder *pm_encoder_new(enum pm_protocol p, const struct pm_encoder_spec *spec, pm_wire_sink sink, void *arg)
{
    struct pm_encoder *e = pm_calloc(1, sizeof(*e));
    e->protocol = p;
    e->spec = *spec;
    e->id = pm_strdup(spec->id);
    e->model = pm_strdup(spec->model);
    e->sink = sink;
    e->arg = arg;
    pm_buf_init(&e->text, PM_BUF_OWN_LIMIT);
    pm_buf_init(&e->line, PM_BUF_OWN_LIMIT);
    pm_buf_init(&e->fresh_id, 4096);
    return e;
}

void pm_encoder_free(struct pm_encoder *e)
{
    if (!e)
        return;
    free(e->id);
    free(e->model);
    free(e->item);
    free(e->call_id);
    free(e->name);
    cJSON_Delete(e->output);
    pm_buf_release(&e->text);
    pm_buf_release(&e->line);
    pm_buf_release(&e->fresh_id);
    free(e);
}

void pm_encoder_mute(struct pm_encoder *e, bool mute)
{
    e->mute = mute;
}

void pm_encoder_stand(struct pm_encoder *e, size_t index, unsigned closings, unsigned sequence, const cJSON *output)
{
    e->closings = closings;
    e->index = index;
    e->sequence = sequence;
    if (e->output) {
        cJSON_Delete(e->output);
        e->output = output ? cJSON_Duplicate(output, true) : cJSON_CreateArray();
    }
}

unsigned pm_encoder_sequence(const struct pm_encoder *e)
{
    return e->sequence;
}

void pm_encoder_send(struct pm_encoder *e, const char *name)
{
    if (!e->mute)
        e->sink(e->arg, name, e->line.data, e->line.len);
    pm_buf_clear(&e->line);
}

void pm_encoder_member(struct pm_encoder *e, const char *key, const char *text)
{
    pm_buf_addf(&e->line, "\"%s\":", key);
    pm_json_quote(&e->line, text ? text : "", text ? strlen(text) : 0);
}

const char *pm_encoder_tool_name(struct pm_encoder *e, const char *wire_name)
{
    const struct pm_canon *request = e->spec.request;
    e->tool = NULL;
    for (size_t i = 0; request && wire_name && i < request->n_tools && !e->tool; i++)
        if (strcmp(request->tools[i].wire_name, wire_name) == 0)
            e->tool = &request->tools[i];
    return e->tool ? e->tool->name : wire_name ? wire_name : "";
}

static bool was_called(const struct pm_canon *request, const char *id)
{
    for (size_t t = 0; request && t < request->n_turns; t++)
        for (size_t i = 0; i < request->turns[t].parts.n; i++) {
            const struct pm_part *p = &request->turns[t].parts.items[i];
            if (p->kind == PM_PART_CALL && p->id && strcmp(p->id, id) == 0)
                return true;
        }
    return false;
}

/* Some servers count from call_0 in each answer, and agents leave out a call whose id they have seen. */
const char *pm_encoder_call_id(struct pm_encoder *e, const char *id, const char *made_up)
{
    if (!id || !*id)
        id = made_up;
    if (!was_called(e->spec.request, id))
        return id;
    pm_buf_clear(&e->fresh_id);
    pm_buf_addf(&e->fresh_id, "%.23s_%08x", id, (unsigned)pm_hash(e->id, strlen(e->id), PM_HASH_SEED));
    return e->fresh_id.data;
}

static void start(struct pm_encoder *e, const struct pm_canon_event *event)
{
    e->started = true;
    if (event->id && !e->spec.id) {
        free(e->id);
        e->id = pm_strdup(event->id);
    }
    if (event->model && *event->model) {
        free(e->model);
        e->model = pm_strdup(event->model);
    }
    if (!e->id)
        e->id = pm_strdup("answer");
}

void pm_encoder_event(struct pm_encoder *e, const struct pm_canon_event *event)
{
    if (event->kind == PM_CANON_START)
        start(e, event);
    if (e->protocol == PM_PROTO_MESSAGES)
        pm_messages_encode(e, event);
    else if (e->protocol == PM_PROTO_RESPONSES)
        pm_responses_encode(e, event);
    else
        pm_chat_encode(e, event);
}
