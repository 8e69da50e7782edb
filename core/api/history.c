#include "core/api/history.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Of a result, which may be a long file: errors are said at its beginning or at its end. */
enum { HEAD_BYTES = 400, TAIL_BYTES = 900, FILE_BYTES = 120 };

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

/* The words of a name or a command line, one after the other: `str_replace_editor`, `TodoWrite`, `git diff`. */
struct words {
    const char *text;
    size_t len, at;
};

/* The next one, in lower case; false after the last. `names`: a capital and a `_` begin a new one. */
static bool next_word(struct words *w, bool names, char *out, size_t size)
{
    size_t n = 0;
    while (w->at < w->len && !isalnum((unsigned char)w->text[w->at]))
        w->at++;
    for (; w->at < w->len && (isalnum((unsigned char)w->text[w->at]) || (!names && strchr("_-.", w->text[w->at])));
         w->at++) {
        if (names && n && isupper((unsigned char)w->text[w->at]) && !isupper((unsigned char)w->text[w->at - 1]))
            break;
        if (n + 1 < size)
            out[n++] = (char)tolower((unsigned char)w->text[w->at]);
    }
    out[n] = 0;
    return n > 0;
}

static bool is_one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

static bool writes(const char *word, const char *after, size_t rest)
{
    static const char *const always[] = {"apply_patch", "patch", "tee", NULL};
    if (is_one_of(word, always))
        return true;
    if (strcmp(word, "sed") == 0)
        return rest > 3 && strncmp(after, " -i", 3) == 0;
    return strcmp(word, "cat") == 0 && rest > 3 && (after[1] == '>' || strncmp(after, " <<", 3) == 0);
}

/* What a shell is asked for: the command that it begins with, past the words around it. */
static enum pm_step_kind kind_of_command(const struct pm_json_value *args)
{
    static const char *const around[] = {"command", "cmd",  "bash", "sh",   "zsh",     "lc",
                                         "c",       "sudo", "env",  "time", "timeout", NULL};
    static const char *const reads[] = {"cat",  "ls",    "grep", "egrep", "rg",   "ripgrep", "find", "fd",
                                        "head", "tail",  "less", "wc",    "tree", "stat",    "file", "nl",
                                        "pwd",  "which", "awk",  "jq",    "du",   "df",      "sed",  NULL};
    static const char *const looks[] = {"diff", "log", "show", "status", "blame", "branch", "ls-files", "grep", NULL};
    struct words w = {.text = args->text, .len = args->len < 400 ? args->len : 400};
    char word[24];
    bool found;
    do
        found = next_word(&w, false, word, sizeof(word));
    while (found && is_one_of(word, around));
    if (found && strcmp(word, "cd") == 0) {
        while (w.at < w.len && w.text[w.at] != '&' && w.text[w.at] != ';')
            w.at++;
        found = next_word(&w, false, word, sizeof(word));
    }
    if (found && writes(word, w.text + w.at, w.len - w.at))
        return PM_STEP_EDIT;
    if (strcmp(word, "git") == 0 && next_word(&w, false, word, sizeof(word)))
        return strcmp(word, "apply") == 0 ? PM_STEP_EDIT : is_one_of(word, looks) ? PM_STEP_READ : PM_STEP_RUN;
    return found && is_one_of(word, reads) ? PM_STEP_READ : PM_STEP_RUN;
}

