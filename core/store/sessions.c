#include "core/store/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/text.h"
#include "core/store/mapped.h"

/* A fingerprint lives in one of WAYS slots of its set; the oldest makes room. */
enum { SETS = 2048, WAYS = 8, FORMAT = 2 };

struct slot {
    uint64_t hash; /* 0: free */
    uint64_t conversation;
    uint64_t next; /* the fingerprint that went on from here, 0 none yet */
    uint64_t target;
    uint64_t at_ms;
    uint64_t used; /* of the table's clock */
    uint64_t answered;
};

struct table {
    uint64_t clock;
    struct slot slots[SETS][WAYS];
};

struct pm_sessions {
    struct pm_mapped file;
    struct table *table;
};

struct pm_sessions *pm_sessions_open(int dir, const char *path, struct pm_error *err)
{
    static const struct pm_mapped_kind kind = {.name = "pmsess", .format = FORMAT, .size = sizeof(struct table)};
    struct pm_mapped file;
    if (pm_mapped_open(dir, path, &kind, &file, err) < 0)
        return NULL;
    struct pm_sessions *s = pm_calloc(1, sizeof(*s));
    s->file = file;
    s->table = file.at;
    return s;
}

void pm_sessions_free(struct pm_sessions *s)
{
    if (s)
        pm_mapped_close(&s->file);
    free(s);
}

static struct slot *slot_of(struct pm_sessions *s, uint64_t hash)
{
    struct slot *set = s->table->slots[hash % SETS];
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].hash == hash)
            return &set[i];
    return NULL;
}

static struct slot *make_slot(struct pm_sessions *s, uint64_t hash)
{
    struct slot *set = s->table->slots[hash % SETS], *oldest = set;
    for (size_t i = 1; i < WAYS; i++)
        if (set[i].used < oldest->used)
            oldest = &set[i];
    *oldest = (struct slot){.hash = hash};
    return oldest;
}

/* Gone on from by a request that was answered, or is about to be? */
static bool is_taken(struct pm_sessions *s, const struct slot *slot, uint64_t by)
{
    return slot->next && slot->next != by && slot_of(s, slot->next);
}

static void find(struct pm_sessions *s, const struct pm_session_key *key, bool claim, struct pm_session *out)
{
    struct slot *slot = slot_of(s, key->chain[0]);
    out->seen = slot != NULL;
    for (unsigned i = 1; i <= key->n && !slot; i++)
        slot = slot_of(s, i < key->n ? key->chain[i] : key->opening);
    if (slot) {
        out->conversation = slot->conversation;
        out->target = slot->target;
        out->at_ms = slot->at_ms;
        if (!out->seen && is_taken(s, slot, key->chain[0]))
            out->conversation = key->chain[0];
        else if (!out->seen && claim)
            slot->next = key->chain[0];
    }
    if (out->seen || !claim)
        return;
    slot = make_slot(s, key->chain[0]);
    slot->conversation = out->conversation;
    slot->target = out->target;
    slot->at_ms = out->at_ms;
    slot->used = ++s->table->clock;
}

void pm_sessions_find(struct pm_sessions *s, const struct pm_session_key *key, bool claim, struct pm_session *out)
{
    *out = (struct pm_session){.conversation = key->opening};
    if (!s || !key->n)
        return;
    pm_mapped_lock(&s->file);
    find(s, key, claim, out);
    pm_mapped_unlock(&s->file);
}

void pm_sessions_note(struct pm_sessions *s, const struct pm_session_key *key, uint64_t conversation, uint64_t target,
                      uint64_t now_ms)
{
    if (!s || !key->n)
        return;
    pm_mapped_lock(&s->file);
    struct slot *slot = slot_of(s, key->chain[0]);
    if (!slot)
        slot = make_slot(s, key->chain[0]);
    slot->conversation = conversation;
    slot->target = target;
    slot->at_ms = now_ms;
    slot->answered = 1;
    slot->used = ++s->table->clock;
    pm_mapped_unlock(&s->file);
}

void pm_sessions_drop(struct pm_sessions *s, const struct pm_session_key *key)
{
    if (!s || !key->n)
        return;
    pm_mapped_lock(&s->file);
    struct slot *slot = slot_of(s, key->chain[0]);
    if (slot && !slot->answered)
        *slot = (struct slot){0};
    pm_mapped_unlock(&s->file);
}

uint64_t pm_session_target(const char *id)
{
    uint64_t hash = pm_hash(id, strlen(id), PM_HASH_SEED);
    return hash ? hash : 1;
}
