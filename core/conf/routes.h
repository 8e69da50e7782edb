/* routes.d: files to routes, and [gateway]. */
#ifndef PM_CONF_ROUTES_H
#define PM_CONF_ROUTES_H

#include "core/conf/conf.h"

/* Adds the route of one file's sections `first` to `end` of conf->routes_ini, or reads its [gateway]. A file with
 * a fault adds nothing; returns whether it was good. */
bool pm_conf_read_route(struct pm_conf *conf, const char *path, size_t first, size_t end, struct pm_diags *diags);
void pm_route_release(struct pm_route *r);
void pm_gateway_conf_release(struct pm_gateway_conf *g);

#endif
