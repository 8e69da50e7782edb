/* models.conf: sections to targets. */
#ifndef PM_CONF_TARGETS_H
#define PM_CONF_TARGETS_H

#include "core/conf/conf.h"

/* Fills conf->targets and conf->manager from conf->models_ini. */
void pm_conf_read_targets(struct pm_conf *conf, const char *models_path, struct pm_diags *diags);
void pm_target_release(struct pm_target *t);

#endif
