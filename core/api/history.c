#include "core/api/history.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Of a result, which may be a long file: errors are said at its beginning or at its end. */
enum { HEAD_BYTES = 400, TAIL_BYTES = 900, READ_BYTES = 120 };

static bool same(const struct pm_json_value *a, const struct pm_json_value *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->text, b->text, a->len) == 0);
}

static struct pm_step *nth(struct pm_history *h, unsigned i)
{
    return &h->steps[i % PM_STEPS_MAX];
}

static unsigned first(const struct pm_history *h)
{
    return h->calls > PM_STEPS_MAX ? h->calls - PM_STEPS_MAX : 0;
}

void pm_history_call(struct pm_history *h, const struct pm_json_value *id, const struct pm_json_value *name,
                     const struct pm_json_value *args)
{
    *nth(h, h->calls++) = (struct pm_step){.id = *id, .name = *name, .args = *args};
}

void pm_history_result(struct pm_history *h, const struct pm_json_value *id, const struct pm_json_value *result,
                       bool flagged)
{
    struct pm_step *open = NULL;
    for (unsigned i = first(h); i < h->calls; i++) {
        struct pm_step *s = nth(h, i);
        if (s->has_result)
            continue;
        if (id->len && same(&s->id, id)) {
            open = s;
            break;
        }
        if (!open && !(id->len && s->id.len))
            open = s;
    }
    if (!open) {
        const struct pm_json_value none = {0};
        pm_history_call(h, id, &none, &none);
        open = nth(h, h->calls - 1);
    }
    open->result = *result;
    open->has_result = true;
    open->flagged = flagged;
}

/* --- what kind of step --- */

/* Does a word of the list stand in the text, whatever its case? */
static bool has_word(const char *text, size_t len, const char *const *words)
{
    for (size_t i = 0; i < len; i++) {
        char c = (char)tolower((unsigned char)text[i]);
        for (const char *const *w = words; *w; w++) {
            size_t n = strlen(*w);
            if (c == **w && n <= len - i && strncasecmp(text + i, *w, n) == 0)
                return true;
        }
    }
    return false;
}

/* A shell's command line tells more than the name of the tool. */
static enum pm_step_kind kind_of_command(const struct pm_json_value *args)
{
    static const char *const edits[] = {"apply_patch", "sed -i", "tee ", "cat >", "cat <<", "git apply", NULL};
    static const char *const reads[] = {"cat ",  "\\\"cat", "ls ",   "\\\"ls", "grep",    "rg ",     "find ", "sed -n",
                                        "head ", "tail ",   "git d", "git l",  "git sho", "git sta", "wc ",   NULL};
    static const char *const runs[] = {"make", "test", "npm", "cargo", "python", "go ", "gcc", "build", "pip", NULL};
    size_t len = args->len < 300 ? args->len : 300;
    if (has_word(args->text, len, edits))
        return PM_STEP_EDIT;
    if (has_word(args->text, len, runs))
        return PM_STEP_RUN;
    return has_word(args->text, len, reads) ? PM_STEP_READ : PM_STEP_RUN;
}

static enum pm_step_kind kind_of(const struct pm_step *s)
{
    static const char *const edits[] = {"edit", "write", "patch", "replace", "insert", "create", NULL};
    static const char *const runs[] = {"bash", "shell", "exec", "run", "command", "terminal", NULL};
    static const char *const reads[] = {"read", "view", "open", "list",  "glob",   "grep", "find",
                                        "get",  "cat",  "show", "fetch", "search", NULL};
    if (!s->name.len)
        return PM_STEP_OTHER;
    if (has_word(s->name.text, s->name.len, edits))
        return PM_STEP_EDIT;
    if (has_word(s->name.text, s->name.len, runs))
        return s->args.len ? kind_of_command(&s->args) : PM_STEP_RUN;
    return has_word(s->name.text, s->name.len, reads) ? PM_STEP_READ : PM_STEP_OTHER;
}

/* --- how it ended --- */

struct sign {
    const char *words;
    enum pm_step_error error;
};

/* Lower case. A sign that counts ("errors") is taken back by a zero or a `no` in front of it. */
static const struct sign signs[] = {
    {"segmentation fault", PM_STEP_CRITICAL},
    {"core dumped", PM_STEP_CRITICAL},
    {"out of memory", PM_STEP_CRITICAL},
    {"cannot allocate memory", PM_STEP_CRITICAL},
    {"no space left", PM_STEP_CRITICAL},
    {"kernel panic", PM_STEP_CRITICAL},
    {"stack smashing", PM_STEP_CRITICAL},
    {"double free", PM_STEP_CRITICAL},
    {"traceback (most recent", PM_STEP_FAILED},
    {"assertionerror", PM_STEP_FAILED},
    {"syntaxerror", PM_STEP_FAILED},
    {"typeerror", PM_STEP_FAILED},
    {"undefined reference", PM_STEP_FAILED},
    {"panicked at", PM_STEP_FAILED},
    {"uncaught exception", PM_STEP_FAILED},
    {"exception in thread", PM_STEP_FAILED},
    {"error[e", PM_STEP_FAILED},
    {"error: ", PM_STEP_FAILED},
    {"error ts", PM_STEP_FAILED},
    {" failed", PM_STEP_FAILED},
    {"failures", PM_STEP_FAILED},
    {"npm err!", PM_STEP_FAILED},
    {"timed out", PM_STEP_PASSING},
    {"timeout", PM_STEP_PASSING},
    {"rate limit", PM_STEP_PASSING},
    {"connection refused", PM_STEP_PASSING},
    {"connection reset", PM_STEP_PASSING},
    {"temporarily unavailable", PM_STEP_PASSING},
    {"tool_use_error", PM_STEP_REFUSED},
    {"no such file", PM_STEP_REFUSED},
    {"does not exist", PM_STEP_REFUSED},
    {"file not found", PM_STEP_REFUSED},
    {"command not found", PM_STEP_REFUSED},
    {"permission denied", PM_STEP_REFUSED},
    {"invalid argument", PM_STEP_REFUSED},
    {"string to replace", PM_STEP_REFUSED},
    {"not been read yet", PM_STEP_REFUSED},
    {"unknown tool", PM_STEP_REFUSED},
};

