/* Watching a manager: what it tells as it happens, over its control socket. A manager that goes away is waited for. */
#ifndef PM_CLI_WATCH_H
#define PM_CLI_WATCH_H

#include "core/base/json.h"
#include "core/channel/channel.h"

struct pm_cli_watch;

struct pm_cli_watch_events {
    /* It is there, or has gone: `why` is for people. */
    void (*up)(void *arg);
    void (*down)(void *arg, const char *why);
    /* An event of that kind (PM_MSG_EVENT). */
    void (*event)(void *arg, enum pm_watch kind, const char *text);
};

/* `kinds` are enum pm_watch bits. Never NULL: where nobody runs, `down` is called soon, and it tries again. */
struct pm_cli_watch *pm_cli_watch_new(struct pm_loop *loop, const char *state_dir, uint32_t kinds,
                                      const struct pm_cli_watch_events *events, void *arg);
void pm_cli_watch_free(struct pm_cli_watch *w);

/* Asks it something (takes the question); `answered` gets the reply, or NULL when it goes away first. `tag` tells the
 * asker which it was. False, and nothing follows, when nobody is there. */
bool pm_cli_watch_ask(struct pm_cli_watch *w, cJSON *question, int tag,
                      void (*answered)(void *arg, int tag, const cJSON *reply));

#endif
