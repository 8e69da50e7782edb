#include "tests/unit/conf_text.h"

static void a_fault_in_a_route_file_is_told_where_it_stands_and_leaves_that_route_out(void **state)
{
    static const struct {
        const char *text;
        int line;
        const char *words;
    } rows[] = {
        {"[route]\nTARGETS=chat\nTARGET=chat\n", 3, "unknown key TARGET|did you mean TARGETS?"},
        {"[route]\nTARGETS=chat,codre\n", 2, "unknown target codre|did you mean coder?"},
        {"[route]\nTARGETS=zzzzzzzzzz\n", 2, "unknown target zzzzzzzzzz|models.conf has no [zzzzzzzzzz]"},
        {"[route]\nTARGETS=chat\nFALLBACK=clout\n", 3, "unknown target clout|did you mean cloud?"},
        {"[route]\nTARGETS=chat,bench-x\n", 2, "bench-x is a bench profile"},
        {"[route]\nTARGETS=chat\nFALLBACK=bench-x\n", 3, "bench-x is a bench profile"},
        {"[route]\nTARGETS=chat\nLOCAL_ONLY=yes\nFALLBACK=cloud\n", 4, "FALLBACK=cloud|LOCAL_ONLY"},
        {"[route]\nFALLBACK=cloud\nTARGETS=chat\nLOCAL_ONLY=1\n", 2, "FALLBACK=cloud|LOCAL_ONLY"},
        {"[route]\nMODELS=x\n", 1, "needs TARGETS="},
        {"[route]\nTARGETS=chat\nLOCAL_ONLY=perhaps\n", 3, "LOCAL_ONLY=perhaps|yes or no"},
        {"[route]\nTARGETS=chat\nSTICK=long\n", 3, "STICK=long|duration"},
        {"[route]\nTARGETS=chat\nON_POLICY_ERROR=ignore\n", 3, "ON_POLICY_ERROR=ignore|skip refuse"},
        {"[route]\nTARGETS=chat\nWEIGHT_PRICE=-1\n", 3, "WEIGHT_PRICE=-1|from 0"},
        {"[route]\nTARGETS=chat\nWEIGHT_WAITING=much\n", 3, "WEIGHT_WAITING=much|a number"},
        {"[route]\nTARGETS=chat\nPOLICIES=regex\n[policy regexp]\n", 4, "regexp|POLICIES|mean regex?"},
        {"[route]\nTARGETS=chat\n[polcy regex]\n", 3, "[polcy regex]|[policy NAME]"},
        {"[route]\nTARGETS=chat\n[route]\nTARGETS=chat\n", 3, "[route]|one [route]"},
        {"# nothing\n", 1, "no [route] section"},
        {"TARGETS=chat\n[route]\nTARGETS=chat\n", 1, "[section] header"},
        {"[route]\nTARGETS=chat\nTARGETS=coder\n", 3, "TARGETS stands twice|line 2"},
        {"[route]\nTARGETS=chat\n[gateway]\nWORKERS=0\n", 4, "WORKERS=0|from 1 to 64"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct read r = {0};
        char start[64];
        snprintf(start, sizeof(start), "/r/10-bad.conf:%d: ", rows[i].line);
        add_route(&r, "/r/10-bad.conf", rows[i].text);
        add_route(&r, "/r/20-good.conf", "[route]\nTARGETS=coder\n");
        read_all(&r, MODELS);
        if (!told(&r.diags.errors, start, rows[i].words)) {
            print_errors(&r);
            expect(false, "row %zu: not told at line %d: %s\n", i, rows[i].line, rows[i].words);
        }
        expect(!r.conf || (r.conf->n_routes == 1 && strcmp(r.conf->routes[0].id, "good") == 0),
               "row %zu: the other route does not stand alone\n", i);
        release(&r);
    }
}

static void a_route_has_what_its_file_says(void **state)
{
    struct read r = {0};
    (void)state;
    add_route(&r, "/r/20-auto.conf",
              "[route]\nMODELS=auto, gpt-*\nPOLICIES=regex\nTARGETS=coder,chat\nFALLBACK=cloud\nSTICK=5m\n"
              "ON_POLICY_ERROR=refuse\nPOLICY_BUDGET=3ms\nWEIGHT_WAITING=1\nWEIGHT_LEAVING=2\nWEIGHT_PRICE=3\n"
              "[policy regex]\ncode=\\b(fix|debug)\\b|[x]\n");
    read_all(&r, MODELS);
    assert_int_equal(r.diags.errors.n, 0);
    const struct pm_route *a = &r.conf->routes[0];
    assert_string_equal(a->id, "auto");
    assert_string_equal(a->file, "/r/20-auto.conf");
    assert_int_equal(a->models.n, 2);
    assert_int_equal(a->policies.n, 1);
    assert_int_equal(a->n_targets, 2);
    assert_string_equal(r.conf->targets[a->targets[0]].id, "coder");
    assert_string_equal(r.conf->targets[a->targets[1]].id, "chat");
    assert_string_equal(r.conf->targets[a->fallback].id, "cloud");
    assert_int_equal(a->stick_ms, 300000);
    assert_true(a->refuse_on_policy_error);
    assert_int_equal(a->policy_budget_us, 3000);
    assert_true(a->weight_waiting == 1 && a->weight_leaving == 2 && a->weight_price == 3);
    const char *code = NULL;
    for (size_t i = 0; i < a->n_policy_sections; i++)
        if (strcmp(a->policy_sections[i].name, "policy regex") == 0)
            code = pm_ini_get(&a->policy_sections[i], "code");
    assert_string_equal(code, "\\b(fix|debug)\\b|[x]");
    release(&r);
}

static void a_route_is_called_as_its_file_and_answers_to_that_name(void **state)
{
    static const struct {
        const char *path, *id;
    } rows[] = {{"/r/20-auto.conf", "auto"},
                {"/r/auto.conf", "auto"},
                {"/r/007-b-c.conf", "b-c"},
                {"/r/4o.conf", "4o"},
                {"/r/x-1.conf", "x-1"}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct read r = {0};
        add_route(&r, rows[i].path, "[route]\nTARGETS=chat\n");
        read_all(&r, MODELS);
        assert_int_equal(r.conf->n_routes, 1);
        assert_string_equal(r.conf->routes[0].id, rows[i].id);
        assert_ptr_equal(pm_conf_route(r.conf, rows[i].id), &r.conf->routes[0]);
        assert_int_equal(r.conf->routes[0].fallback, -1);
        assert_false(r.conf->routes[0].local_only || r.conf->routes[0].refuse_on_policy_error);
        assert_true(r.conf->routes[0].policies.n > 0); /* the shipped chain */
        release(&r);
    }
}

static void the_first_route_whose_models_match_answers(void **state)
{
    struct read r = {0};
    (void)state;
    add_route(&r, "/r/10-a.conf", "[route]\nMODELS=gpt-4*\nTARGETS=chat\n");
    add_route(&r, "/r/20-b.conf", "[route]\nMODELS=gpt-*,claude-*\nTARGETS=chat\n");
    read_all(&r, MODELS);
    assert_string_equal(pm_conf_route(r.conf, "gpt-4o")->id, "a");
    assert_string_equal(pm_conf_route(r.conf, "gpt-5")->id, "b");
    assert_string_equal(pm_conf_route(r.conf, "claude-x")->id, "b");
    assert_null(pm_conf_route(r.conf, "llama"));
    assert_null(pm_conf_route(r.conf, ""));
    release(&r);
}

static void of_two_routes_of_one_name_the_second_is_told_and_left_out(void **state)
{
    struct read r = {0};
    (void)state;
    add_route(&r, "/r/10-auto.conf", "[route]\nTARGETS=chat\n");
    add_route(&r, "/r/20-auto.conf", "[route]\nMODELS=other\nTARGETS=coder\n");
    read_all(&r, MODELS);
    assert_true(told(&r.diags.errors, "/r/20-auto.conf:1: ", "auto|/r/10-auto.conf"));
    assert_int_equal(r.conf->n_routes, 1);
    assert_null(pm_conf_route(r.conf, "other"));
    release(&r);
}

static void no_policies_is_said_with_an_empty_list(void **state)
{
    struct read r = {0};
    (void)state;
    add_route(&r, "/r/a.conf", "[route]\nPOLICIES=\nTARGETS=chat\n");
    read_all(&r, MODELS);
    assert_int_equal(r.diags.errors.n, 0);
    assert_int_equal(r.conf->routes[0].policies.n, 0);
    release(&r);
}

static void a_route_may_have_a_fallback_only(void **state)
{
    struct read r = {0};
    (void)state;
    add_route(&r, "/r/a.conf", "[route]\nFALLBACK=cloud\n");
    read_all(&r, MODELS);
    assert_int_equal(r.diags.errors.n, 0);
    assert_int_equal(r.conf->routes[0].n_targets, 0);
    release(&r);
}

static void a_local_fallback_may_stand_on_a_local_only_route(void **state)
{
    struct read r = {0};
    (void)state;
    add_route(&r, "/r/a.conf", "[route]\nTARGETS=chat,cloud\nFALLBACK=coder\nLOCAL_ONLY=yes\n");
    read_all(&r, MODELS);
    assert_int_equal(r.diags.errors.n, 0);
    assert_true(r.conf->routes[0].local_only);
    release(&r);
}

static void the_gateway_section_is_read(void **state)
{
    struct read r = {0};
    (void)state;
    add_route(&r, "/r/00-gateway.conf",
              "[gateway]\nLISTEN=127.0.0.1:9\nWORKERS=3\nMAX_BODY=8\nKEEP_ALIVE=5s\nLOG_LEVEL=debug\n");
    read_all(&r, MODELS);
    assert_int_equal(r.diags.errors.n, 0);
    assert_int_equal(r.conf->n_routes, 0);
    assert_string_equal(r.conf->gateway.listen, "127.0.0.1:9");
    assert_int_equal(r.conf->gateway.workers, 3);
    assert_int_equal(r.conf->gateway.max_body, 8);
    assert_int_equal(r.conf->gateway.keep_alive_ms, 5000);
    assert_string_equal(r.conf->gateway.log_level, "debug");
    release(&r);
}

static void a_fault_in_the_gateway_section_ends_the_use_of_the_configuration(void **state)
{
    static const struct {
        const char *text;
        int line;
        const char *words;
    } rows[] = {
        {"[gateway]\nLISTEN=127.0.0.1:9\nWORKERS=65\n", 3, "WORKERS=65|from 1 to 64"},
        {"[gateway]\nMAX_BODY=0\n", 2, "MAX_BODY=0"},
        {"[gateway]\nLOG_LEVEL=loud\n", 2, "LOG_LEVEL=loud|debug info warn error"},
        {"[gateway]\nWORKER=2\n", 2, "unknown key WORKER|did you mean WORKERS?"},
        {"[gateway]\nrubbish\n", 2, "`rubbish`"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct read r = {0};
        char start[64];
        snprintf(start, sizeof(start), "/r/00-gateway.conf:%d: ", rows[i].line);
        add_route(&r, "/r/00-gateway.conf", rows[i].text);
        read_all(&r, MODELS);
        expect(told(&r.diags.errors, start, rows[i].words), "row %zu is not told\n", i);
        expect(!r.conf, "row %zu: used all the same\n", i);
        release(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_in_a_route_file_is_told_where_it_stands_and_leaves_that_route_out),
        cmocka_unit_test(a_route_has_what_its_file_says),
        cmocka_unit_test(a_route_is_called_as_its_file_and_answers_to_that_name),
        cmocka_unit_test(the_first_route_whose_models_match_answers),
        cmocka_unit_test(of_two_routes_of_one_name_the_second_is_told_and_left_out),
        cmocka_unit_test(no_policies_is_said_with_an_empty_list),
        cmocka_unit_test(a_route_may_have_a_fallback_only),
        cmocka_unit_test(a_local_fallback_may_stand_on_a_local_only_route),
        cmocka_unit_test(the_gateway_section_is_read),
        cmocka_unit_test(a_fault_in_the_gateway_section_ends_the_use_of_the_configuration),
    };
    return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
