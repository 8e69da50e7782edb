/* Telling the service manager how it goes (sd_notify(3), its datagram protocol), where there is one. */
#ifndef PM_LOOP_NOTIFY_H
#define PM_LOOP_NOTIFY_H

#include <stdint.h>

/* Takes over where to tell from the environment, so that no child tells in our name: a descriptor, -1 where nobody
 * wants to know. `alive_ms`: how often a sign of life is wanted, 0 never. */
int pm_notify_open(uint64_t *alive_ms);

/* Tells `state`, lines of VARIABLE=value; nothing for -1. */
void pm_notify(int fd, const char *state);

#endif
