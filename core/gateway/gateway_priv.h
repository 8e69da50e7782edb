/* What the files of the worker share. The life of a request, forward only:
 *
 *   accept, parse                       core/http            -> gateway.c  request
 *   which endpoint is it?               endpoints.c          pm_endpoints_request
 *   read the body                       call.c               pm_call_start   (core/api)
 *   judge and decide                    decide_request.c     pm_call_decide  (core/route)
 *   next attempt: slot, request         attempt.c            pm_attempt_next (channel, core/upstream)
 *   hold until content, then stream     answer.c, wait.c     pm_answer_*     (core/http)
 *   log, count, tell the policies       record.c             pm_call_end
 */
#ifndef PM_GATEWAY_GATEWAY_PRIV_H
#define PM_GATEWAY_GATEWAY_PRIV_H

#include "core/api/assemble.h"
#include "core/api/mend.h"
#include "core/api/stream.h"
#include "core/api/voice.h"
#include "core/base/metrics.h"
#include "core/channel/channel.h"
#include "core/http/server.h"
#include "core/http/sse.h"
#include "core/route/decide.h"
#include "core/upstream/breaker.h"
#include "core/upstream/transfer.h"

/* What the worker knows of a target beyond its configuration. */
struct pm_target_state {
    char *key;  /* of a cloud model or a remote profile, NULL for none */
    bool ready; /* a local profile that answers now */
    double wait_s, prompt_tps, progress;
    unsigned caps;
    bool caps_known;
    long long context;
    char *down;                /* why it cannot be used at present, or NULL */
    uint64_t down_until_ms;    /* after which it can, 0 for no such time */
    char *address;             /* where it listens: "unix:/path" or the beginning of a URL */
    struct pm_breaker breaker; /* of a cloud model; the manager looks after the local ones */
    char *state;               /* as the manager names it */
};

enum { PM_STICKY_MAX = 4096 };

/* Where a conversation was answered last. */
struct pm_sticky {
    uint64_t conversation;
    size_t target;
    uint64_t at_ms;
};

struct pm_gateway {
    struct pm_loop *loop;
    struct pm_channel *channel;
    struct pm_bundle *bundle;
    struct pm_conf *conf;
    struct pm_policies *policies;
    struct pm_upstream *up;
    struct pm_http_server *http;
    struct pm_metrics *metrics;
    struct pm_timer flush_metrics;
    struct pm_target_state *states; /* by index of conf->targets */
    struct pm_route *direct;        /* by index: the route of a target that is asked for by its own id */
    struct pm_sticky *sticky;
    int listen_fd;
    uint32_t next_id; /* of leases and questions */
    uint64_t request_base, requests;
    struct pm_call *calls;
    struct pm_question *questions;
    struct pm_listener *listeners; /* of GET /models/sse */
    bool accepting, draining, drain_now;
    int64_t started_s;
    int exit_code;
};

enum pm_endpoint_kind {
    PM_ENDPOINT_MODEL, /* goes to a target */
    PM_ENDPOINT_LIGHT, /* goes to a target, and needs no generation slot when one is ready */
    PM_ENDPOINT_LOCAL  /* answered here */
};

struct pm_endpoint {
    const char *path; /* without /v1; a trailing `*` takes the rest */
    unsigned methods; /* bits 1 << enum pm_http_method */
    enum pm_endpoint_kind kind;
    enum pm_protocol protocol;
    const char *upstream; /* path at a llama-server */
    void (*answer)(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
};

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
    char *model;   /* as asked for; survives the api request */
    unsigned rank; /* enum pm_rank */
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
    struct pm_buf body; /* as it is sent */
    struct pm_timer deadline, pause, ping;
    uint64_t heard_ms; /* when the last byte of this attempt came, 0 none yet */
    bool suspected;    /* the manager has been told of the silence since then */
    bool opened;       /* a stream was begun with nothing but signs of life in it */
    unsigned pings;
    unsigned events;       /* of this attempt's stream so far */
    char response_id[128]; /* of the responses API, as the answerer says */
    char own_id[48];       /* and as the caller has been told, once a stream was opened without one */
    uint64_t queued_us;    /* waited for slots so far, at all targets */

