/* learned: what a prompt asks for and which target does it well, learnt from labelled rows and from outcomes.
 *
 * Weights come from `pointsman train` (docs/routing.md): one checked file, mapped read-only. Of each request it says
 *
 *   - its intents, by a linear model of hashed words; where that is unsure, it abstains and says so,
 *   - how hard it is, in [0,1]: by a head that was learnt for just this pair of targets, the weakest and the strongest
 * of the route, if there is one and it beat prompt length; else by the prompt's size,
 *   - which targets it prefers: by a table of win rates, topic by target, that begins with what the file has and moves
 * with each judged answer (feedback, reviews, failures), as much as there is evidence.
 *
 * With EXPLORE, that share of the requests goes to a target at random; how likely that was is noted, so that outcomes
 * can be weighed.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/learn/score.h"
#include "pointsman.h"

enum { TARGETS = 64, CELLS = 4096, INTENTS_TOLD = 4 };

/* An intent below this is not worth a word. */
static const float LEAST = 0.05F;

/* The table of the file counts like so many judged answers. */
static const double PRIOR = 20;

/* Judged answers of a head that its trial goes over, at least and at most; t values that turn it on and off. */
enum { TRIAL_LEAST = 100, TRIAL_MOST = 300 };
static const double TRIAL_ON = 2, TRIAL_OFF = 0;

struct conf {
    const char *weights;
    double explore, weight;
    int difficulty;
};

/* Shared by all workers: sums of qualities and how many, in 1/1024, by topic and target; slots by hash. */
struct cell {
    _Atomic uint64_t key; /* of topic and target, 0 free */
    _Atomic uint64_t sum, n;
};

/* How a head does against length on the last judged answers of its pair. */
struct trial {
    _Atomic uint64_t key;         /* of the pair */
    _Atomic int64_t sum, squares; /* in 1/65536 */
    _Atomic uint64_t n;
};

struct memory {
    struct cell cells[CELLS];
    struct trial trials[16];
};

struct state {
    const struct pmp_host *host;
    const struct conf *conf;
    struct pm_weights *weights;
    struct pm_text_tables tables;
    struct pm_features broad, grams, words; /* of the request at hand: for classes, heads, the table */
    struct pm_classes intents, topics;
    struct pm_table table;
    const struct pm_sizes *sizes;
    struct memory *memory;
    bool has_intents, has_topics, has_table;
    struct pm_head head; /* of the pair below */
    char pair[160];
    bool has_head;
    uint64_t dice;
};

/* What comes back with the outcome. */
struct note {
    uint32_t topic;
    float propensity;   /* how likely the first target was; 1 when it was not a matter of chance */
    float head, length; /* percentiles of the two scores; head below 0: none */
    uint64_t pair;      /* whose head */
    uint64_t weak;      /* the weaker target of it */
};

static const struct pmp_option options[] = {
    {PMP_STRING, "WEIGHTS", "learned.pmw", offsetof(struct conf, weights), 0, 0,
     "the file of weights: a path, or a name beside the route's file or the policy"},
    {PMP_BOOL, "DIFFICULTY", "yes", offsetof(struct conf, difficulty), 0, 0, "say how hard a request is"},
    {PMP_REAL, "WEIGHT", "1", offsetof(struct conf, weight), 0, 10, "of its preferences against the other terms"},
    {PMP_REAL, "EXPLORE", "0", offsetof(struct conf, explore), 0, 0.5,
     "share of requests that go to a target by chance"},
    {0},
};

static uint64_t hash_text(const char *s, uint64_t h)
{
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 1099511628211ULL;
    return h ^ h >> 29;
}

static double random_share(struct state *s)
{
    s->dice ^= s->dice << 13;
    s->dice ^= s->dice >> 7;
    s->dice ^= s->dice << 17;
    return (double)(s->dice >> 11) * 0x1p-53;
}

