#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/conf/conf.h"

/* A program that is surely there, so that the first word does not depend on the machine. */
#define SERVER "/bin/sh"

static struct pm_conf *read_models(struct pm_bundle *b, char *text, struct pm_diags *diags)
{
    static char path[] = "/conf/models.conf";
    *b = (struct pm_bundle){.models = {.path = path, .text = text}};
    return pm_conf_parse(b, diags);
}

/* The words with `|` between, of the profile [m] with these lines. */
static char *argv_of(const char *lines, const char *socket)
{
    struct pm_buf text, out;
    struct pm_bundle bundle;
    struct pm_diags diags = {0};
    struct pm_strv argv = {0};
    pm_buf_init(&text, PM_BUF_OWN_LIMIT);
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    pm_buf_addf(&text, "[m]\nLLAMA_SERVER=" SERVER "\nMODEL=/m.gguf\n%s\n", lines);
    struct pm_conf *conf = read_models(&bundle, text.data, &diags);
    expect(conf, "%s: %s\n", lines, diags.errors.n ? diags.errors.items[0] : "no reason");
    pm_conf_argv(pm_conf_target(conf, "m"), &(struct pm_argv_place){.host = socket}, &argv);
    for (size_t i = 0; i < argv.n; i++)
        pm_buf_addf(&out, "%s%s", i ? "|" : "", argv.items[i]);
    pm_strv_release(&argv);
    pm_conf_free(conf);
    pm_diags_release(&diags);
    pm_buf_release(&text);
    return pm_buf_take(&out);
}

#define BEGIN SERVER "|--host|/s/m.sock|--alias|m|--model|/m.gguf"
#define USUAL "|--n-gpu-layers|auto|--fit|on"

