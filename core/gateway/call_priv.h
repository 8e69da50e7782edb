/* One request to a model on its way through the worker; gateway_priv.h has the way. */
#ifndef PM_GATEWAY_CALL_PRIV_H
#define PM_GATEWAY_CALL_PRIV_H

#include "core/api/assemble.h"
#include "core/api/canon_events.h"
#include "core/api/mend.h"
#include "core/api/resume.h"
#include "core/api/stream.h"
#include "core/api/translate.h"
#include "core/api/voice.h"
#include "core/base/secret.h"
#include "core/gateway/gateway_priv.h"
#include "core/http/sse.h"

/* One request to a model, from the exchange to its end. */
struct pm_call {
    struct pm_gateway *g;
    struct pm_call *next, *prev;
    struct pm_exchange *x; /* NULL once the reply is complete or the client has gone */
    const struct pm_endpoint *endpoint;
    char id[32];
    bool anthropic;
    char *upstream_path; /* with the query where it is handed on */
    const char *method;
    char *raw_body; /* a body that is not JSON of a known protocol (/upstream/...) */
    size_t raw_len;

    struct pm_api_request api;
    bool has_api;
    char *prompt; /* the user's last words, where they are recorded and the api request has let them go */
    char *model;  /* as asked for; survives the api request */
    const struct pm_user *client; /* whose key it came with, or NULL */
    struct pm_limit_use use;      /* of that key, this request in it */
    bool charged;
    struct pm_redis_ask *ask;      /* what is waited for, NULL for nothing */
    char cache_key[PM_SHA256_HEX]; /* "" when the answer is not one to keep */
    bool cache_hit;
    struct pm_assembly *kept; /* of a stream whose answer is to be kept */
    struct pm_sse_reader kept_sse;
    struct pm_session session; /* the conversation that it is a turn of */
    unsigned rank;             /* enum pm_rank */
    struct pm_route_input input;
    struct pm_target_view *views;
    struct pm_decision *decision;

    size_t attempt;    /* index of the next attempt in the decision */
    unsigned attempts; /* made so far */
    bool retried;      /* the current target was tried again already */
    const struct pm_target *target;
    uint32_t lease; /* id, 0 when none is asked for or held */
    bool granted;
    struct pm_transfer *transfer;
    struct pm_strv headers;
    struct pm_buf body;     /* as it is sent */
    long long prefix_break; /* offset in it where the prompt broke with what the server has read before, or -1 */
    struct pm_timer deadline, pause, ping;
    uint64_t heard_ms; /* when the last byte of this attempt came, 0 none yet */
    bool suspected;    /* the manager has been told of the silence since then */
    bool opened;       /* a stream was begun with nothing but signs of life in it */
    unsigned pings;
    unsigned events;       /* of this attempt's stream so far */
    char response_id[128]; /* of the responses API, as the answerer says */
    char own_id[128];      /* and as the caller is told where it has none of the answerer's */
    uint64_t queued_us;    /* waited for slots so far, at all targets */
    uint64_t loading_us;   /* the part of it in which the target was being loaded */

    int status; /* of the answer under way */
    bool is_sse, committed, ended;
    bool strips_progress;         /* reports of progress were our wish, not the caller's */
    bool strips_usage;            /* so was the chunk that tells usage */
    enum pm_protocol wire;        /* spoken with the target */
    bool without_thoughts;        /* the target refused those of earlier turns */
    struct pm_canon *canon;       /* the request in no protocol's words, where that is not the caller's */
    struct pm_decoder *decoder;   /* then the answer is taken apart here */
    struct pm_encoder *encoder;   /* and put into the caller's words here */
    struct pm_mend *mend;         /* else, of a stream that the caller gets as a stream */
    struct pm_assembly *assembly; /* the caller wants a whole answer, the target streams */
    struct pm_buf held;           /* not yet handed to the client; has room for the largest event */
    struct pm_sse_reader sse;
    unsigned held_events;
    bool said_content, said_end, said_error;
    char *error_text; /* of an error in place of the rest of an answer */

