/* Time. Monotonic for durations, wall time only for records that people read. */
#ifndef PM_BASE_CLOCK_H
#define PM_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t pm_clock_us(void);    /* monotonic, microseconds */
uint64_t pm_clock_ms(void);    /* monotonic, milliseconds */
int64_t pm_clock_wall_s(void); /* seconds since 1970 */
uint64_t pm_clock_wall_ms(void);

/* Writes UTC as 2026-01-31T12:00:00.123Z; `size` at least 25. */
void pm_clock_text(char *out, size_t size);

#endif
