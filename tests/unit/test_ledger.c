#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/manager/ledger.h"

static bool fits(const struct pm_capacity *cap, const struct pm_need *a, const struct pm_need *b)
{
    const struct pm_need *needs[] = {a, b};
    return pm_fits(cap, needs, b ? 2 : 1);
}

static void what_is_declared_is_what_there_is(void **state)
{
    struct pm_manager_conf conf = {.devices = {.v = {24000, 8000}, .n = 2}, .ram = 64000};
    struct pm_capacity cap;
    (void)state;
    pm_capacity_read(&conf, &cap);
    assert_int_equal(cap.n_devices, 2);
    assert_int_equal(cap.device[0], 24000);
    assert_int_equal(cap.device[1], 8000);
    assert_int_equal(cap.ram, 64000);
    assert_false(cap.has_unknown_device);
}

static void undeclared_memory_is_less_than_the_machine_has(void **state)
{
    struct pm_manager_conf conf = {0};
    struct pm_capacity cap;
    long long machine = (long long)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) >> 20;
    (void)state;
    pm_capacity_read(&conf, &cap);
    assert_true(cap.ram > 0 && cap.ram < machine);
}

static void sums_are_held_on_each_device_and_in_memory(void **state)
{
    struct pm_capacity cap = {.device = {1000, 500}, .n_devices = 2, .ram = 100};
    static const struct {
        struct pm_need a, b;
        bool together;
    } rows[] = {
        {{.device = {1000}}, {.device = {0, 500}}, true},
        {{.device = {600}}, {.device = {400}}, true},
        {{.device = {600}}, {.device = {401}}, false},
        {{.device = {0, 300}}, {.device = {900, 201}}, false},
        {{.ram = 50}, {.ram = 50}, true},
        {{.ram = 50}, {.ram = 51}, false},
        {{.device = {0, 0, 1}}, {.ram = 1}, false}, /* there is no third device */
        {{.device = {1000}, .ram = 100}, {.ram = 0}, true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect(fits(&cap, &rows[i].a, &rows[i].b) == rows[i].together, "row %zu\n", i);
    assert_true(pm_fits(&cap, NULL, 0));
}

static void a_device_of_unknown_size_holds_one_profile(void **state)
{
    struct pm_capacity cap = {.has_unknown_device = true, .ram = 100};
    struct pm_need big = {.device = {999999}}, other = {.device = {1}}, memory = {.ram = 100};
    (void)state;
    assert_true(fits(&cap, &big, NULL));
    assert_false(fits(&cap, &big, &other));
    assert_true(fits(&cap, &big, &memory));
}

static void what_is_declared_is_what_is_needed(void **state)
{
    struct pm_capacity cap = {.device = {8000, 8000}, .n_devices = 2, .ram = 100};
    struct pm_target t = {.vram = {.v = {100, 200}, .n = 2}, .ram = {.v = {30}, .n = 1}};
    struct pm_need need;
    (void)state;
    pm_need_of(&t, &cap, &need);
    assert_int_equal(need.device[0], 100);
    assert_int_equal(need.device[1], 200);
    assert_int_equal(need.ram, 30);
    assert_false(need.estimated);
    t = (struct pm_target){.ram = {.v = {30}, .n = 1}};
    pm_need_of(&t, &cap, &need);
    assert_int_equal(need.device[0] + need.device[1], 0);
    assert_int_equal(need.ram, 30);
}

static void make_file(char *path, size_t size, long long mib)
{
    snprintf(path, size, "/tmp/pm-unit-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, mib << 20), 0); /* a hole: no bytes are written */
    close(fd);
}

static void an_estimate_covers_the_files_and_goes_where_there_is_room(void **state)
{
    static const struct {
        struct pm_capacity cap;
        bool on_devices;
    } rows[] = {
        {{.device = {24000, 8000}, .n_devices = 2, .ram = 64000}, true},
        {{.device = {24000}, .n_devices = 1, .ram = 64000}, true},
        {{.has_unknown_device = true, .ram = 64000}, true},
        {{.ram = 64000}, false},
    };
    char model[64], mmproj[64];
    struct pm_target t = {.model = model, .mmproj = mmproj};
    (void)state;
    make_file(model, sizeof(model), 4000);
    make_file(mmproj, sizeof(mmproj), 500);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_need need;
        long long sum = 0;
        pm_need_of(&t, &rows[i].cap, &need);
        for (size_t d = 0; d < PM_DEVICES_MAX; d++)
            sum += need.device[d];
        assert_true(need.estimated);
        expect(sum + need.ram >= 4500 && sum + need.ram < 9000, "row %zu: %lld\n", i, sum + need.ram);
        expect(rows[i].on_devices ? !need.ram : !sum, "row %zu is in the wrong place\n", i);
        assert_true(rows[i].cap.n_devices != 2 || need.device[0] > need.device[1]);
    }
    unlink(model);
    unlink(mmproj);
}

static void a_missing_file_still_needs_something(void **state)
{
    char none[] = "/nowhere/model.gguf";
    struct pm_capacity cap = {.ram = 1000};
    struct pm_target t = {.model = none};
    struct pm_need need;
    (void)state;
    pm_need_of(&t, &cap, &need);
    assert_true(need.estimated && need.ram > 0);
}

static void the_explanation_names_both_numbers_and_is_empty_where_it_fits(void **state)
{
    struct pm_capacity cap = {.device = {1000, 500}, .n_devices = 2, .ram = 100};
    static const struct {
        struct pm_need need;
        const char *a, *b, *c;
    } rows[] = {
        {{.device = {9000}}, "9000 MiB", "device 0", "1000"},
        {{.device = {1, 501}}, "501 MiB", "device 1", "500"},
        {{.device = {0, 0, 7}}, "7 MiB", "device 2", "0"},
        {{.ram = 101}, "101 MiB", "memory", "100"},
    };
    char text[200] = "x";
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_false(fits(&cap, &rows[i].need, NULL));
        pm_need_explain(&cap, &rows[i].need, text, sizeof(text));
        expect(strstr(text, rows[i].a) && strstr(text, rows[i].b) && strstr(text, rows[i].c), "%s\n", text);
    }
    struct pm_need fine = {.device = {1000, 500}, .ram = 100};
    pm_need_explain(&cap, &fine, text, sizeof(text));
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_declared_is_what_there_is),
        cmocka_unit_test(undeclared_memory_is_less_than_the_machine_has),
        cmocka_unit_test(sums_are_held_on_each_device_and_in_memory),
        cmocka_unit_test(a_device_of_unknown_size_holds_one_profile),
        cmocka_unit_test(what_is_declared_is_what_is_needed),
        cmocka_unit_test(an_estimate_covers_the_files_and_goes_where_there_is_room),
        cmocka_unit_test(a_missing_file_still_needs_something),
        cmocka_unit_test(the_explanation_names_both_numbers_and_is_empty_where_it_fits),
    };
    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
