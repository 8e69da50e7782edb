#include "core/api/canon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/text.h"

enum { WIRE_NAME_KEPT = 55 };

struct pm_canon *pm_canon_new(void)
{
    struct pm_canon *c = pm_calloc(1, sizeof(*c));
    c->parallel = -1;
    return c;
}

static void release_parts(struct pm_parts *parts)
{
    for (size_t i = 0; i < parts->n; i++)
        release_parts(&parts->items[i].content);
    free(parts->items);
    *parts = (struct pm_parts){0};
}

void pm_canon_free(struct pm_canon *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_turns; i++)
        release_parts(&c->turns[i].parts);
    free(c->turns);
    free(c->tools);
    pm_strv_release(&c->stops);
    pm_strv_release(&c->dropped);
    pm_strv_release(&c->owned);
    cJSON_Delete(c->tree);
    free(c);
}

const char *pm_canon_own(struct pm_canon *c, char *text)
{
    if (!text)
        return NULL;
    c->owned.items = pm_realloc(c->owned.items, c->owned.n + 1, sizeof(*c->owned.items));
    c->owned.items[c->owned.n++] = text;
    return text;
}

struct pm_turn *pm_canon_turn(struct pm_canon *c, enum pm_role role)
{
    c->turns = pm_realloc(c->turns, c->n_turns + 1, sizeof(*c->turns));
    c->turns[c->n_turns] = (struct pm_turn){.role = role};
    return &c->turns[c->n_turns++];
}

struct pm_turn *pm_canon_same_turn(struct pm_canon *c, enum pm_role role)
{
    if (c->n_turns && c->turns[c->n_turns - 1].role == role)
        return &c->turns[c->n_turns - 1];
    return pm_canon_turn(c, role);
}

struct pm_part *pm_parts_add(struct pm_parts *parts, enum pm_part_kind kind)
{
    parts->items = pm_realloc(parts->items, parts->n + 1, sizeof(*parts->items));
    parts->items[parts->n] = (struct pm_part){.kind = kind};
    return &parts->items[parts->n++];
}

struct pm_tool *pm_canon_tool(struct pm_canon *c, const char *name)
{
    c->tools = pm_realloc(c->tools, c->n_tools + 1, sizeof(*c->tools));
    c->tools[c->n_tools] = (struct pm_tool){.name = name};
    return &c->tools[c->n_tools++];
}

void pm_canon_drop(struct pm_canon *c, const char *field)
{
    if (!pm_strv_has(&c->dropped, field))
        pm_strv_add(&c->dropped, field, strlen(field));
}

/* --- names of tools --- */

static bool is_name_byte(char b)
{
    return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b == '_' || b == '-';
}

void pm_wire_name(const char *space, const char *name, char out[PM_WIRE_NAME_SIZE])
{
    char *full = space ? pm_asprintf("%s__%s", space, name) : pm_strdup(name);
    size_t len = strlen(full);
    bool good = len > 0 && len < PM_WIRE_NAME_SIZE;
    for (size_t i = 0; i < len; i++)
        good &= is_name_byte(full[i]);
    if (good) {
        memcpy(out, full, len + 1);
    } else {
        char kept[WIRE_NAME_KEPT + 1];
        size_t n = 0;
        for (size_t i = 0; i < len && n < WIRE_NAME_KEPT; i++)
            kept[n++] = is_name_byte(full[i]) ? full[i] : '_';
        kept[n] = 0;
        uint64_t hash = pm_hash(full, len, PM_HASH_SEED);
        snprintf(out, PM_WIRE_NAME_SIZE, "%s_%08x", kept, (unsigned)(hash ^ hash >> 32));
    }
    free(full);
}

void pm_canon_name_tools(struct pm_canon *c)
{
    for (size_t i = 0; i < c->n_tools; i++)
        pm_wire_name(c->tools[i].space, c->tools[i].name, c->tools[i].wire_name);
}

/* --- the order of calls and results --- */

static struct pm_part *find_result(struct pm_canon *c, size_t from, const char *id, struct pm_turn **turn)
{
    for (size_t t = from; t < c->n_turns; t++)
        for (size_t i = 0; i < c->turns[t].parts.n; i++) {
            struct pm_part *p = &c->turns[t].parts.items[i];
            if (p->kind == PM_PART_RESULT && p->id && id && strcmp(p->id, id) == 0) {
                *turn = &c->turns[t];
                return p;
            }
        }
    return NULL;
}

static void add_made_up(struct pm_parts *to, const char *id)
{
    struct pm_part *p = pm_parts_add(to, PM_PART_RESULT);
    p->id = id;
    p->is_error = true;
    pm_parts_add(&p->content, PM_PART_TEXT)->text = "no result was recorded";
}

static void remove_part(struct pm_parts *parts, const struct pm_part *p)
{
    size_t at = (size_t)(p - parts->items);
    memmove(parts->items + at, parts->items + at + 1, (parts->n - at - 1) * sizeof(*parts->items));
    parts->n--;
}