    int status; /* of the answer under way */
    bool is_sse, committed, ended;
    bool strips_progress;         /* reports of progress were our wish, not the caller's */
    struct pm_mend *mend;         /* of a local stream that the caller gets as a stream */
    struct pm_assembly *assembly; /* the caller wants a whole answer, the target streams */
    struct pm_buf held;           /* not yet handed to the client; has room for the largest event */
    struct pm_sse_reader sse;
    unsigned held_events;
    bool said_content, said_end, said_error;
    struct pm_usage usage;
    struct pm_buf failures; /* `target: why; ...` of the attempts so far */
    int fail_status, fail_retry_after;
    long long overflow_of; /* context that was too small; 0 none */
    char *fail_type;       /* the last refusal's own reply, to be handed on when nothing is left to try */
    struct pm_buf fail_body;

    uint64_t start_us, read_us, wait_start_us, wait_us, sent_us, head_us, first_us;
};

/* A question of an endpoint to the manager. */
struct pm_question {
    struct pm_question *next;
    struct pm_gateway *g;
    struct pm_exchange *x; /* NULL when the asker has gone */
    uint32_t id;
    void (*answered)(struct pm_gateway *g, struct pm_exchange *x, const cJSON *reply);
};

/* endpoints.c */
void pm_endpoints_request(struct pm_gateway *g, struct pm_exchange *x);
void pm_ask_manager(struct pm_gateway *g, struct pm_exchange *x, cJSON *question,
                    void (*answered)(struct pm_gateway *g, struct pm_exchange *x, const cJSON *reply));
void pm_question_answered(struct pm_gateway *g, const struct pm_msg *msg);

/* replies.c */
void pm_new_request_id(struct pm_gateway *g, char *out, size_t size);
void pm_reply_standard_headers(struct pm_exchange *x, const char *id);
void pm_reply_json(struct pm_gateway *g, struct pm_exchange *x, int status, cJSON *json);
void pm_reply_text(struct pm_gateway *g, struct pm_exchange *x, const char *type, const char *text);
/* An error in the protocol that the path speaks. */
void pm_reply_error(struct pm_gateway *g, struct pm_exchange *x, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
bool pm_path_is_anthropic(const struct pm_http_head *head);
/* The path without its /v1 prefixes. */
const char *pm_path_rest(const char *path);

/* models.c */
/* RFC 3986, 2.1; a malformed escape stays as it is. The caller frees. */
char *pm_percent_decoded(const char *text, size_t len);
void pm_answer_models(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_model(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_running(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_load(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_unload(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_unload_all(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
/* "unknown model x: did you mean y? Known are ..." */
void pm_unknown_model_text(const struct pm_gateway *g, const char *model, struct pm_buf *out);

/* Why the target cannot be used now, or NULL. */
const char *pm_target_down(const struct pm_target_state *s);

/* events.c */
void pm_answer_models_sse(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
/* Something has changed for that target. */
void pm_listeners_tell(struct pm_gateway *g, size_t target);
void pm_listeners_end(struct pm_gateway *g);

/* decide_request.c */
/* Views of the targets that may answer `model`, judged and decided. False: no such model. */
bool pm_call_decide(struct pm_call *c, const char *model);
void pm_answer_route(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_sticky_note(struct pm_gateway *g, uint64_t conversation, size_t target);

/* call.c */
void pm_call_start(struct pm_gateway *g, struct pm_exchange *x, const struct pm_endpoint *e, const char *rest);
void pm_call_free(struct pm_call *c);
void pm_call_refuse(struct pm_call *c, int status, const char *code, const char *message);
struct pm_call *pm_call_new(struct pm_gateway *g, struct pm_exchange *x, const struct pm_endpoint *e);

/* attempt.c */
void pm_attempt_next(struct pm_call *c);
/* This attempt has failed before any content; `again`: the same target may be tried once more. */
void pm_attempt_failed(struct pm_call *c, int status, const char *why, bool again);
/* The same target once more, after a pause that it asked for. */
void pm_attempt_later(struct pm_call *c, unsigned seconds);
void pm_attempt_again(void *call);
void pm_attempt_end(struct pm_call *c, enum pm_done how);
void pm_lease_message(struct pm_gateway *g, const struct pm_msg *msg);

/* wait.c */
void pm_wait_init(struct pm_call *c);
/* A streaming caller hears something while it waits, from now on. */
void pm_wait_begin(struct pm_call *c);
/* The request has been sent; something of the answer has come. */
void pm_wait_sent(struct pm_call *c);
void pm_wait_heard(struct pm_call *c);
void pm_wait_look(void *call);

/* answer.c */
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

/* record.c */
/* The reply is complete (or there will be none): log, metrics, policies; then the call is freed. */
void pm_call_end(struct pm_call *c, int status);
void pm_record_local(struct pm_gateway *g, struct pm_exchange *x, int status);

/* gateway.c */
void pm_gateway_state(struct pm_gateway *g, const char *json);

#endif
