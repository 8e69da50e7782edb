/* How busy the machine is: its processors and its memory, from /proc (proc_stat(5), proc_meminfo(5)). */
#ifndef PM_MANAGER_MACHINE_H
#define PM_MANAGER_MACHINE_H

struct pm_machine {
    double cpu;   /* busy share since the last reading, 0 to 1; -1 at the first */
    double load1; /* mean of runnable processes of the last minute */
    long cores;
    long long ram_mib, ram_available_mib, swap_mib, swap_free_mib;
    unsigned long long busy, all; /* clock ticks at this reading, for the next */
};

/* Reads them now; `m` has the last reading, or zeros. What cannot be read is 0. */
void pm_machine_read(struct pm_machine *m);

#endif