static enum pm_step_kind kind_of(const struct pm_step *s)
{
    static const char *const edits[] = {"edit", "editor", "patch", "replace", "insert", NULL};
    static const char *const makes[] = {"write", "create", "save", NULL}, *const files[] = {"file", "files", "to",
                                                                                            NULL};
    static const char *const runs[] = {"bash",     "shell",   "exec",  "run", "command",
                                       "terminal", "execute", "stdin", NULL};
    static const char *const reads[] = {"read", "view", "open", "list",  "glob",   "grep", "find", "get",
                                        "cat",  "show", "ls",   "fetch", "search", "tree", NULL};
    struct words w = {.text = s->name.text, .len = s->name.len};
    char word[24];
    bool is_edit = false, is_make = false, is_file = false, is_run = false, is_read = false;
    unsigned n = 0;
    for (; next_word(&w, true, word, sizeof(word)); n++) {
        is_edit |= is_one_of(word, edits);
        is_make |= is_one_of(word, makes);
        is_file |= is_one_of(word, files);
        is_run |= is_one_of(word, runs);
        is_read |= is_one_of(word, reads);
    }
    /* To write is to write a file, unless something else is named: a list, a timer, a pipe. */
    if (is_edit || (is_make && (n == 1 || is_file)))
        return PM_STEP_EDIT;
    if (is_run)
        return s->args.len > 2 ? kind_of_command(&s->args) : PM_STEP_RUN;
    return is_read ? PM_STEP_READ : PM_STEP_OTHER;
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
    {"failed", PM_STEP_FAILED},
    {"failures", PM_STEP_FAILED},
    {" failing", PM_STEP_FAILED},
    {"--- fail", PM_STEP_FAILED},
    {"fail\\t", PM_STEP_FAILED},
    {"error 1", PM_STEP_FAILED},
    {"error 2", PM_STEP_FAILED},
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

/* "0 failed", "no errors", "Failures: 0" */
static bool is_denied(const char *text, size_t len, size_t at, size_t n)
{
    size_t end = at + n;
    while (end < len && strchr(": =", text[end]))
        end++;
    if (end > at + n && end < len && text[end] == '0' && (end + 1 == len || !isdigit((unsigned char)text[end + 1])))
        return true;
    while (at > 0 && (text[at - 1] == ' ' || text[at - 1] == ','))
        at--;
    if (at > 0 && text[at - 1] == '0' && (at == 1 || !isdigit((unsigned char)text[at - 2])))
        return true;
    /* A line feed is written with an `n` in JSON. */
    return at > 1 && strncasecmp(text + at - 2, "no", 2) == 0 &&
           (at == 2 || !isalpha((unsigned char)text[at - 3]) || (at > 3 && text[at - 4] == '\\'));
}

/* None worse than `most` is looked for. */
static enum pm_step_error worst_sign(const char *text, size_t len, enum pm_step_error most)
{
    enum pm_step_error worst = PM_STEP_FINE;
    for (size_t i = 0; i < len; i++) {
        char c = (char)tolower((unsigned char)text[i]);
        for (size_t k = 0; k < sizeof(signs) / sizeof(*signs); k++) {
            const struct sign *s = &signs[k];
            if (c != s->words[0] || s->error <= worst || s->error > most)
                continue;
            size_t n = strlen(s->words);
            if (n <= len - i && strncasecmp(text + i, s->words, n) == 0 && !is_denied(text, len, i, n))
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

/* What is read or was written may be about errors: only what the tool itself says at once counts. */
static enum pm_step_error error_of_file(const struct pm_step *s, const char *text, size_t len)
{
    static const char *const words[] = {"error", "<error", "<tool_use_error", "failed", "cannot", "could not", NULL};
    size_t head = len < FILE_BYTES ? len : FILE_BYTES, at = 0;
    if (s->flagged)
        return PM_STEP_REFUSED;
    while (at < head && strchr("\" [{", text[at]))
        at++;
    for (size_t i = 0; words[i] && len <= HEAD_BYTES; i++)
        if (head - at >= strlen(words[i]) && strncasecmp(text + at, words[i], strlen(words[i])) == 0)
            return PM_STEP_REFUSED;
    return worst_sign(text, head, PM_STEP_REFUSED);
}

static enum pm_step_error error_of(const struct pm_step *s, enum pm_step_kind kind)
{
    const char *text = s->result.text ? s->result.text : "";
    size_t len = s->result.text ? s->result.len : 0;
    size_t head = len < HEAD_BYTES ? len : HEAD_BYTES, tail = len - head < TAIL_BYTES ? len - head : TAIL_BYTES;
    if (kind == PM_STEP_READ || kind == PM_STEP_EDIT)
        return error_of_file(s, text, len);
    enum pm_step_error a = worst_sign(text, head, PM_STEP_CRITICAL);
    enum pm_step_error b = worst_sign(text + (len - tail), tail, PM_STEP_CRITICAL), worst = a > b ? a : b;
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
