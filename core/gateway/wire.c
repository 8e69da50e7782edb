/* The protocol that is spoken with a target: the body that it gets, and how its answer becomes the caller's. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/alloc.h"
#include "core/gateway/call_priv.h"
#include "core/gateway/review_priv.h"

static const enum pm_protocol protocols[] = {
    [PM_WIRE_CHAT] = PM_PROTO_CHAT, [PM_WIRE_RESPONSES] = PM_PROTO_RESPONSES, [PM_WIRE_MESSAGES] = PM_PROTO_MESSAGES};

enum pm_protocol pm_wire_of(const struct pm_target *t, enum pm_protocol asked)
{
    if (!pm_api_translates(asked))
        return asked;
    for (size_t i = 0; i < t->n_wires; i++)
        if (protocols[t->wires[i]] == asked)
            return asked;
    return protocols[t->wires[0]];
}

bool pm_wire_speaks(const struct pm_target *t, enum pm_protocol asked)
{
    if (pm_api_translates(asked))
        return true;
    if (asked != PM_PROTO_COUNT_TOKENS)
        return t->kind == PM_TARGET_LOCAL ||
               (t->kind == PM_TARGET_OPENAI && (asked == PM_PROTO_COMPLETIONS || asked == PM_PROTO_EMBEDDINGS));
    for (size_t i = 0; i < t->n_wires; i++)
        if (t->wires[i] == PM_WIRE_MESSAGES)
            return true;
    return false;
}

const char *pm_wire_path(const struct pm_call *c)
{
    static const char *const paths[] = {[PM_PROTO_CHAT] = "/v1/chat/completions",
                                        [PM_PROTO_RESPONSES] = "/v1/responses",
                                        [PM_PROTO_MESSAGES] = "/v1/messages"};
    return c->canon ? paths[c->wire] : c->upstream_path;
}

const char *pm_wire_model(const struct pm_target *t, const char *asked)
{
    const char *own = t->kind == PM_TARGET_LOCAL ? t->remote_model ? t->remote_model : t->id : t->model;
    return own ? own : asked;
}

/* --- where it listens --- */

const char *pm_target_socket(const struct pm_target *t, const char *address)
{
    static const char scheme[] = "unix:";
    bool is = t->kind == PM_TARGET_LOCAL && strncmp(address, scheme, sizeof(scheme) - 1) == 0;
    return is ? address + sizeof(scheme) - 1 : NULL;
}

char *pm_target_url(const struct pm_target *t, const char *address, const char *path)
{
    const char *base = t->kind != PM_TARGET_LOCAL     ? t->base_url
                       : pm_target_socket(t, address) ? "http://localhost"
                                                      : address;
    size_t n = strlen(base);
    bool versioned = n > 3 && strcmp(base + n - 3, "/v1") == 0;
    /* An OpenAI base has the version in it, others have not; both are forgiven the other way. */
    if ((t->kind == PM_TARGET_OPENAI || versioned) && strncmp(path, "/v1/", 4) == 0)
        path += 3;
    return pm_asprintf("%s%s", base, path);
}

void pm_target_header(struct pm_strv *headers, const char *name, const char *scheme, const char *value)
{
    char *line = pm_asprintf("%s: %s%s", name, scheme, value);
    pm_strv_add(headers, line, strlen(line));
    free(line);
}

/* --- the request --- */

bool pm_wire_wants_usage(const struct pm_call *c)
{
    bool chat = c->api.protocol == PM_PROTO_CHAT || c->api.protocol == PM_PROTO_COMPLETIONS;
    return !chat || !c->api.stream || pm_json_true(pm_json_get(c->api.root, "stream_options"), "include_usage");
}

/* Usage that must be known although the caller has not asked for it. llama-server tells it anyhow, but not in the
 * shape that an answer is kept in. */
static bool needs_usage(const struct pm_call *c)
{
    bool local = c->target->kind == PM_TARGET_LOCAL;
    return !pm_wire_wants_usage(c) && (*c->cache_key || (!local && pm_admit_needs_usage(c)));
}

static int translate(struct pm_call *c, struct pm_error *err)
{
    const struct pm_target *t = c->target;
    unsigned caps = c->g->states[t->index].caps_known ? c->g->states[t->index].caps : t->caps;
    struct pm_codec_target to = {.model = pm_wire_model(c->target, c->model),
                                 .max_tokens = t->max_tokens,
                                 .reasoning = caps & PM_CAP_REASONING,
                                 .is_llama = t->kind == PM_TARGET_LOCAL,
                                 .is_openai = t->base_url && strstr(t->base_url, "//api.openai.com")};
    return pm_translate_request(&c->api, c->wire, &to, &c->body, &c->canon, err);
}