static int start(const struct pmp_host *host, const void *conf, void **state)
{
    const struct conf *c = conf;
    char why[400];
    const char *path = PMP_HAS(host, file) ? host->file(host, c->weights) : c->weights;
    if (!path) {
        host->fail(host, NULL, "WEIGHTS=%s: there is no such file: make one with `pointsman train`", c->weights);
        return -1;
    }
    struct pm_weights *weights = pm_weights_open(path, why, sizeof(why));
    if (!weights) {
        /* The path may be that of a copy, which says nothing to anybody. */
        const char *wrong = strstr(why, ": ");
        host->fail(host, NULL, "WEIGHTS=%s: %s", c->weights, wrong ? wrong + 2 : why);
        return -1;
    }
    struct state *s = host->alloc(1, sizeof(*s));
    s->host = host;
    s->conf = c;
    s->weights = weights;
    pm_text_tables_init(&s->tables);
    s->has_intents = pm_weights_classes(weights, "intent", &s->intents);
    s->has_topics = pm_weights_classes(weights, "topic", &s->topics);
    s->has_table = s->has_topics && pm_weights_table(weights, "topic", &s->table) && s->table.topics == s->topics.n;
    s->sizes = pm_weights_sizes(weights);
    s->memory = PMP_HAS(host, shared) ? host->shared(host, sizeof(*s->memory)) : NULL;
    s->dice = hash_text(c->weights, (uint64_t)(uintptr_t)s | 1);
    *state = s;
    return 0;
}

static void stop(void *state)
{
    struct state *s = state;
    const struct pmp_host *host = s->host;
    pm_weights_close(s->weights);
    host->free(s);
}

/* --- what is learnt while it runs --- */

static struct cell *cell_of(struct memory *m, uint32_t topic, const char *target, bool make)
{
    uint64_t key = hash_text(target, 14695981039346656037ULL + topic) | 1;
    for (unsigned i = 0; i < 16; i++) {
        struct cell *c = &m->cells[(key + i) % CELLS];
        uint64_t seen = atomic_load(&c->key);
        if (seen == key)
            return c;
        if (!seen && (!make || atomic_compare_exchange_strong(&c->key, &seen, key) || seen == key))
            return make ? c : NULL;
    }
    return NULL;
}

static struct trial *trial_of(struct memory *m, uint64_t pair, bool make)
{
    for (unsigned i = 0; i < 16; i++) {
        struct trial *t = &m->trials[(pair + i) % 16];
        uint64_t seen = atomic_load(&t->key);
        if (seen == pair)
            return t;
        if (!seen && (!make || atomic_compare_exchange_strong(&t->key, &seen, pair) || seen == pair))
            return make ? t : NULL;
    }
    return NULL;
}

/* Student's t of the mean; 0 while there is too little to tell. */
static double trial_t(const struct trial *t)
{
    double n = t ? (double)atomic_load(&t->n) : 0;
    if (n < TRIAL_LEAST)
        return NAN;
    double mean = (double)atomic_load(&t->sum) / 65536 / n;
    double var = (double)atomic_load(&t->squares) / 65536 / n - mean * mean;
    return var > 0 ? mean / sqrt(var / n) : 0;
}

/* Did the head rank this answer of the weak target better than length did? */
static void note_trial(struct trial *t, const struct note *note, double failed)
{
    double gain = (failed - 0.5) * (double)(note->head - note->length);
    atomic_fetch_add(&t->sum, (int64_t)(gain * 65536));
    atomic_fetch_add(&t->squares, (int64_t)(gain * gain * 65536));
    if (atomic_fetch_add(&t->n, 1) + 1 < TRIAL_MOST)
        return;
    /* The past counts half from here on. Two workers at once make it a quarter: no harm. */
    atomic_store(&t->sum, atomic_load(&t->sum) / 2);
    atomic_store(&t->squares, atomic_load(&t->squares) / 2);
    atomic_store(&t->n, TRIAL_MOST / 2);
}

static void outcome(void *state, const struct pmp_outcome *o)
{
    struct state *s = state;
    struct note note;
    bool failed = o->kind == PMP_OUTCOME_ANSWERED && o->status >= 500;
    if (!s->memory || !o->note || o->note_len != sizeof(note) || (o->score < 0 && !failed))
        return;
    memcpy(&note, o->note, sizeof(note));
    double score = failed ? 0 : o->score;
    struct cell *c = cell_of(s->memory, note.topic, o->target, true);
    if (c) {
        atomic_fetch_add(&c->sum, (uint64_t)(score * 1024));
        atomic_fetch_add(&c->n, 1);
    }
    struct trial *t = note.head >= 0 && !failed && hash_text(o->target, 1) == note.weak
                          ? trial_of(s->memory, note.pair, true)
                          : NULL;
    if (t)
        note_trial(t, &note, 1 - score);
    s->host->metric(s->host, "judged_answers_total", 1);
}