/* "0 failed", "no errors" */
static bool is_denied(const char *text, size_t at)
{
    while (at > 0 && (text[at - 1] == ' ' || text[at - 1] == ','))
        at--;
    if (at > 0 && text[at - 1] == '0' && (at == 1 || !isdigit((unsigned char)text[at - 2])))
        return true;
    return at > 1 && strncasecmp(text + at - 2, "no", 2) == 0 && (at == 2 || !isalpha((unsigned char)text[at - 3]));
}

static enum pm_step_error worst_sign(const char *text, size_t len)
{
    enum pm_step_error worst = PM_STEP_FINE;
    for (size_t i = 0; i < len; i++) {
        char c = (char)tolower((unsigned char)text[i]);
        for (size_t k = 0; k < sizeof(signs) / sizeof(*signs); k++) {
            const struct sign *s = &signs[k];
            if (c != s->words[0] || s->error <= worst)
                continue;
            size_t n = strlen(s->words);
            if (n <= len - i && strncasecmp(text + i, s->words, n) == 0 && !is_denied(text, i))
                worst = s->error;
        }
    }
    return worst;
}

/* "exit code 1", "exited with code 0", "exit_code": 0, "exit status 2": true when one is said. */
static bool exit_code(const char *text, size_t len, bool *zero)
{
    static const char *const words[] = {"exit code", "exit_code", "with code", "exit status", "exitcode"};
    for (size_t i = 0; i + 8 < len; i++) {
        for (size_t k = 0; k < sizeof(words) / sizeof(*words); k++) {
            size_t n = strlen(words[k]);
            if (n >= len - i || strncasecmp(text + i, words[k], n) != 0)
                continue;
            size_t at = i + n;
            while (at < len && at < i + n + 6 && !isdigit((unsigned char)text[at]))
                at++;
            if (at == len || !isdigit((unsigned char)text[at]))
                continue;
            *zero = text[at] == '0' && (at + 1 == len || !isdigit((unsigned char)text[at + 1]));
            return true;
        }
    }
    return false;
}

static enum pm_step_error error_of(const struct pm_step *s, enum pm_step_kind kind)
{
    const char *text = s->result.text;
    size_t len = text ? s->result.len : 0;
    size_t head = len < HEAD_BYTES ? len : HEAD_BYTES, tail = len - head < TAIL_BYTES ? len - head : TAIL_BYTES;
    /* A file that is read may be about errors. */
    if (kind == PM_STEP_READ && !s->flagged && len > HEAD_BYTES)
        return worst_sign(text, READ_BYTES) == PM_STEP_REFUSED ? PM_STEP_REFUSED : PM_STEP_FINE;
    enum pm_step_error a = worst_sign(text, head), b = worst_sign(text + (len - tail), tail), worst = a > b ? a : b;
    bool zero = false;
    if (exit_code(text, head, &zero) || exit_code(text + (len - tail), tail, &zero)) {
        if (zero && worst < PM_STEP_CRITICAL)
            return s->flagged ? PM_STEP_FAILED : PM_STEP_FINE;
        if (!zero && worst < PM_STEP_REFUSED)
            return PM_STEP_FAILED;
    }
    return s->flagged && worst == PM_STEP_FINE ? PM_STEP_REFUSED : worst;
}

/* --- all of them --- */

static bool is_repeat(const struct pm_history *h, unsigned i)
{
    const struct pm_step *s = &h->steps[i % PM_STEPS_MAX];
    for (unsigned k = first(h); k < i; k++) {
        const struct pm_step *old = &h->steps[k % PM_STEPS_MAX];
        if (s->name.len && same(&s->name, &old->name) && same(&s->args, &old->args))
            return true;
    }
    return false;
}

void pm_history_progress(const struct pm_history *h, struct pm_progress *out)
{
    *out = (struct pm_progress){0};
    for (unsigned i = first(h); i < h->calls; i++) {
        const struct pm_step *s = &h->steps[i % PM_STEPS_MAX];
        if (!s->has_result)
            continue;
        enum pm_step_kind kind = kind_of(s);
        enum pm_step_error error = error_of(s, kind);
        out->steps++;
        out->kinds[kind]++;
        out->errors[error]++;
        out->repeats += is_repeat(h, i);
        out->streak = error ? out->streak + 1 : 0;
        if (i + 6 >= h->calls)
            out->last_edits += kind == PM_STEP_EDIT && !error;
        if (i + 3 >= h->calls && error > out->worst)
            out->worst = error;
    }
}
