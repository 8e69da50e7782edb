/* `pointsman logs`: the last lines of the model servers, and those that come. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"
#include "core/cli/cli.h"
#include "core/cli/options.h"
#include "core/cli/talk.h"
#include "core/cli/watch.h"

struct follow {
    struct pm_loop *loop;
    const char *profile; /* NULL: all, with their names before the lines */
    bool was_up, is_down;
};

static void up(void *arg)
{
    struct follow *f = arg;
    if (f->is_down)
        fputs("pointsman: it is there again\n", stderr);
    f->was_up = true;
    f->is_down = false;
}

static void down(void *arg, const char *why)
{
    struct follow *f = arg;
    if (!f->is_down)
        fprintf(stderr, "pointsman: %s%s\n", why, f->was_up ? ": waiting for it" : "");
    f->is_down = true;
    if (!f->was_up)
        pm_loop_stop(f->loop);
}

static void event(void *arg, enum pm_watch kind, const char *text)
{
    const struct follow *f = arg;
    const char *tab, *end;
    if (kind != PM_WATCH_LOGS)
        return;
    for (; (tab = strchr(text, '\t')) != NULL && (end = strchr(tab, '\n')) != NULL; text = end + 1) {
        size_t n = (size_t)(tab - text);
        if (!f->profile)
            printf("%-20.*s | %.*s\n", (int)n, text, (int)(end - tab - 1), tab + 1);
        else if ((n == 1 && *text == '-') || (strlen(f->profile) == n && memcmp(f->profile, text, n) == 0))
            printf("%.*s\n", (int)(end - tab - 1), tab + 1);
    }
    /* A reader that has gone (`| head`) ends it, by SIGPIPE or here. */
    if (fflush(stdout) != 0)
        pm_loop_stop(f->loop);
}

static void interrupted(evutil_socket_t signo, short what, void *arg)
{
    (void)signo;
    (void)what;
    pm_loop_stop(arg);
}

static int follow(const char *state, const char *profile)
{
    static const struct pm_cli_watch_events events = {.up = up, .down = down, .event = event};
    struct follow f = {.loop = pm_loop_new(), .profile = profile};
    struct pm_cli_watch *watch = pm_cli_watch_new(f.loop, state, PM_WATCH_LOGS, &events, &f);
    pm_loop_on_signal(f.loop, SIGINT, interrupted, f.loop);
    pm_loop_on_signal(f.loop, SIGTERM, interrupted, f.loop);
    pm_loop_run(f.loop);
    pm_cli_watch_free(watch);
    pm_loop_settle(f.loop);
    pm_loop_free(f.loop);
    return f.was_up ? 0 : 1;
}

int pm_cmd_logs(int argc, char **argv)
{
    static const char usage[] = "logs [ID] [--lines N | -f] [--state DIR]";
    const char *state = pm_cli_places()->state, *lines = "100";
    bool follows = false;
    const struct pm_cli_option options[] = {{"--lines", &lines, NULL, "how many of the last"},
                                            {"-f", NULL, &follows, "go on with what comes, until Ctrl-C"},
                                            {"--state", &state, NULL, "the state folder of the running gateway"},
                                            {0}};
    struct pm_error err = {0};
    long long n;
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0)
        return rc;
    if (words > 1 || pm_int_parse(lines, 1, 100000, &n) < 0) {
        fprintf(stderr, "usage: pointsman %s\n", usage);
        return 2;
    }
    cJSON *question = pm_cli_question("logs", words ? argv[0] : NULL);
    cJSON_AddNumberToObject(question, "lines", follows ? 1 : (double)n);
    /* Asked when following, too: a profile that there is not is told. */
    cJSON *answer = pm_cli_ask(state, question, &err);
    if (!answer)
        return pm_cli_failed(&err);
    if (!follows)
        fputs(pm_json_str(answer, "text"), stdout);
    cJSON_Delete(answer);
    return follows ? follow(state, words ? argv[0] : NULL) : 0;
}