/* --- what is said of a request --- */

static void say_intents(struct state *s, const struct pmp_request *req, struct pmp_verdict *v, const float *p,
                        unsigned best, double certain)
{
    const struct pmp_host *h = s->host;
    bool tools = h->number(req, PMP_NUM_TOOLS) > 0;
    unsigned told = 0;
    /* That a request is an agent's is a matter of its form, not of its words. */
    if (tools)
        h->intent(v, "agent", 1);
    if (!s->has_intents)
        return;
    float most = tools ? 0.99F : 1;
    h->intent(v, s->intents.names[best], (double)fminf(p[best], most));
    for (unsigned k = 0; k < s->intents.n && told < INTENTS_TOLD; k++) {
        if (k == best || p[k] < LEAST || (int32_t)k == s->intents.outside)
            continue;
        h->intent(v, s->intents.names[k], (double)fminf(p[k], most));
        told++;
    }
    if (certain < (double)s->intents.sure) {
        h->abstain(v);
        h->reason(v, "unsure, perhaps %s (%.2f)", s->intents.names[best], (double)p[best]);
    } else {
        h->reason(v, "%s (%.2f)", s->intents.names[best], (double)p[best]);
    }
}

struct ends {
    struct pmp_target weak, strong;
    size_t n;
};

static void find_ends(const struct pmp_host *h, const struct pmp_request *req, struct ends *e)
{
    e->n = h->targets(req);
    for (size_t i = 0; i < e->n; i++) {
        struct pmp_target t = {.size = sizeof(t)};
        if (h->target(req, i, &t) != 0)
            continue;
        if (!e->weak.id || t.strength < e->weak.strength)
            e->weak = t;
        if (!e->strong.id || t.strength > e->strong.strength)
            e->strong = t;
    }
}

/* The head of that pair and of no other: what one pair taught says nothing of the next. */
static void find_head(struct state *s, const struct ends *e)
{
    char pair[sizeof(s->pair)];
    snprintf(pair, sizeof(pair), "%.47s %.47s", e->weak.id ? e->weak.id : "", e->strong.id ? e->strong.id : "");
    if (strcmp(pair, s->pair) == 0)
        return;
    memcpy(s->pair, pair, sizeof(pair));
    s->has_head = pm_weights_head(s->weights, pair, &s->head);
}

/* Trusted by its training until its own outcomes say something; then they decide. */
static bool is_head_on(const struct state *s, uint64_t pair)
{
    double t = s->memory ? trial_t(trial_of(s->memory, pair, false)) : NAN;
    return isnan(t) ? s->head.trusted : s->head.trusted ? t >= TRIAL_OFF : t > TRIAL_ON;
}

static void say_difficulty(struct state *s, const char *text, size_t len, double math, const struct ends *e,
                           struct pmp_verdict *v, struct note *note)
{
    struct pm_effort effort = {0};
    if (math > 0.5)
        pm_effort_of(&s->tables, text, len, &effort);
    double score = s->sizes ? pm_size_score(s->sizes, &effort, len, math) : -1;
    note->length = (float)score;
    note->head = -1;
    if (s->has_head) {
        double head = pm_quantile(s->head.quantiles, pm_head_score(&s->head, &s->grams, len));
        note->head = (float)head;
        note->pair = hash_text(s->pair, 14695981039346656037ULL) | 1;
        note->weak = hash_text(e->weak.id, 1);
        if (is_head_on(s, note->pair))
            score = head;
    }
    if (score >= 0)
        s->host->complexity(v, score);
}

/* Quality of each target for the request as far as the file and the judged answers tell; false where they tell of
 * none. Of a target that nothing is known of yet, its STRENGTH is believed. */
