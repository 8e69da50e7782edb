/* What a rule of switching costs: traces replayed in virtual time by our scheduler, by plain first come first served
 * and by batching without a bound, beside the best that is possible. One device that holds one profile at a time. */
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/manager/sched.h"

enum { PROFILES_MAX = 8, REQUESTS_MAX = 4000, CLIENTS_MAX = 64, ROUNDS_MAX = 2000000 };

#define FOREVER UINT64_MAX

/* The goal: no more than this times the best possible. */
static const double GOAL = 1.3;

static struct {
    uint64_t load, stop, service, think, max_wait, seed;
    unsigned clients, requests, slots;
    double busy;
} opt = {5000, 0, 1000, 2000, 60000, 1, 4, 200, 1, 0.75};

enum request_state { TO_COME, WAITING, GRANTED, ANSWERED, DENIED };

struct request {
    enum request_state state;
    size_t client, profile;
    unsigned rank;
    uint64_t at, service, granted, ends;
};

/* A closed loop: a client's next request is asked `think` after the answer to the one before. */
struct trace {
    char name[64];
    bool closed, agents;
    uint64_t think;
    size_t n, n_profiles;
    struct request r[REQUESTS_MAX];
};

struct profile {
    struct pm_sched_profile s;
    uint64_t moved_at;
    double request_ms, gap_ms; /* what the manager has learned */
};

struct machine;

struct rule {
    const char *name;
    bool bound; /* who waits for longer than MAX_WAIT is told so */
    struct pm_sched_step (*next)(struct machine *m);
    bool (*may_grant)(const struct machine *m, const struct request *r);
};

struct machine {
    const struct rule *rule;
    struct trace *t;
    struct profile p[PROFILES_MAX];
    uint64_t now, look_again;
    unsigned loads;
};

struct outcome {
    unsigned loads, missed;
    uint64_t makespan, worst;
    double mean;
};

/* -- The three rules */

static struct pm_sched_step ours_next(struct machine *m)
{
    static const struct pm_capacity cap = {.device = {100}, .n_devices = 1, .ram = 1000};
    static const struct pm_need need = {.device = {100}};
    struct pm_sched_profile states[PROFILES_MAX];
    for (size_t i = 0; i < m->t->n_profiles; i++) {
        states[i] = m->p[i].s;
        states[i].need = &need;
    }
    return pm_sched_next(&cap, states, m->t->n_profiles, m->now);
}

static bool ours_may_grant(const struct machine *m, const struct request *r)
{
    (void)m;
    (void)r;
    return true;
}

/* The request that was asked first of all that wait. */
static const struct request *head(const struct machine *m)
{
    const struct request *first = NULL;
    for (size_t i = 0; i < m->t->n; i++)
        if (m->t->r[i].state == WAITING && (!first || m->t->r[i].at < first->at))
            first = &m->t->r[i];
    return first;
}

/* `want` alone on the device: what is there goes, then it is loaded. */
static struct pm_sched_step change_to(const struct machine *m, size_t want)
{
    for (size_t i = 0; i < m->t->n_profiles; i++) {
        if (m->p[i].s.state == PM_SCHED_READY)
            return (struct pm_sched_step){.what = PM_SCHED_DRAIN, .profile = i};
        if (m->p[i].s.state != PM_SCHED_OFF)
            return (struct pm_sched_step){.what = PM_SCHED_NOTHING};
    }
    return (struct pm_sched_step){.what = PM_SCHED_LOAD, .profile = want};
}

static struct pm_sched_step fifo_next(struct machine *m)
{
    const struct request *first = head(m);
    if (!first || m->p[first->profile].s.state != PM_SCHED_OFF)
        return (struct pm_sched_step){.what = PM_SCHED_NOTHING};
    return change_to(m, first->profile);
}

static bool fifo_may_grant(const struct machine *m, const struct request *r)
{
    return r == head(m);
}

