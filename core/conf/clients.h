/* The keys file: who may use what. */
#ifndef PM_CONF_CLIENTS_H
#define PM_CONF_CLIENTS_H

#include "core/conf/conf.h"

/* Reads the sections of conf->clients_ini into conf->clients. Every fault makes the file unusable: a key that is read
 * wrongly would let in whom it should not. */
void pm_conf_read_clients(struct pm_conf *conf, struct pm_diags *diags);
void pm_user_release(struct pm_user *c);

#endif
