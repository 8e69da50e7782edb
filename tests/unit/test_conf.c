#include "tests/unit/conf_text.h"

static void a_fault_in_models_conf_is_told_where_it_stands_and_ends_its_use(void **state)
{
    static const struct {
        const char *text;
        int line;
        const char *words;
    } rows[] = {
        {"[m]\nMODEL=/m\nCTXSIZE=1\n", 3, "unknown key CTXSIZE|did you mean CTX_SIZE?"},
        {"[m]\nmodel=/m\nMODEL=/m\n", 2, "unknown key model|did you mean MODEL?"},
        {"[m]\nMODEL=/m\nZZZZZZZZZZ=1\n", 3, "unknown key ZZZZZZZZZZ"},
        {"[*]\nCTXSIZE=1\n[m]\nMODEL=/m\n", 2, "unknown key CTXSIZE|CTX_SIZE"},
        {"[*]\nCLOUD=openai\n[m]\nMODEL=/m\n", 2, "CLOUD cannot stand in [*]"},
        {"[m]\nMODEL=/m\n[n]\nMODEL=/n\n[m]\nMODEL=/o\n", 5, "[m] stands twice|line 1"},
        {"[m]\nMODEL=/m\nMODEL=/n\n", 3, "MODEL stands twice|line 2"},
        {"[m n]\nMODEL=/m\n", 1, "[m n]|letters, digits"},
        {"[../m]\nMODEL=/m\n", 1, "[../m]|letters, digits"},
        {"[m/../../x]\nMODEL=/m\n", 1, "letters, digits"},
        {"[ ]\nMODEL=/m\n", 1, "letters, digits"},
        {"\n[m]\n", 2, "[m] has no MODEL="},
        {"[m]\nMODEL=/m\nSTRENGTH=1.5\n", 3, "STRENGTH=1.5|from 0 to 1"},
        {"[m]\nMODEL=/m\nSTRENGTH=high\n", 3, "STRENGTH=high|a number"},
        {"[m]\nMODEL=/m\nSLOTS=0\n", 3, "SLOTS=0|from 1 to 256"},
        {"[m]\nMODEL=/m\nSLOTS=1.5\n", 3, "SLOTS=1.5|a whole number"},
        {"[m]\nMODEL=/m\nCTX_SIZE=-1\n", 3, "CTX_SIZE=-1"},
        {"[m]\nMODEL=/m\nQUEUE=100001\n", 3, "QUEUE=100001"},
        {"[m]\nMODEL=/m\nTTL=5 minutes\n", 3, "TTL=5 minutes|duration|30m"},
        {"[m]\nMODEL=/m\nPIN=maybe\n", 3, "PIN=maybe|yes or no"},
        {"[m]\nMODEL=/m\nVRAM=8G\n", 3, "VRAM=8G|MiB"},
        {"[m]\nMODEL=/m\nVRAM=\n", 3, "VRAM="},
        {"[m]\nMODEL=/m\nRAM=-1\n", 3, "RAM=-1"},
        {"[m]\nMODEL=/m\nFLASH_ATTN=maybe\n", 3, "FLASH_ATTN=maybe|on off auto"},
        {"[m]\nMODEL=/m\nFLASH_ATTN=on off\n", 3, "FLASH_ATTN=on off"},
        {"[m]\nMODEL=/m\nFLASH_ATTN=\n", 3, "FLASH_ATTN="},
        {"[m]\nMODEL=/m\nCAPS=tools,flying\n", 3, "CAPS=flying|vision"},
        {"[m]\nMODEL=/m\nBASE_URL=http://x\n", 3, "BASE_URL means nothing for a local profile"},
        {"[c]\nCLOUD=openai\nSLOTS=2\n", 3, "SLOTS means nothing for a cloud model"},
        {"[c]\nCLOUD=opennai\n", 1, "CLOUD=opennai|openai or anthropic"},
        {"[c]\nCLOUD=openai\nBASE_URL=ftp://x\n", 1, "BASE_URL=ftp://x|https://"},
        {"[m]\nMODEL=/m\nEXTRA_ARGS=-x 'open\n", 1, "EXTRA_ARGS|quote is not closed"},
        {"[m]\nMODEL=/m\nEXTRA_ARGS=-x --port 80\n", 1, "EXTRA_ARGS|--port is set by the manager"},
        {"[m]\nMODEL=/m\nEXTRA_ARGS=--host 0.0.0.0\n", 1, "EXTRA_ARGS|--host is set by the manager"},
        {"[manager]\nRAMM=1\n", 2, "unknown key RAMM|did you mean RAM?"},
        {"[manager]\nMAX_WAIT=x\n", 2, "MAX_WAIT=x|duration"},
        {"KEY=1\n", 1, "[section] header must come before"},
        {"[m]\nMODEL=/m\nrubbish\n", 3, "`rubbish`"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct read r = {0};
        char start[64];
        snprintf(start, sizeof(start), "/etc/models.conf:%d: ", rows[i].line);
        read_all(&r, rows[i].text);
        if (!told(&r.diags.errors, start, rows[i].words) || r.conf) {
            print_errors(&r);
            expect(false, "row %zu: not told at line %d, or used: %s\n", i, rows[i].line, rows[i].words);
        }
        release(&r);
    }
}

static void a_fault_in_the_defaults_is_told_once_with_any_number_of_profiles(void **state)
{
    static const char *const rows[] = {
        "[*]\nSLOTS=0\n[a]\nMODEL=/a\n[b]\nMODEL=/b\n",
        "[*]\nSLOTS=0\n",
        "[*]\nCAPS=flying\n[a]\nMODEL=/a\n[b]\nMODEL=/b\n",
        "[*]\nNOPE=1\n[a]\nMODEL=/a\n[b]\nMODEL=/b\n",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct read r = {0};
        read_all(&r, rows[i]);
        expect(r.diags.errors.n == 1, "row %zu: told %zu times\n", i, r.diags.errors.n);
        assert_true(told(&r.diags.errors, "/etc/models.conf:2: ", ""));
        assert_null(r.conf);
        release(&r);
    }
}

static void all_faults_are_told_at_once(void **state)
{
    struct read r = {0};
    (void)state;
    read_all(&r, "[m]\nSLOTS=0\nNOPE=1\n[n]\nMODEL=/n\nPIN=x\n");
    assert_int_equal(r.diags.errors.n, 4); /* and [m] has no MODEL */
    release(&r);
}

static void defaults_hold_for_all_and_a_section_overrides_them(void **state)
{
    struct read r = {0};
    (void)state;
    read_all(&r, "[*]\nCTX_SIZE=4096\nGOOD_AT=general\nSLOTS=2\nBASE_URL=https://x\nCAPS=tools\nENV.A=1\n"
                 "[m]\nMODEL=/m\n"
                 "[n]\nMODEL=/n\nCTX_SIZE=8192\nGOOD_AT=code\nCAPS=vision\nENV.B=2\n"
                 "[c]\nCLOUD=anthropic\n");
    assert_int_equal(r.diags.errors.n, 0);
    const struct pm_target *m = pm_conf_target(r.conf, "m"), *n = pm_conf_target(r.conf, "n");
    assert_int_equal(r.conf->n_targets, 3);
    assert_int_equal(m->ctx_size, 4096);
    assert_int_equal(m->slots, 2);
    assert_true(pm_strv_has(&m->good_at, "general"));
    assert_int_equal(m->caps, PM_CAP_TOOLS);
    assert_int_equal(n->ctx_size, 8192);
    assert_int_equal(n->good_at.n, 1);
    assert_true(pm_strv_has(&n->good_at, "code"));
    assert_int_equal(n->caps, PM_CAP_VISION);
    assert_true(pm_strv_has(&n->env, "A=1") && pm_strv_has(&n->env, "B=2"));
    assert_string_equal(pm_conf_target(r.conf, "c")->base_url, "https://x");
    assert_null(pm_conf_target(r.conf, "*"));
    release(&r);
}

static void a_variable_of_the_section_replaces_that_of_the_defaults(void **state)
{
    struct read r = {0};
    (void)state;
    read_all(&r, "[*]\nENV.GPU=0\n[m]\nMODEL=/m\nENV.GPU=1\n");
    const struct pm_target *m = pm_conf_target(r.conf, "m");
    assert_int_equal(m->env.n, 1);
    assert_string_equal(m->env.items[0], "GPU=1");
    release(&r);
}

static void what_is_not_given_has_a_sensible_value(void **state)
{
    struct read r = {0};
    (void)state;
    read_all(&r, MODELS);
    assert_int_equal(r.diags.errors.n, 0);
    const struct pm_target *m = pm_conf_target(r.conf, "chat"), *c = pm_conf_target(r.conf, "cloud");
    assert_int_equal(m->kind, PM_TARGET_LOCAL);
    assert_int_equal(m->line, 1);
    assert_string_equal(m->file, "/etc/models.conf");
    assert_true(m->strength == 0.5);
    assert_false(m->caps_given || m->pin || m->preload || m->bench);
    assert_true(m->queue > 0);
    assert_int_equal(m->vram.n + m->ram.n, 0);
    assert_int_equal(c->kind, PM_TARGET_OPENAI);
    assert_string_equal(c->base_url, "https://api.openai.com/v1");
    assert_true(pm_conf_target(r.conf, "bench-x")->bench);
    for (size_t i = 0; i < r.conf->n_targets; i++)
        assert_int_equal(r.conf->targets[i].index, i);
    release(&r);
}

static void values_are_literal(void **state)
{
    static const struct {
        const char *key, *value;
    } rows[] = {{"NAME", "a \\ b | c [d] \"e\" #f =g"}, {"DESCRIPTION", "\\bcode\\b|[x]"}};
    struct read r = {0};
    (void)state;
    read_all(&r, "[m]\nMODEL=/dir with | pipe/a[1]\\b.gguf\nNAME=a \\ b | c [d] \"e\" #f =g\n"
                 "DESCRIPTION=\\bcode\\b|[x]\n");
    const struct pm_target *m = pm_conf_target(r.conf, "m");
    assert_string_equal(m->name, rows[0].value);
    assert_string_equal(m->description, rows[1].value);
    assert_string_equal(m->model, "/dir with | pipe/a[1]\\b.gguf");
    release(&r);
}

static void paths_are_relative_to_the_models_folder_and_it_to_the_file(void **state)
{
    struct read r = {0};
    (void)state;
    read_all(&r, "[a]\nMODEL=a.gguf\n[b]\nMODELS_DIR=models\nMODEL=b.gguf\nMMPROJ=/p.gguf\n"
                 "[c]\nMODELS_DIR=/abs\nMODEL=c.gguf\nLLAMA_SERVER=bin/llama-server\n");
    assert_string_equal(pm_conf_target(r.conf, "a")->model, "/etc/a.gguf");
    assert_string_equal(pm_conf_target(r.conf, "b")->model, "/etc/models/b.gguf");
    assert_string_equal(pm_conf_target(r.conf, "b")->mmproj, "/p.gguf");
    assert_string_equal(pm_conf_target(r.conf, "c")->model, "/abs/c.gguf");
    assert_string_equal(pm_conf_target(r.conf, "c")->server, "/etc/bin/llama-server");
    assert_true(told(&r.diags.warnings, "/etc/models.conf:1: ", "[a]|/etc/a.gguf does not exist"));
    release(&r);
}

static void the_manager_and_each_type_of_value_are_read(void **state)
{
    struct read r = {0};
    (void)state;
    read_all(&r, "[manager]\nDEVICES=24000, 8000\nRAM=64000\nMAX_WAIT=90s\nMIN_RESIDENCY=30s\n"
                 "[m]\nMODEL=/m\nVRAM=9000,500\nRAM=100\nTTL=10m\nPIN=on\nPRELOAD=TRUE\nPRICE_IN=\n");
    assert_true(told(&r.diags.errors, "/etc/models.conf:13: ", "PRICE_IN"));
    release(&r);
    read_all(&r, "[manager]\nDEVICES=24000, 8000\nRAM=64000\nMAX_WAIT=90s\nMIN_RESIDENCY=30s\n"
                 "[m]\nMODEL=/m\nVRAM=9000,500\nRAM=100\nTTL=10m\nPIN=on\nPRELOAD=TRUE\n");
    const struct pm_target *m = pm_conf_target(r.conf, "m");
    assert_int_equal(r.conf->manager.devices.n, 2);
    assert_int_equal(r.conf->manager.devices.v[1], 8000);
    assert_int_equal(r.conf->manager.ram, 64000);
    assert_int_equal(r.conf->manager.max_wait_ms, 90000);
    assert_int_equal(r.conf->manager.min_residency_ms, 30000);
    assert_int_equal(m->vram.v[0], 9000);
    assert_int_equal(m->vram.v[1], 500);
    assert_int_equal(m->ttl_ms, 600000);
    assert_true(m->pin && m->preload);
    assert_null(pm_conf_target(r.conf, "manager"));
    release(&r);
}

static void a_cloud_model_of_any_name_and_a_base_url_without_its_slashes(void **state)
{
    struct read r = {0};
    (void)state;
    unsetenv("PM_UNIT_KEY");
    read_all(&r, "[c]\nCLOUD=openai\nMODEL=*\nBASE_URL=https://h/v1//\nAPI_KEY_ENV=PM_UNIT_KEY\n"
                 "[d]\nCLOUD=anthropic\nMODEL=claude-x\nPRICE_IN=3\nPRICE_OUT=15.5\n");
    const struct pm_target *c = pm_conf_target(r.conf, "c"), *d = pm_conf_target(r.conf, "d");
    assert_null(c->model);
    assert_string_equal(c->base_url, "https://h/v1");
    assert_true(told(&r.diags.notes, "/etc/models.conf:1: ", "PM_UNIT_KEY is not set"));
    assert_string_equal(d->model, "claude-x");
    assert_true(d->price_out == 15.5);
    release(&r);
}

static void a_target_is_found_by_its_exact_id(void **state)
{
    struct read r = {0};
    (void)state;
    read_all(&r, MODELS);
    assert_non_null(pm_conf_target(r.conf, "coder"));
    assert_null(pm_conf_target(r.conf, "Coder"));
    assert_null(pm_conf_target(r.conf, "code"));
    assert_null(pm_conf_target(r.conf, ""));
    release(&r);
}

static void bundles_with_the_same_bytes_are_equal_and_survive_the_way_to_a_worker(void **state)
{
    struct read r = {0};
    struct pm_error err = {0};
    (void)state;
    add_route(&r, "/r/20-auto.conf", "[route]\nTARGETS=chat\n# \xc3\xa9 \"quoted\\\"\n");
    read_all(&r, MODELS "# \x01 odd \xe2\x82\xac\n");
    int fd = pm_bundle_export(&r.bundle, &err);
    assert_true(fd >= 0);
    struct pm_bundle *other = pm_bundle_import(fd, &err);
    assert_non_null(other);
    assert_true(pm_bundle_equal(&r.bundle, other));
    other->routes[0].text[1] = 'R';
    assert_false(pm_bundle_equal(&r.bundle, other));
    pm_bundle_free(other);
    release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_in_models_conf_is_told_where_it_stands_and_ends_its_use),
        cmocka_unit_test(a_fault_in_the_defaults_is_told_once_with_any_number_of_profiles),
        cmocka_unit_test(all_faults_are_told_at_once),
        cmocka_unit_test(defaults_hold_for_all_and_a_section_overrides_them),
        cmocka_unit_test(a_variable_of_the_section_replaces_that_of_the_defaults),
        cmocka_unit_test(what_is_not_given_has_a_sensible_value),
        cmocka_unit_test(values_are_literal),
        cmocka_unit_test(paths_are_relative_to_the_models_folder_and_it_to_the_file),
        cmocka_unit_test(the_manager_and_each_type_of_value_are_read),
        cmocka_unit_test(a_cloud_model_of_any_name_and_a_base_url_without_its_slashes),
        cmocka_unit_test(a_target_is_found_by_its_exact_id),
        cmocka_unit_test(bundles_with_the_same_bytes_are_equal_and_survive_the_way_to_a_worker),
    };
    return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
