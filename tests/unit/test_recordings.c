#include "tests/unit/unit.h"

#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/request.h"
#include "core/base/alloc.h"
#include "core/base/text.h"

/* Requests of real agents, two turns of one conversation each. They are kept beside the tree, or where
 * POINTSMAN_RECORDINGS says; without them there is nothing to test. */
static const struct {
    const char *agent;
    int before, after;
    enum pm_protocol protocol;
    unsigned steps;
} pairs[] = {
    {"claude", 4, 5, PM_PROTO_MESSAGES, 1}, {"claude", 6, 7, PM_PROTO_MESSAGES, 2},
    {"codex", 2, 3, PM_PROTO_RESPONSES, 1}, {"codex", 4, 5, PM_PROTO_RESPONSES, 2},
    {"qwen", 3, 4, PM_PROTO_CHAT, 1},       {"qwen", 5, 6, PM_PROTO_CHAT, 2},
    {"pi", 2, 3, PM_PROTO_CHAT, 1},         {"pi", 4, 5, PM_PROTO_CHAT, 2},
    {"cn", 2, 3, PM_PROTO_CHAT, 1},         {"cn", 4, 5, PM_PROTO_CHAT, 2},
    {"openclaw", 2, 3, PM_PROTO_CHAT, 1},   {"openclaw", 4, 5, PM_PROTO_CHAT, 2},
};

/* Where the recordings are, or NULL. The caller frees. */
static char *recordings(void)
{
    const char *named = getenv("POINTSMAN_RECORDINGS"), *slash = strrchr(__FILE__, '/');
    if (named && *named)
        return pm_strdup(named);
    return slash ? pm_asprintf("%.*s/../../../shared/client-recordings", (int)(slash - __FILE__), __FILE__) : NULL;
}

/* Prompts are blanked in the recordings, in each file with other letters of the same case: only the case is kept, and
 * the mark that one agent begins its own remarks with. */
static void blank(cJSON *item)
{
    static const char mark[] = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>";
    cJSON *child;
    if (cJSON_IsString(item) && (strlen(item->valuestring) >= 25 || strchr(item->valuestring, '\n')))
        for (char *p = item->valuestring; *p; p++)
            if (isalpha((unsigned char)*p))
                *p = isupper((unsigned char)*p) ? 'A' : 'a';
    if (cJSON_IsString(item) && strlen(item->valuestring) > sizeof(mark) && strncmp(item->valuestring, "<<<", 3) == 0)
        memcpy(item->valuestring, mark, sizeof(mark) - 1);
    cJSON_ArrayForEach (child, item)
        blank(child);
}

static const char *const texts[] = {"system", "instructions", "messages", "input"};

/* The body of one recorded request, or NULL where there is none. The caller frees. */
static char *body_of(const char *folder, const char *agent, int number)
{
    char *pattern = pm_asprintf("%s/%s/%02d-*.json", folder, agent, number), *text = NULL, *out = NULL;
    struct pm_error err = {0};
    size_t len;
    glob_t found = {0};
    if (glob(pattern, 0, NULL, &found) == 0 && pm_file_read(found.gl_pathv[0], 1 << 24, &text, &len, &err) == PM_OK) {
        cJSON *root = cJSON_ParseWithLength(text, len), *body = cJSON_GetObjectItem(root, "body");
        for (size_t i = 0; i < COUNT(texts); i++)
            blank(cJSON_GetObjectItem(body, texts[i]));
        out = body ? pm_json_text(body) : NULL;
        cJSON_Delete(root);
    }
    globfree(&found);
    free(pattern);
    free(text);
    return out;
}

static struct pm_api_request read_ok(enum pm_protocol p, const char *body)
{
    struct pm_api_request r;
    struct pm_error err = {0};
    int rc = pm_api_read(p, body, strlen(body), &r, &err);
    expect(rc == PM_OK, "%s\n", err.msg);
    return r;
}

static void check_pair(size_t i, const char *before, const char *after)
{
    struct pm_api_request a = read_ok(pairs[i].protocol, before), b = read_ok(pairs[i].protocol, after);
    bool found = false;
    for (unsigned k = 1; k < b.n_chain; k++)
        found |= b.chain[k] == a.chain[0];
    expect(found, "%s: %02d does not go on from %02d\n", pairs[i].agent, pairs[i].after, pairs[i].before);
    expect(a.opening == b.opening, "%s: %02d does not open as %02d\n", pairs[i].agent, pairs[i].after,
           pairs[i].before);
    expect(b.tool_loop, "%s: %02d ends with a tool's result\n", pairs[i].agent, pairs[i].after);
    assert_false(a.tool_loop);
    const struct pm_progress *g = &b.progress;
    expect(g->steps == pairs[i].steps && g->kinds[PM_STEP_RUN] == pairs[i].steps, "%s: %02d has %u steps, %u runs\n",
           pairs[i].agent, pairs[i].after, g->steps, g->kinds[PM_STEP_RUN]);
    expect(g->errors[PM_STEP_FINE] == g->steps, "%s: %02d has an error\n", pairs[i].agent, pairs[i].after);
    pm_api_request_release(&a);
    pm_api_request_release(&b);
}

static void recorded_agents_are_known_again(void **state)
{
    char *folder = recordings();
    unsigned checked = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(pairs) && folder; i++) {
        char *before = body_of(folder, pairs[i].agent, pairs[i].before);
        char *after = body_of(folder, pairs[i].agent, pairs[i].after);
        if (before && after) {
            check_pair(i, before, after);
            checked++;
        }
        free(before);
        free(after);
    }
    if (!checked)
        print_message("# no recordings in %s: nothing is tested\n", folder ? folder : "the folder of the sources");
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(recorded_agents_are_known_again)};
    return cmocka_run_group_tests_name("recordings", tests, NULL, NULL);
}