/* The results of one turn's calls, taken from wherever they stand after it. */
static void gather_results(struct pm_canon *c, size_t turn, struct pm_parts *out)
{
    for (size_t i = 0; i < c->turns[turn].parts.n; i++) {
        const struct pm_part *call = &c->turns[turn].parts.items[i];
        struct pm_turn *where;
        if (call->kind != PM_PART_CALL)
            continue;
        struct pm_part *result = find_result(c, turn + 1, call->id, &where);
        if (!result) {
            add_made_up(out, call->id);
            continue;
        }
        struct pm_part moved = *result;
        remove_part(&where->parts, result);
        *pm_parts_add(out, PM_PART_RESULT) = moved;
    }
}

static void insert_turn(struct pm_canon *c, size_t at, enum pm_role role, struct pm_parts parts)
{
    pm_canon_turn(c, role);
    memmove(c->turns + at + 1, c->turns + at, (c->n_turns - 1 - at) * sizeof(*c->turns));
    c->turns[at] = (struct pm_turn){.role = role, .parts = parts};
}

/* What nobody called for is still something that was said. */
static void results_to_text(struct pm_canon *c, struct pm_parts *parts)
{
    for (size_t i = 0; i < parts->n; i++) {
        struct pm_part *p = &parts->items[i];
        if (p->kind != PM_PART_RESULT)
            continue;
        char *text = pm_parts_text(&p->content, "\n");
        release_parts(&p->content);
        *p = (struct pm_part){.kind = PM_PART_TEXT, .text = pm_canon_own(c, text)};
    }
}

void pm_canon_order_results(struct pm_canon *c)
{
    for (size_t t = 0; t < c->n_turns; t++) {
        struct pm_turn *turn = &c->turns[t];
        if (turn->role != PM_ROLE_ASSISTANT) {
            results_to_text(c, &turn->parts);
            continue;
        }
        struct pm_parts results = {0};
        gather_results(c, t, &results);
        if (!results.n)
            continue;
        insert_turn(c, t + 1, PM_ROLE_USER, results);
        t++;
    }
    /* Turns that held nothing but results which stand elsewhere now. */
    size_t kept = 0;
    for (size_t t = 0; t < c->n_turns; t++) {
        if (c->turns[t].parts.n)
            c->turns[kept++] = c->turns[t];
        else
            free(c->turns[t].parts.items);
    }
    c->n_turns = kept;
}

/* --- ids of calls --- */

enum { ID_MAX = 40 };

static bool is_used(const struct pm_canon *c, size_t turn, size_t part, const char *id)
{
    for (size_t t = 0; t <= turn; t++)
        for (size_t i = 0; i < c->turns[t].parts.n && (t < turn || i < part); i++) {
            const struct pm_part *p = &c->turns[t].parts.items[i];
            if (p->kind == PM_PART_CALL && p->id && strcmp(p->id, id) == 0)
                return true;
        }
    return false;
}

/* The same every time for the same place in a conversation, so that its beginning stays the same text. */
static const char *fixed_id(struct pm_canon *c, size_t turn, size_t part, const char *id)
{
    char fixed[ID_MAX + 1];
    size_t len = strlen(id), n = 0;
    bool good = len > 0 && len <= ID_MAX;
    for (size_t i = 0; i < len; i++)
        good &= is_name_byte(id[i]);
    if (good && !is_used(c, turn, part, id))
        return id;
    for (size_t i = 0; i < len && n < ID_MAX - 9; i++)
        fixed[n++] = is_name_byte(id[i]) ? id[i] : '_';
    uint64_t place = is_used(c, turn, part, id) || good ? turn * 1000 + part + 1 : 0;
    uint64_t hash = pm_hash(&place, sizeof(place), pm_hash(id, len, PM_HASH_SEED));
    snprintf(fixed + n, sizeof(fixed) - n, "_%08x", (unsigned)(hash ^ hash >> 32));
    return pm_canon_own(c, pm_strdup(fixed));
}

void pm_canon_fix_ids(struct pm_canon *c)
{
    for (size_t t = 0; t < c->n_turns; t++) {
        size_t nth = 0;
        for (size_t i = 0; i < c->turns[t].parts.n; i++) {
            struct pm_part *call = &c->turns[t].parts.items[i];
            if (call->kind != PM_PART_CALL)
                continue;
            call->id = fixed_id(c, t, i, call->id ? call->id : "");
            /* The results stand in the next turn in the order of the calls. */
            if (t + 1 < c->n_turns && nth < c->turns[t + 1].parts.n)
                c->turns[t + 1].parts.items[nth].id = call->id;
            nth++;
        }
    }
}

const char *pm_canon_path(struct pm_canon *c, const char *list, size_t i)
{
    return pm_canon_own(c, pm_asprintf("%s[%zu]", list, i));
}

/* --- parts --- */

