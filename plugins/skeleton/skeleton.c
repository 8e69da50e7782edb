/* skeleton: a policy to copy. `pointsman plugin new NAME` replaces every "skeleton" here by NAME.
 *
 * As it stands it sees the intent `skeleton` in messages that hold WORD. Build it with
 *
 *     cc -shared -fPIC -O2 -o skeleton.so skeleton.c $(pkg-config --cflags pointsman-policy)
 *
 * put the .so into the plugin folder, and `skeleton` into POLICIES of a route.
 */
#include <string.h>

#include "pointsman.h"

/* What a route may set in its [policy skeleton] section. */
struct conf {
    const char *word;
};

struct state {
    const struct pmp_host *host;
    const struct conf *conf;
};

static const struct pmp_option options[] = {
    {PMP_STRING, "WORD", "skeleton", offsetof(struct conf, word), 0, 0, "the word to look for"},
    {0},
};

/* Once for each route that uses the policy. Compile patterns, open tables, allocate here: judge must be quick. */
static int start(const struct pmp_host *host, const void *conf, void **state)
{
    struct state *s = host->alloc(1, sizeof(*s));
    s->host = host;
    s->conf = conf;
    if (!*s->conf->word) {
        host->fail(host, NULL, "WORD is empty");
        host->free(s);
        return -1;
    }
    *state = s;
    return 0;
}

/* For each request. Must not block, and must not keep the request or the verdict. */
static int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    struct state *s = state;
    const char *text = s->host->text(req, PMP_TEXT_LAST_USER, NULL);
    if (strstr(text, s->conf->word)) {
        s->host->intent(v, "skeleton", 0.9);
        s->host->reason(v, "it says %s", s->conf->word);
    } else {
        s->host->abstain(v);
    }
    return 0;
}

static void stop(void *state)
{
    struct state *s = state;
    s->host->free(s);
}

PMP_EXPORT const struct pmp_policy pmp_policy = {
    .abi = PMP_ABI,
    .size = sizeof(struct pmp_policy),
    .name = "skeleton",
    .summary = "sees the intent `skeleton` where a word is used",
    .options = options,
    .conf_size = sizeof(struct conf),
    .start = start,
    .judge = judge,
    .stop = stop,
};