static void pass(struct pm_call *c)
{
    const struct pm_target *t = c->target;
    bool local = t->kind == PM_TARGET_LOCAL, as_stream = local && pm_api_can_assemble(&c->api);
    c->strips_progress =
        local && (as_stream || c->api.stream) && !pm_json_span(&c->api.spans, c->api.body, "return_progress");
    struct pm_api_wishes wishes = {.as_stream = as_stream,
                                   .progress = c->strips_progress,
                                   .logprobs = c->strips_logprobs,
                                   .usage = c->strips_usage,
                                   .max_tokens = t->max_tokens,
                                   .same_prefix = local};
    pm_api_body_for_server(&c->api, pm_wire_model(c->target, c->model), &wishes, &c->body);
    if (!c->without_thoughts || c->wire != PM_PROTO_MESSAGES)
        return;
    struct pm_buf fewer;
    pm_buf_init(&fewer, c->body.limit);
    if (pm_api_without_thoughts(c->body.data, c->body.len, &fewer)) {
        pm_buf_release(&c->body);
        c->body = fewer;
    } else {
        pm_buf_release(&fewer);
    }
}

int pm_wire_set_body(struct pm_call *c, struct pm_error *err)
{
    struct pm_prefix_memory *prefixes = c->g->states[c->target->index].prefixes;
    int rc = PM_OK;
    pm_buf_clear(&c->body);
    c->wire = c->api.protocol;
    c->prefix_break = -1;
    if (!c->has_api)
        return PM_OK;
    c->wire = pm_wire_of(c->target, c->api.protocol);
    c->strips_usage = needs_usage(c);
    c->strips_logprobs = pm_review_wants_logprobs(c);
    if (c->wire == c->api.protocol)
        pass(c);
    else
        rc = translate(c, err);
    if (rc == PM_OK && prefixes && pm_api_translates(c->wire))
        c->prefix_break = pm_prefix_note(prefixes, c->body.data, c->body.len, c->api.conversation);
    return rc;
}

/* --- the answer --- */

/* An event in the caller's protocol. */
static void to_caller(void *arg, const char *name, const char *data, size_t len)
{
    struct pm_call *c = arg;
    if (c->assembly) {
        pm_assembly_event(c->assembly, name, data, len);
        return;
    }
    size_t before = c->held.len;
    pm_sse_write(&c->held, name, data, len);
    if (!c->strips_usage || !pm_api_event_is_usage(data, len))
        return;
    if (!c->under_review)
        pm_cached_note(c, c->held.data + before, c->held.len - before);
    pm_buf_cut(&c->held, before);
}

/* An error is not handed on: what becomes of it is decided by who sees that the answer ends there. */
static void from_target(void *arg, const struct pm_canon_event *event)
{
    struct pm_call *c = arg;
    if (event->kind == PM_CANON_ERROR)
        return;
    if (c->resume)
        pm_resume_event(c->resume, event);
    else
        pm_encoder_event(c->encoder, event);
}

static void open_codec(struct pm_call *c)
{
    struct pm_encoder_spec spec = {.id = c->own_id,
                                   .model = c->target->model && c->target->kind != PM_TARGET_LOCAL ? c->target->model
                                                                                                   : c->target->id,
                                   .created = (long long)time(NULL),
                                   .prompt_tokens = c->api.prompt_tokens,
                                   .wants_usage = pm_wire_wants_usage(c) || c->strips_usage,
                                   .request = c->canon};
    if (c->resuming)
        spec.id = NULL;
    c->encoder = pm_encoder_new(c->api.protocol, &spec, to_caller, c);
    c->decoder = pm_decoder_new(c->wire, from_target, c);
    if (c->resuming)
        c->resume = pm_resume_new(c->said, c->encoder);
}

void pm_wire_expect(struct pm_call *c)
{
    bool local = c->target->kind == PM_TARGET_LOCAL;
    if (!c->has_api)
        return;
    if (!c->api.stream && (c->canon || (local && pm_api_can_assemble(&c->api))))
        c->assembly = pm_assembly_new(c->api.protocol);
    if (c->canon || c->resuming || c->strips_logprobs)
        open_codec(c);
    else if (c->api.stream)
        c->mend = pm_mend_new(c->wire, c->target->id, c->api.prompt_tokens, c->strips_progress);
}

void pm_wire_reset(struct pm_call *c)
{
    pm_resume_free(c->resume);
    pm_encoder_free(c->encoder);
    pm_decoder_free(c->decoder);
    pm_canon_free(c->canon);
    pm_assembly_free(c->assembly);
    pm_mend_free(c->mend);
    c->resume = NULL;
    c->encoder = NULL;
    c->decoder = NULL;
    c->canon = NULL;
    c->assembly = NULL;
    c->mend = NULL;
}
