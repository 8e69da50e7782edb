/* The request codecs: one protocol's body into a canonical request, and out again. Pure.
 *
 * Formats: OpenAI API reference (chat completions, responses), Anthropic API reference (messages).
 */
#ifndef PM_API_CODEC_H
#define PM_API_CODEC_H

#include "core/api/canon.h"

/* Whom a request is written for. */
struct pm_codec_target {
    const char *model;    /* its name there */
    long long max_tokens; /* at most so many, 0 no limit */
    bool reasoning;       /* it wants its thoughts back */
    bool is_llama;        /* knows what llama-server knows beyond the protocol */
    bool is_openai;       /* OpenAI itself, whose models refuse the limit's old name */
};

/* Reads `c->tree`. The error names the JSON path of what cannot be carried over. */
int pm_chat_read(struct pm_canon *c, struct pm_error *err) PM_MUST;
int pm_messages_read(struct pm_canon *c, struct pm_error *err) PM_MUST;
int pm_responses_read(struct pm_canon *c, struct pm_error *err) PM_MUST;

/* A body that asks for a stream with usage, or NULL with `err`: the caller deletes it before the request. */
cJSON *pm_chat_write(struct pm_canon *c, const struct pm_codec_target *t, struct pm_error *err);
cJSON *pm_messages_write(struct pm_canon *c, const struct pm_codec_target *t, struct pm_error *err);
cJSON *pm_responses_write(struct pm_canon *c, const struct pm_codec_target *t, struct pm_error *err);

/* Small help for writers: a borrowed text, a copied tree (nothing for NULL), the smaller limit. */
void pm_codec_text(cJSON *object, const char *key, const char *text);
void pm_codec_copy(cJSON *object, const char *key, const cJSON *item);
long long pm_codec_limit(const struct pm_canon *c, const struct pm_codec_target *t);

/* A call's arguments as the text of a JSON object. */
const char *pm_codec_arguments(struct pm_canon *c, const struct pm_part *call);

/* Name, description and schema of a tool; the schema under `key`. */
void pm_codec_tool(const struct pm_tool *tool, cJSON *object, const char *key);

/* Of PM_CHOICE_NAMED: what the tool is called there. */
const char *pm_codec_choice_name(const struct pm_canon *c);

/* Notes which of the sampling fields that a protocol lacks were asked for. */
enum pm_sampling {
    PM_SAMPLING_TOP_K = 1,
    PM_SAMPLING_SEED = 2,
    PM_SAMPLING_PENALTIES = 4, /* presence, frequency, logit_bias */
};
void pm_codec_drop_sampling(struct pm_canon *c, unsigned lacking);

/* A text, or a list of parts of which `part` reads each: `where` is the list's JSON path, `i` the place in it. */
typedef int (*pm_part_reader)(struct pm_canon *c, const cJSON *part, struct pm_parts *to, const char *where, size_t i,
                              struct pm_error *err);
int pm_codec_read_content(struct pm_canon *c, const cJSON *content, struct pm_parts *to, const char *where,
                          pm_part_reader part, struct pm_error *err) PM_MUST;

/* The text of a tool's result for a protocol that has no mark for errors: then its words say it. */
const char *pm_codec_result_text(struct pm_canon *c, const struct pm_part *result);

/* The stop sequences as a list, when there are some. */
void pm_codec_write_stops(const struct pm_canon *c, cJSON *body, const char *key);

/* The stop sequences of the field called `key`: a text or texts. */
void pm_codec_read_stops(struct pm_canon *c, const char *key);

/* A count of tokens; 0 when it is none. */
long long pm_codec_count(const cJSON *object, const char *key);

/* Is there something in the text that can be seen? */
bool pm_codec_says(const char *text);

/* OpenAI's `tool_choice` and `parallel_tool_calls`; `name` is that of a tool that is demanded, or NULL. */
void pm_codec_read_choice(struct pm_canon *c, const char *name);

/* {"type":"json_schema","json_schema":{...}} and its kin, where `schema` holds name, schema and strict. */
void pm_codec_read_format(struct pm_canon *c, const cJSON *format, const cJSON *schema);

#endif
