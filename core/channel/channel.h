/* Messages between the manager, its workers and the command line, over a stream socket.
 *
 * A message is a header {magic, version and type, id, length} and a payload. Version and length are checked
 * before anything is used; a peer that breaks this, or that lets its queue grow past a limit, is closed.
 * Payloads that travel with every request are structs of fixed size (below); all others are JSON or text.
 */
#ifndef PM_CHANNEL_CHANNEL_H
#define PM_CHANNEL_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/loop/loop.h"

enum { PM_CHANNEL_VERSION = 3, PM_CHANNEL_MESSAGE_MAX = 8 << 20, PM_CHANNEL_QUEUE_MAX = 32 << 20 };

enum pm_msg_type {
    /* worker to manager */
    PM_MSG_STAGE = 1,    /* text: what is being loaded; names the culprit if the worker dies of it */
    PM_MSG_READY,        /* empty: accepts requests now */
    PM_MSG_FAILED,       /* JSON {"plugin": name or null, "error": text}: cannot start */
    PM_MSG_LEASE,        /* struct pm_msg_lease: asks for a slot of a profile */
    PM_MSG_LEASE_CANCEL, /* empty: the asker has left */
    PM_MSG_LEASE_DONE,   /* struct pm_msg_done: gives the slot back */
    PM_MSG_METRICS,      /* text: increments, a line each, `name{labels} value` */
    PM_MSG_STALL,        /* struct pm_msg_stall, with the id of a lease: nothing has come for long */
    PM_MSG_SHARED,       /* u32: 1 when it has its connection to Redis */
    PM_MSG_FEEDBACK,     /* text, both ways: feedback for whichever worker knows the request: id, score, key or - */
    PM_MSG_RECORD,       /* JSON: a request that is over (docs/reference.md, Records); to the recorder with a number */
    PM_MSG_BREAKERS,     /* JSON array: ids of the targets that failed too often and are left alone for now */
    PM_MSG_LIVE,         /* JSON array: the requests under way */
    PM_MSG_WATCHING,     /* u32, enum pm_watch bits: what its listeners want to hear */
    /* recorder to manager */
    PM_MSG_RECORDED, /* u32: the last number that is safe on disk */
    PM_MSG_TROUBLE,  /* text: why it cannot go on; it ends then */
    /* manager to worker */
    PM_MSG_DRAIN = 32,  /* u32: 1 when idle connections must close at once; to the recorder, empty: write and end */
    PM_MSG_STATE,       /* JSON: what the manager knows of each profile */
    PM_MSG_LEASE_GRANT, /* struct pm_msg_grant, with the id of the asking */
    PM_MSG_LEASE_DENY,  /* struct pm_msg_deny, with the id of the asking */
    PM_MSG_WATCH,       /* u32, enum pm_watch bits: what anybody wants to hear */
    PM_MSG_KEEP,        /* struct pm_msg_keep, to the recorder */
    /* manager to workers and to those who asked to `watch`; the id is an enum pm_watch */
    PM_MSG_EVENT, /* what has happened: a JSON object a line, or of logs lines `PROFILE\tTEXT` */
    /* command line or worker to manager, and the answer */
    PM_MSG_CONTROL = 64, /* JSON {"op": ...} */
    PM_MSG_REPLY         /* JSON {"ok": true, ...} or {"ok": false, "error": text}; id of the question */
};

struct pm_msg {
    enum pm_msg_type type;
    uint32_t id;
    const char *data; /* `len` bytes and a NUL after them */
    size_t len;
};

enum { PM_PROFILE_ID_MAX = 128 };

/* What can be heard as it happens. */
enum pm_watch { PM_WATCH_EVENTS = 1, PM_WATCH_LOGS = 2 };

/* Classes of requests, most urgent first. */
enum pm_rank { PM_RANK_HIGH, PM_RANK_NORMAL, PM_RANK_LOW };

struct pm_msg_lease {
    char profile[PM_PROFILE_ID_MAX];
    uint64_t conversation; /* 0 for none */
    uint32_t rank;         /* enum pm_rank */
    uint32_t waited_ms;    /* at other profiles before */
};

struct pm_msg_grant {
    char address[256];              /* "unix:/path" or the beginning of a URL */
    uint64_t waited_us, loading_us; /* the second is a part of the first */
};

struct pm_msg_keep {
    uint64_t keep_ms; /* 0 for ever */
    uint64_t max_mib; /* 0 no limit */
};

struct pm_msg_stall {
    uint32_t silent_ms;
    uint32_t limit_ms; /* how long a sign of life may take */
};

enum pm_deny { PM_DENY_FAILED = 1, PM_DENY_BUSY, PM_DENY_UNKNOWN, PM_DENY_STOPPING };

struct pm_msg_deny {
    uint32_t why; /* enum pm_deny */
    uint32_t retry_after_s;
    char reason[512];
};

enum pm_done { PM_DONE_OK, PM_DONE_UNREACHABLE, PM_DONE_ABANDONED };

struct pm_msg_done {
    uint32_t how;           /* enum pm_done */
    uint32_t prompt_tokens; /* processed, without those from cache; 0 when not known */
    uint32_t cached_tokens;
    uint32_t output_tokens;
    float prompt_ms;
    float output_ms;
};

struct pm_channel;

struct pm_channel_events {
    /* A whole message; valid only during the call. */
    void (*message)(void *arg, const struct pm_msg *msg);
    /* The peer has gone or was closed for breaking the protocol (`why`). Called once; the channel must then be
     * freed by its owner. */
    void (*closed)(void *arg, const char *why);
};

/* Takes the descriptor. */
struct pm_channel *pm_channel_new(struct pm_loop *loop, int fd, const struct pm_channel_events *events, void *arg);

/* Closes and frees, at the end of the turn; no event is called any more. NULL is fine. */
void pm_channel_free(struct pm_channel *ch);

/* Delivers what the peer had sent before it ended: its process may be known to be gone before its last words are read.
 */
void pm_channel_read_rest(struct pm_channel *ch);

/* Queues a message. A channel that is already broken drops it: its owner is about to hear `closed`. */
void pm_channel_send(struct pm_channel *ch, enum pm_msg_type type, uint32_t id, const void *data, size_t len);
void pm_channel_send_text(struct pm_channel *ch, enum pm_msg_type type, uint32_t id, const char *text);

/* Bytes that wait to be sent. */
size_t pm_channel_queued(const struct pm_channel *ch);

/* Copies the payload when it has exactly that size; false otherwise. */
bool pm_msg_struct(const struct pm_msg *msg, void *out, size_t size);

/* Without a loop, for the command line: one control question on a connected socket, the answer's text
 * (the caller frees). Waits as long as the manager takes. */
int pm_channel_ask(int fd, const char *question, char **answer, struct pm_error *err) PM_MUST;

#endif
