/* What the fuzz targets of answers share: a record of canonical events, which checks that they come in their order,
 * and one of a protocol's events, which checks that they are JSON. */
#ifndef PM_TESTS_FUZZ_ANSWERS_H
#define PM_TESTS_FUZZ_ANSWERS_H

#include <stdbool.h>

#include "core/api/canon_events.h"
#include "core/base/text.h"
#include "tests/fuzz/fuzz.h"

enum { FUZZ_PROMPT_TOKENS = 7, FUZZ_WIRES = 3 };

static const enum pm_protocol fuzz_wires[FUZZ_WIRES] = {PM_PROTO_CHAT, PM_PROTO_RESPONSES, PM_PROTO_MESSAGES};

/* --- canonical events --- */

/* All that was said, a line for a block: its kind, what a call is called, its text. */
struct answer {
    struct pm_encoder *to; /* gets the events too, may be NULL */
    struct pm_buf texts;   /* text and thoughts; neighbours of a kind are one */
    struct pm_buf blocks;  /* the same, but each block is one */
    struct pm_buf calls, text;
    bool started, open, stopped, failed, has_calls, has_empty, nameless, odd_arguments;
    enum pm_block block, last; /* `last`: of `texts` */
    enum pm_stop stop;
    struct pm_canon_usage usage;
    struct pm_buf error;
};

static inline char *fuzz_dup(const char *text)
{
    return fuzz_copy(text ? text : "", text ? strlen(text) : 0, 1);
}

static inline void answer_init(struct answer *a, struct pm_encoder *to)
{
    *a = (struct answer){.to = to, .last = PM_BLOCK_CALL};
    pm_buf_init(&a->texts, PM_BUF_OWN_LIMIT);
    pm_buf_init(&a->blocks, PM_BUF_OWN_LIMIT);
    pm_buf_init(&a->calls, PM_BUF_OWN_LIMIT);
    pm_buf_init(&a->text, PM_BUF_OWN_LIMIT);
    pm_buf_init(&a->error, PM_BUF_OWN_LIMIT);
}

static inline void answer_release(struct answer *a)
{
    pm_buf_release(&a->texts);
    pm_buf_release(&a->blocks);
    pm_buf_release(&a->calls);
    pm_buf_release(&a->text);
    pm_buf_release(&a->error);
}

static inline void answer_open(struct answer *a, const struct pm_canon_event *e)
{
    CHECK(a->started && !a->open, "a block is opened %s", a->started ? "in another one" : "before the start");
    a->open = true;
    a->block = e->block;
    pm_buf_clear(&a->text);
    if (e->block != PM_BLOCK_CALL)
        return;
    a->has_calls = true;
    a->nameless |= !e->name || !*e->name;
    pm_buf_addf(&a->calls, "C %s %s: ", e->call_id ? e->call_id : "", e->name ? e->name : "");
}

static inline void answer_close(struct answer *a, const struct pm_canon_event *e)
{
    CHECK(a->open, "a block is closed that was not open");
    CHECK(!e->signature || a->block == PM_BLOCK_THINKING, "a signature of what is no thought");
    a->open = false;
    if (a->block == PM_BLOCK_CALL) {
        cJSON *root = cJSON_Parse(a->text.data);
        a->odd_arguments |= !cJSON_IsObject(root) || !root->child;
        cJSON_Delete(root);
        pm_buf_add(&a->calls, "\n");
        a->last = PM_BLOCK_CALL;
    } else if (a->text.len) {
        const char *kind = a->block == PM_BLOCK_TEXT ? "\nT " : "\nK ";
        if (a->block != a->last)
            pm_buf_add(&a->texts, kind);
        a->last = a->block;
        pm_buf_add(&a->texts, a->text.data);
        pm_buf_add(&a->blocks, kind);
        pm_buf_add(&a->blocks, a->text.data);
    } else {
        a->has_empty = true;
    }
}

