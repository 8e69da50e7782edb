/* What the files of the worker share. The life of a request, forward only:
 *
 *   accept, parse                       core/http            -> gateway.c  request
 *   which endpoint is it?               endpoints.c          pm_endpoints_request
 *   read the body                       call.c               pm_call_start   (core/api)
 *   may he? was it answered before?     admit.c, cached.c    pm_admit_call, pm_cached_look (core/store; shared.c)
 *   judge and decide                    decide_request.c     pm_call_decide  (core/route)
 *   next attempt: slot, request         attempt.c            pm_attempt_next (channel, core/upstream)
 *   the target's protocol               wire.c               pm_wire_*       (core/api)
 *   hold until content, then stream     answer.c, wait.c     pm_answer_*     (core/http)
 *   a policy looks at it first          review.c, side.c     pm_review_begin
 *   it broke off: the same once more    resume.c             pm_resume_start
 *   log, count, tell the policies       record.c             pm_call_end
 *   tell the recorder, and who watches  journal.c            pm_journal_record (channel; core/store)
 */
#ifndef PM_GATEWAY_GATEWAY_PRIV_H
#define PM_GATEWAY_GATEWAY_PRIV_H

#include "core/api/prefix.h"
#include "core/api/stream.h"
#include "core/base/metrics.h"
#include "core/channel/channel.h"
#include "core/http/server.h"
#include "core/route/decide.h"
#include "core/store/cache.h"
#include "core/store/limits.h"
#include "core/store/mapped.h"
#include "core/store/sessions.h"
#include "core/upstream/breaker.h"
#include "core/upstream/transfer.h"

/* What the worker knows of a target beyond its configuration. */
struct pm_target_state {
    char *key;  /* of a cloud model or a remote profile, NULL for none */
    bool ready; /* a local profile that answers now */
    double wait_s, prompt_tps, progress;
    double output; /* tokens of its usual answer, a moving mean; 0 none yet */
    unsigned caps;
    bool caps_known;
    long long context;
    char *down;                        /* why it cannot be used at present, or NULL */
    uint64_t down_until_ms;            /* after which it can, 0 for no such time */
    char *address;                     /* where it listens: "unix:/path" or the beginning of a URL */
    bool journal_open;                 /* as the manager knows it */
    bool shared_open, told_open;       /* the breaker, as others know it; opened by another one */
    struct pm_breaker breaker;         /* of a cloud model; the manager looks after the local ones */
    char *state;                       /* as the manager names it */
    struct pm_prefix_memory *prefixes; /* of a local one: the prompts that it read last */
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
    struct pm_cache *cache;   /* of answers, NULL for none */
    struct pm_redis *redis;   /* shared with other gateways, NULL for none */
    struct pm_limits *limits; /* of keys; NULL when they cannot be kept */
    struct pm_timer flush_metrics, live;
    uint32_t watched;                /* enum pm_watch bits: what anybody wants to hear */
    uint32_t wanted;                 /* the part of it that listeners here want */
    bool told_live;                  /* that some requests are under way */
    bool records_prompts;            /* RECORD=prompts */
    struct pm_target_state *states;  /* by index of conf->targets */
    struct pm_route *direct;         /* by index: the route of a target that is asked for by its own id */
    struct pm_share *shares;         /* by index of conf->routes */
    struct pm_mapped *policy_memory; /* what policies share with those of other workers */
    size_t n_policy_memory;
    char file_path[32]; /* of a file that came with the configuration, for a policy */
    int state_fd;
    struct pm_sessions *sessions; /* NULL when they cannot be kept */
    int listen_fd;
    uint32_t next_id; /* of leases and questions */
    uint64_t request_base, requests;
    struct pm_call *calls;
    struct pm_rated *rated; /* the last answered requests, a ring, for feedback */
    size_t n_rated;
    struct pm_side *sides; /* questions of policies to models */
    struct pm_question *questions;
    struct pm_listener *listeners; /* of streams of events */
    char *last_status, *last_live; /* events that a new listener is told at once */
    bool accepting, draining, drain_now;
    int64_t started_s;
    int exit_code;
};

enum pm_endpoint_kind {
    PM_ENDPOINT_MODEL, /* goes to a target */
    PM_ENDPOINT_LIGHT, /* goes to a target, and needs no generation slot when one is ready */
    PM_ENDPOINT_LOCAL  /* answered here */
};

/* Who may use it, where there are keys. */
enum pm_access { PM_ACCESS_KEY, PM_ACCESS_ADMIN, PM_ACCESS_ALL };

