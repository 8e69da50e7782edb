/* A stream that breaks off after content: the same request once more, whose answer must begin with what the caller has
 * been told already. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/gateway/call_priv.h"

/* What was sent is read back when it is this much, or when it is needed. */
enum { SENT_MAX = 64 << 10 };

enum { RESUMES_MAX = 3 };

static void told(void *arg, const struct pm_sse_event *event)
{
    struct pm_call *c = arg;
    pm_said_event(c->said, event->name, event->data, event->data_len);
}

static void read_back(struct pm_call *c)
{
    if (!c->said)
        c->said = pm_said_new(c->api.protocol);
    if (pm_sse_feed(&c->sent_sse, c->sent.data, c->sent.len, told, c) < 0)
        c->can_resume = false;
    pm_buf_clear(&c->sent);
}

void pm_resume_init(struct pm_call *c)
{
    c->can_resume = c->has_api && c->api.stream && pm_protocol_streams(c->api.protocol) && pm_api_is_plain(&c->api) &&
                    c->input.route->resume;
}

void pm_resume_release(struct pm_call *c)
{
    pm_buf_release(&c->sent);
    pm_sse_reader_release(&c->sent_sse);
    pm_said_free(c->said);
}

void pm_resume_note(struct pm_call *c, const char *data, size_t len)
{
    if (!c->can_resume)
        return;
    pm_buf_addn(&c->sent, data, len);
    if (c->sent.len > SENT_MAX)
        read_back(c);
}

bool pm_resume_start(struct pm_call *c, const char *why, bool silent)
{
    if (!c->can_resume || !c->x || c->resumes >= RESUMES_MAX)
        return false;
    read_back(c);
    if (!c->can_resume || !pm_said_can_go_on(c->said))
        return false;
    /* A local server is asked again itself, since it answers the same most likely; a cloud where there is no other,
     * unless it has fallen silent. */
    bool local = c->target->kind == PM_TARGET_LOCAL, last = c->attempt >= c->decision->n_attempts;
    bool again = local ? last || !c->resumes : last && !silent;
    if (last && !again)
        return false;
    c->resumes++;
    pm_metrics_add(c->g->metrics, "pointsman_resumes_total", "", 1);
    pm_log(PM_LOG_DEBUG, "request %s: the answer of %s broke off: %s; it is asked for again", c->id, c->target->id,
           why);
    if (pm_said_id(c->said))
        snprintf(c->own_id, sizeof(c->own_id), "%s", pm_said_id(c->said));
    c->resuming = c->opened = true;
    c->committed = c->retried = false;
    pm_wait_resume(c);
    pm_attempt_failed(c, 502, why, again);
    return true;
}