/* A pm_canon_sink. */
static inline void answer_event(void *arg, const struct pm_canon_event *e)
{
    struct answer *a = arg;
    CHECK(!a->stopped && !a->failed, "an event after the end");
    switch (e->kind) {
    case PM_CANON_START:
        CHECK(!a->started, "a second start");
        a->started = true;
        break;
    case PM_CANON_OPEN:
        answer_open(a, e);
        break;
    case PM_CANON_DELTA:
        CHECK(a->open && e->text && *e->text, "nothing is said, or outside of a block");
        CHECK(e->block == a->block, "more of another kind of block");
        pm_buf_add(a->block == PM_BLOCK_CALL ? &a->calls : &a->text, e->text);
        if (a->block == PM_BLOCK_CALL)
            pm_buf_add(&a->text, e->text);
        break;
    case PM_CANON_CLOSE:
        answer_close(a, e);
        break;
    case PM_CANON_STOP:
        CHECK(a->started && !a->open, "an end in the middle");
        a->stopped = true;
        a->stop = e->stop;
        a->usage = e->usage;
        break;
    case PM_CANON_ERROR:
        CHECK(e->text, "an error without a word");
        a->failed = true;
        pm_buf_add(&a->error, e->text);
        break;
    }
    if (a->to)
        pm_encoder_event(a->to, e);
}

/* --- what a protocol can carry of it --- */

static inline enum pm_stop carried_stop(const struct answer *a, enum pm_protocol p)
{
    if (p == PM_PROTO_MESSAGES)
        return a->stop;
    if (a->stop == PM_STOP_SEQUENCE)
        return PM_STOP_END;
    return p == PM_PROTO_RESPONSES && a->stop == PM_STOP_CALLS && !a->has_calls ? PM_STOP_END : a->stop;
}

static inline long long carried(long long n)
{
    return n > 0 ? n : 0;
}

static inline struct pm_canon_usage carried_usage(const struct answer *a, enum pm_protocol p)
{
    struct pm_canon_usage u = {carried(a->usage.prompt), carried(a->usage.cached), carried(a->usage.created),
                               carried(a->usage.output), carried(a->usage.reasoning)};
    if (p != PM_PROTO_MESSAGES) {
        u.created = 0;
        return u;
    }
    long long fresh = (a->usage.prompt >= 0 ? u.prompt : FUZZ_PROMPT_TOKENS) - u.cached - u.created;
    u.prompt = u.cached + u.created + (fresh > 0 ? fresh : !u.cached && !u.created);
    u.reasoning = 0;
    return u;
}

static inline bool usage_same(struct pm_canon_usage a, struct pm_canon_usage b)
{
    return a.prompt == b.prompt && a.cached == b.cached && a.created == b.created && a.output == b.output &&
           a.reasoning == b.reasoning;
}

/* Do the calls of both have the same names and arguments, and the same ids where the first has any? */
static inline bool calls_same(const struct answer *a, const struct answer *b)
{
    const char *x = a->calls.data, *y = b->calls.data;
    if (strstr(x, "C  ") == NULL)
        return strcmp(x, y) == 0;
    return strlen(x) <= strlen(y); /* some were made up */
}

/* Bytes that are no UTF-8 become U+FFFD on the way: then two answers cannot be compared. */
static inline bool answer_is_text(const struct answer *a)
{
    const struct pm_buf *all[] = {&a->blocks, &a->calls, &a->error};
    for (size_t i = 0; i < 3; i++)
        if (pm_utf8_bad(all[i]->data, all[i]->len) >= 0)
            return false;
    return true;
}

/* `b` is what was read of `a` as it was written in protocol `p`. */
static inline void answers_agree(const struct answer *a, const struct answer *b, enum pm_protocol p, const char *how)
{
    const char *name = pm_protocol_name(p);
    CHECK(a->failed == b->failed && a->stopped == b->stopped, "%s, %s: another end", name, how);
    if (!answer_is_text(a))
        return;
    if (a->failed)
        CHECK(strcmp(a->error.data, b->error.data) == 0, "%s, %s: another error", name, how);
    if (!a->stopped)
        return;
    if (p == PM_PROTO_CHAT)
        CHECK(strcmp(a->texts.data, b->texts.data) == 0, "%s, %s: other texts:%s\n---%s\n", name, how, a->texts.data,
              b->texts.data);
    else
        CHECK(strcmp(a->blocks.data, b->blocks.data) == 0, "%s, %s: other blocks:%s\n---%s\n", name, how,
              a->blocks.data, b->blocks.data);
    if (!a->nameless)
        CHECK(calls_same(a, b), "%s, %s: other calls:\n%s---\n%s", name, how, a->calls.data, b->calls.data);
    if (!a->nameless || p != PM_PROTO_CHAT)
        CHECK(carried_stop(a, p) == carried_stop(b, p), "%s, %s: stop reason %d became %d", name, how, a->stop,
              b->stop);
    CHECK(usage_same(carried_usage(a, p), carried_usage(b, p)), "%s, %s: other usage", name, how);
}

#endif
