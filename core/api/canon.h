/* A request in no protocol's words: what the codecs of the wire formats read into and write from. Pure.
 *
 * All texts are borrowed from the parsed body, which the request keeps, or owned by it (pm_canon_own). What a format
 * cannot say is either left out and named in `dropped`, or makes writing fail, when the meaning would be another.
 */
#ifndef PM_API_CANON_H
#define PM_API_CANON_H

#include "core/api/request.h"
#include "core/base/text.h"

enum pm_role { PM_ROLE_SYSTEM, PM_ROLE_USER, PM_ROLE_ASSISTANT };

enum pm_part_kind {
    PM_PART_TEXT,
    PM_PART_IMAGE,
    PM_PART_DOCUMENT,
    PM_PART_AUDIO,
    PM_PART_THINKING,
    PM_PART_CALL,  /* of a tool */
    PM_PART_RESULT /* of a call */
};

struct pm_part;

struct pm_parts {
    struct pm_part *items;
    size_t n;
};

struct pm_part {
    enum pm_part_kind kind;
    const char *text;        /* TEXT, THINKING; CALL: the arguments as JSON, or a custom tool's input; else NULL */
    const char *id;          /* CALL, RESULT */
    const char *name;        /* CALL: the tool; DOCUMENT: the file's name or NULL */
    const char *space;       /* CALL: the tool's namespace or NULL */
    const char *media;       /* IMAGE, DOCUMENT: media type; AUDIO: "wav" or "mp3" */
    const char *data;        /* base64, or NULL when there is a url */
    const char *url;         /* or NULL */
    const char *signature;   /* THINKING: the provider's proof, or NULL */
    const char *where;       /* IMAGE, DOCUMENT, AUDIO: the JSON path that it came from */
    bool is_error;           /* RESULT */
    bool is_custom;          /* CALL: of a tool that takes free text */
    struct pm_parts content; /* RESULT */
};

struct pm_turn {
    enum pm_role role;
    struct pm_parts parts;
};

enum { PM_WIRE_NAME_SIZE = 65 };

struct pm_tool {
    const char *name, *space, *description; /* the last two may be NULL */
    const cJSON *schema;                    /* NULL: takes nothing, or free text when custom */
    const cJSON *strict;                    /* NULL when not said */
    bool is_custom;
    char wire_name[PM_WIRE_NAME_SIZE]; /* what it is called towards a target; set by pm_canon_name_tools */
};

enum pm_tool_choice { PM_CHOICE_UNSAID, PM_CHOICE_AUTO, PM_CHOICE_REQUIRED, PM_CHOICE_NONE, PM_CHOICE_NAMED };

enum pm_effort {
    PM_EFFORT_UNSAID,
    PM_EFFORT_NONE,
    PM_EFFORT_MINIMAL,
    PM_EFFORT_LOW,
    PM_EFFORT_MEDIUM,
    PM_EFFORT_HIGH
};

struct pm_canon {
    cJSON *tree;
    struct pm_strv owned;
    struct pm_turn *turns;
    size_t n_turns;
    struct pm_tool *tools;
    size_t n_tools;
    enum pm_tool_choice choice;
    const char *choice_name; /* PM_CHOICE_NAMED */
    int parallel;            /* calls at once: -1 not said, else 0 or 1 */
    long long max_tokens;    /* 0 not said */
    /* Sampling as it came, NULL when not said. */
    const cJSON *temperature, *top_p, *top_k, *seed, *presence, *frequency, *logit_bias;
    struct pm_strv stops;
    const char *stops_key;   /* the field that they came in */
    bool json_object;        /* any JSON is wanted */
    const cJSON *schema;     /* or JSON of this schema */
    const char *schema_name; /* may be NULL */
    const cJSON *schema_strict;
    enum pm_effort effort;
    long long budget; /* of thinking, in tokens; 0 not said */
    const char *user; /* an opaque id, or NULL */
    bool has_cache_marks;
    struct pm_strv dropped; /* names of the source's fields */
};

struct pm_canon *pm_canon_new(void);
void pm_canon_free(struct pm_canon *c);

/* Keeps a text from malloc as long as the request, and returns it. */
const char *pm_canon_own(struct pm_canon *c, char *text);

/* A new turn, a new part; valid until the next one of the same list. */
struct pm_turn *pm_canon_turn(struct pm_canon *c, enum pm_role role);
struct pm_part *pm_parts_add(struct pm_parts *parts, enum pm_part_kind kind);
struct pm_tool *pm_canon_tool(struct pm_canon *c, const char *name);

/* The last turn when it is of that role, else a new one. */
struct pm_turn *pm_canon_same_turn(struct pm_canon *c, enum pm_role role);

/* Notes once that a field of the source is left out. */
void pm_canon_drop(struct pm_canon *c, const char *field);

/* The name under which targets know a tool, the same for the same tool: [A-Za-z0-9_-]{1,64}. `space` may be NULL. */
void pm_wire_name(const char *space, const char *name, char out[PM_WIRE_NAME_SIZE]);
void pm_canon_name_tools(struct pm_canon *c);

/* Puts the result of each call directly after the turn that called, in the order of the calls: one that is missing is
 * made up, one without a call becomes the user's words. All writers want this order. */
void pm_canon_order_results(struct pm_canon *c);

/* Gives calls, and their results, ids that every target takes: [A-Za-z0-9_-]{1,40}, none twice. What is fine stays.
 * After pm_canon_order_results. */
void pm_canon_fix_ids(struct pm_canon *c);

/* The JSON path of element `i` of a list. */
const char *pm_canon_path(struct pm_canon *c, const char *list, size_t i);

/* "data:image/png;base64,..." into media and data, else a url. */
void pm_part_set_url(struct pm_canon *c, struct pm_part *part, const char *url);
/* The other way; the caller frees. */
char *pm_part_data_url(const struct pm_part *part);

/* All texts of the parts, joined; the caller frees. */
char *pm_parts_text(const struct pm_parts *parts, const char *between);
bool pm_parts_are_text(const struct pm_parts *parts);
bool pm_parts_have(const struct pm_parts *parts, enum pm_part_kind kind);

/* The system turns' text, joined by empty lines, or NULL; the caller frees. */
char *pm_canon_system(const struct pm_canon *c);

/* Words of the fields that say how much to think; PM_EFFORT_UNSAID for an unknown one. */
enum pm_effort pm_effort_of_word(const char *word);
enum pm_effort pm_effort_of_budget(double tokens);
const char *pm_effort_word(enum pm_effort e); /* NULL for UNSAID */
long long pm_effort_budget(enum pm_effort e);

/* What the reader of a protocol does with a top-level field. What is not in its table is left out and named. */
enum pm_field_use {
    PM_FIELD_READ,
    PM_FIELD_IDLE,   /* means nothing elsewhere: not worth a word */
    PM_FIELD_REFUSED /* would change the meaning, unless it is null, false, or 1 */
};

struct pm_field {
    const char *name;
    enum pm_field_use use;
};

int pm_canon_check_fields(struct pm_canon *c, const struct pm_field *fields, size_t n, struct pm_error *err) PM_MUST;

/* Does an array's or object's tree say `cache_control` anywhere on its first two levels? */
bool pm_json_has_cache_mark(const cJSON *item);

#endif