    bool can_resume, resuming;
    unsigned resumes;
    struct pm_buf sent; /* to the caller, not yet read back into `said` */
    struct pm_sse_reader sent_sse;
    struct pm_said *said;
    struct pm_resume *resume; /* of this attempt, when resuming */

    bool may_review;   /* a policy wants to see an answer */
    bool under_review; /* the answer of this attempt is held back for a policy to see */
    bool strips_logprobs;
    struct pm_logprobs logprobs;
    struct pm_review_state *review; /* an answer that was held back, or NULL */

    struct pm_usage usage;
    struct pm_buf failures; /* `target: why; ...` of the attempts so far */
    int fail_status, fail_retry_after;
    long long overflow_of; /* context that was too small; 0 none */
    char *fail_type;       /* the last refusal's own reply, to be handed on when nothing is left to try */
    struct pm_buf fail_body;

    uint64_t start_us, read_us, wait_start_us, wait_us, sent_us, head_us, first_us;
};

/* decide_request.c */
/* Views of the targets that may answer `model`, judged and decided. False: no such model. */
bool pm_call_decide(struct pm_call *c, const char *model);

/* Finds the conversation that the request is a turn of; `claim`: it is about to be answered. */
void pm_call_find_session(struct pm_call *c, bool claim);
/* It has ended: answered by its target, or not. */
void pm_call_keep_session(struct pm_call *c, bool answered);

/* call.c */
void pm_call_refuse(struct pm_call *c, int status, const char *code, const char *message);
struct pm_call *pm_call_new(struct pm_gateway *g, struct pm_exchange *x, const struct pm_endpoint *e);

/* It may, and was not answered before: judge, decide, attempt. */
void pm_call_go_on(struct pm_call *c);

/* cached.c */
/* A whole answer in the caller's protocol as the stream that he asked for, into c->held. */
bool pm_cached_to_stream(struct pm_call *c, const char *body, size_t len);
/* Answers from what is kept, or lets the call go on; the second does not ask other gateways. */
void pm_cached_look(struct pm_call *c);
void pm_cached_look_here(struct pm_call *c);
/* Bytes of a stream that go to the caller; the whole answer; the stream's answer, now that it is complete. */
void pm_cached_note(struct pm_call *c, const char *data, size_t len);
void pm_cached_keep(struct pm_call *c, const char *body, size_t len);
void pm_cached_keep_stream(struct pm_call *c);
void pm_cached_headers(struct pm_call *c);

/* admit.c */
/* Within the limits of its key? pm_cached_look, or a refusal. */
void pm_admit_call(struct pm_call *c);
/* By this machine's own counts; by somebody's word. */
void pm_admit_here(struct pm_call *c);
void pm_admit_decided(struct pm_call *c, enum pm_limit met);
void pm_admit_headers(struct pm_call *c);
/* Before the caller hears the end: what he asks next is counted on top of it. Once for a call. */
void pm_admit_charge(struct pm_call *c);
/* Must it be known what the answer used? */
bool pm_admit_needs_usage(const struct pm_call *c);

/* shared.c: the first two are false when nobody can be asked; else pm_admit_* or pm_cached_look_here follows. */
bool pm_shared_take(struct pm_call *c);
bool pm_shared_look(struct pm_call *c);
void pm_shared_keep(struct pm_call *c, const struct pm_cached *what);
void pm_shared_place(struct pm_call *c);

/* attempt.c */
void pm_attempt_next(struct pm_call *c);
/* This attempt has failed before any content; `again`: the same target may be tried once more. */
void pm_attempt_failed(struct pm_call *c, int status, const char *why, bool again);
/* The same target once more, after a pause that it asked for. */
void pm_attempt_later(struct pm_call *c, unsigned seconds);
void pm_attempt_again(void *call);
void pm_attempt_end(struct pm_call *c, enum pm_done how);

