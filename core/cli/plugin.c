/* `pointsman plugin new|check|list`. */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/cli/cli.h"
#include "core/cli/options.h"
#include "core/cli/sandbox.h"

static const char usage[] = "plugin new NAME | plugin check FILE.so | plugin list [--plugins DIR]";

/* Writes the skeleton with every "skeleton" replaced. */
static int write_copy(FILE *to, const char *text, const char *name)
{
    static const char word[] = "skeleton";
    for (const char *p = text; *p;) {
        const char *next = strstr(p, word);
        size_t n = next ? (size_t)(next - p) : strlen(p);
        fwrite(p, 1, n, to);
        if (next)
            fputs(name, to);
        p += n + (next ? sizeof(word) - 1 : 0);
    }
    return ferror(to);
}

static int plugin_new(const char *name)
{
    struct pm_error err = {0};
    char *text;
    size_t len;
    for (const char *p = name; *p; p++) {
        if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '_') {
            fprintf(stderr, "pointsman: %s: a policy's name has small letters, digits and _ only\n", name);
            return 2;
        }
    }
    if (pm_file_read(pm_cli_places()->skeleton, 1 << 20, &text, &len, &err) < 0) {
        fprintf(stderr, "pointsman: %s\n", err.msg);
        return 1;
    }
    char *path = pm_asprintf("%s.c", name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    FILE *to = fd >= 0 ? fdopen(fd, "w") : NULL;
    int rc = 1;
    if (!to) {
        pm_error_errno(&err, "%s: cannot be made", path);
        fprintf(stderr, "pointsman: %s\n", err.msg);
    } else if (write_copy(to, text, name) | fclose(to)) {
        fprintf(stderr, "pointsman: %s: cannot be written\n", path);
    } else {
        printf("%s: edit it, then build it:\n  cc -shared -fPIC -O2 -o %s.so %s.c $(pkg-config --cflags "
               "pointsman-policy)\n  pointsman plugin check %s.so\n",
               path, name, name, name);
        rc = 0;
    }
    free(path);
    free(text);
    return rc;
}

/* In a child. */
static int describe(struct pm_policies *ps, void *arg, struct pm_buf *out)
{
    const char *path = arg;
    struct pm_error err = {0};
    struct pm_policy_info info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        pm_error_errno(&err, "%s: cannot be opened", path);
    } else if (pm_policies_load(ps, path, fd, &err) == PM_OK && pm_policies_info(ps, 0, &info)) {
        char id[] = "check";
        struct pm_route route = {.id = id, .file = path, .fallback = -1, .policy_budget_us = 1000000};
        const char *culprit;
        pm_strv_add(&route.policies, info.name, strlen(info.name));
        pm_buf_addf(out, "%s: %s (ABI %u.%u)\n", info.name, info.summary, info.abi >> 16, info.abi & 0xffff);
        pm_policies_options_text(ps, 0, out);
        int rc = pm_policies_bind(ps, &route, &culprit, &err);
        pm_strv_release(&route.policies);
        if (rc == PM_OK)
            return 0;
        /* With its presets only: a policy that needs options says so here. */
        pm_buf_addf(out, "  without options: ");
    }
    pm_buf_addf(out, "%s\n", err.msg);
    return -1;
}

static int plugin_check(const char *path)
{
    struct pm_buf out;
    pm_buf_init(&out, 1 << 20);
    int rc = pm_cli_in_child(describe, (void *)path, &out);
    fputs(out.data, rc ? stderr : stdout);
    if (out.len && out.data[out.len - 1] != '\n')
        fputs("\n", rc ? stderr : stdout);
    if (!rc)
        puts("nothing wrong");
    pm_buf_release(&out);
    return rc ? 1 : 0;
}

static int plugin_list(const char *dir)
{
    struct pm_error err = {0};
    struct pm_bundle *b = pm_bundle_read("/dev/null", NULL, dir, NULL, &err);
    int faults = 0;
    for (size_t i = 0; b && i < b->n_plugins; i++) {
        struct pm_buf out;
        pm_buf_init(&out, 1 << 20);
        faults |= pm_cli_in_child(describe, b->plugins[i].path, &out);
        printf("%s%s", out.data, out.len && out.data[out.len - 1] == '\n' ? "" : "\n");
        pm_buf_release(&out);
    }
    if (b && !b->n_plugins)
        printf("no policies in %s\n", dir);
    pm_bundle_free(b);
    return faults ? 1 : 0;
}

int pm_cmd_plugin(int argc, char **argv)
{
    const char *dir = pm_cli_places()->plugins;
    const struct pm_cli_option options[] = {{"--plugins", &dir, NULL, "folder of policies"}, {0}};
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0)
        return rc;
    if (words == 2 && strcmp(argv[0], "new") == 0)
        return plugin_new(argv[1]);
    if (words == 2 && strcmp(argv[0], "check") == 0)
        return plugin_check(argv[1]);
    if (words == 1 && strcmp(argv[0], "list") == 0)
        return plugin_list(dir);
    fprintf(stderr, "usage: pointsman %s\n", usage);
    return 2;
}