static struct pm_sched_step batch_next(struct machine *m)
{
    const struct request *first = head(m);
    for (size_t i = 0; i < m->t->n_profiles; i++)
        if (m->p[i].s.state == PM_SCHED_READY && (m->p[i].s.waiting || m->p[i].s.leases))
            return (struct pm_sched_step){.what = PM_SCHED_NOTHING};
    if (!first || m->p[first->profile].s.state != PM_SCHED_OFF)
        return (struct pm_sched_step){.what = PM_SCHED_NOTHING};
    return change_to(m, first->profile);
}

static const struct rule rules[] = {
    {"pointsman", true, ours_next, ours_may_grant},
    {"fifo", false, fifo_next, fifo_may_grant},
    {"batching", false, batch_next, ours_may_grant},
};

enum { RULES = sizeof(rules) / sizeof(rules[0]) };

/* -- The machine */

static double smoothed(double before, double seen)
{
    return before > 0 ? before * 0.7 + seen * 0.3 : seen;
}

static void follow_up(struct machine *m, const struct request *r)
{
    if (!m->t->closed)
        return;
    for (struct request *next = m->t->r + (r - m->t->r) + 1; next < m->t->r + m->t->n; next++) {
        if (next->client == r->client) {
            next->at = m->now + m->t->think;
            return;
        }
    }
}

/* As the manager does: whoever has waited for half of the bound is of the most urgent class. */
static unsigned rank_now(const struct machine *m, const struct request *r)
{
    return m->rule->bound && m->now - r->at >= opt.max_wait / 2 ? 0 : r->rank;
}

static void ask(struct machine *m, struct request *r)
{
    struct profile *p = &m->p[r->profile];
    r->state = WAITING;
    if (p->s.last_used_ms && !p->s.leases && !p->s.waiting)
        p->gap_ms = smoothed(p->gap_ms, (double)(m->now - p->s.last_used_ms));
    p->s.waiting++;
}

static void happen(struct machine *m)
{
    for (size_t i = 0; i < m->t->n; i++) {
        struct request *r = &m->t->r[i];
        struct profile *p = &m->p[r->profile];
        if (r->state != GRANTED || r->ends > m->now)
            continue;
        r->state = ANSWERED;
        p->s.leases--;
        p->s.last_used_ms = m->now;
        p->request_ms = smoothed(p->request_ms, (double)r->service);
        follow_up(m, r);
    }
    for (size_t i = 0; i < m->t->n; i++)
        if (m->t->r[i].state == TO_COME && m->t->r[i].at <= m->now)
            ask(m, &m->t->r[i]);
    for (size_t i = 0; i < m->t->n_profiles; i++) {
        struct pm_sched_profile *p = &m->p[i].s;
        if (p->state == PM_SCHED_LOADING && m->p[i].moved_at <= m->now) {
            p->state = PM_SCHED_READY;
            p->ready_since_ms = p->last_used_ms = m->now;
        }
        if (p->state == PM_SCHED_STOPPING && m->p[i].moved_at <= m->now)
            p->state = PM_SCHED_OFF;
    }
}

/* The next one to be granted: the most urgent class, then the order of asking. */
static struct request *next_grant(struct machine *m)
{
    struct request *best = NULL;
    for (size_t i = 0; i < m->t->n; i++) {
        struct request *r = &m->t->r[i];
        const struct pm_sched_profile *p = &m->p[r->profile].s;
        if (r->state != WAITING || p->state != PM_SCHED_READY || p->leases == opt.slots || !m->rule->may_grant(m, r))
            continue;
        unsigned rank = rank_now(m, r), least = best ? rank_now(m, best) : 0;
        if (!best || (rank != least ? rank < least : r->at < best->at))
            best = r;
    }
    return best;
}