struct pm_endpoint {
    const char *path; /* without /v1; a trailing `*` takes the rest */
    unsigned methods; /* bits 1 << enum pm_http_method */
    enum pm_endpoint_kind kind;
    enum pm_protocol protocol;
    const char *upstream; /* path at a llama-server */
    void (*answer)(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
    enum pm_access access;
};

struct pm_call; /* one request to a model: call_priv.h */

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
enum pm_access pm_endpoints_access(const struct pm_http_head *head);
void pm_ask_manager(struct pm_gateway *g, struct pm_exchange *x, cJSON *question,
                    void (*answered)(struct pm_gateway *g, struct pm_exchange *x, const cJSON *reply));
void pm_question_answered(struct pm_gateway *g, const struct pm_msg *msg);

/* admit.c */
/* Whose key came with a request; NULL for none that is known. */
const struct pm_user *pm_user_of(const struct pm_gateway *g, const struct pm_http_head *head);
/* True for no client, too. */
bool pm_user_may_use(const struct pm_user *client, const struct pm_target *t);
/* True when it is nobody without a key that is known; else why he may not come in. */
bool pm_admit_head(const struct pm_gateway *g, struct pm_exchange *x, const char **why);
/* False when the request was refused. */
bool pm_admit(struct pm_gateway *g, struct pm_exchange *x, enum pm_access access);

/* shared.c */
void pm_shared_start(struct pm_gateway *g);
void pm_shared_end(struct pm_gateway *g);
void pm_shared_charge(struct pm_gateway *g, const struct pm_user *user, long long tokens, double cost);
/* It has opened or closed, perhaps: other gateways are told. */
void pm_shared_breaker(struct pm_gateway *g, const struct pm_target *t);

/* replies.c */
void pm_new_request_id(struct pm_gateway *g, char *out, size_t size);
void pm_reply_standard_headers(struct pm_exchange *x, const char *id);
/* The items, separated by commas. */
void pm_reply_list_header(struct pm_exchange *x, const char *name, const struct pm_strv *items);
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
/* The value that the address gives `name` after its `?`, decoded; NULL when there is none. The caller frees. */
char *pm_query_value(const struct pm_http_head *head, const char *name);
void pm_answer_models(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_model(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_running(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_load(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_pin(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_unload(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_unload_all(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
/* "unknown model x: did you mean y? Known are ..." */
void pm_unknown_model_text(const struct pm_gateway *g, const char *model, struct pm_buf *out);

/* Why the target cannot be used now, or NULL. */
const char *pm_target_down(const struct pm_target_state *s);

/* page.c */
void pm_answer_page(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_page_file(struct pm_gateway *g, struct pm_exchange *x, const char *rest);

/* usage.c */
void pm_answer_usage(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_requests(struct pm_gateway *g, struct pm_exchange *x, const char *rest);

/* journal.c */
void pm_journal_init(struct pm_gateway *g);
/* What anybody wants to hear from now on. */
void pm_journal_watched(struct pm_gateway *g, uint32_t kinds);
/* A cloud's breaker has opened or closed, perhaps: the manager and other gateways are told. */
void pm_journal_breaker(struct pm_gateway *g, const struct pm_target *t);
/* Somebody has said how good an answer was. */
void pm_journal_said(struct pm_gateway *g, const char *id, double score, const char *label,
                     const struct pm_user *client);

/* events.c */
void pm_answer_models_sse(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_event_stream(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
void pm_answer_log_stream(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
/* PM_MSG_EVENT of the manager. */
void pm_listeners_event(struct pm_gateway *g, const struct pm_msg *msg);
/* Something has changed for that target. */
void pm_listeners_tell(struct pm_gateway *g, size_t target);
void pm_listeners_end(struct pm_gateway *g);

/* decide_request.c */
/* The route that answers to that name, or NULL. */
const struct pm_route *pm_route_of(struct pm_gateway *g, const char *model);
void pm_answer_route(struct pm_gateway *g, struct pm_exchange *x, const char *rest);

/* call.c */
void pm_call_start(struct pm_gateway *g, struct pm_exchange *x, const struct pm_endpoint *e, const char *rest);
void pm_call_free(struct pm_call *c);

/* attempt.c */
void pm_lease_message(struct pm_gateway *g, const struct pm_msg *msg);
/* The manager has gone: who waits for it waits in vain. */
void pm_calls_without_manager(struct pm_gateway *g);

/* side.c */
/* True when the answer was for one of its leases. */
bool pm_side_lease(struct pm_gateway *g, const struct pm_msg *msg);
/* Those that wait for the manager wait in vain. */
void pm_sides_without_manager(struct pm_gateway *g);

/* feedback.c */
void pm_answer_feedback(struct pm_gateway *g, struct pm_exchange *x, const char *rest);
/* Feedback that another worker did not know what to do with. */
void pm_feedback_message(struct pm_gateway *g, const struct pm_msg *msg);

/* record.c */
void pm_record_local(struct pm_gateway *g, struct pm_exchange *x, int status);

/* gateway.c */
void pm_gateway_state(struct pm_gateway *g, const char *json);

#endif