/* wire.c */
/* Has the caller asked to be told of usage, where a stream tells it only then? */
bool pm_wire_wants_usage(const struct pm_call *c);
/* The protocol in which a target is asked by a caller of that one. */
enum pm_protocol pm_wire_of(const struct pm_target *t, enum pm_protocol asked);
/* What it is called in a request to it. */
const char *pm_wire_model(const struct pm_target *t, const char *asked);
/* `address` is a local profile's, "unix:/path" or the beginning of a URL. The caller frees. */
char *pm_target_url(const struct pm_target *t, const char *address, const char *path);
/* The path of its socket, or NULL. */
const char *pm_target_socket(const struct pm_target *t, const char *address);
/* Adds a line `name: schemevalue` for it. */
void pm_target_header(struct pm_strv *headers, const char *name, const char *scheme, const char *value);
/* Can it be asked at all? */
bool pm_wire_speaks(const struct pm_target *t, enum pm_protocol asked);
/* The body for the target of this attempt; an error names what it cannot be told. */
int pm_wire_set_body(struct pm_call *c, struct pm_error *err) PM_MUST;
const char *pm_wire_path(const struct pm_call *c);
/* Makes ready for its answer; undoes both. */
void pm_wire_expect(struct pm_call *c);
void pm_wire_reset(struct pm_call *c);

/* resume.c */
void pm_resume_init(struct pm_call *c);
void pm_resume_release(struct pm_call *c);
/* Bytes of an answer that go to the caller. */
void pm_resume_note(struct pm_call *c, const char *data, size_t len);
/* The stream broke off, or has fallen silent: true when the request goes out again, and the call goes on. */
bool pm_resume_start(struct pm_call *c, const char *why, bool silent);

/* feedback.c */
/* It was answered: what is said of it later finds it. */
void pm_feedback_note(struct pm_call *c, int status, double total_ms);

/* wait.c */
void pm_wait_init(struct pm_call *c);
/* A streaming caller hears something while it waits, from now on. */
void pm_wait_begin(struct pm_call *c);
/* Signs of life while the answer is asked for again, where the protocol has some that may stand there. */
void pm_wait_resume(struct pm_call *c);
/* The request has been sent; something of the answer has come. */
void pm_wait_sent(struct pm_call *c);
void pm_wait_heard(struct pm_call *c);
void pm_wait_look(void *call);

/* answer.c */
/* A held answer goes to the caller: a stream from c->held, or the whole `body`. */
void pm_answer_deliver(struct pm_call *c, const char *body);
/* Who the caller's stream is. */
struct pm_api_identity pm_answer_identity(const struct pm_call *c);
/* The end of a call that got no answer: in the stream where one was begun already. */
void pm_answer_refuse(struct pm_call *c, int status, const char *type, const char *body, size_t len);
extern const struct pm_transfer_events pm_answer_events;
extern const struct pm_exchange_events pm_answer_exchange_events;
/* Nothing came for too long. */
void pm_answer_deadline(struct pm_call *c);
void pm_answer_reset(struct pm_call *c);
void pm_answer_headers(struct pm_call *c);
/* Where the status asks clients to come again: when. Never 0, on which agents burn their tries at once. */
void pm_answer_retry_after(struct pm_call *c, int status);

/* journal.c */
/* It is over: to the recorder, and to those who watch. */
void pm_journal_record(struct pm_call *c, int status, uint64_t now);
/* What its answer has used: the prompt with what came from a cache; about as much as went by where nobody told, or the
 * caller left before it was told (`estimated`). Below 0: nothing is known. */
struct pm_used {
    long long prompt, cached, output;
    bool estimated;
};
struct pm_used pm_call_used(const struct pm_call *c);
/* The user's last words are about to be let go. */
void pm_journal_keep_prompt(struct pm_call *c);
/* In the currency of the prices. A count that is not known (below 0) costs nothing. */
double pm_call_cost(const struct pm_target *t, long long prompt, long long output);

/* record.c */
/* The target of this attempt has given an answer: a cloud's breaker hears it. */
void pm_call_target_answered(struct pm_call *c);
/* The reply is complete (or there will be none): log, metrics, policies; then the call is freed. */
void pm_call_end(struct pm_call *c, int status);

#endif
