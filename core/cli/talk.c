#include "core/cli/talk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/channel/channel.h"

int pm_cli_connect(const char *state_dir, struct pm_error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/control.sock", state_dir);
    if (n < 0 || (size_t)n >= sizeof(addr.sun_path)) {
        pm_error_set(err, PM_EINVAL, "%s: too long a path for a socket", state_dir);
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    if (errno == ENOENT || errno == ECONNREFUSED)
        pm_error_set(err, PM_ENOTFOUND,
                     "no pointsman runs with the state folder %s: start `pointsman serve`, or say --state DIR",
                     state_dir);
    else
        pm_error_errno(err, "%s", addr.sun_path);
    if (fd >= 0)
        close(fd);
    return -1;
}

cJSON *pm_cli_question(const char *op, const char *id)
{
    cJSON *question = cJSON_CreateObject();
    cJSON_AddStringToObject(question, "op", op);
    if (id)
        cJSON_AddStringToObject(question, "id", id);
    return question;
}

cJSON *pm_cli_ask(const char *state_dir, cJSON *question, struct pm_error *err)
{
    char *text = pm_json_text(question), *answer = NULL;
    cJSON_Delete(question);
    int fd = pm_cli_connect(state_dir, err);
    int rc = fd < 0 ? PM_EIO : pm_channel_ask(fd, text, &answer, err);
    free(text);
    if (fd >= 0)
        close(fd);
    if (rc < 0)
        return NULL;
    cJSON *root = cJSON_Parse(answer);
    free(answer);
    if (pm_json_true(root, "ok"))
        return root;
    const char *why = pm_json_str(root, "error");
    pm_error_set(err, PM_EINVAL, "%s", why ? why : "the manager's answer cannot be read");
    cJSON_Delete(root);
    return NULL;
}

int pm_cli_failed(const struct pm_error *err)
{
    fprintf(stderr, "pointsman: %s\n", err->msg);
    return 1;
}

void pm_cli_print_json(const cJSON *json)
{
    char *text = cJSON_Print(json);
    puts(text ? text : "null");
    free(text);
}
