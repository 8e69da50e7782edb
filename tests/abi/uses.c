/* A policy that uses all that a host may offer, and asks for it as the header says: whatever the header that it is
 * compiled against has and whatever its host has. Of its outcome it logs what came back. */
#include "pointsman.h"

#ifndef NAME
#define NAME "uses"
#endif
#ifndef MEMORY
#define MEMORY 65536
#endif

struct state {
    const struct pmp_host *host;
#if PMP_ABI_MINOR >= 1
    uint32_t *starts; /* in shared memory; NULL for none */
#endif
};

static int start(const struct pmp_host *host, const void *conf, void **state)
{
    struct state *s = host->alloc(1, sizeof(*s));
    (void)conf;
    s->host = host;
    *state = s;
#if PMP_ABI_MINOR >= 1
    if (!PMP_HAS(host, file)) {
        host->log(host, PMP_LOG_INFO, NAME ": the host has nothing of 1.1");
        return 0;
    }
    const char *path = host->file(host, "uses.txt");
    host->log(host, PMP_LOG_INFO, NAME ": file=%s", path ? path : "none");
    s->starts = host->shared(host, MEMORY);
    if (s->starts)
        host->log(host, PMP_LOG_INFO, NAME ": starts=%u", __atomic_add_fetch(s->starts, 1, __ATOMIC_RELAXED));
    if (host->file(host, "no such file") || host->file(host, "")) {
        host->fail(host, NULL, "a file that is nowhere was found");
        return -1;
    }
#ifdef REFUSE
    host->fail(host, NULL, "it was compiled to fail");
    return -1;
#endif
#endif
    return 0;
}

static int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    const struct state *s = state;
    const struct pmp_host *h = s->host;
    h->complexity(v, 0.5);
    h->reason(v, NAME " saw %u texts", (unsigned)(*h->text(req, PMP_TEXT_LAST_USER, NULL) != '\0'));
#if PMP_ABI_MINOR >= 1
    size_t len;
    const char *id = h->text(req, PMP_TEXT_REQUEST, &len);
    if (PMP_HAS(h, insist))
        h->insist(v);
    if (PMP_HAS(h, note)) {
        char longer[PMP_NOTE_MAX * 2] = "";
        h->note(v, longer, sizeof(longer)); /* cut, and then replaced */
        h->note(v, id, len);
    }
    if (s->starts) /* to its last word */
        __atomic_add_fetch(s->starts + MEMORY / sizeof(*s->starts) - 1, 1, __ATOMIC_RELAXED);
    /* Only in `start`. */
    if (PMP_HAS(h, file) && (h->file(h, "uses.txt") || h->shared(h, MEMORY)))
        return -1;
#endif
    return 0;
}

static void outcome(void *state, const struct pmp_outcome *o)
{
    const struct state *s = state;
    const struct pmp_host *h = s->host;
    h->log(h, PMP_LOG_INFO, NAME ": outcome status=%d target=%s tokens=%d", o->status, o->target,
           (int)o->output_tokens);
#if PMP_ABI_MINOR >= 1
    if (PMP_HAS(o, note_len))
        h->log(h, PMP_LOG_INFO, NAME ": note=%.*s kind=%d score=%.1f", (int)o->note_len, o->note ? o->note : "",
               (int)o->kind, o->score);
#endif
}

static void stop(void *state)
{
    struct state *s = state;
    s->host->free(s);
}

PMP_EXPORT const struct pmp_policy pmp_policy = {
    .abi = PMP_ABI,
    .size = sizeof(struct pmp_policy),
    .name = NAME,
    .summary = "uses what there is",
    .start = start,
    .judge = judge,
    .outcome = outcome,
    .stop = stop,
};