static void every_key_becomes_its_flag(void **state)
{
    static const struct {
        const char *lines, *words;
    } rows[] = {
        {"", BEGIN USUAL},
        {"CTX_SIZE=8192", BEGIN "|--ctx-size|8192" USUAL},
        {"CTX_SIZE=0", BEGIN USUAL},
        {"SLOTS=4", BEGIN "|--parallel|4" USUAL},
        {"MMPROJ=/p.gguf", BEGIN "|--mmproj|/p.gguf" USUAL},
        {"DRAFT_MODEL=/d.gguf", BEGIN "|--model-draft|/d.gguf" USUAL},
        {"N_GPU_LAYERS=0", BEGIN "|--n-gpu-layers|0|--fit|on"},
        {"N_GPU_LAYERS=all", BEGIN "|--n-gpu-layers|all|--fit|on"},
        {"FIT=off", BEGIN "|--n-gpu-layers|auto|--fit|off"},
        {"FIT=0", BEGIN "|--n-gpu-layers|auto|--fit|off"},
        {"FIT=yes", BEGIN "|--n-gpu-layers|auto|--fit|on"},
        {"FIT_TARGET=1024", BEGIN USUAL "|--fit-target|1024"},
        {"FIT_CTX=4096", BEGIN USUAL "|--fit-ctx|4096"},
        {"SPLIT_MODE=row", BEGIN USUAL "|--split-mode|row"},
        {"TENSOR_SPLIT=3,1", BEGIN USUAL "|--tensor-split|3,1"},
        {"MAIN_GPU=0", BEGIN USUAL "|--main-gpu|0"},
        {"FLASH_ATTN=1", BEGIN USUAL "|--flash-attn|on"},
        {"FLASH_ATTN=on", BEGIN USUAL "|--flash-attn|on"},
        {"FLASH_ATTN=0", BEGIN USUAL "|--flash-attn|off"},
        {"FLASH_ATTN=no", BEGIN USUAL "|--flash-attn|off"},
        {"FLASH_ATTN=auto", BEGIN USUAL "|--flash-attn|auto"},
        {"KV_CACHE_TYPE_K=q8_0", BEGIN USUAL "|--cache-type-k|q8_0"},
        {"KV_CACHE_TYPE_V=q8_0", BEGIN USUAL "|--cache-type-v|q8_0"},
        {"EXTRA_ARGS=--jinja  -b 512", BEGIN USUAL "|--jinja|-b|512"},
        {"EXTRA_ARGS=", BEGIN USUAL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *words = argv_of(rows[i].lines, "/s/m.sock");
        expect(strcmp(words, rows[i].words) == 0, "%s:\n  %s\ninstead of\n  %s\n", rows[i].lines, words,
               rows[i].words);
        free(words);
    }
}

static void extra_arguments_come_last_and_the_order_of_the_file_does_not_matter(void **state)
{
    static const char whole[] =
        BEGIN "|--ctx-size|4096|--parallel|2|--n-gpu-layers|9|--fit|off|--flash-attn|on|--cache-type-k|f16|--jinja";
    char *a = argv_of("EXTRA_ARGS=--jinja\nKV_CACHE_TYPE_K=f16\nFLASH_ATTN=1\nFIT=0\nN_GPU_LAYERS=9\n"
                      "SLOTS=2\nCTX_SIZE=4096",
                      "/s/m.sock");
    char *b = argv_of("CTX_SIZE=4096\nSLOTS=2\nN_GPU_LAYERS=9\nFIT=0\nFLASH_ATTN=1\nKV_CACHE_TYPE_K=f16\n"
                      "EXTRA_ARGS=--jinja",
                      "/s/m.sock");
    (void)state;
    assert_string_equal(a, whole);
    assert_string_equal(b, whole);
    free(a);
    free(b);
}

static void what_only_routing_needs_does_not_reach_the_command_line(void **state)
{
    char *words = argv_of("NAME=A name\nGOOD_AT=code\nSTRENGTH=0.7\nVRAM=100\nRAM=100\nTTL=5m\nPIN=yes\n"
                          "QUEUE=3\nCAPS=tools\nENV.X=y\nMAX_TOKENS=9\nTIMEOUT_IDLE=5s",
                          "/s/m.sock");
    (void)state;
    assert_string_equal(words, BEGIN USUAL);
    free(words);
}

static void without_a_socket_there_is_no_address(void **state)
{
    char *words = argv_of("", NULL);
    (void)state;
    assert_string_equal(words, SERVER "|--alias|m|--model|/m.gguf" USUAL);
    free(words);
}

static void words_are_split_as_a_shell_would(void **state)
{
    static const struct {
        const char *text, *words; /* `<word>` each; NULL: refused */
    } rows[] = {
        {"", ""},
        {"  \t ", ""},
        {"a b", "<a><b>"},
        {"  a\tb  ", "<a><b>"},
        {"'a b' c", "<a b><c>"},
        {"\"a b\"", "<a b>"},
        {"--x=\"a b\"c", "<--x=a bc>"},
        {"'it is \"so\"'", "<it is \"so\">"},
        {"\"it's\"", "<it's>"},
        {"a '' b", "<a><><b>"},
        {"\"\"", "<>"},
        {"--chat-template-kwargs '{\"enable_thinking\": false}'",
         "<--chat-template-kwargs><{\"enable_thinking\": false}>"},
        {"$HOME `id` *;|&", "<$HOME><`id`><*;|&>"},
        {"'open", NULL},
        {"a \"b", NULL},
        {"'a\"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_strv words = {0};
        struct pm_buf out;
        int rc = pm_conf_split_words(rows[i].text, &words);
        pm_buf_init(&out, PM_BUF_OWN_LIMIT);
        for (size_t k = 0; k < words.n; k++)
            pm_buf_addf(&out, "<%s>", words.items[k]);
        expect(rc == (rows[i].words ? PM_OK : PM_EINVAL), "%s: %d\n", rows[i].text, rc);
        expect(!rows[i].words || strcmp(out.data, rows[i].words) == 0, "%s: %s\n", rows[i].text, out.data);
        pm_buf_release(&out);
        pm_strv_release(&words);
    }
}

static void the_server_is_the_profiles_else_the_environments_else_on_the_path(void **state)
{
    char dir[] = "/tmp/pm-unit-XXXXXX", own[] = SERVER, missing[] = "/nowhere/llama-server", file[64];
    struct pm_target t = {.server = own};
    (void)state;
    assert_non_null(mkdtemp(dir));
    strcat(strcpy(file, dir), "/llama-server");
    assert_int_equal(symlink(SERVER, file), 0);

    setenv("LLAMA_SERVER", "/bin/ls", 1);
    char *path = pm_conf_server_path(&t);
    assert_string_equal(path, SERVER);
    free(path);
    t.server = NULL;
    path = pm_conf_server_path(&t);
    assert_string_equal(path, "/bin/ls");
    free(path);
    unsetenv("LLAMA_SERVER");
    setenv("PATH", "/nowhere::/proc", 1);
    assert_null(pm_conf_server_path(&t));
    setenv("PATH", dir, 1);
    path = pm_conf_server_path(&t);
    assert_string_equal(path, file);
    free(path);
    t.server = missing;
    assert_null(pm_conf_server_path(&t));
    unlink(file);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_becomes_its_flag),
        cmocka_unit_test(extra_arguments_come_last_and_the_order_of_the_file_does_not_matter),
        cmocka_unit_test(what_only_routing_needs_does_not_reach_the_command_line),
        cmocka_unit_test(without_a_socket_there_is_no_address),
        cmocka_unit_test(words_are_split_as_a_shell_would),
        cmocka_unit_test(the_server_is_the_profiles_else_the_environments_else_on_the_path),
    };
    return cmocka_run_group_tests_name("argv", tests, NULL, NULL);
}