static bool qualities(struct state *s, const struct pmp_request *req, const float *topic, uint32_t best, size_t n,
                      double *out)
{
    double of_table[PM_LEARN_CLASSES_MAX] = {0};
    bool any = false;
    if (s->has_table)
        pm_table_score(&s->table, topic, &s->words, of_table);
    for (size_t i = 0; i < n; i++) {
        struct pmp_target t = {.size = sizeof(t)};
        out[i] = 0.5;
        if (s->host->target(req, i, &t) != 0)
            continue;
        out[i] = t.strength;
        for (uint32_t m = 0; s->has_table && m < s->table.models; m++) {
            if (strcmp(s->table.names[m], t.id) != 0)
                continue;
            out[i] = of_table[m];
            any = true;
        }
        struct cell *c = s->memory ? cell_of(s->memory, best, t.id, false) : NULL;
        double judged = c ? (double)atomic_load(&c->n) : 0;
        if (judged <= 0)
            continue;
        out[i] = (out[i] * PRIOR + (double)atomic_load(&c->sum) / 1024) / (PRIOR + judged);
        any = true;
    }
    return any;
}

static void say_preferences(struct state *s, const double *quality, size_t n, struct pmp_verdict *v)
{
    double mean = 0;
    for (size_t i = 0; i < n; i++)
        mean += quality[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        s->host->prefer(v, i, s->conf->weight * (quality[i] - mean));
}

static void explore(struct state *s, size_t n, struct pmp_verdict *v, struct note *note)
{
    note->propensity = 1;
    if (s->conf->explore <= 0 || n < 2)
        return;
    note->propensity = (float)(1 - s->conf->explore + s->conf->explore / (double)n);
    if (random_share(s) >= s->conf->explore)
        return;
    size_t chosen = (size_t)(random_share(s) * (double)n);
    for (size_t i = 0; i < n; i++)
        s->host->prefer(v, i, i == chosen ? 1 : -1);
    note->propensity = (float)(s->conf->explore / (double)n);
    s->host->reason(v, "explored (propensity %.4f)", (double)note->propensity);
    s->host->metric(s->host, "explored_total", 1);
}

static int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    struct state *s = state;
    float p[PM_LEARN_CLASSES_MAX] = {0}, topic[PM_LEARN_CLASSES_MAX] = {0};
    double quality[TARGETS], certain = 0, math = 0;
    unsigned best = 0, best_topic = 0;
    struct note note = {0};
    struct ends ends = {0};
    size_t len;
    const char *text = s->host->text(req, PMP_TEXT_LAST_USER, &len);
    if (!len) {
        s->host->abstain(v);
        return 0;
    }
    if (s->has_intents || s->has_topics)
        pm_features_of(&s->tables, s->has_intents ? (enum pm_recipe)s->intents.recipe : PM_RECIPE_BROAD, text, len,
                       &s->broad);
    if (s->has_intents)
        certain = pm_classes_score(&s->intents, &s->broad, p, &best);
    say_intents(s, req, v, p, best, certain);
    for (unsigned k = 0; s->has_intents && k < s->intents.n; k++)
        if (strcmp(s->intents.names[k], "math") == 0)
            math = (double)p[k];
    find_ends(s->host, req, &ends);
    find_head(s, &ends);
    if (s->has_head)
        pm_features_of(&s->tables, PM_RECIPE_GRAMS, text, len, &s->grams);
    if (s->has_table)
        pm_features_of(&s->tables, PM_RECIPE_NARROW, text, len, &s->words);
    if (s->conf->difficulty)
        say_difficulty(s, text, len, math, &ends, v, &note);
    if (s->has_topics) {
        if (s->has_intents && s->intents.recipe != s->topics.recipe)
            pm_features_of(&s->tables, (enum pm_recipe)s->topics.recipe, text, len, &s->broad);
        pm_classes_score(&s->topics, &s->broad, topic, &best_topic);
    }
    note.topic = s->has_topics ? best_topic : best;
    size_t n = ends.n < TARGETS ? ends.n : TARGETS;
    if (qualities(s, req, topic, note.topic, n, quality))
        say_preferences(s, quality, n, v);
    explore(s, n, v, &note);
    if (PMP_HAS(s->host, note))
        s->host->note(v, &note, sizeof(note));
    return 0;
}

PMP_EXPORT const struct pmp_policy pmp_policy = {
    .abi = PMP_ABI,
    .size = sizeof(struct pmp_policy),
    .name = "learned",
    .summary = "intents, difficulty and win rates, learnt from labelled rows and from judged answers",
    .options = options,
    .conf_size = sizeof(struct conf),
    .start = start,
    .judge = judge,
    .outcome = outcome,
    .stop = stop,
};
