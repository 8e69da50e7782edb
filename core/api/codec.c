/* What the request codecs share. */
#include "core/api/codec.h"

#include <string.h>

#include "core/base/alloc.h"
#include "core/base/text.h"

void pm_codec_text(cJSON *object, const char *key, const char *text)
{
    if (text)
        cJSON_AddItemToObject(object, key, cJSON_CreateStringReference(text));
}

void pm_codec_copy(cJSON *object, const char *key, const cJSON *item)
{
    if (item)
        cJSON_AddItemToObject(object, key, cJSON_Duplicate(item, true));
}

long long pm_codec_limit(const struct pm_canon *c, const struct pm_codec_target *t)
{
    if (t->max_tokens && (!c->max_tokens || c->max_tokens > t->max_tokens))
        return t->max_tokens;
    return c->max_tokens;
}

const char *pm_codec_arguments(struct pm_canon *c, const struct pm_part *call)
{
    const char *text = call->text ? call->text : "";
    if (call->is_custom) {
        struct pm_buf out;
        pm_buf_init(&out, PM_BUF_OWN_LIMIT);
        pm_buf_add(&out, "{\"input\":");
        pm_json_quote(&out, text, strlen(text));
        pm_buf_add(&out, "}");
        return pm_canon_own(c, pm_buf_take(&out));
    }
    return *text ? text : "{}";
}

/* A tool that takes free text is offered as one whose only argument is that text. */
static const char custom_schema[] = "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},"
                                    "\"required\":[\"input\"],\"additionalProperties\":false}";

void pm_codec_tool(const struct pm_tool *tool, cJSON *object, const char *key)
{
    pm_codec_text(object, "name", tool->wire_name);
    pm_codec_text(object, "description", tool->description);
    if (tool->is_custom)
        cJSON_AddItemToObject(object, key, cJSON_Parse(custom_schema));
    else if (cJSON_IsObject(tool->schema))
        pm_codec_copy(object, key, tool->schema);
    else
        cJSON_AddItemToObject(object, key, cJSON_Parse("{\"type\":\"object\",\"properties\":{}}"));
}

const char *pm_codec_choice_name(const struct pm_canon *c)
{
    for (size_t i = 0; i < c->n_tools; i++)
        if (strcmp(c->tools[i].name, c->choice_name) == 0 || strcmp(c->tools[i].wire_name, c->choice_name) == 0)
            return c->tools[i].wire_name;
    return c->choice_name;
}

void pm_codec_drop_sampling(struct pm_canon *c, unsigned lacking)
{
    const struct {
        const cJSON *field;
        unsigned bit;
        const char *name;
    } fields[] = {{c->top_k, PM_SAMPLING_TOP_K, "top_k"},
                  {c->seed, PM_SAMPLING_SEED, "seed"},
                  {c->presence, PM_SAMPLING_PENALTIES, "presence_penalty"},
                  {c->frequency, PM_SAMPLING_PENALTIES, "frequency_penalty"},
                  {c->logit_bias, PM_SAMPLING_PENALTIES, "logit_bias"}};
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
        if ((lacking & fields[i].bit) && fields[i].field && !cJSON_IsNull(fields[i].field))
            pm_canon_drop(c, fields[i].name);
}

bool pm_codec_says(const char *text)
{
    return text && text[strspn(text, " \t\r\n\f\v")];
}

void pm_codec_read_stops(struct pm_canon *c, const char *key)
{
    const cJSON *item, *stop = pm_json_get(c->tree, key);
    c->stops_key = key;
    if (cJSON_IsString(stop))
        pm_strv_add(&c->stops, stop->valuestring, strlen(stop->valuestring));
    else
        cJSON_ArrayForEach (item, stop)
            if (cJSON_IsString(item))
                pm_strv_add(&c->stops, item->valuestring, strlen(item->valuestring));
}

void pm_codec_write_stops(const struct pm_canon *c, cJSON *body, const char *key)
{
    if (!c->stops.n)
        return;
    cJSON *stops = cJSON_AddArrayToObject(body, key);
    for (size_t i = 0; i < c->stops.n; i++)
        cJSON_AddItemToArray(stops, cJSON_CreateStringReference(c->stops.items[i]));
}

int pm_codec_read_content(struct pm_canon *c, const cJSON *content, struct pm_parts *to, const char *where,
                          pm_part_reader part, struct pm_error *err)
{
    const cJSON *item;
    size_t i = 0;
    int rc = PM_OK;
    if (cJSON_IsString(content)) {
        pm_parts_add(to, PM_PART_TEXT)->text = content->valuestring;
        return PM_OK;
    }
    cJSON_ArrayForEach (item, content)
        if ((rc = part(c, item, to, where, i++, err)) < 0)
            break;
    return rc;
}

const char *pm_codec_result_text(struct pm_canon *c, const struct pm_part *result)
{
    const char *text = pm_canon_own(c, pm_parts_text(&result->content, "\n"));
    bool says_so = strncmp(text, "Error", 5) == 0;
    return result->is_error && !says_so ? pm_canon_own(c, pm_asprintf("Error: %s", text)) : text;
}

void pm_codec_read_choice(struct pm_canon *c, const char *name)
{
    const cJSON *choice = pm_json_get(c->tree, "tool_choice"), *parallel = pm_json_get(c->tree, "parallel_tool_calls");
    const char *word = cJSON_IsString(choice) ? choice->valuestring : "";
    c->choice_name = name;
    c->choice = name                            ? PM_CHOICE_NAMED
                : strcmp(word, "auto") == 0     ? PM_CHOICE_AUTO
                : strcmp(word, "required") == 0 ? PM_CHOICE_REQUIRED
                : strcmp(word, "none") == 0     ? PM_CHOICE_NONE
                                                : PM_CHOICE_UNSAID;
    if (cJSON_IsBool(parallel))
        c->parallel = cJSON_IsTrue(parallel);
}

void pm_codec_read_format(struct pm_canon *c, const cJSON *format, const cJSON *schema)
{
    const char *type = pm_json_str(format, "type");
    if (!type)
        return;
    if (strcmp(type, "json_object") == 0) {
        c->json_object = true;
    } else if (strcmp(type, "json_schema") == 0) {
        c->schema = pm_json_get(schema, "schema");
        c->schema_name = pm_json_str(schema, "name");
        c->schema_strict = pm_json_get(schema, "strict");
    }
}

long long pm_codec_count(const cJSON *object, const char *key)
{
    double n = pm_json_num(object, key, 0);
    return n >= 1 && n < 1e12 ? (long long)n : 0;
}
