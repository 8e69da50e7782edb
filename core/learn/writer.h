/* Makes files of weights (weights.h). */
#ifndef PM_LEARN_WRITER_H
#define PM_LEARN_WRITER_H

#include "core/base/error.h"
#include "core/learn/weights.h"

struct pm_weights_writer;

struct pm_weights_writer *pm_weights_writer_new(void);
void pm_weights_writer_free(struct pm_weights_writer *w);

/* Each copies what it is given. A section of the same kind and name is replaced. */
void pm_weights_add_classes(struct pm_weights_writer *w, const char *name, const struct pm_classes *classes);
void pm_weights_add_head(struct pm_weights_writer *w, const char *name, const struct pm_head *head);
void pm_weights_add_table(struct pm_weights_writer *w, const char *name, const struct pm_table *table);
void pm_weights_add_sizes(struct pm_weights_writer *w, const struct pm_sizes *sizes);
/* All sections of another file. */
void pm_weights_add_all(struct pm_weights_writer *w, const struct pm_weights *from);

/* The file as a whole, or not at all; `len` gets its bytes. */
int pm_weights_write(const struct pm_weights_writer *w, const char *path, size_t *len, struct pm_error *err) PM_MUST;

#endif
