/* A server that somebody else looks after, at a URL: any OpenAI-compatible one, another Pointsman among them.
 *
 * It is up when it answers. There is nothing to start or to stop; while it is in use it is asked now and then whether
 * it still lives, and given up after a few silences.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/alloc.h"
#include "core/base/text.h"
#include "core/manager/driver.h"
#include "core/upstream/fetch.h"

enum { LOOK_EVERY_MS = 5000, LOOK_LIMIT_MS = 5000, START_LIMIT_MS = 5000, SILENCES = 3 };

struct remote {
    struct pm_timer look, limit, goodbye;
    struct pm_fetch *fetch;
    unsigned silences;
    bool ended;
};

static void end(struct pm_server *s, const char *text)
{
    struct remote *r = s->own;
    if (r->ended)
        return;
    r->ended = true;
    pm_timer_clear(&r->look);
    pm_timer_clear(&r->limit);
    pm_timer_clear(&r->goodbye);
    pm_fetch_cancel(r->fetch);
    r->fetch = NULL;
    pm_driver_ended(s, NULL, text);
}

static void looked(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct remote *r = s->own;
    char text[320];
    (void)body;
    (void)len;
    r->fetch = NULL;
    r->silences = status ? 0 : r->silences + 1;
    snprintf(text, sizeof(text), "%s has not answered %u times", s->address, r->silences);
    if (r->silences >= SILENCES)
        end(s, text);
    else
        pm_timer_set(&r->look, LOOK_EVERY_MS);
}

static void look(void *arg)
{
    struct pm_server *s = arg;
    struct remote *r = s->own;
    char *url = pm_asprintf("%s/health", s->address);
    struct pm_transfer_spec spec = {.method = "GET", .url = url, .ca_file = s->ca_file, .connect_ms = LOOK_LIMIT_MS};
    r->fetch = pm_fetch_start(s->spec.up, s->spec.loop, &spec, LOOK_LIMIT_MS, looked, s);
    free(url);
}

static void too_late(void *arg)
{
    struct pm_server *s = arg;
    char text[320];
    if (s->ready)
        return;
    snprintf(text, sizeof(text), "%s does not answer", s->address);
    end(s, text);
}

static void gone(void *arg)
{
    struct pm_server *s = arg;
    end(s, "left");
}

static int remote_start(struct pm_server *s, struct pm_error *err)
{
    struct remote *r = s->own = pm_calloc(1, sizeof(*r));
    (void)err;
    snprintf(s->address, sizeof(s->address), "%s", s->spec.conf->url);
    pm_timer_init(&r->look, s->spec.loop, look, s);
    pm_timer_init(&r->limit, s->spec.loop, too_late, s);
    pm_timer_init(&r->goodbye, s->spec.loop, gone, s);
    pm_timer_set(&r->limit, START_LIMIT_MS);
    pm_timer_set(&r->look, LOOK_EVERY_MS);
    pm_driver_poll_health(s, 0);
    return PM_OK;
}

/* There is no difference between finding it and starting it. */
static bool remote_adopt(struct pm_server *s)
{
    (void)s;
    return false;
}

static void remote_stop(struct pm_server *s)
{
    struct remote *r = s->own;
    /* Its owner hears of the end on the next turn, as with all other drivers. */
    pm_timer_set(&r->goodbye, 0);
}

static void remote_leave(struct pm_server *s)
{
    struct remote *r = s->own;
    if (!r)
        return;
    r->ended = true;
    pm_fetch_cancel(r->fetch);
    r->fetch = NULL;
    pm_timer_clear(&r->look);
    pm_timer_clear(&r->limit);
    pm_timer_clear(&r->goodbye);
}

static void remote_release(struct pm_server *s)
{
    struct remote *r = s->own;
    pm_timer_release(&r->look);
    pm_timer_release(&r->limit);
    pm_timer_release(&r->goodbye);
    free(r);
}

const struct pm_driver pm_remote_driver = {.name = "remote",
                                           .start = remote_start,
                                           .adopt = remote_adopt,
                                           .stop = remote_stop,
                                           .kill = remote_stop,
                                           .leave = remote_leave,
                                           .release = remote_release};