void pm_part_set_url(struct pm_canon *c, struct pm_part *part, const char *url)
{
    const char *comma = strncmp(url, "data:", 5) == 0 ? strchr(url, ',') : NULL;
    if (!comma) {
        part->url = url;
        return;
    }
    size_t n = strcspn(url + 5, ";,");
    part->media = n                             ? pm_canon_own(c, pm_strndup(url + 5, n))
                  : part->kind == PM_PART_IMAGE ? "image/png"
                                                : "application/octet-stream";
    part->data = comma + 1;
}

char *pm_part_data_url(const struct pm_part *part)
{
    if (part->url)
        return pm_strdup(part->url);
    return pm_asprintf("data:%s;base64,%s", part->media ? part->media : "application/octet-stream", part->data);
}

char *pm_parts_text(const struct pm_parts *parts, const char *between)
{
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    for (size_t i = 0; i < parts->n; i++) {
        if (parts->items[i].kind != PM_PART_TEXT || !parts->items[i].text)
            continue;
        if (out.len)
            pm_buf_add(&out, between);
        pm_buf_add(&out, parts->items[i].text);
    }
    return pm_buf_take(&out);
}

bool pm_parts_are_text(const struct pm_parts *parts)
{
    for (size_t i = 0; i < parts->n; i++)
        if (parts->items[i].kind != PM_PART_TEXT)
            return false;
    return true;
}

bool pm_parts_have(const struct pm_parts *parts, enum pm_part_kind kind)
{
    for (size_t i = 0; i < parts->n; i++)
        if (parts->items[i].kind == kind)
            return true;
    return false;
}

char *pm_canon_system(const struct pm_canon *c)
{
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    for (size_t i = 0; i < c->n_turns; i++) {
        if (c->turns[i].role != PM_ROLE_SYSTEM)
            continue;
        char *text = pm_parts_text(&c->turns[i].parts, "\n\n");
        if (out.len && *text)
            pm_buf_add(&out, "\n\n");
        pm_buf_add(&out, text);
        free(text);
    }
    if (out.len)
        return pm_buf_take(&out);
    pm_buf_release(&out);
    return NULL;
}

/* --- how much to think --- */

static const struct {
    const char *word;
    enum pm_effort effort;
} effort_words[] = {{"none", PM_EFFORT_NONE},     {"minimal", PM_EFFORT_MINIMAL}, {"low", PM_EFFORT_LOW},
                    {"medium", PM_EFFORT_MEDIUM}, {"high", PM_EFFORT_HIGH},       {"xhigh", PM_EFFORT_HIGH},
                    {"max", PM_EFFORT_HIGH}};

enum pm_effort pm_effort_of_word(const char *word)
{
    for (size_t i = 0; word && i < sizeof(effort_words) / sizeof(*effort_words); i++)
        if (strcmp(effort_words[i].word, word) == 0)
            return effort_words[i].effort;
    return PM_EFFORT_UNSAID;
}

const char *pm_effort_word(enum pm_effort e)
{
    for (size_t i = 0; i < sizeof(effort_words) / sizeof(*effort_words); i++)
        if (effort_words[i].effort == e)
            return effort_words[i].word;
    return NULL;
}

/* The buckets that LiteLLM and APISIX agree on. */
enum pm_effort pm_effort_of_budget(double tokens)
{
    return tokens >= 4096   ? PM_EFFORT_HIGH
           : tokens >= 2048 ? PM_EFFORT_MEDIUM
           : tokens >= 1024 ? PM_EFFORT_LOW
                            : PM_EFFORT_MINIMAL;
}

long long pm_effort_budget(enum pm_effort e)
{
    static const long long budgets[] = {
        [PM_EFFORT_MINIMAL] = 1024, [PM_EFFORT_LOW] = 1024, [PM_EFFORT_MEDIUM] = 2048, [PM_EFFORT_HIGH] = 4096};
    return e >= PM_EFFORT_MINIMAL ? budgets[e] : 0;
}

/* --- fields --- */

static bool is_default(const cJSON *item)
{
    return cJSON_IsNull(item) || cJSON_IsFalse(item) || (cJSON_IsNumber(item) && item->valuedouble <= 1) ||
           ((cJSON_IsArray(item) || cJSON_IsObject(item)) && !item->child);
}

int pm_canon_check_fields(struct pm_canon *c, const struct pm_field *fields, size_t n, struct pm_error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, c->tree) {
        size_t i = 0;
        while (i < n && strcmp(fields[i].name, item->string) != 0)
            i++;
        if (i < n && fields[i].use == PM_FIELD_REFUSED && !is_default(item))
            return pm_error_set(err, PM_EINVAL, "`%s` cannot be said in the protocol of this target", item->string);
        if (i == n && !cJSON_IsNull(item))
            pm_canon_drop(c, item->string);
    }
    return PM_OK;
}

bool pm_json_has_cache_mark(const cJSON *item)
{
    const cJSON *child;
    if (pm_json_get(item, "cache_control"))
        return true;
    cJSON_ArrayForEach (child, item)
        if (cJSON_IsObject(child) && pm_json_get(child, "cache_control"))
            return true;
    return false;
}
