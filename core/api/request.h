/* Requests of the wire protocols, read for routing. Pure: no I/O, no clock.
 *
 * The bytes of the body stay as they came; what routing needs is read out of them, and the model name can be
 * exchanged in place. Formats: OpenAI API reference (chat, completions, responses, embeddings), Anthropic
 * API reference (messages, count_tokens), llama.cpp tools/server/README.md (the rest).
 */
#ifndef PM_API_REQUEST_H
#define PM_API_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/api/history.h"
#include "core/api/language.h"
#include "core/base/json.h"

enum pm_protocol {
    PM_PROTO_CHAT,
    PM_PROTO_COMPLETIONS,
    PM_PROTO_RESPONSES,
    PM_PROTO_EMBEDDINGS,
    PM_PROTO_MESSAGES,
    PM_PROTO_COUNT_TOKENS,
    PM_PROTO_NATIVE /* llama-server's own paths */
};

const char *pm_protocol_name(enum pm_protocol p);

/* Anthropic's family: its error shape, its headers. */
bool pm_protocol_is_anthropic(enum pm_protocol p);

/* Are its answers streams of text, where the caller asks for one? */
bool pm_protocol_streams(enum pm_protocol p);

enum { PM_CHAIN_MAX = 8 };

struct pm_api_request {
    enum pm_protocol protocol;
    const char *body; /* borrowed */
    size_t len;
    struct pm_json_spans spans;
    cJSON *root;
    const char *model; /* "" when absent */
    bool stream, json_schema;
    char *system, *last_user, *last_tool_result; /* never NULL */
    size_t system_len, last_user_len, last_tool_result_len;
    unsigned messages, user_turns, tools, tool_results, images, audio;
    long long prompt_tokens;     /* estimated */
    long long max_tokens;        /* asked for, 0 when not */
    bool tool_loop;              /* it ends with the result of a tool: an agent at work, not a new turn of its user */
    unsigned fences;             /* blocks of code in the last words of the user */
    struct pm_language language; /* of the same */
    struct pm_progress progress; /* of the tools in its history */
    uint64_t system_hash;
    /* Fingerprints (store/sessions.h): of the whole, then of what came before each answer, the last one first. */
    uint64_t chain[PM_CHAIN_MAX], opening;
    unsigned n_chain;
    uint64_t conversation; /* the same for all turns of one; the opening until somebody knows better */
};

/* Reads a body, which must stay as long as the result. A negative code with a sentence that names the JSON path and
 * what is expected; PM_ETOOBIG is too deep. Nothing is to be released then. */
int pm_api_read(enum pm_protocol p, const char *body, size_t len, struct pm_api_request *out,
                struct pm_error *err) PM_MUST;
void pm_api_request_release(struct pm_api_request *r);

/* Is this text the line of accounting that Claude Code puts first into its system prompt? It differs from session to
 * session, so nothing after it would be found in a cache. */
bool pm_api_is_nonce(const char *text);

/* Is the same answer to be expected each time? With temperature 0, or one candidate. */
bool pm_api_is_deterministic(const struct pm_api_request *r);

/* Appends the body so that two requests which ask for the same have the same text: members in order, without what only
 * says how to tell it or for whom. */
void pm_api_canonical(const struct pm_api_request *r, struct pm_buf *out);

/* Frees what only routing needs; the request can still be sent. */
void pm_api_request_shrink(struct pm_api_request *r);

/* An error in the caller's protocol: {"error": ...} or {"type":"error", ...}. `code` may be NULL. */
void pm_api_error_body(bool anthropic, int status, const char *code, const char *message, const char *request_id,
                       struct pm_buf *out);

/* Does a messages request count on a conversation that its answerer keeps? Who keeps none says so in a way that the
 * SDKs of that API understand: they send it whole then. */
bool pm_api_wants_thread(const struct pm_api_request *r);
void pm_api_refuse_thread(struct pm_buf *out);

#endif