static void grant(struct machine *m)
{
    for (struct request *r; (r = next_grant(m));) {
        struct pm_sched_profile *p = &m->p[r->profile].s;
        r->state = GRANTED;
        r->granted = m->now;
        r->ends = m->now + r->service;
        p->waiting--;
        p->leases++;
        p->uses++;
        p->last_used_ms = m->now;
    }
}

static void expire(struct machine *m)
{
    for (size_t i = 0; m->rule->bound && i < m->t->n; i++) {
        struct request *r = &m->t->r[i];
        if (r->state != WAITING || m->now < r->at + opt.max_wait)
            continue;
        r->state = DENIED;
        r->granted = m->now;
        m->p[r->profile].s.waiting--;
        follow_up(m, r);
    }
}

static int by_asking(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* As the manager fills it, with what it has learned: what a request takes, when the next one comes. */
static void describe(struct machine *m, size_t i)
{
    static uint64_t asked[REQUESTS_MAX];
    struct profile *p = &m->p[i];
    struct pm_sched_queue q = {asked, 0, opt.slots, (uint64_t)p->request_ms, opt.max_wait};
    p->s.rank = UINT32_MAX;
    p->s.oldest_ms = FOREVER;
    p->s.drain_ms = q.request_ms;
    for (size_t k = 0; k < m->t->n; k++) {
        const struct request *r = &m->t->r[k];
        if (r->profile != i || r->state != WAITING)
            continue;
        asked[q.n++] = r->at;
        unsigned rank = rank_now(m, r);
        p->s.rank = rank < p->s.rank ? rank : p->s.rank;
        p->s.oldest_ms = r->at < p->s.oldest_ms ? r->at : p->s.oldest_ms;
    }
    qsort(asked, q.n, sizeof(asked[0]), by_asking);
    p->s.load_ms = opt.load;
    p->s.residency_ms = pm_sched_residency(opt.load);
    p->s.linger_ms = pm_sched_linger(p->gap_ms, opt.load);
    p->s.due_ms = pm_sched_due(&q, opt.load, m->now);
}

static bool obey(struct machine *m)
{
    for (size_t i = 0; i < m->t->n_profiles; i++) {
        struct profile *p = &m->p[i];
        if (p->s.state == PM_SCHED_DRAINING && !p->s.leases) {
            p->s.state = PM_SCHED_STOPPING;
            p->moved_at = m->now + opt.stop;
        }
        if (p->s.state == PM_SCHED_STOPPING && p->moved_at <= m->now)
            p->s.state = PM_SCHED_OFF;
        describe(m, i);
    }
    struct pm_sched_step step = m->rule->next(m);
    struct profile *p = &m->p[step.profile];
    m->look_again = step.look_again_ms;
    switch (step.what) {
    case PM_SCHED_LOAD:
        p->s.state = PM_SCHED_LOADING;
        p->moved_at = m->now + opt.load;
        m->loads++;
        return true;
    case PM_SCHED_DRAIN:
        p->s.state = PM_SCHED_DRAINING;
        return true;
    case PM_SCHED_CANCEL:
        p->s.state = PM_SCHED_STOPPING;
        p->moved_at = m->now + opt.stop;
        return true;
    default:
        return false;
    }
}

static void sooner(const struct machine *m, uint64_t *next, uint64_t at)
{
    if (at > m->now && at < *next)
        *next = at;
}

static uint64_t next_event(const struct machine *m)
{
    uint64_t next = FOREVER;
    for (size_t i = 0; i < m->t->n_profiles; i++)
        if (m->p[i].s.state == PM_SCHED_LOADING || m->p[i].s.state == PM_SCHED_STOPPING)
            sooner(m, &next, m->p[i].moved_at);
    for (size_t i = 0; i < m->t->n; i++) {
        const struct request *r = &m->t->r[i];
        if (r->state == TO_COME)
            sooner(m, &next, r->at);
        if (r->state == WAITING && m->rule->bound)
            sooner(m, &next, r->at + opt.max_wait);
        if (r->state == GRANTED)
            sooner(m, &next, r->ends);
    }
    if (m->look_again)
        sooner(m, &next, m->look_again);
    return next;
}

static void reset(struct trace *t)
{
    bool begun[CLIENTS_MAX] = {false};
    for (size_t i = 0; i < t->n; i++) {
        struct request *r = &t->r[i];
        r->state = TO_COME;
        r->granted = r->ends = 0;
        if (t->closed)
            r->at = begun[r->client] ? FOREVER : 1;
        begun[r->client] = true;
    }
}

static struct outcome replay(struct trace *t, const struct rule *rule)
{
    struct machine m = {.rule = rule, .t = t, .now = 1};
    struct outcome out = {0};
    reset(t);
    for (int round = 0; m.now != FOREVER; round++) {
        if (round == ROUNDS_MAX) {
            fprintf(stderr, "sim: %s does not come to an end in %s\n", rule->name, t->name);
            exit(1);
        }
        happen(&m);
        grant(&m);
        expire(&m);
        while (obey(&m))
            grant(&m);
        m.now = next_event(&m);
    }
    for (size_t i = 0; i < t->n; i++) {
        const struct request *r = &t->r[i];
        uint64_t wait = r->granted - r->at;
        out.missed += r->state != ANSWERED || wait > opt.max_wait;
        out.mean += (double)wait / (double)t->n;
        out.worst = wait > out.worst ? wait : out.worst;
        if (r->ends > out.makespan)
            out.makespan = r->ends;
    }
    out.makespan--;
    out.loads = m.loads;
    return out;
}

/* -- The best possible */

/* Two queues: who is served next, of A or of B? State: how many of each were served, and which is resident; its value:
 * the earliest time at which the machine is free. The earlier time is never worse, so one value is enough. It knows
 * what will come (a load may begin before it is asked for), serves each queue in its order (which
 * is best where requests take equally long), and starts nothing later than MAX_WAIT after it was asked. Returns
 * FOREVER when that cannot be done. */
struct queue {
    uint64_t at[REQUESTS_MAX], service[REQUESTS_MAX];
    size_t n;
};

static uint64_t serve(uint64_t free_at, bool resident, const struct queue *q, size_t i)
{
    if (free_at == FOREVER || i >= q->n)
        return FOREVER;
    uint64_t start = free_at + (resident ? 0 : opt.load);
    if (start < q->at[i])
        start = q->at[i];
    return start > q->at[i] + opt.max_wait ? FOREVER : start + q->service[i];
}

static void keep_earlier(uint64_t *at, uint64_t value)
{
    if (value < *at)
        *at = value;
}

static uint64_t best_of_two_queues(const struct queue q[2])
{
    size_t width = q[1].n + 1, cells = (q[0].n + 1) * width;
    uint64_t(*free_at)[2] = malloc(cells * sizeof(*free_at));
    if (!free_at)
        return 0;
    for (size_t i = 0; i < cells; i++)
        free_at[i][0] = free_at[i][1] = FOREVER;
    /* Nothing is resident at first: as if the other one were, with nothing served. */
    keep_earlier(&free_at[width][0], serve(1, false, &q[0], 0));
    keep_earlier(&free_at[1][1], serve(1, false, &q[1], 0));
    for (size_t a = 0; a <= q[0].n; a++) {
        for (size_t b = 0; b <= q[1].n; b++) {
            for (size_t resident = 0; resident < 2; resident++) {
                uint64_t t = free_at[a * width + b][resident];
                uint64_t then[] = {serve(t, resident == 0, &q[0], a), serve(t, resident == 1, &q[1], b)};
                if (a < q[0].n)
                    keep_earlier(&free_at[(a + 1) * width + b][0], then[0]);
                if (b < q[1].n)
                    keep_earlier(&free_at[a * width + b + 1][1], then[1]);
            }
        }
    }
    uint64_t best = free_at[cells - 1][0] < free_at[cells - 1][1] ? free_at[cells - 1][0] : free_at[cells - 1][1];
    free(free_at);
    return best == FOREVER ? FOREVER : best - 1;
}

static uint64_t best_open(const struct trace *t)
{
    static struct queue q[2];
    q[0].n = q[1].n = 0;
    if (t->n_profiles > 2 || opt.slots != 1)
        return 0;
    for (size_t i = 0; i < t->n; i++) {
        struct queue *own = &q[t->r[i].profile];
        own->at[own->n] = t->r[i].at;
        own->service[own->n++] = t->r[i].service;
    }
    return best_of_two_queues(q);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Clients that go to and fro. One profile is resident at a time, and stays of the two take turns. Within one stay a
 * client gets as far as the end of its run of requests for that profile. So there are at least as many stays as the
 * client with the most runs has, one more if the first stay is of the other profile. Each costs a load, during which
 * nothing is served, and the slots have all the service to do: the sum of both is a lower bound. Another one is the
 * longest way of a client: its services, and between two of them its thought, or a load where the profile changes. The
 * latter could be reached only by loading before anybody asks: with thoughts longer than loads no rule that waits for
 * a request comes near it. */
static uint64_t bound_of_runs(const struct trace *t)
{
    unsigned runs[CLIENTS_MAX] = {0}, stays[2] = {0};
    size_t first[CLIENTS_MAX] = {0}, last[CLIENTS_MAX] = {0};
    uint64_t service = 0, way[CLIENTS_MAX] = {0}, longest = 0, load = opt.load + opt.stop;
    for (size_t i = 0; i < t->n; i++) {
        const struct request *r = &t->r[i];
        bool begins = !runs[r->client], changes = begins || last[r->client] != r->profile;
        service += r->service;
        way[r->client] += r->service + larger(begins ? 0 : t->think, changes ? load : 0);
        longest = larger(longest, way[r->client]);
        if (begins)
            first[r->client] = r->profile;
        runs[r->client] += changes;
        last[r->client] = r->profile;
    }
    for (size_t start = 0; start < 2; start++)
        for (size_t c = 0; c < CLIENTS_MAX; c++)
            if (runs[c])
                stays[start] = (unsigned)larger(stays[start], runs[c] + (first[c] != start));
    return larger((stays[0] < stays[1] ? stays[0] : stays[1]) * load + service / opt.slots, longest);
}

/* One agent on each of two profiles, each thinking between its requests, and a rule that loads only what is asked for.
 * A stay in which an agent gets k answers takes a load, k services and k-1 thoughts, and nothing else is served
 * meanwhile: so much for the sum of all stays. And each agent's own way is its services and thoughts, and a load for
 * each of its stays. Fewer stays make the second shorter; the first too, while a load is longer than a thought. How
 * few there can be: between two answers of the other agent lie its thought, and at most MAX_WAIT; into that must fit
 * the load for this stay, the stay and the load back. This limits k for as long as the other one has not finished,
 * which holds for all the stays of the one that ends first; and the other one has as many, but perhaps for one. */
static uint64_t bound_of_agents(const struct trace *t)
{
    uint64_t each = t->n / 2, load = opt.load + opt.stop, thought = t->think, best = FOREVER;
    if (opt.max_wait + thought < 2 * load + opt.service)
        return 0;
    uint64_t k = (opt.max_wait + 2 * thought - 2 * load) / (opt.service + thought);
    for (uint64_t own = (each + k - 1) / k; own <= each; own++) {
        uint64_t stays = 2 * own - 1;
        uint64_t sum = stays * load + t->n * opt.service + (t->n - stays) * thought;
        uint64_t way = own * load + each * opt.service + (each - 1) * thought;
        uint64_t bound = larger(sum, way);
        best = bound < best ? bound : best;
    }
    return best;
}

static uint64_t best_possible(const struct trace *t)
{
    if (!t->closed)
        return best_open(t);
    return t->agents ? bound_of_agents(t) : bound_of_runs(t);
}

/* -- The traces */

static uint64_t random_state;

static double random_01(void)
{
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (double)(random_state >> 11) / 9007199254740992.0;
}

/* Sum of so many draws: gaps between 0 and twice the mean, without a need for the mathematical library. */
static uint64_t random_gap(double mean)
{
    return (uint64_t)(2 * mean * random_01());
}

static void add(struct trace *t, size_t client, size_t profile, uint64_t at)
{
    t->r[t->n++] = (struct request){.client = client, .profile = profile, .at = at, .service = opt.service};
    if (profile >= t->n_profiles)
        t->n_profiles = profile + 1;
}

static void begin_trace(struct trace *t, const char *name)
{
    memset(t, 0, sizeof(*t));
    snprintf(t->name, sizeof(t->name), "%s", name);
    random_state = opt.seed;
}

/* Each client goes to and fro between two profiles; half of them begin with the other one. */
static void alternating(struct trace *t, const char *name, uint64_t think)
{
    begin_trace(t, name);
    t->closed = true;
    t->think = think;
    for (size_t i = 0; i < opt.requests; i++)
        add(t, i % opt.clients, (i / opt.clients + i % opt.clients) % 2, 0);
}

static void alternating_open(struct trace *t, const char *name, double busy)
{
    uint64_t at = 1;
    begin_trace(t, name);
    for (size_t i = 0; i < opt.requests; i++) {
        add(t, i % opt.clients, (i / opt.clients + i % opt.clients) % 2, at);
        at += random_gap((double)opt.service / busy);
    }
}

static void two_agents(struct trace *t, const char *name, uint64_t think)
{
    begin_trace(t, name);
    t->closed = t->agents = true;
    t->think = think;
    for (size_t i = 0; i < opt.requests / 2 * 2; i++)
        add(t, i % 2, i % 2, 0);
}

/* Lines of: time_ms client profile service_ms [rank]. Comments begin with #. */
static void read_trace(struct trace *t, const char *path)
{
    char line[256];
    unsigned number = 0;
    FILE *f = fopen(path, "r");
    if (!f) {
        perror(path);
        exit(2);
    }
    begin_trace(t, path);
    while (fgets(line, sizeof(line), f)) {
        unsigned long long at, client, profile, service;
        unsigned rank = 0;
        number++;
        if (line[0] == '#' || line[strspn(line, " \t\r\n")] == '\0')
            continue;
        if (sscanf(line, "%llu %llu %llu %llu %u", &at, &client, &profile, &service, &rank) < 4 ||
            client >= CLIENTS_MAX || profile >= PROFILES_MAX || t->n == REQUESTS_MAX) {
            fprintf(stderr, "%s:%u: expected: time_ms client profile service_ms [rank]\n", path, number);
            exit(2);
        }
        add(t, client, profile, at + 1);
        t->r[t->n - 1].service = service;
        t->r[t->n - 1].rank = rank;
    }
    fclose(f);
}

/* -- The table */

static void print_row(const struct trace *t, const char *rule, const struct outcome *o, uint64_t best)
{
    printf("%-32s %-10s %8u %9.1f %8.1f %8.1f %7u", t->name, rule, o->loads, (double)o->makespan / 1000,
           o->mean / 1000, (double)o->worst / 1000, o->missed);
    if (best && best != FOREVER)
        printf(" %9.1f %6.2f", (double)best / 1000, (double)o->makespan / (double)best);
    else
        printf(" %9s %6s", best ? "none" : "?", "-");
}

/* Does our rule meet the goal? Where the best possible is not known, or nobody could keep the bound, nothing is asked.
 */
static bool show(struct trace *t)
{
    uint64_t best = best_possible(t);
    bool met = true;
    for (size_t i = 0; i < RULES; i++) {
        struct outcome o = replay(t, &rules[i]);
        print_row(t, rules[i].name, &o, best);
        if (i == 0 && best && best != FOREVER)
            met = !o.missed && o.worst <= opt.max_wait && (double)o.makespan <= GOAL * (double)best;
        printf("%s\n", i == 0 && !met ? "  goal missed" : "");
    }
    return met;
}

static bool show_all(void)
{
    static struct trace t;
    bool met = true;
    alternating(&t, "a to and fro, closed", 0);
    met &= show(&t);
    alternating(&t, "b to and fro, closed, thinking", opt.think);
    met &= show(&t);
    alternating_open(&t, "c to and fro, open", opt.busy);
    met &= show(&t);
    two_agents(&t, "d an agent on each", opt.think);
    met &= show(&t);
    return met;
}

static const struct option long_options[] = {
    {"load-ms", required_argument, NULL, 'l'},
    {"stop-ms", required_argument, NULL, 'o'},
    {"service-ms", required_argument, NULL, 's'},
    {"think-ms", required_argument, NULL, 't'},
    {"max-wait-ms", required_argument, NULL, 'w'},
    {"clients", required_argument, NULL, 'c'},
    {"requests", required_argument, NULL, 'r'},
    {"slots", required_argument, NULL, 'n'},
    {"busy", required_argument, NULL, 'b'},
    {"seed", required_argument, NULL, 'e'},
    {"trace", required_argument, NULL, 'f'},
    {"check", no_argument, NULL, 'x'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int usage(FILE *out)
{
    fprintf(out, "usage: sim [--check] [--trace FILE] [--load-ms N] [--stop-ms N] [--service-ms N] [--think-ms N]\n"
                 "           [--max-wait-ms N] [--clients N] [--requests N] [--slots N] [--busy SHARE] [--seed N]\n"
                 "A trace's lines: time_ms client profile service_ms [rank]\n"
                 "--check exits 1 when a bound is missed, or the makespan is above 1.3 times the best possible.\n");
    return out == stdout ? 0 : 2;
}

/* False when it is not an option with a number. */
static bool take_number(int c, const char *text)
{
    uint64_t n = strtoull(text, NULL, 10);
    switch (c) {
    case 'l':
        opt.load = n;
        return true;
    case 'o':
        opt.stop = n;
        return true;
    case 's':
        opt.service = n;
        return true;
    case 't':
        opt.think = n;
        return true;
    case 'w':
        opt.max_wait = n;
        return true;
    case 'c':
        opt.clients = (unsigned)n;
        return true;
    case 'r':
        opt.requests = (unsigned)n;
        return true;
    case 'n':
        opt.slots = (unsigned)n;
        return true;
    case 'e':
        opt.seed = n;
        return true;
    case 'b':
        opt.busy = strtod(text, NULL);
        return true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static struct trace t;
    const char *file = NULL;
    bool check = false;
    for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (c == 'h')
            return usage(stdout);
        if (c == 'f')
            file = optarg;
        else if (c == 'x')
            check = true;
        else if (c == '?' || !take_number(c, optarg))
            return usage(stderr);
    }
    if (optind < argc || !opt.slots || !opt.clients || opt.clients > CLIENTS_MAX || opt.requests > REQUESTS_MAX ||
        opt.busy <= 0)
        return usage(stderr);
    printf("load %.1f s, service %.1f s, thinking %.1f s, MAX_WAIT %.0f s, %u clients, %u requests\n",
           (double)opt.load / 1000, (double)opt.service / 1000, (double)opt.think / 1000, (double)opt.max_wait / 1000,
           opt.clients, opt.requests);
    printf("%-32s %-10s %8s %9s %8s %8s %7s %9s %6s\n", "trace", "rule", "switches", "makespan", "mean", "worst",
           "missed", "best", "ratio");
    if (file)
        read_trace(&t, file);
    bool met = file ? show(&t) : show_all();
    return check && !met ? 1 : 0;
}
