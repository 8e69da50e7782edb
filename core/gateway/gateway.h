/* The worker: HTTP in, decision, model server or cloud, HTTP out. One process, one loop. */
#ifndef PM_GATEWAY_GATEWAY_H
#define PM_GATEWAY_GATEWAY_H

/* Runs with the inherited descriptors until drained; `state_fd` is the state folder. Returns the exit code. */
int pm_gateway_run(int channel_fd, int bundle_fd, int listen_fd, int state_fd);

#endif
