/* capability: vetoes the targets that cannot serve a request at all.
 *
 * Images need vision, audio needs audio, offered tools need tools, an embedding needs embeddings, and prompt plus
 * answer must fit into the context. What nobody knows of a target is not held against it.
 */
#include <stdio.h>

#include "pointsman.h"

struct conf {
    int64_t reserve;
    const char *private_header;
};

struct state {
    const struct pmp_host *host;
    const struct conf *conf;
};

static const struct pmp_option options[] = {
    {PMP_INT, "RESERVE", "256", offsetof(struct conf, reserve), 0, 1e7,
     "tokens kept free for the answer where the caller gives no limit"},
    {PMP_STRING, "PRIVATE_HEADER", "x-pointsman-private", offsetof(struct conf, private_header), 0, 0,
     "a request with this header stays on this machine"},
    {0},
};

static int start(const struct pmp_host *host, const void *conf, void **state)
{
    struct state *s = host->alloc(1, sizeof(*s));
    s->host = host;
    s->conf = conf;
    *state = s;
    return 0;
}

static void stop(void *state)
{
    struct state *s = state;
    s->host->free(s);
}

/* The capability that the request needs and the target is known to lack, or NULL. */
static const char *lacking(const struct state *s, const struct pmp_request *req, const struct pmp_target *t)
{
    const struct pmp_host *h = s->host;
    size_t len;
    if (!t->caps_known)
        return NULL;
    if (h->number(req, PMP_NUM_IMAGES) && !(t->caps & PMP_CAP_VISION))
        return "it cannot see images";
    if (h->number(req, PMP_NUM_AUDIO) && !(t->caps & PMP_CAP_AUDIO))
        return "it cannot hear audio";
    if (h->number(req, PMP_NUM_TOOLS) && !(t->caps & PMP_CAP_TOOLS))
        return "it cannot call tools";
    const char *protocol = h->text(req, PMP_TEXT_PROTOCOL, &len);
    if (protocol[0] == 'e' && !(t->caps & PMP_CAP_EMBEDDINGS))
        return "it makes no embeddings";
    return NULL;
}

static void context(const struct state *s, const struct pmp_request *req, size_t i, const struct pmp_target *t,
                    struct pmp_verdict *v)
{
    const struct pmp_host *h = s->host;
    int64_t answer = h->number(req, PMP_NUM_MAX_TOKENS);
    int64_t prompt = h->number(req, PMP_NUM_PROMPT_TOKENS);
    char reason[96];
    /* A caller's limit is often "as much as there is": more than the reserve is not demanded. */
    if (!answer || answer > s->conf->reserve)
        answer = s->conf->reserve;
    if (!t->context || prompt + answer <= t->context)
        return;
    snprintf(reason, sizeof(reason), "context %lldk of %lldk", (long long)(prompt + answer + 999) / 1000,
             (long long)t->context / 1000);
    h->veto(v, i, reason);
}

static int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    struct state *s = state;
    const struct pmp_host *h = s->host;
    int is_private = h->header(req, s->conf->private_header) != NULL;
    for (size_t i = 0; i < h->targets(req); i++) {
        struct pmp_target t = {.size = sizeof(t)};
        if (h->target(req, i, &t) != 0)
            continue;
        const char *why = lacking(s, req, &t);
        if (!why && is_private && !t.is_local)
            why = "the request is private and may not leave this machine";
        if (why)
            h->veto(v, i, why);
        else
            context(s, req, i, &t, v);
    }
    h->abstain(v);
    return 0;
}

PMP_EXPORT const struct pmp_policy pmp_policy = {
    .abi = PMP_ABI,
    .size = sizeof(struct pmp_policy),
    .name = "capability",
    .summary = "vetoes targets that lack vision, tools, audio, embeddings, context or the right to see the request",
    .options = options,
    .conf_size = sizeof(struct conf),
    .start = start,
    .judge = judge,
    .stop = stop,
};
